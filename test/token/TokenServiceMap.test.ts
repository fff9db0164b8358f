import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Random, Scheduler, Scope } from "effect"
import { TokenError, TokenService, TokenServiceMap, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Agenda from "../../src/token/internal/agenda.ts"
import type { Work } from "../../src/token/internal/actor.ts"
import { yieldingAt } from "../support/yielding.ts"
import { bare, census, overloaded, reasonOf, settled, wrongKey } from "../guarantees/engine.ts"

const fakes = (count: number, options: FakeProvider.Options = {}) =>
  Array.from({ length: count }, (_, index) => FakeProvider.make({ ...options, identity: `fake:${index}` }))

const serviceOf = (map: TokenServiceMap.TokenServiceMap["Service"], fake: FakeProvider.FakeProvider["Service"]) =>
  map.get(fake.provider)

/** Collects garbage, whatever flags the process was started with. */
const collectGarbage = Effect.gen(function* () {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  if (typeof gc !== "function") return yield* Effect.die("no gc")
  for (let times = 0; times < 3; times++) {
    // A WeakRef keeps its target until the turn of the event loop has ended.
    yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
    gc()
  }
})

/** The warnings that are logged while an effect runs. */
const warnings = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const logged: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") logged.push(String(message))
  })
  yield* Effect.provide(effect, Logger.layer([logger]))
  return logged
})

describe("identities", () => {
  it.effect("one identity has one token, however often its service is asked for", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make()
      const [fake] = fakes(1, { latency: "100 millis" }) as [FakeProvider.FakeProvider["Service"]]
      const callers = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 1_000 }),
          () => Effect.flatMap(serviceOf(map, fake), (service) => service.get),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(new Set(yield* Fiber.join(callers)).size, 1)
      assert.include(yield* fake.ledger, { logins: 1, peak: 1 })
      assert.strictEqual(yield* map.size, 1)
    })
  )

  it.effect("each has a token of its own, and a failure of its own", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make()
      const [good, bad] = fakes(2)
      yield* bad!.configure({ failure: wrongKey })
      assert.strictEqual(bare(yield* Effect.flatMap(serviceOf(map, good!), (service) => service.get)), "access-1")
      const reason = yield* reasonOf(Effect.flatMap(serviceOf(map, bad!), (service) => service.get))
      assert.strictEqual(reason, wrongKey)
      assert.include(yield* good!.ledger, { logins: 1 })
    })
  )

  it.effect("an identity that cannot be named fails with the provider's reason", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make()
      const provider = { ...fakes(1)[0]!.provider, identity: Effect.fail(overloaded) }
      assert.strictEqual(yield* reasonOf(map.get(provider)), overloaded)
    })
  )

  it.effect("1,000 at rest have no fibre and no timer", () => {
    const fibres = census()
    return Effect.gen(function* () {
      const map = yield* TokenServiceMap.make()
      const before = yield* fibres.alive
      const all = fakes(1_000)
      const tokens = yield* Effect.forEach(all, (fake) =>
        Effect.flatMap(serviceOf(map, fake), (service) => service.get)
      )
      yield* settled
      assert.strictEqual(tokens.length, 1_000)
      assert.isAtMost((yield* fibres.alive) - before, 3)
      assert.strictEqual(yield* map.size, 1_000)
    }).pipe(fibres.count)
  })

  it.effect("renews each within its window, when somebody asks", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make()
      const [fake] = fakes(1)
      const service = yield* serviceOf(map, fake!)
      yield* service.get
      yield* TestClock.adjust("59 minutes")
      assert.include(yield* fake!.ledger, { logins: 1, refreshes: 0 })
      yield* service.get
      yield* settled
      assert.include(yield* fake!.ledger, { logins: 1, refreshes: 1 })
    })
  )

  it.effect("keeps each fresh, where the policy says so", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ idleTimeToLive: "2 days", policy: { whenIdle: "keep-fresh" } })
      const all = fakes(100)
      yield* Effect.forEach(all, (fake) => Effect.flatMap(serviceOf(map, fake), (service) => service.get))
      yield* TestClock.adjust("1 day")
      for (const fake of all) {
        const { logins, refreshes } = yield* fake.ledger
        assert.strictEqual(logins, 1)
        // 86,400 s over 2,700 to 3,060 s, and the first at any time.
        assert.isAtLeast(refreshes, 28)
        assert.isAtMost(refreshes, 32)
      }
    })
  )

  it.effect("many that were started together are not renewed together", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ idleTimeToLive: "2 days", policy: { whenIdle: "keep-fresh" } })
      const fake = FakeProvider.make({ traits: { rotatesRefreshToken: false } })
      yield* Effect.forEach(Array.from({ length: 2_000 }), (_, index) =>
        Effect.flatMap(
          map.get({ ...fake.provider, identity: Effect.succeed(`fake:${index}`) }),
          (service) => service.get
        )
      )
      const counts: Array<number> = []
      let before = 0
      for (let minute = 0; minute < 240; minute++) {
        yield* TestClock.adjust("1 minute")
        const { refreshes } = yield* fake.ledger
        counts.push(refreshes - before)
        before = refreshes
      }
      const mean = before / counts.length
      assert.isAtMost(Math.max(...counts), 1.5 * mean)
    }).pipe(Random.withSeed("together"))
  )
})

