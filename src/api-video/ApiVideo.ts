/**
 * The api.video client, which logs in, renews its token, waits for rate limits, retries, and fails with typed
 * errors.
 *
 * Most programs need only {@link layerConfig} or {@link layer}, which is {@link layerToken} provided to {@link layerClient}. A
 * spec replaces either of the two.
 *
 * **Example** (Listing videos)
 *
 * ```ts
 * import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
 * import { Config, Effect } from "effect"
 * import { ApiVideo } from "effect-video-auth"
 *
 * const program = Effect.gen(function*() {
 *   const api = yield* ApiVideo.ApiVideo
 *   const videos = yield* api.get("/videos").pipe(Effect.flatMap((response) => response.json))
 *   yield* Effect.log(videos)
 * })
 *
 * program.pipe(
 *   Effect.provide(ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })),
 *   Effect.provide(NodeHttpClient.layerUndici),
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { mapAttempts, pathOf } from "../platform/shared/http.ts"
import type * as Platform from "../platform/Platform.ts"
import * as Kit from "../platform/shared/kit.ts"
import { originOf } from "../platform/shared/origin.ts"
import { refuseRepeatedBodies } from "../platform/shared/repeat.ts"
import { type Server, withServices } from "../platform/shared/server.ts"
import { withProvider } from "../token/shared/failures.ts"
import type * as TokenError from "../token/TokenError.ts"
import { ApiVideo } from "./ApiVideoClient.ts"
import * as ApiVideoError from "./ApiVideoError.ts"
import * as Authentication from "./internal/authentication.ts"
import type { ServerOptions, TokenOptions } from "./internal/authentication.ts"
import { layerAnswers, type Operations } from "./internal/testing.ts"

export { ApiVideo }

export type { Call, ClientError } from "./ApiVideoClient.ts"

export {
  authenticate,
  AuthenticatePayload,
  provider,
  providers,
  refresh,
  RefreshTokenPayload
} from "./internal/authentication.ts"

export type { Operations, ServerOptions, TokenOptions }

type Class = "uploads" | "writes" | "reads"

/**
 * Options of the client around the token. By default it begins with the documented limits, `rateLimits`: 40 uploads, 40
 * writes and 100 reads a minute on sandbox, and 100, 200 and 500 elsewhere.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions
  extends ServerOptions, Platform.ClientOptions<ApiVideoError.ApiVideoError>, Platform.RateLimits<Class> {}

/**
 * All options of the client and its token.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<R = never> extends TokenOptions<R>, ClientOptions {}

/**
 * Options of {@link layerConfig}: each may be a `Config`.
 *
 * @category options
 * @since 0.1.0
 */
export type ConfigOptions<R = never> = Platform.ConfigOptions<ClientOptions & Platform.TokenOptions, "apiKey", R>

/**
 * Options of {@link layerTokenConfig}: each may be a `Config`.
 *
 * @category options
 * @since 0.1.0
 */
export type TokenConfigOptions<R = never> = Platform.ConfigOptions<ServerOptions & Platform.TokenOptions, "apiKey", R>

const credential: Platform.Credential<ServerOptions, "apiKey"> = {
  name: "api.video",
  secrets: { apiKey: "an API key from https://dashboard.api.video" },
  variables: {
    environment: /* @__PURE__ */ Config.Literals(["production", "sandbox"], "APIVIDEO_ENVIRONMENT"),
    baseUrl: /* @__PURE__ */ Config.String("APIVIDEO_BASE_URL")
  },
  provider: (secrets, options) => Authentication.provider({ ...options, ...secrets })
}

/**
 * Provides the token. A wrong key fails the layer, unless `eager` is `false`. A key that cannot be one always does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerToken = <R = never>(options: TokenOptions<R>) => Kit.layerToken(credential, options)

/**
 * Provides {@link layerToken} with options from configuration, as {@link layerConfig} does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTokenConfig = <R = never>(options: TokenConfigOptions<R>) => Kit.layerTokenConfig(credential, options)

type Request = HttpClientRequest.HttpClientRequest

const isUpload = (request: Request): boolean => request.method === "POST" && /\/(source|upload)$/.test(pathOf(request))

/** The URL of a request with a query. Most requests have no query, and parsing takes time. */
const withQuery = (request: Request): URL | undefined =>
  request.url.includes("?") || request.urlParams.params.length > 0
    ? Option.getOrUndefined(HttpClientRequest.toUrl(request))
    : undefined

