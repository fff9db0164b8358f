/** The rate limits of a platform's client: requests per minute, by class of request. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type * as Scope from "effect/Scope"
import { drain } from "./body.ts"
import { retryAfterOf } from "./http.ts"
import { originOf } from "./origin.ts"
import type { Server } from "./server.ts"

/** How a client limits itself, whatever the platform. */
export interface LimiterOptions {
  /** A limiter to share, as one on Redis for a fleet. @default one in memory */
  readonly rateLimiter?: RateLimiter.RateLimiter | undefined
  /** How often a request that got 429 waits and goes again. @default 3 */
  readonly rateLimitRetries?: number | undefined
}

/** What a platform counts apart, a minute each. */
export interface Limits {
  /** Requests per minute, by name of their class. */
  readonly perMinute: Readonly<Record<string, number>>
  /** The class of a request to the platform; one to another server is not counted. */
  readonly classOf: (request: HttpClientRequest.HttpClientRequest) => string
  /** Header with the seconds until the minute resets. */
  readonly resetAfter: string
}

export const minute = Duration.minutes(1)

/**
 * A header that says when the minute resets is on every answer. Effect's limiter takes it for the window itself, and would
 * let a whole minute's requests through in what is left of one: so the window is ours.
 */
const pinWindow = (limiter: RateLimiter.RateLimiter): RateLimiter.RateLimiter => ({
  ...limiter,
  consume: (options) => limiter.consume({ ...options, window: minute }),
  adaptiveConsume: (options) => limiter.adaptiveConsume({ ...options, fallbackWindow: minute })
})

/**
 * Tells the limiter how long to wait. It throws a 429 away when it sends the request again: one that was read has given
 * its connection back. One that does not say in seconds how long to wait would go again at once: it waits for a minute,
 * after which there is room. Some servers write an instant where seconds belong, and no request would ever go again: of
 * an answer that is no 429, what is no number up to an hour is a minute.
 */
const tell = (resetAfter: string) => (response: HttpClientResponse.HttpClientResponse) => {
  const { headers, status } = response
  const told = () => {
    const seconds = Math.ceil(Duration.toSeconds(retryAfterOf(response) ?? minute))
    return Object.defineProperty(response, "headers", {
      value: Headers.set(headers, resetAfter, String(seconds))
    })
  }
  return status === 429
    ? Effect.map(drain(response), told)
    : Effect.succeed(Number(headers[resetAfter] ?? 0) <= 3600 ? response : told())
}

/** A limiter of this process' own. */
export const inMemory: Effect.Effect<RateLimiter.RateLimiter, never, Scope.Scope> = /* @__PURE__ */ Effect.map(
  /* @__PURE__ */ Layer.build(/* @__PURE__ */ Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory)),
  (context) => Context.get(context, RateLimiter.RateLimiter)
)

/** Makes what holds requests back. */
export const limited = Effect.fnUntraced(function* <E>(
  server: Server,
  limits: Limits | false,
  options: LimiterOptions
): Effect.fn.Return<
  (
    self: HttpClient.HttpClient.With<E | RateLimiter.RateLimiterError>
  ) => HttpClient.HttpClient.With<E | RateLimiter.RateLimiterError>,
  never,
  Scope.Scope
> {
  if (limits === false) return identity
  const limiter = pinWindow(options.rateLimiter ?? (yield* inMemory))
  const { classOf, perMinute, resetAfter } = limits
  const origin = originOf(server.baseUrl)
  return (self) => {
    const careful = HttpClient.transformResponse(self, Effect.flatMap(tell(resetAfter)))
    const classes = new Map(
      Object.entries(perMinute).map(([name, limit]) => [
        name,
        HttpClient.withRateLimiter(careful, {
          limiter,
          key: `${server.platform}:${server.host}:${name}`,
          limit,
          window: minute,
          times: options.rateLimitRetries ?? 3,
          responseHeaders: { reset: resetAfter, resetAfter, retryAfter: resetAfter }
        })
      ])
    )
    return HttpClient.makeWith(
      Effect.flatMap((request) => {
        // What another server says of its limits is not about this one.
        const limited = originOf(request.url) === origin ? classes.get(classOf(request)) : undefined
        return (limited ?? self).postprocess(Effect.succeed(request))
      }),
      self.preprocess
    )
  }
})
