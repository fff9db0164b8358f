/** Through a proxy, to a server with a company's own certificate. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { ProxyAgent } from "@effect/platform-node/Undici"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { HttpClientResponse } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import { company } from "./support/proxy.ts"

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

// For the certificate without a proxy: NodeHttpClient.layerUndiciOptions({ connect: { ca } }).
const ThroughProxy = Layer.effect(
  NodeHttpClient.Dispatcher,
  Effect.gen(function* () {
    const uri = yield* Config.String("HTTPS_PROXY")
    const ca = yield* Config.String("COMPANY_CA")
    return yield* Effect.acquireRelease(
      Effect.sync(() => new ProxyAgent({ uri, requestTls: { ca } })),
      (agent) => Effect.promise(() => agent.destroy())
    )
  })
)

program.pipe(
  Effect.provide(
    ApiVideoLive.pipe(
      Layer.provide(NodeHttpClient.layerUndiciNoDispatcher),
      Layer.provide(ThroughProxy),
      Layer.provide(company)
    )
  ),
  NodeRuntime.runMain
)
