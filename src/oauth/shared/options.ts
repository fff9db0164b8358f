/** The options and models of OAuth 2 clients, which `OAuth2` publishes. */
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

/**
 * How the flow goes, whichever the server.
 *
 * @category options
 * @since 0.1.0
 */
export interface FlowOptions extends TokenOptions {
  /** Where the server sends the browser back to, as it is registered there: an absolute URL. */
  readonly redirectUri: string
  /** What else the authorization endpoint is to be told, as in `{ prompt: "login" }`. */
  readonly authorizationParameters?: Readonly<Record<string, string>> | undefined
  /** Tells apart the people who sign in to one client and share a store, as by the id of their session. @default "" */
  readonly session?: string | undefined
}

/**
 * What one sign-in begins with.
 *
 * @category options
 * @since 0.1.0
 */
export interface StartOptions {
  /** Where the person was; `finish` gives it back. */
  readonly returnTo?: string | undefined
  /** What the authorization endpoint is to be told this time, as in `{ login_hint: "ada" }`. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
}

/**
 * Somebody who signed in.
 *
 * @category models
 * @since 0.1.0
 */
export interface SignedIn {
  /** Who it is, where the scope has `openid`. */
  readonly claims: Option.Option<Claims>
  readonly returnTo: Option.Option<string>
}
