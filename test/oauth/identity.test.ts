/** Two clients that could get different tokens never share what a store keeps, and a client finds its own again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema, Struct } from "effect"
import type { HttpClient } from "effect/http"
import { OAuth2, type TokenError } from "effect-video-auth"
import { status } from "effect-video-auth/testing/RecordingHttpClient"
import { checks } from "../support/random.ts"
import * as Server from "./server.ts"

type Grant = Effect.Effect<OAuth2.Provider, TokenError.TokenError, HttpClient.HttpClient>

const identityOf = (grant: Grant) =>
  Effect.flatMap(Server.make(() => status(500)).run(grant), ({ identity }) => identity)

const secret = (clientSecret: string): OAuth2.ClientAuthentication => ({
  method: "client_secret_post",
  clientSecret: Redacted.make(clientSecret)
})

const base = { ...Server.client, scope: "read", authentication: secret("secret-1") }

/** What changes which token a client gets. */
const variations: Readonly<Record<string, Partial<OAuth2.ClientOptions>>> = {
  nothing: {},
  issuer: { issuer: "https://other.example.com" },
  endpoints: { discovery: { ...Server.client.discovery, token_endpoint: "https://login.example.com/b2c/token" } },
  "client id": { clientId: "another" },
  "client secret": { authentication: secret("secret-2") },
  "no secret": { authentication: { method: "none" } },
  scope: { scope: "write" },
  scopes: { scope: ["read", "write"] },
  audience: { audience: "videos" },
  audiences: { audience: ["videos", "uploads"] },
  resource: { resource: "https://a.example" },
  resources: { resource: ["https://a.example", "https://b.example"] },
  parameters: { parameters: { tenant: "one" } },
  "other parameters": { parameters: { tenant: "two" } },
  "refresh parameters": { refreshParameters: { tenant: "one" } }
}

const { "client secret": _, "no secret": __, ...withoutSecrets } = variations

/** A grant with each of the variations. */
const ofEach = (
  name: string,
  variations: Readonly<Record<string, Partial<OAuth2.ClientOptions>>>,
  grant: (options: OAuth2.ClientOptions) => Grant
) =>
  Object.fromEntries(
    Object.entries(variations).map(([what, more]) => [`${name}, ${what}`, grant(Object.assign({}, base, more))])
  )

const user = (username: string, password: string) => ({
  username: Redacted.make(username),
  password: Redacted.make(password)
})

const exchange = (subjectToken: string, more: object = {}) =>
  OAuth2.tokenExchange({ ...base, subjectToken: Redacted.make(subjectToken), ...more })

/** Grants that differ in anything that matters. */
const grants: Readonly<Record<string, Grant>> = {
  ...ofEach("client credentials", variations, OAuth2.clientCredentials),
  ...ofEach("password", variations, (options) => OAuth2.password({ ...options, ...user("ada", "password-1") })),
  // The secret of a client is not part of its sessions.
  ...ofEach("refresh token", withoutSecrets, (options) =>
    OAuth2.refreshToken({ ...options, refreshToken: Server.credential(1) })
  ),
  "password, another user": OAuth2.password({ ...base, ...user("bob", "password-1") }),
  "password, another password": OAuth2.password({ ...base, ...user("ada", "password-2") }),
  "password, cut elsewhere": OAuth2.password({ ...base, ...user("ada\\npassword", "1") }),
  "refresh token, another": OAuth2.refreshToken({ ...base, refreshToken: Server.credential(2) }),
  "refresh token, another session": OAuth2.refreshToken({ ...base, refreshToken: Server.credential(1), session: "b" }),
  "token exchange": exchange("token-1"),
  "token exchange, another subject": exchange("token-2"),
  "token exchange, an actor": exchange("token-1", { actorToken: Redacted.make("token-3") }),
  "token exchange, another type": exchange("token-1", { subjectTokenType: "urn:ietf:params:oauth:token-type:jwt" }),
  "token exchange, a session": exchange("token-1", { session: "a" }),
  "JWT bearer": OAuth2.jwtBearer({ ...base, assertion: Redacted.make("token-1") }),
  "a grant of its own": OAuth2.grant({ ...base, grantType: "account_credentials", parameters: { account_id: "1" } }),
  "a grant of its own, another account": OAuth2.grant({
    ...base,
    grantType: "account_credentials",
    parameters: { account_id: "2" }
  })
}

const optional = <const L extends ReadonlyArray<string>>(...values: L) => Schema.UndefinedOr(Schema.Literals(values))

/** All that decides which token a client gets. Values are chosen so that they can be told apart only by what they are. */
const Configuration = Schema.Struct({
  grant: Schema.Literals(["client credentials", "password", "refresh token"]),
  issuer: Schema.Literals(["https://one.example.com", "https://two.example.com", "https://one.example.com/two"]),
  clientId: Schema.Literals(["one", "two", "one two"]),
  clientSecret: Schema.Literals(["one", "two"]),
  scope: optional("one", "two", "one two"),
  audience: optional("one", "two"),
  resource: optional("urn:one", "urn:two"),
  tenant: optional("one", "two"),
  username: Schema.Literals(["one", "two", "one:two"]),
  password: Schema.Literals(["one", "two", "two:two"]),
  session: Schema.Literals(["one", "two"])
})

