/**
 * The client of movingimage VideoManager Pro, which logs in, renews its token, waits for the rate limit,
 * retries, and fails with typed errors.
 *
 * Most programs need only {@link layerConfig} or {@link layer}, which is {@link layerToken} provided to {@link layerClient}. A
 * spec replaces either of the two. Tokens come from the JSON login (`POST /v1/vms/auth/login`). Each is valid for one
 * VideoManager: the one you configure, or else the one that movingimage chooses.
 *
 * **Example** (Listing videos)
 *
 * ```ts
 * import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
 * import { Config, Effect } from "effect"
 * import { MovingImage } from "effect-video-auth"
 *
 * const program = Effect.gen(function*() {
 *   const api = yield* MovingImage.MovingImage
 *   const videos = yield* api.get("/v1/vms/42/videos").pipe(Effect.flatMap((response) => response.json))
 *   yield* Effect.log(videos)
 * })
 *
 * program.pipe(
 *   Effect.provide(
 *     MovingImage.layerConfig({
 *       username: Config.Redacted("MOVINGIMAGE_USERNAME"),
 *       password: Config.Redacted("MOVINGIMAGE_PASSWORD"),
 *       videoManager: 42
 *     })
 *   ),
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
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import { pathOf } from "../platform/shared/http.ts"
import type * as Platform from "../platform/Platform.ts"
import * as Kit from "../platform/shared/kit.ts"
import { logIn } from "../platform/shared/layers.ts"
import { withServices } from "../platform/shared/server.ts"
import { withProvider } from "../token/shared/failures.ts"
import * as DerivingSession from "../token/shared/session.ts"
import type * as TokenError from "../token/TokenError.ts"
import type { TokenServiceMap } from "../token/TokenServiceMap.ts"
import * as Authentication from "./internal/authentication.ts"
import type { OwnOptions, SecretNames, ServerOptions, TokenOptions } from "./internal/authentication.ts"
import { videoManagersIn, listIn, type VideoManager } from "./internal/videoManagers.ts"
import * as MovingImageError from "./MovingImageError.ts"

export {
  authenticate,
  defaultPolicy,
  LoginPayload,
  provider,
  refresh,
  RefreshPayload
} from "./internal/authentication.ts"

export { VideoManager, VideoManagers, videoManagersOf } from "./internal/videoManagers.ts"

export type { RefreshOptions } from "./internal/authentication.ts"

export type { ServerOptions, TokenOptions }

/**
 * The errors of a request: a redirect or a response with a status of 400 or more, no token, or no response.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientError = Platform.ClientError<MovingImageError.MovingImageError>

/**
 * The authenticated client. Paths are relative to the base URL, as in movingimage's documents (`api.get("/v1/vms")`). An
 * absolute URL carries the token only if its origin is the same. So an upload URL (`https://asset-in.video-cdn.net/…`) carries
 * no token, and no error or span of the request contains the `__token__` in it.
 *
 * A DELETE that gets a 404 succeeds with that status, because the documents list 404 as the success of a DELETE. It looks the
 * same if the resource never existed.
 *
 * @category services
 * @since 0.1.0
 */
export class MovingImage
  extends /* @__PURE__ */ Context.Service<MovingImage, Platform.Client<MovingImageError.MovingImageError>>()(
    "effect-video-auth/MovingImage"
  ) {}

/**
 * Options of the client around the token. By default it begins with the documented limit, 100 `requests` a minute. Requests to
 * other origins don't count. After a 429 that doesn't say how long to wait, the client waits a minute.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions
  extends ServerOptions, Platform.ClientOptions<MovingImageError.MovingImageError>, Platform.RateLimits<"requests"> {}

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
export type ConfigOptions<R = never> = Platform.ConfigOptions<
  OwnOptions & ClientOptions & Platform.TokenOptions,
  SecretNames,
  R
>

/**
 * Options of {@link layerTokenConfig}: each may be a `Config`.
 *
 * @category options
 * @since 0.1.0
 */
