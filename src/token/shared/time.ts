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

/** A timer that fires this many milliseconds late fired after the process was stopped, or its event loop blocked. */
const late = 100

/**
 * Fails an effect after so many milliseconds. A timer that fires late first gives the effect another second: after a process
 * was stopped, Node runs timers before it reads from sockets, and the response may have arrived long ago.
 */
export const withTimeout = <A, E, E2>(
  effect: Effect.Effect<A, E>,
  clock: Clock.Clock,
  millis: number,
  orElse: () => Effect.Effect<never, E2>
): Effect.Effect<A, E | E2> =>
  Effect.suspend(() => {
    const due = monotonic(clock) + millis
    const timer = Effect.flatMap(Effect.sleep(millis), () =>
      monotonic(clock) > due + late ? Effect.sleep(1_000) : Effect.void
    )
    return Effect.raceFirst(effect, Effect.flatMap(timer, orElse))
  })
