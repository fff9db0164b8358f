import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { AccessToken, RenewalPolicy, TokenError, type TokenService } from "effect-video-auth"
import { SplitClock, layer as splitClock } from "effect-video-auth/testing/SplitClock"
import { TestClock } from "effect/testing"
import { assertReason, bare, credential, overloaded, reasonOf, settled, unreachable, wrongKey } from "./engine.ts"
import { platforms, renewsByLogin } from "./platforms.ts"
import { guarantee } from "./suite.ts"

const { onDemand } = RenewalPolicy

guarantee(
  "guarantee 7: a 401 renews only if the rejected token is still the current one",
  platforms,
  ({ renewed, start }) => {
    /** Rejects one token 50 times, so many milliseconds apart. All of them end within `time`, with the token of one renewal. */
    const rejectFifty = Effect.fnUntraced(function* (apart: number, time: Duration.Input) {
      const { configure, ledger, service } = yield* start()
      const token = yield* service.get
      yield* configure({ latency: "100 millis" })
      const callers = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 50 }, (_, index) => Effect.delay(service.reject(token), index * apart)),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust(time)
      assert.deepStrictEqual(
        (yield* Fiber.join(callers)).map(bare),
        Array.from({ length: 50 }, () => "access-2")
      )
      assert.include(yield* ledger, renewed(1))
    })

    it.effect("50 rejections of one token, at once, make one renewal and 50 successes", () =>
      rejectFifty(0, "100 millis")
    )

    it.effect("50 staggered rejections of one token, before and after its renewal, make one renewal", () =>
      rejectFifty(10, "1 second")
    )

    it.effect("a late rejection gets the newer token at once", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        const token = yield* service.get
        yield* service.reject(token)
        yield* configure({ hangs: true })
        assert.strictEqual(bare(yield* service.reject(token)), "access-2")
        assert.include(yield* ledger, renewed(1))
      })
    )

    it.effect("a token that this service never issued does not renew", () =>
      Effect.gen(function* () {
        const { ledger, service } = yield* start()
        yield* service.get
        assert.strictEqual(bare(yield* service.reject(credential())), "access-1")
        yield* settled
        assert.include(yield* ledger, { logins: 1, refreshes: 0 })
        assert.strictEqual((yield* service.state).phase, "valid")
      })
    )

    it.effect("what counts is the credential: a copy of the current token renews", () =>
      Effect.gen(function* () {
        const { service } = yield* start()
        const token = yield* service.get
        const copy = new AccessToken.AccessToken({ ...token })
        assert.strictEqual(bare(yield* service.reject(copy)), "access-2")
      })
    )

    it.effect("while a rejected token is being replaced, get joins the renewal", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        const token = yield* service.get
        yield* configure({ latency: "100 millis" })
        const rejection = yield* Effect.forkChild(service.reject(token))
        yield* settled
        const get = yield* Effect.forkChild(service.get)
        yield* settled
        assert.isUndefined(get.pollUnsafe())
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* Fiber.join(get), yield* Fiber.join(rejection))
        assert.include(yield* ledger, renewed(1))
      })
    )

    it.effect("one failed attempt fails nobody: reject waits for the next one, like a cold caller", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: overloaded })
        const rejection = yield* Effect.forkChild(service.reject(token))
        const get = yield* Effect.forkChild(service.get)
        yield* TestClock.adjust(999)
        assert.isUndefined(rejection.pollUnsafe())
        assert.isUndefined(get.pollUnsafe())
        yield* configure({ failure: undefined })
        yield* TestClock.adjust(1)
        assert.notStrictEqual(yield* Fiber.join(rejection), token)
        assert.strictEqual(yield* Fiber.join(get), yield* Fiber.join(rejection))
        assert.strictEqual((yield* ledger).logins + (yield* ledger).refreshes, 3)
      })
    )

    it.effect("after four attempts reject says why and does not call the token valid; get is served it", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: unreachable })
        const rejection = yield* Effect.forkChild(Effect.flip(service.reject(token)))
        yield* settled
        const get = yield* Effect.forkChild(service.get)
        yield* TestClock.adjust(6_999)
        assert.isUndefined(rejection.pollUnsafe())
        assert.isUndefined(get.pollUnsafe())
        assert.include(yield* service.state, { phase: "failed" })
        yield* TestClock.adjust(1)
        const error = yield* Fiber.join(rejection)
        assertReason(error.reason, unreachable)
        assert.isUndefined(error.validUntil)
        assert.notInclude(error.message, "valid")
        assert.include(yield* ledger, renewed(4))
        assert.strictEqual(yield* Fiber.join(get), token)
        assert.strictEqual(yield* service.get, token)
        assert.include(yield* ledger, renewed(4))
      })
    )

    it.effect("waits 20 s at most for a platform that does not answer", () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start()
        const token = yield* service.get
        yield* configure({ hangs: true })
        const rejection = yield* Effect.forkChild(Effect.flip(service.reject(token)))
        yield* TestClock.adjust(19_999)
        assert.isUndefined(rejection.pollUnsafe())
        yield* TestClock.adjust(1)
        const error = yield* Fiber.join(rejection)
        assert.deepInclude(error.reason, { _tag: "ProviderUnavailable", failure: "timeout" })
        assert.isUndefined(error.validUntil)
      })
    )

    it.effect("a fatal failure fails reject at once, after one attempt and then from memory", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: wrongKey })
        for (let call = 0; call < 3; call++) {
          const error = yield* Effect.flip(service.reject(token))
          assertReason(error.reason, wrongKey)
          assert.isUndefined(error.validUntil)
        }
        assert.include(yield* ledger, { logins: 2 })
      })
    )

    it.effect("a failure from before the rejection does not call the token valid after it", () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: wrongKey })
        assert.isDefined((yield* Effect.flip(service.renew)).validUntil)
        assert.isUndefined((yield* Effect.flip(service.reject(token))).validUntil)
        assert.isUndefined((yield* Effect.flip(service.renew)).validUntil)
      })
    )

    it.effect("a rejection in the pause after a failed renewal waits for the end of the pause", () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: unreachable })
        yield* Effect.flip(service.renew)
        const rejection = yield* Effect.forkChild(service.reject(token))
        yield* TestClock.adjust(999)
        assert.include(yield* ledger, renewed(1))
        yield* configure({ failure: undefined })
        yield* TestClock.adjust(1)
        assert.strictEqual(bare(yield* Fiber.join(rejection)), "access-2")
      })
    )

    it.effect("without a caller, the schedule goes on replacing a token that was refused", () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: unreachable })
        const rejection = yield* Effect.forkChild(Effect.flip(service.reject(token)))
        yield* TestClock.adjust("7 seconds")
        yield* Fiber.join(rejection)
        yield* configure({ failure: undefined })
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(bare(yield* service.get), "access-2")
      })
    )

    it.effect("a rejected token that has expired meanwhile is replaced like any other", () =>
      Effect.gen(function* () {
        const { service } = yield* start({ policy: onDemand })
        const token = yield* service.get
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(bare(yield* service.reject(token)), "access-2")
      })
    )

    it.effect("a failure from before the rejection does not call the token valid when the callers' time is up", () =>
      Effect.gen(function* () {
        const split = yield* SplitClock
        const { configure, service } = yield* start({ policy: onDemand })
        const token = yield* service.get
        yield* configure({ failure: new TokenError.RateLimited({ retryAfter: Duration.seconds(7) }) })
        assert.isDefined((yield* Effect.flip(service.renew)).validUntil)
        const rejection = yield* Effect.forkChild(Effect.flip(service.reject(token)))
        yield* settled
        // The machine slept, so no attempt follows.
        yield* split.suspend(20_000)
        yield* split.stepMonotonic(20_000)
        yield* TestClock.adjust("7 seconds")
        const { reason, validUntil } = yield* Fiber.join(rejection)
        assert.strictEqual(reason._tag, "RateLimited")
        assert.isUndefined(validUntil)
      }).pipe(Effect.provide(splitClock))
    )

    it.effect("a rejected token that had expired is not called valid once the wall clock is set back", () =>
      Effect.gen(function* () {
        const split = yield* SplitClock
        const { configure, service } = yield* start({ policy: onDemand })
        const token = yield* service.get
        yield* split.stepWall(3_700_000)
        yield* configure({ failure: wrongKey })
        yield* Effect.flip(service.reject(token))
        yield* split.stepWall(-3_700_000)
        const { validUntil } = yield* Effect.flip(service.getValidFor("2 hours"))
        assert.isUndefined(validUntil)
        yield* TestClock.adjust("15 minutes")
        yield* configure({ failure: undefined })
        assert.strictEqual(bare(yield* service.get), "access-2")
      }).pipe(Effect.provide(splitClock))
    )
  }
)

