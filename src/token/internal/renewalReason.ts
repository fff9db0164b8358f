/** The reasons with which a renewal can fail. `TokenError` exports them, with those that only callers see. */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { sentences } from "../shared/message.ts"
import { MemoryOnly, Millis } from "../shared/schema.ts"

/** The parts of an error response that are safe to repeat. */
export const answer = {
  /** HTTP status of the response. */
  status: Schema.optional(Schema.Int),
  /** Last segment of the problem's `type` URL (RFC 9457), if the platform documents that type. */
  type: Schema.optional(Schema.String)
}

/**
 * The server's own explanation (RFC 6749 §5.2), for support staff. It is present only if the program asked for it (OAuth:
 * `keepErrorDescription`), because a server can repeat a secret there. It is never part of a message, and is left out when the
 * error is encoded.
 */
const explanation = {
  /** `error_description`, up to 1,000 characters. */
  errorDescription: MemoryOnly,
  /** `error_uri`, up to 1,000 characters. */
  errorUri: MemoryOnly
}

/** Whose word a response is. */
const origin = {
  /**
   * `true` if the platform itself responded, in its own JSON; `false` for the page of a proxy or firewall in between.
   * Absent if the response has no body, or if no response came.
   */
  fromPlatform: Schema.optional(Schema.Boolean)
}

/** ` (400, invalid-attribute)`, as far as it is known. */
export const inBrackets = ({
  status,
  type
}: {
  readonly status?: number | undefined
  readonly type?: string | undefined
}): string => (status === undefined ? "" : ` (${status}${type === undefined ? "" : `, ${type}`})`)

const inSeconds = (duration: Duration.Duration): string => `${Math.ceil(Duration.toSeconds(duration))} s`

const tryAgain = (retryAfter: Duration.Duration | undefined): string =>
  `Try again ${retryAfter === undefined ? "later" : `in ${inSeconds(retryAfter)}`}`

const checkEnvironment = "Check that the URL and the credentials belong to the same environment"

/**
 * The platform answered an exchange with a 400 that is not about the credential: the request itself was wrong. Not
 * retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  ...answer,
  ...explanation,
  name: Schema.optional(Schema.String)
}) {
  readonly isRetryable = false
  override get message() {
    const { name, status, type } = this
    const parts = [status, type, name].filter((part) => part !== undefined)
    const brackets = parts.length === 0 ? "" : ` (${parts.join(", ")})`
    return sentences(`the request is invalid${brackets}`, "Check the configured values")
  }
}

/**
 * The platform refused the primary credential: an API key, a password or a client secret. Not retryable. The engine tries
 * the credential again only when a caller asks, because repeated failures can lock an account.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidCredentials extends Schema.TaggedError<InvalidCredentials>()("InvalidCredentials", {
  ...answer,
  ...explanation,
  advice: Schema.optional(Schema.String)
}) {
  readonly isRetryable = false
  override get message() {
    return sentences(`the credentials were refused${inBrackets(this)}`, this.advice ?? "Check them")
  }
}

/**
 * The platform refused the refresh token: it was used before, a login elsewhere superseded it, or it has expired. The
 * engine logs in instead, so a program gets this reason only from a single `refresh`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RefreshTokenRejected extends Schema.TaggedError<RefreshTokenRejected>()("RefreshTokenRejected", {
  ...answer,
  ...explanation
}) {
  readonly isRetryable = false
  override get message() {
    return sentences(`the refresh token was refused${inBrackets(this)}`, "Log in again")
  }
}

/**
 * The API refused a token that was new and had not expired. Not retryable. The likely cause is the environment, the URL or
 * the account.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TokenRejected extends Schema.TaggedError<TokenRejected>()("TokenRejected", answer) {
  readonly isRetryable = false
  override get message() {
    return sentences(`the API refused a new token${inBrackets(this)}`, checkEnvironment)
  }
}

/**
 * The account is suspended (403). Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AccountSuspended extends Schema.TaggedError<AccountSuspended>()("AccountSuspended", answer) {
  readonly isRetryable = false
  override get message() {
    return sentences(`the account is suspended${inBrackets(this)}`, "See the platform's dashboard")
  }
}

/**
 * The platform answered an exchange with 429. Retryable after `retryAfter`, which the engine honours.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  retryAfter: Schema.optional(Millis),
  /** Requests allowed per window. */
  limit: Schema.optional(Schema.Finite),
  /** Requests left in the window. */
  remaining: Schema.optional(Schema.Finite),
  ...origin
}) {
  readonly isRetryable = true
  override get message() {
    return sentences("the platform's rate limit is reached (429)", tryAgain(this.retryAfter))
  }
}

