/**
 * Checks the ten guarantees on programs that are drawn at random and run against the engine and a model of the server.
 *
 * A failure prints the shrunk program, what happened in it, and the command that runs exactly that program again.
 */
import { describe, it } from "@effect/vitest"
import { Effect, Layer, Random, Scheduler } from "effect"
import * as SplitClock from "effect-video-auth/testing/SplitClock"
import { checks, ends, scaled } from "../support/random.ts"
import * as ModelClock from "./clock.ts"
import { run } from "./model.ts"
import { Program } from "./program.ts"
import { ShufflingScheduler } from "./scheduler.ts"

const holds = (program: Program) => {
  const scheduler = new ShufflingScheduler(program.seed)
  return run(program, scheduler).pipe(
    Effect.provide(Layer.provideMerge(SplitClock.layer, ModelClock.layer(scheduler))),
    Effect.provideService(Scheduler.Scheduler, scheduler),
    // With fewer, a sign-out often comes between the decision for an exchange and its request, which the books see as one.
    Effect.provideService(Scheduler.MaxOpsBeforeYield, [61, 97, 257, 2048][program.seed % 4]!),
    Random.withSeed(program.seed),
    ends,
    Effect.as(true)
  )
}

/** A program takes about 5 ms of processor time: `npm test` runs 200 of them, and the long suite 10,000. */
const programs = 500

describe("the model", () => {
  it.live.prop(
    "holds",
    { program: Program },
    ({ program }) => holds(program),
    // Each program has an end of its own, so this only leaves time for many of them.
    { ...checks(programs, { size: 30, maxShrinks: 1_000 }), timeout: 300_000 + scaled(programs) * 200 }
  )
})
