/**
 * One process of a fleet under test. It makes requests until its input ends, and reports what happens, a line of JSON each.
 * It reports each step of a renewal and then takes its time, so that whoever listens can stop or kill it at any step.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Effect, Layer, Logger, Redacted, Schema } from "effect"
import { HttpClient } from "effect/http"
import { ApiVideo, TokenEncryption, TokenEvent, TokenService, TokenStore } from "effect-video-auth"
import { open } from "./open.ts"
import { Report, Settings } from "./protocol.ts"

const { baseUrl, beat, encryptionKey, hesitation, lease, name, pause, store } = Schema.decodeSync(Settings)(
  process.argv[2] ?? ""
)

const tell = (report: Report) =>
  Effect.map(Effect.orDie(Schema.encodeEffect(Report)(report)), (line) => process.stdout.write(`${line}\n`))

/** When the latest request to the API was sent. */
let sentAt = 0

/** Whether the store has granted the exchange that comes next. */
let isGranted = false

/** The version in the store. */
let storedVersion: Effect.Effect<number, unknown> = Effect.succeed(0)

/** The same backend, which reports what it grants. */
const reporting = (backend: TokenStore.Backend): TokenStore.Backend => {
  let row: TokenStore.Snapshot | undefined
  return {
    ...backend,
    read: (identity) =>
      Effect.tap(backend.read(identity), (read) =>
        Effect.sync(() => {
          isGranted = false
          row = read
          storedVersion = Effect.map(backend.read(identity), ({ version }) => version)
        })
      ),
    claim: (identity, claim) =>
      Effect.tap(backend.claim(identity, claim), (granted) =>
        granted
          ? Effect.andThen(
              tell({ _tag: "Claimed", identity, attempt: claim.attempt, over: row?.lease?.attempt }),
              Effect.sleep(hesitation)
            )
          : Effect.void
      ),
    sending: (identity, sending) =>
      Effect.tap(backend.sending(identity, sending), (granted) => {
        isGranted = granted
        const { attempt, kind } = sending
        return granted ? tell({ _tag: "Sending", attempt, kind, sentBy: row?.sent?.attempt }) : Effect.void
      })
  }
}

const encryption = TokenEncryption.make({ keys: [Redacted.make(encryptionKey)] })
const StoreLive = TokenStore.layer(Effect.map(open(store, encryption), reporting), { lease, beat })

/** The network, where exchanges take longer than they need. */
const Network = Layer.effect(
  HttpClient.HttpClient,
  HttpClient.HttpClient.useSync(
    HttpClient.transform((attempt, { url }) =>
      url.includes("/auth/")
        ? Effect.suspend(() => tell({ _tag: "Exchanging", isPrivate: !isGranted })).pipe(
            Effect.andThen(Effect.sleep(hesitation)),
            Effect.andThen(attempt),
            Effect.tap(() => Effect.sleep(hesitation))
          )
        : Effect.flatMap(Clock.currentTimeMillis, (now) => {
            sentAt = now
            return attempt
          })
    )
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const Events = Layer.succeed(TokenEvent.Observers, [
  (event) =>
    event._tag === "Renewed"
      ? Effect.asVoid(tell({ _tag: "Renewed", by: event.by, generation: event.generation }))
      : Effect.void
])

const options = {
  apiKey: Redacted.make("your_api_key"),
  baseUrl,
  application: { name, version: "1" },
  rateLimits: false,
  // Failures must be seen.
  retry: false,
  // The server revokes every token soon, and how long a fleet takes to replace it depends on the machine.
  policy: { stormLimit: 1_000, acquireTimeout: "10 minutes" }
} satisfies ApiVideo.Options

const ApiVideoLive = ApiVideo.layerClient(options).pipe(
  Layer.provideMerge(ApiVideo.layerToken(options)),
  Layer.provide([Network, StoreLive, Events])
)

/** Adopts a newer credential, as a process does whose own one is about to end. */
const catchUp = Effect.gen(function* () {
  const service = yield* TokenService.TokenService
  const { generation } = yield* service.state
  if ((yield* storedVersion) > generation) yield* service.renew
}).pipe(Effect.exit)

const requests = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  while (true) {
    yield* Effect.matchEffect(
      Effect.flatMap(api.get("/videos"), (response) => response.json),
      {
        onSuccess: () => tell({ _tag: "Served", at: sentAt }),
        onFailure: ({ message }) => tell({ _tag: "Failed", message })
      }
    )
    yield* catchUp
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
