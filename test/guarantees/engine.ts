/** What the tests of the engine share: a service on a fake platform with its dice fixed, and failures to feed it. */
import { Effect, Exit, Metric, Option, Random, Redacted, Scope } from "effect"
import { AccessToken, type RenewalPolicy, TokenError, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"

let owners = 0

/**
 * Dice that always fall alike. At 0.5 a token of an hour is renewed at 2,880 s, its mandatory window begins at 3,540 s, the
 * cool-down is 30 s, near expiry 1, 2, 4, 8, 10, 10, … s, and a fatal failure is remembered for 7.5 s.
 */
export const dice = (value: number): typeof Random.Random.Service => ({
  nextIntUnsafe: () => ++owners,
  nextDoubleUnsafe: () => value
})

export interface Options extends FakeProvider.Options {
  readonly policy?: RenewalPolicy.Options | undefined
  readonly dice?: number | undefined
  /** A store to share; without it the service keeps one of its own. */
  readonly store?: TokenStore.Backend | undefined
}

/** A service on a fake, or on the fake of another service: a second process. */
export const start = Effect.fnUntraced(function* (
  options: Options = {},
  fake: FakeProvider.FakeProvider["Service"] = FakeProvider.make(options)
) {
  const made = TokenService.make({ provider: fake.provider, policy: options.policy }).pipe(
    Effect.provideService(Random.Random, dice(options.dice ?? 0.5))
  )
  const service = yield* options.store === undefined
    ? made
    : Effect.provideServiceEffect(made, TokenStore.TokenStore, TokenStore.make(options.store))
  return { fake, service, configure: fake.configure, ledger: fake.ledger }
})

/** Like {@link start}, in a scope that the test closes. */
export const startIn = (scope: Scope.Scope, options?: Options) => Scope.provide(start(options), scope)

/** Closes a scope, and says whether that was done without any time passing. */
export const closeAtOnce = Effect.fnUntraced(function* (scope: Scope.Closeable) {
  const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  yield* settled
  return closing.pollUnsafe() !== undefined
})

/** Lets everything run that can run without time passing. */
export const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

/** Counts the fibres that are alive among those started beneath it. */
export const census = () => {
  let alive = 0
  const service: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => void (alive += 1),
    recordFiberEnd: () => void (alive -= 1)
  }
  return {
    alive: Effect.sync(() => alive),
    count: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.provideService(effect, Metric.FiberRuntimeMetrics, service)
  }
}

/** The reason that an effect fails with. */
export const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

/** The bare access token. */
export const bare = (token: AccessToken.AccessToken) => Redacted.value(token.accessToken)

export const overloaded = new TokenError.ProviderUnavailable({ failure: "status", status: 503 })
export const unreachable = new TokenError.ProviderUnavailable({ failure: "connect" })
export const wrongKey = new TokenError.InvalidCredentials({ status: 400 })
export const answerLost = new TokenError.AmbiguousExchange({ failure: "network" })

export interface Seed {
  readonly generation?: number | undefined
  readonly expiresAt?: number | undefined
  readonly refreshToken?: string | undefined
  readonly refreshExpiresAt?: number | undefined
}

/** A credential of an earlier process; it expired at the epoch unless told otherwise. */
export const credential = (seed: Seed = {}) =>
  new AccessToken.AccessToken({
    accessToken: Redacted.make(`access-of-generation-${seed.generation ?? 1}`, { label: "access_token" }),
    refreshToken: Redacted.make(seed.refreshToken ?? "refresh-0", { label: "refresh_token" }),
    tokenType: "Bearer",
    issuedAt: (seed.expiresAt ?? 0) - 3_600_000,
    expiresAt: seed.expiresAt ?? 0,
    refreshExpiresAt: seed.refreshExpiresAt,
    generation: seed.generation ?? 1
  })

/** A store in memory that holds {@link credential}, as an earlier process left it. */
export const seededStore = Effect.fnUntraced(function* (seed: Seed = {}, identity = "fake") {
  const store = yield* TokenStore.makeMemory
  const lease = yield* store.acquire(identity, { owner: "earlier", seen: 0, ttl: 1_000 })
  if (lease._tag !== "Lease") return yield* Effect.die("an empty store gives its lease")
  yield* store.commit(identity, { owner: "earlier", fence: lease.fence, stored: credential(seed) })
  return store
})

/** What a store holds, read as a process does that has seen nothing. */
export const stored = (store: TokenStore.Backend, identity = "fake") =>
  Effect.map(store.acquire(identity, { owner: "reader", seen: 0, ttl: 0 }), (acquired) =>
    acquired._tag === "Newer" ? Option.some(acquired.stored) : Option.none()
  )
