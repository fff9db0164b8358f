/** Whose word a response to an exchange is, and what follows from it: the table of `TokenError`. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Duration, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { HttpClient } from "effect/http"
import { ApiVideo, MovingImage, OAuth2, type TokenError, TokenService } from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { setImmediate } from "node:timers/promises"

const username = Redacted.make("credential-1")
const password = Redacted.make("credential-2")
const refreshToken = Redacted.make("refresh-1")

const token = { token_type: "Bearer", expires_in: 3_600, access_token: "access-1", refresh_token: "refresh-2" }
const movingImageToken = {
  accessToken: "access-1",
  refreshToken: "refresh-2",
  videoManagerList: [{ id: 7, name: "Sales" }],
  validForVideoManager: 7
}

interface Platform {
  readonly name: string
  /** A login, and a refresh of one. */
  readonly exchanges: ReadonlyArray<
    Effect.Effect<unknown, TokenError.TokenError | TokenError.RenewalReason, HttpClient.HttpClient>
  >
  readonly layer: Layer.Layer<TokenService.TokenService, TokenError.TokenError, HttpClient.HttpClient>
  readonly token: object
  /** An error as the platform writes it. */
  readonly problem: object
}

const oauthPassword = OAuth2.password({
  issuer: "https://login.example.com",
  clientId: "my-app",
  discovery: { token_endpoint: "https://login.example.com/token" },
  username,
  password
})

const apiVideo: Platform = {
  name: "api.video",
  exchanges: [ApiVideo.authenticate({ apiKey: Redacted.make("credential-1") }), ApiVideo.refresh({ refreshToken })],
  layer: ApiVideo.layerToken({ apiKey: Redacted.make("credential-1") }),
  token,
  problem: { title: "The user credentials were incorrect.", name: "" }
}

/** Where refused logins lock the account. */
const locking: ReadonlyArray<Platform> = [
  {
    name: "movingimage",
    exchanges: [
      MovingImage.authenticate({ username, password }),
      MovingImage.refresh({ refreshToken, videoManager: 7 })
    ],
    layer: MovingImage.layerToken({ username, password }),
    token: movingImageToken,
    problem: { message: "Bad credentials" }
  },
  {
    name: "a password of OAuth",
    exchanges: [Effect.flatMap(oauthPassword, ({ login }) => login!)],
    layer: OAuth2.layerToken(oauthPassword),
    token,
    problem: { error: "invalid_grant" }
  }
]

const text = (status: number, type: string, body: string) =>
  new Response(body, { status, headers: { "content-type": type } })

/** What firewalls, proxies and gateways write. */
const pages: Readonly<Record<string, (status: number) => Response>> = {
  HTML: (status) => Recording.html(status),
  "plain text": (status) => text(status, "text/plain", "Access denied (policy_denied) credential-1"),
  "HTML that calls itself nothing": (status) => new Response("<html></html>", { status }),
  "more than anybody reads": (status) => text(status, "text/html", "<p>".repeat(50_000))
}

/** JSON of somebody else, or of nobody. */
const foreign: Readonly<Record<string, (status: number) => Response>> = {
  "a gateway's JSON": (status) => Recording.json(status, { code: status, msg: "credential-1 is not welcome" }),
  "an array": (status) => Recording.json(status, ["credential-1"]),
  "a string": (status) => Recording.json(status, "credential-1"),
  "truncated JSON": (status) => text(status, "application/json", '{"title": "credential-1')
}

const blank: Readonly<Record<string, (status: number) => Response>> = {
  "no body": (status) => new Response(null, { status }),
  "{}": (status) => Recording.json(status, {})
}

const reasonOf = (
  exchange: Effect.Effect<unknown, TokenError.TokenError | TokenError.RenewalReason, HttpClient.HttpClient>,
  respond: Recording.Respond
) =>
  Effect.gen(function* () {
    const { client } = Recording.make(respond)
    const error = yield* Effect.flip(Effect.provideService(exchange, HttpClient.HttpClient, client))
    assert.notMatch(inspect(error, { depth: 9 }), /credential-\d|refresh-\d/)
    return error._tag === "TokenError" ? error.reason : error
  })

const statuses = [400, 401, 403, 404, 405, 413, 418, 451, 499]

/** Responses are read in turns of the event loop. */
const turns = Effect.replicateEffect(
  Effect.promise(() => setImmediate()),
  5,
  { discard: true }
)

/** Lets time pass for a program whose responses come from memory. */
const pass = (duration: Duration.Input, steps: number) =>
  Effect.gen(function* () {
    for (let step = 0; step < steps; step++) {
      yield* TestClock.adjust(duration)
      yield* turns
    }
  })

