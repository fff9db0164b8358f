import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import {
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  type Layer,
  Redacted,
  Schedule,
  Schema,
  type Scope,
  Stream
} from "effect"
import {
  FetchHttpClient,
  HttpBody,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  HttpClientResponse
} from "effect/http"
import { HttpApi, HttpApiClient, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { BearerClient, TokenError, TokenEvent, TokenService } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import {
  html,
  json,
  layer,
  make,
  RecordingHttpClient,
  type Respond,
  status,
  transportError
} from "effect-video-auth/testing/RecordingHttpClient"
import { createServer, type IncomingHttpHeaders } from "node:http"
import { inspect } from "node:util"
import { keepingSpans } from "../support/spans.ts"

const origin = "https://ws.api.video"
const videos = `${origin}/videos`
const evil = "https://evil.example"

type Request = HttpClientRequest.HttpClientRequest
type With<E, R = never> = HttpClient.HttpClient.With<E, R>
type Call = (url: string) => Effect.Effect<HttpClientResponse.HttpClientResponse, unknown, Scope.Scope>

const bearerOf = (request: Request) => request.headers["authorization"]?.slice("Bearer ".length)
const originOf = (request: Request) => new URL(request.url).origin

/** An API that has revoked `access-1` and takes every token after it. */
const revoked: Respond = (request) =>
  ["access-2", "access-3"].includes(bearerOf(request) ?? "") ? json(200, { token: bearerOf(request) }) : html(401)

/** The engine on a fake platform, and a bearer client over a network of which everything is known. */
const setup = Effect.fnUntraced(function* (
  respond: Respond = revoked,
  options: FakeProvider.Options & { readonly bearer?: Partial<BearerClient.Options> } = {}
) {
  const fake = FakeProvider.make(options)
  const service = yield* TokenService.make({ provider: fake.provider, policy: { whenIdle: "on-demand" } })
  const network = make(respond)
  return {
    fake,
    service,
    bearer: BearerClient.make(service, { origins: [origin], ...options.bearer }),
    network: network.client,
    requests: network.requests,
    /** What went over the wire: the token, or `none`, of each request. */
    sent: Effect.map(network.requests, (requests) =>
      requests.map(({ authorization }) =>
        authorization === undefined ? "none" : Redacted.value(authorization).replace("Bearer ", "")
      )
    ),
    /** How many tokens the platform has issued. */
    issued: Effect.map(fake.ledger, ({ logins, refreshes }) => logins + refreshes)
  }
})
type Setup = Effect.Success<ReturnType<typeof setup>>

const limit = { window: "1 minute", limit: 100, key: "api", times: 2 } as const
const makeLimiter = RateLimiter.make.pipe(Effect.provide(RateLimiter.layerStoreMemory))
const makeBreaker = Effect.provide(
  CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 minute" }),
  CircuitBreaker.layerStoreMemory()
)
const withLimiter = Effect.map(makeLimiter, (limiter) => HttpClient.withRateLimiter({ ...limit, limiter }))
const withBreaker = Effect.map(
  makeBreaker,
  (breaker) =>
    <E, R>(self: With<E, R>) =>
      HttpClient.withCircuitBreaker(self, { breaker })
)
const touch = <E, R>(self: With<E, R>) => HttpClient.transform(self, (effect) => Effect.andThen(Effect.void, effect))
const touchResponse = <E, R>(self: With<E, R>) =>
  HttpClient.transformResponse(self, (effect) => Effect.andThen(Effect.void, effect))
const retry = <E, R>(self: With<E, R>) => HttpClient.retryTransient(self, { times: 2 })
const slowly = <E, R>(self: With<E, R>) =>
  HttpClient.retryTransient(self, { times: 2, schedule: Schedule.spaced("2 hours") })
const follow = <E, R>(self: With<E, R>) => HttpClient.followRedirects(self)
const toApi = HttpClientRequest.prependUrl(origin)

const get =
  <E, R extends Scope.Scope>(client: With<E, R>): Call =>
  (url) =>
    client.get(url)
const getPath =
  <E>(client: With<E>): Call =>
  (url) =>
    client.get(url.slice(origin.length))

/** Every order in which a 401 must be recovered, as the call it makes. */
const orders: Record<string, (setup: Setup) => Effect.Effect<Call, never, Scope.Scope>> = {
  "nothing around it": ({ bearer, network }) => Effect.succeed(get(bearer(network))),
  "prependUrl outside": ({ bearer, network }) => Effect.succeed(getPath(HttpClient.mapRequest(bearer(network), toApi))),
  "prependUrl inside": ({ bearer, network }) => Effect.succeed(getPath(bearer(HttpClient.mapRequest(network, toApi)))),
  "mapRequestInput(prependUrl) outside": ({ bearer, network }) =>
    Effect.succeed(getPath(HttpClient.mapRequestInput(bearer(network), toApi))),
  "withRateLimiter outside": ({ bearer, network }) =>
    Effect.map(withLimiter, (limited) => get(limited(bearer(network)))),
  "withRateLimiter inside": ({ bearer, network }) =>
    Effect.map(withLimiter, (limited) => get(bearer(limited(network)))),
  "withCircuitBreaker outside": ({ bearer, network }) =>
    Effect.map(withBreaker, (broken) => get(broken(bearer(network)))),
  "withCircuitBreaker inside": ({ bearer, network }) =>
    Effect.map(withBreaker, (broken) => get(bearer(broken(network)))),
  "transform outside": ({ bearer, network }) => Effect.succeed(get(touch(bearer(network)))),
  "transform inside": ({ bearer, network }) => Effect.succeed(get(bearer(touch(network)))),
  "transformResponse outside": ({ bearer, network }) => Effect.succeed(get(touchResponse(bearer(network)))),
  "transformResponse inside": ({ bearer, network }) => Effect.succeed(get(bearer(touchResponse(network)))),
  "retryTransient outside": ({ bearer, network }) => Effect.succeed(get(retry(bearer(network)))),
  "retryTransient inside": ({ bearer, network }) => Effect.succeed(get(bearer(retry(network)))),
  "followRedirects outside": ({ bearer, network }) => Effect.succeed(get(follow(bearer(network)))),
  "followRedirects inside": ({ bearer, network }) => Effect.succeed(get(bearer(follow(network)))),
  "filterStatusOk outside": ({ bearer, network }) => Effect.succeed(get(HttpClient.filterStatusOk(bearer(network)))),
  "filterStatusOk inside": ({ bearer, network }) => Effect.succeed(get(bearer(HttpClient.filterStatusOk(network)))),
  "withScope inside": ({ bearer, network }) => Effect.succeed(get(bearer(HttpClient.withScope(network))))
}

const realTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Bodies are read in real time, everything else on the test clock: moves the clock until the fibre is done. */
const joined = Effect.fnUntraced(function* <A, E>(fiber: Fiber.Fiber<A, E>) {
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.adjust("100 millis")
    yield* realTurn
  }
  return yield* Fiber.join(fiber)
})

