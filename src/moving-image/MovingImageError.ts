/**
 * The error for a response with a status of 400 or more from movingimage, with a `reason` inside. Failures of
 * authentication are `TokenError`s, and a broken connection is Effect's `HttpClientError`.
 *
 * The HTTP status decides the reason, whatever the body is: a proxy's page, `{}`, nothing. movingimage documents five
 * numbers for a body but not the member that has them, and real responses have a `message`; the library looks for both. The
 * credentials of the request are removed from the message.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as PlatformError from "../platform/PlatformError.ts"

/**
 * The error numbers that movingimage documents.
 *
 * | number | meaning |
 * | --- | --- |
 * | 1001 | the root channel cannot be deleted |
 * | 1002 | the channel has subchannels and cannot be deleted |
 * | 1003 | the Google user id is already assigned |
 * | 1004 | the Facebook page id is already assigned |
 * | 1101 | the storage limit is reached, so the upload is not possible |
 *
 * @category models
 * @since 0.1.0
 */
export const Code = /* @__PURE__ */ Schema.Literals([1001, 1002, 1003, 1004, 1101])

/** @since 0.1.0 */
export type Code = typeof Code.Type

const meanings: Readonly<Record<Code, string>> = {
  1001: "the root channel cannot be deleted",
  1002: "the channel has subchannels and cannot be deleted",
  1003: "the Google user id is already assigned",
  1004: "the Facebook page id is already assigned",
  1101: "the storage limit is reached, so the upload is not possible"
}

/**
 * A response that is an error. Every reason extends it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Problem extends PlatformError.ResponseReason.extend<Problem>("Problem")({
  /** The documented number, if the response has one. */
  code: Schema.optional(Code),
  /** The server's text, without the credentials of the request. Missing for a request with credentials in its body. */
  detail: Schema.optional(Schema.String)
}) {
  override get explanation() {
    return this.code === undefined ? this.detail : `${meanings[this.code]} (${this.code})`
  }
}

/**
 * 400: an attribute or a parameter is wrong. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Problem.extend<BadRequest>("BadRequest")({ _tag: Schema.tag("BadRequest") }) {}

/** What to check after a 401, by what the request carried. */
const adviceAbout = {
  url: "Check the token in the URL: an upload URL is valid for four hours",
  authorization: "Check the Authorization header that the request brought itself",
  none: "Check username and password if the request is a login. Any other needs a client that has a credential"
}

/**
 * 401 to a request without the library's token: it went to another origin, or brought its own credential. Not retryable.
 * (For a refused bearer token the error is a `TokenError`.)
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Problem.extend<Unauthorized>("Unauthorized")({
  _tag: Schema.tag("Unauthorized"),
  /** What the request carried: a token in its URL, an `Authorization` of its own, or nothing that is known as a credential. */
  credential: Schema.optional(Schema.Literals(["url", "authorization", "none"]))
}) {
  override get advice() {
    return this.credential === undefined ? super.advice : adviceAbout[this.credential]
  }
}

/**
 * 403: the user lacks the rights, or the token is for another VideoManager. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Problem.extend<Forbidden>("Forbidden")({ _tag: Schema.tag("Forbidden") }) {
  override get advice() {
    return "Check the user's rights, and that the token is for this VideoManager"
  }
}

/**
 * 404: the VideoManager, video, channel or path does not exist. A DELETE never fails with it, because movingimage documents
 * 404 as the success of a DELETE. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Problem.extend<NotFound>("NotFound")({ _tag: Schema.tag("NotFound") }) {
  override get advice() {
    return "Check the ids and the path"
  }
}

/**
 * 415: this path does not accept a body of that type. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnsupportedMediaType extends Problem.extend<UnsupportedMediaType>("UnsupportedMediaType")({
  _tag: Schema.tag("UnsupportedMediaType")
}) {}

/**
 * 429, after the limiter has waited and sent the request again as often as it may. Retryable after `retryAfter`: what the
 * response says, or else the minute of the documented limit.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Problem.extend<RateLimited>("RateLimited")(PlatformError.rateLimitedFields) {}

/**
 * 5xx: movingimage, or a proxy in front of it, is failing. Retryable; the client retries it where that is safe.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServerError extends Problem.extend<ServerError>("ServerError")(PlatformError.serverErrorFields) {}

/**
 * Any other status of 400 or more. Retryable only if it is 408.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedStatus extends Problem.extend<UnexpectedStatus>("UnexpectedStatus")({
  _tag: Schema.tag("UnexpectedStatus")
}) {
  override get advice() {
    return "See movingimage's documentation"
  }
}

/**
 * A redirect, which the client does not follow, so nothing was done. Not retryable. `location` is where it leads, without
 * query and credentials.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Redirected extends Problem.extend<Redirected>("Redirected")(PlatformError.redirectedFields) {}

/** The reasons by status. */
const reasons = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  415: UnsupportedMediaType,
  429: RateLimited,
  redirect: Redirected,
  server: ServerError,
  other: UnexpectedStatus
}

