/** What the token endpoint is asked for, and what its answers mean. */
import { assert, describe, it } from "@effect/vitest"
import { Config, Duration, Effect, Redacted } from "effect"
import { OAuth2, type TokenError } from "effect-video-auth"
import { html, json, status } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const user = { username: Server.credential(1), password: Server.credential(2) }

type Operation = "login" | "refresh"

/** One exchange of the password grant with a server that answers so. */
const exchange = (operation: Operation, response: () => Response, options: Partial<OAuth2.ClientOptions> = {}) => {
  const server = Server.make(response)
  return server.run(
    Effect.flatMap(OAuth2.password({ ...Server.client, ...user, ...options }), (provider) =>
      operation === "login" ? provider.login! : provider.refresh!(Server.current)
    )
  )
}

const reasonOf = (operation: Operation, response: () => Response) =>
  Effect.map(Effect.flip(exchange(operation, response)), (error) => error as TokenError.RenewalReason)

describe("errors, by their code", () => {
  const expected: Readonly<Record<string, readonly [login: string, refresh: string]>> = {
    invalid_grant: ["InvalidCredentials", "RefreshTokenRejected"],
    invalid_client: ["InvalidCredentials", "InvalidCredentials"],
    invalid_request: ["BadRequest", "BadRequest"],
    invalid_scope: ["ProviderRejected", "ProviderRejected"],
    invalid_target: ["ProviderRejected", "ProviderRejected"],
    unauthorized_client: ["ProviderRejected", "ProviderRejected"],
    unsupported_grant_type: ["ProviderRejected", "ProviderRejected"],
    access_denied: ["ProviderRejected", "ProviderRejected"],
    interaction_required: ["InteractionRequired", "InteractionRequired"],
    login_required: ["InteractionRequired", "InteractionRequired"],
    temporarily_unavailable: ["ProviderUnavailable", "ProviderUnavailable"],
    server_error: ["ProviderUnavailable", "ProviderUnavailable"],
    "credential-1": ["ProviderRejected", "ProviderRejected"]
  }
  for (const [code, tags] of Object.entries(expected))
    for (const [index, operation] of (["login", "refresh"] as const).entries())
      it.effect(`${code} of a ${operation} is ${tags[index]}, with 400, 401 or 403, and repeats nothing`, () =>
        Effect.gen(function* () {
          for (const status of [400, 401, 403]) {
            const challenge = { "www-authenticate": 'Basic realm="credential-1"' }
            const reason = yield* reasonOf(operation, () => Server.refusal(code, status, challenge))
            assert.strictEqual(reason._tag, tags[index])
            assert.notMatch(JSON.stringify(reason) + reason.message, /credential-|refresh-/)
          }
        })
      )

  it.effect("a page that the server did not write says nothing about a credential, whatever its status", () =>
    Effect.gen(function* () {
      for (const code of [400, 401, 403, 404, 405, 413]) {
        for (const reason of [
          yield* reasonOf("login", () => html(code)),
          yield* reasonOf("refresh", () => html(code)),
          yield* reasonOf("refresh", () => json(code, { message: "Forbidden" }))
        ]) {
          assert.deepInclude(reason, { _tag: "ProviderUnavailable", status: code, fromPlatform: false })
        }
      }
    })
  )

  it.effect("an error without a body is the server's: the credential was refused, or the endpoint is not there", () =>
    Effect.gen(function* () {
      for (const answer of [(code: number) => status(code), (code: number) => json(code, {})]) {
        for (const code of [400, 401]) {
          assert.strictEqual((yield* reasonOf("login", () => answer(code)))._tag, "InvalidCredentials")
          assert.strictEqual((yield* reasonOf("refresh", () => answer(code)))._tag, "RefreshTokenRejected")
        }
        for (const code of [404, 405]) {
          const reason = yield* reasonOf("login", () => answer(code))
          assert.strictEqual(reason._tag === "ConfigurationInvalid" && reason.option, "issuer")
        }
      }
    })
  )

  it.effect("a redirect is not followed", () =>
    Effect.gen(function* () {
      const server = Server.make(() => status(307, { location: "https://evil.example/token" }))
      const provider = yield* server.run(OAuth2.clientCredentials(Server.client))
      assert.strictEqual((yield* Effect.flip(provider.login!))._tag, "MalformedResponse")
      assert.strictEqual((yield* server.requests).length, 1)
    })
  )

  it.effect("and one in answer to a refresh says nothing about the refresh token", () =>
    Effect.gen(function* () {
      const reason = yield* reasonOf("refresh", () => status(302, { location: "/maintenance" }))
      assert.deepInclude(reason, { _tag: "ProviderUnavailable", failure: "status", status: 302 })
    })
  )

  it.effect("429 says how long to wait", () =>
    Effect.gen(function* () {
      const reason = yield* reasonOf("login", () => status(429, { "retry-after": "7" }))
      assert.strictEqual(reason._tag === "RateLimited" && Duration.toSeconds(reason.retryAfter!), 7)
    })
  )
})

