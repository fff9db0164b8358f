/** Every grant over real sockets, by the records of a certified server. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import {
  AuthorizationCode,
  BearerClient,
  DeviceAuthorization,
  OAuth2,
  type TokenError,
  TokenService,
  TokenStore
} from "effect-video-auth"
import * as OidcProvider from "../support/oidcProvider.ts"

type Provider = OidcProvider.OidcProvider

const test = <E>(
  name: string,
  body: (
    provider: Provider
  ) => Effect.Effect<void, E, Scope.Scope | HttpClient.HttpClient | KeyValueStore.KeyValueStore>,
  options?: OidcProvider.Options
) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const provider = yield* OidcProvider.make(options)
      yield* body(provider)
      assert.deepStrictEqual((yield* provider.ledger).serverErrors, [])
    }).pipe(Effect.provide([FetchHttpClient.layer, KeyValueStore.layerMemory]))
  )

const methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const

/** Who asks, and how it shows that. */
const identify = ({ clients, issuer }: Provider, method: (typeof methods)[number]) => {
  const of = (authentication: OAuth2.ClientAuthentication) => ({
    issuer,
    clientId: clients[method].clientId,
    authentication
  })
  switch (method) {
    case "none":
      return of({ method })
    case "client_secret_basic":
    case "client_secret_post":
      return of({ method, clientSecret: Redacted.make(clients[method].clientSecret) })
    case "private_key_jwt":
      return of({ method, privateKey: clients[method].privateKey, keyId: clients[method].kid })
  }
}

const redirectUri = "http://127.0.0.1:49152/callback"

const whoami = (provider: Provider, tokens: TokenService.TokenService["Service"]) =>
  Effect.gen(function* () {
    const client = BearerClient.make(tokens, { origins: [new URL(provider.whoami).origin] })
    return (yield* client(yield* HttpClient.HttpClient).get(provider.whoami)).status
  })

const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("client credentials", () => {
  for (const method of methods.slice(1))
    test(`by ${method} give a token that the API takes`, (provider) =>
      Effect.gen(function* () {
        const options = { ...identify(provider, method), scope: "read", resource: provider.resource }
        const context = yield* Layer.build(OAuth2.layerToken(OAuth2.clientCredentials(options)))
        const tokens = Context.get(context, TokenService.TokenService)
        assert.strictEqual(yield* whoami(provider, tokens), 200)
        const { tokenRequests } = yield* provider.ledger
        assert.deepStrictEqual(
          tokenRequests.map(({ authentication, error, grantType, resource, scope }) => [
            grantType,
            authentication,
            scope,
            resource,
            error
          ]),
          [["client_credentials", method, "read", provider.resource, undefined]]
        )
      }))

  test("with a wrong secret are refused with InvalidCredentials", (provider) =>
    Effect.gen(function* () {
      const clientSecret = Redacted.make("wrong")
      const options = {
        ...identify(provider, "client_secret_basic"),
        authentication: { method: "client_secret_basic", clientSecret }
      } as const
      const reason = yield* reasonOf(Layer.build(OAuth2.layerToken(OAuth2.clientCredentials(options))))
      assert.strictEqual(reason._tag, "InvalidCredentials")
    }))
})

describe("password", () => {
  const layer = (provider: Provider, password = provider.account.password) =>
    OAuth2.layerToken(
      OAuth2.password({
        ...identify(provider, "client_secret_basic"),
        scope: "read",
        username: Redacted.make(provider.account.login),
        password: Redacted.make(password)
      })
    )

  test("logs in once, and is renewed by refreshes, each with the refresh token of the one before", (provider) =>
    Effect.gen(function* () {
      const tokens = Context.get(yield* Layer.build(layer(provider)), TokenService.TokenService)
      yield* tokens.renew
      yield* tokens.renew
      assert.strictEqual(yield* whoami(provider, tokens), 200)
      const { refreshTokensSentTwice, tokenRequests } = yield* provider.ledger
      assert.deepStrictEqual(
        tokenRequests.map(({ grantType, status }) => [grantType, status]),
        [
          ["password", 200],
          ["refresh_token", 200],
          ["refresh_token", 200]
        ]
      )
      assert.deepStrictEqual(refreshTokensSentTwice, [])
    }))

  test("logs in again where the answer to a refresh was lost", (provider) =>
    Effect.gen(function* () {
      const tokens = Context.get(yield* Layer.build(layer(provider)), TokenService.TokenService)
      yield* provider.loseTokenAnswers(1)
      yield* tokens.renew
      const { refreshTokensSentTwice, tokenRequests } = yield* provider.ledger
      assert.deepStrictEqual(
        tokenRequests.map(({ grantType }) => grantType),
        ["password", "refresh_token", "password"]
      )
      assert.deepStrictEqual(refreshTokensSentTwice, [])
    }))

  test("that is wrong is asked for once", (provider) =>
    Effect.gen(function* () {
      const reason = yield* reasonOf(Layer.build(layer(provider, "wrong")))
      assert.strictEqual(reason._tag, "InvalidCredentials")
      assert.strictEqual((yield* provider.ledger).tokenRequests.length, 1)
    }))
})

