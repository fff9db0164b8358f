/** What becomes of movingimage's answers from 400 up. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Redacted, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { MovingImage } from "effect-video-auth"
import { MovingImageError } from "effect-video-auth/moving-image"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, status } from "effect-video-auth/testing/RecordingHttpClient"

/** The error of an answer to a request. */
const errorOf = (
  response: Response,
  request: HttpClientRequest.HttpClientRequest = HttpClientRequest.get("https://api.video-cdn.net/v1/vms/5/videos?a=b")
) => Effect.flatMap(Recording.make(() => response).client.execute(request), MovingImageError.fromResponse)

const reasons: ReadonlyArray<readonly [status: number, reason: MovingImageError.Reason["_tag"], isRetryable: boolean]> =
  [
    [400, "BadRequest", false],
    [401, "Unauthorized", false],
    [403, "Forbidden", false],
    [404, "NotFound", false],
    [405, "UnexpectedStatus", false],
    [408, "UnexpectedStatus", true],
    [409, "UnexpectedStatus", false],
    [415, "UnsupportedMediaType", false],
    [418, "UnexpectedStatus", false],
    [429, "RateLimited", true],
    [500, "ServerError", true],
    [502, "ServerError", true],
    [503, "ServerError", true],
    [599, "ServerError", true]
  ]

describe("an answer is an error by its status:", () => {
  for (const [code, tag, isRetryable] of reasons) {
    it.effect(`${code} is ${tag}`, () =>
      Effect.gen(function* () {
        const error = yield* errorOf(json(code, { message: "an error occurred" }))
        assert.strictEqual(error.reason._tag, tag)
        assert.strictEqual(error.isRetryable, isRetryable)
        assert.deepInclude(
          { ...error.reason },
          { method: "GET", path: "/v1/vms/5/videos", status: code, code: undefined, detail: "an error occurred" }
        )
        assert.match(error.message, new RegExp(`^GET /v1/vms/5/videos: ${code}: an error occurred(\\. |$)`))
      })
    )
  }

  it.effect("it can be handled by its reason", () =>
    Effect.gen(function* () {
      const handled = yield* MovingImage.MovingImage.use((api) => api.get("/v1/vms/6")).pipe(
        Effect.as("found"),
        Effect.catchReason("MovingImageError", "NotFound", ({ path }) => Effect.succeed(path)),
        Effect.provide(MovingImage.layerTest({ respond: () => status(404) }))
      )
      assert.strictEqual(handled, "/v1/vms/6")
    })
  )

  it.effect("it says how long to wait", () =>
    Effect.gen(function* () {
      const headers = { "retry-after": "7", "x-ratelimit-limit": "100", "x-ratelimit-remaining": "0" }
      const limited = yield* errorOf(status(429, headers))
      assert.deepStrictEqual(limited.retryAfter, Duration.seconds(7))
      assert.deepInclude({ ...limited.reason }, { limit: 100, remaining: 0 })
      assert.include(limited.message, "Try again in 7 s")
      assert.include((yield* errorOf(status(429))).message, "Try again in 60 s")
      assert.deepStrictEqual((yield* errorOf(status(503, headers))).retryAfter, Duration.seconds(7))
      assert.isUndefined((yield* errorOf(status(404, headers))).retryAfter)
    })
  )

  it.effect("it crosses a wire as JSON", () =>
    Effect.gen(function* () {
      const codec = Schema.toCodecJson(MovingImageError.MovingImageError)
      for (const [code] of reasons) {
        const error = yield* errorOf(json(code, { message: "no", errorCode: 1101 }, { "retry-after": "3" }))
        const wire = JSON.stringify(yield* Schema.encodeEffect(codec)(error))
        const back = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(wire))
        assert.deepStrictEqual({ ...back.reason }, { ...error.reason })
        assert.strictEqual(back.message, error.message)
      }
    })
  )
})

describe("a documented number", () => {
  for (const [text, meaning] of Object.entries(Sandbox.errorNumbers)) {
    const code = Number(text)
    it.effect(`${code} is a code, and the message says what it means: ${meaning}`, () =>
      Effect.gen(function* () {
        for (const field of ["errorCode", "errorcode", "code", "error", "number"]) {
          for (const value of [code, text]) {
            const { message, reason } = yield* errorOf(json(400, { message: "server's text", [field]: value }))
            assert.strictEqual(reason.code, code)
            assert.strictEqual(reason.detail, "server's text")
            // The documentation's sentence, in other words.
            const [word = ""] = meaning.toLowerCase().split(" ")
            assert.include(message.toLowerCase(), word)
            assert.match(message, new RegExp(`\\(${code}\\)\\. [A-Z]`))
          }
        }
      })
    )
  }

  it.effect("is found behind another that is none", () =>
    Effect.gen(function* () {
      const { reason } = yield* errorOf(json(400, { errorCode: "GENERAL_ERROR", error: "bad_request", code: 1002 }))
      assert.strictEqual(reason.code, 1002)
    })
  )

  for (const body of [
    { errorCode: 1000 },
    { errorCode: "1101x" },
    { errorCode: [1101] },
    { errorCode: { valueOf: 1, toString: 1 } },
    { code: true },
    { status: 1101 },
    [1101],
    1101
  ]) {
    it.effect(`is not ${JSON.stringify(body)}`, () =>
      Effect.gen(function* () {
        const { message, reason } = yield* errorOf(json(400, body))
        assert.isUndefined(reason.code)
        assert.strictEqual(message, "GET /v1/vms/5/videos: 400. Correct the request.")
      })
    )
  }

  it.effect("of the channels and the storage limit comes from the sandbox as well", () =>
    Effect.gen(function* () {
      const error = yield* errorOf(json(400, Sandbox.errorBody(1001)))
      assert.strictEqual(
        error.message,
        "GET /v1/vms/5/videos: 400: the root channel cannot be deleted (1001). Correct the request."
      )
    })
  )
})

