/** The server that OAuth tests run against does what it says, by the word of a client that is not ours: `oauth4webapi`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as oauth from "oauth4webapi"
import * as OidcProvider from "../support/oidcProvider.ts"

const insecure = { [oauth.allowInsecureRequests]: true }
const redirectUri = "http://127.0.0.1:49152/callback"
const deviceCodeGrant = "urn:ietf:params:oauth:grant-type:device_code"

type Provider = OidcProvider.OidcProvider

/** What is written to the console meanwhile: oidc-provider says there, once for a process, what it would rather not have. */
const overheard = Effect.acquireRelease(
  Effect.sync(() => {
    const { info, warn } = console
    const lines: Array<unknown> = []
    console.info = console.warn = (line: unknown) => void lines.push(line)
    return { info, warn, lines }
  }),
  ({ info, warn }) => Effect.sync(() => Object.assign(console, { info, warn }))
)

const test = <E>(
  name: string,
  body: (provider: Provider) => Effect.Effect<void, E, Scope.Scope>,
  options?: OidcProvider.Options
) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const { lines } = yield* overheard
      const provider = yield* OidcProvider.make(options)
      yield* body(provider)
      assert.deepStrictEqual([...(yield* provider.ledger).serverErrors, ...lines], [])
    })
  )

/** The OAuth error code of what the client threw; anything else is a defect. */
const attempt = <A>(evaluate: () => Promise<A>): Effect.Effect<A, string> =>
  Effect.catchDefect(Effect.promise(evaluate), (error) =>
    error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError
      ? Effect.fail(error.error)
      : Effect.die(error)
  )

const discover = ({ issuer }: Provider) =>
  attempt(async () => {
    const url = new URL(issuer)
    return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure))
  })

const methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const
type Method = (typeof methods)[number]

/** Who asks, and how it shows that. */
const identify = ({ clients }: Provider, method: Method): { client: oauth.Client; auth: oauth.ClientAuth } => {
  const client = { client_id: clients[method].clientId }
  switch (method) {
    case "none":
      return { client, auth: oauth.None() }
    case "client_secret_basic":
      return { client, auth: oauth.ClientSecretBasic(clients[method].clientSecret) }
    case "client_secret_post":
      return { client, auth: oauth.ClientSecretPost(clients[method].clientSecret) }
    case "private_key_jwt":
      return { client, auth: oauth.PrivateKeyJwt({ key: clients[method].privateKey, kid: clients[method].kid }) }
  }
}

/** What of a flow is told to the server and checked afterwards. */
const authorization = Effect.fnUntraced(function* (
  provider: Provider,
  method: Method,
  parameters: Readonly<Record<string, string>> = {}
) {
  const server = yield* discover(provider)
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  const challenge = yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(verifier))
  const url = new URL(server.authorization_endpoint ?? "")
  url.search = new URLSearchParams({
    client_id: provider.clients[method].clientId,
    response_type: "code",
    redirect_uri: redirectUri,
    scope: "openid",
    code_challenge: challenge,
    code_challenge_method: "S256",
    state,
    nonce,
    ...parameters
  }).toString()
  return { server, verifier, state, nonce, url, ...identify(provider, method) }
})

type Authorization = Effect.Success<ReturnType<typeof authorization>>

const exchangeCode = (
  { auth, client, nonce, server, state, verifier }: Authorization,
  callback: URL
): Effect.Effect<oauth.TokenEndpointResponse, string> =>
  attempt(async () => {
    const parameters = oauth.validateAuthResponse(server, client, callback, state)
    const response = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      auth,
      parameters,
      redirectUri,
      verifier,
      insecure
    )
    return oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce })
  })

const login = Effect.fnUntraced(function* (
  provider: Provider,
  method: Method = "none",
  parameters?: Readonly<Record<string, string>>
) {
  const flow = yield* authorization(provider, method, parameters)
  return { ...flow, tokens: yield* exchangeCode(flow, yield* provider.signIn(flow.url)) }
})

const refresh = ({ auth, client, server }: Authorization, refreshToken: string | undefined) =>
  attempt(async () => {
    const response = await oauth.refreshTokenGrantRequest(server, client, auth, refreshToken ?? "", insecure)
    return oauth.processRefreshTokenResponse(server, client, response)
  })

