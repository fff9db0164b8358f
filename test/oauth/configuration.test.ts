/** A secret that is a `Config` is read from the configuration of the layer, wherever the exchange is made. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Fiber, Layer } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AuthorizationCode, DeviceAuthorization, OAuth2, TokenService } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const options = {
  ...Server.client,
  authentication: { method: "client_secret_post", clientSecret: Config.Redacted("CLIENT_SECRET") }
} as const
const configured = ConfigProvider.layer(ConfigProvider.fromEnv({ env: { CLIENT_SECRET: "from-env" } }))

const serverOf = () =>
  Server.make(({ url }) =>
    new URL(url).pathname === "/device"
      ? json(200, {
          device_code: "credential-1",
          user_code: "ABCD-EFGH",
          verification_uri: "https://login.example.com/activate",
          expires_in: 60
        })
      : json(200, Server.answer)
  )

const secretsOf = (server: ReturnType<typeof serverOf>, path?: string) =>
  Effect.map(server.forms(path), (forms) => forms.map(({ form }) => form.get("client_secret")))

describe("a secret from configuration", () => {
  it.effect("of OAuth2.layerToken", () =>
    Effect.gen(function* () {
      const server = serverOf()
      const live = OAuth2.layerToken(OAuth2.clientCredentials(options), { eager: false })
      const context = yield* server.run(Layer.build(Layer.provide(live, configured)))
      yield* Context.get(context, TokenService.TokenService).get
      assert.deepStrictEqual(yield* secretsOf(server), ["from-env"])
    })
  )

  it.effect("of AuthorizationCode.layer, which the caller of `finish` exchanges the code with", () =>
    Effect.gen(function* () {
      const server = serverOf()
      const live = AuthorizationCode.layer({ ...options, redirectUri: "https://app.example.com/callback" })
      const context = yield* server.run(Layer.build(Layer.provide(live, [configured, KeyValueStore.layerMemory])))
      const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
      const state = (yield* flow.start()).searchParams.get("state") ?? ""
      yield* flow.finish(`/callback?${String(new URLSearchParams({ code: "credential-1", state }))}`)
      assert.deepStrictEqual(yield* secretsOf(server), ["from-env"])
    })
  )

  it.effect("of DeviceAuthorization.layer, which the caller of `signIn` polls with", () =>
    Effect.gen(function* () {
      const server = serverOf()
      const live = DeviceAuthorization.layer({ ...options, prompt: () => Effect.void })
      const context = yield* server.run(Layer.build(Layer.provide(live, configured)))
      const signingIn = yield* Effect.forkChild(Context.get(context, DeviceAuthorization.DeviceAuthorization).signIn)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(signingIn)
      assert.deepStrictEqual(yield* secretsOf(server, "/device"), ["from-env"])
      assert.deepStrictEqual(yield* secretsOf(server), ["from-env"])
    })
  )
})
