/** How api.video takes a file: by whose credential, for which video, and what its errors mean for the upload. */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Redacted from "effect/Redacted"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Engine from "../../platform/shared/upload/engine.ts"
import type { Range } from "../../platform/shared/upload/ranges.ts"
import * as Sources from "../../platform/shared/upload/source.ts"
import { emitWaits, type Repetition, repeatedly, type Verdict } from "../../platform/shared/upload/repetition.ts"
import * as Session from "../../platform/shared/upload/session.ts"
import * as Settings from "../../platform/shared/upload/settings.ts"
import { OnWaiting } from "../../platform/shared/waits.ts"
import * as UploadError from "../../platform/UploadError.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { ApiVideo, ClientError } from "../ApiVideoClient.ts"
import * as ApiVideoError from "../ApiVideoError.ts"
import * as UploadFile from "../UploadFile.ts"
import type { UploadEvent, UploadFailure, UploadOptions } from "../Upload.ts"
import type { Video, VideoCreation } from "../Video.ts"
import * as Videos from "../Videos.ts"
import { fileInPlace } from "./form.ts"

export type Source<E, R> = string | Blob | Uint8Array | Stream.Stream<Uint8Array, E, R>

const mebibyte = 1024 * 1024

/** Sizes from the api.video documentation, progressive upload. */
const limits: Settings.Limits = {
  smallest: 5 * mebibyte,
  largest: 128 * mebibyte,
  usual: 50 * mebibyte,
  // `video-content-range-by-part-part-too-high-allowed` (api.video documentation, upload errors).
  mostParts: 10_000
}

/** Metadata of videos that were created for an upload, by which one is found whose creation was not acknowledged. */
const uploadKey = "effect-video-auth-upload"

const isStream = <E, R>(source: Source<E, R>): source is Stream.Stream<Uint8Array, E, R> => Stream.isStream(source)

/** Slugs that say that the server has the part: the response to an earlier request was lost. */
const present = /(range-overlap|part-already-sent|video-source-already-uploaded)$/

const isTransient = (error: ClientError): boolean =>
  error instanceof ApiVideoError.ApiVideoError || error instanceof TokenError.TokenError
    ? error.isRetryable
    : HttpClientError.isHttpClientError(error) && error.reason._tag === "TransportError"

const judge = (error: ClientError): Verdict => {
  const problem =
    error instanceof ApiVideoError.ApiVideoError && "problem" in error.reason ? error.reason.problem : undefined
  if (problem?.type !== undefined && present.test(problem.type)) return { _tag: "Present" }
  if (!isTransient(error)) return { _tag: "Fatal" }
  return { _tag: "Again", after: "retryAfter" in error ? error.retryAfter : undefined }
}

/** Checks what only api.video's uploads have, beside what all have. */
const resolveOptions = (
  options: UploadOptions,
  isOfKnownSize: boolean
): Effect.Effect<Settings.Settings, UploadError.UploadError> => {
  if (options.videoId !== undefined && options.uploadToken !== undefined) {
    return Settings.refuse("videoId", "an upload token creates a video of its own. Give one of the two")
  }
  if (!isOfKnownSize && options.journal !== undefined) {
    return Settings.refuse(
      "journal",
      "a stream cannot be read again after a crash. Upload a path, or leave the journal out"
    )
  }
  return Settings.resolve(options, isOfKnownSize ? limits : { ...limits, usual: 8 * mebibyte })
}

/** The fields of a new video. */
const creationOf = (options: UploadOptions, filename: string, uploadId: string): VideoCreation => {
  const {
    chunkSize: _chunkSize,
    concurrency: _concurrency,
    filename: _filename,
    journal: _journal,
    metadata = [],
    retry: _retry,
    smallestChunk: _smallestChunk,
    stallTimeout: _stallTimeout,
    title,
    uploadToken: _uploadToken,
    verify: _verify,
    videoId: _videoId,
    ...fields
  } = options
  return {
    ...fields,
    title: title ?? filename.replace(/(.)\.[^.]*$/, "$1"),
    metadata: [...metadata, { key: uploadKey, value: uploadId }]
  }
}

/** Repeats a request that may be repeated after a transient failure. */
const patiently = <A>(
  request: Effect.Effect<A, ClientError, ApiVideo>,
  repetition: Repetition
): Effect.Effect<A, ClientError, ApiVideo> => repeatedly(judge, request, request, repetition)

