import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { RenewalPolicy, TokenError, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { bare, credential, reasonOf, seededStore, settled, start, startIn, stored } from "../guarantees/engine.ts"
import { lease, token, tokenStoreContract } from "../support/tokenStoreContract.ts"

const { onDemand } = RenewalPolicy

tokenStoreContract("memory", TokenStore.makeMemory)

/** A store that can be unplugged. */
const unpluggable = Effect.fnUntraced(function* (backend?: TokenStore.Backend) {
  const memory = backend ?? (yield* TokenStore.makeMemory)
  let down = false
  const through = <A>(operation: string, effect: Effect.Effect<A, TokenError.StoreUnavailable>) =>
    Effect.suspend(() => (down ? Effect.fail(new TokenError.StoreUnavailable({ operation })) : effect))
  const store: TokenStore.Backend = {
    acquire: (identity, options) => through("acquire", memory.acquire(identity, options)),
    commit: (identity, options) => through("commit", memory.commit(identity, options)),
    release: (identity, options) => through("release", memory.release(identity, options)),
    clear: (identity) => through("clear", memory.clear(identity)),
    changed: (identity) => through("changed", memory.changed(identity))
  }
  const plug = (isDown: boolean) => Effect.sync(() => void (down = isDown))
  return { memory, store, unplug: plug(true), plugIn: plug(false) }
})

describe("memory: changed", () => {
  for (const event of ["commit", "release", "clear"] as const) {
    it.effect(`a ${event} wakes those who wait`, () =>
      Effect.gen(function* () {
        const backend = yield* TokenStore.makeMemory
        const { fence } = yield* lease(backend, { owner: "a" })
        const waiter = yield* Effect.forkChild(backend.changed("one"), { startImmediately: true })
        assert.isUndefined(waiter.pollUnsafe())
        if (event === "commit") yield* backend.commit("one", { owner: "a", fence, stored: token(1) })
        if (event === "release") yield* backend.release("one", { owner: "a", fence, spent: false })
        if (event === "clear") yield* backend.clear("one")
        yield* settled
        assert.isDefined(waiter.pollUnsafe())
      })
    )
  }
})

describe("transact: waiting for another's lease", () => {
  const adopt = (backend: TokenStore.Backend) =>
    TokenStore.transact(backend, "one", {
      owner: "b",
      seen: 0,
      ttl: 1_000,
      exchange: ({ generation }) => Effect.succeed(token(generation, "ours"))
    })

  it.effect("ends at once when the other one commits", () =>
    Effect.gen(function* () {
      const backend = yield* TokenStore.makeMemory
      const { fence } = yield* lease(backend, { owner: "a" })
      const waiter = yield* Effect.forkChild(adopt(backend))
      yield* settled
      yield* backend.commit("one", { owner: "a", fence, stored: token(1, "theirs") })
      assert.strictEqual(bare((yield* Fiber.join(waiter)).token), "theirs")
    })
  )

  for (const [name, changed] of [
    ["is lost", Effect.never],
    ["fails", Effect.fail(new TokenError.StoreUnavailable({ operation: "changed" }))]
  ] as const) {
    it.effect(`ends within 250 ms when the hint ${name}`, () =>
      Effect.gen(function* () {
        const memory = yield* TokenStore.makeMemory
        let acquires = 0
        const backend: TokenStore.Backend = {
          ...memory,
          acquire: (identity, options) => {
            acquires += 1
            return memory.acquire(identity, options)
          },
          changed: () => changed
        }
        const { fence } = yield* lease(memory, { owner: "a", ttl: 10_000 })
        const waiter = yield* Effect.forkChild(adopt(backend))
        yield* settled
        yield* memory.commit("one", { owner: "a", fence, stored: token(1, "theirs") })
        yield* TestClock.adjust(249)
        assert.strictEqual(acquires, 1)
        yield* TestClock.adjust(1)
        assert.strictEqual(bare((yield* Fiber.join(waiter)).token), "theirs")
        assert.strictEqual(acquires, 2)
      })
    )
  }

  it.effect("can be interrupted", () =>
    Effect.gen(function* () {
      const backend = yield* TokenStore.makeMemory
      yield* lease(backend, { owner: "a" })
      const waiter = yield* Effect.forkChild(adopt(backend))
      yield* settled
      yield* Fiber.interrupt(waiter)
      assert.isDefined(waiter.pollUnsafe())
    })
  )

  it.effect("an answer in hand is committed though its fibre is interrupted", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      const backend: TokenStore.Backend = {
        ...memory,
        commit: (identity, options) => Effect.delay(memory.commit(identity, options), "1 second")
      }
      const fiber = yield* Effect.forkChild(adopt(backend))
      yield* settled
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interruption)
      const acquired = yield* memory.acquire("one", { owner: "c", seen: 0, ttl: 1_000 })
      assert.strictEqual(acquired._tag, "Newer")
    })
  )
})

