/**
 * Access tokens, with the refresh token that came with them and the time of their expiry.
 *
 * A platform responds with a {@link TokenResponse} (RFC 6749 §5.1), which has a lifetime. The service adds the time and makes an
 * {@link AccessToken}, which has an instant of expiry.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Secret } from "./shared/schema.ts"
import { claimedLifetime, decodeWire, headerSafe, matching, nullish } from "./shared/wire.ts"
import { MalformedResponse } from "./TokenError.ts"

/**
 * A bearer token that a platform issued (RFC 6750), with its lifetime on this machine's clock.
 *
 * Both secrets are `Redacted`: they print as `<redacted:…>`, and the schema refuses to encode them as JSON. Instants are in
 * milliseconds since the Unix epoch.
 *
 * **Example** (Reading a token)
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { TokenService } from "effect-video-auth"
 *
 * export const header = Effect.gen(function*() {
 *   const tokens = yield* TokenService.TokenService
 *   const token = yield* tokens.get
 *   return `${token.tokenType} ${Redacted.value(token.accessToken)}`
 * })
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export class AccessToken extends Schema.Class<AccessToken>("effect-video-auth/AccessToken")({
  /** The bearer token itself. */
  accessToken: Secret,
  /** The refresh token of the same response, if it had one that has not been used. */
  refreshToken: Schema.optional(Secret),
  /** Always `Bearer`. A server may write it in any case; any other type is refused. */
  tokenType: Schema.Literal("Bearer"),
  /** When it was issued: `expiresAt` minus the lifetime. */
  issuedAt: Schema.Finite,
  /** Wall time when the response arrived, minus the duration of the exchange on the monotonic clock, plus the lifetime. */
  expiresAt: Schema.Finite,
  /** When the refresh token expires, if the platform says so. */
  refreshExpiresAt: Schema.optional(Schema.Finite),
  /** The number of renewals of this identity. A newer credential has a higher generation. */
  generation: Schema.Int,
  /** Members of the response beyond RFC 6749, never a secret (movingimage: `validForVideoManager`, `videoManagerList`). */
  extra: Schema.optional(Schema.Json)
}) {}

/**
 * The result of one exchange with a platform: a decoded RFC 6749 §5.1 response. A `TokenProvider` returns one of these.
 *
 * An `expiresIn` of less than a millisecond (zero, negative, `NaN`) is a `MalformedResponse`. More than 365 days counts as 365
 * days.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenResponse {
  readonly accessToken: Redacted.Redacted
  readonly refreshToken?: Redacted.Redacted | undefined
  /** Lifetime of the access token from the moment of issue. */
  readonly expiresIn: Duration.Input
  /** Lifetime of the refresh token, if the platform says so. */
  readonly refreshExpiresIn?: Duration.Input | undefined
  readonly extra?: Schema.Json | undefined
}

/** The longest lifetime that is believed: 365 days, in milliseconds. */
const longestLifetime = 365 * 24 * 60 * 60 * 1000

const lifetimeMillis = (input: Duration.Input = 0): number | undefined => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(input))
  return millis >= 1 ? Math.min(millis, longestLifetime) : undefined
}

const noLifetime = () => new MalformedResponse({ problem: "expires_in is missing or invalid" })

/**
 * When and as which token a response was received.
 *
 * @category models
 * @since 0.1.0
 */
export interface Issue {
  /** Wall time when the response arrived, in milliseconds since the epoch. */
  readonly answeredAt: number
  /** Duration of the exchange on the monotonic clock, in milliseconds. */
  readonly elapsed: number
  readonly generation: number
}

/**
 * Makes a token from a response and the time. The lifetime counts from the moment the request left, even if the wall clock was
 * stepped meanwhile.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromResponse = (response: TokenResponse, issue: Issue): Effect.Effect<AccessToken, MalformedResponse> => {
  const lifetime = lifetimeMillis(response.expiresIn)
  if (lifetime === undefined) return Effect.fail(noLifetime())
  const issuedAt = issue.answeredAt - Math.max(0, issue.elapsed)
  const refreshLifetime = lifetimeMillis(response.refreshExpiresIn)
  return Effect.succeed(
    new AccessToken({
      accessToken: response.accessToken,
      refreshToken: response.refreshToken,
      tokenType: "Bearer",
      issuedAt,
      expiresAt: issuedAt + lifetime,
      refreshExpiresAt: refreshLifetime === undefined ? undefined : issuedAt + refreshLifetime,
      generation: issue.generation,
      extra: response.extra
    })
  )
}

/**
 * Returns whether two tokens carry the same credential, whatever their generation.
 *
 * @category guards
 * @since 0.1.0
 */
export const isSameCredential = (self: AccessToken, that: AccessToken): boolean =>
  self === that || Redacted.value(self.accessToken) === Redacted.value(that.accessToken)

const decodeAnswer = decodeWire(
  Schema.Struct({
    access_token: headerSafe,
    refresh_token: nullish(Schema.String),
    token_type: nullish(matching(/^bearer$/i)),
    expires_in: nullish(Schema.Union([Schema.Finite, Schema.FiniteFromString]))
  })
)

/**
 * Decodes a token response as RFC 6749 §5.1 and api.video define it: `access_token`, `token_type`, `expires_in` in seconds,
 * `refresh_token`.
 *
 * It tolerates any case of `bearer`, a missing `token_type`, numeric strings, a missing refresh token and unknown fields. If
 * `expires_in` is missing, it uses a JWT's `exp − iat`. Anything else fails with a `MalformedResponse` that names the field and
 * never its value.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { AccessToken } from "effect-video-auth"
 *
 * const answer = { token_type: "bearer", access_token: "eyJ…", expires_in: "3600" }
 * const decoded = Effect.runSync(AccessToken.decodeResponse({ ...answer, access_token: "t1" }))
 * Duration.toSeconds(Duration.fromInputUnsafe(decoded.expiresIn)) // => 3600
 * String(decoded.accessToken) // => "<redacted:access_token>"
 * Effect.runSync(Effect.flip(AccessToken.decodeResponse(answer))).problem // => "access_token is missing or invalid"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeResponse = (body: unknown): Effect.Effect<TokenResponse, MalformedResponse> =>
  Effect.flatMap(decodeAnswer(body), ({ access_token, expires_in, refresh_token }) => {
    // `expires_in` wins over the claims of the token.
    const expiresIn = typeof expires_in === "number" ? Duration.seconds(expires_in) : claimedLifetime(access_token)
    return expiresIn === undefined || lifetimeMillis(expiresIn) === undefined
      ? Effect.fail(noLifetime())
      : Effect.succeed({
          accessToken: Redacted.make(access_token, { label: "access_token" }),
          refreshToken: refresh_token ? Redacted.make(refresh_token, { label: "refresh_token" }) : undefined,
          expiresIn
        })
  })