/** Creates the video of an upload, or finds the one that an earlier request created. */
const createOrFind = (
  creation: VideoCreation,
  uploadId: string,
  mayExist: boolean,
  repetition: Repetition
): Effect.Effect<Video, ClientError, ApiVideo> => {
  let isFirst = !mayExist
  const find = Effect.map(Videos.list({ metadata: { [uploadKey]: uploadId } }), ({ data }) =>
    // A server that ignores the filter would return other videos.
    data.find(({ metadata }) => metadata?.some(({ key, value }) => key === uploadKey && value === uploadId) === true)
  )
  return patiently(
    Effect.suspend(() => {
      if (isFirst) {
        isFirst = false
        return Videos.create(creation)
      }
      return Effect.flatMap(find, (found) => (found === undefined ? Videos.create(creation) : Effect.succeed(found)))
    }),
    repetition
  )
}

const fileOf = (content: Engine.Part["content"], name: string): UploadFile.Input => {
  switch (content._tag) {
    case "Blob":
      return new File([content.blob], name, { type: content.blob.type })
    case "Bytes":
      return fileInPlace(content.bytes, Sources.room, name)
    case "Stream":
      return UploadFile.fromStream(content.stream, { name, size: content.size, isRepeatable: true })
  }
}

const rangeOf = (place: Engine.Part["place"]) =>
  place._tag === "Bytes"
    ? { from: place.range.from, to: place.range.to - 1, total: place.total }
    : { part: place.number, total: place.total }

/** Whether a part is all there is. Small files need no range, and one without is accepted whatever their size. */
const isWhole = (place: Engine.Part["place"]): boolean =>
  place._tag === "Bytes" ? place.range.to - place.range.from === place.total : place.number === 1 && place.total === 1

const optionsOf = (place: Engine.Part["place"]) => (isWhole(place) ? {} : { range: rangeOf(place) })

/** What the server has of a source, by its status. */
const receivedOf = (videoId: string, total: number): Effect.Effect<ReadonlyArray<Range>, ClientError, ApiVideo> =>
  Effect.map(Videos.getStatus(videoId), ({ ingest }) =>
    ingest?.status !== undefined && ingest.status !== "uploading"
      ? [{ from: 0, to: total }]
      : (ingest?.receivedBytes ?? []).flatMap(({ from, to }) =>
          from === undefined || to === undefined ? [] : [{ from, to: to + 1 }]
        )
  )

/** Parts of a video that the credential of the client may upload. */
const videoDestination = (
  videoId: string,
  filename: string,
  total: number | undefined
): Engine.Destination<Video, ClientError, ApiVideo> => ({
  judge,
  received: total === undefined ? undefined : receivedOf(videoId, total),
  send: ({ content, place }) => Videos.upload(videoId, fileOf(content, filename), optionsOf(place))
})

/** Parts that an upload token may upload. The first response says which video they are for. */
const uploadTokenDestination = (
  token: Redacted.Redacted | string,
  filename: string,
  known: string | undefined,
  created: (videoId: string) => Effect.Effect<void, UploadError.UploadError>
): Effect.Effect<Engine.Destination<Video, UploadFailure, ApiVideo>> =>
  Effect.sync(() => {
    let videoId = known
    // Parts without a videoId create a video each, so the first one goes alone.
    const first = Semaphore.makeUnsafe(1)
    const send = ({ content, place }: Engine.Part) =>
      Videos.uploadWithUploadToken(token, fileOf(content, filename), { videoId, ...optionsOf(place) })
    return {
      judge: (error) => (error instanceof UploadError.UploadError ? { _tag: "Fatal" } : judge(error)),
      received: undefined,
      send: (part) =>
        Effect.suspend(() =>
          videoId !== undefined
            ? send(part)
            : first.withPermits(1)(
                Effect.suspend(() =>
                  videoId !== undefined
                    ? send(part)
                    : Effect.tap(send(part), (video) => {
                        videoId = video.videoId
                        return created(video.videoId)
                      })
                )
              )
        )
    }
  })

/** What a file is uploaded to, by which the journal finds it. */
const targetOf = ({ uploadToken = "", videoId = "" }: UploadOptions): ReadonlyArray<string> => [
  videoId,
  Redacted.isRedacted(uploadToken) ? Redacted.value(uploadToken) : uploadToken
]