/** A service that callers ask every second, and how often it has asked the platform. */
const asked = Effect.fnUntraced(function* (platform: Platform, respond: Recording.Respond) {
  const { client, requests } = Recording.make(respond)
  const building = yield* Layer.build(platform.layer).pipe(
    Effect.provideService(HttpClient.HttpClient, client),
    Effect.exit,
    Effect.forkScoped
  )
  const sent = Effect.map(requests, ({ length }) => length)
  // The name of an account with a password is computed outside of all clocks.
  while ((yield* sent) === 0 && building.pollUnsafe() === undefined) yield* pass("100 millis", 1)
  while (building.pollUnsafe() === undefined) yield* pass("1 second", 1)
  const built = yield* Fiber.join(building)
  const ask = Exit.isFailure(built)
    ? Effect.void
    : Effect.forkScoped(Effect.exit(Context.get(built.value, TokenService.TokenService).get))
  return { built, sent, ask }
})

describe("api.video", () => {
  for (const [operation, exchange] of apiVideo.exchanges.entries()) {
    const name = operation === 0 ? "a login" : "a refresh"
    for (const [page, respond] of Object.entries({ ...pages, ...foreign })) {
      it.effect(`${page} in response to ${name} is not the platform's word, whatever its status`, () =>
        Effect.gen(function* () {
          for (const status of statuses) {
            const reason = yield* reasonOf(exchange, () => respond(status))
            assert.deepInclude(reason, { _tag: "ProviderUnavailable", status, fromPlatform: false, isRetryable: true })
            assert.include(reason.message, `a proxy, firewall or gateway responded instead of the platform (${status})`)
          }
        })
      )
    }

    for (const [body, respond] of Object.entries(blank)) {
      it.effect(`${body} in response to ${name} is the platform's word`, () =>
        Effect.gen(function* () {
          const refused = operation === 0 ? "InvalidCredentials" : "RefreshTokenRejected"
          const expected = { 400: refused, 401: refused, 403: "AccountSuspended", 404: "ConfigurationInvalid" }
          for (const [status, tag] of Object.entries(expected)) {
            assert.strictEqual((yield* reasonOf(exchange, () => respond(Number(status))))._tag, tag)
          }
        })
      )
    }
  }

  it.effect("says itself that it is failing, or somebody else does", () =>
    Effect.gen(function* () {
      const [login] = apiVideo.exchanges
      const own = yield* reasonOf(login!, () => Recording.json(503, { title: "Maintenance" }))
      assert.deepInclude(own, { _tag: "ProviderUnavailable", status: 503, fromPlatform: true })
      const other = yield* reasonOf(login!, () => Recording.html(503))
      assert.deepInclude(other, { _tag: "ProviderUnavailable", status: 503, fromPlatform: false })
      const limited = yield* reasonOf(login!, () => Recording.html(429))
      assert.deepInclude(limited, { _tag: "RateLimited", fromPlatform: false })
      const proxy = yield* reasonOf(login!, () => new Response(null, { status: 407 }))
      assert.deepInclude(proxy, { _tag: "ProviderUnavailable", status: 407, fromPlatform: false })
    })
  )

  it.effect("a firewall's page at the start is retried, and the program starts", () =>
    Effect.gen(function* () {
      const { built, sent } = yield* asked(apiVideo, (_, n) =>
        n === 1 ? Recording.html(403) : Recording.json(200, token)
      )
      assert.isTrue(Exit.isSuccess(built))
      assert.strictEqual(yield* sent, 2)
    })
  )
})

