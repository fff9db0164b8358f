/** Your own `HttpApi` for the endpoints that you use. The derived client sends its requests through api.video's client. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { HttpApi, HttpApiClient, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { ApiVideo } from "effect-video-auth"
import { server } from "./support/server.ts"

const Video = Schema.Struct({ videoId: Schema.String, title: Schema.String })

const Api = HttpApi.make("api.video").add(
  HttpApiGroup.make("videos")
    .add(
      HttpApiEndpoint.get("list", "/videos", {
        query: { title: Schema.optional(Schema.String) },
        success: Schema.Struct({ data: Schema.Array(Video) })
      })
    )
    .add(HttpApiEndpoint.get("get", "/videos/:videoId", { params: { videoId: Schema.String }, success: Video }))
)

const program = Effect.gen(function* () {
  const client = yield* HttpApiClient.makeWith(Api, {
    // No `baseUrl`: the client has one. Responses of any status reach the derived client, which knows its own errors.
    httpClient: (yield* ApiVideo.ApiVideo).httpClient
  })
  const { data } = yield* client.videos.list({ query: { title: "Trailer" } })
  for (const { videoId } of data) {
    const { title } = yield* client.videos.get({ params: { videoId } })
    yield* Console.log(`found: ${title}`)
  }
  // An endpoint may list its errors. A response that it does not list is an `HttpClientError`.
  yield* client.videos
    .get({ params: { videoId: "vi0" } })
    .pipe(Effect.catchReason("HttpClientError", "DecodeError", ({ response }) => Console.log(`${response.status}`)))
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(ApiVideoLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(server))),
  NodeRuntime.runMain
)
