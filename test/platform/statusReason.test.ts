/** What becomes of a platform's responses that are errors, where the platform has no reasons of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import { PlatformError, StatusReason } from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, status } from "effect-video-auth/testing/RecordingHttpClient"

class ExampleError extends PlatformError.PlatformError.extend<ExampleError>("ExampleError")({
  _tag: Schema.tag("ExampleError"),
  reason: StatusReason.Reason
}) {}

const errors = PlatformError.make({
  Error: ExampleError,
  ...StatusReason.table,
  read: ({ text }: PlatformError.Reading) => ({ code: text("code"), detail: text("message") }),
  hiding: { inUrl: /(?<=\/shares\/)[^/?#]+/g, parameters: ["token"] }
})

const errorOf = (response: Response, request = HttpClientRequest.get("https://api.example.com/videos/1?a=b")) =>
  Effect.flatMap(Recording.make(() => response).client.execute(request), errors.fromResponse)

const byStatus: ReadonlyArray<readonly [status: number, reason: StatusReason.Reason["_tag"], isRetryable: boolean]> = [
  [307, "Redirected", false],
  [400, "BadRequest", false],
  [401, "Unauthorized", false],
  [402, "UnexpectedStatus", false],
  [403, "Forbidden", false],
  [404, "NotFound", false],
  [405, "MethodNotAllowed", false],
  [408, "UnexpectedStatus", true],
  [409, "Conflict", false],
  [415, "UnsupportedMediaType", false],
  [422, "UnprocessableContent", false],
  [429, "RateLimited", true],
  [500, "ServerError", true],
  [599, "ServerError", true]
]

describe("the status decides the reason:", () => {
  for (const [code, tag, isRetryable] of byStatus) {
    it.effect(`${code} is ${tag}`, () =>
      Effect.gen(function* () {
        const error = yield* errorOf(json(code, { code: "NO", message: "no such thing" }))
        assert.instanceOf(error, ExampleError)
        assert.strictEqual(error.reason._tag, tag)
        assert.strictEqual(error.isRetryable, isRetryable)
        assert.deepInclude(
          { ...error.reason },
          { method: "GET", path: "/videos/1", status: code, code: "NO", detail: "no such thing" }
        )
        const said = code < 400 ? "the server redirects" : "no such thing"
        assert.isTrue(error.message.startsWith(`GET /videos/1: ${code}: ${said}. `), error.message)
      })
    )
  }
})

it.effect("a wait and a limit are part of the reason, and of its advice", () =>
  Effect.gen(function* () {
    const { reason, retryAfter } = yield* errorOf(status(429, { "retry-after": "7", "x-ratelimit-limit": "100" }))
    assert.deepInclude({ ...reason }, { retryAfter: Duration.seconds(7), limit: 100 })
    assert.deepStrictEqual(retryAfter, Duration.seconds(7))
    assert.include(reason.message, "Try again in 7 s")
  })
)

it.effect("a redirect says where it leads, without query and credentials", () =>
  Effect.gen(function* () {
    const { message, reason } = yield* errorOf(status(303, { location: "https://other.example.com/shares/secret?b=c" }))
    assert.strictEqual(reason._tag === "Redirected" && reason.location, "https://other.example.com/shares/<redacted>")
    assert.include(message, "redirects to https://other.example.com/shares/<redacted>.")
  })
)

it.effect("no text repeats a credential of the request", () =>
  Effect.gen(function* () {
    const request = HttpClientRequest.get("https://api.example.com/shares/secret-1?token=secret-2").pipe(
      HttpClientRequest.bearerToken("secret-3")
    )
    const error = yield* errorOf(json(404, { code: "secret-1", message: "secret-2 and secret-3\nare wrong" }), request)
    const { reason } = error
    assert.deepInclude(
      { ...reason },
      { path: "/shares/<redacted>", code: "<redacted>", detail: "<redacted> and <redacted> are wrong" }
    )
  })
)

it.effect("an error crosses a wire as JSON", () =>
  Effect.gen(function* () {
    const codec = Schema.toCodecJson(ExampleError)
    for (const [code] of byStatus) {
      const error = yield* errorOf(json(code, { message: "no" }, { "retry-after": "3" }))
      const there = yield* Schema.encodeEffect(codec)(error)
      const back = yield* Schema.decodeEffect(codec)(JSON.parse(JSON.stringify(there)))
      assert.instanceOf(back, ExampleError)
      assert.deepStrictEqual(back.reason, error.reason)
      assert.strictEqual(back.message, error.message)
    }
  })
)