guarantee("guarantee 7: the storm breaker", platforms, ({ platform, renewed, start }) => {
  /** Rejects each token as soon as it is issued, `times` times. */
  const rejectFresh = Effect.fnUntraced(function* (service: TokenService.TokenService["Service"], times: number) {
    let token = yield* service.get
    for (let count = 0; count < times; count++) token = yield* service.reject(token)
    return token
  })

  it.effect("the sixth renewal that a rejection asks for within 30 s fails", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start()
      const token = yield* rejectFresh(service, 5)
      yield* TestClock.adjust("10 seconds")
      const error = yield* Effect.flip(service.reject(token))
      assert.deepInclude(error.reason, { _tag: "RenewalStorm", renewals: 5 })
      assert.isTrue(error.isRetryable)
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(20))
      assert.include(yield* ledger, renewed(5))
    })
  )

  it.effect("get is still served meanwhile", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      const token = yield* rejectFresh(service, 5)
      yield* Effect.flip(service.reject(token))
      assert.strictEqual(yield* service.get, token)
    })
  )

  it.effect("no error calls the refused token valid meanwhile", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      yield* Effect.flip(service.getValidFor("2 hours"))
      const token = yield* rejectFresh(service, 5)
      assert.isUndefined((yield* Effect.flip(service.reject(token))).validUntil)
      const error = yield* Effect.flip(service.getValidFor("2 hours"))
      assert.strictEqual(error.reason._tag, "LifetimeTooShort")
      assert.isUndefined(error.validUntil)
    })
  )

  it.effect("it is over 30 s after the first of them", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      const token = yield* rejectFresh(service, 5)
      yield* TestClock.adjust(29_999)
      yield* Effect.flip(service.reject(token))
      yield* TestClock.adjust(1)
      assert.strictEqual(bare(yield* service.reject(token)), "access-7")
    })
  )

  it.effect("renewals that nobody's rejection caused do not count", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      yield* service.get
      for (let count = 0; count < 10; count++) yield* service.renew
      const token = yield* rejectFresh(service, 5)
      assert.strictEqual(bare(token), "access-16")
    })
  )

  it.effect("scheduled renewals do not count", () =>
    Effect.gen(function* () {
      // Lives for 4 s: renewed every 3.2 s.
      const { ledger, service } = yield* start({ lifetime: "4 seconds" })
      yield* service.get
      yield* TestClock.adjust("29 seconds")
      const { logins, refreshes } = yield* ledger
      assert.isAbove(renewsByLogin(platform) ? logins - 1 : refreshes, 5)
      yield* rejectFresh(service, 5)
    })
  )

  it.effect("renewals that failed do not count", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start()
      const token = yield* service.get
      yield* configure({ failure: unreachable })
      for (let round = 0; round < 5; round++) {
        const rejection = yield* Effect.forkChild(reasonOf(service.reject(token)))
        yield* TestClock.adjust("20 seconds")
        assertReason(yield* Fiber.join(rejection), unreachable)
      }
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("20 seconds")
      yield* rejectFresh(service, 5)
    })
  )

  it.effect("the limit is the policy's", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ policy: { stormLimit: 1 } })
      const token = yield* rejectFresh(service, 1)
      assert.instanceOf(yield* reasonOf(service.reject(token)), TokenError.RenewalStorm)
    })
  )
})
