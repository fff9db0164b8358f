/**
 * The policy of a `TokenService`: when it renews a token, how it retries a failing renewal, and how long it pauses.
 *
 * Every option has a default. Windows scale with the lifetime L of the held token, so one policy fits tokens of five
 * minutes and tokens of an hour.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Struct from "effect/Struct"
import { toMillis as millis } from "./shared/time.ts"
import { ConfigurationInvalid, type RenewalReason } from "./TokenError.ts"

/**
 * The options of a policy. A duration is any `Duration.Input`: `"15 minutes"`, or milliseconds as a number.
 *
 * Negative values, values that are not a number, a zero timeout, and a `renewBefore` shorter than `waitBefore` are refused
 * with `ConfigurationInvalid`. `renewBefore` is at most L/4 and `waitBefore` at most L/10 of the held token's lifetime.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long before expiry a renewal starts in the background, at most L/4. A random delay of up to 40 % of that spreads a
   * fleet: a token of 3,600 s is renewed after 2,700 to 3,060 s.
   * @default "15 minutes"
   */
  readonly renewBefore?: Duration.Input | undefined
  /**
   * How long before expiry `get` waits for the renewal instead of serving a token that is about to expire, at most L/10.
   * @default "60 seconds"
   */
  readonly waitBefore?: Duration.Input | undefined
  /**
   * How long one login or refresh may take.
   * @default "30 seconds"
   */
  readonly exchangeTimeout?: Duration.Input | undefined
  /**
   * How long `get` waits if no valid token is held.
   * @default "20 seconds"
   */
  readonly acquireTimeout?: Duration.Input | undefined
  /**
   * Pause after a failed renewal while the token is valid, ± 20 %. Close to expiry it is 1 s, 2 s, 4 s, 8 s and then 10 s,
   * by the number of failures in a row. `renew` and `getValidFor` may try again after that shorter pause at any time.
   * @default "30 seconds"
   */
  readonly coolDown?: Duration.Input | undefined
  /**
   * How long callers get a failure that no retry can help (a wrong key) from memory, without another exchange. Jitter
   * makes it up to twice as long.
   * @default "5 seconds", or "5 minutes" where the provider says that refusals lock the account
   */
  readonly fatalFor?: Duration.Input | undefined
  /**
   * How many renewals rejected tokens may cause within 30 s.
   * @default 5
   */
  readonly stormLimit?: number | undefined
  /**
   * `keep-fresh` renews on a schedule, whether or not anybody asks; its timer lives until the scope closes. `on-demand` has
   * no timer: the first `get` within the window starts the renewal.
   * @default "keep-fresh"
   */
  readonly whenIdle?: "keep-fresh" | "on-demand" | undefined
  /**
   * How long closing the scope waits for a refresh that has no login to fall back on.
   * @default "5 seconds"
   */
  readonly shutdownGrace?: Duration.Input | undefined
  /**
   * Delays between the attempts of one renewal while no valid token is held. A server's `Retry-After` lengthens them. The
   * schedule's input is the reason of each failure. Attempts end with the schedule or with `acquireTimeout`.
   * @default three retries after 1 s, 2 s and 4 s, jittered
   */
  readonly retry?: Schedule.Schedule<unknown, RenewalReason> | undefined
}

/**
 * A checked policy, with durations in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface RenewalPolicy {
  readonly renewBefore: number
  readonly waitBefore: number
  readonly exchangeTimeout: number
  readonly acquireTimeout: number
  readonly coolDown: number
  /** `undefined` leaves it to the provider: 5 s, or 5 minutes where refusals lock the account. */
  readonly fatalFor: number | undefined
  readonly stormLimit: number
  readonly whenIdle: "keep-fresh" | "on-demand"
  readonly shutdownGrace: number
  readonly retry: Schedule.Schedule<unknown, RenewalReason> | undefined
}

/** What a number of a policy has to be, or else the problem that an error names. */
interface Range {
  readonly has: (value: number) => boolean
  readonly problem: string
}

const notNegative: Range = {
  has: (value) => value >= 0 && value < Infinity,
  problem: "it must be a finite duration that is not negative"
}
/** No exchange and no caller gets by without any time. */
const positive: Range = {
  has: (value) => value > 0 && value < Infinity,
  problem: "it must be a positive, finite duration"
}
const count: Range = {
  has: (value) => value > 0 && Number.isInteger(value),
  problem: "it must be a positive whole number"
}

const ranges = {
  renewBefore: notNegative,
  waitBefore: notNegative,
  exchangeTimeout: positive,
  acquireTimeout: positive,
  coolDown: notNegative,
  fatalFor: notNegative,
  stormLimit: count,
  shutdownGrace: notNegative
} satisfies Partial<Record<keyof RenewalPolicy, Range>>