const generic = Effect.fnUntraced(function* (
  provider: Provider,
  method: Method,
  grantType: string,
  parameters: Record<string, string>
) {
  const server = yield* discover(provider)
  const { auth, client } = identify(provider, method)
  return yield* attempt(async () => {
    const response = await oauth.genericTokenEndpointRequest(server, client, auth, grantType, parameters, insecure)
    return oauth.processGenericTokenEndpointResponse(server, client, response)
  })
})

const get = (url: string, accessToken?: string) =>
  Effect.promise(async () => {
    const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
    const response = await fetch(url, { headers })
    const challenge = response.headers.get("www-authenticate")
    return { status: response.status, challenge, text: await response.text() }
  })

describe("authorization code", () => {
  for (const method of methods)
    test(`with PKCE, state, nonce and iss gives tokens that are in force, to a client by ${method}`, (provider) =>
      Effect.gen(function* () {
        const flow = yield* authorization(provider, method)
        const callback = yield* provider.signIn(flow.url)
        assert.strictEqual(callback.origin + callback.pathname, redirectUri)
        assert.strictEqual(callback.searchParams.get("iss"), provider.issuer)
        const tokens = yield* exchangeCode(flow, callback)
        assert.strictEqual(oauth.getValidatedIdTokenClaims(tokens)?.sub, provider.account.login)
        assert.isTrue(yield* provider.isValid(tokens.access_token))
        const { accessTokensIssued, refreshTokensIssued, tokenRequests } = yield* provider.ledger
        assert.deepStrictEqual(
          { accessTokensIssued, refreshTokensIssued },
          { accessTokensIssued: 1, refreshTokensIssued: 1 }
        )
        assert.deepStrictEqual(tokenRequests, [
          {
            clientId: provider.clients[method].clientId,
            authentication: method,
            credential: OidcProvider.hash(callback.searchParams.get("code") ?? ""),
            status: 200,
            error: undefined,
            grantType: "authorization_code",
            scope: undefined,
            resource: undefined
          }
        ])
      }))

  test("is refused without PKCE", (provider) =>
    Effect.gen(function* () {
      const flow = yield* authorization(provider, "client_secret_basic")
      flow.url.searchParams.delete("code_challenge")
      flow.url.searchParams.delete("code_challenge_method")
      const callback = yield* provider.signIn(flow.url)
      assert.strictEqual(callback.searchParams.get("error"), "invalid_request")
    }))

  test("is refused with another verifier", (provider) =>
    Effect.gen(function* () {
      const flow = yield* authorization(provider, "none")
      const callback = yield* provider.signIn(flow.url)
      const other = { ...flow, verifier: oauth.generateRandomCodeVerifier() }
      assert.strictEqual(yield* Effect.flip(exchangeCode(other, callback)), "invalid_grant")
    }))

  test("used again ends the tokens it was traded for", (provider) =>
    Effect.gen(function* () {
      const flow = yield* authorization(provider, "none")
      const callback = yield* provider.signIn(flow.url)
      const tokens = yield* exchangeCode(flow, callback)
      assert.strictEqual(yield* Effect.flip(exchangeCode(flow, callback)), "invalid_grant")
      assert.isFalse(yield* provider.isValid(tokens.access_token))
      assert.strictEqual((yield* provider.ledger).grantsRevoked, 1)
    }))

  test("that the user does not consent to comes back as access_denied", (provider) =>
    Effect.gen(function* () {
      const flow = yield* authorization(provider, "none")
      const callback = yield* provider.signIn(flow.url, { consent: false })
      assert.strictEqual(yield* Effect.flip(exchangeCode(flow, callback)), "access_denied")
      assert.deepStrictEqual((yield* provider.ledger).tokenRequests, [])
    }))

  test("to a redirect URI that is not registered ends on a page that says so", (provider) =>
    Effect.gen(function* () {
      const flow = yield* authorization(provider, "none", { redirect_uri: "http://127.0.0.1:49152/elsewhere" })
      const error = yield* Effect.flip(provider.signIn(flow.url))
      assert.include(error.message, "invalid_redirect_uri")
    }))

  test("needs no login again in a browser that is signed in", (provider) =>
    Effect.gen(function* () {
      const cookies = new OidcProvider.Cookies()
      const first = yield* authorization(provider, "none")
      yield* provider.signIn(first.url, { cookies, login: "berta" })
      const second = yield* authorization(provider, "none")
      const callback = yield* provider.signIn(second.url, { cookies, login: "somebody else" })
      const tokens = yield* exchangeCode(second, callback)
      assert.strictEqual(oauth.getValidatedIdTokenClaims(tokens)?.sub, "berta")
    }))
})

