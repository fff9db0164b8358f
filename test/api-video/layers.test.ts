/** The layers of api.video: what they accept, what they do when they are built, and the two operations on their own. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Console,
  Duration,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Redacted,
  Schema
} from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { ApiVideo, RenewalPolicy, TokenError, TokenService, TokenStore } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, type Respond, status, transportError } from "effect-video-auth/testing/RecordingHttpClient"
import { setImmediate } from "node:timers/promises"

const apiKey = Redacted.make("your_api_key")
const onDemand = RenewalPolicy.onDemand

/** An API that takes any key, and every token. */
const api: Respond = (request, n) =>
  request.url.includes("/auth/")
    ? json(200, { access_token: `access-${n}`, refresh_token: `refresh-${n}`, token_type: "Bearer", expires_in: 3600 })
    : json(200, { data: [] })

const build = <A, E, R>(layer: Layer.Layer<A, E, R>) => Effect.scoped(Effect.asVoid(Layer.build(layer)))

/** What a layer, built over an API that takes everything, asks of it. */
const urlsOf = Effect.fnUntraced(function* <E>(layer: Layer.Layer<ApiVideo.ApiVideo, E, HttpClient.HttpClient>) {
  const { client, requests } = Recording.make(api)
  yield* ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
    Effect.provide(layer),
    Effect.provideService(HttpClient.HttpClient, client)
  )
  return (yield* requests).map(({ url }) => url)
})

/** The reason why a layer cannot be built, and how many requests it made to find out. */
const refusal = Effect.fnUntraced(function* <A, E>(
  layer: Layer.Layer<A, E, HttpClient.HttpClient>,
  respond: Respond = api
) {
  const { client, requests } = Recording.make(respond)
  const error = yield* Effect.flip(Effect.provideService(build(layer), HttpClient.HttpClient, client))
  if (!(error instanceof TokenError.TokenError)) return yield* Effect.die(error)
  return { error, reason: error.reason, requests: (yield* requests).length }
})

const invalidOption = Effect.fnUntraced(function* <A, E>(layer: Layer.Layer<A, E, HttpClient.HttpClient>) {
  const { reason, requests } = yield* refusal(layer)
  assert.strictEqual(requests, 0)
  return reason._tag === "ConfigurationInvalid" ? reason : yield* Effect.die(reason)
})

const settled = Effect.forEach(Array.from({ length: 10 }), () => Effect.promise(() => setImmediate()), {
  discard: true
})

describe("where requests go", () => {
  for (const [name, options, origin] of [
    ["to production, unless told otherwise", {}, "https://ws.api.video"],
    ["to production", { environment: "production" }, "https://ws.api.video"],
    ["to the sandbox", { environment: "sandbox" }, "https://sandbox.api.video"],
    ["to another server over https", { baseUrl: "https://video.example.com" }, "https://video.example.com"],
    ["to another port", { baseUrl: "https://video.example.com:8443" }, "https://video.example.com:8443"],
    ["below a path", { baseUrl: "https://video.example.com/v1/" }, "https://video.example.com/v1"],
    ["to loopback over http", { baseUrl: "http://127.0.0.1:8080" }, "http://127.0.0.1:8080"],
    ["to localhost over http", { baseUrl: "http://localhost:8080" }, "http://localhost:8080"],
    ["to loopback over http and IPv6", { baseUrl: "http://[::1]:8080" }, "http://[::1]:8080"],
    [
      "to the base URL rather than the environment's",
      { environment: "sandbox", baseUrl: "https://video.example.com" },
      "https://video.example.com"
    ]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* urlsOf(ApiVideo.layer({ ...options, apiKey })), [
          `${origin}/auth/api-key`,
          `${origin}/videos`
        ])
        assert.deepStrictEqual(yield* urlsOf(ApiVideo.layerBasic({ ...options, apiKey })), [`${origin}/videos`])
      })
    )
  }

  for (const baseUrl of [
    "http://video.example.com",
    "http://10.0.0.1",
    "http://127.0.0.1.example.com",
    "http://localhost.example.com",
    "ftp://video.example.com",
    "file:///etc/passwd",
    "//video.example.com",
    "video.example.com",
    "/videos",
    "",
    "https://",
    "https://user:password@video.example.com",
    "https://video.example.com?a=b",
    "https://video.example.com?",
    "https://video.example.com#a",
    "https://video.example.com/#"
  ]) {
    it.effect(`nowhere, if it is "${baseUrl}"`, () =>
      Effect.gen(function* () {
        for (const layer of [ApiVideo.layer({ baseUrl, apiKey }), ApiVideo.layerBasic({ baseUrl, apiKey })]) {
          assert.strictEqual((yield* invalidOption(layer)).option, "baseUrl")
        }
        const client = Layer.provide(ApiVideo.layerClient({ baseUrl }), TokenService.layerTest(["test"]))
        assert.strictEqual((yield* invalidOption(client)).option, "baseUrl")
      })
    )
  }
})

