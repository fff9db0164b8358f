/** What the client of api.video adds to a request and makes of an answer: everything around the token. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted, Schedule, Schema, type Scope, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AccessToken, ApiVideo, BearerClient, Platform, TokenError, TokenService } from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, type Respond, status, transportError } from "effect-video-auth/testing/RecordingHttpClient"
import { createServer } from "node:http"
import { setImmediate } from "node:timers/promises"

const production = "https://ws.api.video"

type Method = "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "POST" | "PATCH"
type Tokens = Parameters<typeof TokenService.layerTest>[0]
type Answer = Effect.Effect<HttpClientResponse.HttpClientResponse, ApiVideo.ClientError>

interface Setup extends ApiVideo.ClientOptions {
  readonly respond?: Respond | undefined
  readonly tokens?: Tokens | undefined
}

/** The client over a network of which everything is known, with tokens that need none. */
const network = ({ respond = () => json(200, {}), tokens = ["first", "second", "third"], ...options }: Setup = {}) =>
  ApiVideo.layerClient({ rateLimits: false, ...options }).pipe(
    Layer.provideMerge(TokenService.layerTest(tokens)),
    Layer.provideMerge(Recording.layer(respond))
  )
type Network = Layer.Success<ReturnType<typeof network>>

const test = <A, E>(name: string, body: Effect.Effect<A, E, Network | Scope.Scope>, setup?: Setup) =>
  it.effect(name, () => Effect.provide(body, network(setup)))

const requests = Recording.RecordingHttpClient.use((recording) => recording.requests)
const sent = Effect.map(requests, (all) => all.length)
const calls = Effect.flatten(TokenService.TestCalls)
const callNames = Effect.map(calls, (all) => all.map((call) => call._tag))
const execute = (request: HttpClientRequest.HttpClientRequest) =>
  ApiVideo.ApiVideo.use((api): Answer => api.execute(request))
const get = (url: string) => execute(HttpClientRequest.get(url))
const make = (method: Method, url = "/videos") => execute(HttpClientRequest.make(method)(url))
const carried = Effect.map(requests, (all) =>
  all.map(({ authorization }) => (authorization === undefined ? undefined : Redacted.value(authorization)))
)

/** The api.video error of an effect that fails with one. */
const reasonOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, ApiVideo.ClientError, R>) {
  const error = yield* Effect.flip(effect)
  return error._tag === "ApiVideoError" && "problem" in error.reason ? error.reason : yield* Effect.die(error)
})
const tokenErrorOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, ApiVideo.ClientError, R>) {
  const error = yield* Effect.flip(effect)
  return error._tag === "TokenError" ? error.reason : yield* Effect.die(error)
})

/** Lets everything happen that can happen without time passing; bodies are read by promises. */
const settled = Effect.forEach(Array.from({ length: 10 }), () => Effect.promise(() => setImmediate()), {
  discard: true
})
const after = (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), settled)

const started = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.tap(Effect.forkChild(effect, { startImmediately: true }), () => settled)

const once = new TextEncoder().encode("once")
const streamed = (method: "POST" | "PUT", url = "/videos") =>
  HttpClientRequest.make(method)(url).pipe(HttpClientRequest.bodyStream(Stream.make(once)))

const problem = (slug: string, code: number, more: object = {}) =>
  json(code, { type: `https://docs.api.video/reference/${slug}`, title: `title of ${slug}`, status: code, ...more })

describe("a request", () => {
  test(
    "goes to the environment's URL, asks for JSON and carries the token",
    Effect.gen(function* () {
      yield* get("/videos?pageSize=10")
      const [request] = yield* requests
      assert.strictEqual(request?.url, `${production}/videos?pageSize=10`)
      assert.strictEqual(request?.headers["accept"], "application/json")
      assert.deepStrictEqual(yield* carried, ["Bearer first"])
    })
  )

  test(
    "keeps the path of a base URL, with a slash at its end or without",
    Effect.gen(function* () {
      yield* get("/videos")
      yield* get("videos")
      assert.deepStrictEqual(
        (yield* requests).map(({ url }) => url),
        ["https://proxy.example/api/videos", "https://proxy.example/api/videos"]
      )
    }),
    { baseUrl: "https://proxy.example/api/" }
  )

  test(
    "to an absolute URL of the same origin, as in a pagination link, carries the token",
    Effect.gen(function* () {
      yield* get(`${production}/videos?currentPage=2&pageSize=25`)
      const [request] = yield* requests
      assert.strictEqual(request?.url, `${production}/videos?currentPage=2&pageSize=25`)
      assert.strictEqual(request?.headers["accept"], "application/json")
      assert.deepStrictEqual(yield* carried, ["Bearer first"])
    })
  )

  for (const url of [
    "https://vod.api.video/vod/vi1/hls/manifest.m3u8",
    "http://ws.api.video/videos",
    "https://ws.api.video:8443/videos",
    "https://ws.api.video.evil.example/videos",
    "https://ws.api.video@evil.example/videos"
  ]) {
    test(
      `to another origin carries no token and says nothing of the program: ${url}`,
      Effect.gen(function* () {
        yield* get(url)
        assert.deepStrictEqual(yield* carried, [undefined])
        assert.deepStrictEqual(yield* callNames, [])
        assert.isUndefined((yield* requests)[0]?.headers["av-origin-app"])
      }),
      { application: { name: "app", version: "1" } }
    )
  }

  test(
    "with an Authorization of its own keeps it",
    Effect.gen(function* () {
      yield* execute(HttpClientRequest.get("/videos").pipe(HttpClientRequest.setHeader("authorization", "Bearer own")))
      assert.deepStrictEqual(yield* carried, ["Bearer own"])
      assert.deepStrictEqual(yield* callNames, [])
    })
  )

  test(
    "announces no trace to the third party",
    Effect.gen(function* () {
      yield* Effect.withSpan(get("/videos"), "test")
      const { b3, traceparent } = (yield* requests)[0]?.headers ?? {}
      assert.deepStrictEqual([b3, traceparent], [undefined, undefined])
    })
  )

  test(
    "asks for a token that lasts as long as it says",
    Effect.gen(function* () {
      yield* Effect.provideService(get("/videos"), BearerClient.MinimumValidity, Duration.minutes(20))
      yield* get("/videos")
      assert.deepStrictEqual(yield* calls, [{ _tag: "getValidFor", duration: Duration.minutes(20) }, { _tag: "get" }])
    })
  )
})