export type TokenConfigOptions<R = never> = Platform.ConfigOptions<OwnOptions & Platform.TokenOptions, SecretNames, R>

const credential: Platform.Credential<OwnOptions, SecretNames> = {
  name: "movingimage",
  secrets: { username: "the name of a VideoManager Pro user", password: "that user's password" },
  variables: { baseUrl: /* @__PURE__ */ Config.String("MOVINGIMAGE_BASE_URL") },
  provider: (secrets, options) => Authentication.provider({ ...options, ...secrets })
}

/**
 * Provides the token. A wrong password, or a VideoManager that the user can't access, fails the layer, unless `eager` is
 * `false`. A credential that cannot be one always does.
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

/** Whether the body contains a username and a password: a 401 is then about these. */
const isAboutPassword = (request: HttpClientRequest.HttpClientRequest): boolean =>
  request.method === "POST" && pathOf(request).includes("/v1/vms/auth/")

const api: Platform.Api<MovingImage, MovingImageError.MovingImageError, ServerOptions, "requests"> = {
  service: MovingImage,
  server: Authentication.makeServer,
  errors: MovingImageError.errors,
  limits: { perMinute: { requests: 100 }, classOf: () => "requests" },
  isUpload: ({ method }, isOwn) => !isOwn && (method === "POST" || method === "PUT"),
  isAnonymous: isAboutPassword,
  isGood: ({ request, status }, isOwn) => status === 404 && request.method === "DELETE" && isOwn
}

/**
 * The key of the client's own `TokenService`, which {@link layer} and {@link layerClient} provide beside the client. Layers
 * of several platforms merge, because each has its own key.
 *
 * @category services
 * @since 0.1.0
 */
export const Tokens = /* @__PURE__ */ Kit.tokensOf(MovingImage)

/** @since 0.1.0 */
export type Tokens = Platform.Tokens<MovingImage>

/**
 * Provides the client on the `TokenService` and `HttpClient` of its context. The token goes only to the base URL's origin.
 * `POST /v1/vms/auth/…`, which has a password in its body, goes without the token, and its 401 never causes a renewal.
 *
 * A 401 to a new token is a `TokenError`: `TokenExpired` if the token was past its time, and `TokenRejected` otherwise. Every
 * other response with a status of 400 or more is a `MovingImageError`, except a 404 to a DELETE.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (options: ClientOptions = {}) => Kit.layerClient(api, options)

/**
 * A session that uses one login for several VideoManagers. {@link clientFor} returns the client of one of them.
 *
 * @category services
 * @since 0.1.0
 */
export class Session
  extends /* @__PURE__ */ Context.Service<
    Session,
    {
      readonly client: (videoManager: number) => Effect.Effect<MovingImage["Service"], TokenError.TokenError>
      /** The VideoManagers that the user can access, from the latest exchange. */
      readonly videoManagers: Effect.Effect<ReadonlyArray<VideoManager>, TokenError.TokenError>
      /** Signs out: forgets the credential. Access tokens that were derived from it are used until they expire. */
      readonly invalidate: Effect.Effect<void, TokenError.TokenError>
    }
  >()("effect-video-auth/MovingImage/Session") {}

/**
 * Returns the client of one of several VideoManagers. This makes no exchange and is cheap. If the user can't access the
 * VideoManager, requests fail with a `ProviderRejected` that lists the ones they can.
 *
 * **Example** (Copying from one VideoManager to another)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MovingImage } from "effect-video-auth"
 *
 * export const counts = Effect.gen(function*() {
 *   const [sales, training] = yield* Effect.all([MovingImage.clientFor(101), MovingImage.clientFor(102)])
 *   return yield* Effect.all([sales.get("/v1/vms/101/videos"), training.get("/v1/vms/102/videos")])
 * })
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const clientFor = (videoManager: number) => Session.use((session) => session.client(videoManager))

/**
 * Options of {@link layerMap}: one user, for any of the user's VideoManagers.
 *
 * @category options
 * @since 0.1.0
 */
