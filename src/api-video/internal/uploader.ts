/** How api.video takes a file: by whose credential, for which video, and what its errors mean for the upload. */
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Engine from "../../platform/shared/upload/engine.ts"
import * as Journal from "../../platform/shared/upload/journal.ts"
import type { Range } from "../../platform/shared/upload/ranges.ts"
import * as Sources from "../../platform/shared/upload/source.ts"
import { emitWaits, type Repetition, repeatedly, type Verdict } from "../../platform/shared/upload/repetition.ts"
import { OnWaiting } from "../../platform/shared/waits.ts"
import * as UploadError from "../../platform/UploadError.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { ApiVideo, ClientError } from "../ApiVideoClient.ts"
import * as ApiVideoError from "../ApiVideoError.ts"
import * as UploadFile from "../UploadFile.ts"
import type { UploadEvent, UploadFailure, UploadOptions } from "../Upload.ts"
import type { Video, VideoCreation } from "../Video.ts"
import * as Videos from "../Videos.ts"

export type Source<E, R> = string | Blob | Uint8Array | Stream.Stream<Uint8Array, E, R>

const mebibyte = 1024 * 1024
/** Smallest part but the last (api.video documentation, progressive upload). */
const smallestChunk = 5 * mebibyte
const largestChunk = 128 * mebibyte
/** `video-content-range-by-part-part-too-high-allowed` (api.video documentation, upload errors). */
const mostParts = 10_000

/** Metadata of videos that were created for an upload, by which one is found whose creation was not acknowledged. */
const uploadKey = "effect-video-auth-upload"

const isStream = <E, R>(source: Source<E, R>): source is Stream.Stream<Uint8Array, E, R> => Stream.isStream(source)

const defaultRetry = Schedule.exponential("500 millis").pipe(
  Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.seconds(30)))),
  Schedule.jittered,
  Schedule.upTo({ times: 10 })
)

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

/** Options after their defaults and checks. */
const settle = (options: UploadOptions, isOfKnownSize: boolean): Effect.Effect<Settled, UploadError.UploadError> => {
  const smallest = options.smallestChunk ?? smallestChunk
  const { chunkSize = isOfKnownSize ? 50 * mebibyte : 8 * mebibyte, concurrency = 1 } = options
  const refuse = (option: string, problem: string) =>
    Sources.failWith(new UploadError.OptionInvalid({ option, problem }))
  if (!(chunkSize >= smallest && chunkSize <= largestChunk)) {
    return refuse("chunkSize", `expected ${smallest} to ${largestChunk} bytes, which are 128 MiB`)
  }
  if (!Number.isInteger(concurrency) || concurrency < 1) return refuse("concurrency", "expected a whole number from 1")
  if (options.videoId !== undefined && options.uploadToken !== undefined) {
    return refuse("videoId", "an upload token creates a video of its own. Give one of the two")
  }
  if (!isOfKnownSize && options.journal !== undefined) {
    return refuse("journal", "a stream cannot be read again after a crash. Upload a path, or leave the journal out")
  }
  return Effect.succeed({
    smallest,
    chunkSize: Math.floor(chunkSize),
    concurrency,
    stallTimeout: Duration.toMillis(Duration.fromInputUnsafe(options.stallTimeout ?? "1 minute")),
    retry: options.retry ?? defaultRetry
  })
}

