/**
 * Tokens of any OAuth 2 or OpenID Connect server, for grants that need nobody: client credentials, a user's password, and a
 * refresh token that somebody got. `AuthorizationCode` and `DeviceAuthorization` are for grants that a person gives.
 *
 * Each grant is a `TokenProvider`; {@link layerToken} makes a `TokenService` of it, which `BearerClient` turns into an
 * `HttpClient`. Messages are written and checked by oauth4webapi, and sent by the program's own `HttpClient`.
 *
 * **Example** (Calling an API as the program itself)
 *
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { FetchHttpClient, HttpClient } from "effect/http"
 * import { BearerClient, OAuth2, TokenService } from "effect-video-auth"
 *
 * const TokenLive = OAuth2.layerToken(
 *   OAuth2.clientCredentials({
 *     issuer: "https://login.example.com",
 *     clientId: "my-service",
 *     authentication: { method: "client_secret_basic", clientSecret: Config.Redacted("CLIENT_SECRET") },
 *     scope: "videos:read"
 *   })
 * )
 *
 * const program = Effect.gen(function* () {
 *   const tokens = yield* TokenService.TokenService
 *   const api = BearerClient.make(tokens, { origins: ["https://api.example.com"] })(yield* HttpClient.HttpClient)
 *   return yield* Effect.flatMap(api.get("https://api.example.com/videos"), (response) => response.json)
 * })
 *
 * export const main = Effect.provide(program, TokenLive.pipe(Layer.provideMerge(FetchHttpClient.layer)))
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Grants from "./shared/grants.ts"
import { logIn } from "../platform/shared/layers.ts"
import * as SignIn from "./internal/signIn.ts"
import type * as TokenError from "../token/TokenError.ts"
import * as TokenService from "../token/TokenService.ts"
import type {
  ClientAuthentication,
  ClientOptions,
  Claims,
  Endpoints,
  Provider,
  ServerOptions,
  TokenOptions
} from "./shared/options.ts"

export type { ClientAuthentication, ClientOptions, Claims, Endpoints, Provider, ServerOptions, TokenOptions }

/**
 * Client credentials (RFC 6749 §4.4): the client acts for itself. Each renewal is a login.
 *
 * Fails, as all grants do, by the server's `error` code and not by the status, which servers disagree on:
 * `InvalidCredentials` for `invalid_client`, `ProviderRejected` with the code for `invalid_scope` and the like,
 * `ConfigurationInvalid` for an issuer that is not what it should be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const clientCredentials = (
  options: ClientOptions
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.map(Grants.makeClient(options), Grants.clientCredentials)

/**
 * A user's name and password (RFC 6749 §4.3), for servers that still take them. A renewal is a refresh, and a login where
 * that fails. After a refused password the schedule tries no more by itself, for repeated failures can lock the account.
 *
 * @category constructors
 * @since 0.1.0
 */
export const password = (
  options: ClientOptions & {
    /** The user, or an effect that is run at each login. */
    readonly username: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
    /** The user's password, or an effect that is run at each login. */
    readonly password: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
  }
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.map(Grants.makeClient(options), (client) => Grants.password(client, options))

/**
 * A refresh token that somebody got elsewhere (RFC 6749 §6). There is no login: when it is refused, or was sent and its
 * answer lost, a person has to sign in again (`InteractionRequired`).
 *
 * It is where a session begins and no more: it is sent once at most. What it was exchanged for is kept in the `TokenStore`,
 * if there is a durable one, and the next start with the same refresh token goes on from there. A new one begins a new
 * session: it is how somebody whose session ended starts again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refreshToken = (
  options: ClientOptions & {
    readonly refreshToken: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
    /** Tells apart the sessions of one client that share a store. @default "" */
    readonly session?: string | undefined
  }
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.map(Grants.makeClient(options), (client) => Grants.seededSession(client, options))

/**
 * Provides the token of a grant. It is kept in the `TokenStore` of the context, if there is one. A refused credential
 * fails here unless `eager` is off; a failure that passes is told on the console.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerToken = <E, R>(
  provider: Effect.Effect<Provider, E, R>,
  options: TokenOptions & {
    /** Get the token while the layer is built. @default true */
    readonly eager?: boolean | undefined
  } = {}
): Layer.Layer<TokenService.TokenService, E | TokenError.TokenError, R> =>
  Layer.effect(
    TokenService.TokenService,
    Effect.gen(function* () {
      const made = yield* provider
      const { service } = yield* SignIn.make(made, options)
      if (options.eager !== false) {
        yield* logIn({ provider: made.name, login: service.get, state: service.state, policy: options.policy })
      }
      return service
    })
  )