describe("a 401 is recovered once, with a newer token, with", () => {
  for (const [name, order] of Object.entries(orders)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const test = yield* setup()
        const call = yield* order(test)
        assert.strictEqual((yield* call(videos)).status, 200)
        assert.deepStrictEqual(yield* test.sent, ["access-1", "access-2"])
        assert.strictEqual(yield* test.issued, 2)
      })
    )

    it.effect(`${name}; a second 401 is not`, () =>
      Effect.gen(function* () {
        const test = yield* setup(() => html(401))
        const call = yield* order(test)
        const exit = yield* Effect.exit(call(videos))
        const isKept = Exit.isSuccess(exit) ? exit.value.status === 401 : name.startsWith("filterStatusOk")
        assert.isTrue(isKept, inspect(exit))
        assert.deepStrictEqual(yield* test.sent, ["access-1", "access-2"])
        assert.strictEqual(yield* test.issued, 2)
      })
    )
  }

  it.effect("filterStatusOk inside, where the second 401 is the StatusCodeError it was without a bearer", () =>
    Effect.gen(function* () {
      const { bearer, network } = yield* setup(() => html(401))
      const error = yield* Effect.flip(bearer(HttpClient.filterStatusOk(network)).get(videos))
      assert.instanceOf(error, HttpClientError.HttpClientError)
      assert.strictEqual(error.reason["_tag"], "StatusCodeError")
      assert.strictEqual(error.response?.status, 401)
    })
  )
})

describe("around the client", () => {
  for (const order of ["outside", "inside"] as const) {
    it.effect(`mapRequestEffect ${order} runs once, also when a 401 is recovered`, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup()
        let runs = 0
        const count = HttpClient.mapRequestEffect((request: Request) =>
          Effect.as(
            Effect.sync(() => (runs += 1)),
            request
          )
        )
        const client = order === "outside" ? count(bearer(network)) : bearer(count(network))
        assert.strictEqual((yield* client.get(videos)).status, 200)
        assert.strictEqual(runs, 1)
        assert.strictEqual((yield* sent).length, 2)
      })
    )

    it.effect(`retryTransient ${order} sends each attempt with the token that is valid then`, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup((_, n) => status(n < 3 ? 503 : 200))
        const client = order === "outside" ? slowly(bearer(network)) : bearer(slowly(network))
        const fiber = yield* Effect.forkChild(client.get(videos))
        yield* TestClock.adjust("2 hours")
        yield* TestClock.adjust("2 hours")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        assert.deepStrictEqual(yield* sent, ["access-1", "access-2", "access-3"])
      })
    )
  }

  it.effect("retryTransient inside repeats with the token before where no newer one is to be had", () =>
    Effect.gen(function* () {
      const { bearer, fake, network, sent, service } = yield* setup((_, n) => status(n === 1 ? 503 : 200))
      yield* service.get
      const fiber = yield* Effect.forkChild(bearer(slowly(network)).get(videos))
      yield* fake.configure({ failure: new TokenError.InvalidCredentials({ status: 400 }) })
      yield* TestClock.adjust("3 hours")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-1"])
    })
  )

  it.effect("retryTransient inside: the token of the last attempt is the one that a 401 refuses", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, sent } = yield* setup((request, n) =>
        n === 1 ? status(503) : bearerOf(request) === "access-3" ? status(200) : status(401)
      )
      const fiber = yield* Effect.forkChild(bearer(slowly(network)).get(videos))
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-2", "access-3"])
      assert.strictEqual(yield* issued, 3)
    })
  )

  it.effect("withRateLimiter outside: the token is asked for when the limiter has waited", () =>
    Effect.gen(function* () {
      const { bearer, network, sent } = yield* setup(() => status(200))
      const client = HttpClient.withRateLimiter(bearer(network), {
        limiter: yield* makeLimiter,
        window: "2 hours",
        limit: 1,
        key: "api"
      })
      yield* client.get(videos)
      const fiber = yield* Effect.forkChild(client.get(videos))
      yield* TestClock.adjust("2 hours")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-2"])
    })
  )

  it.effect("withCircuitBreaker outside counts neither a recovered 401 nor a TokenError as a failure", () =>
    Effect.gen(function* () {
      const { bearer, fake, network, service } = yield* setup()
      const client = (yield* withBreaker)(bearer(network))
      assert.strictEqual((yield* client.get(videos)).status, 200)
      yield* service.invalidate
      yield* fake.configure({ failure: new TokenError.InvalidCredentials({ status: 400 }) })
      const errors = [yield* Effect.flip(client.get(videos)), yield* Effect.flip(client.get(videos))]
      assert.deepStrictEqual(
        errors.map((error) => error["_tag"]),
        ["TokenError", "TokenError"]
      )
    })
  )

  /** Whether closing the request's scope aborts the request. */
  const abortsWithScope = Effect.fnUntraced(function* (order: "inside" | "outside") {
    const { bearer } = yield* setup()
    const signals: Array<AbortSignal> = []
    const network = HttpClient.make((request, _url, signal) => {
      signals.push(signal)
      return Effect.succeed(HttpClientResponse.fromWeb(request, status(200)))
    })
    const client = order === "inside" ? bearer(HttpClient.withScope(network)) : HttpClient.withScope(bearer(network))
    yield* Effect.scoped(client.get(videos))
    return signals.map((signal) => signal.aborted)
  })

  it.effect("withScope inside aborts the request with its scope", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* abortsWithScope("inside"), [true])
    })
  )

  it.effect("withScope outside does not, as documented: it does not recognise a request with a token", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* abortsWithScope("outside"), [false])
    })
  )
})

