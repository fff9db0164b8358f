/** `TokenStoreRedis.layerLazy`, whose first caller may be interrupted at any step. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scheduler, Scope } from "effect"
import { Redis } from "effect/persistence"
import { TokenStoreRedis } from "effect-video-auth"
import { TestClock } from "effect/testing"
import { settled } from "../guarantees/engine.ts"
import { yieldingAt } from "../support/yielding.ts"

/** A client that is connected after a second. Every command fails with the number of the connection. */
const numbered = () => {
  let connections = 0
  return Layer.effect(
    Redis.Redis,
    Effect.gen(function* () {
      connections += 1
      const cause = connections
      yield* Effect.sleep("1 second")
      return yield* Redis.make({
        send: () => Effect.fail(new Redis.RedisError({ cause })),
        subscribe: () => Effect.never,
        connect: Effect.never
      })
    })
  )
}

const send = Redis.Redis.use((redis) => redis.send("PING"))

describe("layerLazy", () => {
  it.effect("connects once for later callers, at whatever step the first one is interrupted", () =>
    Effect.forEach(
      Array.from({ length: 80 }, (_, step) => step),
      (step) =>
        Effect.gen(function* () {
          const first = yield* Effect.forkChild(Effect.provideService(send, Scheduler.Scheduler, yieldingAt(step)))
          yield* Effect.yieldNow
          yield* Fiber.interrupt(first)
          const second = yield* Effect.forkChild(Effect.flip(send))
          yield* settled
          yield* TestClock.adjust("1 second")
          assert.strictEqual(second.pollUnsafe()?._tag, "Success", `step ${step}`)
          assert.strictEqual((yield* Fiber.join(second)).cause, 1, `step ${step}`)
        }).pipe(Effect.provide(TokenStoreRedis.layerLazy(numbered()))),
      { discard: true }
    )
  )

  it.effect("fails its callers when the scope closes while it connects", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const redis = yield* Layer.buildWithScope(TokenStoreRedis.layerLazy(numbered()), scope)
      const caller = yield* Effect.forkChild(Effect.exit(Effect.provideContext(send, redis)))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      yield* settled
      assert.isTrue(Exit.isFailure(yield* Fiber.join(caller)))
    })
  )
})
