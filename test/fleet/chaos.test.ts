/**
 * 8 real processes for each store, 12 generations, 10 of their makers killed. `npm run chaos` does more of it. All that is
 * left to chance follows from `CHAOS_SEED`, which the name of the suite tells.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { chaos, type Outcome } from "./chaos.ts"

const seed = process.env["CHAOS_SEED"] ?? String(Date.now())
const size = { processes: 8, renewals: 12, kills: 10, seed }

const assertUnharmed = (outcome: Outcome) => {
  const { failures, generations, killed, logins, refreshes } = outcome
  const kills = killed.unsent + killed.unanswered + killed.answered
  assert.deepStrictEqual(failures, [])
  assert.deepStrictEqual(outcome.refreshTokensSentTwice, [])
  assert.strictEqual(kills, size.kills)
  assert.isAtLeast(generations, size.renewals)
  // An exchange for each generation, and one more at most for each holder that died: who took over logged in.
  assert.isAtLeast(logins + refreshes, generations)
  assert.isAtMost(logins + refreshes, generations + kills)
  assert.isAtMost(logins, 1 + kills)
  // Who was not killed ended by itself.
  assert.deepStrictEqual(
    outcome.endings,
    Array.from({ length: size.processes }, () => 0)
  )
}

describe.concurrent(`a fleet whose members are killed while they renew (CHAOS_SEED=${seed})`, () => {
  it.live(
    "loses nothing with files",
    () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const directory = yield* fs.makeTempDirectoryScoped({ prefix: "fleet-" })
        assertUnharmed(yield* chaos({ ...size, store: { _tag: "file", directory } }))
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )
})
