/** One process of a crowd: many services on stores of their own, which share one small pool of connections. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { PgClient } from "@effect/sql-pg"
import { Console, Effect, Exit, Redacted, Schema, type Scope } from "effect"
import { type HttpClient } from "effect/http"
import { ApiVideo, TokenEncryption, TokenService, TokenStore, TokenStoreRedis, TokenStoreSql } from "effect-video-auth"
import { Crowd } from "./protocol.ts"

const { baseUrl, services, store } = Schema.decodeSync(Crowd)(process.argv[2] ?? "")
const encryption = TokenEncryption.plainText

const start = <E, R>(backend: Effect.Effect<TokenStore.Backend, E, R>) =>
  Effect.gen(function* () {
    const provider = yield* ApiVideo.provider({ baseUrl, apiKey: Redacted.make("your_api_key") })
    return yield* Effect.provideServiceEffect(
      TokenService.make({ provider, policy: { whenIdle: "on-demand", acquireTimeout: "5 minutes" } }),
      TokenStore.TokenStore,
      Effect.flatMap(backend, (backend) => TokenStore.make(backend))
    )
  })

const crowd = <E, R>(backend: Effect.Effect<TokenStore.Backend, E, R>) =>
  Effect.gen(function* () {
    const all = yield* Effect.replicateEffect(start(backend), services)
    const exits = yield* Effect.forEach(all, ({ get }) => Effect.exit(get), { concurrency: "unbounded" })
    const states = yield* Effect.forEach(all, ({ state }) => state)
    yield* Console.log(
      JSON.stringify({
        tokens: exits.flatMap((exit) => (Exit.isSuccess(exit) ? [Redacted.value(exit.value.accessToken)] : [])),
        failures: exits.flatMap((exit) => (Exit.isFailure(exit) ? [String(exit.cause)] : [])),
        degraded: states.filter(({ degraded }) => degraded).length
      })
    )
  })

const run: Effect.Effect<void, unknown, HttpClient.HttpClient | Scope.Scope> =
  store._tag === "sql"
    ? crowd(TokenStoreSql.make({ table: store.table, encryption })).pipe(
        Effect.provide(PgClient.layer({ url: Redacted.make(store.url), maxConnections: 2, connectTimeout: "1 minute" }))
      )
    : store._tag === "redis"
      ? crowd(TokenStoreRedis.make({ prefix: store.prefix, encryption })).pipe(
          Effect.provide(NodeRedis.layer({ url: store.url }))
        )
      : Effect.die("a crowd shares a server")

run.pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici), NodeRuntime.runMain)
