/** The grants of OAuth 2: what each asks the token endpoint for, and the `TokenProvider`s that do so. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as oauth from "oauth4webapi"
import * as AccessToken from "../../token/AccessToken.ts"
import type * as OAuth2 from "./options.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider, Traits } from "../../token/TokenProvider.ts"
import type { Operation, Refusal } from "../../platform/shared/authentication.ts"
import {
  ask,
  checkPlace,
  discover,
  isUnreadableSuccess,
  kept,
  type Peer,
  refusalWith,
  type RequestOptions
} from "./oauth.ts"
import { stretched } from "../../platform/shared/password.ts"
import { identityOf, locate, readSecret, type SecretSource, type Server } from "../../platform/shared/server.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"

/** What a client asks for, whichever its server. */
export type GrantOptions = Omit<OAuth2.ClientOptions, keyof OAuth2.ServerOptions>

/** A client, and what it asks for. */
export interface Client extends Peer {
  readonly options: GrantOptions
}

type Renewal<A> = Effect.Effect<A, TokenError.RenewalReason>

// ---------------------------------------------------------------------------------------------------------------------
// Clients
// ---------------------------------------------------------------------------------------------------------------------

/** All that a credential of this kind cannot have in it. */
const lineBreak = /[\r\n]/

const authenticationOf = ({
  authentication = { method: "none" }
}: GrantOptions): Effect.Effect<oauth.ClientAuth, TokenError.ConfigurationInvalid> => {
  switch (authentication.method) {
    case "none":
      return Effect.succeed(oauth.None())
    case "client_secret_basic":
    case "client_secret_post": {
      const make = authentication.method === "client_secret_basic" ? oauth.ClientSecretBasic : oauth.ClientSecretPost
      return Effect.map(readSecret("clientSecret", authentication.clientSecret, lineBreak), make)
    }
    case "private_key_jwt": {
      const { keyId, privateKey } = authentication
      const key = Effect.isEffect(privateKey) ? privateKey : Effect.succeed(privateKey)
      return Effect.flatMap(
        Effect.mapError(key, () => invalid("privateKey", "the effect that reads it failed; is its variable set?")),
        (key) =>
          Effect.try({
            try: () => oauth.PrivateKeyJwt(keyId === undefined ? key : { key, kid: keyId }),
            catch: () => invalid("privateKey", "it is no private key that may sign")
          })
      )
    }
  }
}

/** A client of the server whose metadata those are. Its secret is read as it would be now, whoever has it read later. */
export const makePeer = (
  client: HttpClient.HttpClient,
  server: Server,
  hosts: ReadonlyArray<string> | undefined,
  metadata: Peer["metadata"],
  options: GrantOptions
): Effect.Effect<Client, TokenError.ConfigurationInvalid> =>
  options.clientId.trim() === ""
    ? Effect.fail(invalid("clientId", "it is empty"))
    : Effect.map(Effect.context<never>(), (context) => ({
        server,
        client,
        hosts,
        metadata,
        options,
        registration: { client_id: options.clientId },
        authentication: Effect.provide(authenticationOf(options), context)
      }))

/** A client of the server that its options name. */
export const makeClient = /* @__PURE__ */ Effect.fnUntraced(function* (options: OAuth2.ClientOptions) {
  const { discovery = "openid", issuer, issuerHosts } = options
  const place = yield* Effect.mapError(locate(issuer), ({ problem }) => invalid("issuer", problem))
  yield* checkPlace(issuer, "it", issuerHosts)
  const server: Server = { platform: "oauth2", name: place.host, headers: {}, ...place }
  const client = yield* HttpClient.HttpClient
  const metadata =
    typeof discovery === "object"
      ? Effect.succeed<oauth.AuthorizationServer>({ issuer, ...discovery })
      : yield* kept(discover(client, issuer, discovery === "openid" ? "oidc" : "oauth2", issuerHosts))
  return yield* makePeer(client, server, issuerHosts, metadata, options)
}, withProvider("oauth2"))

// ---------------------------------------------------------------------------------------------------------------------
// Requests
// ---------------------------------------------------------------------------------------------------------------------

export const scopeOf = ({ scope }: GrantOptions): string | undefined =>
  typeof scope === "string" || scope === undefined ? scope : scope.join(" ")

const resourcesOf = ({ resource = [] }: GrantOptions): ReadonlyArray<string> =>
  typeof resource === "string" ? [resource] : resource

