/**
 * The realm of the sandboxed login service: clients, sessions, codes and devices, and what each grant brings. Words and
 * statuses of refusals are Keycloak's (its sources, `protocol/oidc/grants`), which movingimage runs.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import type * as SandboxAccounts from "./SandboxAccounts.ts"
import * as SandboxLedger from "./SandboxLedger.ts"
import type { Json } from "./SandboxRequest.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

/** How a client may get its first token; refreshing is open to all that were given a refresh token. */
export type Grant = "password" | "authorization_code" | "client_credentials" | "device_code"

/** An application that the login service knows. */
export interface Client {
  readonly id: string
  /** A confidential client's; without one it is public. */
  readonly secret?: string | undefined
  readonly grants: ReadonlyArray<Grant>
  /** Where a login may lead back to, `*` at the end for any continuation; on loopback any port will do (RFC 8252). */
  readonly redirectUris?: ReadonlyArray<string> | undefined
  /** A login without PKCE is refused. Default false. */
  readonly requiresPkce?: boolean | undefined
  /** What the client itself may see, by the grant `client_credentials`. Default none. */
  readonly videoManagers?: ReadonlyArray<SandboxAccounts.VideoManager> | undefined
}

/**
 * What the server can be made to say that is not so, for a client to notice.
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

/** One request to the token endpoint as it was answered, whether or not the answer arrived. */
export interface GrantEntry {
  /** Epoch milliseconds on the Clock of the layer. */
  readonly at: number
  /** As sent: `password`, `refresh_token`, `urn:ietf:params:oauth:grant-type:device_code`; `other` if none is known. */
  readonly grant: string
  /** The client's id; undefined if there is none of that name. */
  readonly client: string | undefined
  /** How the ledger calls the refresh token sent. */
  readonly refreshToken: string | undefined
  readonly status: number
  /** The OAuth error. */
  readonly error: string | undefined
}

/** What the ledger says of the login service. */
export interface Report {
  /** The token endpoint's answers, the latest `SandboxLedger.entryLimit`. */
  readonly grants: ReadonlyArray<GrantEntry>
  /** Tokens revoked, by RFC 7009. */
  readonly revocations: number
  /** Sessions ended by a logout or a revocation. */
  readonly sessionsEnded: number
}

/** An OAuth error. */
export interface Refusal {
  readonly status: number
  readonly error: string
  readonly description: string
  /** The answer asks for HTTP Basic. */
  readonly challenge?: boolean | undefined
}

/** The token endpoint's answer (RFC 6749, section 5.1; movingimage documentation, "Anonymous Users"). */
export interface TokenBody {
  readonly access_token: string
  readonly expires_in: number
  /** 0 where there is no refresh token, or one without an end. */
  readonly refresh_expires_in: number
  readonly refresh_token?: string
  /** In lower case, as documented. */
  readonly token_type: "bearer"
  readonly id_token?: string
  readonly "not-before-policy": 0
  readonly session_state: string
  readonly scope: string
}

/** A login that somebody was asked for, at the authorization endpoint or with a device's code. */
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

/** What a client says of itself by HTTP Basic. */
export interface Basic {
  readonly id: string
  readonly secret: string
}

interface Code {
  readonly session: SandboxAccounts.Session
  readonly redirect: Redirect
  readonly expiresAt: number
  used: boolean
}

/** The grant of RFC 8628. */
export const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Keycloak gives its default scopes whether or not they are asked for.
const defaultScopes = ["profile", "email"]
/** The scopes that there are. */
export const scopes: ReadonlyArray<string> = ["openid", ...defaultScopes]

// Keycloak's "Login timeout".
const errandLifetime = 30 * 60 * 1000

const invalidGrant = (description: string, status = 400): Refusal => ({ status, error: "invalid_grant", description })
const invalidRequest = (description: string): Refusal => ({ status: 400, error: "invalid_request", description })
const wrongClient = (error: string, challenge = false): Refusal => ({
  status: 401,
  error,
  description: "Invalid client or Invalid client credentials",
  challenge
})

