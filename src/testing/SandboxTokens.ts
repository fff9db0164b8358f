/**
 * The tokens of a sandboxed platform: signed access tokens, and refresh tokens that rotate and notice when they are used
 * twice. The platform decides who may have which.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"
import type * as SandboxLedger from "./SandboxLedger.ts"

/** The switches that concern tokens, durations in milliseconds. */
export interface Settings {
  readonly accessTokenLifetime: number
  /** `Infinity` where refresh tokens do not expire. */
  readonly refreshTokenLifetime: number
  readonly revokesAccessTokenOnRefresh: boolean
  readonly detectsRefreshTokenReuse: boolean
  readonly loginSupersedesRefreshToken: boolean
  readonly rotatesRefreshToken: boolean
  readonly omitsRefreshToken: boolean
  readonly clockSkew: number
}

/** The switches as a program sets them: any of them, and durations in any form. */
export type Behaviour = {
  readonly [K in keyof Settings]?: (Settings[K] extends boolean ? boolean : Duration.Input) | undefined
}

/** The switches that are set, and the platform's defaults for the others. */
export const resolve = (given: Behaviour, defaults: Settings): Settings => {
  const duration = (name: "accessTokenLifetime" | "refreshTokenLifetime" | "clockSkew") => {
    const input = given[name]
    return input === undefined ? defaults[name] : Duration.toMillis(Duration.fromInputUnsafe(input))
  }
  return {
    accessTokenLifetime: duration("accessTokenLifetime"),
    refreshTokenLifetime: duration("refreshTokenLifetime"),
    revokesAccessTokenOnRefresh: given.revokesAccessTokenOnRefresh ?? defaults.revokesAccessTokenOnRefresh,
    detectsRefreshTokenReuse: given.detectsRefreshTokenReuse ?? defaults.detectsRefreshTokenReuse,
    loginSupersedesRefreshToken: given.loginSupersedesRefreshToken ?? defaults.loginSupersedesRefreshToken,
    rotatesRefreshToken: given.rotatesRefreshToken ?? defaults.rotatesRefreshToken,
    omitsRefreshToken: given.omitsRefreshToken ?? defaults.omitsRefreshToken,
    clockSkew: duration("clockSkew")
  }
}

/** Whose tokens a login brings, and what for. */
export interface Grant<Scope> {
  readonly owner: string
  readonly scope: Scope
}

/** What an exchange issued. */
export interface Issued<Scope> extends Grant<Scope> {
  readonly accessToken: string
  readonly refreshToken: string | undefined
  /** Lifetime of the access token, in milliseconds. */
  readonly lifetime: number
  /** Lifetime of the refresh token, in milliseconds; 0 without one. */
  readonly refreshLifetime: number
}

/** When tokens are issued and end: epoch milliseconds on the server's clock. */
export interface Times {
  readonly issuedAt: number
  readonly accessExpiresAt: number
  readonly refreshExpiresAt: number
}

/** Writes a pair of tokens. */
export type Mint = (times: Times) => Effect.Effect<{ readonly access: string; readonly refresh: string }>

/** Where one exchange differs from the others of its sandbox. */
export interface Terms {
  readonly mint?: Mint | undefined
  /** Neither token outlives this: epoch milliseconds on the server's clock. */
  readonly endsAt?: number | undefined
  /** No refresh token at a login; at a refresh the one sent goes on working beside the new one. */
  readonly refreshToken?: "none" | "unspent" | undefined
}

/** Why a refresh token is refused. */
export type RefreshRefusal = "unknown" | "expired" | "closed" | "used"

/** Everything that descends from one login. */
interface Family<Scope> extends Grant<Scope> {
  readonly accessTokens: Array<Access<Scope>>
  /** Its refresh tokens are refused. */
  closed: boolean
}

interface Access<Scope> extends Grant<Scope> {
  readonly label: string
  readonly expiresAt: number
  dead: boolean
}

