/** What a failed attempt means for the attempts after it. `engine.ts` has the table of it. */
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import type { RenewalPolicy } from "../RenewalPolicy.ts"
import type * as TokenError from "../TokenError.ts"
import type { Traits } from "../TokenProvider.ts"
import { reasonOf } from "../shared/failures.ts"
import { monotonic } from "../shared/time.ts"
import type { Environment } from "./actor.ts"

/** The last attempt failed. A success ends the setback, and so does signing out. Instants are monotonic. */
export interface Setback {
  /** What the attempt ended with. */
  readonly exit: Exit.Exit<never, TokenError.TokenError>
  /** The error in it; `undefined` after a defect. */
  readonly error: TokenError.TokenError | undefined
  /** Attempts that failed in a row. */
  readonly failures: number
  /** No retry can help: callers who need a token get the failure at once until {@link forCallers}. */
  readonly isFatal: boolean
  /** The next attempt for callers who need a token: there is no usable one, or it does not do for them. */
  readonly forCallers: number
  /** The next attempt while the held token is about to expire. */
  readonly nearExpiry: number
  /** The next attempt while the held token lasts for longer than that. */
  readonly early: number
  /** Whether the schedule makes attempts by itself. If not, only callers do. */
  readonly bySchedule: boolean
}

/** After a fatal failure, an attempt that no caller needs follows this much later. Milliseconds. */
const fatalPause = 5 * 60_000

/** How long callers get a fatal failure from memory, without jitter: longer where refusals lock the account. Milliseconds. */
export const memoryOf = (policy: RenewalPolicy, traits: Traits): number =>
  policy.fatalFor ?? (traits.locksAccount === true ? 5 * 60_000 : 5_000)

/** A pause, up to 20 % shorter or longer. */
export const jittered = (random: Environment["random"], millis: number): number =>
  millis * (0.8 + 0.4 * random.nextDoubleUnsafe())

/** Makes the setback of a failure now, after the failure of the attempt before. */
export const make = (
  exit: Setback["exit"],
  previous: Setback | undefined,
  { clock, policy, random }: Pick<Environment, "clock" | "policy" | "random">,
  traits: Traits
): Setback => {
  const now = monotonic(clock)
  const failures = (previous?.failures ?? 0) + 1
  const error = Exit.isFailure(exit) ? reasonOf(exit.cause) : undefined
  const locks = traits.locksAccount === true
  if (error !== undefined && !error.isRetryable) {
    const memory = memoryOf(policy, traits) * (1 + random.nextDoubleUnsafe())
    const later = now + Math.max(fatalPause, memory)
    return {
      exit,
      error,
      failures,
      isFatal: true,
      forCallers: now + memory,
      nearExpiry: later,
      early: later,
      bySchedule: !locks
    }
  }
  const asked = now + (error?.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter))
  const long = now + jittered(random, policy.coolDown)
  const short = now + jittered(random, Math.min(10_000, 1_000 * 2 ** (failures - 1)))
  return {
    exit,
    error,
    failures,
    isFatal: false,
    forCallers: Math.max(short, asked),
    nearExpiry: Math.max(short, asked),
    early: Math.max(long, asked),
    bySchedule: true
  }
}