/** `/old` moves to `to`; whatever is ours refuses `access-1`. */
const moved =
  (to: string, code = 302): Respond =>
  (request, n) =>
    request.url === `${origin}/old` ? status(code, { location: to }) : revoked(request, n)

describe("redirects", () => {
  it.effect("followRedirects outside: a 401 after a hop is recovered at the hop", () =>
    Effect.gen(function* () {
      const { bearer, network, requests, sent } = yield* setup(moved(videos))
      const response = yield* bearer(network).pipe(HttpClient.followRedirects()).get(`${origin}/old`)
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-1", "access-2"])
      assert.deepStrictEqual(
        (yield* requests).map(({ url }) => url.slice(origin.length)),
        ["/old", "/videos", "/videos"]
      )
    })
  )

  it.effect("followRedirects inside: a 401 after a hop is recovered by the whole chain", () =>
    Effect.gen(function* () {
      const { bearer, network, sent } = yield* setup(moved(videos))
      const response = yield* bearer(network.pipe(HttpClient.followRedirects())).get(`${origin}/old`)
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-1", "access-2", "access-2"])
    })
  )

  for (const order of ["outside", "inside"] as const) {
    const followed = ({ bearer, network }: Setup) =>
      order === "outside" ? follow(bearer(network)) : bearer(follow(network))

    for (const to of [`${evil}/videos`, "http://ws.api.video/videos", "https://ws.api.video:8443/videos"]) {
      it.effect(`followRedirects ${order}: a redirect to ${to} takes no token along, and its 401 renews nothing`, () =>
        Effect.gen(function* () {
          const test = yield* setup(moved(to))
          const response = yield* followed(test).get(`${origin}/old`)
          assert.strictEqual(response.status, 401)
          assert.deepStrictEqual(yield* test.sent, ["access-1", "none"])
          assert.strictEqual(yield* test.issued, 1)
        })
      )
    }

    it.effect(`followRedirects ${order}: a POST that is redirected with 307 is recovered with its body`, () =>
      Effect.gen(function* () {
        const test = yield* setup(moved(videos, 307))
        const request = HttpClientRequest.post(`${origin}/old`).pipe(HttpClientRequest.bodyText("film"))
        assert.strictEqual((yield* followed(test).execute(request)).status, 200)
        for (const { body, method } of yield* test.requests) assert.deepStrictEqual([method, body], ["POST", "film"])
      })
    )
  }

  it.effect("another origin that redirects to ours gets no token, ours does", () =>
    Effect.gen(function* () {
      const { bearer, network, sent } = yield* setup((request, n) =>
        originOf(request) === evil ? status(302, { location: videos }) : revoked(request, n)
      )
      const response = yield* bearer(network).pipe(HttpClient.followRedirects()).get(`${evil}/start`)
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(yield* sent, ["none", "access-1", "access-2"])
    })
  )

  it.effect(
    "followRedirects inside: a detour by another origin loses the token, and the 401 after it renews nothing",
    () =>
      Effect.gen(function* () {
        const { bearer, issued, network, sent } = yield* setup((request, n) =>
          n === 1
            ? status(302, { location: `${evil}/detour` })
            : originOf(request) === evil
              ? status(302, { location: videos })
              : html(401)
        )
        assert.strictEqual((yield* bearer(follow(network)).get(`${origin}/old`)).status, 401)
        assert.deepStrictEqual(yield* sent, ["access-1", "none", "none"])
        assert.strictEqual(yield* issued, 1)
      })
  )

  it.effect("where a transport follows redirects by itself, the 401 of another origin renews nothing", () =>
    Effect.gen(function* () {
      const { bearer, issued } = yield* setup()
      // What fetch answers after it was redirected: the original request, and the URL it ended at.
      const fetched = HttpClient.make((request) => {
        const response = status(401)
        Object.defineProperty(response, "url", { value: `${evil}/videos` })
        return Effect.succeed(HttpClientResponse.fromWeb(request, response))
      })
      assert.strictEqual((yield* bearer(fetched).get(videos)).status, 401)
      assert.strictEqual(yield* issued, 1)
    })
  )
})

