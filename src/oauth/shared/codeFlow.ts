/** The authorization code flow (RFC 6749 §4.1) with PKCE, `state`, `nonce` and the check of the issuer. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as oauth from "oauth4webapi"
import { tokenFromExchange } from "../../platform/shared/authentication.ts"
import { isSecureOrigin } from "../../platform/shared/origin.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"
import * as TokenError from "../../token/TokenError.ts"
import { TokenService } from "../../token/TokenService.ts"
import * as SignIn from "../internal/signIn.ts"
import { reasonOfCode, refusalOfCode } from "./errorCodes.ts"
import * as Grants from "./grants.ts"
import { checkIdToken, claimsOf } from "./idToken.ts"
import type { Claims, FlowOptions, SignedIn, StartOptions } from "./options.ts"
import { checkAuthorizationParameters, grantParameters, withResources } from "./parameters.ts"
import { type Client, endpointOf, withRequestTimeout } from "./requests.ts"
import { metadataFor } from "./tenants.ts"

/** How long a person may take to sign in. */
const signInTimeout = Duration.minutes(10)

/** What is stored about a sign-in that was started, under its `state`. */
const Pending = Schema.Struct({
  verifier: Schema.String,
  /** If an ID token was requested. */
  nonce: Schema.optionalKey(Schema.String),
  /** The `max_age` of the request, in seconds. */
  maxAge: Schema.optionalKey(Schema.Finite),
  returnTo: Schema.optionalKey(Schema.String),
  /** Milliseconds since the epoch. */
  expiresAt: Schema.Finite
})

/** A sign-in belongs to one client of one server: its code must not be sent to another server (RFC 9207 §1). */
const keyOf = ({ options, server }: Client, state: string) =>
  `effect-video-auth/authorization-code/${server.baseUrl} ${options.clientId}/${state}`

const rejected = (code: string, detail: string) => new TokenError.ProviderRejected({ code, detail })

const unknownState = () =>
  rejected(
    "unknown_state",
    "no sign-in that began here in the last ten minutes waits for this redirect. Start the sign-in again"
  )

const invalidResponse = () =>
  rejected("invalid_response", "the redirect comes from another server, or has no code. Start the sign-in again")

/** The reason for a redirect that is an error, or that does not belong to this sign-in. */
const reasonOfRedirect =
  ({ explanation }: Client) =>
  (error: unknown): TokenError.RenewalReason =>
    error instanceof oauth.AuthorizationResponseError
      ? reasonOfCode(error.error, { operation: "login", body: Object.fromEntries(error.cause) }, explanation)
      : invalidResponse()

/**
 * Checks where a server may send a browser with a code: to https, to loopback, or to an application by a scheme of its own,
 * which has a dot in it because it begins with a reversed domain name (RFC 8252 §7.1).
 */
const checkRedirectUri = (redirectUri: string): Effect.Effect<void, TokenError.ConfigurationInvalid> => {
  const refuse = (problem: string) => Effect.fail(invalid("redirectUri", problem))
  if (!URL.canParse(redirectUri)) return refuse("it must be an absolute URL")
  if (redirectUri.includes("#")) return refuse("it must not have a fragment (RFC 6749 §3.1.2)")
  const { password, protocol, username } = new URL(redirectUri)
  if (username + password !== "") return refuse("it must not contain a user name")
  return isSecureOrigin(redirectUri) || /^[a-z][a-z\d+-]*\.[a-z\d.+-]*:$/.test(protocol)
    ? Effect.void
    : refuse("it must be https, http on loopback, or a scheme of the application's own with a dot in it")
}

