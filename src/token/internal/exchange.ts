/**
 * One attempt at a renewal: get a turn from the store, refresh or log in, and return a stamped token. `engine.ts` decides
 * when to make an attempt, and what its failure means for callers.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as AccessToken from "../AccessToken.ts"
import type { RenewalPolicy } from "../RenewalPolicy.ts"
import * as TokenError from "../TokenError.ts"
import { reasonOf } from "../shared/failures.ts"
import type { Exchanged, Known, Renewal, Renewed, Turn, TurnLost } from "../shared/storeModel.ts"
import { monotonic, withTimeout } from "../shared/time.ts"
import type { TokenProvider } from "../TokenProvider.ts"
import type { TokenStore } from "../TokenStore.ts"

/** What is known of a credential before the first renewal. */
export const nothingKnown: Known = {
  version: 0,
  loginVersion: 0,
  epoch: undefined,
  token: undefined,
  isPrivate: false,
  isSent: false
}

/** An account whose credential is renewed. Without a store, its credential is kept here. */
export interface Account {
  provider: TokenProvider
  /** The provider's, once known. */
  readonly identity: string
  /** The credential, and what the store knows of it. Each renewal updates it; begins as {@link nothingKnown}. */
  known: Known
}

/** What the engine tells an attempt. */
export interface Attempt {
  /** A token is held that is valid and was not rejected: the attempt can wait for a store that doesn't respond. */
  readonly isHolding: boolean
  /** Runs just before an exchange is sent. */
  readonly sending: (operation: "login" | "refresh") => void
}

/** The outcome of a renewal. */
export interface Received extends Renewed {
  /** When the request for the token was sent, on the monotonic clock; `undefined` if somebody else has sent it. */
  readonly sentAt: number | undefined
}

/**
 * How many milliseconds the token of a renewal lasts. The store may take long to accept it, while the wall clock is set back: so
 * its life also counts from when its request was sent.
 */
export const remaining = ({ sentAt, token: { expiresAt, issuedAt } }: Received, clock: Clock.Clock): number => {
  const now = monotonic(clock)
  return Math.min(expiresAt - clock.currentTimeMillisUnsafe(), (sentAt ?? now) + expiresAt - issuedAt - now)
}

/** Nothing left this machine. */
const wasNeverSent = (reason: TokenError.RenewalReason) =>
  reason._tag === "CredentialUnavailable" || (reason._tag === "ProviderUnavailable" && !reason.sent)

/** Nothing left this machine, or the platform itself said that it did nothing: a refresh token that was sent is unused. */
const didNothing = (reason: TokenError.RenewalReason) =>
  wasNeverSent(reason) ||
  (reason._tag === "RateLimited" && reason.fromPlatform !== false) ||
  (reason._tag === "ProviderUnavailable" && reason.status === 503 && reason.fromPlatform !== false)

/** As {@link didNothing}, in the platform's own JSON: a 503 without a body may be a gateway's that lost the response. */
const saidItDidNothing = (reason: TokenError.RenewalReason) =>
  wasNeverSent(reason) || (didNothing(reason) && "fromPlatform" in reason && reason.fromPlatform === true)

/** The platform serves nobody at the moment, or not this account: a login right after the refresh would not help. */
const isRefusingAll = (reason: TokenError.RenewalReason) =>
  wasNeverSent(reason) ||
  reason._tag === "RateLimited" ||
  reason._tag === "AccountSuspended" ||
  (reason._tag === "ProviderUnavailable" && reason.failure === "status")

/** It is unknown what the platform did. */
const isInconclusive = (reason: TokenError.RenewalReason) =>
  reason._tag === "AmbiguousExchange" ||
  reason._tag === "MalformedResponse" ||
  reason._tag === "ProviderUnavailable" ||
  reason._tag === "RateLimited"