const refreshRefusals: Record<SandboxTokens.RefreshRefusal, Refusal> = {
  unknown: invalidGrant("Invalid refresh token"),
  expired: invalidGrant("Token is not active"),
  closed: invalidGrant("Session not active"),
  used: invalidGrant("Maximum allowed refresh token reuse exceeded")
}

const loopback = new Set(["127.0.0.1", "[::1]", "localhost"])

// The port of a program on the user's own machine is whichever is free (RFC 8252, section 7.3).
const portless = (uri: string): string => {
  const url = URL.parse(uri)
  if (url === null || !loopback.has(url.hostname)) return uri
  url.port = ""
  return url.href
}

/** Whether a login of that client may lead to that URI. */
export const allowsRedirect = (client: Client, uri: string): boolean => {
  const url = URL.parse(uri)
  if (url === null || url.hash !== "") return false
  return (client.redirectUris ?? []).some((pattern) =>
    pattern.endsWith("*")
      ? portless(uri).startsWith(portless(pattern.slice(0, -1)))
      : portless(uri) === portless(pattern)
  )
}

/** Whether pages of that origin may read what that client gets: Keycloak's web origin `+`. Public clients only. */
export const allowsOrigin = (client: Client, origin: string): boolean =>
  client.secret === undefined &&
  (client.redirectUris ?? []).some((pattern) => {
    const allowed = URL.parse(portless(pattern.replace(/\*$/, "")))
    return allowed !== null && allowed.origin === URL.parse(portless(origin))?.origin
  })

const sha256 = (text: string) =>
  Effect.promise(
    async () => new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))
  )

