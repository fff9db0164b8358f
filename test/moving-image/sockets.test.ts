/** movingimage over real sockets: what servers and networks do to a program, and what it gets. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Redacted, Result, Schedule, Schema, type Scope } from "effect"
import { FetchHttpClient, type HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { type AccessToken, MovingImage, type RenewalPolicy, type TokenError, TokenService } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import { createServer } from "node:http"
import { setTimeout } from "node:timers/promises"

const username = Redacted.make("your_username")
const password = Redacted.make("your_password")

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

interface Setup extends Partial<Omit<MovingImage.Options, "baseUrl">> {
  readonly sandbox?: Sandbox.Options | undefined
}

/** A sandbox, and the token and client of a program that uses it. */
const environment = ({ policy, sandbox, ...options }: Setup = {}) =>
  Layer.unwrap(
    Sandbox.MovingImageSandbox.useSync(({ url: baseUrl }) => {
      const all = { baseUrl, username, password, rateLimits: false, retry: false, ...options } as const
      return MovingImage.layerClient(all).pipe(
        Layer.provideMerge(MovingImage.layerToken({ ...all, policy: { ...hasty, ...policy } }))
      )
    })
  ).pipe(Layer.provideMerge(Sandbox.layer({ rateLimit: Infinity, ...sandbox })))

type Environment = Layer.Success<ReturnType<typeof environment>> | HttpClient.HttpClient | Scope.Scope

const test = <A, E>(name: string, body: Effect.Effect<A, E, Environment>, setup?: Setup) =>
  it.live(name, () => body.pipe(Effect.provide(Layer.provideMerge(environment(setup), NodeHttpClient.layerUndici))))

/** The same under a `TestClock`: time passes only where the test says so, and sockets take theirs. */
const clocked = <A, E>(name: string, body: Effect.Effect<A, E, Environment>, setup?: Setup) =>
  it.effect(name, () => body.pipe(Effect.provide(Layer.provideMerge(environment(setup), NodeHttpClient.layerUndici))))

const ledger = Sandbox.MovingImageSandbox.use((sandbox) => sandbox.ledger)
const inject = (on: Sandbox.Fault["on"], kind: Sandbox.FaultKind, times = Infinity) =>
  Sandbox.MovingImageSandbox.use((sandbox) => sandbox.inject({ on, kind, times }))
const execute = (request: HttpClientRequest.HttpClientRequest) =>
  MovingImage.MovingImage.use((api) => api.execute(request))
const get = (path: string) => execute(HttpClientRequest.get(path))
const post = (path: string, body: unknown) =>
  execute(HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(path), body))
const list = Effect.flatMap(get("/v1/vms/101/videos"), (response) => response.json)
const bare = (token: AccessToken.AccessToken) => Redacted.value(token.accessToken)
const errorOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, MovingImage.ClientError, R>) {
  const error = yield* Effect.flip(effect)
  return error._tag === "MovingImageError" ? error.reason : yield* Effect.die(error)
})

/** Real time, also under a `TestClock`. */
const pause = (millis: number) => Effect.promise(() => setTimeout(millis))

/** Waits until the server has seen it. */
const seen = (what: (ledger: Sandbox.Ledger) => boolean): Effect.Effect<void, never, Sandbox.MovingImageSandbox> =>
  Effect.flatMap(ledger, (ledger) => (what(ledger) ? Effect.void : Effect.andThen(pause(2), seen(what))))

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: count }, () => effect),
    { concurrency: "unbounded" }
  )

describe("one login, whatever the number of callers:", () => {
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
    "and 1 refresh where the VideoManager is another, one after the other",
    Effect.gen(function* () {
      yield* times(300, get("/v1/vms/102/videos"))
      const { logins, peakConcurrentExchanges, refreshes, videoManagers, wrongVideoManager } = yield* ledger
      assert.deepStrictEqual(
        { logins, peakConcurrentExchanges, refreshes, wrongVideoManager },
        { logins: 1, peakConcurrentExchanges: 1, refreshes: 1, wrongVideoManager: 0 }
      )
      assert.deepStrictEqual(videoManagers[102], { tokens: 1, requests: 300, wrongTokens: 0 })
    }),
    { eager: false, videoManager: 102 }
  )

  it.effect("50 requests in flight whose 401s come one after the other make 1 renewal and 50 successes", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      for (let late = 1; late <= 50; late++) yield* inject("api", { _tag: "Latency", duration: late }, 1)
      const fiber = yield* Effect.forkChild(times(50, list))
      yield* seen(({ requests }) => requests === 50)
      yield* sandbox.revokeAccessTokens
      for (let late = 1; late <= 50; late++) yield* Effect.andThen(TestClock.adjust(1), pause(1))
      assert.strictEqual((yield* Fiber.join(fiber)).length, 50)
      const { logins, refreshes, requests, unauthorized } = yield* ledger
      assert.deepStrictEqual(
        { logins, refreshes, requests, unauthorized },
        { logins: 1, refreshes: 1, requests: 100, unauthorized: 50 }
      )
    }).pipe(Effect.provide(Layer.provideMerge(environment(), NodeHttpClient.layerUndici)))
  )
})

