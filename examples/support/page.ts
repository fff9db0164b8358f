/** Serves a page of `examples/browser`, whose script is bundled when the server starts. */
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const folder = join(import.meta.dirname, "..", "browser")

/** The page at `/`, with `{{baseUrl}}` replaced, and its script. */
export const page = (html: string, script: string, baseUrl: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const document = readFileSync(join(folder, html), "utf8").replace("{{baseUrl}}", baseUrl)
      const { outputFiles } = yield* Effect.promise(() =>
        build({
          entryPoints: [join(folder, script)],
          // In this repository, imports of the package use its sources.
          conditions: ["@effect-video-auth/source"],
          bundle: true,
          minify: true,
          format: "esm",
          write: false
        })
      )
      const code = outputFiles[0]?.text ?? ""
      return Layer.merge(
        HttpRouter.add("GET", "/", HttpServerResponse.text(document, { contentType: "text/html" })),
        HttpRouter.add("GET", "/page.js", HttpServerResponse.text(code, { contentType: "text/javascript" }))
      )
    })
  )