const grantOf = (configuration: typeof Configuration.Type): Grant => {
  const { audience, clientId, clientSecret, grant, issuer, password, resource, scope, session, tenant, username } =
    configuration
  const options = {
    ...Server.client,
    ...Object.fromEntries(Object.entries({ audience, resource, scope }).filter(([, value]) => value !== undefined)),
    issuer,
    clientId,
    authentication: secret(clientSecret),
    ...(tenant !== undefined && { parameters: { tenant } })
  }
  switch (grant) {
    case "client credentials":
      return OAuth2.clientCredentials(options)
    case "password":
      return OAuth2.password({ ...options, ...user(username, password) })
    case "refresh token":
      return OAuth2.refreshToken({ ...options, refreshToken: Server.credential(1), session })
  }
}

/** What of a configuration its grant uses. The secret of a client is not part of its sessions. */
const usedOf = ({ clientSecret, password, session, username, ...rest }: typeof Configuration.Type) =>
  JSON.stringify({
    ...rest,
    ...(rest.grant === "refresh token" ? { session } : { clientSecret }),
    ...(rest.grant === "password" && { username, password })
  })

const fields = Struct.keys(Configuration.fields)

it.effect.prop(
  "two configurations share an identity only if they use the same of everything",
  { one: Configuration, drawn: Configuration },
  ({ drawn, one }) =>
    Effect.gen(function* () {
      const identity = yield* identityOf(grantOf(one))
      // One that differs a lot, and some that differ in a single value, if at all.
      for (const field of [undefined, ...fields]) {
        const other = field === undefined ? drawn : { ...one, [field]: drawn[field] }
        const isSame = identity === (yield* identityOf(grantOf(other)))
        assert.strictEqual(isSame, usedOf(one) === usedOf(other), JSON.stringify([one, other]))
      }
    }),
  checks(5)
)

describe("identities", () => {
  it.live("of different grants, clients and parameters are different, and none shows a secret", () =>
    Effect.gen(function* () {
      const names = new Map<string, string>()
      for (const [what, grant] of Object.entries(grants)) {
        const identity = yield* identityOf(grant)
        assert.isUndefined(names.get(identity), `${what} has the identity of ${names.get(identity)}`)
        names.set(identity, what)
        assert.notMatch(identity, /secret|password|token-|credential/)
      }
      assert.isAbove(names.size, 45)
    })
  )

  it.live("are the same after a restart", () =>
    Effect.gen(function* () {
      for (const grant of Object.values(grants)) {
        assert.strictEqual(yield* identityOf(grant), yield* identityOf(grant))
      }
    })
  )

  it.live("of a session do not change with the client's secret, which is replaced now and then", () =>
    Effect.gen(function* () {
      const session = (clientSecret: string) =>
        OAuth2.refreshToken({ ...base, authentication: secret(clientSecret), refreshToken: Server.credential(1) })
      assert.strictEqual(yield* identityOf(session("secret-1")), yield* identityOf(session("secret-2")))
    })
  )

  it.live("do not change with a token that an effect reads, where the session has a name", () =>
    Effect.gen(function* () {
      let count = 0
      const subjectToken = Effect.sync(() => Redacted.make(`token-${++count}`))
      const grant = (session?: string) => OAuth2.tokenExchange({ ...base, subjectToken, session })
      assert.strictEqual(yield* identityOf(grant("my-service")), yield* identityOf(grant("my-service")))
      assert.notStrictEqual(yield* identityOf(grant("my-service")), yield* identityOf(grant("another")))
      assert.notStrictEqual(yield* identityOf(grant()), yield* identityOf(grant()))
    })
  )
})

describe("a client's key is part of its identity", () => {
  const generate = (algorithm: RsaHashedKeyGenParams | EcKeyGenParams, extractable: boolean) =>
    Effect.promise(() => crypto.subtle.generateKey(algorithm, extractable, ["sign", "verify"]))
  const identity = (privateKey: CryptoKey) =>
    identityOf(
      OAuth2.clientCredentials({ ...base, authentication: { method: "private_key_jwt", privateKey, keyId: "k1" } })
    )
  const ecdsa = { name: "ECDSA", namedCurve: "P-256" }
  /** WebCrypto takes no curve for it, and ignores one. */
  const ed25519 = { name: "Ed25519", namedCurve: "Ed25519" }
  const rsa = {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256"
  }

  /** The key as another process reads it. */
  const again = (key: CryptoKey, isExtractable: boolean) =>
    Effect.promise(async () =>
      crypto.subtle.importKey("jwk", await crypto.subtle.exportKey("jwk", key), key.algorithm, isExtractable, ["sign"])
    )

  for (const [what, algorithm, isExtractable, isShared] of [
    ["an ECDSA key that can be exported", ecdsa, true, true],
    ["an RSA key", rsa, false, true],
    ["an Ed25519 key", ed25519, false, true],
    ["an ECDSA key that cannot be exported", ecdsa, false, false]
  ] as const)
    it.live(`${what}: processes with it ${isShared ? "share" : "do not share"} a token, others do not`, () =>
      Effect.gen(function* () {
        const { privateKey } = yield* generate(algorithm, true)
        const [here, there] = [yield* again(privateKey, isExtractable), yield* again(privateKey, isExtractable)]
        assert.strictEqual(yield* identity(here), yield* identity(here))
        assert.strictEqual((yield* identity(here)) === (yield* identity(there)), isShared)
        const other = yield* generate(algorithm, isExtractable)
        assert.notStrictEqual(yield* identity(here), yield* identity(other.privateKey))
      })
    )
})
