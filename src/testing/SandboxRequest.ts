/**
 * How the sandboxed platforms read requests.
 */
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>

/** What came in. */
export type Request = HttpServerRequest.HttpServerRequest

/** What goes out. */
export type Answer = HttpServerResponse.HttpServerResponse

const decoder = new TextDecoder()

/** The text of a response that is not a stream. */
export const textOf = (answer: Answer): string =>
  "body" in answer.body && answer.body.body instanceof Uint8Array ? decoder.decode(answer.body.body) : ""

/** Any JSON; undefined: it is none. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The JSON of a response that is not a stream; undefined if it has no body. */
export const jsonOf = (answer: Answer): unknown => parseJson(textOf(answer))

/** The response of a handler, which may be asynchronous. */
export const run = (answer: Effect.Effect<Answer> | Answer): Effect.Effect<Answer> =>
  Effect.isEffect(answer) ? answer : Effect.succeed(answer)

/** Path without query. */
export const pathOf = (request: Request): string => {
  const end = request.url.search(/[?#]/)
  return end < 0 ? request.url : request.url.slice(0, end)
}

/** The query by URL rather than the router's parser, because "tags[]" and "metadata[x]" must arrive as they are. */
export const queryOf = (request: Request): URLSearchParams => new URL(request.url, "http://localhost").searchParams

/** A query parameter that counts something; `NaN`: no whole number. */
export const wholeNumber = (text: string): number => (/^\d{1,10}$/.test(text) ? Number(text) : Number.NaN)

/** Whether it is a JSON object. */
export const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The JSON object in a request's body; undefined if the body has no object. */
export const jsonBody = (request: Request): Effect.Effect<Json | undefined> =>
  request.json.pipe(
    Effect.map((body) => (isRecord(body) ? body : undefined)),
    Effect.orElseSucceed(() => undefined)
  )

/** Whether the body is a form. */
export const isForm = (request: Request): boolean =>
  /^application\/x-www-form-urlencoded\b/i.test(request.headers["content-type"] ?? "")

/** The form in a request's body; empty if the body is not a form. */
export const formOf = (request: Request): Effect.Effect<URLSearchParams> =>
  Effect.map(
    Effect.orElseSucceed(request.text, () => ""),
    (text) => new URLSearchParams(isForm(request) ? text : "")
  )

/** The fields in a request's body, of a form or a JSON object. */
export const fieldsOf = (request: Request): Effect.Effect<Json | undefined> =>
  isForm(request) ? Effect.map(formOf(request), (form) => Object.fromEntries(form)) : jsonBody(request)

/** Scheme, in lower case, and value of an `Authorization` header; undefined: it has not the form of one. */
export const authorizationOf = (header: string): { readonly scheme: string; readonly value: string } | undefined => {
  const [, scheme, value] = /^(\S+) +(\S+) *$/.exec(header) ?? []
  return scheme === undefined || value === undefined ? undefined : { scheme: scheme.toLowerCase(), value }
}
