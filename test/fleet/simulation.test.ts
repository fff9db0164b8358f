/**
 * A fleet on paper: many processes, each with leases of its own, share one credential for a day of virtual time. A few of
 * them keep it fresh by their own timers, which tick 2,880 times a day each; the others renew when they are asked.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Random, Scope } from "effect"
import { TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { scaled } from "../support/random.ts"

/** 1,000 in `npm run test:long`. */
const processes = scaled(50)
const keptFresh = scaled(1)

/** A fleet that calls an API now and then, and what came of it. */
const makeFleet = Effect.fnUntraced(function* (
  backend: (own: TokenStore.Backend) => TokenStore.Backend,
  size = processes
) {
  const fake = FakeProvider.make({ lifetime: "1 hour", latency: "300 millis" })
  const counts = { failed: 0, expired: 0, waited: 0 }
  const fleet = yield* Effect.scope

  const call = Effect.fnUntraced(function* (service: TokenService.TokenService["Service"]) {
    const asked = yield* Clock.currentTimeMillis
    const token = yield* Effect.exit(service.get)
    const now = yield* Clock.currentTimeMillis
    if (Exit.isFailure(token)) counts.failed += 1
    else if (token.value.expiresAt <= now) counts.expired += 1
    if (now > asked) counts.waited += 1
  })

  /** One process, from its start until its scope closes. */
  const start = Effect.fnUntraced(function* (index: number) {
    const store = yield* TokenStore.make(backend(yield* TokenStore.makeMemory))
    const whenIdle = index < keptFresh ? "keep-fresh" : "on-demand"
    const service = yield* Effect.provideService(
      TokenService.make({ provider: fake.provider, policy: { whenIdle } }),
      TokenStore.TokenStore,
      store
    )
    const pause = Effect.flatMap(Random.nextBetween(0, 3_600_000), Effect.sleep)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(call(service), pause)))
  })

  const indices = Array.from({ length: size }, (_, index) => index)
  const boot = Effect.forEach(indices, (index) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(fleet)
      yield* Scope.provide(start(index), scope)
      return scope
    })
  )
  const scopes = yield* boot
  return {
    counts,
    ledger: fake.ledger,
    /** A deployment: one process after the other ends and begins anew, three a second. */
    restart: Effect.forEach(
      scopes,
      (scope, index) =>
        Effect.sleep("300 millis").pipe(
          Effect.andThen(Scope.close(scope, Exit.void)),
          Effect.andThen(Scope.provide(start(index), fleet))
        ),
      { discard: true }
    )
  }
})

describe(`a fleet of ${processes} processes`, () => {
  it.effect(
    "makes 24 to 40 exchanges in 24 hours, a restart of each process included, and nobody gets less than a valid token",
    () =>
      Effect.gen(function* () {
        const shared = yield* TokenStore.makeMemory
        const { counts, ledger, restart } = yield* makeFleet(() => shared)
        yield* TestClock.adjust("12 hours")
        yield* Effect.forkScoped(restart)
        yield* TestClock.adjust("12 hours")

        const { logins, peak, refreshes, refreshTokens } = yield* ledger
        assert.strictEqual(logins, 1)
        assert.isAtLeast(logins + refreshes, 24)
        assert.isAtMost(logins + refreshes, 40)
        assert.strictEqual(peak, 1)
        assert.strictEqual(new Set(refreshTokens).size, refreshes)
        // All wait for the first login, and none ever again.
        assert.deepStrictEqual(counts, { failed: 0, expired: 0, waited: processes })
      }).pipe(Random.withSeed("a fleet"))
  )

  it.effect("makes as many for each of them where each keeps its credential to itself", () =>
    Effect.gen(function* () {
      const { ledger } = yield* makeFleet((own) => own, 10)
      yield* TestClock.adjust("24 hours")
      const { logins, refreshes, refreshTokens } = yield* ledger
      assert.isAtLeast(logins + refreshes, 240)
      // And a login ends the refresh tokens of the others, so that each is turned away once an hour.
      assert.isAtLeast(logins, 100)
      assert.strictEqual(new Set(refreshTokens).size, refreshes)
    }).pipe(Random.withSeed("no fleet"))
  )
})
