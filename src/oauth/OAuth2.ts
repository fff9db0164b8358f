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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { AccessToken } from "../token/AccessToken.ts"
import * as Grants from "./shared/grants.ts"
import { logIn } from "../platform/shared/layers.ts"
import type { SecretSource } from "../platform/shared/server.ts"
import * as SignIn from "./internal/signIn.ts"
import type * as RenewalPolicy from "../token/RenewalPolicy.ts"
import type * as TokenError from "../token/TokenError.ts"
import type { TokenProvider } from "../token/TokenProvider.ts"
import * as TokenService from "../token/TokenService.ts"

/**
 * Endpoints of a server that publishes no metadata, under their names of RFC 8414 §2.
 *
 * @category options
 * @since 0.1.0
 */
export interface Endpoints {
  readonly token_endpoint: string
  readonly authorization_endpoint?: string
  readonly device_authorization_endpoint?: string
  readonly revocation_endpoint?: string
}

/**
 * Which authorization server it is.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions {
  /** Its issuer identifier, to the letter: https, or http on loopback. */
  readonly issuer: string
  /**
   * Where its endpoints are: in the document of OpenID Connect Discovery (below the issuer), in that of RFC 8414 (the
   * issuer's path comes last), or here. A document is kept for as long as its HTTP headers say, ten minutes where they say
   * nothing, and until there is a newer one while its server is down.
   * @default "openid"
   */
  readonly discovery?: "openid" | "oauth2" | Endpoints | undefined
  /**
   * Hosts, with their ports, that issuer and endpoints may be on.
   * @default any: the issuer, which https vouches for, says where its endpoints are
   */
  readonly issuerHosts?: ReadonlyArray<string> | undefined
}

/**
 * How a client shows who it is, by the method's name in RFC 8414 and OpenID Connect Core §9. Secrets and keys may be
 * effects, which are run at each exchange.
 *
 * **Example** (A private key)
 *
 * ```ts
 * import type { OAuth2 } from "effect-video-auth"
 *
 * export const signedWith = async (pkcs8: Uint8Array<ArrayBuffer>): Promise<OAuth2.ClientAuthentication> => ({
 *   method: "private_key_jwt",
 *   privateKey: await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]),
 *   keyId: "2026"
 * })
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export type ClientAuthentication =
  /** A public client: it says who it is and proves nothing. */
  | { readonly method: "none" }
  | { readonly method: "client_secret_basic" | "client_secret_post"; readonly clientSecret: SecretSource }
  | {
      readonly method: "private_key_jwt"
      /** For signing: RSA, ECDSA or Ed25519, extractable or not. */
      readonly privateKey: CryptoKey | Effect.Effect<CryptoKey, unknown>
      /** `kid` of the key, where the server knows several. */
      readonly keyId?: string | undefined
    }

/**
 * What a client asks for, at which server.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions extends ServerOptions {
  readonly clientId: string
  /** @default { method: "none" } */
  readonly authentication?: ClientAuthentication | undefined
  /** Scopes, separated by spaces or in a list. @default the server's */
  readonly scope?: string | ReadonlyArray<string> | undefined
  /** For which API, where the server has it named so. */
  readonly audience?: string | undefined
  /** For which APIs (RFC 8707): absolute URIs. Sent with refreshes too. */
  readonly resource?: string | ReadonlyArray<string> | undefined
  /** What else the server wants to be told by the request that asks for a grant. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** What else it wants to be told by refreshes. */
  readonly refreshParameters?: Readonly<Record<string, string>> | undefined
  /**
   * Whether a refresh uses up its refresh token and gives another. `true`: none is sent twice, and an answer without one
   * leaves none. `false`: the same one is sent again and again, also after an answer that was lost.
   * @default none is sent twice, and an answer without one leaves the one before in force (RFC 6749 §6)
   */
  readonly rotatesRefreshToken?: boolean | undefined
  /** How long access tokens live, where answers do not say it (RFC 6749 §5.1 lets the documents say it). */
  readonly lifetime?: Duration.Input | undefined
}

/**
 * What a grant is renewed by: a `TokenProvider` that can also revoke what it got.
 *
 * @category models
 * @since 0.1.0
 */
export interface Provider extends TokenProvider {
  /** Revokes the refresh token, or else the access token (RFC 7009); nothing at a server that has no endpoint for it. */
  readonly revoke: (token: AccessToken) => Effect.Effect<void, TokenError.RenewalReason>
  /** The refresh token that a session begins with, where its store has none. */
  readonly seed?: Effect.Effect<Redacted.Redacted, TokenError.RenewalReason> | undefined
}

/**
 * A token, and what to do about it.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenOptions {
  /** @default RenewalPolicy.Options of all defaults; `fatalFor` is five minutes for {@link password} */
  readonly policy?: RenewalPolicy.Options | undefined
  /**
   * When tokens are revoked (RFC 7009): when somebody signs out (`TokenService.invalidate`), also when the scope closes, or
   * never. Do not revoke on close what other processes share. A revocation that fails is logged.
   * @default "sign-out"
   */
  readonly revoke?: "sign-out" | "close" | "never" | undefined
}

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
      const { service } = yield* SignIn.make(yield* provider, options)
      if (options.eager !== false) yield* logIn(service.get)
      return service
    })
  )

/**
 * What an ID token says of the person who signed in: `iss`, `sub`, and what the server adds. Checked as OpenID Connect Core
 * §3.1.3.7 wants it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claims {
  readonly iss: string
  readonly sub: string
  readonly [claim: string]: unknown
}
