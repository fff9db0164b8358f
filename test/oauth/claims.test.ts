/** Who signed in is known from the service: after the sign-in, after a refresh, and after a restart. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Redacted, type Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import {
  AuthorizationCode,
  DeviceAuthorization,
  type OAuth2,
  type TokenError,
  TokenService,
  TokenStore
} from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

type Claims = Readonly<Record<string, unknown>>

/** A server whose token responses have the ID tokens that a test wants: of the sign-in, and of each refresh. */
const serverOf = (signIn: Claims | undefined, refreshes: ReadonlyArray<Claims | undefined> = []) => {
  let nonce: string | undefined
  let refreshed = 0
  const server = Server.make(({ body, url }) => {
    if (new URL(url).pathname === "/device") {
      const verification_uri = "https://login.example.com/activate"
      return json(200, {
        device_code: "credential-1",
        user_code: "ABCD",
        verification_uri,
        expires_in: 60,
        interval: 1
      })
    }
    const isRefresh = body._tag === "Raw" && String(body.body).includes("grant_type=refresh_token")
    const own = isRefresh ? refreshes[refreshed++] : signIn && { nonce, ...signIn }
    const id_token = own && Server.idToken({ ...Server.claims, ...own })
    return json(200, { ...Server.answer, refresh_token: `refresh-${refreshed + 1}`, id_token })
  })
  return { ...server, expect: (url: URL) => void (nonce = url.searchParams.get("nonce") ?? undefined) }
}

type TestServer = ReturnType<typeof serverOf>

interface Flow {
  readonly claims: Effect.Effect<Option.Option<OAuth2.Claims>, TokenError.TokenError>
  readonly signIn: Effect.Effect<unknown, TokenError.TokenError>
  readonly tokens: TokenService.TokenService["Service"]
}

type Start = (
  server: TestServer,
  store: TokenStore.Backend,
  scope?: string
) => Effect.Effect<Flow, TokenError.TokenError, Scope.Scope>

/** The grants by which people sign in. */
const flows: Readonly<Record<string, Start>> = {
  "the authorization code flow": Effect.fnUntraced(function* (server, store, scope = "openid") {
    const redirectUri = "https://app.example.com/callback"
    const layer = AuthorizationCode.layer({ ...Server.client, scope, redirectUri }).pipe(
      Layer.provide([Layer.orDie(TokenStore.layer(Effect.succeed(store))), KeyValueStore.layerMemory])
    )
    const context = yield* server.run(Layer.build(layer))
    const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
    return {
      claims: flow.claims,
      tokens: Context.get(context, TokenService.TokenService),
      signIn: Effect.flatMap(flow.start(), (url) => {
        server.expect(url)
        return flow.finish(`${redirectUri}?code=credential-1&state=${url.searchParams.get("state")}`)
      })
    }
  }),
  "the device flow": Effect.fnUntraced(function* (server, store, scope = "openid") {
    const layer = DeviceAuthorization.layer({ ...Server.client, scope, prompt: () => Effect.void }).pipe(
      Layer.provide(Layer.orDie(TokenStore.layer(Effect.succeed(store))))
    )
    const context = yield* server.run(Layer.build(layer))
    const device = Context.get(context, DeviceAuthorization.DeviceAuthorization)
    return {
      claims: device.claims,
      tokens: Context.get(context, TokenService.TokenService),
      signIn: Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(device.signIn)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
      })
    }
  })
}

const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

for (const [name, start] of Object.entries(flows)) {
  describe(`claims of ${name}`, () => {
    it.effect("are available after the sign-in, and after a restart", () =>
      Effect.gen(function* () {
        const store = yield* TokenStore.makeMemory
        const server = serverOf({ name: "Ada", groups: ["one", { two: null }] })
        const first = yield* start(server, store)
        assert.strictEqual((yield* reasonOf(first.claims))._tag, "InteractionRequired")
        yield* first.signIn
        const expected = { sub: "ada", iss: Server.issuer, name: "Ada", groups: ["one", { two: null }] }
        assert.deepInclude(Option.getOrThrow(yield* first.claims), expected)
        const restarted = yield* start(server, store)
        assert.deepInclude(Option.getOrThrow(yield* restarted.claims), expected)
        assert.lengthOf(yield* server.forms(), 1)
      })
    )

    it.effect("stay after a refresh without an ID token, and follow one with", () =>
      Effect.gen(function* () {
        const server = serverOf({ name: "Ada" }, [
          undefined,
          { name: "Ada L." },
          { exp: Server.now() - 600, name: "Old" }
        ])
        const { claims, signIn, tokens } = yield* start(server, yield* TokenStore.makeMemory)
        yield* signIn
        const names: Array<unknown> = []
        yield* tokens.get
        for (let refresh = 0; refresh < 3; refresh++) {
          yield* tokens.renew
          names.push(Option.getOrThrow(yield* claims)["name"])
        }
        assert.deepStrictEqual(names, ["Ada", "Ada L.", "Ada L."])
      })
    )

    for (const [what, other] of [
      ["person", { sub: "mallory" }],
      ["issuer's person", { iss: "https://evil.example" }]
    ] as const)
      it.effect(`never become those of another ${what}`, () =>
        Effect.gen(function* () {
          const server = serverOf({}, [other])
          const { claims, signIn, tokens } = yield* start(server, yield* TokenStore.makeMemory)
          yield* signIn
          yield* tokens.get
          yield* Effect.exit(tokens.renew)
          assert.deepInclude(Option.getOrThrow(yield* claims), { sub: "ada", iss: Server.issuer })
        })
      )

    it.effect("are missing where the scope has no openid", () =>
      Effect.gen(function* () {
        const { claims, signIn } = yield* start(serverOf(undefined), yield* TokenStore.makeMemory, "read")
        yield* signIn
        assert.isTrue(Option.isNone(yield* claims))
      })
    )

    it.effect("are those of the next person after a sign-out", () =>
      Effect.gen(function* () {
        const store = yield* TokenStore.makeMemory
        const { claims, signIn, tokens } = yield* start(serverOf({ sub: "bob" }), store)
        yield* signIn
        assert.deepInclude(Option.getOrThrow(yield* claims), { sub: "bob" })
        yield* tokens.invalidate
        assert.strictEqual((yield* reasonOf(claims))._tag, "InteractionRequired")
      })
    )

    for (const [what, own] of [
      ["another issuer", { iss: "https://evil.example" }],
      ["another client", { aud: "another-app" }],
      ["the past", { exp: Server.now() - 600 }]
    ] as const)
      it.effect(`of ${what} sign nobody in`, () =>
        Effect.gen(function* () {
          const { claims, signIn } = yield* start(serverOf(own), yield* TokenStore.makeMemory)
          assert.strictEqual((yield* reasonOf(signIn))._tag, "MalformedResponse")
          assert.strictEqual((yield* reasonOf(claims))._tag, "InteractionRequired")
        })
      )
  })
}

describe("a refresh with the ID token of another person", () => {
  it.effect("gives no token: the session needs a person", () =>
    Effect.gen(function* () {
      const server = serverOf({}, [{ sub: "mallory" }])
      const { signIn, tokens } = yield* flows["the device flow"]!(server, yield* TokenStore.makeMemory)
      yield* signIn
      const { accessToken } = yield* tokens.get
      assert.strictEqual((yield* reasonOf(tokens.renew))._tag, "InteractionRequired")
      // The token of the right person is served until it expires.
      assert.strictEqual(Redacted.value((yield* tokens.get).accessToken), Redacted.value(accessToken))
    })
  )
})
