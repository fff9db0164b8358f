/** What processes that share a store owe their callers while it is down, as tests. Run it over each durable backend. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schedule, type Scope } from "effect"
import { type AccessToken, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"

/** A store that can be stopped, and started again with what it held. */
export interface Outage<E> {
  readonly stop: Effect.Effect<void>
  readonly start: Effect.Effect<void>
  /** A backend on it, as each process makes one. */
  readonly open: Effect.Effect<TokenStore.Backend, E, Scope.Scope>
}

/** A process: a service on a store of its own connection. */
export const startProcess = Effect.fnUntraced(function* <E>(
  { open }: Pick<Outage<E>, "open">,
  { provider }: FakeProvider.FakeProvider["Service"]
) {
  const store = yield* Effect.flatMap(open, (backend) => TokenStore.make(backend))
  return yield* Effect.provideService(
    TokenService.make({ provider, policy: { whenIdle: "on-demand" } }),
    TokenStore.TokenStore,
    store
  )
})

const bare = (token: AccessToken.AccessToken) => Redacted.value(token.accessToken)

/** Renews until the store is used again: a client takes its time to connect again. */
const untilShared = (service: TokenService.TokenService["Service"]) =>
  Effect.repeat(Effect.andThen(Effect.exit(Effect.delay(service.renew, 50)), service.state), {
    until: ({ degraded }) => !degraded
  })

export const outageContract = <E>(name: string, makeOutage: Effect.Effect<Outage<E>, E, Scope.Scope>) => {
  const test = <E2>(name: string, body: (outage: Outage<E>) => Effect.Effect<void, E2, Scope.Scope>) =>
    it.live(name, () => Effect.flatMap(makeOutage, body))

  describe(`${name}: while the store is down`, () => {
    test("a program starts, logs in on its own, and shares its credential once the store is back", (outage) =>
      Effect.gen(function* () {
        yield* outage.stop
        const fake = FakeProvider.make()
        const service = yield* startProcess(outage, fake)
        assert.strictEqual(bare(yield* service.get), "access-1")
        assert.include(yield* service.state, { degraded: true })
        yield* outage.start
        yield* untilShared(service)
        const shared = bare(yield* service.get)
        const { logins } = yield* fake.ledger
        assert.strictEqual(bare(yield* (yield* startProcess(outage, fake)).get), shared)
        assert.include(yield* fake.ledger, { logins })
      }))

    test("processes that hold a valid token keep it; later there is one credential again", (outage) =>
      Effect.gen(function* () {
        const fake = FakeProvider.make()
        const [one, other] = [yield* startProcess(outage, fake), yield* startProcess(outage, fake)]
        const held = yield* one.get
        assert.strictEqual(bare(yield* other.get), "access-1")
        yield* outage.stop
        assert.strictEqual((yield* Effect.flip(one.renew)).reason._tag, "StoreUnavailable")
        assert.strictEqual(bare(yield* one.get), "access-1")
        assert.include(yield* fake.ledger, { logins: 1, refreshes: 0 })
        // The API refuses the token, so each process needs one of its own.
        // A renewal that failed a moment ago is not repeated at once.
        const replaced = (service: TokenService.TokenService["Service"]) =>
          Effect.retry(service.reject(held), { schedule: Schedule.spaced("200 millis") })
        assert.strictEqual(bare(yield* replaced(one)), "access-2")
        assert.strictEqual(bare(yield* replaced(other)), "access-3")
        assert.include(yield* one.state, { degraded: true })
        yield* outage.start
        yield* untilShared(other)
        yield* untilShared(one)
        const [mine, theirs] = [yield* one.renew, yield* other.renew]
        assert.isTrue(bare(mine) === bare(theirs) || theirs.generation > mine.generation)
        const { refreshTokens } = yield* fake.ledger
        assert.strictEqual(new Set(refreshTokens).size, refreshTokens.length)
      }))
  })
}
