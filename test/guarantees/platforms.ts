/**
 * The platforms that every guarantee is shown on: a bare fake, and the real provider of each platform of the library, and of
 * the example, on a wire on whose other end a fake answers. A new platform is one more entry.
 */
import { Effect, Redacted } from "effect"
import { HttpClient } from "effect/http"
import { ApiVideo, MovingImage, OAuth2, TokenError, type TokenProvider } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import * as Brightcove from "../../examples/brightcove.ts"
import * as Wire from "./wire.ts"

/** A function from what stands in for the platform to the provider that talks to it. */
export interface Platform {
  readonly name: string
  readonly provider: (
    behind: TokenProvider.TokenProvider,
    /** What befalls the answers, where there is a wire. */
    tamper?: Wire.Tamper
  ) => Effect.Effect<TokenProvider.TokenProvider, TokenError.TokenError>
  /** What a fake behind it has to be like. */
  readonly fake: Pick<FakeProvider.Options, "login"> & { readonly traits: TokenProvider.Traits }
  /** Failures that no retry can help, of those that a login can be answered with. */
  readonly fatal: ReadonlyArray<TokenError.RenewalReason>
}

/** What the fake calls a token that a platform wraps in a JWT: there it is the signature. */
export const nameOf = (token: string): string => token.slice(token.lastIndexOf(".") + 1)

/** Keys, names and passwords: secrets that look like those that the fake issues. */
const credential = (number: number) => Redacted.make(`credential-${number}`)

// ---------------------------------------------------------------------------------------------------------------------
// Fakes
// ---------------------------------------------------------------------------------------------------------------------

const fakeWith = (name: string, options: Pick<FakeProvider.Options, "login" | "traits"> = {}): Platform => ({
  name,
  provider: (behind) => Effect.succeed(behind),
  fake: { ...options, traits: FakeProvider.make(options).provider.traits },
  fatal: [
    new TokenError.InvalidCredentials({ status: 400 }),
    new TokenError.BadRequest({ status: 400, name: "apiKey" }),
    new TokenError.AccountSuspended({ status: 403 }),
    new TokenError.ConfigurationInvalid({ option: "apiKey", problem: "it must not be empty" }),
    new TokenError.ProviderRejected({ code: "unknown-video-manager", detail: "there is no such VideoManager" })
  ]
})

export const fake = fakeWith("fake")

/** For each trait that the library's platforms may lack, a fake that has it. */
const peculiar = [
  fakeWith("fake without rotation", { traits: { rotatesRefreshToken: false } }),
  fakeWith("fake renewed by login", { traits: { renewWith: "login" } }),
  fakeWith("fake that kills old tokens", { traits: { oldTokenSurvivesRefresh: false } }),
  fakeWith("fake that locks accounts", { traits: { locksAccount: true } }),
  fakeWith("fake session", { login: false }),
  fakeWith("fake session without rotation", { login: false, traits: { rotatesRefreshToken: false } })
]

// ---------------------------------------------------------------------------------------------------------------------
// The platforms of the library
// ---------------------------------------------------------------------------------------------------------------------

const onWire = (options: {
  readonly name: string
  readonly protocol: Wire.Protocol
  readonly provider: Effect.Effect<TokenProvider.TokenProvider, TokenError.TokenError, HttpClient.HttpClient>
  readonly fatal: Platform["fatal"]
  /** Whether there is a primary credential to log in with. @default true */
  readonly login?: boolean
}): Platform => {
  const provider: Platform["provider"] = (behind, tamper) =>
    options.provider.pipe(
      Effect.provideService(HttpClient.HttpClient, Wire.make(options.protocol, behind, tamper)),
      // By that name tests know the credential in a store; a hash of it is each platform's own affair.
      Effect.map((provider) => ({ ...provider, identity: behind.identity }))
    )
  const { login, name, fatal } = options
  const { traits } = Effect.runSync(provider(FakeProvider.make().provider))
  return { name, provider, fake: login === undefined ? { traits } : { login, traits }, fatal }
}

