/**
 * The ten guarantees, on programs that nobody thought of.
 *
 * `MODEL_RUNS` programs are drawn from `MODEL_SEED` (both optional) and run against the engine and a model of the server.
 * A failure prints the shrunk program, what happened in it, and a line `Replay: […]`. To run exactly that program again:
 *
 * ```sh
 * MODEL_REPLAY='[…]' npx vitest run test/model
 * ```
 *
 * Without a seed each run draws other programs.
 */
import { describe, it } from "@effect/vitest"
import { Effect, Layer, Random, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import * as SplitClock from "effect-video-auth/testing/SplitClock"
import { run } from "./model.ts"
import { Program } from "./program.ts"
import { ShufflingScheduler } from "./scheduler.ts"

const { MODEL_REPLAY, MODEL_RUNS, MODEL_SEED, MODEL_SHRINKS } = process.env
const runs = Number(MODEL_RUNS ?? 2_000)

const holds = (program: Program) => {
  const scheduler = new ShufflingScheduler(program.seed)
  return run(program, scheduler).pipe(
    // Clocks for each program. They wrap the scheduler, so the scheduler comes outside.
    Effect.provide(Layer.provideMerge(SplitClock.layer, TestClock.layer())),
    Effect.provideService(Scheduler.Scheduler, scheduler),
    // Fewer than about 60 operations would livelock the test clock.
    Effect.provideService(Scheduler.MaxOpsBeforeYield, [61, 97, 257, 2048][program.seed % 4]!),
    Random.withSeed(program.seed),
    // On the live clock, and generous: a hang must fail inside the property, or nothing shrinks.
    Effect.timeoutOrElse({ duration: "8 seconds", orElse: () => Effect.fail("the program hangs") }),
    Effect.as(true)
  )
}

describe("the model", () => {
  it.live.prop("holds", { program: Program }, ({ program }) => holds(program), {
    arbitrary: { runs, size: 30, maxShrinks: Number(MODEL_SHRINKS ?? 1_000), seed: MODEL_SEED, replay: MODEL_REPLAY },
    timeout: 60_000 + runs * 100
  })
})
