/**
 * Servers that deviate from the specification, as users of other clients reported them or as their documents describe them.
 * Each server here is a fake that sends those responses; none of them is an independent oracle.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option, Redacted } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AuthorizationCode, DeviceAuthorization, OAuth2, type TokenError, TokenService } from "effect-video-auth"
import { json, type Respond, status } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const held = (tokens: TokenService.TokenService["Service"]) =>
  Effect.map(tokens.get, ({ accessToken }) => Redacted.value(accessToken))

const pathOf = (url: string) => new URL(url).pathname

/** Responds to a device authorization request, and to polls in order; the last response is repeated. */
const deviceServer = (authorization: object, polls: ReadonlyArray<() => Response>) => {
  let count = 0
  return Server.make(({ url }) =>
    pathOf(url) === "/device" ? json(200, authorization) : polls[Math.min(count++, polls.length - 1)]!()
  )
}

const device = (server: ReturnType<typeof Server.make>, options: Partial<DeviceAuthorization.Options> = {}) =>
  Effect.gen(function* () {
    const prompts: Array<DeviceAuthorization.Prompt> = []
    const prompt = (prompt: DeviceAuthorization.Prompt) => Effect.sync(() => prompts.push(prompt))
    const context = yield* server.run(Layer.build(DeviceAuthorization.layer({ ...Server.client, prompt, ...options })))
    return {
      prompts,
      service: Context.get(context, DeviceAuthorization.DeviceAuthorization),
      tokens: Context.get(context, TokenService.TokenService)
    }
  })

const authorization = {
  device_code: "credential-1",
  user_code: "ABCD-EFGH",
  verification_uri: "https://login.example.com/activate",
  expires_in: 900,
  interval: 5
}

const redirectUri = "https://app.example.com/callback"

const codeFlow = (respond: Respond, options: Partial<AuthorizationCode.Options> = {}) =>
  Effect.gen(function* () {
    const server = Server.make(respond)
    const layer = AuthorizationCode.layer({ ...Server.client, redirectUri, ...options })
    const context = yield* server.run(Layer.build(layer))
    const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
    return { server, flow, tokens: Context.get(context, TokenService.TokenService) }
  }).pipe(Effect.provide(KeyValueStore.layerMemory))

/** Where the server sends the browser back to. */
const redirectOf = (url: URL, more: Readonly<Record<string, string>> = {}) =>
  `${redirectUri}?${String(new URLSearchParams({ code: "credential-1", state: url.searchParams.get("state") ?? "", ...more }))}`

