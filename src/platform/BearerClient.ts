/**
 * An `HttpClient` that carries a bearer token and recovers from a 401.
 *
 * The token is attached at the last moment, when the final URL of each attempt and of each redirect hop is known, and
 * only where that URL's origin is one the token is meant for. So it does not matter what is composed around the client:
 * a limiter that waits, a retry or a mapped URL gets a token that is valid then, and no other origin ever sees one.
 *
 * One order matters: `HttpClient.withScope` goes inside (on the client given to {@link make}), because it recognises a
 * request by identity and a request with a token is another object.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { AccessToken } from "../token/AccessToken.ts"
import { reasonOf } from "../token/shared/failures.ts"
import { drain } from "./shared/body.ts"
import { isReplayable } from "./shared/http.ts"
import { observersOf, tell } from "../token/shared/observers.ts"
import { isSecureOrigin, originOf } from "./shared/origin.ts"
import { ConfigurationInvalid, TokenError } from "../token/TokenError.ts"
import type { Observer } from "../token/TokenEvent.ts"
import type { TokenService } from "../token/TokenService.ts"

/**
 * What a client is made of.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<E = never> {
  /** Origins that may see the token, as in `https://ws.api.video`: https, or http on loopback. */
  readonly origins: ReadonlyArray<string>
  /**
   * Requests that go without a token though their origin may see it, and whose 401 means something else (an upload that
   * carries a token of its own).
   */
  readonly anonymous?: ((request: HttpClientRequest.HttpClientRequest) => boolean) | undefined
  /**
   * Hear of each replay (`Replayed`).
   * @default those in force where the request is made
   */
  readonly observers?: ReadonlyArray<Observer> | undefined
  /**
   * What becomes of a 401 that a fresh token did not heal, or that could not be repeated.
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
 * How long a token must stay valid for the requests made within: for a long upload, the time it may take. Longer than the
 * platform's tokens last is `LifetimeTooShort`.
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

/** RFC 6750 §3.1: a token of too little scope is a good token, and another of its kind would not help. */
const isAboutScope = (response: HttpClientResponse.HttpClientResponse): boolean =>
  /\berror\s*=\s*"?insufficient_scope/i.test(response.headers["www-authenticate"] ?? "")

/** The 401 behind the error of a client that makes errors of statuses (`filterStatusOk`). */
const unauthorized = (cause: Cause.Cause<unknown>): HttpClientResponse.HttpClientResponse | undefined => {
  const error = reasonOf(cause)
  return HttpClientError.isHttpClientError(error) ? error.response : undefined
}

