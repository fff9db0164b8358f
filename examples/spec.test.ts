/** Three ways to test a program without api.video: swap the layers, and don't touch the program. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { FetchHttpClient, HttpClientResponse } from "effect/http"
import { ApiVideo, TokenError, TokenService } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as RecordingHttpClient from "effect-video-auth/testing/RecordingHttpClient"

// The program under test.

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ title: Schema.String })) })

const titles = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const { data } = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Videos))
  return data.map(({ title }) => title)
}).pipe(Effect.catchReason("TokenError", "InvalidCredentials", () => Effect.succeed(["your key was refused"])))

describe("titles", () => {
  it.effect("reads what the API answers (canned answers, no network)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* titles, ["Trailer"])
    }).pipe(Effect.provide(ApiVideo.layerTest({ respond: () => Response.json({ data: [{ title: "Trailer" }] }) })))
  )

  it.effect("says so when the key is refused (a token that fails)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* titles, ["your key was refused"])
      const calls = yield* Effect.flatten(TokenService.TestCalls)
      assert.deepStrictEqual(
        calls.map(({ _tag }) => _tag),
        ["get", "reject"]
      )
      const requests = yield* RecordingHttpClient.RecordingHttpClient.use(({ requests }) => requests)
      assert.deepStrictEqual(
        requests.map((request) => [request.url, request.carries("first")]),
        [["https://ws.api.video/videos", true]]
      )
    }).pipe(
      Effect.provide(
        ApiVideo.layerClient().pipe(
          Layer.provideMerge(TokenService.layerTest(["first", new TokenError.InvalidCredentials({ status: 400 })])),
          Layer.provideMerge(RecordingHttpClient.layer(() => RecordingHttpClient.status(401)))
        )
      )
    )
  )

  it.live("outlives a revoked token (a server on loopback)", () =>
    Effect.gen(function* () {
      const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
      yield* sandbox.revokeAccessTokens
      assert.deepStrictEqual(yield* titles, [])
      const { refreshes, unauthorized } = yield* sandbox.ledger
      assert.deepStrictEqual({ refreshes, unauthorized }, { refreshes: 1, unauthorized: 1 })
    }).pipe(
      Effect.provide(
        Layer.unwrap(
          ApiVideoSandbox.ApiVideoSandbox.useSync(({ url }) =>
            ApiVideo.layer({ apiKey: Redacted.make("your_api_key"), baseUrl: url })
          )
        ).pipe(Layer.provide(FetchHttpClient.layer), Layer.provideMerge(ApiVideoSandbox.layer()))
      )
    )
  )
})
