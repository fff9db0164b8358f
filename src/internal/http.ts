/**
 * What every platform needs of HTTP: a client for exchanges, and what a failure of one means.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Predicate from "effect/Predicate"
import type { Failure } from "../TokenError.ts"

/**
 * Follows no redirect by itself and sends no trace headers to a third party. `fetch` would follow one and post a key to
 * wherever it leads; undici and `node:http` never do.
 */
export const discreet = <E, R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.transformResponse(
    self,
    Effect.updateContext((context: Context.Context<R>) =>
      Context.add(context, FetchHttpClient.RequestInit, {
        ...Context.getOrUndefined(context, FetchHttpClient.RequestInit),
        redirect: "manual"
      }).pipe(Context.add(HttpClient.TracerPropagationEnabled, false))
    )
  )

/** Codes of Node, undici, Bun and Deno for a connection that was never made. */
const neverConnected = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused"
])

/** Codes of OpenSSL for a certificate that is not accepted. */
const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|ERR_TLS|ERR_SSL|EPROTO/

/** How far a failed request got, by the codes along its chain of causes. Undici wraps one, and `AggregateError` several. */
export const failureOf = (error: HttpClientError.HttpClientError): Failure => {
  const codes: Array<string> = []
  const collect = (cause: unknown, depth: number): void => {
    if (depth === 0 || !Predicate.isObjectOrArray(cause)) return
    if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") codes.push(cause.code)
    if (Predicate.hasProperty(cause, "errors") && Array.isArray(cause.errors)) {
      for (const error of cause.errors) collect(error, depth - 1)
    }
    if (Predicate.hasProperty(cause, "cause")) collect(cause.cause, depth - 1)
  }
  collect(error.reason, 6)
  if (codes.some((code) => neverConnected.has(code))) return "connect"
  if (codes.some((code) => untrusted.test(code))) return "tls"
  return codes.some((code) => /TIMEOUT|ETIMEDOUT/.test(code)) ? "timeout" : "network"
}

/** Whether a body can be sent twice. A stream is gone once it was read. */
export const isReplayable = ({ body }: HttpClientRequest.HttpClientRequest): boolean => {
  switch (body._tag) {
    case "Empty":
    case "Uint8Array":
    case "FormData":
      return true
    case "Stream":
      return false
    case "Raw":
      return (
        typeof body.body === "string" ||
        body.body instanceof Uint8Array ||
        body.body instanceof ArrayBuffer ||
        body.body instanceof URLSearchParams ||
        body.body instanceof Blob ||
        body.body instanceof FormData
      )
  }
}

/** A header of whole or fractional numbers, such as a count or seconds; `undefined` where it is absent or no number. */
export const numberOf = (value: string | undefined): number | undefined => {
  const parsed = value === undefined || value.trim() === "" ? Number.NaN : Number(value)
  return Number.isFinite(parsed) && parsed >= 0 ? parsed : undefined
}

/** The same, in seconds. */
export const secondsOf = (value: string | undefined): Duration.Duration | undefined => {
  const parsed = numberOf(value)
  return parsed === undefined ? undefined : Duration.seconds(parsed)
}
