/** What the platform says behind a wire is what the engine hears from the real provider in front of it. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import { TokenError } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { answerLost, assertReason, credential, garbled, named, overloaded, unreachable, wrongKey } from "./engine.ts"
import { nameOf, onWires, renewsByLogin } from "./platforms.ts"

const broken = new TokenError.ProviderUnavailable({ failure: "network" })
const late = new TokenError.ProviderUnavailable({ failure: "timeout" })
const rejected = new TokenError.RefreshTokenRejected({ status: 401 })

type Failing = readonly [said: TokenError.RenewalReason, heard: TokenError.RenewalReason]

const alike = (reason: TokenError.RenewalReason): Failing => [reason, reason]

const ofBoth: ReadonlyArray<Failing> = [
  overloaded,
  new TokenError.ProviderUnavailable({ failure: "status", status: 500, retryAfter: Duration.seconds(7) }),
  unreachable,
  new TokenError.ProviderUnavailable({ failure: "tls" }),
  new TokenError.RateLimited({}),
  new TokenError.RateLimited({ retryAfter: Duration.seconds(40) })
].map(alike)

const ofLogin: ReadonlyArray<Failing> = [
  [broken, broken],
  [late, late],
  [answerLost, broken],
  [garbled, new TokenError.MalformedResponse({ status: 200, problem: "the body is not JSON" })]
]

const ofRefresh: ReadonlyArray<Failing> = [
  [rejected, rejected],
  [wrongKey, new TokenError.RefreshTokenRejected({ status: 400 })],
  [answerLost, answerLost],
  [broken, answerLost],
  [late, new TokenError.AmbiguousExchange({ failure: "timeout" })],
  [garbled, new TokenError.AmbiguousExchange({ status: 200 })]
]

for (const platform of onWires) {
  const refreshes = !renewsByLogin(platform)
  const start = (options: FakeProvider.Options = {}) =>
    Effect.map(platform.provider(FakeProvider.make({ ...options, ...platform.fake }).provider), (provider) => ({
      login: provider.login!,
      refresh: (refreshToken: string) => provider.refresh!(credential({ refreshToken }))
    }))

  describe(`${platform.name} on its wire`, () => {
    it.effect("answers with what was issued", () =>
      Effect.gen(function* () {
        const { login, refresh } = yield* start({ lifetime: "90500 millis" })
        for (const [exchange, number] of [
          [login, 1],
          [refreshes ? refresh("refresh-1") : login, 2]
        ] as const) {
          const { accessToken, expiresIn, refreshToken } = yield* exchange
          assert.strictEqual(nameOf(Redacted.value(accessToken)), `access-${number}`)
          const issued = refreshToken && nameOf(Redacted.value(refreshToken))
          assert.strictEqual(issued, refreshes ? `refresh-${number}` : undefined)
          assert.strictEqual(Duration.toMillis(expiresIn), 90_500)
        }
      })
    )

    it.effect("answers without a refresh token", () =>
      Effect.gen(function* () {
        const { login } = yield* start({ omitsRefreshToken: true })
        assert.isUndefined((yield* login).refreshToken)
      })
    )

    for (const [said, heard] of [...ofBoth, ...platform.fatal.map(alike), ...ofLogin]) {
      it.effect(`a login that fails with ${named(said)}`, () =>
        Effect.gen(function* () {
          const { login } = yield* start({ failure: said })
          assertReason(yield* Effect.flip(login), heard)
        })
      )
    }

    if (!refreshes) return

    it.effect("sends its own refresh token, not that of another", () =>
      Effect.gen(function* () {
        const { login, refresh } = yield* start()
        yield* login
        assert.strictEqual((yield* Effect.flip(refresh("refresh-7")))._tag, "RefreshTokenRejected")
        yield* refresh("refresh-1")
      })
    )

    for (const [said, heard] of [...ofBoth, ...ofRefresh]) {
      it.effect(`a refresh that fails with ${named(said)}`, () =>
        Effect.gen(function* () {
          const { refresh } = yield* start({ failure: said })
          assertReason(yield* Effect.flip(refresh("refresh-0")), heard)
        })
      )
    }
  })
}