interface Settled {
  readonly smallest: number
  readonly chunkSize: number
  readonly concurrency: number
  readonly stallTimeout: number
  readonly retry: Schedule.Schedule<unknown, unknown>
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

const fileOf = (content: Engine.Part["content"], name: string): UploadFile.Input =>
  content._tag === "Blob"
    ? new File([content.blob], name, { type: content.blob.type })
    : UploadFile.fromStream(content.stream, { name, size: content.size, isRepeatable: true })

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
const toVideo = (
  videoId: string,
  filename: string,
  total: number | undefined
): Engine.Destination<Video, ClientError, ApiVideo> => ({
  judge,
  received: total === undefined ? undefined : receivedOf(videoId, total),
  send: ({ content, place }) => Videos.upload(videoId, fileOf(content, filename), optionsOf(place))
})

/** Parts that an upload token may upload. The first response says which video they are for. */
const byToken = (
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

const sourceOf = <E, R>(source: Exclude<Source<E, R>, Stream.Stream<Uint8Array, E, R>>, filename: string | undefined) =>
  typeof source === "string"
    ? Sources.fromPath(source, filename)
    : source instanceof Blob
      ? Sources.fromBlob(
          source,
          filename ?? ("name" in source && typeof source.name === "string" ? source.name : "video.mp4")
        )
      : Sources.fromBlob(new Blob([source.slice()]), filename ?? "video.mp4")

/** Names the entry of an upload in the journal: its file, and what it is uploaded to. Upload tokens are secrets. */
const keyOf = ({ place }: Sources.Source, { uploadToken = "", videoId = "" }: UploadOptions): Effect.Effect<string> => {
  const token = Redacted.isRedacted(uploadToken) ? Redacted.value(uploadToken) : uploadToken
  const text = new TextEncoder().encode(["api.video", place, videoId, token].join("\n"))
  return Digest.Digest.use(({ digestHex }) => digestHex(Digest.sha256, text)).pipe(
    Effect.provide(Digest.layerWebCrypto)
  )
}

/** Fails if a file is not the one that the journal remembers. */
const checkUnchanged = (
  { fingerprint: { modifiedAt, size }, place: source }: Sources.Source,
  entry: Journal.Entry,
  hash: string | undefined
): Effect.Effect<void, UploadError.UploadError> => {
  const changed = (what: UploadError.SourceChanged["what"]) =>
    Sources.failWith(new UploadError.SourceChanged({ source, what }))
  if (entry.size !== size) return changed("size")
  // With a hash, a file that was only copied or touched is still the same.
  if (hash !== undefined && entry.hash !== undefined) return hash === entry.hash ? Effect.void : changed("content")
  return entry.modifiedAt === modifiedAt ? Effect.void : changed("modification time")
}

/** Uploads a source whose size is known. */
const runFile = (
  source: Sources.Source,
  options: UploadOptions,
  settled: Settled,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure, ApiVideo> =>
  Effect.gen(function* () {
    const { filename, fingerprint } = source
    const total = fingerprint.size
    const { chunkSize, smallest } = settled
    const repetition = { retry: settled.retry, emit }
    if (Math.ceil(total / chunkSize) > mostParts) {
      return yield* Sources.failWith(
        new UploadError.OptionInvalid({
          option: "chunkSize",
          problem: `the file has more than ${mostParts} parts of it`
        })
      )
    }
    const journal =
      options.journal === undefined ? Journal.none : Journal.make(options.journal, yield* keyOf(source, options))
    const hash = options.verify === "hash" && options.journal !== undefined ? yield* source.hash : undefined
    const earlier = yield* journal.read
    if (earlier !== undefined) yield* checkUnchanged(source, earlier, hash)
    let entry: Journal.Entry = earlier ?? {
      size: total,
      uploadId: crypto.randomUUID(),
      received: [],
      ...(fingerprint.modifiedAt !== undefined && { modifiedAt: fingerprint.modifiedAt }),
      ...(hash !== undefined && { hash })
    }
    const remember = (changes: Partial<Journal.Entry>) =>
      Effect.suspend(() => {
        entry = { ...entry, ...changes }
        return journal.write(entry)
      })
    // Before the first byte: a video that is created next is found again.
    if (earlier === undefined) yield* journal.write(entry)
    yield* emit({ _tag: "Started", filename, total })

    const start = { cut: { chunkSize, smallest }, received: entry.received }
    if (options.uploadToken !== undefined) {
      const destination = yield* byToken(options.uploadToken, filename, entry.videoId, (videoId) =>
        remember({ videoId })
      )
      const note = (range: Range) => remember({ received: [...entry.received, range] })
      const video = yield* Engine.sendFile(destination, source, { ...start, note }, { ...settled, emit })
      yield* journal.remove
      if (video !== undefined) return video
      // Every part had arrived before: with an upload token, the server cannot be asked for the video.
      const { videoId } = entry
      return videoId === undefined ? yield* Effect.die("an upload without a part") : { videoId }
    }

    const creation = creationOf(options, filename, entry.uploadId)
    const videoId =
      options.videoId ??
      entry.videoId ??
      (yield* createOrFind(creation, entry.uploadId, earlier !== undefined, repetition)).videoId
    if (options.videoId !== undefined && earlier === undefined) {
      const [whole] = yield* patiently(receivedOf(videoId, total), repetition)
      if (whole?.to === total && whole.from === 0) {
        yield* journal.remove
        return yield* Sources.failWith(new UploadError.AlreadyUploaded({ videoId }))
      }
    }
    if (entry.videoId !== videoId) yield* remember({ videoId })
    const destination = toVideo(videoId, filename, total)
    const received = patiently(receivedOf(videoId, total), repetition)
    const video = yield* Engine.sendFile(
      { ...destination, received },
      source,
      { ...start, note: () => Effect.void },
      { ...settled, emit }
    )
    const result = video ?? (yield* patiently(Videos.get(videoId), repetition))
    yield* journal.remove
    return result
  })

/** Uploads a stream. */
const runStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  options: UploadOptions,
  settled: Settled,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure | E, ApiVideo | R> =>
  Effect.gen(function* () {
    const { chunkSize } = settled
    const repetition = { retry: settled.retry, emit }
    const { filename = "video.mp4", uploadToken } = options
    yield* emit({ _tag: "Started", filename, total: undefined })
    const send = <E1 extends UploadFailure>(destination: Engine.Destination<Video, E1, ApiVideo>) =>
      Engine.sendStream(destination, stream, filename, chunkSize, { ...settled, emit })
    const empty = Sources.failWith(new UploadError.SourceUnusable({ source: filename, problem: "empty" }))
    if (uploadToken !== undefined) {
      return (yield* send(yield* byToken(uploadToken, filename, undefined, () => Effect.void))) ?? (yield* empty)
    }
    const uploadId = crypto.randomUUID()
    const creation = creationOf(options, filename, uploadId)
    const videoId = options.videoId ?? (yield* createOrFind(creation, uploadId, false, repetition)).videoId
    return (yield* send(toVideo(videoId, filename, undefined))) ?? (yield* patiently(Videos.get(videoId), repetition))
  })

export const run = <E, R>(
  source: Source<E, R>,
  options: UploadOptions,
  emit: (event: UploadEvent) => Effect.Effect<void>
): Effect.Effect<Video, UploadFailure | E, ApiVideo | FileSystem.FileSystem | R> => {
  const upload: Effect.Effect<Video, UploadFailure | E, ApiVideo | FileSystem.FileSystem | R> = isStream(source)
    ? Effect.flatMap(settle(options, false), (settled) => runStream(source, options, settled, emit))
    : Effect.gen(function* () {
        const settled = yield* settle(options, true)
        return yield* runFile(yield* sourceOf(source, options.filename), options, settled, emit)
      })
  return Effect.provideService(upload, OnWaiting, emitWaits(emit))
}
