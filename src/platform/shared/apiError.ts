/** What the errors of platforms have in common: which request they are of, and texts without its credentials. */
import * as Duration from "effect/Duration"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { sentences } from "../../token/shared/message.ts"

/** What every error says of the request and the answer. */
export const answerFields = {
  method: Schema.String,
  /** Path of the request, without query and without a credential. */
  path: Schema.String,
  status: Schema.Int
}

export interface Answer {
  readonly method: string
  readonly path: string
  readonly status: number
}

/** The message of an error, `DELETE /videos/vi1: 404: why. What to do.` */
export const describe = ({ method, path, status }: Answer, why: string | undefined, advice: string): string =>
  sentences(`${method} ${path}: ${status}${why === undefined ? "" : `: ${why}`}`, advice)

/** What to do after a response that may say how long to wait. */
export const tryAgain = (retryAfter: Duration.Duration | undefined): string =>
  `Try again ${retryAfter === undefined ? "later" : `in ${Math.ceil(Duration.toSeconds(retryAfter))} s`}`

/** Where the credentials of requests are, beyond the header. */
export interface Hiding {
  /** In a URL, every one of them. */
  readonly inUrl: RegExp
  /** Names of query parameters. */
  readonly parameters: ReadonlyArray<string>
}

export const redactUrl = (url: string, { inUrl }: Hiding): string => url.replace(inUrl, "<redacted>")

/** The credentials of a request, which an answer may repeat. */
const secretsOf = (
  { headers, url, urlParams }: HttpClientRequest.HttpClientRequest,
  { inUrl, parameters }: Hiding
): ReadonlyArray<string> => {
  const [scheme, credential = ""] = (headers["authorization"] ?? "").split(" ")
  const key = scheme === "Basic" ? attempt(fromBase64, credential).replace(/:$/, "") : ""
  const query = [...urlParams.params, ...(URL.canParse(url) ? new URL(url).searchParams : [])]
  const tokens = query
    .filter(([name]) => parameters.includes(name))
    .map(([, value]) => (Redacted.isRedacted(value) ? String(Redacted.value(value)) : value))
  const secrets = [credential, key, ...(url.match(inUrl) ?? []), ...tokens]
  return secrets
    .flatMap((secret) => [
      secret,
      asParameter(secret),
      attempt(encodeURIComponent, secret),
      attempt(decodeURIComponent, secret)
    ])
    .filter(Boolean)
}

/** As a query has it: other characters are encoded there. */
const asParameter = (text: string): string => String(new URLSearchParams([["", text]])).slice(1)

const fromBase64 = (text: string): string =>
  new TextDecoder().decode(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)))

/** Nothing, where a text is not of the form. */
const attempt = (decode: (text: string) => string, text: string): string => {
  try {
    return decode(text)
  } catch {
    return ""
  }
}

/** Reads what every error says, and gives what takes the credentials of the request out of a text. */
export const readAnswer = (
  { request, status }: HttpClientResponse.HttpClientResponse,
  hiding: Hiding
): { readonly answer: Answer; readonly scrub: (text: string) => string } => {
  const { method, url } = request
  const path = redactUrl(URL.canParse(url) ? new URL(url).pathname : url, hiding)
  const secrets = secretsOf(request, hiding)
  return {
    answer: { method, path, status },
    scrub: (text) => secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)
  }
}

/** What JSON an answer has: its members may be anything. */
export interface Body {
  readonly [member: PropertyKey]: unknown
}

/** A text among the members of a body, if it is one: on one line, for it ends in logs and terminals, and not endless. */
export const textOf = (body: Body, member: string, scrub: (text: string) => string): string | undefined => {
  const value = body[member]
  return typeof value === "string" && value !== ""
    ? scrub(value)
        .replace(/\p{Cc}+/gu, " ")
        .slice(0, 999)
    : undefined
}