interface Refresh<Scope> {
  readonly family: Family<Scope>
  readonly expiresAt: number
  used: boolean
}

/** An access token that this server issued. */
export interface Known<Scope> extends Grant<Scope> {
  /** `bearer #n`. */
  readonly label: string
  /** Past its own `exp`. */
  readonly expired: boolean
  /** Neither expired nor revoked. */
  readonly live: boolean
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

/** The public key of the tokens' RS256 signatures, one per process. */
export const publicKey: Effect.Effect<CryptoKey> = Effect.map(keyPair, (keys) => keys.publicKey)

/** So many random bytes, in hexadecimal digits. */
export const randomHex = (bytes: number) => Hex.encode(globalThis.crypto.getRandomValues(new Uint8Array(bytes)))

/** A JWT with an RS256 signature. */
export const sign = Effect.fnUntraced(function* (header: object, payload: object) {
  const { privateKey } = yield* keyPair
  const content = `${Base64Url.encode(JSON.stringify(header))}.${Base64Url.encode(JSON.stringify(payload))}`
  const signature = yield* Effect.promise(() =>
    globalThis.crypto.subtle.sign(algorithm, privateKey, new TextEncoder().encode(content))
  )
  return `${content}.${Base64Url.encode(new Uint8Array(signature))}`
})

/** Makes the tokens of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = <Scope>(options: {
  readonly settings: () => Settings
  readonly serverTime: () => number
  readonly mint: Mint
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { ledger, mint, serverTime, settings } = options
  const accessTokens = new Map<string, Access<Scope>>()
  const refreshTokens = new Map<string, Refresh<Scope>>()
  const families = new Map<string, Array<Family<Scope>>>()
  const received = new Map<string, { readonly label: string; count: number }>()
  let refreshIssued = 0

  const close = (owner: string) => {
    for (const family of families.get(owner) ?? []) family.closed = true
    families.delete(owner)
  }

  const killAccessTokens = (family: Family<Scope>) => {
    for (const token of family.accessTokens.splice(0)) token.dead = true
  }

  // Written before any check, so that checking and issuing are one synchronous step that no other exchange can divide.
  const draft = Effect.fnUntraced(function* (terms: Terms) {
    const { accessTokenLifetime, refreshTokenLifetime } = settings()
    const { endsAt = Number.POSITIVE_INFINITY } = terms
    const issuedAt = serverTime()
    const times = {
      issuedAt,
      accessExpiresAt: Math.min(issuedAt + accessTokenLifetime, endsAt),
      refreshExpiresAt: Math.min(issuedAt + refreshTokenLifetime, endsAt)
    }
    return { ...times, ...(yield* (terms.mint ?? mint)(times)) }
  })
  type Draft = Effect.Success<ReturnType<typeof draft>>

  const issue = (
    family: Family<Scope>,
    scope: Scope,
    { access, accessExpiresAt, issuedAt }: Draft,
    refreshToken: string | undefined
  ): Issued<Scope> => {
    const { owner } = family
    const token = { label: `bearer #${accessTokens.size + 1}`, owner, scope, expiresAt: accessExpiresAt, dead: false }
    accessTokens.set(access, token)
    family.accessTokens.push(token)
    ledger.conceal(access)
    return {
      owner,
      scope,
      accessToken: access,
      refreshToken,
      lifetime: accessExpiresAt - issuedAt,
      refreshLifetime: (refreshTokens.get(refreshToken ?? "")?.expiresAt ?? issuedAt) - issuedAt
    }
  }

  const newRefreshToken = (family: Family<Scope>, { refresh, refreshExpiresAt }: Draft): string | undefined => {
    if (settings().omitsRefreshToken) return undefined
    refreshTokens.set(refresh, { family, expiresAt: refreshExpiresAt, used: false })
    received.set(refresh, { label: `refresh token #${++refreshIssued}`, count: 0 })
    ledger.conceal(refresh)
    return refresh
  }

  return {
    /** Issues a pair of tokens to whom `decide` names, or fails as it says. */
    login: <Refusal>(
      decide: () => Result.Result<Grant<Scope>, Refusal>,
      terms: Terms = {}
    ): Effect.Effect<Issued<Scope>, Refusal> =>
      Effect.flatMap(draft(terms), (made) =>
        Effect.fromResult(
          Result.map(decide(), ({ owner, scope }) => {
            if (settings().loginSupersedesRefreshToken) close(owner)
            const family: Family<Scope> = { owner, scope, accessTokens: [], closed: false }
            const others = families.get(owner)
            if (others === undefined) families.set(owner, [family])
            else others.push(family)
            ledger.counts.loginsAccepted++
            return issue(family, scope, made, terms.refreshToken === "none" ? undefined : newRefreshToken(family, made))
          })
        )
      ),

