import { assert, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import { TokenError, TokenStore } from "effect-video-auth"
import { TestClock } from "effect/testing"
import {
  bare,
  census,
  closeAtOnce,
  overloaded,
  reasonOf,
  seededStore,
  settled,
  stored,
  takeLease,
  unreachable
} from "./engine.ts"
import { platforms, rotating, sessions } from "./platforms.ts"
import { guarantee } from "./suite.ts"

const isInterrupted = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && Exit.hasInterrupts(exit)

guarantee("guarantee 5: a cancelled caller loses nothing", platforms, ({ start }) => {
  it.effect("the only caller is cancelled: the exchange completes and is kept", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("50 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.include(yield* ledger, { logins: 1, interrupted: 0 })
    })
  )

  it.effect("one of two callers is cancelled: the other one gets the token", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const cancelled = yield* Effect.forkChild(service.get)
      const patient = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("50 millis")
      yield* Fiber.interrupt(cancelled)
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(bare(yield* Fiber.join(patient)), "access-1")
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("a caller with a timeout of its own does not cut the exchange", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ latency: "100 millis" })
      const fiber = yield* Effect.forkChild(Effect.timeoutOption(service.get, "10 millis"))
      yield* TestClock.adjust("100 millis")
      assert.isTrue(Option.isNone(yield* Fiber.join(fiber)))
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.include(yield* ledger, { logins: 1, interrupted: 0 })
    })
  )
})

guarantee("guarantee 5: a cancelled caller, where refresh tokens rotate", rotating, ({ start }) => {
  it.effect("a refresh whose caller is cancelled completes: the new refresh token is not lost", () =>
    Effect.gen(function* () {
      const { configure, ledger, service } = yield* start()
      yield* service.get
      yield* configure({ latency: "100 millis" })
      const fiber = yield* Effect.forkChild(service.renew)
      yield* TestClock.adjust("50 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("50 millis")
      yield* configure({ latency: 0 })
      assert.strictEqual(bare(yield* service.renew), "access-3")
      assert.deepInclude(yield* ledger, { logins: 1, refreshTokens: ["refresh-1", "refresh-2"] })
    })
  )
})

guarantee("guarantee 5: closing the scope", platforms, ({ renewed, startIn }) => {
  it.effect("idle: ends at once and leaves no fibre", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { service } = yield* count(startIn(scope))
      yield* service.get
      assert.isAbove(yield* alive, 0)
      assert.isTrue(yield* closeAtOnce(scope))
      assert.strictEqual(yield* alive, 0)
    })
  )

  it.effect("between two attempts: ends at once, makes no further one and leaves no fibre", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { ledger, service } = yield* count(startIn(scope, { failure: overloaded }))
      const waiter = yield* Effect.forkChild(Effect.exit(service.get))
      yield* TestClock.adjust("500 millis")
      assert.include(yield* ledger, { logins: 1 })
      assert.isTrue(yield* closeAtOnce(scope))
      assert.isTrue(isInterrupted(yield* Fiber.join(waiter)))
      assert.strictEqual(yield* alive, 0)
      yield* TestClock.adjust("1 minute")
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("in a cool-down: ends at once, makes no further attempt and leaves no fibre", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { configure, ledger, service } = yield* count(startIn(scope))
      yield* service.get
      yield* configure({ failure: unreachable })
      yield* TestClock.adjust("2890 seconds")
      assert.include(yield* ledger, renewed(1))
      assert.isTrue(yield* closeAtOnce(scope))
      assert.strictEqual(yield* alive, 0)
      yield* TestClock.adjust("1 hour")
      assert.include(yield* ledger, renewed(1))
    })
  )

  it.effect("a request on the wire: cuts it at once and leaves no fibre", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { ledger, service } = yield* count(startIn(scope, { hangs: true }))
      const waiters = yield* Effect.forkChild(
        Effect.all(
          [Effect.exit(service.get), Effect.exit(service.renew), Effect.exit(service.getValidFor("1 minute"))],
          {
            concurrency: "unbounded"
          }
        )
      )
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* closeAtOnce(scope))
      assert.isTrue((yield* Fiber.join(waiters)).every(isInterrupted))
      assert.strictEqual(yield* alive, 0)
      assert.include(yield* ledger, { logins: 1, interrupted: 1 })
    })
  )

  it.effect("a renewal on the wire that has a login behind it is cut at once as well", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { configure, ledger, service } = yield* startIn(scope)
      yield* service.get
      yield* configure({ hangs: true })
      yield* Effect.forkChild(Effect.exit(service.renew))
      yield* settled
      assert.isTrue(yield* closeAtOnce(scope))
      assert.include(yield* ledger, { ...renewed(1), interrupted: 1 })
    })
  )

  it.effect("an answer in hand is stored first, and who waits is interrupted", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const store: TokenStore.Backend = {
        ...memory,
        commit: (identity, options) => Effect.delay(memory.commit(identity, options), "300 millis")
      }
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { service } = yield* count(startIn(scope, { store, latency: "100 millis" }))
      const waiter = yield* Effect.forkChild(Effect.exit(service.get))
      yield* TestClock.adjust("180 millis")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("219 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(closing.pollUnsafe())
      assert.isTrue(isInterrupted(yield* Fiber.join(waiter)))
      assert.strictEqual(yield* alive, 0)
      assert.strictEqual(Option.map(yield* stored(memory), bare).pipe(Option.getOrUndefined), "access-1")
    })
  )

  it.effect("a sign-out: its callers are interrupted at once, and the store's call is finished first", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const store: TokenStore.Backend = {
        ...memory,
        clear: (identity, epoch) => Effect.delay(memory.clear(identity, epoch), "2 seconds")
      }
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { service } = yield* count(startIn(scope, { store }))
      const waiter = yield* Effect.forkChild(Effect.exit(service.invalidate))
      yield* settled
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settled
      assert.isTrue(isInterrupted(yield* Fiber.join(waiter)))
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(closing.pollUnsafe())
      assert.strictEqual(yield* alive, 0)
    })
  )

  it.effect("whatever is asked for afterwards fails with ServiceClosed, though a valid token was held", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { ledger, service } = yield* startIn(scope)
      const token = yield* service.get
      yield* Scope.close(scope, Exit.void)
      for (const call of [
        service.get,
        service.getValidFor("1 minute"),
        service.renew,
        service.reject(token),
        service.invalidate
      ]) {
        assert.instanceOf(yield* reasonOf(call), TokenError.ServiceClosed)
      }
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("the state says so, and who waits for a change is told", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { service } = yield* startIn(scope)
      yield* service.get
      const fiber = yield* Effect.forkChild(Effect.flatMap(service.state, service.awaitChange))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(fiber)).phase, "closed")
    })
  )
})

