/**
 * The login service of the movingimage sandbox, over real sockets: what Keycloak answers. `oauth4webapi`, a certified client,
 * is the second opinion.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, type Scope } from "effect"
import * as Base64Url from "effect/encoding/Base64Url"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import * as oauth from "oauth4webapi"
import { open, signIn, submit } from "../support/signIn.ts"

const username = "your_username"
const password = "your_password"
const clientSecret = "your_client_secret"
const redirectUri = "http://127.0.0.1:4321/callback"
const realm = "/auth/realms/platform"
const protocol = `${realm}/protocol/openid-connect`

// Redirects are shown, not followed; a client that announces its trace would blur the ledger.
const Client = Layer.mergeAll(
  FetchHttpClient.layer,
  Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }),
  Layer.succeed(HttpClient.TracerPropagationEnabled, false)
)

type Body<A, E> = Effect.Effect<A, E, Sandbox.MovingImageSandbox | HttpClient.HttpClient | Scope.Scope>

const test = <A, E>(name: string, body: Body<A, E>, options?: Sandbox.Options) =>
  it.effect(name, () => Effect.provide(body, [Sandbox.layer(options), Client]))

/** In real time, for clients that look at their own clock. */
const live = <A, E>(name: string, body: Body<A, E>, options?: Sandbox.Options) =>
  it.live(name, () => Effect.provide(body, [Sandbox.layer(options), Client]))

const execute = Effect.fn("execute")(function* (request: HttpClientRequest.HttpClientRequest) {
  const { url } = yield* Sandbox.MovingImageSandbox
  const target = request.url.startsWith("/") ? HttpClientRequest.prependUrl(request, url) : request
  const response = yield* HttpClient.execute(target)
  const text = yield* response.text
  const json: unknown = /json/.test(response.headers["content-type"] ?? "") ? JSON.parse(text) : undefined
  return { status: response.status, headers: response.headers, text, json }
})
const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  execute(HttpClientRequest.get(path, { headers }))
const post = (path: string, form: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) =>
  execute(HttpClientRequest.post(path, { headers }).pipe(HttpClientRequest.bodyUrlParams(form)))

const Tokens = Schema.Struct({
  access_token: Schema.String,
  refresh_token: Schema.optional(Schema.String),
  id_token: Schema.optional(Schema.String),
  expires_in: Schema.Finite,
  refresh_expires_in: Schema.Finite,
  session_state: Schema.String
})
const decodeTokens = Schema.decodeUnknownEffect(Tokens)

const basic = (id: string, secret: string) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}` })
const token = (form: Readonly<Record<string, string>>, headers?: Readonly<Record<string, string>>) =>
  post(`${protocol}/token`, form, headers)
const tokens = (...request: Parameters<typeof token>) =>
  Effect.flatMap(token(...request), ({ json }) => decodeTokens(json))

/** The six fields of the documentation. */
const documented = {
  client_id: "anonymous",
  grant_type: "password",
  response_type: "token",
  scope: "openid",
  username,
  password
}
const login = tokens(documented)
const refresh = (refreshToken: string | undefined, client = "anonymous") =>
  token({ client_id: client, grant_type: "refresh_token", refresh_token: refreshToken ?? "none" })
const refreshed = (refreshToken: string | undefined) =>
  Effect.flatMap(refresh(refreshToken), ({ json }) => decodeTokens(json))
const api = (accessToken: string, path = "/v1/vms") =>
  Effect.map(get(path, { authorization: `Bearer ${accessToken}` }), ({ status }) => status)

const refused = (
  answer: { readonly status: number; readonly json: unknown },
  status: number,
  error: string,
  description: string
) => {
  assert.deepStrictEqual(answer.json, { error, error_description: description })
  assert.strictEqual(answer.status, status)
}
const invalidGrant = (answer: Parameters<typeof refused>[0], description: string, status = 400) =>
  refused(answer, status, "invalid_grant", description)

const claimsOf = (jwt: string | undefined): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwt?.split(".")[1] ?? "", "base64url").toString())

const ledger = Sandbox.MovingImageSandbox.use((sandbox) => sandbox.ledger)
const inject = (on: Sandbox.Fault["on"], kind: Sandbox.FaultKind) =>
  Sandbox.MovingImageSandbox.use((sandbox) => sandbox.inject({ on, kind }))
const configure = (behaviour: Partial<Sandbox.Behaviour>) =>
  Sandbox.MovingImageSandbox.use((sandbox) => sandbox.configure(behaviour))

const verifier = "a-verifier-of-at-least-forty-three-characters"
const challengeOf = (text: string) =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (digest) => Base64Url.encode(new Uint8Array(digest))
  )

/** The URL of a login, by default that of the browser application. */
const authorization = Effect.fn("authorization")(function* (
  changes: Readonly<Record<string, string | undefined>> = {}
) {
  const { url } = yield* Sandbox.MovingImageSandbox
  const fields = {
    client_id: "browser-app",
    redirect_uri: redirectUri,
    response_mode: "query",
    response_type: "code",
    scope: "openid",
    state: "a-state",
    code_challenge: yield* challengeOf(verifier),
    code_challenge_method: "S256",
    ...changes
  }
  const given = Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return `${url}${protocol}/auth?${new URLSearchParams(given)}`
})
const withoutPkce = { code_challenge: undefined, code_challenge_method: undefined }

const codeOf = (changes?: Readonly<Record<string, string | undefined>>) =>
  Effect.map(Effect.flatMap(authorization(changes), signIn), ({ searchParams }) => searchParams.get("code") ?? "none")
const redeem = (code: string, changes: Readonly<Record<string, string>> = {}) =>
  token({
    client_id: "browser-app",
    grant_type: "authorization_code",
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
    ...changes
  })

describe("discovery", () => {
  const webfinger = Effect.flatMap(Sandbox.MovingImageSandbox, ({ url }) =>
    get(`/.well-known/webfinger?resource=${encodeURIComponent(`${url}/v1/`)}`)
  )

  test(
    "webfinger answers as documented: the issuer link is the configuration document, to be kept for an hour",
    Effect.gen(function* () {
      const { url } = yield* Sandbox.MovingImageSandbox
      yield* TestClock.adjust("1 minute")
      const { headers, json, status } = yield* webfinger
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "application/jrd+json")
      assert.strictEqual(headers["cache-control"], "max-age=3600")
      assert.strictEqual(headers["expires"], "Thu, 01 Jan 1970 01:01:00 GMT")
      assert.deepStrictEqual(json, {
        subject: `${url}/v1/`,
        properties: {
          [`${url}/v1/keycloak/realm`]: "platform",
          [`${url}/v1/keycloak/auth-server-url`]: `${url}/auth/`
        },
        links: [
          {
            rel: "http://openid.net/specs/connect/1.0/issuer",
            href: `${url}${realm}/.well-known/openid-configuration`
          }
        ]
      })
    })
  )

  test(
    "webfinger refuses a resource that is not the API, and none",
    Effect.gen(function* () {
      assert.strictEqual((yield* get("/.well-known/webfinger?resource=acct:me@example.org")).status, 404)
      assert.strictEqual((yield* get("/.well-known/webfinger")).status, 400)
    })
  )

  for (const [switches, links] of [
    [{ issuerLink: "issuer" }, (url: string) => [`${url}${realm}`]],
    [{ lies: ["link-insecure"] }, () => [`http://login.movingimage.com${realm}/.well-known/openid-configuration`]],
    [
      { lies: ["link-foreign"] },
      () => [`https://login.movingimage.com.example${realm}/.well-known/openid-configuration`]
    ],
    [{ lies: ["link-missing"] }, () => []]
  ] satisfies ReadonlyArray<readonly [Sandbox.Options, (url: string) => ReadonlyArray<string>]>) {
    test(
      `webfinger with ${JSON.stringify(switches)}`,
      Effect.gen(function* () {
        const { url } = yield* Sandbox.MovingImageSandbox
        const Jrd = Schema.Struct({ links: Schema.Array(Schema.Struct({ href: Schema.String })) })
        const { links: found } = yield* Schema.decodeUnknownEffect(Jrd)((yield* webfinger).json)
        assert.deepStrictEqual(
          found.map(({ href }) => href),
          links(url)
        )
      }),
      switches
    )
  }

  live(
    "a certified client accepts the configuration document, and notices one of another issuer",
    Effect.gen(function* () {
      const { issuer } = yield* Sandbox.MovingImageSandbox
      const server = yield* discovered
      assert.strictEqual(server.issuer, issuer)
      assert.strictEqual(server.token_endpoint, `${issuer}/protocol/openid-connect/token`)
      assert.isTrue(server.authorization_response_iss_parameter_supported)
      yield* configure({ lies: ["configuration-issuer"] })
      assert.match(String((yield* Effect.flip(discovered)).cause), /"issuer"/)
    })
  )

  test(
    "the configuration document may be kept as long as the switch says",
    Effect.gen(function* () {
      const { headers } = yield* get(`${realm}/.well-known/openid-configuration`)
      assert.strictEqual(headers["cache-control"], "max-age=60")
      assert.strictEqual(headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT")
    }),
    { discoveryLifetime: "1 minute" }
  )
})