describe("services that share a store", () => {
  it.effect("50 cold processes make one exchange, and 49 adopt", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const fake = FakeProvider.make({ latency: "100 millis" })
      const processes = yield* Effect.forEach(Array.from({ length: 50 }), () => start({ store }, fake))
      const callers = yield* Effect.forkChild(
        Effect.forEach(processes, ({ service }) => service.get, { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("100 millis")
      const tokens = yield* Fiber.join(callers)
      assert.deepStrictEqual([...new Set(tokens.map(bare))], ["access-1"])
      assert.include(yield* fake.ledger, { logins: 1, refreshes: 0, peak: 1 })
    })
  )

  it.effect("a scheduled renewal is made by one of them and adopted by the others", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const fake = FakeProvider.make()
      const processes = yield* Effect.forEach([0.1, 0.5, 0.9], (dice) => start({ store, dice }, fake))
      yield* Effect.forEach(processes, ({ service }) => service.get)
      yield* TestClock.adjust("50 minutes")
      assert.include(yield* fake.ledger, { logins: 1, refreshes: 1 })
      yield* TestClock.adjust("10 minutes")
      const tokens = yield* Effect.forEach(processes, ({ service }) => service.get)
      assert.deepStrictEqual(tokens.map(bare), ["access-2", "access-2", "access-2"])
      assert.include(yield* fake.ledger, { logins: 1, refreshes: 1 })
    })
  )

  it.effect("a token that another one renewed already is adopted when it is rejected", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const fake = FakeProvider.make()
      const [a, b] = [yield* start({ store }, fake), yield* start({ store }, fake)]
      const rejected = yield* a.service.get
      assert.strictEqual(bare(yield* b.service.get), "access-1")
      yield* b.service.reject(rejected)
      assert.strictEqual(bare(yield* a.service.reject(rejected)), "access-2")
      assert.include(yield* fake.ledger, { logins: 1, refreshes: 1 })
    })
  )

  it.effect("a stored credential that has expired is adopted for its refresh token", () =>
    Effect.gen(function* () {
      const { ledger, service } = yield* start({ store: yield* seededStore() })
      const renewed = yield* service.get
      assert.strictEqual(bare(renewed), "access-1")
      assert.strictEqual(renewed.generation, 2)
      assert.deepInclude(yield* ledger, { logins: 0, refreshTokens: ["refresh-0"] })
    })
  )

  it.effect("who is slower than its lease is fenced off, discards its answer and adopts", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const { service } = yield* start({ store, latency: "10 seconds" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("5 seconds")
      // The store lost the lease: another process took it and was faster.
      yield* store.clear("fake")
      const other = yield* lease(store, { owner: "other", identity: "fake" })
      const theirs = credential({ expiresAt: 3_600_000 })
      yield* store.commit("fake", { owner: "other", fence: other.fence, stored: theirs })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), bare(theirs))
    })
  )

  it.effect("who is closed while it holds the lease gives it back at once", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const scope = yield* Scope.make()
      const { service } = yield* startIn(scope, { store, hangs: true })
      yield* Effect.forkChild(Effect.exit(service.get))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      const { ledger, service: next } = yield* start({ store })
      assert.strictEqual(bare(yield* next.get), "access-1")
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("signing out of one forgets the credential for all that start later", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const fake = FakeProvider.make()
      const { service } = yield* start({ store }, fake)
      yield* service.get
      yield* service.invalidate
      assert.isTrue(Option.isNone(yield* stored(store)))
    })
  )

  it.effect("a store that was set back, as a replica that takes over is, has its refresh token sent to nobody", () =>
    Effect.gen(function* () {
      const before = yield* seededStore({ generation: 1, expiresAt: 3_600_000, refreshToken: "refresh-0" })
      const after = yield* TokenStore.makeMemory
      let primary = after
      const fake = FakeProvider.make()
      const store: TokenStore.Backend = {
        acquire: (...args) => primary.acquire(...args),
        commit: (...args) => primary.commit(...args),
        release: (...args) => primary.release(...args),
        clear: (...args) => primary.clear(...args),
        changed: (...args) => primary.changed(...args)
      }
      const { service } = yield* start({ store }, fake)
      yield* service.get
      yield* service.renew
      primary = before
      const { refreshTokens } = yield* fake.ledger
      yield* service.renew
      const ledger = yield* fake.ledger
      assert.deepStrictEqual(ledger.refreshTokens, refreshTokens)
      assert.strictEqual(ledger.logins, 2)
    })
  )

  it.effect("generations go on where the store left off", () =>
    Effect.gen(function* () {
      const store = yield* seededStore({ generation: 41 })
      const { service } = yield* start({ store })
      assert.strictEqual((yield* service.get).generation, 42)
      assert.include(yield* service.state, { generation: 42 })
    })
  )
})