/**
 * Every reason of a {@link MovingImageError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = /* @__PURE__ */ Schema.Union(/* @__PURE__ */ Object.values(reasons))

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * A response with a status of 400 or more. Handle one reason with `Effect.catchReason("MovingImageError", "NotFound", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class MovingImageError extends PlatformError.PlatformError.extend<MovingImageError>("MovingImageError")({
  _tag: Schema.tag("MovingImageError"),
  reason: Reason
}) {}

/** The token of an upload URL, and the access token in the URLs of some programs. */
const hiding = { inUrl: /(?<=(?:__token__|mitoken)=)[^&#]+/g, parameters: ["__token__", "mitoken"] }

/** Members that may have the documented number. The documents do not say which, so these are the usual ones. */
const placesOfCode = ["errorCode", "errorcode", "code", "error", "number"]

const isCode = /* @__PURE__ */ Schema.is(Code)

const codeOf = (body: PlatformError.Reading["body"]): Code | undefined =>
  placesOfCode
    .map((place) => body[place])
    .map((value) => (typeof value === "string" ? Number(value) : value))
    .find(isCode)

/** What a request carries for the server to judge. */
const credentialOf = ({ headers, url, urlParams }: HttpClientRequest.HttpClientRequest): Unauthorized["credential"] => {
  if (headers["authorization"] !== undefined) return "authorization"
  const hasToken = urlParams.params.some(([name]) => hiding.parameters.includes(name)) || redactUrl(url) !== url
  return hasToken ? "url" : "none"
}

/**
 * How movingimage's responses are read.
 *
 * @category decoding
 * @since 0.1.0
 */
export const errors: PlatformError.Errors<MovingImageError> = /* @__PURE__ */ PlatformError.make({
  Error: MovingImageError,
  reasons,
  read: ({ body, path, request, text }: PlatformError.Reading) => ({
    code: codeOf(body),
    // The body of such a request contains a password, which cannot be recognised in the server's text.
    detail: path.includes("/v1/vms/auth/") ? undefined : text("message"),
    credential: credentialOf(request)
  }),
  unsent: (detail) => ({ code: undefined, detail, credential: undefined }),
  hiding
})

/**
 * Replaces the credential in a URL of movingimage, `__token__` of an upload URL or `mitoken`, so that it can be logged.
 *
 * **Example** (Naming an upload URL in a log)
 *
 * ```ts
 * import { MovingImageError } from "effect-video-auth/moving-image"
 *
 * const url = "https://asset-in.video-cdn.net/chunks/1?vm=5&__token__=1461246419962~55e8fd67"
 * MovingImageError.redactUrl(url) // => "https://asset-in.video-cdn.net/chunks/1?vm=5&__token__=<redacted>"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const redactUrl = (url: string): string => errors.redactUrl(url)

/**
 * Makes the error of a request that the client did not send, because it would have to wait longer than
 * `rateLimitMaxWait`: `RateLimited`, with status 429.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rateLimited: PlatformError.Errors<MovingImageError>["rateLimited"] = (request, details) =>
  errors.rateLimited(request, details)

/**
 * Decodes a redirect, or a response with a status of 400 or more. Never fails: if the body cannot be read, `code` and `detail` are missing.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromResponse = (response: HttpClientResponse.HttpClientResponse) => errors.fromResponse(response)