const codeLayer = (
  provider: Provider,
  method: (typeof methods)[number] = "none",
  more: Partial<AuthorizationCode.Options> = {}
) => AuthorizationCode.layer({ ...identify(provider, method), scope: "openid offline_access", redirectUri, ...more })

const signedIn = (provider: Provider, layer = codeLayer(provider)) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(layer)
    const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
    const tokens = Context.get(context, TokenService.TokenService)
    const redirect = yield* Effect.flatMap(flow.start({ returnTo: "/videos" }), (url) => provider.signIn(url))
    return { flow, tokens, redirect, person: yield* flow.finish(redirect) }
  })

describe("authorization code", () => {
  for (const method of methods)
    test(`with PKCE, state, nonce and iss signs somebody in, to a client by ${method}`, (provider) =>
      Effect.gen(function* () {
        const { flow, person, tokens } = yield* signedIn(provider, codeLayer(provider, method))
        assert.strictEqual(Option.getOrThrow(person.claims).sub, "anna")
        assert.deepStrictEqual(person.returnTo, Option.some("/videos"))
        assert.strictEqual(yield* whoami(provider, tokens), 200)
        yield* tokens.renew
        assert.strictEqual(yield* whoami(provider, tokens), 200)
        // The refresh has an ID token as well.
        assert.strictEqual(Option.getOrThrow(yield* flow.claims).sub, "anna")
        const { tokenRequests } = yield* provider.ledger
        assert.deepStrictEqual(
          tokenRequests.map(({ authentication, grantType, status }) => [grantType, authentication, status]),
          [
            ["authorization_code", method, 200],
            ["refresh_token", method, 200]
          ]
        )
      }))

  test("needs somebody before anybody signed in", (provider) =>
    Effect.gen(function* () {
      const tokens = Context.get(yield* Layer.build(codeLayer(provider)), TokenService.TokenService)
      assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
      assert.strictEqual((yield* provider.ledger).tokenRequests.length, 0)
    }))

  test("serves the token of who signed in at once, also where a failure was remembered", (provider) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(codeLayer(provider))
      const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
      const tokens = Context.get(context, TokenService.TokenService)
      yield* Effect.flip(tokens.get)
      yield* flow.finish(yield* Effect.flatMap(flow.start(), (url) => provider.signIn(url)))
      assert.strictEqual(yield* whoami(provider, tokens), 200)
    }))

  test("takes a redirect once", (provider) =>
    Effect.gen(function* () {
      const { flow, redirect, tokens } = yield* signedIn(provider)
      const reason = yield* reasonOf(flow.finish(redirect))
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "unknown_state")
      assert.strictEqual(yield* whoami(provider, tokens), 200)
    }))

  test("says so where the person refused", (provider) =>
    Effect.gen(function* () {
      const flow = Context.get(yield* Layer.build(codeLayer(provider)), AuthorizationCode.AuthorizationCode)
      const redirect = yield* Effect.flatMap(flow.start(), (url) => provider.signIn(url, { consent: false }))
      const reason = yield* reasonOf(flow.finish(redirect))
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "access_denied")
    }))

  for (const [what, change] of [
    ["another issuer", (url: URL) => url.searchParams.set("iss", "https://evil.example")],
    ["no issuer", (url: URL) => url.searchParams.delete("iss")],
    ["two codes", (url: URL) => url.searchParams.append("code", "other")],
    ["no code", (url: URL) => url.searchParams.delete("code")]
  ] as const)
    test(`refuses a redirect with ${what}, and sends no code`, (provider) =>
      Effect.gen(function* () {
        const flow = Context.get(yield* Layer.build(codeLayer(provider)), AuthorizationCode.AuthorizationCode)
        const redirect = yield* Effect.flatMap(flow.start(), (url) => provider.signIn(url))
        change(redirect)
        const reason = yield* reasonOf(flow.finish(redirect))
        assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "invalid_response")
        assert.strictEqual((yield* provider.ledger).tokenRequests.length, 0)
      }))

  test("revokes the session when somebody signs out", (provider) =>
    Effect.gen(function* () {
      const { tokens } = yield* signedIn(provider)
      yield* tokens.invalidate
      assert.deepStrictEqual(
        (yield* provider.ledger).revocations.map(({ status }) => status),
        [200]
      )
      assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
    }))

  test("revokes the session when its scope closes, where that is asked for", (provider) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.provide(signedIn(provider, codeLayer(provider, "none", { revoke: "close" })), scope)
      assert.strictEqual((yield* provider.ledger).revocations.length, 0)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* provider.ledger).revocations.length, 1)
    }))

  test("ends the session where the answer to a refresh was lost, and sends nothing twice", (provider) =>
    Effect.gen(function* () {
      const { tokens } = yield* signedIn(provider)
      yield* tokens.get
      yield* provider.loseTokenAnswers(1)
      assert.strictEqual((yield* reasonOf(tokens.renew))._tag, "InteractionRequired")
      // What is held is served until it expires.
      assert.strictEqual(yield* whoami(provider, tokens), 200)
      assert.deepStrictEqual((yield* provider.ledger).refreshTokensSentTwice, [])
    }))

  test("goes on from a store that the session was left in", (provider) =>
    Effect.gen(function* () {
      const store = yield* Effect.flatMap(TokenStore.makeMemory, (backend) => TokenStore.make(backend))
      const layer = codeLayer(provider).pipe(Layer.provide(Layer.succeed(TokenStore.TokenStore, store)))
      yield* Effect.scoped(signedIn(provider, layer))
      const tokens = Context.get(yield* Layer.build(layer), TokenService.TokenService)
      assert.strictEqual(yield* whoami(provider, tokens), 200)
      yield* tokens.renew
      assert.strictEqual(yield* whoami(provider, tokens), 200)
      assert.strictEqual((yield* provider.ledger).tokenRequests.length, 2)
    }))
})