describe("an error code is read whatever the status", () => {
  it.effect("O1: GitHub answers polls with 200 and authorization_pending or slow_down", () =>
    Effect.gen(function* () {
      const server = deviceServer(authorization, [
        () => json(200, { error: "authorization_pending", error_uri: "https://docs.github.com" }),
        () => json(200, { error: "slow_down", interval: 10 }),
        () => json(200, { access_token: "access-1", token_type: "bearer", scope: "repo,gist" })
      ])
      const { service, tokens } = yield* device(server, { lifetime: "8 hours" })
      const fiber = yield* Effect.forkChild(service.signIn)
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* held(tokens), "access-1")
      assert.strictEqual((yield* server.forms()).length, 3)
    })
  )

  for (const [code, tag] of [
    ["invalid_client", "InvalidCredentials"],
    ["incorrect_client_credentials", "InvalidCredentials"],
    ["unauthorized_client", "ProviderRejected"],
    ["something_of_its_own", "ProviderRejected"]
  ] as const)
    it.effect(`O2: client credentials that are refused by 200 with ${code} are sent once`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(200, { error: code }))
        const layer = OAuth2.layerToken(OAuth2.clientCredentials(Server.client))
        const fiber = yield* Effect.forkChild(reasonOf(server.run(Layer.build(layer))))
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, tag)
        assert.strictEqual((yield* server.forms()).length, 1)
      })
    )

  for (const [who, response] of [
    ["GitHub", () => json(200, { error: "bad_refresh_token" })],
    ["a server that answers 200", () => json(200, { error: "invalid_grant" })]
  ] as const)
    it.effect(`a refresh token that ${who} refuses needs a person`, () =>
      Effect.gen(function* () {
        const server = Server.make(response)
        const provider = yield* server.run(
          OAuth2.refreshToken({ ...Server.client, refreshToken: Server.credential(1) })
        )
        const reason = yield* Effect.flip(provider.refresh!(Server.current))
        assert.strictEqual(reason._tag, "RefreshTokenRejected")
      })
    )

  for (const [what, code, tag] of [
    ["a refresh token that is refused", "invalid_grant", "RefreshTokenRejected"],
    ["a client that is refused", "invalid_client", "InvalidCredentials"],
    ["a server that is failing", "server_error", "ProviderUnavailable"],
    ["a phrase that is no code", "Internal Server Error", "ProviderUnavailable"],
    ["a code of its own", "something_of_its_own", "ProviderUnavailable"]
  ] as const)
    it.effect(`500 with ${code} means ${what}`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(500, { error: code }))
        const provider = yield* server.run(
          OAuth2.refreshToken({ ...Server.client, refreshToken: Server.credential(1) })
        )
        assert.strictEqual((yield* Effect.flip(provider.refresh!(Server.current)))._tag, tag)
      })
    )

  it.effect("429 means that the client has to wait, whatever the code", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(429, { error: "invalid_grant" }, { "retry-after": "7" }))
      const provider = yield* server.run(OAuth2.clientCredentials(Server.client))
      const reason = yield* Effect.flip(provider.login!)
      assert.strictEqual(reason._tag === "RateLimited" && Duration.toSeconds(reason.retryAfter!), 7)
    })
  )

  for (const status of [400, 401])
    it.effect(`Twitch refuses a refresh token by ${status}, with the phrase of the status as its error`, () =>
      Effect.gen(function* () {
        const body = {
          error: status === 400 ? "Bad Request" : "Unauthorized",
          status,
          message: "Invalid refresh token"
        }
        const server = Server.make(() => json(status, body))
        const provider = yield* server.run(
          OAuth2.refreshToken({ ...Server.client, refreshToken: Server.credential(1) })
        )
        assert.strictEqual((yield* Effect.flip(provider.refresh!(Server.current)))._tag, "RefreshTokenRejected")
      })
    )

  for (const [status, body] of [
    [400, { code: 400, msg: "wrong password" }],
    [403, { message: "credential-1" }],
    [422, { message: "credential-1" }]
  ] as const)
    it.effect(`H14: a grant that locks accounts is sent once after a ${status} without a code`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(status, body))
        const grant = OAuth2.grant({
          ...Server.client,
          grantType: "http://auth0.com/oauth/grant-type/password-realm",
          parameters: { username: Server.credential(1), password: Server.credential(2), realm: "employees" },
          locksAccount: true
        })
        const fiber = yield* Effect.forkChild(reasonOf(server.run(Layer.build(OAuth2.layerToken(grant)))))
        // The password's part of the identity is derived by WebCrypto, in real time.
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "InvalidCredentials")
        assert.strictEqual((yield* server.forms()).length, 1)
      })
    )

  it.effect("Twitch says authorization_pending in message, and Entra ID authorization_declined", () =>
    Effect.gen(function* () {
      const server = deviceServer(authorization, [
        () => json(400, { status: 400, message: "authorization_pending" }),
        () => json(400, { error: "authorization_declined" })
      ])
      const { service } = yield* device(server)
      const fiber = yield* Effect.forkChild(reasonOf(service.signIn))
      yield* TestClock.adjust("10 seconds")
      const reason = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "access_denied")
    })
  )

  it.effect("Twitch wants its own parameters with polls too", () =>
    Effect.gen(function* () {
      const server = deviceServer(authorization, [() => json(200, { ...Server.answer, scope: ["user:read:email"] })])
      const { service } = yield* device(server, { parameters: { scopes: "user:read:email" } })
      const fiber = yield* Effect.forkChild(service.signIn)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      for (const path of ["/device", "/token"]) {
        const [request] = yield* server.forms(path)
        assert.strictEqual(request!.form.get("scopes"), "user:read:email")
      }
    })
  )

  it.effect("Google answers polls with 428 and authorization_pending", () =>
    Effect.gen(function* () {
      const server = deviceServer(authorization, [
        () => json(428, { error: "authorization_pending", error_description: "Precondition Required" }),
        () => json(200, Server.answer)
      ])
      const { service, tokens } = yield* device(server)
      const fiber = yield* Effect.forkChild(service.signIn)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* held(tokens), "access-1")
    })
  )
})

