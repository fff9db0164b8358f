/** Failures are values with a reason inside: handle the ones you can help, and let the others pass. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { ApiVideo } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { sandbox } from "./support/server.ts"

const program = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo

  // Handles one reason. The others are still an ApiVideoError.
  yield* api
    .get("/videos?pageSize=1000")
    .pipe(
      Effect.catchReason("ApiVideoError", "BadRequest", ({ problem }) =>
        Console.log(`BadRequest: ${problem.name}: ${problem.title}`)
      )
    )

  // Replaces ApiVideoError with its reasons, which are then errors like any other.
  yield* api.get("/videos/vi0").pipe(
    Effect.unwrapReason("ApiVideoError"),
    Effect.catchTags({
      NotFound: ({ path }) => Console.log(`NotFound: ${path}`),
      RateLimited: ({ retryAfter }) => Console.log("RateLimited: again in", retryAfter)
    })
  )

  // Somebody deletes the key. The held token works until it expires; then an error says why it was not renewed.
  yield* ApiVideoSandbox.ApiVideoSandbox.use(({ removeKey }) => removeKey("your_api_key"))
  yield* Effect.sleep("2 seconds")
  yield* api
    .get("/videos")
    .pipe(
      Effect.catchReason("TokenError", "TokenExpired", ({ isRetryable, renewal }) =>
        Console.log(`TokenExpired: ${renewal?._tag}, ${isRetryable ? "try again" : "no use to try again"}`)
      )
    )
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(
    ApiVideoLive.pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provideMerge(sandbox({ accessTokenLifetime: "2 seconds" }))
    )
  ),
  NodeRuntime.runMain
)
