/**
 * A platform's authentication endpoints: JSON in and out, no `Authorization`, one attempt, and what the answers mean that
 * every platform means alike.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as AccessToken from "../../token/AccessToken.ts"
import * as TokenError from "../../token/TokenError.ts"
import { scrubbed, spellingsOf } from "./apiError.ts"
import { type Content, longest, readContent, readError } from "./body.ts"
import { brokenTransport, reportOf } from "./cause.ts"
import { forCredentials, failureOf, isStatusCodeError, limitsOf, retryAfterOf } from "./http.ts"
import type { Server } from "./server.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"

/** What is exchanged for a token: the credential itself, or a refresh token. */
export type Operation = "login" | "refresh"

/**
 * Classifies an error: any status but 407, 408 and 429 from 400 up to 499. `body` is its JSON, `undefined` if the body is
 * empty or `{}`. Returns `undefined` for JSON that is not the platform's own, such as that of a firewall.
 */
export type Refusal = (operation: Operation, status: number, body: unknown) => TokenError.RenewalReason | undefined

/** The server has no such endpoint: it is another one. */
export const wrongServer = ({ platform }: Server, status: number) =>
  invalid("baseUrl", `it answered ${status}, so it is not ${platform}'s`)

/** How long a response of somebody else is remembered where refusals lock accounts. */
const pause = Duration.seconds(30)

/** After a response to a login that is not the platform's own: each attempt may count as a refusal, so the next one waits. */
const rarely = (
  { locksAccount }: Server,
  operation: Operation,
  retryAfter?: Duration.Duration
): Duration.Duration | undefined =>
  locksAccount === true && operation === "login" ? Duration.max(retryAfter ?? Duration.zero, pause) : retryAfter

const isBlank = (content: Content): boolean =>
  content._tag === "Empty" ||
  (content._tag === "Json" && Predicate.isObject(content.value) && Object.keys(content.value).length === 0)

const isJson = ({ headers }: HttpClientResponse.HttpClientResponse, content: Content): boolean =>
  content._tag !== "Unread" || /\bjson\b/i.test(headers["content-type"] ?? "")

/** A refusal whose JSON is of no known form, of a login that can lock the account. It must not be repeated. */
const refusedSomehow = (status: number) =>
  [400, 401, 403, 422].includes(status)
    ? new TokenError.InvalidCredentials({
        status,
        advice: "Check username and password before you try again; repeated failures can lock the account"
      })
    : new TokenError.BadRequest({ status })

/** The reason for an error, by its content and its status: whose word is it, and what does it say? */
const reasonOfError = (
  server: Server,
  operation: Operation,
  response: HttpClientResponse.HttpClientResponse,
  content: Content,
  refusal: Refusal
): TokenError.RenewalReason => {
  const { status } = response
  const body = content._tag === "Json" && !isBlank(content) ? content.value : undefined
  const refused = content._tag === "Unread" ? undefined : refusal(operation, status, body)
  // Without a body it counts as the platform's word, but nothing shows that it is.
  const fromPlatform = isBlank(content) ? undefined : refused !== undefined
  const retryAfter = fromPlatform !== false ? retryAfterOf(response) : rarely(server, operation, retryAfterOf(response))
  if (status < 400) {
    return new TokenError.MalformedResponse({ status, retryAfter, problem: "a redirect, which is not followed" })
  }
  if (status === 429) return new TokenError.RateLimited({ ...limitsOf(response), retryAfter, fromPlatform })
  if (status >= 500 || status === 408) {
    return new TokenError.ProviderUnavailable({ status, failure: "status", retryAfter, fromPlatform })
  }
  // 407 is a proxy's, whatever it says.
  if (status !== 407 && refused !== undefined) return refused
  return status !== 407 && server.locksAccount === true && operation === "login" && isJson(response, content)
    ? refusedSomehow(status)
    : new TokenError.ProviderUnavailable({ status, failure: "status", retryAfter, fromPlatform: false })
}

/** A body of JSON or a form as text. */
const textOf = (body: HttpBody.HttpBody): string =>
  body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : body._tag === "Raw" ? String(body.body) : ""

/** The values in a body that was sent, in JSON or a form: any of them may be a secret. */
const valuesIn = ({ body, headers }: HttpClientRequest.HttpClientRequest): ReadonlyArray<string> => {
  const text = textOf(body)
  const values = text.startsWith("{")
    ? Object.values(Object(JSON.parse(text)))
    : [...new URLSearchParams(text).values()]
  return [text, ...values.map(String), ...(headers["authorization"] ?? "").split(" ")]
}