describe("device authorization responses", () => {
  it.effect("O3: Google names the page verification_url", () =>
    Effect.gen(function* () {
      const { verification_uri: _, ...rest } = authorization
      const server = deviceServer({ ...rest, verification_url: "https://www.google.com/device", interval: 0 }, [
        () => Server.refusal("authorization_pending", 428),
        () => json(200, Server.answer)
      ])
      const { prompts, service } = yield* device(server)
      const fiber = yield* Effect.forkChild(service.signIn)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* server.forms()).length, 0)
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        prompts.map(({ verificationUri }) => verificationUri),
        ["https://www.google.com/device"]
      )
      assert.strictEqual((yield* server.forms()).length, 2)
    })
  )

  /** How many polls a minute has, by interval. */
  for (const [interval, polls] of [
    [0.001, 60],
    ["0.5", 60],
    ["10", 6],
    [20, 3],
    [0, 12],
    [-1, 12],
    [null, 12],
    ["soon", 12],
    [1e9, 12]
  ] as const)
    it.effect(`O11: an interval of ${JSON.stringify(interval)} means ${polls} polls a minute`, () =>
      Effect.gen(function* () {
        const server = deviceServer({ ...authorization, interval }, [() => Server.refusal("authorization_pending")])
        const { service } = yield* device(server)
        const fiber = yield* Effect.forkChild(Effect.exit(service.signIn))
        for (let second = 0; second < 60; second++) yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* server.forms()).length, polls)
        yield* Fiber.interrupt(fiber)
      })
    )

  for (const [expires_in, minutes] of [
    ["1800", 30],
    [undefined, 15],
    [0, 15],
    ["never", 15]
  ] as const)
    it.effect(`a lifetime of ${JSON.stringify(expires_in)} is taken for ${minutes} minutes`, () =>
      Effect.gen(function* () {
        const server = deviceServer({ ...authorization, expires_in }, [() => Server.refusal("access_denied")])
        const { prompts, service } = yield* device(server)
        const fiber = yield* Effect.forkChild(Effect.exit(service.signIn))
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(
          prompts.map(({ expiresIn }) => expiresIn),
          [Duration.minutes(minutes)]
        )
      })
    )
})

describe("token responses", () => {
  for (const [what, body] of [
    ["a list of scopes (Twitch)", { scope: ["user:read", "clips:edit"] }],
    ["an empty refresh token", { refresh_token: "" }],
    ["an empty ID token", { id_token: "" }],
    ["a lifetime as a string (Entra ID v1)", { expires_in: "300" }],
    ["the token type BearerToken (Apigee)", { token_type: "BearerToken" }],
    ["members that no specification knows", { ext_expires_in: 1, x_refresh_token_expires_in: "never" }]
  ] as const)
    it.effect(`O4: ${what} does not lose a sign-in`, () =>
      Effect.gen(function* () {
        const { flow, tokens } = yield* codeFlow(() => json(200, { ...Server.answer, ...body }))
        yield* flow.finish(redirectOf(yield* flow.start()))
        assert.strictEqual(yield* held(tokens), "access-1")
      })
    )

  it.effect("O4: the scopes of a list are kept as a string", () =>
    Effect.gen(function* () {
      const { flow, tokens } = yield* codeFlow(() =>
        json(200, { ...Server.answer, scope: ["user:read", "clips:edit"] })
      )
      yield* flow.finish(redirectOf(yield* flow.start()))
      assert.deepStrictEqual((yield* tokens.get).extra, { scope: "user:read clips:edit" })
    })
  )

  it.effect("O12: Vimeo sends no lifetime, and the option stands in", () =>
    Effect.gen(function* () {
      const server = Server.make(() =>
        json(200, { access_token: "access-1", token_type: "bearer", scope: "public", app: { name: "An app" } })
      )
      const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, lifetime: "365 days" }))
      assert.strictEqual(Duration.toDays(Duration.fromInputUnsafe((yield* provider.login!).expiresIn)), 365)
    })
  )
})

