/** The server of a page that uploads. It keeps the API key, and gives the page an upload token. */
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { ApiVideo, UploadTokens } from "effect-video-auth/api-video"
import { createServer } from "node:http"
import { page } from "./support/page.ts"
import { server } from "./support/server.ts"

// Ask for a session here: whoever gets a token may upload.
const uploadToken = Effect.gen(function* () {
  const { token } = yield* UploadTokens.create({ ttl: 24 * 60 * 60 })
  return HttpServerResponse.jsonUnsafe({ token: Redacted.value(token) })
}).pipe(Effect.catch(({ message }) => Effect.succeed(HttpServerResponse.text(message, { status: 502 }))))

const routes = Layer.unwrap(
  Effect.map(Config.String("APIVIDEO_BASE_URL"), (baseUrl) =>
    Layer.merge(page("upload.html", "upload.ts", baseUrl), HttpRouter.add("POST", "/upload-token", uploadToken))
  )
)

const told = HttpServer.addressFormattedWith((url) => Console.log(`Open ${url} and pick a video. Ctrl-C ends it.`))

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

Effect.andThen(told, Effect.never).pipe(
  Effect.provide(
    HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
      Layer.provide(ApiVideoLive),
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provide(server)
    )
  ),
  NodeRuntime.runMain
)
