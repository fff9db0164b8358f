/** Signing in from a terminal, with a code for another device (RFC 8628). */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Option } from "effect"
import { DeviceAuthorization, TokenService } from "effect-video-auth"
import { login, Person } from "./support/login.ts"

const program = Effect.gen(function* () {
  const device = yield* DeviceAuthorization.DeviceAuthorization
  // With a durable `TokenStore`, the next start needs no sign-in.
  yield* device.resume
  const claims = yield* device.claims
  // `sub` and its kind name the person; they are not for a log.
  yield* Console.log("signed in at", Option.match(claims, { onNone: () => "a server", onSome: ({ iss }) => iss }))
  const tokens = yield* TokenService.TokenService
  yield* tokens.invalidate
  yield* Console.log("signed out")
})

const DeviceLive = Layer.unwrap(
  Effect.gen(function* () {
    const person = yield* Person
    return DeviceAuthorization.layer({
      issuer: yield* Config.String("OAUTH_ISSUER"),
      clientId: yield* Config.String("OAUTH_CLIENT_ID").pipe(Config.withDefault("device-app")),
      scope: "openid",
      prompt: ({ userCode, verificationUri, verificationUriComplete }) =>
        Effect.gen(function* () {
          yield* Console.log(`Go to ${verificationUri} and enter ${userCode}`)
          yield* person.enters(Option.getOrElse(verificationUriComplete, () => verificationUri))
        })
    })
  })
)

program.pipe(
  Effect.provide(DeviceLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(login))),
  NodeRuntime.runMain
)
