/**
 * What one call of a client may cost. The client makes a budget for each call, and everything that repeats a request
 * inside that call draws on it, so repetitions add up instead of multiplying.
 *
 * | repeated after | at most, per call |
 * | --- | --- |
 * | a transient failure | as often as the `retry` schedule says (2 times) |
 * | a 429 | `rateLimitRetries` (3 times) |
 * | a 401 | once |
 *
 * So a call sends at most 7 requests. It begins no wait that would end later than (1 + `rateLimitRetries`) ×
 * `rateLimitMaxWait` after its start (4 minutes), and repeats nothing after that.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"

/** How long and how often a client waits for a rate limit, whatever the platform. */
export interface PatienceOptions {
  /**
   * How often a request that got a 429 is sent again, after the wait that the response asks for.
   * @default 3
   */
  readonly rateLimitRetries?: number | undefined
  /**
   * The longest wait: for a place within the rate limit, after a 429, and before a retry. A request that would have to
   * wait longer fails at once; its error says how long (`retryAfter`). All waits of one call together last at most
   * (1 + `rateLimitRetries`) times as long.
   * @default 1 minute
   */
  readonly rateLimitMaxWait?: Duration.Input | undefined
}

/** The options as numbers; durations in milliseconds. */
export interface Patience {
  readonly refusals: number
  readonly longestWait: number
}

export const patienceOf = ({ rateLimitMaxWait = "1 minute", rateLimitRetries = 3 }: PatienceOptions): Patience => ({
  refusals: rateLimitRetries,
  longestWait: Duration.toMillis(Duration.fromInputUnsafe(rateLimitMaxWait))
})

/** What is left for a call. */
export interface Budget {
  /** How often a request may still be repeated after a 429. */
  refusals: number
  /** Whether the client may still recover from a 401. */
  canRecover: boolean
  /** Requests that have reached the transport. */
  requests: number
  /** Whether an earlier attempt of a DELETE may have been carried out, although no response to it arrived. */
  mayBeDeleted: boolean
  /** When no wait may end any more, in milliseconds on the monotonic clock. */
  readonly until: number
}

export const makeBudget = ({ longestWait, refusals }: Patience, now: number): Budget => ({
  refusals,
  canRecover: true,
  requests: 0,
  mayBeDeleted: false,
  until: now + (1 + refusals) * longestWait
})

/** The budget of the call that the fibre makes. A `BearerClient` on its own has none. */
export const CallBudget: Context.Reference<Budget | undefined> = /* @__PURE__ */ Context.Reference(
  "effect-video-auth/CallBudget",
  { defaultValue: (): Budget | undefined => undefined }
)
