/** Failures are values with a reason inside: handle those that you can help, and let the others pass. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { ApiVideo } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { sandbox } from "./support/server.ts"

const program = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo

  // One reason. The others are still an ApiVideoError.
  yield* api
    .get("/videos?pageSize=1000")
    .pipe(
      Effect.catchReason("ApiVideoError", "BadRequest", ({ problem }) =>
        Console.log(`BadRequest: ${problem.name}: ${problem.title}`)
      )
    )

  // All reasons in the place of ApiVideoError: from here on they are errors like any other.
  yield* api.get("/videos/vi0").pipe(
    Effect.unwrapReason("ApiVideoError"),
    Effect.catchTags({
      NotFound: ({ path }) => Console.log(`NotFound: ${path}`),
      RateLimited: ({ retryAfter }) => Console.log("RateLimited: again in", retryAfter)
    })
  )

  // Somebody deletes the key. The token at hand serves until it expires; then an error says why there is no newer one.
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

const ApiVideoLive = ApiVideo.layerConfig({
  apiKey: Config.Redacted("APIVIDEO_API_KEY"),
  baseUrl: Config.String("APIVIDEO_BASE_URL")
})

program.pipe(
  Effect.provide(
    ApiVideoLive.pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provideMerge(sandbox({ accessTokenLifetime: "2 seconds" }))
    )
  ),
  NodeRuntime.runMain
)
