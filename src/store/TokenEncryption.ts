/**
 * How a credential is written to a store: encrypted, or in clear where a program asks for that by name.
 *
 * A record is encrypted with XChaCha20-Poly1305 under a random nonce, bound to its identity and to the key it names, so
 * that one that was changed, or copied from another identity, is refused. The key is 32 random bytes in base64:
 *
 * ```sh
 * openssl rand -base64 32
 * ```
 *
 * The first key encrypts, all of them decrypt. To replace one while processes run, add the new one behind the old one
 * everywhere, then put it in front; to who has not got it yet, a record would be none, and its session over. The old one can
 * go when every credential has been renewed once, or at any time for the price of one login each.
 *
 * **Example** (Keys from the environment)
 *
 * ```ts
 * import { NodeServices } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { TokenEncryption, TokenStoreFile } from "effect-video-auth"
 *
 * // TOKEN_STORE_KEYS="new key,old key"
 * export const StoreLive = TokenStoreFile.layer({
 *   directory: "/var/lib/my-app/tokens",
 *   encryption: TokenEncryption.config("TOKEN_STORE_KEYS")
 * }).pipe(Layer.provide(NodeServices.layer))
 * ```
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Aead from "effect/crypto/Aead"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { AccessToken } from "../token/AccessToken.ts"
import { invalid } from "../token/shared/failures.ts"
import type { ConfigurationInvalid } from "../token/TokenError.ts"

/**
 * A record that holds no credential for us: damaged, changed by somebody, another identity's, written with a key that is
 * not in the list, or by a version of this library that is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreadable extends Data.TaggedError("Unreadable")<{
  /** What is wrong with it, without anything of what it says. */
  readonly problem: string
}> {
  override get message() {
    return `the record cannot be used: ${this.problem}`
  }
}

/**
 * Writes credentials as text for a store, and reads them.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenEncryption {
  /** Writes a credential of `identity`. */
  readonly encode: (identity: string, token: AccessToken) => Effect.Effect<string>
  /** Reads a record of `identity`. */
  readonly decode: (identity: string, record: string) => Effect.Effect<AccessToken, Unreadable>
}

const text = new TextEncoder()

const secret = (label: string) => Schema.RedactedFromValue(Schema.NonEmptyString, { label })

/** A credential with its secrets in clear: what is encrypted. The version before it says that it is of this form. */
const Content = Schema.fromJsonString(
  Schema.Struct({
    ...AccessToken.fields,
    accessToken: secret("access_token"),
    refreshToken: Schema.optional(secret("refresh_token"))
  })
)
const encodeContent = Schema.encodeEffect(Content)
const decodeContent = Schema.decodeUnknownEffect(Content)

const labelled = (secret: Redacted.Redacted, label: string) => Redacted.make(Redacted.value(secret), { label })

/** A provider of one's own may label its secrets as it likes; the schema wants its own labels. */
const write = (token: AccessToken): Effect.Effect<string> =>
  Effect.orDie(
    encodeContent({
      ...token,
      accessToken: labelled(token.accessToken, "access_token"),
      refreshToken: token.refreshToken && labelled(token.refreshToken, "refresh_token")
    })
  )

// What a decoder says of text that is no JSON repeats it.
const read = (content: string): Effect.Effect<AccessToken, Unreadable> =>
  Effect.mapBoth(decodeContent(content), {
    onFailure: () => new Unreadable({ problem: "it is damaged" }),
    onSuccess: (fields) => new AccessToken(fields)
  })

/** `version.key.content`: neither of the first two has a dot in it. */
const version = "v1"
const parse = (record: string): Effect.Effect<{ readonly key: string; readonly content: string }, Unreadable> => {
  const [, found, key, content] = /^([^.]*)\.([^.]*)\.(.*)$/s.exec(record) ?? []
  return key === undefined || content === undefined
    ? Effect.fail(new Unreadable({ problem: "it is damaged" }))
    : found === version
      ? Effect.succeed({ key, content })
      : Effect.fail(new Unreadable({ problem: "it was written by another version of effect-video-auth" }))
}

const algorithm = Aead.xchacha20Poly1305

const badKey = invalid("encryption", "each key must be 32 bytes in base64; openssl rand -base64 32 makes one")

