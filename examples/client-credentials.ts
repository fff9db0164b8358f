/** Any OAuth 2 server: a program that calls an API on its own behalf. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Option } from "effect"
import { HttpClient } from "effect/http"
import { BearerClient, OAuth2, TokenService } from "effect-video-auth"
import { login } from "./support/login.ts"

const program = Effect.gen(function* () {
  const tokens = yield* TokenService.TokenService
  const { extra } = yield* tokens.get
  yield* Console.log("granted:", extra)
  // Only the API's origin gets the token.
  const api = yield* Config.option(Config.String("OAUTH_API"))
  if (Option.isNone(api)) return
  const client = BearerClient.make(tokens, { origins: [new URL(api.value).origin] })(yield* HttpClient.HttpClient)
  const { status } = yield* client.get(api.value)
  yield* Console.log("the API answers", status)
})

const TokenLive = Layer.unwrap(
  Effect.gen(function* () {
    const provider = OAuth2.clientCredentials({
      issuer: yield* Config.String("OAUTH_ISSUER"),
      clientId: yield* Config.String("OAUTH_CLIENT_ID").pipe(Config.withDefault("service-app")),
      authentication: { method: "client_secret_basic", clientSecret: Config.Redacted("OAUTH_CLIENT_SECRET") },
      scope: "profile email"
    })
    return OAuth2.layerToken(provider, { revoke: "close" })
  })
)

program.pipe(
  Effect.provide(TokenLive.pipe(Layer.provideMerge(NodeHttpClient.layerUndici), Layer.provideMerge(login))),
  NodeRuntime.runMain
)