describe("where the token does not go", () => {
  for (const order of ["outside", "inside"] as const) {
    it.effect(`mapRequest(setUrl) to another origin ${order}: no token, and its 401 renews nothing`, () =>
      Effect.gen(function* () {
        const { bearer, issued, network, sent } = yield* setup()
        const elsewhere = HttpClient.mapRequest(HttpClientRequest.setUrl(`${evil}/videos`))
        const client = order === "outside" ? elsewhere(bearer(network)) : bearer(elsewhere(network))
        assert.strictEqual((yield* client.get(videos)).status, 401)
        assert.deepStrictEqual(yield* sent, ["none"])
        assert.strictEqual(yield* issued, 0)
      })
    )
  }

  it.effect("another origin, and its 401 renews nothing", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, sent } = yield* setup()
      assert.strictEqual((yield* bearer(network).get(`${evil}/videos`)).status, 401)
      assert.deepStrictEqual(yield* sent, ["none"])
      assert.strictEqual(yield* issued, 0)
    })
  )

  it.effect("an anonymous request, and its 401 renews nothing", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, sent } = yield* setup(revoked, {
        bearer: { anonymous: (request) => request.url.endsWith("/upload") }
      })
      assert.strictEqual((yield* bearer(network).post(`${origin}/upload`)).status, 401)
      assert.strictEqual((yield* bearer(network).get(videos)).status, 200)
      assert.deepStrictEqual(yield* sent, ["none", "access-1", "access-2"])
      assert.strictEqual(yield* issued, 2)
    })
  )

  it.effect("a request with an Authorization header of its own, which is kept and never recovered", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, sent } = yield* setup()
      const request = HttpClientRequest.get(videos).pipe(HttpClientRequest.bearerToken("mine"))
      assert.strictEqual((yield* bearer(network).execute(request)).status, 401)
      assert.deepStrictEqual(yield* sent, ["mine"])
      assert.strictEqual(yield* issued, 0)
    })
  )
})

describe("an answer that no newer token would change", () => {
  const answers: Record<string, () => Response> = {
    "403": () => html(403),
    "401 of too little scope": () =>
      status(401, { "www-authenticate": 'Bearer realm="api", error="insufficient_scope", scope="videos"' }),
    "401 of too little scope, without quotes": () =>
      status(401, { "www-authenticate": "Bearer error=insufficient_scope" }),
    "404": () => html(404),
    "429": () => status(429)
  }
  for (const [name, answer] of Object.entries(answers)) {
    it.effect(`${name}: is passed on, nothing is renewed`, () =>
      Effect.gen(function* () {
        let unhealed = 0
        const { bearer, issued, network, sent } = yield* setup(answer, {
          bearer: {
            unhealed: (response) =>
              Effect.as(
                Effect.sync(() => (unhealed += 1)),
                response
              )
          }
        })
        assert.strictEqual((yield* bearer(network).get(videos)).status, answer().status)
        assert.deepStrictEqual(yield* sent, ["access-1"])
        assert.strictEqual(yield* issued, 1)
        assert.strictEqual(unhealed, 0)
      })
    )
  }

  it.effect("a 401 whose WWW-Authenticate says invalid_token is recovered", () =>
    Effect.gen(function* () {
      const { bearer, network } = yield* setup((request, n) =>
        n === 1 ? status(401, { "www-authenticate": 'Bearer error="invalid_token"' }) : revoked(request, n)
      )
      assert.strictEqual((yield* bearer(network).get(videos)).status, 200)
    })
  )
})

const post = (url: string, body: HttpBody.HttpBody) => HttpClientRequest.post(url).pipe(HttpClientRequest.setBody(body))

/** The reason of an error, or its own tag if it has none. */
const reasonTag = (error: { readonly _tag: string; readonly reason?: { readonly _tag: string } | undefined }): string =>
  error.reason?._tag ?? error._tag

