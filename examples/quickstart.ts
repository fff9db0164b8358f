/**
 * The life of a token in ten seconds: `npm start`.
 *
 * A server on loopback plays api.video, except that its tokens live for seconds and that it fails on demand. With
 * `APIVIDEO_API_KEY` set the same program talks to the real service: `sandbox`, unless `APIVIDEO_ENVIRONMENT` says
 * `production`, or what `APIVIDEO_BASE_URL` names. Steps that need a server to fail are skipped then.
 */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Clock, Config, Console, Effect, Layer, Option, Redacted, Schedule, Stream } from "effect"
import { Platform, RenewalPolicy, TokenService } from "effect-video-auth"
import { ApiVideo, Videos } from "effect-video-auth/api-video"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { styleText } from "node:util"

// What every program does: compose requests. None of them asks for a token, looks at a 401 or has a secret.

const atOnce = (count: number) =>
  Effect.replicateEffect(Videos.list(), count, { concurrency: "unbounded", discard: true })

// The story: each step does something and returns the sentence that tells it.

type Sandbox = ApiVideoSandbox.ApiVideoSandbox["Service"]
type Failure = ApiVideo.ClientError
type Telling = Effect.fn.Return<string, Failure, ApiVideo.ApiVideo | TokenService.TokenService>

interface Step {
  readonly title: string
  readonly tell: (sandbox: Sandbox | undefined) => Telling | undefined
}
const anywhere = (title: string, tell: (sandbox: Sandbox | undefined) => Telling): Step => ({ title, tell })
const onLoopback = (title: string, tell: (sandbox: Sandbox) => Telling): Step => ({
  title,
  tell: (sandbox) => sandbox && tell(sandbox)
})

const seconds = (millis: number) => `${(Math.max(0, millis) / 1000).toFixed(millis < 60_000 ? 1 : 0)} s`
const until = (instant = 0) => Effect.map(Clock.currentTimeMillis, (now) => seconds(instant - now))