/** What goes wrong with an exchange, and what `renew` gives: it logs in instead, or fails. */
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
  ["JSON of wrong types", { _tag: "Json", status: 200, body: { accessToken: 1 } }, "renewed"],
  ["a redirect", { _tag: "Redirect", status: 307, location: "/v1/vms/auth/refresh/101" }, "renewed"],
  ["403", { _tag: "Status", status: 403 }, "renewed"],
  ["404", { _tag: "Status", status: 404 }, "renewed"]
]
describe.concurrent("no refresh token is sent twice, and the next renewal succeeds, after a refresh that met", () => {
  for (const [name, kind, outcome] of faults) {
    clocked(
      name,
      Effect.gen(function* () {
        const service = yield* TokenService.TokenService
        const sandbox = yield* Sandbox.MovingImageSandbox
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
        yield* list
        const { expiredTokensReceived, refreshTokensSentTwice, unauthorized } = yield* ledger
        // A 429 in the platform's own words says that nothing was done, so the refresh token is still good.
        assert.deepStrictEqual(refreshTokensSentTwice, kind._tag === "RateLimited" ? ["refresh token #1"] : [])
        assert.deepStrictEqual({ expiredTokensReceived, unauthorized }, { expiredTokensReceived: 0, unauthorized: 0 })
      })
    )
  }
})

describe.concurrent("nor is it, and the next login succeeds, after a login whose switch to the VideoManager met", () => {
  for (const [name, kind] of faults) {
    test(
      name,
      Effect.gen(function* () {
        const service = yield* TokenService.TokenService
        const sandbox = yield* Sandbox.MovingImageSandbox
        yield* inject("refresh", kind)
        assert.isTrue(Result.isFailure(yield* Effect.result(service.get)))
        yield* sandbox.clearFaults
        const token = yield* Effect.retry(service.get, Schedule.spaced("50 millis"))
        assert.strictEqual(Option.getOrThrow(MovingImage.videoManagersOf(token)).validForVideoManager, 102)
        yield* get("/v1/vms/102/videos")
        const { loginsAccepted, loginsRefused, refreshTokensSentTwice } = yield* ledger
        assert.strictEqual(loginsRefused, 0)
        assert.deepStrictEqual(refreshTokensSentTwice, [])
        // With a timeout of a second, a busy machine may need more than one.
        if (kind._tag === "Hang") assert.isAtLeast(loginsAccepted, 2)
        else assert.strictEqual(loginsAccepted, 2)
      }),
      {
        eager: false,
        videoManager: 102,
        policy: { exchangeTimeout: kind._tag === "Hang" ? "1 second" : exchangeTimeout }
      }
    )
  }
})

describe("a wrong password", () => {
  test(
    "is sent once for 1,000 callers, and does not lock the account",
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      const outcomes = yield* times(1_000, Effect.flip(service.get))
      for (let index = 0; index < 100; index++) outcomes.push(yield* Effect.flip(service.get))
      assert.deepStrictEqual([...new Set(outcomes.map(({ reason }) => reason._tag))], ["InvalidCredentials"])
      const { accountsLocked, logins, loginsRefused } = yield* ledger
      assert.deepStrictEqual(
        { accountsLocked, logins, loginsRefused },
        { accountsLocked: 0, logins: 1, loginsRefused: 1 }
      )
    }),
    { eager: false, password: Redacted.make("wrong"), policy: { fatalFor: undefined } }
  )

  test(
    "is not sent while a token is in force, and the session outlives it",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      yield* sandbox.changePassword("your_username", "another")
      yield* sandbox.revokeAccessTokens
      yield* list
      const { logins, refreshes } = yield* ledger
      assert.deepStrictEqual({ logins, refreshes }, { logins: 1, refreshes: 1 })
    })
  )
})