describe("a key that cannot be one fails before any network:", () => {
  for (const [name, key] of [
    ["empty", ""],
    ["spaces", "   "],
    ["a line break at its end", "key\n"],
    ["a line break within", "key\nkey"],
    ["a carriage return", "key\r"],
    ["a space before it", " key"],
    ["a tab behind it", "key\t"]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const layer = ApiVideo.layer({ apiKey: Redacted.make(key) })
        const reason = yield* invalidOption(layer)
        assert.strictEqual(reason.option, "apiKey")
        const { reason: authenticating, requests } = yield* refusal(
          Layer.effectDiscard(ApiVideo.authenticate({ apiKey: Redacted.make(key) }))
        )
        assert.strictEqual(authenticating._tag, "ConfigurationInvalid")
        assert.strictEqual(requests, 0)
      })
    )
  }

  it.effect("of Basic authentication", () =>
    Effect.gen(function* () {
      const reason = yield* invalidOption(ApiVideo.layerBasic({ apiKey: Redacted.make("key\n") }))
      assert.strictEqual(reason.option, "apiKey")
    })
  )
})

describe("application and sdk", () => {
  const accepted = [
    ["my-great-application1", "0.1.1"],
    ["a", "1"],
    ["A_b-9", "1.2"],
    ["a".repeat(50), "1.123.0"],
    ["app", "999.999.999"]
  ] as const
  const text = {
    version: (option: string) => `${option} version is mandatory when ${option} name is set.`,
    name: (option: string) => `${option} name is mandatory when ${option} version is set.`,
    badName: (option: string) =>
      `Invalid ${option} name value. Allowed characters: A-Z, a-z, 0-9, '-', '_'. Max length: 50.`,
    badVersion: (option: string) =>
      `Invalid ${option} version value. The version should match the xxx[.yyy][.zzz] pattern.`
  }
  const refused: ReadonlyArray<
    readonly [name: string | undefined, version: string | undefined, text: (option: string) => string]
  > = [
    ["applicationname", undefined, text.version],
    ["applicationname", "", text.version],
    [undefined, "1.0.0", text.name],
    ["", "1.0.0", text.name],
    ["application name", "1.0.0", text.badName],
    ["a".repeat(51), "1.0.0", text.badName],
    ["äpp", "1.0.0", text.badName],
    ["app\n", "1.0.0", text.badName],
    ["app", "1.1234.0", text.badVersion],
    ["app", "1.0.0.0", text.badVersion],
    ["app", "v1", text.badVersion],
    ["app", "1.", text.badVersion],
    ["app", "1.0-beta", text.badVersion],
    ["app", "1\n", text.badVersion]
  ]

  for (const [option, header] of [
    ["application", "av-origin-app"],
    ["sdk", "av-origin-sdk"]
  ] as const) {
    for (const [name, version] of accepted) {
      it.live(`${option} ${name} ${version} is sent with every request`, () =>
        Effect.gen(function* () {
          const sandbox = yield* Sandbox.ApiVideoSandbox
          const options = { baseUrl: sandbox.url, [option]: { name, version } }
          yield* ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
            Effect.provide(ApiVideo.layer({ ...options, apiKey, policy: onDemand }))
          )
          const { entries } = yield* sandbox.ledger
          assert.deepStrictEqual(
            entries.map(({ headers }) => headers[header]),
            [`${name}:${version}`, `${name}:${version}`]
          )
        }).pipe(Effect.provide([Sandbox.layer(), NodeHttpClient.layerUndici]))
      )
    }

    for (const [name, version, expected] of refused) {
      it.effect(`${option} ${JSON.stringify(name)} ${JSON.stringify(version)} is refused`, () =>
        Effect.gen(function* () {
          const reason = yield* invalidOption(ApiVideo.layer({ apiKey, [option]: { name, version } }))
          assert.deepInclude(reason, { option, problem: expected(option) })
        })
      )
    }

    it.effect(`${option} without name and version is not sent`, () =>
      Effect.gen(function* () {
        const { client, requests } = Recording.make(api)
        yield* build(ApiVideo.layer({ apiKey, [option]: {} })).pipe(
          Effect.provideService(HttpClient.HttpClient, client)
        )
        assert.isUndefined((yield* requests)[0]?.headers[header])
      })
    )
  }
})

