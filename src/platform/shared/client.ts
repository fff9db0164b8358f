/**
 * The client of a platform: what is composed around the credential. Timeouts, typed errors, retries; rate limits are
 * `limiter.ts`.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as BearerClient from "../BearerClient.ts"
import * as TokenError from "../../token/TokenError.ts"
import { TokenService } from "../../token/TokenService.ts"
import { credentialsOf, scrubbed } from "./apiError.ts"
import { readError } from "./body.ts"
import { reportOf } from "./cause.ts"
import { discreet, failureOf, isStatusCodeError } from "./http.ts"
import { limited, type LimiterOptions, type Limits, minute } from "./limiter.ts"
import { isRepeatable } from "./repeat.ts"
import { observersOf } from "../../token/shared/observers.ts"
import { originOf } from "./origin.ts"
import type { Server } from "./server.ts"
import { withProvider } from "../../token/shared/failures.ts"

/** Everything that a request can fail with, where `E` is the platform's own error. */
export type ClientError<E> =
  | E
  | TokenError.TokenError
  | HttpClientError.HttpClientError
  | RateLimiter.RateLimiterError
  | CircuitBreaker.CircuitBreakerError

export type Client<E> = HttpClient.HttpClient.With<ClientError<E>>

/** How a client behaves around the token, whatever the platform. */
export interface ClientOptions<E> extends LimiterOptions {
  /**
   * A circuit breaker to go through: `(client) => HttpClient.withCircuitBreaker(client, { breaker })`. It sees a request
   * after the limiter has let it pass and before it is retried.
   * @default none
   */
  readonly circuitBreaker?: ((client: Client<E>) => Client<E>) | undefined
  /**
   * Delays before a request goes again: idempotent methods after a transient failure (timeouts, 408, 5xx, a broken
   * connection), any method if the connection was never made. `Retry-After` lengthens them; where it asks for more than
   * a minute the error comes at once. `false` switches it off.
   * @default two retries after 200 ms and 400 ms, jittered
   */
  readonly retry?: Schedule.Schedule<unknown, ClientError<E>> | false | undefined
}

/** A platform's own error, as far as a retry looks at it. */
interface ApiError {
  readonly isRetryable: boolean
  readonly retryAfter: Duration.Duration | undefined
  readonly reason: { readonly _tag: string }
}

/** What a client has to know of a platform. */
export interface Api<E extends ApiError> {
  readonly server: Server
  readonly limits: Limits | false
  readonly isUpload: (request: HttpClientRequest.HttpClientRequest) => boolean
  /** The last touch to a request, whose URL is whole. */
  readonly prepare: (
    request: HttpClientRequest.HttpClientRequest,
    isOwn: boolean
  ) => HttpClientRequest.HttpClientRequest
  /** A URL without the credentials in it. */
  readonly redactUrl: (url: string) => string
  /** Answers from 400 up that are good ones all the same. */
  readonly isGood?: (response: HttpClientResponse.HttpClientResponse) => boolean
  readonly fromResponse: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<E>
  /** The class of what `fromResponse` gives. */
  readonly Error: new (...args: never) => E
}

/** How long an attempt may wait for the head of its answer; unset, the client's own idea of it. */
export const RequestTimeout: Context.Reference<Duration.Duration | undefined> = /* @__PURE__ */ Context.Reference(
  "effect-video-auth/RequestTimeout",
  { defaultValue: () => undefined as Duration.Duration | undefined }
)

const brokenOff = (why: ConstructorParameters<typeof HttpClientError.TransportError>[0]) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError(why) })

/** Bounds the wait for the head of an answer, on the wire: waiting for a token or a rate limit does not count. */
const timed =
  <E extends ApiError>({ isUpload }: Api<E>) =>
  (self: Client<E>): Client<E> =>
    HttpClient.transform(self, (effect, request) =>
      Effect.withFiber((fiber) => {
        const duration = fiber.getRef(RequestTimeout) ?? (isUpload(request) ? Duration.infinity : minute)
        return Effect.timeoutOrElse(effect, {
          duration,
          orElse: () =>
            Effect.fail(brokenOff({ request, description: `no answer within ${Duration.toSeconds(duration)} s` }))
        })
      })
    )

/**
 * Errors carry the request they belong to, with credentials removed from its headers and URL, and without its body, which
 * may have secrets of its own. A request with a credential in its URL has no span, because a span would show the URL.
 */
const concealed =
  <E extends ApiError>({ redactUrl }: Api<E>) =>
  (self: Client<E>): Client<E> =>
    HttpClient.transform(self, (effect, request) => {
      const url = redactUrl(request.url)
      const attempt = Effect.mapError(effect, (error) => {
        if (!isBrokenOff(error)) return error
        const shown = request.pipe(
          HttpClientRequest.setUrl(url),
          HttpClientRequest.removeHeader("authorization"),
          HttpClientRequest.setBody(HttpBody.empty)
        )
        const {
          cause,
          description = reportOf(cause, (text) => redactUrl(scrubbed(text, credentialsOf(request))))?.text
        } = error.reason
        return brokenOff({ request: shown, cause, ...(description !== undefined && { description }) })
      })
      return url === request.url ? attempt : Effect.provideService(attempt, HttpClient.TracerDisabledWhen, () => true)
    })

