/**
 * api.video: an `HttpClient` that logs in, refreshes, recovers, waits for rate limits, retries and fails with typed
 * errors.
 *
 * {@link layer} is all a program needs. It is {@link layerToken}, the token, provided to {@link layerClient}, the client
 * on top of any token and any `HttpClient`; a spec replaces either.
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
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as AccessToken from "./AccessToken.ts"
import type * as ApiVideoError from "./ApiVideoError.ts"
import * as BearerClient from "./BearerClient.ts"
import { checkKey, identityOf, makeExchange, makeServer, withProvider } from "./internal/apiVideo.ts"
import * as ApiVideoClient from "./internal/apiVideoClient.ts"
import { Secret } from "./internal/schema.ts"
import { originOf } from "./internal/origin.ts"
import type * as RenewalPolicy from "./RenewalPolicy.ts"
import * as TokenError from "./TokenError.ts"
import { Observers } from "./TokenEvent.ts"
import type { TokenProvider } from "./TokenProvider.ts"
import * as TokenService from "./TokenService.ts"

/**
 * Everything that a request of the client can fail with: an answer from 400 up, no token to be had, a connection that
 * breaks, and the stores of a shared limiter or breaker.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientError =
  | ApiVideoError.ApiVideoError
  | TokenError.TokenError
  | HttpClientError.HttpClientError
  | RateLimiter.RateLimiterError
  | CircuitBreaker.CircuitBreakerError

/**
 * The authenticated client. Paths are relative to the environment's URL (`api.get("/videos")`); an absolute URL, as in
 * api.video's pagination links, carries the token only if its origin is the same.
 *
 * @category services
 * @since 0.1.0
 */
export class ApiVideo
  extends /* @__PURE__ */ Context.Service<ApiVideo, HttpClient.HttpClient.With<ClientError>>()(
    "effect-video-auth/ApiVideo"
  ) {}

/**
 * Where requests go, and what they say of the program.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions {
  /**
   * `production` is `https://ws.api.video`, `sandbox` is `https://sandbox.api.video`; each has keys of its own.
   * @default "production"
   */
  readonly environment?: "production" | "sandbox" | undefined
  /** Any other server: https, or http on loopback. It wins over `environment`. */
  readonly baseUrl?: string | undefined
  /**
   * Name and version of the program, sent as `AV-Origin-App`. Both or neither; the name has 1 to 50 letters, digits, `-`
   * or `_`, the version is `1`, `1.2` or `1.2.3` with up to three digits each.
   */
  readonly application?: { readonly name?: string | undefined; readonly version?: string | undefined } | undefined
  /** The same for a library built on this one, sent as `AV-Origin-Sdk`. */
  readonly sdk?: { readonly name?: string | undefined; readonly version?: string | undefined } | undefined
}

/**
 * How tokens are got.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenOptions extends ServerOptions {
  /**
   * The API key, or an effect (a `Config`, a vault) that is run when the layer is built and at each login, so that a key
   * can change.
   */
  readonly apiKey: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown>
  readonly policy?: RenewalPolicy.Options | undefined
  /**
   * Log in while the layer is built: a wrong key fails the start, a transient failure is logged and the program starts.
   * @default true
   */
  readonly eager?: boolean | undefined
}

