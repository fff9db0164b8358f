/** The layers of movingimage: what they accept, how they log in and refresh, and the two operations on their own. */
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Redacted,
  Schedule,
  Schema
} from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import {
  AccessToken,
  MovingImage,
  RenewalPolicy,
  TokenError,
  TokenService,
  TokenServiceMap,
  TokenStore
} from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { json, type Respond, status, transportError } from "effect-video-auth/testing/RecordingHttpClient"
import { layer as splitClock } from "effect-video-auth/testing/SplitClock"
import { setImmediate } from "node:timers/promises"
import { slowStore } from "../support/slowStore.ts"

const origin = "https://api.video-cdn.net"
const username = Redacted.make("ada@example.com")
const password = Redacted.make("pass word")
const credentials = { username, password }
const { onDemand } = RenewalPolicy

const jwt = (claims: object) => `eyJhbGciOiJSUzI1NiJ9.${btoa(JSON.stringify(claims))}.c2ln`

const managers = [
  { id: 5, name: "Sales" },
  { id: 7, name: "Support", uuid: "3f2a" }
]

/** A token answer for the VideoManager that is asked for, or the first one. */
const answer = (n: number, validFor = 5, more: object = {}) => ({
  accessToken: `access-${n}`,
  refreshToken: `refresh-${n}`,
  videoManagerList: managers,
  validForVideoManager: validFor,
  ...more
})

const isLogin = (request: { readonly url: string }) => request.url.endsWith("/v1/vms/auth/login")
const refreshedFor = (request: { readonly url: string }): number | undefined => {
  const id = /\/v1\/vms\/auth\/refresh\/(\d+)$/.exec(request.url)?.[1]
  return id === undefined ? undefined : Number(id)
}

/** An API that takes anybody, and every token. */
const api: Respond = (request, n) => {
  const id = refreshedFor(request)
  return isLogin(request) || id !== undefined ? json(200, answer(n, id)) : json(200, [])
}

const exchanges = (requests: ReadonlyArray<Recording.Recorded>) =>
  requests.map(({ body, method, url }) => [method, url.replace(origin, ""), body])

const login = ["POST", "/v1/vms/auth/login", '{"username":"ada@example.com","password":"pass word"}']
const refresh = (id: number, token: string) => ["POST", `/v1/vms/auth/refresh/${id}`, `{"refreshToken":"${token}"}`]

/** The service that a layer provides, over a network of which everything is known. */
const serve = Effect.fnUntraced(function* (respond: Respond, options: Partial<MovingImage.TokenOptions>) {
  const { client, requests } = Recording.make(respond)
  const context = yield* Layer.build(MovingImage.layerToken({ ...credentials, eager: false, ...options })).pipe(
    Effect.provideService(HttpClient.HttpClient, client)
  )
  return { service: Context.get(context, TokenService.TokenService), requests, sent: Effect.map(requests, exchanges) }
})

const start = (respond: Respond = api, options: Partial<MovingImage.TokenOptions> = {}) =>
  serve(respond, { ...options, policy: { ...onDemand, ...options.policy } })

const bare = (token: AccessToken.AccessToken) => Redacted.value(token.accessToken)
const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const build = <A, E, R>(layer: Layer.Layer<A, E, R>) => Effect.scoped(Effect.asVoid(Layer.build(layer)))

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
  const urlsOf = Effect.fnUntraced(function* (baseUrl: string | undefined) {
    const { client, requests } = Recording.make(api)
    yield* MovingImage.MovingImage.use((api) => api.get("/v1/vms")).pipe(
      Effect.provide(MovingImage.layer({ ...credentials, baseUrl })),
      Effect.provideService(HttpClient.HttpClient, client)
    )
    return (yield* requests).map(({ url }) => url)
  })

  for (const [name, baseUrl, expected] of [
    ["to movingimage, unless told otherwise", undefined, origin],
    ["to a custom domain", "https://video.example.com", "https://video.example.com"],
    ["below a path", "https://video.example.com/api/", "https://video.example.com/api"],
    ["to loopback over http", "http://127.0.0.1:8080", "http://127.0.0.1:8080"]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* urlsOf(baseUrl), [`${expected}/v1/vms/auth/login`, `${expected}/v1/vms`])
      })
    )
  }

  for (const baseUrl of ["http://video.example.com", "video.example.com", "", "https://user:password@example.com"]) {
    it.effect(`nowhere, if it is "${baseUrl}"`, () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* invalidOption(MovingImage.layer({ ...credentials, baseUrl }))).option, "baseUrl")
        const client = Layer.provide(MovingImage.layerClient({ baseUrl }), TokenService.layerTest(["test"]))
        assert.strictEqual((yield* invalidOption(client)).option, "baseUrl")
      })
    )
  }
})

