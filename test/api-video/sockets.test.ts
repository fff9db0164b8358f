/** api.video over real sockets: what servers, networks and proxies do to a program, and what it gets. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted, Result, Schedule, type Scope } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { type AccessToken, ApiVideo, type RenewalPolicy, type TokenError, TokenService } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import type { Server } from "node:net"
import { setTimeout } from "node:timers/promises"

const apiKey = Redacted.make("your_api_key")

/** No exchange takes as long on any machine: only one that gets no answer ends by it. */
const exchangeTimeout = "5 minutes"

/** Failures are over at once: no test waits for a pause that the policy would make. */
const hasty: RenewalPolicy.Options = {
  whenIdle: "on-demand",
  exchangeTimeout,
  coolDown: 0,
  fatalFor: "1 millis",
  retry: Schedule.recurs(0)
}

interface Setup {
  readonly sandbox?: Sandbox.Options | undefined
  readonly policy?: RenewalPolicy.Options | undefined
  readonly eager?: boolean | undefined
}

/** A sandbox, and the token and client of a program that uses it. */
const environment = ({ eager, policy, sandbox }: Setup = {}) =>
  Layer.unwrap(
    Sandbox.ApiVideoSandbox.useSync(({ url: baseUrl }) =>
      ApiVideo.layerClient({ baseUrl, rateLimits: false, retry: false }).pipe(
        Layer.provideMerge(ApiVideo.layerToken({ baseUrl, apiKey, eager, policy: { ...hasty, ...policy } }))
      )
    )
  ).pipe(Layer.provideMerge(Sandbox.layer({ rateLimits: Sandbox.noRateLimits, ...sandbox })))

type Environment = Layer.Success<ReturnType<typeof environment>> | HttpClient.HttpClient | Scope.Scope

const test = <A, E>(name: string, body: Effect.Effect<A, E, Environment>, setup?: Setup) =>
  it.live(name, () => body.pipe(Effect.provide(Layer.provideMerge(environment(setup), NodeHttpClient.layerUndici))))

/** The same under a `TestClock`: time passes only where the test says so, and sockets take theirs. */
const clocked = <A, E>(name: string, body: Effect.Effect<A, E, Environment>, setup?: Setup) =>
  it.effect(name, () => body.pipe(Effect.provide(Layer.provideMerge(environment(setup), NodeHttpClient.layerUndici))))

const ledger = Sandbox.ApiVideoSandbox.use((sandbox) => sandbox.ledger)
const inject = (on: Sandbox.Fault["on"], kind: Sandbox.FaultKind, times = Infinity) =>
  Sandbox.ApiVideoSandbox.use((sandbox) => sandbox.inject({ on, kind, times }))
const listVideos = ApiVideo.ApiVideo.use((api) => Effect.flatMap(api.get("/videos"), (response) => response.json))
const bare = (token: AccessToken.AccessToken) => Redacted.value(token.accessToken)

/** Real time, also under a `TestClock`. */
const pause = (millis: number) => Effect.promise(() => setTimeout(millis))

/** Waits until the server has seen it. */
const seen = (what: (ledger: Sandbox.Ledger) => boolean): Effect.Effect<void, never, Sandbox.ApiVideoSandbox> =>
  Effect.flatMap(ledger, (ledger) => (what(ledger) ? Effect.void : Effect.andThen(pause(2), seen(what))))

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: count }, () => effect),
    { concurrency: "unbounded" }
  )

