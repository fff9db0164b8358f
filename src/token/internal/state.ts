/** The state of a credential, as a token service shows it. */
import type * as TokenError from "../TokenError.ts"

/**
 * The state of a credential, for readiness probes and dashboards. It contains no secret. Instants are in milliseconds since
 * the Unix epoch.
 *
 * - `empty`: no token is held; nobody has asked yet, or the program has signed out
 * - `acquiring`: no valid token is held, and an exchange is in flight
 * - `valid`: a valid token is held
 * - `renewing`: a valid token is held, and an exchange is in flight
 * - `failed`: no valid token is held, and the last exchange failed
 * - `closed`: the scope has closed
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly phase: "empty" | "acquiring" | "valid" | "renewing" | "failed" | "closed"
  readonly generation: number
  readonly expiresAt: number | undefined
  /** When the next renewal is due, if one is scheduled. */
  readonly renewAt: number | undefined
  /** Why the last exchange failed. The next success removes it. */
  readonly lastFailure: TokenError.TokenError | undefined
  /** Whether the store is down, so that this process uses a credential of its own. */
  readonly degraded: boolean
}

/** Whether somebody who waits for a change hears of it. */
export const differs = (a: State, b: State): boolean =>
  a.phase !== b.phase || a.generation !== b.generation || a.lastFailure !== b.lastFailure || a.degraded !== b.degraded
