/**
 * The credential as issued: an access token, the refresh token that came with it, and the two instants between which
 * it lives.
 *
 * A platform answers with a {@link TokenResponse} (RFC 6749 §5.1), which says for how long a token lives. The engine
 * stamps it with the clock and makes an {@link AccessToken}, which says until when.
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
 * Both secrets are `Redacted`: they print as `<redacted:…>` and the schema refuses to encode them as JSON.
 * Instants are milliseconds since the Unix epoch.
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
  /** The refresh token of the same answer, if there was one and it has not been used. */
  refreshToken: Schema.optional(Secret),
  /** Always `Bearer`: any case of it is accepted from a server, anything else is refused. */
  tokenType: Schema.Literal("Bearer"),
  /** When it was issued: `expiresAt` less the lifetime. */
  issuedAt: Schema.Finite,
  /** Wall time at the answer, less what the exchange took on the monotonic clock, plus the lifetime. */
  expiresAt: Schema.Finite,
  /** When the refresh token expires, where the platform says so. */
  refreshExpiresAt: Schema.optional(Schema.Finite),
  /** Counts the renewals of one identity: a newer credential has a higher one. */
  generation: Schema.Int,
  /** What a platform says beyond RFC 6749, never a secret (movingimage: `validForVideoManager`, `videoManagerList`). */
  extra: Schema.optional(Schema.Json)
}) {}

/**
 * What one exchange with a platform yields: RFC 6749 §5.1, decoded. A custom `TokenProvider` returns one of these.
 *
 * `expiresIn` must be a millisecond or more: zero, negative or `NaN` is a `MalformedResponse`; more than 365 days counts as
 * 365 days.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenResponse {
  readonly accessToken: Redacted.Redacted
  readonly refreshToken?: Redacted.Redacted | undefined
  /** Lifetime of the access token from the moment of issue. */
  readonly expiresIn: Duration.Input
  /** Lifetime of the refresh token, where the platform says so. */
  readonly refreshExpiresIn?: Duration.Input | undefined
  readonly extra?: Schema.Json | undefined
}

/** A longer lifetime is taken for this one: 365 days, in milliseconds. */
const longestLifetime = 365 * 24 * 60 * 60 * 1000

const lifetimeMillis = (input: Duration.Input = 0): number | undefined => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(input))
  return millis >= 1 ? Math.min(millis, longestLifetime) : undefined
}

const noLifetime = () => new MalformedResponse({ problem: "expires_in is missing or invalid" })

/**
 * Stamps a token response with the clock. `answeredAt` is wall time at the answer and `elapsed` what the exchange took
 * on the monotonic clock, both in milliseconds: the lifetime counts from when the request left, even where the wall
 * clock was stepped while it was under way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromResponse = (
  response: TokenResponse,
  issue: { readonly answeredAt: number; readonly elapsed: number; readonly generation: number }
): Effect.Effect<AccessToken, MalformedResponse> => {
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
 * Whether two tokens carry the same credential, whatever their generation.
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
 * Decodes a token answer as RFC 6749 §5.1 and api.video write it: `access_token`, `token_type`, `expires_in` in seconds,
 * `refresh_token`.
 *
 * Tolerated: any case of `bearer` or no `token_type`, numeric strings, no refresh token, unknown fields. Where
 * `expires_in` is missing, a JWT's `exp − iat` stands in. Anything else is a `MalformedResponse` that names the field and
 * never its value.
 *
 * **Example** (Decoding an answer)
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
    // What the server promises now counts, and what it wrote down only where it promises nothing.
    const expiresIn = typeof expires_in === "number" ? Duration.seconds(expires_in) : claimedLifetime(access_token)
    return expiresIn === undefined || lifetimeMillis(expiresIn) === undefined
      ? Effect.fail(noLifetime())
      : Effect.succeed({
          accessToken: Redacted.make(access_token, { label: "access_token" }),
          refreshToken: refresh_token ? Redacted.make(refresh_token, { label: "refresh_token" }) : undefined,
          expiresIn
        })
  })
