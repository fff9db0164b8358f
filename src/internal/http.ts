/**
 * What every platform needs of HTTP: a client for exchanges, and what a failure of one means.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { Failure } from "../TokenError.ts"

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

/** A connection that was never made: codes and system calls of Node, undici, Bun and Deno. */
const neverConnected = /connect\b|getaddrinfo|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|CONNECT_TIMEOUT|ConnectionRefused/

/** A certificate that is not accepted: codes of OpenSSL. */
const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|ERR_TLS|ERR_SSL|EPROTO/

/**
 * The codes along a chain of causes. Undici wraps one, an `AggregateError` has several, and Deno has none but says in the
 * message that it was connecting.
 */
const codesOf = (error: unknown, depth = 6): string => {
  if (depth === 0 || typeof error !== "object" || error === null) return ""
  const { cause, code, errors, message, syscall }: Partial<Record<string, unknown>> & object = error
  const causes = [cause, ...(Array.isArray(errors) ? errors : [])]
  const connecting = String(message).includes("client error (Connect)") ? "connect" : ""
  return [code, syscall, connecting, ...causes.map((cause) => codesOf(cause, depth - 1))].join(" ")
}

/** How far a failed request got. */
export const failureOf = (error: HttpClientError.HttpClientError): Failure => {
  const codes = codesOf(error.reason)
  return neverConnected.test(codes)
    ? "connect"
    : untrusted.test(codes)
      ? "tls"
      : codes.includes("TIMEOUT") || codes.includes("ETIMEDOUT")
        ? "timeout"
        : "network"
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

/** The body of an answer, to its end: `undefined` if it breaks off, or does not end within so many milliseconds. */
export const readAll = (
  response: HttpClientResponse.HttpClientResponse,
  within: number
): Effect.Effect<ArrayBuffer | undefined> =>
  Effect.catch(
    Effect.timeoutOrElse(response.arrayBuffer, { duration: within, orElse: () => Effect.undefined }),
    () => Effect.undefined
  )

/** What an error answer says, in JSON: `undefined` if it is none, or does not end. To be read once. */
export const readJson = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<unknown> =>
  Effect.map(readAll(response, 5_000), (body) => {
    try {
      return JSON.parse(new TextDecoder().decode(body))
    } catch {
      return undefined
    }
  })

/** Where a path holds a credential: an upload token, or the private token of a video's asset. */
export const secretPath = /(?<=\/(?:upload-tokens|token)\/)[^/?#]+/

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
