/**
 * What every platform needs of HTTP: a client for exchanges, and what a failure of one means.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constTrue } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { Failure } from "../../token/TokenError.ts"
import { textsAlong } from "./cause.ts"

type Request = HttpClientRequest.HttpClientRequest

/** Keeps `fetch` from following redirects: it would post a key to wherever one leads. undici and `node:http` never follow one. */
const withManualRedirects: RequestInit = { redirect: "manual" }

/** Prepares a context for requests to a third party: redirects are not followed, and no trace headers are sent. */
export const withoutRedirectsAndTraceHeaders = <R>(context: Context.Context<R>): Context.Context<R> => {
  const init = Context.getOrUndefined(context, FetchHttpClient.RequestInit)
  const manual = init === undefined ? withManualRedirects : { ...init, ...withManualRedirects }
  return Context.add(
    Context.add(context, FetchHttpClient.RequestInit, manual),
    HttpClient.TracerPropagationEnabled,
    false
  )
}

/** Prepares a context for requests that have no span, because it would show a credential in the URL or in the body. */
export const withoutSpans = <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.add(context, HttpClient.TracerDisabledWhen, constTrue)

/** Makes a client for requests that contain credentials: it follows no redirect, and sends neither trace headers nor spans. */
export const forCredentials = <E, R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.transformResponse(
    self,
    Effect.updateContext((context: Context.Context<R>) => withoutSpans(withoutRedirectsAndTraceHeaders(context)))
  )

/** Changes each attempt as it is sent, when its URL is final. `mapRequestEffect` changes a call once, before any of them. */
export const mapAttempts =
  <E2, R2>(f: (request: Request) => Effect.Effect<Request, E2, R2>) =>
  <E, R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E | E2, R | R2> => {
    // Its `postprocess` is that of `self`, with the errors of both.
    const { postprocess } = HttpClient.mapRequestEffect(self, f)
    return HttpClient.makeWith((request) => postprocess(Effect.flatMap(request, f)), self.preprocess)
  }

/** An error that the program's own `HttpClient` made of a status: its response is there all the same. */
export const isStatusCodeError = (
  error: unknown
): error is HttpClientError.HttpClientError & { readonly reason: HttpClientError.StatusCodeError } =>
  HttpClientError.isHttpClientError(error) && error.reason._tag === "StatusCodeError"

/** A connection that was never made: codes and system calls of Node, undici, Bun and Deno. */
const neverConnected = /connect\b|getaddrinfo|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|CONNECT_TIMEOUT|ConnectionRefused/

/** The server's certificate was not accepted: names that Node takes from OpenSSL's certificate checks. */
const untrusted =
  /^(CERT_\w+|\w*SELF_SIGNED_CERT\w*|UNABLE_TO_\w+|ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)$/

/**
 * Client and server did not agree on TLS. Every other code of OpenSSL, such as that of a damaged record, can also occur
 * after the handshake, when the request has been sent.
 */
const handshake =
  /WRONG.VERSION.NUMBER|UNSUPPORTED.PROTOCOL|NO.PROTOCOLS.AVAILABLE|NO.SHARED.CIPHER|ALERT.(HANDSHAKE.FAILURE|PROTOCOL.VERSION)|UNRECOGNIZED.NAME/i

/** OpenSSL's check of a record's header once TLS 1.3 is agreed on, so after the handshake. */
const damaged = /tls13_validate_record_header/

/** A connection on which no TLS was established. Node reports some of OpenSSL's errors as `EPROTO`, with the details in the message. */
const isUnsecured = (codes: ReadonlyArray<string>, messages: ReadonlyArray<string>): boolean => {
  const details = codes.includes("EPROTO") ? messages : codes
  return (
    codes.some((code) => untrusted.test(code)) ||
    (details.some((text) => handshake.test(text)) && !messages.some((message) => damaged.test(message)))
  )
}

/** How far a failed request got. */
export const failureOf = ({ reason: { cause } }: HttpClientError.HttpClientError): Failure => {
  const codes = textsAlong(cause, "code", "syscall")
  const messages = textsAlong(cause, "message")
  // Deno's errors have no codes, but their message names the step that failed.
  if (
    codes.some((code) => neverConnected.test(code)) ||
    messages.some((text) => text.includes("client error (Connect)"))
  ) {
    return "connect"
  }
  if (isUnsecured(codes, messages)) return "tls"
  return codes.some((code) => /TIMED?OUT/.test(code)) ? "timeout" : "network"
}

/** The URL of a request, up to its query. */
export const pathOf = (request: HttpClientRequest.HttpClientRequest): string => request.url.replace(/[?#].*$/s, "")

/**
 * A header of whole or fractional numbers, such as a count or seconds; `undefined` where it is absent, empty or no number.
 * Blanks around it are gone by then.
 */
export const numberOf = (value: string | undefined): number | undefined => {
  const parsed = Number(value || undefined)
  return parsed >= 0 && parsed < Infinity ? parsed : undefined
}

/** The three forms of RFC 9110 §5.6.7. The last one has no time zone, which is GMT. */
const httpDate =
  /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT|[A-Z][a-z]+day, \d\d-[A-Z][a-z]{2}-\d\d [\d:]{8} GMT|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4})$/

/**
 * The instant that an HTTP date names, in milliseconds since the epoch. `Headers.parseRetryAfter` does the same, but brings
 * `DateTime` into every bundle, which weighs as much as everything else that reads headers.
 */
const instantOf = (value = ""): number | undefined => {
  if (!httpDate.test(value)) return undefined
  const instant = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`)
  return Number.isNaN(instant) ? undefined : instant
}

/**
 * Seconds until an HTTP date, counted from the response's own `Date`, so that the clocks of client and server need not
 * agree. Without a `Date`, this machine's clock counts.
 */
const secondsUntil = (value: string | undefined, headers: Headers.Headers): number | undefined => {
  const instant = instantOf(value)
  if (instant === undefined) return undefined
  const now = instantOf(headers["date"]) ?? Fiber.getCurrent()?.getRef(Clock.Clock).currentTimeMillisUnsafe()
  return now === undefined ? undefined : Math.max(0, instant - now) / 1_000
}

/**
 * How long a response asks to wait: `Retry-After` in seconds, whole or not, or as an HTTP date; or, if the status is 429,
 * api.video's `X-RateLimit-Retry-After`, the seconds until its window resets. More than an hour counts as an hour: some
 * servers write an instant where seconds belong.
 */
export const retryAfterOf = ({
  headers,
  status
}: HttpClientResponse.HttpClientResponse): Duration.Duration | undefined => {
  const retryAfter = headers["retry-after"]
  const reset = status === 429 ? headers["x-ratelimit-retry-after"] : undefined
  const seconds = numberOf(retryAfter) ?? secondsUntil(retryAfter, headers) ?? numberOf(reset)
  return seconds === undefined ? undefined : Duration.seconds(Math.min(seconds, 3600))
}

/** What a 429 of an API says. If it does not say how long to wait, its window is over after a minute. */
export const refusalOf = (response: HttpClientResponse.HttpClientResponse) => {
  const { retryAfter = Duration.minutes(1), ...limits } = limitsOf(response)
  return { retryAfter, ...limits }
}

/** What a 429 says of the limit that it is about. */
export const limitsOf = (response: HttpClientResponse.HttpClientResponse) => ({
  retryAfter: retryAfterOf(response),
  limit: numberOf(response.headers["x-ratelimit-limit"]),
  remaining: numberOf(response.headers["x-ratelimit-remaining"])
})
