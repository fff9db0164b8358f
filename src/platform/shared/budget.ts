/**
 * What one call of a client may cost: the client makes a budget for each call, and everything that repeats a request
 * inside that call draws on it. So repetitions add up, and do not multiply.
 *
 * | repeated after | at most, per call |
 * | --- | --- |
 * | a transient failure | as often as the `retry` schedule says (2 times) |
 * | a 429 | `rateLimitRetries` (3 times) |
 * | a 401 | once |
 *
 * No wait and no attempt begins later than (1 + `rateLimitRetries`) × `rateLimitMaxWait` after the call (4 minutes).
 */
import * as Context from "effect/Context"

/** What is left for a call. */
export interface Budget {
  /** Repetitions after a 429. */
  refusals: number
  /** Whether the recovery from a 401 is still to be had. */
  canRecover: boolean
  /** Requests that were repeated after a 401, which the limiter has not counted. */
  replays: number
  /** Whether an earlier attempt of a DELETE may have been carried out, although its response was lost. */
  mayBeDeleted: boolean
  /** When the time is up, in milliseconds on the monotonic clock. */
  readonly until: number
}

/** The budget of the call that the fibre makes. A `BearerClient` on its own has none. */
export const CallBudget: Context.Reference<Budget | undefined> = /* @__PURE__ */ Context.Reference(
  "effect-video-auth/CallBudget",
  { defaultValue: (): Budget | undefined => undefined }
)
