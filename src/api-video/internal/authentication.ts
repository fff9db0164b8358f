/** How api.video issues tokens: which server, the two exchanges, and what their failures mean. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Platform from "../../platform/Platform.ts"
import { exchangeOnce, makeExchange, type Refusal, wrongServer } from "../../platform/shared/authentication.ts"
import { identityOf, locate, readSecret, type Server } from "../../platform/shared/server.ts"
import * as AccessToken from "../../token/AccessToken.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"
import { Secret } from "../../token/shared/schema.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"

/**
 * Where requests go, and how the program introduces itself.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions {
  /**
   * `production` is `https://ws.api.video`, and `sandbox` is `https://sandbox.api.video`. Each has its own keys.
   * @default "production"
   */
  readonly environment?: "production" | "sandbox" | undefined
  /** Any other server: https, or http on loopback. It wins over `environment`. */
  readonly baseUrl?: string | undefined
  /**
   * Name and version of the program, both or neither, sent as `AV-Origin-App`. The name has 1 to 50 letters, digits, `-` or
   * `_`. The version is `1`, `1.2` or `1.2.3`, with up to three digits per part.
   */
  readonly application?: { readonly name?: string | undefined; readonly version?: string | undefined } | undefined
  /** The same for a library built on this one, sent as `AV-Origin-Sdk`. */
  readonly sdk?: { readonly name?: string | undefined; readonly version?: string | undefined } | undefined
}

/**
 * Options of the token.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenOptions<R = never> extends ServerOptions, Platform.TokenOptions {
  /**
   * The API key, or an effect that reads it (a `Config`, a vault). The library runs the effect when the layer is built and
   * at each login, so the key can change.
   */
  readonly apiKey: Platform.Secret<R>
}

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

const baseUrls = { production: "https://ws.api.video", sandbox: "https://sandbox.api.video" } as const

// The rules and the words of api.video's own clients.
const originHeader = (
  option: "application" | "sdk",
  header: string,
  { name = "", version = "" }: NonNullable<ServerOptions["application"]> = {}
): Effect.Effect<Readonly<Record<string, string>>, TokenError.ConfigurationInvalid> => {
  const named = /^[\w-]{1,50}$/.test(name)
  const versioned = /^\d{1,3}(\.\d{1,3}){0,2}$/.test(version)
  if (named && versioned) return Effect.succeed({ [header]: `${name}:${version}` })
  if (name + version === "") return Effect.succeed({})
  const problem =
    version === ""
      ? `${option} version is mandatory when ${option} name is set.`
      : name === ""
        ? `${option} name is mandatory when ${option} version is set.`
        : named
          ? `Invalid ${option} version value. The version should match the xxx[.yyy][.zzz] pattern.`
          : `Invalid ${option} name value. Allowed characters: A-Z, a-z, 0-9, '-', '_'. Max length: 50.`
  return Effect.fail(invalid(option, problem))
}

/** Makes the server of the options, and the headers that introduce the program. */
export const makeServer = /* @__PURE__ */ Effect.fnUntraced(function* (options: ServerOptions) {
  const { baseUrl, environment = "production" } = options
  if (!Object.hasOwn(baseUrls, environment)) {
    return yield* invalid("environment", 'it must be "production" or "sandbox"')
  }
  const place = yield* locate(baseUrl ?? baseUrls[environment])
  return {
    ...place,
    platform: "api.video",
    name: `api.video ${baseUrl === undefined ? environment : place.host}`,
    headers: {
      ...(yield* originHeader("application", "av-origin-app", options.application)),
      ...(yield* originHeader("sdk", "av-origin-sdk", options.sdk))
    }
  }
}, withProvider("api.video"))

/** Reads the API key. */
export const readKey = (apiKey: Platform.Secret) =>
  readSecret("apiKey", apiKey, /\s/, ". Copy it from https://dashboard.api.video")

/** Slugs of a 400 that is about the request and not about the credential in it. */
const aboutTheRequest = ["attribute-required", "invalid-attribute", "invalid-payload"]

/** Slugs that the documents list for credentials. An error repeats no others. */
const slugs = [
  ...aboutTheRequest,
  ...["user-credentials", "api-key", "access-token", "refresh-token", "authorization-header-value"].map(
    (what) => `authentication-invalid-${what}`
  ),
  "authentication-missing-authorization-header",
  "authorization-suspended-account"
]