describe("the body", () => {
  const makeForm = () => {
    const form = new FormData()
    form.append("title", "Maths video")
    form.append("file", new File([bytes], "film.mp4", { type: "video/mp4" }))
    return form
  }
  const bytes = Uint8Array.from({ length: 4096 }, (_, index) => index % 256)
  const bodies: Record<string, () => HttpBody.HttpBody> = {
    Empty: () => HttpBody.empty,
    Uint8Array: () => HttpBody.uint8Array(bytes),
    FormData: () => HttpBody.formData(makeForm()),
    "Raw(string)": () => HttpBody.raw("film"),
    "Raw(Uint8Array)": () => HttpBody.raw(bytes),
    "Raw(ArrayBuffer)": () => HttpBody.raw(bytes.buffer),
    "Raw(URLSearchParams)": () => HttpBody.raw(new URLSearchParams({ title: "Maths video" })),
    "Raw(Blob)": () => HttpBody.raw(new Blob([bytes])),
    "Raw(FormData)": () => HttpBody.raw(makeForm())
  }
  for (const [name, body] of Object.entries(bodies)) {
    it.effect(`${name} is sent again as it was`, () =>
      Effect.gen(function* () {
        const { bearer, network, requests, sent } = yield* setup()
        assert.strictEqual((yield* bearer(network).execute(post(videos, body()))).status, 200)
        assert.deepStrictEqual(yield* sent, ["access-1", "access-2"])
        const [first, second] = yield* requests
        assert.strictEqual(first?.body, second?.body)
        assert.strictEqual(first?.body === undefined, name === "Empty")
      })
    )
  }

  const streams: Record<string, () => HttpBody.HttpBody> = {
    Stream: () => HttpBody.stream(Stream.make(bytes)),
    "Raw(ReadableStream)": () => HttpBody.raw(new Blob([bytes]).stream()),
    "Raw(an iterable)": () => HttpBody.raw([bytes])
  }
  for (const [name, body] of Object.entries(streams)) {
    it.effect(`${name} is not sent again: the token is renewed, the error says so, and the next request is fine`, () =>
      Effect.gen(function* () {
        const { bearer, issued, network, sent } = yield* setup()
        const error = yield* Effect.flip(bearer(network).execute(post(videos, body())))
        assert.strictEqual(reasonTag(error), "BodyNotRepeatable")
        assert.strictEqual(yield* issued, 2)
        assert.strictEqual((yield* bearer(network).get(videos)).status, 200)
        assert.deepStrictEqual(yield* sent, ["access-1", "access-2"])
      })
    )
  }

  it.effect("Stream: a renewal that fails is the error", () =>
    Effect.gen(function* () {
      const { bearer, fake, network, service } = yield* setup()
      yield* service.get
      yield* fake.configure({ failure: new TokenError.InvalidCredentials({ status: 400 }) })
      const error = yield* Effect.flip(bearer(network).execute(post(videos, HttpBody.stream(Stream.make(bytes)))))
      assert.strictEqual(reasonTag(error), "InvalidCredentials")
    })
  )

  // ---------------------------------------------------------------------------------------------------------------
  // Over real sockets
  // ---------------------------------------------------------------------------------------------------------------

  interface Received {
    readonly headers: IncomingHttpHeaders
    readonly body: Buffer
  }

  /** Refuses `access-1` with `refusal` and takes what comes after. */
  const serve = (refusal = "<h1>401</h1>") =>
    Effect.acquireRelease(
      Effect.callback<{ readonly url: string; readonly received: Array<Received>; readonly close: () => void }>(
        (resume) => {
          const received: Array<Received> = []
          const server = createServer((request, response) => {
            const chunks: Array<Buffer> = []
            request.on("data", (chunk: Buffer) => chunks.push(chunk))
            request.on("end", () => {
              received.push({ headers: request.headers, body: Buffer.concat(chunks) })
              const isRefused = request.headers.authorization === "Bearer access-1"
              response.writeHead(isRefused ? 401 : 200).end(isRefused ? refusal : "fine")
            })
          }).listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" ? address?.port : undefined
            const close = () => {
              server.closeAllConnections()
              server.close()
            }
            resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close }))
          })
        }
      ),
      ({ close }) => Effect.sync(close)
    )

  /** One POST over a socket, through a bearer client whose origin is the server's. */
  const upload = Effect.fnUntraced(function* (body: HttpBody.HttpBody, refusal?: string) {
    const server = yield* serve(refusal)
    const { bearer, issued } = yield* setup(undefined, { bearer: { origins: [server.url] } })
    const client = bearer(yield* HttpClient.HttpClient)
    const sending = Effect.flatMap(client.execute(post(`${server.url}/upload`, body)), (response) =>
      Effect.map(response.text, (text) => ({ status: response.status, text }))
    )
    const answer = yield* Effect.match(sending, {
      onFailure: (error) => ({ status: 0, text: reasonTag(error) }),
      onSuccess: (answer) => answer
    })
    return { ...answer, received: server.received, issued: yield* issued }
  })

  /** A form's boundary is drawn anew for each attempt. */
  const content = ({ body, headers }: Received): string => {
    const boundary = /boundary="?([^";]+)/.exec(headers["content-type"] ?? "")?.[1]
    const text = body.toString("latin1")
    return boundary === undefined ? text : text.replaceAll(boundary, "boundary")
  }

  const transports: Record<
    string,
    { readonly client: Layer.Layer<HttpClient.HttpClient>; readonly sends: ReadonlyArray<string> }
  > = {
    // What each can send at all: node:http takes no web objects, undici's `request` no URLSearchParams.
    undici: {
      client: NodeHttpClient.layerUndici,
      sends: ["Uint8Array", "FormData", "Raw(string)", "Raw(Uint8Array)", "Raw(Blob)"]
    },
    "node:http": {
      client: NodeHttpClient.layerNodeHttp,
      sends: ["Uint8Array", "FormData", "Raw(string)", "Raw(Uint8Array)"]
    },
    fetch: { client: FetchHttpClient.layer, sends: Object.keys(bodies).filter((name) => name !== "Empty") }
  }
  for (const [transport, { client, sends }] of Object.entries(transports)) {
    for (const name of sends) {
      it.effect(`${name} over ${transport}: the same bytes arrive twice`, () =>
        Effect.gen(function* () {
          const answer = yield* upload(bodies[name]!())
          assert.strictEqual(answer.status, 200)
          const [first, second, ...more] = answer.received.map(content)
          assert.strictEqual(first, second)
          assert.deepStrictEqual(more, [])
          assert.isAbove(first?.length ?? 0, 0)
          if (name === "FormData") assert.include(first, Buffer.from(bytes).toString("latin1"))
        }).pipe(Effect.provide(client))
      )
    }

    it.effect(`Stream over ${transport}: sent once, the token is renewed, and the error says so`, () =>
      Effect.gen(function* () {
        const answer = yield* upload(HttpBody.stream(Stream.make(bytes)))
        assert.strictEqual(answer.text, "BodyNotRepeatable")
        assert.strictEqual(answer.received.length, 1)
        assert.deepStrictEqual(answer.received[0]?.body, Buffer.from(bytes))
        assert.strictEqual(answer.issued, 2)
      }).pipe(Effect.provide(client))
    )
  }

  it.effect(
    "of the refused answer is read: a pool of one connection and a 401 of 2 MB do not deadlock",
    () =>
      Effect.gen(function* () {
        const answer = yield* upload(HttpBody.text("film"), "x".repeat(2 * 1024 * 1024))
        assert.deepStrictEqual([answer.status, answer.text], [200, "fine"])
      }).pipe(Effect.provide(NodeHttpClient.layerUndiciOptions({ connections: 1 }))),
    8_000
  )

  it.effect("of the refused answer is left behind after a second where it does not end", () =>
    Effect.gen(function* () {
      const { bearer, network } = yield* setup((request, n) =>
        n === 1 ? new Response(new ReadableStream(), { status: 401 }) : revoked(request, n)
      )
      const fiber = yield* Effect.forkChild(bearer(network).get(videos))
      assert.strictEqual((yield* joined(fiber)).status, 200)
    })
  )
})