/**
 * How the client behaves around the token.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions extends ServerOptions {
  /**
   * Requests per minute by class. They are where the client begins: it learns the real ones from the answers. `false`
   * switches the limiter off.
   * @default the documented ones: 40 uploads, 40 writes, 100 reads on sandbox; 100, 200, 500 elsewhere
   */
  readonly rateLimits?:
    | { readonly uploads: number; readonly writes: number; readonly reads: number }
    | false
    | undefined
  /** A limiter to share, as one on Redis for a fleet. @default one in memory */
  readonly rateLimiter?: RateLimiter.RateLimiter | undefined
  /** How often a request that got 429 waits and goes again. @default 3 */
  readonly rateLimitRetries?: number | undefined
  /**
   * A circuit breaker to go through: `(client) => HttpClient.withCircuitBreaker(client, { breaker })`. It sees a request after the limiter
   * has let it pass and before it is retried.
   * @default none
   */
  readonly circuitBreaker?: ((client: ApiVideo["Service"]) => ApiVideo["Service"]) | undefined
  /**
   * Delays before a request goes again: idempotent methods after a transient failure (timeouts, 408, 5xx, a broken
   * connection), any method if the connection was never made. `Retry-After` lengthens them; where it asks for more than
   * a minute the error comes at once. `false` switches it off.
   * @default two retries after 200 ms and 400 ms, jittered
   */
  readonly retry?: Schedule.Schedule<unknown, ClientError> | false | undefined
}

/**
 * Everything about the client and its token.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends TokenOptions, ClientOptions {}

/**
 * How long an attempt may wait for the head of its answer, for the requests made within; `Duration.infinity` for ever.
 * Uploads (`POST …/source`, `POST /upload`) wait for ever unless this is set for them.
 *
 * @default 60 seconds
 * @category references
 * @since 0.1.0
 */
export const RequestTimeout: Context.Reference<Duration.Duration | undefined> = /* @__PURE__ */ Context.Reference(
  "effect-video-auth/ApiVideo/RequestTimeout",
  { defaultValue: () => undefined as Duration.Duration | undefined }
)

/**
 * Body of `POST /auth/api-key`: `{"apiKey": "…"}`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuthenticatePayload = /* @__PURE__ */ Schema.Struct({ apiKey: Secret })

/** @since 0.1.0 */
export type AuthenticatePayload = typeof AuthenticatePayload.Type

/**
 * Body of `POST /auth/refresh`: `{"refreshToken": "…"}`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RefreshTokenPayload = /* @__PURE__ */ Schema.Struct({ refreshToken: Secret })

/** @since 0.1.0 */
export type RefreshTokenPayload = typeof RefreshTokenPayload.Type

/** A bare exchange: one attempt, stamped. */
const operation = /* @__PURE__ */ Effect.fnUntraced(function* (
  name: "login" | "refresh",
  payload: Effect.Effect<Readonly<Record<string, string>>, TokenError.ConfigurationInvalid>,
  options: ServerOptions
) {
  const server = yield* makeServer(options)
  const exchange = makeExchange(yield* HttpClient.HttpClient, server)
  const clock = yield* Clock.Clock
  return yield* Effect.suspend(() => {
    const start = clock.monotonicTimeNanosUnsafe()
    return payload.pipe(
      Effect.flatMap((payload) => exchange(name, payload)),
      Effect.flatMap((response) =>
        AccessToken.fromResponse(response, {
          answeredAt: clock.currentTimeMillisUnsafe(),
          elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6,
          generation: 1
        })
      )
    )
  }).pipe(withProvider(server.name))
})

/**
 * `POST /auth/api-key` (`pOSTAuthApiKey`): an API key for a token of one hour and a refresh token. One attempt, nothing
 * kept; {@link layerToken} does the rest.
 *
 * Fails with `InvalidCredentials` for 400 and 401, which api.video's documents both give for a wrong key.
 *
 * @category operations
 * @since 0.1.0
 */
export const authenticate = (
  payload: AuthenticatePayload,
  options: ServerOptions = {}
): Effect.Effect<AccessToken.AccessToken, TokenError.TokenError, HttpClient.HttpClient> =>
  operation(
    "login",
    Effect.map(checkKey(payload.apiKey), (apiKey) => ({ apiKey })),
    options
  )

/**
 * `POST /auth/refresh` (`pOSTAuthRefresh`): a refresh token, which this uses up, for a new pair. One attempt.
 *
 * Fails with `RefreshTokenRejected` for 400 and 401, and with `AmbiguousExchange` where the answer was lost.
 *
 * @category operations
 * @since 0.1.0
 */