/** There was no answer. */
const isBrokenOff = (error: unknown): error is HttpClientError.HttpClientError =>
  HttpClientError.isHttpClientError(error) && !error.response

/** Paths are relative to the base URL; of an absolute URL only the origin matters, which the credential's guard checks. */
const based =
  <E extends ApiError>({ prepare, server }: Api<E>) =>
  (self: Client<E>): Client<E> => {
    const origin = originOf(server.baseUrl)
    return HttpClient.mapRequest(self, (request) => {
      const target = originOf(request.url)
      if (target && target !== origin) return prepare(request, false)
      const whole = target ? request : HttpClientRequest.prependUrl(request, server.baseUrl)
      return prepare(whole, true).pipe(HttpClientRequest.acceptJson, HttpClientRequest.setHeaders(server.headers))
    })
  }

/** From 400 up an answer is an error, unless the platform means something else by it. */
const typed =
  <E extends ApiError>({ fromResponse, isGood }: Api<E>) =>
  (self: Client<E>): Client<E> =>
    HttpClient.transformResponse(
      self,
      Effect.flatMap((response) =>
        response.status < 400 || isGood?.(response) ? Effect.succeed(response) : Effect.flip(fromResponse(response))
      )
    )

const isIdempotent = ({ method }: HttpClientRequest.HttpClientRequest) => /^(GET|HEAD|OPTIONS|PUT|DELETE)$/.test(method)

const defaultRetry = Schedule.exponential("200 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 2 }))

const retried =
  <E extends ApiError>(api: Api<E>, { retry = defaultRetry }: ClientOptions<E>) =>
  (self: Client<E>): Client<E> => {
    if (retry === false) return self
    const waitOf = (error: ClientError<E>) =>
      (error instanceof api.Error ? error.retryAfter : undefined) ?? Duration.zero
    // A 429 is the limiter's to send again. A server that asks for more is not waited for: the error says how long.
    const isTransient = (error: ClientError<E>) =>
      isBrokenOff(error) ||
      (error instanceof api.Error &&
        error.isRetryable &&
        error.reason._tag !== "RateLimited" &&
        !Duration.isGreaterThan(waitOf(error), minute))
    /** Whether a request may go again after an error: never where it may have been carried out once already. */
    const mayRetry = (request: HttpClientRequest.HttpClientRequest, error: ClientError<E>): Effect.Effect<boolean> =>
      (isIdempotent(request) && isTransient(error)) || (isBrokenOff(error) && failureOf(error) === "connect")
        ? isRepeatable(request)
        : Effect.succeed(false)
    const patient = Schedule.modifyDelay(retry, ({ duration, input }) =>
      Effect.succeed(Duration.max(duration, waitOf(input)))
    )
    return HttpClient.transform(self, (effect, request) =>
      Effect.retry(effect, { schedule: patient, while: (error) => mayRetry(request, error) })
    )
  }

/** Base, then the credential, then limiter, breaker, typed errors and retry: each attempt gets a token valid then. */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E extends ApiError>(
  api: Api<E>,
  options: ClientOptions<E>,
  authenticated: (self: Client<E>) => Client<E>
): Effect.fn.Return<Client<E>, never, HttpClient.HttpClient | Scope.Scope> {
  const { circuitBreaker = identity } = options
  const base: Client<E> = HttpClient.transformResponse(
    yield* HttpClient.HttpClient,
    (effect): Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError<E>> =>
      // Of a status, the client inside may have made an error already.
      Effect.catchIf(effect, isStatusCodeError, ({ reason }) => Effect.succeed(reason.response))
  )
  return base.pipe(
    discreet(false),
    timed(api),
    concealed(api),
    based(api),
    authenticated,
    yield* limited<ClientError<E>>(api.server, api.limits, options),
    circuitBreaker,
    typed(api),
    retried(api, options)
  )
})

interface BearerOptions extends Pick<BearerClient.Options, "anonymous"> {
  /** What may be said of a 401: its status, and a slug that the platform documents. */
  readonly read: (status: number, body: unknown) => { readonly status: number; readonly type?: string | undefined }
}

/**
 * The bearer token of the service, sent to the server's origin alone. A 401 that a fresh token did not heal is a
 * `TokenError`: the token was past its time, or it was refused as it was.
 */
export const bearer = Effect.fnUntraced(function* (server: Server, { anonymous, read }: BearerOptions) {
  const clock = yield* Clock.Clock
  return BearerClient.make(yield* TokenService, {
    origins: [server.baseUrl],
    provider: server.name,
    anonymous,
    observers: observersOf(yield* Effect.context()),
    unhealed: (response, token) =>
      Effect.flatMap(readError(response), (content) => {
        const { status, type } = read(response.status, content._tag === "Json" ? content.value : undefined)
        return Effect.fail(
          token.expiresAt <= clock.currentTimeMillisUnsafe()
            ? new TokenError.TokenExpired({ status, type, expiredAt: token.expiresAt })
            : new TokenError.TokenRejected({ status, type })
        )
      }).pipe(withProvider(server.name))
  })
})