/** A key and the name that records know it by: the first 32 bits of a hash, which tell nothing of 256 random ones. */
const keyOf = Effect.fnUntraced(function* (
  key: Redacted.Redacted
): Effect.fn.Return<{ readonly id: string; readonly key: Aead.Key }, ConfigurationInvalid, Digest.Digest> {
  const bytes = Result.getOrUndefined(Base64.decode(Redacted.value(key).trim()))
  if (bytes?.length !== algorithm.keyLength) return yield* badKey
  const { digest } = yield* Digest.Digest
  const hash = yield* digest(Digest.sha256, new Uint8Array([...text.encode("effect-video-auth key\n"), ...bytes]))
  return { id: Hex.encode(hash.subarray(0, 4)), key: yield* Effect.mapError(Aead.key(algorithm, bytes), () => badKey) }
})

const cryptography = /* @__PURE__ */ Layer.provideMerge(
  Layer.mergeAll(Aead.layerWebCrypto, Digest.layerWebCrypto),
  SecureRandom.layerWebCrypto
)

/**
 * Encrypts with the first of the keys and decrypts with all. A key that is not 32 bytes in base64 is a
 * `ConfigurationInvalid` that says how to make one.
 *
 * **Example** (A record of another key)
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { TokenEncryption } from "effect-video-auth"
 *
 * const key = Redacted.make("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
 * const encryption = await Effect.runPromise(TokenEncryption.make({ keys: [key] }))
 * const refused = await Effect.runPromise(Effect.flip(encryption.decode("identity", "v1.00000000.AAAA")))
 * refused.problem // => "it was written with a key that is not in the list"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (options: {
  readonly keys: Arr.NonEmptyReadonlyArray<Redacted.Redacted>
}): Effect.fn.Return<TokenEncryption, ConfigurationInvalid> {
  return yield* Effect.provide(
    Effect.gen(function* () {
      const aead = yield* Aead.Aead
      const random = yield* SecureRandom.SecureRandom
      const keys = yield* Effect.forEach(options.keys, keyOf)
      const [first] = keys
      if (first === undefined) return yield* badKey
      /** What a record is bound to. */
      const aad = (identity: string, key: string) => text.encode(`${version}.${key}.${identity}`)
      return {
        encode: Effect.fnUntraced(function* (identity: string, token: AccessToken) {
          const nonce = yield* random.randomBytes(algorithm.nonceLength)
          const content = text.encode(yield* write(token))
          const sealed = yield* Effect.orDie(aead.encrypt(first.key, content, { nonce, aad: aad(identity, first.id) }))
          return `${version}.${first.id}.${Base64Url.encode(new Uint8Array([...nonce, ...sealed]))}`
        }),
        decode: Effect.fnUntraced(function* (identity: string, record: string) {
          const { content, key } = yield* parse(record)
          const known = keys.find(({ id }) => id === key)
          if (known === undefined) {
            const problem = "it was written with a key that is not in the list"
            return yield* new Unreadable({ problem })
          }
          const bytes = Result.getOrElse(Base64Url.decode(content), () => new Uint8Array())
          const nonce = bytes.subarray(0, algorithm.nonceLength)
          const opened = yield* Effect.mapError(
            aead.decrypt(known.key, bytes.subarray(algorithm.nonceLength), { nonce, aad: aad(identity, key) }),
            () => new Unreadable({ problem: "it was changed, or is not of this identity" })
          )
          return yield* read(new TextDecoder().decode(opened))
        })
      }
    }),
    cryptography
  )
})

/**
 * {@link make} with the keys of a configuration variable: one, or several with commas between them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const config = (name: string): Effect.Effect<TokenEncryption, ConfigurationInvalid | Config.ConfigError> =>
  Effect.flatMap(Config.Redacted(name), (redacted) => {
    const [first = "", ...others] = Redacted.value(redacted).split(",")
    return make({ keys: [Redacted.make(first), ...others.map((key) => Redacted.make(key))] })
  })

/**
 * No encryption: whoever can read the store can use the credentials. A record that was encrypted is refused, and one in
 * clear is refused by {@link make}: to change between the two costs one login.
 *
 * @category constructors
 * @since 0.1.0
 */
export const plainText: Effect.Effect<TokenEncryption> = /* @__PURE__ */ Effect.succeed({
  encode: (_identity: string, token: AccessToken) =>
    Effect.map(write(token), (content) => `${version}.plain.${content}`),
  decode: (_identity: string, record: string) =>
    Effect.flatMap(parse(record), ({ content, key }) =>
      key === "plain" ? read(content) : Effect.fail(new Unreadable({ problem: "it is encrypted" }))
    )
})