describe("one exchange, whatever the number of callers:", () => {
  test(
    "10,000 concurrent cold callers make 1 login",
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      const tokens = yield* times(10_000, service.get)
      assert.strictEqual(new Set(tokens.map(bare)).size, 1)
      const { logins, peakConcurrentExchanges, refreshes } = yield* ledger
      assert.deepStrictEqual(
        { logins, peakConcurrentExchanges, refreshes },
        { logins: 1, peakConcurrentExchanges: 1, refreshes: 0 }
      )
    }),
    { eager: false }
  )

  test(
    "300 concurrent cold requests make 1 login",
    Effect.gen(function* () {
      yield* times(300, listVideos)
      const { logins, refreshes, requests, responses } = yield* ledger
      assert.deepStrictEqual({ logins, refreshes, requests }, { logins: 1, refreshes: 0, requests: 300 })
      assert.deepStrictEqual(responses, { 200: 301 })
    }),
    { eager: false }
  )

  for (const [name, http] of Object.entries({
    undici: NodeHttpClient.layerUndici,
    "node:http": NodeHttpClient.layerNodeHttp
  })) {
    it.effect(
      `50 requests in flight whose 401s come one after the other make 1 renewal and 50 successes (${name})`,
      () =>
        Effect.gen(function* () {
          const sandbox = yield* Sandbox.ApiVideoSandbox
          for (let late = 1; late <= 50; late++) yield* inject("api", { _tag: "Latency", duration: late }, 1)
          const fiber = yield* Effect.forkChild(times(50, listVideos))
          yield* seen(({ requests }) => requests === 50)
          yield* sandbox.revokeAccessTokens
          for (let late = 1; late <= 50; late++) yield* Effect.andThen(TestClock.adjust(1), pause(1))
          assert.strictEqual((yield* Fiber.join(fiber)).length, 50)
          const { logins, refreshes, requests, unauthorized } = yield* ledger
          assert.deepStrictEqual(
            { logins, refreshes, requests, unauthorized },
            { logins: 1, refreshes: 1, requests: 100, unauthorized: 50 }
          )
        }).pipe(Effect.provide(Layer.provideMerge(environment(), http)))
    )
  }
})

describe("no refresh token is sent twice, and the next renewal succeeds, after a refresh that met", () => {
  /** What goes wrong with the refresh, and what `renew` gives: it logs in instead, or fails. */
  const faults: ReadonlyArray<
    readonly [name: string, kind: Sandbox.FaultKind, outcome: TokenError.Reason["_tag"] | "renewed"]
  > = [
    ["a connection dropped before it was processed", { _tag: "DropBefore" }, "renewed"],
    ["a connection dropped after it was processed", { _tag: "DropAfter" }, "renewed"],
    ["no answer in time", { _tag: "Hang" }, "renewed"],
    ["503", { _tag: "Status", status: 503 }, "ProviderUnavailable"],
    ["503 after it was processed", { _tag: "Status", status: 503, processed: true }, "ProviderUnavailable"],
    ["429", { _tag: "RateLimited", retryAfter: 0.001 }, "RateLimited"],
    ["HTML with 200", { _tag: "Html", status: 200 }, "renewed"],
    ["HTML with 200 after it was processed", { _tag: "Html", status: 200, processed: true }, "renewed"],
    ["HTML with 502", { _tag: "Html", status: 502 }, "ProviderUnavailable"],
    ["truncated JSON", { _tag: "TruncatedJson" }, "renewed"],
    ["an echo with 400", { _tag: "Echo", status: 400 }, "renewed"],
    ["an echo with 500", { _tag: "Echo", status: 500 }, "ProviderUnavailable"],
    ["JSON of wrong types", { _tag: "Json", status: 200, body: { access_token: 1, expires_in: {} } }, "renewed"],
    ["a redirect", { _tag: "Redirect", status: 307, location: "/auth/refresh" }, "renewed"],
    ["403", { _tag: "Status", status: 403 }, "AccountSuspended"]
  ]
  for (const [name, kind, outcome] of faults) {
    clocked(
      name,
      Effect.gen(function* () {
        const service = yield* TokenService.TokenService
        const sandbox = yield* Sandbox.ApiVideoSandbox
        yield* inject("refresh", kind)
        const fiber = yield* Effect.forkChild(Effect.result(service.renew))
        if (kind._tag === "Hang") {
          yield* seen(({ refreshes }) => refreshes === 1)
          yield* TestClock.adjust(exchangeTimeout)
        }
        const first = yield* Fiber.join(fiber)
        assert.strictEqual(Result.isSuccess(first) ? "renewed" : first.failure.reason._tag, outcome)
        yield* sandbox.clearFaults
        // A renewal that follows a failed one too soon fails with the same error.
        yield* TestClock.adjust("40 seconds")
        yield* service.renew
        yield* listVideos
        const { expiredTokensReceived, refreshTokensSentTwice, unauthorized } = yield* ledger
        // A 429 in the platform's own words says that nothing was done, so the refresh token is still good.
        assert.deepStrictEqual(refreshTokensSentTwice, kind._tag === "RateLimited" ? ["refresh token #1"] : [])
        assert.deepStrictEqual({ expiredTokensReceived, unauthorized }, { expiredTokensReceived: 0, unauthorized: 0 })
      })
    )
  }
})