/** RFC 6749 §5.1. */
const tokenResponse: Wire.Protocol["write"] = ({ access, lifetime, refresh }) => ({
  token_type: "Bearer",
  expires_in: lifetime,
  access_token: access,
  ...(refresh === undefined ? {} : { refresh_token: refresh })
})

/** https://docs.api.video/reference/authentication-guide */
const apiVideoProtocol: Wire.Protocol = {
  read: (path, { apiKey, refreshToken }) => {
    if (path === "/auth/refresh") return { operation: "refresh", refreshToken }
    return path === "/auth/api-key" && apiKey === "credential-1" ? { operation: "login" } : undefined
  },
  write: tokenResponse,
  refuse: (reason, echo) => {
    const problem = (status: number, slug?: string, name?: string, headers?: Wire.Answer["headers"]) => {
      const type = slug === undefined ? {} : { type: `https://docs.api.video/reference/${slug}` }
      return Wire.json(status, { ...type, title: echo, status, ...(name === undefined ? {} : { name }) }, headers)
    }
    switch (reason._tag) {
      case "InvalidCredentials":
      case "RefreshTokenRejected":
      case "AccountSuspended":
      case "BadRequest":
        return problem(reason.status ?? 400, reason.type, "name" in reason ? reason.name : undefined)
      case "ConfigurationInvalid":
        return problem(404)
      case "RateLimited":
        return problem(429, undefined, undefined, Wire.seconds("x-ratelimit-retry-after", reason.retryAfter))
      default:
        return undefined
    }
  }
}

const apiVideo = onWire({
  name: "api.video",
  provider: ApiVideo.provider({ apiKey: credential(1) }),
  protocol: apiVideoProtocol,
  fatal: [
    new TokenError.InvalidCredentials({ status: 400, type: "authentication-invalid-api-key" }),
    new TokenError.InvalidCredentials({ status: 401, type: "authentication-invalid-user-credentials" }),
    new TokenError.BadRequest({ status: 400, type: "attribute-required", name: "apiKey" }),
    new TokenError.AccountSuspended({ status: 403, type: "authorization-suspended-account" }),
    new TokenError.ConfigurationInvalid({ option: "baseUrl", problem: "it answers with 404" })
  ]
})

const videoManager = 7

/** Seconds. The clock of the server is years away from that of a test, so that only differences can count. */
const serverTime = 1_700_000_000

const jwt = (name: string, lifetime: number): string => {
  const parts = [
    { alg: "RS256", typ: "JWT" },
    { iat: serverTime, exp: serverTime + lifetime }
  ]
  const encoded = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
  return [...encoded, name].join(".")
}

const videoManagers = (list: ReadonlyArray<number>, validFor: number) => ({
  videoManagerList: list.map((id) => ({ id, name: `VideoManager ${id}` })),
  validForVideoManager: String(validFor)
})

/** The user, and the VideoManager that tokens are for. */
export const movingImageUser = { username: credential(1), password: credential(2), videoManager } as const