describe("many at once", () => {
  it.effect("50 parallel 401s: one renewal, 50 successes, 100 requests, no secret in a span", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, requests } = yield* setup(revoked, { latency: "1 second" })
      const { spans, tracer } = keepingSpans()
      const client = bearer(network)
      const fiber = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => index),
        (index) => client.get(videos, { urlParams: { page: index } }).pipe(Effect.withSpan("page")),
        { concurrency: "unbounded" }
      ).pipe(
        Effect.withTracer(tracer),
        Effect.provideService(HttpClient.TracerHeaderFilter, () => true),
        Effect.forkChild
      )
      const responses = yield* joined(fiber)
      assert.isTrue(responses.every((response) => response.status === 200))
      assert.strictEqual(yield* issued, 2)
      const sent = yield* requests
      assert.strictEqual(sent.length, 100)
      assert.strictEqual(sent.filter((request) => request.carries("access-1")).length, 50)
      assert.strictEqual(sent.filter((request) => request.carries("access-2")).length, 50)
      assert.isAtLeast(spans.filter((span) => span.attributes.has("http.request.method")).length, 100)
      const printed = inspect(
        spans.map((span) => ({ attributes: span.attributes, name: span.name, status: span.status })),
        { depth: Infinity, maxArrayLength: Infinity }
      )
      assert.include(printed, "http.request.header.authorization")
      assert.notMatch(printed, /access-\d|refresh-\d/)
    })
  )

  it.effect("50 staggered 401s, most of them late answers to the old token: one renewal, 50 successes", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, sent } = yield* setup(
        (request, n) =>
          bearerOf(request) === "access-1" ? Effect.as(Effect.sleep(Duration.millis(n * 100)), html(401)) : status(200),
        { latency: "1 second" }
      )
      const client = bearer(network)
      const fiber = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 50 }, () => client.get(videos)),
          { concurrency: "unbounded" }
        )
      )
      const responses = yield* joined(fiber)
      assert.isTrue(responses.every((response) => response.status === 200))
      assert.strictEqual(yield* issued, 2)
      assert.strictEqual((yield* sent).length, 100)
    })
  )

  it.effect("interrupting a request while its renewal runs leaves the renewal going", () =>
    Effect.gen(function* () {
      const { bearer, fake, network, service, sent } = yield* setup()
      yield* service.get
      yield* fake.configure({ latency: "10 seconds" })
      const fiber = yield* Effect.forkChild(bearer(network).get(videos))
      while ((yield* fake.ledger).refreshes === 0) yield* realTurn
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(Redacted.value((yield* service.get).accessToken), "access-2")
      assert.deepInclude(yield* fake.ledger, { refreshes: 1, interrupted: 0 })
      assert.deepStrictEqual(yield* sent, ["access-1"])
    })
  )
})

const unauthorized: Respond = () => html(401)
const onTest = (outcomes: Parameters<typeof TokenService.layerTest>[0]) =>
  Effect.provide(TokenService.layerTest(outcomes))

