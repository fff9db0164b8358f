import { assert, describe, it } from "@effect/vitest"
import {
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Redacted,
  References,
  Scheduler,
  Scope,
  Stream
} from "effect"
import { RenewalPolicy, TokenError, TokenEvent, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { SplitClock, layer as splitClock } from "effect-video-auth/testing/SplitClock"
import { TestClock } from "effect/testing"
import {
  bare,
  closeAtOnce,
  credential,
  overloaded,
  reasonOf,
  seededStore,
  settled,
  start,
  stored,
  unreachable,
  wrongKey
} from "../guarantees/engine.ts"
import { yieldingAt } from "../support/yielding.ts"
import { slowStore } from "../support/slowStore.ts"

const { onDemand } = RenewalPolicy

describe("layer", () => {
  it.effect("provides a service for a provider", () =>
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      assert.strictEqual(bare(yield* service.get), "access-1")
    }).pipe(Effect.provide(TokenService.layer({ provider: FakeProvider.make().provider, policy: onDemand })))
  )

  it.effect("reads the store from the context", () =>
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      const store = yield* TokenStore.TokenStore
      yield* service.get
      assert.deepStrictEqual(Option.map(yield* store.current("fake"), bare), Option.some("access-1"))
    }).pipe(
      Effect.provide(
        TokenService.layer({ provider: FakeProvider.make().provider, policy: onDemand }).pipe(
          Layer.provideMerge(TokenStore.layerMemory)
        )
      )
    )
  )

  it.effect("fails to build where the provider cannot name its credential", () =>
    Effect.gen(function* () {
      const reason = new TokenError.ConfigurationInvalid({ option: "apiKey", problem: "it must not be empty" })
      const provider = { ...FakeProvider.make().provider, identity: Effect.fail(reason) }
      const error = yield* Effect.flip(TokenService.make({ provider }))
      assert.deepStrictEqual(error.reason, reason)
      assert.strictEqual(error.provider, "fake")
    })
  )

  it.effect("exchanges run with the layer's context, not with a caller's", () =>
    Effect.gen(function* () {
      const Whose = Context.Reference<string>("test/Whose", { defaultValue: () => "nobody's" })
      const { provider } = FakeProvider.make()
      const login = Effect.map(Whose, (whose) => ({ accessToken: Redacted.make(whose), expiresIn: "1 hour" as const }))
      const service = yield* TokenService.make({ provider: { ...provider, login }, policy: onDemand }).pipe(
        Effect.provideService(Whose, "the-layer's")
      )
      assert.strictEqual(bare(yield* Effect.provideService(service.get, Whose, "a-caller's")), "the-layer's")
    })
  )
})