const steps: ReadonlyArray<Step> = [
  anywhere("First login", function* () {
    const tokens = yield* TokenService.TokenService
    const { expiresAt, issuedAt } = yield* tokens.get
    const { renewAt } = yield* tokens.state
    return `token #1 lives for ${seconds(expiresAt - issuedAt)}; its refresh is due in ${yield* until(renewAt)}`
  }),

  onLoopback("Three writes", function* () {
    for (const title of ["Trailer", "Interview", "Credits"]) yield* Videos.create({ title })
    return "POST /videos, with #1"
  }),

  anywhere("One read", function* () {
    const { data, pagination } = yield* Videos.list()
    const titles = data.slice(0, 3).map(({ title }) => `, "${title}"`)
    return `GET /videos, decoded by a schema: ${pagination.itemsTotal} videos${titles.join("")}`
  }),

  onLoopback("No request", function* (sandbox) {
    const tokens = yield* TokenService.TokenService
    // The next token lasts a minute, so that a slow machine has time for the next steps.
    yield* sandbox.configure({ accessTokenLifetime: "1 minute" })
    const { expiresAt, generation } = yield* tokens.state
    const newer = TokenService.changes(tokens).pipe(Stream.filter((state) => state.generation > generation))
    yield* Stream.runHead(newer)
    return `refreshed on schedule: #${generation + 1} is here ${yield* until(expiresAt)} before #${generation} expires`
  }),

  anywhere("Many at once", function* (sandbox) {
    const tokens = yield* TokenService.TokenService
    const count = sandbox === undefined ? 10 : 200
    yield* atOnce(count)
    return `${count} requests, ${count} answers, and the token is still #${(yield* tokens.state).generation}`
  }),

  onLoopback("Token revoked", function* (sandbox) {
    const before = yield* sandbox.ledger
    // Responses take longer than revoking the token, so all fifty requests carry the revoked token.
    yield* sandbox.inject({ on: "api", times: 50, kind: { _tag: "Latency", duration: "500 millis" } })
    yield* Effect.all([atOnce(50), Effect.delay(sandbox.revokeAccessTokens, "250 millis")], { concurrency: 2 })
    const after = yield* sandbox.ledger
    const renewals = after.logins + after.refreshes - before.logins - before.refreshes
    return `50 requests in flight, ${after.unauthorized - before.unauthorized} × 401, ${renewals} renewal, 50 answers`
  }),

  onLoopback("Refresh refused", function* (sandbox) {
    const tokens = yield* TokenService.TokenService
    yield* sandbox.revokeRefreshTokens
    yield* sandbox.revokeAccessTokens
    yield* Videos.list()
    return `the refresh token is void as well: a login got #${(yield* tokens.state).generation}, the request its answer`
  }),

  anywhere("A typed 400", function* () {
    const api = yield* ApiVideo.ApiVideo
    return yield* api.get("/videos?pageSize=1000").pipe(
      Effect.as("none: this server takes a pageSize of 1000"),
      Effect.catchReason("ApiVideoError", "BadRequest", ({ problem }) =>
        Effect.succeed(`ApiVideoError, reason BadRequest, parameter ${problem.name}`)
      )
    )
  }),

  onLoopback("Auth goes down", function* (sandbox) {
    const tokens = yield* TokenService.TokenService
    yield* sandbox.configure({ accessTokenLifetime: "4 seconds" })
    const { expiresAt, generation } = yield* tokens.renew
    const on = (_method: string, path: string) => path.startsWith("/auth/")
    yield* sandbox.inject({ on, times: Infinity, kind: { _tag: "DropBefore" } })
    return `#${generation} is good for ${yield* until(expiresAt)}; from now on no login and no refresh gets through`
  }),

  onLoopback("Token expired", function* () {
    const tokens = yield* TokenService.TokenService
    const { expiresAt = 0 } = yield* tokens.state
    let answers = 0
    const requests = Effect.gen(function* () {
      while (true) {
        // No request in the last second before expiry, because it could arrive too late.
        const left = expiresAt - (yield* Clock.currentTimeMillis)
        if (left < 1_000) yield* Effect.sleep(Math.max(0, left + 10))
        yield* Videos.list()
        answers += 1
        yield* Effect.sleep("200 millis")
      }
    })
    return yield* Effect.catchReason(requests, "TokenError", "TokenExpired", ({ renewal }) =>
      Effect.succeed(`${answers} more answers, then TokenError, reason TokenExpired: ${renewal?.message}`)
    )
  }),

  onLoopback("Auth comes back", function* (sandbox) {
    const tokens = yield* TokenService.TokenService
    yield* sandbox.clearFaults
    // An attempt that began during the outage may still fail.
    const soon = Schedule.spaced("200 millis").pipe(Schedule.upTo({ times: 50 }))
    const { generation } = yield* Effect.retry(tokens.renew, soon)
    yield* Videos.list()
    return `a login got #${generation}, and requests have answers again; nothing was restarted`
  })
]

// The telling: columns, and colours where stdout is a terminal (`styleText` sees to that, and to NO_COLOR).

const line = (left: string, title: string, text: string) =>
  Console.log(`${styleText("dim", left.padStart(8))}  ${styleText("bold", title.padEnd(15))}  ${text}`)

