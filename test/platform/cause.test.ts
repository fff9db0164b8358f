/** What an error says about its cause: a system's code, or the error of a program, and no secret. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { ApiVideo, MovingImage, OAuth2, type TokenError, TokenService } from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import { MovingImageError } from "effect-video-auth/moving-image"
import { TestClock } from "effect/testing"
import { setImmediate } from "node:timers/promises"
import { inspect } from "node:util"
import { reportOf } from "../../src/platform/shared/cause.ts"
import { transports } from "../support/bodies.ts"
import { listen } from "../support/listen.ts"

const asItIs = (text: string) => text

/** An error as transports make them. */
const failure = (name: string, message: string, more: object = {}) => Object.assign(new Error(message), { name }, more)

describe("a cause is named by", () => {
  const econnreset = failure("Error", "read ECONNRESET", { code: "ECONNRESET", syscall: "read" })
  const cases: ReadonlyArray<readonly [name: string, cause: unknown, text: string | undefined, isBug: boolean]> = [
    ["a code of Node", econnreset, "ECONNRESET", false],
    [
      "the code inside of fetch's error",
      failure("TypeError", "fetch failed", { cause: econnreset }),
      "ECONNRESET",
      false
    ],
    [
      "the innermost code",
      failure("SocketError", "other side closed", { code: "UND_ERR_SOCKET", cause: econnreset }),
      "ECONNRESET",
      false
    ],
    [
      "a code among several errors",
      Object.assign(new AggregateError([econnreset]), { message: "" }),
      "ECONNRESET",
      false
    ],
    ["a code of Bun", failure("Error", "Unable to connect", { code: "ConnectionRefused" }), "ConnectionRefused", false],
    [
      "an error of the program: name and message",
      failure("TypeError", "dispatcher.request is not a function.\n (In 'dispatcher.request({\n...})')"),
      "TypeError: dispatcher.request is not a function. (In 'dispatcher.request({ ...})')",
      true
    ],
    [
      "an error of the program: name, code and message",
      failure("TypeError", 'Invalid character in header content ["x-a"]', { code: "ERR_INVALID_CHAR" }),
      'TypeError: ERR_INVALID_CHAR: Invalid character in header content ["x-a"]',
      true
    ],
    [
      "a variable that is not there",
      failure("ReferenceError", "Buffer is not defined"),
      "ReferenceError: Buffer is not defined",
      true
    ],
    ...[
      "Failed to fetch",
      "NetworkError when attempting to fetch resource.",
      "Load failed",
      "Network request failed"
    ].map(
      (words) =>
        [`the words of a browser: ${words}`, failure("TypeError", words), `TypeError: ${words}`, false] as const
    ),
    ["nothing, if it is none of these", failure("Error", "a text that may contain anything"), undefined, false],
    ["nothing, if it is no error", "credential-1", undefined, false],
    ["nothing, if its code is a text", failure("Error", "a", { code: "credential-1 was refused" }), undefined, false],
    [
      "nothing, if it cannot be looked at",
      Object.defineProperty(new Error("a"), "code", {
        get: () => {
          throw new Error("no")
        }
      }),
      undefined,
      false
    ]
  ]
  for (const [name, cause, text, isBug] of cases) {
    it(name, () => assert.deepStrictEqual(reportOf(cause, asItIs), text === undefined ? undefined : { text, isBug }))
  }

  it("itself, once, where causes go round", () => {
    const round = failure("Error", "a", { code: "ELOOP" })
    round.cause = round
    assert.deepStrictEqual(reportOf(round, asItIs), { text: "ELOOP", isBug: false })
  })

  it("a text of a bounded length", () => {
    const report = reportOf(failure("TypeError", `${"a".repeat(1e6)} is not a function`), asItIs)
    assert.isBelow(report!.text.length, 250)
  })
})

/** A transport that fails as told. What it fails with may contain all that was sent. */
const failing = (cause: (sent: string) => unknown) => {
  let attempts = 0
  const client = HttpClient.make((request) => {
    attempts += 1
    const { body } = request
    const sent = `${body._tag === "Raw" ? String(body.body) : ""} ${request.headers["authorization"] ?? ""} ${request.url}`
    const reason = new HttpClientError.TransportError({ request, cause: cause(sent) })
    return Effect.fail(new HttpClientError.HttpClientError({ reason }))
  })
  return { client, attempts: () => attempts }
}

const username = Redacted.make("credential-1")
const password = Redacted.make("credential-2+/ä")
const apiKey = Redacted.make("credential-3")

const layers: Readonly<
  Record<string, Layer.Layer<TokenService.TokenService, TokenError.TokenError, HttpClient.HttpClient>>
> = {
  "api.video": ApiVideo.layerToken({ apiKey }),
  movingimage: MovingImage.layerToken({ username, password }),
  "a password of OAuth": OAuth2.layerToken(
    OAuth2.password({
      issuer: "https://login.example.com",
      clientId: "my-app",
      discovery: { token_endpoint: "https://login.example.com/token" },
      username,
      password
    })
  ),
  "OAuth with discovery": OAuth2.layerToken(
    OAuth2.clientCredentials({
      issuer: "https://login.example.com",
      clientId: "my-app",
      authentication: { method: "client_secret_basic", clientSecret: password }
    })
  )
}

