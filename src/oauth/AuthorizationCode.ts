/**
 * The authorization code flow (RFC 6749 §4.1): a person signs in on the server's own pages, and the program gets a code
 * that it trades for a token. With PKCE (RFC 7636), `state`, the `nonce` of OpenID Connect, and the check of `iss`
 * (RFC 9207), always.
 *
 * {@link layer} provides a `TokenService`, which serves and renews the token, and {@link AuthorizationCode}, by which
 * somebody signs in: send the person's browser to the URL of `start`, and hand the URL it comes back to, to `finish`.
 * `TokenService.invalidate` signs out. Until somebody signed in, `get` fails with `InteractionRequired`.
 *
 * What a sign-in began with is kept in the `KeyValueStore` of the context, under its `state`; it is good for ten minutes, and
 * `finish` removes it. That of a sign-in which nobody finishes stays for as long as the store keeps it. The store has to be
 * one that belongs to the browser which began it: `sessionStorage` in a page, and on a server one with a prefix that a
 * cookie of that browser says. Else somebody could finish in a browser what another one began.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Code from "./shared/code.ts"
import * as Grants from "./shared/grants.ts"
import type * as OAuth2 from "./OAuth2.ts"
import type { FlowOptions, SignedIn, StartOptions } from "./shared/options.ts"
import type * as TokenError from "../token/TokenError.ts"
import type * as TokenService from "../token/TokenService.ts"

export type { FlowOptions, SignedIn, StartOptions }

/**
 * Which client asks, for what, at which server, and how the flow goes.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends OAuth2.ClientOptions, FlowOptions {}

/**
 * | member | promise |
 * | --- | --- |
 * | `start` | the URL to send the person's browser to |
 * | `finish` | takes the URL that it came back to (a path with its query will do) and trades the code. Whatever was signed in before is replaced |
 *
 * `finish` fails with a `ProviderRejected` whose code is `unknown_state` for a redirect of a sign-in that did not begin here
 * in the last ten minutes, or is finished; `access_denied` where the person refused; `invalid_response` where the redirect is
 * another server's; `invalid_grant` where the code is refused. With a `MalformedResponse` for an ID token that is not for this
 * sign-in. In each case `start` begins another one, and who was signed in before still is.
 *
 * @category services
 * @since 0.1.0
 */
export class AuthorizationCode
  extends /* @__PURE__ */ Context.Service<
    AuthorizationCode,
    {
      readonly start: (options?: StartOptions) => Effect.Effect<URL, TokenError.TokenError>
      readonly finish: (redirect: string | URL) => Effect.Effect<SignedIn, TokenError.TokenError>
    }
  >()("effect-video-auth/AuthorizationCode") {}

/**
 * Provides the token and the flow.
 *
 * **Example** (Signing in and out on a server)
 *
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { KeyValueStore } from "effect/persistence"
 * import { AuthorizationCode, TokenService } from "effect-video-auth"
 *
 * export const SignInLive = AuthorizationCode.layer({
 *   issuer: "https://login.example.com",
 *   clientId: "my-app",
 *   authentication: { method: "client_secret_basic", clientSecret: Config.Redacted("CLIENT_SECRET") },
 *   scope: "openid videos:read",
 *   redirectUri: "https://app.example.com/callback"
 * }).pipe(Layer.provide([FetchHttpClient.layer, KeyValueStore.layerMemory]))
 *
 * export const begin = AuthorizationCode.AuthorizationCode.use((flow) => flow.start({ returnTo: "/videos" }))
 * export const end = (redirect: string) => AuthorizationCode.AuthorizationCode.use((flow) => flow.finish(redirect))
 * export const signOut = Effect.flatMap(TokenService.TokenService, (tokens) => tokens.invalidate)
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<
  TokenService.TokenService | AuthorizationCode,
  TokenError.TokenError,
  HttpClient.HttpClient | KeyValueStore.KeyValueStore
> => Code.layer(AuthorizationCode, Grants.makeClient(options), options)