describe("token answers", () => {
  const lifetimeOf = (body: object, options?: Partial<OAuth2.ClientOptions>) =>
    Effect.map(
      exchange("login", () => json(200, body), options),
      ({ expiresIn }) => Duration.toSeconds(Duration.fromInputUnsafe(expiresIn))
    )

  it.effect("of another type than bearer are refused", () =>
    Effect.gen(function* () {
      for (const token_type of ["DPoP", "mac"]) {
        const reason = yield* reasonOf("login", () => json(200, { ...Server.answer, token_type }))
        assert.include(reason.message, "token_type is missing or invalid")
      }
    })
  )

  it.effect("may write bearer as they like", () =>
    Effect.gen(function* () {
      for (const token_type of ["bearer", "BEARER"])
        assert.strictEqual(yield* lifetimeOf({ ...Server.answer, token_type }), 300)
    })
  )

  it.effect("that say no lifetime have the one that the server's documents say", () =>
    Effect.gen(function* () {
      const { expires_in: _, ...body } = Server.answer
      assert.strictEqual((yield* reasonOf("login", () => json(200, body)))._tag, "MalformedResponse")
      assert.strictEqual(yield* lifetimeOf(body, { lifetime: "1 hour" }), 3_600)
      assert.strictEqual(yield* lifetimeOf(Server.answer, { lifetime: "1 hour" }), 300)
    })
  )

  it.effect("may say the lifetime of the refresh token, and zero is none", () =>
    Effect.gen(function* () {
      for (const [refresh_expires_in, seconds] of [
        [1_800, 1_800],
        ["1800", 1_800],
        [0, undefined],
        ["soon", undefined],
        [null, undefined],
        [{ toString: 1, valueOf: 1 }, undefined],
        ["1e400", undefined]
      ] as const) {
        const { refreshExpiresIn } = yield* exchange("login", () => json(200, { ...Server.answer, refresh_expires_in }))
        assert.strictEqual(
          refreshExpiresIn === undefined ? undefined : Duration.toSeconds(Duration.fromInputUnsafe(refreshExpiresIn)),
          seconds
        )
      }
    })
  )

  it.effect("may say it by the name that GitHub and Google use", () =>
    Effect.gen(function* () {
      const body = { ...Server.answer, refresh_token_expires_in: 15_897_600 }
      const { refreshExpiresIn } = yield* exchange("login", () => json(200, body))
      assert.strictEqual(Duration.toDays(Duration.fromInputUnsafe(refreshExpiresIn!)), 184)
    })
  )

  it.effect("keep the scope that was granted", () =>
    Effect.gen(function* () {
      const { extra } = yield* exchange("login", () => json(200, { ...Server.answer, scope: "read" }))
      assert.deepStrictEqual(extra, { scope: "read" })
    })
  )

  for (const [rotatesRefreshToken, kept] of [
    [undefined, "refresh-0"],
    [true, undefined]
  ] as const)
    it.effect(
      `to a refresh, without a refresh token, leave ${kept ?? "none"} where rotation is ${rotatesRefreshToken}`,
      () =>
        Effect.gen(function* () {
          const { refresh_token: _, ...body } = Server.answer
          const { refreshToken } = yield* exchange("refresh", () => json(200, body), { rotatesRefreshToken })
          assert.strictEqual(refreshToken && Redacted.value(refreshToken), kept)
        })
    )

  it.effect("to client credentials bring no refresh token", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const provider = yield* server.run(OAuth2.clientCredentials(Server.client))
      assert.isUndefined((yield* provider.login!).refreshToken)
    })
  )
})