const refused: Respond = (request) =>
  request.headers["authorization"] === "Bearer second"
    ? json(200, { ok: true })
    : problem("authentication-invalid-access-token", 401)

const refusesAll: Respond = () => problem("authentication-invalid-access-token", 401)

const expired = new AccessToken.AccessToken({
  accessToken: Redacted.make("expired"),
  tokenType: "Bearer",
  issuedAt: -3_600_000,
  expiresAt: 0,
  generation: 1
})

describe("a 401", () => {
  for (const [name, request] of Object.entries({
    GET: HttpClientRequest.get("/videos"),
    "POST with JSON": HttpClientRequest.post("/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ title: "a" })),
    "POST with a form": HttpClientRequest.post("/videos/vi1/source").pipe(
      HttpClientRequest.bodyFormData(new FormData())
    ),
    DELETE: HttpClientRequest.delete("/videos/vi1")
  })) {
    test(
      `to ${name} is recovered with a newer token`,
      Effect.gen(function* () {
        const response = yield* execute(request)
        assert.deepStrictEqual(yield* response.json, { ok: true })
        assert.deepStrictEqual(yield* carried, ["Bearer first", "Bearer second"])
        assert.deepStrictEqual(yield* callNames, ["get", "reject"])
      }),
      { respond: refused }
    )
  }

  test(
    "to a stream renews the token and is BodyNotRepeatable: what was read cannot be sent again",
    Effect.gen(function* () {
      const reason = yield* tokenErrorOf(execute(streamed("POST")))
      assert.strictEqual(reason._tag, "BodyNotRepeatable")
      assert.strictEqual(yield* sent, 1)
      assert.deepStrictEqual(yield* callNames, ["get", "reject"])
    }),
    { respond: refused }
  )

  test(
    "to a fresh token as well is TokenRejected, once",
    Effect.gen(function* () {
      const reason = yield* tokenErrorOf(get("/videos"))
      assert.deepInclude(reason, {
        _tag: "TokenRejected",
        status: 401,
        type: "authentication-invalid-access-token"
      })
      assert.strictEqual(yield* sent, 2)
    }),
    { respond: refusesAll }
  )

  test(
    "to a token that is past its time, which cannot be replaced, is TokenExpired",
    Effect.gen(function* () {
      const reason = yield* tokenErrorOf(get("/videos"))
      assert.deepInclude(reason, { _tag: "TokenExpired", status: 401, expiredAt: 0 })
    }),
    { respond: refusesAll, tokens: [expired] }
  )

  test(
    "whose renewal fails, fails with that",
    Effect.gen(function* () {
      assert.strictEqual((yield* tokenErrorOf(get("/videos")))._tag, "AccountSuspended")
      assert.strictEqual(yield* sent, 1)
    }),
    { respond: refusesAll, tokens: ["first", new TokenError.AccountSuspended({ status: 403 })] }
  )

  test(
    "about scope renews nothing and is Unauthorized",
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf(get("/videos")))._tag, "Unauthorized")
      assert.deepStrictEqual(yield* callNames, ["get"])
    }),
    { respond: () => status(401, { "www-authenticate": 'Bearer error="insufficient_scope"' }) }
  )

  test(
    "of another origin renews nothing and is Unauthorized",
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf(get("https://other.example/")))._tag, "Unauthorized")
      assert.deepStrictEqual(yield* callNames, [])
    }),
    { respond: refusesAll }
  )

  test(
    "is recovered where the HttpClient makes errors of statuses",
    Effect.gen(function* () {
      const { client, requests } = Recording.make(refused)
      const response = yield* Effect.provide(
        get("/videos"),
        ApiVideo.layerClient().pipe(
          Layer.provide(Layer.succeed(HttpClient.HttpClient, HttpClient.filterStatusOk(client))),
          Layer.provide(TokenService.layerTest(["first", "second"]))
        )
      )
      assert.strictEqual(response.status, 200)
      assert.strictEqual((yield* requests).length, 2)
    })
  )
})

describe("a 403", () => {
  test(
    "renews nothing",
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf(get("/videos")))._tag, "Forbidden")
      assert.deepStrictEqual(yield* callNames, ["get"])
      assert.strictEqual(yield* sent, 1)
    }),
    { respond: () => problem("authorization-suspended-account", 403) }
  )
})

const uploadToken = "to1tcmSFHeYY5KzyhOqVKMKb"

const delegated = {
  "in the URL": HttpClientRequest.post(`/upload?token=${uploadToken}`),
  "in the URL, absolute": HttpClientRequest.post(`${production}/upload?token=${uploadToken}`),
  "among the parameters": HttpClientRequest.post("/upload").pipe(HttpClientRequest.setUrlParam("token", uploadToken)),
  "among the parameters, redacted": HttpClientRequest.post("/upload").pipe(
    HttpClientRequest.setUrlParam("token", Redacted.make(uploadToken))
  )
}