const insecure = { [oauth.allowInsecureRequests]: true }
const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => Object.assign(new Error("refused"), { cause }) })
const discovered = Effect.flatMap(Sandbox.MovingImageSandbox, ({ issuer }) =>
  attempt(async () => {
    const url = new URL(issuer)
    return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure))
  })
)

describe("grant password", () => {
  test(
    "answers the documented request as documented",
    Effect.gen(function* () {
      const { headers, json, status } = yield* token(documented)
      const { access_token, id_token, refresh_token, session_state } = yield* decodeTokens(json)
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["cache-control"], "no-store")
      assert.deepStrictEqual(json, {
        access_token,
        expires_in: 300,
        refresh_expires_in: 3600,
        refresh_token,
        token_type: "bearer",
        id_token,
        "not-before-policy": 0,
        session_state,
        scope: "openid profile email"
      })
    })
  )

  test(
    "without the scope openid there is no ID token",
    Effect.gen(function* () {
      const answer = yield* tokens({ client_id: "anonymous", grant_type: "password", username, password })
      assert.isUndefined(answer.id_token)
    })
  )

  test(
    "its token is for all VideoManagers of the user, and no other",
    Effect.gen(function* () {
      const { access_token } = yield* login
      assert.strictEqual(yield* api(access_token, "/v1/vms"), 200)
      assert.strictEqual(yield* api(access_token, "/v1/vms/101/videos"), 200)
      assert.strictEqual(yield* api(access_token, "/v1/vms/102/channels"), 200)
      assert.strictEqual(yield* api(access_token, "/v1/vms/103/videos"), 403)
    })
  )

  test(
    "its token ends after five minutes on the server's clock",
    Effect.gen(function* () {
      const { access_token } = yield* login
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual(yield* api(access_token), 200)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* api(access_token), 401)
    })
  )

  test(
    "its refresh token is not for the JSON refresh",
    Effect.gen(function* () {
      const { refresh_token } = yield* login
      const request = HttpClientRequest.post("/v1/vms/auth/refresh/101").pipe(
        HttpClientRequest.bodyJsonUnsafe({ refreshToken: refresh_token })
      )
      assert.strictEqual((yield* execute(request)).status, 401)
    })
  )

  const refusals: ReadonlyArray<readonly [string, object, number, string, string]> = [
    ["a wrong password", { password: "wrong" }, 401, "invalid_grant", "Invalid user credentials"],
    ["an unknown user", { username: "nobody" }, 401, "invalid_grant", "Invalid user credentials"],
    ["a disabled account", { username: "disabled" }, 400, "invalid_grant", "Account disabled"],
    ["an unfinished account", { username: "unfinished" }, 400, "invalid_grant", "Account is not fully set up"],
    [
      "a client without that grant",
      { client_id: "browser-app" },
      400,
      "unauthorized_client",
      "Client not allowed for direct access grants"
    ],
    [
      "an unknown client",
      { client_id: "nobody" },
      401,
      "invalid_client",
      "Invalid client or Invalid client credentials"
    ],
    ["an unknown scope", { scope: "openid everything" }, 400, "invalid_scope", "Invalid scopes: openid everything"],
    ["an unknown grant", { grant_type: "magic" }, 400, "unsupported_grant_type", "Unsupported grant_type"]
  ]
  for (const [what, changes, status, error, description] of refusals) {
    test(
      `refuses ${what}: ${status} ${error}`,
      Effect.gen(function* () {
        refused(yield* token({ ...documented, ...changes }), status, error, description)
      }),
      {
        accounts: [
          ...Sandbox.defaultAccounts,
          { username: "disabled", password, videoManagers: [], disabled: true },
          { username: "unfinished", password, videoManagers: [], unfinished: true }
        ]
      }
    )
  }

  test(
    "refuses an unknown user with 400, as newer versions do",
    Effect.gen(function* () {
      invalidGrant(yield* token({ ...documented, username: "nobody" }), "Invalid user credentials")
    }),
    { unknownUserStatus: 400 }
  )

  test(
    "a locked account is refused in the words of a wrong password, with 400",
    Effect.gen(function* () {
      const wrong = token({ ...documented, password: "wrong" })
      invalidGrant(yield* wrong, "Invalid user credentials", 401)
      invalidGrant(yield* wrong, "Invalid user credentials", 401)
      invalidGrant(yield* token(documented), "Invalid user credentials")
      assert.deepInclude(yield* ledger, { loginsRefused: 3, loginsWhileLocked: 1, accountsLocked: 1 })
    }),
    { lockAfter: 2 }
  )

  test(
    "a form that is none, without a grant, or with a field twice is refused",
    Effect.gen(function* () {
      const json = HttpClientRequest.post(`${protocol}/token`).pipe(HttpClientRequest.bodyJsonUnsafe(documented))
      assert.strictEqual((yield* execute(json)).status, 415)
      const without = yield* token({ client_id: "anonymous" })
      refused(without, 400, "invalid_request", "Missing form parameter: grant_type")
      const twice = HttpClientRequest.post(`${protocol}/token`).pipe(
        HttpClientRequest.bodyUrlParams([...Object.entries(documented), ["username", "another"]])
      )
      refused(yield* execute(twice), 400, "invalid_request", "duplicated parameter")
    })
  )
})