for (const platform of locking) {
  const [login, refresh] = platform.exchanges

  describe(platform.name, () => {
    for (const [page, respond] of Object.entries(pages)) {
      it.effect(`${page} in response to a login is transient, and remembered for 30 s, whatever its status`, () =>
        Effect.gen(function* () {
          for (const status of [...statuses, 429, 500, 502, 503]) {
            const reason = yield* reasonOf(login!, () => respond(status))
            assert.isTrue(reason.isRetryable, `${status}`)
            assert.strictEqual("retryAfter" in reason && Duration.toSeconds(reason.retryAfter!), 30, `${status}`)
          }
        })
      )
    }

    it.effect("JSON of any kind is a refusal: fatal, but for 407, 408 and 429", () =>
      Effect.gen(function* () {
        for (const respond of [...Object.values(foreign), () => Recording.json(422, platform.problem)]) {
          for (const status of statuses) {
            const reason = yield* reasonOf(login!, () => respond(status))
            assert.isFalse(reason.isRetryable, `${status}: ${reason.message}`)
          }
          for (const status of [407, 408, 429]) {
            if (respond(status).status !== status) continue
            assert.isTrue((yield* reasonOf(login!, () => respond(status))).isRetryable, `${status}`)
          }
        }
      })
    )

    if (refresh !== undefined) {
      it.effect("a page in response to a refresh is transient, and needs no pause: it had no password", () =>
        Effect.gen(function* () {
          const reason = yield* reasonOf(refresh, () => Recording.html(403))
          assert.deepInclude(reason, { _tag: "ProviderUnavailable", fromPlatform: false, retryAfter: undefined })
        })
      )
    }

    it.effect("a page costs one login in 30 s, however many callers ask, and the program starts", () =>
      Effect.gen(function* () {
        const { ask, built, sent } = yield* asked(platform, () => Recording.html(403))
        assert.isTrue(Exit.isSuccess(built))
        for (let second = 0; second < 300; second++) {
          yield* ask
          yield* pass("1 second", 1)
        }
        assert.isAtMost(yield* sent, 11)
        assert.isAtLeast(yield* sent, 2)
      })
    )

    it.effect("a login after the page succeeds", () =>
      Effect.gen(function* () {
        const { ask, built, sent } = yield* asked(platform, (_, n) =>
          n === 1 ? Recording.html(403) : Recording.json(200, platform.token)
        )
        assert.isTrue(Exit.isSuccess(built))
        yield* ask
        yield* pass("1 second", 30)
        assert.strictEqual(yield* sent, 2)
      })
    )

    it.effect("a refusal costs one login, and the program does not start", () =>
      Effect.gen(function* () {
        const { built, sent } = yield* asked(platform, () => Recording.json(400, { code: 400, msg: "no" }))
        assert.isTrue(Exit.isFailure(built))
        assert.strictEqual(yield* sent, 1)
      })
    )
  })
}

describe("a secret that an effect reads", () => {
  const read = (source: Effect.Effect<Redacted.Redacted, unknown>) =>
    reasonOf(
      Effect.flatMap(ApiVideo.provider({ apiKey: source }), ({ login }) => login!),
      () => Recording.json(200, token)
    )

  it.effect("is unavailable for the moment if the effect fails, and its failure is named without its message", () =>
    Effect.gen(function* () {
      class VaultError extends Error {
        override readonly name = "VaultError"
        readonly code = "ECONNREFUSED"
      }
      const reason = yield* read(Effect.fail(new VaultError("no credential-1 for you")))
      assert.deepInclude(reason, {
        _tag: "CredentialUnavailable",
        credential: "apiKey",
        failure: "VaultError, ECONNREFUSED",
        isRetryable: true
      })
      assert.include(reason.message, "apiKey cannot be read")
      for (const failure of ["credential-1", { _tag: "credential-1 and more" }, null, new Date(0)]) {
        assert.strictEqual((yield* read(Effect.fail(failure)))._tag, "CredentialUnavailable")
      }
    })
  )

  it.effect("is configuration if that is missing, also behind other effects, and names the variable", () =>
    Effect.gen(function* () {
      const config = Config.Redacted("APIVIDEO_API_KEY")
      for (const source of [config, Effect.tap(config, () => Effect.void)]) {
        const reason = yield* read(
          Effect.provideService(source, ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: {} }))
        )
        assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option: "apiKey" })
        assert.include(reason.message, "APIVIDEO_API_KEY")
      }
    })
  )

  for (const [name, layerOf, body] of [
    [
      "an API key",
      (secret: Effect.Effect<Redacted.Redacted, string>) => ApiVideo.layerToken({ apiKey: secret }),
      token
    ],
    [
      "a password",
      (secret: Effect.Effect<Redacted.Redacted, string>) => MovingImage.layerToken({ username, password: secret }),
      movingImageToken
    ]
  ] as const) {
    for (const failing of [1, 2]) {
      it.effect(`that fails once does not stop the start (${name}, reading ${failing})`, () =>
        Effect.gen(function* () {
          let readings = 0
          const secret = Effect.suspend(() =>
            ++readings === failing ? Effect.fail("sealed") : Effect.succeed(Redacted.make("credential-1"))
          )
          const { built, sent } = yield* asked({ ...apiVideo, layer: layerOf(secret) }, () => Recording.json(200, body))
          assert.isTrue(Exit.isSuccess(built))
          assert.strictEqual(yield* sent, 1)
        })
      )
    }
  }
})