describe("get", () => {
  it.effect("serves a held token without any exchange", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start()
      const token = yield* service.get
      yield* TestClock.adjust("40 minutes")
      assert.strictEqual(yield* service.get, token)
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("runs the login anew each time, so that a key may rotate", () =>
    Effect.gen(function* () {
      const keys = ["first-key", "second-key"]
      const { provider } = FakeProvider.make({ traits: { renewWith: "login" } })
      const login = Effect.sync(() => ({
        accessToken: Redacted.make(keys.shift() ?? ""),
        expiresIn: "1 hour" as const
      }))
      const service = yield* TokenService.make({ provider: { ...provider, login }, policy: onDemand })
      assert.strictEqual(bare(yield* service.get), "first-key")
      assert.strictEqual(bare(yield* service.renew), "second-key")
    })
  )
})

describe("getValidFor", () => {
  it.effect("serves a token that lasts long enough, to the millisecond, without an exchange", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand })
      const token = yield* service.get
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(yield* service.getValidFor("30 minutes"), token)
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("renews once where the held token does not last", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(bare(yield* service.getValidFor(1_800_001)), "access-2")
      assert.include(yield* ledger, { logins: 1, refreshes: 1 })
    })
  )

  it.effect("makes one login where none is held", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ policy: onDemand })
      assert.strictEqual(bare(yield* service.getValidFor("50 minutes")), "access-1")
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("fails where even a fresh token does not last, and says how long one does", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ policy: onDemand })
      const error = yield* Effect.flip(service.getValidFor("2 hours"))
      assert.deepInclude(error.reason, {
        _tag: "LifetimeTooShort",
        requested: Duration.hours(2),
        available: Duration.hours(1)
      })
      assert.strictEqual(error.validUntil, 3_600_000)
      assert.isFalse(error.isRetryable)
    })
  )

  for (const [latency, wanted] of [
    [0, "2 hours"],
    [100, "2 hours"],
    [100, "1 hour"]
  ] as const) {
    it.effect(`remembers that ${wanted} is too long of an exchange of ${latency} ms: no further exchange`, () =>
      Effect.gen(function* () {
        const { ledger, service } = yield* start({ policy: onDemand, latency })
        const fiber = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 9 }), () => reasonOf(service.getValidFor(wanted)))
        )
        yield* TestClock.adjust("1 second")
        for (const reason of yield* Fiber.join(fiber)) assert.strictEqual(reason._tag, "LifetimeTooShort")
        assert.include(yield* ledger, { logins: 1, refreshes: 0 })
      })
    )
  }

  it.effect("what it remembers ends with a token that lasts longer", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ policy: onDemand })
      yield* Effect.flip(service.getValidFor("2 hours"))
      yield* configure({ lifetime: "1 day" })
      yield* Effect.flip(service.getValidFor("2 hours"))
      yield* service.renew
      assert.strictEqual(bare(yield* service.getValidFor("2 hours")), "access-2")
    })
  )

  it.effect("what it remembers does not stop shorter wishes", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ policy: onDemand })
      yield* Effect.flip(service.getValidFor("2 hours"))
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(bare(yield* service.getValidFor("45 minutes")), "access-2")
    })
  )

  it.effect("an adopted token that is not fresh is renewed once more", () =>
    Effect.gen(function* () {
      const store = yield* seededStore({ expiresAt: 600_000 })
      const { ledger, service } = yield* start({ policy: onDemand, store })
      assert.strictEqual(bare(yield* service.getValidFor("50 minutes")), "access-1")
      assert.include(yield* ledger, { logins: 0, refreshes: 1 })
    })
  )

  it.effect("a token that aged while the machine slept is renewed once more, and shows nothing about fresh ones", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { ledger, service } = yield* start({ policy: onDemand, latency: "1 second" })
      const fiber = yield* Effect.forkChild(service.getValidFor("50 minutes"))
      yield* settled
      yield* clock.suspend("30 minutes")
      yield* clock.stepMonotonic("30 minutes")
      yield* TestClock.adjust("1 second")
      yield* settled
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-2")
      assert.include(yield* ledger, { logins: 1, refreshes: 1 })
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("fails with the renewal's reason while the held token is valid, and asks no more often than get may", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* TestClock.adjust("30 minutes")
      yield* configure({ failure: unreachable })
      for (let call = 0; call < 10; call++) {
        assert.deepStrictEqual(yield* reasonOf(service.getValidFor("50 minutes")), unreachable)
      }
      assert.include(yield* ledger, { refreshes: 1 })
      yield* TestClock.adjust("1 second")
      yield* configure({ failure: undefined })
      assert.strictEqual(bare(yield* service.getValidFor("50 minutes")), "access-2")
    })
  )
})

describe("renew", () => {
  it.effect("replaces a token that is still valid", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      yield* service.get
      const renewed = yield* service.renew
      assert.strictEqual(bare(renewed), "access-2")
      assert.strictEqual(renewed.generation, 2)
      assert.strictEqual(yield* service.get, renewed)
    })
  )

  it.effect("called 100 times while the platform fails, makes as many attempts as get", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ failure: unreachable })
      for (let call = 0; call < 100; call++) {
        assert.deepStrictEqual(yield* reasonOf(service.renew), unreachable)
        yield* TestClock.adjust(60)
      }
      assert.include(yield* ledger, { refreshes: 3 })
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(bare(yield* service.renew), "access-2")
    })
  )

  it.effect("fails in the same way again from memory, where the held token has expired", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      const { expiresAt } = yield* service.get
      yield* TestClock.adjust("2 hours")
      const renewal = new TokenError.AccountSuspended({ status: 403 })
      yield* configure({ failure: renewal })
      const expired = new TokenError.TokenExpired({ expiredAt: expiresAt, renewal })
      assert.deepStrictEqual(yield* reasonOf(service.renew), expired)
      assert.deepStrictEqual(yield* reasonOf(service.renew), expired)
      assert.include(yield* ledger, { refreshes: 1 })
    })
  )

  it.effect("does wait for what the platform asked for, by failing", () =>
    Effect.gen(function* () {
      const failure = new TokenError.RateLimited({ retryAfter: Duration.seconds(60) })
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ failure })
      yield* Effect.flip(service.renew)
      assert.deepStrictEqual(yield* reasonOf(service.renew), failure)
      assert.include(yield* ledger, { refreshes: 1 })
    })
  )
})

