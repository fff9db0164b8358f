import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Redacted } from "effect"
import { AccessToken, TokenEncryption } from "effect-video-auth"
import { token } from "../support/tokenStoreContract.ts"

const key = (bytes: number, fill = 1) => Buffer.alloc(bytes, fill).toString("base64")

describe("keys", () => {
  for (const [what, value] of [
    ["is too short", key(31)],
    ["is too long", key(33)],
    ["is empty", ""],
    ["is not base64", "not a key, but thirty-two letters"]
  ] as const) {
    it.effect(`one that ${what} is refused, with how to make one and without what it is`, () =>
      Effect.gen(function* () {
        const refused = yield* Effect.flip(TokenEncryption.make({ keys: [Redacted.make(value)] }))
        assert.strictEqual(refused._tag, "ConfigurationInvalid")
        assert.include(refused.message, "openssl rand -base64 32")
        if (value !== "") assert.notInclude(refused.message, value)
      })
    )
  }

  it.effect("are read from the environment, the first to encrypt and all to decrypt", () =>
    Effect.gen(function* () {
      const configured = (value: string) =>
        TokenEncryption.config("KEYS").pipe(
          Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { KEYS: value } })))
        )
      const [old, next] = [key(32, 1), key(32, 2)]
      const record = yield* (yield* configured(old)).encode("one", token(1))
      const rotated = yield* configured(`${next}, ${old}`)
      assert.strictEqual((yield* rotated.decode("one", record)).generation, 1)
      const written = yield* rotated.encode("one", token(2))
      assert.strictEqual((yield* (yield* configured(next)).decode("one", written)).generation, 2)
    })
  )

  it.effect("no two records are alike: each has a nonce of its own", () =>
    Effect.gen(function* () {
      const encryption = yield* TokenEncryption.make({ keys: [Redacted.make(key(32))] })
      assert.notStrictEqual(yield* encryption.encode("one", token(1)), yield* encryption.encode("one", token(1)))
    })
  )

  it.effect("a record is of its identity", () =>
    Effect.gen(function* () {
      const encryption = yield* TokenEncryption.make({ keys: [Redacted.make(key(32))] })
      const record = yield* encryption.encode("one", token(1))
      const { problem } = yield* Effect.flip(encryption.decode("two", record))
      assert.strictEqual(problem, "it was changed, or is not of this identity")
    })
  )

  it.effect("a damaged record is not repeated", () =>
    Effect.gen(function* () {
      const encryption = yield* TokenEncryption.plainText
      for (const content of ['{"accessToken":"a secret"', '{"accessToken":{"a secret":1}}', "a secret"]) {
        const refused = yield* Effect.flip(encryption.decode("one", `v1.plain.${content}`))
        assert.strictEqual(refused.problem, "it is damaged")
      }
    })
  )

  it.effect("secrets are written whatever their providers labelled them", () =>
    Effect.gen(function* () {
      const encryption = yield* TokenEncryption.make({ keys: [Redacted.make(key(32))] })
      const secrets = { accessToken: Redacted.make("a"), refreshToken: Redacted.make("r", { label: "of my own" }) }
      const record = yield* encryption.encode("one", new AccessToken.AccessToken({ ...token(1), ...secrets }))
      const { accessToken, refreshToken } = yield* encryption.decode("one", record)
      assert.deepStrictEqual(
        [accessToken, refreshToken].map((secret) => secret && Redacted.value(secret)),
        ["a", "r"]
      )
    })
  )
})
