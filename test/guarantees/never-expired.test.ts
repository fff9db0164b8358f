import { assert, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber } from "effect"
import { RenewalPolicy, TokenError, TokenStore } from "effect-video-auth"
import { SplitClock, layer as splitClock } from "effect-video-auth/testing/SplitClock"
import { TestClock } from "effect/testing"
import { assertReason, bare, memoryOn, reasonOf, settled, unreachable, wrongKey } from "./engine.ts"
import { locking, platforms } from "./platforms.ts"
import { guarantee } from "./suite.ts"

const { onDemand } = RenewalPolicy

guarantee("guarantee 2: where a refused password leaves nothing to the schedule", locking, ({ start }) => {
  it.effect("a token that has expired is not valid again when the wall clock is set back", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { configure, service } = yield* start()
      yield* service.get
      yield* configure({ failure: wrongKey })
      yield* TestClock.adjust("2 hours")
      yield* clock.stepWall("-2 hours")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(service.get)))
    }).pipe(Effect.provide(splitClock))
  )
})

guarantee("guarantee 2: get never returns a token that has expired", platforms, ({ platform, renewed, start }) => {
  const memory = memoryOn(platform)

  for (const policy of [{}, onDemand]) {
    const mode = policy.whenIdle ?? "keep-fresh"

    it.effect(`${mode}: a get after the wall clock passed expiry gets a new token`, () =>
      Effect.gen(function* () {
        const clock = yield* SplitClock
        const { service } = yield* start({ policy })
        yield* service.get
        yield* clock.stepWall("1 hour")
        assert.strictEqual(bare(yield* service.get), "access-2")
      }).pipe(Effect.provide(splitClock))
    )

    it.effect(`${mode}: the last millisecond before expiry is served and the next is not`, () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start({ policy })
        yield* service.get
        yield* configure({ failure: wrongKey })
        yield* TestClock.adjust(3_600_000 - 1)
        assert.strictEqual(bare(yield* service.get), "access-1")
        yield* TestClock.adjust(1)
        assert.strictEqual((yield* reasonOf(service.get))._tag, "TokenExpired")
      })
    )

    it.effect(`${mode}: a wall clock stepped back does not prolong a token`, () =>
      Effect.gen(function* () {
        const clock = yield* SplitClock
        const { configure, service } = yield* start({ policy, lifetime: "20 seconds" })
        yield* service.get
        yield* configure({ failure: wrongKey })
        yield* clock.stepWall("-1 hour")
        yield* TestClock.adjust("20 seconds")
        for (let second = 20; second < 60; second++) {
          assert.strictEqual((yield* reasonOf(service.get))._tag, "TokenExpired")
          yield* TestClock.adjust("1 second")
        }
      }).pipe(Effect.provide(splitClock))
    )

    it.effect(`${mode}: an answer that arrives after a wall step is stamped with the new wall time`, () =>
      Effect.gen(function* () {
        const clock = yield* SplitClock
        const { service } = yield* start({ policy, latency: "10 seconds" })
        const fiber = yield* Effect.forkChild(service.get)
        yield* TestClock.adjust("5 seconds")
        yield* clock.stepWall("2 hours")
        yield* TestClock.adjust("5 seconds")
        const token = yield* Fiber.join(fiber)
        assert.strictEqual(token.expiresAt - (yield* Clock.currentTimeMillis), 3_590_000)
      }).pipe(Effect.provide(splitClock))
    )
  }

  it.effect("who waits in the mandatory window, and is woken only after expiry, waits for the renewal under way", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { configure, service } = yield* start({ policy: onDemand, latency: 0 })
      yield* service.get
      yield* configure({ latency: "10 seconds" })
      yield* TestClock.adjust(3_595_000)
      const waiting = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("1 second")
      // Its timer comes late: a machine that was suspended or is overloaded.
      yield* clock.stepWall("10 seconds")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(bare(yield* Fiber.join(waiting)), "access-2")
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("a monotonic clock that counted a sleep ends the token at the next tick", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { configure, service } = yield* start()
      yield* service.get
      yield* configure({ failure: wrongKey })
      yield* clock.stepMonotonic("2 hours")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* reasonOf(service.get))._tag, "TokenExpired")
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("that tick ends it though the renewal that it starts does not answer", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { configure, service } = yield* start()
      yield* service.get
      yield* configure({ hangs: true })
      yield* clock.stepMonotonic("2 hours")
      yield* TestClock.adjust("30 seconds")
      const fiber = yield* Effect.forkChild(reasonOf(service.get))
      yield* settled
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "TokenExpired")
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("on-demand, a monotonic clock that counted a sleep ends the token at the next get", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* clock.stepMonotonic("2 hours")
      assert.strictEqual(bare(yield* service.get), "access-2")
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("on-demand, it ends the token within a second where the wall clock showed nothing", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* service.get), "access-1")
      yield* clock.stepMonotonic("2 hours")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* service.get), "access-2")
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("who waited looks again: a token that expired while it was stored is not handed out", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const memory = yield* TokenStore.makeMemory
      let steps = 1
      const store: TokenStore.Backend = {
        ...memory,
        // Between the answer and those who wait for it, somebody sets the clock.
        commit: (identity, options) =>
          Effect.tap(memory.commit(identity, options), () => (steps-- > 0 ? clock.stepWall("2 hours") : Effect.void))
      }
      const { ledger, service } = yield* start({ store })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-2")
      assert.include(yield* ledger, renewed(1))
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("who waited near expiry gets no token that expired meanwhile", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ latency: "10 seconds", failure: unreachable })
      yield* TestClock.adjust("3595 seconds")
      yield* service.renew.pipe(Effect.forkChild)
      yield* settled
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const fiber = yield* Effect.forkChild(
        Effect.map(service.get, (token) => token.expiresAt - clock.currentTimeMillisUnsafe())
      )
      yield* TestClock.adjust("10 seconds")
      assert.isAbove(yield* Fiber.join(fiber), 0)
    })
  )

  it.effect("a get that comes after expiry, while the renewal hangs, gets no token that expired", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ latency: "10 seconds", failure: unreachable })
      yield* TestClock.adjust("3595 seconds")
      yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("5 seconds")
      const fiber = yield* Effect.forkChild(reasonOf(service.get))
      yield* TestClock.adjust("30 seconds")
      const reason = yield* Fiber.join(fiber)
      assert.instanceOf(reason, TokenError.TokenExpired)
      assert.strictEqual(reason.expiredAt, 3_600_000)
      assertReason(reason.renewal, unreachable)
    })
  )

  it.effect("a platform whose tokens are dead on arrival is asked three times, and none is handed out", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand, lifetime: "5 seconds", latency: "6 seconds" })
      const fiber = yield* Effect.forkChild(reasonOf(service.get))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "MalformedResponse")
      const { logins, refreshes } = yield* ledger
      assert.strictEqual(logins + refreshes, 3)
    })
  )

  it.effect("a platform whose tokens are dead on arrival is not hammered by the schedule", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ lifetime: "1 milli", latency: "2 millis" })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      const { logins, refreshes } = yield* ledger
      // After 0, 1, 3, 7, 15, 25, 35, 45 and 55 s.
      assert.strictEqual(logins + refreshes, 9)
    })
  )

  it.effect("a cool-down is not stretched by a wall clock stepped back", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ failure: unreachable })
      yield* TestClock.adjust("2880 seconds")
      assert.include(yield* ledger, renewed(1))
      yield* clock.stepWall("-10 minutes")
      yield* TestClock.adjust("30 seconds")
      assert.include(yield* ledger, renewed(2))
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("a cool-down is not cut short by a wall clock stepped forward", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ failure: unreachable })
      yield* TestClock.adjust("2880 seconds")
      yield* clock.stepWall("10 seconds")
      yield* TestClock.adjust(29_999)
      assert.include(yield* ledger, renewed(1))
      yield* TestClock.adjust(1)
      assert.include(yield* ledger, renewed(2))
    }).pipe(Effect.provide(splitClock))
  )

  for (const by of ["1 hour", "-1 hour"] as const) {
    it.effect(`a fatal failure is remembered for ${memory(7.5)} though the wall clock steps by ${by}`, () =>
      Effect.gen(function* () {
        const clock = yield* SplitClock
        const { ledger, service } = yield* start({ failure: wrongKey })
        yield* Effect.flip(service.get)
        yield* clock.stepWall(by)
        yield* TestClock.adjust(Duration.toMillis(memory(7.5)) - 1)
        yield* Effect.flip(service.get)
        assert.include(yield* ledger, { logins: 1 })
        yield* TestClock.adjust(1)
        yield* Effect.flip(service.get)
        assert.include(yield* ledger, { logins: 2 })
      }).pipe(Effect.provide(splitClock))
    )

    it.effect(`an exchange times out after 30 s though the wall clock steps by ${by}`, () =>
      Effect.gen(function* () {
        const clock = yield* SplitClock
        const { ledger, service } = yield* start({ hangs: true })
        const fiber = yield* Effect.forkChild(Effect.flip(service.get))
        yield* TestClock.adjust("1 second")
        yield* clock.stepWall(by)
        yield* TestClock.adjust(28_999)
        assert.include(yield* ledger, { interrupted: 0 })
        yield* TestClock.adjust(1)
        assert.include(yield* ledger, { interrupted: 1 })
        yield* Fiber.join(fiber)
      }).pipe(Effect.provide(splitClock))
    )

    it.effect(`the storm window is 30 s though the wall clock steps by ${by}`, () =>
      Effect.gen(function* () {
        const clock = yield* SplitClock
        const { service } = yield* start({ policy: onDemand, lifetime: "1 day" })
        let token = yield* service.get
        for (let renewals = 0; renewals < 5; renewals++) token = yield* service.reject(token)
        yield* clock.stepWall(by)
        yield* TestClock.adjust(29_999)
        assert.strictEqual((yield* reasonOf(service.reject(token)))._tag, "RenewalStorm")
        yield* TestClock.adjust(1)
        assert.strictEqual(bare(yield* service.reject(token)), "access-7")
      }).pipe(Effect.provide(splitClock))
    )
  }
})
