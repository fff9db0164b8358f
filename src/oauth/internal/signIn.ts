/**
 * A token service whose credential somebody can put there: a person who signs in. To the service it is a sign-out after
 * which there is another credential in the store, so no renewal is half way through it and nobody is told of a failure.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as AccessToken from "../../token/AccessToken.ts"
import type * as OAuth2 from "../shared/options.ts"
import * as RenewalPolicy from "../../token/RenewalPolicy.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"
import * as TokenService from "../../token/TokenService.ts"
import * as TokenStore from "../../token/TokenStore.ts"
import { PreparationTimeout, withPreparationTimeout } from "../shared/requests.ts"
import { withProvider } from "../../token/shared/failures.ts"

export interface SignIn {
  readonly service: TokenService.TokenService["Service"]
  /** Puts a token in place of whatever credential there is. */
  readonly put: (token: AccessToken.AccessToken) => Effect.Effect<void, TokenError.TokenError>
}

/** Neither a revocation, nor whoever renews what it is about, is waited for longer: it is forgotten anyway. */
const patience = Duration.seconds(5)

/** A credential of which no more than the refresh token is known, and nothing in a store: those have a generation. */
const seeded = (refreshToken: Redacted.Redacted) =>
  new AccessToken.AccessToken({
    accessToken: Redacted.make(""),
    refreshToken,
    tokenType: "Bearer",
    issuedAt: 0,
    expiresAt: 0,
    generation: 0
  })

/** Stands for the seed until it is read, which is when it is sent. */
const unread = seeded(Redacted.make(""))

export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  provider: OAuth2.Provider,
  options: OAuth2.TokenOptions
): Effect.fn.Return<SignIn, TokenError.TokenError, Scope.Scope> {
  const named = withProvider(provider.name)
  // Where refusals lock the account, one is remembered for longer.
  const policy =
    provider.traits.locksAccount === true ? { fatalFor: "5 minutes" as const, ...options.policy } : options.policy
  const identity = yield* named(provider.identity)
  const shared = yield* Effect.serviceOption(TokenStore.TokenStore)
  const store = Option.isSome(shared)
    ? shared.value
    : Context.get(yield* Layer.build(TokenStore.layerMemory), TokenStore.TokenStore)
  const revokes = options.revoke !== "never"

  let arriving: AccessToken.AccessToken | undefined
  let { seed } = provider

  const revoke = (token: AccessToken.AccessToken) =>
    provider.revoke(token).pipe(
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => Effect.fail(new TokenError.ProviderUnavailable({ failure: "timeout" }))
      }),
      Effect.catch(({ message }) => Effect.logWarning(`${provider.name}: a token was not revoked: ${message}`))
    )

  const forget = Effect.gen(function* () {
    seed = undefined
    const looking = Effect.timeoutOption(store.current(identity), patience)
    const held = revokes ? Option.flatten(yield* Effect.orElseSucceed(looking, Option.none)) : Option.none()
    yield* store.clear(identity)
    if (Option.isSome(held)) yield* revoke(held.value)
  })

  const replace = (token: AccessToken.AccessToken) =>
    Effect.map(store.replace(identity, token), () => {
      arriving = undefined
      seed = undefined
    })

  const { refresh } = provider
  const { exchangeTimeout } = yield* named(RenewalPolicy.make(policy))
  const renewable: TokenProvider = {
    ...provider,
    refresh:
      refresh &&
      ((current) =>
        Effect.updateService(
          current === unread && seed !== undefined
            ? Effect.flatMap(withPreparationTimeout(seed), (token) => refresh(seeded(token)))
            : refresh(current),
          PreparationTimeout,
          (usual) => Math.min(usual, exchangeTimeout / 2)
        ))
  }

  if (options.revoke === "close") {
    // Added before the service's own, it runs after it: nobody renews any more.
    yield* Scope.addFinalizer(yield* Effect.scope, Effect.exit(forget))
  }
  const service = yield* TokenService.make({ provider: renewable, policy }).pipe(
    Effect.provideService(
      TokenStore.TokenStore,
      TokenStore.TokenStore.of({
        ...store,
        // A session that was never begun begins with its seed.
        renew: (identity, renewal) =>
          store.renew(identity, seed === undefined ? renewal : { ...renewal, seed: unread }),
        clear: () => Effect.suspend(() => (arriving === undefined ? forget : replace(arriving)))
      })
    )
  )

  const turn = Semaphore.makeUnsafe(1)
  /** Until it is there: a sign-out under way may have been asked before it arrived. */
  const placed: Effect.Effect<void, TokenError.TokenError> = Effect.suspend(() =>
    arriving === undefined ? Effect.void : Effect.andThen(service.invalidate, placed)
  )
  return {
    service,
    put: (token) =>
      // An answer in hand is put in its place, whoever asked for it.
      Effect.uninterruptible(
        turn.withPermits(1)(
          Effect.suspend(() => {
            arriving = token
            return Effect.ensuring(
              placed,
              Effect.sync(() => {
                arriving = undefined
              })
            )
          })
        )
      )
  }
})
