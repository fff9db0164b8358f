/**
 * The events of a `TokenService`, for logs, metrics and tests. Events contain no secret.
 *
 * By default nothing observes them. `Observability` turns them into logs and metrics.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { observersKeyPrefix } from "./shared/observersKey.ts"
import type { TokenError } from "./TokenError.ts"

/**
 * What started a renewal.
 *
 * - `demand`: a caller needed a token, and none was held
 * - `scheduled`: the schedule
 * - `early`: a caller, close to expiry
 * - `rejected`: a token that the API refused
 * - `renew`: the program
 *
 * @category models
 * @since 0.1.0
 */
export type Trigger = "demand" | "scheduled" | "early" | "rejected" | "renew"

/**
 * One event. `identity` is a hash that names the credential. Durations and ages are in milliseconds.
 *
 * - `Renewed`: a new credential arrived by `login` or `refresh`, or was `adopted` from the store. `age` is the age of the
 *   token that it replaces
 * - `RenewalFailed`: one attempt failed
 * - `Waited`: a caller had to wait for a token
 * - `Replayed`: the client sent a request again after a 401
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
 * Receives the events of every service that is built beneath it. Observers must be quick, because a renewal waits for them.
 *
 * @category models
 * @since 0.1.0
 */
export type Observer = (event: TokenEvent) => Effect.Effect<void>

/**
 * The observers of the services that are built in this context.
 *
 * @category references
 * @since 0.1.0
 */
export const Observers: Context.Reference<ReadonlyArray<Observer>> = Context.Reference(observersKeyPrefix, {
  defaultValue: (): ReadonlyArray<Observer> => []
})
