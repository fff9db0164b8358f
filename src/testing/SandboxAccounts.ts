/**
 * The credentials of the sandboxed movingimage: accounts, their VideoManagers, locks, and what their tokens are valid for.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as SandboxLedger from "./SandboxLedger.ts"
import { type Refusal, wrongCredentials, wrongToken } from "./SandboxRefusal.ts"
import { authorizationOf, type Json } from "./SandboxRequest.ts"
import type * as SandboxServer from "./SandboxServer.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

/** What an access token is valid for, one at a time. */
export interface VideoManager {
  readonly id: number
  readonly name: string
}

/** An account that may log in. */
export interface Account {
  readonly username: string
  readonly password: string
  /** The token of a login is valid for the first. With an empty list, the account can log in and access nothing. */
  readonly videoManagers: ReadonlyArray<VideoManager>
  /** May not log in. Default false. */
  readonly disabled?: boolean | undefined
  /** Has something to do before the first login, such as choosing another password. Default false. */
  readonly unfinished?: boolean | undefined
}

/** What a login by OpenID Connect began. Its tokens are valid for every VideoManager of the user. */
export interface Session {
  readonly id: string
  readonly username: string
  readonly clientId: string
  /** Scopes granted, separated by blanks. */
  readonly scope: string
  readonly nonce: string | undefined
  /** Epoch milliseconds on the server's clock. */
  readonly startedAt: number
  /** Logged out or revoked: its tokens are refused. */
  ended: boolean
}

/** What an access token is valid for: a VideoManager, none where the account has none, or what its session may see. */
export type Validity = number | undefined | Session

/** Why somebody may not log in. */
export type Objection = "unknown" | "locked" | "disabled" | "wrong" | "unfinished"

/** The switches that concern credentials. */
export interface Settings extends SandboxTokens.Settings {
  readonly tokenFormat: "jwt" | "jwt-without-exp" | "opaque"
  readonly validForVideoManagerAs: "string" | "number"
  readonly wrongVideoManagerStatus: 401 | 403
  readonly lockAfter: number
}

/** The response of both exchanges (movingimage documentation, "Create Access and Refresh Token Request"). */
export interface TokenBody {
  readonly accessToken: string
  readonly refreshToken?: string
  readonly videoManagerList: ReadonlyArray<VideoManager>
  /** Null: the account has none. */
  readonly validForVideoManager: string | number | null
}

/** What the server saw of one VideoManager. */
export interface VideoManagerUse {
  /** Access tokens issued for it. */
  readonly tokens: number
  /** Requests below its path whose token was live and valid for it. */
  readonly requests: number
  /** Requests below its path whose token was live and valid for another. */
  readonly wrongTokens: number
}

/** What this ledger records in addition to every sandbox's. */
export interface Report {
  /** Requests whose token was live, and valid for another VideoManager than that of the path. */
  readonly wrongVideoManager: number
  /** Logins refused: unknown user, wrong password, locked account. */
  readonly loginsRefused: number
  /** Those of them, right or wrong, that met a locked account. */
  readonly loginsWhileLocked: number
  /** How often an account was locked. */
  readonly accountsLocked: number
  /** By id of VideoManager. */
  readonly videoManagers: Readonly<Record<number, VideoManagerUse>>
}

/** The verdict on an `Authorization` header: `bearer #n`, `unknown bearer`, `malformed` or `none`. */
export interface Verdict extends SandboxServer.Verdict {
  /** The username, or why the request is refused. */
  readonly access: Result.Result<string, Refusal>
  /** The token is live, and valid for another VideoManager than that of the path. */
  readonly wrongVideoManager: boolean
}

/** A request without a token in force. */
export const refused = (credential: string, expired = false): Verdict => ({
  credential,
  expired,
  access: Result.fail(wrongToken),
  wrongVideoManager: false
})

interface Held {
  readonly id: string
  account: Account
  failures: number
  locked: boolean
}

