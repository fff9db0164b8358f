/**
 * What one attempt at a renewal does: take the lease, refresh or log in, give back a stamped token. When to attempt, and
 * what a failure means for those who wait, is `engine.ts`.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as AccessToken from "../AccessToken.ts"
import type { RenewalPolicy } from "../RenewalPolicy.ts"
import * as TokenError from "../TokenError.ts"
import type { TokenProvider } from "../TokenProvider.ts"
import type { Lease, Renewal, Renewed, TokenStore } from "../TokenStore.ts"

/** What an attempt is told: what to replace, and where to say which exchange it makes just before it is sent. */
export interface Attempt {
  /** Generation of the credential to replace; 0 for none. */
  readonly seen: number
  readonly sending: (operation: "login" | "refresh") => void
}

/** Nothing left this machine: a refresh token in the request is still good. */
const neverSent = (reason: TokenError.RenewalReason) => reason._tag === "ProviderUnavailable" && !reason.sent

/** The platform answered that it cannot answer: another exchange at once would not help. */
const overloaded = (reason: TokenError.RenewalReason) =>
  reason._tag === "RateLimited" || (reason._tag === "ProviderUnavailable" && reason.failure === "status")

/** The typed failure of an exchange; none where it succeeded, died or was interrupted. */
const reasonOf = <A>(exit: Exit.Exit<A, TokenError.RenewalReason>): TokenError.RenewalReason | undefined =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined

/** The store's lease outlives the worst attempt: a refresh and a login that both time out, and a commit. */
const leaseTime = (policy: RenewalPolicy) => 2 * policy.exchangeTimeout + 5_000

/** Without a store there is nobody to share with: the credential is kept here, and nobody else takes a lease. */
const unshared = () => {
  let stored: AccessToken.AccessToken | undefined
  let spent = false
  const transact = <E>(_identity: string, { exchange, seen }: Renewal<E>): Effect.Effect<Renewed, E> =>
    Effect.suspend(() => {
      const lease: Lease = { stored: Option.fromUndefinedOr(stored), orphaned: spent, generation: seen + 1, spent }
      return Effect.onExit(
        Effect.map(Effect.interruptible(exchange(lease)), (token) => ({ token, isPrivate: false, isAdopted: false })),
        (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) stored = exit.value.token
            spent = Exit.isFailure(exit) && lease.spent
          })
      )
    })
  const clear = () =>
    Effect.sync(() => {
      stored = undefined
      spent = false
    })
  return { transact, clear }
}

/**
 * Makes what makes one attempt, and what forgets the credential. An attempt is run uninterruptibly: what may be
 * interrupted says so itself.
 */
export const make = Effect.fnUntraced(function* (
  provider: TokenProvider,
  policy: RenewalPolicy,
  identity: string,
  store: TokenStore["Service"] | undefined
) {
  const clock = yield* Clock.Clock
  const { login, refresh, traits } = provider
  const { clear, transact } = store ?? unshared()

  /** One exchange with the platform: bounded, stamped, one span. */
  const timed = (
    operation: "login" | "refresh",
    request: Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>,
    lease: Lease
  ) =>
    Effect.suspend(() => {
      const start = clock.monotonicTimeNanosUnsafe()
      const late =
        operation === "refresh"
          ? new TokenError.AmbiguousExchange({ failure: "timeout" })
          : new TokenError.ProviderUnavailable({ failure: "timeout" })
      return request.pipe(
        Effect.timeoutOrElse({ duration: policy.exchangeTimeout, orElse: () => Effect.fail(late) }),
        Effect.flatMap((response) =>
          AccessToken.fromResponse(response, {
            answeredAt: clock.currentTimeMillisUnsafe(),
            elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6,
            generation: lease.generation
          })
        ),
        Effect.withSpan(`TokenService.${operation}`, { root: true, attributes: { provider: provider.name } })
      )
    })

  /** The refresh token that this lease may send, with the credential it belongs to. */
  const refreshable = (lease: Lease): AccessToken.AccessToken | undefined => {
    const current = Option.getOrUndefined(lease.stored)
    if (current?.refreshToken === undefined || (traits.renewWith === "login" && login !== undefined)) return undefined
    if (traits.rotatesRefreshToken && lease.spent) return undefined
    const { refreshExpiresAt } = current
    return refreshExpiresAt === undefined || clock.currentTimeMillisUnsafe() < refreshExpiresAt ? current : undefined
  }

  /**
   * Refreshes if there is a refresh token that may be sent, and logs in if that fails or there is none. A refresh token
   * is marked as spent before it is sent; the mark is taken back only if it was not sent, or the platform answered that
   * it cannot answer and the token either does not rotate or is all there is.
   */
  const exchange = Effect.fnUntraced(function* (
    lease: Lease,
    sending: Attempt["sending"]
  ): Effect.fn.Return<AccessToken.AccessToken, TokenError.RenewalReason> {
    const current = refreshable(lease)
    let refused: TokenError.RenewalReason | undefined
    if (refresh !== undefined && current !== undefined) {
      const once = Effect.exit(timed("refresh", refresh(current), lease))
      lease.spent = true
      sending("refresh")
      let answer = yield* once
      refused = reasonOf(answer)
      // Without a login the answer is worth a second try, where trying again cannot break anything.
      if (refused?._tag === "AmbiguousExchange" && login === undefined && !traits.rotatesRefreshToken) {
        answer = yield* once
        refused = reasonOf(answer)
      }
      if (Exit.isSuccess(answer)) return keepRefreshToken(answer.value, current)
      if (refused === undefined) return yield* Effect.failCause(answer.cause)
      const keeps = login === undefined || !traits.rotatesRefreshToken
      if (neverSent(refused) || (overloaded(refused) && keeps)) lease.spent = false
      if (neverSent(refused) || overloaded(refused) || refused._tag === "AccountSuspended") {
        return yield* refused
      }
    }
    if (login === undefined) {
      const answered = refused !== undefined && "status" in refused ? { status: refused.status } : {}
      return yield* new TokenError.InteractionRequired(answered)
    }
    sending("login")
    return yield* timed("login", login, lease)
  })

  /** RFC 6749 §6: an answer without a refresh token leaves the old one in force, unless it rotates. */
  const keepRefreshToken = (token: AccessToken.AccessToken, previous: AccessToken.AccessToken) =>
    token.refreshToken !== undefined || traits.rotatesRefreshToken
      ? token
      : new AccessToken.AccessToken({
          ...token,
          refreshToken: previous.refreshToken,
          refreshExpiresAt: previous.refreshExpiresAt
        })

  return {
    renew: ({ seen, sending }: Attempt) =>
      transact(identity, {
        seen,
        ttl: leaseTime(policy),
        canLogIn: login !== undefined,
        exchange: (lease) => exchange(lease, sending)
      }),
    clear: clear(identity)
  }
})
