/** A credential in hand, a renewal under way, and when its attempts are made. */
import type * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type { AccessToken } from "../AccessToken.ts"
import type { RenewalPolicy } from "../RenewalPolicy.ts"
import type * as TokenError from "../TokenError.ts"
import type { Trigger } from "../TokenEvent.ts"

/** The credential in hand. Windows are milliseconds before expiry. */
export interface Held {
  readonly token: AccessToken
  readonly exit: Exit.Exit<AccessToken>
  /** Expiry on the monotonic clock. */
  readonly deadline: number
  readonly advisory: number
  readonly mandatory: number
  /** Got without the store, which did not answer. */
  readonly isPrivate: boolean
  /** Taken from the store, where it may have lain for a while. */
  readonly isAdopted: boolean
  /** The API refused it, or a refresh under way is killing it: `get` waits for the renewal, while there is one. */
  suspect: boolean
}

/** A renewal that somebody wants: attempts are made until it is settled. */
export interface Round {
  readonly done: Deferred.Deferred<AccessToken, TokenError.TokenError>
  readonly trigger: Trigger
  /** No attempt before this monotonic instant. */
  notBefore: number
  /** Those who wait without a valid token are told by this monotonic instant. */
  patience: number | undefined
  /** Somebody signed out: who still waits asks anew. */
  isVoid: boolean
  nextDelay: ((now: number, reason: TokenError.RenewalReason) => Effect.Effect<number | undefined>) | undefined
}

/** The policy's schedule, one delay at a time; `undefined` when it is over. */
export const delays = (
  schedule: RenewalPolicy["retry"],
  jitter: (millis: number) => number
): Effect.Effect<NonNullable<Round["nextDelay"]>> => {
  if (schedule === undefined) {
    let retries = 0
    return Effect.succeed(() => Effect.succeed(retries < 3 ? jitter(1_000 * 2 ** retries++) : undefined))
  }
  return Effect.map(
    Schedule.toStep(schedule),
    (step) => (now, reason) =>
      Effect.map(Effect.exit(step(now, reason)), (exit) =>
        Exit.isSuccess(exit) ? Duration.toMillis(exit.value[1]) : undefined
      )
  )
}
