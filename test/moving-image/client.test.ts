/** What the client of movingimage adds to a request and makes of an answer: everything around the token. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted, Schedule, type Scope, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AccessToken, ApiVideo, BearerClient, MovingImage, Platform, TokenError, TokenService } from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, type Respond, status, transportError } from "effect-video-auth/testing/RecordingHttpClient"
import { setImmediate } from "node:timers/promises"
import { inspect } from "node:util"
import { keepingSpans } from "../support/spans.ts"

const origin = "https://api.video-cdn.net"
const uploadToken = "1461246419962~55e8fd67c0ffee"
const uploadUrl = `https://asset-in.video-cdn.net/chunks/ab12?vm=5&__token__=${uploadToken}`

type Method = "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "POST" | "PATCH"
type Answer = Effect.Effect<HttpClientResponse.HttpClientResponse, MovingImage.ClientError>

interface Setup extends MovingImage.ClientOptions {
  readonly respond?: Respond | undefined
  readonly tokens?: Parameters<typeof TokenService.layerTest>[0] | undefined
}

/** The client over a network of which everything is known, with tokens that need none. */
const network = ({ respond = () => json(200, {}), tokens = ["first", "second", "third"], ...options }: Setup = {}) =>
  MovingImage.layerClient({ rateLimits: false, ...options }).pipe(
    Layer.provideMerge(TokenService.layerTest(tokens)),
    Layer.provideMerge(Recording.layer(respond))
  )
type Network = Layer.Success<ReturnType<typeof network>>

const test = <A, E>(name: string, body: Effect.Effect<A, E, Network | Scope.Scope>, setup?: Setup) =>
  it.effect(name, () => Effect.provide(body, network(setup)))

const requests = Recording.RecordingHttpClient.use((recording) => recording.requests)
const sent = Effect.map(requests, (all) => all.length)
const callNames = Effect.map(Effect.flatten(TokenService.TestCalls), (all) => all.map((call) => call._tag))
const execute = (request: HttpClientRequest.HttpClientRequest) =>
  MovingImage.MovingImage.use((api): Answer => api.execute(request))
const get = (url: string) => execute(HttpClientRequest.get(url))
const make = (method: Method, url = "/v1/vms/5/videos") => execute(HttpClientRequest.make(method)(url))
const carried = Effect.map(requests, (all) =>
  all.map(({ authorization }) => (authorization === undefined ? undefined : Redacted.value(authorization)))
)

const errorOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, MovingImage.ClientError, R>) {
  const error = yield* Effect.flip(effect)
  return error._tag === "MovingImageError" ? error : yield* Effect.die(error)
})
const reasonOf = <A, R>(effect: Effect.Effect<A, MovingImage.ClientError, R>) =>
  Effect.map(errorOf(effect), ({ reason }) => reason)
const tokenErrorOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, MovingImage.ClientError, R>) {
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

describe("a request", () => {
  test(
    "goes to movingimage, asks for JSON, carries the token and announces no trace",
    Effect.gen(function* () {
      yield* Effect.withSpan(get("/v1/vms?page=1"), "test")
      const [request] = yield* requests
      assert.strictEqual(request?.url, `${origin}/v1/vms?page=1`)
      assert.strictEqual(request?.headers["accept"], "application/json")
      assert.deepStrictEqual(yield* carried, ["Bearer first"])
      assert.isUndefined(request?.headers["b3"] ?? request?.headers["traceparent"])
    })
  )

  test(
    "to an absolute URL of the same origin carries the token",
    Effect.gen(function* () {
      yield* get(`${origin}/v1/vms`)
      assert.deepStrictEqual(yield* carried, ["Bearer first"])
    })
  )

  test(
    "goes to a custom domain, and the token to no other",
    Effect.gen(function* () {
      yield* get("/v1/vms")
      yield* get(`${origin}/v1/vms`)
      assert.deepStrictEqual(
        (yield* requests).map(({ url }) => url),
        ["https://video.example.com/v1/vms", `${origin}/v1/vms`]
      )
      assert.deepStrictEqual(yield* carried, ["Bearer first", undefined])
    }),
    { baseUrl: "https://video.example.com/" }
  )

  test(
    "asks for a token that lasts as long as it says",
    Effect.gen(function* () {
      yield* Effect.provideService(get("/v1/vms"), BearerClient.MinimumValidity, Duration.minutes(4))
      assert.deepStrictEqual(yield* callNames, ["getValidFor"])
    })
  )
})

const refused: Respond = (request) =>
  request.headers["authorization"] === "Bearer second" ? json(200, { ok: true }) : status(401)

describe("a 401", () => {
  test(
    "is recovered with a newer token",
    Effect.gen(function* () {
      const response = yield* get("/v1/vms")
      assert.deepStrictEqual(yield* response.json, { ok: true })
      assert.deepStrictEqual(yield* carried, ["Bearer first", "Bearer second"])
      assert.deepStrictEqual(yield* callNames, ["get", "reject"])
    }),
    { respond: refused }
  )

  test(
    "to a fresh token as well is TokenRejected, once, and no slug of the server is repeated",
    Effect.gen(function* () {
      const reason = yield* tokenErrorOf(get("/v1/vms"))
      assert.deepInclude({ ...reason }, { _tag: "TokenRejected", status: 401, type: undefined })
      assert.strictEqual(yield* sent, 2)
    }),
    { respond: () => json(401, { type: "attribute-required", message: "no" }) }
  )

  test(
    "to a token that is past its time, which cannot be replaced, is TokenExpired",
    Effect.gen(function* () {
      assert.deepInclude(yield* tokenErrorOf(get("/v1/vms")), { _tag: "TokenExpired", status: 401, expiredAt: 0 })
    }),
    {
      respond: () => status(401),
      tokens: [
        new AccessToken.AccessToken({
          accessToken: Redacted.make("expired"),
          tokenType: "Bearer",
          issuedAt: -300_000,
          expiresAt: 0,
          generation: 1
        })
      ]
    }
  )

  test(
    "of another origin renews nothing and is Unauthorized",
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf(make("POST", uploadUrl)))._tag, "Unauthorized")
      assert.deepStrictEqual(yield* callNames, [])
    }),
    { respond: () => status(401) }
  )

  for (const path of ["/v1/vms/auth/uiintegration", "/v1/vms/auth/login?a=b"]) {
    test(
      `of POST ${path} is about the password in the body: it goes without a token, once, and renews nothing`,
      Effect.gen(function* () {
        const body = HttpClientRequest.bodyJsonUnsafe({ username: "ada", password: "wrong" })
        const reason = yield* reasonOf(execute(body(HttpClientRequest.post(path))))
        assert.strictEqual(reason._tag, "Unauthorized")
        assert.deepStrictEqual(yield* carried, [undefined])
        assert.deepStrictEqual(yield* callNames, [])
      }),
      { respond: () => status(401) }
    )
  }

  test(
    "of a URL that only looks like it renews",
    Effect.gen(function* () {
      yield* make("POST", "/v1/vms/5/videos?from=/v1/vms/auth/login")
      yield* make("GET", "/v1/vms/auth/login")
      assert.deepStrictEqual(yield* carried, ["Bearer first", "Bearer first"])
    })
  )
})

describe("a DELETE that is answered by 404", () => {
  test(
    "succeeds, as movingimage documents it, with that status",
    Effect.gen(function* () {
      assert.strictEqual((yield* make("DELETE", "/v1/vms/5/videos/abc")).status, 404)
      assert.strictEqual((yield* make("DELETE", `${origin}/v1/vms/5/videos/abc`)).status, 404)
    }),
    { respond: () => status(404) }
  )

  test(
    "of another origin is NotFound",
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf(make("DELETE", "https://other.example/abc")))._tag, "NotFound")
    }),
    { respond: () => status(404) }
  )

  for (const method of ["GET", "POST", "PUT", "PATCH"] as const) {
    test(
      `is another thing than a ${method}, which is NotFound`,
      Effect.gen(function* () {
        assert.strictEqual((yield* reasonOf(make(method)))._tag, "NotFound")
      }),
      { respond: () => status(404) }
    )
  }

  test(
    "succeeds after a first answer that was lost: it goes again",
    Effect.gen(function* () {
      const fiber = yield* started(make("DELETE"))
      yield* after("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 404)
      assert.strictEqual(yield* sent, 2)
    }),
    { respond: (request, n) => (n === 1 ? transportError("ECONNRESET")(request) : status(404)) }
  )

  it.effect("succeeds where the HttpClient makes errors of statuses", () =>
    Effect.gen(function* () {
      const { client } = Recording.make(() => status(404))
      const layer = MovingImage.layerClient().pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, HttpClient.filterStatusOk(client))),
        Layer.provide(TokenService.layerTest(["first"]))
      )
      assert.strictEqual((yield* Effect.provide(make("DELETE"), layer)).status, 404)
    })
  )
})

