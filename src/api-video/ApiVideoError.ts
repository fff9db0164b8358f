/**
 * The error for a response with a status of 400 or more from api.video, and for input or output of a typed operation that
 * doesn't match its schema, with a `reason` inside. Failures of authentication are `TokenError`s, and a broken connection is
 * Effect's `HttpClientError`.
 *
 * The HTTP status decides the reason, whatever the body is: a proxy's page, `{}`, a problem without `type`. The credentials
 * of the request are removed from every text of the response.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as ApiError from "../platform/shared/apiError.ts"
import { readError } from "../platform/shared/body.ts"
import * as Http from "../platform/shared/http.ts"
import { Millis } from "../token/shared/schema.ts"
import { secretParameters } from "./internal/secrets.ts"

const problemFields = {
  /** URL of the page that explains the problem, `https://docs.api.video/reference/<slug>`. */
  type: Schema.optional(Schema.String),
  title: Schema.optional(Schema.String),
  /** The parameter or attribute at fault. */
  name: Schema.optional(Schema.String),
  detail: Schema.optional(Schema.String)
}

/**
 * api.video's problem details: RFC 9457 plus `name` and `problems`. Every member is optional.
 *
 * @category models
 * @since 0.1.0
 */
export const ProblemDetails = Schema.Struct({
  ...problemFields,
  /** One entry per attribute if several are at fault, up to 20. The first is repeated at the top level. */
  problems: Schema.optional(Schema.Array(Schema.Struct(problemFields)))
})

/** @since 0.1.0 */
export type ProblemDetails = typeof ProblemDetails.Type

const fields = { ...ApiError.answerFields, problem: ProblemDetails }

const describe = (error: ApiError.Answer & { readonly problem: ProblemDetails }, advice: string): string => {
  const { detail, name, problems = [], title } = error.problem
  const why = (detail ?? title)?.replace(/[.\s]+$/, "")
  const at = name ? ` (${name})` : ""
  const others =
    problems.length > 1 ? `, and ${problems.length - 1} ${problems.length < mostProblems ? "more" : "or more"}` : ""
  return ApiError.describe(error, why && `${why}${at}${others}`, advice)
}

/**
 * 400: an attribute, a parameter or a file is wrong, and `problem.name` says which. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Correct the request")
  }
}

/** What to check after a 401, by what the request carried. */
const adviceAbout = {
  "upload-token": "Check the upload token: it may be wrong, expired or used up",
  "api-key": "Check the API key and its environment",
  authorization: "Check the Authorization header that the request brought itself",
  none: "The request carried no credential. Send it with a client that has one",
  unknown: "Check the credential of the request"
}

/**
 * 401 to a request without the library's bearer token: the upload token is wrong or expired, the key of Basic
 * authentication is wrong, or the request brought its own `Authorization` header. Not retryable. (For a refused bearer
 * token the error is a `TokenError`.)
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {
  ...fields,
  /** What the request carried: a token in its URL, an API key (Basic authentication), another `Authorization`, or nothing. */
  credential: Schema.optional(Schema.Literals(["upload-token", "api-key", "authorization", "none"]))
}) {
  readonly isRetryable = false
  override get message() {
    return describe(this, adviceAbout[this.credential ?? "unknown"])
  }
}

/**
 * 403: the account is suspended, or may not do this. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check that the account is active and may do this")
  }
}

/**
 * 404: the video, player, token or path does not exist. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the id, the path and the environment")
  }
}

/**
 * 405: the path exists, but not for this method. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the method and the path")
  }
}

/**
 * 409: the resource already exists, or is being created. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the state of the resource")
  }
}

/**
 * 429, after the limiter has waited and sent the request again as often as it may. Retryable after `retryAfter`, which
 * api.video sends as `X-RateLimit-Retry-After`.
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
    return describe(this, ApiError.tryAgain(this.retryAfter))
  }
}

/**
 * 5xx: api.video, or a proxy in front of it, is failing. Retryable; the client retries it where that is safe.
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
    return describe(this, ApiError.tryAgain(this.retryAfter))
  }
}

/**
 * Any other status of 400 or more. Retryable only if it is 408.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedStatus extends Schema.TaggedError<UnexpectedStatus>()("UnexpectedStatus", fields) {
  get isRetryable(): boolean {
    return this.status === 408
  }
  override get message() {
    return describe(this, "See https://docs.api.video")
  }
}

/**
 * A redirect, which the client does not follow, so nothing was done. Not retryable. `location` is where it leads, without
 * query and credentials.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Redirected extends Schema.TaggedError<Redirected>()("Redirected", {
  ...fields,
  location: Schema.optional(Schema.String)
}) {
  readonly isRetryable = false
  override get message() {
    return ApiError.describeRedirect(this)
  }
}

const issueFields = {
  /** The typed operation, such as `Videos.list`. */
  operation: Schema.String,
  /** The fields that are wrong, at least one. Values are never repeated. */
  issues: Schema.Array(
    Schema.Struct({
      /** Path of the field, such as `metadata[0].key`; empty where the whole is meant. */
      field: Schema.String,
      message: Schema.String
    })
  )
}

/** The first three issues, on one line. */
const describeIssues = (issues: ReadonlyArray<{ readonly field: string; readonly message: string }>): string => {
  const shown = issues.slice(0, 3).map(({ field, message }) => (field === "" ? message : `${field}: ${message}`))
  const more = issues.length - shown.length
  return shown.join("; ") + (more > 0 ? `; and ${more} more` : "")
}

