/** The state of a credential, as a token service shows it. */
import type * as TokenError from "../TokenError.ts"

/**
 * What may be told of a credential, for readiness probes and dashboards: no secret. Instants are milliseconds since the
 * epoch.
 *
 * - `empty`: nothing held, nothing asked for yet, or signed out
 * - `acquiring`: nothing valid held, an exchange is under way
 * - `valid`, `renewing`: a valid token is held; `renewing` while an exchange is under way
 * - `failed`: nothing valid held and the last exchange failed
 * - `closed`: the scope has closed
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly phase: "empty" | "acquiring" | "valid" | "renewing" | "failed" | "closed"
  readonly generation: number
  readonly expiresAt: number | undefined
  /** When the next renewal is due, where one is scheduled. */
  readonly renewAt: number | undefined
  /** Why the last exchange failed; gone with the next success. */
  readonly lastFailure: TokenError.TokenError | undefined
  /** The store does not answer: the credential is this process' own. */
  readonly degraded: boolean
}
