/**
 * A certified OpenID Connect server on loopback: oidc-provider, with what a client may meet turned on, its records open to
 * the test, and somebody at a browser who signs in on its pages.
 *
 * Its time is the real one; `expire…` is how a test gets past the end of something.
 */
import { Duration, Effect, type Scope } from "effect"
import * as oauth from "oauth4webapi"
import { type Configuration, type Context, errors, Provider, type ResourceServerInfo } from "oidc-provider"
import { listen } from "./listen.ts"
import * as Adapter from "./oidc/adapter.ts"
import * as AssertionGrants from "./oidc/assertionGrants.ts"
import * as Browser from "./oidc/browser.ts"
import * as Ledger from "./oidc/ledger.ts"
import * as PasswordGrant from "./oidc/passwordGrant.ts"

export { BrowserError, Cookies, type Visitor } from "./oidc/browser.ts"
export { type Entry, hash, type Ledger, type TokenRequest } from "./oidc/ledger.ts"

/** How the server behaves. */
export interface Options {
  /** Default 10 minutes. Whole seconds, as all lifetimes here. */
  readonly accessTokenLifetime?: Duration.Input | undefined
  /** Default 1 hour. */
  readonly refreshTokenLifetime?: Duration.Input | undefined
  /** Default 5 minutes. */
  readonly deviceCodeLifetime?: Duration.Input | undefined
  /** A refresh spends the refresh token sent, and one sent again ends its grant. Default true. */
  readonly rotatesRefreshToken?: boolean | undefined
  /** Grants with a user come with a refresh token. Default true. */
  readonly issuesRefreshTokens?: boolean | undefined
  /** Default `opaque`. A `jwt` is always for `resource`, asked for or not, as RFC 9068 wants an audience. */
  readonly accessTokenFormat?: "opaque" | "jwt" | undefined
  /** What an assertion of `private_key_jwt` must have, as at Entra ID. Default: what RFC 7523 requires. */
  readonly assertion?:
    | { readonly audience: "token_endpoint"; readonly header: Readonly<Record<string, string>> }
    | undefined
  /** Where clients may be sent back to, besides any port of `http://127.0.0.1` with the path `/` or `/callback`. */
  readonly redirectUris?: ReadonlyArray<string> | undefined
}

/** A client that the server knows. */
export interface Client {
  readonly clientId: string
}

export interface OidcProvider {
  readonly issuer: string
  /** Clients by how they authenticate. The public one may not use client credentials. */
  readonly clients: {
    readonly none: Client
    readonly client_secret_basic: Client & { readonly clientSecret: string }
    readonly client_secret_post: Client & { readonly clientSecret: string }
    readonly private_key_jwt: Client & {
      readonly privateKey: CryptoKey
      readonly kid: string
      readonly alg: "ES256"
      /** Another key that the server accepts. */
      readonly next: { readonly privateKey: CryptoKey; readonly kid: string }
    }
  }
  /** The credential that token exchange, JWT bearer and `account_credentials` accept. */
  readonly accepted: string
  /** For the password grant. The login pages take any login, and any password. */
  readonly account: { readonly login: string; readonly password: string }
  /** The protected resource as a value of `resource` (RFC 8707). Scopes `read` and `write` are its own. */
  readonly resource: string
  /** Answers a GET with 200 and `sub`, `client_id`, `scope` for an access token in force, else 401. Any origin may ask. */
  readonly whoami: string
  readonly ledger: Effect.Effect<Ledger.Ledger>
  /** Whether the server takes the access token now. */
  readonly isValid: (accessToken: string) => Effect.Effect<boolean>
  /** From now on no access token issued so far is known. */
  readonly revokeAccessTokens: Effect.Effect<void>
  /** From now on no refresh token issued so far is known. */
  readonly revokeRefreshTokens: Effect.Effect<void>
  /** All access tokens issued so far have expired. */
  readonly expireAccessTokens: Effect.Effect<void>
  /** All refresh tokens issued so far have expired. */
  readonly expireRefreshTokens: Effect.Effect<void>
  /** All device codes issued so far have expired. */
  readonly expireDeviceCodes: Effect.Effect<void>
  /** The next requests for a token are processed, and their connections end without an answer. */
  readonly loseTokenAnswers: (count: number) => Effect.Effect<void>
  /** Signs in on the server's pages at this URL, and gives the redirect back to the client, not fetched. */
  readonly signIn: (
    authorizationUrl: string | URL,
    visitor?: Partial<Browser.Visitor>
  ) => Effect.Effect<URL, Browser.BrowserError>
  /** Takes a device's user code, or the complete verification URI. */
  readonly approveDevice: (
    code: string,
    visitor?: Partial<Browser.Visitor>
  ) => Effect.Effect<void, Browser.BrowserError>
  /** As `approveDevice`, and says no: `access_denied` to the device. */
  readonly denyDevice: (code: string) => Effect.Effect<void, Browser.BrowserError>
}