describe("failures", () => {
  const refused = new TokenError.InvalidCredentials({ status: 400 })

  it.effect("a TokenError of the service is the request's, and nothing is sent", () =>
    Effect.gen(function* () {
      const { client, requests } = make(unauthorized)
      const bearer = BearerClient.make(yield* TokenService.TokenService, { origins: [origin] })
      const reason = yield* bearer(client)
        .get(videos)
        .pipe(
          Effect.as("sent"),
          Effect.catchReason("TokenError", "InvalidCredentials", (refusal) => Effect.succeed(refusal["_tag"]))
        )
      assert.strictEqual(reason, "InvalidCredentials")
      assert.deepStrictEqual(yield* requests, [])
    }).pipe(onTest([refused]))
  )

  it.effect("a TokenError of the renewal that a 401 asked for is the request's", () =>
    Effect.gen(function* () {
      const { client, requests } = make(unauthorized)
      const bearer = BearerClient.make(yield* TokenService.TokenService, { origins: [origin] })
      const error = yield* Effect.flip(bearer(client).get(videos))
      assert.instanceOf(error, TokenError.TokenError)
      assert.strictEqual(error.reason["_tag"], "InvalidCredentials")
      assert.strictEqual((yield* requests).length, 1)
    }).pipe(onTest(["first", refused]))
  )

  it.effect("a repetition that fails on transport is a TransportError, and is not recovered again", () =>
    Effect.gen(function* () {
      const { bearer, issued, network, sent } = yield* setup((request, n) =>
        n === 1 ? html(401) : transportError("ECONNRESET")(request)
      )
      const error = yield* Effect.flip(bearer(network).get(videos))
      assert.instanceOf(error, HttpClientError.HttpClientError)
      assert.strictEqual(error.reason["_tag"], "TransportError")
      assert.deepStrictEqual(yield* sent, ["access-1", "access-2"])
      assert.strictEqual(yield* issued, 2)
    })
  )

  class Unhealed extends Schema.TaggedError<Unhealed>()("Unhealed", { token: Schema.String, status: Schema.Int }) {}

  const judge = Effect.fnUntraced(function* (request: Request) {
    const { bearer: _, network, service, sent } = yield* setup(unauthorized)
    const bearer = BearerClient.make(service, {
      origins: [origin],
      unhealed: (response, token) =>
        Effect.fail(new Unhealed({ token: Redacted.value(token.accessToken), status: response.status }))
    })
    const error: HttpClientError.HttpClientError | TokenError.TokenError | Unhealed = yield* Effect.flip(
      bearer(network).execute(request)
    )
    return { error, sent: yield* sent }
  })

  it.effect("unhealed gets the second 401 and the fresh token that did not heal it", () =>
    Effect.gen(function* () {
      const { error, sent } = yield* judge(HttpClientRequest.get(videos))
      assert.deepInclude(error, { _tag: "Unhealed", token: "access-2", status: 401 })
      assert.deepStrictEqual(sent, ["access-1", "access-2"])
    })
  )

  it.effect("unhealed is not asked about a request that cannot be sent again", () =>
    Effect.gen(function* () {
      const { error, sent } = yield* judge(
        HttpClientRequest.post(videos).pipe(HttpClientRequest.bodyStream(Stream.make(new Uint8Array(1))))
      )
      assert.strictEqual(reasonTag(error), "BodyNotRepeatable")
      assert.deepStrictEqual(sent, ["access-1"])
    })
  )

  it.effect("each repetition is told to the observers, and one that dies changes nothing", () =>
    Effect.gen(function* () {
      const { bearer, network } = yield* setup()
      const events: Array<string> = []
      const observe: TokenEvent.Observer = (event) => Effect.sync(() => events.push(event["_tag"]))
      const response = yield* bearer(network)
        .get(videos)
        .pipe(Effect.provideService(TokenEvent.Observers, [() => Effect.die("observer"), observe]))
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(events, ["Replayed"])
    })
  )
})

describe("MinimumValidity", () => {
  const anHour = Duration.hours(1)
  const halfAnHour = Duration.minutes(30)

  it.effect("per request: renews for the request that needs longer, and for no other", () =>
    Effect.gen(function* () {
      const { bearer, network, sent } = yield* setup(() => status(200))
      const client = bearer(network)
      yield* client.get(videos)
      yield* TestClock.adjust("40 minutes")
      yield* client.get(videos)
      yield* Effect.provideService(client.post(videos), BearerClient.MinimumValidity, halfAnHour)
      yield* client.get(videos)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-1", "access-2", "access-2"])
    })
  )

  it.effect("per client: of two clients on one service, one asks for longer", () =>
    Effect.gen(function* () {
      const { bearer, network, sent } = yield* setup(() => status(200))
      const patient = HttpClient.transformResponse(
        bearer(network),
        Effect.provideService(BearerClient.MinimumValidity, halfAnHour)
      )
      yield* patient.get(videos)
      yield* TestClock.adjust("40 minutes")
      yield* bearer(network).get(videos)
      yield* patient.get(videos)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-1", "access-2"])
    })
  )

  it.effect("longer than a token lasts: LifetimeTooShort, and nothing is sent", () =>
    Effect.gen(function* () {
      const { bearer, network, sent } = yield* setup(() => status(200))
      const error = yield* bearer(network)
        .post(videos)
        .pipe(
          Effect.provideService(BearerClient.MinimumValidity, Duration.sum(anHour, Duration.minutes(1))),
          Effect.flip
        )
      assert.instanceOf(error, TokenError.TokenError)
      assert.strictEqual(error.reason["_tag"], "LifetimeTooShort")
      assert.deepStrictEqual(yield* sent, [])
    })
  )

  it.effect("holds for the repetition after a 401 as well", () =>
    Effect.gen(function* () {
      const answer = yield* Deferred.make<Response>()
      const { bearer, network, sent, service } = yield* setup((_, n) =>
        n === 1 ? Deferred.await(answer) : status(200)
      )
      const fiber = yield* bearer(network)
        .post(videos)
        .pipe(Effect.provideService(BearerClient.MinimumValidity, halfAnHour), Effect.forkChild)
      // Somebody else renews, and the newer token is no longer young when the refusal of the old one arrives.
      yield* TestClock.adjust("1 second")
      yield* service.renew
      yield* TestClock.adjust("40 minutes")
      yield* Deferred.succeed(answer, html(401))
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      assert.deepStrictEqual(yield* sent, ["access-1", "access-3"])
    })
  )
})

