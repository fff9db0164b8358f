/** The key changes while the program runs: an effect reads it again at each login. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Redacted, Ref, Schema } from "effect"
import { HttpClientResponse } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { sandbox } from "./support/server.ts"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })

const listVideos = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const { data } = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Videos))
  return data.map(({ title }) => title)
})

// Stands for a vault: a file, a request, a `Config`. If it fails, the login fails, and the next login reads it again.
const vault = Ref.makeUnsafe(Redacted.make("your_api_key"))

const rotate = Effect.gen(function* () {
  const { addKey, removeKey, revokeAccessTokens } = yield* ApiVideoSandbox.ApiVideoSandbox
  yield* addKey("your_next_api_key")
  yield* Ref.set(vault, Redacted.make("your_next_api_key"))
  // The old key's refresh token ends with it, and here the access token, too. So the next request needs the new key.
  yield* removeKey("your_api_key")
  yield* revokeAccessTokens
})

const program = Effect.gen(function* () {
  yield* Console.log("videos:", yield* listVideos)
  yield* rotate
  yield* Console.log("videos:", yield* listVideos)
  const { loginsAccepted, unauthorized } = yield* ApiVideoSandbox.ApiVideoSandbox.use(({ ledger }) => ledger)
  yield* Console.log(`${loginsAccepted} logins, ${unauthorized} request sent again`)
})

const ApiVideoLive = Layer.unwrap(
  Effect.gen(function* () {
    return ApiVideo.layer({ apiKey: Ref.get(vault), baseUrl: yield* Config.String("APIVIDEO_BASE_URL") })
  })
)

program.pipe(
  Effect.provide(ApiVideoLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provideMerge(sandbox()))),
  NodeRuntime.runMain
)
