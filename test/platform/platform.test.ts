/** What every platform on the kit can do, shown on one that has nothing of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer, Logger, Redacted, Schema } from "effect"
import { HttpClient } from "effect/http"
import type { CircuitBreaker } from "effect/persistence"
import {
  ApiVideo,
  MovingImage,
  OAuth2,
  Platform,
  PlatformError,
  StatusReason,
  TokenServiceMap
} from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, status } from "effect-video-auth/testing/RecordingHttpClient"

class ExampleError extends PlatformError.PlatformError.extend<ExampleError>("ExampleError")({
  _tag: Schema.tag("ExampleError"),
  reason: StatusReason.Reason
}) {}

class Example extends Context.Service<Example, Platform.Client<ExampleError>>()("Example") {}

const example = Platform.make({
  service: Example,
  name: "example",
  server: Platform.serverAt({ platform: "example", baseUrl: "https://api.example.com/v1" }),
  secrets: { id: "the id of the application", secret: "the secret of the application" },
  provider: ({ id, secret }) =>
    OAuth2.jwtBearer({
      issuer: "https://login.example.com",
      discovery: { token_endpoint: "https://login.example.com/token" },
      clientId: "example",
      authentication: { method: "client_secret_basic", clientSecret: secret },
      assertion: id
    }),
  errors: PlatformError.make({
    Error: ExampleError,
    ...StatusReason.table,
    read: ({ text }) => ({ code: text("code"), detail: text("message") })
  }),
  limits: { perMinute: { requests: 100 }, classOf: () => "requests" }
})

const isTokenRequest = ({ url }: { readonly url: string }) => url.startsWith("https://login.example.com/")

const token = json(200, { access_token: "access-1", token_type: "Bearer", expires_in: 300 })

/** A network on which the token endpoint works, and the API responds with this. */
const network = (respond: () => Response) =>
  Recording.make((request) => (isTokenRequest(request) ? token.clone() : respond()))

const credentialOf = (request: Recording.Recorded | undefined) =>
  request?.authorization && Redacted.value(request.authorization)

const id = Redacted.make("id-1")
const secret = Redacted.make("secret1")
const get = Example.use((api) => api.get("/videos/1"))

