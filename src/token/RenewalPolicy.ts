/**
 * When a token is renewed, how a failing renewal is retried, and for how long the engine leaves a platform in peace.
 *
 * All of it is data with sound defaults: a program sets what it means to change. Windows scale with the lifetime L of
 * the token at hand, so one policy serves tokens of five minutes and of an hour.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import { ConfigurationInvalid, type RenewalReason } from "./TokenError.ts"

/**
 * What a program may set. Durations are any `Duration.Input` (`"15 minutes"`, milliseconds as a number).
 *
 * Refused as `ConfigurationInvalid`: anything negative or not a number, a zero `exchangeTimeout` or `acquireTimeout`, a
 * `renewBefore` shorter than `waitBefore`. Clamped: `renewBefore` to L/4 and `waitBefore` to L/10 of the token at hand,
 * so that no window can be as long as the token lives.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long before expiry a renewal starts in the background, at most L/4. A random delay of up to 40 % of it spreads a
   * fleet: 3,600 s renew after 2,700 to 3,060 s.
   * @default "15 minutes"
   */
  readonly renewBefore?: Duration.Input | undefined
  /**
   * How long before expiry `get` waits for a renewal rather than serve a token about to expire, at most L/10.
   * @default "60 seconds"
   */
  readonly waitBefore?: Duration.Input | undefined
  /**
   * How long one login or refresh may take.
   * @default "30 seconds"
   */
  readonly exchangeTimeout?: Duration.Input | undefined
  /**
   * How long `get` waits where no valid token is held.
   * @default "20 seconds"
   */
  readonly acquireTimeout?: Duration.Input | undefined
  /**
   * Pause after a failed renewal while the token is valid, give or take 20 %. Near expiry it is 1 s, doubling to 10 s.
   * @default "30 seconds"
   */
  readonly coolDown?: Duration.Input | undefined
  /**
   * How long a failure that no retry can help (a wrong key) is answered from memory; up to twice that, by jitter.
   * @default "5 seconds"
   */
  readonly fatalFor?: Duration.Input | undefined
  /**
   * Renewals caused by rejected tokens that are allowed within 30 s.
   * @default 5
   */
  readonly stormLimit?: number | undefined
  /**
   * `keep-fresh` renews on schedule though nobody asks; its timer lives until the scope closes. `on-demand` has no
   * timer: the first `get` within the window starts the renewal.
   * @default "keep-fresh"
   */
  readonly whenIdle?: "keep-fresh" | "on-demand" | undefined
  /**
   * How long closing the scope lets a refresh finish that has no login behind it.
   * @default "5 seconds"
   */
  readonly shutdownGrace?: Duration.Input | undefined
  /**
   * Delays between the attempts of one renewal where no valid token is held; a server's `Retry-After` lengthens them.
   * It sees the reason of each failure. Attempts end with the schedule or with `acquireTimeout`.
   * @default three retries after 1 s, 2 s and 4 s, jittered
   */
  readonly retry?: Schedule.Schedule<unknown, RenewalReason> | undefined
}

/**
 * A checked policy: durations in milliseconds.
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
  readonly fatalFor: number
  readonly stormLimit: number
  readonly whenIdle: "keep-fresh" | "on-demand"
  readonly shutdownGrace: number
  readonly retry: Schedule.Schedule<unknown, RenewalReason> | undefined
}

/**
 * Checks the options and fills in the defaults.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<RenewalPolicy, ConfigurationInvalid> => {
  const invalid = (option: string, problem: string) =>
    Effect.fail(new ConfigurationInvalid({ option: `policy.${option}`, problem }))
  const millis = (input: Duration.Input) =>
    // `Duration` takes a number that is none for zero.
    typeof input === "number"
      ? input
      : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: Duration.toMillis })
  const policy: RenewalPolicy = {
    renewBefore: millis(options.renewBefore ?? 900_000),
    waitBefore: millis(options.waitBefore ?? 60_000),
    exchangeTimeout: millis(options.exchangeTimeout ?? 30_000),
    acquireTimeout: millis(options.acquireTimeout ?? 20_000),
    coolDown: millis(options.coolDown ?? 30_000),
    fatalFor: millis(options.fatalFor ?? 5_000),
    shutdownGrace: millis(options.shutdownGrace ?? 5_000),
    stormLimit: options.stormLimit ?? 5,
    whenIdle: options.whenIdle ?? "keep-fresh",
    retry: options.retry
  }
  for (const [option, value] of Object.entries(policy)) {
    const least = option === "stormLimit" ? 1 : option.endsWith("Timeout") ? Number.MIN_VALUE : 0
    const whole = option !== "stormLimit" || Number.isInteger(value)
    if (typeof value === "number" && !(value >= least && value < Infinity && whole)) {
      return invalid(option, "it must be a positive, finite number")
    }
  }
  return policy.renewBefore < policy.waitBefore
    ? invalid("renewBefore", "it must not be shorter than waitBefore")
    : Effect.succeed(policy)
}

/**
 * A preset for programs that rarely run: no timer, so nothing keeps a process alive and an idle program makes no
 * exchange. The first `get` within the window starts the renewal.
 *
 * @category presets
 * @since 0.1.0
 */
export const onDemand: Options = { whenIdle: "on-demand" }

/**
 * A preset for interactive programs: a person waits at most 5 s for a token, and a failing platform is asked again
 * every 5 s.
 *
 * @category presets
 * @since 0.1.0
 */
export const interactive: Options = { acquireTimeout: "5 seconds", exchangeTimeout: "5 seconds", coolDown: "5 seconds" }

/**
 * Reads every option but `retry` from configuration; what is absent keeps its default. With a prefix of `TOKEN`:
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
 * The two windows of a token, in milliseconds before its expiry, for a lifetime in milliseconds and a random number
 * from 0 to 1: within `advisory` it is renewed in the background, within `mandatory` callers wait for the renewal.
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
