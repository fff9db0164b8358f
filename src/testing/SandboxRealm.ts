/**
 * The realm of the sandboxed login service: its switches, its sessions, and the logins and devices in progress.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type * as SandboxAccounts from "./SandboxAccounts.ts"
import { authenticate, type Basic, type Client, invalidGrant, invalidRequest, type Refusal } from "./SandboxClients.ts"
import type * as SandboxLedger from "./SandboxLedger.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

/**
 * Lies that the server can tell, for a client to notice.
 *
 * - `link-insecure`, `link-foreign`, `link-missing`: webfinger leads to http, to a host of somebody else, nowhere.
 * - `configuration-issuer`: the configuration document names another issuer than the one it was found by.
 * - `redirect-issuer`, `redirect-state`: the redirect after a login comes from another issuer, or for another request.
 * - `id-token-issuer`, `id-token-audience`, `id-token-nonce`, `id-token-signature`: the ID token is another's.
 */
export type Lie =
  | "link-insecure"
  | "link-foreign"
  | "link-missing"
  | "configuration-issuer"
  | "redirect-issuer"
  | "redirect-state"
  | "id-token-issuer"
  | "id-token-audience"
  | "id-token-nonce"
  | "id-token-signature"

/** The switches of the login service. The lifetimes of tokens, rotation and reuse are those of all tokens. */
export interface Behaviour {
  /** Default `configuration`: the issuer link of webfinger is the configuration document, as documented; else the issuer. */
  readonly issuerLink: "configuration" | "issuer"
  /** `max-age` of webfinger and of the configuration document. Default 1 hour. */
  readonly discoveryLifetime: Duration.Input
  /** Default none. */
  readonly lies: ReadonlyArray<Lie>
  /** For a username that nobody has. Default 401, as for a wrong password; newer versions of Keycloak answer 400. */
  readonly unknownUserStatus: 400 | 401
  /** For a wrong client secret. Default `unauthorized_client`, as Keycloak says; RFC 6749 would have the other. */
  readonly wrongSecretError: "unauthorized_client" | "invalid_client"
  /**
   * A refresh spends the refresh token sent (Keycloak's "Revoke Refresh Token"). Default true, the worse case; else answers
   * carry a new one, and the old one goes on working.
   */
  readonly revokesRefreshToken: boolean
  /** Revoking a refresh token ends its session (default), or all of its user with that client, as older Keycloaks do. */
  readonly revocationEnds: "session" | "sessions-of-client"
  /** When a session ends, and with it its tokens, however often they are refreshed. Default 10 hours, Keycloak's own. */
  readonly sessionMax: Duration.Input
  /** Default 1 minute, Keycloak's own. */
  readonly codeLifetime: Duration.Input
  /** Default 10 minutes, Keycloak's own. */
  readonly deviceCodeLifetime: Duration.Input
  /** How long a device has to wait between two questions. Default 5 seconds, Keycloak's own. */
  readonly devicePollingInterval: Duration.Input
}

/** The switches with every duration in milliseconds. */
export type Settings = {
  readonly [K in keyof Behaviour]: Duration.Input extends Behaviour[K] ? number : Behaviour[K]
}

/** The switches that are set, and Keycloak's defaults for the others. */
export const resolve = (given: Partial<Behaviour>): Settings => {
  const millis = (input: Duration.Input) => Duration.toMillis(Duration.fromInputUnsafe(input))
  return {
    issuerLink: given.issuerLink ?? "configuration",
    discoveryLifetime: millis(given.discoveryLifetime ?? "1 hour"),
    lies: given.lies ?? [],
    unknownUserStatus: given.unknownUserStatus ?? 401,
    wrongSecretError: given.wrongSecretError ?? "unauthorized_client",
    revokesRefreshToken: given.revokesRefreshToken ?? true,
    revocationEnds: given.revocationEnds ?? "session",
    sessionMax: millis(given.sessionMax ?? "10 hours"),
    codeLifetime: millis(given.codeLifetime ?? "1 minute"),
    deviceCodeLifetime: millis(given.deviceCodeLifetime ?? "10 minutes"),
    devicePollingInterval: millis(given.devicePollingInterval ?? "5 seconds")
  }
}

/** What the ledger records about sessions. */
export interface Report {
  /** Tokens revoked, by RFC 7009. */
  readonly revocations: number
  /** Sessions ended by a logout or a revocation. */
  readonly sessionsEnded: number
}

/** A login in progress, at the authorization endpoint or with a device's code. */
export interface Errand {
  readonly client: Client
  readonly expiresAt: number
  readonly scope: string
  readonly nonce?: string | undefined
  /** Where the code goes, or the device that waits. */
  readonly goal: Redirect | Device
}

