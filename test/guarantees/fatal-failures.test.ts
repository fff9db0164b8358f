import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber } from "effect"
import { RenewalPolicy, TokenError, TokenService } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { assertReason, bare, memoryOn, named, overloaded, reasonOf, settled, unreachable, wrongKey } from "./engine.ts"
import { forgiving, locking, platforms, renewsByLogin } from "./platforms.ts"
import { guarantee } from "./suite.ts"

const { onDemand } = RenewalPolicy

guarantee("guarantee 6: fatal failures are typed, cached briefly, never hammered", platforms, ({ platform, start }) => {
  const memory = memoryOn(platform)

  for (const failure of platform.fatal) {
    it.effect(`${named(failure)} fails get at once, after one login, with its reason`, () =>
      Effect.gen(function* () {
        const { ledger, service } = yield* start({ failure })
        const error = yield* Effect.flip(service.get)
        assert.instanceOf(error, TokenError.TokenError)
        assertReason(error.reason, failure)
        assert.isFalse(error.isRetryable)
        assert.include(yield* ledger, { logins: 1 })
      })
    )
  }

  it.effect("1,000 gets within that time make no further login and fail alike", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ dice: 0, failure: wrongKey })
      yield* Effect.flip(service.get)
      for (let call = 0; call < 1_000; call++) {
        assertReason(yield* reasonOf(service.get), wrongKey)
        yield* TestClock.adjust(4)
      }
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  for (const [dice, remembered] of [
    [0, memory(5)],
    [0.5, memory(7.5)],
    [1, memory(10)]
  ] as const) {
    it.effect(`with the dice at ${dice} it is remembered for ${remembered}`, () =>
      Effect.gen(function* () {
        const { ledger, service } = yield* start({ dice, failure: wrongKey })
        yield* Effect.flip(service.get)
        yield* TestClock.adjust(Duration.toMillis(remembered) - 1)
        yield* Effect.flip(service.get)
        assert.include(yield* ledger, { logins: 1 })
        yield* TestClock.adjust(1)
        yield* Effect.flip(service.get)
        assert.include(yield* ledger, { logins: 2 })
      })
    )
  }

  it.effect("it is remembered no longer after the tenth failure than after the first", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand, failure: wrongKey })
      for (let logins = 1; logins <= 10; logins++) {
        yield* Effect.flip(service.get)
        assert.include(yield* ledger, { logins })
        yield* TestClock.adjust(memory(7.5))
      }
    })
  )

  it.effect("renew is answered from memory as well", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ failure: wrongKey })
      yield* Effect.flip(service.get)
      assertReason(yield* reasonOf(service.renew), wrongKey)
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("a later get succeeds once the cause is gone", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ failure: wrongKey })
      yield* Effect.flip(service.get)
      yield* configure({ failure: undefined })
      yield* TestClock.adjust(memory(10))
      assert.strictEqual(bare(yield* service.get), "access-1")
    })
  )

  it.effect("with a token that has expired, TokenExpired says when and why", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ failure: wrongKey })
      yield* TestClock.adjust("1 hour")
      const error = yield* Effect.flip(service.get)
      assert.instanceOf(error.reason, TokenError.TokenExpired)
      assert.strictEqual(error.reason.expiredAt, 3_600_000)
      assertReason(error.reason.renewal, wrongKey)
      assert.isFalse(error.isRetryable)
      assert.isUndefined(error.validUntil)
    })
  )
})

guarantee("guarantee 6: the schedule asks again every 5 minutes", forgiving, ({ platform, start }) => {
  it.effect("without a token, and finds out that the cause is gone", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ failure: wrongKey })
      yield* Effect.flip(service.get)
      yield* TestClock.adjust("1 hour")
      assert.include(yield* ledger, { logins: 13 })
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* service.state).phase, "valid")
    })
  )

  it.effect("while the held token is valid", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ failure: wrongKey })
      yield* TestClock.adjust("2880 seconds")
      // The refresh token is refused as well, and never sent again.
      const refreshes = renewsByLogin(platform) ? 0 : 1
      assert.include(yield* ledger, { logins: 2, refreshes })
      yield* TestClock.adjust("299 seconds")
      assert.include(yield* ledger, { logins: 2 })
      yield* TestClock.adjust("420 seconds")
      assert.include(yield* ledger, { logins: 4, refreshes })
    })
  )
})