describe("what cannot be right fails before any network:", () => {
  const options: ReadonlyArray<readonly [name: string, options: Partial<MovingImage.Options>, option: string]> = [
    ["an empty username", { username: Redacted.make("") }, "username"],
    ["a username of spaces", { username: Redacted.make("  ") }, "username"],
    ["a line break at the end of a username", { username: Redacted.make("ada\n") }, "username"],
    ["an empty password", { password: Redacted.make("") }, "password"],
    ["a line break at the end of a password", { password: Redacted.make("secret\r\n") }, "password"],
    ["VideoManager 0", { videoManager: 0 }, "videoManager"],
    ["a negative VideoManager", { videoManager: -5 }, "videoManager"],
    ["half a VideoManager", { videoManager: 5.5 }, "videoManager"],
    ["a VideoManager that is no number", { videoManager: Number.NaN }, "videoManager"],
    ["a VideoManager beyond whole numbers", { videoManager: 2 ** 53 }, "videoManager"],
    ["a policy that makes no sense", { policy: { coolDown: -1 } }, "policy.coolDown"]
  ]
  for (const [name, change, option] of options) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const invalid = yield* invalidOption(MovingImage.layer({ ...credentials, ...change }))
        assert.strictEqual(invalid.option, option)
        assert.notInclude(invalid.message, "sealed")
      })
    )
  }

  it.effect("also of the bare operations", () =>
    Effect.gen(function* () {
      const authenticating = Layer.effectDiscard(MovingImage.authenticate({ username, password: Redacted.make("") }))
      assert.strictEqual((yield* invalidOption(authenticating)).option, "password")
      const refreshing = Layer.effectDiscard(MovingImage.refresh({ refreshToken: password, videoManager: 1.5 }))
      assert.strictEqual((yield* invalidOption(refreshing)).option, "videoManager")
    })
  )

  it.effect("a space in a password is none of it", () =>
    Effect.gen(function* () {
      const { sent, service } = yield* start(api, { password: Redacted.make(" pass word ") })
      yield* service.get
      assert.deepStrictEqual((yield* sent)[0]?.[2], '{"username":"ada@example.com","password":" pass word "}')
    })
  )
})

describe("a token", () => {
  it.effect("is for the VideoManager that movingimage chooses, and is refreshed for that", () =>
    Effect.gen(function* () {
      const { sent, service } = yield* start()
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.strictEqual(bare(yield* service.renew), "access-2")
      assert.strictEqual(bare(yield* service.renew), "access-3")
      assert.deepStrictEqual(yield* sent, [login, refresh(5, "refresh-1"), refresh(5, "refresh-2")])
    })
  )

  it.effect("is got in one exchange where the configured VideoManager is that of the login", () =>
    Effect.gen(function* () {
      const { sent, service } = yield* start(api, { videoManager: 5 })
      assert.strictEqual(bare(yield* service.get), "access-1")
      assert.deepStrictEqual(yield* sent, [login])
    })
  )

  it.effect("is got in two exchanges where the configured VideoManager is another", () =>
    Effect.gen(function* () {
      const { sent, service } = yield* start(api, { videoManager: 7 })
      const token = yield* service.get
      assert.strictEqual(bare(token), "access-2")
      assert.strictEqual(Option.getOrThrow(MovingImage.videoManagersOf(token)).validForVideoManager, 7)
      yield* service.renew
      assert.deepStrictEqual(yield* sent, [login, refresh(7, "refresh-1"), refresh(7, "refresh-2")])
    })
  )

  it.effect("says which VideoManager it is for, and which ones there are", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      const expected = { validForVideoManager: 5, videoManagerList: managers }
      assert.deepStrictEqual(MovingImage.videoManagersOf(yield* service.get), Option.some(expected))
      assert.deepStrictEqual(MovingImage.videoManagersOf(yield* service.renew), Option.some(expected))
    })
  )

  it.effect("that is not movingimage's says nothing of VideoManagers", () =>
    Effect.gen(function* () {
      const token = yield* TokenService.TokenService.use((service) => service.get)
      assert.deepStrictEqual(MovingImage.videoManagersOf(token), Option.none())
    }).pipe(Effect.provide(TokenService.layerTest(["test"])))
  )

  const shapes: Readonly<Record<string, object>> = {
    "ids as strings": {
      validForVideoManager: "5",
      videoManagerList: managers.map((manager) => ({ ...manager, id: String(manager.id) }))
    },
    "no uuid, and fields that nobody knows": {
      videoManagerList: [
        { ...managers[0], uuid: null, configuration: { a: [1] } },
        { ...managers[1], other: "x" }
      ]
    }
  }
  for (const [name, more] of Object.entries(shapes)) {
    it.effect(`is as good with ${name}`, () =>
      Effect.gen(function* () {
        const { sent, service } = yield* start((_, n) => json(200, answer(n, 5, more)))
        assert.deepStrictEqual(
          MovingImage.videoManagersOf(yield* service.get),
          Option.some({ validForVideoManager: 5, videoManagerList: managers })
        )
        yield* service.renew
        assert.deepStrictEqual((yield* sent)[1], refresh(5, "refresh-1"))
      })
    )
  }

  it.effect("is good without a list: the list of the login stays, and without one a VideoManager is tried", () =>
    Effect.gen(function* () {
      const respond: Respond = (request, n) =>
        json(200, answer(n, refreshedFor(request), isLogin(request) ? {} : { videoManagerList: undefined }))
      const { service } = yield* start(respond, { videoManager: 7 })
      assert.deepStrictEqual(
        MovingImage.videoManagersOf(yield* service.get),
        Option.some({ validForVideoManager: 7, videoManagerList: managers })
      )

      const bareAnswers: Respond = (request, n) =>
        json(200, { ...answer(n), videoManagerList: null, ...(isLogin(request) ? {} : { validForVideoManager: null }) })
      const other = yield* start(bareAnswers, { videoManager: 9 })
      assert.deepStrictEqual(
        MovingImage.videoManagersOf(yield* other.service.get),
        Option.some({ validForVideoManager: 9, videoManagerList: [] })
      )
    })
  )

  it.effect("with a VideoManager that has no name has an empty one", () =>
    Effect.gen(function* () {
      const { service } = yield* start((_, n) => json(200, answer(n, 5, { videoManagerList: [{ id: 5, name: null }] })))
      const { videoManagerList } = Option.getOrThrow(MovingImage.videoManagersOf(yield* service.get))
      assert.deepStrictEqual(videoManagerList, [{ id: 5, name: "" }])
    })
  )

  it.effect("that another process left in the store is refreshed for its VideoManager", () =>
    Effect.gen(function* () {
      const store = yield* TokenStore.make(yield* TokenStore.makeMemory)
      const started = () => Effect.provideService(start(), TokenStore.TokenStore, store)
      const one = yield* started()
      const two = yield* started()
      yield* one.service.get
      assert.strictEqual(bare(yield* two.service.get), "access-1")
      assert.deepStrictEqual(yield* two.sent, [])
      yield* two.service.renew
      assert.deepStrictEqual(yield* two.sent, [refresh(5, "refresh-1")])
    })
  )

  it.effect(
    "in the store that names no VideoManager is not refreshed, as nobody knows for which: a login follows",
    () =>
      Effect.gen(function* () {
        const { client, requests } = Recording.make(api)
        const provider = yield* Effect.provideService(MovingImage.provider(credentials), HttpClient.HttpClient, client)
        const backend = yield* TokenStore.makeMemory
        const identity = yield* provider.identity
        const stored = new AccessToken.AccessToken({
          accessToken: Redacted.make("old"),
          refreshToken: Redacted.make("old-refresh"),
          tokenType: "Bearer",
          issuedAt: -300_000,
          expiresAt: 0,
          generation: 1
        })
        const committed = { attempt: "earlier", version: 0, next: 1, loginVersion: 1, record: stored }
        yield* backend.commit(identity, committed)
        const service = yield* Effect.provideServiceEffect(
          TokenService.make({ provider, policy: onDemand }),
          TokenStore.TokenStore,
          TokenStore.make(backend)
        )
        assert.strictEqual(bare(yield* service.get), "access-1")
        assert.deepStrictEqual(exchanges(yield* requests), [login])
      })
  )
})

