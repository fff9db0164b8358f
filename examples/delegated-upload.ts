/** An upload by somebody without the key, in two parts: you give them an upload token. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Redacted, Schema } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import { sandbox } from "./support/server.ts"

// Everyone who has it can upload, so it is a secret like any other.
const UploadToken = Schema.Struct({ token: Schema.RedactedFromValue(Schema.String), ttl: Schema.Int })
const Video = Schema.Struct({ videoId: Schema.String, title: Schema.String })

const uploadToken = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const request = HttpClientRequest.post("/upload-tokens").pipe(HttpClientRequest.bodyJsonUnsafe({ ttl: 3600 }))
  return yield* Effect.flatMap(api.execute(request), HttpClientResponse.schemaBodyJson(UploadToken))
})

const uploadPart = Effect.fn("uploadPart")(function* (
  token: Redacted.Redacted,
  part: { readonly file: File; readonly range: string; readonly videoId?: string }
) {
  const api = yield* ApiVideo.ApiVideo
  const { file, range, videoId } = part
  // A request with an upload token carries no bearer token, and its 401 causes no renewal.
  const request = HttpClientRequest.post("/upload", { urlParams: { token } }).pipe(
    HttpClientRequest.setHeader("content-range", range),
    HttpClientRequest.bodyFormDataRecord(videoId === undefined ? { file } : { file, videoId })
  )
  return yield* Effect.flatMap(api.execute(request), HttpClientResponse.schemaBodyJson(Video))
})

const program = Effect.gen(function* () {
  const { token, ttl } = yield* uploadToken
  yield* Console.log("upload token:", token, `for ${ttl} s`)
  const film = new Uint8Array(1024)
  const first = yield* uploadPart(token, { file: new File([film.subarray(0, 700)], "film.mp4"), range: "part 1/2" })
  // Without the videoId of the first part, the second part would create another video.
  const { videoId } = first
  const last = yield* uploadPart(token, {
    file: new File([film.subarray(700)], "film.mp4"),
    range: "part 2/2",
    videoId
  })
  yield* Console.log(`two parts, ${last.videoId === videoId ? "one video" : "two videos"}: ${last.title}`)

  const wrong = uploadPart(Redacted.make("to0"), { file: new File([film], "film.mp4"), range: "part 1/1" })
  yield* Effect.catchReason(wrong, "ApiVideoError", "Unauthorized", ({ problem }) =>
    Console.log(`Unauthorized: ${problem.title}`)
  )
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(
    ApiVideoLive.pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      // The real server requires 5 MiB in every part except the last.
      Layer.provide(sandbox({ minimumPartSize: 0 }))
    )
  ),
  NodeRuntime.runMain
)
