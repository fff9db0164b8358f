/** Answers for the examples of typed operations, unless `APIVIDEO_API_KEY` is set: then api.video's sandbox answers. */
import { NodeHttpClient } from "@effect/platform-node"
import { Config, Effect, Layer, Option } from "effect"
import { ApiVideo } from "effect-video-auth/api-video"

export const answeredBy = (operations: ApiVideo.Operations) =>
  Layer.unwrap(
    Effect.map(Config.option(Config.Redacted("APIVIDEO_API_KEY")), (key) =>
      Option.isSome(key)
        ? ApiVideo.layer({ apiKey: key.value, environment: "sandbox" }).pipe(Layer.provide(NodeHttpClient.layerUndici))
        : ApiVideo.layerTest({ operations })
    )
  )
