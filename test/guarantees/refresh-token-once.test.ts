import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { RenewalPolicy, TokenError, TokenStore } from "effect-video-auth"
import { TestClock } from "effect/testing"
import {
  answerLost,
  assertReason,
  bare,
  garbled,
  named,
  overloaded,
  reasonOf,
  seededStore,
  settled,
  stored,
  takeAndMark,
  unreachable,
  wrongKey
} from "./engine.ts"
import { loggingIn, rotating, rotatingSessions, steady, steadySessions } from "./platforms.ts"
import { guarantee } from "./suite.ts"

const { onDemand } = RenewalPolicy
const failing = new TokenError.ProviderUnavailable({ failure: "status", status: 500 })
const rateLimited = new TokenError.RateLimited({ retryAfter: Duration.seconds(1), fromPlatform: true })
const certificate = new TokenError.ProviderUnavailable({ failure: "tls" })
const suspended = new TokenError.AccountSuspended({ status: 403 })
const unknownScope = new TokenError.ProviderRejected({ code: "invalid_scope", detail: "there is no such scope" })
const down = new TokenError.StoreUnavailable({ operation: "read" })

guarantee("guarantee 4: a rotating refresh token is sent at most once", rotating, ({ start }) => {
  it.effect("each renewal sends the refresh token of the one before", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* service.renew
      yield* service.renew
      assert.deepInclude(yield* ledger, { logins: 1, refreshTokens: ["refresh-1", "refresh-2"] })
    })
  )

  it.effect("rejected: it is dropped and a login made in the same attempt", () =>
    Effect.gen(function* () {
      const { fake, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      // A login elsewhere supersedes the refresh token.
      yield* fake.provider.login!
      assert.strictEqual(bare(yield* service.renew), "access-3")
      assert.deepInclude(yield* ledger, { logins: 3, refreshTokens: ["refresh-1"] })
    })
  )

  for (const losesRefresh of [answerLost, garbled, new TokenError.ProviderUnavailable({ failure: "network" })]) {
    it.effect(`answer lost, ${named(losesRefresh)}: it is dropped and a login made in the same attempt`, () =>
      Effect.gen(function* () {
        const { ledger, service } = yield* start({ policy: onDemand, losesRefresh })
        yield* service.get
        assert.strictEqual(bare(yield* service.renew), "access-3")
        assert.deepInclude(yield* ledger, { logins: 2, refreshTokens: ["refresh-1"] })
      })
    )
  }

  it.effect("no answer in time: it is dropped and a login made in the same attempt", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ hangs: true })
      const renewal = yield* Effect.forkChild(service.renew)
      yield* TestClock.adjust(29_999)
      yield* configure({ hangs: false })
      yield* TestClock.adjust(1)
      assert.strictEqual(bare(yield* Fiber.join(renewal)), "access-2")
      assert.deepInclude(yield* ledger, { logins: 2, refreshTokens: ["refresh-1"] })
    })
  )

  for (const failure of [failing, answerLost, garbled, suspended, wrongKey]) {
    it.effect(`${named(failure)} for refresh and login alike: it is dropped, the next attempt is a login`, () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ failure })
        yield* Effect.flip(service.renew)
        yield* configure({ failure: undefined })
        const before = (yield* ledger).logins
        yield* TestClock.adjust("10 minutes")
        yield* service.renew
        assert.deepInclude(yield* ledger, { logins: before + 1, refreshTokens: ["refresh-1"] })
      })
    )
  }

  for (const failure of [failing, overloaded, rateLimited]) {
    it.effect(`${named(failure)}: no login follows in the same attempt`, () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ failure })
        assertReason(yield* reasonOf(service.renew), failure)
        assert.include(yield* ledger, { logins: 1, refreshes: 1 })
      })
    )
  }

  for (const failure of [unreachable, certificate, overloaded, rateLimited]) {
    it.effect(`never used, ${named(failure)}: it is kept and used again`, () =>
      Effect.gen(function* () {
        const { configure, ledger, service } = yield* start({ policy: onDemand })
        yield* service.get
        yield* configure({ failure })
        yield* Effect.flip(service.renew)
        yield* configure({ failure: undefined })
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(bare(yield* service.renew), "access-2")
        assert.deepInclude(yield* ledger, { logins: 1, refreshTokens: ["refresh-1", "refresh-1"] })
      })
    )
  }

  it.effect("hours of outages never send one twice", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      for (let hour = 0; hour < 4; hour++) {
        yield* configure({ failure: [answerLost, failing, garbled, undefined][hour % 4] })
        yield* TestClock.adjust("1 hour")
      }
      const { refreshTokens } = yield* ledger
      assert.isAbove(refreshTokens.length, 1)
      assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length)
    })
  )

  it.effect("one whose time has passed is not sent at all", () =>
    Effect.gen(function* () {
      const store = yield* seededStore({ refreshExpiresAt: 1_000 })
      yield* TestClock.adjust("1 second")
      const { ledger, service } = yield* start({ policy: onDemand, store })
      yield* service.get
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("one that rotates and is not replaced by the answer is gone: the next renewal logs in", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ omitsRefreshToken: true })
      yield* service.renew
      yield* service.renew
      assert.deepInclude(yield* ledger, { logins: 2, refreshTokens: ["refresh-1"] })
    })
  )

  it.effect("signing out while it is on the wire: it is not sent again", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ latency: "1 second" })
      const renewal = yield* Effect.forkChild(service.renew)
      yield* TestClock.adjust("500 millis")
      yield* service.invalidate
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(renewal)
      assert.deepInclude(yield* ledger, { logins: 2, refreshTokens: ["refresh-1"] })
    })
  )

  it.effect("across processes, one that a dead holder may have sent is not sent: a login follows after one lease", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      yield* takeAndMark(store)
      const { ledger, service } = yield* start({ policy: onDemand, store })
      const fiber = yield* Effect.forkChild(service.get)
      // The identity may need a digest, which no test clock waits for.
      yield* settled
      yield* TestClock.adjust(5_999)
      assert.include(yield* ledger, { logins: 0, refreshes: 0 })
      // Digests run beside the test clock, so a waiter may begin to look a little later.
      while ((yield* ledger).logins === 0) yield* Effect.andThen(settled, TestClock.adjust("1 second"))
      yield* Fiber.join(fiber)
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("across processes, one that failed when sent is not sent by another", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      const first = yield* start({ policy: onDemand, store, failure: answerLost })
      yield* Effect.forkChild(first.service.get)
      yield* settled
      assert.include(yield* first.ledger, { refreshes: 1 })
      const second = yield* start({ policy: onDemand, store })
      yield* second.service.get
      assert.include(yield* second.ledger, { logins: 1, refreshes: 0 })
    })
  )

  /** A store that is down, a service on it that has a token of its own, and a renewal that is needed. */
  const degraded = Effect.gen(function* () {
    const memory = yield* TokenStore.makeMemory
    const outage = { isOver: false }
    const read = (identity: string) => Effect.suspend(() => (outage.isOver ? memory.read(identity) : Effect.fail(down)))
    const store = { ...memory, read }
    const started = yield* start({ policy: onDemand, store })
    const first = yield* Effect.forkChild(started.service.get)
    yield* TestClock.adjust("6 seconds")
    yield* Fiber.join(first)
    const renewed = Effect.gen(function* () {
      const renewal = yield* Effect.forkChild(Effect.exit(started.service.get))
      yield* TestClock.adjust("30 seconds")
      return yield* Fiber.join(renewal)
    })
    const endOutage = Effect.sync(() => {
      outage.isOver = true
    })
    return { ...started, renewed, endOutage }
  })

  it.effect("while the store is down, a token of our own is refreshed, at most once", () =>
    Effect.gen(function* () {
      const { configure, ledger, renewed } = yield* degraded
      yield* TestClock.adjust("1 hour")
      yield* configure({ failure: answerLost })
      yield* renewed
      yield* renewed
      yield* configure({ failure: undefined })
      yield* renewed
      assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-1"] })
    })
  )

  it.effect("once the store is back, a token that was sent while it was down is not sent again", () =>
    Effect.gen(function* () {
      const { configure, endOutage, ledger, renewed } = yield* degraded
      yield* TestClock.adjust("1 hour")
      yield* configure({ failure: answerLost })
      yield* renewed
      yield* endOutage
      // The private credential is committed meanwhile.
      yield* TestClock.adjust("2 minutes")
      yield* configure({ failure: undefined })
      yield* renewed
      assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-1"] })
    })
  )

  it.effect("while the store is down, a token of our own that was never sent is used again", () =>
    Effect.gen(function* () {
      const { configure, ledger, renewed } = yield* degraded
      yield* TestClock.adjust("1 hour")
      yield* configure({ failure: unreachable })
      yield* renewed
      yield* configure({ failure: undefined })
      yield* renewed
      const { logins, refreshTokens } = yield* ledger
      assert.strictEqual(logins, 1)
      assert.deepStrictEqual([...new Set(refreshTokens)], ["refresh-1"])
    })
  )

  it.effect("while the store is down, a process that holds a valid token makes no exchange", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* degraded
      const before = yield* ledger
      const renewal = yield* Effect.forkChild(reasonOf(service.renew))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* Fiber.join(renewal))._tag, "StoreUnavailable")
      assert.deepStrictEqual(yield* ledger, before)
    })
  )

  it.effect("the refresh token of a response is not sent while it is unknown whether the store has it", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      let failing = false
      const unless = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.suspend((): Effect.Effect<A, E | TokenError.StoreUnavailable> => (failing ? Effect.fail(down) : effect))
      const store: TokenStore.Backend = {
        ...memory,
        read: (identity) => unless(memory.read(identity)),
        commit: (identity, options) => {
          failing = true
          return unless(memory.commit(identity, options))
        }
      }
      const { ledger, service } = yield* start({ policy: onDemand, store })
      const first = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("6 seconds")
      const token = yield* Fiber.join(first)
      const second = yield* Effect.forkChild(service.reject(token))
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(second)
      assert.deepInclude(yield* ledger, { logins: 2, refreshTokens: [] })
    })
  )
})