/**
 * Checks the options and fills in the defaults.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<RenewalPolicy, ConfigurationInvalid> => {
  const invalid = (option: string, problem: string) =>
    Effect.fail(new ConfigurationInvalid({ option: `policy.${option}`, problem }))
  const policy: RenewalPolicy = {
    renewBefore: millis(options.renewBefore ?? 900_000),
    waitBefore: millis(options.waitBefore ?? 60_000),
    exchangeTimeout: millis(options.exchangeTimeout ?? 30_000),
    acquireTimeout: millis(options.acquireTimeout ?? 20_000),
    coolDown: millis(options.coolDown ?? 30_000),
    fatalFor: options.fatalFor === undefined ? undefined : millis(options.fatalFor),
    shutdownGrace: millis(options.shutdownGrace ?? 5_000),
    stormLimit: options.stormLimit ?? 5,
    whenIdle: options.whenIdle ?? "keep-fresh",
    retry: options.retry
  }
  for (const option of Struct.keys(ranges)) {
    const value = policy[option]
    const { has, problem } = ranges[option]
    if (value !== undefined && !has(value)) return invalid(option, problem)
  }
  return policy.renewBefore < policy.waitBefore
    ? invalid("renewBefore", "it must not be shorter than waitBefore")
    : Effect.succeed(policy)
}

/**
 * A preset for programs that rarely send requests. It has no timer, so nothing keeps a process alive and an idle program
 * makes no exchange. The first `get` within the window starts the renewal.
 *
 * @category presets
 * @since 0.1.0
 */
export const onDemand: Options = { whenIdle: "on-demand" }

/**
 * A preset for interactive programs: a person waits at most 5 s for a token, and a failed renewal is tried again every 5 s.
 *
 * @category presets
 * @since 0.1.0
 */
export const interactive: Options = { acquireTimeout: "5 seconds", exchangeTimeout: "5 seconds", coolDown: "5 seconds" }

/**
 * Reads every option except `retry` from configuration. A variable that is not set keeps the default. For the prefix
 * `TOKEN` the variables are
 * `TOKEN_RENEW_BEFORE`, `TOKEN_WAIT_BEFORE`, `TOKEN_EXCHANGE_TIMEOUT`, `TOKEN_ACQUIRE_TIMEOUT`, `TOKEN_COOL_DOWN`,
 * `TOKEN_FATAL_FOR`, `TOKEN_SHUTDOWN_GRACE` (durations such as `15 minutes`), `TOKEN_STORM_LIMIT` (a number) and
 * `TOKEN_WHEN_IDLE` (`keep-fresh` or `on-demand`).
 *
 * @category configuration
 * @since 0.1.0
 */
export const config = (prefix: string): Config.Config<Options> => {
  const optional = <A>(config: Config.Config<A>) => Config.map(Config.option(config), Option.getOrUndefined)
  const duration = (name: string) => optional(Config.Duration(`${prefix}_${name}`))
  return Config.all({
    renewBefore: duration("RENEW_BEFORE"),
    waitBefore: duration("WAIT_BEFORE"),
    exchangeTimeout: duration("EXCHANGE_TIMEOUT"),
    acquireTimeout: duration("ACQUIRE_TIMEOUT"),
    coolDown: duration("COOL_DOWN"),
    fatalFor: duration("FATAL_FOR"),
    shutdownGrace: duration("SHUTDOWN_GRACE"),
    stormLimit: optional(Config.Int(`${prefix}_STORM_LIMIT`)),
    whenIdle: optional(Config.Literals(["keep-fresh", "on-demand"], `${prefix}_WHEN_IDLE`))
  })
}

/**
 * Returns the two windows of a token, in milliseconds before its expiry: within `advisory` it is renewed in the
 * background, and within `mandatory` callers wait for the renewal. `lifetime` is in milliseconds, and `random` is a number
 * from 0 to 1.
 *
 * **Example** (Looking at the windows of a token of one hour)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RenewalPolicy } from "effect-video-auth"
 *
 * const policy = Effect.runSync(RenewalPolicy.make())
 * RenewalPolicy.windows(policy, 3_600_000, 0) // => { advisory: 900_000, mandatory: 60_000 }
 * RenewalPolicy.windows(policy, 3_600_000, 1) // => { advisory: 540_000, mandatory: 60_000 }
 * RenewalPolicy.windows(policy, 300_000, 0) // => { advisory: 75_000, mandatory: 30_000 }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const windows = (
  policy: RenewalPolicy,
  lifetime: number,
  random: number
): { readonly advisory: number; readonly mandatory: number } => {
  const advisory = Math.min(policy.renewBefore, lifetime / 4)
  const mandatory = Math.min(policy.waitBefore, lifetime / 10)
  return { advisory: Math.max(advisory * (1 - 0.4 * random), mandatory), mandatory }
}
