/** The grants of OAuth 2 as `TokenProvider`s: what each sends to the token endpoint, and how its tokens behave. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as oauth from "oauth4webapi"
import type { Operation, Refusal } from "../../platform/shared/authentication.ts"
import { hashCredential } from "../../platform/shared/credentialHash.ts"
import { identityOf, readSecret, type SecretSource } from "../../platform/shared/server.ts"
import * as AccessToken from "../../token/AccessToken.ts"
import { invalid } from "../../token/shared/failures.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider, Traits } from "../../token/TokenProvider.ts"
import { refusalWith } from "./errorCodes.ts"
import { claimsAfterRefresh, withClaims } from "./idToken.ts"
import type { Claims, GrantOptions, Provider } from "./options.ts"
import { grantParameters, withResources } from "./parameters.ts"
import { type Client, isUnreadableSuccess, type Request, type RequestedGrant, send } from "./requests.ts"

type Renewal<A> = Effect.Effect<A, TokenError.RenewalReason>

// ---------------------------------------------------------------------------------------------------------------------
// Requests
// ---------------------------------------------------------------------------------------------------------------------

/** Scopes as a string: Twitch sends a list. */
const scopeIn = (scope: unknown): string | undefined =>
  typeof scope === "string" ? scope : Array.isArray(scope) ? scope.filter(Predicate.isString).join(" ") : undefined

/**
 * Decodes a token response of any grant. It tolerates what servers were seen to send: the lifetime of the refresh token as
 * `refresh_expires_in` (Keycloak) or `refresh_token_expires_in` (GitHub, Google), a list of scopes (Twitch), no lifetime at all
 * (Vimeo, GitHub), and the token type `BearerToken` (Apigee).
 */
export const decodeToken =
  ({ lifetime }: Pick<RequestedGrant, "lifetime">) =>
  (body: unknown): Effect.Effect<AccessToken.TokenResponse, TokenError.MalformedResponse> => {
    const members: { readonly [member: string]: unknown } = Predicate.isObject(body) ? { ...body } : {}
    const type = members["token_type"]
    const response = {
      ...members,
      ...(typeof type === "string" && /^bearertoken$/i.test(type) && { token_type: "Bearer" }),
      ...(lifetime !== undefined &&
        (members["expires_in"] ?? null) === null && {
          expires_in: Duration.toSeconds(Duration.fromInputUnsafe(lifetime))
        })
    }
    const refreshLifetime = members["refresh_expires_in"] ?? members["refresh_token_expires_in"]
    const scope = scopeIn(members["scope"])
    const refreshSeconds = /^(number|string)$/.test(typeof refreshLifetime) ? Number(refreshLifetime) : 0
    return Effect.map(AccessToken.decodeResponse(Predicate.isObject(body) ? response : body), (token) => ({
      ...token,
      // Zero means that the refresh token does not expire.
      ...(refreshSeconds > 0 && refreshSeconds < Infinity && { refreshExpiresIn: Duration.seconds(refreshSeconds) }),
      ...(scope !== undefined && { extra: { scope } })
    }))
  }

/** One request to the token endpoint. */
interface TokenRequest {
  readonly operation: Operation
  readonly compose: Request<unknown>["compose"]
  readonly refusal: Refusal
  /** Reads from the response which person signed in. */
  readonly claims?: (
    body: unknown,
    metadata: oauth.AuthorizationServer
  ) => Effect.Effect<Claims | undefined, TokenError.MalformedResponse>
}

/** Requests a token, once. All grants decode the response in the same way. */
export const requestToken = (
  client: Client,
  { claims = () => Effect.undefined, compose, operation, refusal }: TokenRequest
): Renewal<AccessToken.TokenResponse> =>
  send(client, {
    endpoint: "token_endpoint",
    operation,
    compose,
    refusal,
    decode: (body, metadata) =>
      Effect.flatMap(decodeToken(client.options)(body), (token) =>
        Effect.map(claims(body, metadata), (claims) => withClaims(token, claims))
      )
  })

/** Requests a token by a grant that consists of its parameters. */
const requestGrant = (client: Client, grantType: string, parameters: URLSearchParams, advice?: string) =>
  requestToken(client, {
    operation: "login",
    compose: (metadata, authentication, options) =>
      oauth.genericTokenEndpointRequest(
        metadata,
        client.registration,
        authentication,
        grantType,
        // The client's authentication adds parameters, so each request gets a copy.
        new URLSearchParams(parameters),
        options
      ),
    refusal: refusalWith(client.explanation, advice)
  })