guarantee("guarantee 5: closing the scope while another has the lease", [...platforms, ...sessions], ({ startIn }) => {
  it.effect("ends at once", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      yield* takeLease(store)
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { ledger, service } = yield* count(startIn(scope, { store }))
      const waiter = yield* Effect.forkChild(Effect.exit(service.get))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* closeAtOnce(scope))
      assert.isTrue(isInterrupted(yield* Fiber.join(waiter)))
      assert.strictEqual(yield* alive, 0)
      assert.include(yield* ledger, { logins: 0, refreshes: 0 })
    })
  )
})

guarantee("guarantee 5: closing the scope, where refresh tokens rotate", rotating, ({ start, startIn }) => {
  it.effect("cutting a refresh on the wire marks its token as spent for whoever comes next", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      const scope = yield* Scope.make()
      const first = yield* startIn(scope, { store, hangs: true })
      yield* Effect.forkChild(Effect.exit(first.service.get))
      yield* settled
      assert.include(yield* first.ledger, { refreshes: 1 })
      yield* Scope.close(scope, Exit.void)
      const second = yield* start({ store })
      yield* second.service.get
      assert.include(yield* second.ledger, { logins: 1, refreshes: 0 })
    })
  )
})

guarantee("guarantee 5: closing the scope, without a login to fall back on", sessions, ({ startIn }) => {
  it.effect("a refresh gets its grace and is kept", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { service } = yield* count(startIn(scope, { store, latency: "4 seconds" }))
      const waiter = yield* Effect.forkChild(Effect.exit(service.get))
      yield* TestClock.adjust("1 second")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("3 seconds")
      assert.isDefined(closing.pollUnsafe())
      assert.isTrue(isInterrupted(yield* Fiber.join(waiter)))
      assert.strictEqual(yield* alive, 0)
      assert.strictEqual(Option.map(yield* stored(store), bare).pipe(Option.getOrUndefined), "access-1")
    })
  )

  it.effect("a refresh is cut when its grace of 5 s is over", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      const scope = yield* Scope.make()
      const { alive, count } = census()
      const { ledger, service } = yield* count(startIn(scope, { store, hangs: true }))
      yield* Effect.forkChild(Effect.exit(service.get))
      yield* settled
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(4_999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(closing.pollUnsafe())
      assert.strictEqual(yield* alive, 0)
      assert.include(yield* ledger, { refreshes: 1, interrupted: 1 })
    })
  )

  it.effect("the grace is the policy's", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      const scope = yield* Scope.make()
      const policy = { shutdownGrace: Duration.zero }
      const { service } = yield* startIn(scope, { store, hangs: true, policy })
      yield* Effect.forkChild(Effect.exit(service.get))
      yield* settled
      assert.isTrue(yield* closeAtOnce(scope))
    })
  )
})
