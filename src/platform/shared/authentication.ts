/**
 * A platform's authentication endpoints: JSON in and out, no `Authorization`, one attempt, and what the answers mean that
 * every platform means alike.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as AccessToken from "../../token/AccessToken.ts"
import * as TokenError from "../../token/TokenError.ts"
import { longest, readContent, readError } from "./body.ts"
import { discreet, failureOf, isStatusCodeError, limitsOf, retryAfterOf } from "./http.ts"
import type { Server } from "./server.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"

/** What is exchanged for a token: the credential itself, or a refresh token. */
export type Operation = "login" | "refresh"

/** What a refusal means: any 4xx but 407, 408 and 429. `body` is what JSON there was. */
export type Refusal = (operation: Operation, status: number, body: unknown) => TokenError.RenewalReason

/** The server has no such endpoint: it is another one. */
export const wrongServer = ({ platform }: Server, status: number) =>
  invalid("baseUrl", `it answered ${status}, so it is not ${platform}'s`)

/** What an answer means that is neither a token nor a refusal. */
const reasonOf = (response: HttpClientResponse.HttpClientResponse): TokenError.RenewalReason | undefined => {
  const { status } = response
  if (status < 400) return new TokenError.MalformedResponse({ status, problem: "a redirect, which is not followed" })
  if (status === 429) return new TokenError.RateLimited(limitsOf(response))
  return status >= 500 || status === 407 || status === 408
    ? new TokenError.ProviderUnavailable({ status, failure: "status", retryAfter: retryAfterOf(response) })
    : undefined
}

/** What a request without a usable answer means; a refresh that may have arrived is ambiguous. */
const reasonOfFailure = (operation: Operation, error: HttpClientError.HttpClientError): TokenError.RenewalReason => {
  if (error.reason._tag !== "TransportError") return invalid("baseUrl", "no request can be made of it")
  const unavailable = new TokenError.ProviderUnavailable({ failure: failureOf(error) })
  return operation === "refresh" && unavailable.sent
    ? new TokenError.AmbiguousExchange({ failure: unavailable.failure })
    : unavailable
}

/** An answer that is none: a refresh may have been carried out all the same. */
export const unreadable = (operation: Operation, status: number | undefined, problem: string) =>
  operation === "refresh"
    ? new TokenError.AmbiguousExchange({ status, problem })
    : new TokenError.MalformedResponse({ status, problem })

/** As a string: what encodes JSON to bytes would be in every bundle. */
const inJson = (payload: object) => HttpBody.raw(JSON.stringify(payload), { contentType: "application/json" })

/** Makes what makes the exchanges of a server: a POST to a path below its base URL, one attempt each. */
export const makeExchange = <A, Payload extends object = Readonly<Record<string, string>>>(
  httpClient: HttpClient.HttpClient,
  server: Server,
  decode: (body: unknown) => Effect.Effect<A, TokenError.MalformedResponse>,
  refusal: Refusal,
  encode: (payload: Payload) => HttpBody.HttpBody = inJson
) => {
  const client = discreet(true)(httpClient)
  return Effect.fnUntraced(function* (
    operation: Operation,
    path: string,
    payload: Payload
  ): Effect.fn.Return<A, TokenError.RenewalReason> {
    const request = HttpClientRequest.post(server.baseUrl + path, { headers: server.headers, acceptJson: true })
    const failed = Effect.mapError((error: HttpClientError.HttpClientError) => reasonOfFailure(operation, error))
    const sent = client.execute(HttpClientRequest.setBody(request, encode(payload)))
    const response = yield* failed(
      Effect.catchIf(sent, isStatusCodeError, ({ reason }) => Effect.succeed(reason.response))
    )
    const { status } = response
    if (status < 200 || status > 299) {
      const content = yield* readError(response)
      const body = content._tag === "Json" ? content.value : undefined
      return yield* reasonOf(response) ?? refusal(operation, status, body)
    }
    const content = yield* readContent(response, { limit: longest.token })
    if (content._tag === "Unread") return yield* unreadable(operation, status, `the body ${content.problem}`)
    const answer = content._tag === "Json" ? content.value : null
    return yield* Effect.mapError(decode(answer), ({ problem }) => unreadable(operation, status, problem))
  })
}

/** Makes an exchange and stamps its token, which is nobody's successor yet. */
export const stamped = /* @__PURE__ */ Effect.fnUntraced(function* <A extends AccessToken.TokenResponse>(
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

/** An exchange on its own, as a program asks for it: the token is stamped, and kept nowhere. */
export const single = /* @__PURE__ */ Effect.fnUntraced(function* <Session, R>(
  makeServer: Effect.Effect<Server, TokenError.TokenError>,
  makeSession: (server: Server) => Effect.Effect<Session, never, R>,
  exchange: (session: Session) => Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>
) {
  const server = yield* makeServer
  const session = yield* makeSession(server)
  const { token } = yield* stamped(exchange(session)).pipe(withProvider(server.name))
  return token
})