/**
 * How far an exchange without a usable response got.
 *
 * - `connect`: no connection was made (DNS, refused, timed out, proxy), so nothing was sent
 * - `tls`: the server's certificate was not accepted, so nothing was sent
 * - `network`: the connection broke
 * - `timeout`: no response arrived in time
 * - `status`: the server reported that it is failing (5xx)
 *
 * @category reasons
 * @since 0.1.0
 */
export const Failure = Schema.Literals(["connect", "tls", "network", "timeout", "status"])

/** @since 0.1.0 */
export type Failure = typeof Failure.Type

/** What happened, and what to do beyond trying again. */
const unavailable: Record<Failure, readonly [what: string, advice?: string]> = {
  connect: ["the platform cannot be reached", "Check the network, DNS, proxy and URL"],
  tls: ["the server's certificate is not trusted", "Check the URL, and the certificate of the proxy if there is one"],
  network: ["the connection broke before a response arrived"],
  timeout: ["the platform did not respond in time"],
  status: ["the platform is failing"]
}

/**
 * The platform is failing (5xx), cannot be reached, or did not respond in time; or something in between responded in its
 * place, such as the page of a firewall with any status. Retryable; the engine retries it. Where refusals lock accounts, it
 * waits 30 s before it tries again after such a page.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProviderUnavailable extends Schema.TaggedError<ProviderUnavailable>()("ProviderUnavailable", {
  status: answer.status,
  failure: Failure,
  /** What the transport reported: a code such as `ECONNRESET`, or name and message of an error of the program. */
  detail: Schema.optional(Schema.String),
  retryAfter: Schema.optional(Millis),
  ...origin
}) {
  readonly isRetryable = true
  /** Whether the request may have reached the platform. A rotating refresh token that may have is not sent again. */
  get sent(): boolean {
    return this.failure !== "connect" && this.failure !== "tls"
  }
  override get message() {
    if (this.fromPlatform === false) {
      const what = `a proxy, firewall or gateway responded instead of the platform${inBrackets(this)}`
      return sentences(what, `Check the network in between. ${tryAgain(this.retryAfter)}`)
    }
    const [what, advice] = unavailable[this.failure]
    const why = this.detail === undefined ? "" : `: ${this.detail}`
    return sentences(what + inBrackets(this) + why, advice ?? tryAgain(this.retryAfter))
  }
}

/**
 * A refresh was sent, and its response was lost or unreadable. It is unknown whether the platform used up the refresh
 * token, so the engine drops it. Retryable: the engine logs in.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AmbiguousExchange extends Schema.TaggedError<AmbiguousExchange>()("AmbiguousExchange", {
  status: answer.status,
  failure: Schema.optional(Failure),
  /** Why there is no response that could be read: in the library's own words, or what the transport reported. */
  problem: Schema.optional(Schema.String)
}) {
  readonly isRetryable = true
  override get message() {
    const why = this.problem === undefined ? "" : `: ${this.problem}`
    return sentences(`the response to a refresh was lost${inBrackets(this)}${why}`, "Try again, or log in again")
  }
}

/**
 * The response is not a token response: the HTML page of a proxy, truncated JSON, a wrong type, a redirect. Retryable,
 * because most such responses come from something between the program and the platform.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MalformedResponse extends Schema.TaggedError<MalformedResponse>()("MalformedResponse", {
  status: answer.status,
  /** What is wrong with it, in the library's own words. */
  problem: Schema.String,
  retryAfter: Schema.optional(Millis)
}) {
  readonly isRetryable = true
  override get message() {
    const what = `the response is not a token response${inBrackets(this)}: ${this.problem}`
    return sentences(what, "Check the URL, and any proxy in between")
  }
}