describe("layer", () => {
  it.effect("sends the token to the base URL, and provides its service under the platform's key", () =>
    Effect.gen(function* () {
      const { client, requests } = network(() => json(200, {}))
      yield* Effect.gen(function* () {
        yield* get
        const tokens = yield* example.Tokens
        assert.strictEqual((yield* tokens.state).phase, "valid")
      }).pipe(Effect.provide(example.layer({ id, secret })), Effect.provideService(HttpClient.HttpClient, client))
      const [, request] = yield* requests
      assert.strictEqual(request?.url, "https://api.example.com/v1/videos/1")
      assert.strictEqual(credentialOf(request), "Bearer access-1")
    })
  )

  it.effect("merges with the layers of other platforms, each with a service of its own", () =>
    Effect.gen(function* () {
      const { client } = network(() => json(200, {}))
      const live = Layer.mergeAll(
        example.layer({ id, secret }),
        ApiVideo.layer({ apiKey: Redacted.make("key"), eager: false }),
        MovingImage.layer({ username: id, password: secret, eager: false })
      ).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
      const services = Effect.all([example.Tokens, ApiVideo.Tokens, MovingImage.Tokens])
      const phases = Effect.flatMap(services, (all) => Effect.forEach(all, ({ state }) => state))
      const states = yield* Effect.provide(phases, live)
      assert.deepStrictEqual(
        states.map(({ phase }) => phase),
        ["valid", "empty", "empty"]
      )
    })
  )

  it.effect("reads secrets by effects whose services it takes from its own context", () =>
    Effect.gen(function* () {
      class Vault extends Context.Service<Vault, { readonly read: Effect.Effect<Redacted.Redacted> }>()("Vault") {}
      const { client, requests } = network(() => json(200, {}))
      const live: Layer.Layer<Example, unknown, HttpClient.HttpClient | Vault> = example.layer({
        id,
        secret: Vault.use(({ read }) => read)
      })
      yield* get.pipe(
        Effect.provide(live),
        Effect.provideService(Vault, { read: Effect.succeed(secret) }),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      const [login] = yield* requests
      assert.strictEqual(credentialOf(login), `Basic ${btoa("example:secret1")}`)
    })
  )
})

describe("layerConfig", () => {
  const live = example.layerConfig({ id: Config.Redacted("ID"), secret: Config.Redacted("SECRET") })
  const withVariables = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnv({ env }))

  it.effect("reads the secrets", () =>
    Effect.gen(function* () {
      const { client, requests } = network(() => json(200, {}))
      yield* get.pipe(
        Effect.provide(Layer.provide(live, withVariables({ ID: "id-1", SECRET: "secret2" }))),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      const [login] = yield* requests
      assert.strictEqual(credentialOf(login), `Basic ${btoa("example:secret2")}`)
    })
  )

  it.effect("says which variable is missing, and what to set it to", () =>
    Effect.gen(function* () {
      const { client, requests } = network(() => json(200, {}))
      const error = yield* get.pipe(
        Effect.provide(Layer.provide(live, withVariables({ ID: "id-1" }))),
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.flip
      )
      assert.include(error.message, "the variable SECRET is not set. Set it to the secret of the application")
      assert.deepStrictEqual(yield* requests, [])
    })
  )
})

it.effect("many identities share the platform's limits, and have a token each", () =>
  Effect.gen(function* () {
    const { client, requests } = network(() => json(200, {}))
    yield* Effect.gen(function* () {
      const one = yield* example.clientFor({ id, secret })
      const other = yield* example.clientFor({ id: Redacted.make("id-2"), secret })
      yield* one.get("/videos/1")
      yield* other.get("/videos/2")
    }).pipe(
      Effect.provide(example.layerMap({}).pipe(Layer.provide(TokenServiceMap.layer()))),
      Effect.provideService(HttpClient.HttpClient, client)
    )
    assert.strictEqual((yield* requests).filter(isTokenRequest).length, 2)
  })
)

describe("what a platform may differ in", () => {
  class Numbered extends Context.Service<Numbered, Platform.Client<ExampleError>>()("Numbered") {}

  /** Its errors have numbers as codes, and each of its requests names the application. */
  const numbered = Platform.make({
    service: Numbered,
    name: "numbered",
    server: Platform.serverAt({
      platform: "numbered",
      baseUrl: "https://api.example.com",
      headers: ({ clientId }: { readonly clientId: string }) => ({ "Client-Id": clientId })
    }),
    secrets: { clientSecret: "the secret of the application" },
    provider: ({ clientSecret }, { clientId }: { readonly clientId: string }) =>
      OAuth2.clientCredentials({
        issuer: "https://login.example.com",
        discovery: { token_endpoint: "https://login.example.com/token" },
        clientId,
        authentication: { method: "client_secret_post", clientSecret }
      }),
    errors: PlatformError.make({
      Error: ExampleError,
      ...StatusReason.table,
      // Its codes are never missing, and its errors have no text.
      read: ({ body, text }) => ({ code: text("code") ?? text("code", body["error"]) ?? "none" })
    }),
    limits: { perMinute: { light: 100, heavy: 10 }, classOf: () => "light" }
  })
  const ask = Numbered.use((api) => api.get("/videos"))

  it.effect("headers of each of its requests, from an option, and of no other", () =>
    Effect.gen(function* () {
      const { client, requests } = network(() => json(200, {}))
      const live = numbered.layerConfig({ clientId: Config.String("ID"), clientSecret: secret })
      yield* Effect.andThen(
        ask,
        Numbered.use((api) => api.get("https://elsewhere.example.com"))
      ).pipe(
        Effect.provide(
          Layer.provide(live, ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ID: "application-1" } })))
        ),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      const sent = (yield* requests).map(({ headers, url }) => [url, headers["client-id"]])
      assert.deepStrictEqual(sent, [
        ["https://login.example.com/token", undefined],
        ["https://api.example.com/videos", "application-1"],
        ["https://elsewhere.example.com/", undefined]
      ])
    })
  )

  it.effect("headers that are always the same", () =>
    Effect.gen(function* () {
      const { headers } = yield* Platform.serverAt({
        platform: "example",
        baseUrl: "https://api.example.com",
        headers: { "api-version": "2" }
      })({})
      assert.deepStrictEqual(headers, { "api-version": "2" })
    })
  )

  for (const [body, code] of [
    [{ code: 300 }, "300"],
    [{ code: 0 }, "0"],
    [{ code: "not_found" }, "not_found"],
    [{ code: { code: 300 } }, "none"],
    [{ code: true }, "none"],
    [{ error: { code: 300 } }, "300"],
    [{ error: null }, "none"],
    [{ error: "not_found" }, "none"],
    [[], "none"]
  ] as const) {
    it.effect(`where codes are: ${JSON.stringify(body)}`, () =>
      Effect.gen(function* () {
        const read = yield* ask.pipe(
          Effect.catchReason("ExampleError", "NotFound", ({ code }) => Effect.succeed(code)),
          Effect.provide(numbered.layerTest({ clientId: "application-1", respond: () => json(404, body) }))
        )
        assert.strictEqual(read, code)
      })
    )
  }
})

