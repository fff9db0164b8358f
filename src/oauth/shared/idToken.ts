/** Who signed in: the claims of an ID token. They are checked when it arrives, and kept with the access token. */
import * as Base64Url from "effect/encoding/Base64Url"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as oauth from "oauth4webapi"
import type { AccessToken, TokenResponse } from "../../token/AccessToken.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { Claims } from "./options.ts"
import { type Client, validated } from "./requests.ts"
import { metadataFor, tenantIn } from "./tenants.ts"

const member = (value: unknown, name: string): unknown => (Predicate.hasProperty(value, name) ? value[name] : undefined)

const isClaims = (value: unknown): value is Claims =>
  typeof member(value, "iss") === "string" && typeof member(value, "sub") === "string"

/** The payload of a JWT, before anything of it was checked. */
const uncheckedPayload = (jwt: string): unknown => {
  try {
    return JSON.parse(Result.getOrElse(Base64Url.decodeString(jwt.split(".")[1] ?? ""), () => ""))
  } catch {
    return undefined
  }
}

/** The metadata to check an ID token against, whose issuer is that of its tenant where the server has several. */
const metadataForToken = (client: Client, metadata: oauth.AuthorizationServer, idToken: string) => {
  const payload = uncheckedPayload(idToken)
  const [issuer, tenant] = [member(payload, "iss"), member(payload, "tid")]
  const isConsistent =
    tenant === undefined || (typeof issuer === "string" && tenantIn(metadata.issuer, issuer) === tenant)
  return metadataFor(metadata, isConsistent ? issuer : undefined, client.tenants)
}

/** Checks a token response that may have an ID token, as one function of oauth4webapi does it. */
export type ProcessResponse = (
  metadata: oauth.AuthorizationServer,
  registration: oauth.Client,
  response: Response
) => Promise<oauth.TokenEndpointResponse>

/**
 * Checks the ID token of a token response and returns its claims; `undefined` if it has none and needs none. Only the ID token
 * is checked here, because servers write the other members in ways that `decodeToken` tolerates.
 */
export const checkIdToken = (
  client: Client,
  metadata: oauth.AuthorizationServer,
  body: unknown,
  process: ProcessResponse = oauth.processGenericTokenEndpointResponse
): Effect.Effect<Claims | undefined, TokenError.MalformedResponse> => {
  const idToken = member(body, "id_token")
  const response = { access_token: "not checked here", token_type: "bearer", id_token: idToken || undefined }
  const server = typeof idToken === "string" && idToken !== "" ? metadataForToken(client, metadata, idToken) : metadata
  if (server === undefined) {
    return Effect.fail(new TokenError.MalformedResponse({ problem: "the ID token's iss is not acceptable" }))
  }
  return validated(response, async (response) =>
    oauth.getValidatedIdTokenClaims(await process(server, client.registration, response))
  )
}

const jsonOf = (claims: Claims): Schema.Json => {
  const json: Schema.Json = JSON.parse(JSON.stringify(claims))
  return json
}

/** Adds claims to what is kept with an access token. */
export const withClaims = (token: TokenResponse, claims: Claims | undefined): TokenResponse =>
  claims === undefined ? token : { ...token, extra: { ...Object(token.extra), claims: jsonOf(claims) } }

/** The claims that are kept with an access token. */
export const claimsOf = ({ extra }: Pick<AccessToken, "extra">): Option.Option<Claims> => {
  const claims = member(extra, "claims")
  return isClaims(claims) ? Option.some(claims) : Option.none()
}

/**
 * The claims after a refresh (OpenID Connect Core §12.2): those of its ID token, if it has one that passes the checks, or else
 * those before. An ID token of another person fails the refresh.
 */
export const claimsAfterRefresh = (
  client: Client,
  metadata: oauth.AuthorizationServer,
  body: unknown,
  current: AccessToken
): Effect.Effect<Claims | undefined, TokenError.MalformedResponse> =>
  Effect.flatMap(
    Effect.orElseSucceed(checkIdToken(client, metadata, body), () => undefined),
    (after) => {
      const before = Option.getOrUndefined(claimsOf(current))
      if (after === undefined || before === undefined) return Effect.succeed(after ?? before)
      return after.iss === before.iss && after.sub === before.sub
        ? Effect.succeed(after)
        : Effect.fail(new TokenError.MalformedResponse({ problem: "the ID token is that of another person" }))
    }
  )