describe("refresh token", () => {
  test("is where a session begins, and is sent once", (provider) =>
    Effect.gen(function* () {
      const { tokens } = yield* signedIn(provider)
      const { refreshToken } = yield* tokens.get
      const layer = OAuth2.layerToken(
        OAuth2.refreshToken({ ...identify(provider, "none"), refreshToken: refreshToken! })
      )
      const other = Context.get(yield* Layer.build(layer), TokenService.TokenService)
      yield* other.renew
      assert.strictEqual(yield* whoami(provider, other), 200)
      const { refreshTokensSentTwice, tokenRequests } = yield* provider.ledger
      assert.deepStrictEqual(
        tokenRequests.map(({ grantType }) => grantType),
        ["authorization_code", "refresh_token", "refresh_token"]
      )
      assert.deepStrictEqual(refreshTokensSentTwice, [])
    }))

  test("that is refused needs somebody, and is not sent again", (provider) =>
    Effect.gen(function* () {
      const layer = OAuth2.layerToken(
        OAuth2.refreshToken({ ...identify(provider, "none"), refreshToken: Redacted.make("unknown") }),
        { eager: false }
      )
      const tokens = Context.get(yield* Layer.build(layer), TokenService.TokenService)
      assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
      yield* tokens.invalidate
      assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
      assert.strictEqual((yield* provider.ledger).tokenRequests.length, 1)
    }))
})

// Each polls after five seconds, so they wait together.
describe.concurrent("device authorization", () => {
  const device = (provider: Provider, decide: (prompt: DeviceAuthorization.Prompt) => Effect.Effect<unknown>) =>
    DeviceAuthorization.layer({
      ...identify(provider, "none"),
      scope: "openid offline_access",
      prompt: decide
    })

  test("signs in once somebody has entered the code", (provider) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        device(provider, ({ userCode }) => Effect.orDie(provider.approveDevice(userCode)))
      )
      const { claims, resume } = Context.get(context, DeviceAuthorization.DeviceAuthorization)
      const tokens = Context.get(context, TokenService.TokenService)
      yield* resume
      yield* resume
      assert.strictEqual(Option.getOrThrow(yield* claims).sub, "anna")
      assert.strictEqual(yield* whoami(provider, tokens), 200)
      assert.strictEqual((yield* provider.ledger).deviceAuthorizations.length, 1)
    }))

  test("says so where somebody refused", (provider) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        device(provider, ({ userCode }) => Effect.orDie(provider.denyDevice(userCode)))
      )
      const { signIn } = Context.get(context, DeviceAuthorization.DeviceAuthorization)
      const reason = yield* reasonOf(signIn)
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "access_denied")
    }))

  test("says so where the code expired", (provider) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(device(provider, () => provider.expireDeviceCodes))
      const { signIn } = Context.get(context, DeviceAuthorization.DeviceAuthorization)
      const reason = yield* reasonOf(signIn)
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "expired_token")
    }))
})
