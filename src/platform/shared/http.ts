/**
 * What every platform needs of HTTP: a client for exchanges, and what a failure of one means.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { Failure } from "../../token/TokenError.ts"

/**
 * Follows no redirect by itself and sends no trace headers to a third party. `fetch` would follow one and post a key to
 * wherever it leads; undici and `node:http` never do. `isSilent`: no span either, for a span prints a request's body.
 */
export const discreet =
  (isSilent: boolean) =>
  <E, R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
    HttpClient.transformResponse(
      self,
      Effect.updateContext((context: Context.Context<R>) =>
        Context.add(context, FetchHttpClient.RequestInit, {
          ...Context.getOrUndefined(context, FetchHttpClient.RequestInit),
          redirect: "manual"
        }).pipe(
          Context.add(HttpClient.TracerPropagationEnabled, false),
          isSilent ? Context.add(HttpClient.TracerDisabledWhen, () => true) : identity
        )
      )
    )

/** An error that the program's own `HttpClient` made of a status: its response is there all the same. */
export const isStatusCodeError = (
  error: unknown
): error is HttpClientError.HttpClientError & { readonly reason: HttpClientError.StatusCodeError } =>
  HttpClientError.isHttpClientError(error) && error.reason._tag === "StatusCodeError"

/** A connection that was never made: codes and system calls of Node, undici, Bun and Deno. */
const neverConnected = /connect\b|getaddrinfo|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|CONNECT_TIMEOUT|ConnectionRefused/

/** A certificate that is not accepted: codes of OpenSSL. */
const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|ERR_TLS|ERR_SSL|EPROTO/

/** Members of a chain of causes: undici wraps one, an `AggregateError` has several. */
const along = (cause: unknown, ...members: ReadonlyArray<string>): string => {
  try {
    // Named ones are found though they are not enumerable, and nothing else is read.
    return JSON.stringify(cause, ["cause", "errors", ...members]) ?? ""
  } catch {
    return ""
  }
}

/** How far a failed request got. */
export const failureOf = ({ reason: { cause } }: HttpClientError.HttpClientError): Failure => {
  const codes = along(cause, "code", "syscall")
  // Deno has no codes, but says in the message that it was connecting.
  return neverConnected.test(codes) || along(cause, "message").includes("client error (Connect)")
    ? "connect"
    : untrusted.test(codes)
      ? "tls"
      : /TIMED?OUT/.test(codes)
        ? "timeout"
        : "network"
}

/** The URL of a request, up to its query. */
export const pathOf = (request: HttpClientRequest.HttpClientRequest): string => request.url.replace(/[?#].*$/s, "")

/** Whether a body can be sent twice. A stream is gone once it was read. */
export const isReplayable = ({ body }: HttpClientRequest.HttpClientRequest): boolean =>
  body._tag !== "Stream" && (body._tag !== "Raw" || isWhole(body.body))

const isWhole = (body: unknown): boolean =>
  typeof body === "string" ||
  [Uint8Array, ArrayBuffer, URLSearchParams, Blob, FormData].some((type) => body instanceof type)

/**
 * A header of whole or fractional numbers, such as a count or seconds; `undefined` where it is absent, empty or no number.
 * Blanks around it are gone by then.
 */
const numberOf = (value: string | undefined): number | undefined => {
  const parsed = Number(value || undefined)
  return parsed >= 0 && parsed < Infinity ? parsed : undefined
}

/**
 * How long an answer asks to wait: `Retry-After` in seconds, or, of a 429, api.video's `X-RateLimit-Retry-After`, the
 * seconds until its window resets. More than an hour is taken for an hour: some servers write an instant there, and a
 * program that takes it for seconds would never ask again.
 */
export const retryAfterOf = ({
  headers,
  status
}: HttpClientResponse.HttpClientResponse): Duration.Duration | undefined => {
  const reset = status === 429 ? headers["x-ratelimit-retry-after"] : undefined
  const seconds = numberOf(headers["retry-after"]) ?? numberOf(reset)
  return seconds === undefined ? undefined : Duration.seconds(Math.min(seconds, 3600))
}

/** What a 429 says of the limit that it is about. */
export const limitsOf = (response: HttpClientResponse.HttpClientResponse) => ({
  retryAfter: retryAfterOf(response),
  limit: numberOf(response.headers["x-ratelimit-limit"]),
  remaining: numberOf(response.headers["x-ratelimit-remaining"])
})
