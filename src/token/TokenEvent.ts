/**
 * What happens inside a `TokenService`, for logs, metrics and tests. Events hold no secret.
 *
 * Nobody listens by default, and what a program does not use is not in its bundle: `Observability` turns events into
 * logs and metrics.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { observersKeyPrefix } from "./shared/observersKey.ts"
import type { TokenError } from "./TokenError.ts"

/**
 * Why a renewal was started: nobody held a token (`demand`), the schedule (`scheduled`), a caller within the window
 * (`early`), a token that the API refused (`rejected`), or `renew`.
 *
 * @category models
 * @since 0.1.0
 */
export type Trigger = "demand" | "scheduled" | "early" | "rejected" | "renew"

/**
 * One event. `identity` is the hash that names the credential, durations are milliseconds.
 *
 * - `Renewed`: a new credential, by `login`, by `refresh`, or `adopted` from the store; `age` is that of the one replaced
 * - `RenewalFailed`: one attempt failed
 * - `Waited`: a caller had to wait for a token
 * - `Replayed`: a request was sent again after a 401
 *
 * @category models
 * @since 0.1.0
 */
export type TokenEvent =
  | {
      readonly _tag: "Renewed"
      readonly provider: string
      readonly identity: string
      readonly trigger: Trigger
      readonly by: "login" | "refresh" | "adopted"
      readonly generation: number
      readonly duration: number
      readonly age: number | undefined
      readonly expiresAt: number
    }
  | {
      readonly _tag: "RenewalFailed"
      readonly provider: string
      readonly identity: string
      readonly trigger: Trigger
      readonly duration: number
      readonly error: TokenError
    }
  | { readonly _tag: "Waited"; readonly provider: string; readonly identity: string; readonly duration: number }
  | { readonly _tag: "Replayed" }

/**
 * Hears the events of every service built beneath it. It must neither fail nor take long: a renewal waits for it.
 *
 * @category models
 * @since 0.1.0
 */
export type Observer = (event: TokenEvent) => Effect.Effect<void>

/**
 * The observers in force.
 *
 * @category references
 * @since 0.1.0
 */
export const Observers: Context.Reference<ReadonlyArray<Observer>> = Context.Reference(observersKeyPrefix, {
  defaultValue: (): ReadonlyArray<Observer> => []
})
