/** A long upload that is read from disk while it is sent, with a token that outlives it. */
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Duration, Effect, FileSystem, Layer, Schema } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { ApiVideo, BearerClient } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { openAsBlob } from "node:fs"
import { sandbox } from "./support/server.ts"

const Video = Schema.Struct({ videoId: Schema.String })

const upload = Effect.fn("upload")(function* (path: string, title: string) {
  const api = yield* ApiVideo.ApiVideo
  const creation = HttpClientRequest.post("/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ title }))
  const { videoId } = yield* Effect.flatMap(api.execute(creation), HttpClientResponse.schemaBodyJson(Video))
  // Read in pieces while it is sent. Unlike a Stream, a Blob can be sent again after a 401.
  const file = yield* Effect.promise(() => openAsBlob(path))
  const source = HttpClientRequest.post(`/videos/${videoId}/source`).pipe(
    HttpClientRequest.bodyFormDataRecord({ file: new File([file], "film.mp4") })
  )
  // For this request only: a token that doesn't last that long is renewed before the first byte is sent.
  yield* Effect.provideService(api.execute(source), BearerClient.MinimumValidity, Duration.minutes(20))
  return file.size
})

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* fs.makeTempFileScoped()
  yield* fs.truncate(path, 16 * 1024 * 1024)

  // The held token lasts ten minutes, and later tokens last an hour.
  const { configure, ledger } = yield* ApiVideoSandbox.ApiVideoSandbox
  yield* configure({ accessTokenLifetime: "1 hour" })
  yield* Console.log(`uploaded ${(yield* upload(path, "Film")) >> 20} MiB`)
  for (const { credential, path } of (yield* ledger).entries.filter(({ method }) => method === "POST").slice(-3)) {
    yield* Console.log(`${path.replace(/vi[0-9a-f]{9,}/, "{videoId}")}: ${credential}`)
  }
}).pipe(Effect.scoped)

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(
    ApiVideoLive.pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provideMerge(sandbox({ accessTokenLifetime: "10 minutes" })),
      Layer.provideMerge(NodeServices.layer)
    )
  ),
  NodeRuntime.runMain
)