/** What a tracer is told of what runs within. */
const traced = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const { spans, tracer } = keepingSpans()
  const exit = yield* Effect.exit(Effect.withTracer(effect, tracer))
  return { exit, spans: spans.map(({ attributes, name }) => inspect([name, [...attributes]])) }
})

describe("an upload URL", () => {
  test(
    "carries no token, is left as it is, and does not count as a request",
    Effect.gen(function* () {
      const chunk = HttpClientRequest.post(uploadUrl).pipe(
        HttpClientRequest.bodyUint8Array(new Uint8Array(3), "application/octet-stream"),
        HttpClientRequest.setHeaders({ "Mi24-Upload-Total-Chunks": "1", "Mi24-Upload-Current-Chunk": "1" })
      )
      for (let index = 0; index < 3; index++) yield* execute(chunk)
      yield* get("/v1/vms")
      assert.deepStrictEqual(yield* carried, [undefined, undefined, undefined, "Bearer first"])
      assert.strictEqual((yield* requests)[0]?.url, uploadUrl)
      assert.isUndefined((yield* requests)[0]?.headers["accept"])
    }),
    { rateLimits: { requests: 1 } }
  )

  const hidden: Readonly<Record<string, HttpClientRequest.HttpClientRequest>> = {
    "__token__ in the query": HttpClientRequest.post(uploadUrl),
    "__token__ in the path": HttpClientRequest.post(
      `https://asset-in.video-cdn.net/chunks/ab12&__token__=${uploadToken}`
    ),
    "__token__ among the parameters": HttpClientRequest.post("https://asset-in.video-cdn.net/chunks/ab12").pipe(
      HttpClientRequest.setUrlParam("__token__", uploadToken)
    ),
    "mitoken in the query": HttpClientRequest.get(`/v1/vms?mitoken=${uploadToken}&a=b`),
    "mitoken among the parameters": HttpClientRequest.get("/v1/vms").pipe(
      HttpClientRequest.setUrlParam("mitoken", uploadToken)
    )
  }
  for (const [where, request] of Object.entries(hidden)) {
    test(
      `${where} is in no error of an answer that repeats it, and in no span`,
      Effect.gen(function* () {
        const { exit, spans } = yield* traced(reasonOf(execute(request)))
        if (exit._tag === "Failure") return yield* exit
        const { message, path } = exit.value
        for (const text of [path, message, inspect(exit.value, { depth: 9 }), ...spans]) {
          assert.notInclude(text.replaceAll("%7E", "~"), uploadToken)
        }
        assert.include(message, "no such token: <redacted>")
        assert.include((yield* requests)[0]?.url.replaceAll("%7E", "~"), uploadToken)
        return undefined
      }),
      { respond: () => json(403, { message: `no such token: ${uploadToken}` }) }
    )

    test(
      `${where} is not in what a broken connection says`,
      Effect.gen(function* () {
        const error = yield* Effect.flip(execute(request))
        assert.instanceOf(error, HttpClientError.HttpClientError)
        assert.notInclude((error.message + inspect(error, { depth: 9 })).replaceAll("%7E", "~"), uploadToken)
      }),
      { respond: (request) => transportError("ECONNRESET")(request), retry: false }
    )
  }

  test(
    "is in a span where there is no credential in it",
    Effect.gen(function* () {
      const { spans } = yield* traced(make("POST", "https://asset-in.video-cdn.net/chunks/ab12"))
      assert.isTrue(spans.some((span) => span.includes("https://asset-in.video-cdn.net/chunks/ab12")))
    })
  )
})

