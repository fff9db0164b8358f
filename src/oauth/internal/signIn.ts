/**
 * A token service whose credential can be replaced: a person signs in. The service treats this as a sign-out after which the
 * store contains another credential, so no renewal is in flight meanwhile, and no caller gets a failure.
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
import * as Identities from "../../token/shared/identities.ts"

export interface SignIn {
  readonly service: TokenService.TokenService["Service"]
  /** Replaces the credential, if there is one. */
  readonly replaceWith: (token: AccessToken.AccessToken) => Effect.Effect<void, TokenError.TokenError>
}

/** How long a sign-out waits for the store and for the revocation. After that the credential is forgotten anyway. */
const revocationTimeout = Duration.seconds(5)

/** A credential of which only the refresh token is known. It comes from no store, so its generation is 0. */
const fromRefreshToken = (refreshToken: Redacted.Redacted) =>
  new AccessToken.AccessToken({
    accessToken: Redacted.make(""),
    refreshToken,
    tokenType: "Bearer",
    issuedAt: 0,
    expiresAt: 0,
    generation: 0
  })

/** Stands for the seed, which is read just before it is sent. */
const unreadSeed = fromRefreshToken(Redacted.make(""))

export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  provider: OAuth2.Provider,
  options: OAuth2.TokenOptions
): Effect.fn.Return<SignIn, TokenError.TokenError, Scope.Scope> {
  const named = withProvider(provider.name)
  // If refusals lock the account, a refusal is remembered for longer.
  const policy =
    provider.traits.locksAccount === true ? { fatalFor: "5 minutes" as const, ...options.policy } : options.policy
  const identity = yield* named(provider.identity)
  const shared = yield* Effect.serviceOption(TokenStore.TokenStore)
  const store = Option.isSome(shared)
    ? shared.value
    : Context.get(yield* Layer.build(TokenStore.layerMemory), TokenStore.TokenStore)
  if (Option.isNone(shared)) yield* Identities.register(identity, provider)
  const revokes = options.revoke !== "never"

  let arriving: AccessToken.AccessToken | undefined
  let { seed } = provider

  const revoke = (token: AccessToken.AccessToken) =>
    provider.revoke(token).pipe(
      Effect.timeoutOrElse({
        duration: revocationTimeout,
        orElse: () => Effect.fail(new TokenError.ProviderUnavailable({ failure: "timeout" }))
      }),
      Effect.catch(({ message }) => Effect.logWarning(`${provider.name}: a token was not revoked. ${message}`))
    )

  const forget = Effect.gen(function* () {
    seed = undefined
    const looking = Effect.timeoutOption(store.current(identity), revocationTimeout)
    const held = revokes ? Option.flatten(yield* Effect.orElseSucceed(looking, Option.none)) : Option.none()
    yield* store.clear(identity)
    if (Option.isSome(held)) yield* revoke(held.value)
  })

  const storeArrived = (token: AccessToken.AccessToken) =>
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
          current === unreadSeed && seed !== undefined
            ? Effect.flatMap(withPreparationTimeout(seed), (token) => refresh(fromRefreshToken(token)))
            : refresh(current),
          PreparationTimeout,
          (usual) => Math.min(usual, exchangeTimeout / 2)
        ))
  }

  if (options.revoke === "close") {
    // Finalizers run in reverse order: this one runs when the service has closed and renews nothing any more.
    yield* Scope.addFinalizer(yield* Effect.scope, Effect.exit(forget))
  }
  const service = yield* TokenService.make({ provider: renewable, policy }).pipe(
    Effect.provideService(
      TokenStore.TokenStore,
      TokenStore.TokenStore.of({
        ...store,
        // A session that has not started yet starts with its seed.
        renew: (identity, renewal) =>
          store.renew(identity, seed === undefined ? renewal : { ...renewal, seed: unreadSeed }),
        clear: () => Effect.suspend(() => (arriving === undefined ? forget : storeArrived(arriving)))
      })
    )
  )

  const oneAtATime = Semaphore.makeUnsafe(1)
  /** Signs out until the arrived token is stored: a sign-out in flight may have begun before the token arrived. */
  const placed: Effect.Effect<void, TokenError.TokenError> = Effect.suspend(() =>
    arriving === undefined ? Effect.void : Effect.andThen(service.invalidate, placed)
  )
  return {
    service,
    replaceWith: (token) =>
      // A token that has arrived is stored even if the caller stops waiting.
      Effect.uninterruptible(
        oneAtATime.withPermits(1)(
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