describe("a machine that slept", () => {
  it.effect("serves no token that expired while the store was taking it, though the wall clock was set back", () =>
    Effect.gen(function* () {
      const store = yield* slowStore
      const { ledger, service } = yield* start({ store, policy: onDemand })
      const caller = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(bare(yield* Fiber.join(caller)), "access-2")
      assert.include(yield* ledger, { logins: 1, refreshes: 1 })
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("serves a token for its whole life, however long the attempt waited for the store before it was sent", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const store: TokenStore.Backend = {
        ...memory,
        claim: (identity, options) => Effect.delay(memory.claim(identity, options), "10 seconds")
      }
      const { ledger, service } = yield* start({ store, policy: onDemand, lifetime: "12 seconds" })
      const caller = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(bare(yield* Fiber.join(caller)), "access-1")
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(bare(yield* service.get), "access-1")
      yield* settled
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("makes no attempt for a caller whose time is up", () =>
    Effect.gen(function* () {
      const clock = yield* SplitClock
      const { ledger, service } = yield* start({ policy: onDemand, failure: unreachable })
      const caller = yield* Effect.forkChild(reasonOf(service.get))
      yield* settled
      assert.include(yield* ledger, { logins: 1 })
      yield* clock.suspend("1 hour")
      yield* clock.stepMonotonic("1 hour")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(caller))._tag, "ProviderUnavailable")
      assert.include(yield* ledger, { logins: 1 })
    }).pipe(Effect.provide(splitClock))
  )
})

describe("invalidate", () => {
  it.effect("forgets the token here and in the store: the next get logs in", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const { ledger, service } = yield* start({ store })
      yield* service.get
      yield* service.invalidate
      assert.include(yield* service.state, { phase: "empty", expiresAt: undefined })
      assert.strictEqual((yield* stored(store))._tag, "None")
      assert.strictEqual(bare(yield* service.get), "access-2")
      assert.include(yield* ledger, { logins: 2, refreshes: 0 })
    })
  )

  it.effect("no get is served the old token from the moment it is called", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const store = {
        ...memory,
        clear: (identity: string, epoch: number) => Effect.delay(memory.clear(identity, epoch), "1 second")
      }
      const { service } = yield* start({ store })
      yield* service.get
      const signingOut = yield* Effect.forkChild(service.invalidate, { startImmediately: true })
      const get = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(signingOut)
      assert.strictEqual(bare(yield* Fiber.join(get)), "access-2")
    })
  )

  it.effect("during an exchange: its answer is discarded and who waits gets a login of its own", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start({ policy: onDemand })
      yield* service.get
      yield* configure({ latency: "1 second" })
      const renewal = yield* Effect.forkChild(service.renew)
      yield* TestClock.adjust("500 millis")
      yield* service.invalidate
      yield* TestClock.adjust("1 second")
      assert.strictEqual(bare(yield* Fiber.join(renewal)), "access-2")
      assert.include(yield* ledger, { logins: 2, refreshes: 1, interrupted: 1 })
    })
  )

  it.effect("while a response is being stored: the store is cleared after that, and not before", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const order: Array<string> = []
      const store: TokenStore.Backend = {
        ...memory,
        commit: (identity, options) =>
          Effect.tap(Effect.delay(memory.commit(identity, options), "1 second"), () =>
            Effect.sync(() => order.push("commit"))
          ),
        clear: (identity, epoch) =>
          Effect.tap(memory.clear(identity, epoch), () => Effect.sync(() => order.push("clear")))
      }
      const { service } = yield* start({ store })
      const caller = yield* Effect.forkChild(service.get)
      yield* settled
      const signingOut = yield* Effect.forkChild(service.invalidate)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(signingOut)
      assert.strictEqual(bare(yield* Fiber.join(caller)), "access-2")
      assert.deepStrictEqual(order, ["commit", "clear", "commit"])
    })
  )

  it.effect("during a scheduled renewal nobody waits for: none follows", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ hangs: true })
      yield* TestClock.adjust("2880 seconds")
      yield* service.invalidate
      yield* TestClock.adjust("1 hour")
      assert.include(yield* ledger, { logins: 1, refreshes: 1 })
      assert.include(yield* service.state, { phase: "empty" })
    })
  )

  for (const isBusy of [false, true]) {
    const when = isBusy ? "during an exchange" : "at rest"
    it.effect(`${when}, at whatever step it yields, or is interrupted, the service goes on`, () =>
      Effect.forEach(
        Array.from({ length: 90 }, (_, step) => step),
        (step) =>
          Effect.scoped(
            Effect.gen(function* () {
              const scheduler = yieldingAt(step)
              const yielding = Effect.provideService(Scheduler.Scheduler, scheduler)
              const store = yield* TokenStore.makeMemory
              const { configure, ledger, service } = yield* yielding(start({ store }))
              const isOver = (fiber: Fiber.Fiber<unknown, unknown>) =>
                assert.isDefined(fiber.pollUnsafe(), `step ${step}`)
              const begin = Effect.gen(function* () {
                yield* service.get
                if (!isBusy) return []
                yield* configure({ hangs: true })
                const renewal = yield* Effect.forkChild(service.renew)
                yield* settled
                yield* configure({ hangs: false })
                return [renewal]
              })
              const waiting = yield* begin
              scheduler.restart()
              const signingOut = yield* Effect.forkChild(yielding(service.invalidate))
              const caller = yield* Effect.forkChild(yielding(service.get))
              yield* settled
              for (const fiber of [signingOut, caller, ...waiting]) isOver(fiber)

              const cut = yield* begin
              scheduler.restart()
              const gone = yield* Effect.forkChild(yielding(service.invalidate))
              yield* Effect.yieldNow
              yield* Fiber.interrupt(gone)
              yield* settled
              // It has either not begun, or it is finished all the same.
              const { phase } = yield* service.state
              if (phase !== "renewing") cut.forEach(isOver)
              assert.strictEqual((yield* stored(store))._tag, phase === "empty" ? "None" : "Some", `step ${step}`)
              const next = yield* Effect.forkChild(service.get)
              yield* settled
              isOver(next)
              const { logins, peak } = yield* ledger
              assert.strictEqual(peak, 1, `step ${step}`)
              assert.isAtMost(logins, 3, `step ${step}`)
            })
          ),
        { discard: true }
      )
    )
  }

  it.effect("forgets a failure: a new key may be tried at once", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ failure: wrongKey })
      yield* Effect.flip(service.get)
      yield* configure({ failure: undefined })
      yield* service.invalidate
      assert.strictEqual(bare(yield* service.get), "access-1")
    })
  )

  it.effect("twice at once signs out once", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      let clears = 0
      const store = {
        ...memory,
        clear: (identity: string, epoch: number) =>
          Effect.suspend(() => {
            clears += 1
            return memory.clear(identity, epoch)
          })
      }
      const { service } = yield* start({ store })
      yield* service.get
      yield* Effect.all([service.invalidate, service.invalidate], { concurrency: "unbounded" })
      assert.strictEqual(clears, 1)
    })
  )

  it.effect("a second time: nothing comes of a caller who asked between the two and went", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const store = {
        ...memory,
        clear: (identity: string, epoch: number) => Effect.delay(memory.clear(identity, epoch), "1 second")
      }
      const { ledger, service } = yield* start({ store })
      yield* service.get
      const first = yield* Effect.forkChild(service.invalidate)
      const gone = yield* Effect.forkChild(service.get)
      yield* settled
      yield* Fiber.interrupt(gone)
      const second = yield* Effect.forkChild(service.invalidate)
      yield* settled
      yield* TestClock.adjust("1 hour")
      yield* Fiber.joinAll([first, second])
      assert.include(yield* ledger, { logins: 1 })
      assert.include(yield* service.state, { phase: "empty" })
    })
  )

  it.effect("generations go on", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      yield* service.get
      yield* service.renew
      yield* service.invalidate
      assert.strictEqual((yield* service.get).generation, 3)
    })
  )
})

