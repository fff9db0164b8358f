/**
 * The client of a platform: everything around the credential. Rate limits are in `limiter.ts`, retries in `retry.ts`, and
 * what one call may cost in `budget.ts`.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import type { Errors } from "../PlatformError.ts"
import * as BearerClient from "../BearerClient.ts"
import * as TokenError from "../../token/TokenError.ts"
import { TokenService } from "../../token/TokenService.ts"
import { credentialsOf, scrubbed } from "./apiError.ts"
import { readError } from "./body.ts"
import { reportOf } from "./cause.ts"
import { runWithin } from "./deadline.ts"
import { isStatusCodeError, withoutRedirectsAndTraceHeaders, withoutSpans } from "./http.ts"
import { CallBudget, patienceOf } from "./budget.ts"
import { Lanes, limited, type LimiterOptions, type Limits, waitObserver } from "./limiter.ts"
import { defaultRetry, type Failure, isBrokenOff, isCircuitOpen, retried } from "./retry.ts"
import { observersOf } from "../../token/shared/observers.ts"
import { originOf } from "./origin.ts"
import type { Server } from "./server.ts"
import { withProvider } from "../../token/shared/failures.ts"

/** Everything that a request can fail with, where `E` is the platform's own error. */
export type ClientError<E> = E | TokenError.TokenError | HttpClientError.HttpClientError

/** An `HttpClient` within the pipeline of a client. */
export type Wire<E> = HttpClient.HttpClient.With<ClientError<E>>

/**
 * The client of a platform: the methods of an `HttpClient`, with typed errors and retries.
 *
 * It is no `HttpClient`, because combinators such as `HttpClient.followRedirects`, `retryTransient` and `withCircuitBreaker`
 * look for responses, and this client turns those into errors. They work in the option `transformClient`, and on
 * `httpClient`.
 */
export interface Client<E> extends Pick<
  Wire<E>,
  "execute" | "get" | "query" | "head" | "post" | "patch" | "put" | "del" | "options"
> {
  /**
   * The same client without typed errors and retries, for `HttpApiClient.makeWith` and for Effect's combinators: base URL,
   * credential, rate limits and `transformClient`. Every response is a success here, whatever its status.
   */
  readonly httpClient: Wire<E>
}

/** How a client behaves around the token, whatever the platform. */
export interface ClientOptions<E> extends LimiterOptions {
  /**
   * Composes something into the client, between the rate limit and the typed errors, where it sees every attempt and every
   * response: `HttpClient.followRedirects()`, `HttpClient.retryTransient({ times: 2 })`, or a circuit breaker, as in
   * `(client) => HttpClient.withCircuitBreaker(client, { breaker })`. A request that an open circuit stops fails with an
   * `HttpClientError` whose `cause` is the breaker's error.
   * @default nothing
   */
  readonly transformClient?:
    | ((client: Wire<E>) => Wire<E> | HttpClient.HttpClient.With<ClientError<E> | CircuitBreaker.CircuitBreakerError>)
    | undefined
  /**
   * Delays before a failed request is sent again: idempotent methods after a transient failure (timeouts, 408, 5xx, a broken
   * connection), any method if no connection was made. `Retry-After` lengthens them, up to `rateLimitMaxWait`; if it asks
   * for more, the request fails at once. `false` switches retries off.
   * @default two retries after 200 ms and 400 ms, jittered
   */
  readonly retry?: Schedule.Schedule<unknown, ClientError<E>> | false | undefined
}

/** A platform's own error, as far as a retry looks at it. */
export interface ApiError {
  readonly isRetryable: boolean
  readonly retryAfter: Duration.Duration | undefined
  readonly reason: { readonly _tag: string }
}

/** What a client has to know of a platform. */
export interface Api<E extends ApiError> {
  readonly server: Server
  readonly limits: Limits
  readonly errors: Errors<E>
  readonly isUpload: (request: HttpClientRequest.HttpClientRequest) => boolean
  /** The last touch to a request, whose URL is whole. */
  readonly prepare: (
    request: HttpClientRequest.HttpClientRequest,
    isOwn: boolean
  ) => HttpClientRequest.HttpClientRequest
  /** Answers from 400 up that are good ones all the same. */
  readonly isGood: (response: HttpClientResponse.HttpClientResponse) => boolean
}

/** How long an attempt may wait for the head of its response, unless `RequestTimeout` says otherwise. Milliseconds. */
const usualTimeout = 60_000

/** How long an attempt may wait for the head of its answer; unset, the client's own idea of it. */
export const RequestTimeout: Context.Reference<Duration.Duration | undefined> = /* @__PURE__ */ Context.Reference(
  "effect-video-auth/RequestTimeout",
  { defaultValue: () => undefined as Duration.Duration | undefined }
)