describe("refresh token", () => {
  test("rotates: the old one is spent, the new one works", (provider) =>
    Effect.gen(function* () {
      const flow = yield* login(provider)
      const second = yield* refresh(flow, flow.tokens.refresh_token)
      assert.notStrictEqual(second.refresh_token, flow.tokens.refresh_token)
      const third = yield* refresh(flow, second.refresh_token)
      assert.isTrue(yield* provider.isValid(third.access_token))
      const { refreshTokensConsumed, refreshTokensSentTwice } = yield* provider.ledger
      assert.deepStrictEqual(
        { refreshTokensConsumed, refreshTokensSentTwice },
        { refreshTokensConsumed: 2, refreshTokensSentTwice: [] }
      )
    }))

  test("sent again ends everything its login led to", (provider) =>
    Effect.gen(function* () {
      const flow = yield* login(provider)
      const first = flow.tokens.refresh_token ?? ""
      const second = yield* refresh(flow, first)
      assert.isTrue(yield* provider.isValid(second.access_token))
      assert.strictEqual(yield* Effect.flip(refresh(flow, first)), "invalid_grant")
      assert.isFalse(yield* provider.isValid(second.access_token))
      assert.strictEqual(yield* Effect.flip(refresh(flow, second.refresh_token)), "invalid_grant")
      const { grantsRevoked, refreshTokensSentTwice } = yield* provider.ledger
      assert.deepStrictEqual(
        { grantsRevoked, refreshTokensSentTwice },
        { grantsRevoked: 1, refreshTokensSentTwice: [OidcProvider.hash(first)] }
      )
    }))

  test(
    "stays in force where it does not rotate",
    (provider) =>
      Effect.gen(function* () {
        const flow = yield* login(provider)
        yield* refresh(flow, flow.tokens.refresh_token)
        yield* refresh(flow, flow.tokens.refresh_token)
        assert.strictEqual((yield* provider.ledger).refreshTokensConsumed, 0)
      }),
    { rotatesRefreshToken: false }
  )

  test(
    "is not issued where that is switched off",
    (provider) =>
      Effect.gen(function* () {
        const { tokens } = yield* login(provider)
        assert.isUndefined(tokens.refresh_token)
      }),
    { issuesRefreshTokens: false }
  )

  test("is spent by a request whose answer is lost", (provider) =>
    Effect.gen(function* () {
      const flow = yield* login(provider)
      yield* provider.loseTokenAnswers(1)
      const lost = yield* Effect.exit(refresh(flow, flow.tokens.refresh_token))
      assert.strictEqual(lost._tag, "Failure")
      const { refreshTokensConsumed, refreshTokensIssued, tokenRequests } = yield* provider.ledger
      assert.deepStrictEqual(
        { refreshTokensConsumed, refreshTokensIssued, requests: tokenRequests.length },
        { refreshTokensConsumed: 1, refreshTokensIssued: 2, requests: 2 }
      )
    }))

  for (const [what, act] of [
    ["revoked", (provider: Provider) => provider.revokeRefreshTokens],
    ["expired", (provider: Provider) => provider.expireRefreshTokens]
  ] as const)
    test(`is refused once ${what}`, (provider) =>
      Effect.gen(function* () {
        const flow = yield* login(provider)
        yield* act(provider)
        assert.strictEqual(yield* Effect.flip(refresh(flow, flow.tokens.refresh_token)), "invalid_grant")
      }))
})

