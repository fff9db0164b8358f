/** Opens the store of a fleet, as each of its processes does. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, type Scope } from "effect"
import {
  type TokenEncryption,
  type TokenStore,
  TokenStoreFile,
  TokenStoreRedis,
  TokenStoreSql
} from "effect-video-auth"
import type { Store } from "./protocol.ts"

export const open = <E>(
  store: Store,
  encryption: Effect.Effect<TokenEncryption.TokenEncryption, E>
): Effect.Effect<TokenStore.Backend, unknown, Scope.Scope> => {
  switch (store._tag) {
    case "file":
      return Effect.flatMap(Layer.build(NodeServices.layer), (services) =>
        Effect.provideContext(TokenStoreFile.make({ directory: store.directory, encryption }), services)
      )
    case "redis":
      // With it a process also ends while the server is gone.
      return Effect.flatMap(Layer.build(TokenStoreRedis.layerLazy(NodeRedis.layer({ url: store.url }))), (services) =>
        Effect.provideContext(TokenStoreRedis.make({ prefix: store.prefix, encryption }), services)
      )
    case "sql":
      return Effect.flatMap(
        // A server has only so many connections, and a fleet that starts may take all there is of the machine.
        Layer.build(PgClient.layer({ url: Redacted.make(store.url), maxConnections: 1, connectTimeout: "1 minute" })),
        (services) => Effect.provideContext(TokenStoreSql.make({ table: store.table, encryption }), services)
      )
  }
}
