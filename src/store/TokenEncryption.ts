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
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Sealing from "./internal/sealing.ts"
import { Unreadable } from "./internal/sealing.ts"
import type { AccessToken } from "../token/AccessToken.ts"
import { invalid } from "../token/shared/failures.ts"
import type { ConfigurationInvalid } from "../token/TokenError.ts"

export { Unreadable }

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

const algorithm = Aead.xchacha20Poly1305

const badKey = invalid("encryption", "each key must be 32 bytes in base64; openssl rand -base64 32 makes one")

/** A key and the name that records know it by: the first 32 bits of a hash, which tell nothing of 256 random ones. */
const keyOf = Effect.fnUntraced(function* (
  key: Redacted.Redacted
): Effect.fn.Return<Sealing.NamedKey, ConfigurationInvalid, Digest.Digest> {
  const bytes = Result.getOrUndefined(Base64.decode(Redacted.value(key).trim()))
  if (bytes?.length !== algorithm.keyLength) return yield* badKey
  const { digest } = yield* Digest.Digest
  const hash = yield* digest(
    Digest.sha256,
    new Uint8Array([...new TextEncoder().encode("effect-video-auth key\n"), ...bytes])
  )
  return { id: Hex.encode(hash.subarray(0, 4)), key: yield* Effect.mapError(Aead.key(algorithm, bytes), () => badKey) }
})

/**
 * Options of {@link make}.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Each is 32 bytes in base64. The first one encrypts. */
  readonly keys: Arr.NonEmptyReadonlyArray<Redacted.Redacted>
}

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
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<TokenEncryption, ConfigurationInvalid> {
  const { open, seal } = yield* Sealing.make
  const keys = yield* Effect.provide(Effect.forEach(options.keys, keyOf), Digest.layerWebCrypto)
  const [first] = keys
  if (first === undefined) return yield* badKey
  return {
    encode: (identity, token) => seal(first, identity, token),
    decode: (identity, record) => open((name) => keys.find(({ id }) => id === name), identity, record)
  }
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
    Effect.map(Sealing.write(token), (content) => Sealing.formatRecord("plain", content)),
  decode: (_identity: string, record: string) =>
    Effect.flatMap(Sealing.parseRecord(record), ({ content, key }) =>
      key === "plain" ? Sealing.read(content) : Effect.fail(new Unreadable({ problem: "it is encrypted" }))
    )
})
