/** The stores that there are, each at a place that two processes can open. One more store is one more entry. */
import { PgClient } from "@effect/sql-pg"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TokenEncryption, TokenStore, TokenStoreFile, TokenStoreRedis, TokenStoreSql } from "effect-video-auth"
import { randomUUID } from "node:crypto"

const encryption = TokenEncryption.plainText

/** A place on a server: its URL, and a name of one's own there. */
const serverAt = (place: string) => {
  const url = new URL(place)
  const name = url.hash.slice(1)
  url.hash = ""
  return { url: url.href, name }
}

type Opened = Effect.Effect<TokenStore.Backend, unknown, Scope.Scope>

/** Opens one on a layer's services, which live as long as the scope. */
const on = <R, E>(layer: Layer.Layer<R, E>, opened: Effect.Effect<TokenStore.Backend, unknown, R | Scope.Scope>) =>
  Effect.flatMap(Layer.build(layer), (services): Opened => Effect.provideContext(opened, services))

export const stores: Readonly<Record<string, (place: string) => Opened>> = {
  memory: () => TokenStore.makeMemory,
  file: (directory) => on(NodeServices.layer, TokenStoreFile.make({ directory, encryption })),
  redis: (place) => {
    const { name, url } = serverAt(place)
    return on(NodeRedis.layer({ url }), TokenStoreRedis.make({ encryption, prefix: name }))
  },
  sql: (place) => {
    const { name, url } = serverAt(place)
    return on(
      PgClient.layer({ url: Redacted.make(url) }),
      Effect.andThen(TokenStoreSql.migration(name), TokenStoreSql.make({ encryption, table: name }))
    )
  }
}

/** A place of a test's own on a server that others use as well; nothing is left there. */
export const placeOn = (url: string, kind: "redis" | "sql") =>
  Effect.acquireRelease(
    Effect.sync(() => `${url}#effect_video_auth_test_${randomUUID().replaceAll("-", "")}`),
    (place) => {
      const { name } = serverAt(place)
      return kind === "sql"
        ? Effect.orDie(
            Effect.provide(
              SqlClient.SqlClient.use((sql) => sql.unsafe(`drop table if exists ${name}`)),
              PgClient.layer({ url: Redacted.make(url) })
            )
          )
        : Effect.orDie(
            Effect.provide(
              Redis.Redis.use((redis) =>
                Effect.flatMap(redis.send<ReadonlyArray<string>>("KEYS", `${name}*`), (keys) =>
                  keys.length > 0 ? redis.send("DEL", ...keys) : Effect.void
                )
              ),
              NodeRedis.layer({ url })
            )
          )
    }
  )
