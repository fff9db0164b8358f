/**
 * The endpoints of the sandboxed login service: webfinger and discovery, token, login pages, devices, revocation, logout.
 * Paths are those of `login.movingimage.com`, which stand here beside the API's, on the same origin.
 */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Base64Url from "effect/encoding/Base64Url"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SandboxClients from "./SandboxClients.ts"
import * as SandboxGrants from "./SandboxGrants.ts"
import * as SandboxPages from "./SandboxPages.ts"
import * as SandboxRealm from "./SandboxRealm.ts"
import { type Answer, authorizationOf, formOf, isForm, type Json, queryOf, type Request } from "./SandboxRequest.ts"
import type * as SandboxServer from "./SandboxServer.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

const realmPath = "/auth/realms/platform"
const protocolPath = `${realmPath}/protocol/openid-connect`
const webfingerPath = "/.well-known/webfinger"
const configurationPath = `${realmPath}/.well-known/openid-configuration`

/** The issuer on that origin. */
export const issuerOf = (origin: string): string => `${origin}${realmPath}`

/** Where a client begins that knows the API on that origin (movingimage documentation, "Endpoint Discovery"). */
export const webfingerOf = (origin: string): string => `${origin}${webfingerPath}?resource=${origin}/v1/`

/** Where tokens come from. */
export const tokenPath = `${protocolPath}/token`

/** Whether a path is the login service's. */
export const owns = (path: string): boolean => path === webfingerPath || path.startsWith("/auth/")

/** Whether the handlers of a path say themselves which origins may read: of the login service only the documents do not. */
export const ownCors = (path: string): boolean =>
  path.startsWith(realmPath) && path !== configurationPath && path !== `${protocolPath}/certs`

const unescaped = (text: string): string =>
  Result.getOrElse(
    Result.try(() => decodeURIComponent(text.replaceAll("+", " "))),
    () => text
  )

const decodeSessionId = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ sid: Schema.String })))

