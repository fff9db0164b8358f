/**
 * Every way in which authentication can fail, as one error with a `reason` inside.
 *
 * A signature names {@link TokenError} alone; a program handles what it cares about with `Effect.catchReason`, or
 * unpacks the reasons with `Effect.unwrapReason`. All of it is schema-backed, so it crosses RPC and persistence.
 *
 * No error holds a request, a body, a decode cause or the server's free text, any of which can echo a key.
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
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { Millis } from "./shared/schema.ts"

/** What may be repeated of an error answer: its status, a slug from a list of known ones, a parameter name of ours. */
const answer = {
  /** HTTP status of the answer. */
  status: Schema.optional(Schema.Int),
  /** Last segment of the problem's `type` URL (RFC 9457), if the platform documents it. */
  type: Schema.optional(Schema.String)
}

const said = ({ status, type }: { readonly status?: number | undefined; readonly type?: string | undefined }): string =>
  status === undefined ? "" : ` (${status}${type === undefined ? "" : `, ${type}`})`

const inSeconds = (duration: Duration.Duration): string => `${Math.ceil(Duration.toSeconds(duration))} s`

/**
 * 400 from an exchange that is not about the credential: the request itself was wrong. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  ...answer,
  name: Schema.optional(Schema.String)
}) {
  readonly isRetryable = false
  override get message() {
    return `the request is invalid${said(this)}${this.name === undefined ? "" : `: ${this.name}`}`
  }
}

/**
 * The primary credential (API key, password, client secret) was refused. Not retryable, never retried by the engine
 * without a caller asking: repeated failures lock accounts.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidCredentials extends Schema.TaggedError<InvalidCredentials>()("InvalidCredentials", {
  ...answer,
  advice: Schema.optional(Schema.String)
}) {
  readonly isRetryable = false
  override get message() {
    return `the credentials were refused${said(this)}; ${this.advice ?? "check them"}`
  }
}

/**
 * The refresh token was refused: used before, superseded by a login elsewhere, or expired. The engine logs in instead,
 * so a program sees this one only from a bare `refresh`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RefreshTokenRejected extends Schema.TaggedError<RefreshTokenRejected>()("RefreshTokenRejected", answer) {
  readonly isRetryable = false
  override get message() {
    return `the refresh token was refused${said(this)}; log in again`
  }
}

/**
 * A fresh, unexpired token was refused by the API as well. Not retryable: the account, the environment or the URL is
 * the likely cause.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TokenRejected extends Schema.TaggedError<TokenRejected>()("TokenRejected", answer) {
  readonly isRetryable = false
  override get message() {
    return `a fresh token was refused${said(this)}; check the environment of the URL`
  }
}

/**
 * 403: the account is suspended. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AccountSuspended extends Schema.TaggedError<AccountSuspended>()("AccountSuspended", answer) {
  readonly isRetryable = false
  override get message() {
    return `the account is suspended${said(this)}; see the platform's dashboard`
  }
}

/**
 * 429 from an exchange. Retryable after `retryAfter`, which the engine honours.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  retryAfter: Schema.optional(Millis),
  /** Requests allowed per window, and how many were left. */
  limit: Schema.optional(Schema.Finite),
  remaining: Schema.optional(Schema.Finite)
}) {
  readonly isRetryable = true
  override get message() {
    return `too many requests; try again ${this.retryAfter === undefined ? "later" : `in ${inSeconds(this.retryAfter)}`}`
  }
}

/**
 * How far an exchange got that had no usable answer.
 *
 * - `connect`: no connection was made (DNS, refused, timed out, proxy), so nothing was sent
 * - `tls`: the server's certificate was not accepted, so nothing was sent
 * - `network`: the connection broke
 * - `timeout`: no answer in time
 * - `status`: the server answered that it cannot answer (5xx)
 *
 * @category reasons
 * @since 0.1.0
 */
export const Failure = Schema.Union(
  (["connect", "tls", "network", "timeout", "status"] as const).map((kind) => Schema.Literal(kind))
)

/** @since 0.1.0 */
export type Failure = typeof Failure.Type

const unavailable: Record<Failure, string> = {
  connect: "cannot be reached; check network, DNS, proxy and URL",
  tls: "has an untrusted certificate; check URL and proxy",
  network: "broke the connection",
  timeout: "did not answer in time",
  status: "is failing"
}

/**
 * 5xx, no network, or no answer in time. Retryable, and retried by the engine.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProviderUnavailable extends Schema.TaggedError<ProviderUnavailable>()("ProviderUnavailable", {
  status: answer.status,
  failure: Failure,
  retryAfter: Schema.optional(Millis)
}) {
  readonly isRetryable = true
  /** Whether the request may have reached the platform: a refresh token that was sent is not sent again. */
  get sent(): boolean {
    return this.failure !== "connect" && this.failure !== "tls"
  }
  override get message() {
    return `the platform ${unavailable[this.failure]}${said(this)}`
  }
}