describe("client credentials", () => {
  for (const method of ["client_secret_basic", "client_secret_post", "private_key_jwt"] as const)
    test(`give a token and no refresh token, to a client by ${method}`, (provider) =>
      Effect.gen(function* () {
        const tokens = yield* generic(provider, method, "client_credentials", {})
        assert.isUndefined(tokens.refresh_token)
        assert.isTrue(yield* provider.isValid(tokens.access_token))
        const [request] = (yield* provider.ledger).tokenRequests
        assert.deepInclude(request, { authentication: method, grantType: "client_credentials", status: 200 })
      }))

  test("are refused to the public client", (provider) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(generic(provider, "none", "client_credentials", {})), "invalid_request")
    }))

  test("are refused with a wrong secret, as invalid_client", (provider) =>
    Effect.gen(function* () {
      const { client_secret_basic } = provider.clients
      const wrong = {
        ...provider,
        clients: { ...provider.clients, client_secret_basic: { ...client_secret_basic, clientSecret: "wrong" } }
      }
      const exit = yield* Effect.exit(generic(wrong, "client_secret_basic", "client_credentials", {}))
      assert.strictEqual(exit._tag, "Failure")
      const [request] = (yield* provider.ledger).tokenRequests
      assert.deepInclude(request, { clientId: "basic", status: 401, error: "invalid_client" })
    }))

  test("are refused with a key that is not the client's", (provider) =>
    Effect.gen(function* () {
      const { privateKey } = yield* Effect.promise(() => oauth.generateKeyPair("ES256"))
      const { private_key_jwt } = provider.clients
      const wrong = {
        ...provider,
        clients: { ...provider.clients, private_key_jwt: { ...private_key_jwt, privateKey } }
      }
      yield* Effect.exit(generic(wrong, "private_key_jwt", "client_credentials", {}))
      const [request] = (yield* provider.ledger).tokenRequests
      assert.deepInclude(request, { clientId: "jwt", status: 401, error: "invalid_client" })
    }))

  test("for a resource give the scope that was asked for", (provider) =>
    Effect.gen(function* () {
      const { resource } = provider
      const tokens = yield* generic(provider, "client_secret_basic", "client_credentials", { resource, scope: "read" })
      assert.strictEqual(tokens.scope, "read")
      const elsewhere = { resource: `${provider.issuer}/other`, scope: "read" }
      const refused = generic(provider, "client_secret_basic", "client_credentials", elsewhere)
      assert.strictEqual(yield* Effect.flip(refused), "invalid_target")
    }))
})

describe("password", () => {
  test("gives tokens, and a refresh token that rotates and tells when it is sent again", (provider) =>
    Effect.gen(function* () {
      const { login: username, password } = provider.account
      const parameters = { username, password, scope: "openid profile" }
      const tokens = yield* generic(provider, "client_secret_post", "password", parameters)
      assert.strictEqual(oauth.getValidatedIdTokenClaims(tokens)?.sub, username)
      assert.strictEqual(tokens.scope, "openid profile")
      assert.isTrue(yield* provider.isValid(tokens.access_token))
      const first = tokens.refresh_token ?? ""
      const again = () => generic(provider, "client_secret_post", "refresh_token", { refresh_token: first })
      const second = yield* again()
      assert.notStrictEqual(second.refresh_token, first)
      assert.strictEqual(yield* Effect.flip(again()), "invalid_grant")
      assert.isFalse(yield* provider.isValid(second.access_token))
    }))

  for (const [what, wrong] of [
    ["a wrong password", { password: "wrong" }],
    ["an unknown user", { username: "toString" }]
  ] as const)
    test(`is refused with ${what}, as invalid_grant`, (provider) =>
      Effect.gen(function* () {
        const { login: username, password } = provider.account
        const refused = generic(provider, "none", "password", { username, password, ...wrong })
        assert.strictEqual(yield* Effect.flip(refused), "invalid_grant")
      }))
})