describe("grant refresh_token", () => {
  test(
    "brings other tokens of the same session, and ends the hour anew",
    Effect.gen(function* () {
      const first = yield* login
      yield* TestClock.adjust("59 minutes")
      const second = yield* refreshed(first.refresh_token)
      assert.strictEqual(second.session_state, first.session_state)
      assert.notStrictEqual(second.refresh_token, first.refresh_token)
      assert.strictEqual(second.refresh_expires_in, 3600)
      assert.strictEqual(yield* api(second.access_token), 200)
      yield* TestClock.adjust("59 minutes")
      yield* refreshed(second.refresh_token)
    })
  )

  test(
    "a refresh token used again ends the session: the winner's tokens die too",
    Effect.gen(function* () {
      const first = yield* login
      const other = yield* login
      const winner = yield* refreshed(first.refresh_token)
      assert.strictEqual(yield* api(winner.access_token), 200)
      invalidGrant(yield* refresh(first.refresh_token), "Maximum allowed refresh token reuse exceeded")
      assert.strictEqual(yield* api(winner.access_token), 401)
      invalidGrant(yield* refresh(winner.refresh_token), "Session not active")
      assert.strictEqual(yield* api(other.access_token), 200)
      assert.deepStrictEqual((yield* ledger).refreshTokensSentTwice, ["refresh token #1"])
    })
  )

  test(
    "without revokesRefreshToken the old one goes on working beside the new one",
    Effect.gen(function* () {
      const first = yield* login
      const second = yield* refreshed(first.refresh_token)
      assert.notStrictEqual(second.refresh_token, first.refresh_token)
      yield* refreshed(first.refresh_token)
      yield* refreshed(second.refresh_token)
    }),
    { revokesRefreshToken: false }
  )

  test(
    "refuses a refresh token that is missing, not one, expired, or another client's",
    Effect.gen(function* () {
      const { refresh_token } = yield* login
      const missing = yield* token({ client_id: "anonymous", grant_type: "refresh_token" })
      refused(missing, 400, "invalid_request", "No refresh token")
      invalidGrant(yield* refresh("none"), "Invalid refresh token")
      const another = "Invalid refresh token. Token client and authorized client don't match"
      invalidGrant(yield* refresh(refresh_token, "device-app"), another)
      yield* TestClock.adjust("1 hour")
      invalidGrant(yield* refresh(refresh_token), "Token is not active")
    })
  )

  test(
    "another client's attempt does not spend the refresh token",
    Effect.gen(function* () {
      const { refresh_token } = yield* login
      yield* refresh(refresh_token, "device-app")
      yield* refreshed(refresh_token)
    })
  )

  test(
    "an account that was disabled since is refused",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const { refresh_token } = yield* login
      yield* sandbox.addAccount({ username, password, videoManagers: [], disabled: true })
      invalidGrant(yield* refresh(refresh_token), "User disabled")
    })
  )

  test(
    "the session's end is the end of both tokens, however late they were issued",
    Effect.gen(function* () {
      const first = yield* login
      yield* TestClock.adjust("58 minutes")
      const { access_token, expires_in, refresh_expires_in, refresh_token } = yield* refreshed(first.refresh_token)
      assert.deepStrictEqual({ expires_in, refresh_expires_in }, { expires_in: 120, refresh_expires_in: 120 })
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* api(access_token), 401)
      invalidGrant(yield* refresh(refresh_token), "Token is not active")
    }),
    { sessionMax: "1 hour" }
  )
})