/**
 * The input of a typed operation is out of bounds. Nothing was sent. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", issueFields) {
  readonly isRetryable = false
  /** The first field that is wrong. */
  get field(): string {
    return this.issues[0]?.field ?? ""
  }
  override get message() {
    return `${this.operation}: invalid input: ${describeIssues(this.issues)}. Nothing was sent; correct the input`
  }
}

/**
 * A successful response to a typed operation cannot be read: it is not JSON, is larger than 16 MiB, or lacks a field
 * without which the result is useless, such as an id. Not retryable: the operation itself has succeeded.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MalformedResponse extends Schema.TaggedError<MalformedResponse>()("MalformedResponse", {
  ...ApiError.answerFields,
  ...issueFields
}) {
  readonly isRetryable = false
  /** The first field that cannot be read; empty where the whole body is meant. */
  get field(): string {
    return this.issues[0]?.field ?? ""
  }
  override get message() {
    const { issues, method, operation, path, status } = this
    return `${operation}: malformed response: ${describeIssues(issues)} (${method} ${path}: ${status}). The request was carried out; read the response with the client itself`
  }
}

/**
 * Every reason of an {@link ApiVideoError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  BadRequest,
  Unauthorized,
  Forbidden,
  NotFound,
  MethodNotAllowed,
  Conflict,
  RateLimited,
  ServerError,
  UnexpectedStatus,
  Redirected,
  InvalidInput,
  MalformedResponse
])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * A response with a status of 400 or more, or input or output of a typed operation that doesn't match its schema. Handle one
 * reason with `Effect.catchReason("ApiVideoError", "NotFound", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiVideoError extends Schema.TaggedError<ApiVideoError>()("ApiVideoError", { reason: Reason }) {
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

/** As many problems of one response as an error keeps. */
const mostProblems = 20

const toProblem = (body: ApiError.Body, scrub: (text: string) => string): ProblemDetails => {
  const own = (body: ApiError.Body) =>
    Object.fromEntries(Object.keys(problemFields).map((name) => [name, ApiError.textOf(body, name, scrub)]))
  const { problems } = body
  const several = Array.isArray(problems) ? problems.slice(0, mostProblems).filter(Predicate.isObject).map(own) : []
  return { ...own(body), ...(several.length > 0 && { problems: several }) }
}

/** An upload token, or the private token of a video's asset. */
const hiding: ApiError.Hiding = { inUrl: /(?<=\/(?:upload-tokens|token)\/)[^/?#]+/g, parameters: secretParameters }

/**
 * Replaces the credential in a path of api.video, an upload token or a private token, so that it can be logged.
 *
 * **Example** (Naming a URL in a log)
 *
 * ```ts
 * import { ApiVideoError } from "effect-video-auth/api-video"
 *
 * ApiVideoError.redactUrl("/upload-tokens/to1tcmSFHeYY5KzyhOqVKMKb") // => "/upload-tokens/<redacted>"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const redactUrl = (url: string): string => ApiError.redactUrl(url, hiding)

/**
 * Returns how long a response asks to wait: `Retry-After`, or api.video's `X-RateLimit-Retry-After`, the seconds until its
 * window of a minute resets.
 *
 * @category decoding
 * @since 0.1.0
 */
export const retryAfterOf: (response: HttpClientResponse.HttpClientResponse) => Duration.Duration | undefined =
  Http.retryAfterOf

/**
 * Makes the error of a request that the client did not send, because it would have to wait longer than
 * `rateLimitMaxWait`: `RateLimited`, with status 429.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rateLimited = (
  request: HttpClientRequest.HttpClientRequest,
  told: { readonly retryAfter: Duration.Duration; readonly limit: number }
): ApiVideoError =>
  new ApiVideoError({
    reason: new RateLimited({
      ...ApiError.unsent(request, hiding),
      problem: { title: ApiError.limitReached(told.limit) },
      ...told
    })
  })

/**
 * Decodes a redirect, or a response with a status of 400 or more. Never fails: if the body cannot be read, the problem is empty.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromResponse = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<ApiVideoError> =>
  Effect.map(readError(response), (content) => {
    const { status } = response
    const read = ApiError.readAnswer(response, content, hiding)
    const answer = { ...read.answer, problem: toProblem(read.body, read.scrub) }
    const reason =
      status < 400
        ? new Redirected({ ...answer, location: ApiError.locationOf(response, hiding, read.scrub) })
        : status === 429
          ? new RateLimited({ ...answer, ...Http.refusalOf(response) })
          : status >= 500
            ? new ServerError({ ...answer, retryAfter: retryAfterOf(response) })
            : status === 401
              ? new Unauthorized({ ...answer, credential: credentialOf(response.request) })
              : new (reasonOf(status))(answer)
    return new ApiVideoError({ reason })
  })

/** What a request carries for the server to judge. */
const credentialOf = ({ headers, url, urlParams }: HttpClientRequest.HttpClientRequest): Unauthorized["credential"] => {
  const { authorization } = headers
  if (authorization !== undefined) return /^basic /i.test(authorization) ? "api-key" : "authorization"
  const hasToken = urlParams.params.some(([name]) => name === "token") || /[?&]token=/.test(url)
  return hasToken ? "upload-token" : "none"
}

const reasonOf = (status: number) => {
  switch (status) {
    case 400:
      return BadRequest
    case 403:
      return Forbidden
    case 404:
      return NotFound
    case 405:
      return MethodNotAllowed
    case 409:
      return Conflict
    default:
      return UnexpectedStatus
  }
}
