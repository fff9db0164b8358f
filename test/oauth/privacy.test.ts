/** Guarantee 9 for OAuth: whatever a server repeats or a transport throws, nothing that is written down has a secret in it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AuthorizationCode, DeviceAuthorization, OAuth2, TokenService } from "effect-video-auth"
import { hasty, playing, watched, Witness } from "../support/witness.ts"
import * as Server from "./server.ts"

const planted = {
  clientSecret: "client-secret: 100 % of a long one & more",
  password: "correct horse battery staple",
  refreshToken: "refresh-token-that-somebody-got-elsewhere",
  code: "code-that-the-server-gave-to-the-browser",
  deviceCode: "device-code-that-is-for-the-device-alone",
  accessToken: "access-token-that-was-issued-before-it-failed"
}

/** How a server or what is in between may behave, with all of a request at hand. */
const servers: Readonly<
  Record<
    string,
    (
      said: string,
      request: Parameters<Parameters<typeof HttpClient.make>[0]>[0]
    ) => Response | HttpClientError.HttpClientError
  >
> = {
  "an error that repeats the request": (said) =>
    Response.json({ error: said, error_description: said, error_uri: said }, { status: 400 }),
  "a refused grant that repeats the request": (said) =>
    Response.json({ error: "invalid_grant", error_description: said }, { status: 401 }),
  "a page that repeats the request": (said) => new Response(`<pre>${said}</pre>`, { status: 502 }),
  "a success that is none": (said) => new Response(said),
  "a success with the request for its members": (said) =>
    Response.json({ access_token: said, token_type: said, expires_in: said, scope: said, refresh_token: said }),
  "a transport that tells what it was about to send": (said, request) =>
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({ request, cause: new Error(said), description: said })
    })
}

/** Issues what a session begins with, and then behaves so. */
const serverOf = (behave: (typeof servers)[string]) => {
  let isBehaving = false
  const client = HttpClient.make((request, { pathname }) =>
    Effect.suspend(() => {
      if (pathname === "/device") {
        const { deviceCode } = planted
        const verification_uri = "https://login.example.com/activate"
        const authorization = { device_code: deviceCode, user_code: "ABCD", verification_uri, expires_in: 30 }
        return Effect.succeed(HttpClientResponse.fromWeb(request, Response.json(authorization)))
      }
      if (!isBehaving) {
        const { accessToken, refreshToken } = planted
        const token = { access_token: accessToken, refresh_token: refreshToken, token_type: "Bearer", expires_in: 300 }
        return Effect.succeed(HttpClientResponse.fromWeb(request, Response.json(token)))
      }
      const form = request.body._tag === "Raw" ? String(request.body.body) : ""
      const { authorization = "" } = request.headers
      const clear = decodeURIComponent(atob(authorization.replace("Basic ", "") || "").replaceAll("+", " "))
      const said = [authorization, clear, form, ...new URLSearchParams(form).values()].join(" ")
      const answer = behave(said, request)
      return answer instanceof Response
        ? Effect.succeed(HttpClientResponse.fromWeb(request, answer))
        : Effect.fail(answer)
    })
  )
  return { client, behave: () => void (isBehaving = true) }
}

const secret = Redacted.make(planted.clientSecret)
const basic = { method: "client_secret_basic", clientSecret: secret } as const
const post = { method: "client_secret_post", clientSecret: secret } as const

describe("guarantee 9: nothing that is written down has a secret in it", () => {
  for (const [what, behave] of Object.entries(servers))
    it.effect(`with ${what}`, () =>
      Effect.gen(function* () {
        const witness = new Witness(...Object.values(planted))
        const server = serverOf(behave)
        const play = playing(witness)
        const options = { ...Server.client, authentication: basic, policy: hasty, keepErrorDescription: true }
        const program = Effect.gen(function* () {
          const context = yield* Layer.build(
            AuthorizationCode.layer({
              ...options,
              scope: "openid read",
              redirectUri: "https://app.example.com/callback"
            }).pipe(Layer.provide(KeyValueStore.layerMemory))
          )
          const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
          const session = yield* Layer.build(
            OAuth2.layerToken(
              OAuth2.refreshToken({ ...options, refreshToken: Redacted.make(planted.refreshToken) }),
              options
            )
          )
          const tokens = Context.get(session, TokenService.TokenService)
          yield* play("a token in hand", tokens.get)
          server.behave()
          const { searchParams } = yield* flow.start()
          const state = searchParams.get("state") ?? ""
          const redirect = new URLSearchParams({ code: planted.code, state, iss: Server.issuer })
          yield* play("code", flow.finish(`/callback?${String(redirect)}`))
          yield* play("redirect of nobody", flow.finish(`/callback?code=${planted.code}&state=none`))
          const device = yield* Layer.build(DeviceAuthorization.layer({ ...options, prompt: () => Effect.void }))
          const { signIn } = Context.get(device, DeviceAuthorization.DeviceAuthorization)
          yield* play("device", signIn)
          for (const authentication of [basic, post]) {
            const client = { ...options, authentication }
            const user = { username: Redacted.make("ada"), password: Redacted.make(planted.password) }
            yield* play("client credentials", Layer.build(OAuth2.layerToken(OAuth2.clientCredentials(client), options)))
            yield* play("password", Layer.build(OAuth2.layerToken(OAuth2.password({ ...client, ...user }), options)))
          }
          yield* play("refresh", tokens.renew)
          yield* play("state", tokens.state)
          yield* play("sign-out", tokens.invalidate)
        }).pipe(Effect.provideService(HttpClient.HttpClient, server.client))
        const fiber = yield* Effect.forkChild(watched(witness)(Effect.scoped(program)))
        // Some of it waits for WebCrypto, which no test clock moves.
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        assert.isAbove(witness.seen.length, 100)
        assert.strictEqual(witness.leaks.join("\n"), "")
      })
    )
})