/** What an access token is to be good for, where a request to the token endpoint may narrow it (RFC 8707 §2.2). */
export const narrowing = (options: GrantOptions, more?: Readonly<Record<string, string>>): URLSearchParams => {
  const parameters = new URLSearchParams(more)
  for (const resource of resourcesOf(options)) parameters.append("resource", resource)
  return parameters
}

/** What asks for a grant says, whichever the grant. */
export const parametersOf = (options: GrantOptions, more: Readonly<Record<string, string>> = {}): URLSearchParams => {
  const scope = scopeOf(options)
  const { audience } = options
  return narrowing(options, {
    ...options.parameters,
    ...(scope !== undefined && { scope }),
    ...(audience !== undefined && { audience }),
    ...more
  })
}

/** Decodes a token answer; `refresh_expires_in` is Keycloak's. */
export const decodeToken =
  ({ lifetime }: GrantOptions) =>
  (body: unknown): Effect.Effect<AccessToken.TokenResponse, TokenError.MalformedResponse> => {
    const said: { readonly [member: string]: unknown } = Predicate.isObject(body) ? { ...body } : {}
    const answer =
      lifetime !== undefined && (said["expires_in"] ?? null) === null
        ? { ...said, expires_in: Duration.toSeconds(Duration.fromInputUnsafe(lifetime)) }
        : body
    const { refresh_expires_in: refreshLifetime, scope } = said
    const refreshSeconds = /^(number|string)$/.test(typeof refreshLifetime) ? Number(refreshLifetime) : 0
    return Effect.map(AccessToken.decodeResponse(answer), (token) => ({
      ...token,
      // Zero is a refresh token that does not expire.
      ...(refreshSeconds > 0 && refreshSeconds < Infinity && { refreshExpiresIn: Duration.seconds(refreshSeconds) }),
      ...(typeof scope === "string" && { extra: { scope } })
    }))
  }

/** One request to the token endpoint. */
export const requestToken = <A = AccessToken.TokenResponse>(
  client: Client,
  operation: Operation,
  write: (
    metadata: oauth.AuthorizationServer,
    authentication: oauth.ClientAuth,
    options: RequestOptions
  ) => Promise<unknown>,
  refusal: Refusal,
  decode: (
    body: unknown,
    metadata: oauth.AuthorizationServer,
    token: AccessToken.TokenResponse
  ) => Effect.Effect<A, TokenError.MalformedResponse>
): Renewal<A> =>
  ask(client, {
    endpoint: "token_endpoint",
    operation,
    write,
    refusal,
    decode: (body, metadata) =>
      Effect.flatMap(decodeToken(client.options)(body), (token) => decode(body, metadata, token))
  })

/** What an answer says of the token is all there is to it. */
export const asItIs = (_body: unknown, _metadata: unknown, token: AccessToken.TokenResponse) => Effect.succeed(token)

/** Asks for a token by a grant that is no more than its parameters. */
const grant = (
  client: Client,
  type: string,
  parameters: URLSearchParams,
  advice = "check them"
): Renewal<AccessToken.TokenResponse> =>
  requestToken(
    client,
    "login",
    (metadata, authentication, options) =>
      oauth.genericTokenEndpointRequest(
        metadata,
        client.registration,
        authentication,
        type,
        // Each attempt adds to its own.
        new URLSearchParams(parameters),
        options
      ),
    refusalWith(advice),
    asItIs
  )

/** Refreshes, once. A server that gives no new refresh token leaves the old one in force, unless it is known to rotate. */
const refresh =
  (client: Client): NonNullable<TokenProvider["refresh"]> =>
  (current) => {
    const { refreshToken } = current
    if (refreshToken === undefined) return Effect.fail(new TokenError.RefreshTokenRejected({}))
    const additionalParameters = narrowing(client.options, client.options.refreshParameters)
    return Effect.map(
      requestToken(
        client,
        "refresh",
        (metadata, authentication, options) =>
          oauth.refreshTokenGrantRequest(metadata, client.registration, authentication, Redacted.value(refreshToken), {
            ...options,
            additionalParameters
          }),
        refusalWith(""),
        asItIs
      ),
      (answer) =>
        answer.refreshToken === undefined && client.options.rotatesRefreshToken !== true
          ? { ...answer, refreshToken }
          : answer
    )
  }

