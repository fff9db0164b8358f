/**
 * Servers that deviate from the specification, as users of other clients reported them or as their documents describe them.
 * Each server here is a fake that sends those responses; none of them is an independent oracle.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Redacted } from "effect"
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