describe("VideoManagers:", () => {
  const accounts = (videoManagers: Sandbox.Account["videoManagers"]) => ({
    accounts: [{ username: "your_username", password: "your_password", videoManagers }]
  })

  test(
    "one that is not the user's fails with the ids that are",
    Effect.gen(function* () {
      const { message } = yield* TokenService.TokenService.use((service) => Effect.flip(service.get))
      assert.match(message, /unknown-video-manager.*VideoManager 103\. Available: 101, 102\.$/)
      const { logins, refreshes } = yield* ledger
      assert.deepStrictEqual({ logins, refreshes }, { logins: 1, refreshes: 0 })
    }),
    { eager: false, videoManager: 103 }
  )

  test(
    "none at all is told as that",
    Effect.gen(function* () {
      const { reason } = yield* TokenService.TokenService.use((service) => Effect.flip(service.get))
      assert.deepInclude({ ...reason }, { _tag: "ProviderRejected", code: "no-video-manager" })
    }),
    { eager: false, sandbox: accounts([]) }
  )

  test(
    "one that was taken away is told as that, though the session lives",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const service = yield* TokenService.TokenService
      for (const account of accounts([{ id: 101, name: "Marketing" }]).accounts) yield* sandbox.addAccount(account)
      const { reason } = yield* Effect.flip(service.renew)
      assert.match(reason.message, /VideoManager 102\. Available: 101\.$/)
    }),
    { videoManager: 102 }
  )

  test(
    "the token for one is Forbidden at another, and renews nothing",
    Effect.gen(function* () {
      const error = yield* errorOf(get("/v1/vms/102/videos"))
      assert.strictEqual(error._tag, "Forbidden")
      const { logins, refreshes } = yield* ledger
      assert.deepStrictEqual({ logins, refreshes }, { logins: 1, refreshes: 0 })
    })
  )

  for (const validForVideoManagerAs of ["string", "number"] as const) {
    for (const tokenFormat of ["jwt", "jwt-without-exp", "opaque"] as const) {
      test(
        `are kept apart with ids as ${validForVideoManagerAs} and ${tokenFormat} tokens`,
        Effect.gen(function* () {
          const service = yield* TokenService.TokenService
          const { expiresAt, issuedAt, refreshExpiresAt } = yield* service.renew
          assert.approximately(expiresAt - issuedAt, 300_000, 1_000)
          assert.approximately((refreshExpiresAt ?? 0) - issuedAt, 3_600_000, 1_000)
          yield* get("/v1/vms/102/videos")
          assert.strictEqual((yield* ledger).wrongVideoManager, 0)
        }),
        { videoManager: 102, sandbox: { validForVideoManagerAs, tokenFormat } }
      )
    }
  }

  test(
    "are listed",
    Effect.gen(function* () {
      const response = yield* get("/v1/vms")
      const list = yield* Schema.decodeUnknownEffect(Schema.Array(MovingImage.VideoManager))(yield* response.json)
      assert.deepStrictEqual(
        list.map(({ id, name }) => ({ id, name })),
        [
          { id: 101, name: "Marketing" },
          { id: 102, name: "Training" }
        ]
      )
    })
  )
})

describe("an answer that is not quite as documented", () => {
  const changed = (change: object): Sandbox.FaultKind => ({
    _tag: "Rewrite",
    rewrite: (body) => ({ ...(typeof body === "object" ? body : {}), ...change })
  })

  test(
    "without a refresh token is as good: the next renewal is a login",
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      yield* inject("any", changed({ refreshToken: null }), 1)
      assert.isUndefined((yield* service.get).refreshToken)
      yield* service.renew
      const { logins, refreshes } = yield* ledger
      assert.deepStrictEqual({ logins, refreshes }, { logins: 2, refreshes: 0 })
    }),
    { eager: false }
  )

  test(
    "or one that is read as nothing is typed, and the token held is served meanwhile",
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      const held = yield* service.get
      yield* inject((_, path) => path.includes("/auth/"), changed({ accessToken: { a: 1 } }))
      assert.strictEqual((yield* Effect.flip(service.renew)).reason._tag, "MalformedResponse")
      assert.strictEqual(bare(yield* service.get), bare(held))
      yield* list
    })
  )
})

const location = (response: { readonly headers: Readonly<Record<string, string | undefined>> }) =>
  response.headers["location"] ?? ""