describe("layerTest", () => {
  it.effect("answers by route, and the rest with a function", () =>
    Effect.gen(function* () {
      const statusOf = (path: string) =>
        Example.use((api) => api.get(path)).pipe(Effect.map((response) => response.status))
      const statuses = yield* Effect.all([statusOf("/videos/1?a=b"), statusOf("/videos/2")]).pipe(
        Effect.provide(
          example.layerTest({ routes: { "GET /videos/1": () => status(200) }, respond: () => status(204) })
        )
      )
      assert.deepStrictEqual(statuses, [200, 204])
    })
  )

  it.effect("dies of a request that has no answer, and names it", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.provide(get, example.layerTest({ routes: {} })))
      assert.include(String(exit), "GET /videos/1: the spec doesn't answer requests to it")
    })
  )
})

/** A network that responds with a redirect, a 503, and then with 200. */
const eventful = () => {
  const responses = [status(307, { location: "/v1/videos/2" }), status(503), status(503)]
  return network(() => responses.shift() ?? json(200, {}))
}

describe("Effect's combinators", () => {
  it("do not compile around the typed client, which has no responses for them to see", () => {
    const program = Example.use((api) => {
      // @ts-expect-error redirects are errors there
      const following = () => HttpClient.followRedirects(api)
      // @ts-expect-error responses are errors there
      const retrying = () => HttpClient.retryTransient(api, { times: 1 })
      const breaking = (breaker: CircuitBreaker.CircuitBreaker) =>
        // @ts-expect-error responses are errors there
        HttpClient.withCircuitBreaker(api, { breaker })
      return Effect.succeed([following, retrying, breaking])
    })
    assert.isTrue(Effect.isEffect(program))
  })

  it.live("work on `httpClient`", () =>
    Effect.gen(function* () {
      const { client } = eventful()
      const response = yield* Example.use(({ httpClient }) =>
        httpClient.pipe(HttpClient.followRedirects(), HttpClient.retryTransient({ times: 2 })).get("/videos/1")
      ).pipe(Effect.provide(example.layer({ id, secret })), Effect.provideService(HttpClient.HttpClient, client))
      assert.strictEqual(response.status, 200)
    })
  )

  it.live("work in `transformClient`", () =>
    Effect.gen(function* () {
      const { client } = eventful()
      const response = yield* get.pipe(
        Effect.provide(
          example.layer({
            id,
            secret,
            retry: false,
            transformClient: (client) =>
              client.pipe(HttpClient.followRedirects(), HttpClient.retryTransient({ times: 2 }))
          })
        ),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.strictEqual(response.status, 200)
    })
  )

  it.effect("a program's own wrapper sees calls, with their typed errors", () =>
    Effect.gen(function* () {
      const tags: Array<string> = []
      yield* Example.use((api) =>
        Platform.transform(api, (call) => Effect.tapError(call, ({ _tag }) => Effect.sync(() => tags.push(_tag)))).get(
          "/"
        )
      ).pipe(Effect.flip, Effect.provide(example.layerTest({ respond: () => status(404) })))
      assert.deepStrictEqual(tags, ["ExampleError"])
    })
  )
})

describe("two services of one identity in one process", () => {
  const apiKey = Redacted.make("key-1")
  const { client } = network(() => json(200, {}))
  const apiVideo = { apiKey, eager: false }
  const routes: Readonly<Record<string, Layer.Layer<never, unknown, HttpClient.HttpClient>>> = {
    "a client and a token": Layer.merge(ApiVideo.layer(apiVideo), ApiVideo.layerToken(apiVideo)),
    "two tokens": Layer.merge(ApiVideo.layerToken(apiVideo), ApiVideo.layerToken(apiVideo)),
    movingimage: Layer.merge(
      MovingImage.layer({ username: id, password: secret, eager: false }),
      MovingImage.layerToken({ username: id, password: secret, eager: false })
    ),
    OAuth: Layer.merge(example.layer({ id, secret, eager: false }), example.layerToken({ id, secret, eager: false }))
  }
  const warningsOf = <A, E>(layer: Layer.Layer<A, E, HttpClient.HttpClient>) =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      yield* Effect.scoped(Layer.build(layer)).pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      return warnings
    })

  for (const [name, layer] of Object.entries(routes)) {
    it.effect(`log a warning: ${name}`, () =>
      Effect.gen(function* () {
        const warnings = yield* warningsOf(layer)
        assert.strictEqual(warnings.length, 1)
        assert.include(warnings[0], "is used by two services in this process")
      })
    )
  }

  it.effect("log none if they share a layer, or one has closed", () =>
    Effect.gen(function* () {
      const tokens = ApiVideo.layerToken(apiVideo)
      const shared = Layer.merge(Layer.provide(ApiVideo.layerClient(), tokens), tokens)
      assert.deepStrictEqual(yield* warningsOf(shared), [])
      assert.deepStrictEqual(yield* warningsOf(shared), [])
    })
  )
})