/** The known slug of a problem answer, and the parameter of ours that it names. */
export const readProblem = (status: number, body: unknown) => {
  // Whatever JSON it is, these are members of it or not there.
  const { name, type }: { readonly type?: unknown; readonly name?: unknown } = Object(body)
  const slug = typeof type === "string" ? type.replace(/^.*\//, "") : undefined
  return {
    status,
    type: slugs.find((known) => known === slug),
    name: ["apiKey", "refreshToken"].find((known) => known === name)
  }
}

/** The problem details of api.video have a type or a title. */
const isProblem = (body: unknown): boolean =>
  Predicate.isObject(body) && (Object.hasOwn(body, "type") || Object.hasOwn(body, "title"))

const refusalBy =
  (server: Server): Refusal =>
  (operation, status, body) => {
    if (body !== undefined && !isProblem(body)) return undefined
    const problem = readProblem(status, body)
    const { type } = problem
    if (status === 403) return new TokenError.AccountSuspended({ status, type })
    if (status === 404 || status === 405) return wrongServer(server, status)
    if (status > 401 || aboutTheRequest.includes(type ?? "")) return new TokenError.BadRequest(problem)
    if (operation === "refresh") return new TokenError.RefreshTokenRejected({ status, type })
    const advice = `Use an API key of ${server.name}; each environment has its own`
    return new TokenError.InvalidCredentials({ status, type, advice })
  }

const makeExchanges = /* @__PURE__ */ Effect.fnUntraced(function* (server: Server) {
  const exchange = makeExchange(yield* HttpClient.HttpClient, server, AccessToken.decodeResponse, refusalBy(server))
  return {
    login: (apiKey: string) => exchange("login", "/auth/api-key", { apiKey }),
    refresh: (refreshToken: string) => exchange("refresh", "/auth/refresh", { refreshToken })
  }
})

/**
 * Exchanges an API key for a token of one hour and a refresh token (`POST /auth/api-key`, `pOSTAuthApiKey`). It makes one
 * attempt and keeps nothing; `layerToken` does more.
 *
 * Fails with `InvalidCredentials` for 400 and 401; api.video's documents have both for a wrong key.
 *
 * @category operations
 * @since 0.1.0
 */
export const authenticate = (payload: AuthenticatePayload, options: ServerOptions = {}) =>
  exchangeOnce(makeServer(options), makeExchanges, ({ login }) => Effect.flatMap(readKey(payload.apiKey), login))

/**
 * Exchanges a refresh token, which this uses up, for a new pair (`POST /auth/refresh`, `pOSTAuthRefresh`). It makes one
 * attempt.
 *
 * Fails with `RefreshTokenRejected` for 400 and 401, and with `AmbiguousExchange` if the response was lost.
 *
 * @category operations
 * @since 0.1.0
 */
export const refresh = (payload: RefreshTokenPayload, options: ServerOptions = {}) =>
  exchangeOnce(makeServer(options), makeExchanges, ({ refresh }) => refresh(Redacted.value(payload.refreshToken)))

const traits = {
  renewWith: "refresh-then-login",
  rotatesRefreshToken: true,
  loginSupersedesRefresh: true,
  oldTokenSurvivesRefresh: true
} as const

/**
 * Returns a function that makes a `TokenProvider` for a key, for use with a `TokenServiceMap`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const providers = /* @__PURE__ */ Effect.fnUntraced(function* (options: ServerOptions = {}) {
  const server = yield* makeServer(options)
  const { login, refresh } = yield* makeExchanges(server)
  const refreshed: TokenProvider["refresh"] = ({ refreshToken }) =>
    refresh(refreshToken === undefined ? "" : Redacted.value(refreshToken))
  return (apiKey: Platform.Secret): TokenProvider => {
    const key = readKey(apiKey)
    return {
      name: server.name,
      identity: Effect.flatMap(key, (key) => identityOf(server, key)),
      login: Effect.flatMap(key, login),
      refresh: refreshed,
      traits
    }
  }
})

/**
 * Makes a `TokenProvider` for api.video, for your own `TokenService`. Refresh tokens rotate, a login ends earlier ones, and
 * the provider logs in with the API key if a refresh fails.
 *
 * @category constructors
 * @since 0.1.0
 */
export const provider = (options: TokenOptions) =>
  Effect.map(providers(options), (providerOf) => providerOf(options.apiKey))
