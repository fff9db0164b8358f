/** O10: a session from a refresh token, whose refreshes lose their connection. The traits decide what becomes of it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted } from "effect"
import { HttpClientError } from "effect/http"
import { TestClock } from "effect/testing"
import { OAuth2, type TokenError, TokenService } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const { refresh_token: _, ...withoutRefreshToken } = Server.answer

/** A server whose connections break while `breaks` is above zero. It replaces refresh tokens if `rotates`. */
const started = (options: { readonly rotates: boolean; readonly rotatesRefreshToken?: boolean }) =>
  Effect.gen(function* () {
    let breaks = 0
    let issued = 0
    const server = Server.make((request) =>
      Effect.suspend(() => {
        if (breaks > 0) {
          breaks -= 1
          const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
          const reason = new HttpClientError.TransportError({ request, cause })
          return Effect.fail(new HttpClientError.HttpClientError({ reason }))
        }
        issued += 1
        const token = { ...withoutRefreshToken, access_token: `access-${issued}` }
        return Effect.succeed(json(200, options.rotates ? { ...token, refresh_token: `refresh-${issued}` } : token))
      })
    )
    const provider = OAuth2.refreshToken({
      ...Server.client,
      refreshToken: Redacted.make("refresh-0"),
      rotatesRefreshToken: options.rotatesRefreshToken
    })
    const layer = OAuth2.layerToken(provider, { eager: false })
    return {
      tokens: Context.get(yield* server.run(Layer.build(layer)), TokenService.TokenService),
      sent: Effect.map(server.forms(), (forms) => forms.map(({ form }) => form.get("refresh_token"))),
      break: (times: number) => void (breaks = times)
    }
  })

const held = (tokens: TokenService.TokenService["Service"]) =>
  Effect.map(tokens.get, ({ accessToken }) => Redacted.value(accessToken))

const reasonOf = <A>(effect: Effect.Effect<A, TokenError.TokenError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("a server that is known not to rotate", () => {
  for (const times of [1, 2, 5])
    it.effect(`gets the same refresh token again after ${times} lost responses, and the session goes on`, () =>
      Effect.gen(function* () {
        const session = yield* started({ rotates: false, rotatesRefreshToken: false })
        assert.strictEqual(yield* held(session.tokens), "access-1")
        session.break(times)
        // The scheduled refresh, what follows it, and then the end of the first token.
        yield* TestClock.adjust("301 seconds")
        const fiber = yield* Effect.forkChild(held(session.tokens))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Fiber.join(fiber), "access-2")
        assert.deepStrictEqual(new Set(yield* session.sent), new Set(["refresh-0"]))
      })
    )

  for (const times of [1, 2])
    it.effect(`gets the seed again if its first ${times} responses are lost`, () =>
      Effect.gen(function* () {
        const session = yield* started({ rotates: false, rotatesRefreshToken: false })
        session.break(times)
        const first = yield* Effect.forkChild(Effect.exit(held(session.tokens)))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(first)
        const fiber = yield* Effect.forkChild(held(session.tokens))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Fiber.join(fiber), "access-1")
        assert.deepStrictEqual(new Set(yield* session.sent), new Set(["refresh-0"]))
      })
    )
})

describe("a server that may rotate", () => {
  it.effect("gets no refresh token twice: after a lost response a person has to sign in", () =>
    Effect.gen(function* () {
      const session = yield* started({ rotates: true })
      yield* session.tokens.get
      session.break(1)
      yield* TestClock.adjust("10 minutes")
      assert.include(["InteractionRequired", "TokenExpired"], (yield* reasonOf(session.tokens.get))._tag)
      const sent = yield* session.sent
      assert.strictEqual(new Set(sent).size, sent.length)
    })
  )
})
