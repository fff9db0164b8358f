/**
 * 8 real processes for each store, 12 generations, 10 of their makers killed. `npm run chaos` does more of it.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type FileSystem, type Scope } from "effect"
import { seed } from "../support/random.ts"
import { postgres, redis } from "../support/servers.ts"
import { chaos, lostIn, type Outcome } from "./chaos.ts"
import * as Places from "./places.ts"
import type { Store } from "./protocol.ts"

const size = { processes: 8, renewals: 12, kills: 10, seed }

const assertUnharmed = (outcome: Outcome) => {
  const { failures, generations, killed, logins, refreshes } = outcome
  const kills = killed.unsent + killed.unanswered + killed.answered
  const lost = lostIn(outcome)
  assert.deepStrictEqual(failures, [])
  assert.deepStrictEqual(outcome.refreshTokensSentTwice, [])
  assert.strictEqual(kills, size.kills)
  assert.isAtLeast(generations, size.renewals)
  assert.isAtLeast(logins + refreshes, generations)
  assert.isAtMost(logins + refreshes, generations + lost, JSON.stringify(outcome))
  assert.isAtMost(logins, 1 + lost, JSON.stringify(outcome))
  // Who was not killed ended by itself.
  assert.deepStrictEqual(
    outcome.endings,
    Array.from({ length: size.processes }, () => 0)
  )
}

const withstands = (place: Effect.Effect<Store, never, FileSystem.FileSystem | Scope.Scope>) => {
  it.live(
    "sends no refresh token twice, fails no request, and exchanges once for each generation but where one died",
    () =>
      Effect.flatMap(place, (store) => Effect.map(chaos({ ...size, store }), assertUnharmed)).pipe(
        Effect.provide(NodeServices.layer)
      )
  )
}

// All at the same time: most of it is waiting for leases to end.
describe.concurrent("a fleet whose members are killed while they renew", async () => {
  describe("through files", () => withstands(Places.directory))
  await redis.describe("through Redis", (url) => withstands(Places.redis(url)))
  await postgres.describe("through PostgreSQL", (url) => withstands(Places.sql(url)))
})