/** Makes the realm of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly issuer: string
  readonly clients: ReadonlyArray<Client>
  readonly accounts: SandboxAccounts.Accounts
  readonly settings: () => Settings
  readonly now: () => number
  readonly serverTime: () => number
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { accounts, issuer, ledger, now, serverTime, settings } = options
  const { tokens } = accounts
  const clients = new Map<string, Client>()
  const errands = new Map<string, Errand>()
  const codes = new Map<string, Code>()
  const devices = new Map<string, Device>()
  const sessions = new Set<SandboxAccounts.Session>()
  const counts = { revocations: 0, sessionsEnded: 0 }
  let grants: Array<GrantEntry> = []

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

  const termsOf = (session: SandboxAccounts.Session): SandboxTokens.Terms => {
    const claims = {
      iss: issuer,
      sub: accounts.idOf(session.username),
      azp: session.clientId,
      session_state: session.id,
      sid: session.id,
      scope: session.scope
    }
    return {
      mint: accounts.minting(
        { ...claims, aud: "account", acr: "1", preferred_username: session.username },
        { ...claims, aud: issuer }
      ),
      endsAt: session.startedAt + settings().sessionMax
    }
  }

  const idToken = Effect.fnUntraced(function* (
    session: SandboxAccounts.Session,
    accessToken: string,
    lifetime: number,
    nonce: string | undefined
  ) {
    const iat = Math.floor(serverTime() / 1000)
    const signed = yield* SandboxTokens.sign(
      { alg: "RS256", typ: "JWT", kid: accounts.kid },
      {
        exp: iat + lifetime,
        iat,
        auth_time: Math.floor(session.startedAt / 1000),
        jti: globalThis.crypto.randomUUID(),
        iss: isLie("id-token-issuer") ? `${issuer}-other` : issuer,
        aud: isLie("id-token-audience") ? "another-client" : session.clientId,
        sub: accounts.idOf(session.username),
        typ: "ID",
        azp: session.clientId,
        ...(nonce === undefined ? {} : { nonce: isLie("id-token-nonce") ? secret(16) : nonce }),
        session_state: session.id,
        at_hash: Base64Url.encode((yield* sha256(accessToken)).slice(0, 16)),
        acr: "1",
        sid: session.id,
        email_verified: false,
        preferred_username: session.username
      }
    )
    ledger.conceal(signed)
    // The signature of something else.
    return isLie("id-token-signature")
      ? signed.replace(/\.[^.]+$/, `.${Base64Url.encode(new Uint8Array(256))}`)
      : signed
  })

  const bodyOf = Effect.fnUntraced(function* (
    session: SandboxAccounts.Session,
    { accessToken, lifetime, refreshLifetime, refreshToken }: SandboxTokens.Issued<SandboxAccounts.Validity>,
    nonce?: string
  ) {
    const expiresIn = Math.floor(lifetime / 1000)
    const body: TokenBody = {
      access_token: accessToken,
      expires_in: expiresIn,
      refresh_expires_in: Number.isFinite(refreshLifetime) ? Math.floor(refreshLifetime / 1000) : 0,
      ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
      token_type: "bearer",
      ...(session.scope.split(" ").includes("openid")
        ? { id_token: yield* idToken(session, accessToken, expiresIn, nonce) }
        : {}),
      "not-before-policy": 0,
      session_state: session.id,
      scope: session.scope
    }
    return body
  })

  /** The tokens of a session that begins, if `decide` still has nothing against it. */
  const issue = (
    session: SandboxAccounts.Session,
    decide: () => Refusal | undefined,
    terms: SandboxTokens.Terms = {}
  ): Effect.Effect<TokenBody, Refusal> =>
    tokens
      .login(
        (): Result.Result<SandboxTokens.Grant<SandboxAccounts.Validity>, Refusal> => {
          const refusal = decide()
          if (refusal !== undefined) return Result.fail(refusal)
          sessions.add(session)
          return Result.succeed({ owner: session.username, scope: session })
        },
        { ...termsOf(session), ...terms }
      )
      .pipe(Effect.flatMap((issued) => bodyOf(session, issued, session.nonce)))

  const passwordRefusal = (objection: SandboxAccounts.Objection | undefined): Refusal | undefined => {
    switch (objection) {
      case undefined:
        return undefined
      case "disabled":
        return invalidGrant("Account disabled")
      case "unfinished":
        return invalidGrant("Account is not fully set up")
      case "locked":
        return invalidGrant("Invalid user credentials")
      case "unknown":
        return invalidGrant("Invalid user credentials", settings().unknownUserStatus)
      case "wrong":
        return invalidGrant("Invalid user credentials", 401)
    }
  }

  type Exchange = (client: Client, form: URLSearchParams) => Effect.Effect<TokenBody, Refusal>

  const byPassword: Exchange = (client, form) =>
    Effect.gen(function* () {
      if (!client.grants.includes("password")) {
        const description = "Client not allowed for direct access grants"
        return yield* Effect.fail({ status: 400, error: "unauthorized_client", description })
      }
      const username = form.get("username")
      if (username === null) {
        return yield* Effect.fail({ ...invalidRequest("Missing parameter: username"), status: 401 })
      }
      const scope = yield* Effect.fromResult(scopeOf(form.get("scope")))
      return yield* issue(begin(username, client, scope), () =>
        passwordRefusal(accounts.admit(username, form.get("password") ?? ""))
      )
    })

  const byRefreshToken: Exchange = (client, form) =>
    Effect.gen(function* () {
      const token = form.get("refresh_token")
      if (token === null) return yield* Effect.fail(invalidRequest("No refresh token"))
      const session = tokens.loginOf(token)?.scope
      if (typeof session !== "object") return yield* Effect.fail(refreshRefusals.unknown)
      if (session.clientId !== client.id) {
        const why = "Invalid refresh token. Token client and authorized client don't match"
        return yield* Effect.fail(invalidGrant(why))
      }
      const refusal = () =>
        session.ended
          ? refreshRefusals.closed
          : accounts.isDisabled(session.username)
            ? invalidGrant("User disabled")
            : undefined
      const early = refusal()
      if (early !== undefined) return yield* Effect.fail(early)
      const issued = yield* tokens.refresh<Refusal>(
        token,
        (why) => refreshRefusals[why],
        () => {
          const refused = refusal()
          return refused === undefined ? Result.succeed(session) : Result.fail(refused)
        },
        { ...termsOf(session), refreshToken: settings().revokesRefreshToken ? undefined : "unspent" }
      )
      return yield* bodyOf(session, issued)
    })

  const byCode: Exchange = (client, form) =>
    Effect.gen(function* () {
      const text = form.get("code")
      if (text === null) return yield* Effect.fail(invalidRequest("Missing parameter: code"))
      const code = codes.get(text)
      if (code === undefined) return yield* Effect.fail(invalidGrant("Code not valid"))
      const { redirect, session } = code
      if (code.used) {
        // Somebody else may have it: what it brought is taken back.
        end(session)
        return yield* Effect.fail(invalidGrant("Code not valid"))
      }
      // One attempt, whatever comes of it.
      code.used = true
      if (serverTime() >= code.expiresAt) return yield* Effect.fail(invalidGrant("Code is expired"))
      if (form.get("redirect_uri") !== redirect.uri) return yield* Effect.fail(invalidGrant("Incorrect redirect_uri"))
      if (client.id !== session.clientId) {
        return yield* Effect.fail(invalidGrant("Auth error: Found different client_id in clientSession"))
      }
      const verifier = form.get("code_verifier")
      if (redirect.challenge === undefined) {
        if (verifier !== null) return yield* Effect.fail(invalidGrant("PKCE verification failed: Code mismatch"))
      } else {
        if (verifier === null) return yield* Effect.fail(invalidGrant("PKCE code verifier not specified"))
        if (!/^[\w.~-]{43,128}$/.test(verifier)) {
          return yield* Effect.fail(invalidGrant("PKCE verification failed: Invalid code verifier"))
        }
        if (Base64Url.encode(yield* sha256(verifier)) !== redirect.challenge) {
          return yield* Effect.fail(invalidGrant("PKCE verification failed: Code mismatch"))
        }
      }
      return yield* issue(session, () => (session.ended ? invalidGrant("Session not active") : undefined))
    })

  const byClientCredentials: Exchange = (client, form) =>
    Effect.gen(function* () {
      const refuse = (description: string) => Effect.fail({ status: 401, error: "unauthorized_client", description })
      if (client.secret === undefined) {
        return yield* refuse("Public client not allowed to retrieve service account")
      }
      if (!client.grants.includes("client_credentials")) {
        return yield* refuse("Client not enabled to retrieve service account")
      }
      const scope = yield* Effect.fromResult(scopeOf(form.get("scope")))
      // The client can ask again: Keycloak gives it nothing to refresh.
      return yield* issue(begin(serviceAccountOf(client), client, scope), () => undefined, { refreshToken: "none" })
    })

  const byDeviceCode: Exchange = (client, form) =>
    Effect.gen(function* () {
      if (!client.grants.includes("device_code")) {
        return yield* Effect.fail(invalidGrant("Client not allowed OAuth 2.0 Device Authorization Grant"))
      }
      const text = form.get("device_code")
      if (text === null) return yield* Effect.fail(invalidRequest("Missing parameter: device_code"))
      const device = devices.get(text)
      if (device === undefined || device.client.id !== client.id || device.outcome === "redeemed") {
        return yield* Effect.fail(invalidGrant("Device code not valid"))
      }
      const refuse = (error: string, description: string) => Effect.fail({ status: 400, error, description })
      if (serverTime() >= device.expiresAt) return yield* refuse("expired_token", "Device code is expired")
      if (serverTime() < device.nextPoll) return yield* refuse("slow_down", "Slow down")
      device.nextPoll = serverTime() + settings().devicePollingInterval
      const { outcome } = device
      if (outcome === "denied") return yield* refuse("access_denied", "The end user denied the authorization request")
      if (outcome === "pending") {
        return yield* refuse("authorization_pending", "The authorization request is still pending")
      }
      device.outcome = "redeemed"
      return yield* issue(outcome, () => (outcome.ended ? invalidGrant("Session not active") : undefined))
    })

  const exchanges = new Map<string | null, Exchange>([
    ["password", byPassword],
    ["refresh_token", byRefreshToken],
    ["authorization_code", byCode],
    ["client_credentials", byClientCredentials],
    [deviceGrant, byDeviceCode]
  ])

  const clientOf = (form: URLSearchParams, basic: Basic | undefined): Result.Result<Client, Refusal> => {
    const id = form.get("client_id") ?? basic?.id
    if (id === undefined) {
      return Result.fail({ status: 400, error: "invalid_client", description: "Missing client_id parameter" })
    }
    const client = clients.get(id)
    if (client === undefined) return Result.fail(wrongClient("invalid_client", basic !== undefined))
    const given = form.get("client_secret") ?? basic?.secret
    if (client.secret === undefined || client.secret === given) return Result.succeed(client)
    const error = settings().wrongSecretError
    return Result.fail(wrongClient(error, error === "invalid_client" && basic !== undefined))
  }

  const redeem = (form: URLSearchParams, basic: Basic | undefined): Effect.Effect<TokenBody, Refusal> => {
    const grant = form.get("grant_type")
    if (grant === null) return Effect.fail(invalidRequest("Missing form parameter: grant_type"))
    const exchange = exchanges.get(grant)
    if (exchange === undefined) {
      return Effect.fail({ status: 400, error: "unsupported_grant_type", description: "Unsupported grant_type" })
    }
    return Effect.flatMap(Effect.fromResult(clientOf(form, basic)), (client) =>
      [...form.keys()].length > new Set(form.keys()).size
        ? Effect.fail(invalidRequest("duplicated parameter"))
        : exchange(client, form)
    )
  }

  const note = (form: URLSearchParams, basic: Basic | undefined, status: number, error?: string) => {
    const grant = form.get("grant_type")
    grants.push({
      at: now(),
      grant: grant !== null && exchanges.has(grant) ? grant : "other",
      client: clients.get(form.get("client_id") ?? basic?.id ?? "")?.id,
      refreshToken: tokens.labelOf(form.get("refresh_token") ?? ""),
      status,
      error
    })
    if (grants.length > SandboxLedger.entryLimit + 1_000) grants = grants.slice(-SandboxLedger.entryLimit)
  }

  return {
    addClient,
    client: (id: string): Client | undefined => clients.get(id),
    clients: (): ReadonlyArray<Client> => [...clients.values()],
    isLie,
    scopeOf,

    /** The client that a request says it is, with its secret in the form or by HTTP Basic. */
    clientOf,

    /** The token endpoint. */
    token: (form: URLSearchParams, basic: Basic | undefined): Effect.Effect<TokenBody, Refusal> =>
      redeem(form, basic).pipe(
        Effect.tap(() => Effect.sync(() => note(form, basic, 200))),
        Effect.tapError(({ error, status }) => Effect.sync(() => note(form, basic, status, error)))
      ),

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
      if (typeof session !== "object" || session.clientId !== client.id) return refreshRefusals.unknown
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
      return errand !== undefined && serverTime() < errand.expiresAt ? errand : undefined
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
      return [...devices.values()].find(
        ({ expiresAt, outcome, userCode: code }) =>
          outcome === "pending" && serverTime() < expiresAt && plain(code) === plain(userCode)
      )
    },

    /** Notes what a request to the token endpoint brought, whatever becomes of it. */
    noteExchange: (body: Json | undefined) => {
      const secrets = ["username", "password", "client_secret", "code", "code_verifier", "device_code"]
      for (const name of secrets) {
        const value = body?.[name]
        if (typeof value === "string") ledger.conceal(value)
      }
      const refreshToken = body?.["refresh_token"]
      if (typeof refreshToken === "string") tokens.noteRefreshToken(refreshToken)
    },

    report: (): Report => ({ grants: grants.slice(-SandboxLedger.entryLimit), ...counts })
  }
}

/** What the sandbox knows of clients and logins, see `make`. */
export type Realm = ReturnType<typeof make>
