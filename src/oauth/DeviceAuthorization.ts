/**
 * The device authorization grant (RFC 8628): a program without a browser shows a code, and a person enters it on another device
 * and signs in there.
 *
 * {@link layer} provides a `TokenService`, which serves and renews the token, and {@link DeviceAuthorization}, which signs
 * people in. `TokenService.invalidate` signs out. Before anybody has signed in, `get` fails with `InteractionRequired`. With a
 * durable `TokenStore`, the session continues after a restart.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as oauth from "oauth4webapi"
import { tokenFromExchange } from "../platform/shared/authentication.ts"
import type { AccessToken } from "../token/AccessToken.ts"
import { withProvider } from "../token/shared/failures.ts"
import { monotonic } from "../token/shared/time.ts"
import * as TokenError from "../token/TokenError.ts"
import { TokenService } from "../token/TokenService.ts"
import * as Response from "./internal/deviceAuthorization.ts"
import * as SignIn from "./internal/signIn.ts"
import { makeClient } from "./shared/client.ts"
import { refusalOfCode } from "./shared/errorCodes.ts"
import * as Grants from "./shared/grants.ts"
import { checkIdToken, claimsOf } from "./shared/idToken.ts"
import type { Claims, ClientOptions, TokenOptions } from "./shared/options.ts"
import { grantParameters, withResources } from "./shared/parameters.ts"
import { type Client, isUnreadableSuccess, send, withRequestTimeout } from "./shared/requests.ts"

/**
 * What to show to the person.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prompt {
  /** The code to enter at `verificationUri`. */
  readonly userCode: string
  /** The page to open, on any device: https, or http on loopback. */
  readonly verificationUri: string
  /** The same page with the code in its URL, for a link or a QR code, if the server provides one. */
  readonly verificationUriComplete: Option.Option<string>
  /** How long the code is valid. */
  readonly expiresIn: Duration.Duration
}

/**
 * Options of the client, and how the person is prompted.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ClientOptions, TokenOptions {
  /** Shows the code. It does not wait until the person has entered it. */
  readonly prompt: (prompt: Prompt) => Effect.Effect<unknown>
  /** Distinguishes people who sign in to one client and share a store. @default "" */
  readonly session?: string | undefined
}

/**
 * | member | promise |
 * | --- | --- |
 * | `signIn` | requests a code, shows it, and waits until a person has entered it and signed in, or refused |
 * | `resume` | continues the session that exists, and signs in if none does |
 * | `claims` | returns the claims of the latest ID token, also after a restart with a durable `TokenStore`; `None` if the server sent none. Fails as `TokenService.get` does |
 *
 * `signIn` and `resume` fail with a `ProviderRejected` whose code is `access_denied` if the person refused, and `expired_token`
 * if nobody entered the code in time. The server is polled as often as it says, at most once a second, and every five seconds
 * if it says nothing; less often after each `slow_down` and each time it does not respond.
 *
 * @category services
 * @since 0.1.0
 */
export class DeviceAuthorization
  extends /* @__PURE__ */ Context.Service<
    DeviceAuthorization,
    {
      readonly signIn: Effect.Effect<void, TokenError.TokenError>
      readonly resume: Effect.Effect<void, TokenError.TokenError>
      readonly claims: Effect.Effect<Option.Option<Claims>, TokenError.TokenError>
    }
  >()("effect-video-auth/DeviceAuthorization") {}

const expired = () =>
  new TokenError.ProviderRejected({
    code: "expired_token",
    detail: "nobody entered the code in time. Start again"
  })

const refusalFor = ({ explanation }: Client) =>
  refusalOfCode(explanation, "the code was used before or belongs to another client. Start again")

/** RFC 8628 §3.5, in milliseconds. */
const slowDownBy = 5_000
const longestBackOff = 60_000
/** The last poll is made this long before the code expires. */
const lastPollBefore = 1_000

const authorize = (client: Client) =>
  send(client, {
    endpoint: "device_authorization_endpoint",
    operation: "login",
    compose: (metadata, authentication, options) =>
      oauth.deviceAuthorizationRequest(
        metadata,
        client.registration,
        authentication,
        grantParameters(client.options),
        options
      ),
    decode: Response.decode,
    refusal: refusalFor(client)
  })

