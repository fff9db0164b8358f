/** The authorization code flow (RFC 6749 §4.1) with PKCE, state, nonce and the check of the issuer. */
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
import * as TokenError from "../../token/TokenError.ts"
import { TokenService } from "../../token/TokenService.ts"
import { stamped } from "../../platform/shared/authentication.ts"
import * as Grants from "./grants.ts"
import type { FlowOptions, SignedIn, StartOptions } from "./options.ts"
import { checked, endpointOf, inTime, reasonOfCode, refusalOfCode } from "./oauth.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"
import * as SignIn from "../internal/signIn.ts"

/** How long a person may take to sign in. */
const patience = Duration.minutes(10)

/** What is remembered of a sign-in that began, under its state. */
const Pending = Schema.Struct({
  verifier: Schema.String,
  /** Of one that asked for an ID token. */
  nonce: Schema.optionalKey(Schema.String),
  /** Seconds that the person may have signed in ago, if it asked for that. */
  maxAge: Schema.optionalKey(Schema.Finite),
  returnTo: Schema.optionalKey(Schema.String),
  /** Milliseconds since the epoch. */
  expiresAt: Schema.Finite
})

/** A sign-in is of one client of one server: a code that comes back is told to no other (RFC 9207 §1). */
const keyOf = ({ options, server }: Grants.Client, state: string) =>
  `effect-video-auth/authorization-code/${server.baseUrl} ${options.clientId}/${state}`

const rejected = (code: string, detail: string) => new TokenError.ProviderRejected({ code, detail })

const unknownState = () =>
  rejected(
    "unknown_state",
    "it is not of a sign-in that began here in the last minutes, or that one is finished; start again"
  )

/** An answer to the redirect that is not of this sign-in, or says that there was none. */
const reasonOfAnswer = (error: unknown): TokenError.RenewalReason =>
  error instanceof oauth.AuthorizationResponseError
    ? reasonOfCode(error.error, "login", undefined)
    : rejected(
        "invalid_response",
        "the redirect is not of the server that it should be of, or has no code; start again"
      )

/** An answer as RFC 6749 wants it: what servers leave out or say otherwise, `AccessToken.decodeResponse` has made sense of. */
const plain = (body: unknown) => ({
  ...Object.fromEntries(Object.entries(Object(body)).filter(([name, said]) => said !== null && name !== "expires_in")),
  token_type: "bearer"
})

const refused = refusalOfCode("the code had expired, was used before, or is not of this client; start again")

