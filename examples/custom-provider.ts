/** A platform that the library doesn't know: a provider logs in and refreshes, and the service does the rest. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Redacted } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { AccessToken, BearerClient, TokenError, type TokenProvider, TokenService } from "effect-video-auth"
import { oauth } from "./support/oauth.ts"

type Refusal = typeof TokenError.InvalidCredentials | typeof TokenError.RefreshTokenRejected

const makeProvider = Effect.fn("makeProvider")(function* (baseUrl: string, id: string, secret: Redacted.Redacted) {
  const client = yield* HttpClient.HttpClient
  // One attempt each. The service decides when to try again.
  const exchange = (grant: Record<string, string>, Refused: Refusal) =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post(`${baseUrl}/oauth/token`).pipe(
        HttpClientRequest.basicAuth(id, secret),
        HttpClientRequest.bodyUrlParams(grant)
      )
      const { json, status } = yield* client.execute(request)
      if (status === 200) return yield* Effect.flatMap(json, AccessToken.decodeResponse)
      if (status === 400 || status === 401) return yield* new Refused({ status })
      return yield* new TokenError.ProviderUnavailable({ status, failure: "status" })
    }).pipe(
      // The client's error contains the request, and so the secret. It must not leave this function.
      Effect.catchTag("HttpClientError", () => Effect.fail(new TokenError.ProviderUnavailable({ failure: "network" }))),
      // No span and no trace headers for a request with a secret. (undici follows no redirects; `fetch` would.)
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false)
    )
  return {
    name: "example.com",
    identity: Effect.succeed(`example.com:${id}`),
    login: exchange({ grant_type: "client_credentials" }, TokenError.InvalidCredentials),
    refresh: ({ refreshToken = Redacted.make("") }) => {
      const grant = { grant_type: "refresh_token", refresh_token: Redacted.value(refreshToken) }
      return exchange(grant, TokenError.RefreshTokenRejected)
    },
    traits: {
      renewWith: "refresh-then-login",
      rotatesRefreshToken: true,
      loginSupersedesRefresh: true,
      oldTokenSurvivesRefresh: false
    }
  } satisfies TokenProvider.TokenProvider
})

const program = Effect.gen(function* () {
  const tokens = yield* TokenService.TokenService
  const baseUrl = yield* Config.String("EXAMPLE_BASE_URL")
  const client = BearerClient.make(tokens, { origins: [baseUrl] })(yield* HttpClient.HttpClient)
  const reports = Effect.flatMap(client.get(`${baseUrl}/reports`), (response) => response.json)
  yield* Console.log(yield* reports)
  const { generation } = yield* tokens.renew
  yield* Console.log(yield* reports, `with token #${generation}`)
})

const TokenLive = Layer.unwrap(
  Effect.gen(function* () {
    const baseUrl = yield* Config.String("EXAMPLE_BASE_URL")
    const id = yield* Config.String("EXAMPLE_CLIENT_ID")
    const secret = yield* Config.Redacted("EXAMPLE_CLIENT_SECRET")
    return TokenService.layer({ provider: yield* makeProvider(baseUrl, id, secret) })
  })
)

program.pipe(
  Effect.provide(TokenLive.pipe(Layer.provideMerge(NodeHttpClient.layerUndici), Layer.provideMerge(oauth))),
  NodeRuntime.runMain
)