/**
 * Makes a client carry the service's token to `origins`, and recover once from a 401 there: it tells the service that
 * the token was refused, gets a newer one and sends the request again. The service sees to it that fifty 401s make one
 * renewal.
 *
 * A body that can be sent only once (a stream) is not sent again: the service renews, and the original 401 is the
 * answer. A request that has an `Authorization` header already keeps it and is left alone. A 401 from another origin, to
 * a request of another token, or about scope (`insufficient_scope`) never renews anything; neither does a 403.
 *
 * Fails with `TokenError` where no token can be had, and with `ConfigurationInvalid` on the first request where an origin
 * is not one.
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
  const origins = options.origins.map((origin) => originOf(origin))
  const isSecure = origins.length > 0 && options.origins.every(isSecureOrigin)
  const anonymous = options.anonymous ?? (() => false)
  const tokenFor = (validity: Duration.Duration) =>
    Duration.isZero(validity) ? service.get : service.getValidFor(validity)

  const isOurs = (request: HttpClientRequest.HttpClientRequest): boolean =>
    // Most URLs begin with the origin to the letter, and after the slash nothing can change it any more.
    origins.some((origin) => request.url.startsWith(origin) && request.url[origin.length] === "/") ||
    // The URL as the transport resolves it: in a browser even `https:ws.api.video` may be relative to the page.
    origins.includes(originOf(Option.getOrUndefined(HttpClientRequest.toUrl(request)) ?? ""))

  /** `fetch` follows redirects unasked: then only the URL that it ended at tells who answered. */
  const isAnsweredByOurs = (response: HttpClientResponse.HttpClientResponse): boolean =>
    isOurs(response.request) && (response.url === "" || origins.includes(originOf(response.url)))

  /** A 401 whose own request, the last hop of it, went to an origin of ours with this very token. */
  const isRefusal = (response: HttpClientResponse.HttpClientResponse, token: AccessToken): boolean =>
    response.status === 401 &&
    response.request.headers["authorization"] === `Bearer ${Redacted.value(token.accessToken)}` &&
    isAnsweredByOurs(response) &&
    !isAboutScope(response)

  /** The newer token may still be too old for the request: somebody else renewed it a while ago. */
  const renewed = (token: AccessToken, validity: Duration.Duration) =>
    Duration.isZero(validity)
      ? service.reject(token)
      : Effect.andThen(service.reject(token), service.getValidFor(validity))

  const giveUp = <E, R>(
    response: HttpClientResponse.HttpClientResponse,
    asItWas: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>,
    token: AccessToken
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, E | E1, R> =>
    options.unhealed === undefined ? asItWas : options.unhealed(response, token)

  return <E, R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E | E1 | TokenError, R> => {
    type Response = Effect.Effect<HttpClientResponse.HttpClientResponse, E | E1 | TokenError, R>
    /** What becomes of a 401: the answer, what it would be if nothing were done, and the token that was refused. */
    type Refused = (response: HttpClientResponse.HttpClientResponse, asItWas: Response, token: AccessToken) => Response

    /**
     * Sends with a token. A 401 is handed to `refused`, also where the client inside makes an error of it. To be run
     * once: a retry inside runs `signed` again, which then asks for the token that is valid by that time.
     */
    const send = (
      request: HttpClientRequest.HttpClientRequest,
      first: AccessToken,
      validity: Duration.Duration,
      refused: Refused
    ): Response => {
      let token = first
      let attempts = 0
      const sign = (valid: AccessToken) => {
        token = valid
        return HttpClientRequest.bearerToken(request, valid.accessToken)
      }
      const signed = Effect.suspend(() => {
        attempts += 1
        // The client inside knows no TokenError: where no newer token is to be had, the API judges the one before.
        const valid =
          attempts === 1 ? Effect.succeed(first) : Effect.catch(tokenFor(validity), () => Effect.succeed(token))
        return Effect.map(valid, sign)
      })
      return Effect.flatMap(Effect.exit(self.postprocess(signed)), (asItWas) => {
        const response = Exit.isSuccess(asItWas) ? asItWas.value : unauthorized(asItWas.cause)
        return response !== undefined && isRefusal(response, token) ? refused(response, asItWas, token) : asItWas
      })
    }

    const recover =
      (request: HttpClientRequest.HttpClientRequest, validity: Duration.Duration): Refused =>
      (response, asItWas, token) => {
        if (!isReplayable(request)) {
          return Effect.andThen(Effect.exit(service.reject(token)), giveUp(response, asItWas, token))
        }
        // What is left unread of a refused answer would keep its connection.
        return drain(response, 1_000).pipe(
          Effect.andThen(renewed(token, validity)),
          Effect.flatMap((fresh) =>
            Effect.andThen(
              Effect.withFiber((fiber) => tell(options.observers ?? observersOf(fiber.context), { _tag: "Replayed" })),
              send(request, fresh, validity, giveUp)
            )
          )
        )
      }

    return HttpClient.makeWith(
      Effect.flatMap((request: HttpClientRequest.HttpClientRequest): Response => {
        if (!isSecure) return Effect.fail(insecure())
        const carries = request.headers["authorization"] === undefined && isOurs(request) && !anonymous(request)
        if (!carries) return self.postprocess(Effect.succeed(request))
        return Effect.withFiber((fiber) => {
          const validity = fiber.getRef(MinimumValidity)
          return Effect.flatMap(tokenFor(validity), (token) =>
            send(request, token, validity, recover(request, validity))
          )
        })
      }),
      self.preprocess
    )
  }
}

const insecure = () =>
  new TokenError({
    provider: "BearerClient",
    reason: new ConfigurationInvalid({ option: "origins", problem: "each must be https, or http on loopback" })
  })
