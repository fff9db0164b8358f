import { Clock, Duration, Effect, Layer } from "effect"
import type { TestClock } from "effect/testing"
import type { ShufflingScheduler } from "./scheduler.ts"

interface Sleep {
  readonly until: number
  readonly wake: () => void
}

const nanosOf = (millis: number): bigint => BigInt(Math.round(millis * 1e6))

/**
 * A test clock that moves only when nothing is left to run. Effect's own counts the tasks of fibres, but not promises, so
 * time would pass in the middle of an OAuth exchange, which is made of them and takes none. Work that leaves the process or its
 * thread (a socket, WebCrypto) is not waited for.
 */
const make = (scheduler: ShufflingScheduler): TestClock.TestClock => {
  let now = 0
  /** The earliest comes first, and of equal ones the one that began first. */
  const sleeps: Array<Sleep> = []

  const idle = Effect.callback<void>((resume) => scheduler.whenIdle(() => resume(Effect.void)))

  const moveTo = Effect.fnUntraced(function* (end: number) {
    yield* idle
    for (let next = sleeps[0]; next !== undefined && next.until <= end; next = sleeps[0]) {
      now = next.until
      // What is due at the same time races, in an order that the scheduler draws.
      const isLater = sleeps.findIndex(({ until }) => until > now)
      for (const { wake } of sleeps.splice(0, isLater === -1 ? sleeps.length : isLater)) wake()
      yield* idle
    }
    now = end
  })

  const sleep = (duration: Duration.Duration) =>
    Effect.callback<void>((resume) => {
      const until = now + Duration.toMillis(duration)
      if (until <= now) return resume(Effect.void)
      const entry = { until, wake: () => resume(Effect.void) }
      const later = sleeps.findIndex((other) => other.until > until)
      sleeps.splice(later === -1 ? sleeps.length : later, 0, entry)
      return Effect.sync(() => {
        const index = sleeps.indexOf(entry)
        if (index !== -1) sleeps.splice(index, 1)
      })
    })

  const currentTimeMillisUnsafe = () => now
  const nanosUnsafe = () => nanosOf(now)
  return {
    currentTimeMillisUnsafe,
    currentTimeNanosUnsafe: nanosUnsafe,
    monotonicTimeNanosUnsafe: nanosUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanos: Effect.sync(nanosUnsafe),
    monotonicTimeNanos: Effect.sync(nanosUnsafe),
    sleep,
    adjust: (duration) => Effect.suspend(() => moveTo(now + Duration.toMillis(Duration.fromInputUnsafe(duration)))),
    setTime: moveTo,
    withLive: (effect) => Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())
  }
}

/** Puts that clock in the place of the real one. */
export const layer = (scheduler: ShufflingScheduler): Layer.Layer<never> => Layer.succeed(Clock.Clock, make(scheduler))