/** Revokes a token. The content of a success is not looked at (RFC 7009 §2.2). */
const revoke =
  (client: Client): OAuth2.Provider["revoke"] =>
  (token) =>
    Effect.flatMap(client.metadata, ({ revocation_endpoint }) => {
      const { accessToken, refreshToken } = token
      if (revocation_endpoint === undefined) return Effect.void
      const hint = refreshToken === undefined ? "access_token" : "refresh_token"
      return ask(client, {
        endpoint: "revocation_endpoint",
        operation: "login",
        write: (metadata, authentication, options) =>
          oauth.revocationRequest(
            metadata,
            client.registration,
            authentication,
            Redacted.value(refreshToken ?? accessToken),
            { ...options, additionalParameters: { token_type_hint: hint } }
          ),
        refusal: refusalWith("check them"),
        decode: () => Effect.void
      }).pipe(Effect.catchIf(isUnreadableSuccess, () => Effect.void))
    })

// ---------------------------------------------------------------------------------------------------------------------
// Providers
// ---------------------------------------------------------------------------------------------------------------------

const traitsOf = ({ rotatesRefreshToken = true }: GrantOptions) => ({
  rotatesRefreshToken,
  loginSupersedesRefresh: false,
  oldTokenSurvivesRefresh: true
})

/** A secret of the client is part of its name, for who knows the client id alone must not be given its token. */
const clientNamed = ({ authentication, clientId }: GrantOptions) =>
  authentication !== undefined && "clientSecret" in authentication
    ? Effect.flatMap(readSecret("clientSecret", authentication.clientSecret, lineBreak), (password) =>
        stretched({ username: clientId, password })
      )
    : Effect.succeed(clientId)

const named = (client: Client, grant: string, credential: Renewal<string>): Renewal<string> =>
  Effect.flatMap(credential, (credential) =>
    identityOf(client.server, [grant, String(parametersOf(client.options)), credential].join("\n"))
  )

const provider = (
  client: Client,
  own: Pick<TokenProvider, "identity" | "login" | "refresh"> & {
    readonly traits: Pick<Traits, "renewWith" | "locksAccount">
  }
): OAuth2.Provider => ({
  ...own,
  name: client.server.name,
  traits: { ...traitsOf(client.options), ...own.traits },
  revoke: revoke(client)
})

export const clientCredentials = (client: Client): OAuth2.Provider =>
  provider(client, {
    identity: named(client, "client_credentials", clientNamed(client.options)),
    // RFC 6749 §4.4.3: there should be no refresh token, and there is no need of one.
    login: Effect.map(grant(client, "client_credentials", parametersOf(client.options)), (token) => ({
      ...token,
      refreshToken: undefined
    })),
    traits: { renewWith: "login" }
  })

export const password = (
  client: Client,
  user: { readonly username: SecretSource; readonly password: SecretSource }
): OAuth2.Provider => {
  const credentials = Effect.all({
    username: readSecret("username", user.username, lineBreak),
    password: readSecret("password", user.password, lineBreak)
  })
  const advice = "check username and password, for repeated failures can lock the account"
  return provider(client, {
    identity: named(
      client,
      "password",
      Effect.flatMap(credentials, (user) =>
        Effect.map(Effect.all([stretched(user), clientNamed(client.options)]), (names) => names.join("\n"))
      )
    ),
    login: Effect.flatMap(credentials, (user) => grant(client, "password", parametersOf(client.options, user), advice)),
    refresh: refresh(client),
    traits: { renewWith: "refresh-then-login", locksAccount: true }
  })
}

/** A session that a person began: it can be refreshed, and not begun again without one. */
export const session = (client: Client, name = "", begunWith: Renewal<string> = Effect.succeed("")): OAuth2.Provider =>
  provider(client, {
    identity: named(
      client,
      "session",
      Effect.map(begunWith, (token) => [client.options.clientId, name, token].join("\n"))
    ),
    refresh: refresh(client),
    traits: { renewWith: "refresh" }
  })

/** A session that a refresh token begins. Another one begins another session, whatever became of the earlier one. */
export const seededSession = (
  client: Client,
  options: { readonly refreshToken: SecretSource; readonly session?: string | undefined }
): OAuth2.Provider => {
  const token = readSecret("refreshToken", options.refreshToken, lineBreak)
  return {
    ...session(client, options.session, token),
    seed: Effect.map(token, (token) => Redacted.make(token, { label: "refresh_token" }))
  }
}