describe("device authorization", () => {
  const start = Effect.fnUntraced(function* (provider: Provider) {
    const server = yield* discover(provider)
    const { auth, client } = identify(provider, "none")
    const device = yield* attempt(async () =>
      oauth.processDeviceAuthorizationResponse(
        server,
        client,
        await oauth.deviceAuthorizationRequest(server, client, auth, { scope: "openid" }, insecure)
      )
    )
    const poll = attempt(async () =>
      oauth.processDeviceCodeResponse(
        server,
        client,
        await oauth.deviceCodeGrantRequest(server, client, auth, device.device_code, insecure)
      )
    )
    return { device, poll }
  })

  for (const [what, code] of [
    ["by the complete link", (device: oauth.DeviceAuthorizationResponse) => device.verification_uri_complete ?? ""],
    ["by typing the code in", (device: oauth.DeviceAuthorizationResponse) => device.user_code]
  ] as const)
    test(`is pending until it is approved ${what}`, (provider) =>
      Effect.gen(function* () {
        const { device, poll } = yield* start(provider)
        assert.strictEqual(yield* Effect.flip(poll), "authorization_pending")
        yield* provider.approveDevice(code(device))
        const tokens = yield* poll
        assert.isTrue(yield* provider.isValid(tokens.access_token))
        const { deviceAuthorizations, tokenRequests } = yield* provider.ledger
        assert.deepStrictEqual(
          tokenRequests.map(({ credential, error, grantType }) => ({ credential, error, grantType })),
          ["authorization_pending", undefined].map((error) => ({
            credential: OidcProvider.hash(device.device_code),
            error,
            grantType: deviceCodeGrant
          }))
        )
        assert.deepStrictEqual(
          deviceAuthorizations.map(({ clientId, status }) => ({ clientId, status })),
          [{ clientId: "public", status: 200 }]
        )
      }))

  test("that the user denies is access_denied", (provider) =>
    Effect.gen(function* () {
      const { device, poll } = yield* start(provider)
      yield* provider.denyDevice(device.user_code)
      assert.strictEqual(yield* Effect.flip(poll), "access_denied")
    }))

  test("that the user does not consent to is access_denied", (provider) =>
    Effect.gen(function* () {
      const { device, poll } = yield* start(provider)
      yield* Effect.flip(provider.approveDevice(device.user_code, { consent: false }))
      assert.strictEqual(yield* Effect.flip(poll), "access_denied")
    }))

  test("that nobody approved in time is expired_token", (provider) =>
    Effect.gen(function* () {
      const { device, poll } = yield* start(provider)
      yield* provider.expireDeviceCodes
      assert.strictEqual(yield* Effect.flip(poll), "expired_token")
      assert.include((yield* Effect.flip(provider.approveDevice(device.user_code))).message, "ExpiredError")
    }))

  test("with a code that nobody was given is refused by the page", (provider) =>
    Effect.gen(function* () {
      assert.include((yield* Effect.flip(provider.approveDevice("BBBB-BBBB"))).message, "NotFoundError")
    }))
})

describe("revocation", () => {
  const revoke = ({ auth, client, server }: Authorization, token: string | undefined) =>
    attempt(async () =>
      oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, token ?? "", insecure))
    )

  test("of a refresh token ends the access token too", (provider) =>
    Effect.gen(function* () {
      const flow = yield* login(provider, "private_key_jwt")
      yield* revoke(flow, flow.tokens.refresh_token)
      assert.isFalse(yield* provider.isValid(flow.tokens.access_token))
      assert.strictEqual(yield* Effect.flip(refresh(flow, flow.tokens.refresh_token)), "invalid_grant")
      const { revocations, tokensRevoked } = yield* provider.ledger
      assert.strictEqual(tokensRevoked, 1)
      assert.deepStrictEqual(revocations, [
        {
          clientId: "jwt",
          authentication: "private_key_jwt",
          credential: OidcProvider.hash(flow.tokens.refresh_token ?? ""),
          status: 200,
          error: undefined
        }
      ])
    }))

  // RFC 7009 leaves that to the server, and this one does.
  test("of an access token ends the refresh token too", (provider) =>
    Effect.gen(function* () {
      const flow = yield* login(provider, "client_secret_basic")
      yield* revoke(flow, flow.tokens.access_token)
      assert.isFalse(yield* provider.isValid(flow.tokens.access_token))
      assert.strictEqual(yield* Effect.flip(refresh(flow, flow.tokens.refresh_token)), "invalid_grant")
    }))

  test("of another client's token does nothing", (provider) =>
    Effect.gen(function* () {
      const flow = yield* login(provider, "client_secret_basic")
      yield* revoke({ ...flow, ...identify(provider, "none") }, flow.tokens.refresh_token)
      assert.isTrue(yield* provider.isValid(flow.tokens.access_token))
    }))
})

