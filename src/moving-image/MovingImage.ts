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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as AccessToken from "../token/AccessToken.ts"
import { makeExchange, type Refusal, exchangeOnce, wrongServer } from "../platform/shared/authentication.ts"
import { pathOf } from "../platform/shared/http.ts"
import type * as Platform from "../platform/Platform.ts"
import * as Kit from "../platform/shared/kit.ts"
import { logIn } from "../platform/shared/layers.ts"
import { hashCredential } from "../platform/shared/credentialHash.ts"
import { Secret } from "../token/shared/schema.ts"
import { identityOf, readSecret, type Server, serverAt, withServices } from "../platform/shared/server.ts"
import { invalid, withProvider } from "../token/shared/failures.ts"
import * as DerivingSession from "../token/shared/session.ts"
import { claimedLifetime, decodeWire, headerSafe, nullish } from "../token/shared/wire.ts"
import * as MovingImageError from "./MovingImageError.ts"
import type * as RenewalPolicy from "../token/RenewalPolicy.ts"
import * as TokenError from "../token/TokenError.ts"
import type { TokenProvider } from "../token/TokenProvider.ts"
import type { TokenServiceMap } from "../token/TokenServiceMap.ts"

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
 * Where requests go.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions {
  /**
   * URL of the API without `/v1`: https, or http on loopback. A VideoManager on a custom domain has its own.
   * @default "https://api.video-cdn.net"
   */
  readonly baseUrl?: string | undefined
}

/** The options that are no secrets. */
interface OwnOptions extends ServerOptions {
  /**
   * Id of the VideoManager that the token is for. If the login returns a token for another one, a second exchange follows.
   * @default the one that movingimage chooses at the login
   */
  readonly videoManager?: number | undefined
}

/**
 * Options of the token. `policy.fatalFor` is five minutes here unless you set it: see {@link defaultPolicy}.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenOptions<R = never> extends OwnOptions, Platform.TokenOptions {
  /** The user, or an effect (a `Config`, a vault) that the library runs when the layer is built and at each login. */
  readonly username: Platform.Secret<R>
  /** The user's password, or an effect that the library runs at each login, so that the password can change. */
  readonly password: Platform.Secret<R>
}

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

type SecretNames = "username" | "password"

/**
 * Options of {@link layerConfig}: each may be a `Config`.
 *
 * @category options
 * @since 0.1.0
 */
export type ConfigOptions<R = never> = Platform.ConfigOptions<Omit<Options, SecretNames>, SecretNames, R>

/**
 * Options of {@link layerTokenConfig}: each may be a `Config`.
 *
 * @category options
 * @since 0.1.0
 */
export type TokenConfigOptions<R = never> = Platform.ConfigOptions<OwnOptions & Platform.TokenOptions, SecretNames, R>

/**
 * Body of `POST /v1/vms/auth/login` (`LoginDTO`): `{"username": "…", "password": "…"}`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LoginPayload = /* @__PURE__ */ Schema.Struct({ username: Secret, password: Secret })

/** @since 0.1.0 */
export type LoginPayload = typeof LoginPayload.Type

/**
 * Body of `POST /v1/vms/auth/refresh/{videoManagerId}` (`RefreshDTO`): `{"refreshToken": "…"}`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RefreshPayload = /* @__PURE__ */ Schema.Struct({ refreshToken: Secret })

/** @since 0.1.0 */
export type RefreshPayload = typeof RefreshPayload.Type

/** A string, as in the documents, or a number, as movingimage's own client reads it. */
const Id = Schema.Union([Schema.Int, Schema.FiniteFromString.check(Schema.isInt())]).check(Schema.isGreaterThan(0))

/**
 * A VideoManager, as token responses and `GET /v1/vms` list it.
 *
 * **Example** (Listing the VideoManagers of the user)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { HttpClientResponse } from "effect/http"
 * import { MovingImage } from "effect-video-auth"
 *
 * const list = MovingImage.MovingImage.use((api) =>
 *   Effect.flatMap(api.get("/v1/vms"), HttpClientResponse.schemaBodyJson(Schema.Array(MovingImage.VideoManager)))
 * )
 * const respond = () => Response.json([{ id: "42", name: "Sales", uuid: "3f2a" }])
 * await Effect.runPromise(Effect.provide(list, MovingImage.layerTest({ respond }))) // => [{ id: 42, name: "Sales", uuid: "3f2a" }]
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const VideoManager = Schema.Struct({ id: Id, name: Schema.String, uuid: Schema.optionalKey(Schema.String) })

/** @since 0.1.0 */
export type VideoManager = typeof VideoManager.Type

