/**
 * What movingimage answers from 400 up, as one error with a `reason` inside. Failures of authentication itself are
 * `TokenError`s; a connection that breaks is Effect's `HttpClientError`.
 *
 * Of the body, movingimage documents five numbers but not where they are, and a `message` is seen in the field: both are
 * read leniently, and HTML of a proxy, `{}` or nothing at all become the reason of their HTTP status. The credentials of
 * the request are removed from the message.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as ApiError from "../platform/shared/apiError.ts"
import * as Http from "../platform/shared/http.ts"
import { Millis } from "../token/shared/schema.ts"

/**
 * The numbers that movingimage documents, beside the HTTP status.
 *
 * | number | meaning |
 * | --- | --- |
 * | 1001 | the root channel cannot be deleted |
 * | 1002 | the channel has subchannels and cannot be deleted |
 * | 1003 | the Google user id is assigned already |
 * | 1004 | the Facebook page id is assigned already |
 * | 1101 | the upload is not possible, as the storage limit is reached |
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
  1003: "the Google user id is assigned already",
  1004: "the Facebook page id is assigned already",
  1101: "the upload is not possible, as the storage limit is reached"
}

const fields = {
  ...ApiError.answerFields,
  /** The documented number, if the answer has one. */
  code: Schema.optional(Code),
  /** The server's text, without the credentials of the request; none where those are in its body. */
  detail: Schema.optional(Schema.String)
}

const describe = (
  error: ApiError.Answer & { readonly code?: Code | undefined; readonly detail?: string | undefined },
  advice?: string
) =>
  ApiError.describe(error, error.code === undefined ? error.detail : `${meanings[error.code]} (${error.code})`, advice)

/**
 * 400: an attribute or parameter is wrong. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 401 of a request that carried no token of ours: one to another origin, or with a credential of its own. (A refused
 * bearer token is a `TokenError`.) Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the credential that the request has of its own, and the age of an upload URL")
  }
}

/**
 * 403: the user lacks the rights, or the token is for another VideoManager. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the user's rights, and that the token is for this VideoManager")
  }
}

/**
 * 404: no such VideoManager, video, channel or URL. Never of a DELETE, whose documented success it is. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 415: the body is of a type that this URL does not take. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the Content-Type")
  }
}

/**
 * 429, after the limiter has waited and tried again as often as it may. Retryable after `retryAfter`: what the answer
 * says, or the minute of the documented limit.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  ...fields,
  retryAfter: Schema.optional(Millis),
  /** Requests allowed per minute. */
  limit: Schema.optional(Schema.Finite),
  remaining: Schema.optional(Schema.Finite)
}) {
  readonly isRetryable = true
  override get message() {
    const wait = this.retryAfter === undefined ? "later" : `in ${Math.ceil(Duration.toSeconds(this.retryAfter))} s`
    return describe(this, `Try again ${wait}`)
  }
}

/**
 * 5xx: movingimage, or something before it, is failing. Retryable, and retried by the client where that is safe.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServerError extends Schema.TaggedError<ServerError>()("ServerError", {
  ...fields,
  retryAfter: Schema.optional(Millis)
}) {
  readonly isRetryable = true
  override get message() {
    return describe(this)
  }
}

/**
 * Any other status from 400 up. Retryable only if it is 408.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedStatus extends Schema.TaggedError<UnexpectedStatus>()("UnexpectedStatus", fields) {
  get isRetryable(): boolean {
    return this.status === 408
  }
  override get message() {
    return describe(this)
  }
}

/**
 * Every reason of a {@link MovingImageError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = /* @__PURE__ */ Schema.Union([
  BadRequest,
  Unauthorized,
  Forbidden,
  NotFound,
  UnsupportedMediaType,
  RateLimited,
  ServerError,
  UnexpectedStatus
])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * An answer from 400 up, for `Effect.catchReason("MovingImageError", "NotFound", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class MovingImageError extends Schema.TaggedError<MovingImageError>()("MovingImageError", { reason: Reason }) {
  override readonly cause = this.reason
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }
  override get message() {
    return this.reason.message
  }
}

/** The token of an upload URL, and the access token that some programs put into URLs. */
const hiding: ApiError.Hiding = {
  inUrl: /(?<=(?:__token__|mitoken)=)[^&#]+/g,
  parameters: ["__token__", "mitoken"]
}

/**
 * A URL of movingimage without the credential that it may have, `__token__` of an upload URL or `mitoken`: for logs.
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
export const redactUrl = (url: string): string => ApiError.redactUrl(url, hiding)

/** Where the documented numbers may be: no document says, so wherever APIs of the kind have them. */
const placesOfCode = ["errorCode", "errorcode", "code", "error", "number"]

const isCode = /* @__PURE__ */ Schema.is(Code)

const codeOf = (body: ApiError.Body): Code | undefined =>
  placesOfCode
    .map((place) => body[place])
    .map((value) => (typeof value === "string" ? Number(value) : value))
    .find(isCode)

/**
 * Reads an answer from 400 up. It never fails: of a body that cannot be read, nothing is told.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromResponse = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<MovingImageError> =>
  Effect.map(Http.readJson(response), (json) => {
    const { status } = response
    const { answer, scrub } = ApiError.readAnswer(response, hiding)
    const body = Predicate.isObject(json) ? json : {}
    // There the body of the request has a password, which is not looked for in texts.
    const isSecret = answer.path.includes("/v1/vms/auth/")
    const detail = isSecret ? undefined : ApiError.textOf(body, "message", scrub)
    const problem = { ...answer, code: codeOf(body), detail }
    const reason =
      status === 429
        ? new RateLimited({ ...problem, ...Http.limitsOf(response) })
        : status >= 500
          ? new ServerError({ ...problem, retryAfter: Http.retryAfterOf(response) })
          : new (reasonOf(status))(problem)
    return new MovingImageError({ reason })
  })

const reasonOf = (status: number) => {
  switch (status) {
    case 400:
      return BadRequest
    case 401:
      return Unauthorized
    case 403:
      return Forbidden
    case 404:
      return NotFound
    case 415:
      return UnsupportedMediaType
    default:
      return UnexpectedStatus
  }
}