const story = Effect.gen(function* () {
  const start = yield* Clock.currentTimeMillis
  const sandbox = Option.getOrUndefined(yield* Effect.serviceOption(ApiVideoSandbox.ApiVideoSandbox))
  const tokens = yield* TokenService.TokenService

  // A client is a value. This one counts.
  const calls = { made: 0, failed: 0 }
  const counting = (api: ApiVideo.ApiVideo["Service"]) =>
    Platform.transform(api, (call) => {
      calls.made += 1
      return Effect.tapError(call, () => Effect.sync(() => (calls.failed += 1)))
    })

  for (const { tell, title } of steps) {
    const telling = tell(sandbox)
    const told = telling && Effect.gen(() => telling).pipe(Effect.updateService(ApiVideo.ApiVideo, counting))
    const text = told === undefined ? styleText("dim", "skipped: only with the server on loopback") : yield* told
    yield* line(seconds((yield* Clock.currentTimeMillis) - start), title, text)
  }

  yield* Console.log("")
  if (sandbox === undefined) {
    const { generation } = yield* tokens.state
    return yield* line(`${calls.made}`, "calls", `${calls.failed} failed, ${generation} token`)
  }
  const { logins, loginsAccepted, refreshes, refreshesAccepted, requests, unauthorized } = yield* sandbox.ledger
  yield* line(`${requests}`, "requests", `reached the server, for ${calls.made} calls`)
  yield* line(`${loginsAccepted}`, "logins", `and ${logins - loginsAccepted} cut off`)
  yield* line(`${refreshesAccepted}`, "refreshes", `and ${refreshes - refreshesAccepted} refused or cut off`)
  yield* line(`${unauthorized}`, "401s healed", "sent again with a newer token")
  yield* line(`${calls.failed}`, "failed calls", "on purpose: the 400, and one never sent for want of a token")
})

// The layers. Most programs need `ApiVideo.layer(options)` and nothing else; taken apart, it gives `TokenService` as well.
// Not eager, because the first step shows the login.

const client = (options: ApiVideo.Options) =>
  ApiVideo.layerClient(options).pipe(Layer.provideMerge(ApiVideo.layerToken({ ...options, eager: false })))

// One attempt per renewal; more would only make the outage longer to watch.
const loopback = Layer.unwrap(
  ApiVideoSandbox.ApiVideoSandbox.useSync(({ url }) =>
    client({
      apiKey: Redacted.make("your_api_key"),
      baseUrl: url,
      rateLimits: false,
      policy: { retry: Schedule.recurs(0) }
    })
  )
).pipe(
  Layer.provideMerge(
    ApiVideoSandbox.layer({ accessTokenLifetime: "4 seconds", rateLimits: ApiVideoSandbox.noRateLimits })
  )
)

const main = Effect.gen(function* () {
  const { apiKey, baseUrl, environment } = yield* Config.all({
    apiKey: Config.option(Config.Redacted("APIVIDEO_API_KEY")),
    baseUrl: Config.option(Config.String("APIVIDEO_BASE_URL")),
    environment: Config.withDefault(Config.Literals(["sandbox", "production"], "APIVIDEO_ENVIRONMENT"), "sandbox")
  })
  if (Option.isNone(apiKey)) {
    yield* Console.log("api.video, played by a server on loopback. APIVIDEO_API_KEY=… npm start asks the real one.\n")
    return yield* Effect.provide(story, loopback)
  }
  const server = { environment, baseUrl: Option.getOrUndefined(baseUrl) }
  yield* Console.log(`api.video at ${server.baseUrl ?? environment}\n`)
  return yield* Effect.provide(story, client({ ...server, apiKey: apiKey.value, policy: RenewalPolicy.interactive }))
})

// A closed pipe (`npm start | head`) is not a failure.
process.stdout.on("error", () => process.exit())

main.pipe(
  Effect.provide(NodeHttpClient.layerUndici),
  // Expected failures are one sentence for people, without a stack trace that would hide it.
  Effect.catch((error) => {
    process.exitCode = 1
    if (error._tag === "ServeError") return Console.error("The server on loopback cannot start.")
    if (error._tag === "ConfigError") return Console.error("APIVIDEO_ENVIRONMENT must be sandbox or production.")
    return Console.error(error.message)
  }),
  Effect.onInterrupt(() => Console.log("\nInterrupted; nothing is left running.")),
  NodeRuntime.runMain
)
