/** The server of a browser application. It serves a page and never sees a token. */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { login } from "./support/login.ts"

const folder = join(import.meta.dirname, "browser")

const page = Layer.unwrap(
  Effect.gen(function* () {
    const baseUrl = yield* Config.String("MOVINGIMAGE_BASE_URL")
    const html = readFileSync(join(folder, "index.html"), "utf8").replace("{{baseUrl}}", baseUrl)
    const { outputFiles } = yield* Effect.promise(() =>
      build({
        entryPoints: [join(folder, "page.ts")],
        // In this repository, imports of the package use its sources.
        conditions: ["@effect-video-auth/source"],
        bundle: true,
        minify: true,
        format: "esm",
        write: false
      })
    )
    const script = outputFiles[0]?.text ?? ""
    return Layer.merge(
      HttpRouter.add("GET", "/", HttpServerResponse.text(html, { contentType: "text/html" })),
      HttpRouter.add("GET", "/page.js", HttpServerResponse.text(script, { contentType: "text/javascript" }))
    )
  })
)

const told = HttpServer.addressFormattedWith((url) =>
  Console.log(`Open ${url} and sign in as your_username with your_password. Ctrl-C ends it.`)
)

Effect.andThen(told, Effect.never).pipe(
  Effect.provide(
    HttpRouter.serve(page, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
      Layer.provide(login)
    )
  ),
  NodeRuntime.runMain
)