/** Whether a request is `POST /upload?token=`: its credential is the upload token, and a 401 is about that token. */
const isDelegatedUpload = (request: Request): boolean =>
  request.method === "POST" &&
  pathOf(request).endsWith("/upload") &&
  withQuery(request)?.searchParams.has("token") === true

/** Errors and spans print a URL. So an upload token in a URL becomes a redacted parameter, which they don't print. */
const withRedactedToken = (request: Request, isOwn: boolean): Request => {
  const url = isOwn || isUpload(request) ? withQuery(request) : undefined
  const token = url?.searchParams.get("token")
  if (!url || !token) return request
  url.searchParams.delete("token")
  return request.pipe(
    HttpClientRequest.setUrl(url),
    HttpClientRequest.setUrlParams({ token: Redacted.make(token, { label: "upload_token" }) })
  )
}

const documentedLimits = {
  sandbox: { uploads: 40, writes: 40, reads: 100 },
  production: { uploads: 100, writes: 200, reads: 500 }
} as const

const api: Platform.Api<ApiVideo, ApiVideoError.ApiVideoError, ServerOptions, Class> = {
  service: ApiVideo,
  server: Authentication.makeServer,
  errors: ApiVideoError.errors,
  limits: {
    perMinute: ({ environment = "production" }) => documentedLimits[environment],
    classOf: (request) =>
      isUpload(request) ? "uploads" : request.method === "GET" || request.method === "HEAD" ? "reads" : "writes",
    resetAfter: "x-ratelimit-retry-after"
  },
  isUpload,
  isAnonymous: isDelegatedUpload,
  slugOf: (body) => Authentication.readProblem(401, body).type,
  prepare: withRedactedToken
}

/**
 * The key of the client's own `TokenService`, which {@link layer} and {@link layerClient} provide beside the client. Layers
 * of several platforms merge, because each has its own key.
 *
 * **Example** (Checking that the program is signed in)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ApiVideo } from "effect-video-auth"
 *
 * export const isReady = Effect.gen(function*() {
 *   const tokens = yield* ApiVideo.Tokens
 *   return (yield* tokens.state).phase === "valid"
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Tokens = /* @__PURE__ */ Kit.tokensOf(ApiVideo)

/** @since 0.1.0 */
export type Tokens = Platform.Tokens<ApiVideo>

/**
 * Provides the client on the `TokenService` and `HttpClient` of its context. The token goes only to the environment's origin.
 * `POST /upload?token=` goes without the token, and its 401 never causes a renewal.
 *
 * A 401 to a new token is a `TokenError`: `TokenExpired` if the token was past its time, and `TokenRejected` otherwise. Every
 * other response with a status of 400 or more is an `ApiVideoError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (options: ClientOptions = {}) => Kit.layerClient(api, options)

/**
 * Provides the client with its own token, and that token's service as {@link Tokens}. Its options are values;
 * {@link layerConfig} reads them from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R = never>(options: Options<R>) => Kit.layer(api, credential, options)

/**
 * The clients of many keys, for a program that serves many customers. {@link clientFor} returns one of them.
 *
 * @category services
 * @since 0.1.0
 */
export class Keys
  extends /* @__PURE__ */ Context.Service<
    Keys,
    { readonly client: (apiKey: Redacted.Redacted) => Effect.Effect<ApiVideo["Service"], TokenError.TokenError> }
  >()("effect-video-auth/ApiVideo/Keys") {}

/**
 * Returns the client of one of many keys. This makes no exchange and is cheap: ask for the client with each request that the
 * program serves, and don't keep it. Each key has its own token and rate limits.
 *
 * **Example** (Counting the videos of a customer)
 *
 * ```ts
 * import { Effect, type Redacted, Schema } from "effect"
 * import { HttpClientResponse } from "effect/http"
 * import { ApiVideo } from "effect-video-auth"
 *
 * const Page = Schema.Struct({ pagination: Schema.Struct({ itemsTotal: Schema.Int }) })
 *
 * export const countVideos = (apiKey: Redacted.Redacted) =>
 *   Effect.gen(function*() {
 *     const api = yield* ApiVideo.clientFor(apiKey)
 *     const page = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Page))
 *     return page.pagination.itemsTotal
 *   })
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const clientFor = (apiKey: Redacted.Redacted) => Keys.use((keys) => keys.client(apiKey))

/**
 * Provides the clients of many keys, with their tokens in a `TokenServiceMap`. A wrong key fails the requests that use it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMap = (options: ClientOptions = {}) =>
  Layer.effect(
    Keys,
    Effect.gen(function* () {
      const clientOf = yield* Kit.makeClients(api, options)
      const providerOf = yield* Authentication.providers(options)
      const client = Effect.fnUntraced(function* (apiKey: Redacted.Redacted) {
        const provider = providerOf(apiKey)
        const identity = yield* provider.identity.pipe(withProvider(provider.name))
        // Each account has its own limits.
        return yield* clientOf(Effect.succeed({ ...provider, identity: Effect.succeed(identity) }), identity)
      })
      return Keys.of({ client })
    })
  )

/**
 * Options of {@link layerBasic}.
 *
 * @category options
 * @since 0.1.0
 */