describe("a body that is no error's leaves nothing but the status:", () => {
  const bodies: Readonly<Record<string, () => Response>> = {
    HTML: () => Recording.html(404, "<html><head><title>Error</title></head></html>"),
    "{}": () => json(404, {}),
    "no body": () => status(404),
    "truncated JSON": () => new Response('{"message": "half', { status: 404 }),
    "an array": () => json(404, [{ message: "a" }]),
    null: () => json(404, null),
    "a text": () => json(404, "an error"),
    "members of wrong types": () => json(404, { message: { text: "no" }, code: [] })
  }
  for (const [name, respond] of Object.entries(bodies)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { message, reason } = yield* errorOf(respond())
        assert.strictEqual(reason._tag, "NotFound")
        assert.deepInclude({ ...reason }, { code: undefined, detail: undefined })
        const why = name === "HTML" || name === "truncated JSON" ? ": the body is not JSON" : ""
        assert.strictEqual(message, `GET /v1/vms/5/videos: 404${why}. Check the ids and the path.`)
      })
    )
  }
})

describe("what a server repeats of a credential is removed:", () => {
  const secret = "1461246419962~55e8fd67/c0ff=ee"
  const encoded = encodeURIComponent(secret)
  const requests: Readonly<Record<string, HttpClientRequest.HttpClientRequest>> = {
    "the bearer token": HttpClientRequest.bearerToken(HttpClientRequest.get("https://example.com/a"), secret),
    "__token__ of an upload URL": HttpClientRequest.post(`https://example.com/chunks?a=b&__token__=${encoded}#c`),
    "__token__ of an upload URL, as it is": HttpClientRequest.post(`https://example.com/chunks?__token__=${secret}`),
    "__token__ in a path": HttpClientRequest.post(`https://example.com/chunks&__token__=${encoded}`),
    "__token__ among the parameters": HttpClientRequest.post("https://example.com/chunks", {
      urlParams: { __token__: secret }
    }),
    "a redacted parameter": HttpClientRequest.post("https://example.com/chunks").pipe(
      HttpClientRequest.setUrlParam("mitoken", Redacted.make(secret))
    ),
    "mitoken in a URL": HttpClientRequest.get(`https://example.com/a?mitoken=${encoded}&b=c`)
  }
  for (const [name, request] of Object.entries(requests)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { message, reason } = yield* errorOf(json(403, { message: `${secret} and ${encoded}` }), request)
        assert.strictEqual(reason.detail, "<redacted> and <redacted>")
        assert.notInclude(message + reason.path, secret)
        assert.notInclude(message + reason.path, encoded)
      })
    )
  }

  it.effect("all of it, where a password is in the body", () =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post("https://api.video-cdn.net/v1/vms/auth/uiintegration")
      const { message, reason } = yield* errorOf(json(401, { message: "ada: hunter2 is wrong" }), request)
      assert.isUndefined(reason.detail)
      assert.notInclude(message, "hunter2")
    })
  )

  it.effect("what is no encoding of anything", () =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post("https://example.com/chunks&__token__=1%~2")
      assert.strictEqual((yield* errorOf(json(403, { message: "1%~2" }), request)).reason.detail, "<redacted>")
    })
  )

  it("both of two in one URL", () => {
    assert.strictEqual(
      MovingImageError.redactUrl("https://example.com/a?__token__=one&b=c&mitoken=two#d"),
      "https://example.com/a?__token__=<redacted>&b=c&mitoken=<redacted>#d"
    )
    assert.strictEqual(MovingImageError.redactUrl("/v1/vms?page=2"), "/v1/vms?page=2")
  })
})

describe("a body does not hold the error back", () => {
  it.effect("that breaks off", () =>
    Effect.gen(function* () {
      const broken = new ReadableStream({ start: (controller) => controller.error(new Error("gone")) })
      assert.strictEqual((yield* errorOf(new Response(broken, { status: 500 }))).reason._tag, "ServerError")
    })
  )

  it.effect("that never ends", () =>
    Effect.gen(function* () {
      const endless = new Response(new ReadableStream(), { status: 500 })
      const fiber = yield* Effect.forkChild(errorOf(endless), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "ServerError")
    })
  )
})