/** The platform refused the refresh token, or may have used it up. Other reasons are about something else. */
const mayHaveConsumed = (reason: TokenError.RenewalReason) =>
  reason._tag === "RefreshTokenRejected" || (isInconclusive(reason) && !didNothing(reason))

/** Makes the operations of accounts that share a policy and a store. */
export const make = (clock: Clock.Clock, policy: RenewalPolicy, store: TokenStore["Service"] | undefined) => {
  /** One exchange with the platform: bounded in time, stamped, in one span. */
  const timed = (
    provider: TokenProvider,
    operation: "login" | "refresh",
    request: Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>
  ) =>
    Effect.suspend(() => {
      const start = clock.monotonicTimeNanosUnsafe()
      return withTimeout(request, clock, policy.exchangeTimeout, () =>
        Effect.fail(
          operation === "refresh"
            ? new TokenError.AmbiguousExchange({ failure: "timeout" })
            : new TokenError.ProviderUnavailable({ failure: "timeout" })
        )
      ).pipe(
        Effect.flatMap((response) =>
          AccessToken.fromResponse(response, {
            answeredAt: clock.currentTimeMillisUnsafe(),
            elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6,
            // The store assigns one.
            generation: 0
          })
        ),
        Effect.withSpan(
          `TokenService.${operation}`,
          { root: true, attributes: { provider: provider.name } },
          { captureStackTrace: false }
        )
      )
    })

  /** The credential whose refresh token may be sent now. */
  const refreshable = ({ login, traits }: TokenProvider, { isSent, stored }: Turn) => {
    if (stored?.refreshToken === undefined || (traits.renewWith === "login" && login !== undefined)) return undefined
    if (traits.rotatesRefreshToken && isSent) return undefined
    const { refreshExpiresAt } = stored
    // Without a login there is nothing to lose by trying.
    return refreshExpiresAt === undefined || login === undefined || clock.currentTimeMillisUnsafe() < refreshExpiresAt
      ? stored
      : undefined
  }

  /** Refreshes if there is a refresh token that may be sent. Logs in if there is none, or if the refresh failed. */
  const exchange = Effect.fnUntraced(function* (
    account: Account,
    turn: Turn,
    sending: Attempt["sending"]
  ): Effect.fn.Return<Exchanged, TokenError.RenewalReason | TurnLost> {
    const { login, refresh, traits } = account.provider
    const rotates = traits.rotatesRefreshToken
    const current = refreshable(account.provider, turn)
    let refused: TokenError.RenewalReason | undefined
    if (refresh !== undefined && current !== undefined) {
      const once = Effect.exit(timed(account.provider, "refresh", refresh(current)))
      yield* turn.sending("refresh", rotates)
      if (rotates) noteSent(account, current, true)
      sending("refresh")
      let outcome = yield* once
      refused = Exit.isFailure(outcome) ? reasonOf(outcome.cause) : undefined
      // Without a login, a second try is worth it where it cannot break anything.
      if (refused?._tag === "AmbiguousExchange" && login === undefined && !rotates) {
        // The lease may have ended meanwhile.
        yield* turn.sending("refresh", rotates)
        sending("refresh")
        outcome = yield* once
        refused = Exit.isFailure(outcome) ? reasonOf(outcome.cause) : undefined
      }
      if (Exit.isSuccess(outcome)) {
        return { kind: "refresh", token: rotates ? outcome.value : keepRefreshToken(outcome.value, current) }
      }
      if (refused === undefined) return yield* Effect.failCause(outcome.cause)
      // Without a login, the refresh token is kept after every refusal that isn't about it. With one, a doubt costs a login.
      const isKept = login === undefined ? !mayHaveConsumed(refused) : saidItDidNothing(refused)
      if (isKept) {
        turn.unused()
        noteSent(account, current, false)
      }
      if (login !== undefined && (isKept || isRefusingAll(refused))) return yield* refused
    }
    if (login === undefined) return yield* withoutLogin(refused, turn, rotates)
    yield* turn.sending("login", false)
    sending("login")
    return { kind: "login", token: yield* timed(account.provider, "login", login) }
  })

  /** Without a store there is nobody to share with: the credential is kept in the account. */
  const unshared = (account: Account, { exchange, known }: Renewal): Effect.Effect<Renewed, TokenError.RenewalReason> =>
    Effect.suspend(() => {
      const turn: Turn = {
        stored: known.token,
        isSent: known.isSent,
        sending: () => Effect.void,
        unused: () => undefined
      }
      return exchange(turn).pipe(
        Effect.interruptible,
        Effect.catchTag("TurnLost", Effect.die),
        Effect.map(({ token: { ...token } }) => {
          const version = account.known.version + 1
          const renewed = new AccessToken.AccessToken({ ...token, generation: version })
          return {
            token: renewed,
            known: { ...nothingKnown, version, token: renewed },
            isAdopted: false
          }
        })
      )
    })

  return {
    /** To be run uninterruptibly: an attempt marks what may be interrupted. */
    renew: (account: Account, { isHolding, sending }: Attempt): Effect.Effect<Received, TokenError.RenewalReason> =>
      Effect.suspend(() => {
        const { identity, known, provider } = account
        let sentAt: number | undefined
        const noteSending = (operation: "login" | "refresh") => {
          sentAt = monotonic(clock)
          sending(operation)
        }
        const { loginSupersedesRefresh, rotatesRefreshToken } = provider.traits
        const renewal: Renewal = {
          known,
          isHolding,
          canLogIn: provider.login !== undefined,
          rotates: rotatesRefreshToken,
          loginSupersedesRefresh,
          exchangeTimeout: policy.exchangeTimeout,
          exchange: (turn) => exchange(account, turn, noteSending)
        }
        return Effect.map(
          store === undefined ? unshared(account, renewal) : store.renew(identity, renewal),
          (renewed): Received => {
            account.known = renewed.known
            return { ...renewed, sentAt: renewed.isAdopted ? undefined : sentAt }
          }
        )
      }),
    clear: (account: Account): Effect.Effect<void, TokenError.StoreUnavailable> =>
      Effect.suspend(() => {
        const { epoch } = account.known
        account.known = { ...nothingKnown, version: account.known.version }
        return store === undefined ? Effect.void : store.clear(account.identity, epoch)
      })
  }
}

