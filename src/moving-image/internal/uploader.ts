/**
 * How movingimage takes a file: `POST …/videos` creates the video, `GET …/videos/{videoId}/url` says where its chunks go, and
 * each chunk is a `POST` there with its number (movingimage documentation, upload). The server cannot be asked which chunks it
 * has, so the journal keeps a list.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import { drain } from "../../platform/shared/body.ts"
import { isSecureOrigin } from "../../platform/shared/origin.ts"
import * as Engine from "../../platform/shared/upload/engine.ts"
import type { Range } from "../../platform/shared/upload/ranges.ts"
import { emitWaits, repeatedly, type Repetition, type Verdict } from "../../platform/shared/upload/repetition.ts"
import * as Session from "../../platform/shared/upload/session.ts"
import * as Settings from "../../platform/shared/upload/settings.ts"
import * as Sources from "../../platform/shared/upload/source.ts"
import { OnWaiting } from "../../platform/shared/waits.ts"
import { repeatable } from "../../platform/RequestBody.ts"
import * as UploadError from "../../platform/UploadError.ts"
import * as TokenError from "../../token/TokenError.ts"
import { type ClientError, MovingImage } from "../MovingImage.ts"
import * as MovingImageError from "../MovingImageError.ts"
import type { UploadedVideo, UploadEvent, UploadFailure, UploadOptions } from "../Upload.ts"

export type Source = string | Blob | Uint8Array

const mebibyte = 1024 * 1024

/** Chunks have 2 to 10 MB (movingimage documentation, upload). */
const limits: Settings.Limits = {
  smallest: 2 * mebibyte,
  largest: 10_000_000,
  usual: 8 * mebibyte,
  mostParts: Number.POSITIVE_INFINITY
}

const unsupported = (what: string, advice: string): Effect.Effect<never, UploadError.UploadError> =>
  Sources.failWith(new UploadError.Unsupported({ platform: "movingimage", what, advice }))

const isTransient = (error: ClientError): boolean =>
  error instanceof MovingImageError.MovingImageError || error instanceof TokenError.TokenError
    ? error.isRetryable
    : HttpClientError.isHttpClientError(error) && error.reason._tag === "TransportError"

const judge = (error: UploadFailure): Verdict =>
  !(error instanceof UploadError.UploadError) && isTransient(error)
    ? { _tag: "Again", after: "retryAfter" in error ? error.retryAfter : undefined }
    : { _tag: "Fatal" }

const locationOf = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<string> =>
  Effect.as(drain(response), response.headers["location"] ?? "")