export const make = /* @__PURE__ */ Effect.fnUntraced(function* (client: Client, options: FlowOptions) {
  const { redirectUri } = options
  const named = withProvider(client.server.name)
  const { registration } = client
  yield* named(checkRedirectUri(redirectUri))
  yield* named(checkAuthorizationParameters("authorizationParameters", options.authorizationParameters))
  const store = KeyValueStore.toSchemaStore(yield* KeyValueStore.KeyValueStore, Pending)
  const stored = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.mapError(effect, () => new TokenError.StoreUnavailable({ operation: "keep a sign-in that was started" }))
  const { replaceWith, service } = yield* SignIn.make(Grants.session(client, options.session), options)
  const oneAtATime = Semaphore.makeUnsafe(1)

  /** Removes a started sign-in from the store and returns it, so that it can be finished only once. */
  const take = (state: string) =>
    oneAtATime.withPermits(1)(
      Effect.gen(function* () {
        // A value that does not decode was stored by something else.
        const pending = yield* Effect.catchTag(store.get(keyOf(client, state)), "SchemaError", () => Effect.succeedNone)
        yield* store.remove(keyOf(client, state))
        return pending
      })
    )

  const start = Effect.fnUntraced(function* ({ parameters, returnTo }: StartOptions = {}) {
    yield* checkAuthorizationParameters("parameters", parameters)
    const metadata = yield* client.metadata
    const url = new URL(yield* endpointOf(client, metadata, "authorization_endpoint"))
    const state = oauth.generateRandomState()
    const verifier = oauth.generateRandomCodeVerifier()
    const challenge = yield* Effect.tryPromise({
      try: () => oauth.calculatePKCECodeChallenge(verifier),
      catch: () => invalid("redirectUri", "the page must be served over https, because WebCrypto is missing elsewhere")
    })
    const query = grantParameters(client.options, {
      ...options.authorizationParameters,
      ...parameters,
      response_type: "code",
      client_id: client.options.clientId,
      redirect_uri: redirectUri,
      state,
      code_challenge: challenge,
      code_challenge_method: "S256"
    })
    const isOpenId = query.get("scope")?.split(" ").includes("openid") === true
    const nonce = oauth.generateRandomNonce()
    if (isOpenId) query.set("nonce", nonce)
    const maxAge = /^\d+$/.exec(query.get("max_age") ?? "")?.[0]
    const pending = {
      verifier,
      ...(isOpenId && { nonce }),
      ...(isOpenId && maxAge !== undefined && { maxAge: Number(maxAge) }),
      ...(returnTo !== undefined && { returnTo }),
      expiresAt: (yield* Clock.currentTimeMillis) + Duration.toMillis(signInTimeout)
    }
    yield* stored(store.set(keyOf(client, state), pending))
    for (const name of new Set(query.keys())) url.searchParams.delete(name)
    for (const [name, value] of query) url.searchParams.append(name, value)
    return url
  }, named)

  const finish = Effect.fnUntraced(function* (redirect: string | URL) {
    if (!URL.canParse(redirect, redirectUri)) return yield* named(Effect.fail(unknownState()))
    const { searchParams } = new URL(redirect, redirectUri)
    const state = searchParams.get("state") ?? ""
    const pending = yield* named(stored(take(state)))
    const now = yield* Clock.currentTimeMillis
    if (Option.isNone(pending) || now >= pending.value.expiresAt) return yield* named(Effect.fail(unknownState()))
    const { maxAge, nonce, returnTo, verifier } = pending.value
    const exchange = Effect.gen(function* () {
      const found = yield* client.metadata
      const metadata = searchParams.has("iss") ? metadataFor(found, searchParams.get("iss"), client.tenants) : found
      if (metadata === undefined) return yield* invalidResponse()
      const callback = yield* Effect.try({
        try: () => oauth.validateAuthResponse(metadata, registration, searchParams, state),
        catch: reasonOfRedirect(client)
      })
      if (callback.getAll("code").length !== 1) return yield* invalidResponse()
      return yield* Grants.requestToken(client, {
        operation: "login",
        compose: (metadata, authentication, options) =>
          oauth.authorizationCodeGrantRequest(metadata, registration, authentication, callback, redirectUri, verifier, {
            ...options,
            additionalParameters: withResources(client.options)
          }),
        refusal: refusalOfCode(
          client.explanation,
          "the code has expired, was used before, or belongs to another client. Start the sign-in again"
        ),
        claims: (body, metadata) =>
          checkIdToken(client, metadata, body, (metadata, registration, response) =>
            oauth.processAuthorizationCodeResponse(metadata, registration, response, {
              ...(nonce !== undefined && { requireIdToken: true, expectedNonce: nonce }),
              ...(maxAge !== undefined && { maxAge })
            })
          )
      })
    })
    // A code is good for once, so the sign-in is completed even if the caller stops waiting.
    const token = yield* Effect.uninterruptible(
      Effect.flatMap(named(tokenFromExchange(withRequestTimeout(exchange))), ({ token }) =>
        Effect.as(replaceWith(token), token)
      )
    )
    return { claims: claimsOf(token), returnTo: Option.fromUndefinedOr(returnTo) }
  })

  return { service, flow: { start, finish, claims: Effect.map(service.get, claimsOf) } }
})

/** Starts and finishes sign-ins: the shape of the service `AuthorizationCode`. */
export interface Flow {
  readonly start: (options?: StartOptions) => Effect.Effect<URL, TokenError.TokenError>
  readonly finish: (redirect: string | URL) => Effect.Effect<SignedIn, TokenError.TokenError>
  readonly claims: Effect.Effect<Option.Option<Claims>, TokenError.TokenError>
}

/** Provides the token of a client and, under `key`, the flow by which a person signs in. */
export const layer = <Id, E, R>(
  key: Context.Key<Id, Flow>,
  client: Effect.Effect<Client, E, R>,
  options: FlowOptions
): Layer.Layer<TokenService | Id, E | TokenError.TokenError, R | KeyValueStore.KeyValueStore> =>
  Layer.effectContext(
    Effect.map(
      Effect.flatMap(client, (client) => make(client, options)),
      ({ flow, service }) => Context.make(TokenService, service).pipe(Context.add(key, flow))
    )
  )