describe("state", () => {
  it.effect("goes from empty over acquiring to valid", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ latency: "1 second" })
      assert.deepStrictEqual(yield* service.state, {
        phase: "empty",
        generation: 0,
        expiresAt: undefined,
        renewAt: undefined,
        lastFailure: undefined,
        degraded: false
      })
      const fiber = yield* Effect.forkChild(service.get)
      yield* settled
      assert.include(yield* service.state, { phase: "acquiring" })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* service.state, {
        phase: "valid",
        generation: 1,
        expiresAt: 3_600_000,
        renewAt: 2_880_000,
        lastFailure: undefined,
        degraded: false
      })
    })
  )

  it.effect("is renewing while a valid token is being replaced", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start()
      yield* service.get
      yield* configure({ hangs: true })
      yield* TestClock.adjust("2880 seconds")
      assert.include(yield* service.state, { phase: "renewing", generation: 1 })
    })
  )

  it.effect("is failed where nothing valid is held, with the reason, until the next success", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ failure: wrongKey })
      const error = yield* Effect.flip(service.get)
      yield* settled
      assert.include(yield* service.state, { phase: "failed", lastFailure: error })
      yield* configure({ failure: undefined })
      yield* TestClock.adjust("10 seconds")
      yield* service.get
      yield* settled
      assert.include(yield* service.state, { phase: "valid", lastFailure: undefined })
    })
  )

  it.effect("stays valid when a renewal fails, and tells the failure and when the next one is due", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start()
      yield* service.get
      yield* configure({ failure: unreachable })
      yield* TestClock.adjust("2880 seconds")
      const state = yield* service.state
      assert.include(state, { phase: "valid", renewAt: 2_910_000 })
      assert.deepStrictEqual(state.lastFailure?.reason, unreachable)
    })
  )

  it.effect("awaitChange completes at once where the state differs already", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      const before = yield* service.state
      yield* service.get
      yield* settled
      assert.include(yield* service.awaitChange(before), { phase: "valid" })
    })
  )

  it.effect("awaitChange waits for the next change, however far away", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start()
      yield* service.get
      yield* settled
      yield* configure({ hangs: true })
      const fiber = yield* Effect.forkChild(Effect.flatMap(service.state, service.awaitChange))
      yield* TestClock.adjust("2879 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.include(yield* Fiber.join(fiber), { phase: "renewing" })
    })
  )

  it.effect("awaitChange is told of a sign-out", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      yield* service.get
      yield* settled
      const fiber = yield* Effect.forkChild(Effect.flatMap(service.state, service.awaitChange))
      yield* settled
      yield* service.invalidate
      assert.include(yield* Fiber.join(fiber), { phase: "empty" })
    })
  )

  it.effect("changes begins with the present state and tells each one after it", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ latency: "1 second" })
      const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(TokenService.changes(service), 5)))
      yield* settled
      const first = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* settled
      yield* Effect.forkChild(service.renew)
      yield* TestClock.adjust("1 second")
      const states = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        states.map(({ generation, phase }) => [phase, generation]),
        [
          ["empty", 0],
          ["acquiring", 0],
          ["valid", 1],
          ["renewing", 1],
          ["valid", 2]
        ]
      )
    })
  )
})

