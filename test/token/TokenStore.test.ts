import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { RenewalPolicy, TokenError, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import {
  bare,
  credential,
  reasonOf,
  seededStore,
  settled,
  start,
  startIn,
  stored,
  takeAndMark,
  takeLease
} from "../guarantees/engine.ts"
import { tokenStoreContract } from "../support/tokenStoreContract.ts"

const { onDemand } = RenewalPolicy

tokenStoreContract("memory", TokenStore.makeMemory)

/** A store that can be unplugged. */
const unpluggable = Effect.fnUntraced(function* (backend?: TokenStore.Backend) {
  const memory = backend ?? (yield* TokenStore.makeMemory)
  let down = false
  const through = <A>(operation: string, effect: Effect.Effect<A, TokenError.StoreUnavailable>) =>
    Effect.suspend(() => (down ? Effect.fail(new TokenError.StoreUnavailable({ operation })) : effect))
  const store: TokenStore.Backend = {
    read: (identity) => through("read", memory.read(identity)),
    claim: (identity, options) => through("claim", memory.claim(identity, options)),
    sending: (identity, options) => through("sending", memory.sending(identity, options)),
    beat: (identity, attempt) => through("beat", memory.beat(identity, attempt)),
    commit: (identity, options) => through("commit", memory.commit(identity, options)),
    release: (identity, options) => through("release", memory.release(identity, options)),
    clear: (identity, epoch) => through("clear", memory.clear(identity, epoch))
  }
  const plug = (isDown: boolean) => Effect.sync(() => void (down = isDown))
  return { memory, store, unplug: plug(true), plugIn: plug(false) }
})

describe("memory: changed", () => {
  for (const event of ["commit", "release", "clear"] as const) {
    it.effect(`a ${event} wakes all waiters`, () =>
      Effect.gen(function* () {
        const backend = yield* seededStore()
        yield* takeLease(backend)
        const waiter = yield* Effect.forkChild(backend.changed?.("fake") ?? Effect.void, { startImmediately: true })
        assert.isUndefined(waiter.pollUnsafe())
        const record = credential({ generation: 2 })
        if (event === "commit") {
          yield* backend.commit("fake", { attempt: "another", version: 1, next: 2, loginVersion: 1, record })
        }
        if (event === "release") yield* backend.release("fake", { attempt: "another", unused: true })
        if (event === "clear") yield* backend.clear("fake", 0)
        yield* settled
        assert.isDefined(waiter.pollUnsafe())
      })
    )
  }
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

  it.effect("a process that was overtaken takes the credential that is there", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const { service } = yield* start({ store, latency: "10 seconds" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("5 seconds")
      // Somebody signed out meanwhile, and in again.
      yield* store.clear("fake", 0)
      const record = credential({ expiresAt: 3_600_000, generation: 2 })
      yield* store.commit("fake", { attempt: "other", version: 1, next: 2, loginVersion: 2, record })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), bare(record))
    })
  )

  it.effect("a login replaces what a process refreshed meanwhile, where a login ends earlier refresh tokens", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      yield* takeAndMark(store, "slow")
      const { service } = yield* start({ store, latency: "10 seconds", policy: onDemand })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("10 seconds")
      // The slow process had sent the refresh token, and commits its late response.
      const record = credential({ expiresAt: 3_600_000, generation: 2 })
      const late = { attempt: "slow", version: 1, next: 2, loginVersion: 1, record }
      assert.isTrue(yield* store.commit("fake", late))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      assert.deepStrictEqual(Option.map(yield* stored(store), bare), Option.some("access-1"))
    })
  )

  for (const [what, record] of [
    ["ends when the other process commits", credential({ expiresAt: 3_600_000 })],
    ["ends within a second when the hint is lost", credential({ expiresAt: 3_600_000 })]
  ] as const) {
    it.effect(`waiting for another process ${what}`, () =>
      Effect.gen(function* () {
        const memory = yield* TokenStore.makeMemory
        const isHinted = !what.includes("lost")
        const store = isHinted ? memory : { ...memory, changed: () => Effect.never }
        yield* takeLease(memory)
        const { service } = yield* start({ store })
        const fiber = yield* Effect.forkChild(service.get)
        yield* TestClock.adjust("3 seconds")
        yield* memory.beat("fake", "another")
        yield* memory.commit("fake", { attempt: "another", version: 0, next: 1, loginVersion: 1, record })
        if (!isHinted) yield* TestClock.adjust("1 second")
        assert.strictEqual(bare(yield* Fiber.join(fiber)), bare(record))
      })
    )
  }

  it.effect("a process that waits only reads, at least once a second and no more than five times", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      yield* takeLease(memory)
      const { revision } = yield* memory.read("fake")
      let reads = 0
      const store = {
        ...memory,
        read: (identity: string) => {
          reads += 1
          return memory.read(identity)
        },
        changed: undefined
      }
      const { service } = yield* start({ store, policy: onDemand })
      yield* Effect.forkChild(Effect.exit(service.get))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* memory.read("fake")).revision, revision)
      assert.isAtLeast(reads, 5)
      assert.isAtMost(reads, 10)
    })
  )

  it.effect("a holder that shows signs of life is never taken over", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const fake = FakeProvider.make({ latency: "18 seconds" })
      const [one, other] = [yield* start({ store }, fake), yield* start({ store }, fake)]
      const callers = yield* Effect.forkChild(Effect.all([one.service.get, other.service.get], { concurrency: 2 }))
      yield* TestClock.adjust("19 seconds")
      assert.deepStrictEqual((yield* Fiber.join(callers)).map(bare), ["access-1", "access-1"])
      assert.include(yield* fake.ledger, { logins: 1, peak: 1 })
    })
  )

  it.effect("a refresh token that a dead holder had not sent is sent after one lease", () =>
    Effect.gen(function* () {
      const store = yield* seededStore()
      yield* takeLease(store)
      const { ledger, service } = yield* start({ policy: onDemand, store })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust(5_999)
      assert.include(yield* ledger, { logins: 0, refreshes: 0 })
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      assert.deepInclude(yield* ledger, { logins: 0, refreshTokens: ["refresh-0"] })
    })
  )

  it.effect("a lease that was left behind long ago is taken over after a second read", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      yield* takeLease(store)
      yield* TestClock.adjust("31 seconds")
      const { service } = yield* start({ store })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("250 millis")
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
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

  /** A store that can be set back to a snapshot, as by a failover or a backup. */
  const restorable = (initial: TokenStore.Backend) => {
    let current = initial
    const store: TokenStore.Backend = {
      read: (...args) => current.read(...args),
      claim: (...args) => current.claim(...args),
      sending: (...args) => current.sending(...args),
      beat: (...args) => current.beat(...args),
      commit: (...args) => current.commit(...args),
      release: (...args) => current.release(...args),
      clear: (...args) => current.clear(...args)
    }
    return {
      store,
      setBack: (to: TokenStore.Backend) =>
        Effect.sync(() => {
          current = to
        })
    }
  }

  it.effect("a store that was set back gets the later credential from the process that holds it", () =>
    Effect.gen(function* () {
      const { setBack, store } = restorable(yield* TokenStore.makeMemory)
      const { ledger, service } = yield* start({ store, policy: onDemand })
      yield* service.get
      yield* service.renew
      const backup = yield* seededStore({ generation: 1, expiresAt: 3_600_000, refreshToken: "refresh-1" })
      yield* setBack(backup)
      yield* service.renew
      assert.deepInclude(yield* ledger, { logins: 1, refreshTokens: ["refresh-1", "refresh-2"] })
      assert.isAbove((yield* backup.read("fake")).version, 2)
    })
  )

  it.effect("a store that was set back has its refresh token sent by no process that has seen a later version", () =>
    Effect.gen(function* () {
      const { setBack, store } = restorable(yield* TokenStore.makeMemory)
      const { configure, ledger, service } = yield* start({ store, policy: onDemand })
      yield* service.get
      yield* configure({ losesRefresh: new TokenError.AmbiguousExchange({}), failure: undefined })
      yield* service.renew
      yield* configure({ losesRefresh: undefined })
      yield* setBack(yield* seededStore({ generation: 1, expiresAt: 3_600_000, refreshToken: "refresh-1" }))
      yield* service.renew
      const { refreshTokens } = yield* ledger
      assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length)
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
  /** Longer than a call is repeated before the store counts as down. */
  const patience = "6 seconds"
  const get = Effect.fnUntraced(function* (service: TokenService.TokenService["Service"]) {
    const fiber = yield* Effect.forkChild(service.get)
    yield* TestClock.adjust(patience)
    return yield* Fiber.join(fiber)
  })

  it.effect("while the layer is built and after: a private login serves, and the state says so", () =>
    Effect.gen(function* () {
      const { store, unplug } = yield* unpluggable()
      yield* unplug
      const { ledger, service } = yield* start({ store })
      assert.strictEqual(bare(yield* get(service)), "access-1")
      assert.include(yield* service.state, { degraded: true })
      assert.include(yield* ledger, { logins: 1 })
    })
  )

  it.effect("for one call: the call is repeated", () =>
    Effect.gen(function* () {
      const memory = yield* TokenStore.makeMemory
      let failing = true
      const store: TokenStore.Backend = {
        ...memory,
        read: (identity) =>
          Effect.suspend((): Effect.Effect<TokenStore.Snapshot, TokenError.StoreUnavailable> => {
            const fails = failing
            failing = false
            return fails ? Effect.fail(new TokenError.StoreUnavailable({ operation: "read" })) : memory.read(identity)
          })
      }
      const { service } = yield* start({ store })
      yield* get(service)
      assert.include(yield* service.state, { degraded: false })
    })
  )

  it.effect("never fails a caller that holds a valid token, and makes no exchange for one", () =>
    Effect.gen(function* () {
      const { store, unplug } = yield* unpluggable()
      const { ledger, service } = yield* start({ store })
      yield* service.get
      yield* unplug
      yield* TestClock.adjust("3599 seconds")
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(bare(yield* service.get), "access-2")
    })
  )

  it.effect("makes one exchange for two services of a process that share it", () =>
    Effect.gen(function* () {
      const { store: backend, unplug } = yield* unpluggable()
      yield* unplug
      const fake = FakeProvider.make({ latency: "1 second" })
      const store = yield* Effect.orDie(TokenStore.make(backend))
      const services = yield* Effect.replicateEffect(
        Effect.provideService(TokenService.make({ provider: fake.provider }), TokenStore.TokenStore, store),
        2
      )
      const callers = yield* Effect.forkChild(Effect.forEach(services, ({ get }) => get, { concurrency: "unbounded" }))
      yield* TestClock.adjust(patience)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(callers)).map(bare), ["access-1", "access-1"])
      assert.include(yield* fake.ledger, { logins: 1, peak: 1 })
    })
  )

  it.effect("before the commit: the token is private until the store is back, and is committed then", () =>
    Effect.gen(function* () {
      const { memory, plugIn, store, unplug } = yield* unpluggable()
      const { ledger, service } = yield* start({ store, latency: "1 second" })
      const fiber = yield* Effect.forkChild(service.get)
      yield* TestClock.adjust("500 millis")
      yield* unplug
      yield* TestClock.adjust(patience)
      assert.strictEqual(bare(yield* Fiber.join(fiber)), "access-1")
      assert.include(yield* service.state, { degraded: true })
      yield* plugIn
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(Option.map(yield* stored(memory), bare), Option.some("access-1"))
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    })
  )

  it.effect("when it is back with a later credential, that one is adopted and the private one dropped", () =>
    Effect.gen(function* () {
      const { memory, plugIn, store, unplug } = yield* unpluggable(yield* seededStore({ expiresAt: 7_200_000 }))
      yield* unplug
      const { ledger, service } = yield* start({ store })
      assert.strictEqual(bare(yield* get(service)), "access-1")
      yield* plugIn
      yield* TestClock.adjust("48 minutes")
      assert.strictEqual(bare(yield* service.get), "access-of-generation-1")
      assert.include(yield* service.state, { degraded: false })
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
      assert.deepStrictEqual(Option.map(yield* stored(memory), bare), Option.some("access-of-generation-1"))
    })
  )

  it.effect("a sign-out fails, forgets here, and is repeated before anything else", () =>
    Effect.gen(function* () {
      const { memory, plugIn, store, unplug } = yield* unpluggable()
      const { service } = yield* start({ store, policy: onDemand })
      yield* service.get
      yield* unplug
      const failing = yield* Effect.forkChild(reasonOf(service.invalidate))
      yield* TestClock.adjust(patience)
      assert.deepInclude(yield* Fiber.join(failing), { _tag: "StoreUnavailable", operation: "read" })
      assert.include(yield* service.state, { phase: "empty" })
      yield* plugIn
      assert.strictEqual(bare(yield* service.get), "access-2")
      const { epoch, version } = yield* memory.read("fake")
      assert.deepStrictEqual([epoch, version], [1, 3])
    })
  )

  it.effect("a sign-out that failed is repeated without anybody asking", () =>
    Effect.gen(function* () {
      const { memory, plugIn, store, unplug } = yield* unpluggable()
      const { service } = yield* start({ store, policy: onDemand })
      yield* service.get
      yield* unplug
      const failing = yield* Effect.forkChild(Effect.exit(service.invalidate))
      yield* TestClock.adjust(patience)
      yield* Fiber.join(failing)
      yield* plugIn
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Option.isNone(yield* stored(memory)))
    })
  )
})

describe("options", () => {
  for (const options of [
    { lease: 0 },
    { lease: -1 },
    { lease: Number.NaN },
    { lease: Infinity },
    { lease: "1 day" },
    { beat: 0 },
    { beat: Number.NaN },
    { beat: "4 seconds" },
    { lease: "1 second", beat: "1 second" }
  ] as const) {
    it.effect(`refuse ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        const refused = yield* Effect.flip(TokenStore.make(yield* TokenStore.makeMemory, options))
        assert.deepInclude(refused, {
          _tag: "ConfigurationInvalid",
          option: "beat" in options ? "beat" : "lease"
        })
      })
    )
  }

  for (const options of [{}, { lease: "1 second", beat: "300 millis" }, { lease: 100 }, { lease: "1 hour" }] as const) {
    it.effect(`accept ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        yield* TokenStore.make(yield* TokenStore.makeMemory, options)
      })
    )
  }
})