    /** Issues another pair for a refresh token in force; `decide` may still refuse, which does not spend the token. */
    refresh: <Refusal>(
      token: string,
      refused: (why: RefreshRefusal) => Refusal,
      decide: (login: Grant<Scope>) => Result.Result<Scope, Refusal>,
      terms: Terms = {}
    ): Effect.Effect<Issued<Scope>, Refusal> =>
      Effect.flatMap(draft(terms), (made) => {
        const held = refreshTokens.get(token)
        if (held === undefined) return Effect.fail(refused("unknown"))
        const { family } = held
        if (serverTime() >= held.expiresAt) return Effect.fail(refused("expired"))
        if (family.closed) return Effect.fail(refused("closed"))
        if (held.used) {
          if (settings().detectsRefreshTokenReuse) {
            // Whoever replays may be a thief, and whoever used it first may be: neither keeps anything.
            family.closed = true
            killAccessTokens(family)
          }
          return Effect.fail(refused("used"))
        }
        return Effect.fromResult(
          Result.map(decide(family), (scope) => {
            if (settings().revokesAccessTokenOnRefresh) killAccessTokens(family)
            ledger.counts.refreshesAccepted++
            if (!settings().rotatesRefreshToken) {
              return issue(family, scope, made, settings().omitsRefreshToken ? undefined : token)
            }
            const next = newRefreshToken(family, made)
            // An answer without a refresh token leaves the old one in force, as OAuth 2 (RFC 6749, section 6) has it.
            held.used = next !== undefined && terms.refreshToken !== "unspent"
            return issue(family, scope, made, next)
          })
        )
      }),

    /** Notes that a refresh token arrived, whatever becomes of the request, and says how the ledger calls it. */
    noteRefreshToken: (token: string): string => {
      ledger.conceal(token)
      const known = received.get(token) ?? { label: `unknown refresh token #${received.size + 1}`, count: 0 }
      received.set(token, known)
      if (++known.count > 1) ledger.sentTwice(known.label)
      return known.label
    },

    /** How the ledger calls a refresh token. */
    labelOf: (refreshToken: string): string | undefined => received.get(refreshToken)?.label,

    /** The login that a refresh token descends from; undefined: not this server's. */
    loginOf: (refreshToken: string): Grant<Scope> | undefined => refreshTokens.get(refreshToken)?.family,

    /** The access token of that text; undefined: not this server's. */
    find: (accessToken: string): Known<Scope> | undefined => {
      const token = accessTokens.get(accessToken)
      if (token === undefined) return undefined
      const { dead, expiresAt, label, owner, scope } = token
      const expired = serverTime() >= expiresAt
      return { label, owner, scope, expired, live: !expired && !dead }
    },

    killAccessToken: (accessToken: string) => {
      const token = accessTokens.get(accessToken)
      if (token !== undefined) token.dead = true
    },
    killAccessTokens: () => {
      for (const token of accessTokens.values()) token.dead = true
    },
    /** Ends the refresh tokens of one owner, or of all. */
    killRefreshTokens: (owner?: string) => {
      for (const name of owner === undefined ? families.keys() : [owner]) close(name)
    }
  }
}
