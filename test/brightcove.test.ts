/** The example of a platform of one's own, against a server that imitates Brightcove. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, Redacted } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Brightcove, layer, layerConfig, layerTest, Tokens } from "../examples/brightcove.ts"
import { readFileSync } from "node:fs"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, status } from "effect-video-auth/testing/RecordingHttpClient"

const tokenUrl = "https://oauth.brightcove.com/v4/access_token"
const clientSecret = Redacted.make("secret1")
const options = { clientId: "client1", clientSecret }

/** Brightcove: it knows one application, and its tokens are valid until it revokes them. */
const brightcove = (respond: (attempt: number) => Response = () => json(200, [{ id: "1", name: "Trailer" }])) => {
  let issued = 0
  let attempts = 0
  let firstValid = 1
  const server = Recording.make((request) => {
    if (request.url === tokenUrl) {
      const isKnown = request.headers["authorization"] === `Basic ${btoa("client1:secret1")}`
      issued += 1
      return isKnown
        ? json(200, { access_token: `token-${issued}`, token_type: "Bearer", expires_in: 300 })
        : json(400, { error: "invalid_client", error_description: "secret2 is wrong" })
    }
    if (issued < firstValid || request.headers["authorization"] !== `Bearer token-${issued}`) {
      return json(401, [{ error_code: "UNAUTHORIZED", message: "Permission denied." }])
    }
    attempts += 1
    return respond(attempts)
  })
  const revoke = Effect.sync(() => {
    firstValid = issued + 1
  })
  const paths = Effect.map(server.requests, (all) => all.map(({ method, url }) => `${method} ${new URL(url).pathname}`))
  return { client: server.client, paths, revoke }
}

const list = Brightcove.use((api) => api.get("/accounts/1/videos"))
const exchange = "POST /v4/access_token"
const request = "GET /v1/accounts/1/videos"

describe("the Brightcove example", () => {
  it("needs no more than 80 lines", () => {
    const lines = readFileSync(new URL("../examples/brightcove.ts", import.meta.url), "utf8").split("\n").length - 1
    assert.isAtMost(lines, 80)
  })

  it.effect("logs in once, and again before the token of 300 s expires", () =>
    Effect.gen(function* () {
      const { client, paths } = brightcove()
      yield* Effect.gen(function* () {
        yield* list
        yield* list
        assert.deepStrictEqual(yield* paths, [exchange, request, request])
        yield* TestClock.adjust("299 seconds")
        yield* list
        assert.deepStrictEqual(yield* paths, [exchange, request, request, exchange, request])
        const { state } = yield* Tokens
        assert.strictEqual((yield* state).generation, 2)
      }).pipe(Effect.provide(layer(options)), Effect.provideService(HttpClient.HttpClient, client))
    })
  )

  it.effect("replaces a token that the API refuses, and sends the request again", () =>
    Effect.gen(function* () {
      const { client, paths, revoke } = brightcove()
      yield* Effect.gen(function* () {
        yield* revoke
        assert.strictEqual((yield* list).status, 200)
        assert.deepStrictEqual(yield* paths, [exchange, request, exchange, request])
      }).pipe(Effect.provide(layer(options)), Effect.provideService(HttpClient.HttpClient, client))
    })
  )

  it.effect("reads Brightcove's errors", () =>
    Effect.gen(function* () {
      const { client } = brightcove(() => json(404, [{ error_code: "RESOURCE_NOT_FOUND", message: "No video 1" }]))
      const reason = yield* list.pipe(
        Effect.catchReason("BrightcoveError", "NotFound", ({ code, detail }) => Effect.succeed({ code, detail })),
        Effect.provide(layer(options)),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.deepStrictEqual(reason, { code: "RESOURCE_NOT_FOUND", detail: "No video 1" })
    })
  )

  it.effect("refuses a wrong secret at the start, and repeats nothing of it", () =>
    Effect.gen(function* () {
      const { client, paths } = brightcove()
      const error = yield* list.pipe(
        Effect.provide(layer({ ...options, clientSecret: Redacted.make("secret2") })),
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.flip
      )
      assert.strictEqual(error._tag === "TokenError" && error.reason._tag, "InvalidCredentials")
      assert.notInclude(`${error.message} ${JSON.stringify(error)}`, "secret2")
      assert.deepStrictEqual(yield* paths, [exchange])
    })
  )

  it.live("retries a 503, waits for a 429, and counts what it sends", () =>
    Effect.gen(function* () {
      const { client, paths } = brightcove((n) =>
        n === 1 ? status(503) : n === 2 ? status(429, { "retry-after": "0" }) : json(200, [])
      )
      const result = yield* list.pipe(
        Effect.provide(layer(options)),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.strictEqual(result.status, 200)
      assert.deepStrictEqual(yield* paths, [exchange, request, request, request])
    })
  )

  it.effect("sends no more requests than its limit", () =>
    Effect.gen(function* () {
      const { client, paths } = brightcove()
      const error = yield* Effect.all([list, list]).pipe(
        Effect.provide(layer({ ...options, rateLimits: { reads: 1, writes: 1 }, rateLimitMaxWait: "1 second" })),
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.flip
      )
      assert.strictEqual(error._tag === "BrightcoveError" && error.reason._tag, "RateLimited")
      assert.deepStrictEqual(yield* paths, [exchange, request])
    })
  )

  it.effect("reads its options from configuration", () =>
    Effect.gen(function* () {
      const { client, paths } = brightcove()
      const env = { BRIGHTCOVE_CLIENT_ID: "client1", BRIGHTCOVE_CLIENT_SECRET: "secret1" }
      const live = layerConfig({
        clientId: Config.String("BRIGHTCOVE_CLIENT_ID"),
        clientSecret: Config.Redacted("BRIGHTCOVE_CLIENT_SECRET")
      }).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
      yield* list.pipe(Effect.provide(live), Effect.provideService(HttpClient.HttpClient, client))
      assert.deepStrictEqual(yield* paths, [exchange, request])
    })
  )

  it.effect("has a layer for specs", () =>
    Effect.gen(function* () {
      const routes = { "GET /accounts/1/videos": () => Response.json([]) }
      const response = yield* Effect.provide(list, layerTest({ routes }))
      assert.deepStrictEqual(yield* response.json, [])
    })
  )
})
