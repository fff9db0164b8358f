/** What the tests of the engine share: a service on a platform with its dice fixed, and failures to feed it. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Exit, Option, Random, Redacted, Scope } from "effect"
import { AccessToken, type RenewalPolicy, TokenError, TokenService, TokenStore } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import * as Platforms from "./platforms.ts"

export { census } from "../support/census.ts"

let owners = 0

/**
 * Dice that always fall alike. At 0.5 a token of an hour is renewed at 2,880 s, its mandatory window begins at 3,540 s, the
 * cool-down is 30 s, near expiry 1, 2, 4, 8, 10, 10, … s, and a fatal failure is remembered for 7.5 s.
 */
export const dice = (value: number): typeof Random.Random.Service => ({
  nextIntUnsafe: () => ++owners,
  nextDoubleUnsafe: () => value
})

export interface Options extends Partial<FakeProvider.Behaviour> {
  readonly policy?: RenewalPolicy.Options | undefined
  readonly dice?: number | undefined
  /** A store to share; without it the service keeps one of its own. */
  readonly store?: TokenStore.Backend | undefined
}

/** Makes services on a platform behind which there is a fake. */
export const on = (platform: Platforms.Platform) => {
  /** A service on a fake of its own, or on that of another service: a second process. */
  const start = Effect.fnUntraced(function* (
    options: Options = {},
    fake: FakeProvider.FakeProvider["Service"] = FakeProvider.make({ ...options, ...platform.fake })
  ) {
    const provider = yield* platform.provider(fake.provider)
    const made = TokenService.make({ provider, policy: options.policy }).pipe(
      Effect.provideService(Random.Random, dice(options.dice ?? 0.5))
    )
    const service = yield* options.store === undefined
      ? made
      : Effect.provideServiceEffect(made, TokenStore.TokenStore, Effect.orDie(TokenStore.make(options.store)))
    return { fake, provider, service, configure: fake.configure, ledger: fake.ledger }
  })
  /** The same, in a scope that the test closes. */
  const startIn = (scope: Scope.Scope, options?: Options) => Scope.provide(start(options), scope)
  /** The counts of a ledger after one login and some renewals, each of them a refresh or, on some platforms, a login. */
  const renewed = (renewals: number): Pick<FakeProvider.Ledger, "logins" | "refreshes"> =>
    Platforms.renewsByLogin(platform) ? { logins: 1 + renewals, refreshes: 0 } : { logins: 1, refreshes: renewals }
  return { start, startIn, renewed }
}

/** Takes seconds for minutes where refusals lock the account: that is how long a platform's refusal is remembered. */
export const memoryOn =
  ({ fake }: Platforms.Platform) =>
  (amount: number): Duration.Duration =>
    fake.traits.locksAccount === true ? Duration.minutes(amount) : Duration.seconds(amount)

/** Services on a bare fake. */
export const { start, startIn } = on(Platforms.fake)

/** Closes a scope, and says whether that was done without any time passing. */
export const closeAtOnce = Effect.fnUntraced(function* (scope: Scope.Closeable) {
  const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  yield* settled
  return closing.pollUnsafe() !== undefined
})

/** Lets everything run that can run without time passing. */
export const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

/** The reason that an effect fails with. */
export const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

/** Looks whether a failure came out as it went in. What a platform adds to it is its own affair, and so are its words. */
export const assertReason = (actual: TokenError.Reason | undefined, expected: TokenError.Reason) => {
  const facts = Object.entries(expected).filter(([name, fact]) => fact !== undefined && !/detail|problem/.test(name))
  assert.deepInclude(actual, Object.fromEntries(facts))
}

/** The access token by the name that the fake gave it. */
export const bare = (token: AccessToken.AccessToken) => Platforms.nameOf(Redacted.value(token.accessToken))

export const overloaded = new TokenError.ProviderUnavailable({ failure: "status", status: 503, fromPlatform: true })
export const unreachable = new TokenError.ProviderUnavailable({ failure: "connect" })
export const wrongKey = new TokenError.InvalidCredentials({ status: 400 })
export const answerLost = new TokenError.AmbiguousExchange({ failure: "network" })
export const garbled = new TokenError.MalformedResponse({ problem: "not a token response" })

/** A failure and what tells it from its like, for the name of a test. */
export const named = (failure: TokenError.RenewalReason): string => {
  const detail =
    "code" in failure
      ? failure.code
      : "failure" in failure && failure.failure !== "status"
        ? failure.failure
        : "status" in failure
          ? failure.status
          : undefined
  return detail === undefined ? failure._tag : `${failure._tag} (${detail})`
}

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
  const record = credential(seed)
  const { generation } = record
  const committed = { attempt: "earlier", version: 0, next: generation, loginVersion: generation, record }
  yield* store.commit(identity, committed)
  return store
})

/** The credential in a store. */
export const stored = (store: TokenStore.Backend, identity = "fake") =>
  Effect.map(store.read(identity), ({ record }) => Option.fromUndefinedOr(record))

/** Takes the lease of an identity, as another process does, and returns the attempt. */
export const takeLease = Effect.fnUntraced(function* (
  store: TokenStore.Backend,
  attempt = "another",
  identity = "fake"
) {
  const { revision } = yield* store.read(identity)
  assert.isTrue(yield* store.claim(identity, { attempt, revision }))
  return attempt
})

/** Takes the lease, and marks the stored refresh token as sent. */
export const takeAndMark = Effect.fnUntraced(function* (
  store: TokenStore.Backend,
  attempt = "another",
  identity = "fake"
) {
  yield* takeLease(store, attempt, identity)
  const { version } = yield* store.read(identity)
  assert.isTrue(yield* store.sending(identity, { attempt, version, kind: "refresh", marks: true }))
  return attempt
})
