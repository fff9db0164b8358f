import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Random, Redacted, Schedule } from "effect"
import { type AccessToken, MovingImage, type TokenError } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { movingImageProtocol, movingImageUser, nameOf } from "./platforms.ts"
import * as Wire from "./wire.ts"

/** movingimage, with a clock of its own for each token. It refuses none that came too late, and counts them instead. */
const makeServer = () => {
  const { ledger, provider } = FakeProvider.make({ lifetime: "5 minutes", latency: "2 seconds" })
  const expiry = new Map<string, number>()
  const counts = { requests: 0, late: 0 }
  const noting = (exchange: Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>) =>
    Effect.tap(exchange, ({ accessToken }) =>
      Effect.map(Clock.currentTimeMillis, (now) => expiry.set(Redacted.value(accessToken), now + 300_000))
    )
  const exchanges = Wire.make(movingImageProtocol, {
    ...provider,
    login: noting(provider.login!),
    refresh: (current) => noting(provider.refresh!(current))
  })
  const client = HttpClient.make((request, url) =>
    url.pathname.startsWith("/v1/vms/auth/")
      ? exchanges.execute(request)
      : Effect.map(Clock.currentTimeMillis, (now) => {
          const sent = nameOf(request.headers["authorization"] ?? "")
          counts.requests += 1
          if (now >= (expiry.get(sent) ?? -Infinity)) counts.late += 1
          return HttpClientResponse.fromWeb(request, Response.json([]))
        })
  )
  return { client, counts, ledger }
}

describe("guarantee 2: a hundred hours on tokens of five minutes (movingimage)", () => {
  it.effect("each request is sent at once, with a token that has not expired, for 1,200 to 1,600 exchanges", () =>
    Effect.gen(function* () {
      const { client, counts, ledger } = makeServer()
      const layer = MovingImage.layer({ ...movingImageUser, eager: false }).pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
      )
      yield* Effect.gen(function* () {
        const api = yield* MovingImage.MovingImage
        const caller = yield* Effect.forkChild(Effect.repeat(api.get("/v1/vms"), Schedule.spaced("59 seconds")))
        yield* TestClock.adjust("100 hours")
        yield* Fiber.interrupt(caller)
      }).pipe(Effect.provide(layer), Random.withSeed("a hundred hours"))

      // The first one waits for the login, which takes 2 s. No other one waits.
      assert.deepStrictEqual(counts, { requests: Math.floor((360_000 - 2) / 59) + 1, late: 0 })
      const { logins, refreshes, refreshTokens } = yield* ledger
      assert.strictEqual(logins, 1)
      assert.isAtLeast(logins + refreshes, 1_200)
      assert.isAtMost(logins + refreshes, 1_600)
      assert.strictEqual(new Set(refreshTokens).size, refreshes)
    })
  )
})
