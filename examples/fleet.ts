/**
 * A fleet: eight processes that share a credential, beside eight clients that share nothing. It is shared through files, or
 * through Redis where `REDIS_URL` names one. What they cost the platform is in the ledger of the sandbox that plays it.
 */
import { NodeHttpClient, NodeRedis, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer, Option, Redacted, Schedule } from "effect"
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

const RedisLive = TokenStoreRedis.layerLazy(
  // A request that counts itself does not wait for a Redis to come back.
  NodeRedis.layerConfig({ url: Config.String("REDIS_URL"), disableOfflineQueue: Config.succeed(true) })
)

/** What all have sent; while Redis is down, what this process has. */
const Limiter = Layer.effect(
  RateLimiter.RateLimiter,
  Effect.gen(function* () {
    const shared = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreRedis({ prefix: "fleet:limits:" }))
    const own = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory)
    const either = <A>(ask: (limiter: RateLimiter.RateLimiter) => Effect.Effect<A, RateLimiter.RateLimiterError>) =>
      Effect.catchReason(ask(shared), "RateLimiterError", "RateLimitStoreError", () => ask(own))
    return RateLimiter.RateLimiter.of({
      ...shared,
      consume: (options) => either(({ consume }) => consume(options)),
      adaptiveConsume: (options) => either(({ adaptiveConsume }) => adaptiveConsume(options)),
      adaptiveFeedback: (options) => either(({ adaptiveFeedback }) => adaptiveFeedback(options))
    })
  })
)

/** For the servers of a fleet. */
const throughRedis = Layer.mergeAll(
  TokenStoreRedis.layer({ prefix: "fleet:tokens:", encryption }),
  Limiter,
  CircuitBreaker.layerStoreRedis({ prefix: "fleet:circuits:" })
).pipe(Layer.provide(RedisLive))

/** For the processes of one host. Of requests and outages each knows its own. */
const throughFiles = Layer.mergeAll(
  Layer.unwrap(
    Effect.map(Config.String("TOKEN_STORE_DIRECTORY"), (directory) => TokenStoreFile.layer({ directory, encryption }))
  ).pipe(Layer.provide(NodeServices.layer)),
  RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory)),
  CircuitBreaker.layerStoreMemory()
)

const server = Config.all({
  baseUrl: Config.String("APIVIDEO_BASE_URL"),
  redis: Config.option(Config.String("REDIS_URL"))
})
const apiKey = Config.Redacted("APIVIDEO_API_KEY")

const Sharing = Layer.unwrap(
  Effect.gen(function* () {
    const { baseUrl, redis } = yield* server
    const client = Effect.gen(function* () {
      const rateLimiter = yield* RateLimiter.RateLimiter
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(5),
        openDuration: "10 seconds"
      })
      return ApiVideo.layer({
        apiKey,
        baseUrl,
        rateLimits: budget,
        rateLimiter,
        transformClient: (client) => HttpClient.withCircuitBreaker(client, { breaker })
      })
    })
    return Layer.unwrap(client).pipe(Layer.provide(Option.isSome(redis) ? throughRedis : throughFiles))
  })
)

/** Lists videos until its time is over. */
const worker = ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
  Effect.repeat(Schedule.spaced("300 millis")),
  Effect.timeoutOption("6 seconds")
)

// The comparison: both at the same time, each with a platform of its own.

const platform = ApiVideoSandbox.layer({ accessTokenLifetime: "3 seconds", rateLimits: budget })

const sharing = (env: Record<string, string>) =>
  Effect.gen(function* () {
    const { ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
    const args = ["--conditions=@effect-video-auth/source", import.meta.filename, "worker"]
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
  }).pipe(Effect.provide(platform))

const alone = Effect.gen(function* () {
  const { ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
  const client = ApiVideo.layer({ apiKey: Redacted.make("your_api_key"), baseUrl: url, rateLimits: budget })
  const run = Effect.provide(worker, Layer.provide(client, NodeHttpClient.layerUndici), { local: true })
  yield* Effect.replicateEffect(run, processes, { concurrency: "unbounded" })
  return yield* ledger
}).pipe(Effect.provide(platform))

const compare = Effect.gen(function* () {
  const { redis } = yield* Config.all({ redis: Config.option(Config.String("REDIS_URL")) })
  const fs = yield* FileSystem.FileSystem
  const env = {
    TOKEN_STORE_DIRECTORY: yield* fs.makeTempDirectoryScoped({ prefix: "fleet-" }),
    TOKEN_STORE_KEYS: randomBytes(32).toString("base64")
  }
  yield* Console.log(
    `${processes} processes and ${processes} clients, for 6 seconds, with tokens that live for 3 seconds\n`
  )
  const [shared, own] = yield* Effect.all([sharing(env), alone], { concurrency: "unbounded" })
  const line = (title: string, left: unknown, right: unknown) =>
    Console.log(`${title.padEnd(20)}${String(left).padStart(20)}${String(right).padStart(20)}`)
  const row = (title: string, count: (ledger: ApiVideoSandbox.Ledger) => number) =>
    line(title, count(shared), count(own))
  yield* line("", `through ${Option.isSome(redis) ? "Redis" : "files"}`, "each for itself")
  yield* row("logins", ({ logins }) => logins)
  yield* row("refreshes", ({ refreshes }) => refreshes)
  yield* row("refused", ({ refreshes, refreshesAccepted }) => refreshes - refreshesAccepted)
  yield* row("at once, at most", ({ peakConcurrentExchanges }) => peakConcurrentExchanges)
  yield* row("answers", ({ requests, responses }) => requests - (responses[429] ?? 0))
  yield* row("429", ({ responses }) => responses[429] ?? 0)
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

if (process.argv[2] === undefined) NodeRuntime.runMain(compare)
else worker.pipe(Effect.provide(Layer.provide(Sharing, NodeHttpClient.layerUndici)), NodeRuntime.runMain)
