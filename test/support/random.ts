/**
 * Decides what random tests draw, and how much of it.
 *
 * Everything that a test leaves to chance follows from `TEST_SEED`, so that a failure can be replayed. `npm test` uses the
 * same seed on every run, and `npm run test:long` draws a new one. A failed test prints the command that replays it.
 */
import type { Arbitrary } from "effect"

const { TEST_REPLAY, TEST_SCALE = "1", TEST_SEED = "effect-video-auth", TEST_SHRINKS } = process.env

/** The seed of this run. */
export const seed: string = TEST_SEED

/** The number of times that a random test runs, multiplied by `TEST_SCALE`, which is larger in `npm run test:long`. */
export const scaled = (runs: number): number => Math.max(1, Math.round(runs * Number(TEST_SCALE)))

/**
 * Returns the options of a property that is checked on so many inputs. `TEST_REPLAY` runs a single, shrunk input, and
 * `TEST_SHRINKS=0` reports the first failing input as it was drawn.
 */
export const checks = (
  runs: number,
  options: Pick<Arbitrary.CheckOptions, "size" | "maxShrinks"> = {}
): { readonly arbitrary: Arbitrary.CheckOptions } => ({
  arbitrary: {
    ...options,
    ...(TEST_SHRINKS === undefined ? {} : { maxShrinks: Number(TEST_SHRINKS) }),
    runs: scaled(runs),
    seed,
    replay: TEST_REPLAY
  }
})