/** Makes the endpoints of one sandbox. `serverTime` in epoch milliseconds, skew included. */
export const make = (options: {
  readonly origin: string
  readonly realm: SandboxRealm.Realm
  readonly grants: SandboxGrants.Grants
  readonly kid: string
  readonly settings: () => SandboxRealm.Settings
  readonly serverTime: () => number
  readonly conceal: (secret: string) => void
}) => {
  const { conceal, grants, kid, origin, realm, serverTime, settings } = options
  const issuer = issuerOf(origin)
  const endpoint = (name: string) => `${origin}${protocolPath}/${name}`

  /** A document that may be kept for a while; `Date` belongs to the same clock as `Expires`. */
  const document = (body: Json, contentType = "application/json"): Answer => {
    const lifetime = settings().discoveryLifetime
    return HttpServerResponse.jsonUnsafe(body, {
      contentType,
      headers: {
        "cache-control": `max-age=${Math.floor(lifetime / 1000)}`,
        date: new Date(serverTime()).toUTCString(),
        expires: new Date(serverTime() + lifetime).toUTCString()
      }
    })
  }

  const links = (): ReadonlyArray<Json> => {
    if (realm.isLie("link-missing")) return []
    const configuration = settings().issuerLink === "configuration"
    const path = configuration ? configurationPath : realmPath
    const host = realm.isLie("link-insecure")
      ? "http://login.movingimage.com"
      : realm.isLie("link-foreign")
        ? "https://login.movingimage.com.example"
        : origin
    return [{ rel: "http://openid.net/specs/connect/1.0/issuer", href: `${host}${path}` }]
  }

  /** Answers for the API's base URL, as documented ("Endpoint Discovery"). */
  const webfinger = (request: Request): Answer => {
    const resource = queryOf(request).get("resource")
    if (resource === null) return HttpServerResponse.empty({ status: 400 })
    const base = `${origin}/v1/`
    if (resource !== base && `${resource}/` !== base) return HttpServerResponse.empty({ status: 404 })
    return document(
      {
        subject: resource,
        properties: {
          [`${base}keycloak/realm`]: "platform",
          [`${base}keycloak/auth-server-url`]: `${origin}/auth/`
        },
        links: links()
      },
      "application/jrd+json"
    )
  }

  const configuration = (): Answer =>
    document({
      issuer: realm.isLie("configuration-issuer") ? `${issuer}-other` : issuer,
      authorization_endpoint: endpoint("auth"),
      token_endpoint: endpoint("token"),
      device_authorization_endpoint: endpoint("auth/device"),
      revocation_endpoint: endpoint("revoke"),
      end_session_endpoint: endpoint("logout"),
      jwks_uri: endpoint("certs"),
      grant_types_supported: [
        "authorization_code",
        "refresh_token",
        "password",
        "client_credentials",
        SandboxGrants.deviceGrant
      ],
      response_types_supported: ["code"],
      response_modes_supported: ["query", "fragment"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      scopes_supported: SandboxRealm.scopes,
      claims_supported: ["aud", "sub", "iss", "auth_time", "preferred_username", "acr"],
      code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
      revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
      authorization_response_iss_parameter_supported: true
    })

  const certs = Effect.gen(function* () {
    const key = yield* SandboxTokens.publicKey
    const { e, kty, n } = yield* Effect.promise(() => globalThis.crypto.subtle.exportKey("jwk", key))
    return HttpServerResponse.jsonUnsafe({ keys: [{ kid, kty, alg: "RS256", use: "sig", n, e }] })
  })

  /** What pages of the client's own origins may read; before there is a client, any may read why. */
  const readable = (request: Request, client: SandboxClients.Client | undefined, answer: Answer): Answer => {
    const asking = request.headers["origin"]
    if (asking === undefined || (client !== undefined && !SandboxClients.allowsOrigin(client, asking))) return answer
    return HttpServerResponse.setHeaders(answer, {
      "access-control-allow-origin": asking,
      "access-control-allow-credentials": "true",
      "access-control-expose-headers": "Access-Control-Allow-Methods",
      vary: "Origin"
    })
  }

  const refusal = ({ challenge, description, error, status }: SandboxClients.Refusal): Answer =>
    HttpServerResponse.jsonUnsafe(
      { error, error_description: description },
      { status, headers: challenge === true ? { "www-authenticate": 'Basic realm="platform"' } : {} }
    )

  const basicOf = (request: Request): SandboxClients.Basic | undefined => {
    const parsed = authorizationOf(request.headers["authorization"] ?? "")
    if (parsed?.scheme !== "basic") return undefined
    const text = Result.getOrElse(Base64.decodeString(parsed.value), () => "")
    const colon = text.indexOf(":")
    if (colon < 0) return undefined
    // Both halves are encoded as in forms (RFC 6749, section 2.3.1).
    return { id: unescaped(text.slice(0, colon)), secret: unescaped(text.slice(colon + 1)) }
  }

  /** An endpoint that clients call by themselves, with a form. */
  const forClients =
    (
      handler: (
        form: URLSearchParams,
        client: Result.Result<SandboxClients.Client, SandboxClients.Refusal>,
        basic: SandboxClients.Basic | undefined
      ) => Effect.Effect<Answer, SandboxClients.Refusal>
    ): SandboxServer.Handler =>
    (request) =>
      Effect.gen(function* () {
        if (!isForm(request)) {
          return HttpServerResponse.jsonUnsafe({ error: "HTTP 415 Unsupported Media Type" }, { status: 415 })
        }
        const form = yield* formOf(request)
        const basic = basicOf(request)
        const client = realm.clientOf(form, basic)
        const answer = yield* Effect.catch(handler(form, client, basic), (why) => Effect.succeed(refusal(why)))
        return readable(
          request,
          Result.getOrUndefined(client),
          HttpServerResponse.setHeaders(answer, { "cache-control": "no-store", pragma: "no-cache" })
        )
      })

  const token = forClients((form, _client, basic) =>
    Effect.map(grants.token(form, basic), (body) => HttpServerResponse.jsonUnsafe(body))
  )

  const revoke = forClients((form, authenticated) =>
    Effect.gen(function* () {
      const client = yield* Effect.fromResult(authenticated)
      const text = form.get("token")
      if (text === null) {
        return yield* Effect.fail({ status: 400, error: "invalid_request", description: "Token not provided" })
      }
      conceal(text)
      const refused = realm.revoke(client, text)
      return refused === undefined ? HttpServerResponse.empty({ status: 200 }) : yield* Effect.fail(refused)
    })
  )

  const deviceAuthorization = forClients((form, authenticated) =>
    Effect.gen(function* () {
      const client = yield* Effect.fromResult(authenticated)
      if (!client.grants.includes("device_code")) {
        const description =
          "Client is not allowed to initiate OAuth 2.0 Device Authorization Grant. The flow is disabled for the client."
        return yield* Effect.fail({ status: 400, error: "unauthorized_client", description })
      }
      const scope = yield* Effect.fromResult(realm.scopeOf(form.get("scope")))
      const { deviceCode, userCode } = realm.addDevice(client, scope)
      const page = `${origin}${realmPath}/device`
      return HttpServerResponse.jsonUnsafe({
        device_code: deviceCode,
        user_code: userCode,
        verification_uri: page,
        verification_uri_complete: `${page}?user_code=${userCode}`,
        expires_in: Math.floor(settings().deviceCodeLifetime / 1000),
        interval: Math.ceil(settings().devicePollingInterval / 1000)
      })
    })
  )

  const actionOf = (errand: string) => `${origin}${realmPath}/login-actions/authenticate?session_code=${errand}`

  const ask = (errand: Omit<SandboxRealm.Errand, "expiresAt">): Answer =>
    SandboxPages.login({ action: actionOf(realm.ask(errand)), clientId: errand.client.id })

  const redirect = (to: SandboxRealm.Redirect, params: Readonly<Record<string, string>>): Answer =>
    HttpServerResponse.redirect(realm.locationOf(to, params), {
      status: 302,
      headers: { "cache-control": "no-store", "referrer-policy": "no-referrer" }
    })

  const authorize = (params: URLSearchParams): Answer => {
    const client = realm.client(params.get("client_id") ?? "")
    if (client === undefined) return SandboxPages.error("Client not found.")
    const uri = params.get("redirect_uri")
    if (uri === null || !SandboxClients.allowsRedirect(client, uri)) {
      return SandboxPages.error("Invalid parameter: redirect_uri")
    }
    const challenge = params.get("code_challenge")
    const to: SandboxRealm.Redirect = {
      _tag: "Redirect",
      uri,
      state: params.get("state") ?? undefined,
      responseMode: params.get("response_mode") === "fragment" ? "fragment" : "query",
      challenge: challenge ?? undefined
    }
    const refuse = (error: string, description: string) => redirect(to, { error, error_description: description })
    const invalid = (description: string) => refuse("invalid_request", description)
    const responseType = params.get("response_type")
    if (responseType === null) return invalid("Missing parameter: response_type")
    if (responseType !== "code") return refuse("unsupported_response_type", "Unsupported response_type")
    if (!["query", "fragment", null].includes(params.get("response_mode"))) {
      return invalid("Invalid parameter: response_mode")
    }
    if (!client.grants.includes("authorization_code")) {
      const why =
        "Client is not allowed to initiate browser login with given response_type. Standard flow is disabled for the client."
      return refuse("unauthorized_client", why)
    }
    const method = params.get("code_challenge_method")
    if (challenge === null && (client.requiresPkce === true || method !== null)) {
      return invalid(`Missing parameter: ${method === null ? "code_challenge_method" : "code_challenge"}`)
    }
    if (challenge !== null && method !== "S256") return invalid("Invalid parameter: code_challenge_method")
    if (challenge !== null && !/^[\w-]{43}$/.test(challenge)) return invalid("Invalid parameter: code_challenge")
    const scope = realm.scopeOf(params.get("scope"))
    if (Result.isFailure(scope)) return refuse(scope.failure.error, scope.failure.description)
    // No browser is remembered here: every login asks for the password.
    if (params.get("prompt") === "none") return redirect(to, { error: "login_required" })
    return ask({ client, scope: scope.success, nonce: params.get("nonce") ?? undefined, goal: to })
  }

  /** The login page's form, which is shown again after a wrong password. */
  const authenticate: SandboxServer.Handler = (request) =>
    Effect.gen(function* () {
      const id = queryOf(request).get("session_code") ?? ""
      const errand = realm.errand(id)
      if (errand === undefined) return SandboxPages.error("You are already logged in, or your login attempt timed out.")
      const again = { action: actionOf(id), clientId: errand.client.id }
      if (request.method !== "POST") return SandboxPages.login(again)
      const form = yield* formOf(request)
      const [username, password] = [form.get("username") ?? "", form.get("password") ?? ""]
      for (const secret of [username, password]) conceal(secret)
      const entered = form.has("cancel") ? undefined : { username, password }
      const result = realm.signIn(id, errand, entered)
      switch (result._tag) {
        case "Redirect":
          return redirect(result.to, result.params)
        case "Device":
          return SandboxPages.deviceDone(result.approved)
        case "Refused":
          return SandboxPages.login({ ...again, username, refused: result.objection })
      }
    })

  const device = (params: URLSearchParams): Answer => {
    const action = `${origin}${realmPath}/device`
    const userCode = params.get("user_code")
    if (userCode === null) return SandboxPages.deviceCode({ action })
    const goal = realm.deviceOf(userCode)
    return goal === undefined
      ? SandboxPages.deviceCode({ action, wrong: true })
      : ask({ client: goal.client, scope: goal.scope, goal })
  }

  /** OpenID Connect RP-Initiated Logout, and Keycloak's own with a refresh token, which answers 204. */
  const logout = (request: Request, params: URLSearchParams): Answer => {
    const refreshToken = params.get("refresh_token")
    if (refreshToken !== null) {
      conceal(refreshToken)
      const client = realm.clientOf(params, basicOf(request))
      const refused = Result.isFailure(client) ? client.failure : realm.logout(client.success, refreshToken)
      return readable(
        request,
        Result.getOrUndefined(client),
        refused === undefined ? HttpServerResponse.empty({ status: 204 }) : refusal(refused)
      )
    }
    const hint = Base64Url.decodeString((params.get("id_token_hint") ?? "").split(".")[1] ?? "")
    const claims = decodeSessionId(Result.getOrElse(hint, () => ""))
    const ended = Option.isSome(claims) ? realm.endSession(claims.value.sid) : undefined
    const client = ended ?? realm.client(params.get("client_id") ?? "")
    const uri = params.get("post_logout_redirect_uri")
    if (uri === null) return SandboxPages.loggedOut()
    if (client === undefined || !SandboxClients.allowsRedirect(client, uri)) {
      return SandboxPages.error("Invalid redirect uri")
    }
    const location = new URL(uri)
    const state = params.get("state")
    if (state !== null) location.searchParams.set("state", state)
    return HttpServerResponse.redirect(location.href, { status: 302 })
  }

  const byQuery =
    (handler: (request: Request, params: URLSearchParams) => Answer): SandboxServer.Handler =>
    (request) =>
      handler(request, queryOf(request))
  const byForm =
    (handler: (request: Request, params: URLSearchParams) => Answer): SandboxServer.Handler =>
    (request) =>
      Effect.map(formOf(request), (form) => handler(request, form))

  const authorization = (_request: Request, params: URLSearchParams) => authorize(params)
  const deviceLogin = (_request: Request, params: URLSearchParams) => device(params)

  const routes: SandboxServer.Routes = {
    [webfingerPath]: { GET: webfinger },
    [configurationPath]: { GET: configuration },
    [`${protocolPath}/certs`]: { GET: () => certs },
    [tokenPath]: { POST: token },
    [`${protocolPath}/revoke`]: { POST: revoke },
    [`${protocolPath}/auth/device`]: { POST: deviceAuthorization },
    [`${protocolPath}/auth`]: { GET: byQuery(authorization), POST: byForm(authorization) },
    [`${protocolPath}/logout`]: { GET: byQuery(logout), POST: byForm(logout) },
    [`${realmPath}/login-actions/authenticate`]: { GET: authenticate, POST: authenticate },
    [`${realmPath}/device`]: { GET: byQuery(deviceLogin), POST: byForm(deviceLogin) }
  }

  return {
    routes,
    /** How the ledger calls what a request to the login service says in `Authorization`. */
    credentialOf: (request: Request): string => {
      const header = request.headers["authorization"]
      if (header === undefined) return "none"
      conceal(authorizationOf(header)?.value ?? header)
      const basic = basicOf(request)
      if (basic === undefined) return "malformed"
      conceal(basic.secret)
      return "basic"
    }
  }
}