describe("login page and grant authorization_code", () => {
  test(
    "the page is HTML with a labelled form, and leads back with code, state, issuer and session",
    Effect.gen(function* () {
      const { issuer } = yield* Sandbox.MovingImageSandbox
      const page = yield* open(yield* authorization())
      assert.strictEqual(page.status, 200)
      assert.strictEqual(page.headers["content-type"], "text/html; charset=utf-8")
      for (const part of ['<label for="username">', '<label for="password">', "browser-app"]) {
        assert.include(page.html, part)
      }
      const done = yield* submit(page, { username, password })
      assert.strictEqual(done.status, 302)
      const location = new URL(done.headers["location"] ?? "")
      assert.strictEqual(location.origin + location.pathname, redirectUri)
      const { code, session_state, ...rest } = Object.fromEntries(location.searchParams)
      assert.deepStrictEqual(rest, { state: "a-state", iss: issuer })
      const { json } = yield* redeem(code ?? "")
      assert.strictEqual((yield* decodeTokens(json)).session_state, session_state)
    })
  )

  test(
    "a wrong password shows the page again, with a message and the name kept",
    Effect.gen(function* () {
      const again = yield* submit(yield* open(yield* authorization()), { username, password: "wrong" })
      assert.strictEqual(again.status, 200)
      assert.include(again.html, "Invalid username or password.")
      assert.include(again.html, `value="${username}"`)
      assert.strictEqual((yield* submit(again, { username, password })).status, 302)
    })
  )

  test(
    "what was typed does not become part of the page",
    Effect.gen(function* () {
      const typed = '"><script>alert(1)</script>'
      const again = yield* submit(yield* open(yield* authorization()), { username: typed, password })
      assert.notInclude(again.html, "<script>")
    })
  )

  test(
    "cancelling leads back with access_denied",
    Effect.gen(function* () {
      const back = yield* signIn(yield* authorization(), { cancel: "true" })
      assert.strictEqual(back.searchParams.get("error"), "access_denied")
      assert.strictEqual(back.searchParams.get("state"), "a-state")
    })
  )

  test(
    "a form that led somewhere leads nowhere again",
    Effect.gen(function* () {
      const page = yield* open(yield* authorization())
      yield* submit(page, { username, password })
      assert.strictEqual((yield* submit(page, { username, password })).status, 400)
    })
  )

  for (const [what, changes] of [
    ["client", { client_id: "nobody" }],
    ["redirect URI", { redirect_uri: "https://evil.example/callback" }],
    ["redirect URI that only begins like one", { redirect_uri: "http://localhost.evil.example/callback" }],
    ["redirect URI with somebody else's host behind a name", { redirect_uri: "http://localhost@evil.example/" }],
    ["redirect URI, namely none", { redirect_uri: undefined }]
  ] as const) {
    test(
      `an unknown ${what} gets a page, 400, and leads nowhere`,
      Effect.gen(function* () {
        const page = yield* open(yield* authorization(changes))
        assert.strictEqual(page.status, 400)
        assert.isUndefined(page.headers["location"])
        assert.include(page.html, "We are sorry")
      })
    )
  }

  for (const [changes, error] of [
    [{ response_type: undefined }, "invalid_request"],
    [{ response_type: "token" }, "unsupported_response_type"],
    [{ response_mode: "form_post" }, "invalid_request"],
    [{ scope: "everything" }, "invalid_scope"],
    [{ prompt: "none" }, "login_required"],
    [withoutPkce, "invalid_request"],
    [{ code_challenge_method: "plain" }, "invalid_request"]
  ] as const) {
    test(
      `a request with ${JSON.stringify(changes, (_key, value) => value ?? null)} leads back with ${error}`,
      Effect.gen(function* () {
        const { headers } = yield* open(yield* authorization(changes))
        const { searchParams } = new URL(headers["location"] ?? "")
        assert.strictEqual(searchParams.get("error"), error)
        assert.strictEqual(searchParams.get("state"), "a-state")
      })
    )
  }

  test(
    "a code works once; a second time it ends the session that it began",
    Effect.gen(function* () {
      const code = yield* codeOf()
      const { access_token, refresh_token } = yield* decodeTokens((yield* redeem(code)).json)
      assert.strictEqual(yield* api(access_token), 200)
      invalidGrant(yield* redeem(code), "Code not valid")
      assert.strictEqual(yield* api(access_token), 401)
      const again = yield* token({
        client_id: "browser-app",
        grant_type: "refresh_token",
        refresh_token: refresh_token ?? ""
      })
      invalidGrant(again, "Session not active")
    })
  )

  for (const [what, changes, description] of [
    ["another redirect URI", { redirect_uri: `${redirectUri}/other` }, "Incorrect redirect_uri"],
    ["another client", { client_id: "device-app" }, "Auth error: Found different client_id in clientSession"],
    ["another verifier", { code_verifier: `${verifier}-other` }, "PKCE verification failed: Code mismatch"],
    ["half a verifier", { code_verifier: "short" }, "PKCE verification failed: Invalid code verifier"],
    ["no code that it gave", { code: "none" }, "Code not valid"]
  ] as const) {
    test(
      `a code with ${what} is refused`,
      Effect.gen(function* () {
        invalidGrant(yield* redeem(yield* codeOf(), changes), description)
      })
    )
  }

  test(
    "a code that was refused once does not work with the right verifier either",
    Effect.gen(function* () {
      const code = yield* codeOf()
      yield* redeem(code, { code_verifier: `${verifier}-other` })
      invalidGrant(yield* redeem(code), "Code not valid")
    })
  )

  test(
    "a code is refused without its verifier, and with one that nobody announced",
    Effect.gen(function* () {
      const form = { client_id: "browser-app", grant_type: "authorization_code", redirect_uri: redirectUri }
      invalidGrant(yield* token({ ...form, code: yield* codeOf() }), "PKCE code verifier not specified")
      const confidential = { client_id: "server-app", client_secret: clientSecret }
      const code = yield* codeOf({ client_id: "server-app", ...withoutPkce })
      const answer = yield* redeem(code, confidential)
      invalidGrant(answer, "PKCE verification failed: Code mismatch")
    })
  )

  test(
    "a code expires",
    Effect.gen(function* () {
      const code = yield* codeOf()
      yield* TestClock.adjust("1 minute")
      invalidGrant(yield* redeem(code), "Code is expired")
    })
  )

  test(
    "of two that redeem one code at the same time, one gets tokens, and loses them",
    Effect.gen(function* () {
      const code = yield* codeOf()
      const answers = yield* Effect.all([redeem(code), redeem(code)], { concurrency: "unbounded" })
      assert.isAtMost(answers.filter(({ status }) => status === 200).length, 1)
      for (const { json, status } of answers) {
        if (status === 200) assert.strictEqual(yield* api((yield* decodeTokens(json)).access_token), 401)
      }
    })
  )

  for (const lie of ["redirect-issuer", "redirect-state"] as const) {
    test(
      `lies ${lie}`,
      Effect.gen(function* () {
        const { issuer } = yield* Sandbox.MovingImageSandbox
        const { searchParams } = yield* signIn(yield* authorization())
        assert.strictEqual(searchParams.get("iss") === issuer, lie !== "redirect-issuer")
        assert.strictEqual(searchParams.get("state") === "a-state", lie !== "redirect-state")
      }),
      { lies: [lie] }
    )
  }
})

