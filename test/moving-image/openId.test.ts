/** movingimage by OpenID Connect, over sockets: discovery, and the three scenarios of its documents. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted, type Scope } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { AuthorizationCode, MovingImage, type TokenError, TokenService } from "effect-video-auth"
import { MovingImageOpenId } from "effect-video-auth/moving-image"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import { signIn } from "../support/signIn.ts"

const account = { username: Redacted.make("your_username"), password: Redacted.make("your_password") }
const redirectUri = "http://127.0.0.1:4321/callback"

/** The person's browser shows where it is led. */
const browse = (url: URL) =>
  signIn(url.href).pipe(
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Effect.provideService(HttpClient.TracerPropagationEnabled, false)
  )

const test = <E>(
  name: string,
  body: (
    sandbox: Sandbox.MovingImageSandbox["Service"]
  ) => Effect.Effect<void, E, HttpClient.HttpClient | KeyValueStore.KeyValueStore | Scope.Scope>,
  options?: Sandbox.Options
) =>
  it.live(name, () =>
    Effect.flatMap(Sandbox.MovingImageSandbox, body).pipe(
      Effect.provide([Sandbox.layer(options), FetchHttpClient.layer, KeyValueStore.layerMemory])
    )
  )

const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const anonymous = ({ url }: { readonly url: string }, more: Partial<MovingImageOpenId.AnonymousUsersOptions> = {}) =>
  MovingImageOpenId.layerAnonymousUsers({ baseUrl: url, ...account, ...more })

const tokensOf = <E, R>(layer: Layer.Layer<TokenService.TokenService, E, R>) =>
  Effect.map(Layer.build(layer), (context) => Context.get(context, TokenService.TokenService))

const grants = ({ ledger }: Sandbox.MovingImageSandbox["Service"]) =>
  Effect.map(ledger, ({ grants }) => grants.map(({ client, error, grant, status }) => [grant, client, status, error]))

describe("discovery", () => {
  for (const issuerLink of ["configuration", "issuer"] as const)
    test(
      `follows a link that is the ${issuerLink}`,
      (sandbox) =>
        Effect.gen(function* () {
          yield* tokensOf(anonymous(sandbox))
          assert.deepStrictEqual(yield* grants(sandbox), [["password", "anonymous", 200, undefined]])
        }),
      { issuerLink }
    )

  for (const [lie, says] of [
    ["link-insecure", "neither https nor on loopback"],
    ["link-foreign", "on a host that issuerHosts does not name"],
    ["link-missing", "names no issuer"],
    ["configuration-issuer", "names another issuer"]
  ] as const)
    test(
      `refuses what it says, and sends no password, where it lies: ${lie}`,
      (sandbox) =>
        Effect.gen(function* () {
          const reason = yield* reasonOf(tokensOf(anonymous(sandbox)))
          assert.strictEqual(reason._tag, "ConfigurationInvalid")
          assert.include(reason.message, says)
          assert.deepStrictEqual(yield* grants(sandbox), [])
        }),
      { lies: [lie] }
    )

  test("goes nowhere that issuerHosts does not name", (sandbox) =>
    Effect.gen(function* () {
      const reason = yield* reasonOf(tokensOf(anonymous(sandbox, { issuerHosts: ["login.example.com"] })))
      assert.strictEqual(reason._tag, "ConfigurationInvalid")
      assert.deepStrictEqual(yield* grants(sandbox), [])
    }))
})

describe("anonymous users", () => {
  test("log in once by the password grant, refresh, and may use every VideoManager of the account", (sandbox) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        MovingImage.layerClient({ baseUrl: sandbox.url }).pipe(Layer.provideMerge(anonymous(sandbox)))
      )
      const api = Context.get(context, MovingImage.MovingImage)
      yield* Context.get(context, TokenService.TokenService).renew
      for (const id of [101, 102]) assert.strictEqual((yield* api.get(`/v1/vms/${id}/videos`)).status, 200)
      assert.deepStrictEqual(yield* grants(sandbox), [
        ["password", "anonymous", 200, undefined],
        ["refresh_token", "anonymous", 200, undefined]
      ])
    }))

  test("are one layer for a program that wants the client", (sandbox) =>
    Effect.gen(function* () {
      const api = yield* MovingImage.MovingImage
      assert.strictEqual((yield* api.get("/v1/vms")).status, 200)
    }).pipe(Effect.provide(MovingImageOpenId.layer({ baseUrl: sandbox.url, ...account }))))

  test(
    "that give a wrong password are refused once, by the code and not the status",
    (sandbox) =>
      Effect.gen(function* () {
        const wrong = { password: Redacted.make("wrong") }
        const unknown = { username: Redacted.make("nobody") }
        for (const more of [wrong, unknown]) {
          assert.strictEqual((yield* reasonOf(tokensOf(anonymous(sandbox, more))))._tag, "InvalidCredentials")
        }
        assert.deepStrictEqual(
          (yield* grants(sandbox)).map(([, , status, error]) => [status, error]),
          [
            [401, "invalid_grant"],
            [400, "invalid_grant"]
          ]
        )
      }),
    { unknownUserStatus: 400 }
  )

  test("log in again where a refresh token was refused", (sandbox) =>
    Effect.gen(function* () {
      const tokens = yield* tokensOf(anonymous(sandbox))
      yield* tokens.get
      yield* sandbox.revokeRefreshTokens
      yield* tokens.renew
      assert.deepStrictEqual(
        (yield* grants(sandbox)).map(([grant, , status]) => [grant, status]),
        [
          ["password", 200],
          ["refresh_token", 400],
          ["password", 200]
        ]
      )
    }))
})

