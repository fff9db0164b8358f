/**
 * api.video's authentication endpoints: the server, the two exchanges and what their answers mean.
 */
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as AccessToken from "../AccessToken.ts"
import type { ServerOptions } from "../ApiVideo.ts"
import * as TokenError from "../TokenError.ts"
import { discreet, failureOf, numberOf, readJson, secondsOf } from "./http.ts"
import { isSecureOrigin } from "./origin.ts"

/** Where requests go, and what they say of the program. */
export interface Server {
  /** For people, as in `api.video sandbox`. */
  readonly name: string
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly headers: Readonly<Record<string, string>>
}

const baseUrls = { production: "https://ws.api.video", sandbox: "https://sandbox.api.video" } as const

const invalid = (option: string, problem: string) => new TokenError.ConfigurationInvalid({ option, problem })

// The rules and the words of api.video's own clients.
const originHeader = (
  option: "application" | "sdk",
  { name = "", version = "" }: NonNullable<ServerOptions["application"]> = {}
): Effect.Effect<string | undefined, TokenError.ConfigurationInvalid> => {
  const named = /^[\w-]{1,50}$/.test(name)
  const versioned = /^\d{1,3}(\.\d{1,3}){0,2}$/.test(version)
  if (named && versioned) return Effect.succeed(`${name}:${version}`)
  if (name + version === "") return Effect.undefined
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

/** Says of a reason whose it is. */
export const withProvider = (provider: string) =>
  Effect.mapError((reason: TokenError.Reason) => new TokenError.TokenError({ provider, reason }))

/** Checks where requests go: one of the two environments, or any base URL that keeps a secret. */
export const makeServer = Effect.fnUntraced(function* (
  options: ServerOptions
): Effect.fn.Return<Server, TokenError.ConfigurationInvalid> {
  const environment = options.environment ?? "production"
  if (!Object.hasOwn(baseUrls, environment)) {
    return yield* invalid("environment", 'it must be "production" or "sandbox"')
  }
  const { baseUrl } = options
  if (baseUrl !== undefined) {
    // A key on plain http could be read by others, and a user name in a URL is mostly a trick.
    const url = isSecureOrigin(baseUrl) ? new URL(baseUrl) : undefined
    if (url === undefined || url.username + url.password + url.search + url.hash !== "") {
      return yield* invalid("baseUrl", "it must be https, or http on loopback, and no more than host and path")
    }
  }
  const application = yield* originHeader("application", options.application)
  const sdk = yield* originHeader("sdk", options.sdk)
  return {
    name: `api.video ${baseUrl === undefined ? environment : new URL(baseUrl).host}`,
    baseUrl: (baseUrl ?? baseUrls[environment]).replace(/\/+$/, ""),
    headers: {
      ...(application === undefined ? {} : { "av-origin-app": application }),
      ...(sdk === undefined ? {} : { "av-origin-sdk": sdk })
    }
  }
}, withProvider("api.video"))

/** The key as it is sent: what cannot be one is found before any network. Suspended, as an effect prints its value. */
export const checkKey = (apiKey: Redacted.Redacted): Effect.Effect<string, TokenError.ConfigurationInvalid> =>
  Effect.suspend(() => {
    const key = Redacted.value(apiKey)
    if (key.trim() === "") {
      return Effect.fail(invalid("apiKey", "it is empty; see https://dashboard.api.video"))
    }
    return /\s/.test(key) ? Effect.fail(invalid("apiKey", "it has a space or a line break in it")) : Effect.succeed(key)
  })

/** Slugs of a 400 that is about the request, not about the credential in it. */
const aboutTheRequest = ["attribute-required", "invalid-attribute", "invalid-payload"]

/** Slugs that the documents list for credentials; of any other, nothing is repeated. */
const slugs = [
  ...aboutTheRequest,
  ...["user-credentials", "api-key", "access-token", "refresh-token", "authorization-header-value"].map(
    (what) => `authentication-invalid-${what}`
  ),
  "authentication-missing-authorization-header",
  "authorization-suspended-account"
]

/** The known slug of a problem answer, and the parameter of ours that it names. */
export const readProblem = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(readJson(response), (body) => {
    // Whatever JSON it is, these are members of it or not there.
    const problem: { readonly type?: unknown; readonly name?: unknown } = Object(body)
    const slug = typeof problem.type === "string" ? problem.type.replace(/^.*\//, "") : undefined
    return {
      status: response.status,
      type: slugs.find((known) => known === slug),
      name: ["apiKey", "refreshToken"].find((known) => known === problem.name)
    }
  })

const reasonOf = (
  operation: "login" | "refresh",
  server: Server,
  response: HttpClientResponse.HttpClientResponse,
  problem: { readonly status: number; readonly type?: string | undefined; readonly name?: string | undefined }
): TokenError.RenewalReason => {
  const { headers } = response
  const { status, type } = problem
  const answer = { status, type }
  if (status < 400) return new TokenError.MalformedResponse({ status, problem: "a redirect, which is not followed" })
  if (status >= 500 || status === 407 || status === 408) {
    return new TokenError.ProviderUnavailable({
      status,
      failure: "status",
      retryAfter: secondsOf(headers["retry-after"])
    })
  }
  switch (status) {
    case 400:
    case 401: {
      if (type !== undefined && aboutTheRequest.includes(type)) return new TokenError.BadRequest(problem)
      if (operation === "refresh") return new TokenError.RefreshTokenRejected(answer)
      const advice = `check that it is a key of ${server.name}: a sandbox key in production is the usual cause`
      return new TokenError.InvalidCredentials({ ...answer, advice })
    }
    case 403:
      return new TokenError.AccountSuspended(answer)
    case 404:
    case 405:
      return invalid("baseUrl", `it answered ${status}, so it is not api.video's`)
    case 429:
      return new TokenError.RateLimited({
        retryAfter: secondsOf(headers["retry-after"]) ?? secondsOf(headers["x-ratelimit-retry-after"]),
        limit: numberOf(headers["x-ratelimit-limit"]),
        remaining: numberOf(headers["x-ratelimit-remaining"])
      })
    default:
      return new TokenError.BadRequest(problem)
  }
}

/** What a request without a usable answer means; a refresh that may have arrived is ambiguous. */
const reasonOfFailure = (
  operation: "login" | "refresh",
  error: HttpClientError.HttpClientError
): TokenError.RenewalReason => {
  const status = error.response?.status
  switch (error.reason._tag) {
    case "InvalidUrlError":
    case "EncodeError":
      return invalid("baseUrl", "no request can be made of it")
    case "TransportError": {
      const unavailable = new TokenError.ProviderUnavailable({ failure: failureOf(error) })
      return operation === "refresh" && unavailable.sent
        ? new TokenError.AmbiguousExchange({ failure: unavailable.failure })
        : unavailable
    }
    default:
      return unreadable(operation, status, "not JSON")
  }
}

const unreadable = (operation: "login" | "refresh", status: number | undefined, problem: string) =>
  operation === "refresh"
    ? new TokenError.AmbiguousExchange({ status })
    : new TokenError.MalformedResponse({ status, problem })

/** Makes the two exchanges of a server: POST, JSON in and out, no `Authorization`, one attempt each. */
export const makeExchange = (httpClient: HttpClient.HttpClient, server: Server) => {
  const client = discreet(true)(httpClient)
  return Effect.fnUntraced(function* (
    operation: "login" | "refresh",
    payload: Readonly<Record<string, string>>
  ): Effect.fn.Return<AccessToken.TokenResponse, TokenError.RenewalReason> {
    const path = operation === "login" ? "/auth/api-key" : "/auth/refresh"
    const request = HttpClientRequest.post(`${server.baseUrl}${path}`, { headers: server.headers, acceptJson: true })
    const failed = Effect.mapError((error: HttpClientError.HttpClientError) => reasonOfFailure(operation, error))
    const response = yield* failed(client.execute(HttpClientRequest.bodyJsonUnsafe(request, payload)))
    if (response.status < 200 || response.status > 299) {
      return yield* reasonOf(operation, server, response, yield* readProblem(response))
    }
    const body = yield* failed(response.json)
    return yield* Effect.mapError(AccessToken.decodeResponse(body), ({ problem }) =>
      unreadable(operation, response.status, problem)
    )
  })
}

/**
 * Names a credential without telling it: the first 64 bits of a SHA-256 over host and key. A page that is not served
 * securely has no SHA-256, and a name of its own.
 */
export const identityOf = (server: Server, key: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(async () => {
      const text = new TextEncoder().encode(`${server.baseUrl}\n${key}`)
      return crypto.subtle?.digest("SHA-256", text) ?? crypto.getRandomValues(new Uint8Array(8)).buffer
    }),
    (digest) => `api.video:${new URL(server.baseUrl).host}:${new DataView(digest).getBigUint64(0).toString(16)}`
  )
