/**
 * Clients without a person and without a shared secret, over real sockets. oidc-provider authenticates the clients; what the
 * grants of `oidc/assertionGrants.ts` mean is ours, so those tests add the examples of the RFCs.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Redacted, type Scope } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import { OAuth2, TokenService } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as OidcProvider from "../support/oidcProvider.ts"
import * as Server from "./server.ts"

type Provider = OidcProvider.OidcProvider

const test = <E>(
  name: string,
  body: (provider: Provider) => Effect.Effect<void, E, Scope.Scope | HttpClient.HttpClient | FileSystem.FileSystem>,
  options?: OidcProvider.Options
) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const provider = yield* OidcProvider.make(options)
      yield* body(provider)
      assert.deepStrictEqual((yield* provider.ledger).serverErrors, [])
    }).pipe(Effect.provide([FetchHttpClient.layer, NodeFileSystem.layer]))
  )

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** What a platform signs for a workload: as Kubernetes, SPIFFE and GitHub Actions do, each for a short while. */
const signAssertion = ({ clients, issuer }: Provider) =>
  Effect.promise(async () => {
    const { clientId, kid, privateKey } = clients.private_key_jwt
    const now = Math.floor(Date.now() / 1_000)
    const claims = { iss: clientId, sub: clientId, aud: issuer, jti: crypto.randomUUID(), iat: now, exp: now + 60 }
    const input = `${encode({ alg: "ES256", kid })}.${encode(claims)}`
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, Buffer.from(input))
    return `${input}.${Buffer.from(signature).toString("base64url")}`
  })

const statuses = (provider: Provider) =>
  Effect.map(provider.ledger, ({ tokenRequests }) =>
    tokenRequests.map(({ authentication, clientId, status }) => [clientId, authentication, status])
  )

describe("an assertion from a file", () => {
  test("is read again for each exchange, so that the platform can replace it", (provider) =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = `${yield* files.makeTempDirectoryScoped()}/token`
      // The server accepts each assertion once, so it notices one that was kept.
      const replace = Effect.flatMap(signAssertion(provider), (token) => files.writeFileString(path, `${token}\n`))
      yield* replace
      const { login } = yield* OAuth2.clientCredentials({
        issuer: provider.issuer,
        clientId: provider.clients.private_key_jwt.clientId,
        authentication: {
          method: "client_assertion",
          assertion: OAuth2.secretFile(path).pipe(Effect.provide(NodeFileSystem.layer))
        }
      })
      yield* login!
      assert.strictEqual((yield* Effect.flip(login!))._tag, "InvalidCredentials")
      yield* replace
      yield* login!
      assert.deepStrictEqual(yield* statuses(provider), [
        ["jwt", "private_key_jwt", 200],
        ["jwt", "private_key_jwt", 401],
        ["jwt", "private_key_jwt", 200]
      ])
    }))

  test("that is missing is found before any request", (provider) =>
    Effect.gen(function* () {
      const { login } = yield* OAuth2.clientCredentials({
        issuer: provider.issuer,
        clientId: provider.clients.private_key_jwt.clientId,
        authentication: {
          method: "client_assertion",
          assertion: OAuth2.secretFile("/nowhere/token").pipe(Effect.provide(NodeFileSystem.layer))
        }
      })
      assert.include((yield* Effect.flip(login!)).message, "assertion")
      assert.deepStrictEqual((yield* provider.ledger).tokenRequests, [])
    }))
})

describe("signAssertion", () => {
  test("signs a new assertion each time, which the certified server accepts", (provider) =>
    Effect.gen(function* () {
      const { clientId, kid, privateKey } = provider.clients.private_key_jwt
      const claims = { iss: clientId, sub: clientId, aud: provider.issuer }
      const { login } = yield* OAuth2.clientCredentials({
        issuer: provider.issuer,
        clientId,
        authentication: {
          method: "client_assertion",
          assertion: OAuth2.signAssertion({ privateKey, keyId: kid, claims })
        }
      })
      // The server accepts each assertion once.
      yield* login!
      yield* login!
    }))

  it.live("says no more than it is told, and when it was issued", () =>
    Effect.gen(function* () {
      const { privateKey, publicKey } = yield* Effect.promise(() =>
        crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"])
      )
      const claims = { iss: "my-service", aud: "https://login.example.com", scope: "read" }
      const header = { x5t: "a-thumbprint" }
      const assertion = yield* OAuth2.signAssertion({ privateKey, keyId: "k1", header, claims, lifetime: "1 hour" })
      assert.strictEqual(String(assertion), "<redacted:assertion>")
      const [first = "", second = "", third = ""] = Redacted.value(assertion).split(".")
      const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString())
      assert.deepStrictEqual(read(first), { alg: "ES256", kid: "k1", x5t: "a-thumbprint" })
      const { exp, iat, jti, ...rest } = read(second)
      assert.deepStrictEqual(rest, claims)
      assert.strictEqual(exp - iat, 3_600)
      assert.match(jti, /^[\w-]{20,}$/)
      const isSigned = yield* Effect.promise(() =>
        crypto.subtle.verify(
          { name: "ECDSA", hash: "SHA-256" },
          publicKey,
          Buffer.from(third, "base64url"),
          Buffer.from(`${first}.${second}`)
        )
      )
      assert.isTrue(isSigned)
      const refused = yield* Effect.flip(OAuth2.signAssertion({ privateKey: publicKey, claims }))
      assert.deepInclude(refused, { _tag: "ConfigurationInvalid", option: "privateKey" })
    })
  )
})

