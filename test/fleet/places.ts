/** Places where a fleet shares its credential, of which nothing is left when their scope closes. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, FileSystem, Layer, Redacted } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TokenStoreSql } from "effect-video-auth"
import { randomUUID } from "node:crypto"
import type { Store } from "./protocol.ts"

export const directory = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return { _tag: "file", directory: yield* fs.makeTempDirectoryScoped({ prefix: "fleet-" }) } satisfies Store
}).pipe(Effect.orDie)

export const redis = Effect.fnUntraced(function* (url: string) {
  const redis = Context.get(yield* Layer.build(NodeRedis.layer({ url })), Redis.Redis)
  const prefix = `fleet:${randomUUID()}:`
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      const keys = yield* redis.send<ReadonlyArray<string>>("KEYS", `${prefix}*`)
      if (keys.length > 0) yield* redis.send("DEL", ...keys)
    }).pipe(Effect.orDie)
  )
  return { _tag: "redis", url, prefix } satisfies Store
}, Effect.orDie)

export const sql = Effect.fnUntraced(function* (url: string) {
  // Beside it a fleet starts, which may take all there is of the machine.
  const connection = { url: Redacted.make(url), maxConnections: 1, connectTimeout: "1 minute" } as const
  const services = yield* Layer.build(PgClient.layer(connection))
  const table = `fleet_${randomUUID().replaceAll("-", "")}`
  const sql = Context.get(services, SqlClient.SqlClient)
  yield* Effect.acquireRelease(Effect.provideContext(TokenStoreSql.migration(table), services), () =>
    Effect.orDie(sql`drop table ${sql(table)}`)
  )
  return { _tag: "sql", url, table } satisfies Store
}, Effect.orDie)