describe("lifetimes", () => {
  const minute = 60_000
  const cases: ReadonlyArray<
    readonly [name: string, access: string, refresh: string | undefined, access: number, refresh: number | undefined]
  > = [
    ["of opaque tokens are the documented ones", "opaque", "opaque", 5 * minute, 60 * minute],
    [
      "of JWTs are what they claim",
      jwt({ iat: 100, exp: 220 }),
      jwt({ iat: 100, exp: 1_900 }),
      2 * minute,
      30 * minute
    ],
    ["may be fractions", jwt({ iat: 0.25, exp: 60.75 }), "opaque", 60_500, 60 * minute],
    ["of JWTs that claim none are the documented ones", jwt({ sub: "a" }), jwt({ iat: 1 }), 5 * minute, 60 * minute],
    ["of JWTs that never lived, too", jwt({ iat: 9, exp: 9 }), jwt({ iat: 9, exp: 0 }), 5 * minute, 60 * minute],
    ["of what only looks like a JWT, too", "a.!!!.c", "a.e30.c", 5 * minute, 60 * minute],
    ["are that of the access token alone where there is no refresh token", "opaque", undefined, 5 * minute, undefined]
  ]
  for (const [name, accessToken, refreshToken, access, refreshed] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { service } = yield* start(() => json(200, { ...answer(1), accessToken, refreshToken }))
        const { expiresAt, issuedAt, refreshExpiresAt } = yield* service.get
        assert.strictEqual(expiresAt - issuedAt, access)
        assert.strictEqual(refreshExpiresAt && refreshExpiresAt - issuedAt, refreshed)
      })
    )
  }

  it.effect("keep a token in use for five minutes, and a refresh token for an hour", () =>
    Effect.gen(function* () {
      const { sent, service } = yield* start()
      yield* service.get
      yield* TestClock.adjust("5 minutes")
      yield* service.get
      assert.deepStrictEqual((yield* sent)[1], refresh(5, "refresh-1"))
      yield* TestClock.adjust("1 hour")
      yield* service.get
      assert.deepStrictEqual((yield* sent)[2], login)
    })
  )
})

