/**
 * movingimage VideoManager Pro on loopback: a real HTTP server that behaves as movingimage's documents say, and worse on
 * demand.
 *
 * Use it in specs, in examples and on the command line. It needs `@effect/platform-node`; the client under test needs only its
 * `url`. Nothing here talks to movingimage.
 *
 * The same origin has the login service for OpenID Connect, which imitates Keycloak: discovery through webfinger, all grants of
 * `defaultClients`, login pages, revocation and logout. Its tokens are valid for all VideoManagers of their user.
 *
 * The documents leave much open. There the comments say what the sandbox does, and a switch selects the alternative.
 *
 * **Example** (A login's token is for the first VideoManager; one for another takes a refresh)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { MovingImage, TokenService } from "effect-video-auth"
 * import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
 *
 * const token = Layer.unwrap(Effect.gen(function*() {
 *   const { url } = yield* MovingImageSandbox.MovingImageSandbox
 *   const [username, password] = [Redacted.make("your_username"), Redacted.make("your_password")]
 *   return MovingImage.layerToken({ baseUrl: url, username, password, videoManager: 102 })
 * }))
 *
 * export const spec = Effect.gen(function*() {
 *   const sandbox = yield* MovingImageSandbox.MovingImageSandbox
 *   const tokens = yield* TokenService.TokenService
 *   yield* sandbox.revokeRefreshTokens
 *   yield* tokens.renew
 *   const { logins, refreshes, wrongVideoManager } = yield* sandbox.ledger
 *   return { logins, refreshes, wrongVideoManager } // 2 logins, 3 refreshes (the second refused), and no token mixed up
 * }).pipe(
 *   Effect.provide(token.pipe(Layer.provideMerge(MovingImageSandbox.layer()), Layer.provide(FetchHttpClient.layer)))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as SandboxAccounts from "./SandboxAccounts.ts"
import type * as SandboxClients from "./SandboxClients.ts"
import * as SandboxControl from "./SandboxControl.ts"
import * as SandboxFault from "./SandboxFault.ts"
import * as SandboxGrants from "./SandboxGrants.ts"
import * as SandboxKeycloak from "./SandboxKeycloak.ts"
import type * as SandboxLedger from "./SandboxLedger.ts"
import * as SandboxRateLimiter from "./SandboxRateLimiter.ts"
import * as SandboxRealm from "./SandboxRealm.ts"
import * as SandboxRefusal from "./SandboxRefusal.ts"
import { type Answer, type Json, pathOf, type Request, wholeNumber } from "./SandboxRequest.ts"
import type * as SandboxSeed from "./SandboxSeed.ts"
import * as SandboxServer from "./SandboxServer.ts"
import * as SandboxTokens from "./SandboxTokens.ts"
import * as SandboxVideoManager from "./SandboxVideoManager.ts"

export {
  /** See `SandboxAccounts`. */
  type Account,
  /** See `SandboxAccounts`. */
  type VideoManager,
  /** See `SandboxAccounts`. */
  type VideoManagerUse
} from "./SandboxAccounts.ts"
export {
  /** See `SandboxClients`. */
  type Client
} from "./SandboxClients.ts"
export {
  /** See `SandboxFault`. */
  type Fault,
  /** See `SandboxFault`. */
  FaultKind
} from "./SandboxFault.ts"
export {
  /** See `SandboxGrants`. */
  type GrantEntry
} from "./SandboxGrants.ts"
export {
  /** See `SandboxLedger`. */
  type Entry
} from "./SandboxLedger.ts"
export {
  /** See `SandboxRealm`. */
  type Lie
} from "./SandboxRealm.ts"
export {
  /** See `SandboxRefusal`. */
  type ErrorNumber,
  /** See `SandboxRefusal`. */
  errorNumbers
} from "./SandboxRefusal.ts"

/** The ledger, with VideoManagers, accounts and the login service. It treats usernames as secrets, too. */
export interface Ledger extends SandboxLedger.Ledger, SandboxAccounts.Report, SandboxRealm.Report {
  /** The latest responses of the token endpoint, at most `SandboxLedger.entryLimit`. */
  readonly grants: ReadonlyArray<SandboxGrants.GrantEntry>
}

