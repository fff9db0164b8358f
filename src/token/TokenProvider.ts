/**
 * One platform's protocol: how to log in, how to refresh, and how its tokens behave, as data.
 *
 * A provider makes single attempts and nothing else. When to renew, how often to retry, how long to wait and what to do
 * with a refresh token that may have been used is the engine's business (`TokenService`), the same for every platform.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { AccessToken, TokenResponse } from "./AccessToken.ts"
import type { RenewalReason } from "./TokenError.ts"

/**
 * How a platform's tokens behave.
 *
 * @category models
 * @since 0.1.0
 */
export interface Traits {
  /**
   * What a renewal does: `refresh-then-login` uses the refresh token and logs in where that fails, `login` never
   * refreshes (the credential is at hand and a refresh gains nothing), `refresh` has nothing to log in with.
   */
  readonly renewWith: "refresh-then-login" | "login" | "refresh"
  /** Each refresh answers with a new refresh token and kills the one sent. Such a token is sent at most once. */
  readonly rotatesRefreshToken: boolean
  /** A login kills the refresh tokens of earlier logins with the same credential. */
  readonly loginSupersedesRefresh: boolean
  /** The previous access token stays valid after a refresh. Where it does not, `get` waits for a refresh under way. */
  readonly oldTokenSurvivesRefresh: boolean
  /**
   * Repeated refusals lock the account: after one the schedule tries no more by itself, only a caller who asks does.
   * @default false
   */
  readonly locksAccount?: boolean | undefined
}

/**
 * One platform's protocol for one credential.
 *
 * `login` and `refresh` are each ONE attempt: interruptible, without retry or timeout, on an `HttpClient` of their own
 * that carries no token, with redirects `manual` and trace headers off. They fail with a reason, never with a request,
 * a body or the server's free text inside. `login` is run anew each time, so it can read a key that rotates.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenProvider {
  /** Platform and environment for people, as in `api.video sandbox`. */
  readonly name: string
  /** Names the identity in stores and logs, without a secret in it: a hash of host and credential. */
  readonly identity: Effect.Effect<string, RenewalReason>
  /** Exchanges the primary credential. Absent for grants that only a person can start. */
  readonly login?: Effect.Effect<TokenResponse, RenewalReason> | undefined
  /** Exchanges the refresh token of `current`, which has one. */
  readonly refresh?: ((current: AccessToken) => Effect.Effect<TokenResponse, RenewalReason>) | undefined
  readonly traits: Traits
}