describe("an upload with an upload token", () => {
  for (const [where, request] of Object.entries(delegated)) {
    test(
      `${where} goes without Authorization, with the token`,
      Effect.gen(function* () {
        yield* execute(request)
        assert.deepStrictEqual(yield* carried, [undefined])
        assert.strictEqual((yield* requests)[0]?.url, `${production}/upload?token=${uploadToken}`)
        assert.deepStrictEqual(yield* callNames, [])
      })
    )

    test(
      `${where}: its 401 is Unauthorized, renews nothing and does not repeat it`,
      Effect.gen(function* () {
        const reason = yield* reasonOf(execute(request))
        assert.strictEqual(reason._tag, "Unauthorized")
        assert.deepStrictEqual(yield* callNames, [])
        assert.strictEqual(yield* sent, 1)
        assert.notInclude(reason.message, uploadToken)
        assert.strictEqual(reason.path, "/upload")
        assert.strictEqual(reason.problem.title, "no such token: <redacted>")
      }),
      { respond: () => json(401, { title: `no such token: ${uploadToken}` }) }
    )

    test(
      `${where}: a connection that breaks does not tell the token`,
      Effect.gen(function* () {
        const error = yield* Effect.flip(execute(request))
        assert.instanceOf(error, HttpClientError.HttpClientError)
        assert.notInclude(error.message, uploadToken)
      }),
      { respond: (request) => transportError("ECONNRESET")(request) }
    )
  }

  test(
    "keeps the other parameters of its URL",
    Effect.gen(function* () {
      yield* execute(HttpClientRequest.post(`/upload?a=1&token=${uploadToken}&b=2`))
      const url = new URL((yield* requests)[0]?.url ?? "")
      assert.deepStrictEqual(Object.fromEntries(url.searchParams), { a: "1", b: "2", token: uploadToken })
    })
  )

  test(
    "is another thing than POST /upload without one, or GET /upload",
    Effect.gen(function* () {
      yield* make("POST", "/upload")
      yield* make("GET", `/upload?token=${uploadToken}`)
      yield* make("POST", `/videos?token=${uploadToken}`)
      assert.deepStrictEqual(yield* carried, ["Bearer first", "Bearer first", "Bearer first"])
    })
  )
})

describe("the upload token in a path", () => {
  for (const url of [`/upload-tokens/${uploadToken}`, `${production}/upload-tokens/${uploadToken}?a=b`]) {
    test(
      `is neither in the message nor in the problem: ${url.startsWith("/") ? "relative" : "absolute"}`,
      Effect.gen(function* () {
        const reason = yield* reasonOf(get(url))
        assert.strictEqual(reason.path, "/upload-tokens/<redacted>")
        assert.notInclude(reason.message, uploadToken)
        assert.strictEqual(reason.problem.title, "<redacted> was not found")
      }),
      { respond: () => json(404, { title: `${uploadToken} was not found` }) }
    )
  }

  test(
    "is not in what a broken connection says",
    Effect.gen(function* () {
      const error = yield* Effect.flip(get(`/upload-tokens/${uploadToken}`))
      assert.notInclude(error.message, uploadToken)
    }),
    { respond: (request) => transportError("ECONNRESET")(request), retry: false }
  )
})

const reasons: ReadonlyArray<readonly [status: number, reason: ApiVideoError.Reason["_tag"], isRetryable: boolean]> = [
  [400, "BadRequest", false],
  [403, "Forbidden", false],
  [404, "NotFound", false],
  [405, "MethodNotAllowed", false],
  [408, "UnexpectedStatus", true],
  [409, "Conflict", false],
  [410, "UnexpectedStatus", false],
  [418, "UnexpectedStatus", false],
  [422, "UnexpectedStatus", false],
  [429, "RateLimited", true],
  [500, "ServerError", true],
  [502, "ServerError", true],
  [503, "ServerError", true],
  [504, "ServerError", true],
  [599, "ServerError", true]
]