describe("capacity", () => {
  it.effect("for one more, the least recently used is forgotten and logs in again", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 2 })
      const [a, b, c] = fakes(3)
      const [ofA, ofB, ofC] = [yield* serviceOf(map, a!), yield* serviceOf(map, b!), yield* serviceOf(map, c!)]
      yield* ofA.get
      yield* ofB.get
      yield* ofA.get
      yield* ofC.get
      assert.strictEqual(yield* map.size, 2)
      yield* ofA.get
      yield* ofB.get
      assert.deepStrictEqual(
        yield* Effect.forEach([a!, b!, c!], (fake) => Effect.map(fake.ledger, ({ logins }) => logins)),
        [1, 2, 1]
      )
    })
  )

  it.effect("one that somebody waits for is never forgotten", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 2 })
      const [slow, b, c] = fakes(3)
      yield* slow!.configure({ latency: "10 seconds" })
      const waiting = yield* Effect.forkChild(Effect.flatMap(serviceOf(map, slow!), (service) => service.get))
      yield* settled
      yield* Effect.flatMap(serviceOf(map, b!), (service) => service.get)
      yield* Effect.flatMap(serviceOf(map, c!), (service) => service.get)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(bare(yield* Fiber.join(waiting)), "access-1")
      yield* Effect.flatMap(serviceOf(map, slow!), (service) => service.get)
      assert.include(yield* slow!.ledger, { logins: 1 })
    })
  )

  it.effect("where all are in use, the newcomer is told how many there are", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 2 })
      const [a, b, c] = fakes(3, { latency: "10 seconds" })
      const waiting = yield* Effect.forkChild(
        Effect.forEach([a!, b!], (fake) => Effect.flatMap(serviceOf(map, fake), (service) => service.get), {
          concurrency: "unbounded"
        })
      )
      yield* settled
      const newcomer = yield* serviceOf(map, c!)
      const error = yield* Effect.flip(newcomer.get)
      assert.include(error.reason, { _tag: "ConfigurationInvalid", option: "capacity" })
      assert.include(error.message, "2 identities")
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(waiting)
      const served = yield* Effect.forkChild(newcomer.get)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(bare(yield* Fiber.join(served)), "access-1")
    })
  )

  for (const capacity of [0, -1, Number.NaN]) {
    it.effect(`of ${capacity} is refused`, () =>
      Effect.gen(function* () {
        assert.include(yield* reasonOf(TokenServiceMap.make({ capacity })), {
          _tag: "ConfigurationInvalid",
          option: "capacity"
        })
      })
    )
  }

  it.effect("with a store, what is forgotten here lives on there", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 1 })
      const [a, b] = fakes(2)
      const [ofA, ofB] = [yield* serviceOf(map, a!), yield* serviceOf(map, b!)]
      yield* ofA.get
      yield* ofB.get
      yield* ofA.get
      assert.include(yield* a!.ledger, { logins: 1 })
    }).pipe(Effect.provide(TokenStore.layerMemory))
  )
})

describe("reject", () => {
  it.effect("of an identity that was evicted renews, though the store has just the token that was refused", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 1 })
      const [a, b] = fakes(2)
      const ofA = yield* serviceOf(map, a!)
      const token = yield* ofA.get
      yield* (yield* serviceOf(map, b!)).get
      assert.strictEqual(bare(yield* ofA.reject(token)), "access-2")
      assert.include(yield* a!.ledger, { logins: 1, refreshes: 1 })
    }).pipe(Effect.provide(TokenStore.layerMemory))
  )
})

describe("options that make no sense", () => {
  for (const [options, option] of [
    [{ capacity: 1.5 }, "capacity"],
    [{ idleTimeToLive: 0 }, "idleTimeToLive"],
    [{ idleTimeToLive: -1 }, "idleTimeToLive"],
    [{ idleTimeToLive: Number.NaN }, "idleTimeToLive"],
    [{ idleTimeToLive: "1 millis" }, "idleTimeToLive"],
    [{ policy: { coolDown: -1 } }, "policy.coolDown"]
  ] as const) {
    it.effect(`${inspect(options)} is refused`, () =>
      Effect.gen(function* () {
        assert.include(yield* reasonOf(TokenServiceMap.make(options)), { _tag: "ConfigurationInvalid", option })
      })
    )
  }
})

