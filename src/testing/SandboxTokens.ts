/**
 * The credentials of the sandboxed api.video: API keys, access tokens (JWT, RS256) and rotating refresh tokens.
 */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"
import type * as SandboxLedger from "./SandboxLedger.ts"
import type { Slug } from "./SandboxProblem.ts"

/** The switches that concern credentials, durations in milliseconds. */
export interface Settings {
  readonly accessTokenLifetime: number
  readonly revokesAccessTokenOnRefresh: boolean
  readonly detectsRefreshTokenReuse: boolean
  readonly loginSupersedesRefreshToken: boolean
  readonly rotatesRefreshToken: boolean
  readonly omitsRefreshToken: boolean
  readonly suspended: boolean
  readonly clockSkew: number
}

/** The answer of both exchanges (api.video documentation, "Authentication steps"). `expires_in` in seconds. */
export interface TokenBody {
  readonly token_type: "Bearer"
  readonly expires_in: number
  readonly access_token: string
  readonly refresh_token?: string
}

/** Everything that descends from one login. */
interface Family {
  readonly key: string
  revoked: boolean
}

interface Access {
  readonly label: string
  readonly family: Family
  /** Epoch milliseconds on the server's clock. */
  readonly expiresAt: number
  dead: boolean
}

interface Refresh {
  readonly family: Family
  state: "live" | "used" | "dead"
}

const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }

