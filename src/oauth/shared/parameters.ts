/** Parameters of requests for a grant. */
import * as Effect from "effect/Effect"
import { invalid } from "../../token/shared/failures.ts"
import type * as TokenError from "../../token/TokenError.ts"
import type { RequestedGrant } from "./requests.ts"

const listOf = (value: string | ReadonlyArray<string> = []): ReadonlyArray<string> =>
  typeof value === "string" ? [value] : value

export const scopeOf = ({ scope }: RequestedGrant): string | undefined =>
  scope === undefined ? undefined : listOf(scope).join(" ")

/** Adds `resource`, by which any request to the token endpoint may restrict its access token (RFC 8707 §2.2). */
export const withResources = (
  options: RequestedGrant,
  parameters?: Readonly<Record<string, string>>
): URLSearchParams => {
  const form = new URLSearchParams(parameters)
  for (const resource of listOf(options.resource)) form.append("resource", resource)
  return form
}

/** The parameters of a request for a grant: those of the options, and then those of the grant. */
export const grantParameters = (
  options: RequestedGrant,
  ofGrant: Readonly<Record<string, string>> = {}
): URLSearchParams => {
  const scope = scopeOf(options)
  const form = withResources(options, {
    ...options.parameters,
    ...(scope !== undefined && { scope }),
    ...ofGrant
  })
  // One that the grant names replaces those of the options.
  if (!form.has("audience")) for (const audience of listOf(options.audience)) form.append("audience", audience)
  return form
}

/** Parameters that every request to the token endpoint sets: its grant type, and those that authenticate the client. */
const ofRequest = ["client_assertion", "client_assertion_type", "client_id", "client_secret", "grant_type"]

/** Parameters that the grants of this library set. */
const ofGrants = ["code", "code_verifier", "device_code", "password", "redirect_uri", "refresh_token", "username"]

/** Parameters that the authorization code flow sets. */
const ofCodeFlow = [
  "client_id",
  "code_challenge",
  "code_challenge_method",
  "nonce",
  "redirect_uri",
  "response_type",
  "state"
]

/** Refuses a parameter that would replace, or be replaced by, one that this library sets. */
const refuse = (
  option: string,
  parameters: Readonly<Record<string, unknown>> = {},
  reserved: ReadonlyArray<string>
): Effect.Effect<void, TokenError.ConfigurationInvalid> => {
  const name = reserved.find((name) => Object.hasOwn(parameters, name))
  return name === undefined
    ? Effect.void
    : Effect.fail(invalid(option, `it must not contain ${name}, which is set by this library or has its own option`))
}

/** Checks the parameters of a grant type that the program names itself: it may want a password or a code. */
export const checkGrantParameters = (
  parameters: Readonly<Record<string, unknown>> | undefined,
  ofGrant: ReadonlyArray<string> = []
) => refuse("parameters", parameters, [...ofRequest, "audience", "resource", "scope", ...ofGrant])

/** Checks the parameters that a client adds to its grants and to their refreshes. */
export const checkParameters = ({ parameters, refreshParameters }: RequestedGrant) =>
  Effect.andThen(
    checkGrantParameters(parameters, ofGrants),
    refuse("refreshParameters", refreshParameters, [...ofRequest, ...ofGrants, "resource"])
  )

/** Checks parameters of the authorization request. */
export const checkAuthorizationParameters = (option: string, parameters?: Readonly<Record<string, string>>) =>
  refuse(option, parameters, ofCodeFlow)
