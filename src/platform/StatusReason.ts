/**
 * Ready-made reasons of a `PlatformError`, by status, for a platform whose responses need no more than a code and a text.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as PlatformError from "./PlatformError.ts"

/**
 * The base of all reasons of this module.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StatusReason extends PlatformError.ResponseReason.extend<StatusReason>("StatusReason")({
  /** The platform's code of the failure. */
  code: Schema.optional(Schema.String),
  /** The server's text, without the credentials of the request. */
  detail: Schema.optional(Schema.String)
}) {
  override get explanation(): string | undefined {
    return this.detail ?? this.code
  }
}

/**
 * 400: the request is wrong.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends StatusReason.extend<BadRequest>("BadRequest")({ _tag: Schema.tag("BadRequest") }) {}

/**
 * 401 to a request without the library's token. (For a refused token the error is a `TokenError`.)
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends StatusReason.extend<Unauthorized>("Unauthorized")({
  _tag: Schema.tag("Unauthorized")
}) {}

/**
 * 403: the credential may not do this.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends StatusReason.extend<Forbidden>("Forbidden")({ _tag: Schema.tag("Forbidden") }) {}

/**
 * 404: there is no such resource.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends StatusReason.extend<NotFound>("NotFound")({ _tag: Schema.tag("NotFound") }) {}

/**
 * 405: the path exists, but not for this method.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MethodNotAllowed extends StatusReason.extend<MethodNotAllowed>("MethodNotAllowed")({
  _tag: Schema.tag("MethodNotAllowed")
}) {}

/**
 * 409: the resource already exists, or is in another state.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Conflict extends StatusReason.extend<Conflict>("Conflict")({ _tag: Schema.tag("Conflict") }) {}

/**
 * 415: this path does not accept a body of that type.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnsupportedMediaType extends StatusReason.extend<UnsupportedMediaType>("UnsupportedMediaType")({
  _tag: Schema.tag("UnsupportedMediaType")
}) {}

/**
 * 422: an attribute is wrong.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnprocessableContent extends StatusReason.extend<UnprocessableContent>("UnprocessableContent")({
  _tag: Schema.tag("UnprocessableContent")
}) {}

/**
 * 429, after the limiter has waited and sent the request again as often as it may.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends StatusReason.extend<RateLimited>("RateLimited")(PlatformError.rateLimitedFields) {}

/**
 * 5xx: the platform, or a proxy in front of it, is failing.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServerError extends StatusReason.extend<ServerError>("ServerError")(PlatformError.serverErrorFields) {}

/**
 * A redirect, which the client does not follow, so nothing was done.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Redirected extends StatusReason.extend<Redirected>("Redirected")(PlatformError.redirectedFields) {}

/**
 * Any other status of 400 or more. Retryable only if it is 408.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedStatus extends StatusReason.extend<UnexpectedStatus>("UnexpectedStatus")({
  _tag: Schema.tag("UnexpectedStatus")
}) {}

const reasons = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  405: MethodNotAllowed,
  409: Conflict,
  415: UnsupportedMediaType,
  422: UnprocessableContent,
  429: RateLimited,
  redirect: Redirected,
  server: ServerError,
  other: UnexpectedStatus
}

/**
 * What a response says, as far as the reasons of this module keep it.
 *
 * @category models
 * @since 0.1.0
 */
export type Fields = Pick<StatusReason, "code" | "detail">

/**
 * What `PlatformError.make` needs for the reasons of this module, except how to `read` a response.
 *
 * @category models
 * @since 0.1.0
 */
export const table = { reasons, unsent: (detail: string): Fields => ({ detail }) }

/**
 * Every reason of this module.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union(Object.values(reasons))

/** @since 0.1.0 */
export type Reason = typeof Reason.Type
