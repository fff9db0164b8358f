import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ApiVideo, Videos } from "effect-video-auth/api-video"

/** Answers with one status after the other, and counts the requests. */
const answering = (...statuses: ReadonlyArray<object>) => {
  let requests = 0
  return {
    requests: () => requests,
    layer: ApiVideo.layerTest({ respond: () => Response.json(statuses[Math.min(requests++, statuses.length - 1)]) })
  }
}

const waiting = { ingest: { status: "ingesting" }, encoding: { playable: false } }
const encoding = { encoding: { playable: false, qualities: [{ quality: "360p", status: "encoding" }] } }
const playable = {
  encoding: {
    playable: true,
    qualities: [
      { quality: "360p", status: "encoded" },
      { quality: "720p", status: "failed" }
    ]
  }
}

describe("Videos.waitUntilPlayable", () => {
  it.effect("asks every five seconds, until the video can be played", () => {
    const { layer, requests } = answering(waiting, encoding, playable)
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Videos.waitUntilPlayable("vi1"))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(requests(), 1)
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(requests(), 3)
      const status = yield* Fiber.join(fiber)
      assert.isTrue(status.encoding?.playable)
    }).pipe(Effect.provide(layer))
  })

  it.effect("emits each status that it sees", () => {
    const { layer } = answering(waiting, encoding, playable)
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Stream.runCollect(Videos.statuses("vi1", { every: "1 minute" })))
      yield* TestClock.adjust("2 minutes")
      const statuses = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        statuses.map(({ encoding }) => encoding?.playable),
        [false, false, true]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("fails once no quality can be encoded any more", () => {
    const { layer } = answering({ encoding: { playable: false, qualities: [{ quality: "360p", status: "failed" }] } })
    return Effect.gen(function* () {
      const error = yield* Effect.flip(Videos.waitUntilPlayable("vi1"))
      assert.strictEqual(error._tag, "EncodingFailed")
      assert.include(error.message, "vi1")
    }).pipe(Effect.provide(layer))
  })
})
