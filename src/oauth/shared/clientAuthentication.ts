/** How a client authenticates at an authorization server, and how it is identified among those that share a store. */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import type * as Schema from "effect/Schema"
import * as oauth from "oauth4webapi"
import { hashCredential } from "../../platform/shared/credentialHash.ts"
import { readSecret, runSource } from "../../platform/shared/server.ts"
import { invalid } from "../../token/shared/failures.ts"
import type * as TokenError from "../../token/TokenError.ts"
import type { ClientAuthentication, SigningKey } from "./options.ts"
import { isTemplate } from "./tenants.ts"

type Renewal<A> = Effect.Effect<A, TokenError.RenewalReason>

/** A client id and a secret are single lines. */
const lineBreak = /[\r\n]/

type PrivateKeyJwt = Extract<ClientAuthentication, { readonly method: "private_key_jwt" }>

/** A key to sign with, or an effect that reads the current one. */
type KeySource = Pick<PrivateKeyJwt, "privateKey" | "keyId" | "header">

/** What an assertion says. */
interface AssertionContent {
  readonly claims: Readonly<Record<string, Schema.Json>>
  /** Seconds. */
  readonly lifetime: number
}

/** Members of the header that this library sets. */
const reservedHeader = ["alg", "kid"]

/** The key to sign with now, with the header members that belong to it. */
const readSigningKey = (authentication: KeySource): Renewal<SigningKey> => {
  const { privateKey } = authentication
  const key: Renewal<CryptoKey | SigningKey> = Effect.isEffect(privateKey)
    ? runSource("privateKey", privateKey)
    : Effect.succeed(privateKey)
  return Effect.flatMap(key, (read) => {
    const own = "privateKey" in read ? read : { privateKey: read }
    const signingKey = {
      privateKey: own.privateKey,
      keyId: own.keyId ?? authentication.keyId,
      header: { ...authentication.header, ...own.header }
    }
    const reserved = reservedHeader.find((name) => Object.hasOwn(signingKey.header, name))
    return reserved === undefined
      ? Effect.succeed(signingKey)
      : Effect.fail(
          invalid(
            "header",
            reserved === "kid"
              ? "it must not contain kid. Use keyId"
              : `it must not contain ${reserved}, which follows from the private key`
          )
        )
  })
}

const audienceOf = ({ audience }: PrivateKeyJwt, { issuer, token_endpoint }: oauth.AuthorizationServer) => {
  // A template names no server, and Entra ID, which has one, wants its token endpoint.
  if (audience === "token_endpoint" || (audience === undefined && isTemplate(issuer))) return token_endpoint
  return audience === undefined || audience === "issuer" ? issuer : audience
}

const invalidKey = () => invalid("privateKey", "it is not a private key that may sign")

/** Has oauth4webapi sign an assertion whose payload is changed first. */
const signing = (
  { header = {}, keyId, privateKey }: SigningKey,
  modify: (payload: Parameters<oauth.ModifyAssertionFunction>[1]) => void
): oauth.ClientAuth =>
  oauth.PrivateKeyJwt(keyId === undefined ? privateKey : { key: privateKey, kid: keyId }, {
    [oauth.modifyAssertion]: (assertionHeader, payload) => {
      for (const [name, value] of Object.entries(header)) {
        assertionHeader[name] = typeof value === "string" ? value : [...value]
      }
      modify(payload)
    }
  })

/** Signs a new assertion for each request (RFC 7523 §2.2). */
const privateKeyJwt = (authentication: PrivateKeyJwt): Renewal<oauth.ClientAuth> =>
  Effect.flatMap(readSigningKey(authentication), (key) =>
    Effect.try({
      try: (): oauth.ClientAuth => {
        // A key that cannot sign is found here, before any request.
        signing(key, () => undefined)
        return (server, client, body, headers) =>
          signing(key, (payload) => {
            payload["aud"] = audienceOf(authentication, server)
          })(server, client, body, headers)
      },
      catch: invalidKey
    })
  )

/** Signs an assertion to use as a grant (RFC 7523 §2.1). */
export const signAssertion = (source: KeySource, { claims, lifetime }: AssertionContent): Renewal<string> =>
  Effect.flatMap(readSigningKey(source), (key) =>
    Effect.tryPromise({
      try: async () => {
        const body = new URLSearchParams()
        const sign = signing(key, (payload) => {
          const { iat, jti } = payload
          for (const name of Object.keys(payload)) delete payload[name]
          Object.assign(payload, { jti, iat, exp: Number(iat) + lifetime }, claims)
        })
        await sign({ issuer: "https://localhost" }, { client_id: "none" }, body, new Headers())
        return body.get("client_assertion") ?? ""
      },
      catch: invalidKey
    })
  )