export interface BasicOptions<R = never> extends ClientOptions, Pick<TokenOptions<R>, "apiKey"> {}

/**
 * Provides the client with Basic authentication: every request carries the API key, and there is no token to renew. The key
 * goes only to the environment's origin. If it is an effect (a `Config`, a vault), the library runs it for each request, so the
 * key can change.
 *
 * A key that is malformed, or missing from configuration, fails the layer with `ConfigurationInvalid`. A wrong key fails a
 * request with `Unauthorized`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerBasic = <R = never>(
  options: BasicOptions<R>
): Layer.Layer<ApiVideo, TokenError.TokenError, HttpClient.HttpClient | R> =>
  Layer.effect(
    ApiVideo,
    Kit.makeClient(
      api,
      options,
      Effect.fnUntraced(function* (server: Server) {
        const context = yield* Effect.context<R>()
        const key = Effect.provide(Authentication.readKey(withServices(options.apiKey, context)), context).pipe(
          withProvider(server.name)
        )
        // A vault that is down must not stop the start.
        if (Redacted.isRedacted(options.apiKey) || Config.isConfig(options.apiKey)) yield* key
        const origin = originOf(server.baseUrl)
        const withKey = (request: Request) =>
          originOf(request.url) !== origin || isDelegatedUpload(request)
            ? Effect.succeed(request)
            : Effect.map(key, (key) => HttpClientRequest.basicAuth(request, key, ""))
        return (client) => client.pipe(refuseRepeatedBodies(server.name), mapAttempts(withKey))
      })
    )
  )

/**
 * Provides the client without a credential, for a page in a browser, where a key would be public. Uploads with an upload
 * token (`POST /upload?token=`) need no other credential. All other requests fail with `Unauthorized`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAnonymous = (options: ClientOptions = {}) =>
  Layer.effect(
    ApiVideo,
    Kit.makeClient(api, options, (server) => Effect.succeed(refuseRepeatedBodies(server.name)))
  )

/**
 * Provides {@link layer} with options from configuration. With neither `environment` nor `baseUrl` in the code, it reads the
 * variables `APIVIDEO_ENVIRONMENT` (`production` or `sandbox`) and `APIVIDEO_BASE_URL` if they are set.
 *
 * Fails with `ConfigurationInvalid` if a variable is missing or has a wrong value; the message names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <R = never>(options: ConfigOptions<R>) => Kit.layerConfig(api, credential, options)

/**
 * What a spec answers, in place of api.video.
 *
 * @category options
 * @since 0.1.0
 */
export interface TestOptions extends Platform.TestOptions {
  /**
   * Answers of typed operations by name, as functions of the same arguments. Each gives the operation's result, or an
   * effect of it. Input is checked before, as always. With `respond` or `routes`, operations that are not answered here are
   * requested.
   */
  readonly operations?: Operations | undefined
}

/**
 * Provides a client for specs: no network, no login. A call that the spec doesn't answer dies, and the defect names it.
 *
 * **Example** (A spec of a program with typed operations)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ApiVideo, Videos } from "effect-video-auth/api-video"
 *
 * export const spec = Videos.get("vi1").pipe(
 *   Effect.map(({ title }) => title),
 *   Effect.provide(
 *     ApiVideo.layerTest({ operations: { "Videos.get": (videoId) => ({ videoId, title: "Maths video" }) } })
 *   )
 * )
 * ```
 *
 * **Example** (A spec of a program with requests)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ApiVideo } from "effect-video-auth"
 *
 * export const spec = Effect.gen(function*() {
 *   const api = yield* ApiVideo.ApiVideo
 *   const response = yield* api.get("/videos")
 *   return yield* response.json
 * }).pipe(Effect.provide(ApiVideo.layerTest({ respond: () => Response.json({ data: [] }) })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTest = ({ operations = {}, ...options }: TestOptions) =>
  layerAnswers(operations, options.respond !== undefined || options.routes !== undefined).pipe(
    Layer.provideMerge(Kit.layerTest(api, options))
  )
