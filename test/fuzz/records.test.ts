/** Whatever bytes a store gives back, they are the credential that was written, or are done without. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Schema } from "effect"
import { AccessToken, TokenEncryption } from "effect-video-auth"
import { keyed } from "../support/durableStoreContract.ts"
import { credential } from "../guarantees/engine.ts"
import { assertClean, ends, mutate, Mutations, times, typed, Values } from "./wild.ts"

const encodings = { "with encryption": keyed(1), "in clear": TokenEncryption.plainText }

const mutated = (record: string, mutations: Mutations) =>
  new TextDecoder().decode(mutate(new TextEncoder().encode(record), mutations))

for (const [name, making] of Object.entries(encodings)) {
  describe(`a record ${name} that was changed`, () => {
    const Change = Schema.Union([Mutations, Values])
    it.live.prop(
      "is a credential, or unreadable in words that tell nothing of it",
      { change: Change },
      ({ change }) =>
        Effect.gen(function* () {
          const encryption = yield* making
          const token = credential({ refreshToken: "refresh-1" })
          const record = yield* encryption.encode("one", token)
          const mutations = change.map((one) =>
            "does" in one ? one : { ...one, does: "replace-value" as const, byte: 0 }
          )
          const changed = mutated(record, mutations)
          const exit = typed(yield* Effect.exit(encryption.decode("one", changed)))
          if (Exit.isFailure(exit)) return assertClean(exit.cause)
          assert.instanceOf(exit.value, AccessToken.AccessToken)
          assert.isTrue(Number.isFinite(exit.value.expiresAt))
          assertClean([exit.value.accessToken, exit.value.refreshToken])
          // What was sealed is as it was, or is not opened.
          if (name === "with encryption") {
            assert.strictEqual(Redacted.value(exit.value.accessToken), Redacted.value(token.accessToken))
          }
        }).pipe(ends),
      times(150)
    )
  })
}
