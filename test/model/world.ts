/** What a program runs in: clocks that can be set apart, turns of the scheduler, and a trace of what happened. */
import { Effect } from "effect"
import { SplitClock } from "effect-video-auth/testing/SplitClock"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import type { ShufflingScheduler } from "./scheduler.ts"
import { secret, secretMark } from "./server.ts"

export type World = Effect.Success<ReturnType<typeof make>>

/** The wall clock begins somewhere in 2027. */
const epoch = 1_800_000_000_000

export const make = Effect.fnUntraced(function* (scheduler: ShufflingScheduler) {
  const split = yield* SplitClock
  const clock = yield* TestClock.testClockWith(Effect.succeed)

  // Clocks.

  let stepped = epoch
  let suspended = 0
  yield* split.stepWall(epoch)
  const wall = () => clock.currentTimeMillisUnsafe()
  const mono = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const real = () => wall() - stepped
  /** What timers run on: suspended machines do not advance it. */
  const timer = () => real() - suspended

  /** When and how often the clocks were moved without timers, on the timers' time. */
  const moved = { at: -Infinity, times: 0 }
  const moveClocks = (millis: number, how: "step" | "suspend" | "suspend-counted") =>
    Effect.gen(function* () {
      if (how === "step") {
        stepped += millis
        yield* split.stepWall(millis)
      } else {
        suspended += millis
        yield* split.suspend(millis)
        if (how === "suspend-counted") yield* split.stepMonotonic(millis)
      }
      moved.at = timer()
      moved.times += 1
    })

  // Turns.

  /** Counts what ran until nothing was left to run. What happened in an earlier turn has been taken notice of. */
  let turn = 0
  const settle = Effect.callback<void>((resume) => {
    scheduler.whenIdle(() => {
      turn += 1
      resume(Effect.void)
    })
  })

  // The trace, and what must not be.

  const trace: Array<string> = []
  const note = (what: string) => {
    trace.push(`${(timer() / 1000).toFixed(3)} ${what}`)
  }
  let violation: string | undefined
  const violated = (guarantee: number, what: string) => {
    note(`VIOLATION of guarantee ${guarantee}: ${what}`)
    violation ??= `guarantee ${guarantee}: ${what}`
  }
  const check = Effect.suspend(() =>
    violation === undefined
      ? Effect.void
      : Effect.fail(`${violation}\n  ${trace.slice(-50).join("\n  ").replaceAll(secretMark, "")}`)
  )

  const inspected = new WeakSet<object>()
  const showsNoSecret = (value: unknown, where: string) => {
    if (typeof value === "object" && value !== null) {
      if (inspected.has(value)) return
      inspected.add(value)
    }
    const shown = inspect(value, { depth: 8, showHidden: true }) + JSON.stringify(value)
    if (secret.test(shown)) violated(9, `a secret shows in ${where}`)
  }

  return {
    wall,
    mono,
    real,
    timer,
    moved: moved as Readonly<typeof moved>,
    moveClocks,
    turn: () => turn,
    settle,
    note,
    violated,
    check,
    showsNoSecret
  }
})
