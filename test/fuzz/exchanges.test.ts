/** Whatever an exchange is answered with, it ends in a token that lives or in a typed failure, and tells no secret. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Redacted, Schema } from "effect"
import { AccessToken, type TokenError, type TokenProvider } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { credential } from "../guarantees/engine.ts"
import { onWires, renewsByLogin } from "../guarantees/platforms.ts"
import {
  assertClean,
  assertReason,
  ends,
  Headers,
  inPlaceOf,
  intercepting,
  isForeign,
  Page,
  tampering,
  times,
  toHeaders,
  typed,
  Values,
  Wildness
} from "./wild.ts"

/** Stamps what an exchange gave, as the engine does. */
const stamped = (response: AccessToken.TokenResponse) =>
  AccessToken.fromResponse(response, { answeredAt: 1_800_000_000_000, elapsed: 0, generation: 1 })

/** What an exchange may end in. */
const assertOutcome = Effect.fnUntraced(function* (exit: Exit.Exit<AccessToken.AccessToken, TokenError.RenewalReason>) {
  const outcome = typed(exit)
  if (Exit.isFailure(outcome)) {
    for (const reason of outcome.cause.reasons) if (Cause.isFailReason(reason)) yield* assertReason(reason.error)
    return
  }
  const token = outcome.value
  // The names of VideoManagers in `extra` are the server's text.
  assertClean([token.accessToken, token.refreshToken])
  assert.isAbove(token.expiresAt, token.issuedAt, "dead when it was issued")
  assert.isAtMost(token.expiresAt - token.issuedAt, Duration.toMillis(Duration.days(365)))
  // What no header can carry would throw where it is attached.
  assert.doesNotThrow(() => new globalThis.Headers({ authorization: `Bearer ${Redacted.value(token.accessToken)}` }))
})

for (const platform of onWires) {
  describe(`an exchange that is answered with anything (${platform.name})`, () => {
    const operations = renewsByLogin(platform) ? (["login"] as const) : (["login", "refresh"] as const)
    type Operation = (typeof operations)[number]
    const exchange = ({ login, refresh }: TokenProvider.TokenProvider, operation: Operation) =>
      operation === "login" ? login! : refresh!(credential({ refreshToken: "e.e30.refresh-0" }))

    const run = Effect.fnUntraced(function* (operation: Operation, wild: Wildness) {
      const { provider: fake } = FakeProvider.make(platform.fake)
      const provider = yield* platform.provider(fake, tampering(wild))
      yield* assertOutcome(yield* Effect.exit(ends(Effect.flatMap(exchange(provider, operation), stamped))))
    })

    for (const operation of operations) {
      it.live.prop(
        `gives a token that lives, or a typed failure: ${operation}`,
        { wild: Wildness },
        ({ wild }) => run(operation, wild),
        times(150)
      )

      it.live.prop(
        `gives a token that lives, or a typed failure, where values are others: ${operation}`,
        { values: Values },
        ({ values }) => run(operation, inPlaceOf(values)),
        times(150)
      )
    }

    it.live.prop(
      "takes a page of something in between for what it is, whatever its size, type and encoding",
      {
        page: Page,
        status: Schema.Literals([400, 401, 403, 404, 405, 413, 418, 451, 499]),
        operation: Schema.Literals(operations)
      },
      ({ operation, page, status }) =>
        Effect.gen(function* () {
          const { provider: fake } = FakeProvider.make(platform.fake)
          const provider = yield* platform.provider(fake, intercepting(status, page))
          const reason = yield* Effect.flip(ends(exchange(provider, operation)))
          yield* assertReason(reason)
          const locks = provider.traits.locksAccount === true && operation === "login"
          if (!locks && platform.name !== "movingimage" && isForeign(page)) {
            assert.deepInclude(reason, { _tag: "ProviderUnavailable", status, fromPlatform: false })
          }
          if (locks) {
            // Either it is remembered as a refusal, or the next attempt waits.
            const wait = "retryAfter" in reason ? reason.retryAfter : undefined
            assert.isTrue(!reason.isRetryable || (wait !== undefined && Duration.toSeconds(wait) >= 30), reason.message)
          }
        }),
      times(100)
    )

    it.live.prop(
      "asks for a wait that ends, if for any",
      { status: Schema.Literals([429, 503, 500, 408]), headers: Headers },
      ({ headers, status }) =>
        Effect.gen(function* () {
          const { provider: fake } = FakeProvider.make(platform.fake)
          const tamper = () => ({ status, headers: toHeaders(headers), body: "" })
          const reason = yield* Effect.flip((yield* platform.provider(fake, tamper)).login!)
          yield* assertReason(reason)
          const wait = "retryAfter" in reason ? reason.retryAfter : undefined
          if (wait === undefined) return
          assert.isAtLeast(Duration.toMillis(wait), 0)
          assert.isAtMost(Duration.toMillis(wait), Duration.toMillis(Duration.days(1)))
        }),
      times(75)
    )
  })
}
