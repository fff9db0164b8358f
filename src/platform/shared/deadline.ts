/**
 * Deadlines of requests. A timer and a fibre for each of them would cost as much as the rest of a request, so one fibre
 * sleeps until the earliest deadline of all requests of the process.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { monotonic } from "../../token/shared/time.ts"

/** An effect that runs on a fibre of its own, until its deadline at the latest. */
interface Attempt {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  /** Milliseconds on the monotonic clock. */
  readonly deadline: number
  isOverdue: boolean
}

/** Timers may fire up to a millisecond early. */
const tolerance = 1

/** The attempts that are timed by one clock. */
class Watch {
  readonly #clock: Clock.Clock
  readonly #attempts = new Set<Attempt>()
  /** Sleeps until `#wakesAt`. It lives on for a moment when there is no attempt, because the next one mostly follows. */
  #sleeper: Fiber.Fiber<void> | undefined
  #wakesAt = Number.POSITIVE_INFINITY
  #isAboutToStop = false

  constructor(clock: Clock.Clock) {
    this.#clock = clock
  }

  add(fiber: Fiber.Fiber<unknown, unknown>, millis: number): Attempt {
    const attempt = { fiber, deadline: monotonic(this.#clock) + millis, isOverdue: false }
    this.#attempts.add(attempt)
    if (attempt.deadline < this.#wakesAt) {
      this.#sleeper?.interruptUnsafe()
      this.#sleeper = Effect.runFork(this.#sleepAndInterrupt)
    }
    return attempt
  }

  remove(attempt: Attempt): void {
    this.#attempts.delete(attempt)
    if (this.#attempts.size > 0 || this.#isAboutToStop) return
    this.#isAboutToStop = true
    this.#sleeper?.currentDispatcher.scheduleTask(this.#stopIfIdle, 0)
  }

  readonly #stopIfIdle = (): void => {
    this.#isAboutToStop = false
    if (this.#attempts.size > 0) return
    this.#sleeper?.interruptUnsafe()
    this.#wakesAt = Number.POSITIVE_INFINITY
  }

  readonly #sleepAndInterrupt: Effect.Effect<void> = Effect.suspend(() => {
    const now = monotonic(this.#clock)
    // What an interruption sets off may add attempts. They are part of this round, and need no other sleeper.
    this.#wakesAt = Number.NEGATIVE_INFINITY
    let next = Number.POSITIVE_INFINITY
    for (const attempt of this.#attempts) {
      if (attempt.deadline > now + tolerance) next = Math.min(next, attempt.deadline)
      else if (!attempt.isOverdue) {
        attempt.isOverdue = true
        attempt.fiber.interruptUnsafe()
      }
    }
    this.#wakesAt = next
    if (next === Number.POSITIVE_INFINITY) return Effect.void
    return Effect.andThen(this.#clock.sleep(Duration.millis(next - now)), this.#sleepAndInterrupt)
  })
}

/** Clocks differ in tests only. */
const watches = new WeakMap<Clock.Clock, Watch>()

const watchOf = (clock: Clock.Clock): Watch => {
  const known = watches.get(clock)
  if (known !== undefined) return known
  const watch = new Watch(clock)
  watches.set(clock, watch)
  return watch
}

/**
 * Runs an effect in `context`, and interrupts it after so many milliseconds: then the result is that of `orElse`. Without
 * a limit (`Infinity`) the effect runs on the caller's fibre.
 */
export const runWithin = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  context: Context.Context<R>,
  millis: number,
  orElse: () => Effect.Effect<A, E2>
): Effect.Effect<A, E | E2> =>
  millis === Number.POSITIVE_INFINITY
    ? Effect.updateContext(effect, () => context)
    : Effect.callback<A, E | E2>((resume) => {
        const fiber = Effect.runForkWith(context)(effect)
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) return resume(exit)
        const watch = watchOf(fiber.getRef(Clock.Clock))
        const attempt = watch.add(fiber, millis)
        fiber.addObserver((exit) => {
          watch.remove(attempt)
          const isInterrupted = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
          resume(attempt.isOverdue && isInterrupted ? orElse() : exit)
        })
        return Fiber.interrupt(fiber)
      })
