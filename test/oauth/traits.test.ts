/** The traits that a program sets for a grant decide how its tokens are renewed. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { OAuth2, TokenService } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const { refresh_token: _, ...withoutRefreshToken } = Server.answer

/** A server that takes ten seconds from the second request on, as Zoom's `account_credentials`. */
const started = (options: Partial<OAuth2.GrantOptions>, response: object = withoutRefreshToken) =>
  Effect.gen(function* () {
    const server = Server.make((_, n) =>
      Effect.as(Effect.sleep(n === 1 ? 0 : "10 seconds"), json(200, { ...response, access_token: `access-${n}` }))
    )
    const grant = OAuth2.grant({ ...Server.client, grantType: "account_credentials", ...options })
    const context = yield* server.run(Layer.build(OAuth2.layerToken(grant, { eager: false, revoke: "never" })))
    const tokens = Context.get(context, TokenService.TokenService)
    return { tokens, types: Effect.map(server.forms(), (forms) => forms.map(({ form }) => form.get("grant_type"))) }
  })

const held = (tokens: TokenService.TokenService["Service"]) =>
  Effect.map(tokens.get, ({ accessToken }) => Redacted.value(accessToken))

/** Starts and lets the first token arrive: parts of an identity come from WebCrypto, in real time. */
const first = (tokens: TokenService.TokenService["Service"]) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(held(tokens))
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust(1)
    return yield* Fiber.join(fiber)
  })

describe("oldTokenSurvivesRefresh", () => {
  for (const [survives, expected] of [
    [true, "access-1"],
    [false, "access-2"]
  ] as const)
    it.effect(`${survives}: a caller during a renewal by login gets ${expected}`, () =>
      Effect.gen(function* () {
        const { tokens } = yield* started({ renewWith: "login", oldTokenSurvivesRefresh: survives })
        assert.strictEqual(yield* first(tokens), "access-1")
        const renewal = yield* Effect.forkChild(tokens.renew)
        // The request is written by Promises.
        for (let turn = 0; turn < 20; turn++) yield* TestClock.adjust(1)
        const caller = yield* Effect.forkChild(held(tokens))
        for (let second = 0; second < 12; second++) yield* TestClock.adjust("1 second")
        yield* Fiber.join(renewal)
        assert.strictEqual(yield* Fiber.join(caller), expected)
      })
    )
})

describe("renewWith", () => {
  for (const [renewWith, expected] of [
    [undefined, ["account_credentials", "refresh_token"]],
    ["refresh-then-login", ["account_credentials", "refresh_token"]],
    ["login", ["account_credentials", "account_credentials"]]
  ] as const)
    it.effect(`${renewWith}: with a refresh token, the requests are ${expected.join(" and ")}`, () =>
      Effect.gen(function* () {
        const { tokens, types } = yield* started({ renewWith }, Server.answer)
        yield* first(tokens)
        const renewal = yield* Effect.forkChild(tokens.renew)
        while (renewal.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* types, [...expected])
      })
    )

  it.effect("without a refresh token, the grant is repeated", () =>
    Effect.gen(function* () {
      const { tokens, types } = yield* started({})
      yield* first(tokens)
      const renewal = yield* Effect.forkChild(tokens.renew)
      while (renewal.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* types, ["account_credentials", "account_credentials"])
    })
  )
})

describe("grant types", () => {
  for (const grantType of ["", "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"])
    it.effect(`${grantType || "an empty one"} is refused`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(200, Server.answer))
        const { reason } = yield* Effect.flip(server.run(OAuth2.grant({ ...Server.client, grantType })))
        assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option: "grantType" })
      })
    )

  for (const parameters of [{ grant_type: "evil" }, { client_secret: "evil" }, { scope: "evil" }, { audience: "evil" }])
    it.effect(`O7: ${Object.keys(parameters)[0]} in the parameters of a grant is refused`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(200, Server.answer))
        const grant = OAuth2.grant({ ...Server.client, grantType: "password", parameters })
        const { reason } = yield* Effect.flip(server.run(grant))
        assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option: "parameters" })
      })
    )

  it.effect("O7: a parameter that token exchange sets is refused", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const parameters = { subject_token: "evil" }
      const grant = OAuth2.tokenExchange({ ...Server.client, subjectToken: Server.credential(1), parameters })
      const { reason } = yield* Effect.flip(server.run(grant))
      assert.deepInclude(reason, { _tag: "ConfigurationInvalid", option: "parameters" })
    })
  )
})