export const refresh = (
  payload: RefreshTokenPayload,
  options: ServerOptions = {}
): Effect.Effect<AccessToken.AccessToken, TokenError.TokenError, HttpClient.HttpClient> =>
  operation(
    "refresh",
    Effect.sync(() => ({ refreshToken: Redacted.value(payload.refreshToken) })),
    options
  )

const readKey = (apiKey: TokenOptions["apiKey"]): Effect.Effect<string, TokenError.ConfigurationInvalid> =>
  Redacted.isRedacted(apiKey)
    ? checkKey(apiKey)
    : Effect.flatMap(
        Effect.mapError(
          apiKey,
          () => new TokenError.ConfigurationInvalid({ option: "apiKey", problem: "the effect that reads it failed" })
        ),
        checkKey
      )

/**
 * api.video as a `TokenProvider`, for a `TokenService` of your own making. Its refresh tokens rotate, a login supersedes
 * them, and the API key is at hand where a refresh fails.
 *
 * @category constructors
 * @since 0.1.0
 */
export const provider = Effect.fnUntraced(function* (
  options: TokenOptions
): Effect.fn.Return<TokenProvider, TokenError.TokenError, HttpClient.HttpClient> {
  const server = yield* makeServer(options)
  const exchange = makeExchange(yield* HttpClient.HttpClient, server)
  const key = readKey(options.apiKey)
  return {
    name: server.name,
    identity: Effect.flatMap(key, (key) => identityOf(server, key)),
    login: Effect.flatMap(key, (apiKey) => exchange("login", { apiKey })),
    refresh: (current) =>
      exchange("refresh", {
        refreshToken: current.refreshToken === undefined ? "" : Redacted.value(current.refreshToken)
      }),
    traits: {
      renewWith: "refresh-then-login",
      rotatesRefreshToken: true,
      loginSupersedesRefresh: true,
      oldTokenSurvivesRefresh: true
    }
  }
})

/**
 * Provides the token. A wrong key fails here unless `eager` is off, and so does a key that cannot be one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerToken = (
  options: TokenOptions
): Layer.Layer<TokenService.TokenService, TokenError.TokenError, HttpClient.HttpClient> =>
  Layer.effect(
    TokenService.TokenService,
    Effect.gen(function* () {
      const service = yield* TokenService.make({ provider: yield* provider(options), policy: options.policy })
      if (options.eager === false) return service
      // Effect's logger would be in every bundle; `Observability.layerLogging` tells of the failure through it.
      yield* Effect.catchIf(
        service.get,
        (error) => error.isRetryable,
        ({ message }) => Console.warn(`${message}; started all the same, the next request tries again`)
      )
      return service
    })
  )

/**
 * Provides the client on top of whatever `TokenService` and `HttpClient` there are. The token goes to the environment's
 * origin alone; `POST /upload?token=` goes without one and never renews anything.
 *
 * A 401 that a fresh token does not heal is a `TokenError`: `TokenExpired` if the token was past its time, else
 * `TokenRejected`. Every other answer from 400 up is an `ApiVideoError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (
  options: ClientOptions = {}
): Layer.Layer<ApiVideo, TokenError.TokenError, TokenService.TokenService | HttpClient.HttpClient> =>
  Layer.effect(
    ApiVideo,
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      const clock = yield* Clock.Clock
      const observers = yield* Observers
      return yield* ApiVideoClient.make(options, (server) =>
        BearerClient.make(service, {
          origins: [server.baseUrl],
          anonymous: ApiVideoClient.isDelegatedUpload,
          observers,
          unhealed: ApiVideoClient.unhealed(server, clock)
        })
      )
    })
  )

/**
 * Provides the client, with a token of its own. Options may name values; {@link layerConfig} reads them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<ApiVideo, TokenError.TokenError, HttpClient.HttpClient> =>
  Layer.provide(layerClient(options), layerToken(options))

/**
 * Provides the client with Basic authentication: the API key in every request, no token, nothing to renew. The key goes
 * to the environment's origin alone. A wrong key is `Unauthorized`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerBasic = (
  options: ClientOptions & Pick<TokenOptions, "apiKey">
): Layer.Layer<ApiVideo, TokenError.TokenError, HttpClient.HttpClient> =>
  Layer.effect(
    ApiVideo,
    ApiVideoClient.make(options, (server) => (self) => {
      const origin = originOf(server.baseUrl)
      const key = readKey(options.apiKey).pipe(withProvider(server.name))
      return HttpClient.makeWith(
        Effect.flatMap((request) =>
          originOf(request.url) !== origin || ApiVideoClient.isDelegatedUpload(request)
            ? self.postprocess(Effect.succeed(request))
            : Effect.flatMap(key, (key) =>
                self.postprocess(Effect.succeed(HttpClientRequest.basicAuth(request, key, "")))
              )
        ),
        self.preprocess
      )
    })
  )

/**
 * Provides the client without any credential, for a page in a browser, where a key would be public: uploads by token
 * (`POST /upload?token=`) need none. Everything else is answered by `Unauthorized`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAnonymous = (
  options: ClientOptions = {}
): Layer.Layer<ApiVideo, TokenError.TokenError, HttpClient.HttpClient> =>
  Layer.effect(
    ApiVideo,
    ApiVideoClient.make(options, () => identity)
  )

type Configurable =
  | "environment"
  | "baseUrl"
  | "application"
  | "sdk"
  | "policy"
  | "eager"
  | "rateLimits"
  | "rateLimitRetries"

/**
 * Options of which most may be a `Config`. The key always is one, and is read again at each login.
 *
 * @category options
 * @since 0.1.0
 */
