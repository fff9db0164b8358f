/**
 * OpenID Connect for movingimage VideoManager Pro, in the three scenarios of its documents. A token is valid for all
 * VideoManagers of the user. `MovingImage.layerClient` on top of these layers provides the client.
 *
 * | scenario | grant | layer |
 * | --- | --- | --- |
 * | anonymous users: the program has one account, and its users need none | resource owner password | {@link layer}, {@link layerAnonymousUsers} |
 * | browser application: the user of the page signs in | authorization code, public client | {@link layerBrowserApplication} |
 * | server-side application: the user of the site signs in | authorization code, confidential client | {@link layerServerApplication} |
 *
 * The library finds the login service through webfinger at the API's host, and looks again when the HTTP headers of that
 * response say so.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as AuthorizationCode from "../oauth/AuthorizationCode.ts"
import { makeClientOf } from "../oauth/shared/client.ts"
import * as CodeFlow from "../oauth/shared/codeFlow.ts"
import { cachedDocument, discover, getDocument } from "../oauth/shared/discovery.ts"
import * as Grants from "../oauth/shared/grants.ts"
import type { Client, RequestedGrant } from "../oauth/shared/requests.ts"
import { locate, type Server } from "../platform/shared/server.ts"
import { invalid, withProvider } from "../token/shared/failures.ts"
import * as MovingImage from "./MovingImage.ts"
import * as OAuth2 from "../oauth/OAuth2.ts"
import type * as TokenError from "../token/TokenError.ts"

/**
 * The URL of the API, and the hosts of its login service.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions extends MovingImage.ServerOptions {
  /**
   * Hosts, with their ports, on which the login service may be. The library follows webfinger nowhere else.
   * @default "login.movingimage.com", and the custom domain of a VideoManager that has one
   */
  readonly issuerHosts?: ReadonlyArray<string> | undefined
}

/**
 * Options of a client of the login service.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions
  extends ServerOptions, Pick<OAuth2.ClientOptions, "scope" | "rotatesRefreshToken" | "refreshParameters"> {
  /** Scopes, separated by spaces or in a list. @default "openid" */
  readonly scope?: string | ReadonlyArray<string> | undefined
}

/**
 * Options of {@link anonymousUsers}: the account of the program.
 *
 * @category options
 * @since 0.1.0
 */
export interface AnonymousUsersOptions extends ClientOptions {
  /** The account, or an effect (a `Config`, a vault) that the library runs at each login. */
  readonly username: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
  readonly password: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
  /** @default "anonymous", as documented */
  readonly clientId?: string | undefined
}

/**
 * Options of {@link layerBrowserApplication}: a public client. It has no secret, because everyone who opens the page would
 * have it.
 *
 * @category options
 * @since 0.1.0
 */
export interface BrowserApplicationOptions extends ClientOptions, AuthorizationCode.FlowOptions {
  readonly clientId: string
  readonly clientSecret?: never
}

/**
 * Options of {@link layerServerApplication}: a confidential client.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerApplicationOptions extends ClientOptions, AuthorizationCode.FlowOptions {
  readonly clientId: string
  /** The secret, or an effect that the library runs at each exchange. */
  readonly clientSecret: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
}

const issuerRel = "http://openid.net/specs/connect/1.0/issuer"

/** The members of RFC 7033 §4.4 that the library reads. */
const decodeLinks = Schema.decodeUnknownOption(
  Schema.Struct({
    links: Schema.Array(Schema.Struct({ rel: Schema.String, href: Schema.optional(Schema.String) }))
  })
)

/** The issuer in a webfinger document. movingimage links to the issuer's metadata instead of the issuer (Discovery §2). */
const issuerIn = (document: object): Option.Option<string> =>
  Option.flatMap(decodeLinks(document), ({ links }) =>
    Option.map(Option.fromUndefinedOr(links.find(({ rel }) => rel === issuerRel)?.href), (href) =>
      href.replace(/\/\.well-known\/openid-configuration\/?$/, "")
    )
  )

const documented = "login.movingimage.com"
const defaultBaseUrl = "https://api.video-cdn.net"

