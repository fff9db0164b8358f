/** The example of a platform of one's own, against a server that imitates Brightcove. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, Layer, Redacted } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { Brightcove, BrightcoveLive, layer, layerTest, Tokens, videos } from "../examples/brightcove.ts"
import { readFileSync } from "node:fs"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, status } from "effect-video-auth/testing/RecordingHttpClient"
import { hasty, indiscreet, parrot, playing, watched, Witness } from "./support/witness.ts"

const tokenUrl = "https://oauth.brightcove.com/v4/access_token"
const clientSecret = Redacted.make("secret-1")
const options = { clientId: "client-1", clientSecret }

/** Brightcove: it knows one application, and its tokens are valid until it revokes them. */
const brightcove = (respond: (attempt: number) => Response = () => json(200, [{ id: "1", name: "Trailer" }])) => {
  let issued = 0
  let attempts = 0
  let firstValid = 1
  const server = Recording.make((request) => {
    if (request.url === tokenUrl) {
      const isKnown = request.headers["authorization"] === `Basic ${btoa("client-1:secret-1")}`
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
      const env = { BRIGHTCOVE_CLIENT_ID: "client-1", BRIGHTCOVE_CLIENT_SECRET: "secret-1" }
      const live = Layer.provide(BrightcoveLive, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
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

  it.effect("lists no videos of an account that there is not", () =>
    Effect.gen(function* () {
      const answers = [json(200, [{ id: "1" }]), json(404, [{ error_code: "NOT_FOUND" }])]
      const live = layerTest({ respond: () => answers.shift() ?? status(500) })
      const all = yield* Effect.provide(Effect.all([videos("1"), videos("2")]), live)
      assert.deepStrictEqual(all, [[{ id: "1" }], []])
    })
  )
})

describe("no secret of the Brightcove example is written down", () => {
  const planted = { secret: 'PLANTED-secret-"&=%é-7f3a91c2', issued: "PLANTED-token-7f3a91c2d4e5" }
  const issuing = Recording.make(() =>
    json(200, { access_token: planted.issued, token_type: "Bearer", expires_in: 300 })
  ).client

  /** Runs what a program does, with a server of tokens and one of the API. */
  const perform = Effect.fnUntraced(function* (tokens: HttpClient.HttpClient, api: HttpClient.HttpClient) {
    const witness = new Witness(...Object.values(planted))
    const play = playing(witness)
    const network = HttpClient.make((request) => (request.url === tokenUrl ? tokens : api).execute(request))
    const program = Effect.gen(function* () {
      const { execute } = yield* Brightcove
      yield* play("list", Effect.asVoid(execute(HttpClientRequest.get("/accounts/1/videos?q=a"))))
      yield* play("create", Effect.asVoid(execute(HttpClientRequest.post("/accounts/1/videos"))))
      const { get, invalidate, renew, state } = yield* Tokens
      yield* play("get", get)
      yield* play("renew", renew)
      yield* play("state", state)
      yield* play("invalidate", invalidate)
    })
    const clientSecret = Redacted.make(planted.secret)
    const settings = {
      ...options,
      clientSecret,
      eager: false,
      policy: hasty,
      rateLimitRetries: 0,
      retry: false
    } as const
    const starting = Effect.scoped(Effect.asVoid(Layer.build(layer({ ...settings, eager: true }))))
    const fiber = yield* Effect.forkChild(
      play("start", starting).pipe(
        Effect.andThen(Effect.provide(program, layer(settings))),
        Effect.provideService(HttpClient.HttpClient, network),
        watched(witness)
      )
    )
    // Some of it waits for WebCrypto, which no test clock moves.
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
    yield* Fiber.join(fiber)
    assert.isAbove(witness.seen.length, 100)
    return witness.leaks.join("\n")
  })

  for (const type of ["application/json", "text/plain"]) {
    for (const code of [200, 400, 401, 403, 404, 429, 500, 503]) {
      it.effect(`where a server repeats all of a request with ${code} ${type}`, () =>
        Effect.gen(function* () {
          assert.strictEqual(yield* perform(parrot(code, type), parrot(code, type)), "")
          assert.strictEqual(yield* perform(issuing, parrot(code, type)), "")
        })
      )
    }
  }

  it.effect("where a transport says what it was about to send", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* perform(indiscreet, indiscreet), "")
      assert.strictEqual(yield* perform(issuing, indiscreet), "")
    })
  )
})
