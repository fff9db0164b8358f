/** Signing out: the service forgets the credential, here and in the store. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { HttpClientResponse } from "effect/http"
import { ApiVideo, TokenService } from "effect-video-auth"
import { server } from "./support/server.ts"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })

const listVideos = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const { data } = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Videos))
  return data.map(({ title }) => title)
})

const program = Effect.gen(function* () {
  const tokens = yield* TokenService.TokenService
  const tell = Effect.flatMap(tokens.state, ({ generation, phase }) => Console.log(`${phase}, token #${generation}`))
  yield* Console.log("videos:", yield* listVideos)
  yield* tell
  yield* tokens.invalidate
  yield* tell
  // The next request logs in again.
  yield* Console.log("videos:", yield* listVideos)
  yield* tell
})

// In two layers, to have the TokenService as well.
const ApiVideoLive = Layer.unwrap(
  Effect.gen(function* () {
    const baseUrl = yield* Config.String("APIVIDEO_BASE_URL")
    const token = ApiVideo.layerToken({ apiKey: Config.Redacted("APIVIDEO_API_KEY"), baseUrl })
    return Layer.provideMerge(ApiVideo.layerClient({ baseUrl }), token)
  })
)

program.pipe(
  Effect.provide(ApiVideoLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(server))),
  NodeRuntime.runMain
)
