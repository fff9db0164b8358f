/**
 * An `HttpClient` that carries a bearer token and recovers from a 401.
 *
 * The client attaches the token at the last moment, when it knows the final URL of each attempt and of each redirect hop,
 * and only if that URL's origin may see the token. Whatever a program composes around the client, such as a limiter that
 * waits, a retry or a mapped URL, gets a token that is valid at that moment, and no other origin ever sees one.
 *
 * One order matters: `HttpClient.withScope` goes inside (on the client given to {@link make}), because it recognises a
 * request by identity, and a request with a token is another object.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { AccessToken } from "../token/AccessToken.ts"
import { reasonOf } from "../token/shared/failures.ts"
import { drain } from "./shared/body.ts"
import { CallBudget } from "./shared/budget.ts"
import { observersOf, tell } from "../token/shared/observers.ts"
import { isSecureOrigin, originOf } from "./shared/origin.ts"
import { isRepeatable, refuseRepeatedBodies } from "./shared/repeat.ts"
import * as TokenError from "../token/TokenError.ts"
import type { Observer } from "../token/TokenEvent.ts"
import type { TokenService } from "../token/TokenService.ts"

/**
 * Where the token may go, and what to do about a 401.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<E = never> {
  /** Origins that may see the token, as in `https://ws.api.video`: https, or http on loopback. */
  readonly origins: ReadonlyArray<string>
  /**
   * Selects requests that go without the token although their origin may see it, and whose 401 means something else (an
   * upload that carries a token of its own).
   */
  readonly anonymous?: ((request: HttpClientRequest.HttpClientRequest) => boolean) | undefined
  /**
   * Names this client in its own errors.
   * @default "BearerClient"
   */
  readonly provider?: string | undefined
  /**
   * Called for each replay (`Replayed`).
   * @default the observers provided where the request is made
   */
  readonly observers?: ReadonlyArray<Observer> | undefined
  /**
   * Turns a 401 to a fresh token into something else.
   * @default the response as it is
   */
  readonly unhealed?:
    | ((
        response: HttpClientResponse.HttpClientResponse,
        token: AccessToken
      ) => Effect.Effect<HttpClientResponse.HttpClientResponse, E>)
    | undefined
}

/**
 * The least time for which a token must stay valid when a request is sent: for a long upload, the time that it may take.
 * If that is longer than the platform's tokens last, the request fails with `LifetimeTooShort`.
 *
 * **Example** (Uploading for twenty minutes)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { BearerClient } from "effect-video-auth"
 *
 * export const longUpload = <A, E, R>(upload: Effect.Effect<A, E, R>) =>
 *   Effect.provideService(upload, BearerClient.MinimumValidity, Duration.minutes(20))
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const MinimumValidity: Context.Reference<Duration.Duration> = Context.Reference(
  "effect-video-auth/BearerClient/MinimumValidity",
  { defaultValue: () => Duration.zero }
)

/** RFC 6750 §3.1: a token with too little scope is valid, and a new one would have the same scope. */
const isAboutScope = (response: HttpClientResponse.HttpClientResponse): boolean =>
  /\berror\s*=\s*"?insufficient_scope/i.test(response.headers["www-authenticate"] ?? "")

/** The response in the error of a client that turns statuses into errors (`filterStatusOk`). */
const responseIn = (cause: Cause.Cause<unknown>): HttpClientResponse.HttpClientResponse | undefined => {
  const error = reasonOf(cause)
  return HttpClientError.isHttpClientError(error) ? error.response : undefined
}