describe("private_key_jwt", () => {
  test("signs with the key of the moment, and says which", (provider) =>
    Effect.gen(function* () {
      const { clientId, kid, next, privateKey } = provider.clients.private_key_jwt
      const keys: Array<OAuth2.SigningKey> = [
        { privateKey, keyId: kid },
        { ...next, keyId: next.kid }
      ]
      const { login } = yield* OAuth2.clientCredentials({
        issuer: provider.issuer,
        clientId,
        authentication: { method: "private_key_jwt", privateKey: Effect.sync(() => keys.shift()!), keyId: "replaced" }
      })
      yield* login!
      yield* login!
      assert.deepStrictEqual(keys, [])
      assert.deepStrictEqual(yield* statuses(provider), [
        ["jwt", "private_key_jwt", 200],
        ["jwt", "private_key_jwt", 200]
      ])
    }))

  const entra = { audience: "token_endpoint", header: { "x5t#S256": "a-thumbprint" } } as const

  for (const [what, options, tag] of [
    ["O5: is refused without the audience and the header that the server wants", {}, "InvalidCredentials"],
    ["O5: is refused without the header", { audience: "token_endpoint" }, "InvalidCredentials"],
    ["O5: is refused without the audience", { header: entra.header }, "InvalidCredentials"],
    ["O5: is accepted with both", entra, "Success"]
  ] as const)
    test(
      what,
      (provider) =>
        Effect.gen(function* () {
          const { clientId, kid, privateKey } = provider.clients.private_key_jwt
          const { login } = yield* OAuth2.clientCredentials({
            issuer: provider.issuer,
            clientId,
            authentication: { method: "private_key_jwt", privateKey, keyId: kid, ...options }
          })
          const outcome = yield* Effect.match(login!, {
            onFailure: (reason) => reason._tag,
            onSuccess: () => "Success"
          })
          assert.strictEqual(outcome, tag)
        }),
      { assertion: entra }
    )
})

const accepted = (provider: Provider) => Redacted.make(provider.accepted)

const basic = ({ clients, issuer }: Provider) => {
  const { clientId, clientSecret } = clients.client_secret_basic
  return {
    issuer,
    clientId,
    authentication: { method: "client_secret_basic", clientSecret: Redacted.make(clientSecret) }
  } as const
}

describe("grants of any type (the handler is ours)", () => {
  for (const [what, grant] of [
    ["token exchange", (provider: Provider) => ({ ...basic(provider), subjectToken: accepted(provider) })],
    [
      "token exchange for somebody else",
      (provider: Provider) => ({
        ...basic(provider),
        subjectToken: accepted(provider),
        actorToken: Redacted.make("actor"),
        audience: ["one", "two"]
      })
    ]
  ] as const)
    test(`${what} gives a token that the API accepts`, (provider) =>
      Effect.gen(function* () {
        const context = yield* Layer.build(OAuth2.layerToken(OAuth2.tokenExchange(grant(provider))))
        const { accessToken } = yield* Context.get(context, TokenService.TokenService).get
        assert.isTrue(yield* provider.isValid(Redacted.value(accessToken)))
      }))

  test("JWT bearer gives a token that the API accepts", (provider) =>
    Effect.gen(function* () {
      const grant = OAuth2.jwtBearer({ ...basic(provider), assertion: accepted(provider) })
      const context = yield* Layer.build(OAuth2.layerToken(grant))
      const { accessToken } = yield* Context.get(context, TokenService.TokenService).get
      assert.isTrue(yield* provider.isValid(Redacted.value(accessToken)))
    }))

  test("a refused credential is InvalidCredentials, and is sent once", (provider) =>
    Effect.gen(function* () {
      const grant = OAuth2.jwtBearer({ ...basic(provider), assertion: Redacted.make("another") })
      const { reason } = yield* Effect.flip(Layer.build(OAuth2.layerToken(grant)))
      assert.strictEqual(reason._tag, "InvalidCredentials")
      assert.lengthOf((yield* provider.ledger).tokenRequests, 1)
    }))

  test("O12: Zoom's account_credentials, where a new token ends the old one", (provider) =>
    Effect.gen(function* () {
      const grant = OAuth2.grant({
        ...basic(provider),
        grantType: "account_credentials",
        parameters: { account_id: accepted(provider) },
        renewWith: "login",
        oldTokenSurvivesRefresh: false
      })
      const context = yield* Layer.build(OAuth2.layerToken(grant, { revoke: "never" }))
      const tokens = Context.get(context, TokenService.TokenService)
      const first = yield* tokens.get
      yield* tokens.renew
      const second = yield* tokens.get
      assert.isFalse(yield* provider.isValid(Redacted.value(first.accessToken)))
      assert.isTrue(yield* provider.isValid(Redacted.value(second.accessToken)))
    }))
})