/** The reason for a request without a response. After a refresh that may have arrived it is ambiguous. */
const reasonOfFailure = (
  operation: Operation,
  request: HttpClientRequest.HttpClientRequest,
  error: HttpClientError.HttpClientError
): TokenError.RenewalReason => {
  if (error.reason._tag !== "TransportError") return invalid("baseUrl", "no request can be made of it")
  const report = reportOf(error.reason.cause, (text) => scrubbed(text, spellingsOf(valuesIn(request))))
  const unavailable = new TokenError.ProviderUnavailable({ failure: failureOf(error), detail: report?.text })
  if (operation === "refresh" && unavailable.sent) {
    return new TokenError.AmbiguousExchange({ failure: unavailable.failure, problem: report?.text })
  }
  return report?.isBug === true ? brokenTransport(report) : unavailable
}

/** An answer that is none: a refresh may have been carried out all the same. */
const unreadable = (operation: Operation, status: number, problem: string, retryAfter?: Duration.Duration) =>
  operation === "refresh"
    ? new TokenError.AmbiguousExchange({ status, problem })
    : new TokenError.MalformedResponse({ status, problem, retryAfter })

/** Makes what makes the exchanges of a server: a POST to a path below its base URL, one attempt each. */
export const makeExchange = <A, Payload extends object = Readonly<Record<string, string>>>(
  httpClient: HttpClient.HttpClient,
  server: Server,
  decode: (body: unknown) => Effect.Effect<A, TokenError.MalformedResponse>,
  refusal: Refusal,
  encode: (payload: Payload) => HttpBody.HttpBody = HttpBody.jsonUnsafe
) => {
  const client = forCredentials(httpClient)
  return Effect.fnUntraced(function* (
    operation: Operation,
    path: string,
    payload: Payload
  ): Effect.fn.Return<A, TokenError.RenewalReason> {
    const request = HttpClientRequest.post(server.baseUrl + path, { headers: server.headers, acceptJson: true }).pipe(
      HttpClientRequest.setBody(encode(payload))
    )
    const response = yield* client.execute(request).pipe(
      Effect.catchIf(isStatusCodeError, ({ reason }) => Effect.succeed(reason.response)),
      Effect.mapError((error) => reasonOfFailure(operation, request, error))
    )
    const { status } = response
    if (status < 200 || status > 299) {
      return yield* reasonOfError(server, operation, response, yield* readError(response), refusal)
    }
    const content = yield* readContent(response, { limit: longest.token })
    if (content._tag === "Unread") {
      const retryAfter = isJson(response, content) ? undefined : rarely(server, operation)
      return yield* unreadable(operation, status, `the body ${content.problem}`, retryAfter)
    }
    const answer = content._tag === "Json" ? content.value : null
    return yield* Effect.mapError(decode(answer), ({ problem }) => unreadable(operation, status, problem))
  })
}

/** Makes an exchange and a token of its response, with the instants of its life. It succeeds no other token. */
export const tokenFromExchange = /* @__PURE__ */ Effect.fnUntraced(function* <A extends AccessToken.TokenResponse>(
  exchange: Effect.Effect<A, TokenError.RenewalReason>
) {
  const clock = yield* Clock.Clock
  const start = clock.monotonicTimeNanosUnsafe()
  const response = yield* exchange
  const token = yield* AccessToken.fromResponse(response, {
    answeredAt: clock.currentTimeMillisUnsafe(),
    elapsed: Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6,
    generation: 1
  })
  return { response, token }
})

/** Makes one exchange with a server of its own, as a program asks for it, and keeps the token nowhere. */
export const exchangeOnce = /* @__PURE__ */ Effect.fnUntraced(function* <Exchanges, R>(
  makeServer: Effect.Effect<Server, TokenError.TokenError>,
  makeExchanges: (server: Server) => Effect.Effect<Exchanges, never, R>,
  exchange: (exchanges: Exchanges) => Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>
) {
  const server = yield* makeServer
  const exchanges = yield* makeExchanges(server)
  const { token } = yield* tokenFromExchange(exchange(exchanges)).pipe(withProvider(server.name))
  return token
})