/**
 * Returns a function that makes a client carry the service's token to `origins` and recover once from a 401: the client
 * reports the token to the service, gets a newer one and sends the request again. The service makes one renewal for any
 * number of 401s at the same time.
 *
 * If the body of a request cannot be read again (see `RequestBody`), the client renews the token and fails with
 * `BodyNotRepeatable`. The same reason stops a program's own retry from sending such a body twice.
 *
 * A request that already has an `Authorization` header keeps it and is left alone. A 401 from another origin, to a
 * request with another token, or about scope (`insufficient_scope`) never renews anything, and neither does a 403.
 *
 * Fails with the service's `TokenError` if no token is available, and with `ConfigurationInvalid` on the first request if
 * an origin is invalid.
 *
 * **Example** (A client for an origin of your own)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 * import { BearerClient, TokenService } from "effect-video-auth"
 *
 * export const program = Effect.gen(function*() {
 *   const tokens = yield* TokenService.TokenService
 *   const client = BearerClient.make(tokens, { origins: ["https://video.example.com"] })(yield* HttpClient.HttpClient)
 *   return yield* client.get("https://video.example.com/reports")
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E1 = never>(service: TokenService["Service"], options: Options<E1>) => {
  const { anonymous, provider = "BearerClient", unhealed } = options
  const origins = options.origins.map((origin) => originOf(origin))
  const isSecure = origins.length > 0 && options.origins.every(isSecureOrigin)
  const tokenFor = (validity: Duration.Duration) =>
    Duration.isZero(validity) ? service.get : service.getValidFor(validity)
  const failure = (reason: TokenError.Reason) => Effect.fail(new TokenError.TokenError({ provider, reason }))
  const insecure = failure(
    new TokenError.ConfigurationInvalid({ option: "origins", problem: "each must be https, or http on loopback" })
  )

  const isOurs = (request: HttpClientRequest.HttpClientRequest): boolean =>
    // Most URLs begin with the origin and a slash, after which nothing can change the origin.
    origins.some((origin) => request.url.startsWith(origin) && request.url[origin.length] === "/") ||
    // The URL as the transport resolves it: in a browser even `https:ws.api.video` may be relative to the page.
    origins.includes(originOf(Option.getOrUndefined(HttpClientRequest.toUrl(request)) ?? ""))

  /** If `fetch` has followed redirects by itself, only the URL of the response tells which server responded. */
  const isAnsweredByOurs = (response: HttpClientResponse.HttpClientResponse): boolean =>
    isOurs(response.request) && (response.url === "" || origins.includes(originOf(response.url)))

  /** A 401 whose own request, the last of its redirect hops, went to an origin of ours with this very token. */
  const isRefusal = (response: HttpClientResponse.HttpClientResponse, token: AccessToken): boolean =>
    response.status === 401 &&
    response.request.headers["authorization"] === `Bearer ${Redacted.value(token.accessToken)}` &&
    isAnsweredByOurs(response) &&
    !isAboutScope(response)

  /** Renews once more if another request has renewed the token long ago, and it is too old for this one. */
  const renewed = (token: AccessToken, validity: Duration.Duration) =>
    Duration.isZero(validity)
      ? service.reject(token)
      : Effect.andThen(service.reject(token), service.getValidFor(validity))

  /** The outcome of a 401 that no renewal heals. */
  const whenUnhealed = <E, R>(
    response: HttpClientResponse.HttpClientResponse,
    asItWas: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>,
    token: AccessToken
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, E | E1, R> =>
    unhealed === undefined ? asItWas : unhealed(response, token)

  return <E, R>(
    self: HttpClient.HttpClient.With<E, R>
  ): HttpClient.HttpClient.With<E | E1 | TokenError.TokenError, R> => {
    const wire = refuseRepeatedBodies(provider)(self)
    type Result = Effect.Effect<HttpClientResponse.HttpClientResponse, E | E1 | TokenError.TokenError, R>
    /** Handles a 401. `asItWas` is the outcome if nothing is done, and `token` the one that was refused. */
    type OnRefusal = (response: HttpClientResponse.HttpClientResponse, asItWas: Result, token: AccessToken) => Result

    /**
     * Sends with a token, and calls `onRefusal` after a 401, also if the client inside has turned it into an error. Runs
     * once: a retry inside runs `signed` again, which asks for the token that is valid by then.
     */
    const send = (
      request: HttpClientRequest.HttpClientRequest,
      first: AccessToken,
      validity: Duration.Duration,
      onRefusal: OnRefusal
    ): Result => {
      let token = first
      let isFirstAttempt = true
      const sign = (valid: AccessToken) => {
        token = valid
        return HttpClientRequest.bearerToken(request, valid.accessToken)
      }
      const signed = Effect.suspend(() => {
        if (isFirstAttempt) {
          isFirstAttempt = false
          return Effect.succeed(sign(first))
        }
        // The client inside cannot fail with a TokenError. If no newer token is available, the API judges the last one.
        return Effect.map(
          Effect.catch(tokenFor(validity), () => Effect.succeed(token)),
          sign
        )
      })
      return Effect.matchCauseEffect(wire.postprocess(signed), {
        onSuccess: (response) => {
          const asItWas = Effect.succeed(response)
          return isRefusal(response, token) ? onRefusal(response, asItWas, token) : asItWas
        },
        onFailure: (cause) => {
          const asItWas = Effect.failCause(cause)
          const response = responseIn(cause)
          return response !== undefined && isRefusal(response, token) ? onRefusal(response, asItWas, token) : asItWas
        }
      })
    }

    const recover =
      (
        request: HttpClientRequest.HttpClientRequest,
        validity: Duration.Duration,
        context: Context.Context<never>
      ): OnRefusal =>
      (response, asItWas, token) => {
        const budget = Context.get(context, CallBudget)
        if (budget?.canRecover === false) return whenUnhealed(response, asItWas, token)
        if (budget !== undefined) budget.canRecover = false
        // An unread response would keep its connection.
        return Effect.andThen(
          drain(response, 1_000),
          Effect.flatMap(isRepeatable(request), (isRepeatable): Result => {
            if (!isRepeatable) {
              const reason = new TokenError.BodyNotRepeatable({ status: response.status })
              return Effect.andThen(renewed(token, validity), failure(reason))
            }
            return Effect.flatMap(renewed(token, validity), (fresh) => {
              return Effect.andThen(
                tell(options.observers ?? observersOf(context), { _tag: "Replayed" }),
                send(request, fresh, validity, whenUnhealed)
              )
            })
          })
        )
      }

    return HttpClient.makeWith(
      Effect.flatMap((request: HttpClientRequest.HttpClientRequest): Result => {
        if (!isSecure) return insecure
        const carries =
          request.headers["authorization"] === undefined && isOurs(request) && anonymous?.(request) !== true
        if (!carries) return wire.postprocess(Effect.succeed(request))
        return Effect.withFiber((fiber) => {
          const validity = fiber.getRef(MinimumValidity)
          return Effect.flatMap(tokenFor(validity), (token) =>
            send(request, token, validity, recover(request, validity, fiber.context))
          )
        })
      }),
      self.preprocess
    )
  }
}
