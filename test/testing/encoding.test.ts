/** What becomes of a source on the sandbox while time passes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { ApiVideo, Captions, Summaries, Videos } from "effect-video-auth/api-video"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"

const Api = Layer.unwrap(
  Effect.map(ApiVideoSandbox.ApiVideoSandbox, ({ url }) =>
    ApiVideo.layerBasic({ apiKey: Redacted.make("your_api_key"), baseUrl: url, rateLimits: false, retry: false })
  )
).pipe(Layer.provide(FetchHttpClient.layer))

const test = <A, E>(
  name: string,
  options: ApiVideoSandbox.Options,
  body: Effect.Effect<A, E, ApiVideo.ApiVideo | ApiVideoSandbox.ApiVideoSandbox>
) =>
  it.effect(name, () =>
    Effect.provide(
      body,
      Layer.provideMerge(Api, ApiVideoSandbox.layer({ rateLimits: ApiVideoSandbox.noRateLimits, ...options }))
    )
  )

const file = new TextEncoder().encode("content")

/** Statuses of the qualities, each once, and whether the video can be played. */
const statusOf = (videoId: string) =>
  Effect.map(Videos.getStatus(videoId), ({ encoding, ingest }) => ({
    ingest: ingest?.status,
    qualities: [...new Set(encoding?.qualities?.map(({ status }) => status))],
    playable: encoding?.playable
  }))

/** Whether the size of the picture is known, and so on. */
const isMeasured = (videoId: string) =>
  Effect.map(Videos.getStatus(videoId), ({ encoding }) => encoding?.metadata?.width !== undefined)

describe("encoding", () => {
  test(
    "passes through waiting, encoding and encoded",
    { encodingTime: "7 seconds" },
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Maths" })
      assert.deepStrictEqual(yield* statusOf(videoId), { ingest: undefined, qualities: [], playable: false })
      yield* Videos.upload(videoId, file)
      const seen: Array<unknown> = []
      for (let second = 0; second <= 7; second++) {
        const { playable, qualities } = yield* statusOf(videoId)
        assert.strictEqual(yield* isMeasured(videoId), playable)
        seen.push([qualities, playable])
        yield* TestClock.adjust("1 second")
      }
      const during = [["encoded", "encoding", "waiting"], true]
      assert.deepStrictEqual(seen, [
        [["waiting"], false],
        [["encoding", "waiting"], false],
        during,
        during,
        during,
        during,
        [["encoded", "encoding"], true],
        [["encoded"], true]
      ])
    })
  )

  test(
    "begins once a source is ingested, without network",
    { encodingTime: "1 second", ingestTime: "10 seconds" },
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Maths", source: "https://unreachable.invalid/film.mp4" })
      assert.deepStrictEqual(yield* statusOf(videoId), { ingest: "ingesting", qualities: [], playable: false })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* statusOf(videoId), { ingest: "ingested", qualities: ["waiting"], playable: false })
      yield* TestClock.adjust("1 second")
      assert.isTrue((yield* statusOf(videoId)).playable)
      const copy = yield* Videos.create({ title: "Copy", source: videoId, clip: { startTimecode: "00:00:10" } })
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual((yield* Videos.getStatus(copy.videoId)).encoding?.metadata?.duration, 20)
      const { reason } = yield* Effect.flip(Videos.upload(copy.videoId, file))
      assert.include(JSON.stringify(reason), "video-source-already-copied")
    })
  )

  test(
    "fails on demand",
    { failsEncoding: true },
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Maths" })
      yield* Videos.upload(videoId, file)
      assert.deepStrictEqual(yield* statusOf(videoId), { ingest: "uploaded", qualities: ["failed"], playable: false })
    })
  )

  test(
    "captions and summaries are generated after it",
    { encodingTime: "1 minute" },
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Maths", transcript: true, transcriptSummary: true })
      const generated = Effect.all([
        Effect.map(Captions.list(videoId), ({ data }) => data.map(({ srclang }) => srclang)),
        Effect.map(Summaries.list({ videoId }), ({ data }) => data.map(({ sourceStatus }) => sourceStatus))
      ])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* generated, [[], ["waiting"]])
      yield* Videos.upload(videoId, file)
      yield* TestClock.adjust("119 seconds")
      assert.deepStrictEqual(yield* generated, [[], ["waiting"]])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* generated, [["en"], ["completed"]])
      assert.deepInclude(yield* Videos.get(videoId), { language: "en", languageOrigin: "auto" })
    })
  )
})