describe("client authentication", () => {
  const form = { grant_type: "client_credentials" }

  test(
    "takes a secret by Basic and in the form",
    Effect.gen(function* () {
      yield* tokens(form, basic("service-app", clientSecret))
      yield* tokens({ ...form, client_id: "service-app", client_secret: clientSecret })
    })
  )

  test(
    "decodes what Basic carries as a form does",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      yield* sandbox.addClient({ id: "a b", secret: "50% of +&:", grants: ["client_credentials"] })
      yield* tokens(form, basic("a+b", encodeURIComponent("50% of +&:")))
    })
  )

  test(
    "refuses a wrong secret in Keycloak's words",
    Effect.gen(function* () {
      const answer = yield* token(form, basic("service-app", "wrong"))
      refused(answer, 401, "unauthorized_client", "Invalid client or Invalid client credentials")
    })
  )

  test(
    "refuses a wrong secret as RFC 6749 has it, and asks for Basic where Basic was tried",
    Effect.gen(function* () {
      const answer = yield* token(form, basic("service-app", "wrong"))
      refused(answer, 401, "invalid_client", "Invalid client or Invalid client credentials")
      assert.strictEqual(answer.headers["www-authenticate"], 'Basic realm="platform"')
      const posted = yield* token({ ...form, client_id: "service-app", client_secret: "wrong" })
      assert.isUndefined(posted.headers["www-authenticate"])
    }),
    { wrongSecretError: "invalid_client" }
  )

  test(
    "refuses a confidential client without its secret, and a request of nobody",
    Effect.gen(function* () {
      assert.strictEqual((yield* token({ ...form, client_id: "service-app" })).status, 401)
      refused(yield* token(form), 400, "invalid_client", "Missing client_id parameter")
    })
  )
})

describe("grant client_credentials", () => {
  const asService = { grant_type: "client_credentials", client_id: "service-app", client_secret: clientSecret }

  test(
    "brings no refresh token, and sees the client's own VideoManagers",
    Effect.gen(function* () {
      const { access_token, refresh_expires_in, refresh_token } = yield* tokens(asService)
      assert.isUndefined(refresh_token)
      assert.strictEqual(refresh_expires_in, 0)
      assert.strictEqual(yield* api(access_token, "/v1/vms/102/videos"), 200)
    })
  )

  test(
    "is refused to public clients, and to confidential ones that may not",
    Effect.gen(function* () {
      const open = yield* token({ grant_type: "client_credentials", client_id: "anonymous" })
      refused(open, 401, "unauthorized_client", "Public client not allowed to retrieve service account")
      const closed = yield* token({ ...asService, client_id: "server-app" })
      refused(closed, 401, "unauthorized_client", "Client not enabled to retrieve service account")
    })
  )
})

const Device = Schema.Struct({
  device_code: Schema.String,
  user_code: Schema.String,
  verification_uri: Schema.String,
  verification_uri_complete: Schema.String,
  expires_in: Schema.Finite,
  interval: Schema.Finite
})