describe("reserved parameters", () => {
  const isRefused = (effect: Effect.Effect<unknown, TokenError.TokenError, never>, option: string, name: string) =>
    Effect.gen(function* () {
      const reason = yield* reasonOf(effect)
      assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option })
      assert.include(reason.message, name)
    })

  for (const name of ["grant_type", "client_id", "client_secret", "client_assertion", "username", "scope", "resource"])
    it.effect(`O7: ${name} in parameters is refused, and nothing is sent`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(200, Server.answer))
        const grant = OAuth2.clientCredentials({ ...Server.client, parameters: { [name]: "evil" } })
        yield* isRefused(server.run(grant), "parameters", name)
        assert.deepStrictEqual(yield* server.requests, [])
      })
    )

  for (const name of ["grant_type", "refresh_token", "client_id", "resource"])
    it.effect(`O7: ${name} in refreshParameters is refused`, () => {
      const server = Server.make(() => json(200, Server.answer))
      const grant = OAuth2.clientCredentials({ ...Server.client, refreshParameters: { [name]: "evil" } })
      return isRefused(server.run(grant), "refreshParameters", name)
    })

  for (const name of ["state", "code_challenge", "client_id", "response_type", "redirect_uri", "nonce"])
    it.effect(`O7: ${name} in an authorization request is refused`, () =>
      Effect.gen(function* () {
        const evil = { [name]: "evil" }
        const given = codeFlow(() => json(200, Server.answer), { authorizationParameters: evil })
        yield* isRefused(Effect.scoped(given), "authorizationParameters", name)
        const { flow } = yield* codeFlow(() => json(200, Server.answer))
        yield* isRefused(flow.start({ parameters: evil }), "parameters", name)
      })
    )
})

describe("redirect URIs", () => {
  for (const uri of [
    "http://app.example.com/callback",
    "javascript:alert(1)",
    "data:text/html,hello",
    "file:///etc/passwd",
    "https://app.example.com/callback#fragment",
    "https://app.example.com/callback#",
    "https://me:secret@app.example.com/callback",
    "myapp:/callback",
    "urn:ietf:wg:oauth:2.0:oob",
    "/callback"
  ])
    it.effect(`O9: ${uri} is refused`, () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(Effect.scoped(codeFlow(() => status(500), { redirectUri: uri })))
        assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option: "redirectUri" })
        assert.notInclude(reason.message, "secret")
      })
    )

  for (const uri of [
    "https://app.example.com/callback",
    "http://localhost:8080/callback",
    "http://127.0.0.1/",
    "http://[::1]:1/callback",
    "com.example.app:/callback"
  ])
    it.effect(`O9: ${uri} is accepted, and its redirect is finished`, () =>
      Effect.gen(function* () {
        const { flow, tokens } = yield* codeFlow(() => json(200, Server.answer), { redirectUri: uri })
        const url = yield* flow.start()
        assert.strictEqual(url.searchParams.get("redirect_uri"), uri)
        yield* flow.finish(`${uri}?code=credential-1&state=${url.searchParams.get("state")}`)
        assert.strictEqual(yield* held(tokens), "access-1")
      })
    )
})

describe("client authentication", () => {
  const clientSecret = Redacted.make("a-b_c.d")
  const sent = (encoding?: "form" | "raw") =>
    Effect.gen(function* () {
      const server = Server.make(() => json(401, { error: "invalid_client" }))
      const authentication = { method: "client_secret_basic", clientSecret, encoding } as const
      const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, authentication }))
      const reason = yield* Effect.flip(provider.login!)
      const [request] = yield* server.forms()
      return { credentials: atob(request!.authorization!.replace("Basic ", "")), reason }
    })

  it.effect("O6: Basic without the form encoding, and advice that names the option", () =>
    Effect.gen(function* () {
      const form = yield* sent()
      assert.strictEqual(form.credentials, "my%2Dapp:a%2Db%5Fc%2Ed")
      assert.include(form.reason.message, "encoding: raw")
      const raw = yield* sent("raw")
      assert.strictEqual(raw.credentials, "my-app:a-b_c.d")
      assert.include(raw.reason.message, "encoding: form")
    })
  )

  it.effect("O6: a secret beyond ASCII is sent as UTF-8 (RFC 7617)", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const authentication = {
        method: "client_secret_basic",
        clientSecret: Redacted.make("päss"),
        encoding: "raw"
      } as const
      const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, authentication }))
      yield* provider.login!
      const [request] = yield* server.forms()
      const bytes = Buffer.from(request!.authorization!.replace("Basic ", ""), "base64")
      assert.strictEqual(bytes.toString("utf8"), "my-app:päss")
    })
  )

  for (const name of ["alg", "kid"])
    it.live(`O5: ${name} in the header of an assertion is refused before any request`, () =>
      Effect.gen(function* () {
        const { privateKey } = yield* Effect.promise(() =>
          crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"])
        )
        const server = Server.make(() => json(200, Server.answer))
        const authentication = { method: "private_key_jwt", privateKey, header: { [name]: "evil" } } as const
        const provider = yield* server.run(OAuth2.clientCredentials({ ...Server.client, authentication }))
        assert.deepInclude(yield* Effect.flip(provider.login!), { _tag: "ConfigurationInvalid", option: "header" })
        assert.deepStrictEqual(yield* server.requests, [])
      })
    )
})

