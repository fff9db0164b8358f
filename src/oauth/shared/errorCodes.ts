/** What an error of an authorization server means. Servers agree on its code far more than on the HTTP status. */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Operation, Refusal } from "../../platform/shared/authentication.ts"
import * as TokenError from "../../token/TokenError.ts"
import { invalid } from "../../token/shared/failures.ts"

/** Codes of RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 8628 §3.5, RFC 8707 §2 and OpenID Connect Core §3.1.2.6. */
const details = {
  access_denied: "access was denied. The person may have refused",
  account_selection_required: "",
  authorization_pending: "nobody has entered the code yet",
  consent_required: "",
  expired_token: "the code expired before anybody entered it. Start again",
  interaction_required: "",
  invalid_client: "",
  invalid_grant: "",
  invalid_request: "",
  invalid_scope: "the scope is unknown, or this client may not use it. Check scope",
  invalid_target: "the resource or audience is unknown, or this client may not use it. Check resource and audience",
  login_required: "",
  server_error: "",
  slow_down: "the client polls too often",
  temporarily_unavailable: "",
  unauthorized_client:
    "this client may not use this grant, or the server did not recognize it. Check how it is registered",
  unsupported_grant_type: "the server does not support this grant. Check its documentation",
  unsupported_response_type: "the server does not support this response type",
  unsupported_token_type: "the server does not revoke tokens of this kind"
}

type StandardCode = keyof typeof details

/** Codes that GitHub and Entra ID send instead of the standard ones. */
const synonyms: Readonly<Record<string, StandardCode>> = {
  authorization_declined: "access_denied",
  bad_refresh_token: "invalid_grant",
  bad_verification_code: "invalid_grant",
  incorrect_client_credentials: "invalid_client",
  incorrect_device_code: "invalid_grant"
}

const isStandardCode = (code: unknown): code is StandardCode => typeof code === "string" && Object.hasOwn(details, code)

const standardCodeOf = (code: unknown): StandardCode | undefined => {
  const standard = typeof code === "string" && Object.hasOwn(synonyms, code) ? synonyms[code] : code
  return isStandardCode(standard) ? standard : undefined
}

/** A code is a word such as `invalid_grant`. Some servers put the phrase of the HTTP status there ("Bad Request"). */
const looksLikeCode = (value: unknown): value is string => typeof value === "string" && /^[a-z][\w.:/-]*$/.test(value)

/** The error code in a response body: its `error`, or, at Twitch, a `message` that is a standard code. */
export const errorCodeOf = (body: unknown): string | undefined => {
  if (!Predicate.isObject(body)) return undefined
  const { error, message }: { readonly error?: unknown; readonly message?: unknown } = body
  return looksLikeCode(error) ? error : standardCodeOf(message)
}

/** Whether a response body has an error code that this library knows, so that it says more than any HTTP status. */
export const hasStandardCode = (body: unknown): boolean => standardCodeOf(errorCodeOf(body)) !== undefined

/** How the errors that a client gets are explained. */
export interface Explanation {
  /** What to do if the server does not accept the client. */
  readonly clientAdvice: string
  /** Whether the server's own explanation is kept. */
  readonly keepsDescription: boolean
}

const longestDescription = 1_000

const keep = (text: unknown, label: string): Redacted.Redacted | undefined =>
  typeof text === "string" && text !== "" ? Redacted.make(text.slice(0, longestDescription), { label }) : undefined

/** The server's own explanation, which can contain anything: Twitch has it in `message`. */
const descriptionIn = (body: unknown) => {
  const members: Readonly<Record<string, unknown>> = Predicate.isObject(body) ? { ...body } : {}
  return {
    errorDescription: keep(members["error_description"] ?? members["message"], "error_description"),
    errorUri: keep(members["error_uri"], "error_uri")
  }
}

/** An error response: of an endpoint, or in the URL of a redirect. */
export interface ErrorResponse {
  readonly body: unknown
  readonly operation: Operation
  readonly status?: number | undefined
}

/** The reason for an error code. An unknown code is not repeated, because a server could put anything there. */
export const reasonOfCode = (
  code: string,
  { body, operation, status }: ErrorResponse,
  { clientAdvice, keepsDescription }: Explanation,
  grantAdvice?: string
): TokenError.RenewalReason => {
  const type = standardCodeOf(code)
  const description = keepsDescription ? descriptionIn(body) : {}
  switch (type) {
    case undefined:
      return new TokenError.ProviderRejected({
        code: "unknown",
        detail: "the server's error code is not a standard one. See the server's log, or set keepErrorDescription",
        ...description
      })
    case "invalid_grant":
      return operation === "refresh"
        ? new TokenError.RefreshTokenRejected({ status, type, ...description })
        : new TokenError.InvalidCredentials({ status, type, advice: grantAdvice, ...description })
    case "invalid_client":
      return new TokenError.InvalidCredentials({ status, type, advice: clientAdvice, ...description })
    case "invalid_request":
      return new TokenError.BadRequest({ status, type, ...description })
    case "server_error":
    case "temporarily_unavailable":
      return new TokenError.ProviderUnavailable({ status, failure: "status" })
    case "account_selection_required":
    case "consent_required":
    case "interaction_required":
    case "login_required":
      return new TokenError.InteractionRequired({ status, type, ...description })
    default:
      return new TokenError.ProviderRejected({ code: type, detail: details[type], ...description })
  }
}

/** Classifies the error responses of an endpoint. `grantAdvice` says what to do about a refused grant. */
export const refusalWith =
  (explanation: Explanation, grantAdvice?: string): Refusal =>
  (operation, status, body) => {
    const code = errorCodeOf(body)
    if (code !== undefined) return reasonOfCode(code, { body, operation, status }, explanation, grantAdvice)
    // JSON without an error comes from something in front of the server.
    const isOfServer = body === undefined || (Predicate.hasProperty(body, "error") && Predicate.isString(body.error))
    if (!isOfServer) return undefined
    if (status === 404 || status === 405) {
      return invalid("issuer", `an endpoint of its server answered ${status}. Check it, and the endpoints`)
    }
    if (status > 401) return new TokenError.BadRequest({ status })
    return operation === "refresh"
      ? new TokenError.RefreshTokenRejected({ status })
      : new TokenError.InvalidCredentials({ status, advice: grantAdvice })
  }

/** Classifies the errors of a grant whose code or device code somebody else was given: `detail` says what to do. */
export const refusalOfCode =
  (explanation: Explanation, detail: string): Refusal =>
  (operation, status, body) =>
    standardCodeOf(errorCodeOf(body)) === "invalid_grant"
      ? new TokenError.ProviderRejected({
          code: "invalid_grant",
          detail,
          ...(explanation.keepsDescription && descriptionIn(body))
        })
      : refusalWith(explanation)(operation, status, body)