describe("a program", () => {
  for (const [name, http] of Object.entries({
    fetch: FetchHttpClient.layer,
    undici: NodeHttpClient.layerUndici,
    "node:http": NodeHttpClient.layerNodeHttp
  })) {
    it.live(`creates, uploads in chunks to another origin without a token, and deletes (${name})`, () =>
      Effect.gen(function* () {
        const created = yield* post("/v1/vms/101/videos", { fileName: "film.mp4" })
        const video = location(created)
        const upload = location(yield* get(`${video}/url`))
        assert.notStrictEqual(new URL(upload).origin, new URL(video).origin)
        for (const chunk of [1, 2]) {
          const request = HttpClientRequest.post(upload).pipe(
            HttpClientRequest.bodyUint8Array(new Uint8Array(3), "application/octet-stream"),
            HttpClientRequest.setHeaders({
              "Mi24-Upload-Total-Chunks": "2",
              "Mi24-Upload-Current-Chunk": String(chunk)
            })
          )
          assert.strictEqual((yield* execute(request)).status, 201)
        }
        assert.strictEqual((yield* execute(HttpClientRequest.delete(video))).status, 404)
        assert.strictEqual((yield* errorOf(get(video)))._tag, "NotFound")
        const { entries } = yield* ledger
        assert.deepStrictEqual(
          entries.filter(({ path }) => path.startsWith("/chunks")).map(({ hadAuthorization }) => hadAuthorization),
          [false, false]
        )
        assert.isTrue(entries.every(({ headers }) => (headers["b3"] ?? headers["traceparent"]) === undefined))
      }).pipe(Effect.provide(Layer.provideMerge(environment(), http)))
    )

    for (const code of [301, 303, 307]) {
      it.live(
        `whose login is redirected (${code}, ${name}) gets MalformedResponse, and the password goes nowhere`,
        () =>
          Effect.gen(function* () {
            const sandbox = yield* Sandbox.MovingImageSandbox
            let contacted = 0
            const server = createServer((_, response) => {
              contacted += 1
              response.end("{}")
            })
            const port = yield* Effect.acquireRelease(
              Effect.callback<number>((resume) => {
                server.listen(0, "127.0.0.1", () => {
                  const address = server.address()
                  resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
                })
              }),
              () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
            )
            const target = `http://127.0.0.1:${port}/v1/vms/auth/login`
            yield* inject("login", { _tag: "Redirect", status: code, location: target })
            const login = MovingImage.authenticate({ username, password }, { baseUrl: sandbox.url })
            assert.strictEqual((yield* Effect.flip(login)).reason._tag, "MalformedResponse")
            assert.strictEqual(contacted, 0)
          }).pipe(Effect.scoped, Effect.provide([Sandbox.layer(), http]))
      )
    }
  }

  test(
    "is told the documented numbers",
    Effect.gen(function* () {
      const root = yield* Effect.flatMap(get("/v1/vms/101/channels"), (response) => response.json)
      const { id } = yield* Schema.decodeUnknownEffect(Schema.Struct({ id: Schema.Int }))(root)
      const child = yield* Effect.flatMap(post("/v1/vms/101/channels", { name: "a" }), (response) => response.text)
      yield* post("/v1/vms/101/channels", { name: "b", parentId: Number(child) })
      const remove = (channel: number | string) =>
        errorOf(execute(HttpClientRequest.delete(`/v1/vms/101/channels/${channel}`)))
      assert.strictEqual((yield* remove(id)).code, 1001)
      assert.strictEqual((yield* remove(child)).code, 1002)
      yield* Sandbox.MovingImageSandbox.use((sandbox) => sandbox.configure({ storageLimitReached: true }))
      const full = yield* errorOf(post("/v1/vms/101/videos", { fileName: "film.mp4" }))
      assert.strictEqual(full.code, 1101)
      assert.match(full.message, /storage limit is reached, so the upload is not possible \(1101\)\. /)
    })
  )

  test(
    "stays within the limit: 100 requests and no 429, and the 101st waits",
    Effect.gen(function* () {
      yield* times(100, list)
      const late = yield* Effect.timeoutOption(list, "100 millis")
      assert.isTrue(Option.isNone(late))
      const { requests, responses } = yield* ledger
      assert.strictEqual(requests, 100)
      assert.isUndefined(responses[429])
    }),
    { rateLimits: { requests: 100 }, sandbox: { rateLimit: 100 } }
  )
})