describe("an answer is an error by its status:", () => {
  for (const [code, tag, isRetryable] of reasons) {
    test(
      `${code} is ${tag}`,
      Effect.gen(function* () {
        const error = yield* Effect.flip(get("/videos/vi1"))
        assert.instanceOf(error, ApiVideoError.ApiVideoError)
        const reason = yield* reasonOf(Effect.fail(error))
        const { method, path, problem, status } = reason
        assert.strictEqual(reason._tag, tag)
        assert.strictEqual(error.isRetryable, isRetryable)
        assert.deepStrictEqual({ method, path, status }, { method: "GET", path: "/videos/vi1", status: code })
        assert.strictEqual(problem.title, "title of a")
        assert.include(error.message, `GET /videos/vi1: ${code}`)
      }),
      { retry: false, rateLimitRetries: 0, respond: () => problem("a", code) }
    )
  }

  for (const code of [301, 302, 303, 307, 308]) {
    for (const method of ["GET", "DELETE", "POST"] as const) {
      test(
        `${code} to a ${method} is Redirected`,
        Effect.gen(function* () {
          const error = yield* Effect.flip(make(method, "/videos/vi1"))
          assert.strictEqual(error._tag === "ApiVideoError" ? error.reason._tag : error._tag, "Redirected")
          assert.include(error.message, `${code}: the server redirects to https://other.example.com/a`)
          assert.notInclude(error.message, "secret")
          assert.strictEqual(yield* sent, 1)
        }),
        { respond: () => status(code, { location: "https://other.example.com/a?token=secret" }) }
      )
    }
  }

  for (const code of [200, 201, 202, 206, 304]) {
    test(
      `${code} is none`,
      Effect.gen(function* () {
        assert.strictEqual((yield* get("/videos")).status, code)
      }),
      { respond: () => status(code) }
    )
  }

  test(
    "its problems are kept, the first one at the top",
    Effect.gen(function* () {
      const { message, problem } = yield* reasonOf(get("/videos"))
      assert.deepStrictEqual(
        problem.problems?.map(({ name }) => name),
        ["page", "pageSize"]
      )
      assert.strictEqual(problem.name, "page")
      assert.strictEqual(message, "GET /videos: 400: out of range (page), and 1 more. Correct the request.")
    }),
    {
      respond: () =>
        json(400, {
          title: "out of range",
          name: "page",
          problems: [
            { title: "out of range", name: "page" },
            { title: "out of range", name: "pageSize" }
          ]
        })
    }
  )

  test(
    "it can be handled by its reason",
    Effect.gen(function* () {
      const handled = yield* get("/videos/vi1").pipe(
        Effect.as("found"),
        Effect.catchReason("ApiVideoError", "NotFound", (reason) => Effect.succeed(reason.path))
      )
      assert.strictEqual(handled, "/videos/vi1")
    }),
    { respond: () => problem("resource-not-found", 404) }
  )

  test(
    "it crosses a wire as JSON",
    Effect.gen(function* () {
      const error = yield* Effect.flip(get("/videos"))
      const codec = Schema.toCodecJson(ApiVideoError.ApiVideoError)
      if (error._tag !== "ApiVideoError") return yield* Effect.die(error)
      const wire = JSON.stringify(yield* Schema.encodeEffect(codec)(error))
      const back = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(wire))
      assert.deepStrictEqual({ ...back.reason }, { ...error.reason })
      assert.strictEqual(back.message, error.message)
    }),
    { rateLimitRetries: 0, respond: () => json(429, { title: "slow" }, { "x-ratelimit-retry-after": "3" }) }
  )

  test(
    "what the server says in it stays on one line, and ends",
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(get("/videos"))
      assert.include(message, "no [INFO] all is well [2J aaa")
      assert.isBelow(message.length, 2_000)
    }),
    { respond: () => json(400, { title: `no\r\n[INFO] all is well\u001b[2J ${"a".repeat(60_000)}` }) }
  )
})

const bodies: Readonly<Record<string, () => Response>> = {
  HTML: () => Recording.html(404),
  "{}": () => json(404, {}),
  "no body": () => status(404),
  "truncated JSON": () => new Response('{"title": "half', { status: 404 }),
  "an array": () => json(404, [1]),
  null: () => json(404, null),
  "a number": () => json(404, 5),
  "members of wrong types": () => json(404, { title: true, type: {}, name: [], detail: null, problems: "many" })
}

describe("a body that is no problem document leaves the problem empty:", () => {
  for (const [name, respond] of Object.entries(bodies)) {
    test(
      name,
      Effect.gen(function* () {
        const reason = yield* reasonOf(get("/videos"))
        assert.strictEqual(reason._tag, "NotFound")
        assert.deepStrictEqual(JSON.parse(JSON.stringify(reason.problem)), {})
        const why = name === "HTML" || name === "truncated JSON" ? ": the body is not JSON" : ""
        assert.strictEqual(reason.message, `GET /videos: 404${why}. Check the id, the path and the environment.`)
      }),
      { respond }
    )
  }

  test(
    "without a type it is kept as it is",
    Effect.gen(function* () {
      const { problem } = yield* reasonOf(get("/videos"))
      assert.strictEqual(problem.type, undefined)
      assert.strictEqual(problem.title, "This parameter is out of the allowed range of values.")
    }),
    { respond: () => json(400, { title: "This parameter is out of the allowed range of values.", name: "page" }) }
  )

  test(
    "the status is that of HTTP, not the absurd one of the body",
    Effect.gen(function* () {
      const reason = yield* reasonOf(get("/videos"))
      assert.strictEqual(reason._tag, "NotFound")
      assert.strictEqual(reason.status, 404)
    }),
    { respond: () => json(404, { title: "lorem ipsum", status: 85_925_135 }) }
  )

  test(
    "one that never ends does not hold the error back",
    Effect.gen(function* () {
      const fiber = yield* started(reasonOf(get("/videos")))
      yield* after("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "NotFound")
    }),
    { respond: () => new Response(new ReadableStream(), { status: 404 }) }
  )
})

describe("what a server repeats of a credential is removed:", () => {
  test(
    "the bearer, wherever it is",
    Effect.gen(function* () {
      const { message, problem } = yield* reasonOf(get("/videos"))
      assert.notInclude(message + JSON.stringify(problem), "first")
      assert.strictEqual(problem.title, "Bearer <redacted> is not good")
      assert.strictEqual(problem.problems?.[0]?.detail, "<redacted>")
    }),
    {
      respond: () =>
        json(400, {
          type: "https://docs.api.video/first",
          title: "Bearer first is not good",
          name: "first",
          detail: "first",
          problems: [{ detail: "first" }]
        })
    }
  )

  it.effect("the key of Basic authentication, in clear and as it was sent", () =>
    Effect.gen(function* () {
      const { problem } = yield* reasonOf(get("/videos"))
      assert.strictEqual(problem.title, "<redacted> and <redacted>")
    }).pipe(
      Effect.provide(
        ApiVideo.layerBasic({ apiKey: Redacted.make("key-of-mine") }).pipe(
          Layer.provide(
            Layer.succeed(
              HttpClient.HttpClient,
              Recording.make(() => json(400, { title: `key-of-mine and ${btoa("key-of-mine:")}` })).client
            )
          )
        )
      )
    )
  )
})

const idempotent: ReadonlyArray<Method> = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
const others: ReadonlyArray<Method> = ["POST", "PATCH"]

const failsWith =
  (cause: unknown): Respond =>
  (request) =>
    Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) }))
