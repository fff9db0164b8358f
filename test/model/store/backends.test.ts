/**
 * The histories of the protocol's model on the backends themselves: files, Redis, PostgreSQL, and the memory of one process.
 * Each call has its effect on both, and the processes act on the replies of the backend. So its replies and its rows are
 * compared with the model's, and the properties of `protocol.test.ts` are checked on it.
 *
 * Time is the model's. Memory takes it from a clock, and files from the file system. The script of Redis that asks for the
 * time, and the function of PostgreSQL that returns it, are replaced by ones that return what the model says.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, FileSystem, Layer, Option, Redacted, type Scope } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TokenEncryption, TokenStore, TokenStoreFile, TokenStoreRedis, TokenStoreSql } from "effect-video-auth"
import { randomUUID } from "node:crypto"
import { scaled, seed } from "../../support/random.ts"
import { postgres, redis } from "../../support/servers.ts"
import { clockOf, make, type Time, type Timed } from "./beside.ts"
import { randomly } from "./explore.ts"
import { faults, kinds, seedNumber, setBack } from "./setups.ts"

const encryption = TokenEncryption.plainText

/** They take turns. */
const worlds = [
  { faults, renewals: 2 },
  { faults: { ...setBack, "set back": 3 }, renewals: 2 },
  { faults: { ...faults, ...setBack }, renewals: 2 },
  { faults, renewals: 1, subjects: true }
] as const

/** Registers the tests of a store, each with so many histories. */
const behaves = (open: (time: Time) => Effect.Effect<Timed, never, Scope.Scope>, histories: number) => {
  for (const { name, ...kind } of kinds) {
    it.live(`a store ${name} does what the model does, in long histories (seed ${seed})`, () =>
      Effect.gen(function* () {
        const time: Time = { now: 0 }
        const beside = make(yield* open(time), time)
        const first = seedNumber(name)
        for (let index = 0; index < scaled(histories); index++) {
          const setup = {
            ...kind,
            ...(worlds[index % worlds.length] ?? worlds[0]),
            processes: 2 + (index % 3),
            atMost: 2 + (index % 5)
          }
          yield* beside.run(randomly({ setup, beside: beside.start }, 1, first + index, { faulty: 0.4 }))
        }
        const { setBacks, worlds: explored, writes } = beside.counts
        assert.strictEqual(explored, scaled(histories))
        assert.isAbove(writes, 5 * explored)
        assert.isAbove(setBacks, 0)
      })
    )
  }
}

describe("in memory,", () => {
  const open = (time: Time) =>
    Effect.map(Effect.provideService(TokenStore.makeMemory, Clock.Clock, clockOf(time)), (backend) => ({ backend }))
  behaves(open, 20)
})

describe("in files,", () => {
  const open = Effect.fnUntraced(function* (time: Time) {
    const services = yield* Layer.build(NodeServices.layer)
    const fs = Context.get(services, FileSystem.FileSystem)
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "model-" })
    const timed = FileSystem.FileSystem.of({
      ...fs,
      stat: (path) => Effect.map(fs.stat(path), (info) => ({ ...info, mtime: Option.some(new Date(time.now)) }))
    })
    const backend = yield* TokenStoreFile.make({ directory, encryption }).pipe(
      Effect.provideService(FileSystem.FileSystem, timed),
      Effect.provideService(Clock.Clock, clockOf(time)),
      Effect.provideContext(services)
    )
    return { backend }
  }, Effect.orDie)
  behaves(open, 8)
})

await redis.describe("in Redis,", (url) => {
  const open = Effect.fnUntraced(function* (time: Time) {
    const redis = Context.get(yield* Layer.build(NodeRedis.layer({ url })), Redis.Redis)
    const prefix = `effect-video-auth-model:${randomUUID()}:`
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        const keys = yield* redis.send<ReadonlyArray<string>>("KEYS", `${prefix}*`)
        if (keys.length > 0) yield* redis.send("DEL", ...keys)
      }).pipe(Effect.orDie)
    )
    const [asks, told] = ["redis.call('TIME')", `redis.call('HMGET', '${prefix}time', 'seconds', 'micros')`]
    const timed = Redis.Redis.of({
      ...redis,
      eval: (script) => {
        assert.include(script.lua, asks)
        return redis.eval(
          Redis.script(script.params, {
            lua: script.lua.replace(asks, told),
            numberOfKeys: script.numberOfKeys
          }).withReturnType()
        )
      }
    })
    const backend = yield* TokenStoreRedis.make({ encryption, prefix }).pipe(
      Effect.provideService(Redis.Redis, timed),
      Effect.provideService(Clock.Clock, clockOf(time))
    )
    const tell = (now: number) => {
      const seconds = Math.floor(now / 1_000)
      return redis
        .send("HSET", `${prefix}time`, "seconds", `${seconds}`, "micros", `${(now - seconds * 1_000) * 1_000}`)
        .pipe(Effect.asVoid, Effect.orDie)
    }
    return { backend, tell } satisfies Timed
  }, Effect.orDie)
  behaves(open, 8)
})

await postgres.describe("in PostgreSQL,", (url) => {
  const open = Effect.fnUntraced(function* (time: Time) {
    const schema = `effect_video_auth_model_${randomUUID().replaceAll("-", "")}`
    // One connection, because each has a time of its own. Its functions come before those of the server.
    const services = yield* Layer.build(
      PgClient.layer({
        url: Redacted.make(url),
        maxConnections: 1,
        startupParameters: { search_path: `${schema}, pg_catalog` }
      })
    )
    const sql = Context.get(services, SqlClient.SqlClient)
    yield* Effect.acquireRelease(sql.unsafe(`create schema ${schema}`), () =>
      Effect.orDie(sql.unsafe(`drop schema ${schema} cascade`))
    )
    yield* sql.unsafe(`create function ${schema}.clock_timestamp() returns timestamptz language sql volatile
      as $$ select to_timestamp(current_setting('model.now')::float8 / 1000) $$`)
    const table = `${schema}.tokens`
    yield* Effect.provideContext(TokenStoreSql.migration(table), services)
    const backend = yield* TokenStoreSql.make({ encryption, table }).pipe(
      Effect.provideService(Clock.Clock, clockOf(time)),
      Effect.provideContext(services)
    )
    const tell = (now: number) => Effect.orDie(Effect.asVoid(sql`select set_config('model.now', ${`${now}`}, false)`))
    return { backend, tell } satisfies Timed
  }, Effect.orDie)
  behaves(open, 8)
})
