/**
 * One process of a fleet under test. It makes requests until its input ends, and tells what happens, a line of JSON each.
 * It tells of an exchange while it holds the lease and has not sent anything yet, and takes its time, so that whoever
 * listens can kill it at any moment of one.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PgClient } from "@effect/sql-pg"
import { Clock, Effect, Layer, Logger, Redacted, Schema } from "effect"
import { HttpClient } from "effect/http"
import {
  ApiVideo,
  TokenEncryption,
  TokenEvent,
  TokenStoreFile,
  TokenStoreRedis,
  TokenStoreSql
} from "effect-video-auth"
import { Report, Settings, type Store } from "./protocol.ts"

const settings = Schema.decodeSync(Settings)(process.argv[2] ?? "")
const { baseUrl, hesitation, lease, name, pause } = settings

const tell = (report: Report) =>
  Effect.map(Effect.orDie(Schema.encodeEffect(Report)(report)), (line) => process.stdout.write(`${line}\n`))

const encryption = TokenEncryption.make({ keys: [Redacted.make(settings.encryptionKey)] })

const storeLayer = (store: Store) => {
  switch (store._tag) {
    case "file":
      return TokenStoreFile.layer({ directory: store.directory, encryption, lease }).pipe(
        Layer.provide(NodeServices.layer)
      )
    case "redis":
      return TokenStoreRedis.layer({ prefix: store.prefix, encryption, lease }).pipe(
        Layer.provide(NodeRedis.layer({ url: store.url }))
      )
    case "sql":
      return TokenStoreSql.layer({ table: store.table, encryption, lease }).pipe(
        // A server has only so many connections.
        Layer.provide(PgClient.layer({ url: Redacted.make(store.url), maxConnections: 1 }))
      )
  }
}

/** The network, where exchanges take longer than they need. */
const Network = Layer.effect(
  HttpClient.HttpClient,
  HttpClient.HttpClient.useSync(
    HttpClient.transform((attempt, { url }) =>
      url.includes("/auth/")
        ? Effect.flatMap(Clock.currentTimeMillis, (at) => tell({ _tag: "Exchanging", at })).pipe(
            Effect.andThen(Effect.sleep(hesitation)),
            Effect.andThen(attempt),
            Effect.tap(() => Effect.sleep(hesitation))
          )
        : attempt
    )
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const Events = Layer.succeed(TokenEvent.Observers, [
  (event) =>
    event._tag === "Renewed"
      ? Effect.flatMap(Clock.currentTimeMillis, (at) =>
          tell({ _tag: "Renewed", at, by: event.by, generation: event.generation })
        )
      : Effect.void
])

const ApiVideoLive = ApiVideo.layer({
  apiKey: Redacted.make("your_api_key"),
  baseUrl,
  application: { name, version: "1" },
  rateLimits: false,
  // Failures must be seen.
  retry: false,
  // The server revokes every token soon.
  policy: { stormLimit: 1_000 }
}).pipe(Layer.provide([Network, storeLayer(settings.store), Events]))

const requests = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  while (true) {
    yield* Effect.matchEffect(
      Effect.flatMap(api.get("/videos"), (response) => response.json),
      {
        onSuccess: () => tell({ _tag: "Served" }),
        onFailure: ({ message }) => tell({ _tag: "Failed", message })
      }
    )
    yield* Effect.sleep(pause)
  }
})

/** Also where whoever started this one was killed. */
const inputEnds = Effect.callback<void>((resume) => {
  process.stdin.resume().once("close", () => resume(Effect.void))
})

Effect.raceFirst(Effect.provide(requests, ApiVideoLive), inputEnds).pipe(
  // The output is for reports.
  Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatSimple)])),
  NodeRuntime.runMain
)
