/**
 * Every way in which authentication can fail: one error with a `reason` inside.
 *
 * A signature names only {@link TokenError}. A program handles the reasons it cares about with `Effect.catchReason`, or
 * unpacks them with `Effect.unwrapReason`. The error and its reasons are schemas, so they can cross RPC and persistence.
 *
 * An error never contains a request, a body, a decoding cause or the server's free text, because each of them can repeat
 * a key. A message has the form `provider: what happened. What to do.`
 *
 * **Example** (Handling one reason)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TokenService } from "effect-video-auth"
 *
 * export const program = Effect.gen(function*() {
 *   const tokens = yield* TokenService.TokenService
 *   return yield* tokens.get
 * }).pipe(
 *   Effect.catchReason("TokenError", "InvalidCredentials", (reason) => Effect.die(reason.message))
 * )
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { answer, inBrackets, RenewalReason } from "./internal/renewalReason.ts"
import { sentences } from "./shared/message.ts"

export {
  AccountSuspended,
  AmbiguousExchange,
  BadRequest,
  ConfigurationInvalid,
  CredentialUnavailable,
  Failure,
  InteractionRequired,
  InvalidCredentials,
  LifetimeTooShort,
  MalformedResponse,
  ProviderRejected,
  ProviderUnavailable,
  RateLimited,
  RefreshTokenRejected,
  RenewalReason,
  RenewalStorm,
  StoreUnavailable,
  TokenRejected
} from "./internal/renewalReason.ts"

/**
 * Says whether an exchange, or the wait for one, can fail with a reason.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRenewalReason: (reason: Reason) => reason is RenewalReason = /* @__PURE__ */ Schema.is(RenewalReason)

/**
 * The token has expired. Either its renewal failed, and `renewal` has the reason; or the API answered 401 to a token that
 * was past its time, and the library could not replace it. Retryable if the renewal is.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TokenExpired extends Schema.TaggedError<TokenExpired>()("TokenExpired", {
  ...answer,
  /** When it expired, in milliseconds since the epoch, if that is known. */
  expiredAt: Schema.optional(Schema.Finite),
  /** Why it could not be renewed. */
  renewal: Schema.optional(RenewalReason)
}) {
  get isRetryable(): boolean {
    return this.renewal?.isRetryable ?? false
  }
  get retryAfter(): Duration.Duration | undefined {
    return this.renewal === undefined ? undefined : retryAfterOf(this.renewal)
  }
  override get message() {
    const what = `the token has expired${inBrackets(this)}`
    return this.renewal === undefined
      ? sentences(what, "Try again")
      : `${what}. Its renewal failed: ${this.renewal.message}`
  }
}

/**
 * The body of a request can be read only once, as a stream or a generator can, and the request would have to be sent
 * again.
 *
 * - After a 401 (`status` is 401) the token has been renewed. The same call with a new body succeeds.
 * - Without a `status`, something outside the client, such as a retry of the program, repeats a request whose body has
 *   been sent. Nothing was sent this time.
 *
 * Retryable by a call that makes its body anew. A body that can be made again is marked by `RequestBody`; the client then
 * repeats such requests on its own.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BodyNotRepeatable extends Schema.TaggedError<BodyNotRepeatable>()("BodyNotRepeatable", {
  status: answer.status
}) {
  readonly isRetryable = true
  override get message() {
    const what =
      this.status === undefined
        ? "the body of this request has been sent and cannot be read again"
        : `the token was renewed after a ${this.status}, but the body cannot be read again`
    return sentences(what, "Create the body anew and send the request again, or see RequestBody")
  }
}

/**
 * The service or client was used after its layer had closed. Not retryable: the program has to build the layer again, or
 * keep its scope open for as long as it uses what the layer provides.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServiceClosed extends Schema.TaggedError<ServiceClosed>()("ServiceClosed", {}) {
  readonly isRetryable = false
  override get message() {
    return sentences(
      "the service is closed: it was used after its layer had closed",
      "Use it within the scope of the layer"
    )
  }
}

const retryAfterOf = (reason: Reason): Duration.Duration | undefined =>
  "retryAfter" in reason ? reason.retryAfter : undefined

/**
 * Every reason of a {@link TokenError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([...RenewalReason.members, TokenExpired, BodyNotRepeatable, ServiceClosed])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * The only error of the token operations.
 *
 * - `reason`: what happened
 * - `isRetryable`: whether the same call may succeed later although nobody changes anything
 * - `retryAfter`: how long to wait, if the platform said so
 * - `validUntil`: present while callers of `get` are still served a valid token
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenError extends Schema.TaggedError<TokenError>()("TokenError", {
  /** The platform and environment, as in `api.video sandbox`. */
  provider: Schema.String,
  reason: Reason,
  /** Until when a held token stays valid, in milliseconds since the epoch. */
  validUntil: Schema.optional(Schema.Finite)
}) {
  override readonly cause = this.reason
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this.reason)
  }
  override get message() {
    const held = this.validUntil === undefined ? "" : " The held token is still valid."
    return `${this.provider}: ${this.reason.message}${held}`
  }
}