/**
 * Refreshes, once. If the server returns no new refresh token, the old one stays in force, unless the server is known to
 * rotate them.
 */
const refresh =
  (client: Client, keepsClaims = false): NonNullable<TokenProvider["refresh"]> =>
  (current) => {
    const { refreshToken } = current
    if (refreshToken === undefined) return Effect.fail(new TokenError.RefreshTokenRejected({}))
    const additionalParameters = withResources(client.options, client.options.refreshParameters)
    const request = requestToken(client, {
      operation: "refresh",
      compose: (metadata, authentication, options) =>
        oauth.refreshTokenGrantRequest(metadata, client.registration, authentication, Redacted.value(refreshToken), {
          ...options,
          additionalParameters
        }),
      refusal: refusalWith(client.explanation),
      ...(keepsClaims && { claims: (body, metadata) => claimsAfterRefresh(client, metadata, body, current) })
    })
    return Effect.map(request, (response) =>
      response.refreshToken === undefined && client.options.rotatesRefreshToken !== true
        ? { ...response, refreshToken }
        : response
    )
  }

/** Revokes a token. The content of a success is ignored (RFC 7009 §2.2). */
const revoke =
  (client: Client): Provider["revoke"] =>
  (token) =>
    Effect.flatMap(client.metadata, ({ revocation_endpoint }) => {
      const { accessToken, refreshToken } = token
      if (revocation_endpoint === undefined) return Effect.void
      const hint = refreshToken === undefined ? "access_token" : "refresh_token"
      return send(client, {
        endpoint: "revocation_endpoint",
        operation: "login",
        compose: (metadata, authentication, options) =>
          oauth.revocationRequest(
            metadata,
            client.registration,
            authentication,
            Redacted.value(refreshToken ?? accessToken),
            { ...options, additionalParameters: { token_type_hint: hint } }
          ),
        refusal: refusalWith(client.explanation),
        decode: () => Effect.void
      }).pipe(Effect.catchIf(isUnreadableSuccess, () => Effect.void))
    })

// ---------------------------------------------------------------------------------------------------------------------
// Identities
// ---------------------------------------------------------------------------------------------------------------------

/** Names an identity by everything that decides which token it gets: server, grant, parameters and credential. */
const identityFor = (client: Client, grant: string, credential: Renewal<ReadonlyArray<string>>): Renewal<string> =>
  Effect.flatMap(credential, (credential) => {
    const { options } = client
    const parameters = [grantParameters(options), withResources(options, options.refreshParameters)].map(String)
    return identityOf(client.server, JSON.stringify([client.endpoints, grant, ...parameters, ...credential]))
  })

// ---------------------------------------------------------------------------------------------------------------------
// Providers
// ---------------------------------------------------------------------------------------------------------------------

const makeProvider = (
  client: Client,
  own: Pick<TokenProvider, "identity" | "login" | "refresh"> & {
    readonly traits: Pick<Traits, "renewWith"> & Partial<Traits>
  }
): Provider => {
  const { rotatesRefreshToken = true } = client.options
  return {
    ...own,
    name: client.server.name,
    traits: { rotatesRefreshToken, loginSupersedesRefresh: false, oldTokenSurvivesRefresh: true, ...own.traits },
    revoke: revoke(client)
  }
}

export const clientCredentials = (client: Client): Provider =>
  makeProvider(client, {
    identity: identityFor(
      client,
      "client_credentials",
      Effect.map(client.identity, (identity) => [identity])
    ),
    // RFC 6749 §4.4.3: there should be no refresh token, and the client does not need one.
    login: Effect.map(requestGrant(client, "client_credentials", grantParameters(client.options)), (token) => ({
      ...token,
      refreshToken: undefined
    })),
    traits: { renewWith: "login" }
  })

/** A user name and a password are single lines. */
const lineBreak = /[\r\n]/