/**
 * The members of a token of movingimage beyond RFC 6749: see {@link videoManagersOf}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const VideoManagers = Schema.Struct({
  /** Id of the one VideoManager that the token is valid for. */
  validForVideoManager: Id,
  /** The VideoManagers that the user can access. Their names are the server's text. */
  videoManagerList: Schema.Array(VideoManager)
})

/** @since 0.1.0 */
export type VideoManagers = typeof VideoManagers.Type

/**
 * Returns which VideoManager a token is valid for and which ones the user can access, or `None` for a token of another
 * platform.
 *
 * **Example** (Finding out which VideoManager movingimage chose)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { MovingImage, TokenService } from "effect-video-auth"
 *
 * export const chosen = Effect.gen(function*() {
 *   const tokens = yield* TokenService.TokenService
 *   const videoManagers = MovingImage.videoManagersOf(yield* tokens.get)
 *   return Option.map(videoManagers, ({ validForVideoManager }) => validForVideoManager)
 * })
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const videoManagersOf = (token: AccessToken.AccessToken): Option.Option<VideoManagers> =>
  Schema.decodeUnknownOption(VideoManagers)(token.extra)

/** The same without `Option`. */
const knownIn = (token: AccessToken.AccessToken) => Option.getOrUndefined(videoManagersOf(token))
const listOf = (token: AccessToken.AccessToken) => knownIn(token)?.videoManagerList ?? []

const decodeAnswer = decodeWire(
  Schema.Struct({
    accessToken: headerSafe,
    refreshToken: nullish(Schema.String),
    videoManagerList: nullish(
      Schema.Array(Schema.Struct({ id: Id, name: nullish(Schema.String), uuid: nullish(Schema.String) }))
    ),
    validForVideoManager: nullish(Id)
  })
)

/** A decoded token response. The VideoManagers may be missing. */
interface Answer {
  readonly token: AccessToken.TokenResponse
  readonly validFor: number | undefined
  readonly list: ReadonlyArray<VideoManager> | undefined
}

/** The lifetime in a token's JWT, or else the documented one. The responses have no lifetime. */
const lifetimeOf = (token: string, documented: Duration.Duration): Duration.Duration => {
  const claimed = claimedLifetime(token)
  return claimed !== undefined && Duration.isGreaterThan(claimed, Duration.zero) ? claimed : documented
}

const decodeResponse = (body: unknown): Effect.Effect<Answer, TokenError.MalformedResponse> =>
  Effect.map(decodeAnswer(body), ({ accessToken, refreshToken, validForVideoManager, videoManagerList }) => ({
    token: {
      accessToken: Redacted.make(accessToken, { label: "access_token" }),
      expiresIn: lifetimeOf(accessToken, Duration.minutes(5)),
      ...(refreshToken && {
        refreshToken: Redacted.make(refreshToken, { label: "refresh_token" }),
        refreshExpiresIn: lifetimeOf(refreshToken, Duration.hours(1))
      })
    },
    validFor: validForVideoManager ?? undefined,
    list: videoManagerList?.map(({ id, name, uuid }) => ({ id, name: name ?? "", ...(uuid && { uuid }) }))
  }))

const rejected = (code: string, detail: string) => new TokenError.ProviderRejected({ code, detail })

/** How many ids an error lists. */
const manyIds = 20

const unknownVideoManager = (id: number, list: ReadonlyArray<VideoManager>) => {
  const ids = list.slice(0, manyIds).map(({ id }) => id)
  const others = list.length > manyIds ? ` and ${list.length - manyIds} more` : ""
  const available = ids.length === 0 ? "" : `. Available: ${ids.join(", ")}${others}`
  return rejected("unknown-video-manager", `the user can't access VideoManager ${id}${available}`)
}

/** Whether the user can access a VideoManager. An empty list means that the response had no list. */
const isListed = (id: number, list: ReadonlyArray<VideoManager>): boolean =>
  list.length === 0 || list.some((videoManager) => videoManager.id === id)

type Issued = AccessToken.TokenResponse & { readonly extra: VideoManagers }

/** The token of a response, if it is for the requested VideoManager. `known` is the list of an earlier response. */
const issue = (
  { list, token, validFor }: Answer,
  asked?: number,
  known: ReadonlyArray<VideoManager> = []
): Effect.Effect<Issued, TokenError.RenewalReason> => {
  if (list?.length === 0) return Effect.fail(rejected("no-video-manager", "the user can't access any VideoManager"))
  const validForVideoManager = validFor ?? asked
  if (validForVideoManager === undefined) {
    return Effect.fail(new TokenError.MalformedResponse({ problem: "validForVideoManager is missing or invalid" }))
  }
  if (asked !== undefined && asked !== validForVideoManager) {
    const detail = `requested a token for VideoManager ${asked}, but received one for ${validForVideoManager}`
    return Effect.fail(rejected("wrong-video-manager", detail))
  }
  return Effect.succeed({ ...token, extra: { validForVideoManager, videoManagerList: list ?? known } })
}

