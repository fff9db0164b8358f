/**
 * Checks the ten guarantees on programs that are drawn at random and run against the engine and a model of the server.
 *
 * A failure prints the shrunk program, what happened in it, and the command that runs exactly that program again.
 */
import { describe, it } from "@effect/vitest"
import { Effect, Layer, Random, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import * as SplitClock from "effect-video-auth/testing/SplitClock"
import { checks, ends, isLong, scaled } from "../support/random.ts"
import { run } from "./model.ts"
import { Program } from "./program.ts"
import { ShufflingScheduler } from "./scheduler.ts"

const holds = (program: Program) => {
  const scheduler = new ShufflingScheduler(program.seed)
  return run(program, scheduler).pipe(
    // Clocks for each program. They wrap the scheduler, so the scheduler comes outside.
    Effect.provide(Layer.provideMerge(SplitClock.layer, TestClock.layer())),
    Effect.provideService(Scheduler.Scheduler, scheduler),
    // Fewer than about 60 operations would livelock the test clock.
    Effect.provideService(Scheduler.MaxOpsBeforeYield, [61, 97, 257, 2048][program.seed % 4]!),
    Random.withSeed(program.seed),
    ends,
    Effect.as(true)
  )
}

/** A program takes about 30 ms of processor time: `npm test` runs a sample, and the long suite 10,000 of them. */
const programs = isLong ? 500 : 200

describe("the model", () => {
  it.live.prop(
    "holds",
    { program: Program },
    ({ program }) => holds(program),
    // Each program has an end of its own, so this only leaves time for many of them.
    { ...checks(programs, { size: 30, maxShrinks: 1_000 }), timeout: 300_000 + scaled(programs) * 200 }
  )
})