export const make = /* @__PURE__ */ Effect.fnUntraced(function* (client: Grants.Client, options: FlowOptions) {
  const { redirectUri } = options
  const named = withProvider(client.server.name)
  const { registration } = client
  if (!URL.canParse(redirectUri)) return yield* named(Effect.fail(invalid("redirectUri", "it must be an absolute URL")))
  const store = KeyValueStore.toSchemaStore(yield* KeyValueStore.KeyValueStore, Pending)
  const kept = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.mapError(effect, () => new TokenError.StoreUnavailable({ operation: "keep what a sign-in began with" }))
  const { put, service } = yield* SignIn.make(Grants.session(client, options.session), options)
  const turn = Semaphore.makeUnsafe(1)

  /** What a sign-in began with: it is had once. */
  const take = (state: string) =>
    turn.withPermits(1)(
      Effect.gen(function* () {
        // What cannot be read is not ours.
        const pending = yield* Effect.catchTag(store.get(keyOf(client, state)), "SchemaError", () => Effect.succeedNone)
        yield* store.remove(keyOf(client, state))
        return pending
      })
    )

  const start = Effect.fnUntraced(function* ({ parameters, returnTo }: StartOptions = {}) {
    const metadata = yield* client.metadata
    const url = new URL(yield* endpointOf(client, metadata, "authorization_endpoint"))
    const state = oauth.generateRandomState()
    const verifier = oauth.generateRandomCodeVerifier()
    const challenge = yield* Effect.tryPromise({
      try: () => oauth.calculatePKCECodeChallenge(verifier),
      catch: () => invalid("redirectUri", "the page has to be served over https: there is no WebCrypto elsewhere")
    })
    const said = Grants.parametersOf(client.options, {
      ...options.authorizationParameters,
      ...parameters,
      response_type: "code",
      client_id: client.options.clientId,
      redirect_uri: redirectUri,
      state,
      code_challenge: challenge,
      code_challenge_method: "S256"
    })
    const isOpenId = said.get("scope")?.split(" ").includes("openid") === true
    const nonce = oauth.generateRandomNonce()
    if (isOpenId) said.set("nonce", nonce)
    const maxAge = /^\d+$/.exec(said.get("max_age") ?? "")?.[0]
    const pending = {
      verifier,
      ...(isOpenId && { nonce }),
      ...(isOpenId && maxAge !== undefined && { maxAge: Number(maxAge) }),
      ...(returnTo !== undefined && { returnTo }),
      expiresAt: (yield* Clock.currentTimeMillis) + Duration.toMillis(patience)
    }
    yield* kept(store.set(keyOf(client, state), pending))
    for (const name of new Set(said.keys())) url.searchParams.delete(name)
    for (const [name, value] of said) url.searchParams.append(name, value)
    return url
  }, named)

  const finish = Effect.fnUntraced(function* (redirect: string | URL) {
    if (!URL.canParse(redirect, redirectUri)) return yield* named(Effect.fail(unknownState()))
    const { searchParams } = new URL(redirect, redirectUri)
    const state = searchParams.get("state") ?? ""
    const pending = yield* named(kept(take(state)))
    const now = yield* Clock.currentTimeMillis
    if (Option.isNone(pending) || now >= pending.value.expiresAt) return yield* named(Effect.fail(unknownState()))
    const { maxAge, nonce, returnTo, verifier } = pending.value
    const exchange = Effect.gen(function* () {
      const metadata = yield* client.metadata
      const callback = yield* Effect.try({
        try: () => oauth.validateAuthResponse(metadata, registration, searchParams, state),
        catch: reasonOfAnswer
      })
      if (callback.getAll("code").length !== 1) return yield* reasonOfAnswer(undefined)
      return yield* Grants.requestToken(
        client,
        "login",
        (metadata, authentication, options) =>
          oauth.authorizationCodeGrantRequest(metadata, registration, authentication, callback, redirectUri, verifier, {
            ...options,
            additionalParameters: Grants.narrowing(client.options)
          }),
        refused,
        (body, metadata, token) =>
          Effect.map(
            checked(plain(body), async (response) =>
              oauth.getValidatedIdTokenClaims(
                await oauth.processAuthorizationCodeResponse(metadata, registration, response, {
                  ...(nonce !== undefined && { requireIdToken: true, expectedNonce: nonce }),
                  ...(maxAge !== undefined && { maxAge })
                })
              )
            ),
            (claims) => ({ ...token, claims })
          )
      )
    })
    // A code is good for once: who is not waited for any more is signed in all the same.
    const { claims } = yield* Effect.uninterruptible(
      Effect.flatMap(named(stamped(inTime(exchange))), ({ response, token }) => Effect.as(put(token), response))
    )
    return { claims: Option.fromUndefinedOr(claims), returnTo: Option.fromUndefinedOr(returnTo) }
  })

  return { service, flow: { start, finish } }
})

/** Starts and finishes sign-ins: the shape of the service `AuthorizationCode`. */
export interface Flow {
  readonly start: (options?: StartOptions) => Effect.Effect<URL, TokenError.TokenError>
  readonly finish: (redirect: string | URL) => Effect.Effect<SignedIn, TokenError.TokenError>
}

/** Provides the token of a client, and under `key` the flow by which a person gets it. */
export const layer = <Id, E, R>(
  key: Context.Key<Id, Flow>,
  client: Effect.Effect<Grants.Client, E, R>,
  options: FlowOptions
): Layer.Layer<TokenService | Id, E | TokenError.TokenError, R | KeyValueStore.KeyValueStore> =>
  Layer.effectContext(
    Effect.map(
      Effect.flatMap(client, (client) => make(client, options)),
      ({ flow, service }) => Context.make(TokenService, service).pipe(Context.add(key, flow))
    )
  )
