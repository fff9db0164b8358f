/** What the errors of platforms have in common: which request they are of, and texts without its credentials. */
import * as Duration from "effect/Duration"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import { sentences } from "../../token/shared/message.ts"
import type { Content } from "./body.ts"

export interface Answer {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly unread?: string | undefined
}

/** The message of an error, `DELETE /videos/vi1: 404: why. What to do.` */
export const describe = (answer: Answer, why: string | undefined, advice: string): string => {
  const { method, path, status, unread } = answer
  const text = why ?? (unread && `the body ${unread}`)
  return sentences(`${method} ${path}: ${status}${text === undefined ? "" : `: ${text}`}`, advice)
}

/** What to do after a response that may say how long to wait. */
export const tryAgain = (retryAfter: Duration.Duration | undefined): string =>
  `Try again ${retryAfter === undefined ? "later" : `in ${Math.ceil(Duration.toSeconds(retryAfter))} s`}`

const advice: { readonly [status: number]: string } = {
  400: "Correct the request",
  401: "Check the credential of the request",
  403: "Check that the account may do this",
  404: "Check the id and the path",
  405: "Check the method and the path",
  409: "Check the state of the resource",
  415: "Check the Content-Type",
  422: "Correct the request"
}

/** What to do about a status. */
export const adviceFor = ({ retryAfter, status }: Answer & { readonly retryAfter?: unknown }): string =>
  status < 400
    ? "Correct the URL, or follow redirects with transformClient"
    : status === 429 || status >= 500
      ? tryAgain(Duration.isDuration(retryAfter) ? retryAfter : undefined)
      : (advice[status] ?? "See the platform's documentation")

/** What a redirect says. */
export const explainRedirect = (location: string | undefined): string =>
  location === undefined ? "the server redirects" : `the server redirects to ${location}`

/** Why a request was not sent. */
export const limitReached = (limit: number): string =>
  `not sent, because the limit of ${limit} requests a minute is reached`

/** Where the credentials of requests are, beyond the header. */
export interface Hiding {
  /** In a URL, every one of them. */
  readonly inUrl: RegExp
  /** Names of query parameters. */
  readonly parameters: ReadonlyArray<string>
}

/** No credential is in a URL. */
export const nothingHidden: Hiding = { inUrl: /(?!)/g, parameters: [] }

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
  return spellingsOf([credential, key, ...(url.match(inUrl) ?? []), ...tokens])
}

/** The credentials of a request that are known as such: its header, and redacted parameters of its URL. */
export const credentialsOf = ({ headers, urlParams }: HttpClientRequest.HttpClientRequest): ReadonlyArray<string> =>
  spellingsOf([
    ...(headers["authorization"] ?? "").split(" ").slice(1),
    ...urlParams.params.flatMap(([, value]) => (Redacted.isRedacted(value) ? [String(Redacted.value(value))] : []))
  ])

/** Secrets as they are, and as URLs and forms spell them. */
export const spellingsOf = (secrets: ReadonlyArray<string>): ReadonlyArray<string> =>
  secrets
    .flatMap((secret) => [
      secret,
      asParameter(secret),
      attempt(encodeURIComponent, secret),
      attempt(decodeURIComponent, secret)
    ])
    .filter(Boolean)

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

/** As much of a server's text as is looked at, and as much as an error keeps. */
const longestText = { read: 4096, kept: 999 }

/** Removes what the end of a text has in common with the beginning of a secret, where the text was cut. */
const withoutBeginningOf = (text: string, secret: string): string => {
  for (let length = Math.min(secret.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(secret.slice(0, length))) return text.slice(0, -length)
  }
  return text
}

/**
 * Removes secrets from a text of the server. A long one is cut first, as looking through it for secrets takes time; what
 * the cut may have left of a secret is removed as well.
 */
export const scrubbed = (text: string, secrets: ReadonlyArray<string>): string => {
  const isCut = text.length > longestText.read
  const read = isCut ? secrets.reduce(withoutBeginningOf, text.slice(0, longestText.read)) : text
  return secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), read).slice(0, longestText.kept)
}

/** Reads what every error says, and gives what takes the credentials of the request out of a text. */
export const readAnswer = (
  { request, status }: HttpClientResponse.HttpClientResponse,
  content: Content,
  hiding: Hiding
): { readonly answer: Answer; readonly body: Body; readonly scrub: (text: string) => string } => {
  const { method, url } = request
  const path = pathOf(url, hiding)
  const secrets = secretsOf(request, hiding)
  return {
    answer: { method, path, status, ...(content._tag === "Unread" && { unread: content.problem }) },
    // A list of errors has members too: its indices.
    body: content._tag === "Json" ? Object(content.value) : {},
    scrub: (text) => scrubbed(text, secrets)
  }
}

/** What JSON an answer has: its members may be anything. */
export interface Body {
  readonly [member: PropertyKey]: unknown
}

/**
 * A text among the members of a body, if it is one: on one line, for it ends in logs and terminals, and not endless. A number,
 * such as a code, becomes its digits.
 */
export const textOf = (body: Body, member: string, scrub: (text: string) => string): string | undefined => {
  const value = typeof body[member] === "number" ? String(body[member]) : body[member]
  return typeof value === "string" && value !== "" ? scrub(value).replace(/\p{Cc}+/gu, " ") : undefined
}

/** Describes a request that was not sent. */
export const unsent = ({ method, url }: HttpClientRequest.HttpClientRequest, hiding: Hiding): Answer => ({
  method,
  path: pathOf(url, hiding),
  status: 429
})

const pathOf = (url: string, hiding: Hiding): string =>
  redactUrl(URL.canParse(url) ? new URL(url).pathname : url, hiding)

/** Where a redirect leads, without query and credentials. */
export const locationOf = (
  { headers, request }: HttpClientResponse.HttpClientResponse,
  hiding: Hiding,
  scrub: (text: string) => string
): string | undefined => {
  const { location = "" } = headers
  if (location === "" || !URL.canParse(location, request.url)) return undefined
  const { origin, pathname, protocol } = new URL(location, request.url)
  return /^https?:$/.test(protocol) ? scrub(redactUrl(`${origin}${pathname}`, hiding)) : undefined
}
