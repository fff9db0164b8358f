import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Exit, Fiber, Layer, Random, Scope } from "effect"
import { TokenService, TokenServiceMap, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { bare, census, overloaded, reasonOf, settled, wrongKey } from "../guarantees/engine.ts"

const fakes = (count: number, options: FakeProvider.Options = {}) =>
  Array.from({ length: count }, (_, index) => FakeProvider.make({ ...options, identity: `fake:${index}` }))

const serviceOf = (map: TokenServiceMap.TokenServiceMap["Service"], fake: FakeProvider.FakeProvider["Service"]) =>
  map.get(fake.provider)

/** What is warned of while an effect runs. */
const warnings = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const said: Array<string> = []
  const console = {
    ...(yield* Console.Console),
    warn: (...texts: ReadonlyArray<unknown>) => void said.push(texts.join(" "))
  }
  yield* Effect.provideService(effect, Console.Console, console)
  return said
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

  it.effect("ends with the scope: who waits is interrupted, and so is who comes later", () =>
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
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(service.get)))
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

  it.effect("is no matter where it does not", () =>
    Effect.gen(function* () {
      const [fake] = fakes(1, { traits: { loginSupersedesRefresh: false } })
      assert.deepStrictEqual(yield* warnings(twice(fake!)), [])
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