describe("device authorization", () => {
  const begin = Effect.flatMap(
    post(`${protocol}/auth/device`, { client_id: "device-app", scope: "openid" }),
    ({ json }) => Schema.decodeUnknownEffect(Device)(json)
  )
  const poll = ({ device_code }: typeof Device.Type) =>
    token({ client_id: "device-app", grant_type: "urn:ietf:params:oauth:grant-type:device_code", device_code })
  const pending = (answer: Parameters<typeof refused>[0]) =>
    refused(answer, 400, "authorization_pending", "The authorization request is still pending")

  test(
    "gives a code for the person, which the page takes in small letters and without its hyphen",
    Effect.gen(function* () {
      const device = yield* begin
      assert.match(device.user_code, /^[A-Z]{4}-[A-Z]{4}$/)
      assert.deepInclude(device, { expires_in: 600, interval: 5 })
      pending(yield* poll(device))
      const asked = yield* open(device.verification_uri)
      assert.include(asked.html, '<label for="user_code">')
      const page = yield* submit(asked, { user_code: device.user_code.toLowerCase().replace("-", "") })
      assert.include((yield* submit(page, { username, password })).html, "Device Login Successful")
      yield* TestClock.adjust("5 seconds")
      const { access_token, id_token } = yield* decodeTokens((yield* poll(device)).json)
      assert.isDefined(id_token)
      assert.strictEqual(yield* api(access_token), 200)
      invalidGrant(yield* poll(device), "Device code not valid")
    })
  )

  test(
    "who asks too soon is told to slow down, and may ask when the interval is over",
    Effect.gen(function* () {
      const device = yield* begin
      pending(yield* poll(device))
      yield* TestClock.adjust("4999 millis")
      refused(yield* poll(device), 400, "slow_down", "Slow down")
      yield* TestClock.adjust("1 millis")
      pending(yield* poll(device))
    })
  )

  test(
    "a refusal of the person is access_denied",
    Effect.gen(function* () {
      const device = yield* begin
      const denied = yield* submit(yield* open(device.verification_uri_complete), { cancel: "true" })
      assert.include(denied.html, "Device Login Failed")
      refused(yield* poll(device), 400, "access_denied", "The end user denied the authorization request")
    })
  )

  test(
    "of two people with the page of one device, the second one comes too late",
    Effect.gen(function* () {
      const device = yield* begin
      const [first, second] = [
        yield* open(device.verification_uri_complete),
        yield* open(device.verification_uri_complete)
      ]
      yield* submit(first, { username, password })
      yield* decodeTokens((yield* poll(device)).json)
      assert.strictEqual((yield* submit(second, { username, password })).status, 400)
      invalidGrant(yield* poll(device), "Device code not valid")
    })
  )

  test(
    "codes expire, on the page and for the device",
    Effect.gen(function* () {
      const device = yield* begin
      yield* TestClock.adjust("10 minutes")
      refused(yield* poll(device), 400, "expired_token", "Device code is expired")
      assert.include((yield* open(device.verification_uri_complete)).html, "Invalid code, please try again.")
    })
  )

  test(
    "is refused to a client that may not",
    Effect.gen(function* () {
      const answer = yield* post(`${protocol}/auth/device`, { client_id: "anonymous" })
      assert.strictEqual(answer.status, 400)
      assert.propertyVal(answer.json, "error", "unauthorized_client")
    })
  )
})

describe("revocation and logout", () => {
  const revoke = (text: string | undefined, client = "anonymous") =>
    post(`${protocol}/revoke`, { client_id: client, token: text ?? "none" })

  test(
    "a revoked refresh token ends its session, and no other",
    Effect.gen(function* () {
      const [first, other] = [yield* login, yield* login]
      assert.strictEqual((yield* revoke(first.refresh_token)).status, 200)
      invalidGrant(yield* refresh(first.refresh_token), "Session not active")
      assert.strictEqual(yield* api(first.access_token), 401)
      assert.strictEqual(yield* api(other.access_token), 200)
      assert.deepInclude(yield* ledger, { revocations: 1, sessionsEnded: 1 })
    })
  )

  test(
    "in older Keycloaks it ends all sessions of that user with that client",
    Effect.gen(function* () {
      const [first, other] = [yield* login, yield* login]
      const stranger = yield* tokens({ ...documented, username: "<USERNAME>", password: "<PASSWORD>" })
      yield* revoke(first.refresh_token)
      invalidGrant(yield* refresh(other.refresh_token), "Session not active")
      assert.strictEqual(yield* api(stranger.access_token), 200)
    }),
    { revocationEnds: "sessions-of-client" }
  )

  test(
    "a revoked access token is refused, and its session lives on",
    Effect.gen(function* () {
      const { access_token, refresh_token } = yield* login
      yield* revoke(access_token)
      assert.strictEqual(yield* api(access_token), 401)
      yield* refreshed(refresh_token)
    })
  )

  test(
    "an unknown token is answered with 200, none and another client's with 400",
    Effect.gen(function* () {
      const { access_token, refresh_token } = yield* login
      assert.strictEqual((yield* revoke("none")).status, 200)
      const missing = yield* post(`${protocol}/revoke`, { client_id: "anonymous" })
      refused(missing, 400, "invalid_request", "Token not provided")
      refused(yield* revoke(refresh_token, "device-app"), 400, "invalid_request", "Unmatching clients")
      assert.strictEqual(yield* api(access_token), 200)
    })
  )

  test(
    "a logout with the ID token ends its session and leads to a registered URI, with the state",
    Effect.gen(function* () {
      const code = yield* codeOf()
      const { access_token, id_token = "" } = yield* decodeTokens((yield* redeem(code)).json)
      const query = new URLSearchParams({
        id_token_hint: id_token,
        post_logout_redirect_uri: redirectUri,
        state: "bye"
      })
      const { headers, status } = yield* get(`${protocol}/logout?${query}`)
      assert.strictEqual(status, 302)
      assert.strictEqual(headers["location"], `${redirectUri}?state=bye`)
      assert.strictEqual(yield* api(access_token), 401)
    })
  )

  test(
    "a logout leads to no other URI",
    Effect.gen(function* () {
      const query = new URLSearchParams({ client_id: "browser-app", post_logout_redirect_uri: "https://evil.example/" })
      assert.strictEqual((yield* get(`${protocol}/logout?${query}`)).status, 400)
    })
  )

  test(
    "a logout with the refresh token is answered with 204",
    Effect.gen(function* () {
      const { access_token, refresh_token = "" } = yield* login
      const { status } = yield* post(`${protocol}/logout`, { client_id: "anonymous", refresh_token })
      assert.strictEqual(status, 204)
      assert.strictEqual(yield* api(access_token), 401)
    })
  )
})

