/**
 * The wire between a platform's real provider and whatever stands in for the platform: an `HttpClient` in memory that
 * reads requests and writes answers as the platform does. What they say is up to another `TokenProvider`.
 *
 * What goes wrong goes wrong as it does on a real wire: a connection breaks, something in between answers in HTML, or the
 * platform refuses. Each of them echoes what was sent, as real ones may.
 */
import { Duration, Effect, identity, Redacted, type Schema, Stream } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { AccessToken, TokenError, type TokenProvider } from "effect-video-auth"
import { bodyText } from "../support/bodyText.ts"

/** The body of a request. */
export type Sent = Readonly<Record<string, unknown>>

/** What a request said: as text, and read. */
interface Posted {
  readonly text: string
  readonly sent: Sent
}

/** What a request asks for. A refresh token that is no text is one that nobody issued. */
export type Asked =
  | { readonly operation: "login" }
  | { readonly operation: "refresh"; readonly refreshToken: unknown }
  | undefined

export interface Issued {
  readonly access: string
  readonly refresh: string | undefined
  /** Seconds, maybe a fraction of one. */
  readonly lifetime: number
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body: string | Uint8Array<ArrayBuffer>
}

/** What befalls an answer on its way. */
export type Tamper = (answer: Answer) => Answer

/** How one platform speaks. */
export interface Protocol {
  /** What is asked for; `undefined` where no exchange of the platform looks like that. */
  readonly read: (path: string, sent: Sent) => Asked
  readonly write: (issued: Issued) => Schema.Json
  /** How the platform says a failure that is its own; `undefined` where it cannot. */
  readonly refuse: (reason: TokenError.RenewalReason, echo: string) => Answer | undefined
}

export const json = (status: number, body: Schema.Json, headers?: Answer["headers"]): Answer => ({
  status,
  headers: { ...headers, "content-type": "application/json" },
  body: JSON.stringify(body)
})

const html = (status: number, echo: string, headers?: Answer["headers"]): Answer => ({
  status,
  headers: { ...headers, "content-type": "text/html" },
  body: `<!doctype html><title>Error</title><pre>${echo}</pre>`
})

/** A header of seconds, where there are any to tell. */
export const seconds = (name: string, duration: Duration.Duration | undefined): Readonly<Record<string, string>> =>
  duration === undefined ? {} : { [name]: String(Duration.toSeconds(duration)) }

/** How connections break, in Node's words. */
const broken = {
  connect: { code: "ECONNREFUSED", syscall: "connect" },
  tls: { code: "CERT_HAS_EXPIRED" },
  network: { code: "ECONNRESET", syscall: "read" },
  timeout: { code: "ETIMEDOUT", syscall: "read" }
}

/** What a failure looks like on the wire: an answer, or none and a connection that broke. */
const failing = (
  reason: TokenError.RenewalReason,
  protocol: Protocol,
  echo: string
): Answer | keyof typeof broken | undefined => {
  switch (reason._tag) {
    case "ProviderUnavailable":
      if (reason.failure !== "status") return reason.failure
      if (reason.fromPlatform === true) {
        const own = protocol.refuse(new TokenError.RateLimited({ retryAfter: reason.retryAfter }), echo)
        if (own !== undefined) {
          // In OAuth, the error of a 503 is another one.
          const body = String(own.body).replace("slow_down", "temporarily_unavailable")
          return { ...own, body, status: reason.status ?? 500 }
        }
      }
      return reason.fromPlatform === false
        ? html(reason.status ?? 500, echo, seconds("retry-after", reason.retryAfter))
        : { status: reason.status ?? 500, headers: seconds("retry-after", reason.retryAfter), body: "" }
    case "AmbiguousExchange":
      return reason.failure === undefined || reason.failure === "status" ? html(200, echo) : reason.failure
    case "MalformedResponse":
      return {
        status: reason.status ?? 200,
        headers: { "content-type": "application/json" },
        body: `{"access_token": "${echo}`
      }
    default:
      return protocol.refuse(reason, echo)
  }
}

/** A credential of which only the refresh token is known, as the platform has it from a request. */
const received = (refreshToken: unknown) =>
  new AccessToken.AccessToken({
    accessToken: Redacted.make("not sent"),
    refreshToken: Redacted.make(String(refreshToken)),
    tokenType: "Bearer",
    issuedAt: 0,
    expiresAt: 0,
    generation: 0
  })

/** What was posted: `undefined` unless it is in JSON or a form, and without a token as exchanges are. */
const postedBy = ({ body, headers, method }: HttpClientRequest.HttpClientRequest): Posted | undefined => {
  // An exchange never carries a token. OAuth has its client's credential there (Basic).
  const carriesToken = headers["authorization"]?.startsWith("Basic ") === false
  if (method !== "POST" || carriesToken || body._tag === "Empty") return undefined
  const text = bodyText(body)
  if (text === undefined) return undefined
  if (body.contentType === "application/json") return { text, sent: JSON.parse(text) }
  return body.contentType?.startsWith("application/x-www-form-urlencoded") === true
    ? { text, sent: Object.fromEntries(new URLSearchParams(text)) }
    : undefined
}

/** An answer whose body is available at once. A test clock doesn't wait for the promises of a web stream. */
export const respond = (request: HttpClientRequest.HttpClientRequest, { body, headers = {}, status }: Answer) => {
  const hasNone = [101, 204, 205, 304].includes(status)
  const bytes = hasNone ? new Uint8Array() : typeof body === "string" ? new TextEncoder().encode(body) : body
  const response = HttpClientResponse.fromWeb(request, new Response(hasNone ? null : body, { status, headers }))
  return Effect.succeed(
    Object.defineProperties(response, {
      arrayBuffer: { value: Effect.succeed(bytes.buffer) },
      stream: { value: Stream.succeed(bytes) }
    })
  )
}

/** A client on whose other end the platform speaks, and `behind` decides what it says. */
export const make = (
  protocol: Protocol,
  behind: TokenProvider.TokenProvider,
  tamper: Tamper = identity
): HttpClient.HttpClient => {
  const answering = (request: HttpClientRequest.HttpClientRequest, answer: Answer) => respond(request, tamper(answer))
  const exchangeOf = (asked: Asked) =>
    asked?.operation === "refresh" ? behind.refresh?.(received(asked.refreshToken)) : asked && behind.login
  return HttpClient.make((request, url) => {
    const { sent, text: echo } = postedBy(request) ?? { sent: {}, text: "" }
    const exchange = exchangeOf(protocol.read(url.pathname, sent))
    if (exchange === undefined) return Effect.die(`${request.method} ${url.pathname}: no exchange looks like that`)
    return Effect.matchEffect(exchange, {
      onSuccess: ({ accessToken, expiresIn, refreshToken }) => {
        const access = Redacted.value(accessToken)
        const refresh = refreshToken === undefined ? undefined : Redacted.value(refreshToken)
        return answering(
          request,
          json(200, protocol.write({ access, refresh, lifetime: Duration.toSeconds(expiresIn) }))
        )
      },
      onFailure: (reason) => {
        const failure = failing(reason, protocol, echo)
        if (failure === undefined) return Effect.die(`the platform has no words for ${reason._tag}`)
        if (typeof failure === "object") return answering(request, failure)
        const cause = Object.assign(new Error(echo), broken[failure])
        return Effect.fail(
          new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
        )
      }
    })
  })
}