describe("O8: Entra ID, whose issuer has a placeholder for the tenant", () => {
  const common = "https://login.microsoftonline.com/common/v2.0"
  const tenant = "9122040d-6c67-4c5b-b112-36a304b66dad"
  const issuerOf = (tenant: string) => `https://login.microsoftonline.com/${tenant}/v2.0`
  const endpoints = {
    authorization_endpoint: "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
    token_endpoint: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
    device_authorization_endpoint: "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode"
  }
  const metadata = { issuer: issuerOf("{tenantid}"), ...endpoints }

  const signIn = (
    claims: Readonly<Record<string, unknown>>,
    options: Partial<AuthorizationCode.Options>,
    callback: Readonly<Record<string, string>> = {},
    document: object = metadata
  ) =>
    Effect.gen(function* () {
      let nonce = ""
      const { flow } = yield* codeFlow(
        ({ method }) =>
          method === "GET"
            ? json(200, document)
            : json(200, { ...Server.answer, id_token: Server.idToken({ ...Server.claims, nonce, ...claims }) }),
        { issuer: common, discovery: "openid", scope: "openid", ...options }
      )
      const url = yield* flow.start()
      nonce = url.searchParams.get("nonce") ?? ""
      return yield* flow.finish(redirectOf(url, callback))
    })

  const ofTenant = { iss: issuerOf(tenant), tid: tenant }

  for (const [what, tenants, callback] of [
    ["any tenant", "any", {}],
    ["a tenant that is named", [tenant.toUpperCase()], {}],
    ["any tenant, with the issuer in the redirect", "any", { iss: issuerOf(tenant) }]
  ] as const)
    it.effect(`signs in people of ${what}`, () =>
      Effect.gen(function* () {
        const { claims } = yield* signIn(ofTenant, { tenants }, callback)
        assert.deepInclude(Option.getOrThrow(claims), { sub: "ada", tid: tenant })
      })
    )

  it.effect("works with endpoints that the program gives", () =>
    Effect.gen(function* () {
      const options = { issuer: issuerOf("{tenantid}"), discovery: endpoints, tenants: "any" } as const
      assert.isTrue(Option.isSome((yield* signIn(ofTenant, options)).claims))
    })
  )

  for (const [what, claims, tenants] of [
    ["another tenant than those named", ofTenant, ["11111111-6c67-4c5b-b112-36a304b66dad"]],
    ["the placeholder itself", { iss: issuerOf("{tenantid}") }, "any"],
    ["a tenant that its tid denies", { ...ofTenant, tid: "another" }, "any"],
    ["a longer path", { iss: issuerOf(`${tenant}/evil`) }, "any"],
    ["another host", { iss: `https://evil.example/${tenant}/v2.0` }, "any"],
    ["no tenant", { iss: issuerOf("") }, "any"]
  ] as const)
    it.effect(`refuses an ID token of ${what}`, () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(signIn(claims, { tenants }))
        assert.deepInclude(reason, { _tag: "MalformedResponse", problem: "the ID token's iss is not acceptable" })
      })
    )

  it.effect("refuses a redirect that names a tenant it must not", () =>
    Effect.gen(function* () {
      const tenants = ["11111111-6c67-4c5b-b112-36a304b66dad"]
      const reason = yield* reasonOf(signIn(ofTenant, { tenants }, { iss: issuerOf(tenant) }))
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "invalid_response")
    })
  )

  for (const [what, options, document] of [
    ["without the option", {}, metadata],
    ["with given endpoints, without the option", { issuer: issuerOf("{tenantid}"), discovery: endpoints }, metadata],
    ["of another host", { tenants: "any" }, { ...metadata, issuer: "https://evil.example/{tenantid}/v2.0" }],
    ["of another path", { tenants: "any" }, { ...metadata, issuer: issuerOf("a/{tenantid}") }],
    ["with two placeholders", { tenants: "any" }, { ...metadata, issuer: issuerOf("{tenantid}{tenantid}") }]
  ] as const)
    it.effect(`is a matter of configuration ${what}`, () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* reasonOf(signIn(ofTenant, options, {}, document)))._tag, "ConfigurationInvalid")
      })
    )

  it.live("O5: an assertion for it names the token endpoint", () =>
    Effect.gen(function* () {
      const { privateKey } = yield* Effect.promise(() =>
        crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"])
      )
      const server = Server.make(({ method }) => json(200, method === "GET" ? metadata : Server.answer))
      const provider = yield* server.run(
        OAuth2.clientCredentials({
          issuer: common,
          clientId: "my-app",
          tenants: "any",
          authentication: { method: "private_key_jwt", privateKey, header: { x5t: "a-thumbprint", x5c: ["a", "b"] } }
        })
      )
      yield* provider.login!
      const form = new URLSearchParams((yield* server.requests).at(-1)!.body)
      const [header, payload] = (form.get("client_assertion") ?? "")
        .split(".")
        .map((part) => Buffer.from(part, "base64url"))
      assert.deepStrictEqual(JSON.parse(String(header)), { alg: "ES256", x5t: "a-thumbprint", x5c: ["a", "b"] })
      assert.strictEqual(JSON.parse(String(payload)).aud, endpoints.token_endpoint)
    })
  )
})

