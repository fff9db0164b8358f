/**
 * The protocol of one platform: how to log in, how to refresh, and how its tokens behave.
 *
 * A provider only makes single attempts. `TokenService` decides when to renew, how often to retry, how long to wait, and what
 * to do with a refresh token that may have been used; it does so in the same way for every platform.
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
   * What a renewal does. `refresh-then-login` uses the refresh token, and logs in if that fails. `login` never refreshes,
   * for a credential with which a refresh gains nothing. `refresh` has nothing to log in with.
   */
  readonly renewWith: "refresh-then-login" | "login" | "refresh"
  /** Whether each refresh returns a new refresh token and ends the one sent. Such a token is sent at most once. */
  readonly rotatesRefreshToken: boolean
  /** Whether a login ends the refresh tokens of earlier logins with the same credential. */
  readonly loginSupersedesRefresh: boolean
  /**
   * Whether the previous access token stays valid after a renewal: after a refresh, or after a login where `renewWith` is
   * `login`. If not, `get` waits for a renewal in flight.
   */
  readonly oldTokenSurvivesRefresh: boolean
  /**
   * Whether repeated refusals lock the account. After one refusal the schedule stops, and only a caller starts another attempt.
   * @default false
   */
  readonly locksAccount?: boolean | undefined
}

/**
 * The protocol of one platform for one credential.
 *
 * `login` and `refresh` make one attempt each: interruptible, without a retry or a timeout, on an `HttpClient` of their own
 * that carries no token, with redirects `manual` and trace headers off. They fail with a reason that contains no request, no
 * body and no free text of the server. `login` runs again for each login, so it can read a key that changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenProvider {
  /** The platform and environment, for people: `api.video sandbox`. */
  readonly name: string
  /** Name of the identity in stores and logs, without a secret: for example a hash of host and credential. */
  readonly identity: Effect.Effect<string, RenewalReason>
  /** Exchanges the primary credential. Missing for grants that only a person can start. */
  readonly login?: Effect.Effect<TokenResponse, RenewalReason> | undefined
  /** Exchanges the refresh token of `current`. It is called only with a token that has one. */
  readonly refresh?: ((current: AccessToken) => Effect.Effect<TokenResponse, RenewalReason>) | undefined
  readonly traits: Traits
}
