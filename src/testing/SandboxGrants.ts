/**
 * The token endpoint of the sandboxed login service: what each grant takes and brings. Words and statuses of refusals are
 * Keycloak's (its sources, `protocol/oidc/grants`), also where they contradict RFC 6749.
 */
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import type * as SandboxAccounts from "./SandboxAccounts.ts"
import { type Basic, type Client, invalidGrant, invalidRequest, type Refusal } from "./SandboxClients.ts"
import * as SandboxLedger from "./SandboxLedger.ts"
import type * as SandboxRealm from "./SandboxRealm.ts"
import type { Json } from "./SandboxRequest.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

/** One request to the token endpoint with its response, whether or not the response arrived. */
export interface GrantEntry {
  /** Epoch milliseconds on the Clock of the layer. */
  readonly at: number
  /** As sent: `password`, `refresh_token`, `urn:ietf:params:oauth:grant-type:device_code`; `other` if none is known. */
  readonly grant: string
  /** The client's id; undefined if no client has it. */
  readonly client: string | undefined
  /** How the ledger calls the refresh token sent. */
  readonly refreshToken: string | undefined
  readonly status: number
  /** The OAuth error. */
  readonly error: string | undefined
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

/** The grant of RFC 8628. */
export const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

const refreshRefusals: Record<SandboxTokens.RefreshRefusal, Refusal> = {
  unknown: invalidGrant("Invalid refresh token"),
  expired: invalidGrant("Token is not active"),
  closed: invalidGrant("Session not active"),
  used: invalidGrant("Maximum allowed refresh token reuse exceeded")
}

const sha256 = (text: string) =>
  Effect.promise(
    async () => new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))
  )

/** Makes the token endpoint of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly issuer: string
  readonly realm: SandboxRealm.Realm
  readonly accounts: SandboxAccounts.Accounts
  readonly settings: () => SandboxRealm.Settings
  readonly now: () => number
  readonly serverTime: () => number
  readonly ledger: SandboxLedger.Recorder
}) => {
  const { accounts, issuer, ledger, now, realm, serverTime, settings } = options
  const { tokens } = accounts
  let entries: Array<GrantEntry> = []

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
        iss: realm.isLie("id-token-issuer") ? `${issuer}-other` : issuer,
        aud: realm.isLie("id-token-audience") ? "another-client" : session.clientId,
        sub: accounts.idOf(session.username),
        typ: "ID",
        azp: session.clientId,
        ...(nonce === undefined ? {} : { nonce: realm.isLie("id-token-nonce") ? SandboxTokens.randomHex(16) : nonce }),
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
    return realm.isLie("id-token-signature")
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
          realm.hold(session)
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
      const scope = yield* Effect.fromResult(realm.scopeOf(form.get("scope")))
      return yield* issue(realm.begin(username, client, scope), () =>
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
      const code = realm.code(text)
      if (code === undefined) return yield* Effect.fail(invalidGrant("Code not valid"))
      const { redirect, session } = code
      if (code.used) {
        // Somebody else may have it: what it brought is taken back.
        realm.end(session)
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
      const scope = yield* Effect.fromResult(realm.scopeOf(form.get("scope")))
      // The client can ask again: Keycloak gives it nothing to refresh.
      return yield* issue(realm.begin(realm.serviceAccountOf(client), client, scope), () => undefined, {
        refreshToken: "none"
      })
    })

  const byDeviceCode: Exchange = (client, form) =>
    Effect.gen(function* () {
      if (!client.grants.includes("device_code")) {
        return yield* Effect.fail(invalidGrant("Client not allowed OAuth 2.0 Device Authorization Grant"))
      }
      const text = form.get("device_code")
      if (text === null) return yield* Effect.fail(invalidRequest("Missing parameter: device_code"))
      const device = realm.device(text)
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

  const redeem = (form: URLSearchParams, basic: Basic | undefined): Effect.Effect<TokenBody, Refusal> => {
    const grant = form.get("grant_type")
    if (grant === null) return Effect.fail(invalidRequest("Missing form parameter: grant_type"))
    const exchange = exchanges.get(grant)
    if (exchange === undefined) {
      return Effect.fail({ status: 400, error: "unsupported_grant_type", description: "Unsupported grant_type" })
    }
    return Effect.flatMap(Effect.fromResult(realm.clientOf(form, basic)), (client) =>
      [...form.keys()].length > new Set(form.keys()).size
        ? Effect.fail(invalidRequest("duplicated parameter"))
        : exchange(client, form)
    )
  }

  const note = (form: URLSearchParams, basic: Basic | undefined, status: number, error?: string) => {
    const grant = form.get("grant_type")
    entries.push({
      at: now(),
      grant: grant !== null && exchanges.has(grant) ? grant : "other",
      client: realm.client(form.get("client_id") ?? basic?.id ?? "")?.id,
      refreshToken: tokens.labelOf(form.get("refresh_token") ?? ""),
      status,
      error
    })
    if (entries.length > SandboxLedger.entryLimit + 1_000) entries = entries.slice(-SandboxLedger.entryLimit)
  }

  return {
    /** The token endpoint. */
    token: (form: URLSearchParams, basic: Basic | undefined): Effect.Effect<TokenBody, Refusal> =>
      redeem(form, basic).pipe(
        Effect.tap(() => Effect.sync(() => note(form, basic, 200))),
        Effect.tapError(({ error, status }) => Effect.sync(() => note(form, basic, status, error)))
      ),

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

    /** The latest responses, at most `SandboxLedger.entryLimit`. */
    entries: (): ReadonlyArray<GrantEntry> => entries.slice(-SandboxLedger.entryLimit)
  }
}

/** The token endpoint, see `make`. */
export type Grants = ReturnType<typeof make>
