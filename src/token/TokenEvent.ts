/**
 * The events of a `TokenService`, for logs, metrics and tests. Events contain no secret.
 *
 * By default nothing observes them. `Observability` turns them into logs and metrics.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
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
 * Why a request waits before it is sent.
 *
 * - `limit`: the requests that its class may send in this minute have been sent
 * - `refused`: the server answered 429
 * - `retry`: a pause before a request is sent again after a transient failure
 *
 * @category models
 * @since 0.1.0
 */
export type ThrottleReason = "limit" | "refused" | "retry"

/**
 * One event. `identity` is a hash that names the credential. Durations and ages are in milliseconds.
 *
 * - `Renewed`: a new credential arrived by `login` or `refresh`, or was `adopted` from the store. `age` is the age of the
 *   token that it replaces
 * - `RenewalFailed`: one attempt failed
 * - `Waited`: a caller had to wait for a token
 * - `Replayed`: the client sent a request again after a 401
 * - `Throttled`: a request begins to wait. `class` is the platform's class of requests that it belongs to, or `other` for a
 *   request to another server, and `duration` the expected wait
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
  | {
      readonly _tag: "Throttled"
      readonly provider: string
      readonly class: string
      readonly reason: ThrottleReason
      readonly duration: number
    }

/**
 * Hears the events of every service and client built beneath it.
 *
 * The library calls the observer at the event and runs the effect that it returns on a fibre of its own, so an observer
 * can neither delay nor fail a renewal. It may call the service back, for example to sign out when a renewal has failed.
 * An effect that takes longer than 10 s is interrupted, and so is one that is still running when the scope of the service
 * closes. An observer that is busy with 100 events misses further ones, and the library logs a warning.
 *
 * @category models
 * @since 0.1.0
 */
export type Observer = (event: TokenEvent) => Effect.Effect<void>

const observers = (key: string) => Context.Reference(key, { defaultValue: (): ReadonlyArray<Observer> => [] })

/**
 * The observers of a program.
 *
 * @category references
 * @since 0.1.0
 */
export const Observers: Context.Reference<ReadonlyArray<Observer>> =
  /* @__PURE__ */ observers("effect-video-auth/Observers")

/**
 * The observers that `Observability.layerLogging` adds. They have a reference of their own because of two layers that
 * provide the same reference side by side, one would replace the other.
 *
 * @category references
 * @since 0.1.0
 */
export const LoggingObservers: Context.Reference<ReadonlyArray<Observer>> = /* @__PURE__ */ observers(
  "effect-video-auth/LoggingObservers"
)

/**
 * The observers that `Observability.layerMetrics` adds; see {@link LoggingObservers}.
 *
 * @category references
 * @since 0.1.0
 */
export const MetricsObservers: Context.Reference<ReadonlyArray<Observer>> = /* @__PURE__ */ observers(
  "effect-video-auth/MetricsObservers"
)