/** Builds a layer while time passes, and gives its failure, if it is one. */
const startWith = Effect.fnUntraced(function* (
  layer: Layer.Layer<TokenService.TokenService, TokenError.TokenError, HttpClient.HttpClient>,
  client: HttpClient.HttpClient
) {
  const building = yield* Layer.build(layer).pipe(
    Effect.provideService(HttpClient.HttpClient, client),
    Effect.exit,
    Effect.forkScoped
  )
  let seconds = 0
  while (building.pollUnsafe() === undefined) {
    yield* Effect.promise(() => setImmediate())
    yield* TestClock.adjust("100 millis")
    seconds += 0.1
  }
  return { exit: yield* Fiber.join(building), seconds }
})

for (const [name, layer] of Object.entries(layers)) {
  describe(`a start with ${name}`, () => {
    it.effect("on a transport that does not work here fails at once, and shows why", () =>
      Effect.gen(function* () {
        const { attempts, client } = failing(() => failure("TypeError", "dispatcher.request is not a function"))
        const { exit } = yield* startWith(layer, client)
        const error = yield* Effect.flip(exit)
        assert.deepInclude(error.reason, { _tag: "ConfigurationInvalid", option: "HttpClient" })
        assert.include(
          error.message,
          "HttpClient is invalid: it failed with TypeError: dispatcher.request is not a function."
        )
        assert.strictEqual(attempts(), 1)
      })
    )

    it.effect("without a network goes on, in a browser, too", () =>
      Effect.gen(function* () {
        const { client } = failing(() => failure("TypeError", "Failed to fetch"))
        assert.isTrue(Exit.isSuccess((yield* startWith(layer, client)).exit))
      })
    )

    it.effect("shows no secret that a transport repeats", () =>
      Effect.gen(function* () {
        const { client } = failing((sent) =>
          failure("TypeError", `${sent} ${encodeURIComponent(sent)} is not a function`)
        )
        const { exit } = yield* startWith(layer, client)
        const writing = inspect(exit, { depth: 20 })
        assert.notMatch(writing, /credential-\d/)
        assert.notInclude(writing, Buffer.from("my-app:").toString("base64").slice(0, 9))
      })
    )
  })
}

describe("an error of a request", () => {
  for (const [transport, layer] of Object.entries(transports)) {
    it.live(`shows the system's code (${transport})`, () =>
      Effect.gen(function* () {
        // A port on which nobody listens any more.
        const { url: baseUrl } = yield* Effect.scoped(listen)
        const login = yield* Effect.flip(ApiVideo.authenticate({ apiKey }, { baseUrl }))
        assert.include(login.message, "the platform cannot be reached: ECONNREFUSED")
        const request = ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
          Effect.provide(
            Layer.provide(ApiVideo.layerClient({ baseUrl, retry: false }), TokenService.layerTest(["access-1"]))
          )
        )
        const failed = yield* Effect.flip(request)
        assert.include(failed.message, "ECONNREFUSED")
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("shows an error of the program without the credentials of the request", () =>
    Effect.gen(function* () {
      const { client } = failing((sent) => failure("TypeError", `f is not a function: ${sent}`))
      const request = ApiVideo.ApiVideo.use((api) => api.post("/upload-tokens/upload-1?token=upload-2")).pipe(
        Effect.provide(Layer.provide(ApiVideo.layerClient({ retry: false }), TokenService.layerTest(["access-1"]))),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      const { message } = yield* Effect.flip(request)
      assert.include(message, "is not a function")
      assert.notMatch(message, /access-1|upload-\d/)
    })
  )
})

describe("the advice after a 401", () => {
  const adviceFor = <A extends { readonly message: string }>(
    fromResponse: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A>,
    request: HttpClientRequest.HttpClientRequest
  ) =>
    Effect.map(
      fromResponse(HttpClientResponse.fromWeb(request, Response.json({ title: "Too bad.." }, { status: 401 }))),
      ({ message }) => message
    )
  const own = HttpClientRequest.get("https://ws.api.video/videos", { headers: { authorization: "Bearer mine" } })

  it.effect("of api.video is about what the request carried", () =>
    Effect.gen(function* () {
      const of = (request: HttpClientRequest.HttpClientRequest) => adviceFor(ApiVideoError.fromResponse, request)
      assert.strictEqual(
        yield* of(own),
        "GET /videos: 401: Too bad. Check the Authorization header that the request brought itself."
      )
      assert.include(yield* of(HttpClientRequest.basicAuth(HttpClientRequest.get("/videos"), "key", "")), "API key")
      assert.include(yield* of(HttpClientRequest.post("/upload?token=to1")), "upload token")
      const redacted = HttpClientRequest.setUrlParam(HttpClientRequest.post("/upload"), "token", Redacted.make("to1"))
      assert.include(yield* of(redacted), "upload token")
      assert.include(yield* of(HttpClientRequest.get("/videos")), "no credential")
    })
  )

  it.effect("of movingimage is about what the request carried", () =>
    Effect.gen(function* () {
      const of = (request: HttpClientRequest.HttpClientRequest) => adviceFor(MovingImageError.fromResponse, request)
      assert.include(yield* of(own), "Check the Authorization header that the request brought itself.")
      const upload = HttpClientRequest.post("https://asset-in.video-cdn.net/chunks/1?vm=5&__token__=1~55")
      assert.include(yield* of(upload), "Check the token in the URL")
      assert.include(yield* of(HttpClientRequest.get("/v1/vms")), "Check username and password")
    })
  )
})
