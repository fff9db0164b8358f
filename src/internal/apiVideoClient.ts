/**
 * api.video's client: what is composed around the credential. Rate limits by class of request, typed errors, retries,
 * timeouts.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as AccessToken from "../AccessToken.ts"
import { type ApiVideo, type ClientError, type ClientOptions, RequestTimeout } from "../ApiVideo.ts"
import * as ApiVideoError from "../ApiVideoError.ts"
import * as TokenError from "../TokenError.ts"
import { makeServer, readProblem, type Server, withProvider } from "./apiVideo.ts"
import { discreet, failureOf, isReplayable, readAll, secretPath } from "./http.ts"
import { originOf } from "./origin.ts"

type Client = ApiVideo["Service"]

/** What api.video counts apart, a minute each. */
type RequestClass = "uploads" | "writes" | "reads"

const isUpload = (request: HttpClientRequest.HttpClientRequest): boolean =>
  request.method === "POST" && /\/(source|upload)$/.test(pathOf(request))

/** `POST /upload?token=`: the upload token is the credential, and a 401 is about that. */
export const isDelegatedUpload = (request: HttpClientRequest.HttpClientRequest): boolean => {
  if (request.method !== "POST" || !pathOf(request).endsWith("/upload")) return false
  return Option.match(HttpClientRequest.toUrl(request), {
    onNone: () => false,
    onSome: (url) => url.searchParams.has("token")
  })
}

const pathOf = (request: HttpClientRequest.HttpClientRequest): string => request.url.replace(/[?#].*$/s, "")

const classOf = (request: HttpClientRequest.HttpClientRequest): RequestClass =>
  isUpload(request) ? "uploads" : request.method === "GET" || request.method === "HEAD" ? "reads" : "writes"

const documentedLimits = {
  sandbox: { uploads: 40, writes: 40, reads: 100 },
  production: { uploads: 100, writes: 200, reads: 500 }
} as const

const windowOfLimits = Duration.minutes(1)

/**
 * api.video's `X-RateLimit-Retry-After` is the time until its minute resets, on every answer. Effect's limiter takes it
 * for the window itself, and would let a whole minute's requests through in what is left of one: so the window is ours.
 */
const pinWindow = (limiter: RateLimiter.RateLimiter): RateLimiter.RateLimiter => ({
  ...limiter,
  consume: (options) => limiter.consume({ ...options, window: windowOfLimits }),
  adaptiveConsume: (options) => limiter.adaptiveConsume({ ...options, fallbackWindow: windowOfLimits })
})

/** The limiter throws a 429 away when it sends the request again. One that was read has given its connection back. */
const buffered = (self: Client): Client =>
  HttpClient.transformResponse(
    self,
    Effect.flatMap((response) =>
      response.status !== 429
        ? Effect.succeed(response)
        : Effect.map(readAll(response, 5_000), (body) => {
            const { headers, request, status } = response
            return HttpClientResponse.fromWeb(request, new Response(body ?? null, { headers, status }))
          })
    )
  )

const rateLimited = Effect.fnUntraced(function* (
  options: ClientOptions,
  server: Server
): Effect.fn.Return<(self: Client) => Client, never, Scope.Scope> {
  const limits = options.rateLimits ?? documentedLimits[options.environment ?? "production"]
  if (limits === false) return (self) => self
  const limiter = pinWindow(
    options.rateLimiter ??
      Context.get(
        yield* Layer.build(Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory)),
        RateLimiter.RateLimiter
      )
  )
  return (self) => {
    const limit = (name: RequestClass) =>
      HttpClient.withRateLimiter(buffered(self), {
        limiter,
        key: `api.video:${new URL(server.baseUrl).host}:${name}`,
        limit: limits[name],
        window: windowOfLimits,
        times: options.rateLimitRetries ?? 3,
        responseHeaders: { retryAfter: "x-ratelimit-retry-after", resetAfter: "x-ratelimit-retry-after" }
      })
    const classes = { uploads: limit("uploads"), writes: limit("writes"), reads: limit("reads") }
    return HttpClient.makeWith(
      Effect.flatMap((request) => classes[classOf(request)].postprocess(Effect.succeed(request))),
      self.preprocess
    )
  }
})

const idempotent = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])

/** A server that asks for more is not waited for: the error says how long. */
const longestWait = Duration.minutes(1)

/** Whether a request may go again after an error: never where it may have been carried out once already. */
const mayRetry = (request: HttpClientRequest.HttpClientRequest, error: ClientError): boolean => {
  if (!isReplayable(request)) return false
  if (error._tag === "ApiVideoError") {
    const { isRetryable, reason, retryAfter = Duration.zero } = error
    const isSoon = !Duration.isGreaterThan(retryAfter, longestWait)
    return isRetryable && isSoon && reason._tag !== "RateLimited" && idempotent.has(request.method)
  }
  if (error._tag !== "HttpClientError" || error.reason._tag !== "TransportError") return false
  return failureOf(error) === "connect" || idempotent.has(request.method)
}

const defaultRetry = Schedule.exponential("200 millis").pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 2 }),
  Schedule.setInputType<ClientError>()
)