guarantee("guarantee 6: where that would lock the account, only callers ask again", locking, ({ start }) => {
  it.effect("without a token: one of them finds out that the cause is gone, and the schedule goes on", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ failure: wrongKey })
      yield* Effect.flip(service.get)
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("1 day")
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
      assert.include(yield* service.state, { phase: "failed", renewAt: undefined })
      assert.strictEqual(bare(yield* service.get), "access-1")
      yield* TestClock.adjust("2880 seconds")
      assert.include(yield* ledger, { logins: 2, refreshes: 1 })
    })
  )

  it.effect("while the held token is valid: every 5 to 10 minutes, and are served meanwhile", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ failure: wrongKey })
      yield* TestClock.adjust("2880 seconds")
      assert.include(yield* ledger, { logins: 2, refreshes: 1 })
      for (let second = 0; second < 700; second++) {
        assert.strictEqual(bare(yield* service.get), "access-1")
        yield* TestClock.adjust("1 second")
      }
      // The dice make it 450 seconds.
      assert.include(yield* ledger, { logins: 3, refreshes: 1 })
    })
  )

  it.effect("what may pass does not make the schedule give up", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ failure: unreachable })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("10 seconds")
      assert.include(yield* service.state, { phase: "valid" })
    })
  )
})

describe("guarantee 6: a provider with a bug", () => {
  it.effect("a defect reaches the caller and is not hammered", () =>
    Effect.gen(function* () {
      let logins = 0
      const { provider } = FakeProvider.make()
      const login = Effect.suspend(() => {
        logins += 1
        return Effect.die("a bug")
      })
      const service = yield* TokenService.make({ provider: { ...provider, login } })
      const exit = yield* Effect.exit(service.get)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      yield* settled
      assert.strictEqual(logins, 1)
    })
  )

  it.effect("one that interrupts itself is not hammered, and leaves nobody hanging", () =>
    Effect.gen(function* () {
      let logins = 0
      const { provider } = FakeProvider.make()
      const login = Effect.suspend(() => {
        logins += 1
        return Effect.interrupt
      })
      const service = yield* TokenService.make({ provider: { ...provider, login } })
      const waiter = yield* Effect.forkChild(Effect.exit(service.get))
      yield* settled
      assert.strictEqual(logins, 1)
      assert.isDefined(waiter.pollUnsafe())
    })
  )
})

guarantee("guarantee 6: failures that may pass", platforms, ({ start }) => {
  it.effect("get makes four attempts, 1, 2 and 4 s apart, and fails with the reason of the last", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ failure: overloaded })
      const fiber = yield* Effect.forkChild(reasonOf(service.get))
      for (const [pause, logins] of [
        [0, 1],
        [999, 1],
        [1, 2],
        [1_999, 2],
        [1, 3],
        [3_999, 3]
      ] as const) {
        yield* TestClock.adjust(pause)
        assert.include(yield* ledger, { logins })
      }
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assertReason(yield* Fiber.join(fiber), overloaded)
      assert.include(yield* ledger, { logins: 4 })
    })
  )

  it.effect("get waits 20 s at most for a platform that does not answer", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ hangs: true })
      const fiber = yield* Effect.forkChild(reasonOf(service.get))
      yield* TestClock.adjust(19_999)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "ProviderUnavailable", failure: "timeout" })
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("an answer that comes after the callers gave up is kept", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "25 seconds" })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("25 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("get succeeds when a retry does", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ failure: unreachable })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("1 second")
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      assert.include(yield* ledger, { logins: 3 })
    })
  )

  it.effect("Retry-After lengthens the wait for the next attempt", () =>
    Effect.gen(function* () {
      const failure = new TokenError.RateLimited({ retryAfter: Duration.seconds(8) })
      const { configure, ledger, service } = yield* start({ failure })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust(7_999)
      assert.include(yield* ledger, { logins: 1 })
      yield* configure({ failure: undefined })
      yield* TestClock.adjust(1)
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      assert.include(yield* ledger, { logins: 2 })
    })
  )

  it.effect("Retry-After beyond the callers' patience fails them at once, until it is over", () =>
    Effect.gen(function* () {
      const failure = new TokenError.RateLimited({ retryAfter: Duration.seconds(60) })
      const { configure, ledger, service } = yield* start({ policy: onDemand, failure })
      const error = yield* Effect.flip(service.get)
      assertReason(error.reason, failure)
      assert.isTrue(error.isRetryable)
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(60))
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("39 seconds")
      yield* Effect.flip(service.get)
      assert.include(yield* ledger, { logins: 1 })
      const fiber = yield* Effect.forkChild(Effect.delay(service.get, "2 seconds"))
      yield* TestClock.adjust("20 seconds")
      assert.include(yield* ledger, { logins: 1 })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      assert.include(yield* ledger, { logins: 2 })
    })
  )
})
