/** Which instants a `Retry-After` names. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { HttpClientRequest } from "effect/http"
import { ApiVideoError } from "effect-video-auth/api-video"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { status } from "effect-video-auth/testing/RecordingHttpClient"

/** What a response asks for that was written at 08:49:30. */
const waitOf = (retryAfter: string) =>
  Recording.make(() => status(503, { "retry-after": retryAfter, date: "Sun, 06 Nov 1994 08:49:30 GMT" }))
    .client.execute(HttpClientRequest.get("https://ws.api.video/videos"))
    .pipe(Effect.map(ApiVideoError.retryAfterOf))

describe("Retry-After", () => {
  // RFC 9110 §5.6.7 has these.
  for (const date of ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]) {
    it.effect(`is an HTTP date: ${date}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* waitOf(date), Duration.seconds(7))
      })
    )
  }

  for (const text of [
    "soon",
    "1994-11-06T08:49:37Z",
    "Sun, 06 Nov 1994",
    "Sun, 99 Xyz 1994 08:49:37 GMT",
    "06 Nov 1994 08:49:37 GMT"
  ]) {
    it.effect(`is nothing else: ${text}`, () =>
      Effect.gen(function* () {
        assert.isUndefined(yield* waitOf(text))
      })
    )
  }
})