/** The behaviour of the server. `configure` changes it while the server runs. */
export interface Behaviour extends SandboxRealm.Behaviour {
  /** Default 5 minutes (movingimage documentation). Applies to tokens issued from then on. */
  readonly accessTokenLifetime: Duration.Input
  /** Default 1 hour (movingimage documentation). Applies to tokens issued from then on. */
  readonly refreshTokenLifetime: Duration.Input
  /** Whether a refresh ends the access tokens of its login at once, for every VideoManager. Default false: undocumented. */
  readonly revokesAccessTokenOnRefresh: boolean
  /** Whether a refresh token that is sent again revokes everything of its login. Default true: Keycloak can be configured so. */
  readonly detectsRefreshTokenReuse: boolean
  /** Whether a login ends earlier refresh tokens of its account. Default false: the documents do not say so. */
  readonly loginSupersedesRefreshToken: boolean
  /** Whether a refresh returns a new refresh token and ends the old one. Default true: the worse case. */
  readonly rotatesRefreshToken: boolean
  /** Whether responses have no refresh token, and a refresh does not end the one sent. Default false. */
  readonly omitsRefreshToken: boolean
  /** How far the server's clock is ahead; negative is behind. Shows in `iat` and `exp`. Default 0. */
  readonly clockSkew: Duration.Input
  /** Form of both tokens. Default `jwt`: RS256, with `iat` and `exp` in whole seconds. */
  readonly tokenFormat: "jwt" | "jwt-without-exp" | "opaque"
  /** Form of ids. Default `string`, as in the documents; movingimage's first client reads a number. */
  readonly validForVideoManagerAs: "string" | "number"
  /**
   * Status for a valid token whose VideoManager is not the one of the path. Default 403, because the token is genuine and lacks
   * the right. Undocumented.
   */
  readonly wrongVideoManagerStatus: 401 | 403
  /** How many wrong passwords in a row lock an account, until `unlockAccount`. Default 5; `Infinity` for never. Undocumented. */
  readonly lockAfter: number
  /** Whether a successful DELETE gets a 404 (documentation, response codes). Default true; otherwise as OpenAPI declares. */
  readonly deletesWith404: boolean
  /** Whether new videos and upload URLs are refused with error 1101. Default false. */
  readonly storageLimitReached: boolean
  /** Name of the field with an error's number. Default `defaultErrorNumberField`. */
  readonly errorNumberField: string
  /** API requests per `rateLimitWindow` and account. Default 100 (documentation); `Infinity` for no limit. */
  readonly rateLimit: number
  /** Default 1 minute (documentation). */
  readonly rateLimitWindow: Duration.Input
  /** Header of a 429 with the seconds until the window ends, such as `Retry-After`. Default: no header, as none is documented. */
  readonly retryAfterHeader: string | undefined
}

/** Options of the server. Every member of `Behaviour` is one as well. */
export interface Options extends Partial<Behaviour>, SandboxServer.Setup {
  /** The accounts that may log in. Default `defaultAccounts`. */
  readonly accounts?: ReadonlyArray<SandboxAccounts.Account> | undefined
  /** The applications that the login service knows. Default `defaultClients`. */
  readonly clients?: ReadonlyArray<SandboxClients.Client> | undefined
}

const videoManagers: ReadonlyArray<SandboxAccounts.VideoManager> = [
  { id: 101, name: "Marketing" },
  { id: 102, name: "Training" }
]

/** An account, and the one in the documents' own commands, so that these run as they are. */
export const defaultAccounts: ReadonlyArray<SandboxAccounts.Account> = [
  { username: "your_username", password: "your_password", videoManagers },
  { username: "<USERNAME>", password: "<PASSWORD>", videoManagers }
]

const redirectUris = ["http://127.0.0.1/*", "http://[::1]/*", "http://localhost/*"]

/**
 * `anonymous`, the client of the documents' password grant, and one client for every other grant. Each may redirect to any
 * port of this machine.
 */
export const defaultClients: ReadonlyArray<SandboxClients.Client> = [
  { id: "anonymous", grants: ["password"] },
  { id: "browser-app", grants: ["authorization_code"], redirectUris, requiresPkce: true },
  { id: "server-app", secret: "your_client_secret", grants: ["authorization_code"], redirectUris },
  { id: "device-app", grants: ["device_code"] },
  { id: "service-app", secret: "your_client_secret", grants: ["client_credentials"], videoManagers }
]

/** The default name of the field with an error number. The documents do not name it. */
export const defaultErrorNumberField = "errorCode"

/**
 * Returns the body of a numbered error, for a `Json` fault. 1003 and 1004 belong to requests that no document describes.
 *
 * **Example** (The next request is refused with 1003)
 *
 * ```ts
 * import { errorBody, MovingImageSandbox } from "effect-video-auth/testing/MovingImageSandbox"
 *
 * export const refused = MovingImageSandbox.use((sandbox) =>
 *   sandbox.inject({ on: "api", kind: { _tag: "Json", status: 400, body: errorBody(1003) } })
 * )
 * ```
 */