describe("a request that keeps failing", () => {
  const attempts = (request: Effect.Effect<unknown, unknown, Network>) =>
    Effect.gen(function* () {
      const fiber = yield* started(Effect.flip(request))
      for (let index = 0; index < 5; index++) yield* after("10 seconds")
      yield* Fiber.join(fiber)
      return yield* sent
    })
  const streamed = HttpClientRequest.put("/v1/vms/5/a").pipe(
    HttpClientRequest.bodyStream(Stream.make(new TextEncoder().encode("once")))
  )
  const cases: ReadonlyArray<
    readonly [name: string, request: ReturnType<typeof make>, respond: Respond, times: number, retry?: false]
  > = [
    ["GET, 503", make("GET"), () => status(503), 3],
    ["PUT, 408", make("PUT"), () => status(408), 3],
    ["DELETE, a broken connection", make("DELETE"), transportError("ECONNRESET"), 3],
    ["POST, a connection never made", make("POST"), transportError("ECONNREFUSED"), 3],
    ["POST, 503", make("POST"), () => status(503), 1],
    ["PATCH, a broken connection", make("PATCH"), transportError("ECONNRESET"), 1],
    ["a stream, 503", execute(streamed), () => status(503), 1],
    ["GET, 400", make("GET"), () => status(400), 1],
    ["GET, 429", make("GET"), () => status(429), 1],
    ["GET, 503, Retry-After beyond a minute", make("GET"), () => status(503, { "retry-after": "61" }), 1],
    ["GET, 503, where retry is off", make("GET"), () => status(503), 1, false]
  ]
  for (const [name, request, respond, times, retry] of cases) {
    test(
      `${name}: is sent ${times} times`,
      Effect.gen(function* () {
        assert.strictEqual(yield* attempts(request), times)
      }),
      { respond, retry, rateLimitRetries: 0 }
    )
  }

  test(
    "waits as long as Retry-After says",
    Effect.gen(function* () {
      const fiber = yield* started(get("/v1/vms"))
      yield* after("6999 millis")
      assert.strictEqual(yield* sent, 1)
      yield* after("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
    }),
    { respond: (_, n) => (n === 1 ? status(503, { "retry-after": "7" }) : status(200)) }
  )

  test(
    "follows the schedule that was given",
    Effect.gen(function* () {
      assert.strictEqual(yield* attempts(get("/v1/vms")), 6)
    }),
    { respond: () => status(503), retry: Schedule.recurs(5) }
  )

  it.effect("opens a circuit breaker", () =>
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
        const tags = []
        for (let index = 0; index < 3; index++) tags.push((yield* Effect.flip(get("/v1/vms")))._tag)
        assert.deepStrictEqual(tags, ["MovingImageError", "MovingImageError", "HttpClientError"])
        assert.strictEqual(yield* sent, 2)
      }).pipe(Effect.provide(setup))
    })
  )

  test(
    "is not sent where no token can be had",
    Effect.gen(function* () {
      assert.strictEqual((yield* tokenErrorOf(get("/v1/vms")))._tag, "ProviderUnavailable")
      assert.strictEqual(yield* sent, 0)
      assert.deepStrictEqual(yield* callNames, ["get"])
    }),
    { tokens: [new TokenError.ProviderUnavailable({ failure: "connect" })] }
  )
})

/** Sends many at once; how many of them go out before a time has passed is the limit. */
const burst = (count: number, method: Method = "GET") =>
  started(
    Effect.all(
      Array.from({ length: count }, () => make(method)),
      { concurrency: "unbounded" }
    )
  )

describe("limits requests per minute", () => {
  test(
    "to the documented 100, of all kinds together",
    Effect.gen(function* () {
      yield* burst(60)
      yield* burst(60, "POST")
      assert.strictEqual(yield* sent, 100)
      yield* after("1 minute")
      assert.strictEqual(yield* sent, 120)
    }),
    { rateLimits: undefined }
  )

  test(
    "to what the program says",
    Effect.gen(function* () {
      yield* burst(10)
      assert.strictEqual(yield* sent, 3)
    }),
    { rateLimits: { requests: 3 } }
  )

  test(
    "to none where that is switched off",
    Effect.gen(function* () {
      yield* burst(600)
      assert.strictEqual(yield* sent, 600)
    }),
    { rateLimits: false }
  )

  test(
    "and not per what is left of the minute, where answers say that",
    Effect.gen(function* () {
      yield* get("/v1/vms")
      yield* burst(30)
      for (let second = 1; second < 60; second++) {
        yield* after("1 second")
        assert.isAtMost(yield* sent, 10, `after ${second} s`)
      }
    }),
    { rateLimits: { requests: 10 }, respond: () => json(200, {}, { "x-ratelimit-reset-after": "5" }) }
  )

  it.effect("through a limiter that several clients share, whatever their platform", () =>
    Effect.gen(function* () {
      const rateLimiter = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory)
      const { client, requests } = Recording.make(() => status(200))
      const base = Layer.merge(Layer.succeed(HttpClient.HttpClient, client), TokenService.layerTest(["first"]))
      const one = Layer.provide(MovingImage.layerClient({ rateLimiter, rateLimits: { requests: 4 } }), base)
      for (let index = 0; index < 2; index++) yield* Effect.provide(burst(3), Layer.fresh(one))
      assert.strictEqual((yield* requests).length, 4)
      const other = Layer.provide(ApiVideo.layerClient({ rateLimiter }), base)
      yield* Effect.provide(
        ApiVideo.ApiVideo.use((api) => api.get("/videos")),
        other
      )
      assert.strictEqual((yield* requests).length, 5)
    })
  )
})

