/**
 * The service that every operation of api.video takes from the context. `ApiVideo` exports it too, with the layers that
 * provide it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as TokenError from "../token/TokenError.ts"
import type * as ApiVideoError from "./ApiVideoError.ts"

/**
 * Everything that a request can fail with: a response from 400 up, a token that cannot be obtained, a connection that
 * breaks, and an open circuit breaker.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientError =
  | ApiVideoError.ApiVideoError
  | TokenError.TokenError
  | HttpClientError.HttpClientError
  | CircuitBreaker.CircuitBreakerError

/**
 * The authenticated client. Paths are relative to the environment's URL (`api.get("/videos")`); an absolute URL, as in
 * api.video's pagination links, carries the token only if its origin is the same.
 *
 * @category services
 * @since 0.1.0
 */
export class ApiVideo
  extends /* @__PURE__ */ Context.Service<ApiVideo, HttpClient.HttpClient.With<ClientError>>()(
    "effect-video-auth/ApiVideo"
  ) {}

/**
 * A call of one operation, not yet run. It takes the client from the context.
 *
 * @category models
 * @since 0.1.0
 */
export type Call<A> = Effect.Effect<A, ClientError, ApiVideo>