interface Answer {
  readonly login: object
  readonly refresh: object
}

/** What a refusal says of itself, without the words. */
const facts = (reason: TokenError.Reason) => ({
  _tag: reason._tag,
  ...("failure" in reason && reason.failure !== undefined ? { failure: reason.failure } : {}),
  ...("status" in reason && reason.status !== undefined ? { status: reason.status } : {}),
  ...("problem" in reason ? { problem: reason.problem } : {}),
  ...("type" in reason && reason.type !== undefined ? { type: reason.type } : {})
})

/** Where the two exchanges go instead of the sandbox, once it is set. */
class Detour extends Context.Service<Detour, { url: string | undefined }>()("test/Detour") {}

const detoured = Layer.effectContext(
  Effect.gen(function* () {
    const detour: Detour["Service"] = { url: undefined }
    const client = HttpClient.mapRequest(yield* HttpClient.HttpClient, (request) =>
      detour.url !== undefined && request.url.includes("/auth/")
        ? HttpClientRequest.setUrl(request, `${detour.url}${new URL(request.url).pathname}`)
        : request
    )
    return Context.make(Detour, detour).pipe(Context.add(HttpClient.HttpClient, client))
  })
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

const handle = (request: Http.IncomingMessage, response: Http.ServerResponse) => {
  request.resume()
  response.end("{}")
}

/** Servers that are none of api.video's. */
const places: Readonly<Record<string, Effect.Effect<string, never, Scope.Scope>>> = {
  closed: Effect.map(Effect.scoped(listening(Http.createServer())), (port) => `http://127.0.0.1:${port}`),
  unknown: Effect.succeed("https://api.video.invalid"),
  selfSigned: Effect.suspend(() => {
    const pem = readFileSync(`${import.meta.dirname}/../fixtures/self-signed-test-only.pem`)
    return Effect.map(
      listening(Https.createServer({ key: pem, cert: pem }, handle)),
      (port) => `https://127.0.0.1:${port}`
    )
  }),
  plain: Effect.map(listening(Http.createServer(handle)), (port) => `https://127.0.0.1:${port}`),
  midBody: Effect.suspend(() => {
    const server = Http.createServer((request, response) => {
      request.resume()
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" })
      response.write('{"access_token":"', () => response.destroy())
    })
    return Effect.map(listening(server), (port) => `http://127.0.0.1:${port}`)
  })
}

const json = (body: unknown): Sandbox.FaultKind => ({ _tag: "Json", status: 200, body })
const changed = (change: object): Sandbox.FaultKind => ({
  _tag: "Rewrite",
  rewrite: (body) => ({ ...(typeof body === "object" ? body : {}), ...change })
})
const both = (answer: object): Answer => ({ login: answer, refresh: answer })
const unreadable = (problem: string, status = 200): Answer => ({
  login: { _tag: "MalformedResponse", status, problem },
  refresh: { _tag: "AmbiguousExchange", status }
})
const unavailable = (failure: TokenError.Failure) => ({ _tag: "ProviderUnavailable", failure })

const inputs: Readonly<Record<string, { readonly is: string | Sandbox.FaultKind } & Answer>> = {
  "a port on which nobody listens": { is: "closed", ...both(unavailable("connect")) },
  "a host that DNS does not know": { is: "unknown", ...both(unavailable("connect")) },
  "a self-signed certificate": { is: "selfSigned", ...both(unavailable("tls")) },
  "plain HTTP where TLS is spoken": { is: "plain", ...both(unavailable("tls")) },
  "a connection that closes in mid-body": { is: "midBody", ...unreadable("the body broke off") },
  "a connection that breaks": {
    is: { _tag: "DropBefore" },
    login: unavailable("network"),
    refresh: { _tag: "AmbiguousExchange", failure: "network" }
  },
  "a proxy's HTML with 200": { is: { _tag: "Html", status: 200 }, ...unreadable("the body is not JSON") },
  "a proxy's HTML with 502": {
    is: { _tag: "Html", status: 502 },
    ...both({ ...unavailable("status"), status: 502 })
  },
  "a proxy that wants a login of its own": {
    is: { _tag: "Html", status: 407 },
    ...both({ ...unavailable("status"), status: 407 })
  },
  "truncated JSON": { is: { _tag: "TruncatedJson" }, ...unreadable("the body is not JSON") },
  "an empty body": { is: { _tag: "Status", status: 200 }, ...unreadable("not a token response") },
  "an empty 204": { is: { _tag: "Status", status: 204 }, ...unreadable("not a token response", 204) },
  "an array": { is: json([]), ...unreadable("not a token response") },
  null: { is: json(null), ...unreadable("not a token response") },
  "an access token that is a number": {
    is: changed({ access_token: 1 }),
    ...unreadable("access_token is missing or invalid")
  },
  "an empty access token": { is: changed({ access_token: "" }), ...unreadable("access_token is missing or invalid") },
  "an access token with a line break": {
    is: changed({ access_token: "a\r\nb" }),
    ...unreadable("access_token is missing or invalid")
  },
  "a refresh token that is an object": {
    is: changed({ refresh_token: {} }),
    ...unreadable("refresh_token is missing or invalid")
  },
  "another token_type": { is: changed({ token_type: "MAC" }), ...unreadable("token_type is missing or invalid") },
  // An answer that was read well, of a token that is good for nothing.
  "expires_in 0": {
    is: changed({ expires_in: 0 }),
    ...unreadable("expires_in is missing or invalid")
  },
  "expires_in -1": {
    is: changed({ expires_in: -1 }),
    ...unreadable("expires_in is missing or invalid")
  },
  "expires_in soon": { is: changed({ expires_in: "soon" }), ...unreadable("expires_in is missing or invalid") },
  "no expires_in for an opaque token": {
    is: json({ access_token: "opaque" }),
    ...unreadable("expires_in is missing or invalid")
  },
  "a redirect": {
    is: { _tag: "Redirect", status: 308, location: "/videos" },
    ...both({ _tag: "MalformedResponse", status: 308, problem: "a redirect, which is not followed" })
  },
  "a problem whose type is no text, and becomes none": {
    is: { _tag: "Json", status: 400, body: { type: { toString: 1, valueOf: 1 } } },
    login: { _tag: "InvalidCredentials", status: 400 },
    refresh: { _tag: "RefreshTokenRejected", status: 400 }
  },
  "403": { is: { _tag: "Status", status: 403 }, ...both({ _tag: "AccountSuspended", status: 403 }) },
  "404": { is: { _tag: "Status", status: 404 }, ...both({ _tag: "ConfigurationInvalid" }) },
  "418": { is: { _tag: "Status", status: 418 }, ...both({ _tag: "BadRequest", status: 418 }) },
  "429": { is: { _tag: "RateLimited", retryAfter: 0.001 }, ...both({ _tag: "RateLimited" }) },
  "503": { is: { _tag: "Status", status: 503 }, ...both({ ...unavailable("status"), status: 503 }) }
}

describe("bad input is typed, and the token held is served meanwhile:", () => {
  for (const [name, { is, login, refresh }] of Object.entries(inputs)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const service = yield* TokenService.TokenService
        const { url } = yield* Sandbox.ApiVideoSandbox
        const held = yield* service.get
        if (typeof is === "string") (yield* Detour).url = yield* places[is] ?? Effect.die(is)
        else yield* inject((_, path) => path.startsWith("/auth/"), is)

        const { refreshToken = Redacted.make("") } = held
        const server = { baseUrl: url }
        // In this order: a login would kill the refresh token.
        const refreshing = yield* Effect.flip(ApiVideo.refresh({ refreshToken }, server))
        const loggingIn = yield* Effect.flip(ApiVideo.authenticate({ apiKey }, server))
        assert.deepInclude(facts(refreshing.reason), refresh)
        assert.deepInclude(facts(loggingIn.reason), login)

        assert.isTrue(Result.isFailure(yield* Effect.result(service.renew)))
        assert.strictEqual(bare(yield* service.get), bare(held))
        yield* listVideos
      }).pipe(Effect.provide(Layer.provideMerge(environment(), detoured)))
    )
  }
})

