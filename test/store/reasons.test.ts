/**
 * A store that fails for a reason that only somebody who operates it can remove: the warning names the reason, as the store
 * itself does, and a process that can log in goes on. `TokenStoreRedis.test.ts` has the users without rights (`NOPERM`).
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Redacted, type Scope } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { type TokenStore, TokenStoreFile, TokenStoreRedis, TokenStoreSql } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { keyed } from "../support/durableStoreContract.ts"
import { startProcess } from "../support/outageContract.ts"
import { postgres, redis } from "../support/servers.ts"

/** Starts a process on a backend, and expects a token and one warning of the store. */
const assertReported = Effect.fnUntraced(function* <E>(
  open: Effect.Effect<TokenStore.Backend, E, Scope.Scope>,
  failure: string
) {
  const warnings: Array<string> = []
  const logger = Logger.layer([
    Logger.make(({ logLevel, message }) => void (logLevel === "Warn" && warnings.push(String(message))))
  ])
  const fake = FakeProvider.make()
  yield* Effect.gen(function* () {
    const service = yield* startProcess({ open }, fake)
    yield* service.get
    assert.include(yield* service.state, { degraded: true })
  }).pipe(Effect.provide(logger))
  const ofStore = warnings.filter((warning) => warning.startsWith("the token store failed"))
  assert.lengthOf(ofStore, 1, warnings.join("\n"))
  assert.include(ofStore[0], `the token store failed (${failure})`)
  assert.include(yield* fake.ledger, { logins: 1 })
})

redis.describeOwn("Redis", (own) => {
  it.live("that is a replica is reported as READONLY", () =>
    Effect.gen(function* () {
      const { url } = yield* own
      const services = yield* Layer.build(NodeRedis.layer({ url }))
      yield* Effect.provideContext(
        Redis.Redis.use((redis) => redis.send("REPLICAOF", "127.0.0.1", "1")),
        services
      )
      const open = Effect.provideContext(TokenStoreRedis.make({ encryption: keyed(1) }), services)
      yield* assertReported(open, "claim: READONLY")
    })
  )
})

postgres.describeOwn("PostgreSQL", (own) => {
  it.live("that refuses the password is reported as 28P01", () =>
    Effect.gen(function* () {
      const { url } = yield* own
      const sql = Context.get(yield* Layer.build(PgClient.layer({ url: Redacted.make(url) })), SqlClient.SqlClient)
      yield* sql`create role guarded login password 'right'`
      const [file] = yield* sql<{ hba_file: string }>`show hba_file`
      const hba = file?.hba_file ?? assert.fail("no file")
      writeFileSync(hba, `host all guarded 127.0.0.1/32 scram-sha-256\n${readFileSync(hba, "utf8")}`)
      yield* sql`select pg_reload_conf()`
      const wrong = new URL(url)
      wrong.username = "guarded"
      wrong.password = "wrong"
      const connect = Layer.build(PgClient.layer({ url: Redacted.make(wrong.href), maxConnections: 1 }))
      // The server reads its rules again a moment later.
      const select = Effect.flatMap(connect, (services) => Context.get(services, SqlClient.SqlClient)`select 1`)
      yield* Effect.repeat(Effect.delay(Effect.exit(Effect.scoped(select)), 50), {
        until: ({ _tag }) => _tag === "Failure"
      })
      const open = Effect.flatMap(connect, (services) =>
        Effect.provideContext(TokenStoreSql.make({ encryption: keyed(1) }), services)
      )
      yield* assertReported(open, "read: 28P01")
    })
  )
})

/** Makes a directory, and returns the code of its failure. */
const attempt = (directory: string) => {
  try {
    mkdirSync(directory)
    rmdirSync(directory)
    return undefined
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : undefined
  }
}

/** A directory on a file system that is mounted read-only, if there is one. */
const readOnly = () =>
  process.platform !== "linux"
    ? undefined
    : readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .flatMap((line) => /^\S+ (\/\S*) \S+ ro[, ]/.exec(line)?.slice(1, 2) ?? [])
        .find((mount) => attempt(join(mount, "effect-video-auth-test")) === "EROFS")

describe("files", () => {
  const directory = readOnly()
  it.live.skipIf(directory === undefined)("on a file system that is mounted read-only are reported as EROFS", () =>
    assertReported(
      Effect.provide(TokenStoreFile.make({ directory: directory ?? "", encryption: keyed(1) }), NodeServices.layer),
      "read: EROFS"
    )
  )
})
