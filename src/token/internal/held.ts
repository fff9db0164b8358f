/** The credential in hand. */
import type * as Exit from "effect/Exit"
import type { AccessToken } from "../AccessToken.ts"

/** A credential that an engine holds, valid or expired. Windows are milliseconds before expiry. */
export interface Held {
  readonly token: AccessToken
  /** The token as the result of a call, made once. */
  readonly exit: Exit.Exit<AccessToken>
  /** Expiry on the monotonic clock. */
  readonly deadline: number
  /** In this window the token is renewed in the background. */
  readonly advisory: number
  /** In this window callers wait for the renewal. */
  readonly mandatory: number
  /** The store does not have it, because it did not answer. */
  readonly isPrivate: boolean
  /** Another process got it, and it may have lain in the store for a while. */
  readonly isAdopted: boolean
  /**
   * - `none`: nothing speaks against the token
   * - `replacing`: a refresh under way ends it, so `get` waits for the outcome
   * - `refused`: the API refused it. It counts as no token, except that `get` serves it while a renewal has just failed
   */
  doubt: "none" | "replacing" | "refused"
  /** The API refused it, whether or not it may be renewed because of that: no error calls it valid. */
  wasRefused: boolean
}
