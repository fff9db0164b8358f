/**
 * The typed errors of a platform's API: one error class, with a `reason` inside that the status of the response decides,
 * whatever the body is: the platform's own JSON, a proxy's page, `{}`, nothing.
 *
 * A platform either uses the ready-made reasons of `StatusReason`, or extends {@link ResponseReason} with fields of its own.
 * {@link make} then reads responses. The credentials of the request are removed from every text of the response.
 *
 * **Example** (The error of a platform)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { PlatformError, StatusReason } from "effect-video-auth"
 *
 * export class ExampleError extends PlatformError.PlatformError.extend<ExampleError>("ExampleError")({
 *   _tag: Schema.tag("ExampleError"),
 *   reason: StatusReason.Reason
 * }) {}
 *
 * export const errors = PlatformError.make({
 *   Error: ExampleError,
 *   ...StatusReason.table,
 *   read: ({ text }) => ({ code: text("code"), detail: text("message") })
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schema from "effect/Schema"
import { Millis } from "../token/shared/schema.ts"
import * as ApiError from "./shared/apiError.ts"
import { readError } from "./shared/body.ts"
import * as Http from "./shared/http.ts"

/**
 * The base of every reason that a response is. A platform adds fields with `extend`, says in `explanation` what the server
 * said, and in `advice` what to do.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ResponseReason extends Schema.Error<ResponseReason>("ResponseReason")({
  method: Schema.String,
  /** Path of the request, without query and without a credential. */
  path: Schema.String,
  status: Schema.Int,
  /** Why the response's body could not be read, as in `is larger than 64 KiB`. Absent if it was read, or empty. */
  unread: Schema.optional(Schema.String)
}) {
  /** Whether the same request may succeed later: after 408, 429 and 5xx. */
  get isRetryable(): boolean {
    return this.status === 408 || this.status === 429 || this.status >= 500
  }
  /** What the server said. */
  get explanation(): string | undefined {
    return undefined
  }
  /** What to do. */
  get advice(): string {
    return ApiError.adviceFor(this)
  }
  override get message(): string {
    const { location }: Answer = this
    return ApiError.describe(
      this,
      this.status < 400 ? ApiError.explainRedirect(location) : this.explanation,
      this.advice
    )
  }
}

/**
 * Fields of a reason for 5xx, with its `_tag`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const serverErrorFields = { _tag: Schema.tag("ServerError"), retryAfter: Schema.optional(Millis) }

/**
 * Fields of a reason for 429, with its `_tag`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const rateLimitedFields = {
  _tag: Schema.tag("RateLimited"),
  retryAfter: Schema.optional(Millis),
  /** Requests allowed per minute. */
  limit: Schema.optional(Schema.Finite),
  remaining: Schema.optional(Schema.Finite)
}

/**
 * Fields of a reason for a redirect, with its `_tag`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const redirectedFields = {
  _tag: Schema.tag("Redirected"),
  /** Where the redirect leads, without query and credentials. */
  location: Schema.optional(Schema.String)
}

/** What every reason has. */
interface AnyReason {
  readonly _tag: string
  readonly isRetryable: boolean
  readonly message: string
}

/**
 * The base of a platform's error. A platform extends it with its `_tag` and its reasons.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlatformError extends Schema.Error<PlatformError>("PlatformError")({
  reason: Schema.declare((u): u is AnyReason => u instanceof Error)
}) {
  override readonly cause: unknown = this.reason
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  get retryAfter(): Duration.Duration | undefined {
    const { reason }: { readonly reason: AnyReason & { readonly retryAfter?: Duration.Duration | undefined } } = this
    return reason.retryAfter
  }
  override get message(): string {
    return this.reason.message
  }
}

/**
 * What a reason is made of. A reason takes the members that are its fields.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer extends ApiError.Answer {
  readonly retryAfter?: Duration.Duration | undefined
  readonly limit?: number | undefined
  readonly remaining?: number | undefined
  readonly location?: string | undefined
}

type ReasonClass<Fields, Reason> = new (answer: Answer & Fields) => Reason

/**
 * The reasons of a platform by status. Statuses that are not listed are `other`, `server` from 500 up and `redirect` below
 * 400.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reasons<Fields, Reason> {
  readonly [status: number]: ReasonClass<Fields, Reason>
  readonly 429: ReasonClass<Fields, Reason>
  readonly redirect: ReasonClass<Fields, Reason>
  readonly server: ReasonClass<Fields, Reason>
  readonly other: ReasonClass<Fields, Reason>
}

/**
 * A response, for {@link Options.read}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reading {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly path: string
  /** The members of the response's JSON; none if it is not an object. */
  readonly body: ApiError.Body
  /**
   * Returns a text or a number of the body as a text: on one line, up to 999 characters, without the credentials of the
   * request. Without `of`, the member is one of the body. `text("message", body[0])` reads one of the first object of a list,
   * and `undefined` if there is no such object.
   */
  readonly text: (member: string, of?: unknown) => string | undefined
}

/**
 * How a platform's error is made.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<E, Reason, Fields> {
  readonly Error: new (props: { readonly reason: Reason }) => E
  readonly reasons: Reasons<NoInfer<Fields>, Reason>
  /** Reads the platform's own fields from a response. */
  readonly read: (reading: Reading) => Fields
  /** The fields of a request that the client did not send; `text` says why. */
  readonly unsent: (text: string) => Fields
  /** Where credentials are in URLs. The one in the `Authorization` header is known. @default nowhere */
  readonly hiding?: ApiError.Hiding | undefined
}

/**
 * What a client needs of a platform's errors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Errors<E> {
  readonly Error: new (...args: never) => E
  /** Replaces the credentials in a URL, so that it can be logged. */
  readonly redactUrl: (url: string) => string
  /** Names of query parameters that are credentials. */
  readonly parameters: ReadonlyArray<string>
  /**
   * Decodes a redirect, or a response with a status of 400 or more. Never fails: if the body cannot be read, the platform's
   * own fields are missing.
   */
  readonly fromResponse: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<E>
  /** Makes the error of a request that the client did not send, because it would have to wait longer than it may. */
  readonly rateLimited: (
    request: HttpClientRequest.HttpClientRequest,
    details: { readonly retryAfter: Duration.Duration; readonly limit: number }
  ) => E
}

/**
 * Makes what reads a platform's responses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E, Reason, Fields extends object>({
  Error,
  hiding = ApiError.nothingHidden,
  read,
  reasons,
  unsent
}: Options<E, Reason, Fields>): Errors<E> => ({
  Error,
  redactUrl: (url) => ApiError.redactUrl(url, hiding),
  parameters: hiding.parameters,
  rateLimited: (request, details) =>
    new Error({
      reason: new reasons[429]({
        ...ApiError.unsent(request, hiding),
        ...unsent(ApiError.limitReached(details.limit)),
        ...details
      })
    }),
  fromResponse: (response) =>
    Effect.map(readError(response), (content) => {
      const { request, status } = response
      const { answer, body, scrub } = ApiError.readAnswer(response, content, hiding)
      const text: Reading["text"] = (member, ...of) =>
        ApiError.textOf(of.length === 0 ? body : Object(of[0]), member, scrub)
      const Reason =
        status < 400 ? reasons.redirect : status >= 500 ? reasons.server : (reasons[status] ?? reasons.other)
      const wait = status === 429 ? Http.refusalOf(response) : { retryAfter: Http.retryAfterOf(response) }
      const location = status < 400 ? ApiError.locationOf(response, hiding, scrub) : undefined
      return new Error({
        reason: new Reason({ ...answer, ...read({ request, path: answer.path, body, text }), ...wait, location })
      })
    })
})
