/** How movingimage issues tokens with its JSON login: the two exchanges, and what their failures mean. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Platform from "../../platform/Platform.ts"
import { exchangeOnce, makeExchange, type Refusal, wrongServer } from "../../platform/shared/authentication.ts"
import { hashCredential } from "../../platform/shared/credentialHash.ts"
import { identityOf, readSecret, type Server, serverAt } from "../../platform/shared/server.ts"
import type * as AccessToken from "../../token/AccessToken.ts"
import type * as RenewalPolicy from "../../token/RenewalPolicy.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"
import { Secret } from "../../token/shared/schema.ts"
import { claimedLifetime, decodeWire, headerSafe, nullish } from "../../token/shared/wire.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"
import { Id, videoManagersIn, type VideoManager, type VideoManagers } from "./videoManagers.ts"

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
export interface OwnOptions extends ServerOptions {
  /**
   * Id of the VideoManager that the token is for. If the login returns a token for another one, a second exchange follows.
   * @default the one that movingimage chooses at the login
   */
  readonly videoManager?: number | undefined
}

/**
 * Options of the token. `policy.fatalFor` is five minutes here unless you set it: see `defaultPolicy`.
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

/** The options that are secrets. */
export type SecretNames = "username" | "password"

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

/** The reason for a VideoManager that the user cannot access. It lists those that the user can. */
export const unknownVideoManager = (id: number, list: ReadonlyArray<VideoManager>) => {
  const ids = list.slice(0, manyIds).map(({ id }) => id)
  const others = list.length > manyIds ? ` and ${list.length - manyIds} more` : ""
  const available = ids.length === 0 ? "" : `. Available: ${ids.join(", ")}${others}`
  return rejected("unknown-video-manager", `the user can't access VideoManager ${id}${available}`)
}

/** Whether the user can access a VideoManager. An empty list means that the response had no list. */
export const isListed = (id: number, list: ReadonlyArray<VideoManager>): boolean =>
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
export const makeExchanges = /* @__PURE__ */ Effect.fnUntraced(function* (server: Server) {
  const client = yield* HttpClient.HttpClient
  const exchange = (refusal: Refusal) => makeExchange(client, server, decodeResponse, refusal)
  const login = exchange(refusalBy(server))
  return {
    login: (payload: Record<SecretNames, string>) =>
      Effect.flatMap(login("login", "/v1/vms/auth/login", payload), (answer) => issue(answer)),
    refresh: (refreshToken: string, id: number, known?: ReadonlyArray<VideoManager>) =>
      Effect.flatMap(
        exchange(refusalBy(server, id, known))("refresh", `/v1/vms/auth/refresh/${id}`, { refreshToken }),
        (answer) => issue(answer, id, known)
      )
  }
})

type Exchanges = Effect.Success<ReturnType<typeof makeExchanges>>

/** Makes the server of the options. Its logins lock an account that refuses often. */
export const makeServer = /* @__PURE__ */ serverAt({
  platform: "movingimage",
  baseUrl: "https://api.video-cdn.net",
  locksAccount: true
})

/** Reads the user and the password. */
export const readCredentials = ({ password, username }: Pick<TokenOptions, SecretNames>) => {
  const read = (option: SecretNames, source: Platform.Secret) => readSecret(option, source, /[\r\n]/)
  return Effect.all({ username: read("username", username), password: read("password", password) })
}

/** Checks the id of a VideoManager. */
export const checkId = (id: number): Effect.Effect<number, TokenError.ConfigurationInvalid> =>
  Number.isSafeInteger(id) && id > 0
    ? Effect.succeed(id)
    : Effect.fail(invalid("videoManager", "it must be a positive whole number"))

/**
 * Exchanges username and password for a token of five minutes, for the VideoManager that movingimage chooses, and a refresh
 * token of an hour (`POST /v1/vms/auth/login`). It makes one attempt and keeps nothing; `layerToken` does more.
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
 * The defaults of `layerToken` that differ from other platforms: a wrong password, or another failure that a retry can't
 * help, is answered from memory for five to ten minutes (`fatalFor`), because repeated failures can lock the account.
 *
 * @category options
 * @since 0.1.0
 */
export const defaultPolicy = { fatalFor: "5 minutes" } as const satisfies RenewalPolicy.Options

/** Makes the protocol for one VideoManager, or for the one that movingimage chooses. */
export const makeProvider = (
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
      const known = videoManagersIn(current)
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