for (const accessTokenFormat of ["opaque", "jwt"] as const)
  describe(`protected resource, with ${accessTokenFormat} access tokens,`, () => {
    const logsIn = (provider: Provider) =>
      login(provider, "none", { scope: "openid read", resource: provider.resource })

    test(
      "says whose token it is",
      (provider) =>
        Effect.gen(function* () {
          const { tokens } = yield* logsIn(provider)
          assert.strictEqual(tokens.access_token.split(".").length, accessTokenFormat === "jwt" ? 3 : 1)
          const { status, text } = yield* get(provider.whoami, tokens.access_token)
          assert.strictEqual(status, 200)
          assert.deepStrictEqual(JSON.parse(text), { sub: provider.account.login, client_id: "public", scope: "read" })
        }),
      { accessTokenFormat }
    )

    test(
      "takes the tokens of every grant",
      (provider) =>
        Effect.gen(function* () {
          const { login: username, password } = provider.account
          const flow = yield* logsIn(provider)
          const tokens = [
            yield* refresh(flow, flow.tokens.refresh_token),
            yield* generic(provider, "client_secret_basic", "client_credentials", {}),
            yield* generic(provider, "none", "password", { username, password })
          ]
          for (const { access_token } of tokens)
            assert.strictEqual((yield* get(provider.whoami, access_token)).status, 200)
          assert.deepStrictEqual((yield* provider.ledger).apiRequests, [200, 200, 200])
        }),
      { accessTokenFormat }
    )

    for (const [what, act] of [
      ["revoked", (provider: Provider) => provider.revokeAccessTokens],
      ["expired", (provider: Provider) => provider.expireAccessTokens]
    ] as const)
      test(
        `refuses tokens once ${what}, and takes new ones`,
        (provider) =>
          Effect.gen(function* () {
            const flow = yield* logsIn(provider)
            assert.strictEqual((yield* get(provider.whoami, flow.tokens.access_token)).status, 200)
            yield* act(provider)
            const { challenge, status } = yield* get(provider.whoami, flow.tokens.access_token)
            assert.deepStrictEqual({ challenge, status }, { challenge: 'Bearer error="invalid_token"', status: 401 })
            const { access_token } = yield* refresh(flow, flow.tokens.refresh_token)
            assert.strictEqual((yield* get(provider.whoami, access_token)).status, 200)
          }),
        { accessTokenFormat }
      )

    test(
      "refuses the tokens of a login that ended",
      (provider) =>
        Effect.gen(function* () {
          const flow = yield* logsIn(provider)
          yield* refresh(flow, flow.tokens.refresh_token)
          assert.strictEqual((yield* get(provider.whoami, flow.tokens.access_token)).status, 200)
          yield* Effect.flip(refresh(flow, flow.tokens.refresh_token))
          assert.strictEqual((yield* get(provider.whoami, flow.tokens.access_token)).status, 401)
        }),
      { accessTokenFormat }
    )

    test(
      "refuses what is no token of this server",
      (provider) =>
        Effect.gen(function* () {
          const other = yield* OidcProvider.make({ accessTokenFormat })
          const { tokens } = yield* logsIn(other)
          assert.strictEqual((yield* get(other.whoami, tokens.access_token)).status, 200)
          assert.strictEqual((yield* get(provider.whoami, tokens.access_token)).status, 401)
          assert.strictEqual((yield* get(provider.whoami)).challenge, "Bearer")
        }),
      { accessTokenFormat }
    )
  })

it.live("a server is gone with its scope", () =>
  Effect.gen(function* () {
    const { whoami } = yield* Effect.scoped(OidcProvider.make())
    const exit = yield* Effect.exit(Effect.promise(() => fetch(whoami)))
    assert.strictEqual(exit._tag, "Failure")
  })
)
