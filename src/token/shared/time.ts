/** Durations in milliseconds. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** Milliseconds on the monotonic clock, which is never stepped. */
export const monotonic = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Milliseconds of an option; `NaN` where it is no duration. `Duration` itself takes `NaN` for zero. */
export const toMillis = (input: Duration.Input): number =>
  typeof input === "number"
    ? input
    : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: Duration.toMillis })

/** Waits for an effect, for at most this many milliseconds. */
export const atMost = <A>(millis: number, effect: Effect.Effect<A>): Effect.Effect<unknown> =>
  Effect.timeoutOrElse(effect, { duration: millis, orElse: () => Effect.void })