describe("an answer that is not quite as documented is as good:", () => {
  const answers: Readonly<Record<string, Sandbox.FaultKind>> = {
    "no expires_in (the JWT says how long it lives)": changed({ expires_in: undefined }),
    "expires_in as a string": changed({ expires_in: "3600" }),
    "expires_in with a fraction": changed({ expires_in: 3599.5 }),
    "token_type in lower case": changed({ token_type: "bearer" }),
    "no token_type": changed({ token_type: undefined }),
    "unknown fields": changed({ scope: ["a"], user: null })
  }
  for (const [name, kind] of Object.entries(answers)) {
    test(
      name,
      Effect.gen(function* () {
        yield* inject("any", kind, 1)
        const token = yield* TokenService.TokenService.use((service) => service.get)
        assert.approximately((token.expiresAt - token.issuedAt) / 1000, 3600, 0.5)
        yield* listVideos
        assert.strictEqual((yield* ledger).logins, 1)
      }),
      { eager: false }
    )
  }

  for (const [name, refresh_token] of [
    ["no refresh token", undefined],
    ["null", null],
    ["an empty one", ""]
  ] as const) {
    test(
      `${name} as refresh token: the next renewal is a login`,
      Effect.gen(function* () {
        const service = yield* TokenService.TokenService
        yield* inject("any", changed({ refresh_token }), 1)
        assert.isUndefined((yield* service.get).refreshToken)
        yield* service.renew
        const { logins, refreshes } = yield* ledger
        assert.deepStrictEqual({ logins, refreshes }, { logins: 2, refreshes: 0 })
      }),
      { eager: false }
    )
  }
})