/**
 * A refresh was sent and its answer lost or unreadable: whether the refresh token was consumed is unknown, so it is
 * dropped. Retryable: the engine logs in.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AmbiguousExchange extends Schema.TaggedError<AmbiguousExchange>()("AmbiguousExchange", {
  status: answer.status,
  failure: Schema.optional(Failure)
}) {
  readonly isRetryable = true
  override get message() {
    return `the answer to a refresh was lost${said(this)}; log in again`
  }
}

/**
 * An answer that is no token response: HTML of a proxy, truncated JSON, a wrong type, a redirect. Retryable, since it
 * is mostly something in between that answered.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MalformedResponse extends Schema.TaggedError<MalformedResponse>()("MalformedResponse", {
  status: answer.status,
  /** What is wrong, in this library's words. */
  problem: Schema.String
}) {
  readonly isRetryable = true
  override get message() {
    return `the answer is no token response${said(this)}: ${this.problem}`
  }
}

/**
 * A value that cannot be right, found before any network: an empty key, a URL without https, a margin that makes no
 * sense. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConfigurationInvalid extends Schema.TaggedError<ConfigurationInvalid>()("ConfigurationInvalid", {
  /** The option, as the program names it. */
  option: Schema.String,
  /** What is wrong with it and what to do, never its value. */
  problem: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return `${this.option} is invalid: ${this.problem}`
  }
}

/**
 * No refresh token is left and there is no login to fall back on: a human must log in again.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InteractionRequired extends Schema.TaggedError<InteractionRequired>()("InteractionRequired", answer) {
  readonly isRetryable = false
  override get message() {
    return `the session has ended${said(this)}; a person must log in again`
  }
}

/**
 * `getValidFor` asked for more than even a fresh token lasts. Remembered: asking again makes no exchange.
 *
 * @category reasons
 * @since 0.1.0
 */
export class LifetimeTooShort extends Schema.TaggedError<LifetimeTooShort>()("LifetimeTooShort", {
  requested: Millis,
  available: Millis
}) {
  readonly isRetryable = false
  override get message() {
    return `a fresh token lasts ${inSeconds(this.available)}, and ${inSeconds(this.requested)} were asked for`
  }
}

/**
 * The API keeps refusing tokens that are fresh: more renewals caused by rejections than the policy allows. Retryable
 * after `retryAfter`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RenewalStorm extends Schema.TaggedError<RenewalStorm>()("RenewalStorm", {
  renewals: Schema.Int,
  retryAfter: Millis
}) {
  readonly isRetryable = true
  override get message() {
    const wait = inSeconds(this.retryAfter)
    return `${this.renewals} fresh tokens were refused; check the environment of the URL, and wait ${wait}`
  }
}

/**
 * A refusal that only one platform knows (movingimage: an unknown VideoManager). Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProviderRejected extends Schema.TaggedError<ProviderRejected>()("ProviderRejected", {
  /** The platform's own code. */
  code: Schema.String,
  /** What it means, in the provider module's words. */
  detail: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return `the platform refused (${this.code}): ${this.detail}`
  }
}

/**
 * The token store did not answer and nothing else could stand in. Retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  /** The operation that failed: `acquire`, `commit`, `release`, `clear`. */
  operation: Schema.String
}) {
  readonly isRetryable = true
  override get message() {
    return `the token store failed to ${this.operation}`
  }
}

/**
 * Everything that an exchange with a platform, or the wait for one, can end in.
 *
 * @category reasons
 * @since 0.1.0
 */
export const RenewalReason = Schema.Union([
  BadRequest,
  InvalidCredentials,
  RefreshTokenRejected,
  TokenRejected,
  AccountSuspended,
  RateLimited,
  ProviderUnavailable,
  AmbiguousExchange,
  MalformedResponse,
  ConfigurationInvalid,
  InteractionRequired,
  LifetimeTooShort,
  RenewalStorm,
  ProviderRejected,
  StoreUnavailable
])

/** @since 0.1.0 */
export type RenewalReason = typeof RenewalReason.Type

/**
 * The token has expired, and `renewal` says why there is no newer one; or the API said that a token has expired which
 * could not be replaced. Retryable if the renewal is.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TokenExpired extends Schema.TaggedError<TokenExpired>()("TokenExpired", {
  ...answer,
  /** When it expired, in milliseconds since the epoch, where that is known. */
  expiredAt: Schema.optional(Schema.Finite),
  renewal: Schema.optional(RenewalReason)
}) {
  get isRetryable(): boolean {
    return this.renewal?.isRetryable ?? false
  }
  get retryAfter(): Duration.Duration | undefined {
    return this.renewal === undefined ? undefined : retryAfterOf(this.renewal)
  }
  override get message() {
    return `the token has expired${said(this)}${this.renewal === undefined ? "" : `: ${this.renewal.message}`}`
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
export const Reason = Schema.Union([...RenewalReason.members, TokenExpired])

/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * The one error of this library's token operations. Its `reason` says what happened, `isRetryable` whether the same call
 * may succeed later without anybody's help, `retryAfter` how long to wait where somebody said so, and `validUntil` that
 * a held token is still served meanwhile.
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
    const held = this.validUntil === undefined ? "" : ". The token held is still valid"
    return `${this.provider}: ${this.reason.message}${held}`
  }
}