const scenarios = {
  "browser application": ({ url }: { readonly url: string }) =>
    MovingImageOpenId.layerBrowserApplication({ baseUrl: url, clientId: "browser-app", redirectUri }),
  "server-side application": ({ url }: { readonly url: string }) =>
    MovingImageOpenId.layerServerApplication({
      baseUrl: url,
      clientId: "server-app",
      clientSecret: Redacted.make("your_client_secret"),
      redirectUri
    })
}

for (const [scenario, layer] of Object.entries(scenarios))
  describe(scenario, () => {
    const started = (sandbox: Sandbox.MovingImageSandbox["Service"]) =>
      Effect.gen(function* () {
        const context = yield* Layer.build(
          MovingImage.layerClient({ baseUrl: sandbox.url }).pipe(Layer.provideMerge(layer(sandbox)))
        )
        const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
        const redirect = yield* Effect.flatMap(flow.start(), browse)
        return { context, flow, redirect, api: Context.get(context, MovingImage.MovingImage) }
      })

    test("lets its user call the API once signed in on the login page", (sandbox) =>
      Effect.gen(function* () {
        const { api, context, flow, redirect } = yield* started(sandbox)
        const { claims } = yield* flow.finish(redirect)
        assert.isTrue(Option.isSome(claims))
        assert.strictEqual((yield* api.get("/v1/vms")).status, 200)
        yield* Context.get(context, TokenService.TokenService).renew
        assert.strictEqual((yield* api.get("/v1/vms")).status, 200)
        assert.deepStrictEqual(
          (yield* grants(sandbox)).map(([grant, , status]) => [grant, status]),
          [
            ["authorization_code", 200],
            ["refresh_token", 200]
          ]
        )
      }))

    test("ends the session at the server when the user signs out", (sandbox) =>
      Effect.gen(function* () {
        const { context, flow, redirect } = yield* started(sandbox)
        yield* flow.finish(redirect)
        const tokens = Context.get(context, TokenService.TokenService)
        yield* tokens.invalidate
        assert.strictEqual((yield* sandbox.ledger).revocations, 1)
        assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
      }))

    for (const lie of ["redirect-issuer", "redirect-state"] as const)
      test(
        `trades no code where the server lies: ${lie}`,
        (sandbox) =>
          Effect.gen(function* () {
            const { flow, redirect } = yield* started(sandbox)
            assert.strictEqual((yield* reasonOf(flow.finish(redirect)))._tag, "ProviderRejected")
            assert.deepStrictEqual(yield* grants(sandbox), [])
          }),
        { lies: [lie] }
      )

    for (const lie of ["id-token-issuer", "id-token-audience", "id-token-nonce"] as const)
      test(
        `takes no token where the server lies: ${lie}`,
        (sandbox) =>
          Effect.gen(function* () {
            const { context, flow, redirect } = yield* started(sandbox)
            assert.strictEqual((yield* reasonOf(flow.finish(redirect)))._tag, "MalformedResponse")
            const tokens = Context.get(context, TokenService.TokenService)
            assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
          }),
        { lies: [lie] }
      )
  })

describe("browser application", () => {
  test("refuses a client secret before any request", (sandbox) =>
    Effect.gen(function* () {
      const secret: object = { clientSecret: Redacted.make("your_client_secret") }
      const options = { baseUrl: sandbox.url, clientId: "browser-app", redirectUri, ...secret }
      const reason = yield* reasonOf(Layer.build(MovingImageOpenId.layerBrowserApplication(options)))
      assert.strictEqual(reason._tag === "ConfigurationInvalid" && reason.option, "clientSecret")
      assert.strictEqual((yield* sandbox.ledger).requests, 0)
    }))
})