/** Polls until a person has decided, by the rules of RFC 8628 §3.5. Only the waiting can be interrupted. */
const poll = Effect.fnUntraced(function* (
  client: Client,
  { deviceCode, expiresIn, interval }: Response.DeviceAuthorization
): Effect.fn.Return<AccessToken, TokenError.RenewalReason> {
  const clock = yield* Clock.Clock
  const deadline = monotonic(clock) + expiresIn * 1_000
  let pause = interval * 1_000
  /** Grows with each failure (§3.5). */
  let backOff = 0
  /** What the latest response asked for, once. */
  let retryAfter = 0
  while (true) {
    const left = deadline - monotonic(clock)
    const shortest = Math.max(pause, retryAfter)
    // However long the back-off, one more poll finds out whether the person has decided.
    const wait = Math.max(shortest, Math.min(backOff, left - lastPollBefore))
    yield* Effect.interruptible(Effect.sleep(Math.max(0, Math.min(wait, left))))
    if (wait >= left) return yield* expired()
    retryAfter = 0
    const response = yield* Effect.result(pollOnce(client, deviceCode))
    if (response._tag === "Success") return response.success.token
    const reason = response.failure
    const code = reason._tag === "ProviderRejected" ? reason.code : undefined
    // The server accepted the code, so it is used up.
    if (isUnreadableSuccess(reason)) return yield* reason
    if (code === "slow_down") pause += slowDownBy
    else if (reason.isRetryable) {
      backOff = Math.min(2 * Math.max(pause, backOff), longestBackOff)
      retryAfter = "retryAfter" in reason && reason.retryAfter !== undefined ? Duration.toMillis(reason.retryAfter) : 0
    } else if (code !== "authorization_pending") return yield* reason
  }
})

const pollOnce = (client: Client, deviceCode: string) =>
  tokenFromExchange(
    withRequestTimeout(
      Grants.requestToken(client, {
        operation: "login",
        compose: (metadata, authentication, options) =>
          oauth.deviceCodeGrantRequest(metadata, client.registration, authentication, deviceCode, {
            ...options,
            // Twitch wants its own parameters again, and other servers ignore what they do not know (RFC 6749 §3.2).
            additionalParameters: withResources(client.options, client.options.parameters)
          }),
        refusal: refusalFor(client),
        claims: (body, metadata) => checkIdToken(client, metadata, body, oauth.processDeviceCodeResponse)
      })
    )
  )

/** Whether the session has ended, also if its token was used until it expired. */
const isSignedOut = ({ reason }: TokenError.TokenError) =>
  (reason._tag === "TokenExpired" ? reason.renewal : reason)?._tag === "InteractionRequired"

const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* makeClient(options)
  const { replaceWith, service } = yield* SignIn.make(Grants.session(client, options.session), options)
  const named = withProvider(client.server.name)
  const begin = Effect.gen(function* () {
    const authorization = yield* withRequestTimeout(authorize(client))
    yield* options.prompt({
      userCode: authorization.userCode,
      verificationUri: authorization.verificationUri,
      verificationUriComplete: Option.fromUndefinedOr(authorization.verificationUriComplete),
      expiresIn: Duration.seconds(authorization.expiresIn)
    })
    return authorization
  })
  // A device code is good for one token, so a token that has arrived is stored even if the caller stops waiting.
  const signIn = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(named(Effect.flatMap(restore(begin), (authorization) => poll(client, authorization))), replaceWith)
  )
  const resume = Effect.catchIf(Effect.asVoid(service.get), isSignedOut, () => signIn)
  const claims = Effect.map(service.get, claimsOf)
  return Context.make(TokenService, service).pipe(
    Context.add(DeviceAuthorization, DeviceAuthorization.of({ signIn, resume, claims }))
  )
})

/**
 * Provides the token and the flow.
 *
 * **Example** (Signing in from a terminal)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { DeviceAuthorization, TokenService } from "effect-video-auth"
 *
 * const SignInLive = DeviceAuthorization.layer({
 *   issuer: "https://login.example.com",
 *   clientId: "my-cli",
 *   scope: "videos:read offline_access",
 *   prompt: ({ userCode, verificationUri }) => Console.log(`Enter ${userCode} at ${verificationUri}`)
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * export const program = Effect.gen(function* () {
 *   const device = yield* DeviceAuthorization.DeviceAuthorization
 *   yield* device.resume
 *   const tokens = yield* TokenService.TokenService
 *   return (yield* tokens.get).expiresAt
 * }).pipe(Effect.provide(SignInLive))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<TokenService | DeviceAuthorization, TokenError.TokenError, HttpClient.HttpClient> =>
  Layer.effectContext(make(options))