describe("a login fails with", () => {
  const facts = (reason: TokenError.Reason) => ({ ...reason, cause: undefined })
  const outcome = Effect.fnUntraced(function* (respond: Respond, options?: Partial<MovingImage.TokenOptions>) {
    const { sent, service } = yield* start(respond, {
      ...options,
      policy: { retry: Schedule.recurs(0), ...options?.policy }
    })
    const error = yield* Effect.flip(service.get)
    return { error, reason: error.reason, sent: yield* sent }
  })

  for (const code of [400, 401]) {
    it.effect(`InvalidCredentials for ${code}, after one attempt, and says what to check`, () =>
      Effect.gen(function* () {
        const { error, reason, sent } = yield* outcome(() => json(code, { message: "ada@example.com: no" }))
        assert.deepInclude(facts(reason), { _tag: "InvalidCredentials", status: code })
        assert.deepStrictEqual(sent, [login])
        assert.isFalse(error.isRetryable)
        assert.match(
          error.message,
          /^movingimage api\.video-cdn\.net: .*Check username and password.*lock the account\./
        )
        assert.notInclude(error.message, "ada@example.com")
      })
    )
  }

  const answers: ReadonlyArray<readonly [name: string, respond: () => Response, expected: object]> = [
    ["403", () => status(403), { _tag: "ProviderRejected", code: "forbidden" }],
    ["404", () => status(404), { _tag: "ConfigurationInvalid", option: "baseUrl" }],
    ["405", () => status(405), { _tag: "ConfigurationInvalid", option: "baseUrl" }],
    ["415", () => status(415), { _tag: "BadRequest", status: 415 }],
    ["429", () => status(429, { "retry-after": "100" }), { _tag: "RateLimited" }],
    ["503", () => status(503), { _tag: "ProviderUnavailable", status: 503, failure: "status" }],
    ["a proxy's HTML with 502", () => Recording.html(502), { _tag: "ProviderUnavailable", status: 502 }],
    [
      "a proxy's HTML with 200",
      () => Recording.html(200),
      { _tag: "MalformedResponse", problem: "the body is not JSON" }
    ],
    ["a redirect", () => status(302, { location: "/" }), { _tag: "MalformedResponse", status: 302 }],
    ["an array", () => json(200, []), { _tag: "MalformedResponse", problem: "not a token response" }],
    [
      "an access token that cannot be in a header",
      () => json(200, { ...answer(1), accessToken: "a\nb" }),
      { _tag: "MalformedResponse", problem: "accessToken is missing or invalid" }
    ],
    [
      "a refresh token that is none",
      () => json(200, { ...answer(1), refreshToken: {} }),
      { _tag: "MalformedResponse", problem: "refreshToken is missing or invalid" }
    ],
    [
      "a list that is none",
      () => json(200, { ...answer(1), videoManagerList: [{ name: "without an id" }] }),
      { _tag: "MalformedResponse", problem: "videoManagerList is missing or invalid" }
    ],
    ...[undefined, null, "", "five", 0, -5, 5.5, {}].map(
      (validForVideoManager) =>
        [
          `validForVideoManager ${JSON.stringify(validForVideoManager)}`,
          () => json(200, { ...answer(1), validForVideoManager }),
          { _tag: "MalformedResponse", problem: "validForVideoManager is missing or invalid" }
        ] as const
    ),
    [
      "no VideoManagers",
      () => json(200, { ...answer(1), videoManagerList: [], validForVideoManager: null }),
      { _tag: "ProviderRejected", code: "no-video-manager", detail: "the user can't access any VideoManager" }
    ]
  ]
  for (const [name, respond, expected] of answers) {
    it.effect(`${(expected as { _tag: string })._tag} for ${name}`, () =>
      Effect.gen(function* () {
        const { reason, sent } = yield* outcome(respond)
        assert.deepInclude(facts(reason), expected)
        assert.deepStrictEqual(sent, [login])
      })
    )
  }

  it.effect("ProviderRejected for a VideoManager that is not the user's, and lists the ids that are", () =>
    Effect.gen(function* () {
      const { error, reason, sent } = yield* outcome(api, { videoManager: 6 })
      assert.deepInclude(facts(reason), { _tag: "ProviderRejected", code: "unknown-video-manager" })
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "the user can't access VideoManager 6. Available: 5, 7.")
      // A name is the server's text.
      assert.notInclude(error.message, "Sales")
      assert.deepStrictEqual(sent, [login])
    })
  )

  it.effect("no more than twenty ids", () =>
    Effect.gen(function* () {
      const videoManagerList = Array.from({ length: 1_000 }, (_, index) => ({ id: index + 10, name: "a" }))
      const { error } = yield* outcome((_, n) => json(200, answer(n, 10, { videoManagerList })), { videoManager: 6 })
      assert.match(error.message, /Available: 10, 11, .*, 29 and 980 more\.$/)
    })
  )

  const seconds: ReadonlyArray<readonly [name: string, respond: Respond, expected: object]> = [
    ["400", () => status(400), { _tag: "ProviderRejected", code: "video-manager-refused" }],
    ["401", () => status(401), { _tag: "ProviderRejected", code: "video-manager-refused" }],
    ["403", () => status(403), { _tag: "ProviderRejected", code: "forbidden" }],
    ["404", () => status(404), { _tag: "ProviderRejected", code: "unknown-video-manager" }],
    ["503", () => status(503), { _tag: "ProviderUnavailable", status: 503 }],
    ["a connection never made", transportError("ECONNREFUSED"), { _tag: "ProviderUnavailable", failure: "connect" }],
    ["a connection that breaks", transportError("ECONNRESET"), { _tag: "AmbiguousExchange", failure: "network" }],
    ["HTML with 200", () => Recording.html(200), { _tag: "AmbiguousExchange", status: 200 }],
    [
      "a token for another VideoManager",
      (_, n) => json(200, answer(n, 5)),
      { _tag: "ProviderRejected", code: "wrong-video-manager" }
    ]
  ]
  for (const [name, respond, expected] of seconds) {
    it.effect(`what the switch to the VideoManager meets: ${name}; its refresh token is never sent again`, () =>
      Effect.gen(function* () {
        let isBroken = true
        const { sent, service } = yield* start(
          (request, n) => (isBroken && !isLogin(request) ? respond(request, n) : api(request, n)),
          { videoManager: 7, policy: { retry: Schedule.recurs(0), coolDown: 0, fatalFor: 0 } }
        )
        assert.deepInclude(facts(yield* reasonOf(service.get)), expected)
        assert.deepStrictEqual(yield* sent, [login, refresh(7, "refresh-1")])
        isBroken = false
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(bare(yield* service.get), "access-4")
        assert.deepStrictEqual((yield* sent).slice(2), [login, refresh(7, "refresh-3")])
      })
    )
  }

  it.effect("MalformedResponse where the switch has no refresh token", () =>
    Effect.gen(function* () {
      const { reason, sent } = yield* outcome((_, n) => json(200, answer(n, 5, { refreshToken: null })), {
        videoManager: 7
      })
      assert.deepInclude(facts(reason), { _tag: "MalformedResponse", problem: "refreshToken is missing or invalid" })
      assert.deepStrictEqual(sent, [login])
    })
  )
})