describe("eviction", () => {
  it.effect("at whatever step a caller yields, everybody gets a token and nobody's use is counted for ever", () =>
    Effect.forEach(
      Array.from({ length: 120 }, (_, step) => step),
      (step) =>
        Effect.scoped(
          Effect.gen(function* () {
            const map = yield* TokenServiceMap.make({ capacity: 1 })
            const services = yield* Effect.forEach(fakes(2), (fake) => serviceOf(map, fake))
            const calls = Effect.forEach(services, (service) => Effect.exit(service.get), { concurrency: "unbounded" })
            // Both at once: one of them may find no room, but neither is interrupted.
            const exits = yield* Effect.provideService(calls, Scheduler.Scheduler, yieldingAt(step))
            for (const exit of exits) assert.isFalse(Exit.hasInterrupts(exit), `step ${step}`)
            // One of them goes when it likes.
            const gone = yield* Effect.forkChild(Effect.provideService(calls, Scheduler.Scheduler, yieldingAt(step)))
            yield* Effect.yieldNow
            yield* Fiber.interrupt(gone)
            yield* settled
            for (const service of services) yield* service.get
            assert.strictEqual(yield* map.size, 1)
          })
        ),
      { discard: true }
    )
  )

  it.effect("leaves the agenda at once", () =>
    Effect.sync(() => {
      const agenda = Agenda.make()
      const work = (wakeAt: number): Work => ({ wakeAt, position: -1, next: () => undefined })
      const all = [50, 10, 40, 20, 30].map(work)
      for (const each of all) agenda.note(each)
      agenda.remove(all[1]!)
      agenda.remove(all[4]!)
      agenda.remove(all[4]!)
      assert.strictEqual(agenda.stepped(1e9).length, 3)
      const order: Array<number> = []
      for (let first = agenda.first(); first !== undefined; first = agenda.first()) {
        order.push(first.wakeAt)
        agenda.remove(first)
      }
      assert.deepStrictEqual(order, [20, 40, 50])
    })
  )

  it.effect("takes an engine out of memory, though its token would have lasted for a day", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 1, policy: { whenIdle: "keep-fresh" } })
      const fake = FakeProvider.make({ lifetime: "1 day", traits: { loginSupersedesRefresh: false } })
      const references: Array<WeakRef<object>> = []
      for (let index = 0; index < 50; index++) {
        // A provider for each: the engine of an identity keeps it.
        const provider = { ...fake.provider, identity: Effect.succeed(`fake:${index}`) }
        references.push(new WeakRef(provider))
        const service = yield* map.get(provider)
        yield* service.get
      }
      yield* settled
      yield* collectGarbage
      const alive = references.filter((reference) => reference.deref() !== undefined)
      assert.isAtMost(alive.length, 5)
    })
  )
})

describe("idle time", () => {
  it.effect("an identity that nobody asked for is forgotten, and renewed no more", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ idleTimeToLive: "3 hours", policy: { whenIdle: "keep-fresh" } })
      const [idle, used] = fakes(2)
      yield* Effect.flatMap(serviceOf(map, idle!), (service) => service.get)
      const service = yield* serviceOf(map, used!)
      for (let hour = 0; hour < 6; hour++) {
        yield* service.get
        yield* TestClock.adjust("1 hour")
      }
      assert.strictEqual(yield* map.size, 1)
      const { refreshes } = yield* idle!.ledger
      yield* TestClock.adjust("1 hour")
      assert.include(yield* idle!.ledger, { refreshes })
      assert.isAtMost(refreshes, 5)
    })
  )

  it.effect("one that somebody watches is not idle", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ idleTimeToLive: "1 minute" })
      const service = yield* serviceOf(map, fakes(1)[0]!)
      const changed = yield* Effect.forkChild(Effect.flatMap(service.state, service.awaitChange))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* map.size, 1)
      yield* service.get
      assert.notStrictEqual((yield* Fiber.join(changed)).phase, "empty")
    })
  )
})

