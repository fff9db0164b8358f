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
import * as Schema from "effect/Schema"
import type * as Duration from "effect/Duration"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as PlatformError from "../platform/PlatformError.ts"
import * as Http from "../platform/shared/http.ts"
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

/** As many problems of one response as an error keeps. */
const mostProblems = 20

/**
 * A response that is an error, with api.video's problem details. Every reason of a response extends it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Problem extends PlatformError.ResponseReason.extend<Problem>("Problem")({ problem: ProblemDetails }) {
  override get explanation() {
    const { detail, name, problems = [], title } = this.problem
    const why = (detail ?? title)?.replace(/[.\s]+$/, "")
    const others =
      problems.length > 1 ? `, and ${problems.length - 1} ${problems.length < mostProblems ? "more" : "or more"}` : ""
    return why && `${why}${name ? ` (${name})` : ""}${others}`
  }
}

/**
 * 400: an attribute, a parameter or a file is wrong, and `problem.name` says which. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Problem.extend<BadRequest>("BadRequest")({ _tag: Schema.tag("BadRequest") }) {}

/** What to check after a 401, by what the request carried. */
const adviceAbout = {
  "upload-token": "Check the upload token: it may be wrong, expired or used up",
  "api-key": "Check the API key and its environment",
  authorization: "Check the Authorization header that the request brought itself",
  none: "The request carried no credential. Send it with a client that has one"
}

/**
 * 401 to a request without the library's bearer token: the upload token is wrong or expired, the key of Basic
 * authentication is wrong, or the request brought its own `Authorization` header. Not retryable. (For a refused bearer
 * token the error is a `TokenError`.)
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Problem.extend<Unauthorized>("Unauthorized")({
  _tag: Schema.tag("Unauthorized"),
  /** What the request carried: a token in its URL, an API key (Basic authentication), another `Authorization`, or nothing. */
  credential: Schema.optional(Schema.Literals(["upload-token", "api-key", "authorization", "none"]))
}) {
  override get advice() {
    return this.credential === undefined ? super.advice : adviceAbout[this.credential]
  }
}

/**
 * 403: the account is suspended, or may not do this. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Problem.extend<Forbidden>("Forbidden")({ _tag: Schema.tag("Forbidden") }) {
  override get advice() {
    return "Check that the account is active and may do this"
  }
}

/**
 * 404: the video, player, token or path does not exist. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Problem.extend<NotFound>("NotFound")({ _tag: Schema.tag("NotFound") }) {
  override get advice() {
    return "Check the id, the path and the environment"
  }
}

/**
 * 405: the path exists, but not for this method. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MethodNotAllowed extends Problem.extend<MethodNotAllowed>("MethodNotAllowed")({
  _tag: Schema.tag("MethodNotAllowed")
}) {}

/**
 * 409: the resource already exists, or is being created. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Conflict extends Problem.extend<Conflict>("Conflict")({ _tag: Schema.tag("Conflict") }) {}

/**
 * 429, after the limiter has waited and sent the request again as often as it may. Retryable after `retryAfter`, which
 * api.video sends as `X-RateLimit-Retry-After`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Problem.extend<RateLimited>("RateLimited")(PlatformError.rateLimitedFields) {}

/**
 * 5xx: api.video, or a proxy in front of it, is failing. Retryable; the client retries it where that is safe.
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
    return "See https://docs.api.video"
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
export class MalformedResponse extends PlatformError.ResponseReason.extend<MalformedResponse>("MalformedResponse")({
  _tag: Schema.tag("MalformedResponse"),
  ...issueFields
}) {
  /** The first field that cannot be read; empty where the whole body is meant. */
  get field(): string {
    return this.issues[0]?.field ?? ""
  }
  override get message() {
    const { issues, method, operation, path, status } = this
    return `${operation}: malformed response: ${describeIssues(issues)} (${method} ${path}: ${status}). The request was carried out; read the response with the client itself`
  }
}

/** The reasons by status. */
const reasons = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  405: MethodNotAllowed,
  409: Conflict,
  429: RateLimited,
  redirect: Redirected,
  server: ServerError,
  other: UnexpectedStatus
}

/**
 * Every reason of an {@link ApiVideoError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([.../* @__PURE__ */ Object.values(reasons), InvalidInput, MalformedResponse])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * A response with a status of 400 or more, or input or output of a typed operation that doesn't match its schema. Handle one
 * reason with `Effect.catchReason("ApiVideoError", "NotFound", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiVideoError extends PlatformError.PlatformError.extend<ApiVideoError>("ApiVideoError")({
  _tag: Schema.tag("ApiVideoError"),
  reason: Reason
}) {}

const toProblem = (body: PlatformError.Reading["body"], text: PlatformError.Reading["text"]): ProblemDetails => {
  const own = (body: PlatformError.Reading["body"]) =>
    Object.fromEntries(Object.keys(problemFields).map((name) => [name, text(name, body)]))
  const { problems } = body
  const several = Array.isArray(problems) ? problems.slice(0, mostProblems).filter(Predicate.isObject).map(own) : []
  return { ...own(body), ...(several.length > 0 && { problems: several }) }
}

/** What a request carries for the server to judge. */
const credentialOf = ({ headers, url, urlParams }: HttpClientRequest.HttpClientRequest): Unauthorized["credential"] => {
  const { authorization } = headers
  if (authorization !== undefined) return /^basic /i.test(authorization) ? "api-key" : "authorization"
  const hasToken = urlParams.params.some(([name]) => name === "token") || /[?&]token=/.test(url)
  return hasToken ? "upload-token" : "none"
}

/**
 * How api.video's responses are read. Its problems may repeat an upload token, or the private token of a video's asset.
 *
 * @category decoding
 * @since 0.1.0
 */
export const errors: PlatformError.Errors<ApiVideoError> = /* @__PURE__ */ PlatformError.make({
  Error: ApiVideoError,
  reasons,
  read: ({ body, request, text }: PlatformError.Reading) => ({
    problem: toProblem(body, text),
    credential: credentialOf(request)
  }),
  unsent: (title) => ({ problem: { title }, credential: undefined }),
  hiding: { inUrl: /(?<=\/(?:upload-tokens|token)\/)[^/?#]+/g, parameters: secretParameters }
})

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
export const redactUrl = (url: string): string => errors.redactUrl(url)

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
export const rateLimited: PlatformError.Errors<ApiVideoError>["rateLimited"] = (request, details) =>
  errors.rateLimited(request, details)

/**
 * Decodes a redirect, or a response with a status of 400 or more. Never fails: if the body cannot be read, the problem is empty.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromResponse = (response: HttpClientResponse.HttpClientResponse) => errors.fromResponse(response)
