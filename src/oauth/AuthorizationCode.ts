/**
 * The authorization code flow (RFC 6749 §4.1): a person signs in on the server's own pages, and the program receives a code,
 * which it exchanges for a token. It always uses PKCE (RFC 7636) and `state`, checks `iss` (RFC 9207), and checks the `nonce`
 * of OpenID Connect.
 *
 * {@link layer} provides a `TokenService`, which serves and renews the token, and {@link AuthorizationCode}, which signs people
 * in: send the person's browser to the URL that `start` returns, and pass the URL it comes back to, to `finish`.
 * `TokenService.invalidate` signs out. Before anybody has signed in, `get` fails with `InteractionRequired`.
 *
 * `start` stores the sign-in in the `KeyValueStore` of the context under its `state`, and `finish` removes it. It expires after
 * ten minutes; a sign-in that nobody finishes stays for as long as the store keeps it. The store must belong to the browser
 * that started the sign-in: `sessionStorage` in a page, and on a server one whose prefix comes from a cookie of that browser.
 * Otherwise somebody could finish in one browser what another browser started.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as Option from "effect/Option"
import { makeClient } from "./shared/client.ts"
import * as CodeFlow from "./shared/codeFlow.ts"
import type { Claims, ClientOptions, FlowOptions, SignedIn, StartOptions } from "./shared/options.ts"
import type * as TokenError from "../token/TokenError.ts"
import type * as TokenService from "../token/TokenService.ts"

export type { FlowOptions, SignedIn, StartOptions }

/**
 * Options of the client and of the flow.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ClientOptions, FlowOptions {}

/**
 * | member | promise |
 * | --- | --- |
 * | `start` | returns the URL to send the person's browser to |
 * | `finish` | takes the URL that the browser came back to (a path with its query is enough) and exchanges the code. It replaces whoever was signed in before |
 * | `claims` | returns the claims of the latest ID token, also after a restart with a durable `TokenStore`; `None` if the scope has no `openid`. Fails as `TokenService.get` does |
 *
 * `finish` fails with a `ProviderRejected` whose code is
 *
 * - `unknown_state`: the sign-in did not start here in the last ten minutes, or is finished
 * - `access_denied`: the person refused
 * - `invalid_response`: the redirect comes from another server
 * - `invalid_grant`: the server refused the code
 *
 * and with `MalformedResponse` for an ID token that is not for this sign-in. In each case whoever was signed in before still
 * is, and `start` begins another sign-in.
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
      readonly claims: Effect.Effect<Option.Option<Claims>, TokenError.TokenError>
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
> => CodeFlow.layer(AuthorizationCode, makeClient(options), options)