describe("a key of the other environment", () => {
  const server = Sandbox.layer({ apiKeys: [], otherEnvironmentKeys: [Redacted.value(apiKey)] })

  it.live("fails the start, and says which environment it must be a key of", () =>
    Effect.gen(function* () {
      const { url: baseUrl } = yield* Sandbox.ApiVideoSandbox
      const error = yield* Effect.flip(Effect.scoped(Layer.build(ApiVideo.layer({ baseUrl, apiKey }))))
      assert.deepStrictEqual(facts(error.reason), {
        _tag: "InvalidCredentials",
        status: 401,
        type: "authentication-invalid-api-key"
      })
      assert.include(error.message, `api.video ${new URL(baseUrl).host}`)
      assert.match(error.message, /Use an API key of api\.video .*; each environment has its own\./)
      assert.strictEqual((yield* ledger).logins, 1)
    }).pipe(Effect.provide([server, NodeHttpClient.layerUndici]))
  )
})

describe("SIGINT ends a program at once, without a stack trace and without a handle left behind,", () => {
  const script = `${import.meta.dirname}/../fixtures/long-running.ts`
  const tasks: Readonly<Record<string, (ledger: Sandbox.Ledger) => boolean>> = {
    idle: () => true,
    request: ({ requests }) => requests === 2,
    renewal: ({ refreshes }) => refreshes === 1
  }
  for (const [task, isBusy] of Object.entries(tasks)) {
    const name = task === "idle" ? "with nothing but the timer of the next renewal" : `with a ${task} in flight`
    it.live(name, () =>
      Effect.gen(function* () {
        const { url } = yield* Sandbox.ApiVideoSandbox
        // The login and the first request are answered, nothing after them.
        yield* inject("login", { _tag: "Latency", duration: 0 }, 1)
        yield* inject("api", { _tag: "Latency", duration: 0 }, 1)
        yield* inject("any", { _tag: "Hang" })
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => spawn(process.execPath, [script, url, task], { stdio: ["ignore", "pipe", "pipe"] })),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        let output = ""
        let errors = ""
        child.stdout.on("data", (chunk: Buffer) => {
          output += chunk.toString()
          if (output === "ready\n") ready()
        })
        child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()))
        let ready = () => {}
        yield* Effect.callback<void>((resume) => {
          ready = () => resume(Effect.void)
        })
        yield* seen(isBusy)
        const ended = Effect.callback<number | null | string>((resume) => {
          child.on("exit", (code, signal) => resume(Effect.succeed(signal ?? code)))
        })
        child.kill("SIGINT")
        assert.strictEqual(yield* ended, 0)
        assert.strictEqual(output, "ready\nclosed\n")
        assert.strictEqual(errors, "")
      }).pipe(Effect.scoped, Effect.provide(Sandbox.layer()))
    )
  }
})
