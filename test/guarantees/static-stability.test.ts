import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { RenewalPolicy, TokenError } from "effect-video-auth"
import { TestClock } from "effect/testing"
import { answerLost, assertReason, bare, overloaded, settled, unreachable, wrongKey } from "./engine.ts"
import { killing, platforms, renewsByLogin } from "./platforms.ts"
import { guarantee } from "./suite.ts"

const { onDemand } = RenewalPolicy

guarantee(
  "guarantee 3: while the held token is valid, no failing renewal fails a caller of get",
  platforms,
  ({ platform, renewed, start }) => {
    for (const failure of [unreachable, overloaded, answerLost, wrongKey]) {
      it.effect(`every get of the hour is served while renewals fail with ${failure._tag}`, () =>
        Effect.gen(function* () {
          const { configure, service } = yield* start()
          yield* service.get
          yield* configure({ failure })
          yield* TestClock.adjust("2870 seconds")
          for (let second = 2_870; second < 3_600; second++) {
            const fiber = yield* Effect.forkChild(service.get)
            yield* TestClock.adjust("1 second")
            assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
          }
        })
      )
    }

    it.effect("a failing renewal is repeated every 30 s, and every 10 s in the last minute", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        yield* service.get
        yield* configure({ failure: unreachable })
        yield* TestClock.adjust("2879 seconds")
        assert.include(yield* ledger, renewed(0))
        yield* TestClock.adjust("1 second")
        assert.include(yield* ledger, renewed(1))
        yield* TestClock.adjust("659 seconds")
        assert.include(yield* ledger, renewed(22))
        yield* TestClock.adjust("60 seconds")
        assert.include(yield* ledger, renewed(28))
      })
    )

    for (const [dice, pause] of [
      [0, 24_000],
      [0.5, 30_000],
      [1, 36_000]
    ] as const) {
      it.effect(`with the dice at ${dice} the cool-down is ${pause / 1000} s`, () =>
        Effect.gen(function* () {
          const { configure, ledger, service } = yield* start({ dice, policy: onDemand })
          yield* service.get
          yield* configure({ failure: unreachable })
          yield* TestClock.adjust("3100 seconds")
          yield* service.get
          yield* settled
          assert.include(yield* ledger, renewed(1))
          yield* TestClock.adjust(pause - 1)
          yield* service.get
          yield* settled
          assert.include(yield* ledger, renewed(1))
          yield* TestClock.adjust(1)
          yield* service.get
          yield* settled
          assert.include(yield* ledger, renewed(2))
        })
      )
    }

    it.effect("near expiry the cool-down grows from 1 s to 10 s", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ failure: unreachable })
        yield* TestClock.adjust("3541 seconds")
        const attempts: Array<number> = []
        for (let second = 0; second < 58; second++) {
          assert.strictEqual(bare(yield* service.get), "access-1")
          const { logins, refreshes } = yield* ledger
          if (logins + refreshes > 1 + attempts.length) attempts.push(second)
          yield* TestClock.adjust("1 second")
        }
        assert.deepStrictEqual(attempts, [0, 1, 3, 7, 15, 25, 35, 45, 55])
      })
    )

    it.effect("in the advisory window get is served at once while a renewal is under way", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        yield* service.get
        yield* configure({ hangs: true })
        yield* TestClock.adjust("2881 seconds")
        assert.include(yield* ledger, renewed(1))
        assert.strictEqual(bare(yield* service.get), "access-1")
      })
    )

    it.effect("in the mandatory window a renewal that hangs makes nobody wait until the held token has expired", () =>
      Effect.gen(function* () {
        // A refresh that times out is followed by a login. A login that does is the end of the attempt, so it gets longer.
        const policy = renewsByLogin(platform) ? { ...onDemand, exchangeTimeout: "1 minute" as const } : onDemand
        const { configure, service } = yield* start({ policy })
        yield* service.get
        yield* configure({ hangs: true })
        yield* TestClock.adjust("3550 seconds")
        const fiber = yield* Effect.forkChild(service.get)
        yield* TestClock.adjust("48 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
        // One more a moment later is served at once, by the same exchange.
        assert.strictEqual(bare(yield* service.get), "access-1")
      })
    )

    it.effect("in the mandatory window get waits for the renewal and gets the new token", () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ latency: "2 seconds" })
        yield* TestClock.adjust("3541 seconds")
        const fiber = yield* Effect.forkChild(service.get)
        yield* settled
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-2")
      })
    )

    it.effect("in the mandatory window get is served the held token when the renewal fails", () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ latency: "2 seconds", failure: unreachable })
        yield* TestClock.adjust("3541 seconds")
        const fiber = yield* Effect.forkChild(service.get)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      })
    )

    it.effect("Retry-After is honoured by the schedule and by get", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        yield* service.get
        yield* configure({ failure: new TokenError.RateLimited({ retryAfter: Duration.minutes(4) }) })
        yield* TestClock.adjust("2880 seconds")
        assert.include(yield* ledger, renewed(1))
        yield* TestClock.adjust("239 seconds")
        assert.strictEqual(bare(yield* service.get), "access-1")
        assert.include(yield* ledger, renewed(1))
        yield* configure({ failure: undefined })
        yield* TestClock.adjust("1 second")
        // A refresh with the same token where the platform said that it did nothing, and a login where it is in doubt.
        const { logins, refreshes } = yield* ledger
        assert.strictEqual(logins + refreshes, 3)
      })
    )

    it.effect("renew does fail, and its error says until when the held token is valid", () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start()
        yield* service.get
        yield* configure({ failure: unreachable })
        const error = yield* Effect.flip(service.renew)
        assert.strictEqual(error.validUntil, 3_600_000)
        assertReason(error.reason, unreachable)
        assert.strictEqual(bare(yield* service.get), "access-1")
      })
    )
  }
)

guarantee("guarantee 3: where a refresh kills the old token", killing, ({ start }) => {
  it.effect("get waits for the refresh and is served the old one if it fails", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start()
      yield* service.get
      yield* configure({ latency: "2 seconds", failure: unreachable })
      const renewal = yield* Effect.forkChild(Effect.flip(service.renew))
      yield* settled
      const fiber = yield* Effect.forkChild(service.get)
      yield* settled
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      yield* Fiber.join(renewal)
    })
  )
})