const retried =
  (schedule: Schedule.Schedule<unknown, ClientError>) =>
  (self: Client): Client => {
    const patient = Schedule.modifyDelay(schedule, ({ duration, input }) =>
      Effect.succeed(
        input._tag === "ApiVideoError" && input.retryAfter !== undefined
          ? Duration.max(duration, input.retryAfter)
          : duration
      )
    )
    return HttpClient.transform(self, (effect, request) =>
      Effect.retry(effect, { schedule: patient, while: (error) => mayRetry(request, error) })
    )
  }

const defaultTimeout = Duration.seconds(60)

/** Bounds the wait for the head of an answer, on the wire: waiting for a token or a rate limit does not count. */
const timed = (self: Client): Client =>
  HttpClient.transform(self, (effect, request) =>
    Effect.withFiber((fiber) => {
      const duration = fiber.getRef(RequestTimeout) ?? (isUpload(request) ? Duration.infinity : defaultTimeout)
      if (!Duration.isFinite(duration)) return effect
      const description = `no answer within ${Duration.toSeconds(duration)} s`
      const late = new HttpClientError.TransportError({ request, description })
      return Effect.timeoutOrElse(effect, {
        duration,
        orElse: () => Effect.fail(new HttpClientError.HttpClientError({ reason: late }))
      })
    })
  )

/**
 * A connection that breaks says which request it was of: without its credential, that is, in the header or in the path. A
 * span would say it as well, so a request with a credential in its path has none.
 */
const concealed = (self: Client): Client =>
  HttpClient.transform(self, (effect, request) => {
    const attempt = Effect.mapError(effect, (error) => {
      if (error._tag !== "HttpClientError" || error.reason._tag !== "TransportError") return error
      const shown = request.pipe(
        HttpClientRequest.setUrl(request.url.replace(secretPath, "<redacted>")),
        HttpClientRequest.removeHeader("authorization")
      )
      const { cause, description = "" } = error.reason
      const reason = new HttpClientError.TransportError({ request: shown, cause, description })
      return new HttpClientError.HttpClientError({ reason })
    })
    return secretPath.test(request.url)
      ? Effect.provideService(attempt, HttpClient.TracerDisabledWhen, () => true)
      : attempt
  })

/** From 400 up an answer is an error, also where a client inside has made one of it already. */
const typed = (self: Client): Client =>
  HttpClient.transformResponse(
    self,
    Effect.matchEffect({
      onSuccess: (response) =>
        response.status < 400 ? Effect.succeed(response) : Effect.flip(ApiVideoError.fromResponse(response)),
      onFailure: (error) =>
        error._tag === "HttpClientError" && error.reason._tag === "StatusCodeError"
          ? Effect.flip(ApiVideoError.fromResponse(error.reason.response))
          : Effect.fail(error)
    })
  )

/** An upload token in a URL is printed by errors and spans; as a redacted parameter it is not. */
const withRedactedToken = (request: HttpClientRequest.HttpClientRequest): HttpClientRequest.HttpClientRequest => {
  const url = Option.getOrUndefined(HttpClientRequest.toUrl(request))
  const token = url?.searchParams.get("token")
  if (url === undefined || !token) return request
  url.searchParams.delete("token")
  return request.pipe(
    HttpClientRequest.setUrl(url),
    HttpClientRequest.setUrlParams({ token: Redacted.make(token, { label: "upload_token" }) })
  )
}

/** Paths are relative to the base URL; of an absolute URL only the origin matters, which the credential's guard checks. */
const based =
  (server: Server) =>
  (self: Client): Client => {
    const origin = originOf(server.baseUrl)
    return HttpClient.mapRequest(self, (request) => {
      const target = originOf(request.url)
      if (target !== "" && target !== origin) return request
      const whole = target === "" ? HttpClientRequest.prependUrl(request, server.baseUrl) : request
      return withRedactedToken(whole).pipe(HttpClientRequest.acceptJson, HttpClientRequest.setHeaders(server.headers))
    })
  }

/** Base, then the credential, then limiter, breaker, typed errors and retry: each attempt gets a token valid then. */
export const make = Effect.fnUntraced(function* (
  options: ClientOptions,
  authenticated: (server: Server) => (self: Client) => Client
): Effect.fn.Return<ApiVideo["Service"], TokenError.TokenError, HttpClient.HttpClient | Scope.Scope> {
  const server = yield* makeServer(options)
  const limited = yield* rateLimited(options, server)
  const { circuitBreaker = identity, retry = defaultRetry } = options
  const base: Client = HttpClient.transformResponse(
    yield* HttpClient.HttpClient,
    (effect): Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError> => effect
  )
  const client = base.pipe(
    discreet(false),
    timed,
    concealed,
    based(server),
    authenticated(server),
    limited,
    circuitBreaker,
    typed,
    retry === false ? identity : retried(retry)
  )
  return client
})

/** A 401 that a fresh token did not heal: the token was past its time, or it was refused as it was. */
export const unhealed =
  (server: Server, clock: Clock.Clock) =>
  (
    response: HttpClientResponse.HttpClientResponse,
    token: AccessToken.AccessToken
  ): Effect.Effect<never, TokenError.TokenError> =>
    Effect.flatMap(readProblem(response), ({ status, type }) =>
      Effect.fail(
        token.expiresAt <= clock.currentTimeMillisUnsafe()
          ? new TokenError.TokenExpired({ status, type, expiredAt: token.expiresAt })
          : new TokenError.TokenRejected({ status, type })
      ).pipe(withProvider(server.name))
    )