describe("ID tokens of servers without metadata", () => {
  const signIn = (claims: object, alg: string, options: Partial<AuthorizationCode.Options> = {}) =>
    Effect.gen(function* () {
      let nonce = ""
      const { flow } = yield* codeFlow(
        () => json(200, { ...Server.answer, id_token: Server.idToken({ ...Server.claims, nonce, ...claims }, alg) }),
        { scope: "openid", ...options }
      )
      const url = yield* flow.start()
      nonce = url.searchParams.get("nonce") ?? ""
      return yield* flow.finish(redirectOf(url))
    })

  it.effect("are signed by the algorithm of the option, and by RS256 without it", () =>
    Effect.gen(function* () {
      yield* signIn({}, "RS256")
      yield* signIn({}, "ES256", { idTokenAlgorithm: "ES256" })
      assert.strictEqual((yield* reasonOf(signIn({}, "ES256")))._tag, "MalformedResponse")
      const other = signIn({}, "RS256", { idTokenAlgorithm: "ES256" })
      assert.strictEqual((yield* reasonOf(other))._tag, "MalformedResponse")
    })
  )

  it.effect("may be off by the tolerance of the option, and by 30 seconds without it", () =>
    Effect.gen(function* () {
      const old = { iat: Server.now() - 400, exp: Server.now() - 100 }
      assert.strictEqual((yield* reasonOf(signIn(old, "RS256")))._tag, "MalformedResponse")
      yield* signIn(old, "RS256", { clockTolerance: "5 minutes" })
      yield* signIn({ ...old, exp: Server.now() - 10 }, "RS256")
      const strict = signIn({ ...old, exp: Server.now() - 10 }, "RS256", { clockTolerance: 0 })
      assert.strictEqual((yield* reasonOf(strict))._tag, "MalformedResponse")
    })
  )

  for (const [option, value] of [
    ["idTokenAlgorithm", "none"],
    ["clockTolerance", -1],
    ["clockTolerance", Infinity]
  ] as const)
    it.effect(`${option}: ${value} is refused`, () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(signIn({}, "none", { [option]: value }))
        assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option })
      })
    )
})
