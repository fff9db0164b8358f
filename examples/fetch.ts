/** The same on `fetch`: for Bun, Deno, workers and browsers. */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { FetchHttpClient, HttpClientResponse } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import { server } from "./support/server.ts"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })

const listVideos = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const { data } = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Videos))
  return data.map(({ title }) => title)
})

const program = Effect.gen(function* () {
  yield* Console.log("videos:", yield* listVideos)
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(ApiVideoLive.pipe(Layer.provide(FetchHttpClient.layer), Layer.provide(server))),
  NodeRuntime.runMain
)