describe("a service of the map", () => {
  it.effect("does all that a TokenService does", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make()
      const [fake] = fakes(1)
      const { awaitChange, get, getValidFor, invalidate, reject, renew, state } = yield* serviceOf(map, fake!)
      assert.strictEqual((yield* state).phase, "empty")
      const first = yield* get
      assert.strictEqual(bare(yield* getValidFor("10 minutes")), "access-1")
      assert.strictEqual(bare(yield* reject(first)), "access-2")
      assert.strictEqual(bare(yield* renew), "access-3")
      const before = yield* state
      yield* invalidate
      assert.strictEqual((yield* awaitChange(before)).phase, "empty")
      assert.strictEqual(bare(yield* get), "access-4")
      assert.include(yield* fake!.ledger, { logins: 2, refreshes: 2 })
    })
  )

  it.effect("looking at one that is not held takes no room", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 1 })
      const [a, b] = fakes(2)
      yield* Effect.flatMap(serviceOf(map, a!), (service) => service.get)
      assert.strictEqual((yield* (yield* serviceOf(map, b!)).state).phase, "empty")
      assert.strictEqual(yield* map.size, 1)
      assert.strictEqual((yield* (yield* serviceOf(map, a!)).state).phase, "valid")
    })
  )

  it.effect("ends with the scope: waiting callers are interrupted, and later calls fail with ServiceClosed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const map = yield* Scope.provide(TokenServiceMap.make(), scope)
      const [hanging, fine] = fakes(2)
      yield* hanging!.configure({ hangs: true })
      const service = yield* serviceOf(map, fine!)
      yield* service.get
      const waiting = yield* Effect.forkChild(Effect.flatMap(serviceOf(map, hanging!), (service) => service.get))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(waiting)))
      assert.instanceOf(yield* reasonOf(service.get), TokenError.ServiceClosed)
      assert.strictEqual((yield* service.state).phase, "closed")
      assert.include(yield* hanging!.ledger, { logins: 1, interrupted: 1 })
    })
  )
})

describe("an identity that is built twice", () => {
  const twice = (fake: FakeProvider.FakeProvider["Service"]) =>
    Effect.gen(function* () {
      const [first, second] = [yield* TokenServiceMap.make(), yield* TokenServiceMap.make()]
      yield* Effect.flatMap(serviceOf(first, fake), (service) => service.get)
      yield* Effect.flatMap(serviceOf(second, fake), (service) => service.get)
    })

  it.effect("is warned of by its name, where a login ends the other's refresh token", () =>
    Effect.gen(function* () {
      const said = yield* warnings(twice(fakes(1)[0]!))
      assert.strictEqual(said.length, 1)
      assert.include(said[0], "fake:0")
    })
  )

  it.effect("is warned of where it only costs requests, and the warning says so", () =>
    Effect.gen(function* () {
      const [fake] = fakes(1, { traits: { loginSupersedesRefresh: false } })
      const said = yield* warnings(twice(fake!))
      assert.strictEqual(said.length, 1)
      assert.include(said[0], "each logs in and renews on its own")
    })
  )

  it.effect("is no matter where both share a store", () =>
    Effect.gen(function* () {
      const said = yield* warnings(Effect.provide(twice(fakes(1)[0]!), TokenStore.layerMemory))
      assert.deepStrictEqual(said, [])
    })
  )

  it.effect("is no matter once the first is gone", () =>
    Effect.gen(function* () {
      const once = Effect.scoped(
        Effect.gen(function* () {
          const map = yield* TokenServiceMap.make()
          yield* Effect.flatMap(serviceOf(map, fakes(1)[0]!), (service) => service.get)
        })
      )
      assert.deepStrictEqual(yield* warnings(Effect.andThen(once, once)), [])
    })
  )
})

describe("layers", () => {
  it.effect("layer provides a map", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.TokenServiceMap
      assert.strictEqual(
        bare(yield* Effect.flatMap(serviceOf(map, fakes(1)[0]!), (service) => service.get)),
        "access-1"
      )
    }).pipe(Effect.provide(TokenServiceMap.layer({ capacity: 1 })))
  )

  it.effect("layerTest serves tokens of the spec's own, without a login", () =>
    Effect.gen(function* () {
      const map = yield* TokenServiceMap.TokenServiceMap
      const [a, b] = fakes(2)
      assert.strictEqual(bare(yield* Effect.flatMap(serviceOf(map, a!), (service) => service.get)), "token of fake:0")
      const service = yield* serviceOf(map, b!)
      const token = yield* service.get
      assert.strictEqual(bare(yield* service.reject(token)), "second of fake:1")
      assert.include(yield* a!.ledger, { logins: 0 })
      assert.deepStrictEqual(
        (yield* yield* TokenService.TestCalls).map(({ _tag }) => _tag),
        ["get", "get", "reject"]
      )
    }).pipe(
      Effect.provide(
        TokenServiceMap.layerTest((identity) => [`token of ${identity}`, `second of ${identity}`]).pipe(
          Layer.merge(Layer.empty)
        )
      )
    )
  )
})