/** How a login leads back. */
export interface Redirect {
  readonly _tag: "Redirect"
  readonly uri: string
  readonly state: string | undefined
  readonly responseMode: "query" | "fragment"
  /** PKCE's, by S256. */
  readonly challenge: string | undefined
}

/** A device that asked for a code. */
export interface Device {
  readonly _tag: "Device"
  readonly client: Client
  readonly scope: string
  readonly deviceCode: string
  readonly userCode: string
  readonly expiresAt: number
  /** When it may ask again. */
  nextPoll: number
  outcome: "pending" | "denied" | "redeemed" | SandboxAccounts.Session
}

/** What a page leads to. */
export type SignedIn =
  | { readonly _tag: "Redirect"; readonly to: Redirect; readonly params: Readonly<Record<string, string>> }
  | { readonly _tag: "Device"; readonly approved: boolean }
  | { readonly _tag: "Refused"; readonly objection: SandboxAccounts.Objection }

/** What a login page gave to an application. */
export interface Code {
  readonly session: SandboxAccounts.Session
  readonly redirect: Redirect
  readonly expiresAt: number
  used: boolean
}

// Keycloak gives its default scopes whether or not they are asked for.
const defaultScopes = ["profile", "email"]
/** The scopes that there are. */
export const scopes: ReadonlyArray<string> = ["openid", ...defaultScopes]

// Keycloak's "Login timeout".
const errandLifetime = 30 * 60 * 1000