/** Makes a client of the login service that the API's host names. */
const makeClient = (
  options: ServerOptions,
  grant: RequestedGrant
): Effect.Effect<Client, TokenError.TokenError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const { baseUrl, host } = yield* locate(options.baseUrl ?? defaultBaseUrl)
    const hosts = options.issuerHosts ?? (baseUrl === defaultBaseUrl ? [documented] : [host, documented])
    const server: Server = { platform: "movingimage", name: `movingimage ${host}`, headers: {}, baseUrl, host }
    const httpClient = yield* HttpClient.HttpClient
    const webfinger = new URL("/.well-known/webfinger", baseUrl)
    webfinger.searchParams.set("resource", `${baseUrl}/v1/`)
    const metadata = yield* cachedDocument(
      Effect.gen(function* () {
        const found = yield* getDocument(httpClient, webfinger.href, undefined, "its webfinger document")
        const issuer = issuerIn(found.value)
        if (Option.isNone(issuer)) return yield* invalid("baseUrl", "its webfinger document names no issuer")
        const { lifetime, value } = yield* discover(httpClient, { issuer: issuer.value, issuerHosts: hosts })
        return { value, lifetime: Duration.min(lifetime, found.lifetime) }
      })
    )
    return yield* makeClientOf({ server, httpClient, endpoints: undefined, hosts, tenants: undefined, metadata }, grant)
  }).pipe(withProvider("movingimage"))

/** The options of a grant. */
const grantOf = ({ refreshParameters, rotatesRefreshToken, scope = "openid" }: ClientOptions) => ({
  scope,
  refreshParameters,
  rotatesRefreshToken
})

/**
 * Makes a `TokenProvider` for *anonymous users*: the password grant of the client `anonymous`, with `response_type=token`, as
 * in the documents. After a refused password the schedule stops.
 *
 * @category constructors
 * @since 0.1.0
 */
export const anonymousUsers = (options: AnonymousUsersOptions) =>
  Effect.map(
    makeClient(options, {
      ...grantOf(options),
      clientId: options.clientId ?? "anonymous",
      parameters: { response_type: "token" }
    }),
    (client) => Grants.password(client, options)
  )

/**
 * Options of {@link layerAnonymousUsers}.
 *
 * @category options
 * @since 0.1.0
 */
export interface AnonymousUsersTokenOptions extends AnonymousUsersOptions, OAuth2.LayerOptions {}

/**
 * Options of {@link layer}: the client and its token.
 *
 * @category options
 * @since 0.1.0
 */
export interface AnonymousUsersClientOptions extends AnonymousUsersTokenOptions, MovingImage.ClientOptions {}

/**
 * Provides the token of {@link anonymousUsers}. A refused password fails the layer, unless `eager` is `false`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAnonymousUsers = (options: AnonymousUsersTokenOptions) =>
  OAuth2.layerToken(anonymousUsers(options), options)

/**
 * Provides the client for *anonymous users*.
 *
 * **Example** (Listing the VideoManagers of the program's account)
 *
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { MovingImage } from "effect-video-auth"
 * import { MovingImageOpenId } from "effect-video-auth/moving-image"
 *
 * const MovingImageLive = MovingImageOpenId.layer({
 *   username: Config.Redacted("MOVINGIMAGE_USERNAME"),
 *   password: Config.Redacted("MOVINGIMAGE_PASSWORD")
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * export const main = MovingImage.MovingImage.use((api) => api.get("/v1/vms")).pipe(
 *   Effect.flatMap((response) => response.json),
 *   Effect.provide(MovingImageLive)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: AnonymousUsersClientOptions) =>
  Layer.provide(MovingImage.layerClient(options), layerAnonymousUsers(options))

/** Adds the response mode of the documents' authorization request. */
const asQuery = (options: AuthorizationCode.FlowOptions): AuthorizationCode.FlowOptions => ({
  ...options,
  authorizationParameters: { response_mode: "query", ...options.authorizationParameters }
})

/**
 * Provides the token of a *browser application*, and the flow with which the user of the page signs in. The redirect comes back
 * to the page, which passes `location.href` to `finish`. The `KeyValueStore` keeps the beginning of a sign-in:
 * `KeyValueStore.layerStorage(() => sessionStorage)`.
 *
 * Refuses a client secret with `ConfigurationInvalid`, because everything in a page is public.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerBrowserApplication = (options: BrowserApplicationOptions) =>
  CodeFlow.layer(
    AuthorizationCode.AuthorizationCode,
    // Whatever the types say: a program in JavaScript, or options from elsewhere, may have one.
    "clientSecret" in options && options.clientSecret !== undefined
      ? withProvider("movingimage")(
          Effect.fail(
            invalid(
              "clientSecret",
              "everyone who opens the page would have it. Register the application as a public client"
            )
          )
        )
      : makeClient(options, { ...grantOf(options), clientId: options.clientId }),
    asQuery(options)
  )

/**
 * Provides the token of a *server-side application*, and the flow with which the user of the site signs in. The server
 * exchanges the code. For many people at once, build a layer for each: `examples/code-flow.ts`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerServerApplication = (options: ServerApplicationOptions) => {
  const { clientId, clientSecret } = options
  const authentication = { method: "client_secret_basic", clientSecret } as const
  return CodeFlow.layer(
    AuthorizationCode.AuthorizationCode,
    makeClient(options, { ...grantOf(options), clientId, authentication }),
    asQuery(options)
  )
}
