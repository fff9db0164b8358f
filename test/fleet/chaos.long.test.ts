/**
 * 8 real processes for each store, whose renewals are disturbed: killed, stopped and continued, and their store restarted.
 * `npm run chaos` does the same with 32 processes.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type FileSystem, type Scope } from "effect"
import type { Instance } from "../support/instances.ts"
import { seed } from "../support/random.ts"
import { postgres, redis } from "../support/servers.ts"
import { chaos, type Disturbance, loginsAllowed } from "./chaos.ts"
import * as Places from "./places.ts"
import type { Store } from "./protocol.ts"

const size = { processes: 8, generations: 12, disturbances: 10, seed }

interface Place {
  readonly store: Store
  readonly server?: Instance
}

const withstands = (
  name: string,
  disturbance: Disturbance,
  place: Effect.Effect<Place, never, FileSystem.FileSystem | Scope.Scope>
) => {
  it.live(`${name}: sends no refresh token twice, fails no request, and makes no more logins than it needs`, () =>
    Effect.flatMap(place, (place) => chaos({ ...size, ...place, disturbance })).pipe(
      Effect.map((outcome) => {
        const { endings, failures, generations, logins, refreshes, refreshTokensSentTwice } = outcome
        assert.deepStrictEqual(failures, [])
        assert.deepStrictEqual(refreshTokensSentTwice, [])
        assert.isAtLeast(generations, size.generations)
        assert.isAtLeast(logins + refreshes, generations)
        // A kill may cost two logins. One is usual, and is what the table in `examples/chaos.md` allows.
        const allowed = loginsAllowed(size, outcome) + outcome.killed.granted
        assert.isAtMost(logins, allowed, JSON.stringify(outcome))
        // A process that was not killed ended by itself.
        assert.deepStrictEqual(
          endings,
          Array.from({ length: size.processes }, () => 0)
        )
      }),
      Effect.scoped,
      Effect.provide(NodeServices.layer)
    )
  )
}

const onServer =
  (placeOn: (url: string) => Effect.Effect<Store, never, Scope.Scope>) =>
  (own: Effect.Effect<Instance, never, Scope.Scope>) => {
    const place = Effect.gen(function* () {
      const server = yield* own
      return { server, store: yield* placeOn(server.url) }
    })
    withstands("killed while it renews", "kill", place)
    withstands("stopped while it renews", "stop", place)
    withstands("whose store is restarted", "restart", place)
  }

// Signals that stop a process are POSIX.
describe.skipIf(process.platform === "win32")("a fleet", () => {
  describe("through files", () => {
    const place = Effect.map(Places.directory, (store) => ({ store }))
    withstands("killed while it renews", "kill", place)
    withstands("stopped while it renews", "stop", place)
  })
  redis.describeOwn("through Redis", onServer(Places.redis))
  postgres.describeOwn("through PostgreSQL", onServer(Places.sql))
})
