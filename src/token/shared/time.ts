/** Durations on the monotonic clock. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds on the monotonic clock, which is never stepped. */
export const monotonic = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Waits for an effect, for at most this many milliseconds. */
export const atMost = <A>(millis: number, effect: Effect.Effect<A>): Effect.Effect<unknown> =>
  Effect.timeoutOrElse(effect, { duration: millis, orElse: () => Effect.void })