guarantee("guarantee 4: a refresh token that does not rotate is sent again", steady, ({ start }) => {
  it.effect("one that is not replaced by the answer is used again", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ omitsRefreshToken: true })
      yield* service.renew
      yield* service.renew
      assert.deepInclude(yield* ledger, { logins: 1, refreshTokens: ["refresh-1", "refresh-1"] })
    })
  )

  it.effect("one survives an overloaded platform", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ failure: overloaded })
      yield* Effect.flip(service.renew)
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("1 second")
      yield* service.renew
      assert.deepInclude(yield* ledger, { logins: 1, refreshTokens: ["refresh-1", "refresh-1"] })
    })
  )
})

guarantee("guarantee 4: where a renewal is a login", loggingIn, ({ start }) => {
  it.effect("none is ever sent", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* service.renew
      assert.include(yield* ledger, { logins: 2, refreshes: 0 })
    })
  )
})

guarantee("guarantee 4: without a login to fall back on", rotatingSessions, ({ start }) => {
  it.effect("the refresh token of the session is used", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand, store: yield* seededStore() })
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-0"] })
    })
  )

  it.effect("an empty store needs a person, and no session has ended", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ policy: onDemand })
      const reason = yield* reasonOf(service.get)
      assert.deepInclude(reason, { _tag: "InteractionRequired", session: "none" })
      assert.strictEqual(reason.message, "sign-in required: nobody has signed in. Have the user sign in.")
    })
  )

  it.effect("signed out: a person is needed, and no session has ended", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ policy: onDemand, store: yield* seededStore() })
      yield* service.get
      yield* service.invalidate
      assert.deepInclude(yield* reasonOf(service.get), { _tag: "InteractionRequired", session: "none" })
    })
  )

  it.effect("signed out by another process: the session has ended for this one", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      const { service } = yield* start({ policy: onDemand, store })
      yield* service.get
      yield* store.clear("fake", 0)
      assert.deepInclude(yield* reasonOf(service.renew), { _tag: "InteractionRequired", session: "ended" })
    })
  )

  it.effect("rejected: a person is needed, and it is not sent again", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({
        policy: onDemand,
        store: yield* seededStore({ refreshToken: "stale" })
      })
      const ended = { _tag: "InteractionRequired", session: "ended" } as const
      assert.deepInclude(yield* reasonOf(service.get), { ...ended, status: 400 })
      yield* TestClock.adjust("1 hour")
      const reason = yield* reasonOf(service.get)
      assert.deepInclude(reason, ended)
      assert.strictEqual(reason.message, "sign-in required: the session has ended. Have the user sign in again.")
      assert.deepInclude(yield* ledger, { refreshTokens: ["stale"] })
    })
  )

  it.effect("rejected: with the held token valid, it is served", () =>
    Effect.gen(function* () {
      const store = yield* seededStore({ refreshToken: "stale", expiresAt: 3_600_000 })
      const { service } = yield* start({ policy: onDemand, store })
      yield* service.get
      assert.strictEqual((yield* reasonOf(service.renew))._tag, "InteractionRequired")
      assert.strictEqual(bare(yield* service.get), "access-of-generation-1")
    })
  )

  for (const losesRefresh of [answerLost, garbled, new TokenError.ProviderUnavailable({ failure: "network" })]) {
    it.effect(`answer lost, ${named(losesRefresh)}: a person is needed after one attempt`, () =>
      Effect.gen(function* () {
        const store = yield* seededStore()
        const { ledger, service } = yield* start({ policy: onDemand, store, losesRefresh })
        assert.strictEqual((yield* reasonOf(service.get))._tag, "InteractionRequired")
        assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-0"] })
      })
    )
  }

  for (const failure of [new TokenError.BadRequest({ status: 400 }), unknownScope]) {
    it.effect(`${named(failure)}, which says nothing about it: it is kept and used once the cause is gone`, () =>
      Effect.gen(function* () {
        const store = yield* seededStore()
        const { configure, ledger, service } = yield* start({ policy: onDemand, store, failure })
        assert.strictEqual((yield* reasonOf(service.get))._tag, failure._tag)
        yield* configure({ failure: undefined })
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(bare(yield* service.get), "access-1")
        assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-0", "refresh-0"] })
      })
    )
  }

  for (const failure of [unreachable, overloaded]) {
    it.effect(`${named(failure)}: it is all there is, so it is kept and used again`, () =>
      Effect.gen(function* () {
        const store = yield* seededStore()
        const { configure, ledger, service } = yield* start({ policy: onDemand, store, failure })
        const fiber = yield* Effect.forkChild(service.get)
        yield* settled
        yield* configure({ failure: undefined })
        yield* TestClock.adjust("1 second")
        assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
        assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-0", "refresh-0"] })
      })
    )
  }

  it.effect("a store that is down cannot be passed by: it fails, and a later get succeeds", () =>
    Effect.gen(function* () {
      const memory = yield* seededStore()
      let failing = true
      const store: TokenStore.Backend = {
        ...memory,
        read: (identity) =>
          Effect.suspend((): Effect.Effect<TokenStore.Snapshot, TokenError.StoreUnavailable> =>
            failing ? Effect.fail(down) : memory.read(identity)
          )
      }
      const { service } = yield* start({ policy: onDemand, store })
      const fiber = yield* Effect.forkChild(reasonOf(service.get))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "StoreUnavailable")
      failing = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.strictEqual(
        (yield* stored(memory)).pipe((held) => held._tag),
        "Some"
      )
    })
  )
})

