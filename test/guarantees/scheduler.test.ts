import { assert, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { RenewalPolicy, TokenError } from "effect-video-auth"
import { SplitClock, layer as splitClock } from "effect-video-auth/testing/SplitClock"
import { TestClock } from "effect/testing"
import { answerLost, assertReason, bare, named, overloaded, reasonOf, unreachable, wrongKey } from "./engine.ts"
import { fake, forgiving, platforms } from "./platforms.ts"
import { guarantee, type Suite } from "./suite.ts"

const { onDemand } = RenewalPolicy

/** An outage begins when a token was issued. The scheduler renews as soon as it is over. */
const outlasts = Effect.fnUntraced(function* (
  start: Suite["start"],
  outage: Duration.Input,
  failure: TokenError.RenewalReason
) {
  const { configure, service } = yield* start()
  yield* service.get
  yield* configure({ failure })
  yield* TestClock.adjust(outage)
  assert.include(yield* service.state, { phase: "failed" })
  yield* configure({ failure: undefined })
  yield* TestClock.adjust("5 minutes")
  assert.include(yield* service.state, { phase: "valid" })
})

// Each simulated hour of ticks and attempts costs time, and what a long run shows is the same on all platforms.
guarantee("guarantee 8: the scheduler, in the long run", [fake], ({ start }) => {
  it.effect("a token of more than 2^31 ms is renewed once, when due, and no timer is longer than 30 s", () =>
    Effect.gen(function* () {
      const split = yield* SplitClock
      const clock = yield* Clock.Clock
      const timers: Array<number> = []
      const sleep = (duration: Duration.Duration) => {
        timers.push(Duration.toMillis(duration))
        return clock.sleep(duration)
      }
      const { ledger, service } = yield* Effect.provideService(start({ lifetime: "30 days" }), Clock.Clock, {
        ...clock,
        sleep
      })
      yield* service.get
      const due = (yield* service.state).renewAt ?? 0
      assert.isAbove(due, 2 ** 31)
      yield* TestClock.adjust("1 minute")
      yield* split.stepWall(due - 120_000)
      yield* split.stepMonotonic(due - 120_000)
      yield* TestClock.adjust(59_999)
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
      yield* TestClock.adjust(1)
      assert.include(yield* ledger, { logins: 1, refreshes: 1 })
      yield* TestClock.adjust("1 hour")
      assert.include(yield* ledger, { logins: 1, refreshes: 1 })
      assert.strictEqual(Math.max(...timers), 30_000)
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("an outage of 8 hours does not make it give up", () => outlasts(start, "8 hours", unreachable))
})

guarantee("guarantee 8: the scheduler", platforms, ({ renewed, start }) => {
  for (const [dice, due] of [
    [0, 2_700],
    [0.5, 2_880],
    [1, 3_060]
  ] as const) {
    it.effect(`with the dice at ${dice} a token of an hour is renewed after ${due} s, though nobody asks`, () =>
      Effect.gen(function* () {
        const { ledger, service } = yield* start({ dice })
        yield* service.get
        assert.strictEqual((yield* service.state).renewAt, due * 1_000)
        yield* TestClock.adjust(due * 1_000 - 1)
        assert.include(yield* ledger, renewed(0))
        yield* TestClock.adjust(1)
        assert.include(yield* ledger, renewed(1))
      })
    )
  }

  it.effect("keeps a token fresh for a day, with one renewal each 48 minutes", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start()
      yield* service.get
      yield* TestClock.adjust("1 day")
      assert.include(yield* ledger, renewed(30))
      assert.strictEqual(bare(yield* service.get), "access-31")
    })
  )

  it.effect("a suspend of 8 hours is noticed at the next tick of 30 s", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { ledger, service } = yield* start()
      yield* service.get
      yield* TestClock.adjust("1 minute")
      yield* clock.suspend("8 hours")
      yield* TestClock.adjust(29_999)
      assert.include(yield* ledger, renewed(0))
      yield* TestClock.adjust(1)
      assert.include(yield* ledger, renewed(1))
      assert.strictEqual(bare(yield* service.get), "access-2")
    }).pipe(Effect.provide(splitClock))
  )

  for (const failure of [unreachable, overloaded, answerLost]) {
    it.effect(`an outage that outlasts the token, ${named(failure)}, does not make it give up`, () =>
      outlasts(start, "70 minutes", failure)
    )
  }

  it.effect("after expiry an outage is met with an attempt every 10 s", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ failure: overloaded })
      yield* TestClock.adjust("70 minutes")
      // The platform says that it did nothing, so the attempts are refreshes with the same refresh token.
      const attempts = Effect.map(ledger, ({ logins, refreshes }) => logins + refreshes)
      const before = yield* attempts
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* attempts) - before, 60)
    })
  )

  it.effect("a first login that failed is tried again though nobody asks", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ failure: unreachable })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("7 seconds")
      yield* Fiber.join(fiber)
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("10 seconds")
      assert.include(yield* service.state, { phase: "valid", generation: 1 })
    })
  )

  it.effect("asks for nothing before somebody does", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start()
      yield* TestClock.adjust("1 day")
      assert.include(yield* ledger, { logins: 0 })
      assert.include(yield* service.state, { phase: "empty" })
    })
  )

  it.effect("ends with its scope", () =>
    Effect.gen(function* () {
      const { ledger } = yield* Effect.scoped(Effect.tap(start(), ({ service }) => service.get))
      yield* TestClock.adjust("1 day")
      assert.include(yield* ledger, renewed(0))
    })
  )
})

guarantee("guarantee 8: the scheduler, where a wrong credential locks no account", forgiving, ({ start }) => {
  it.effect(`an outage that outlasts the token, ${named(wrongKey)}, does not make it give up`, () =>
    outlasts(start, "70 minutes", wrongKey)
  )
})

guarantee("guarantee 8: on-demand", platforms, ({ renewed, start }) => {
  it.effect("makes no exchange by itself", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* TestClock.adjust("1 day")
      assert.include(yield* ledger, renewed(0))
      assert.isUndefined((yield* service.state).renewAt)
    })
  )

  it.effect("makes no retry by itself", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand, failure: unreachable })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("7 seconds")
      yield* Fiber.join(fiber)
      yield* TestClock.adjust("1 day")
      assert.include(yield* ledger, { logins: 4 })
    })
  )

  it.effect("the first get within the window starts the renewal and is served at once", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ latency: "2 seconds" })
      yield* TestClock.adjust(2_879_999)
      yield* service.get
      yield* TestClock.adjust(0)
      assert.include(yield* ledger, renewed(0))
      yield* TestClock.adjust(1)
      assert.strictEqual(bare(yield* service.get), "access-1")
      yield* TestClock.adjust("2 seconds")
      assert.include(yield* ledger, renewed(1))
      assert.strictEqual(bare(yield* service.get), "access-2")
    })
  )
})

guarantee("TokenExpired", platforms, ({ start }) => {
  for (const failure of [unreachable, overloaded, wrongKey, new TokenError.RateLimited({})]) {
    it.effect(`carries ${failure._tag}, for which the renewal failed`, () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ failure })
        yield* TestClock.adjust("1 hour")
        const fiber = yield* Effect.forkChild(reasonOf(service.get))
        yield* TestClock.adjust("20 seconds")
        const reason = yield* Fiber.join(fiber)
        assert.instanceOf(reason, TokenError.TokenExpired)
        assert.strictEqual(reason.expiredAt, 3_600_000)
        assertReason(reason.renewal, failure)
        assert.strictEqual(reason.isRetryable, failure.isRetryable)
      })
    )
  }
})
