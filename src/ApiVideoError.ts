/**
 * What api.video answers from 400 up, as one error with a `reason` inside. Failures of authentication itself are
 * `TokenError`s; a connection that breaks is Effect's `HttpClientError`.
 *
 * Bodies are read leniently: HTML of a proxy, `{}`, a problem without `type` and an absurd `status` all become the reason
 * of their HTTP status. The credentials of the request are removed from every text of the answer.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Millis } from "./internal/schema.ts"
import { numberOf, readJson, secondsOf, secretPath } from "./internal/http.ts"

const problemFields = {
  /** URL of the page that explains it, `https://docs.api.video/reference/<slug>`. Some problems have none. */
  type: Schema.optional(Schema.String),
  title: Schema.optional(Schema.String),
  /** The parameter or attribute at fault. */
  name: Schema.optional(Schema.String),
  detail: Schema.optional(Schema.String)
}

/**
 * api.video's problem details (RFC 9457, with `name` and `problems` of its own). Every member is optional.
 *
 * @category models
 * @since 0.1.0
 */
export const ProblemDetails = Schema.Struct({
  ...problemFields,
  /** Where several attributes are at fault, one each; the first is repeated at the top. */
  problems: Schema.optional(Schema.Array(Schema.Struct(problemFields)))
})

/** @since 0.1.0 */
export type ProblemDetails = typeof ProblemDetails.Type

const fields = {
  method: Schema.String,
  /** Path of the request, without query and without an upload token. */
  path: Schema.String,
  status: Schema.Int,
  problem: ProblemDetails
}

interface Fields {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly problem: ProblemDetails
}

const describe = ({ method, path, problem, status }: Fields, advice?: string): string => {
  const at = problem.name ? ` (${problem.name})` : ""
  const why = problem.detail ?? problem.title
  const others = (problem.problems?.length ?? 0) > 1 ? `, and ${problem.problems!.length - 1} more` : ""
  const said = why === undefined ? "" : `: ${why}${at}${others}`
  return `${method} ${path}: ${status}${said}${advice === undefined ? "" : `. ${advice}`}`
}

/**
 * 400: an attribute, parameter or file is wrong; `problem.name` names it. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>("effect-video-auth/ApiVideoError/BadRequest")(
  "BadRequest",
  fields
) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 401 of a request that carried no bearer token of ours: an upload token that is wrong or expired, or Basic
 * authentication with a wrong key. (A refused bearer token is a `TokenError`.) Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("effect-video-auth/ApiVideoError/Unauthorized")(
  "Unauthorized",
  fields
) {
  readonly isRetryable = false
  override get message() {
    return describe(this, "Check the upload token, or the API key and that it belongs to this environment")
  }
}

/**
 * 403: the account is suspended or may not do this. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>("effect-video-auth/ApiVideoError/Forbidden")(
  "Forbidden",
  fields
) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 404: no such video, player, token or URL. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>("effect-video-auth/ApiVideoError/NotFound")(
  "NotFound",
  fields
) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 405: the URL exists, for other methods. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>(
  "effect-video-auth/ApiVideoError/MethodNotAllowed"
)("MethodNotAllowed", fields) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 409: it exists already or is being made. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Conflict extends Schema.TaggedError<Conflict>("effect-video-auth/ApiVideoError/Conflict")(
  "Conflict",
  fields
) {
  readonly isRetryable = false
  override get message() {
    return describe(this)
  }
}

/**
 * 429, after the limiter has waited and tried again as often as it may. Retryable after `retryAfter`, which api.video
 * sends as `X-RateLimit-Retry-After`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>("effect-video-auth/ApiVideoError/RateLimited")(
  "RateLimited",
  {
    ...fields,
    retryAfter: Schema.optional(Millis),
    /** Requests allowed per minute. */
    limit: Schema.optional(Schema.Finite),
    remaining: Schema.optional(Schema.Finite)
  }
) {
  readonly isRetryable = true
  override get message() {
    const wait = this.retryAfter === undefined ? "later" : `in ${Math.ceil(Duration.toSeconds(this.retryAfter))} s`
    return describe(this, `Try again ${wait}`)
  }
}