const coded = (code: string, cause?: unknown) => Object.assign(new Error(code, { cause }), { code })

/** Failures that may be over the next moment, after the request may have been carried out. */
const transient: Readonly<Record<string, Respond>> = {
  408: () => status(408),
  500: () => status(500),
  502: () => Recording.html(502),
  503: () => status(503),
  504: () => status(504),
  "a broken connection": transportError("ECONNRESET"),
  "a socket closed by the other side": failsWith(new TypeError("fetch failed", { cause: coded("UND_ERR_SOCKET") }))
}

/** Failures of a connection that was never made. */
const unconnected: Readonly<Record<string, Respond>> = {
  ECONNREFUSED: transportError("ECONNREFUSED"),
  ENOTFOUND: transportError("ENOTFOUND"),
  EAI_AGAIN: transportError("EAI_AGAIN"),
  UND_ERR_CONNECT_TIMEOUT: transportError("UND_ERR_CONNECT_TIMEOUT"),
  "connect ETIMEDOUT": failsWith(Object.assign(coded("ETIMEDOUT"), { syscall: "connect" })),
  "connect EHOSTUNREACH": failsWith(Object.assign(coded("EHOSTUNREACH"), { syscall: "connect" })),
  "a nested cause": failsWith(new TypeError("fetch failed", { cause: coded("ECONNREFUSED") })),
  "a deeply nested cause": failsWith(coded("OUTER", coded("MIDDLE", coded("ENOTFOUND")))),
  "an AggregateError": failsWith(new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")])),
  "an AggregateError within": failsWith(
    new TypeError("fetch failed", { cause: new AggregateError([coded("ECONNREFUSED")]) })
  )
}

/** How often a request that keeps failing is sent. */
const attempts = (request: Effect.Effect<unknown, unknown, Network>) =>
  Effect.gen(function* () {
    const fiber = yield* started(Effect.flip(request))
    for (let index = 0; index < 5; index++) yield* after("10 seconds")
    yield* Fiber.join(fiber)
    return yield* sent
  })

describe("is sent three times where it keeps failing:", () => {
  for (const [name, respond] of Object.entries(transient)) {
    for (const method of idempotent) {
      test(
        `${method}, ${name}`,
        Effect.gen(function* () {
          assert.strictEqual(yield* attempts(make(method)), 3)
        }),
        { respond }
      )
    }
  }
  for (const [name, respond] of Object.entries(unconnected)) {
    for (const method of ["GET", "POST", "PATCH"] as const) {
      test(
        `${method}, ${name}`,
        Effect.gen(function* () {
          assert.strictEqual(yield* attempts(make(method)), 3)
        }),
        { respond }
      )
    }
  }
})

describe("is sent once:", () => {
  for (const [name, respond] of Object.entries(transient)) {
    for (const method of others) {
      test(
        `${method}, ${name}`,
        Effect.gen(function* () {
          assert.strictEqual(yield* attempts(make(method)), 1)
        }),
        { respond }
      )
    }
  }

  test(
    "a read that timed out of ETIMEDOUT may have been carried out: POST",
    Effect.gen(function* () {
      assert.strictEqual(yield* attempts(make("POST")), 1)
    }),
    { respond: failsWith(Object.assign(coded("ETIMEDOUT"), { syscall: "read" })) }
  )

  for (const [name, respond] of Object.entries({ ...transient, ...unconnected })) {
    test(
      `a stream, ${name}`,
      Effect.gen(function* () {
        assert.strictEqual(yield* attempts(execute(streamed("PUT"))), 1)
      }),
      { respond }
    )
  }

  for (const code of [400, 404, 409, 418, 429]) {
    test(
      `GET, ${code}`,
      Effect.gen(function* () {
        assert.strictEqual(yield* attempts(get("/videos")), 1)
      }),
      { respond: () => status(code), rateLimitRetries: 0 }
    )
  }

  test(
    "GET, 503, where retry is off",
    Effect.gen(function* () {
      assert.strictEqual(yield* attempts(get("/videos")), 1)
    }),
    { respond: () => status(503), retry: false }
  )

  test(
    "GET whose token cannot be had",
    Effect.gen(function* () {
      const error = yield* Effect.flip(get("/videos"))
      assert.strictEqual(error._tag, "TokenError")
      assert.strictEqual(yield* sent, 0)
      assert.deepStrictEqual(yield* callNames, ["get"])
    }),
    { tokens: [new TokenError.ProviderUnavailable({ failure: "connect" })] }
  )
})

describe("a retry", () => {
  test(
    "follows the schedule that was given",
    Effect.gen(function* () {
      assert.strictEqual(yield* attempts(get("/videos")), 6)
    }),
    { respond: () => status(503), retry: Schedule.recurs(5) }
  )

  test(
    "waits as long as Retry-After says",
    Effect.gen(function* () {
      const fiber = yield* started(get("/videos"))
      yield* after("6999 millis")
      assert.strictEqual(yield* sent, 1)
      yield* after("1 millis")
      assert.strictEqual(yield* sent, 2)
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
    }),
    { respond: (_, n) => (n === 1 ? status(503, { "retry-after": "7" }) : status(200)) }
  )

  test(
    "does not wait where Retry-After asks for more than a minute",
    Effect.gen(function* () {
      const error = yield* Effect.flip(get("/videos"))
      assert.strictEqual(yield* sent, 1)
      assert.deepInclude(error, { _tag: "ApiVideoError", isRetryable: true })
    }),
    { respond: () => status(503, { "retry-after": "61" }) }
  )

  test(
    "waits longer than Retry-After says where the schedule does",
    Effect.gen(function* () {
      const fiber = yield* started(get("/videos"))
      yield* after("9 seconds")
      assert.strictEqual(yield* sent, 1)
      yield* after("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
    }),
    {
      retry: Schedule.spaced("10 seconds"),
      respond: (_, n) => (n === 1 ? status(503, { "retry-after": "7" }) : status(200))
    }
  )

  test(
    "asks for the token that is valid then",
    Effect.gen(function* () {
      const fiber = yield* started(get("/videos"))
      yield* TokenService.TokenService.use((service) => service.renew)
      yield* after("10 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* carried, ["Bearer first", "Bearer second"])
    }),
    { respond: (_, n) => status(n === 1 ? 503 : 200) }
  )

  it.live("follows a connection that a real socket refused, whatever the method", () =>
    Effect.gen(function* () {
      let connections = 0
      const counting = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, (client) =>
          HttpClient.transformResponse(client, (effect) =>
            Effect.suspend(() => {
              connections += 1
              return effect
            })
          )
        )
      ).pipe(Layer.provide(NodeHttpClient.layerUndici))
      const port = yield* closedPort
      const error = yield* Effect.flip(make("POST")).pipe(
        Effect.provide(
          ApiVideo.layerClient({ baseUrl: `http://127.0.0.1:${port}`, retry: Schedule.recurs(2) }).pipe(
            Layer.provide([counting, TokenService.layerTest(["first"])])
          )
        )
      )
      assert.strictEqual(error._tag, "HttpClientError")
      assert.strictEqual(connections, 3)
    })
  )
})

const closedPort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const limitHeaders = (limit: number, remaining: number, retryAfter: number) => ({
  "x-ratelimit-limit": String(limit),
  "x-ratelimit-remaining": String(remaining),
  "x-ratelimit-retry-after": String(retryAfter)
})

/** Sends many at once; how many of them go out before a time has passed is the limit. */
const burst = (method: Method, url: string, count: number) =>
  started(
    Effect.all(
      Array.from({ length: count }, () => make(method, url)),
      { concurrency: "unbounded" }
    )
  )

describe("limits requests per minute", () => {
  const classes = {
    uploads: [
      ["POST", "/videos/vi1/source"],
      ["POST", `/upload?token=${uploadToken}`]
    ],
    writes: [
      ["POST", "/videos"],
      ["PATCH", "/videos/vi1"],
      ["PUT", "/live-streams/li1/complete"],
      ["DELETE", "/videos/vi1"],
      ["POST", "/videos/vi1/thumbnail"]
    ],
    reads: [
      ["GET", "/videos"],
      ["HEAD", "/videos"],
      ["GET", "/videos/vi1/source"]
    ]
  } as const
  for (const environment of ["sandbox", "production"] as const) {
    for (const name of ["uploads", "writes", "reads"] as const) {
      const limit = Sandbox.documentedRateLimits[environment][name]
      for (const [method, url] of classes[name]) {
        test(
          `${environment}, ${name}: ${limit} of ${method} ${url.replace(uploadToken, "…")}`,
          Effect.gen(function* () {
            yield* burst(method, url, limit + 5)
            assert.strictEqual(yield* sent, limit)
            yield* after("1 minute")
            assert.strictEqual(yield* sent, limit + 5)
          }),
          { environment, rateLimits: undefined }
        )
      }
    }
  }

  test(
    "by class, each of its own",
    Effect.gen(function* () {
      yield* burst("GET", "/videos", 10)
      yield* burst("POST", "/videos", 10)
      yield* burst("POST", "/videos/vi1/source", 10)
      const methods = (yield* requests).map(({ method, url }) => `${method} ${new URL(url).pathname}`)
      assert.deepStrictEqual(methods, [
        ...Array.from({ length: 3 }, () => "GET /videos"),
        ...Array.from({ length: 2 }, () => "POST /videos"),
        "POST /videos/vi1/source"
      ])
    }),
    { rateLimits: { uploads: 1, writes: 2, reads: 3 } }
  )

  test(
    "to none where that is switched off",
    Effect.gen(function* () {
      yield* burst("GET", "/videos", 600)
      assert.strictEqual(yield* sent, 600)
    }),
    { rateLimits: false }
  )

  test(
    "as the answers say, once there is one",
    Effect.gen(function* () {
      yield* get("/videos")
      yield* after("1 minute")
      yield* burst("GET", "/videos", 20)
      assert.strictEqual(yield* sent, 1 + 10)
    }),
    { rateLimits: undefined, respond: () => json(200, {}, limitHeaders(10, 100, 60)) }
  )

  test(
    "and in the server's own window, whose end the answers give as X-RateLimit-Retry-After",
    Effect.gen(function* () {
      yield* get("/videos")
      yield* burst("GET", "/videos", 199)
      assert.strictEqual(yield* sent, 100)
      yield* after("4999 millis")
      assert.strictEqual(yield* sent, 100)
      yield* after("1 millis")
      assert.strictEqual(yield* sent, 200)
    }),
    {
      environment: "sandbox",
      rateLimits: undefined,
      respond: (_, n) => json(200, {}, limitHeaders(100, 99 - ((n - 1) % 100), 5))
    }
  )

  test(
    "and holds the next request until the reset where nothing remains",
    Effect.gen(function* () {
      yield* get("/videos")
      const fiber = yield* started(get("/videos"))
      yield* after("39 seconds")
      assert.strictEqual(yield* sent, 1)
      yield* after("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* sent, 2)
    }),
    { rateLimits: undefined, respond: (_, n) => json(200, {}, limitHeaders(100, n === 1 ? 0 : 99, 40)) }
  )

  for (const reset of ["1700000000", "1700000000, 1700000000", "soon"]) {
    test(
      `and for a minute at most where the answer says ${reset} for the seconds until the reset`,
      Effect.gen(function* () {
        yield* get("/videos")
        const fiber = yield* started(get("/videos"))
        yield* after("1 minute")
        yield* Fiber.join(fiber)
      }),
      {
        rateLimits: undefined,
        respond: () => json(200, {}, { ...limitHeaders(100, 0, 0), "x-ratelimit-retry-after": reset })
      }
    )
  }

  test(
    "and leaves the answer that says so printing no cookie",
    Effect.gen(function* () {
      const { headers } = yield* get("/videos")
      assert.notInclude(JSON.stringify(headers), "private")
    }),
    {
      rateLimits: undefined,
      respond: () => json(200, {}, { "x-ratelimit-retry-after": "1700000000", "set-cookie": "session=private" })
    }
  )

  it.effect("through a limiter that several clients share", () =>
    Effect.gen(function* () {
      const rateLimiter = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory)
      const { client, requests } = Recording.make(() => status(200))
      const one = ApiVideo.layerClient({ rateLimiter, rateLimits: { uploads: 1, writes: 1, reads: 4 } }).pipe(
        Layer.provide([Layer.succeed(HttpClient.HttpClient, client), TokenService.layerTest(["first"])])
      )
      for (let index = 0; index < 2; index++) {
        yield* Effect.provide(burst("GET", "/videos", 3), Layer.fresh(one))
      }
      assert.strictEqual((yield* requests).length, 4)
    })
  )
})

it.effect("what another server says of its limits holds no request to the platform back", () =>
  Effect.gen(function* () {
    const { client } = Recording.make((request) =>
      request.url.startsWith("https://cdn.example.com") ? json(200, {}, limitHeaders(1, 0, 3_000)) : json(200, {})
    )
    const layer = ApiVideo.layerClient().pipe(
      Layer.provide(TokenService.layerTest(["test"])),
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
    )
    yield* Effect.gen(function* () {
      const api = yield* ApiVideo.ApiVideo
      yield* api.get("https://cdn.example.com/thumbnail.jpg")
      // It would wait for ever here: nobody turns the clock.
      yield* api.get("/videos")
    }).pipe(Effect.provide(layer))
  })
)

describe("a 429", () => {
  for (const header of ["retry-after", "x-ratelimit-retry-after"]) {
    for (const value of ["61", "3600", "1700000000"]) {
      test(
        `with ${header}: ${value} is not waited for`,
        Effect.gen(function* () {
          const reason = yield* reasonOf(get("/videos"))
          assert.strictEqual(reason._tag, "RateLimited")
          assert.strictEqual(yield* sent, 1)
        }),
        { rateLimits: undefined, respond: () => status(429, { [header]: value }) }
      )
    }
  }

  test(
    "waits the seconds of its header and goes again",
    Effect.gen(function* () {
      const fiber = yield* started(get("/videos"))
      yield* after("39999 millis")
      assert.strictEqual(yield* sent, 1)
      yield* after("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      assert.strictEqual(yield* sent, 2)
    }),
    {
      rateLimits: undefined,
      respond: (_, n) => (n === 1 ? json(429, {}, limitHeaders(100, 0, 40)) : json(200, {}, limitHeaders(100, 99, 60)))
    }
  )

  for (const method of ["GET", "POST"] as const) {
    for (const retries of [0, 1, 3, undefined]) {
      const tries = (retries ?? 3) + 1
      test(
        `${method} that stays is RateLimited after ${tries} tries (rateLimitRetries: ${retries ?? "default"})`,
        Effect.gen(function* () {
          const fiber = yield* started(reasonOf(make(method)))
          for (let index = 0; index < 10; index++) yield* after("10 seconds")
          const reason = yield* Fiber.join(fiber)
          assert.strictEqual(yield* sent, tries)
          if (reason._tag !== "RateLimited") return yield* Effect.die(reason)
          const { limit, remaining, retryAfter } = reason
          assert.deepStrictEqual(
            { limit, remaining, retryAfter },
            { limit: 100, remaining: 0, retryAfter: Duration.seconds(10) }
          )
          assert.include(reason.message, "Try again in 10 s")
        }),
        {
          rateLimits: undefined,
          rateLimitRetries: retries,
          respond: () => json(429, {}, limitHeaders(100, 0, 10))
        }
      )
    }
  }

  it.live("is read to its end before it goes again: a pool of one connection is not blocked", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      yield* sandbox.inject({
        on: "api",
        times: 2,
        kind: { _tag: "Status", status: 429, body: "x".repeat(300_000), headers: { "x-ratelimit-retry-after": "0.01" } }
      })
      const live = ApiVideo.layerClient({ baseUrl: sandbox.url, retry: false }).pipe(
        Layer.provideMerge(ApiVideo.layerToken({ baseUrl: sandbox.url, apiKey: Redacted.make("your_api_key") })),
        Layer.provide(NodeHttpClient.layerUndiciOptions({ connections: 1 }))
      )
      const response = yield* Effect.provide(get("/videos"), live)
      assert.strictEqual(response.status, 200)
      assert.strictEqual((yield* sandbox.ledger).requests, 3)
    }).pipe(Effect.provide(Sandbox.layer()))
  )
})

