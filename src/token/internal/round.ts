/** A renewal that somebody waits for, and when its attempts are made. */
import type * as Cause from "effect/Cause"
import type * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { AccessToken } from "../AccessToken.ts"
import type { RenewalPolicy } from "../RenewalPolicy.ts"
import type * as TokenError from "../TokenError.ts"
import type { Trigger } from "../TokenEvent.ts"
import { reasonOf } from "../shared/failures.ts"
import { monotonic } from "../shared/time.ts"
import type { Environment } from "./actor.ts"
import { jittered } from "./setback.ts"

/** How a renewal turned out. */
export type Outcome = Exit.Exit<AccessToken, TokenError.TokenError>

/** How a round ends: with an outcome, or because somebody signed out. */
export type Ending = Outcome | "signed-out"

/** One renewal, of one attempt or several. Callers wait for its ending. Instants are monotonic. */
export interface Round {
  readonly done: Deferred.Deferred<Ending>
  readonly trigger: Trigger
  /** No attempt before this instant. */
  notBefore: number
  /** Callers without a usable token wait until this instant; `undefined` where nobody is without one. */
  patience: number | undefined
  /** The delays between attempts; made when the first one fails. */
  nextDelay: NextDelay | undefined
}

/** Returns the delay before the next attempt in milliseconds, or `undefined` when the schedule is over. */
export type NextDelay = (now: number, reason: TokenError.RenewalReason) => Effect.Effect<number | undefined>

/** A schedule of the program's that takes longer to decide than this counts as over. Milliseconds. */
const decisionTimeout = 1_000

/** Steps through the policy's schedule; without one, three retries after 1 s, 2 s and 4 s. */
const delays = (schedule: RenewalPolicy["retry"], random: Environment["random"]): Effect.Effect<NextDelay> => {
  if (schedule === undefined) {
    let retries = 0
    return Effect.succeed(() => Effect.succeed(retries < 3 ? jittered(random, 1_000 * 2 ** retries++) : undefined))
  }
  return Effect.map(
    Schedule.toStep(schedule),
    (step) => (now, reason) =>
      Effect.interruptible(step(now, reason)).pipe(
        Effect.timeoutOption(decisionTimeout),
        Effect.map(Option.map(([, delay]) => Duration.toMillis(delay))),
        Effect.map(Option.getOrUndefined),
        // A schedule ends by failing, and one with a bug dies.
        Effect.catchCause(() => Effect.succeed(undefined))
      )
  )
}

/** Asks the policy's schedule for the delay before another attempt of a round, in milliseconds; `undefined` for none. */
export const delayAfter = (
  round: Round | undefined,
  cause: Cause.Cause<TokenError.RenewalReason>,
  { clock, policy, random }: Pick<Environment, "clock" | "policy" | "random">
): Effect.Effect<number | undefined> => {
  const reason = reasonOf(cause)
  if (round?.patience === undefined || reason === undefined || !reason.isRetryable) return Effect.succeed(undefined)
  const next = round.nextDelay === undefined ? delays(policy.retry, random) : Effect.succeed(round.nextDelay)
  return Effect.flatMap(next, (nextDelay) => {
    round.nextDelay = nextDelay
    return nextDelay(monotonic(clock), reason)
  })
}