export const errorBody = (errorNumber: SandboxRefusal.ErrorNumber, field: string = defaultErrorNumberField): Json =>
  SandboxRefusal.body(SandboxRefusal.numbered(errorNumber), field)

/** The running server. Its clock is the one that the layer was built with: under `TestClock`, the test's. */
export class MovingImageSandbox extends Context.Service<
  MovingImageSandbox,
  SandboxControl.Controls<Ledger, Behaviour> & {
    /** Does the same as `revokeAccessTokens`, because expired and revoked look the same. Not counted in `expiredTokensReceived`. */
    readonly expireAccessTokens: Effect.Effect<void>
    /** Adds an account, or replaces the one of that username. Its sessions continue, with the VideoManagers that it has now. */
    readonly addAccount: (account: SandboxAccounts.Account) => Effect.Effect<void>
    /** Refuses an account and its refresh tokens. Its access tokens stay valid until they expire. */
    readonly removeAccount: (username: string) => Effect.Effect<void>
    /** Changes the password. Sessions continue. */
    readonly changePassword: (username: string, password: string) => Effect.Effect<void>
    /** Ends a lock and forgets the wrong passwords. */
    readonly unlockAccount: (username: string) => Effect.Effect<void>
    /** Adds an application, or replaces the one of that id. */
    readonly addClient: (client: SandboxClients.Client) => Effect.Effect<void>
    /** The login service's issuer (OpenID Connect). */
    readonly issuer: string
  }
>()("effect-video-auth/testing/MovingImageSandbox") {}

type Settings = SandboxAccounts.Settings &
  SandboxRealm.Settings & {
    readonly deletesWith404: boolean
    readonly storageLimitReached: boolean
    readonly errorNumberField: string
    readonly rateLimit: number
    readonly rateLimitWindow: Duration.Duration
    readonly retryAfterHeader: string | undefined
  }

const tokenDefaults: SandboxTokens.Settings = {
  accessTokenLifetime: 300_000,
  refreshTokenLifetime: 3_600_000,
  revokesAccessTokenOnRefresh: false,
  detectsRefreshTokenReuse: true,
  loginSupersedesRefreshToken: false,
  rotatesRefreshToken: true,
  omitsRefreshToken: false,
  clockSkew: 0
}

const resolve = (options: Options): Settings => ({
  ...SandboxTokens.resolve(options, tokenDefaults),
  ...SandboxRealm.resolve(options),
  tokenFormat: options.tokenFormat ?? "jwt",
  validForVideoManagerAs: options.validForVideoManagerAs ?? "string",
  wrongVideoManagerStatus: options.wrongVideoManagerStatus ?? 403,
  lockAfter: options.lockAfter ?? 5,
  deletesWith404: options.deletesWith404 ?? true,
  storageLimitReached: options.storageLimitReached ?? false,
  errorNumberField: options.errorNumberField ?? defaultErrorNumberField,
  rateLimit: options.rateLimit ?? 100,
  rateLimitWindow: Duration.fromInputUnsafe(options.rateLimitWindow ?? "1 minute"),
  retryAfterHeader: options.retryAfterHeader
})

type Params = Parameters<SandboxServer.Handler>[1]
type Outcome = Effect.Effect<Answer, SandboxRefusal.Refusal>

const exchangeOf = (method: string, path: string): SandboxFault.Exchange | "token" | undefined => {
  if (method !== "POST") return undefined
  if (path === SandboxKeycloak.tokenPath) return "token"
  if (path === "/v1/vms/auth/login") return "login"
  return /^\/v1\/vms\/auth\/refresh\/[^/]+$/.test(path) ? "refresh" : undefined
}

const idOf = (text: string | undefined): number | undefined => {
  const id = wholeNumber(text ?? "")
  return Number.isNaN(id) ? undefined : id
}

