/** The options and models of OAuth 2 clients, which `OAuth2` and the interactive grants publish. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { SecretSource } from "../../platform/shared/server.ts"
import type { AccessToken } from "../../token/AccessToken.ts"
import type * as RenewalPolicy from "../../token/RenewalPolicy.ts"
import type * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"

/**
 * The endpoints of a server that publishes no metadata, named as in RFC 8414 §2.
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
 * Which authorization server to use.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions {
  /** The issuer identifier, exactly as the server writes it: https, or http on loopback. */
  readonly issuer: string
  /**
   * Where the endpoints are found: in the OpenID Connect Discovery document (below the issuer), in the RFC 8414 document
   * (which puts the issuer's path last), or in this option. A document is cached for as long as its HTTP headers say, for ten
   * minutes where they say nothing, and is still used while its server is down.
   * @default "openid"
   */
  readonly discovery?: "openid" | "oauth2" | Endpoints | undefined
  /**
   * Hosts, with their ports, on which issuer and endpoints may be.
   * @default any host: the issuer, which https authenticates, says where its endpoints are
   */
  readonly issuerHosts?: ReadonlyArray<string> | undefined
  /**
   * The tenants that may issue ID tokens, for a server whose metadata has `{tenantid}` in its issuer, as Entra ID's for the
   * issuers `https://login.microsoftonline.com/common/v2.0` and `…/organizations/v2.0`. With `"any"`, people of every tenant
   * can sign in. An ID token must name the issuer of its own tenant either way.
   * @default none: an issuer with `{tenantid}` is refused
   */
  readonly tenants?: "any" | ReadonlyArray<string> | undefined
}

/**
 * A key for `private_key_jwt`, with the header members that belong to it, for keys that rotate.
 *
 * @category options
 * @since 0.1.0
 */
export interface SigningKey {
  readonly privateKey: CryptoKey
  /** The header's `kid`. */
  readonly keyId?: string | undefined
  /** Other header members, such as `x5t` and `x5t#S256`, the thumbprints of the key's certificate. */
  readonly header?: Readonly<Record<string, string | ReadonlyArray<string>>> | undefined
}

/**
 * How a client authenticates, by the method's name in RFC 8414 and OpenID Connect Core §9. Secrets, keys and assertions may
 * be effects, which are run for each request.
 *
 * **Example** (Signing with a private key)
 *
 * ```ts
 * import type { OAuth2 } from "effect-video-auth"
 *
 * export const signedWith = async (pkcs8: Uint8Array<ArrayBuffer>): Promise<OAuth2.ClientAuthentication> => ({
 *   method: "private_key_jwt",
 *   privateKey: await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]),
 *   keyId: "2026"
 * })
 * ```
 *
 * **Example** (A workload without a secret: Kubernetes replaces the token in the file)
 *
 * ```ts
 * import { NodeFileSystem } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { OAuth2 } from "effect-video-auth"
 *
 * export const authentication: OAuth2.ClientAuthentication = {
 *   method: "client_assertion",
 *   assertion: OAuth2.secretFile("/var/run/secrets/tokens/keycloak").pipe(Effect.provide(NodeFileSystem.layer))
 * }
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export type ClientAuthentication =
  /** A public client, which sends its client id and proves nothing. */
  | { readonly method: "none" }
  /** Sends no client id, because the grant itself names the caller (RFC 7523 §2.1). */
  | { readonly method: "anonymous" }
  | {
      readonly method: "client_secret_basic"
      readonly clientSecret: SecretSource
      /**
       * How client id and secret are written before they are joined and encoded in Base64: `form` as RFC 6749 §2.3.1 wants it,
       * or `raw` for servers that decode only the Base64. The two differ if either contains anything but letters and digits.
       * @default "form"
       */
      readonly encoding?: "form" | "raw" | undefined
    }
  | { readonly method: "client_secret_post"; readonly clientSecret: SecretSource }
  /** Signs an assertion for each request (RFC 7523 §2.2). */
  | {
      readonly method: "private_key_jwt"
      /**
       * An RSA, ECDSA or Ed25519 key that may sign, or an effect that reads the current one. Processes share the token of an
       * ECDSA or RSA-PSS key in a store only if the key is extractable.
       */
      readonly privateKey: CryptoKey | Effect.Effect<CryptoKey | SigningKey, unknown>
      /** The header's `kid`, where the server knows several keys. */
      readonly keyId?: string | undefined
      /**
       * The assertion's `aud`: the server's issuer, its token endpoint, or any other value.
       * @default "issuer", and "token_endpoint" where the issuer contains `{tenantid}`
       */
      readonly audience?: "issuer" | "token_endpoint" | (string & {}) | undefined
      /** Other header members. Entra ID wants `x5t` or `x5t#S256`, the thumbprint of the key's certificate. */
      readonly header?: SigningKey["header"]
    }
  /** Sends an assertion that something else issued and signed: Kubernetes, SPIFFE, GitHub Actions (RFC 7521 §4.2). */
  | {
      readonly method: "client_assertion"
      /** The assertion, or an effect that reads the current one. */
      readonly assertion: SecretSource
      /** @default "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" */
      readonly type?: string | undefined
    }