let pair: Promise<CryptoKeyPair> | undefined
// One pair per process: making one takes longer than most tests.
const keyPair = Effect.promise(
  () =>
    (pair ??= globalThis.crypto.subtle.generateKey(
      { ...algorithm, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
      true,
      ["sign", "verify"]
    ))
)

/** The public key of the access tokens' RS256 signatures, one per process. */
export const publicKey: Effect.Effect<CryptoKey> = Effect.map(keyPair, (keys) => keys.publicKey)

const randomHex = (bytes: number) => Hex.encode(globalThis.crypto.getRandomValues(new Uint8Array(bytes)))

const sign = Effect.fnUntraced(function* (header: object, payload: object) {
  const { privateKey } = yield* keyPair
  const content = `${Base64Url.encode(JSON.stringify(header))}.${Base64Url.encode(JSON.stringify(payload))}`
  const signature = yield* Effect.promise(() =>
    globalThis.crypto.subtle.sign(algorithm, privateKey, new TextEncoder().encode(content))
  )
  return `${content}.${Base64Url.encode(new Uint8Array(signature))}`
})

/** What an `Authorization` header amounts to. */
export interface Verdict {
  /** For the ledger: `bearer #n`, `unknown bearer`, `basic`, `malformed`, `none`. */
  readonly credential: string
  /** Undefined: accepted. */
  readonly refusal: Slug | undefined
  /** The token is past its own `exp`. */
  readonly expired: boolean
}

const verdict = (credential: string, refusal?: Slug, expired = false): Verdict => ({ credential, refusal, expired })

/** Makes the authority of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly apiKeys: ReadonlyArray<string>
  readonly otherEnvironmentKeys: ReadonlyArray<string>
  readonly settings: () => Settings
  readonly serverTime: () => number
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { ledger, serverTime, settings } = options
  const keys = new Set(options.apiKeys)
  const foreignKeys = new Set(options.otherEnvironmentKeys)
  const accessTokens = new Map<string, Access>()
  const refreshTokens = new Map<string, Refresh>()
  const received = new Map<string, { readonly label: string; count: number }>()
  const projectId = `pr${randomHex(11)}`
  let issued = 0
  let refreshIssued = 0
  for (const key of [...keys, ...foreignKeys]) ledger.conceal(key)

  const kill = (which: (family: Family) => boolean) => {
    for (const token of refreshTokens.values()) if (which(token.family)) token.state = "dead"
  }

  // Signed before any check, so that checking and issuing are one synchronous step that no other exchange can divide.
  const signed = Effect.gen(function* () {
    const now = serverTime()
    const lifetime = settings().accessTokenLifetime
    const jti = randomHex(40)
    // Sub-millisecond digits as in the documented samples: whoever reads these as integers shall fail here first.
    const iat = now / 1000 + 0.000_216
    const jwt = yield* sign(
      { typ: "JWT", alg: "RS256", jti },
      { aud: "libcast", jti, iat, nbf: iat, exp: iat + lifetime / 1000, sub: "usSandbox", scopes: [], projectId }
    )
    return { jwt, lifetime, expiresAt: now + lifetime }
  })

  const issue = (
    family: Family,
    access: { readonly jwt: string; readonly lifetime: number; readonly expiresAt: number },
    refreshToken: string | undefined
  ): TokenBody => {
    accessTokens.set(access.jwt, { label: `bearer #${++issued}`, family, expiresAt: access.expiresAt, dead: false })
    ledger.conceal(access.jwt)
    return {
      token_type: "Bearer",
      expires_in: access.lifetime / 1000,
      access_token: access.jwt,
      ...(refreshToken === undefined ? {} : { refresh_token: refreshToken })
    }
  }

  const newRefreshToken = (family: Family): string | undefined => {
    if (settings().omitsRefreshToken) return undefined
    const token = `def50200${randomHex(320)}`
    refreshTokens.set(token, { family, state: "live" })
    received.set(token, { label: `refresh token #${++refreshIssued}`, count: 0 })
    ledger.conceal(token)
    return token
  }

  /** `POST /auth/api-key`: a token pair, or why not. */
  const login = (key: string): Effect.Effect<TokenBody | Slug> =>
    Effect.map(signed, (access) => {
      if (foreignKeys.has(key)) return "authentication-invalid-api-key"
      if (!keys.has(key)) return "authentication-invalid-user-credentials"
      if (settings().suspended) return "authorization-suspended-account"
      if (settings().loginSupersedesRefreshToken) kill((family) => family.key === key)
      const family: Family = { key, revoked: false }
      ledger.counts.loginsAccepted++
      return issue(family, access, newRefreshToken(family))
    })

  /** `POST /auth/refresh`: a token pair, or why not. */
  const refresh = (token: string): Effect.Effect<TokenBody | Slug> =>
    Effect.map(signed, (access) => {
      const held = refreshTokens.get(token)
      if (held?.state === "used" && settings().detectsRefreshTokenReuse) {
        // Whoever replays may be a thief, and whoever used it first may be: neither keeps anything.
        held.family.revoked = true
        kill((family) => family === held.family)
      }
      if (held === undefined || held.state !== "live") return "authentication-invalid-user-credentials"
      if (settings().suspended) return "authorization-suspended-account"
      if (settings().revokesAccessTokenOnRefresh) {
        for (const other of accessTokens.values()) if (other.family === held.family) other.dead = true
      }
      ledger.counts.refreshesAccepted++
      if (!settings().rotatesRefreshToken) {
        return issue(held.family, access, settings().omitsRefreshToken ? undefined : token)
      }
      const next = newRefreshToken(held.family)
      // An answer without a refresh token leaves the old one in force, as OAuth 2 (RFC 6749, section 6) has it.
      if (next !== undefined) held.state = "used"
      return issue(held.family, access, next)
    })

  /** Notes that a key or a refresh token arrived, whatever becomes of the request. */
  const noteCredential = (exchange: "login" | "refresh", token: string) => {
    ledger.conceal(token)
    if (exchange === "login") return
    const known = received.get(token) ?? { label: `unknown refresh token #${received.size + 1}`, count: 0 }
    received.set(token, known)
    if (++known.count > 1) ledger.sentTwice(known.label)
  }

  /** Judges an `Authorization` header. */
  const verify = (authorization: string | undefined): Verdict => {
    if (authorization === undefined) return verdict("none", "authentication-missing-authorization-header")
    const [, scheme, value] = /^(bearer|basic) +(\S+) *$/i.exec(authorization) ?? []
    const malformed = verdict("malformed", "authentication-invalid-authorization-header-value")
    if (scheme === undefined || value === undefined) {
      ledger.conceal(authorization)
      return malformed
    }
    ledger.conceal(value)
    if (scheme.toLowerCase() === "basic") {
      const text = Base64.decodeString(value)
      // The colon is obligatory and the password empty (api.video documentation, basic authentication).
      if (Result.isFailure(text) || !text.success.endsWith(":")) return malformed
      const key = text.success.slice(0, -1)
      ledger.conceal(key)
      return verdict("basic", keys.has(key) ? undefined : "authentication-invalid-api-key")
    }
    const access = accessTokens.get(value)
    if (access === undefined) return verdict("unknown bearer", "authentication-invalid-access-token")
    const expired = serverTime() >= access.expiresAt
    const refused = expired || access.dead || access.family.revoked
    return verdict(access.label, refused ? "authentication-invalid-access-token" : undefined, expired)
  }

  return {
    login,
    refresh,
    noteCredential,
    verify,
    addKey: (key: string) => {
      keys.add(key)
      ledger.conceal(key)
    },
    removeKey: (key: string) => {
      keys.delete(key)
      kill((family) => family.key === key)
    },
    killAccessTokens: () => {
      for (const token of accessTokens.values()) token.dead = true
    },
    killRefreshTokens: () => kill(() => true)
  }
}

/** The authority, see `make`. */
export type Tokens = ReturnType<typeof make>
