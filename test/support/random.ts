/**
 * Decides what random tests draw, and how large the tests are that can be made larger.
 *
 * Everything that a test leaves to chance follows from `TEST_SEED`, so that a failure can be replayed. `npm test` uses the
 * same seed on every run, and `npm run test:long` draws a new one. A failed test prints the command that replays it.
 */
import { type Arbitrary, Clock, Context, Effect } from "effect"

const { TEST_REPLAY, TEST_SCALE = "1", TEST_SEED = "effect-video-auth", TEST_SHRINKS } = process.env

/** The seed of this run. */
export const seed: string = TEST_SEED

/** Whether this is `npm run test:long`, or as large. */
export const isLong: boolean = Number(TEST_SCALE) >= 20

/** Returns the size of a test in this run: two fifths of `size` in `npm test`, and 20 times `size` in `npm run test:long`. */
export const scaled = (size: number): number => Math.max(1, Math.round(size * Number(TEST_SCALE)))

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

let hasHung = false

/** The clock of the machine, also where a test has a clock of its own. */
const machine = Context.get(Context.empty(), Clock.Clock)

/**
 * Fails a run of a random test that would never end, so that its input can be printed and made smaller. No machine is so
 * slow that a run takes a minute. Once one has hung, smaller inputs get less time.
 */
export const ends = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const hangs = Effect.suspend(() => Effect.sleep(hasHung ? "2 seconds" : "1 minute")).pipe(
    Effect.provideService(Clock.Clock, machine),
    Effect.andThen(() => {
      hasHung = true
      return Effect.die("it hangs")
    })
  )
  return Effect.raceFirst(effect, hangs)
}