const brokenOff = (why: ConstructorParameters<typeof HttpClientError.TransportError>[0]) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError(why) })

/** A request as errors show it. */
const redactRequest = (request: HttpClientRequest.HttpClientRequest, redactUrl: (url: string) => string) =>
  request.pipe(
    HttpClientRequest.setUrl(redactUrl(request.url)),
    HttpClientRequest.removeHeader("authorization"),
    HttpClientRequest.setBody(HttpBody.empty)
  )

/** The error for a request that got no response, without the credentials and the body of the request. */
const redactBrokenOff = (
  { reason: { cause, description } }: HttpClientError.HttpClientError,
  request: HttpClientRequest.HttpClientRequest,
  redactUrl: (url: string) => string
) => {
  const scrub = (text: string) => redactUrl(scrubbed(text, credentialsOf(request)))
  const text = description ?? reportOf(cause, scrub)?.text
  return brokenOff({
    request: redactRequest(request, redactUrl),
    cause,
    ...(text !== undefined && { description: text })
  })
}

/**
 * Makes the innermost client, through which each attempt passes as it is sent.
 *
 * - It limits the time until the head of the response arrives. Waiting for a token or a rate limit does not count.
 * - A request with a credential in its URL has no span, because a span would show the URL.
 * - A status that the program's own `HttpClient` has turned into an error becomes a response again.
 */
const wireOf = <E extends ApiError>(
  { errors: { redactUrl }, isUpload }: Api<E>,
  self: HttpClient.HttpClient
): Wire<E> =>
  HttpClient.makeWith<ClientError<E>, never, ClientError<E>, never>(
    Effect.flatMap((request) =>
      Effect.withFiber((fiber) => {
        const budget = fiber.getRef(CallBudget)
        if (budget !== undefined) budget.requests += 1
        const configured = fiber.getRef(RequestTimeout)
        const usual = isUpload(request) ? Number.POSITIVE_INFINITY : usualTimeout
        const timeout = configured === undefined ? usual : Duration.toMillis(configured)
        const context = withoutRedirectsAndTraceHeaders(fiber.context)
        const isUrlSecret = redactUrl(request.url) !== request.url
        return Effect.catch(
          runWithin(
            self.postprocess(Effect.succeed(request)),
            isUrlSecret ? withoutSpans(context) : context,
            timeout,
            () => Effect.fail(brokenOff({ request, description: `no answer within ${timeout / 1_000} s` }))
          ),
          (error) =>
            isStatusCodeError(error)
              ? Effect.succeed(error.reason.response)
              : Effect.fail(isBrokenOff(error) ? redactBrokenOff(error, request, redactUrl) : error)
        )
      })
    ),
    self.preprocess
  )

/**
 * Sets the base URL and the headers that every request to the platform has. Paths are relative to the base URL; of an
 * absolute URL only the origin matters, which the credential's guard checks.
 */
const withBaseUrl =
  <E extends ApiError>({ prepare, server }: Api<E>) =>
  (self: Wire<E>): Wire<E> => {
    const origin = originOf(server.baseUrl)
    const ownHeaders = Headers.fromInput({ accept: "application/json", ...server.headers })
    return HttpClient.mapRequest(self, (request) => {
      const target = originOf(request.url)
      if (target && target !== origin) return prepare(request, false)
      const { body, hash, headers, method, url, urlParams } = request
      const separator = url.startsWith("/") ? "" : "/"
      return prepare(
        HttpClientRequest.makeWith(
          method,
          target ? url : `${server.baseUrl}${separator}${url}`,
          urlParams,
          hash,
          Headers.merge(headers, ownHeaders),
          body
        ),
        true
      )
    })
  }

/** Any status from 300 up but 304, and the 0 by which a browser hides a redirect. */
const isFailure = (status: number): boolean => (status >= 300 && status !== 304) || status === 0

/**
 * Turns responses into errors, unless the platform means success by them. A DELETE that is answered by 404 has succeeded, if
 * an earlier attempt of the same call may have deleted it.
 */
const withTypedErrors =
  <E extends ApiError>({ errors: { fromResponse }, isGood }: Api<E>) =>
  (self: Wire<E>): Wire<E> =>
    HttpClient.transformResponse(
      self,
      Effect.flatMap((response) => {
        const { status } = response
        if (!isFailure(status) || isGood(response)) return Effect.succeed(response)
        return Effect.withFiber((fiber) =>
          status === 404 && response.request.method === "DELETE" && fiber.getRef(CallBudget)?.mayBeDeleted === true
            ? Effect.succeed(response)
            : Effect.flip(fromResponse(response))
        )
      })
    )