/** What {@link make} makes. */
export type Exchange = ReturnType<typeof make>

/** Remembers whether the refresh token of the known credential was sent, in case the store forgets it. */
const noteSent = (account: Account, sent: AccessToken.AccessToken, isSent: boolean) => {
  const { known } = account
  if (known.token !== undefined && AccessToken.isSameCredential(known.token, sent)) account.known = { ...known, isSent }
}

/** What a failed refresh, or a missing refresh token, means where there is no login. */
const withoutLogin = (
  refused: TokenError.RenewalReason | undefined,
  { stored }: Turn,
  rotates: boolean
): TokenError.RenewalReason => {
  if (refused === undefined) return new TokenError.InteractionRequired({ session: stored ? "ended" : "none" })
  if (!mayHaveConsumed(refused)) return refused
  if (!rotates && isInconclusive(refused)) return refused
  return new TokenError.InteractionRequired({
    session: "ended",
    status: "status" in refused ? refused.status : undefined,
    ...(refused._tag === "RefreshTokenRejected" && {
      errorDescription: refused.errorDescription,
      errorUri: refused.errorUri
    })
  })
}

/** RFC 6749 §6: a response without a refresh token leaves the old one in force. */
const keepRefreshToken = (token: AccessToken.AccessToken, previous: AccessToken.AccessToken) =>
  token.refreshToken !== undefined
    ? token
    : new AccessToken.AccessToken({
        ...token,
        refreshToken: previous.refreshToken,
        refreshExpiresAt: previous.refreshExpiresAt
      })