describe("a store that is down", () => {
  it.effect("while the layer is built and after: a private login serves, and the state says so", () =>
    Effect.gen(function* () {
      const { store, unplug } = yield* unpluggable()
      yield* unplug
      const { ledger, service } = yield* start({ store })
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.include(yield* service.state, { degraded: true })
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("never fails a caller who holds a valid token", () =>
    Effect.gen(function* () {
      const { store, unplug } = yield* unpluggable()
      const { configure, service } = yield* start({ store })
      yield* service.get
      assert.include(yield* service.state, { degraded: false })
      yield* unplug
      yield* configure({ failure: new TokenError.InvalidCredentials({}) })
      yield* TestClock.adjust("3599 seconds")
      assert.strictEqual(bare(yield* service.get), "access-1")
    })
  )

  it.effect("a store that goes down before the commit: the token is private", () =>
    Effect.gen(function* () {
      const { store, unplug } = yield* unpluggable()
      const { service } = yield* start({ store, latency: "1 second" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("500 millis")
      yield* unplug
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      assert.include(yield* service.state, { degraded: true })
    })
  )

  it.effect(
    "a commit that was made, though nobody heard so: the refresh token in it is sent by one process alone",
    () =>
      Effect.gen(function* () {
        const { memory, store, unplug } = yield* unpluggable()
        const deaf: TokenStore.Backend = {
          ...store,
          commit: (identity, options) =>
            Effect.andThen(Effect.andThen(memory.commit(identity, options), unplug), store.commit(identity, options))
        }
        const { fake, ledger, service } = yield* start({ store: deaf, policy: onDemand })
        yield* service.get
        const { service: other } = yield* start({ store: memory, policy: onDemand }, fake)
        assert.strictEqual(bare(yield* other.get), "access-1")
        yield* service.renew
        yield* other.renew
        assert.deepStrictEqual((yield* ledger).refreshTokens, ["refresh-1"])
      })
  )

  it.effect("when it is back, the next renewal drops the private credential for the store's", () =>
    Effect.gen(function* () {
      const { memory, plugIn, store, unplug } = yield* unpluggable(yield* seededStore({ expiresAt: 7_200_000 }))
      yield* unplug
      const { ledger, service } = yield* start({ store })
      assert.strictEqual(bare(yield* service.get), "access-1")
      yield* plugIn
      yield* TestClock.adjust("48 minutes")
      assert.strictEqual(bare(yield* service.get), "access-of-generation-1")
      assert.include(yield* service.state, { degraded: false })
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
      assert.strictEqual(Option.map(yield* stored(memory), bare).pipe(Option.getOrUndefined), "access-of-generation-1")
    })
  )

  it.effect("when it is back and empty, the next renewal shares its credential", () =>
    Effect.gen(function* () {
      const { memory, plugIn, store, unplug } = yield* unpluggable()
      yield* unplug
      const { service } = yield* start({ store })
      yield* service.get
      yield* plugIn
      yield* TestClock.adjust("48 minutes")
      assert.include(yield* service.state, { degraded: false })
      assert.isTrue(Option.isSome(yield* stored(memory)))
    })
  )

  it.effect("signing out forgets here, and says that the store did not", () =>
    Effect.gen(function* () {
      const { store, unplug } = yield* unpluggable()
      const { service } = yield* start({ store, policy: onDemand })
      yield* service.get
      yield* unplug
      assert.deepInclude(yield* reasonOf(service.invalidate), { _tag: "StoreUnavailable", operation: "clear" })
      assert.include(yield* service.state, { phase: "empty" })
    })
  )
})