/** What a refusal means: of the login, or of a token for a VideoManager. `known` is the list of an earlier response. */
const refusalBy =
  (server: Server, id?: number, known: ReadonlyArray<VideoManager> = []): Refusal =>
  (operation, status, body) => {
    // No document says what an error looks like, so any object is taken to be movingimage's.
    if (body !== undefined && !Predicate.isObject(body)) return undefined
    const what = id === undefined ? "the API" : `VideoManager ${id}`
    if (status === 403) return rejected("forbidden", `the user may not use ${what}. Check the user's rights`)
    if (status === 404 && id !== undefined) return unknownVideoManager(id, known)
    if (status === 404 || status === 405) return wrongServer(server, status)
    if (status > 401) return new TokenError.BadRequest({ status })
    if (operation === "refresh") return new TokenError.RefreshTokenRejected({ status })
    const advice = "Check username and password before you try again; repeated failures can lock the account"
    return new TokenError.InvalidCredentials({ status, advice })
  }

/** The two exchanges of a server. */
const makeExchanges = /* @__PURE__ */ Effect.fnUntraced(function* (server: Server) {
  const client = yield* HttpClient.HttpClient
  const exchange = (refusal: Refusal) => makeExchange(client, server, decodeResponse, refusal)
  const login = exchange(refusalBy(server))
  return {
    login: (payload: { readonly username: string; readonly password: string }) =>
      Effect.flatMap(login("login", "/v1/vms/auth/login", payload), (answer) => issue(answer)),
    refresh: (refreshToken: string, id: number, known?: ReadonlyArray<VideoManager>) =>
      Effect.flatMap(
        exchange(refusalBy(server, id, known))("refresh", `/v1/vms/auth/refresh/${id}`, { refreshToken }),
        (answer) => issue(answer, id, known)
      )
  }
})

type Exchanges = Effect.Success<ReturnType<typeof makeExchanges>>

const makeServer = /* @__PURE__ */ serverAt({
  platform: "movingimage",
  baseUrl: "https://api.video-cdn.net",
  locksAccount: true
})

const readCredentials = ({ password, username }: Pick<TokenOptions, SecretNames>) => {
  const read = (option: SecretNames, source: Platform.Secret) => readSecret(option, source, /[\r\n]/)
  return Effect.all({ username: read("username", username), password: read("password", password) })
}

const checkId = (id: number): Effect.Effect<number, TokenError.ConfigurationInvalid> =>
  Number.isSafeInteger(id) && id > 0
    ? Effect.succeed(id)
    : Effect.fail(invalid("videoManager", "it must be a positive whole number"))

/**
 * Exchanges username and password for a token of five minutes, for the VideoManager that movingimage chooses, and a refresh
 * token of an hour (`POST /v1/vms/auth/login`). It makes one attempt and keeps nothing; {@link layerToken} does more.
 *
 * Fails with `InvalidCredentials` for 401 and 400, and with `ProviderRejected` for a user without a VideoManager.
 *
 * @category operations
 * @since 0.1.0
 */
export const authenticate = (payload: LoginPayload, options: ServerOptions = {}) =>
  exchangeOnce(makeServer(options), makeExchanges, ({ login }) => Effect.flatMap(readCredentials(payload), login))

/**
 * What {@link refresh} exchanges, and the VideoManager that the new token is for.
 *
 * @category options
 * @since 0.1.0
 */
export interface RefreshOptions extends RefreshPayload {
  readonly videoManager: number
}

/**
 * Exchanges a refresh token, which this uses up, for a new pair that is valid for the VideoManager
 * (`POST /v1/vms/auth/refresh/{videoManagerId}`). It makes one attempt.
 *
 * Fails with `RefreshTokenRejected` for 400 and 401, with `ProviderRejected` for a VideoManager that the user can't access, and
 * with `AmbiguousExchange` if the response was lost.
 *
 * @category operations
 * @since 0.1.0
 */
export const refresh = (payload: RefreshOptions, options: ServerOptions = {}) =>
  exchangeOnce(makeServer(options), makeExchanges, (session) =>
    Effect.flatMap(checkId(payload.videoManager), (id) => session.refresh(Redacted.value(payload.refreshToken), id))
  )

/**
 * The defaults of {@link layerToken} that differ from other platforms: a wrong password, or another failure that a retry can't
 * help, is answered from memory for five to ten minutes (`fatalFor`), because repeated failures can lock the account.
 *
 * @category options
 * @since 0.1.0
 */