const accepted = "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC"

const account = { login: "anna", password: "correct horse battery staple" }
const scopes = ["openid", "offline_access", "profile"]
const apiScopes = "read write"

/** Secrets that have to be percent-encoded in a Basic header (RFC 6749, section 2.3.1), and read back. */
const secret = (name: string) => `${name}: 100 % of a/secret+more&still`

/** One for the process: it takes a while to make. */
const signingKey = Effect.runSync(
  Effect.cached(
    Effect.promise(async () => {
      const { privateKey } = await oauth.generateKeyPair("RS256", { extractable: true })
      // Not what the key may do: the public half, which is served, may do something else.
      const { ext: _ext, key_ops: _operations, ...jwk } = await crypto.subtle.exportKey("jwk", privateKey)
      return { ...jwk, kid: "provider", alg: "RS256", use: "sig" }
    })
  )
)

const escape = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** Pages that oidc-provider asks for; its defaults load a font from the internet. */
const page = (ctx: Context, title: string, body: string) => {
  ctx.type = "html"
  ctx.body = `<!doctype html><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}`
}
const refusal = (text: string) => `<p class="refusal">${escape(text)}</p>`

/** The provider has pages of its own for login and consent, and a word of warning that no test wants to hear. */
const withoutWarning = <A>(evaluate: () => A): A => {
  const { warn } = console
  console.warn = (...line: ReadonlyArray<unknown>) => {
    if (!String(line[0]).includes("devInteractions")) warn(...line)
  }
  try {
    return evaluate()
  } finally {
    console.warn = warn
  }
}

const isLoopback = (origin: string) => URL.canParse(origin) && new URL(origin).hostname === "127.0.0.1"