/**
 * What a client asks for, and at which server.
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
  /** The APIs the token is for, at servers that name them so (Auth0; RFC 8693). */
  readonly audience?: string | ReadonlyArray<string> | undefined
  /** The APIs the token is for (RFC 8707), as absolute URIs. Sent with refreshes too. */
  readonly resource?: string | ReadonlyArray<string> | undefined
  /**
   * Other parameters of the request that asks for a grant. Those that this library sets, such as `grant_type` and `scope`, are
   * refused with `ConfigurationInvalid`.
   */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** Other parameters of refreshes, with the same exceptions; a `scope` is allowed. */
  readonly refreshParameters?: Readonly<Record<string, string>> | undefined
  /**
   * Whether a refresh uses up its refresh token and returns another.
   *
   * - `true`: no refresh token is sent twice, and a response without one leaves none
   * - `false`: the same refresh token is sent again and again, also after a response was lost
   *
   * @default no refresh token is sent twice, and a response without one leaves the old one in force (RFC 6749 §6)
   */
  readonly rotatesRefreshToken?: boolean | undefined
  /** How long access tokens live at a server whose responses don't say it (RFC 6749 §5.1), such as Vimeo and GitHub. */
  readonly lifetime?: Duration.Input | undefined
  /**
   * The algorithm that ID tokens are signed with.
   * @default one that the server's metadata names, and "RS256" if it names none
   */
  readonly idTokenAlgorithm?: string | undefined
  /**
   * Whether errors keep the server's own explanation (`error_description` and `error_uri`), as the `Redacted` members
   * `errorDescription` and `errorUri` of their reason. It can help support staff, and it can repeat a secret. Messages and logs
   * never contain it.
   * @default false
   */
  readonly keepErrorDescription?: boolean | undefined
  /** How far the clocks of this machine and of the server may differ when an ID token is checked. @default 30 seconds */
  readonly clockTolerance?: Duration.Input | undefined
}

/**
 * A grant of any type: its parameters, and how the server's tokens behave.
 *
 * @category options
 * @since 0.1.0
 */
export interface GrantOptions extends Omit<ClientOptions, "parameters"> {
  /** The value of `grant_type`, such as `urn:ietf:params:oauth:grant-type:token-exchange`. */
  readonly grantType: string
  /**
   * Parameters of the grant. A secret is a `Redacted`, or an effect that reads the current one for each request. Those that this
   * library sets, such as `grant_type`, and those that have an option of their own, such as `scope`, are refused.
   */
  readonly parameters?: Readonly<Record<string, string | SecretSource>> | undefined
  /**
   * What a renewal does: refresh, and repeat the grant if that fails or there is no refresh token; or always repeat the grant.
   * @default "refresh-then-login"
   */
  readonly renewWith?: "refresh-then-login" | "login" | undefined
  /**
   * Whether an access token stays valid when the next one is issued. Set it to `false` at servers that end it, as Zoom may: then
   * callers wait for a renewal under way, and are not given a token that may have ended.
   * @default true
   */
  readonly oldTokenSurvivesRefresh?: boolean | undefined
  /**
   * Whether repeated failures lock an account. Then a refused grant is not repeated for five minutes.
   * @default false
   */
  readonly locksAccount?: boolean | undefined
  /**
   * Whose token it is, among those that share a store. Name it if an effect reads a parameter that changes, such as a token
   * that Kubernetes replaces each hour: then a restarted process finds the stored token again.
   * @default identified by all parameters, with the values that effects read at the start
   */
  readonly session?: string | undefined
}

/**
 * Obtains and renews the tokens of a grant: a `TokenProvider` that can also revoke what it got.
 *
 * @category models
 * @since 0.1.0
 */
export interface Provider extends TokenProvider {
  /** Revokes the refresh token, or else the access token (RFC 7009). Does nothing if the server has no endpoint for it. */
  readonly revoke: (token: AccessToken) => Effect.Effect<void, TokenError.RenewalReason>
  /** The refresh token that a session starts with if its store has none. */
  readonly seed?: Effect.Effect<Redacted.Redacted, TokenError.RenewalReason> | undefined
}

/**
 * How a token is renewed and revoked.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenOptions {
  /** @default the defaults of RenewalPolicy.Options; `fatalFor` is five minutes where repeated failures lock the account */
  readonly policy?: RenewalPolicy.Options | undefined
  /**
   * When tokens are revoked (RFC 7009): when somebody signs out (`TokenService.invalidate`), also when the scope closes, or
   * never. Do not revoke on close if other processes share the token. A revocation that fails is logged.
   * @default "sign-out"
   */
  readonly revoke?: "sign-out" | "close" | "never" | undefined
}

/**
 * The claims of an ID token, which say who signed in: `iss`, `sub`, and what the server adds. They were checked as OpenID
 * Connect Core §3.1.3.7 requires for a token that came from the token endpoint over TLS.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claims {
  readonly iss: string
  readonly sub: string
  readonly [claim: string]: unknown
}

/**
 * Options of the authorization code flow, for any server.
 *
 * @category options
 * @since 0.1.0
 */
export interface FlowOptions extends TokenOptions {
  /**
   * Where the server sends the browser back to, exactly as registered there: https, http on loopback, or a scheme that belongs
   * to the application and has a dot in it (RFC 8252 §7.1), without a fragment. Anything else is refused.
   */
  readonly redirectUri: string
  /**
   * Other parameters of the authorization request, such as `{ prompt: "login" }`. Those that this library sets, such as
   * `state`, are refused with `ConfigurationInvalid`.
   */
  readonly authorizationParameters?: Readonly<Record<string, string>> | undefined
  /** Distinguishes people who sign in to one client and share a store, such as by the id of their session. @default "" */
  readonly session?: string | undefined
}

/**
 * Options of a single sign-in.
 *
 * @category options
 * @since 0.1.0
 */
export interface StartOptions {
  /** Where the person was; `finish` returns it. */
  readonly returnTo?: string | undefined
  /** Parameters of this authorization request, such as `{ login_hint: "ada" }`. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
}

/**
 * A finished sign-in.
 *
 * @category models
 * @since 0.1.0
 */
export interface SignedIn {
  /** The claims of the ID token, if the scope contains `openid`. */
  readonly claims: Option.Option<Claims>
  readonly returnTo: Option.Option<string>
}
