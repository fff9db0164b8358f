/**
 * Tokens of any OAuth 2 or OpenID Connect server, for grants that need no person: client credentials, a user's password, a
 * refresh token, and any other grant type, such as token exchange and JWT bearer. `AuthorizationCode` and
 * `DeviceAuthorization` are for grants that a person gives.
 *
 * Each grant is a `TokenProvider`; {@link layerToken} makes a `TokenService` of it, which `BearerClient` turns into an
 * `HttpClient`. oauth4webapi writes and checks the messages, and the program's own `HttpClient` sends them.
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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import { logIn } from "../platform/shared/layers.ts"
import type { SecretSource } from "../platform/shared/server.ts"
import { withProvider } from "../token/shared/failures.ts"
import type * as TokenError from "../token/TokenError.ts"
import * as TokenService from "../token/TokenService.ts"
import * as SignIn from "./internal/signIn.ts"
import * as Authentication from "./shared/clientAuthentication.ts"
import { makeClient } from "./shared/client.ts"
import * as Grants from "./shared/grants.ts"
import type {
  ClientAuthentication,
  ClientOptions,
  Claims,
  Endpoints,
  GrantOptions,
  Provider,
  ServerOptions,
  SigningKey,
  TokenOptions
} from "./shared/options.ts"
import { checkGrantParameters } from "./shared/parameters.ts"

export type {
  ClientAuthentication,
  ClientOptions,
  Claims,
  Endpoints,
  GrantOptions,
  Provider,
  ServerOptions,
  SigningKey,
  TokenOptions
}

/**
 * Requests tokens by client credentials (RFC 6749 §4.4): the client acts on its own behalf. Each renewal is a login.
 *
 * Like all grants, it fails by the server's `error` code, whatever the HTTP status, because servers disagree on the status:
 * with `InvalidCredentials` for `invalid_client`, with `ProviderRejected` and the code for `invalid_scope` and the like. It fails
 * with `ConfigurationInvalid` for an issuer that is not what it should be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const clientCredentials = (
  options: ClientOptions
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.map(makeClient(options), Grants.clientCredentials)

/**
 * Options of {@link password}: those of the client, and the user.
 *
 * @category options
 * @since 0.1.0
 */
export interface PasswordOptions extends ClientOptions {
  /** The user name, or an effect that is run for each login. */
  readonly username: SecretSource
  /** The user's password, or an effect that is run for each login. */
  readonly password: SecretSource
}

/**
 * Requests tokens with a user's name and password (RFC 6749 §4.3), at servers that still accept them. A renewal is a refresh,
 * and a login if that fails. A refused password is not tried again for five minutes, because repeated failures can lock the
 * account.
 *
 * @category constructors
 * @since 0.1.0
 */