describe("a refresh", () => {
  const cases: ReadonlyArray<readonly [name: string, respond: Respond, then: "login" | TokenError.Reason["_tag"]]> = [
    ["400", () => status(400), "login"],
    ["401", () => status(401), "login"],
    ["403", () => status(403), "login"],
    ["404", () => status(404), "login"],
    ["405", () => status(405), "login"],
    ["415", () => status(415), "login"],
    ["an answer that is lost", transportError("ECONNRESET"), "login"],
    ["HTML with 200", () => Recording.html(200), "login"],
    ["a token for another VideoManager", (_, n) => json(200, answer(n, 7)), "login"],
    ["503", () => status(503), "ProviderUnavailable"],
    ["429", () => status(429), "RateLimited"]
  ]
  for (const [name, respond, then] of cases) {
    it.effect(`that meets ${name} ends in ${then === "login" ? "a login" : then}, and is not made again`, () =>
      Effect.gen(function* () {
        const { sent, service } = yield* start((request, n) =>
          isLogin(request) ? api(request, n) : respond(request, n)
        )
        yield* service.get
        const renewed = yield* Effect.result(service.renew)
        assert.strictEqual(renewed._tag === "Success" ? "login" : renewed.failure.reason._tag, then)
        assert.deepStrictEqual(yield* sent, [login, refresh(5, "refresh-1"), ...(then === "login" ? [login] : [])])
      })
    )
  }
})

describe("a wrong password", () => {
  const refuses: Respond = () => status(401)

  for (const [name, policy] of [
    ["unless told otherwise", { whenIdle: "on-demand" }],
    ["where configuration does not say", { ...onDemand, fatalFor: undefined }]
  ] as const) {
    it.effect(`is asked about once in five minutes, whoever asks, ${name}`, () =>
      Effect.gen(function* () {
        const { sent, service } = yield* serve(refuses, { policy })
        for (let second = 0; second < 300; second++) {
          assert.strictEqual((yield* reasonOf(service.get))._tag, "InvalidCredentials")
          yield* TestClock.adjust("1 second")
        }
        assert.deepStrictEqual(yield* sent, [login])
        yield* TestClock.adjust("5 minutes")
        yield* Effect.flip(service.get)
        assert.deepStrictEqual(yield* sent, [login, login])
      })
    )
  }

  it.effect("is asked about as often as the policy says", () =>
    Effect.gen(function* () {
      const { sent, service } = yield* start(refuses, { policy: { fatalFor: "1 second" } })
      yield* Effect.flip(service.get)
      yield* TestClock.adjust("2 seconds")
      yield* Effect.flip(service.get)
      assert.deepStrictEqual(yield* sent, [login, login])
    })
  )

  it.effect("fails the start after one attempt", () =>
    Effect.gen(function* () {
      const { reason, requests } = yield* refusal(MovingImage.layer(credentials), refuses)
      assert.strictEqual(reason._tag, "InvalidCredentials")
      assert.strictEqual(requests, 1)
    })
  )

  it.effect("that was put right is found out", () =>
    Effect.gen(function* () {
      let current = "wrong"
      const { requests, service } = yield* start(
        (request, n) => (current === "right" ? api(request, n) : status(401)),
        { password: Effect.sync(() => Redacted.make(current)) }
      )
      yield* Effect.flip(service.get)
      current = "right"
      yield* TestClock.adjust("10 minutes")
      yield* service.get
      assert.deepStrictEqual(
        (yield* requests).map(({ body }) => body),
        ['{"username":"ada@example.com","password":"wrong"}', '{"username":"ada@example.com","password":"right"}']
      )
    })
  )
})