export type ConfigOptions = Omit<Options, Configurable | "apiKey"> & {
  readonly [K in Configurable]?: Options[K] | Config.Config<Options[K]>
} & { readonly apiKey: Config.Config<Redacted.Redacted> }

/**
 * {@link layer}, with options from configuration. A variable that is missing fails with the `ConfigError` that names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: ConfigOptions
): Layer.Layer<ApiVideo, TokenError.TokenError | Config.ConfigError, HttpClient.HttpClient> =>
  Layer.unwrap(
    Effect.map(
      Effect.all({
        environment: read(options.environment),
        baseUrl: read(options.baseUrl),
        application: read(options.application),
        sdk: read(options.sdk),
        policy: read(options.policy),
        eager: read(options.eager),
        rateLimits: read(options.rateLimits),
        rateLimitRetries: read(options.rateLimitRetries),
        // Read once to fail the start where it is missing, then again at each login.
        apiKey: Effect.as(options.apiKey, options.apiKey)
      }),
      (values) => layer({ ...options, ...values })
    )
  )

const read = <A>(value: A | Config.Config<A>): Effect.Effect<A, Config.ConfigError> =>
  Config.isConfig(value) ? value : Effect.succeed(value)

/**
 * The client for specs: no network, no login. `respond` answers each request, which has its token already.
 *
 * **Example** (A spec without a server)
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
export const layerTest = (options: {
  readonly respond: (request: HttpClientRequest.HttpClientRequest) => Response | Effect.Effect<Response>
  /** See `TokenService.layerTest`. @default one token, "test" */
  readonly tokens?: Arr.NonEmptyReadonlyArray<string | AccessToken.AccessToken | TokenError.Reason> | undefined
}): Layer.Layer<ApiVideo | TokenService.TestCalls, TokenError.TokenError> =>
  layerClient({ rateLimits: false }).pipe(
    Layer.provideMerge(TokenService.layerTest(options.tokens ?? ["test"])),
    Layer.provide(
      Layer.succeed(
        HttpClient.HttpClient,
        HttpClient.make((request) =>
          Effect.suspend(() => {
            const answer = options.respond(request)
            return Effect.map(Effect.isEffect(answer) ? answer : Effect.succeed(answer), (response) =>
              HttpClientResponse.fromWeb(request, response)
            )
          })
        )
      )
    )
  )
