/**
 * A fleet: eight processes that share a credential, beside eight that do not. They share it through files, or through Redis
 * where `REDIS_URL` names one. What they cost the platform is in the ledger of the sandbox that plays it.
 */
import { NodeHttpClient, NodeRedis, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer, Option, Schedule } from "effect"
import { HttpClient } from "effect/http"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import { ChildProcess } from "effect/process"
import { ApiVideo, TokenEncryption, TokenStoreFile, TokenStoreRedis } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { randomBytes } from "node:crypto"

const processes = 8
const budget = { uploads: 40, writes: 40, reads: 100 }

// The wiring of one process. Three things are shared: the credential, the count of requests, and what is known of an
// outage of the platform.

const encryption = TokenEncryption.config("TOKEN_STORE_KEYS")

/** For the servers of a fleet. A Redis that is down costs a login each, and the two others do without it. */
const throughRedis = Layer.mergeAll(
  TokenStoreRedis.layer({ prefix: "fleet-example:", encryption }),
  RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis({ prefix: "fleet-example:limits:" }))),
  CircuitBreaker.layerStoreRedis({ prefix: "fleet-example:circuits:" })
).pipe(Layer.provide(TokenStoreRedis.layerLazy(NodeRedis.layerConfig({ url: Config.String("REDIS_URL") }))))

/** For the processes of one host. Of requests and outages each knows its own. */
const throughFiles = Layer.mergeAll(
  Layer.unwrap(
    Effect.map(Config.String("TOKEN_STORE_DIRECTORY"), (directory) => TokenStoreFile.layer({ directory, encryption }))
  ).pipe(Layer.provide(NodeServices.layer)),
  RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory)),
  CircuitBreaker.layerStoreMemory()
)

const shareOf = (part: number): typeof budget => ({
  uploads: budget.uploads / part,
  writes: budget.writes / part,
  reads: Math.floor(budget.reads / part)
})

const server = Config.all({
  baseUrl: Config.String("APIVIDEO_BASE_URL"),
  redis: Config.option(Config.String("REDIS_URL"))
})
const apiKey = Config.Redacted("APIVIDEO_API_KEY")

const Sharing = Layer.unwrap(
  Effect.gen(function* () {
    const { baseUrl, redis } = yield* server
    const isCounted = Option.isSome(redis)
    const client = Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(5),
        openDuration: "10 seconds"
      })
      return ApiVideo.layer({
        apiKey,
        baseUrl,
        rateLimiter: yield* RateLimiter.RateLimiter,
        // Who counts alone may not use up what belongs to all.
        rateLimits: isCounted ? budget : shareOf(processes),
        circuitBreaker: HttpClient.withCircuitBreaker({ breaker })
      })
    })
    return Layer.unwrap(client).pipe(Layer.provide(isCounted ? throughRedis : throughFiles))
  })
)

const Alone = Layer.unwrap(Effect.map(server, ({ baseUrl }) => ApiVideo.layer({ apiKey, baseUrl, rateLimits: budget })))

/** Lists videos until its time is over. */
const worker = ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
  Effect.repeat(Schedule.spaced("300 millis")),
  Effect.timeoutOption("8 seconds")
)

// The comparison: two fleets at the same time, each with a platform of its own.

const ledgerOf = (role: "sharing" | "alone", env: Record<string, string>) =>
  Effect.gen(function* () {
    const { ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
    const args = ["--conditions=@effect-video-auth/source", import.meta.filename, role]
    const command = ChildProcess.make(process.execPath, args, {
      env: { ...env, APIVIDEO_BASE_URL: url, APIVIDEO_API_KEY: "your_api_key" },
      extendEnv: true,
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit"
    })
    const run = Effect.scoped(Effect.flatMap(command, ({ exitCode }) => exitCode))
    yield* Effect.replicateEffect(run, processes, { concurrency: "unbounded" })
    return yield* ledger
  }).pipe(Effect.provide(ApiVideoSandbox.layer({ accessTokenLifetime: "3 seconds", rateLimits: budget })))

const compare = Effect.gen(function* () {
  const { redis } = yield* Config.all({ redis: Config.option(Config.String("REDIS_URL")) })
  const fs = yield* FileSystem.FileSystem
  const env = {
    TOKEN_STORE_DIRECTORY: yield* fs.makeTempDirectoryScoped({ prefix: "fleet-" }),
    TOKEN_STORE_KEYS: randomBytes(32).toString("base64")
  }
  yield* Console.log(`two fleets of ${processes} processes, for 8 seconds, with tokens that live for 3 seconds\n`)
  const [sharing, alone] = yield* Effect.all([ledgerOf("sharing", env), ledgerOf("alone", env)], {
    concurrency: "unbounded"
  })
  const line = (title: string, left: unknown, right: unknown) =>
    Console.log(`${title.padEnd(20)}${String(left).padStart(20)}${String(right).padStart(20)}`)
  const row = (title: string, count: (ledger: ApiVideoSandbox.Ledger) => number) =>
    line(title, count(sharing), count(alone))
  yield* line("", `through ${Option.isSome(redis) ? "Redis" : "files"}`, "each for itself")
  yield* row("logins", ({ logins }) => logins)
  yield* row("refreshes", ({ refreshes }) => refreshes)
  yield* row("refused", ({ refreshes, refreshesAccepted }) => refreshes - refreshesAccepted)
  yield* row("at once, at most", ({ peakConcurrentExchanges }) => peakConcurrentExchanges)
  yield* row("answers", ({ responses }) => responses[200] ?? 0)
  yield* row("429", ({ responses }) => responses[429] ?? 0)
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const [, , role] = process.argv

const main =
  role === undefined
    ? compare
    : worker.pipe(Effect.provide(role === "sharing" ? Sharing : Alone), Effect.provide(NodeHttpClient.layerUndici))

NodeRuntime.runMain(main)