/** https://doc.movingimage.com/display/LT/Access+and+Refresh+Tokens */
export const movingImageProtocol: Wire.Protocol = {
  read: (path, { password, refreshToken, username }) => {
    if (path === `/v1/vms/auth/refresh/${videoManager}`) {
      return { operation: "refresh", refreshToken: nameOf(String(refreshToken)) }
    }
    const isKnown = username === "credential-1" && password === "credential-2"
    return path === "/v1/vms/auth/login" && isKnown ? { operation: "login" } : undefined
  },
  write: ({ access, lifetime, refresh }) => ({
    accessToken: jwt(access, lifetime),
    ...(refresh === undefined ? {} : { refreshToken: jwt(refresh, 31_536_000) }),
    ...videoManagers([videoManager, 8], videoManager)
  }),
  refuse: (reason, echo) => {
    const refusal = (status: number, headers?: Wire.Answer["headers"]) =>
      Wire.json(status, { message: echo, errorCode: 1000 }, headers)
    switch (reason._tag) {
      case "InvalidCredentials":
      case "RefreshTokenRejected":
        return refusal(reason.status ?? 401)
      case "BadRequest":
        return refusal(reason.status ?? 415)
      case "AccountSuspended":
        return refusal(403)
      case "ConfigurationInvalid":
        return refusal(404)
      case "RateLimited":
        return refusal(429, Wire.seconds("retry-after", reason.retryAfter))
      case "ProviderRejected": {
        if (reason.code === "forbidden") return refusal(403)
        // That the user has none, or others, is said by a success.
        const token = { accessToken: jwt("access-0", 300), refreshToken: jwt("refresh-0", 3_600) }
        return Wire.json(200, { ...token, ...videoManagers(reason.code === "no-video-manager" ? [] : [8], 8) })
      }
      default:
        return undefined
    }
  }
}

const movingImage = onWire({
  name: "movingimage",
  provider: MovingImage.provider(movingImageUser),
  protocol: movingImageProtocol,
  fatal: [
    new TokenError.InvalidCredentials({ status: 401 }),
    new TokenError.InvalidCredentials({ status: 400 }),
    new TokenError.BadRequest({ status: 415 }),
    new TokenError.ConfigurationInvalid({ option: "baseUrl", problem: "it answers with 404" }),
    new TokenError.ProviderRejected({ code: "forbidden", detail: "the user may not" }),
    new TokenError.ProviderRejected({ code: "no-video-manager", detail: "the user has none" }),
    new TokenError.ProviderRejected({ code: "unknown-video-manager", detail: "the user has others" })
  ]
})

/** RFC 6749 §4.3, §5 and §6, as Keycloak says them: a wrong password is a 401, what else is refused a 400. */
const oauthProtocol: Wire.Protocol = {
  read: (path, { client_id, grant_type, password, refresh_token, username }) => {
    if (path !== "/token" || client_id !== "client") return undefined
    if (grant_type === "refresh_token") return { operation: "refresh", refreshToken: refresh_token }
    const isKnown = username === "credential-1" && password === "credential-2"
    return grant_type === "password" && isKnown ? { operation: "login" } : undefined
  },
  write: tokenResponse,
  refuse: (reason, echo) => {
    const refusal = (error: string, status = 400) => Wire.json(status, { error, error_description: echo })
    switch (reason._tag) {
      case "InvalidCredentials":
        return refusal(reason.type ?? "invalid_grant", reason.status ?? 401)
      case "RefreshTokenRejected":
        return refusal("invalid_grant", reason.status)
      case "BadRequest":
        return refusal("invalid_request", reason.status)
      case "ProviderRejected":
        return refusal(reason.code === "unknown" ? "a_code_of_its_own" : reason.code)
      case "AccountSuspended":
        return refusal("access_denied", 403)
      case "InteractionRequired":
        return refusal("interaction_required")
      case "ConfigurationInvalid":
        return { status: 404, body: "" }
      case "RateLimited":
        return Wire.json(429, { error: "slow_down" }, Wire.seconds("retry-after", reason.retryAfter))
      default:
        return undefined
    }
  }
}

const oauthClient = {
  issuer: "https://login.example.com",
  clientId: "client",
  discovery: { token_endpoint: "https://login.example.com/token" }
} as const

const oauthFatal = [
  new TokenError.InvalidCredentials({ status: 400, type: "invalid_client" }),
  new TokenError.InvalidCredentials({ status: 401, type: "invalid_client" }),
  new TokenError.BadRequest({ status: 400, type: "invalid_request" }),
  new TokenError.ConfigurationInvalid({ option: "issuer", problem: "it answers with 404" }),
  new TokenError.InteractionRequired({ status: 400, type: "interaction_required" }),
  new TokenError.ProviderRejected({ code: "invalid_scope", detail: "the scope is unknown" }),
  new TokenError.ProviderRejected({ code: "unauthorized_client", detail: "the grant is not allowed" }),
  new TokenError.ProviderRejected({ code: "unknown", detail: "a code of the server's own" })
]

