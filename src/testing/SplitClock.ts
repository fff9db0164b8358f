/**
 * A test clock whose wall time, monotonic time and timers move separately, for what a `TestClock` alone cannot imitate: a
 * suspended machine, a stepped wall clock, a monotonic clock that stops.
 *
 * It is built on Effect's `TestClock`, and `TestClock.adjust` still moves all three.
 *
 * **Example** (Closing the lid for eight hours)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import * as SplitClock from "effect-video-auth/testing/SplitClock"
 *
 * export const program = Effect.gen(function*() {
 *   const clock = yield* SplitClock.SplitClock
 *   yield* clock.suspend("8 hours") // the wall moved, nothing else did
 *   yield* TestClock.adjust("30 seconds")
 * }).pipe(Effect.provide(SplitClock.layer))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"

/**
 * Moves the clocks separately. Durations may be negative.
 *
 * @category services
 * @since 0.1.0
 */
export class SplitClock extends Context.Service<
  SplitClock,
  {
    /** Steps only the wall clock, like NTP or a person. */
    readonly stepWall: (by: Duration.Input) => Effect.Effect<void>
    /** Suspends a machine whose monotonic clock and timers stop meanwhile (Linux): only the wall clock moves. */
    readonly suspend: (duration: Duration.Input) => Effect.Effect<void>
    /** Moves only the monotonic clock, forward: suspends a machine that counts the sleep (macOS, Windows). */
    readonly stepMonotonic: (by: Duration.Input) => Effect.Effect<void>
  }
>()("effect-video-auth/testing/SplitClock") {}

/**
 * Replaces the clock of the layers beneath it, and of the effects in its scope, with one that can be split. It needs a
 * `TestClock` in its context, as in `it.effect`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<SplitClock> = Layer.effectContext(
  TestClock.testClockWith((testClock) =>
    Effect.sync(() => {
      let wall = 0
      let monotonic = 0
      const currentTimeMillisUnsafe = () => testClock.currentTimeMillisUnsafe() + wall
      const currentTimeNanosUnsafe = () => testClock.currentTimeNanosUnsafe() + BigInt(Math.round(wall * 1e6))
      const monotonicTimeNanosUnsafe = () => testClock.monotonicTimeNanosUnsafe() + BigInt(Math.round(monotonic * 1e6))
      const clock: TestClock.TestClock = {
        ...testClock,
        currentTimeMillisUnsafe,
        currentTimeNanosUnsafe,
        monotonicTimeNanosUnsafe,
        currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
        currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
        monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe)
      }
      const stepWall = (by: Duration.Input) =>
        Effect.sync(() => {
          wall += Duration.toMillis(Duration.fromInputUnsafe(by))
        })
      const split = SplitClock.of({
        stepWall,
        suspend: stepWall,
        stepMonotonic: (by) =>
          Effect.sync(() => {
            monotonic += Duration.toMillis(Duration.fromInputUnsafe(by))
          })
      })
      return Context.make(SplitClock, split).pipe(Context.add(Clock.Clock, clock))
    })
  )
)