/** What a retry has to know of an error. */
const failureOfCall =
  <E extends ApiError>(api: Api<E>) =>
  (error: ClientError<E>): Failure =>
    error instanceof api.errors.Error
      ? { isTransient: error.isRetryable && error.reason._tag !== "RateLimited", retryAfter: error.retryAfter }
      : { isTransient: isBrokenOff(error) && !isCircuitOpen(error), retryAfter: undefined }

const isBreakerError = (error: unknown): error is CircuitBreaker.CircuitBreakerError =>
  Predicate.isTagged(error, "CircuitBreakerError")

/** Turns the error of an open circuit breaker, which the program composed in, into that of a request that was not sent. */
const withOpenCircuits =
  <E extends ApiError>({ errors: { redactUrl } }: Api<E>) =>
  (self: Wire<E> | HttpClient.HttpClient.With<ClientError<E> | CircuitBreaker.CircuitBreakerError>): Wire<E> => {
    const notSent = (request: HttpClientRequest.HttpClientRequest) => (cause: CircuitBreaker.CircuitBreakerError) =>
      Effect.fail(
        brokenOff({
          request: redactRequest(request, redactUrl),
          cause,
          description: "not sent, because the circuit is open"
        })
      )
    return HttpClient.makeWith<ClientError<E>, never, ClientError<E>, never>(
      Effect.flatMap((request) =>
        Effect.catchIf(self.postprocess(Effect.succeed(request)), isBreakerError, notSent(request))
      ),
      (request) => Effect.catchIf(self.preprocess(request), isBreakerError, notSent(request))
    )
  }

/**
 * Makes the client: base URL, then the credential, the rate limit, `transformClient`, typed errors and retries. Each
 * attempt gets a token that is valid then. `lanes` are those of several clients that share limits.
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E extends ApiError>(
  api: Api<E>,
  options: ClientOptions<E>,
  authenticated: (self: Wire<E>) => Wire<E>,
  lanes: Lanes = new Lanes(api.server.name, options.rateLimiter)
): Effect.fn.Return<Client<E>, never, HttpClient.HttpClient> {
  const { retry = defaultRetry, transformClient } = options
  const patience = patienceOf(options)
  const { errors, limits, server } = api
  const onWait = waitObserver(server, limits, observersOf(yield* Effect.context()))
  const counted = wireOf(api, yield* HttpClient.HttpClient).pipe(
    withBaseUrl(api),
    authenticated,
    limited<ClientError<E>>({ server, limits, lanes, patience, onWait, rateLimited: errors.rateLimited })
  )
  const httpClient: Wire<E> = transformClient === undefined ? counted : withOpenCircuits(api)(transformClient(counted))
  const reliable = httpClient.pipe(
    withTypedErrors(api),
    retried<ClientError<E>>({ schedule: retry, patience, onWait, read: failureOfCall(api) })
  )
  return Object.assign(reliable, { httpClient })
})

/** Makes a client whose calls pass through `f`. */
export const transform = <E>(
  self: Client<E>,
  f: (
    call: Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError<E>>,
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError<E>>
): Client<E> =>
  Object.assign(
    HttpClient.makeWith<ClientError<E>, never, ClientError<E>, never>(
      Effect.flatMap((request) => f(self.execute(request), request)),
      Effect.succeed
    ),
    { httpClient: self.httpClient }
  )

/** What a platform says about requests with a bearer token. */
export interface BearerOptions extends Pick<BearerClient.Options, "anonymous"> {
  /** The slug in the JSON of a 401, if the platform documents it. @default none */
  readonly slugOf?: ((body: unknown) => string | undefined) | undefined
}

/**
 * The bearer token of the service, sent to the server's origin alone. A 401 that a fresh token did not heal is a
 * `TokenError`: the token was past its time, or it was refused as it was.
 */
export const bearer = Effect.fnUntraced(function* (server: Server, { anonymous, slugOf }: BearerOptions) {
  const clock = yield* Clock.Clock
  return BearerClient.make(yield* TokenService, {
    origins: [server.baseUrl],
    provider: server.name,
    anonymous,
    observers: observersOf(yield* Effect.context()),
    unhealed: (response, token) =>
      Effect.flatMap(readError(response), (content) => {
        const { status } = response
        const type = content._tag === "Json" ? slugOf?.(content.value) : undefined
        return Effect.fail(
          token.expiresAt <= clock.currentTimeMillisUnsafe()
            ? new TokenError.TokenExpired({ status, type, expiredAt: token.expiresAt })
            : new TokenError.TokenRejected({ status, type })
        )
      }).pipe(withProvider(server.name))
  })
})