/** Makes the realm of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly issuer: string
  readonly clients: ReadonlyArray<Client>
  readonly accounts: SandboxAccounts.Accounts
  readonly settings: () => Settings
  readonly serverTime: () => number
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { accounts, issuer, ledger, serverTime, settings } = options
  const { tokens } = accounts
  const clients = new Map<string, Client>()
  const errands = new Map<string, Errand>()
  const codes = new Map<string, Code>()
  const devices = new Map<string, Device>()
  const sessions = new Set<SandboxAccounts.Session>()
  const counts = { revocations: 0, sessionsEnded: 0 }

  const serviceAccountOf = ({ id }: Client) => `service-account-${id}`

  const addClient = (client: Client) => {
    clients.set(client.id, client)
    if (client.secret !== undefined) ledger.conceal(client.secret)
    if (client.grants.includes("client_credentials")) {
      const [username, password] = [serviceAccountOf(client), SandboxTokens.randomHex(32)]
      accounts.addAccount({ username, password, videoManagers: client.videoManagers ?? [] })
    }
  }
  for (const client of options.clients) addClient(client)

  const isLie = (lie: Lie) => settings().lies.includes(lie)

  const secret = (bytes: number): string => {
    const value = SandboxTokens.randomHex(bytes)
    ledger.conceal(value)
    return value
  }

  /** The scopes granted for those asked for; a scope that there is not is refused. */
  const scopeOf = (asked: string | null | undefined): Result.Result<string, Refusal> => {
    const names = (asked ?? "").split(" ").filter((name) => name !== "")
    return names.every((name) => scopes.includes(name))
      ? Result.succeed([...new Set([...names.filter((name) => name === "openid"), ...defaultScopes])].join(" "))
      : Result.fail({ status: 400, error: "invalid_scope", description: `Invalid scopes: ${names.join(" ")}` })
  }

  const begin = (username: string, client: Client, scope: string, nonce?: string): SandboxAccounts.Session => {
    const id = globalThis.crypto.randomUUID()
    return { id, username, clientId: client.id, scope, nonce, startedAt: serverTime(), ended: false }
  }

  const end = (session: SandboxAccounts.Session) => {
    if (session.ended) return
    session.ended = true
    sessions.delete(session)
    counts.sessionsEnded++
  }

  const waits = ({ expiresAt, outcome }: Device) => outcome === "pending" && serverTime() < expiresAt

  return {
    addClient,
    client: (id: string): Client | undefined => clients.get(id),
    clientOf: (form: URLSearchParams, basic: Basic | undefined): Result.Result<Client, Refusal> =>
      authenticate(clients, form, basic, settings().wrongSecretError),
    serviceAccountOf,
    isLie,
    scopeOf,

    /** A session that nobody can find before `hold`. */
    begin,
    hold: (session: SandboxAccounts.Session) => {
      sessions.add(session)
    },
    end,
    code: (code: string): Code | undefined => codes.get(code),
    device: (deviceCode: string): Device | undefined => devices.get(deviceCode),

    /** RFC 7009: undefined unless the token is another client's. */
    revoke: (client: Client, token: string): Refusal | undefined => {
      const login = tokens.loginOf(token) ?? tokens.find(token)
      if (login === undefined || typeof login.scope !== "object") return undefined
      const session = login.scope
      if (session.clientId !== client.id) return invalidRequest("Unmatching clients")
      counts.revocations++
      if (tokens.loginOf(token) === undefined) tokens.killAccessToken(token)
      else if (settings().revocationEnds === "session") end(session)
      else {
        for (const other of sessions) {
          if (other.username === session.username && other.clientId === client.id) end(other)
        }
      }
      return undefined
    },

    /** Ends the session of a refresh token; undefined unless that is refused. */
    logout: (client: Client, refreshToken: string): Refusal | undefined => {
      const session = tokens.loginOf(refreshToken)?.scope
      if (typeof session !== "object" || session.clientId !== client.id) return invalidGrant("Invalid refresh token")
      end(session)
      return undefined
    },

    /** Ends the session of that id, and gives its client. */
    endSession: (id: string): Client | undefined => {
      const session = [...sessions].find((session) => session.id === id)
      if (session === undefined) return undefined
      end(session)
      return clients.get(session.clientId)
    },

    /** Asks somebody to log in; gives the secret that finds the errand again. */
    ask: (errand: Omit<Errand, "expiresAt">): string => {
      const id = secret(16)
      errands.set(id, { ...errand, expiresAt: serverTime() + errandLifetime })
      return id
    },

    /** Undefined: done, forgotten, or never asked for. */
    errand: (id: string): Errand | undefined => {
      const errand = errands.get(id)
      if (errand === undefined || serverTime() >= errand.expiresAt) return undefined
      // Somebody else may have answered the device meanwhile.
      return errand.goal._tag === "Redirect" || waits(errand.goal) ? errand : undefined
    },

    /** Somebody entered this, or went away (undefined). */
    signIn: (
      id: string,
      { client, goal, nonce, scope }: Errand,
      entered: { readonly username: string; readonly password: string } | undefined
    ): SignedIn => {
      const objection = entered === undefined ? undefined : accounts.admit(entered.username, entered.password)
      if (objection !== undefined) return { _tag: "Refused", objection }
      errands.delete(id)
      const session = entered === undefined ? undefined : begin(entered.username, client, scope, nonce)
      if (session !== undefined) sessions.add(session)
      if (goal._tag === "Device") {
        goal.outcome = session ?? "denied"
        return { _tag: "Device", approved: session !== undefined }
      }
      if (session === undefined) return { _tag: "Redirect", to: goal, params: { error: "access_denied" } }
      const code = `${secret(16)}.${session.id}.${client.id}`
      ledger.conceal(code)
      codes.set(code, { session, redirect: goal, expiresAt: serverTime() + settings().codeLifetime, used: false })
      return { _tag: "Redirect", to: goal, params: { session_state: session.id, code } }
    },

    /** Where a login leads back to. */
    locationOf: ({ responseMode, state, uri }: Redirect, params: Readonly<Record<string, string>>): string => {
      const answer = new URLSearchParams({
        ...(state === undefined ? {} : { state: isLie("redirect-state") ? secret(16) : state }),
        ...params,
        iss: isLie("redirect-issuer") ? `${issuer}-other` : issuer
      })
      const url = new URL(uri)
      if (responseMode === "fragment") url.hash = answer.toString()
      else for (const [name, value] of answer) url.searchParams.append(name, value)
      return url.href
    },

    /** RFC 8628, section 3.2. */
    addDevice: (client: Client, scope: string): Device => {
      const letters = "BCDFGHJKLMNPQRSTVWXZ"
      const random = globalThis.crypto.getRandomValues(new Uint8Array(8))
      const word = [...random].map((byte) => letters.charAt(byte % letters.length)).join("")
      const device: Device = {
        _tag: "Device",
        client,
        scope,
        deviceCode: secret(32),
        userCode: `${word.slice(0, 4)}-${word.slice(4)}`,
        expiresAt: serverTime() + settings().deviceCodeLifetime,
        nextPoll: 0,
        outcome: "pending"
      }
      ledger.conceal(device.userCode)
      devices.set(device.deviceCode, device)
      return device
    },

    /** The device that waits for somebody with that code, however it is typed. */
    deviceOf: (userCode: string): Device | undefined => {
      const plain = (code: string) => code.toUpperCase().replace(/[^A-Z]/g, "")
      return [...devices.values()].find((device) => waits(device) && plain(device.userCode) === plain(userCode))
    },

    report: (): Report => ({ ...counts })
  }
}

/** What the sandbox knows of clients and logins, see `make`. */
export type Realm = ReturnType<typeof make>
