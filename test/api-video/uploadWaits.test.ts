/** What an upload says while it waits, and that waiting does not count as a stall. */
import { assert, describe, it } from "@effect/vitest"
import { ByteSize, DateTime, Effect, Fiber, FileSystem, Layer, Option, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { ApiVideo, TokenService } from "effect-video-auth"
import { type UploadOptions, Uploads } from "effect-video-auth/api-video"

const content = new Uint8Array(1024).fill(7)

const info: FileSystem.File.Info = {
  type: "File",
  size: ByteSize.bytes(content.byteLength),
  mtime: Option.some(new Date(0)),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: 0n,
  ino: Option.none(),
  mode: 0,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  blksize: Option.none(),
  blocks: Option.none()
}

/** One file, in memory. */
const Files = FileSystem.layerNoop({
  stat: () => Effect.succeed(info),
  // It is opened only to see whether it can be read.
  open: () => Effect.succeed({} as FileSystem.File),
  access: () => Effect.void,
  stream: () => Stream.make(content)
})

/** Reads each body, and gives these responses to the requests for parts, or none; others succeed. */
const answering = (...responses: ReadonlyArray<(() => Response) | "silence">) => {
  const left = [...responses]
  return Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) =>
      Effect.gen(function* () {
        const { body } = request
        if (body._tag === "Stream") yield* Effect.orDie(Stream.runDrain(body.stream))
        const response = (url.pathname.endsWith("/source") ? left.shift() : undefined) ?? ok
        return response === "silence" ? yield* Effect.never : HttpClientResponse.fromWeb(request, response())
      })
    )
  )
}

/** Lets an upload come to where it waits for time: until then nothing here takes any. */
const underWay = Effect.forEach(Array.from({ length: 100 }), () => Effect.yieldNow, { discard: true })

const ok = () => Response.json({ videoId: "vi1" }, { status: 201 })
const refused = (status: number, seconds: number) => () =>
  Response.json({}, { status, headers: { "retry-after": String(seconds) } })

const sources = {
  "a path": (options: UploadOptions) => Uploads.events("video.mp4", options),
  "a Blob": (options: UploadOptions) => Uploads.events(new Blob([content]), options)
} as const

const responses: ReadonlyArray<readonly [status: number, reason: string, tags: ReadonlyArray<string>]> = [
  [429, "refused", ["Started", "Waiting", "Completed"]],
  [503, "retry", ["Started", "Retrying", "Waiting", "Completed"]]
]

describe("an upload that waits", () => {
  for (const [what, events] of Object.entries(sources)) {
    for (const [status, reason, tags] of responses) {
      it.effect(`says until when after a ${status}, and does not stall meanwhile (${what})`, () =>
        Effect.gen(function* () {
          const fiber = yield* events({ stallTimeout: "10 seconds" }).pipe(Stream.runCollect, Effect.forkChild)
          yield* underWay
          yield* TestClock.adjust("44 seconds")
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1 second")
          const seen = yield* Fiber.join(fiber)
          const seenTags = seen.map(({ _tag }): string => _tag)
          assert.deepEqual(
            seenTags.filter((tag) => tag !== "Progress"),
            [...tags]
          )
          const waiting: object | undefined = seen.find(({ _tag }) => _tag === "Waiting")
          assert.deepStrictEqual(waiting, { _tag: "Waiting", reason, until: DateTime.makeUnsafe(45_000) })
        }).pipe(
          Effect.provide(
            Layer.mergeAll(
              Files,
              ApiVideo.layerClient({ rateLimits: false }).pipe(
                Layer.provide(answering(refused(status, 45))),
                Layer.provide(TokenService.layerTest(["token"]))
              )
            )
          )
        )
      )
    }
  }

  it.effect("says so when the client keeps to the rate limit", () =>
    Effect.gen(function* () {
      const options = { chunkSize: 512, smallestChunk: 1 }
      const fiber = yield* Uploads.events(new Blob([content]), options).pipe(Stream.runCollect, Effect.forkChild)
      yield* TestClock.adjust("1 minute")
      const seen = yield* Fiber.join(fiber)
      assert.deepInclude(
        seen.find(({ _tag }) => _tag === "Waiting"),
        { reason: "limit", until: DateTime.makeUnsafe(60_000) }
      )
    }).pipe(
      Effect.provide(
        ApiVideo.layerClient({ rateLimits: { uploads: 1, writes: 100, reads: 100 } }).pipe(
          Layer.provide(answering()),
          Layer.provide(TokenService.layerTest(["token"]))
        )
      )
    )
  )
})

describe("an upload whose connection is dead when the machine wakes up", () => {
  const all = {
    ...sources,
    "a stream": (options: UploadOptions) => Uploads.events(Stream.make(content), options)
  } as const
  for (const [what, events] of Object.entries(all)) {
    it.effect(`is sent again (${what})`, () =>
      Effect.gen(function* () {
        const fiber = yield* events({ stallTimeout: "1 minute" }).pipe(Stream.runCollect, Effect.forkChild)
        yield* underWay
        yield* TestClock.adjust("59 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("8 hours")
        const seen = yield* Fiber.join(fiber)
        const retries = seen.filter(({ _tag }) => _tag === "Retrying")
        assert.strictEqual(retries.length, 1)
        assert.match(JSON.stringify(retries), /no byte was accepted/)
        assert.strictEqual(seen.at(-1)?._tag, "Completed")
      }).pipe(
        Effect.provide(
          Layer.mergeAll(
            Files,
            ApiVideo.layerClient({ rateLimits: false }).pipe(
              Layer.provide(answering("silence")),
              Layer.provide(TokenService.layerTest(["token"]))
            )
          )
        )
      )
    )
  }
})

describe("a stream", () => {
  it.effect("is read no further than a part for each concurrent upload, and one", () =>
    Effect.gen(function* () {
      let pulled = 0
      const stream = Stream.range(1, 100).pipe(
        Stream.rechunk(1),
        Stream.map(() => {
          pulled += 16
          return new Uint8Array(16)
        })
      )
      const options = { chunkSize: 64, smallestChunk: 1, concurrency: 2, stallTimeout: "1 hour" } as const
      const fiber = yield* Effect.forkChild(Uploads.upload(stream, options))
      yield* TestClock.adjust("1 second")
      // The chunk that didn't fit any more is in the stream's own hands.
      assert.isAtMost(pulled, 3 * 64 + 16)
      yield* Fiber.interrupt(fiber)
    }).pipe(
      Effect.provide(
        ApiVideo.layerClient({ rateLimits: false }).pipe(
          Layer.provide(
            Layer.succeed(
              HttpClient.HttpClient,
              HttpClient.make((request, url) =>
                url.pathname.endsWith("/source")
                  ? Effect.never
                  : Effect.succeed(HttpClientResponse.fromWeb(request, ok()))
              )
            )
          ),
          Layer.provide(TokenService.layerTest(["token"]))
        )
      )
    )
  )
})