/** RFC 7617, without the form encoding that RFC 6749 §2.3.1 adds. */
const rawBasic =
  (clientSecret: string): oauth.ClientAuth =>
  (_server, { client_id }, _body, headers) =>
    headers.set("authorization", `Basic ${Base64.encode(`${client_id}:${clientSecret}`)}`)

const clientAssertion =
  (assertion: string, type: string): oauth.ClientAuth =>
  (_server, { client_id }, body) => {
    body.set("client_id", client_id)
    body.set("client_assertion_type", type)
    body.set("client_assertion", assertion)
  }

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/** Authenticates a client, with its secret, key or assertion as it is now. */
export const authenticate = (authentication: ClientAuthentication): Renewal<oauth.ClientAuth> => {
  switch (authentication.method) {
    case "none":
      return Effect.succeed(oauth.None())
    case "anonymous":
      return Effect.succeed(() => undefined)
    case "client_secret_basic":
      return Effect.map(
        readSecret("clientSecret", authentication.clientSecret, lineBreak),
        authentication.encoding === "raw" ? rawBasic : oauth.ClientSecretBasic
      )
    case "client_secret_post":
      return Effect.map(readSecret("clientSecret", authentication.clientSecret, lineBreak), oauth.ClientSecretPost)
    case "private_key_jwt":
      return privateKeyJwt(authentication)
    case "client_assertion":
      return Effect.map(readSecret("assertion", authentication.assertion, lineBreak), (assertion) =>
        clientAssertion(assertion.trim(), authentication.type ?? jwtBearer)
      )
  }
}

/** What to check when a server does not accept the client. */
export const adviceFor = ({ method, ...authentication }: ClientAuthentication): string => {
  switch (method) {
    case "anonymous":
      return "Check the grant. The server may want the client to authenticate"
    case "none":
      return "Check the client id. The server may want the client to authenticate"
    case "client_secret_basic":
      return "encoding" in authentication && authentication.encoding === "raw"
        ? "Check client id and secret. The server may want them form-encoded (encoding: form)"
        : "Check client id and secret. The server may want them without form encoding (encoding: raw) or in the body (client_secret_post)"
    case "client_secret_post":
      return "Check client id and secret. The server may want them in a header (client_secret_basic)"
    case "private_key_jwt":
      return "Check client id, key and keyId. The server may want another audience or header"
    case "client_assertion":
      return "Check client id and assertion: its issuer, subject, audience and expiry"
  }
}

/** Names of keys that can neither be exported nor give the same signature twice. */
const opaqueKeys = new WeakMap<CryptoKey, string>()

/**
 * Identifies a private key. `identityOf` hashes the result, so that nothing of the key is revealed. A key that can neither be
 * exported nor gives the same signature twice (ECDSA, RSA-PSS) is known in this process only.
 */
const keyIdentity = async (key: CryptoKey): Promise<string> => {
  if (key.extractable) {
    const { crv, d, n, x } = await crypto.subtle.exportKey("jwk", key)
    return JSON.stringify([crv, n, x, d])
  }
  const { name } = key.algorithm
  if (name === "RSASSA-PKCS1-v1_5" || name === "Ed25519") {
    const signature = await crypto.subtle.sign(name, key, new TextEncoder().encode("effect-video-auth/identity"))
    return Hex.encode(new Uint8Array(signature))
  }
  const known = opaqueKeys.get(key) ?? crypto.randomUUID()
  opaqueKeys.set(key, known)
  return known
}

/**
 * Identifies a client together with its secret, key or assertion: a program that knows only the client id must not be given
 * the token that another one stored.
 */
export const clientIdentity = (clientId: string, authentication: ClientAuthentication): Renewal<string> => {
  switch (authentication.method) {
    case "none":
    case "anonymous":
      return Effect.succeed(JSON.stringify([clientId]))
    case "client_secret_basic":
    case "client_secret_post":
      return Effect.flatMap(readSecret("clientSecret", authentication.clientSecret, lineBreak), (password) =>
        hashCredential({ username: clientId, password })
      )
    case "private_key_jwt":
      return Effect.flatMap(readSigningKey(authentication), ({ keyId, privateKey }) =>
        Effect.tryPromise({
          try: async () => JSON.stringify([clientId, keyId, await keyIdentity(privateKey)]),
          catch: invalidKey
        })
      )
    case "client_assertion":
      return Effect.map(readSecret("assertion", authentication.assertion, lineBreak), (assertion) =>
        JSON.stringify([clientId, assertion])
      )
  }
}
