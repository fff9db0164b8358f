/**
 * What one attempt at a renewal does: take the lease, refresh or log in, give back a stamped token. When to attempt, and
 * what a failure means for those who wait, is `engine.ts`.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as AccessToken from "../AccessToken.ts"
import type { RenewalPolicy } from "../RenewalPolicy.ts"
import * as TokenError from "../TokenError.ts"
import { reasonOf } from "../shared/failures.ts"
import type { TokenProvider } from "../TokenProvider.ts"
import type { Lease, Renewal, Renewed, TokenStore } from "../TokenStore.ts"

/** Whose credential it is, and where it is kept without a store. */
export interface Account {
  provider: TokenProvider
  /** The provider's, once known. */
  readonly identity: string
  stored: AccessToken.AccessToken | undefined
  /** The refresh token of `stored` has been sent. */
  spent: boolean
}

/** What an attempt is told: what to replace, and where to say which exchange it makes just before it is sent. */
export interface Attempt {
  /** Generation of the credential to replace; 0 for none. */
  readonly seen: number
  readonly sending: (operation: "login" | "refresh") => void
}

/** Nothing left this machine: a refresh token in the request is still good. */
const neverSent = (reason: TokenError.RenewalReason) =>
  reason._tag === "CredentialUnavailable" || (reason._tag === "ProviderUnavailable" && !reason.sent)

/** The platform answered that it cannot answer, or nobody of this account: a login at once would not help. */
const overloaded = (reason: TokenError.RenewalReason) =>
  reason._tag === "RateLimited" ||
  reason._tag === "AccountSuspended" ||
  (reason._tag === "ProviderUnavailable" && reason.failure === "status")

/** After `RefreshTokenRejected`, or where it was sent and nothing readable came back, a refresh token is good for nothing. */
const consuming = /^(Ref|Am|M|ProviderU)/

/** The store's lease outlives the worst attempt: a refresh and a login that both time out, and a commit. */
const leaseTime = (policy: RenewalPolicy) => 2 * policy.exchangeTimeout + 5_000

/** Without a store there is nobody to share with: the credential is kept here, and nobody else takes a lease. */
const unshared = <E>(account: Account, { exchange, seen }: Renewal<E>): Effect.Effect<Renewed, E> =>
  Effect.suspend(() => {
    const { spent, stored } = account
    const lease: Lease = { stored: Option.fromUndefinedOr(stored), orphaned: spent, generation: seen + 1, spent }
    return Effect.onExit(
      Effect.map(Effect.interruptible(exchange(lease)), (token) => ({ token, isPrivate: false, isAdopted: false })),
      (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) account.stored = exit.value.token
          account.spent = Exit.isFailure(exit) && lease.spent
        })
    )
  })

/** Makes what makes attempts and forgets credentials, for the accounts that share a policy and a store. */
export const make = (clock: Clock.Clock, policy: RenewalPolicy, store: TokenStore["Service"] | undefined) => {
  /** One exchange with the platform: bounded, stamped, one span. */
  const timed = (
    provider: TokenProvider,
    operation: "login" | "refresh",
    request: Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>,
    lease: Lease
  ) =>
    Effect.suspend(() => {
      const start = clock.monotonicTimeNanosUnsafe()
      return request.pipe(
        Effect.timeoutOrElse({
          duration: policy.exchangeTimeout,
          orElse: () =>
            Effect.fail(
              operation === "refresh"
                ? new TokenError.AmbiguousExchange({ failure: "timeout" })
                : new TokenError.ProviderUnavailable({ failure: "timeout" })
            )
        }),
        Effect.flatMap((response) =>
          AccessToken.fromResponse(response, {
            answeredAt: clock.currentTimeMillisUnsafe(),
            elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6,
            generation: lease.generation
          })
        ),
        Effect.withSpan(
          `TokenService.${operation}`,
          { root: true, attributes: { provider: provider.name } },
          { captureStackTrace: false }
        )
      )
    })

  /** The refresh token that this lease may send, with the credential it belongs to. */
  const refreshable = ({ login, traits }: TokenProvider, lease: Lease): AccessToken.AccessToken | undefined => {
    const current = Option.getOrUndefined(lease.stored)
    if (current?.refreshToken === undefined || (traits.renewWith === "login" && login !== undefined)) return undefined
    if (traits.rotatesRefreshToken && lease.spent) return undefined
    const { refreshExpiresAt } = current
    return refreshExpiresAt === undefined || clock.currentTimeMillisUnsafe() < refreshExpiresAt ? current : undefined
  }

  /**
   * Refreshes if there is a refresh token that may be sent, and logs in if that fails or there is none. A refresh token
   * is marked as spent before it is sent; the mark is taken back only if it was not sent, or the platform's answer was not
   * about it and the token either does not rotate or is all there is.
   */
  const exchange = Effect.fnUntraced(function* (
    provider: TokenProvider,
    lease: Lease,
    sending: Attempt["sending"]
  ): Effect.fn.Return<AccessToken.AccessToken, TokenError.RenewalReason> {
    const { login, refresh, traits } = provider
    const current = refreshable(provider, lease)
    let refused: TokenError.RenewalReason | undefined
    if (refresh !== undefined && current !== undefined) {
      const once = Effect.exit(timed(provider, "refresh", refresh(current), lease))
      lease.spent = true
      sending("refresh")
      let answer = yield* once
      refused = Exit.isFailure(answer) ? reasonOf(answer.cause) : undefined
      // Without a login the answer is worth a second try, where trying again cannot break anything.
      if (refused?._tag === "AmbiguousExchange" && login === undefined && !traits.rotatesRefreshToken) {
        answer = yield* once
        refused = Exit.isFailure(answer) ? reasonOf(answer.cause) : undefined
      }
      if (Exit.isSuccess(answer)) {
        return traits.rotatesRefreshToken ? answer.value : keepRefreshToken(answer.value, current)
      }
      if (refused === undefined) return yield* Effect.failCause(answer.cause)
      if (neverSent(refused) || overloaded(refused) || (login === undefined && !consuming.test(refused._tag))) {
        lease.spent = traits.rotatesRefreshToken && login !== undefined && !neverSent(refused)
        return yield* refused
      }
    }
    if (login === undefined) {
      return yield* new TokenError.InteractionRequired({
        status: refused && "status" in refused ? refused.status : undefined
      })
    }
    sending("login")
    return yield* timed(provider, "login", login, lease)
  })

  return {
    /** An attempt is run uninterruptibly: what may be interrupted says so itself. */
    renew: (account: Account, { seen, sending }: Attempt) => {
      const { identity, provider } = account
      const renewal = {
        seen,
        ttl: leaseTime(policy),
        canLogIn: provider.login !== undefined,
        exchange: (lease: Lease) => exchange(provider, lease, sending)
      }
      return store === undefined ? unshared(account, renewal) : store.transact(identity, renewal)
    },
    clear: (account: Account): Effect.Effect<void, TokenError.StoreUnavailable> =>
      store === undefined
        ? Effect.sync(() => {
            account.stored = undefined
            account.spent = false
          })
        : store.clear(account.identity)
  }
}

/** What {@link make} makes. */
export type Exchange = ReturnType<typeof make>

/** RFC 6749 §6: an answer without a refresh token leaves the old one in force. */
const keepRefreshToken = (token: AccessToken.AccessToken, previous: AccessToken.AccessToken) =>
  token.refreshToken !== undefined
    ? token
    : new AccessToken.AccessToken({
        ...token,
        refreshToken: previous.refreshToken,
        refreshExpiresAt: previous.refreshExpiresAt
      })