export interface MapOptions<R = never> extends Omit<Options<R>, "videoManager"> {}

/**
 * Provides a session for several VideoManagers. It owns the refresh token and derives a token for each VideoManager from it.
 * It makes these exchanges one after the other, because each may use up the refresh token of the one before. The tokens are
 * in a `TokenServiceMap`. All clients share the account's rate limit.
 *
 * A wrong password fails the layer, unless `eager` is `false`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMap = <R = never>(
  options: MapOptions<R>
): Layer.Layer<Session, TokenError.TokenError, TokenServiceMap | HttpClient.HttpClient | R> =>
  Layer.effect(
    Session,
    Effect.gen(function* () {
      const server = yield* Authentication.makeServer(options)
      // All VideoManagers share the limit of the account.
      const clientOf = yield* Kit.makeClients(api, options)
      const named = withProvider(server.name)
      const exchanges = yield* Authentication.makeExchanges(server)
      // The exchanges run in the TokenServiceMap, which has neither this layer's services nor its configuration.
      const context = yield* Effect.context<R>()
      const credentials = Authentication.readCredentials({
        username: withServices(options.username, context),
        password: withServices(options.password, context)
      }).pipe(Effect.provide(context))
      const providerFor = (videoManager: number | undefined) =>
        Authentication.makeProvider(server, exchanges, credentials, videoManager)
      const { identity, traits } = providerFor(undefined)
      const name = yield* named(identity)
      const session = yield* named(
        DerivingSession.make({
          identity: name,
          policy: options.policy ?? {},
          providerFor,
          subjectOf: (token) => videoManagersIn(token)?.validForVideoManager,
          check: (id, token) =>
            Authentication.isListed(id, listIn(token))
              ? Effect.void
              : Effect.fail(Authentication.unknownVideoManager(id, listIn(token)))
        })
      )
      const videoManagers = named(Effect.map(session.latest, listIn))
      if (options.eager !== false) {
        yield* logIn({ provider: server.name, login: videoManagers, policy: options.policy })
      }

      const client = Effect.fnUntraced(function* (videoManager: number) {
        const id = yield* named(Authentication.checkId(videoManager))
        return yield* clientOf(
          Effect.succeed({
            name: server.name,
            // Not the identity of a client that logs in for this VideoManager alone: that one keeps a refresh token of its own.
            identity: Effect.succeed(`${name}:session:${id}`),
            login: session.derive(id),
            traits: { ...traits, renewWith: "login" }
          })
        )
      })
      return Session.of({ client, videoManagers, invalidate: named(session.clear) })
    })
  )

/**
 * Provides the client with its own token, and that token's service as {@link Tokens}. Its options are values;
 * {@link layerConfig} reads them from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R = never>(options: Options<R>) => Kit.layer(api, credential, options)

/**
 * Provides {@link layer} with options from configuration. Without a `baseUrl` in the code, it reads the variable
 * `MOVINGIMAGE_BASE_URL` if that is set.
 *
 * Fails with `ConfigurationInvalid` if a variable is missing or has a wrong value; the message names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <R = never>(options: ConfigOptions<R>) => Kit.layerConfig(api, credential, options)

/**
 * Provides the client for specs, without a network and a login. `respond` gets each request with its token and returns the
 * response.
 *
 * **Example** (A spec without a server)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MovingImage } from "effect-video-auth"
 *
 * export const spec = Effect.gen(function*() {
 *   const api = yield* MovingImage.MovingImage
 *   const response = yield* api.get("/v1/vms/42/videos")
 *   return yield* response.json
 * }).pipe(Effect.provide(MovingImage.layerTest({ respond: () => Response.json({ videos: [] }) })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTest = (options: Platform.TestOptions) => Kit.layerTest(api, options)