describe("eager", () => {
  it.effect("a VideoManager that is not the user's fails the start", () =>
    Effect.gen(function* () {
      const { reason } = yield* refusal(MovingImage.layer({ ...credentials, videoManager: 6 }))
      assert.strictEqual(reason._tag, "ProviderRejected")
    })
  )

  it.effect("off: starts without a request", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      yield* build(MovingImage.layer({ ...credentials, eager: false })).pipe(
        Effect.provideService(HttpClient.HttpClient, client)
      )
      assert.deepStrictEqual(yield* requests, [])
    })
  )
})

const environment = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnv({ env }))
const fromEnvironment = { username: Config.Redacted("NAME"), password: Config.Redacted("PASSWORD") }

describe("layerConfig", () => {
  it.effect("reads username, password, base URL, VideoManager, policy, limits and eager", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(api)
      const layer = MovingImage.layerConfig({
        ...fromEnvironment,
        baseUrl: Config.String("URL"),
        videoManager: Config.Int("VIDEO_MANAGER"),
        policy: RenewalPolicy.config("TOKEN"),
        rateLimits: Config.map(Config.Int("LIMIT"), (requests) => ({ requests })),
        rateLimitRetries: Config.Int("RETRIES"),
        eager: Config.Boolean("EAGER")
      })
      const env = environment({
        NAME: "ada@example.com",
        PASSWORD: "pass word",
        URL: "https://video.example.com",
        VIDEO_MANAGER: "7",
        LIMIT: "1",
        RETRIES: "1",
        EAGER: "false",
        TOKEN_WHEN_IDLE: "on-demand"
      })
      yield* Effect.gen(function* () {
        const api = yield* MovingImage.MovingImage
        assert.deepStrictEqual(yield* requests, [])
        yield* api.get("/v1/vms")
        const second = yield* Effect.forkChild(api.get("/v1/vms"), { startImmediately: true })
        yield* settled
        assert.deepStrictEqual(
          exchanges(yield* requests).map(([, url]) => url),
          ["/v1/vms/auth/login", "/v1/vms/auth/refresh/7", "/v1/vms"].map((path) => `https://video.example.com${path}`)
        )
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(second)).status, 200)
      }).pipe(Effect.provide(Layer.provide(layer, env)), Effect.provideService(HttpClient.HttpClient, client))
    })
  )

  for (const missing of ["NAME", "PASSWORD"]) {
    it.effect(`says which variable to set: ${missing}`, () =>
      Effect.gen(function* () {
        const { client, requests } = Recording.make(api)
        const env = Object.fromEntries(["NAME", "PASSWORD"].filter((name) => name !== missing).map((n) => [n, "x"]))
        const error = yield* Effect.flip(build(MovingImage.layerConfig({ ...fromEnvironment, eager: false }))).pipe(
          Effect.provide(environment(env)),
          Effect.provideService(HttpClient.HttpClient, client)
        )
        assert.include(error.message, `the variable ${missing} is not set. Set it to `)
        assert.deepStrictEqual(yield* requests, [])
      })
    )
  }

  it.effect("reads username and password anew at each login: they may change while the program runs", () =>
    Effect.gen(function* () {
      const env = { NAME: "ada@example.com", PASSWORD: "first" }
      const { client, requests } = Recording.make(api)
      yield* Effect.gen(function* () {
        const api = yield* MovingImage.MovingImage
        yield* api.get("/v1/vms")
        env.PASSWORD = "second"
        yield* TestClock.adjust("2 hours")
        yield* api.get("/v1/vms")
        assert.deepStrictEqual(
          (yield* requests).filter(isLogin).map(({ body }) => body),
          ["first", "second"].map((password) => `{"username":"ada@example.com","password":"${password}"}`)
        )
      }).pipe(
        Effect.provide(
          Layer.provide(MovingImage.layerConfig({ ...fromEnvironment, policy: onDemand }), environment(env))
        ),
        Effect.provideService(HttpClient.HttpClient, client)
      )
    })
  )
})

describe("layerTest", () => {
  it.effect("answers without a network and says what was asked of the token", () =>
    Effect.gen(function* () {
      const api = yield* MovingImage.MovingImage
      const response = yield* api.get("/v1/vms")
      assert.deepStrictEqual(yield* response.json, { url: `${origin}/v1/vms`, authorization: "Bearer test" })
      assert.deepStrictEqual(yield* yield* TokenService.TestCalls, [{ _tag: "get" }])
    }).pipe(
      Effect.provide(
        MovingImage.layerTest({
          respond: ({ headers, url }) => Response.json({ url, authorization: headers["authorization"] })
        })
      )
    )
  )

  it.effect("fails as told", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(MovingImage.MovingImage.use((api) => api.get("/v1/vms")))
      assert.strictEqual(error._tag === "TokenError" && error.reason._tag, "InvalidCredentials")
    }).pipe(
      Effect.provide(
        MovingImage.layerTest({
          tokens: [new TokenError.InvalidCredentials({ status: 401 })],
          respond: () => new Response()
        })
      )
    )
  )
})

