/** S13: 500 stores in 10 processes, which start cold at the same time on one server, make one login. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, type Scope, Stream } from "effect"
import { ChildProcess } from "effect/process"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { join } from "node:path"
import { bundle } from "../support/bundle.ts"
import { postgres, redis } from "../support/servers.ts"
import * as Places from "./places.ts"
import { Crowd, CrowdReport, type Store } from "./protocol.ts"

const [processes, services] = [10, 50]
const script = join(import.meta.dirname, "crowdWorker.ts")

const makesOneLogin = (place: Effect.Effect<Store, never, Scope.Scope>) => {
  it.live("makes one login, and serves everybody the same token", () =>
    Effect.gen(function* () {
      const { inject, ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
      yield* inject({ on: "login", kind: { _tag: "Latency", duration: "8 seconds", when: "before" } })
      const settings = yield* Schema.encodeEffect(Crowd)({ store: yield* place, baseUrl: url, services })
      const run = Effect.scoped(
        Effect.gen(function* () {
          const handle = yield* ChildProcess.make(process.execPath, [bundle(script), settings], { stderr: "inherit" })
          const output = yield* Stream.runFold(
            Stream.decodeText(handle.stdout),
            () => "",
            (all, part) => all + part
          )
          return yield* Schema.decodeEffect(CrowdReport)(output)
        })
      )
      const reports = yield* Effect.replicateEffect(run, processes, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        reports.flatMap(({ failures }) => failures),
        []
      )
      const tokens = reports.flatMap(({ tokens }) => tokens)
      assert.lengthOf(tokens, processes * services)
      assert.strictEqual(new Set(tokens).size, 1)
      assert.deepStrictEqual(
        reports.map(({ degraded }) => degraded),
        reports.map(() => 0)
      )
      assert.include(yield* ledger, { logins: 1, refreshes: 0 })
    }).pipe(
      Effect.provide([ApiVideoSandbox.layer({ rateLimits: ApiVideoSandbox.noRateLimits }), NodeServices.layer]),
      Effect.scoped
    )
  )
}

describe("a crowd of 500 cold stores", async () => {
  await postgres.describe("on one PostgreSQL", (url) => makesOneLogin(Places.sql(url)))
  await redis.describe("on one Redis", (url) => makesOneLogin(Places.redis(url)))
})