describe("HttpApi", () => {
  const Api = HttpApi.make("Videos").add(
    HttpApiGroup.make("videos").add(HttpApiEndpoint.get("list", "/videos", { success: Schema.Array(Schema.String) }))
  )
  const listOf = ({ bearer, network }: Setup) =>
    Effect.map(HttpApiClient.makeWith(Api, { httpClient: bearer(network), baseUrl: origin }), (client) =>
      client.videos.list()
    )

  it.effect("a generated client recovers from a 401", () =>
    Effect.gen(function* () {
      const test = yield* setup((request, n) =>
        bearerOf(request) === "access-1" ? revoked(request, n) : json(200, ["film"])
      )
      assert.deepStrictEqual(yield* yield* listOf(test), ["film"])
      assert.deepStrictEqual(yield* test.sent, ["access-1", "access-2"])
    })
  )

  it.effect("a generated client has TokenError in its type", () =>
    Effect.gen(function* () {
      const test = yield* setup(() => json(200, []), { failure: new TokenError.InvalidCredentials({ status: 400 }) })
      const list = yield* listOf(test)
      type Failure = Effect.Error<typeof list>
      type Is<A extends true> = A
      type IsTyped = unknown extends Failure ? false : TokenError.TokenError extends Failure ? true : false
      const isTyped: Is<IsTyped> = true
      assert.isTrue(isTyped)
      const reason = yield* Effect.catchTag(list, "TokenError", (error) => Effect.succeed(error.reason["_tag"]))
      assert.strictEqual(reason, "InvalidCredentials")
      assert.deepStrictEqual(yield* test.sent, [])
    })
  )
})

describe("RecordingHttpClient", () => {
  it.effect("layer provides the client and its record", () =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post("https://user:pw@ws.api.video/videos?page=1#top").pipe(
        HttpClientRequest.bodyText("film"),
        HttpClientRequest.setHeader("x-page", "1")
      )
      assert.strictEqual((yield* HttpClient.execute(request)).status, 204)
      const [recorded, ...more] = yield* RecordingHttpClient.use((recording) => recording.requests)
      assert.deepInclude(recorded, { n: 1, method: "POST", url: `${videos}?page=1`, body: "film" })
      assert.isUndefined(recorded?.authorization)
      assert.strictEqual(recorded?.headers["x-page"], "1")
      assert.deepStrictEqual(more, [])
    }).pipe(Effect.provide(layer(() => status(204))))
  )

  it.effect("carries tells tokens apart, and nothing printed shows one", () =>
    Effect.gen(function* () {
      const { client, requests } = make(() => status(204))
      const request = HttpClientRequest.post(`${origin}/auth/api-key`).pipe(
        HttpClientRequest.bearerToken("the-token"),
        HttpClientRequest.setHeaders({ cookie: "the-cookie", "x-api-key": "the-header-key" }),
        HttpClientRequest.bodyJsonUnsafe({ apiKey: "the-key" })
      )
      yield* client.execute(request)
      const [recorded] = yield* requests
      assert.isTrue(recorded?.carries("the-token"))
      assert.isTrue(recorded?.carries(Redacted.make("the-token")))
      assert.isFalse(recorded?.carries("the"))
      for (const printed of [inspect(recorded, { depth: null }), JSON.stringify(recorded), String(recorded)]) {
        assert.include(printed, "/auth/api-key")
        assert.notInclude(printed, "the-")
      }
    })
  )

  it.effect("respond may wait or fail, and is told which request it is", () =>
    Effect.gen(function* () {
      const { client, requests } = make((request, n) =>
        n === 1 ? transportError("ECONNREFUSED")(request) : Effect.as(Effect.sleep("1 second"), json(200, { n }))
      )
      const error = yield* Effect.flip(client.get(videos))
      assert.deepInclude(error.cause, { code: "ECONNREFUSED" })
      const fiber = yield* Effect.forkChild(client.get(videos))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* (yield* Fiber.join(fiber)).json, { n: 2 })
      assert.strictEqual((yield* requests).length, 2)
    })
  )
})