/** The VideoManager in a path. */
const videoManagerOf = (request: Request): number | undefined =>
  idOf(/^\/v1\/vms\/([^/]+)\//.exec(pathOf(request))?.[1])

const required = (body: Json, name: string): Effect.Effect<string, SandboxRefusal.Refusal> => {
  const value = body[name]
  return typeof value === "string" && value !== ""
    ? Effect.succeed(value)
    : Effect.fail({ status: 400, message: `${name} is missing, or not a string.` })
}

/** One start of the sandbox, with all of its state. */
const begin = (options: Options, { ledger, now, url }: SandboxServer.Start) => {
  const { configure, current: settings } = SandboxServer.makeSettings(options, resolve)

  const limiter = SandboxRateLimiter.make<string>({
    limit: () => settings().rateLimit,
    window: () => settings().rateLimitWindow,
    now
  })
  const serverTime = () => now() + settings().clockSkew
  const accounts = SandboxAccounts.make({
    accounts: options.accounts ?? defaultAccounts,
    settings,
    serverTime,
    ledger
  })
  const issuer = SandboxKeycloak.issuerOf(url)
  const clients = options.clients ?? defaultClients
  const realm = SandboxRealm.make({ issuer, clients, accounts, settings, serverTime, ledger })
  const grants = SandboxGrants.make({ issuer, realm, accounts, settings, now, serverTime, ledger })
  const keycloak = SandboxKeycloak.make({
    origin: url,
    realm,
    grants,
    kid: accounts.kid,
    settings,
    serverTime,
    conceal: ledger.conceal
  })
  const resources = SandboxVideoManager.make({
    origin: url,
    now,
    deletesWith404: () => settings().deletesWith404,
    storageLimitReached: () => settings().storageLimitReached,
    conceal: ledger.conceal
  })
  const uuids = new Map<number, string>()
  const uuidOf = (videoManager: number): string => {
    const uuid = uuids.get(videoManager) ?? globalThis.crypto.randomUUID()
    uuids.set(videoManager, uuid)
    return uuid
  }

  const refusal = (why: SandboxRefusal.Refusal): Answer => SandboxRefusal.answer(why, settings().errorNumberField)

  const rateLimited = (retryAfter: number): Answer => {
    const { retryAfterHeader } = settings()
    const response = refusal({ status: 429, message: "Too many requests." })
    return retryAfterHeader === undefined
      ? response
      : HttpServerResponse.setHeader(response, retryAfterHeader, String(retryAfter))
  }

  const judge = (request: Request) =>
    SandboxKeycloak.owns(pathOf(request))
      ? SandboxAccounts.refused(keycloak.credentialOf(request))
      : accounts.verify(request.headers["authorization"], videoManagerOf(request))

  const open =
    (handler: (request: Request, params: Params) => Outcome): SandboxServer.Handler =>
    (request, params) =>
      Effect.catch(handler(request, params), (why) => Effect.succeed(refusal(why)))

  /** Makes a handler that needs a valid token and counts towards the account's limit. */
  const api = (handler: (request: Request, params: Params, username: string) => Outcome): SandboxServer.Handler =>
    open((request, params) => {
      const { access } = judge(request)
      if (Result.isFailure(access)) return Effect.fail(access.failure)
      const username = access.success
      if (!limiter.take(username)) return Effect.succeed(rateLimited(limiter.standing(username).reset))
      return handler(request, params, username)
    })

  const within = (handler: (videoManager: number, id: string, request: Request) => Outcome) =>
    api((request, params) => {
      const videoManager = videoManagerOf(request)
      return videoManager === undefined
        ? Effect.fail(SandboxRefusal.notFound("VideoManager"))
        : handler(videoManager, params["id"] ?? "", request)
    })
  const withBody = (handler: (videoManager: number, body: Json, id: string) => Outcome) =>
    within((videoManager, id, request) =>
      Effect.flatMap(SandboxRefusal.jsonObject(request), (body) => handler(videoManager, body, id))
    )

  const login = open((request) =>
    Effect.gen(function* () {
      const body = yield* SandboxRefusal.jsonObject(request)
      const username = yield* required(body, "username")
      const password = yield* required(body, "password")
      return HttpServerResponse.jsonUnsafe(yield* accounts.login(username, password))
    })
  )

  const refresh = open((request, params) =>
    Effect.gen(function* () {
      const refreshToken = yield* required(yield* SandboxRefusal.jsonObject(request), "refreshToken")
      const videoManager = idOf(params["videoManager"])
      if (videoManager === undefined) return yield* Effect.fail(SandboxRefusal.notFound("VideoManager"))
      return HttpServerResponse.jsonUnsafe(yield* accounts.refresh(refreshToken, videoManager))
    })
  )

  const videoManagersOf = api((_request, _params, username) =>
    Effect.succeed(
      HttpServerResponse.jsonUnsafe(
        accounts.videoManagersOf(username).map(({ id, name }) => ({ id, name, uuid: uuidOf(id) }))
      )
    )
  )

  const platform: SandboxServer.Platform<ReturnType<typeof judge>> = {
    routes: {
      "/v1/vms/auth/login": { POST: login },
      "/v1/vms/auth/refresh/:videoManager": { POST: refresh },
      "/v1/vms": { GET: videoManagersOf },
      "/v1/vms/:videoManager/videos": {
        GET: within((videoManager, _id, request) => resources.list(videoManager, request)),
        POST: withBody(resources.create)
      },
      "/v1/vms/:videoManager/videos/:id": {
        GET: within(resources.get),
        PATCH: withBody((videoManager, body, id) => resources.update(videoManager, id, body)),
        DELETE: within(resources.delete)
      },
      "/v1/vms/:videoManager/videos/:id/url": { GET: within(resources.uploadUrl) },
      "/v1/vms/:videoManager/channels": { GET: within(resources.channels), POST: withBody(resources.createChannel) },
      "/v1/vms/:videoManager/channels/:id": { DELETE: within(resources.deleteChannel) },
      "/chunks/:id": { POST: open((request, params) => resources.chunk(request, params["id"] ?? "")) },
      ...keycloak.routes
    },
    exchangeOf,
    isApi: (path) => !SandboxKeycloak.owns(path),
    ownCors: SandboxKeycloak.ownCors,
    noteExchange: (exchange, body) => {
      accounts.noteExchange(exchange, body)
      grants.noteExchange(body)
    },
    judge,
    // A program may put an upload token into the path by mistake, and one that nobody issued.
    shownPath: (path) => path.replace(/(?<=(?:__token__|mitoken)=)[^&]+/g, "<redacted>"),
    noteRequest: (request, verdict) => accounts.noteRequest(verdict, videoManagerOf(request)),
    unroutable: (_request, what) =>
      refusal(
        what === "path"
          ? SandboxRefusal.notFound("path")
          : { status: 405, message: "The path does not have this method." }
      ),
    tooLarge: () => refusal({ status: 400, message: "The body is too large." }),
    voice: {
      rateLimited,
      echo: (status, body) => refusal({ status, message: `Cannot process ${body}` }),
      page: () => SandboxFault.page("Error", "Error")
    },
    maximumBodySize: SandboxVideoManager.maximumBodySize,
    exposedHeaders: ["Location", "Retry-After"]
  }

  const creating =
    (create: (videoManager: number, body: Json) => Outcome): SandboxSeed.Creator =>
    ({ videoManager, ...body }) =>
      Effect.catch(
        typeof videoManager === "number"
          ? create(videoManager, body)
          : Effect.fail({ status: 400, message: "videoManager is missing, or not a number." }),
        (why) => Effect.succeed(refusal(why))
      )

  return {
    platform,
    creators: { videos: creating(resources.create), channels: creating(resources.createChannel) },
    controls: {
      accounts,
      configure,
      realm,
      report: () => ({ ...ledger.snapshot(), ...accounts.report(), ...realm.report(), grants: grants.entries() })
    }
  }
}

const make = Effect.fnUntraced(function* (options: Options) {
  const start = yield* SandboxServer.listen(options)
  const { controls, current, serve } = yield* start((given) => Effect.sync(() => begin(options, given)))
  const { url } = controls
  const revokeAccessTokens = Effect.sync(() => current().accounts.killAccessTokens())
  const sandbox = MovingImageSandbox.of({
    ...controls,
    ledger: Effect.sync(() => current().report()),
    configure: (behaviour) => Effect.suspend(() => current().configure(behaviour)),
    revokeAccessTokens,
    revokeRefreshTokens: Effect.sync(() => current().accounts.killRefreshTokens()),
    expireAccessTokens: revokeAccessTokens,
    addAccount: (account) => Effect.sync(() => current().accounts.addAccount(account)),
    removeAccount: (username) => Effect.sync(() => current().accounts.removeAccount(username)),
    changePassword: (username, password) => Effect.sync(() => current().accounts.changePassword(username, password)),
    unlockAccount: (username) => Effect.sync(() => current().accounts.unlockAccount(username)),
    addClient: (client) => Effect.sync(() => current().realm.addClient(client)),
    issuer: SandboxKeycloak.issuerOf(url)
  })
  yield* serve(SandboxControl.commands(sandbox))
  return sandbox
})

/** Starts a sandbox. Closing the layer's scope ends it at once, with or without requests in flight. Fails if the port is taken. */
export const layer = (options: Options = {}): Layer.Layer<MovingImageSandbox, HttpServerError.ServeError> =>
  Layer.effect(MovingImageSandbox, make(options))