guarantee("guarantee 4: without a login or rotation", steadySessions, ({ start }) => {
  it.effect("answer lost: it is sent once more", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({
        policy: onDemand,
        store: yield* seededStore(),
        latency: "1 second",
        losesRefresh: answerLost
      })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("1 second")
      yield* configure({ losesRefresh: undefined })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-2")
      assert.deepInclude(yield* ledger, { refreshTokens: ["refresh-0", "refresh-0"] })
    })
  )

  it.effect("the store is asked each time before it is sent: the lease may have ended meanwhile", () =>
    Effect.gen(function* () {
      const memory = yield* seededStore()
      let asked = 0
      const store: TokenStore.Backend = {
        ...memory,
        sending: (identity, options) => {
          asked += 1
          return memory.sending(identity, options)
        }
      }
      const { ledger, service } = yield* start({ policy: onDemand, store, losesRefresh: answerLost })
      const failed = yield* Effect.forkChild(reasonOf(service.get))
      yield* settled
      assert.strictEqual((yield* ledger).refreshTokens.length, 2)
      assert.strictEqual(asked, 2)
      yield* Fiber.interrupt(failed)
    })
  )

  it.effect("answer lost twice: the failure is retryable, and a later renewal sends it again", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({
        policy: onDemand,
        store: yield* seededStore(),
        losesRefresh: answerLost
      })
      const failed = yield* Effect.forkChild(reasonOf(service.get))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual((yield* Fiber.join(failed))._tag, "AmbiguousExchange")
      yield* configure({ losesRefresh: undefined })
      yield* TestClock.adjust("10 seconds")
      yield* service.get
      assert.deepStrictEqual([...new Set((yield* ledger).refreshTokens)], ["refresh-0"])
    })
  )
})