describe("pages of other origins", () => {
  const from = (origin: string) => ({ origin })
  const allowed = (answer: { readonly headers: Readonly<Record<string, string | undefined>> }) =>
    answer.headers["access-control-allow-origin"]
  const asBrowser = { ...documented, client_id: "browser-app" }

  test(
    "those that a public client may lead back to may read what it is answered",
    Effect.gen(function* () {
      const origin = "http://localhost:5173"
      assert.strictEqual(allowed(yield* token(asBrowser, from(origin))), origin)
      assert.strictEqual(allowed(yield* post(`${protocol}/revoke`, { client_id: "browser-app" }, from(origin))), origin)
    })
  )

  for (const [what, client, origin] of [
    ["others", "browser-app", "https://evil.example"],
    ["files", "browser-app", "null"],
    ["those of a confidential client", "server-app", "http://localhost:5173"]
  ] as const) {
    test(
      `${what} may not`,
      Effect.gen(function* () {
        const form = { ...documented, client_id: client, client_secret: clientSecret }
        assert.isUndefined(allowed(yield* token(form, from(origin))))
      })
    )
  }

  test(
    "all may read the documents, none the login page",
    Effect.gen(function* () {
      const origin = from("https://evil.example")
      assert.strictEqual(allowed(yield* get(`${realm}/.well-known/openid-configuration`, origin)), "*")
      assert.strictEqual(allowed(yield* get(`${protocol}/certs`, origin)), "*")
      const { url } = yield* Sandbox.MovingImageSandbox
      assert.isUndefined(allowed(yield* get((yield* authorization()).slice(url.length), origin)))
    })
  )
})

describe("faults and ledger", () => {
  const requests: ReadonlyArray<readonly [Sandbox.FaultKind["_tag"], Sandbox.FaultKind]> = [
    ["DropBefore", { _tag: "DropBefore" }],
    ["DropAfter", { _tag: "DropAfter" }]
  ]
  for (const [name, kind] of requests) {
    test(
      `${name} on "refresh" meets the refresh at the token endpoint, not the login`,
      Effect.gen(function* () {
        yield* inject("refresh", kind)
        const first = yield* login
        yield* Effect.flip(refresh(first.refresh_token))
        const { refreshes, refreshesAccepted } = yield* ledger
        assert.deepStrictEqual([refreshes, refreshesAccepted], [1, name === "DropAfter" ? 1 : 0])
        const again = yield* refresh(first.refresh_token)
        assert.strictEqual(again.status, name === "DropAfter" ? 400 : 200)
        assert.deepStrictEqual((yield* ledger).refreshTokensSentTwice, ["refresh token #1"])
      })
    )
  }

  test(
    "statuses, pages and half answers come from the token endpoint as well",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Status", status: 503 })
      yield* inject("login", { _tag: "Html", status: 200 })
      yield* inject("login", { _tag: "RateLimited", retryAfter: 3 })
      assert.strictEqual((yield* token(documented)).status, 503)
      assert.match((yield* token(documented)).text, /^<!DOCTYPE html>/)
      assert.strictEqual((yield* token(documented)).status, 429)
      assert.strictEqual((yield* token(documented)).status, 200)
    })
  )

  test(
    "a fault for the API does not meet the login service, one by path does",
    Effect.gen(function* () {
      yield* inject("api", { _tag: "Status", status: 500 })
      yield* inject((_method, path) => path.endsWith("openid-configuration"), { _tag: "Status", status: 502 })
      assert.strictEqual((yield* get(`${realm}/.well-known/openid-configuration`)).status, 502)
      const { access_token } = yield* login
      assert.strictEqual(yield* api(access_token), 500)
    })
  )

  test(
    "each exchange is written down: grant, client, refresh token, status, error",
    Effect.gen(function* () {
      const { refresh_token } = yield* login
      yield* refresh(refresh_token)
      yield* refresh(refresh_token)
      yield* token({ ...documented, client_id: "nobody", grant_type: "magic" })
      const { grants } = yield* ledger
      const entry = { at: 0, client: "anonymous", refreshToken: undefined, error: undefined }
      const refreshing = { ...entry, grant: "refresh_token", refreshToken: "refresh token #1" }
      assert.deepStrictEqual(grants, [
        { ...entry, grant: "password", status: 200 },
        { ...refreshing, status: 200 },
        { ...refreshing, status: 400, error: "invalid_grant" },
        { ...entry, grant: "other", client: undefined, status: 400, error: "unsupported_grant_type" }
      ])
    })
  )

  test(
    "the login service is no part of the API's counts",
    Effect.gen(function* () {
      yield* get(`${realm}/.well-known/openid-configuration`)
      yield* token({ ...documented, password: "wrong" })
      const code = yield* codeOf()
      yield* redeem(code)
      assert.deepInclude(yield* ledger, { requests: 0, unauthorized: 0, logins: 2, loginsAccepted: 1 })
    })
  )

  test(
    "no secret is in the ledger",
    Effect.gen(function* () {
      const code = yield* codeOf()
      const first = yield* decodeTokens((yield* redeem(code)).json)
      yield* token({ grant_type: "client_credentials" }, basic("service-app", clientSecret))
      const issued = [first.access_token, first.refresh_token ?? "", first.id_token ?? ""]
      const secrets = [username, password, clientSecret, code, verifier, ...issued]
      // Each of them as part of a path, which a client may get wrong.
      for (const secret of secrets) yield* get(`/${encodeURIComponent(secret)}`)
      const shown = JSON.stringify(yield* ledger)
      for (const secret of secrets) assert.notInclude(shown, secret)
    })
  )

  test(
    "revokeRefreshTokens and revokeAccessTokens are for these tokens as well",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const { access_token, refresh_token } = yield* login
      yield* sandbox.revokeAccessTokens
      assert.strictEqual(yield* api(access_token), 401)
      yield* sandbox.revokeRefreshTokens
      invalidGrant(yield* refresh(refresh_token), "Session not active")
    })
  )
})