/** Makes the authority of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly accounts: ReadonlyArray<Account>
  readonly settings: () => Settings
  readonly serverTime: () => number
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { ledger, settings } = options
  const accounts = new Map<string, Held>()
  const counts = { wrongVideoManager: 0, loginsRefused: 0, loginsWhileLocked: 0, accountsLocked: 0 }
  const uses = new Map<number, { tokens: number; requests: number; wrongTokens: number }>()

  const useOf = (videoManager: number) => {
    const use = uses.get(videoManager) ?? { tokens: 0, requests: 0, wrongTokens: 0 }
    uses.set(videoManager, use)
    return use
  }

  const addAccount = (account: Account) => {
    ledger.conceal(account.username)
    ledger.conceal(account.password)
    const id = accounts.get(account.username)?.id ?? globalThis.crypto.randomUUID()
    accounts.set(account.username, { id, account, failures: 0, locked: false })
  }
  for (const account of options.accounts) addAccount(account)

  const kid = SandboxTokens.randomHex(16)
  const jwt = (typ: "Bearer" | "Refresh", issuedAt: number, expiresAt: number, claims: Json) => {
    // Whole seconds, as Keycloak writes them, on which movingimage stands.
    const iat = Math.floor(issuedAt / 1000)
    const lifetime = Math.floor((expiresAt - issuedAt) / 1000)
    const hasEnd = settings().tokenFormat === "jwt" && Number.isFinite(lifetime)
    return SandboxTokens.sign(
      { alg: "RS256", typ: "JWT", kid },
      { jti: SandboxTokens.randomHex(16), typ, iat, ...(hasEnd ? { exp: iat + lifetime } : {}), ...claims }
    )
  }

  const minting =
    (access: Json = {}, refresh: Json = {}): SandboxTokens.Mint =>
    ({ accessExpiresAt, issuedAt, refreshExpiresAt }) =>
      settings().tokenFormat === "opaque"
        ? Effect.sync(() => ({ access: SandboxTokens.randomHex(32), refresh: SandboxTokens.randomHex(32) }))
        : Effect.all({
            access: jwt("Bearer", issuedAt, accessExpiresAt, access),
            refresh: jwt("Refresh", issuedAt, refreshExpiresAt, refresh)
          })

  const tokens = SandboxTokens.make<Validity>({ ...options, mint: minting() })

  const bodyOf = ({ accessToken, owner, refreshToken, scope }: SandboxTokens.Issued<Validity>): TokenBody => {
    const videoManager = typeof scope === "number" ? scope : undefined
    if (videoManager !== undefined) useOf(videoManager).tokens++
    return {
      accessToken,
      ...(refreshToken === undefined ? {} : { refreshToken }),
      videoManagerList: (accounts.get(owner)?.account.videoManagers ?? []).map(({ id, name }) => ({ id, name })),
      validForVideoManager:
        videoManager === undefined
          ? null
          : settings().validForVideoManagerAs === "string"
            ? String(videoManager)
            : videoManager
    }
  }

  const objectionTo = (held: Held | undefined, password: string): Objection | undefined => {
    if (held === undefined) return "unknown"
    if (held.locked) return "locked"
    if (held.account.disabled === true) return "disabled"
    if (held.account.password !== password) return "wrong"
    return held.account.unfinished === true ? "unfinished" : undefined
  }

  /** Says why somebody may not log in; a wrong password counts towards the account's lock. */
  const admit = (username: string, password: string): Objection | undefined => {
    const held = accounts.get(username)
    const objection = objectionTo(held, password)
    if (held !== undefined && objection === undefined) held.failures = 0
    if (objection !== undefined) counts.loginsRefused++
    if (objection === "locked") counts.loginsWhileLocked++
    if (held !== undefined && objection === "wrong" && ++held.failures >= settings().lockAfter) {
      held.locked = true
      counts.accountsLocked++
    }
    return objection
  }

  const videoManagersOf = (username: string): ReadonlyArray<VideoManager> =>
    accounts.get(username)?.account.videoManagers ?? []

  /** `POST /v1/vms/auth/login`. An account that may not log in gets the same refusal as a wrong password. */
  const login = (username: string, password: string): Effect.Effect<TokenBody, Refusal> =>
    Effect.map(
      tokens.login((): Result.Result<SandboxTokens.Grant<Validity>, Refusal> =>
        admit(username, password) === undefined
          ? Result.succeed({ owner: username, scope: videoManagersOf(username)[0]?.id })
          : Result.fail(wrongCredentials)
      ),
      bodyOf
    )

  /** `POST /v1/vms/auth/refresh/{videoManagerId}`: a token for that VideoManager, whichever the session's last was for. */
  const refresh = (refreshToken: string, videoManager: number): Effect.Effect<TokenBody, Refusal> =>
    Effect.map(
      tokens.refresh<Refusal>(
        refreshToken,
        () => wrongToken,
        ({ owner, scope }) => {
          // Keycloak's are for its own token endpoint.
          if (typeof scope === "object") return Result.fail(wrongToken)
          return videoManagersOf(owner).some(({ id }) => id === videoManager)
            ? Result.succeed(videoManager)
            : Result.fail({ status: 403, message: `You have no access to VideoManager ${videoManager}.` })
        }
      ),
      bodyOf
    )

  /** Judges an `Authorization` header; without a VideoManager in the path, any token in force will do. */
  const verify = (authorization: string | undefined, videoManager: number | undefined): Verdict => {
    if (authorization === undefined) return refused("none")
    const parsed = authorizationOf(authorization)
    ledger.conceal(parsed?.value ?? authorization)
    if (parsed?.scheme !== "bearer") return refused("malformed")
    const token = tokens.find(parsed.value)
    if (token === undefined) return refused("unknown bearer")
    const { expired, label, live, owner, scope } = token
    const isSession = typeof scope === "object"
    if (!live || (isSession && scope.ended)) return refused(label, expired)
    const valid = isSession ? videoManagersOf(owner).some(({ id }) => id === videoManager) : videoManager === scope
    const wrongVideoManager = videoManager !== undefined && !valid
    return {
      credential: label,
      expired,
      access: wrongVideoManager
        ? Result.fail({
            status: settings().wrongVideoManagerStatus,
            message: `The access token is not valid for VideoManager ${videoManager}.`
          })
        : Result.succeed(owner),
      wrongVideoManager
    }
  }

  return {
    login,
    refresh,
    verify,
    admit,
    tokens,
    minting,
    kid,
    /** Id of the account with that name, which stays the same when its name or password changes; undefined: no such account. */
    idOf: (username: string): string | undefined => accounts.get(username)?.id,
    isDisabled: (username: string): boolean => accounts.get(username)?.account.disabled === true,
    noteExchange: (exchange: "login" | "refresh", body: Json | undefined) => {
      if (exchange === "refresh") {
        if (typeof body?.["refreshToken"] === "string") tokens.noteRefreshToken(body["refreshToken"])
        return
      }
      for (const secret of [body?.["username"], body?.["password"]]) {
        if (typeof secret === "string") ledger.conceal(secret)
      }
    },
    noteRequest: ({ access, wrongVideoManager }: Verdict, videoManager: number | undefined) => {
      if (videoManager === undefined) return
      if (Result.isSuccess(access)) useOf(videoManager).requests++
      if (!wrongVideoManager) return
      useOf(videoManager).wrongTokens++
      counts.wrongVideoManager++
    },
    videoManagersOf,
    report: (): Report => ({
      ...counts,
      videoManagers: Object.fromEntries([...uses].map(([id, use]) => [id, { ...use }]))
    }),
    addAccount,
    removeAccount: (username: string) => {
      accounts.delete(username)
      tokens.killRefreshTokens(username)
    },
    changePassword: (username: string, password: string) => {
      ledger.conceal(password)
      const held = accounts.get(username)
      if (held !== undefined) held.account = { ...held.account, password }
    },
    unlockAccount: (username: string) => {
      const held = accounts.get(username)
      if (held !== undefined) Object.assign(held, { failures: 0, locked: false })
    },
    killAccessTokens: tokens.killAccessTokens,
    killRefreshTokens: () => tokens.killRefreshTokens()
  }
}

/** What the sandbox knows of accounts, see `make`. */
export type Accounts = ReturnType<typeof make>