/** Uploads a source whose size is known. */
const runFile = (
  source: Sources.Source,
  options: UploadOptions,
  settings: Settings.Settings,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure, ApiVideo> =>
  Effect.gen(function* () {
    const { filename, fingerprint } = source
    const total = fingerprint.size
    const { chunkSize, smallest } = settings
    yield* Settings.checkParts(total, settings)
    const session = yield* Session.open(source, options, {
      platform: "api.video",
      target: targetOf(options),
      chunkSize
    })
    const { entry, forget, remember } = session
    yield* emit({ _tag: "Started", filename, total })

    if (options.uploadToken !== undefined) {
      const destination = yield* uploadTokenDestination(options.uploadToken, filename, entry().videoId, (videoId) =>
        remember({ videoId })
      )
      const { chunkSize, received } = entry()
      const note = (range: Range) => remember({ received: [...entry().received, range] })
      const start = { cut: { chunkSize, smallest }, received, note }
      const video = yield* Engine.sendFile(destination, source, start, { ...settings, emit }).pipe(
        Session.advising(source, options, () => "Without a journal, it begins again")
      )
      yield* forget
      if (video !== undefined) return video
      // Every part had arrived before: with an upload token, the server cannot be asked for the video.
      const { videoId } = entry()
      return videoId === undefined ? yield* Effect.die("an upload without a part") : { videoId }
    }

    return yield* toOwnVideo(session, source, options, settings, emit)
  })

/** Whether a video exists. Someone may have deleted it since an upload to it was interrupted. */
const exists = (videoId: string): Effect.Effect<boolean, ClientError, ApiVideo> =>
  Videos.getStatus(videoId).pipe(
    Effect.as(true),
    Effect.catchReason("ApiVideoError", "NotFound", () => Effect.succeed(false))
  )

/** Uploads to a video that the client's credential may write. */
const toOwnVideo = (
  { entry, forget, isResumed, remember, restart }: Session.Session,
  source: Sources.Source,
  options: UploadOptions,
  settings: Settings.Settings,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure, ApiVideo> =>
  Effect.gen(function* () {
    const { filename, fingerprint } = source
    const total = fingerprint.size
    const { chunkSize, smallest } = settings
    const repetition = { retry: settings.retry, emit }
    const { videoId: earlier } = entry()
    if (options.videoId === undefined && earlier !== undefined && !(yield* patiently(exists(earlier), repetition))) {
      yield* restart
    }
    const { uploadId } = entry()
    const creation = creationOf(options, filename, uploadId)
    const videoId =
      options.videoId ?? entry().videoId ?? (yield* createOrFind(creation, uploadId, isResumed, repetition)).videoId
    if (options.videoId !== undefined && !isResumed) {
      const [whole] = yield* patiently(receivedOf(videoId, total), repetition)
      if (whole?.to === total && whole.from === 0) {
        yield* forget
        return yield* Sources.failWith(new UploadError.AlreadyUploaded({ videoId }))
      }
    }
    if (entry().videoId !== videoId) yield* remember({ videoId })
    const destination = {
      ...videoDestination(videoId, filename, total),
      received: patiently(receivedOf(videoId, total), repetition)
    }
    const start = { cut: { chunkSize, smallest }, received: [], note: () => Effect.void }
    const video = yield* Engine.sendFile(destination, source, start, { ...settings, emit }).pipe(
      Session.advising(source, options, () => `Run it again with videoId: "${videoId}" to go on`)
    )
    const result = video ?? (yield* patiently(Videos.get(videoId), repetition))
    yield* forget
    return result
  })

/** Uploads a stream. */
const runStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  options: UploadOptions,
  settings: Settings.Settings,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure | E, ApiVideo | R> =>
  Effect.gen(function* () {
    const { chunkSize } = settings
    const repetition = { retry: settings.retry, emit }
    const { filename = "video.mp4", uploadToken } = options
    yield* emit({ _tag: "Started", filename, total: undefined })
    const send = <E1 extends UploadFailure>(destination: Engine.Destination<Video, E1, ApiVideo>) =>
      Engine.sendStream(destination, stream, filename, chunkSize, { ...settings, emit })
    const empty = Sources.failWith(new UploadError.SourceUnusable({ source: filename, problem: "empty" }))
    if (uploadToken !== undefined) {
      return (
        (yield* send(yield* uploadTokenDestination(uploadToken, filename, undefined, () => Effect.void))) ??
        (yield* empty)
      )
    }
    const uploadId = SecureRandom.uuidV4Unsafe()
    const creation = creationOf(options, filename, uploadId)
    const videoId = options.videoId ?? (yield* createOrFind(creation, uploadId, false, repetition)).videoId
    return (
      (yield* send(videoDestination(videoId, filename, undefined))) ??
      (yield* patiently(Videos.get(videoId), repetition))
    )
  })

export const run = <E, R>(
  source: Source<E, R>,
  options: UploadOptions,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure | E, ApiVideo | FileSystem.FileSystem | R> => {
  const upload: Effect.Effect<Video, UploadFailure | E, ApiVideo | FileSystem.FileSystem | R> = isStream(source)
    ? Effect.flatMap(resolveOptions(options, false), (settings) => runStream(source, options, settings, emit))
    : Effect.gen(function* () {
        const settings = yield* resolveOptions(options, true)
        return yield* runFile(yield* Sources.fromInput(source, options.filename), options, settings, emit)
      })
  return Effect.provideService(upload, OnWaiting, emitWaits(emit))
}