describe("client authentication", () => {
  const sent = (authentication: OAuth2.ClientAuthentication) =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const provider = yield* server.run(
        OAuth2.clientCredentials({ ...Server.client, clientId: "my app", authentication })
      )
      yield* provider.login!
      const [request] = yield* server.forms()
      return request!
    })

  it.effect("client_secret_basic encodes id and secret before it joins them (RFC 6749 §2.3.1)", () =>
    Effect.gen(function* () {
      const clientSecret = Redacted.make("a:b/c+d 100%")
      const { authorization, form } = yield* sent({ method: "client_secret_basic", clientSecret })
      assert.strictEqual(atob(authorization!.replace("Basic ", "")), "my+app:a%3Ab%2Fc%2Bd+100%25")
      assert.isFalse(form.has("client_secret"))
    })
  )

  it.effect("client_secret_post puts both in the body", () =>
    Effect.gen(function* () {
      const { authorization, form } = yield* sent({ method: "client_secret_post", clientSecret: Server.credential(1) })
      assert.isUndefined(authorization)
      assert.deepStrictEqual([form.get("client_id"), form.get("client_secret")], ["my app", "credential-1"])
    })
  )

  it.live("private_key_jwt signs an assertion for this issuer, a new one each time (RFC 7523)", () =>
    Effect.gen(function* () {
      const { privateKey, publicKey } = yield* Effect.promise(() =>
        crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"])
      )
      const authentication = { method: "private_key_jwt", privateKey, keyId: "k1" } as const
      const assertions = [yield* sent(authentication), yield* sent(authentication)].map(({ form }) =>
        form.get("client_assertion")!
      )
      const identifiers = new Set<string>()
      for (const assertion of assertions) {
        const [header = "", payload = "", signature = ""] = assertion.split(".")
        const claims = JSON.parse(Buffer.from(payload, "base64url").toString())
        assert.deepStrictEqual([claims.iss, claims.sub, claims.aud], ["my app", "my app", Server.issuer])
        assert.strictEqual(JSON.parse(Buffer.from(header, "base64url").toString()).kid, "k1")
        identifiers.add(claims.jti)
        const isSigned = yield* Effect.promise(() =>
          crypto.subtle.verify(
            { name: "ECDSA", hash: "SHA-256" },
            publicKey,
            Buffer.from(signature, "base64url"),
            Buffer.from(`${header}.${payload}`)
          )
        )
        assert.isTrue(isSigned)
      }
      assert.strictEqual(identifiers.size, 2)
    })
  )

  it.effect("reads a secret anew at each exchange", () =>
    Effect.gen(function* () {
      let version = 0
      const clientSecret = Effect.sync(() => Redacted.make(`secret-${++version}`))
      const server = Server.make(() => json(200, Server.answer))
      const authentication = { method: "client_secret_post", clientSecret } as const
      const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, authentication }))
      yield* provider.login!
      yield* provider.login!
      assert.deepStrictEqual(
        (yield* server.forms()).map(({ form }) => form.get("client_secret")),
        ["secret-1", "secret-2"]
      )
    })
  )

  for (const [what, authentication] of [
    ["an empty secret", { method: "client_secret_basic", clientSecret: Redacted.make(" ") }],
    [
      "a secret that is not configured",
      { method: "client_secret_post", clientSecret: Config.Redacted("NO_SUCH_SECRET") }
    ]
  ] as const)
    it.effect(`${what} is found before any request`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(200, Server.answer))
        const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, authentication }))
        const reason = yield* Effect.flip(provider.login!)
        assert.strictEqual(reason._tag === "ConfigurationInvalid" && reason.option, "clientSecret")
        assert.notInclude(reason.message, "credential-1")
        assert.deepStrictEqual(yield* server.requests, [])
      })
    )

  it.effect("a secret that cannot be read at the moment is found before any request, and is transient", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const authentication = { method: "client_secret_post", clientSecret: Effect.fail("credential-1") } as const
      const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, authentication }))
      const reason = yield* Effect.flip(provider.login!)
      assert.deepInclude(reason, { _tag: "CredentialUnavailable", credential: "clientSecret", isRetryable: true })
      assert.notInclude(reason.message, "credential-1")
      assert.deepStrictEqual(yield* server.requests, [])
    })
  )

  it.effect("an empty client id is found before any request", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const error = yield* Effect.flip(server.run(OAuth2.clientCredentials({ ...Server.client, clientId: "" })))
      assert.strictEqual(error.reason._tag === "ConfigurationInvalid" && error.reason.option, "clientId")
    })
  )
})

describe("parameters", () => {
  const options = {
    ...Server.client,
    scope: ["read", "write"],
    audience: "videos",
    resource: ["https://a.example", "https://b.example"],
    parameters: { tenant: "one" },
    refreshParameters: { tenant: "two", scope: "read" }
  }

  it.effect("of a login are all that was asked for", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      yield* server.run(Effect.flatMap(OAuth2.password({ ...options, ...user }), ({ login }) => login!))
      const [request] = yield* server.forms()
      assert.deepStrictEqual([...request!.form].toSorted(), [
        ["audience", "videos"],
        ["client_id", "my-app"],
        ["grant_type", "password"],
        ["password", "credential-2"],
        ["resource", "https://a.example"],
        ["resource", "https://b.example"],
        ["scope", "read write"],
        ["tenant", "one"],
        ["username", "credential-1"]
      ])
    })
  )

  it.effect("of a refresh are its own, and the resources", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      yield* server.run(
        Effect.flatMap(OAuth2.password({ ...options, ...user }), ({ refresh }) => refresh!(Server.current))
      )
      const [request] = yield* server.forms()
      assert.deepStrictEqual([...request!.form].toSorted(), [
        ["client_id", "my-app"],
        ["grant_type", "refresh_token"],
        ["refresh_token", "refresh-0"],
        ["resource", "https://a.example"],
        ["resource", "https://b.example"],
        ["scope", "read"],
        ["tenant", "two"]
      ])
    })
  )

  it.effect("go through the client that is provided, and no trace goes with them", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      yield* server
        .run(Effect.flatMap(OAuth2.clientCredentials(Server.client), ({ login }) => login!))
        .pipe(Effect.withSpan("a span of the program"))
      const [request] = yield* server.requests
      assert.notProperty(request!.headers, "traceparent")
      assert.notProperty(request!.headers, "b3")
    })
  )
})
