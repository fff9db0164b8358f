/**
 * The device authorization grant (RFC 8628): a program without a browser shows a code, which a person enters on another
 * device, where they sign in.
 *
 * {@link layer} provides a `TokenService`, which serves and renews the token, and {@link DeviceAuthorization}, by which
 * somebody signs in. `TokenService.invalidate` signs out. Until somebody signed in, `get` fails with `InteractionRequired`.
 * With a durable `TokenStore`, the next start goes on with the session.
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
import type { AccessToken } from "../token/AccessToken.ts"
import { stamped } from "../platform/shared/authentication.ts"
import * as Grants from "./shared/grants.ts"
import { monotonic } from "../token/shared/time.ts"
import { ask, checked, inTime, isUnreadableSuccess, refusalOfCode } from "./shared/oauth.ts"
import { isSecureOrigin } from "../platform/shared/origin.ts"
import { withProvider } from "../token/shared/failures.ts"
import * as SignIn from "./internal/signIn.ts"
import type * as OAuth2 from "./OAuth2.ts"
import * as TokenError from "../token/TokenError.ts"
import { TokenService } from "../token/TokenService.ts"

/**
 * What to tell the person.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prompt {
  /** To be entered at `verificationUri`. */
  readonly userCode: string
  /** Where to go, on any device: https, or http on loopback. */
  readonly verificationUri: string
  /** The same with the code in it, for a link or a QR code, where the server gives one. */
  readonly verificationUriComplete: Option.Option<string>
  /** How long the code can be entered. */
  readonly expiresIn: Duration.Duration
}

/**
 * Which client asks, for what, at which server, and how the person is told.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends OAuth2.ClientOptions, OAuth2.TokenOptions {
  /** Shows the code, and does not wait until it is entered. */
  readonly prompt: (prompt: Prompt) => Effect.Effect<unknown>
  /** Tells apart the people who sign in to one client and share a store. @default "" */
  readonly session?: string | undefined
}

/**
 * | member | promise |
 * | --- | --- |
 * | `signIn` | gets a code, shows it, and waits until somebody has entered it and signed in, or refused |
 * | `resume` | goes on with a session that is there already, and signs in where there is none |
 *
 * They fail with a `ProviderRejected` whose code is `access_denied` where the person refused, and `expired_token` where
 * nobody entered the code in time. The server is asked as often as it says, five seconds apart if it does not; more rarely
 * after each `slow_down` and each time it does not answer.
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
    }
  >()("effect-video-auth/DeviceAuthorization") {}

const expired = () =>
  new TokenError.ProviderRejected({
    code: "expired_token",
    detail: "nobody entered the code in time; start again"
  })

const refused = refusalOfCode("the code was used before or is not of this client; start again")

/** RFC 8628 §3.2 and §3.5, in milliseconds. */
const usualInterval = 5_000
const slowerBy = 5_000
const longestBackoff = 60_000
/** So long before the code expires there is still time to ask. */
const lastCall = 1_000

const authorize = (client: Grants.Client) =>
  ask(client, {
    endpoint: "device_authorization_endpoint",
    operation: "login",
    write: (metadata, authentication, options) =>
      oauth.deviceAuthorizationRequest(
        metadata,
        client.registration,
        authentication,
        Grants.parametersOf(client.options),
        options
      ),
    decode: (body, metadata) =>
      Effect.filterOrFail(
        checked(body, (response) => oauth.processDeviceAuthorizationResponse(metadata, client.registration, response)),
        ({ verification_uri, verification_uri_complete }) =>
          // A person is sent there.
          isSecureOrigin(verification_uri) && isSecureOrigin(verification_uri_complete ?? verification_uri),
        () => new TokenError.MalformedResponse({ problem: "verification_uri is neither https nor on loopback" })
      ),
    refusal: refused
  })

/** Asks until somebody has decided, by the rules of RFC 8628 §3.5. Only the waiting can be interrupted. */
const poll = Effect.fnUntraced(function* (
  client: Grants.Client,
  { device_code, expires_in, interval }: oauth.DeviceAuthorizationResponse
): Effect.fn.Return<AccessToken, TokenError.RenewalReason> {
  const clock = yield* Clock.Clock
  const deadline = monotonic(clock) + expires_in * 1_000
  let pause = interval === undefined ? usualInterval : interval * 1_000
  /** After each failure it is asked less often (§3.5). */
  let backoff = 0
  /** What an answer asked for beyond that, once. */
  let more = 0
  while (true) {
    const left = deadline - monotonic(clock)
    const least = Math.max(pause, more)
    // Whoever has decided meanwhile is not told that time is up without having asked once more.
    const wait = Math.max(least, Math.min(backoff, left - lastCall))
    yield* Effect.interruptible(Effect.sleep(Math.max(0, Math.min(wait, left))))
    if (wait >= left) return yield* expired()
    more = 0
    const answer = yield* Effect.result(askOnce(client, device_code))
    if (answer._tag === "Success") return answer.success.token
    const reason = answer.failure
    const code = reason._tag === "ProviderRejected" ? reason.code : undefined
    // The code is used up.
    if (isUnreadableSuccess(reason)) return yield* reason
    if (code === "slow_down") pause += slowerBy
    else if (reason.isRetryable) {
      backoff = Math.min(2 * Math.max(pause, backoff), longestBackoff)
      more = "retryAfter" in reason && reason.retryAfter !== undefined ? Duration.toMillis(reason.retryAfter) : 0
    } else if (code !== "authorization_pending") return yield* reason
  }
})

const askOnce = (client: Grants.Client, deviceCode: string) =>
  stamped(
    inTime(
      Grants.requestToken(
        client,
        "login",
        (metadata, authentication, options) =>
          oauth.deviceCodeGrantRequest(metadata, client.registration, authentication, deviceCode, {
            ...options,
            additionalParameters: Grants.narrowing(client.options)
          }),
        refused,
        Grants.asItIs
      )
    )
  )

/** The session has ended, be it that its token was held until it expired. */
const needsSomebody = ({ reason }: TokenError.TokenError) =>
  (reason._tag === "TokenExpired" ? reason.renewal : reason)?._tag === "InteractionRequired"

const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* Grants.makeClient(options)
  const { put, service } = yield* SignIn.make(Grants.session(client, options.session), options)
  const named = withProvider(client.server.name)
  const begin = Effect.gen(function* () {
    const authorization = yield* inTime(authorize(client))
    yield* options.prompt({
      userCode: authorization.user_code,
      verificationUri: authorization.verification_uri,
      verificationUriComplete: Option.fromUndefinedOr(authorization.verification_uri_complete),
      expiresIn: Duration.seconds(authorization.expires_in)
    })
    return authorization
  })
  // A device code is good for one token: what is on its way is put in its place.
  const signIn = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(named(Effect.flatMap(restore(begin), (authorization) => poll(client, authorization))), put)
  )
  const resume = Effect.catchIf(Effect.asVoid(service.get), needsSomebody, () => signIn)
  return Context.make(TokenService, service).pipe(
    Context.add(DeviceAuthorization, DeviceAuthorization.of({ signIn, resume }))
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