export const password = (
  { server, ...rest }: Client,
  user: { readonly username: SecretSource; readonly password: SecretSource }
): Provider => {
  const client: Client = { ...rest, server: { ...server, locksAccount: true } }
  const credentials = Effect.all({
    username: readSecret("username", user.username, lineBreak),
    password: readSecret("password", user.password, lineBreak)
  })
  const advice = "Check username and password before you try again; repeated failures can lock the account"
  return makeProvider(client, {
    identity: identityFor(
      client,
      "password",
      Effect.flatMap(credentials, (user) => Effect.all([hashCredential(user), client.identity]))
    ),
    login: Effect.flatMap(credentials, (user) =>
      requestGrant(client, "password", grantParameters(client.options, user), advice)
    ),
    refresh: refresh(client),
    traits: { renewWith: "refresh-then-login", locksAccount: true }
  })
}

type Parameters = NonNullable<GrantOptions["parameters"]>

/** Nothing is forbidden in a parameter: a SAML assertion has line breaks. */
const nothing = /(?!)/

const readParameters = (parameters: Parameters): Renewal<Readonly<Record<string, string>>> =>
  Effect.map(
    Effect.forEach(Object.entries(parameters), ([name, value]) =>
      Effect.map(
        typeof value === "string" ? Effect.succeed(value) : readSecret(name, value, nothing),
        (value): [string, string] => [name, value]
      )
    ),
    Object.fromEntries<string>
  )

/** What distinguishes parameters from others: their values, or the name of the session for those that change. */
const parametersIdentity = ({ parameters = {}, session }: GrantOptions): Renewal<ReadonlyArray<string>> => {
  const open = Object.entries(parameters).filter(([, value]) => typeof value === "string")
  const secret = Object.entries(parameters).filter(
    ([, value]) => typeof value !== "string" && !(session !== undefined && Effect.isEffect(value))
  )
  return Effect.flatMap(readParameters(Object.fromEntries(secret)), (secrets) =>
    Effect.map(
      hashCredential({ username: JSON.stringify([open, session ?? null]), password: JSON.stringify(secrets) }),
      (identity) => [identity]
    )
  )
}

/** Grant types whose credential is good for once; sending it again at each renewal would end what it led to. */
const singleUse = new Set(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"])

/** A grant of any type, such as token exchange and JWT bearer. */
export const grant = (
  { server, ...rest }: Client,
  options: GrantOptions
): Effect.Effect<Provider, TokenError.ConfigurationInvalid> => {
  const {
    grantType,
    locksAccount = false,
    oldTokenSurvivesRefresh,
    parameters = {},
    renewWith = "refresh-then-login"
  } = options
  const client: Client = { ...rest, server: { ...server, locksAccount } }
  if (grantType.trim() === "") return Effect.fail(invalid("grantType", "it is empty"))
  if (singleUse.has(grantType)) {
    return Effect.fail(
      invalid(
        "grantType",
        "its code or token is good for once. Use AuthorizationCode, DeviceAuthorization or refreshToken"
      )
    )
  }
  return Effect.succeed(
    makeProvider(client, {
      identity: identityFor(
        client,
        `grant ${grantType}`,
        Effect.map(Effect.all([client.identity, parametersIdentity(options)]), ([identity, more]) => [
          identity,
          ...more
        ])
      ),
      login: Effect.flatMap(readParameters(parameters), (parameters) =>
        requestGrant(
          client,
          grantType,
          grantParameters(client.options, parameters),
          "Check the parameters of the grant"
        )
      ),
      refresh: refresh(client),
      traits: {
        renewWith,
        ...(oldTokenSurvivesRefresh !== undefined && { oldTokenSurvivesRefresh }),
        locksAccount
      }
    })
  )
}

/** A session that a person started. It can be refreshed, but not started again without a person. */
export const session = (
  client: Client,
  name = "",
  startedWith: Renewal<ReadonlyArray<string>> = Effect.succeed([])
): Provider =>
  makeProvider(client, {
    // The client's secret is not part of it: the session goes on when the secret is replaced.
    identity: identityFor(
      client,
      "session",
      Effect.map(startedWith, (credential) => [client.options.clientId, name, ...credential])
    ),
    refresh: refresh(client, true),
    traits: { renewWith: "refresh" }
  })

/** A session that starts with a refresh token. Another refresh token starts another session, whatever became of the first. */
export const seededSession = (
  client: Client,
  options: { readonly refreshToken: SecretSource; readonly session?: string | undefined }
): Provider => {
  const token = readSecret("refreshToken", options.refreshToken, lineBreak)
  return {
    ...session(
      client,
      options.session,
      Effect.map(token, (token) => [token])
    ),
    seed: Effect.map(token, (token) => Redacted.make(token, { label: "refresh_token" }))
  }
}