describe("a 429", () => {
  const bodies: Readonly<Record<string, () => Response>> = {
    "without a word": () => status(429),
    "in HTML": () => Recording.html(429),
    "with a header that is no number": () => status(429, { "retry-after": "soon" })
  }
  for (const [name, respond] of Object.entries(bodies)) {
    test(
      `${name} waits for a minute and goes again`,
      Effect.gen(function* () {
        const fiber = yield* started(make("POST"))
        yield* after("59999 millis")
        assert.strictEqual(yield* sent, 1)
        yield* after("1 millis")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        assert.strictEqual(yield* sent, 2)
      }),
      { rateLimits: undefined, respond: (_, n) => (n === 1 ? respond() : status(200)) }
    )
  }

  test(
    "holds the others as well",
    Effect.gen(function* () {
      yield* started(get("/v1/vms"))
      yield* started(get("/v1/vms"))
      yield* after("59 seconds")
      assert.strictEqual(yield* sent, 1)
      yield* after("2 minutes")
      assert.strictEqual(yield* sent, 3)
    }),
    { rateLimits: undefined, respond: (_, n) => status(n === 1 ? 429 : 200) }
  )

  for (const seconds of ["7", "6.2"]) {
    test(
      `that says ${seconds} waits that long`,
      Effect.gen(function* () {
        const fiber = yield* started(get("/v1/vms"))
        yield* after(`${Number(seconds) * 1_000 - 1} millis`)
        assert.strictEqual(yield* sent, 1)
        yield* after("1 millis")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      }),
      { rateLimits: undefined, respond: (_, n) => (n === 1 ? status(429, { "retry-after": seconds }) : status(200)) }
    )
  }

  for (const retries of [0, 1, undefined]) {
    const tries = (retries ?? 3) + 1
    test(
      `that stays is RateLimited after ${tries} tries (rateLimitRetries: ${retries ?? "default"})`,
      Effect.gen(function* () {
        const fiber = yield* started(reasonOf(get("/v1/vms")))
        for (let index = 0; index < 5; index++) yield* after("1 minute")
        const reason = yield* Fiber.join(fiber)
        assert.strictEqual(yield* sent, tries)
        if (reason._tag !== "RateLimited") return yield* Effect.die(reason)
        assert.deepStrictEqual(reason.retryAfter, Duration.minutes(1))
        assert.include(reason.message, "Try again in 60 s")
        return undefined
      }),
      { rateLimits: undefined, rateLimitRetries: retries, respond: () => status(429) }
    )
  }

  it.effect("waits where the HttpClient makes errors of statuses, too", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make((_, n) => status(n === 1 ? 429 : 200))
      const layer = MovingImage.layerClient().pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, HttpClient.filterStatusOk(client))),
        Layer.provide(TokenService.layerTest(["first"]))
      )
      yield* Effect.gen(function* () {
        const fiber = yield* started(get("/v1/vms"))
        yield* after("59 seconds")
        assert.strictEqual((yield* requests).length, 1)
        yield* after("1 second")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      }).pipe(Effect.provide(layer))
    })
  )
})

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
      { respond: () => Effect.never, retry: false }
    )

  timesOut("ends after 60 s", HttpClientRequest.post("/v1/vms/5/videos"), "60 seconds")
  timesOut("ends after what the request says", HttpClientRequest.get("/v1/vms"), "3 seconds", Duration.seconds(3))
  timesOut("waits for ever if it uploads", HttpClientRequest.post(uploadUrl), undefined)
  timesOut("ends after what an upload says", HttpClientRequest.put(uploadUrl), "1 hour", Duration.hours(1))
  timesOut("ends after 60 s if it downloads", HttpClientRequest.get("https://asset-out.example/a"), "60 seconds")

  it("has one setting for all platforms", () => {
    assert.strictEqual(Platform.RequestTimeout, Platform.RequestTimeout)
  })
})