describe("the examples of the RFCs", () => {
  it.effect("RFC 8693 §2.3: the request and the response of a token exchange", () =>
    Effect.gen(function* () {
      const example =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange" +
        "&resource=https%3A%2F%2Fbackend.example.com%2Fapi" +
        "&subject_token=accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC" +
        "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
      const access_token =
        "eyJhbGciOiJFUzI1NiIsImtpZCI6IjllciJ9.eyJhdWQiOiJodHRwczovL2JhY2tlbmQuZXhhbXBsZS5jb20iLCJpc3MiOiJodHRwczovL2Fz" +
        "LmV4YW1wbGUuY29tIiwiZXhwIjoxNDQxOTE3NTkzLCJpYXQiOjE0NDE5MTc1MzMsInN1YiI6ImJkY0BleGFtcGxlLmNvbSIsInNjb3BlIjoiYX" +
        "BpIn0.40y3ZgQedw6rxf59WlwHDD9jryFOr0_Wh3CGozQBihNBhnXEQgU85AI9x3KmsPottVMLPIWvmDCMy5-kdXjwhw"
      const server = Server.make(() =>
        json(200, {
          access_token,
          issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
          token_type: "Bearer",
          expires_in: 60
        })
      )
      const provider = yield* server.run(
        OAuth2.tokenExchange({
          ...Server.client,
          clientId: "rs08",
          authentication: {
            method: "client_secret_basic",
            clientSecret: Redacted.make("long-secure-random-secret"),
            encoding: "raw"
          },
          resource: "https://backend.example.com/api",
          subjectToken: Redacted.make("accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC")
        })
      )
      const token = yield* provider.login!
      assert.strictEqual(Redacted.value(token.accessToken), access_token)
      const [request] = yield* server.forms()
      assert.strictEqual(request!.authorization, "Basic cnMwODpsb25nLXNlY3VyZS1yYW5kb20tc2VjcmV0")
      assert.deepStrictEqual([...request!.form].toSorted(), [...new URLSearchParams(example)].toSorted())
    })
  )

  it.effect("RFC 7523 §4: the request of a JWT bearer grant", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const provider = yield* server.run(
        OAuth2.jwtBearer({
          ...Server.client,
          authentication: { method: "anonymous" },
          assertion: Redacted.make("eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.eyJpc3Mi.J9l-ZhwP")
        })
      )
      yield* provider.login!
      const [request] = yield* server.forms()
      assert.isUndefined(request!.authorization)
      assert.deepStrictEqual(Object.fromEntries(request!.form), {
        grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion: "eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.eyJpc3Mi.J9l-ZhwP"
      })
    })
  )

  it.effect("RFC 7523 §2.2: a client that authenticates by an assertion", () =>
    Effect.gen(function* () {
      const server = Server.make(() => json(200, Server.answer))
      const assertion = Redacted.make("eyJhbGciOiJSUzI1NiIsImtpZCI6IjIyIn0.eyJpc3Mi.cC4hiUPo")
      const provider = yield* server.run(
        OAuth2.clientCredentials({ ...Server.client, authentication: { method: "client_assertion", assertion } })
      )
      yield* provider.login!
      const [request] = yield* server.forms()
      assert.deepStrictEqual(Object.fromEntries(request!.form), {
        grant_type: "client_credentials",
        client_id: "my-app",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: Redacted.value(assertion)
      })
    })
  )
})