/** Of a server known to rotate. */
const openIdPassword = onWire({
  name: "OpenID Connect",
  provider: OAuth2.password({
    ...oauthClient,
    rotatesRefreshToken: true,
    username: credential(1),
    password: credential(2)
  }),
  protocol: oauthProtocol,
  fatal: [
    new TokenError.InvalidCredentials({ status: 400, type: "invalid_grant" }),
    new TokenError.InvalidCredentials({ status: 401, type: "invalid_grant" }),
    ...oauthFatal
  ]
})

/** The session of somebody who signed in, and that is all there is. */
const openIdSession = (name: string, rotatesRefreshToken?: boolean) =>
  onWire({
    name,
    provider: OAuth2.refreshToken({ ...oauthClient, rotatesRefreshToken, refreshToken: credential(1) }),
    protocol: oauthProtocol,
    fatal: oauthFatal,
    login: false
  })

const openIdSessions = [
  openIdSession("OpenID Connect session"),
  openIdSession("OpenID Connect session without rotation", false)
]

/**
 * The example of a platform that a program adds by itself. Its server refuses as RFC 6749 §5.2 says, and issues no refresh
 * token.
 */
export const brightcove = onWire({
  name: "Brightcove",
  provider: Brightcove.provider({ clientSecret: credential(1) }, { clientId: "client" }),
  protocol: {
    ...oauthProtocol,
    read: (path, { grant_type }) =>
      path === "/v4/access_token" && grant_type === "client_credentials" ? { operation: "login" } : undefined
  },
  fatal: oauthFatal
})

// ---------------------------------------------------------------------------------------------------------------------
// Whom a guarantee concerns
// ---------------------------------------------------------------------------------------------------------------------

/** The platforms of the library, the example of one that a program adds, and the fake without one. */
export const platforms: ReadonlyArray<Platform> = [fake, apiVideo, movingImage, openIdPassword, brightcove]

/** Those of them with a wire. */
export const onWires = platforms.filter((platform) => platform !== fake)

/** Whether a renewal is a login, so that no refresh token is ever sent. */
export const renewsByLogin = ({ fake }: Platform): boolean => fake.traits.renewWith === "login"

/** Those of them whose refresh tokens rotate. */
export const rotating = platforms.filter((it) => it.fake.traits.rotatesRefreshToken && !renewsByLogin(it))

/** All platforms, and a fake or a session for each trait that they lack. */
export const everyPlatform = [...platforms, ...openIdSessions, ...peculiar]
const withLogin = everyPlatform.filter(({ fake }) => fake.login !== false)

/** Refresh tokens may be used again. */
export const steady = withLogin.filter(({ fake }) => !fake.traits.rotatesRefreshToken)

/** A renewal is a login. */
export const loggingIn = withLogin.filter(renewsByLogin)

/** A refresh kills the access token in use. */
export const killing = withLogin.filter(({ fake }) => !fake.traits.oldTokenSurvivesRefresh)

/** Repeated refusals lock the account; where they lock none, the schedule goes on after one. */
export const locking = withLogin.filter(({ fake }) => fake.traits.locksAccount === true)
export const forgiving = platforms.filter(({ fake }) => fake.traits.locksAccount !== true)

/** There is no login to fall back on. */
export const sessions = everyPlatform.filter(({ fake }) => fake.login === false)
export const rotatingSessions = sessions.filter(({ fake }) => fake.traits.rotatesRefreshToken)
export const steadySessions = sessions.filter(({ fake }) => !fake.traits.rotatesRefreshToken)
