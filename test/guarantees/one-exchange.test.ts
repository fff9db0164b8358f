import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { bare, overloaded, settled } from "./engine.ts"
import { platforms } from "./platforms.ts"
import { guarantee } from "./suite.ts"

guarantee("guarantee 1: one exchange in flight per identity", platforms, ({ renewed, start }) => {
  it.effect("10,000 cold callers make one login and get the same token", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const callers = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 10_000 }, () => service.get),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("100 millis")
      const tokens = yield* Fiber.join(callers)
      assert.strictEqual(tokens.length, 10_000)
      assert.strictEqual(new Set(tokens).size, 1)
      assert.include(yield* ledger, { logins: 1, refreshes: 0, peak: 1 })
    })
  )

  it.effect("whatever is asked for during an exchange joins it", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const first = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("50 millis")
      const later = yield* Effect.forkChild(
        Effect.all([service.get, service.renew, service.getValidFor("10 minutes")], { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("50 millis")
      const token = yield* Fiber.join(first)
      assert.deepStrictEqual(yield* Fiber.join(later), [token, token, token])
      assert.include(yield* ledger, { logins: 1, refreshes: 0, peak: 1 })
    })
  )

  it.effect("renew, reject and getValidFor at the same moment make one renewal", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("100 millis")
      const token = yield* Fiber.join(fiber)
      yield* TestClock.adjust("10 minutes")
      const callers = yield* Effect.forkChild(
        Effect.all([service.renew, service.reject(token), service.getValidFor("55 minutes")], {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual((yield* Fiber.join(callers)).map(bare), ["access-2", "access-2", "access-2"])
      assert.include(yield* ledger, { ...renewed(1), peak: 1 })
    })
  )

  it.effect("renew joins a scheduled renewal", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ latency: "10 seconds" })
      yield* TestClock.adjust("2885 seconds")
      assert.include(yield* ledger, renewed(1))
      const renewal = yield* Effect.forkChild(service.renew)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(bare(yield* Fiber.join(renewal)), "access-2")
      assert.include(yield* ledger, { ...renewed(1), peak: 1 })
    })
  )

  it.effect("callers who come between two attempts share those that follow", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ failure: overloaded })
      const first = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("500 millis")
      const second = yield* Effect.forkChild(Effect.flip(service.get))
      yield* settled
      assert.include(yield* ledger, { logins: 1 })
      yield* TestClock.adjust("6500 millis")
      assert.strictEqual(yield* Fiber.join(first), yield* Fiber.join(second))
      assert.include(yield* ledger, { logins: 4, peak: 1 })
    })
  )

  it.effect("an exchange cut by signing out has ended before the next one begins", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const caller = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("50 millis")
      yield* service.invalidate
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(bare(yield* Fiber.join(caller)), "access-1")
      assert.include(yield* ledger, { logins: 2, interrupted: 1, peak: 1 })
    })
  )
})