/**
 * 5xx: api.video, or something before it, is failing. Retryable, and retried by the client where that is safe.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServerError extends Schema.TaggedError<ServerError>("effect-video-auth/ApiVideoError/ServerError")(
  "ServerError",
  { ...fields, retryAfter: Schema.optional(Millis) }
) {
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
export class UnexpectedStatus extends Schema.TaggedError<UnexpectedStatus>(
  "effect-video-auth/ApiVideoError/UnexpectedStatus"
)("UnexpectedStatus", fields) {
  get isRetryable(): boolean {
    return this.status === 408
  }
  override get message() {
    return describe(this)
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
  UnexpectedStatus
])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * An answer from 400 up, for `Effect.catchReason("ApiVideoError", "NotFound", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiVideoError extends Schema.TaggedError<ApiVideoError>("effect-video-auth/ApiVideoError")(
  "ApiVideoError",
  { reason: Reason }
) {
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

const text = (body: object, member: string, scrub: (text: string) => string): string | undefined => {
  const value = Predicate.hasProperty(body, member) ? body[member] : undefined
  return typeof value === "string" && value !== "" ? scrub(value) : undefined
}

const toProblem = (body: unknown, scrub: (text: string) => string): ProblemDetails => {
  if (!Predicate.isObject(body)) return {}
  const own = (body: object) => ({
    type: text(body, "type", scrub),
    title: text(body, "title", scrub),
    name: text(body, "name", scrub),
    detail: text(body, "detail", scrub)
  })
  const problems = Predicate.hasProperty(body, "problems") && Array.isArray(body.problems) ? body.problems : []
  const several = problems.filter(Predicate.isObject).map(own)
  return several.length === 0 ? own(body) : { ...own(body), problems: several }
}

/** The credentials of a request, which an answer may repeat. */
const secretsOf = (response: HttpClientResponse.HttpClientResponse): ReadonlyArray<string> => {
  const { headers, url, urlParams } = response.request
  const [scheme, credential = ""] = (headers["authorization"] ?? "").split(" ")
  const key = scheme === "Basic" ? Result.getOrElse(Base64.decodeString(credential), () => "").replace(/:$/, "") : ""
  const [pathToken = ""] = secretPath.exec(url) ?? []
  const query = [...urlParams.params, ...(URL.canParse(url) ? new URL(url).searchParams : [])]
  const tokens = query
    .filter(([name]) => name === "token")
    .map(([, value]) => (Redacted.isRedacted(value) ? String(Redacted.value(value)) : value))
  const secrets = [credential, key, pathToken, ...tokens].filter((secret) => secret !== "")
  return [...secrets, ...secrets.map(encodeURIComponent)]
}

const pathOf = (url: string): string =>
  (URL.canParse(url) ? new URL(url).pathname : url).replace(secretPath, "<redacted>")

/**
 * How long an answer asks to wait: `Retry-After` in seconds, or api.video's `X-RateLimit-Retry-After`, the seconds until
 * its window of a minute resets.
 *
 * @category decoding
 * @since 0.1.0
 */
export const retryAfterOf = (response: HttpClientResponse.HttpClientResponse): Duration.Duration | undefined =>
  secondsOf(response.headers["retry-after"]) ??
  (response.status === 429 ? secondsOf(response.headers["x-ratelimit-retry-after"]) : undefined)

/**
 * Reads an answer from 400 up. It never fails: a body that cannot be read leaves the problem empty.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromResponse = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<ApiVideoError> =>
  Effect.map(readJson(response), (body) => {
    const secrets = secretsOf(response)
    const scrub = (text: string) => secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)
    const { method, url } = response.request
    const { headers, status } = response
    const answer = {
      method,
      path: pathOf(url),
      status,
      problem: toProblem(body, scrub)
    }
    const retryAfter = retryAfterOf(response)
    switch (status) {
      case 400:
        return new ApiVideoError({ reason: new BadRequest(answer) })
      case 401:
        return new ApiVideoError({ reason: new Unauthorized(answer) })
      case 403:
        return new ApiVideoError({ reason: new Forbidden(answer) })
      case 404:
        return new ApiVideoError({ reason: new NotFound(answer) })
      case 405:
        return new ApiVideoError({ reason: new MethodNotAllowed(answer) })
      case 409:
        return new ApiVideoError({ reason: new Conflict(answer) })
      case 429: {
        const limits = {
          limit: numberOf(headers["x-ratelimit-limit"]),
          remaining: numberOf(headers["x-ratelimit-remaining"])
        }
        return new ApiVideoError({ reason: new RateLimited({ ...answer, retryAfter, ...limits }) })
      }
      default:
        return new ApiVideoError({
          reason: status >= 500 ? new ServerError({ ...answer, retryAfter }) : new UnexpectedStatus(answer)
        })
    }
  })