describe("authenticate and refresh", () => {
  const made = Effect.fnUntraced(function* <A, E>(
    effect: Effect.Effect<A, E, HttpClient.HttpClient>,
    respond: Respond = api
  ) {
    const { client, requests } = Recording.make(respond)
    const exit = yield* Effect.exit(Effect.provideService(effect, HttpClient.HttpClient, client))
    return { exit, requests: yield* requests }
  })

  it.effect("are plain: POST, JSON in and out, no Authorization, no trace, one attempt each", () =>
    Effect.gen(function* () {
      const { exit, requests } = yield* made(
        Effect.withSpan(
          Effect.all([
            MovingImage.authenticate(credentials),
            MovingImage.refresh({ refreshToken: Redacted.make("refresh-0"), videoManager: 7 })
          ]),
          "test"
        )
      )
      if (Exit.isFailure(exit)) return yield* exit
      const [first, second] = exit.value
      assert.deepStrictEqual([bare(first), bare(second)], ["access-1", "access-2"])
      assert.deepStrictEqual(
        MovingImage.videoManagersOf(second),
        Option.some({
          validForVideoManager: 7,
          videoManagerList: managers
        })
      )
      assert.deepStrictEqual(exchanges(requests), [login, refresh(7, "refresh-0")])
      for (const { authorization, headers } of requests) {
        assert.isUndefined(authorization)
        assert.deepInclude(headers, { accept: "application/json", "content-type": "application/json" })
        assert.isUndefined(headers["b3"] ?? headers["traceparent"])
      }
    })
  )

  it.effect("stamp the token with the clock", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 hour")
      const fiber = yield* Effect.forkChild(
        made(MovingImage.authenticate(credentials), (request, n) =>
          Effect.delay(
            Effect.sync(() => json(200, answer(n, refreshedFor(request)))),
            "2 seconds"
          )
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust("2 seconds")
      const { exit } = yield* Fiber.join(fiber)
      if (Exit.isFailure(exit)) return yield* exit
      const { expiresAt, generation, issuedAt, refreshExpiresAt } = exit.value
      assert.deepStrictEqual(
        { expiresAt, generation, issuedAt, refreshExpiresAt },
        { expiresAt: 3_900_000, generation: 1, issuedAt: 3_600_000, refreshExpiresAt: 7_200_000 }
      )
    })
  )

  it.effect("authenticate gives the token of the login, whatever its VideoManager", () =>
    Effect.gen(function* () {
      const { exit, requests } = yield* made(MovingImage.authenticate(credentials), (_, n) => json(200, answer(n, 7)))
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(requests.length, 1)
    })
  )

  it.effect("refresh fails for a VideoManager that there is not", () =>
    Effect.gen(function* () {
      const refreshing = MovingImage.refresh({ refreshToken: password, videoManager: 6 })
      const { exit } = yield* made(Effect.flip(refreshing), () => status(404))
      if (Exit.isFailure(exit)) return yield* exit
      assert.deepInclude(exit.value.reason, {
        _tag: "ProviderRejected",
        code: "unknown-video-manager",
        detail: "the user can't access VideoManager 6"
      })
    })
  )

  it.effect(
    "refresh fails with RefreshTokenRejected for 400 and 401, AmbiguousExchange where the answer was lost",
    () =>
      Effect.gen(function* () {
        const refreshing = Effect.flip(MovingImage.refresh({ refreshToken: password, videoManager: 5 }))
        const failures: ReadonlyArray<readonly [Respond, string]> = [
          [() => status(400), "RefreshTokenRejected"],
          [() => status(401), "RefreshTokenRejected"],
          [transportError("ECONNRESET"), "AmbiguousExchange"],
          [() => Recording.html(200), "AmbiguousExchange"],
          [() => json(200, { ...answer(1), accessToken: 1 }), "AmbiguousExchange"],
          [transportError("ENOTFOUND"), "ProviderUnavailable"]
        ]
        for (const [respond, tag] of failures) {
          const { exit } = yield* made(refreshing, respond)
          if (Exit.isFailure(exit)) return yield* exit
          assert.strictEqual(exit.value.reason._tag, tag)
        }
        return undefined
      })
  )

  it.effect("have schemas of their payloads that never write a secret", () =>
    Effect.gen(function* () {
      const decoded = yield* Schema.decodeEffect(MovingImage.LoginPayload)(credentials)
      assert.strictEqual(Redacted.value(decoded.password), "pass word")
      const written = [
        yield* Effect.exit(Schema.encodeEffect(Schema.toCodecJson(MovingImage.LoginPayload))(credentials)),
        yield* Effect.exit(
          Schema.encodeEffect(Schema.toCodecJson(MovingImage.RefreshPayload))({ refreshToken: password })
        )
      ]
      for (const exit of written) {
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) assert.notInclude(Cause.pretty(exit.cause), "pass word")
      }
    })
  )
})