describe("a certified client", () => {
  /** Code with PKCE, up to the validated tokens. */
  const withCode = Effect.fn("withCode")(function* (client: oauth.Client, authentication: oauth.ClientAuth) {
    const server = yield* discovered
    const codeVerifier = oauth.generateRandomCodeVerifier()
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
    const challenge = yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(codeVerifier))
    const back = yield* signIn(
      yield* authorization({ client_id: client.client_id, state, nonce, code_challenge: challenge })
    )
    return yield* attempt(async () => {
      const params = oauth.validateAuthResponse(server, client, back, state)
      const response = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        authentication,
        params,
        redirectUri,
        codeVerifier,
        insecure
      )
      const result = await oauth.processAuthorizationCodeResponse(server, client, response, {
        expectedNonce: nonce,
        requireIdToken: true
      })
      await oauth.validateApplicationLevelSignature(server, response, insecure)
      return { result, claims: oauth.getValidatedIdTokenClaims(result) }
    })
  })
  const browser = withCode({ client_id: "browser-app" }, oauth.None())

  live(
    "gets tokens by code with PKCE, and accepts the ID token, its nonce and its signature",
    Effect.gen(function* () {
      const { issuer } = yield* Sandbox.MovingImageSandbox
      const { claims, result } = yield* browser
      assert.deepInclude(claims, { aud: "browser-app", iss: issuer, preferred_username: username })
      assert.strictEqual(yield* api(result.access_token), 200)
    })
  )

  live(
    "refreshes, and the user of the ID token stays the same",
    Effect.gen(function* () {
      const server = yield* discovered
      const client = { client_id: "browser-app" }
      const { claims, result } = yield* browser
      const second = yield* attempt(async () => {
        const response = await oauth.refreshTokenGrantRequest(
          server,
          client,
          oauth.None(),
          result.refresh_token ?? "",
          insecure
        )
        return oauth.processRefreshTokenResponse(server, client, response)
      })
      assert.strictEqual(oauth.getValidatedIdTokenClaims(second)?.sub, claims?.sub)
    })
  )

  for (const [name, authentication] of [
    ["client_secret_basic", oauth.ClientSecretBasic],
    ["client_secret_post", oauth.ClientSecretPost]
  ] as const) {
    live(
      `authenticates by ${name}`,
      Effect.gen(function* () {
        const { result } = yield* withCode({ client_id: "server-app" }, authentication(clientSecret))
        assert.strictEqual(result.token_type, "bearer")
      })
    )
  }

  for (const [lie, notice] of [
    ["redirect-issuer", 'unexpected "iss" (issuer) response parameter value'],
    ["redirect-state", 'unexpected "state" response parameter value'],
    ["id-token-issuer", 'unexpected JWT "iss" (issuer) claim value'],
    ["id-token-audience", 'unexpected JWT "aud" (audience) claim value'],
    ["id-token-nonce", 'unexpected ID Token "nonce" claim value'],
    ["id-token-signature", "JWT signature verification failed"]
  ] as const) {
    live(
      `notices ${lie}`,
      Effect.gen(function* () {
        assert.strictEqual(String((yield* Effect.flip(browser)).cause), `OperationProcessingError: ${notice}`)
      }),
      { lies: [lie] }
    )
  }

  live(
    "gets tokens by client credentials",
    Effect.gen(function* () {
      const server = yield* discovered
      const client = { client_id: "service-app" }
      const { access_token } = yield* attempt(async () => {
        const response = await oauth.clientCredentialsGrantRequest(
          server,
          client,
          oauth.ClientSecretBasic(clientSecret),
          {},
          insecure
        )
        return oauth.processClientCredentialsResponse(server, client, response)
      })
      assert.strictEqual(yield* api(access_token), 200)
    })
  )

  live(
    "gets tokens on a device, and is told that it has to wait",
    Effect.gen(function* () {
      const server = yield* discovered
      const client = { client_id: "device-app" }
      const device = yield* attempt(async () => {
        const form = new URLSearchParams({ scope: "openid" })
        const response = await oauth.deviceAuthorizationRequest(server, client, oauth.None(), form, insecure)
        return oauth.processDeviceAuthorizationResponse(server, client, response)
      })
      const poll = attempt(async () => {
        const response = await oauth.deviceCodeGrantRequest(server, client, oauth.None(), device.device_code, insecure)
        return oauth.processDeviceCodeResponse(server, client, response)
      })
      const { cause } = yield* Effect.flip(poll)
      assert.strictEqual(cause instanceof oauth.ResponseBodyError ? cause.error : cause, "authorization_pending")
      yield* submit(yield* open(device.verification_uri_complete ?? ""), { username, password })
      const { access_token } = yield* poll
      assert.strictEqual(yield* api(access_token), 200)
    }),
    { devicePollingInterval: "1 millis" }
  )

  live(
    "revokes",
    Effect.gen(function* () {
      const server = yield* discovered
      const client = { client_id: "browser-app" }
      const { result } = yield* browser
      yield* attempt(async () => {
        const text = result.refresh_token ?? ""
        return oauth.processRevocationResponse(
          await oauth.revocationRequest(server, client, oauth.None(), text, insecure)
        )
      })
      assert.strictEqual(yield* api(result.access_token), 401)
    })
  )
})

describe("claims", () => {
  test(
    "access and refresh tokens say whose, for which client, of which session and issuer",
    Effect.gen(function* () {
      const { issuer } = yield* Sandbox.MovingImageSandbox
      const { access_token, id_token, refresh_token, session_state } = yield* login
      const common = { iss: issuer, sub: claimsOf(id_token)["sub"], azp: "anonymous", sid: session_state, iat: 0 }
      assert.deepInclude(claimsOf(access_token), { ...common, typ: "Bearer", aud: "account", exp: 300 })
      assert.deepInclude(claimsOf(refresh_token), { ...common, typ: "Refresh", aud: issuer, exp: 3600 })
      assert.deepInclude(claimsOf(id_token), { ...common, typ: "ID", aud: "anonymous", exp: 300 })
    })
  )

  test(
    "the server's clock shows in all of them",
    Effect.gen(function* () {
      const { access_token, id_token } = yield* login
      assert.deepInclude(claimsOf(access_token), { iat: 300, exp: 600 })
      assert.deepInclude(claimsOf(id_token), { iat: 300, exp: 600 })
    }),
    { clockSkew: "5 minutes" }
  )
})