export const defaultPolicy = { fatalFor: "5 minutes" } as const satisfies RenewalPolicy.Options

const makeProvider = (
  server: Server,
  exchanges: Exchanges,
  credentials: ReturnType<typeof readCredentials>,
  videoManager: number | undefined
): TokenProvider => {
  /** Exchanges the refresh token of a login for a token of the configured VideoManager. This uses the refresh token up. */
  const inVideoManager = (issued: Issued): Effect.Effect<Issued, TokenError.RenewalReason> => {
    const { validForVideoManager, videoManagerList } = issued.extra
    if (videoManager === undefined || videoManager === validForVideoManager) return Effect.succeed(issued)
    if (!isListed(videoManager, videoManagerList))
      return Effect.fail(unknownVideoManager(videoManager, videoManagerList))
    if (issued.refreshToken === undefined) {
      return Effect.fail(new TokenError.MalformedResponse({ problem: "refreshToken is missing or invalid" }))
    }
    return Effect.mapError(
      exchanges.refresh(Redacted.value(issued.refreshToken), videoManager, videoManagerList),
      (reason) =>
        reason._tag === "RefreshTokenRejected"
          ? rejected("video-manager-refused", `VideoManager ${videoManager} was refused right after the login`)
          : reason
    )
  }

  return {
    name: server.name,
    identity: Effect.map(
      Effect.flatMap(Effect.flatMap(credentials, hashCredential), (credential) => identityOf(server, credential)),
      (identity) => (videoManager === undefined ? identity : `${identity}:${videoManager}`)
    ),
    login: Effect.flatMap(Effect.flatMap(credentials, exchanges.login), inVideoManager),
    refresh: (current) => {
      const known = knownIn(current)
      const id = videoManager ?? known?.validForVideoManager
      return current.refreshToken === undefined || id === undefined
        ? Effect.fail(new TokenError.RefreshTokenRejected({}))
        : exchanges.refresh(Redacted.value(current.refreshToken), id, known?.videoManagerList)
    },
    traits: {
      renewWith: "refresh-then-login",
      rotatesRefreshToken: true,
      loginSupersedesRefresh: false,
      oldTokenSurvivesRefresh: true,
      locksAccount: true
    }
  }
}

/**
 * Makes a `TokenProvider` for movingimage, for your own `TokenService`; give that the {@link defaultPolicy}. The documents do
 * not say whether refresh tokens rotate, so the library assumes that they do. It assumes that a login does not end earlier
 * sessions, and logs in with username and password if a refresh fails.
 *
 * @category constructors
 * @since 0.1.0
 */
export const provider = /* @__PURE__ */ Effect.fnUntraced(function* (options: TokenOptions) {
  const server = yield* makeServer(options)
  const { videoManager } = options
  if (videoManager !== undefined) yield* checkId(videoManager).pipe(withProvider(server.name))
  return makeProvider(server, yield* makeExchanges(server), readCredentials(options), videoManager)
})

const credential: Platform.Credential<OwnOptions, SecretNames> = {
  name: "movingimage",
  secrets: { username: "the name of a VideoManager Pro user", password: "that user's password" },
  variables: { baseUrl: /* @__PURE__ */ Config.String("MOVINGIMAGE_BASE_URL") },
  provider: (secrets, options) => provider({ ...options, ...secrets })
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
  server: makeServer,
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
      const server = yield* makeServer(options)
      // All VideoManagers share the limit of the account.
      const clientOf = yield* Kit.makeClients(api, options)
      const named = withProvider(server.name)
      const exchanges = yield* makeExchanges(server)
      // The exchanges run in the TokenServiceMap, which has neither this layer's services nor its configuration.
      const context = yield* Effect.context<R>()
      const credentials = readCredentials({
        username: withServices(options.username, context),
        password: withServices(options.password, context)
      }).pipe(Effect.provide(context))
      const providerFor = (videoManager: number | undefined) =>
        makeProvider(server, exchanges, credentials, videoManager)
      const { identity, traits } = providerFor(undefined)
      const name = yield* named(identity)
      const session = yield* named(
        DerivingSession.make({
          identity: name,
          policy: options.policy ?? {},
          providerFor,
          subjectOf: (token) => knownIn(token)?.validForVideoManager,
          check: (id, token) =>
            isListed(id, listOf(token)) ? Effect.void : Effect.fail(unknownVideoManager(id, listOf(token)))
        })
      )
      const videoManagers = named(Effect.map(session.latest, listOf))
      if (options.eager !== false) {
        yield* logIn({ provider: server.name, login: videoManagers, policy: options.policy })
      }

      const client = Effect.fnUntraced(function* (videoManager: number) {
        const id = yield* named(checkId(videoManager))
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