describe("provider", () => {
  const made = (options: Partial<MovingImage.TokenOptions> = {}) =>
    Effect.provideService(
      MovingImage.provider({ ...credentials, ...options }),
      HttpClient.HttpClient,
      Recording.make(api).client
    )

  it.effect("says how movingimage's tokens behave, as far as that is known", () =>
    Effect.gen(function* () {
      const { name, traits } = yield* made()
      assert.strictEqual(name, "movingimage api.video-cdn.net")
      assert.deepStrictEqual(traits, {
        renewWith: "refresh-then-login",
        rotatesRefreshToken: true,
        loginSupersedesRefresh: false,
        oldTokenSurvivesRefresh: true,
        locksAccount: true
      })
    })
  )

  it.effect(
    "names the identity by a hash of host and credential, and by the VideoManager: who has another password has another",
    () =>
      Effect.gen(function* () {
        const identityOf = (options?: Partial<MovingImage.TokenOptions>) =>
          Effect.flatMap(made(options), ({ identity }) => identity)
        const identity = yield* identityOf()
        assert.match(identity, /^movingimage:api\.video-cdn\.net:[0-9a-f]{1,16}$/)
        assert.strictEqual(yield* identityOf(), identity)
        assert.notStrictEqual(yield* identityOf({ password: Redacted.make("other") }), identity)
        assert.strictEqual(yield* identityOf({ videoManager: 7 }), `${identity}:7`)
        assert.notStrictEqual(yield* identityOf({ username: Redacted.make("other") }), identity)
        const other = yield* identityOf({ baseUrl: "https://video.example.com" })
        assert.match(other, /^movingimage:video\.example\.com:/)
        assert.notStrictEqual(other.split(":")[2], identity.split(":")[2])
      })
  )

  it.effect("serves a TokenService of one's own making, with the default policy", () =>
    Effect.gen(function* () {
      const service = yield* TokenService.make({
        provider: yield* made(),
        policy: { ...MovingImage.defaultPolicy, ...onDemand }
      })
      assert.strictEqual(bare(yield* service.get), "access-1")
    })
  )
})

describe("layerMap", () => {
  const list = Effect.flatMap(MovingImage.clientFor(7), (api) => api.get("/v1/vms/7/videos"))

  /** The first exchange of a session that logs in when the program asks for a token. */
  const loginOf = Effect.fnUntraced(function* <E>(
    live: Layer.Layer<MovingImage.Session, E, TokenServiceMap.TokenServiceMap | HttpClient.HttpClient>
  ) {
    const { client, requests } = Recording.make(api)
    yield* list.pipe(
      Effect.provide(Layer.provide(live, TokenServiceMap.layer())),
      Effect.provideService(HttpClient.HttpClient, client)
    )
    return exchanges(yield* requests)[0]
  })

  for (const eager of [true, false]) {
    it.effect(`reads username and password from the configuration of the layer, ${eager ? "" : "not "}eagerly`, () =>
      Effect.gen(function* () {
        const env = environment({ NAME: "ada@example.com", PASSWORD: "pass word" })
        const live = MovingImage.layerMap({ ...fromEnvironment, eager })
        assert.deepStrictEqual(yield* loginOf(Layer.provide(live, env)), login)
      })
    )
  }

  it.effect("sends no token that expired while the store was taking it, though the wall clock was set back", () =>
    Effect.gen(function* () {
      const store = yield* slowStore
      const { client, requests } = Recording.make(api)
      const listing = yield* list.pipe(
        Effect.provide(
          MovingImage.layerMap({ ...credentials, eager: false }).pipe(
            Layer.provide(TokenServiceMap.layer()),
            Layer.provide(TokenStore.layer(Effect.succeed(store)))
          )
        ),
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.forkChild
      )
      // The password is hashed outside of the test clock.
      while (listing.pollUnsafe() === undefined) {
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      yield* Fiber.join(listing)
      const sent = yield* requests
      const isExchange = (url: string) => url.includes("/v1/vms/auth/")
      // The token of the first exchanges had been expired for hours, so another exchange follows before the request.
      assert.deepStrictEqual(
        sent.map(({ url }) => isExchange(url)),
        [true, true, true, false]
      )
    }).pipe(Effect.provide(splitClock))
  )

  it.effect("reads the password with a service that it takes from the layer's context", () =>
    Effect.gen(function* () {
      class Vault extends Context.Service<Vault, { readonly read: Effect.Effect<Redacted.Redacted> }>()("Vault") {}
      const live: Layer.Layer<
        MovingImage.Session,
        TokenError.TokenError,
        TokenServiceMap.TokenServiceMap | HttpClient.HttpClient | Vault
      > = MovingImage.layerMap({ username, password: Vault.use(({ read }) => read), eager: false })
      const vault = Layer.succeed(Vault, { read: Effect.succeed(password) })
      assert.deepStrictEqual(yield* loginOf(Layer.provide(live, vault)), login)
    })
  )
})