/** Runs an effect and returns what it writes on the console. `lines` has them while it runs. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>, lines: Array<string> = []) =>
  Effect.suspend(() => {
    const write =
      (level: string) =>
      (...line: ReadonlyArray<unknown>) =>
        void lines.push(`${level} ${line.map(String).join(" ")}`)
    const console = { ...globalThis.console, log: write(""), warn: write("WARN"), error: write("ERROR") }
    return Effect.map(Effect.provideService(effect, Console.Console, console), (result) => ({
      result,
      log: lines.join("\n")
    }))
  })

describe("eager", () => {
  it.effect("a wrong key fails the start, and says which environment it must be a key of", () =>
    Effect.gen(function* () {
      const respond: Respond = () => json(400, { title: "The user credentials were incorrect.", status: 400 })
      for (const environment of ["production", "sandbox"] as const) {
        const { error, reason, requests } = yield* refusal(ApiVideo.layer({ apiKey, environment }), respond)
        assert.strictEqual(reason._tag, "InvalidCredentials")
        assert.strictEqual(requests, 1)
        assert.include(error.message, `api.video ${environment}`)
        assert.match(error.message, /Use an API key of api\.video \w+; each environment has its own\./)
      }
    })
  )

  it.effect("a server that writes an instant for the seconds to wait is asked again after an hour", () =>
    Effect.gen(function* () {
      const { client } = Recording.make(() => status(429, { "retry-after": "1700000000" }))
      const { retryAfter } = yield* Effect.flip(ApiVideo.authenticate({ apiKey })).pipe(
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.deepStrictEqual(retryAfter, Duration.hours(1))
    })
  )

  it.effect("a suspended account fails the start", () =>
    Effect.gen(function* () {
      const { reason } = yield* refusal(ApiVideo.layer({ apiKey }), () => status(403))
      assert.strictEqual(reason._tag, "AccountSuspended")
    })
  )

  for (const [name, failing] of [
    ["503", () => status(503)],
    ["no network", (request: HttpClientRequest.HttpClientRequest) => transportError("ECONNREFUSED")(request)],
    ["a proxy's page", () => Recording.html(200)],
    ["429", () => status(429, { "retry-after": "3" })]
  ] as const) {
    it.effect(`a transient failure (${name}) is logged, the program starts, and works later`, () =>
      Effect.gen(function* () {
        let isDown = true
        const { client, requests } = Recording.make((request, n) => (isDown ? failing(request) : api(request, n)))
        const start = Layer.build(ApiVideo.layer({ apiKey, policy: onDemand })).pipe(
          Effect.provideService(HttpClient.HttpClient, client)
        )
        const fiber = yield* Effect.forkChild(logged(start), { startImmediately: true })
        // The key is hashed in real time.
        while ((yield* requests).length === 0) yield* settled
        for (let index = 0; index < 30; index++) yield* Effect.andThen(settled, TestClock.adjust("1 second"))
        const { log, result } = yield* Fiber.join(fiber)
        assert.match(
          log,
          /WARN.*api\.video production.*Trying for up to 20 s\.[^]*Starting anyway; the next request will retry\./
        )
        assert.notInclude(log, Redacted.value(apiKey))
        isDown = false
        yield* TestClock.adjust("10 seconds")
        const request = ApiVideo.ApiVideo.use((api) => api.get("/videos"))
        const response = yield* Effect.provide(request, Layer.succeedContext(result))
        assert.strictEqual(response.status, 200)
      })
    )
  }

  for (const [name, respond, says] of [
    ["no network", transportError("ENOTFOUND"), "the platform cannot be reached"],
    ["no response", () => Effect.never, "no response to the login yet"]
  ] as const) {
    it.effect(`says within two seconds what it is waiting for, and for how long: ${name}`, () =>
      Effect.gen(function* () {
        const { client, requests } = Recording.make(respond)
        const layer = ApiVideo.layer({ apiKey, policy: { ...onDemand, acquireTimeout: "12 seconds" } })
        const lines: Array<string> = []
        const start = logged(Layer.build(layer).pipe(Effect.provideService(HttpClient.HttpClient, client)), lines)
        const fiber = yield* Effect.forkChild(start, { startImmediately: true })
        while ((yield* requests).length === 0) yield* settled
        for (let index = 0; index < 2; index++) yield* Effect.andThen(settled, TestClock.adjust("1 second"))
        assert.lengthOf(lines, 1)
        assert.include(lines[0], `api.video production: ${says}`)
        assert.include(lines[0], "Trying for up to 12 s.")
        for (let index = 0; index < 12; index++) yield* Effect.andThen(settled, TestClock.adjust("1 second"))
        yield* Fiber.join(fiber)
        assert.lengthOf(lines, 2)
      })
    )
  }

  it.effect("off: starts with a wrong key and without a request", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(() => status(400))
      const error = yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        assert.deepStrictEqual(yield* requests, [])
        return yield* Effect.flip(api.get("/videos"))
      }).pipe(
        Effect.provide(ApiVideo.layer({ apiKey, eager: false })),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.strictEqual(error._tag === "TokenError" && error.reason._tag, "InvalidCredentials")
    })
  )
})

const environment = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnv({ env }))

describe("layerConfig", () => {
  it.effect("reads the key", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      yield* build(ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })).pipe(
        Effect.provide(environment({ APIVIDEO_API_KEY: "from-env" })),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.strictEqual((yield* requests)[0]?.body, '{"apiKey":"from-env"}')
    })
  )

  for (const [name, env] of [
    ["missing", {}],
    ["empty", { APIVIDEO_API_KEY: "" }]
  ] as const) {
    it.effect(`says which variable to set: ${name}`, () =>
      Effect.gen(function* () {
        const layers = [
          ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }),
          ApiVideo.layer({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })
        ]
        const messages = ["Set it to an API key from https://dashboard.api.video.", "Set it."]
        for (const [index, layer] of layers.entries()) {
          const { error, requests } = yield* refusal(Layer.provide(layer, environment(env)), api)
          assert.match(
            error.message,
            /^api\.video( production)?: apiKey is invalid: the variable APIVIDEO_API_KEY is not set\. /
          )
          assert.isTrue(error.message.endsWith(messages[index]!), error.message)
          assert.strictEqual(requests, 0)
        }
      })
    )
  }

  it.effect("says which variable has a wrong value, and never the value", () =>
    Effect.gen(function* () {
      const layer = ApiVideo.layerConfig({
        apiKey: Config.Redacted("KEY"),
        eager: Config.Boolean("EAGER"),
        policy: RenewalPolicy.config("TOKEN")
      })
      for (const env of [{ EAGER: "perhaps" }, { EAGER: "true", TOKEN_COOL_DOWN: "perhaps" }]) {
        const { error } = yield* refusal(Layer.provide(layer, environment({ KEY: "k", ...env })), api)
        assert.match(error.message, /: the variable (EAGER|TOKEN_COOL_DOWN) has a wrong value: expected /)
        assert.notInclude(error.message, "perhaps")
      }
    })
  )

  it.effect("reads where requests go from variables, unless the code says it", () =>
    Effect.gen(function* () {
      const env = environment({
        APIVIDEO_API_KEY: "k",
        APIVIDEO_ENVIRONMENT: "sandbox",
        APIVIDEO_BASE_URL: "http://127.0.0.1:8080"
      })
      const sandbox = environment({ APIVIDEO_API_KEY: "k", APIVIDEO_ENVIRONMENT: "sandbox" })
      const fromKey = { apiKey: Config.Redacted("APIVIDEO_API_KEY") }
      for (const [options, provided, origin] of [
        [fromKey, env, "http://127.0.0.1:8080"],
        [fromKey, sandbox, "https://sandbox.api.video"],
        [{ ...fromKey, environment: "production" }, env, "https://ws.api.video"],
        [{ ...fromKey, baseUrl: "https://video.example.com" }, env, "https://video.example.com"]
      ] as const) {
        const { client, requests } = Recording.make(api)
        yield* build(ApiVideo.layerConfig(options)).pipe(
          Effect.provide(provided),
          Effect.provideService(HttpClient.HttpClient, client)
        )
        assert.strictEqual((yield* requests)[0]?.url, `${origin}/auth/api-key`)
      }
      const wrong = environment({ APIVIDEO_API_KEY: "k", APIVIDEO_ENVIRONMENT: "staging" })
      const { error } = yield* refusal(Layer.provide(ApiVideo.layerConfig(fromKey), wrong), api)
      assert.include(
        error.message,
        'the variable APIVIDEO_ENVIRONMENT has a wrong value: expected "production" | "sandbox"'
      )
    })
  )

  it.effect("reads environment, base URL, application, policy, limits and eager", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      const layer = ApiVideo.layerConfig({
        apiKey: Config.Redacted("KEY"),
        environment: Config.Literals(["production", "sandbox"], "ENVIRONMENT"),
        application: Config.all({ name: Config.String("APP_NAME"), version: Config.String("APP_VERSION") }),
        policy: RenewalPolicy.config("TOKEN"),
        rateLimitRetries: Config.Int("RETRIES"),
        eager: Config.Boolean("EAGER")
      })
      const env = {
        KEY: "k",
        ENVIRONMENT: "sandbox",
        APP_NAME: "app",
        APP_VERSION: "1.2",
        RETRIES: "1",
        EAGER: "false"
      }
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        assert.deepStrictEqual(yield* requests, [])
        yield* api.get("/videos")
        assert.deepStrictEqual(
          (yield* requests).map(({ headers, url }) => [url, headers["av-origin-app"]]),
          [
            ["https://sandbox.api.video/auth/api-key", "app:1.2"],
            ["https://sandbox.api.video/videos", "app:1.2"]
          ]
        )
      }).pipe(
        Effect.provide(Layer.provide(layer, environment({ ...env, TOKEN_WHEN_IDLE: "on-demand" }))),
        Effect.provideService(HttpClient.HttpClient, client)
      )
    })
  )

  it.effect("checks what it read", () =>
    Effect.gen(function* () {
      const layers = {
        baseUrl: ApiVideo.layerConfig({ apiKey: Config.Redacted("KEY"), baseUrl: Config.String("URL") }),
        "policy.exchangeTimeout": ApiVideo.layerConfig({
          apiKey: Config.Redacted("KEY"),
          policy: RenewalPolicy.config("TOKEN")
        })
      }
      const env = environment({ KEY: "k", URL: "http://video.example.com", TOKEN_EXCHANGE_TIMEOUT: "0 seconds" })
      for (const [option, layer] of Object.entries(layers)) {
        assert.strictEqual((yield* invalidOption(Layer.provide(layer, env))).option, option)
      }
    })
  )

  it.effect("reads the key anew at each login: a key may change while the program runs", () =>
    Effect.gen(function* () {
      const env = { APIVIDEO_API_KEY: "first" }
      const { client, requests } = Recording.make((request, n) =>
        request.url.endsWith("/auth/refresh") ? status(400) : api(request, n)
      )
      const keys = Effect.map(requests, (all) =>
        all.filter(({ url }) => url.endsWith("/auth/api-key")).map(({ body }) => body)
      )
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        yield* api.get("/videos")
        env.APIVIDEO_API_KEY = "second"
        yield* TestClock.adjust("2 hours")
        yield* api.get("/videos")
        assert.deepStrictEqual(yield* keys, ['{"apiKey":"first"}', '{"apiKey":"second"}'])
      }).pipe(
        Effect.provide(
          Layer.provide(
            ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY"), policy: onDemand }),
            environment(env)
          )
        ),
        Effect.provideService(HttpClient.HttpClient, client)
      )
    })
  )
})

const sandboxed = Layer.mergeAll(Sandbox.layer(), NodeHttpClient.layerUndici)

describe("layer", () => {
  it.live("logs in, and nothing else, when it is built", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      yield* build(ApiVideo.layer({ baseUrl: sandbox.url, apiKey }))
      const { entries } = yield* sandbox.ledger
      assert.deepStrictEqual(
        entries.map(({ method, path, status }) => `${method} ${path} ${status}`),
        ["POST /auth/api-key 200"]
      )
    }).pipe(Effect.provide(sandboxed))
  )

  it.effect("refreshes on schedule, with the refresh token, though nobody asks", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const context = yield* Layer.build(ApiVideo.layerToken({ baseUrl: sandbox.url, apiKey }))
      const { state } = Context.get(context, TokenService.TokenService)
      yield* TestClock.adjust("45 minutes")
      for (let elapsed = 45 * 60; elapsed < 52 * 60; elapsed += 10) {
        yield* TestClock.adjust("10 seconds")
        // The clock waits for the socket, which takes real time.
        while ((yield* state).phase === "renewing") yield* settled
      }
      const { logins, refreshes } = yield* sandbox.ledger
      assert.deepStrictEqual({ logins, refreshes }, { logins: 1, refreshes: 1 })
    }).pipe(Effect.provide(sandboxed))
  )

  it.live("shares the credential of a TokenStore", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const layer = ApiVideo.layer({ baseUrl: sandbox.url, apiKey, policy: onDemand })
      yield* Effect.andThen(build(Layer.fresh(layer)), build(Layer.fresh(layer))).pipe(
        Effect.provide(TokenStore.layerMemory)
      )
      assert.strictEqual((yield* sandbox.ledger).logins, 1)
    }).pipe(Effect.provide(sandboxed))
  )
})

describe("layerToken", () => {
  it.live("gives a token that the API accepts", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const token = yield* TokenService.TokenService.use((service) => service.get).pipe(
        Effect.provide(ApiVideo.layerToken({ baseUrl: sandbox.url, apiKey }))
      )
      const response = yield* HttpClient.get(`${sandbox.url}/videos`, {
        headers: { authorization: `Bearer ${Redacted.value(token.accessToken)}` }
      })
      assert.strictEqual(response.status, 200)
    }).pipe(Effect.provide(sandboxed))
  )

  it.effect("refuses a policy that makes no sense, before any network", () =>
    Effect.gen(function* () {
      const { option } = yield* invalidOption(ApiVideo.layerToken({ apiKey, policy: { coolDown: -1 } }))
      assert.strictEqual(option, "policy.coolDown")
    })
  )
})

describe("layerBasic", () => {
  it.live("sends the key with each request and never logs in", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        yield* api.get("/videos")
        yield* api.post("/upload-tokens")
      }).pipe(Effect.provide(ApiVideo.layerBasic({ baseUrl: sandbox.url, apiKey })))
      const { entries, logins } = yield* sandbox.ledger
      assert.strictEqual(logins, 0)
      assert.deepStrictEqual(
        entries.map(({ credential }) => credential),
        ["basic", "basic"]
      )
    }).pipe(Effect.provide(sandboxed))
  )

  it.live("a wrong key is Unauthorized", () =>
    Effect.gen(function* () {
      const { url: baseUrl } = yield* Sandbox.ApiVideoSandbox
      const error = yield* Effect.flip(ApiVideo.ApiVideo.use((api) => api.get("/videos"))).pipe(
        Effect.provide(ApiVideo.layerBasic({ baseUrl, apiKey: Redacted.make("wrong") }))
      )
      assert.strictEqual(error._tag === "ApiVideoError" && error.reason._tag, "Unauthorized")
      assert.include(error.message, "the API key")
    }).pipe(Effect.provide(sandboxed))
  )

  it.effect("the key goes to no other origin, and not with an upload token", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        yield* api.get("https://vod.api.video/vod/vi1")
        yield* api.get("http://ws.api.video/videos")
        yield* api.post("/upload?token=to1")
        yield* api.get("https://ws.api.video/videos")
      }).pipe(Effect.provide(ApiVideo.layerBasic({ apiKey })), Effect.provideService(HttpClient.HttpClient, client))
      assert.deepStrictEqual(
        (yield* requests).map(({ authorization }) => authorization && Redacted.value(authorization)),
        [undefined, undefined, undefined, `Basic ${btoa("your_api_key:")}`]
      )
    })
  )

  it.effect("reads the key anew for each request", () =>
    Effect.gen(function* () {
      let key = "first"
      const { client, requests } = Recording.make(api)
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        yield* api.get("/videos")
        key = "second"
        yield* api.get("/videos")
      }).pipe(
        Effect.provide(ApiVideo.layerBasic({ apiKey: Effect.sync(() => Redacted.make(key)) })),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.deepStrictEqual(
        (yield* requests).map(({ authorization }) => authorization && Redacted.value(authorization)),
        [`Basic ${btoa("first:")}`, `Basic ${btoa("second:")}`]
      )
    })
  )
})

describe("layerTest", () => {
  it.effect("answers without a network and says what was asked of the token", () =>
    Effect.gen(function* () {
      const api = yield* ApiVideo.ApiVideo
      const response = yield* api.get("/videos")
      assert.deepStrictEqual(yield* response.json, {
        url: "https://ws.api.video/videos",
        authorization: "Bearer test"
      })
      assert.deepStrictEqual(yield* yield* TokenService.TestCalls, [{ _tag: "get" }])
    }).pipe(
      Effect.provide(
        ApiVideo.layerTest({
          respond: ({ headers, url }) => Response.json({ url, authorization: headers["authorization"] })
        })
      )
    )
  )

  it.effect("serves the tokens in order: a 401 brings the next", () =>
    Effect.gen(function* () {
      const response = yield* ApiVideo.ApiVideo.use((api) => api.get("/videos"))
      assert.strictEqual(response.status, 200)
    }).pipe(
      Effect.provide(
        ApiVideo.layerTest({
          tokens: ["one", "two"],
          respond: ({ headers }) =>
            Effect.succeed(new Response(null, { status: headers["authorization"] === "Bearer two" ? 200 : 401 }))
        })
      )
    )
  )

  it.effect("fails as told", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(ApiVideo.ApiVideo.use((api) => api.get("/videos")))
      assert.strictEqual(error._tag === "TokenError" && error.reason._tag, "InvalidCredentials")
    }).pipe(
      Effect.provide(
        ApiVideo.layerTest({
          tokens: [new TokenError.InvalidCredentials({ status: 400 })],
          respond: () => new Response()
        })
      )
    )
  )
})

describe("authenticate and refresh", () => {
  it.live("are plain: POST, JSON in and out, no Authorization, no trace", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const server = { baseUrl: sandbox.url }
      const first = yield* Effect.withSpan(ApiVideo.authenticate({ apiKey }, server), "test")
      const { refreshToken = Redacted.make("") } = first
      const second = yield* ApiVideo.refresh({ refreshToken }, server)
      assert.notStrictEqual(Redacted.value(second.accessToken), Redacted.value(first.accessToken))
      const { entries } = yield* sandbox.ledger
      assert.deepStrictEqual(
        entries.map(({ hadAuthorization, headers, method, path, query, status }) => ({
          hadAuthorization,
          method,
          path,
          query,
          status,
          accept: headers["accept"],
          contentType: headers["content-type"],
          trace: headers["traceparent"] ?? headers["b3"]
        })),
        ["/auth/api-key", "/auth/refresh"].map((path) => ({
          hadAuthorization: false,
          method: "POST",
          path,
          query: [],
          status: 200,
          accept: "application/json",
          contentType: "application/json",
          trace: undefined
        }))
      )
    }).pipe(Effect.provide(sandboxed))
  )

  it.effect("send the documented bodies", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      yield* Effect.andThen(
        ApiVideo.authenticate({ apiKey }),
        ApiVideo.refresh({ refreshToken: Redacted.make("def50200") })
      ).pipe(Effect.provideService(HttpClient.HttpClient, client))
      assert.deepStrictEqual(
        (yield* requests).map(({ body, url }) => [url, body]),
        [
          ["https://ws.api.video/auth/api-key", '{"apiKey":"your_api_key"}'],
          ["https://ws.api.video/auth/refresh", '{"refreshToken":"def50200"}']
        ]
      )
    })
  )

  it.effect("stamp the token with the clock", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 hour")
      const { client } = Recording.make((request, n) =>
        Effect.delay(
          Effect.sync(() => json200(request, n)),
          "2 seconds"
        )
      )
      const fiber = yield* Effect.forkChild(
        Effect.provideService(ApiVideo.authenticate({ apiKey }), HttpClient.HttpClient, client),
        { startImmediately: true }
      )
      yield* TestClock.adjust("2 seconds")
      const { expiresAt, generation, issuedAt, tokenType } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        { expiresAt, generation, issuedAt, tokenType },
        { expiresAt: 7_200_000, generation: 1, issuedAt: 3_600_000, tokenType: "Bearer" }
      )
    })
  )

  for (const code of [400, 401]) {
    it.effect(`${code} means that the credential was refused`, () =>
      Effect.gen(function* () {
        const type = "https://docs.api.video/reference/authentication-invalid-user-credentials"
        const { client, requests } = Recording.make(() => json(code, { type, title: "no", name: "", status: code }))
        const errors = yield* Effect.all([
          Effect.flip(ApiVideo.authenticate({ apiKey })),
          Effect.flip(ApiVideo.refresh({ refreshToken: apiKey }))
        ]).pipe(Effect.provideService(HttpClient.HttpClient, client))
        assert.deepStrictEqual(
          errors.map(({ reason }) => reason._tag),
          ["InvalidCredentials", "RefreshTokenRejected"]
        )
        assert.strictEqual((yield* requests).length, 2)
      })
    )
  }

  it.effect("400 about the request is BadRequest, with the parameter that it names", () =>
    Effect.gen(function* () {
      const type = "https://docs.api.video/reference/attribute-required"
      const { client } = Recording.make(() => json(400, { type, title: "required", name: "apiKey", status: 400 }))
      const { reason } = yield* Effect.flip(ApiVideo.authenticate({ apiKey })).pipe(
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.deepInclude(reason, { _tag: "BadRequest", status: 400, type: "attribute-required", name: "apiKey" })
    })
  )

  it.effect("have schemas of their payloads that never write a secret", () =>
    Effect.gen(function* () {
      const decoded = yield* Schema.decodeEffect(ApiVideo.AuthenticatePayload)({ apiKey })
      assert.strictEqual(Redacted.value(decoded.apiKey), "your_api_key")
      const written = [
        yield* Effect.exit(Schema.encodeEffect(Schema.toCodecJson(ApiVideo.AuthenticatePayload))({ apiKey })),
        yield* Effect.exit(
          Schema.encodeEffect(Schema.toCodecJson(ApiVideo.RefreshTokenPayload))({ refreshToken: apiKey })
        )
      ]
      for (const exit of written) {
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) assert.notInclude(Cause.pretty(exit.cause), "your_api_key")
      }
    })
  )
})

const json200 = (_request: HttpClientRequest.HttpClientRequest, n: number) =>
  json(200, { access_token: `access-${n}`, refresh_token: `refresh-${n}`, token_type: "Bearer", expires_in: 3600 })

describe("provider", () => {
  const made = (options: Partial<ApiVideo.TokenOptions> = {}) =>
    Effect.provideService(ApiVideo.provider({ apiKey, ...options }), HttpClient.HttpClient, Recording.make(api).client)

  it.effect("says how api.video's tokens behave", () =>
    Effect.gen(function* () {
      const { name, traits } = yield* made({ environment: "sandbox" })
      assert.strictEqual(name, "api.video sandbox")
      assert.deepStrictEqual(traits, {
        renewWith: "refresh-then-login",
        rotatesRefreshToken: true,
        loginSupersedesRefresh: true,
        oldTokenSurvivesRefresh: true
      })
    })
  )

  it.effect("names the identity by a hash of host and key", () =>
    Effect.gen(function* () {
      const identityOf = (options?: Partial<ApiVideo.TokenOptions>) =>
        Effect.flatMap(made(options), ({ identity }) => identity)
      const production = yield* identityOf()
      assert.match(production, /^api\.video:ws\.api\.video:[0-9a-f]{16}$/)
      assert.strictEqual(yield* identityOf(), production)
      assert.notStrictEqual(yield* identityOf({ environment: "sandbox" }), production)
      assert.notStrictEqual(yield* identityOf({ apiKey: Redacted.make("other") }), production)
    })
  )

  it.effect("serves a TokenService of one's own making", () =>
    Effect.gen(function* () {
      const service = yield* TokenService.make({ provider: yield* made(), policy: onDemand })
      assert.strictEqual(Redacted.value((yield* service.get).accessToken), "access-1")
      assert.strictEqual(Redacted.value((yield* service.renew).accessToken), "access-2")
    })
  )
})

describe("layerAnonymous", () => {
  it.live("uploads by token, and is told that everything else needs a credential", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const made = yield* ApiVideo.ApiVideo.use((api) =>
        Effect.flatMap(
          api.execute(HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post("/upload-tokens"), {})),
          (response) => response.json
        )
      ).pipe(Effect.provide(ApiVideo.layer({ baseUrl: sandbox.url, apiKey, policy: onDemand })))
      const { token } = yield* Schema.decodeUnknownEffect(Schema.Struct({ token: Schema.String }))(made)
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        const body = new FormData()
        body.append("file", new Blob(["film"]), "film.mp4")
        const upload = HttpClientRequest.post("/upload").pipe(
          HttpClientRequest.setUrlParams({ token: Redacted.make(token) }),
          HttpClientRequest.bodyFormData(body)
        )
        assert.strictEqual((yield* api.execute(upload)).status, 201)
        const error = yield* Effect.flip(api.get("/videos"))
        assert.strictEqual(error._tag === "ApiVideoError" ? error.reason._tag : error._tag, "Unauthorized")
      }).pipe(Effect.provide(ApiVideo.layerAnonymous({ baseUrl: sandbox.url })))
      const { entries } = yield* sandbox.ledger
      assert.deepStrictEqual(
        entries.slice(-2).map(({ hadAuthorization, path }) => [path, hadAuthorization]),
        [
          ["/upload", false],
          ["/videos", false]
        ]
      )
    }).pipe(Effect.provide(sandboxed))
  )
})

describe("layerBasic", () => {
  const list = ApiVideo.ApiVideo.use((api) => api.get("/videos"))
  const fromEnvironment = ApiVideo.layerBasic({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

  /** The keys that a program sent. */
  const keysOf = Effect.fnUntraced(function* <A, E>(program: Effect.Effect<A, E, HttpClient.HttpClient>) {
    const { client, requests } = Recording.make(api)
    yield* Effect.provideService(program, HttpClient.HttpClient, client)
    return (yield* requests).map(({ authorization }) => atob(Redacted.value(authorization!).replace("Basic ", "")))
  })

  it.effect("reads the key from the configuration of the layer", () =>
    Effect.gen(function* () {
      const live = Layer.provide(fromEnvironment, environment({ APIVIDEO_API_KEY: "from-env" }))
      assert.deepStrictEqual(yield* keysOf(Effect.provide(list, live)), ["from-env:"])
    })
  )

  it.effect("does not start without the key", () =>
    Effect.gen(function* () {
      const { error, requests } = yield* refusal(Layer.provide(fromEnvironment, environment({})))
      assert.include(error.message, "apiKey is invalid: the variable APIVIDEO_API_KEY is not set. ")
      assert.strictEqual(requests, 0)
    })
  )

  it.effect("reads the key for each request, with a service that it takes from the layer's context", () =>
    Effect.gen(function* () {
      class Vault extends Context.Service<Vault, { readonly read: Effect.Effect<Redacted.Redacted> }>()("Vault") {}
      let version = 0
      const live: Layer.Layer<ApiVideo.ApiVideo, TokenError.TokenError, HttpClient.HttpClient | Vault> =
        ApiVideo.layerBasic({ apiKey: Vault.use(({ read }) => read) })
      const vault = Layer.succeed(Vault, { read: Effect.sync(() => Redacted.make(`key-${++version}`)) })
      const keys = yield* keysOf(Effect.andThen(list, list).pipe(Effect.provide(Layer.provide(live, vault))))
      assert.deepStrictEqual(keys, ["key-1:", "key-2:"])
    })
  )

  it.effect("starts while a vault is down", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      const error = yield* Effect.flip(list).pipe(
        Effect.provide(ApiVideo.layerBasic({ apiKey: Effect.fail("down") })),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.strictEqual(error._tag === "TokenError" && error.reason._tag, "CredentialUnavailable")
      assert.deepStrictEqual(yield* requests, [])
    })
  )
})
