/** How a stream is cut into the parts of an upload. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Queue, Schema, Stream } from "effect"
import { type Piece, pieces, room } from "../../src/platform/shared/upload/source.ts"
import { checks } from "../support/random.ts"

const size = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))
const lengths = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })))

describe("the parts of a stream", () => {
  it.effect.prop(
    "have all its bytes in order, and the last one is marked",
    { size, lengths },
    ({ lengths, size }) =>
      Effect.gen(function* () {
        let next = 0
        const chunks = lengths.map((length) => Uint8Array.from({ length }, () => next++))
        const parts: Array<ReadonlyArray<number>> = []
        const marks: Array<boolean> = []
        yield* Stream.runForEach(pieces(Stream.fromIterable(chunks), size, 2), ({ content, isLast, release }) => {
          parts.push([...content.bytes])
          marks.push(isLast)
          // The next parts are in the same buffer.
          content.bytes.fill(255)
          return release
        })
        const bytes = Array.from({ length: next }, (_, value) => value % 256)
        const count = Math.ceil(bytes.length / size)
        assert.deepStrictEqual(
          parts,
          Array.from({ length: count }, (_, i) => bytes.slice(i * size, (i + 1) * size))
        )
        assert.deepStrictEqual(
          marks,
          Array.from({ length: count }, (_, i) => i === count - 1)
        )
      }),
    checks(200, { size: 12 })
  )

  it.effect("wait until a buffer is free, and have room for a frame", () =>
    Effect.gen(function* () {
      const out = yield* Queue.unbounded<Piece>()
      let read = 0
      const stream = Stream.range(1, 100).pipe(
        Stream.rechunk(1),
        Stream.map(() => {
          read++
          return new Uint8Array(5)
        })
      )
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(pieces(stream, 10, 3), (piece) => Queue.offer(out, piece))
      )
      const settle = Effect.repeat(Effect.yieldNow, { times: 200 })
      yield* settle
      // Two parts are in use, a third one is full, and one more chunk shows that it isn't the last.
      assert.deepStrictEqual([yield* Queue.size(out), read], [2, 7])
      const { content, release } = yield* Queue.take(out)
      assert.isAtLeast(content.bytes.byteOffset, room)
      assert.isAtLeast(content.bytes.buffer.byteLength, content.bytes.byteOffset + 10 + room)
      yield* release
      yield* settle
      assert.deepStrictEqual([yield* Queue.size(out), read], [2, 9])
      yield* Fiber.interrupt(fiber)
    })
  )
})
