/**
 * The credentials of the sandboxed api.video: API keys, and what they may have.
 */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import type * as SandboxLedger from "./SandboxLedger.ts"
import type { Slug } from "./SandboxProblem.ts"
import { authorizationOf, type Json } from "./SandboxRequest.ts"
import type * as SandboxServer from "./SandboxServer.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

/** The switches that concern credentials. */
export interface Settings extends SandboxTokens.Settings {
  readonly suspended: boolean
}

/** The answer of both exchanges (api.video documentation, "Authentication steps"). `expires_in` in seconds. */
export interface TokenBody {
  readonly token_type: "Bearer"
  readonly expires_in: number
  readonly access_token: string
  readonly refresh_token?: string
}

/** What an `Authorization` header amounts to: `bearer #n`, `unknown bearer`, `basic`, `malformed` or `none`. */
export interface Verdict extends SandboxServer.Verdict {
  /** Undefined: accepted. */
  readonly refusal: Slug | undefined
}

const verdict = (credential: string, refusal?: Slug, expired = false): Verdict => ({ credential, refusal, expired })

const bodyOf = ({ accessToken, lifetime, refreshToken }: SandboxTokens.Issued<void>): TokenBody => ({
  token_type: "Bearer",
  expires_in: lifetime / 1000,
  access_token: accessToken,
  ...(refreshToken === undefined ? {} : { refresh_token: refreshToken })
})

/** Makes the authority of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly apiKeys: ReadonlyArray<string>
  readonly otherEnvironmentKeys: ReadonlyArray<string>
  readonly settings: () => Settings
  readonly serverTime: () => number
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { ledger, settings } = options
  const keys = new Set(options.apiKeys)
  const foreignKeys = new Set(options.otherEnvironmentKeys)
  const projectId = `pr${SandboxTokens.randomHex(11)}`
  for (const key of [...keys, ...foreignKeys]) ledger.conceal(key)

  const tokens = SandboxTokens.make<void>({
    ...options,
    mint: ({ accessExpiresAt, issuedAt }) => {
      const jti = SandboxTokens.randomHex(40)
      // Sub-millisecond digits as in the documented samples: whoever reads these as integers shall fail here first.
      const iat = issuedAt / 1000 + 0.000_216
      const exp = iat + (accessExpiresAt - issuedAt) / 1000
      const access = SandboxTokens.sign(
        { typ: "JWT", alg: "RS256", jti },
        { aud: "libcast", jti, iat, nbf: iat, exp, sub: "usSandbox", scopes: [], projectId }
      )
      return Effect.map(access, (access) => ({ access, refresh: `def50200${SandboxTokens.randomHex(320)}` }))
    }
  })

  const suspension = (): Result.Result<void, Slug> =>
    settings().suspended ? Result.fail("authorization-suspended-account") : Result.succeed(undefined)

  /** `POST /auth/api-key`. */
  const login = (key: string): Effect.Effect<TokenBody, Slug> =>
    Effect.map(
      tokens.login((): Result.Result<SandboxTokens.Grant<void>, Slug> => {
        if (foreignKeys.has(key)) return Result.fail("authentication-invalid-api-key")
        if (!keys.has(key)) return Result.fail("authentication-invalid-user-credentials")
        return Result.map(suspension(), (scope) => ({ owner: key, scope }))
      }),
      bodyOf
    )

  /** `POST /auth/refresh`. */
  const refresh = (token: string): Effect.Effect<TokenBody, Slug> =>
    Effect.map(
      tokens.refresh<Slug>(token, () => "authentication-invalid-user-credentials", suspension),
      bodyOf
    )

  /** Judges an `Authorization` header. */
  const verify = (authorization: string | undefined): Verdict => {
    if (authorization === undefined) return verdict("none", "authentication-missing-authorization-header")
    const parsed = authorizationOf(authorization)
    const malformed = verdict("malformed", "authentication-invalid-authorization-header-value")
    ledger.conceal(parsed?.value ?? authorization)
    if (parsed === undefined || !["basic", "bearer"].includes(parsed.scheme)) return malformed
    const { scheme, value } = parsed
    if (scheme === "basic") {
      const text = Base64.decodeString(value)
      // The colon is obligatory and the password empty (api.video documentation, basic authentication).
      if (Result.isFailure(text) || !text.success.endsWith(":")) return malformed
      const key = text.success.slice(0, -1)
      ledger.conceal(key)
      return verdict("basic", keys.has(key) ? undefined : "authentication-invalid-api-key")
    }
    const token = tokens.find(value)
    if (token === undefined) return verdict("unknown bearer", "authentication-invalid-access-token")
    return verdict(token.label, token.live ? undefined : "authentication-invalid-access-token", token.expired)
  }

  return {
    login,
    refresh,
    verify,
    noteExchange: (exchange: "login" | "refresh", body: Json | undefined) => {
      const credential = body?.[exchange === "login" ? "apiKey" : "refreshToken"]
      if (typeof credential !== "string") return
      if (exchange === "login") ledger.conceal(credential)
      else tokens.noteRefreshToken(credential)
    },
    addKey: (key: string) => {
      keys.add(key)
      ledger.conceal(key)
    },
    removeKey: (key: string) => {
      keys.delete(key)
      tokens.killRefreshTokens(key)
    },
    killAccessTokens: tokens.killAccessTokens,
    killRefreshTokens: () => tokens.killRefreshTokens()
  }
}