describe("a circuit breaker", () => {
  it.effect("opens after failures of the server, and rejects without a request", () =>
    Effect.gen(function* () {
      const breaker = yield* Effect.provide(
        CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(2), openDuration: "1 minute" }),
        CircuitBreaker.layerStoreMemory()
      )
      const setup = network({
        retry: false,
        respond: () => status(503),
        transformClient: (client) => HttpClient.withCircuitBreaker(client, { breaker })
      })
      yield* Effect.gen(function* () {
        const errors = [yield* Effect.flip(get("/a")), yield* Effect.flip(get("/b")), yield* Effect.flip(get("/c"))]
        assert.deepStrictEqual(
          errors.map((error) => error._tag),
          ["ApiVideoError", "ApiVideoError", "HttpClientError"]
        )
        assert.strictEqual(yield* sent, 2)
      }).pipe(Effect.provide(setup))
    })
  )
})

const silent: Respond = () => Effect.never

describe("an attempt that is not answered", () => {
  const timesOut = (
    name: string,
    request: HttpClientRequest.HttpClientRequest,
    limit: Duration.Input | undefined,
    setting?: Duration.Duration
  ) =>
    test(
      name,
      Effect.gen(function* () {
        const fiber = yield* started(
          Effect.flip(Effect.provideService(execute(request), Platform.RequestTimeout, setting))
        )
        const enough = Duration.fromInputUnsafe(limit ?? "1 day")
        yield* after(Duration.subtract(enough, Duration.millis(1)))
        assert.isUndefined(fiber.pollUnsafe())
        if (limit === undefined) return
        yield* after("1 millis")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error._tag, "HttpClientError")
        assert.include(error.message, `no answer within ${Duration.toSeconds(enough)} s`)
      }),
      { respond: silent, retry: false }
    )

  timesOut("ends after 60 s", HttpClientRequest.get("/videos"), "60 seconds")
  timesOut("ends after what the request says", HttpClientRequest.get("/videos"), "3 seconds", Duration.seconds(3))
  timesOut("waits for ever if the request says so", HttpClientRequest.get("/videos"), undefined, Duration.infinity)
  timesOut("waits for ever if it uploads", HttpClientRequest.post("/videos/vi1/source"), undefined)
  timesOut("waits for ever if it uploads with an upload token", delegated["in the URL"], undefined)
  timesOut("ends after what an upload says", HttpClientRequest.post("/videos/vi1/source"), "1 hour", Duration.hours(1))

  test(
    "goes again where that is safe, each attempt with a time of its own",
    Effect.gen(function* () {
      const fiber = yield* started(Effect.flip(get("/videos")))
      for (let index = 0; index < 3; index++) yield* after("61 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "HttpClientError")
      assert.strictEqual(yield* sent, 3)
    }),
    { respond: silent }
  )

  test(
    "does not count the time that the limiter held it",
    Effect.gen(function* () {
      yield* get("/videos")
      const fiber = yield* started(get("/videos"))
      yield* after("60 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
    }),
    { rateLimits: { uploads: 1, writes: 1, reads: 1 }, retry: false }
  )
})

const decodeVideo = Schema.decodeUnknownEffect(Schema.Struct({ videoId: Schema.String, title: Schema.String }))

describe("works with", () => {
  const clients = {
    fetch: FetchHttpClient.layer,
    undici: NodeHttpClient.layerUndici,
    "node:http": NodeHttpClient.layerNodeHttp
  }
  const apiKey = Redacted.make("your_api_key")
  const sandboxed = Layer.unwrap(
    Sandbox.ApiVideoSandbox.useSync(({ url: baseUrl }) =>
      ApiVideo.layer({ baseUrl, apiKey, rateLimits: false, policy: { whenIdle: "on-demand" } })
    )
  )
  for (const [name, http] of Object.entries(clients)) {
    it.live(`${name}: creates, uploads, lists and recovers`, () =>
      Effect.gen(function* () {
        const sandbox = yield* Sandbox.ApiVideoSandbox
        const create = HttpClientRequest.post("/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ title: "Maths" }))
        const { videoId } = yield* Effect.flatMap(
          Effect.flatMap(execute(create), (response) => response.json),
          decodeVideo
        )
        yield* sandbox.revokeAccessTokens
        const form = new FormData()
        form.append("file", new File(["film"], "film.mp4"))
        const upload = HttpClientRequest.post(`/videos/${videoId}/source`).pipe(HttpClientRequest.bodyFormData(form))
        assert.strictEqual((yield* execute(upload)).status, 201)
        yield* get("/videos")
        const { entries, logins, refreshes, responses } = yield* sandbox.ledger
        assert.deepStrictEqual({ logins, refreshes }, { logins: 1, refreshes: 1 })
        assert.deepStrictEqual(responses, { 200: 3, 201: 2, 401: 1 })
        assert.isTrue(
          entries.every(({ headers }) => headers["b3"] === undefined && headers["traceparent"] === undefined)
        )
      }).pipe(Effect.provide(sandboxed), Effect.provide([Sandbox.layer(), http]))
    )

    for (const code of [301, 302, 303, 307, 308]) {
      it.live(`${name}: a login that is redirected (${code}) is MalformedResponse, and the key goes nowhere else`, () =>
        Effect.gen(function* () {
          const sandbox = yield* Sandbox.ApiVideoSandbox
          let contacted = 0
          let stop: Effect.Effect<void> = Effect.void
          const target = yield* Effect.acquireRelease(
            Effect.callback<string>((resume) => {
              const server = createServer((_, response) => {
                contacted += 1
                response.end("{}")
              })
              server.listen(0, "127.0.0.1", () => {
                const address = server.address()
                const port = typeof address === "object" && address !== null ? address.port : 0
                resume(Effect.succeed(`http://127.0.0.1:${port}/auth/api-key`))
                stop = Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
              })
            }),
            () => stop
          )
          yield* sandbox.inject({ on: "login", kind: { _tag: "Redirect", status: code, location: target } })
          const error = yield* Effect.flip(ApiVideo.authenticate({ apiKey }, { baseUrl: sandbox.url }))
          assert.strictEqual(error.reason._tag, "MalformedResponse")
          assert.strictEqual(contacted, 0)
        }).pipe(Effect.scoped, Effect.provide([Sandbox.layer(), http]))
      )
    }
  }
})