/** Creates the video. Its response is not asked for twice: a video whose creation was not acknowledged cannot be found. */
const create = (options: UploadOptions, fileName: string): Effect.Effect<string, UploadFailure, MovingImage> =>
  Effect.gen(function* () {
    const { autoPublish, description, keywords, title, videoManager } = options
    const request = HttpClientRequest.post(`/v1/vms/${videoManager}/videos`).pipe(
      HttpClientRequest.bodyJsonUnsafe({ fileName, title, description, keywords, autoPublish })
    )
    const location = yield* MovingImage.use((api) => Effect.flatMap(api.execute(request), locationOf))
    const id = /\/videos\/([^/?#]+)$/.exec(location)?.[1]
    return id ?? (yield* unsupported("a new video without an id in Location", "Check baseUrl and videoManager"))
  })

/** Where chunks go: a URL with a token of its own, which is valid for four hours. */
const findUrl = (videoManager: number, videoId: string): Effect.Effect<Redacted.Redacted, UploadFailure, MovingImage> =>
  Effect.gen(function* () {
    const path = `/v1/vms/${videoManager}/videos/${encodeURIComponent(videoId)}/url`
    const location = yield* MovingImage.use((api) => Effect.flatMap(api.get(path), locationOf))
    const isDocumented =
      isSecureOrigin(location) && /^[^?#]*\/chunks\/[^?#]+\?/.test(location) && /[?&]__token__=/.test(location)
    return isDocumented
      ? Redacted.make(location, { label: "upload URL" })
      : yield* unsupported("an upload URL that is not as documented", "Check baseUrl and videoManager")
  })

/** A chunk is at most 10 MB, so a part of a Blob is sent as bytes, which every transport can send and repeat. */
const bodyOf = (
  content: Engine.Part["content"],
  source: string
): Effect.Effect<HttpBody.HttpBody, UploadError.UploadError> => {
  const type = "application/octet-stream"
  switch (content._tag) {
    case "Stream":
      return Effect.succeed(repeatable(HttpBody.stream(content.stream, type, content.size)))
    case "Bytes":
      return Effect.succeed(HttpBody.uint8Array(content.bytes, type))
    case "Blob":
      return Effect.map(
        Effect.tryPromise({
          try: () => content.blob.arrayBuffer(),
          // A picked file that was deleted or changed since cannot be read any more.
          catch: () =>
            new UploadError.UploadError({ reason: new UploadError.SourceUnusable({ source, problem: "unreadable" }) })
        }),
        (bytes) => HttpBody.uint8Array(new Uint8Array(bytes), type)
      )
  }
}

/** Chunks of one video. */
const videoDestination = (
  { videoManager }: UploadOptions,
  videoId: string,
  source: Sources.Source,
  chunkSize: number,
  repetition: Repetition
): Engine.Destination<void, UploadFailure, MovingImage> => {
  let held: { readonly url: Redacted.Redacted; wasAccepted: boolean } | undefined
  const find = findUrl(videoManager, videoId)
  const hold = repeatedly(judge, find, find, repetition).pipe(
    Effect.map((url) => (held ??= { url, wasAccepted: false }))
  )
  const current = Effect.suspend(() => (held === undefined ? hold : Effect.succeed(held)))
  return {
    judge,
    received: undefined,
    send: ({ content, place }) =>
      Effect.gen(function* () {
        if (place._tag === "Number") {
          return yield* unsupported("a stream of unknown length", "Write it to a file, and upload that")
        }
        const body = yield* bodyOf(content, source.place)
        const attempt = (url: Redacted.Redacted) =>
          HttpClientRequest.post(Redacted.value(url)).pipe(
            HttpClientRequest.setHeaders({
              "mi24-upload-total-chunks": String(Math.ceil(place.total / chunkSize)),
              "mi24-upload-current-chunk": String(place.range.from / chunkSize + 1)
            }),
            HttpClientRequest.setBody(body),
            (request) => MovingImage.use((api) => Effect.flatMap(api.execute(request), (response) => drain(response)))
          )
        const target = yield* current
        const isExpired = (error: ClientError) =>
          target.wasAccepted &&
          error instanceof MovingImageError.MovingImageError &&
          (error.reason._tag === "Unauthorized" || error.reason._tag === "Forbidden")
        yield* Effect.catchIf(attempt(target.url), isExpired, () =>
          Effect.suspend(() => {
            // Another chunk may have found the new URL meanwhile.
            if (held === target) held = undefined
            return Effect.flatMap(current, ({ url }) => attempt(url))
          })
        )
        target.wasAccepted = true
      })
  }
}

export const run = (
  source: Source,
  options: UploadOptions,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<UploadedVideo, UploadFailure, MovingImage | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (typeof source !== "string" && !(source instanceof Blob) && !(source instanceof Uint8Array)) {
      return yield* unsupported("a stream of unknown length", "Write it to a file, and upload that")
    }
    if ("uploadToken" in options) {
      return yield* unsupported("an upload token", "Upload with the client's credential")
    }
    const { videoManager } = options
    if (!Number.isSafeInteger(videoManager) || videoManager < 1) {
      return yield* Settings.refuse("videoManager", "expected the id of a VideoManager")
    }
    const settings = yield* Settings.resolve(options, limits)
    const file = yield* Sources.fromInput(source, options.filename)
    const { filename } = file
    const session = yield* Session.open(file, options, {
      platform: "movingimage",
      target: [String(videoManager), options.videoId ?? ""],
      chunkSize: settings.chunkSize
    })
    const { entry, forget, remember } = session
    yield* emit({ _tag: "Started", filename, total: file.fingerprint.size })
    const videoId = options.videoId ?? entry().videoId ?? (yield* create(options, filename))
    if (entry().videoId !== videoId) yield* remember({ videoId })
    // Chunks are numbered, so those of another run count only in its size.
    const { chunkSize, received } = entry()
    const destination = videoDestination(options, videoId, file, chunkSize, { retry: settings.retry, emit })
    const note = (range: Range) => remember({ received: [...entry().received, range] })
    const cut = { chunkSize, smallest: settings.smallest }
    yield* Engine.sendFile(destination, file, { cut, received, note }, { ...settings, emit }).pipe(
      Session.advising(file, options, () => "Without a journal, it begins again")
    )
    yield* forget
    return { videoId }
  }).pipe(Effect.provideService(OnWaiting, emitWaits(emit)))
