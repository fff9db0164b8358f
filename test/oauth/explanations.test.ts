/** The server's own explanation of an error is kept only if the program asks for it, and is written nowhere. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AuthorizationCode, DeviceAuthorization, OAuth2, TokenError, TokenService } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import { inspect } from "node:util"
import * as Server from "./server.ts"

const description = "AADSTS7000215: the secret is wrong, credential-1"
const uri = "https://login.microsoftonline.com/error?code=7000215"

const refusing = (error: string, status = 400) =>
  Server.make(() => json(status, { error, error_description: description, error_uri: uri }))

const codec = Schema.toCodecJson(TokenError.Reason)

/** What a reason keeps, after a look at everything it is written to. */
const kept = Effect.fnUntraced(function* (reason: TokenError.Reason) {
  const error = new TokenError.TokenError({ provider: "oauth2", reason })
  const written = [
    error.message,
    reason.message,
    String(error.stack),
    JSON.stringify(error),
    JSON.stringify(yield* Schema.encodeUnknownEffect(codec)(reason)),
    inspect(error, { depth: 20, showHidden: true }),
    Cause.pretty(Cause.fail(error))
  ]
  for (const text of written) assert.notMatch(text, /AADSTS|7000215|credential-1/)
  const received = yield* Effect.flatMap(Schema.encodeUnknownEffect(codec)(reason), Schema.decodeUnknownEffect(codec))
  assert.strictEqual(received.message, reason.message)
  assert.isFalse("errorDescription" in received && received.errorDescription !== undefined)
  const members = [
    "errorDescription" in reason ? reason.errorDescription : undefined,
    "errorUri" in reason ? reason.errorUri : undefined
  ]
  return members.map((member) => member && Redacted.value(member))
})

const reasonOf = (server: ReturnType<typeof Server.make>, options: Partial<OAuth2.ClientOptions> = {}) =>
  Effect.flatMap(server.run(OAuth2.clientCredentials({ ...Server.client, ...options })), ({ login }) =>
    Effect.flip(login!)
  )

describe("error_description and error_uri", () => {
  for (const code of [
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "login_required",
    "of_its_own"
  ])
    it.effect(`of ${code} are members of the reason, if the program asks for them`, () =>
      Effect.gen(function* () {
        const without = yield* reasonOf(refusing(code))
        assert.deepStrictEqual(yield* kept(without), [undefined, undefined])
        const reason = yield* reasonOf(refusing(code), { keepErrorDescription: true })
        assert.deepStrictEqual(yield* kept(reason), [description, uri])
      })
    )

  it.effect("are cut, and ignored if they are not text", () =>
    Effect.gen(function* () {
      const answer = { error: "invalid_client", error_description: "x".repeat(10_000), error_uri: { evil: true } }
      const server = Server.make(() => json(400, answer))
      const reason = yield* reasonOf(server, { keepErrorDescription: true })
      assert.deepStrictEqual(yield* kept(reason), ["x".repeat(1_000), undefined])
    })
  )

  it.effect("of a refused refresh token are kept where a person has to sign in", () =>
    Effect.gen(function* () {
      const provider = OAuth2.refreshToken({
        ...Server.client,
        refreshToken: Server.credential(1),
        keepErrorDescription: true
      })
      const context = yield* refusing("invalid_grant").run(Layer.build(OAuth2.layerToken(provider, { eager: false })))
      const { reason } = yield* Effect.flip(Context.get(context, TokenService.TokenService).get)
      assert.strictEqual(reason._tag, "InteractionRequired")
      assert.deepStrictEqual(yield* kept(reason), [description, uri])
    })
  )

  it.effect("of a redirect are kept too", () =>
    Effect.gen(function* () {
      const redirectUri = "https://app.example.com/callback"
      const options = { ...Server.client, redirectUri, keepErrorDescription: true }
      const layer = Layer.provide(AuthorizationCode.layer(options), KeyValueStore.layerMemory)
      const context = yield* refusing("").run(Layer.build(layer))
      const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
      const { searchParams } = yield* flow.start()
      const query = {
        error: "access_denied",
        error_description: description,
        error_uri: uri,
        state: searchParams.get("state") ?? ""
      }
      const { reason } = yield* Effect.flip(flow.finish(`${redirectUri}?${String(new URLSearchParams(query))}`))
      assert.deepStrictEqual(yield* kept(reason), [description, uri])
    })
  )

  it.effect("of a refused device code are kept too", () =>
    Effect.gen(function* () {
      const server = Server.make(({ url }) =>
        new URL(url).pathname === "/device"
          ? json(200, { device_code: "d", user_code: "u", verification_uri: "https://a.example", expires_in: 60 })
          : json(400, { error: "invalid_grant", error_description: description, error_uri: uri })
      )
      const options = { ...Server.client, keepErrorDescription: true, prompt: () => Effect.void }
      const context = yield* server.run(Layer.build(DeviceAuthorization.layer(options)))
      const { signIn } = Context.get(context, DeviceAuthorization.DeviceAuthorization)
      const fiber = yield* Effect.forkChild(Effect.flip(signIn))
      yield* TestClock.adjust("5 seconds")
      const { reason } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* kept(reason), [description, uri])
    })
  )
})