/** Starts a server, which ends with the scope. */
export const make: (options?: Options) => Effect.Effect<OidcProvider, never, Scope.Scope> = Effect.fnUntraced(
  function* ({
    accessTokenFormat = "opaque",
    accessTokenLifetime = "10 minutes",
    assertion,
    deviceCodeLifetime = "5 minutes",
    issuesRefreshTokens = true,
    redirectUris = [],
    refreshTokenLifetime = "1 hour",
    rotatesRefreshToken = true
  }: Options = {}) {
    const { serve, url: issuer } = yield* listen
    const resource = `${issuer}/api`
    const whoami = `${resource}/whoami`
    const records = Adapter.make()
    const serverKey = yield* signingKey
    const clientKey = yield* Effect.promise(() => oauth.generateKeyPair("ES256"))
    const nextKey = yield* Effect.promise(() => oauth.generateKeyPair("ES256"))
    const jwkOf = (key: CryptoKey) => Effect.promise(() => crypto.subtle.exportKey("jwk", key))
    const clientJwk = yield* jwkOf(clientKey.publicKey)
    const nextJwk = yield* jwkOf(nextKey.publicKey)

    const clients = {
      none: { clientId: "public" },
      client_secret_basic: { clientId: "basic", clientSecret: secret("basic") },
      client_secret_post: { clientId: "post", clientSecret: secret("post") },
      private_key_jwt: {
        clientId: "jwt",
        privateKey: clientKey.privateKey,
        kid: "client",
        alg: "ES256",
        next: { privateKey: nextKey.privateKey, kid: "next" }
      }
    } as const

    const register = (method: keyof typeof clients, metadata: Readonly<Record<string, unknown>> = {}) => ({
      client_id: clients[method].clientId,
      client_name: `Client ${clients[method].clientId}`,
      token_endpoint_auth_method: method,
      // Of a native client the port of a redirect on loopback does not matter (RFC 8252, section 7.3).
      application_type: "native",
      redirect_uris: ["http://127.0.0.1/callback", "http://127.0.0.1/", ...redirectUris],
      response_types: ["code"],
      grant_types: [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "password",
        ...AssertionGrants.grantTypes,
        ...(method === "none" ? [] : ["client_credentials"])
      ],
      ...metadata
    })

    const lifetime = (input: Duration.Input) => Duration.toSeconds(Duration.fromInputUnsafe(input))
    const resourceServer = (indicator: string): ResourceServerInfo => {
      if (indicator !== resource) throw new errors.InvalidTarget("there is no such resource")
      return {
        scope: apiScopes,
        audience: resource,
        accessTokenFormat,
        accessTokenTTL: lifetime(accessTokenLifetime),
        ...(accessTokenFormat === "jwt" ? { jwt: { sign: { alg: "RS256" } } } : {})
      }
    }
    const defaultResource = accessTokenFormat === "jwt" ? resource : undefined

    const configuration: Configuration = {
      adapter: records.adapter,
      clients: [
        register("none"),
        register("client_secret_basic", { client_secret: clients.client_secret_basic.clientSecret }),
        register("client_secret_post", { client_secret: clients.client_secret_post.clientSecret }),
        register("private_key_jwt", {
          token_endpoint_auth_signing_alg: clients.private_key_jwt.alg,
          jwks: {
            keys: [
              { ...clientJwk, kid: clients.private_key_jwt.kid, alg: "ES256", use: "sig" },
              { ...nextJwk, kid: clients.private_key_jwt.next.kid, alg: "ES256", use: "sig" }
            ]
          }
        })
      ],
      jwks: { keys: [serverKey] },
      cookies: { keys: ["a key for the cookies of a test"] },
      scopes,
      claims: { openid: ["sub"], profile: ["name"] },
      // To the second, so that expired is expired.
      clockTolerance: 0,
      ttl: {
        AccessToken: lifetime(accessTokenLifetime),
        AuthorizationCode: 60,
        ClientCredentials: lifetime(accessTokenLifetime),
        DeviceCode: lifetime(deviceCodeLifetime),
        Grant: 86_400,
        IdToken: 600,
        Interaction: 600,
        RefreshToken: lifetime(refreshTokenLifetime),
        Session: 86_400
      },
      pkce: { required: () => true },
      assertJwtClientAuthClaimsAndHeader: async (_, claims, header) => {
        if (assertion === undefined) return
        if (claims["aud"] !== `${issuer}/token`) throw new errors.InvalidClientAuth("aud")
        for (const [name, value] of Object.entries(assertion.header)) {
          if (header[name] !== value) throw new errors.InvalidClientAuth(name)
        }
      },
      rotateRefreshToken: rotatesRefreshToken,
      issueRefreshToken: async (_, client) => issuesRefreshTokens && client.grantTypeAllowed("refresh_token"),
      expiresWithSession: async () => false,
      clientBasedCORS: (_, origin, client) => client.clientAuthMethod === "none" && isLoopback(origin),
      findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, name: `The user ${accountId}` }) }),
      renderError: (ctx, { error, error_description }) =>
        page(ctx, "Error", refusal(`${error}: ${error_description ?? ""}`)),
      features: {
        devInteractions: { enabled: true },
        clientCredentials: { enabled: true },
        deviceFlow: {
          enabled: true,
          userCodeInputSource: (ctx, form, _, error) =>
            page(
              ctx,
              "Device",
              `${error === undefined ? "" : refusal(error.name)}${form}<button type="submit" form="op.deviceInputForm">Continue</button>`
            ),
          userCodeConfirmSource: (ctx, form) =>
            page(
              ctx,
              "Is this your device?",
              `${form}<button type="submit" form="op.deviceConfirmForm">Continue</button>
               <button type="submit" form="op.deviceConfirmForm" value="yes" name="abort">Cancel</button>`
            ),
          successSource: (ctx) => page(ctx, "Signed in", "<p>You can go back to your device.</p>")
        },
        introspection: { enabled: true, allowedPolicy: async () => true },
        revocation: {
          enabled: true,
          allowedPolicy: async (_, client, token) => token.clientId === client.clientId
        },
        rpInitiatedLogout: {
          enabled: true,
          logoutSource: (ctx, form = "") =>
            page(
              ctx,
              "Sign out?",
              `${form}<button type="submit" form="op.logoutForm" value="yes" name="logout">Yes</button>`
            ),
          postLogoutSuccessSource: (ctx) => page(ctx, "Signed out", "")
        },
        resourceIndicators: {
          enabled: true,
          defaultResource: (_ctx, _client, oneOf) => oneOf ?? defaultResource,
          getResourceServerInfo: (_, indicator) => resourceServer(indicator),
          useGrantedResource: async () => true
        }
      }
    }

    const provider = withoutWarning(() => new Provider(issuer, configuration))
    PasswordGrant.register(provider, {
      accounts: { [account.login]: account.password },
      scopes,
      defaultResource,
      resourceServer
    })
    AssertionGrants.register(provider, { accepted })
    const ledger = Ledger.make(provider)

    // A JWT is not kept by the provider: this is what it no longer takes, all the same.
    const jwts = new Map<string, string | undefined>()
    for (const kind of ["access_token", "client_credentials"] as const)
      provider.on(`${kind}.issued`, ({ grantId, jti }) => jwts.set(jti, grantId))
    const keys: oauth.JWKSCacheInput = {}

    /** Of an access token in force, what it says. */
    const readJwt = async (token: string) => {
      const request = new Request(whoami, { headers: { authorization: `Bearer ${token}` } })
      const server = { issuer, jwks_uri: `${issuer}/jwks` }
      const options = { [oauth.allowInsecureRequests]: true, [oauth.jwksCache]: keys }
      const claims = await oauth.validateJwtAccessToken(server, request, resource, options).catch(() => undefined)
      if (claims === undefined || !jwts.has(claims.jti)) return undefined
      return { grantId: jwts.get(claims.jti), sub: claims.sub, client_id: claims.client_id, scope: claims.scope }
    }
    const readOpaque = async (value: string) => {
      const token = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value))
      if (token?.isValid !== true) return undefined
      return { grantId: token.grantId, sub: token.accountId, client_id: token.clientId, scope: token.scope }
    }
    const read = async (value: string) => {
      const found = await (accessTokenFormat === "jwt" ? readJwt(value) : readOpaque(value))
      if (found === undefined) return undefined
      const { grantId, ...claims } = found
      return grantId === undefined || (await provider.Grant.find(grantId)) !== undefined ? claims : undefined
    }

    let answersToLose = 0
    provider.use(async (ctx, next) => {
      await next()
      if (ctx.path !== "/token" || ctx.method !== "POST" || answersToLose === 0) return
      answersToLose--
      ctx.respond = false
      ctx.req.socket.destroy()
    })
    provider.use(async (ctx, next) => {
      if (ctx.path !== new URL(whoami).pathname) return next()
      ctx.set("access-control-allow-origin", "*")
      ctx.set("access-control-expose-headers", "WWW-Authenticate")
      if (ctx.method === "OPTIONS") {
        ctx.set("access-control-allow-headers", ctx.get("access-control-request-headers"))
        ctx.status = 204
        return undefined
      }
      const token = /^Bearer (\S+)$/.exec(ctx.get("authorization"))?.[1]
      const claims = token === undefined ? undefined : await read(token)
      ctx.status = claims === undefined ? 401 : 200
      if (claims !== undefined) ctx.body = claims
      else ctx.set("www-authenticate", token === undefined ? "Bearer" : 'Bearer error="invalid_token"')
      ledger.apiAnswered(ctx.status)
    })
    serve(provider.callback())

    const visitor = (given: Partial<Browser.Visitor> = {}) => ({ login: account.login, consent: true, ...given })
    const device = (code: string) =>
      URL.canParse(code) ? { verificationUri: code } : { verificationUri: `${issuer}/device`, userCode: code }

    return {
      issuer,
      clients,
      account,
      accepted,
      resource,
      whoami,
      ledger: Effect.sync(ledger.snapshot),
      isValid: (token) => Effect.promise(async () => (await read(token)) !== undefined),
      revokeAccessTokens: Effect.sync(() => {
        records.revoke("AccessToken", "ClientCredentials")
        jwts.clear()
      }),
      revokeRefreshTokens: Effect.sync(() => records.revoke("RefreshToken")),
      expireAccessTokens: Effect.sync(() => {
        records.expire("AccessToken", "ClientCredentials")
        jwts.clear()
      }),
      expireRefreshTokens: Effect.sync(() => records.expire("RefreshToken")),
      expireDeviceCodes: Effect.sync(() => records.expire("DeviceCode")),
      loseTokenAnswers: (count) =>
        Effect.sync(() => {
          answersToLose = count
        }),
      signIn: (authorizationUrl, given) => Browser.signIn(authorizationUrl, visitor(given)),
      approveDevice: (code, given) => Browser.approveDevice(device(code), visitor(given)),
      denyDevice: (code) => Browser.denyDevice(device(code))
    }
  }
)