/**
 * An option or variable is missing or cannot work: an empty key, a URL without https, a margin longer than the token
 * lives. Most are found before any request. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConfigurationInvalid extends Schema.TaggedError<ConfigurationInvalid>()("ConfigurationInvalid", {
  /** The option, as it is named in the code. */
  option: Schema.String,
  /** What is wrong with it, and what to do; never its value. */
  problem: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return sentences(`${this.option} is invalid: ${this.problem}`)
  }
}

/**
 * A person must sign in: there is no usable refresh token, and the program has nothing to log in with. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InteractionRequired extends Schema.TaggedError<InteractionRequired>()("InteractionRequired", {
  ...answer,
  ...explanation,
  /**
   * `none`: nobody has signed in, or whoever did has signed out. `ended`: somebody has signed in, and their session can't be
   * continued. Absent if it is the server that asks for a person.
   */
  session: Schema.optional(Schema.Literals(["none", "ended"]))
}) {
  readonly isRetryable = false
  override get message() {
    const what = {
      none: "nobody has signed in",
      ended: "the session has ended",
      unknown: "there is no active session"
    }[this.session ?? "unknown"]
    return sentences(
      `sign-in required: ${what}${inBrackets(this)}`,
      `Have the user sign in${this.session === "ended" ? " again" : ""}`
    )
  }
}

/**
 * The program asked `getValidFor` for a longer lifetime than even a new token has. Not retryable. The service remembers
 * the failure, so asking again makes no exchange.
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
    const { available, requested } = this
    const what = `asked for a token valid for ${inSeconds(requested)}, but new tokens last only ${inSeconds(available)}`
    return sentences(what, "Ask for less")
  }
}

/**
 * The API keeps refusing new tokens: rejections have caused more renewals than the policy allows. Retryable after
 * `retryAfter`.
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
    const what = `the API refused ${this.renewals} new tokens, and renewals are paused for ${inSeconds(this.retryAfter)}`
    return sentences(what, checkEnvironment)
  }
}

/**
 * The platform refused for a reason of its own, such as a VideoManager that the user can't access. Not retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProviderRejected extends Schema.TaggedError<ProviderRejected>()("ProviderRejected", {
  /** The platform's own code. */
  code: Schema.String,
  /** What it means and what to do, in the library's own words. */
  detail: Schema.String,
  ...explanation
}) {
  readonly isRetryable = false
  override get message() {
    return sentences(`the platform refused (${this.code}): ${this.detail}`)
  }
}

/**
 * The token store failed, and the library could not continue without it. Retryable.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  /** The operation that failed: `open`, `read`, `claim`, `sending`, `commit`, `release`, `clear`. */
  operation: Schema.String,
  /** What the store or its driver calls the failure, as in `NOPERM`, `28P01`, `EROFS`, `QuotaExceededError` or `timeout`. Never a secret. */
  problem: Schema.optional(Schema.String)
}) {
  readonly isRetryable = true
  override get message() {
    return sentences(
      `the token store failed (${this.operation}${this.problem === undefined ? "" : `: ${this.problem}`})`,
      this.problem === "QuotaExceededError"
        ? "Free storage on this device"
        : "Check that it is reachable and that its user has the rights"
    )
  }
}

/**
 * A secret cannot be read at the moment: the effect that reads it, for example from a vault, failed. Nothing was sent.
 * Retryable; the engine retries it. A missing variable is `ConfigurationInvalid` instead.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CredentialUnavailable extends Schema.TaggedError<CredentialUnavailable>()("CredentialUnavailable", {
  /** The option that names the secret, such as `apiKey`. */
  credential: Schema.String,
  /** Name and code of the effect's failure. Its message is left out, because it could contain the secret. */
  failure: Schema.optional(Schema.String)
}) {
  readonly isRetryable = true
  override get message() {
    const why = this.failure === undefined ? "" : ` (${this.failure})`
    return sentences(
      `${this.credential} cannot be read: the effect that reads it failed${why}`,
      "Check what it reads from"
    )
  }
}

/**
 * The reasons with which an exchange with a platform, or the wait for one, can fail.
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
  StoreUnavailable,
  CredentialUnavailable
])

/** @since 0.1.0 */
export type RenewalReason = typeof RenewalReason.Type