describe("events", () => {
  /** A service whose events are recorded, behind the observers given. */
  const recorded = Effect.fnUntraced(function* (
    options?: Parameters<typeof start>[0],
    ...before: ReadonlyArray<TokenEvent.Observer>
  ) {
    const events: Array<TokenEvent.TokenEvent> = []
    const record: TokenEvent.Observer = (event) => Effect.sync(() => void events.push(event))
    const started = yield* Effect.provideService(start(options), TokenEvent.Observers, [...before, record])
    return { ...started, events }
  })

  it.effect("a login tells what it was for, how long it took and what it gave", () =>
    Effect.gen(function* () {
      const { events, service } = yield* recorded({ latency: "2 seconds" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.sameDeepMembers(events, [
        {
          _tag: "Renewed",
          provider: "fake",
          identity: "fake",
          trigger: "demand",
          by: "login",
          generation: 1,
          duration: 2_000,
          age: undefined,
          expiresAt: 3_600_000
        },
        { _tag: "Waited", provider: "fake", identity: "fake", duration: 2_000 }
      ])
    })
  )

  it.effect("a refresh tells the age of the token that it replaces", () =>
    Effect.gen(function* () {
      const { events, service } = yield* recorded()
      yield* service.get
      yield* TestClock.adjust("2880 seconds")
      assert.deepInclude(events.at(-1), { _tag: "Renewed", trigger: "scheduled", by: "refresh", age: 2_880_000 })
    })
  )

  it.effect("an adoption is told from an exchange", () =>
    Effect.gen(function* () {
      const { events, service } = yield* recorded({ store: yield* seededStore({ expiresAt: 3_600_000 }) })
      yield* service.get
      yield* settled
      const renewed = events.find((event) => event._tag === "Renewed")
      assert.deepInclude(renewed, { by: "adopted", generation: 1 })
    })
  )

  for (const [trigger, ask] of [
    ["renew", (service) => service.renew],
    ["rejected", (service) => Effect.flatMap(service.get, service.reject)],
    ["early", (service) => Effect.andThen(TestClock.adjust("55 minutes"), service.get)]
  ] as ReadonlyArray<
    readonly [TokenEvent.Trigger, (service: TokenService.TokenService["Service"]) => Effect.Effect<unknown, unknown>]
  >) {
    it.effect(`the trigger ${trigger} is told`, () =>
      Effect.gen(function* () {
        const { events, service } = yield* recorded({ policy: onDemand })
        yield* service.get
        yield* ask(service)
        yield* settled
        const second = events.find((event) => event._tag === "Renewed" && event.generation === 2)
        assert.deepInclude(second, { trigger })
      })
    )
  }

  it.effect("each failed attempt is told", () =>
    Effect.gen(function* () {
      const { events, service } = yield* recorded({ failure: overloaded, latency: "1 second" })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("11 seconds")
      const error = yield* Fiber.join(fiber)
      const failures = events.filter((event) => event._tag === "RenewalFailed")
      assert.strictEqual(failures.length, 4)
      assert.deepInclude(failures.at(-1), { trigger: "demand", duration: 1_000, error })
    })
  )

  it.effect("a get that does not wait tells nothing", () =>
    Effect.gen(function* () {
      const { events, service } = yield* recorded()
      yield* service.get
      yield* settled
      const { length } = events
      yield* service.get
      assert.strictEqual(events.length, length)
    })
  )

  for (const [what, observer] of [
    ["dies", () => Effect.die("an observer's bug")],
    [
      "throws",
      () => {
        throw new Error("an observer's bug")
      }
    ],
    ["never ends", () => Effect.never]
  ] as ReadonlyArray<readonly [string, TokenEvent.Observer]>) {
    it.effect(`an observer that ${what} delays nobody: tokens are served, and the other observers hear`, () =>
      Effect.gen(function* () {
        const { events, service } = yield* recorded({}, observer)
        assert.strictEqual(bare(yield* service.get), "access-1")
        assert.strictEqual(bare(yield* service.renew), "access-2")
        yield* settled
        assert.strictEqual(events.length, 4)
      }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
    )
  }

  it.effect("an observer is interrupted after 10 s", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const hangs = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))
      const { service } = yield* recorded({}, hangs)
      yield* service.get
      yield* TestClock.adjust(9_999)
      assert.strictEqual(interrupted, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(interrupted, 2)
    })
  )

  it.effect("an observer that never ends does not keep the scope open", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { service } = yield* Scope.provide(
        recorded({}, () => Effect.never),
        scope
      )
      yield* service.get
      assert.isTrue(yield* closeAtOnce(scope))
    })
  )

  it.effect("an observer that cannot be interrupted keeps the scope open for 1 s", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { service } = yield* Scope.provide(
        recorded({}, () => Effect.uninterruptible(Effect.sleep("1 hour"))),
        scope
      )
      yield* service.get
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(closing.pollUnsafe())
    })
  )

  it.effect("an observer that is busy with 100 events misses further ones, and a warning is logged", () =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      let heard = 0
      const hangs = () => {
        heard += 1
        return Effect.never
      }
      yield* Effect.gen(function* () {
        const { service } = yield* recorded({}, hangs)
        for (let count = 0; count < 150; count++) yield* service.renew
        yield* TestClock.adjust("10 seconds")
        yield* service.renew
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.strictEqual(heard, 102)
      assert.deepStrictEqual(warnings, ["an observer of token events is too slow and misses some"])
    })
  )

  it.effect("an observer may sign out when a renewal has failed", () =>
    Effect.gen(function* () {
      const signsOut: TokenEvent.Observer = (event) =>
        event._tag === "RenewalFailed" ? Effect.ignore(Effect.suspend(() => service.invalidate)) : Effect.void
      const { configure, service } = yield* recorded({}, signsOut)
      yield* service.get
      yield* configure({ failure: wrongKey })
      assert.deepStrictEqual(yield* reasonOf(service.renew), wrongKey)
      yield* settled
      assert.include(yield* service.state, { phase: "empty", expiresAt: undefined })
      yield* configure({ failure: undefined })
      assert.strictEqual(bare(yield* service.get), "access-2")
    })
  )

  it.effect("an observer that signs out at each failure does not make a caller wait for more than four attempts", () =>
    Effect.gen(function* () {
      const signsOut: TokenEvent.Observer = (event) =>
        event._tag === "RenewalFailed" ? Effect.ignore(Effect.suspend(() => service.invalidate)) : Effect.void
      const { ledger, service } = yield* recorded({ failure: overloaded }, signsOut)
      const caller = yield* Effect.forkChild(Effect.flip(service.get))
      for (let second = 0; second < 8; second++) {
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual((yield* Fiber.join(caller)).reason, overloaded)
      assert.include(yield* ledger, { logins: 4 })
    })
  )
})

