/** For code that knows Promises and no Effect: a class around a `ManagedRuntime`. */
import { NodeHttpClient } from "@effect/platform-node"
import { Config, Effect, Layer, ManagedRuntime, Schema } from "effect"
import { HttpClientResponse } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import { server } from "./support/server.ts"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })

const listVideos = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const { data } = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Videos))
  return data.map(({ title }) => title)
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

/** One for the whole program. It holds the token and renews it until it is closed. */
class VideoClient {
  readonly #runtime = ManagedRuntime.make(
    ApiVideoLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(server))
  )

  list(signal?: AbortSignal): Promise<ReadonlyArray<string>> {
    return this.#runtime.runPromise(listVideos, { signal })
  }

  remove(videoId: string): Promise<void> {
    return this.#runtime.runPromise(Effect.asVoid(ApiVideo.ApiVideo.use((api) => api.del(`/videos/${videoId}`))))
  }

  close(): Promise<void> {
    return this.#runtime.dispose()
  }
}

const client = new VideoClient()
try {
  console.log("videos:", await client.list())
  await client.remove("vi0")
} catch (error) {
  // Rejections are the same errors, with their reasons.
  if (!(error instanceof ApiVideoError.ApiVideoError)) throw error
  console.log(`${error.reason._tag}: ${error.message}`)
} finally {
  // Without it the timer of the next renewal keeps the process alive.
  await client.close()
}
console.log("closed")