export const password = (
  options: PasswordOptions
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.map(makeClient(options), (client) => Grants.password(client, options))

/**
 * Options of {@link refreshToken}: those of the client, and the session.
 *
 * @category options
 * @since 0.1.0
 */
export interface RefreshTokenOptions extends ClientOptions {
  /** The refresh token to begin with, or an effect that reads it. */
  readonly refreshToken: SecretSource
  /** Distinguishes the sessions of one client that share a store. @default "" */
  readonly session?: string | undefined
}

/**
 * Continues a session from a refresh token that somebody obtained elsewhere (RFC 6749 §6). There is no login: once the session
 * has ended, a person has to sign in again (`InteractionRequired`).
 *
 * The refresh token only starts the session. What it was exchanged for is kept in the `TokenStore`, if there is a durable one,
 * and the next start with the same refresh token continues from there. Another refresh token starts another session, which is
 * how somebody whose session has ended starts again.
 *
 * `rotatesRefreshToken` decides what happens if the response to a refresh is lost:
 *
 * - by default, the server may have replaced the refresh token, so it is not sent again, and the session has ended
 * - with `false`, the server is known not to replace it, and the refresh is repeated with the same token
 *
 * @category constructors
 * @since 0.1.0
 */
export const refreshToken = (
  options: RefreshTokenOptions
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.map(makeClient(options), (client) => Grants.seededSession(client, options))

/**
 * Requests tokens by a grant of any type (RFC 6749 §4.5).
 *
 * **Example** (Zoom's server-to-server apps)
 *
 * ```ts
 * import { Config } from "effect"
 * import { OAuth2 } from "effect-video-auth"
 *
 * export const zoom = OAuth2.grant({
 *   issuer: "https://zoom.us",
 *   discovery: { token_endpoint: "https://zoom.us/oauth/token" },
 *   clientId: "my-app",
 *   authentication: { method: "client_secret_basic", clientSecret: Config.Redacted("ZOOM_CLIENT_SECRET") },
 *   grantType: "account_credentials",
 *   parameters: { account_id: Config.Redacted("ZOOM_ACCOUNT_ID") },
 *   renewWith: "login",
 *   oldTokenSurvivesRefresh: false
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const grant = (options: GrantOptions): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const { parameters, ...rest } = options
    const client = yield* makeClient(rest)
    return yield* withProvider(client.server.name)(
      Effect.andThen(checkGrantParameters(parameters), Grants.grant(client, options))
    )
  })

/** A grant with parameters of its own, which the program must not set. */
const grantWith = (
  options: Omit<GrantOptions, "grantType">,
  grantType: string,
  own: Readonly<Record<string, string | SecretSource | undefined>>
) => {
  const set = Object.entries(own).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
  return Effect.andThen(
    withProvider("oauth2")(checkGrantParameters(options.parameters, Object.keys(own))),
    grant({ ...options, grantType, parameters: { ...options.parameters, ...Object.fromEntries(set) } })
  )
}

const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

/**
 * Options of {@link tokenExchange}: those of a grant, and the tokens that are exchanged.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenExchangeOptions extends Omit<GrantOptions, "grantType"> {
  /** The token of the subject that the new token is for, or an effect that reads the current one. */
  readonly subjectToken: SecretSource
  /** @default "urn:ietf:params:oauth:token-type:access_token" */
  readonly subjectTokenType?: string | undefined
  /** The token of the party that acts for the subject, or an effect that reads the current one. */
  readonly actorToken?: SecretSource | undefined
  /** @default "urn:ietf:params:oauth:token-type:access_token" */
  readonly actorTokenType?: string | undefined
  /** @default the server's */
  readonly requestedTokenType?: string | undefined
}

/**
 * Exchanges one token for another (RFC 8693): a service that received a user's token obtains one for the next API, or a
 * workload exchanges the token of its platform.
 *
 * **Example** (A Kubernetes service account at a security token service)
 *
 * ```ts
 * import { NodeFileSystem } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { OAuth2 } from "effect-video-auth"
 *
 * export const exchange = OAuth2.tokenExchange({
 *   issuer: "https://login.example.com",
 *   clientId: "my-service",
 *   subjectToken: OAuth2.secretFile("/var/run/secrets/tokens/sts").pipe(Effect.provide(NodeFileSystem.layer)),
 *   subjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
 *   audience: "videos",
 *   session: "my-service"
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const tokenExchange = (
  options: TokenExchangeOptions
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  grantWith(options, "urn:ietf:params:oauth:grant-type:token-exchange", {
    subject_token: options.subjectToken,
    subject_token_type: options.subjectTokenType ?? accessTokenType,
    actor_token: options.actorToken,
    actor_token_type: options.actorToken && (options.actorTokenType ?? accessTokenType),
    requested_token_type: options.requestedTokenType
  })

/**
 * Options of {@link jwtBearer}: those of a grant, and the assertion.
 *
 * @category options
 * @since 0.1.0
 */
export interface JwtBearerOptions extends Omit<GrantOptions, "grantType"> {
  /** The assertion, or an effect that signs or reads a new one for each login. */
  readonly assertion: SecretSource
}

/**
 * Requests tokens with a signed assertion as the grant (RFC 7523 §2.1), such as that of a Google service account.
 *
 * **Example** (A Google service account)
 *
 * ```ts
 * import { OAuth2 } from "effect-video-auth"
 *
 * export const google = (privateKey: CryptoKey, account: string) =>
 *   OAuth2.jwtBearer({
 *     issuer: "https://accounts.google.com",
 *     clientId: account,
 *     authentication: { method: "anonymous" },
 *     assertion: OAuth2.signAssertion({
 *       privateKey,
 *       claims: {
 *         iss: account,
 *         scope: "https://www.googleapis.com/auth/youtube.readonly",
 *         aud: "https://oauth2.googleapis.com/token"
 *       }
 *     }),
 *     session: account
 *   })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const jwtBearer = (
  options: JwtBearerOptions
): Effect.Effect<Provider, TokenError.TokenError, HttpClient.HttpClient> =>
  grantWith(options, "urn:ietf:params:oauth:grant-type:jwt-bearer", { assertion: options.assertion })

/**
 * Options of {@link signAssertion}: the key, as in `private_key_jwt`, and what is signed.
 *
 * @category options
 * @since 0.1.0
 */
export interface SignAssertionOptions extends Pick<
  Extract<ClientAuthentication, { method: "private_key_jwt" }>,
  "privateKey" | "keyId" | "header"
> {
  /** The claims, such as `iss`, `sub`, `aud` and `scope`. */
  readonly claims: Readonly<Record<string, Schema.Json>>
  /** How long the assertion is valid. @default 5 minutes */
  readonly lifetime?: Duration.Input | undefined
}

/**
 * Signs an assertion for {@link jwtBearer}. As an option it is run for each login, so that each assertion is new and short-lived.
 *
 * It adds `iat`, `exp` and a random `jti` to the claims, and `alg` to the header. Fails with `ConfigurationInvalid` if the key
 * cannot sign.
 *
 * @category secrets
 * @since 0.1.0
 */
export const signAssertion = (
  options: SignAssertionOptions
): Effect.Effect<Redacted.Redacted, TokenError.RenewalReason> =>
  Effect.map(
    Authentication.signAssertion(options, {
      claims: options.claims,
      lifetime: Math.floor(Duration.toSeconds(Duration.fromInputUnsafe(options.lifetime ?? "5 minutes")))
    }),
    (assertion) => Redacted.make(assertion, { label: "assertion" })
  )

/**
 * Reads a secret from a file, without the white space around it. Used as an option, it is read again for each request, so
 * that a file may be replaced, as those of Kubernetes and SPIFFE are.
 *
 * @category secrets
 * @since 0.1.0
 */
export const secretFile = (
  path: string
): Effect.Effect<Redacted.Redacted, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) =>
    Effect.map(files.readFileString(path), (text) => Redacted.make(text.trim()))
  )

/**
 * Options of {@link layerToken}.
 *
 * @category options
 * @since 0.1.0
 */
export interface LayerOptions extends TokenOptions {
  /** Get the token while the layer is built. @default true */
  readonly eager?: boolean | undefined
}

/**
 * Provides the token of a grant. It is kept in the `TokenStore` of the context, if there is one. A refused credential
 * fails the layer unless `eager` is off; a transient failure is logged, and the program starts anyway.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerToken = <E, R>(
  provider: Effect.Effect<Provider, E, R>,
  options: LayerOptions = {}
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