describe("layerTest", () => {
  const test = (
    name: string,
    outcomes: Parameters<typeof TokenService.layerTest>[0],
    body: (
      service: TokenService.TokenService["Service"],
      calls: Effect.Effect<ReadonlyArray<TokenService.Call>>
    ) => Effect.Effect<void, unknown>
  ) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        yield* body(yield* TokenService.TokenService, yield* TokenService.TestCalls)
      }).pipe(Effect.provide(TokenService.layerTest(outcomes)))
    )

  test("serves a token until it is renewed", ["first", "second"], (service) =>
    Effect.gen(function* () {
      assert.deepStrictEqual([bare(yield* service.get), bare(yield* service.getValidFor("1 day"))], ["first", "first"])
      assert.strictEqual(bare(yield* service.renew), "second")
      assert.strictEqual(bare(yield* service.get), "second")
    })
  )

  test("serves the last outcome for ever", ["first", "second"], (service) =>
    Effect.gen(function* () {
      yield* service.renew
      yield* service.renew
      assert.strictEqual(bare(yield* service.renew), "second")
    })
  )

  test("a rejection of the current token gives the next one", ["first", "second"], (service) =>
    Effect.gen(function* () {
      const first = yield* service.get
      assert.strictEqual(bare(yield* service.reject(first)), "second")
      assert.strictEqual(bare(yield* service.reject(first)), "second")
    })
  )

  test("fails with a reason once, then goes on", [wrongKey, "second"], (service) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reasonOf(service.get), wrongKey)
      assert.strictEqual(bare(yield* service.get), "second")
    })
  )

  test("fails for ever where the last outcome is a reason", ["first", wrongKey], (service) =>
    Effect.gen(function* () {
      yield* service.get
      assert.deepStrictEqual(yield* reasonOf(service.renew), wrongKey)
      assert.deepStrictEqual(yield* reasonOf(service.get), wrongKey)
    })
  )

  test("signing out goes on to the next outcome", ["first", "second"], (service) =>
    Effect.gen(function* () {
      yield* service.invalidate
      assert.strictEqual(bare(yield* service.get), "second")
    })
  )

  const whole = credential({ expiresAt: 17 })
  test("serves a whole token as it is", [whole], (service) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* service.get, whole)
    })
  )

  test("a token given as text is valid for ever", ["first"], (service) =>
    Effect.gen(function* () {
      const { expiresAt } = yield* service.get
      assert.isAbove(expiresAt, Date.UTC(9999, 11))
      assert.isFalse(Number.isNaN(new Date(expiresAt).getTime()))
    })
  )

  test("records the calls, in order", ["first", "second"], (service, calls) =>
    Effect.gen(function* () {
      const token = yield* service.get
      yield* service.getValidFor("20 minutes")
      yield* service.reject(token)
      yield* service.renew
      yield* service.invalidate
      assert.deepStrictEqual(yield* calls, [
        { _tag: "get" },
        { _tag: "getValidFor", duration: Duration.minutes(20) },
        { _tag: "reject", token },
        { _tag: "renew" },
        { _tag: "invalidate" }
      ])
    })
  )

  test("needs no clock: its state is valid and does not change", ["first"], (service) =>
    Effect.gen(function* () {
      assert.include(yield* service.state, { phase: "valid" })
    })
  )
})
