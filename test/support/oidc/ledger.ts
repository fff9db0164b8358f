/** What the provider saw and did, free of secrets: the other side's word on what a client did. */
import { createHash } from "node:crypto"
import type { Context, OidcContext, Provider } from "oidc-provider"

/** How entries call a secret. */
export const hash = (secret: string): string => createHash("sha256").update(secret).digest("hex").slice(0, 16)

/** A request with a client's authentication, in the order of the answers. */
export interface Entry {
  readonly clientId: string | undefined
  /** How the client showed who it is. */
  readonly authentication: "none" | "client_secret_basic" | "client_secret_post" | "private_key_jwt"
  /** The `hash` of the refresh token, code or device code that it came with; of a revocation, of the token. */
  readonly credential: string | undefined
  readonly status: number
  /** The OAuth error code. */
  readonly error: string | undefined
}

/** One request to the token endpoint. */
export interface TokenRequest extends Entry {
  readonly grantType: string | undefined
  readonly scope: string | undefined
  readonly resource: string | undefined
}

/** A snapshot of everything since the provider was started. */
export interface Ledger {
  readonly tokenRequests: ReadonlyArray<TokenRequest>
  readonly revocations: ReadonlyArray<Entry>
  readonly deviceAuthorizations: ReadonlyArray<Entry>
  /** Status of each request for the protected resource. */
  readonly apiRequests: ReadonlyArray<number>
  readonly accessTokensIssued: number
  readonly refreshTokensIssued: number
  readonly refreshTokensConsumed: number
  /** Access and refresh tokens that were revoked one by one, not with their grant. */
  readonly tokensRevoked: number
  /** Grants that ended with all their tokens: by a revocation, or because a token or code was used again. */
  readonly grantsRevoked: number
  /** The `hash` of each refresh token that came to the token endpoint more than once. */
  readonly refreshTokensSentTwice: ReadonlyArray<string>
  /** Most token requests unanswered at one time. */
  readonly peakConcurrentTokenRequests: number
  /** Failures of the provider itself: a test with one shows nothing. */
  readonly serverErrors: ReadonlyArray<string>
}

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

const isRouted = (ctx: Context & Partial<OidcContext>): ctx is OidcContext => ctx.oidc !== undefined

const authenticationOf = (ctx: OidcContext): Entry["authentication"] => {
  if (ctx.get("authorization").startsWith("Basic ")) return "client_secret_basic"
  if (ctx.oidc.params?.["client_assertion"] !== undefined) return "private_key_jwt"
  return ctx.oidc.params?.["client_secret"] === undefined ? "none" : "client_secret_post"
}

const errorOf = ({ body }: Context): string | undefined =>
  typeof body === "object" && body !== null && "error" in body ? text(body.error) : undefined

const entry = (ctx: OidcContext, credential: unknown): Entry => ({
  clientId: ctx.oidc.client?.clientId ?? text(ctx.oidc.params?.["client_id"]),
  authentication: authenticationOf(ctx),
  credential: typeof credential === "string" ? hash(credential) : undefined,
  status: ctx.status,
  error: errorOf(ctx)
})

/** Keeps the books of a provider, by its events and by the requests that come by. */
export const make = (provider: Provider) => {
  const counts = {
    accessTokensIssued: 0,
    refreshTokensIssued: 0,
    refreshTokensConsumed: 0,
    tokensRevoked: 0,
    grantsRevoked: 0,
    peakConcurrentTokenRequests: 0
  }
  const tokenRequests: Array<TokenRequest> = []
  const revocations: Array<Entry> = []
  const deviceAuthorizations: Array<Entry> = []
  const apiRequests: Array<number> = []
  const serverErrors: Array<string> = []
  const unanswered = new Set<Context>()

  provider.on("server_error", (_, error) => serverErrors.push(error.message))
  provider.on("grant.revoked", () => counts.grantsRevoked++)
  provider.on("refresh_token.saved", () => counts.refreshTokensIssued++)
  provider.on("refresh_token.consumed", () => counts.refreshTokensConsumed++)
  for (const kind of ["access_token", "client_credentials"]) {
    // A JWT is not kept, which makes it "issued" instead of "saved".
    for (const done of ["saved", "issued"] as const) provider.on(`${kind}.${done}`, () => counts.accessTokensIssued++)
  }
  for (const kind of ["access_token", "client_credentials", "refresh_token"])
    provider.on(`${kind}.destroyed`, () => counts.tokensRevoked++)

  provider.use(async (ctx, next) => {
    if (ctx.path === "/token") unanswered.add(ctx)
    counts.peakConcurrentTokenRequests = Math.max(counts.peakConcurrentTokenRequests, unanswered.size)
    try {
      await next()
    } finally {
      unanswered.delete(ctx)
    }
    if (!isRouted(ctx)) return
    const params = ctx.oidc.params ?? {}
    switch (ctx.oidc.route) {
      case "token":
        tokenRequests.push({
          ...entry(ctx, params["refresh_token"] ?? params["code"] ?? params["device_code"]),
          grantType: text(params["grant_type"]),
          scope: text(params["scope"]),
          resource: text(params["resource"])
        })
        break
      case "revocation":
        revocations.push(entry(ctx, params["token"]))
        break
      case "device_authorization":
        deviceAuthorizations.push(entry(ctx, undefined))
        break
    }
  })

  const snapshot = (): Ledger => {
    const sent = tokenRequests.flatMap(({ credential, grantType }) =>
      grantType === "refresh_token" && credential !== undefined ? [credential] : []
    )
    return {
      ...counts,
      tokenRequests: [...tokenRequests],
      revocations: [...revocations],
      deviceAuthorizations: [...deviceAuthorizations],
      apiRequests: [...apiRequests],
      refreshTokensSentTwice: [...new Set(sent.filter((credential, i) => sent.indexOf(credential) < i))],
      serverErrors: [...serverErrors]
    }
  }

  return { snapshot, apiAnswered: (status: number) => void apiRequests.push(status) }
}
