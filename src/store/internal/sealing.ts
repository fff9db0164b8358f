/** The form of an encrypted record: `version.key.content`. Neither of the first two has a dot in it. */
import * as Aead from "effect/crypto/Aead"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { AccessToken } from "../../token/AccessToken.ts"

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

/** A key, and the name by which records refer to it. */
export interface NamedKey {
  readonly id: string
  readonly key: Aead.Key
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
export const write = (token: AccessToken): Effect.Effect<string> =>
  Effect.orDie(
    encodeContent({
      ...token,
      accessToken: labelled(token.accessToken, "access_token"),
      refreshToken: token.refreshToken && labelled(token.refreshToken, "refresh_token")
    })
  )

// What a decoder says of text that is no JSON repeats it.
export const read = (content: string): Effect.Effect<AccessToken, Unreadable> =>
  Effect.mapBoth(decodeContent(content), {
    onFailure: () => new Unreadable({ problem: "it is damaged" }),
    onSuccess: (fields) => new AccessToken(fields)
  })

const version = "v1"

/** Joins what {@link parseRecord} takes apart. */
export const formatRecord = (key: string, content: string): string => `${version}.${key}.${content}`

export const parseRecord = (
  record: string
): Effect.Effect<{ readonly key: string; readonly content: string }, Unreadable> => {
  const [, found, key, content] = /^([^.]*)\.([^.]*)\.(.*)$/s.exec(record) ?? []
  return key === undefined || content === undefined
    ? Effect.fail(new Unreadable({ problem: "it is damaged" }))
    : found === version
      ? Effect.succeed({ key, content })
      : Effect.fail(new Unreadable({ problem: "it was written by another version of effect-video-auth" }))
}

/** What a record is bound to. */
const bindingOf = (identity: string, { id }: NamedKey) => text.encode(formatRecord(id, identity))

/** Encrypts and decrypts records. */
export interface Sealing {
  /** Encrypts a credential under a random nonce. */
  readonly seal: (key: NamedKey, identity: string, token: AccessToken) => Effect.Effect<string>
  /** Decrypts a record with the key that it names. */
  readonly open: (
    keyOf: (id: string) => NamedKey | undefined,
    identity: string,
    record: string
  ) => Effect.Effect<AccessToken, Unreadable>
}

export const make: Effect.Effect<Sealing> = /* @__PURE__ */ Effect.gen(function* () {
  const aead = yield* Aead.Aead
  const random = yield* SecureRandom.SecureRandom
  const sealing: Sealing = {
    seal: Effect.fnUntraced(function* (named, identity, token) {
      const { key } = named
      const nonce = yield* random.randomBytes(key.algorithm.nonceLength)
      const content = text.encode(yield* write(token))
      const sealed = yield* Effect.orDie(aead.encrypt(key, content, { nonce, aad: bindingOf(identity, named) }))
      return formatRecord(named.id, Base64Url.encode(new Uint8Array([...nonce, ...sealed])))
    }),
    open: Effect.fnUntraced(function* (keyOf, identity, record) {
      const { content, key: id } = yield* parseRecord(record)
      const named = keyOf(id)
      if (named === undefined) {
        return yield* new Unreadable({ problem: "it was written with a key that is not in the list" })
      }
      const { key } = named
      const { nonceLength } = key.algorithm
      const bytes = Result.getOrElse(Base64Url.decode(content), () => new Uint8Array())
      const nonce = bytes.subarray(0, nonceLength)
      const opened = yield* Effect.mapError(
        aead.decrypt(key, bytes.subarray(nonceLength), { nonce, aad: bindingOf(identity, named) }),
        () => new Unreadable({ problem: "it was changed, or is not of this identity" })
      )
      return yield* read(new TextDecoder().decode(opened))
    })
  }
  return sealing
}).pipe(Effect.provide(Layer.provideMerge(Aead.layerWebCrypto, SecureRandom.layerWebCrypto)))
