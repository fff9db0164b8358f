/** Days in which something goes wrong with every third exchange, and now and then with all of them for hours. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Hash, Random, Redacted, Scope } from "effect"
import { type AccessToken, TokenError, TokenService } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { bare, census } from "../guarantees/engine.ts"
import { nameOf, onWires } from "../guarantees/platforms.ts"
import { numbers } from "../model/scheduler.ts"
import { scaled, seed } from "../support/random.ts"

const days = scaled(1.5)
const lifetime = "1 hour"

type Exchange = Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason>

const failing = (reason: TokenError.RenewalReason): Exchange => Effect.fail(reason)
const unavailable = (failure: TokenError.Failure, more: { readonly retryAfter?: Duration.Duration } = {}) =>
  new TokenError.ProviderUnavailable({ failure, ...(failure === "status" ? { status: 503 } : {}), ...more })
const after = (exchange: Exchange, reason: TokenError.RenewalReason): Exchange =>
  Effect.flatMap(exchange, () => failing(reason))

/** What may become of an exchange, likely or not. `sends`: the refresh token may have been used. */
interface Fate {
  readonly weight: number
  readonly isOutage?: boolean
  readonly sends?: boolean
  readonly befalls: (exchange: Exchange, dice: number, operation: "login" | "refresh") => Exchange
}

const fates: ReadonlyArray<Fate> = [
  { weight: 60, befalls: (exchange) => exchange },
  { weight: 6, befalls: (exchange, dice) => Effect.delay(exchange, dice * 28_000) },
  { weight: 6, befalls: (exchange, dice) => Effect.tap(exchange, () => Effect.sleep(dice * 28_000)) },
  { weight: 2, befalls: (exchange) => Effect.tap(exchange, () => Effect.sleep("2 minutes")) },
  { weight: 3, isOutage: true, sends: false, befalls: () => failing(unavailable("connect")) },
  { weight: 1, isOutage: true, sends: false, befalls: () => failing(unavailable("tls")) },
  { weight: 3, isOutage: true, befalls: () => failing(unavailable("network")) },
  { weight: 4, befalls: (exchange) => after(exchange, unavailable("network")) },
  { weight: 3, isOutage: true, befalls: () => failing(unavailable("status")) },
  { weight: 2, befalls: (exchange) => after(exchange, unavailable("status", { retryAfter: Duration.minutes(2) })) },
  // The platform itself says that it did nothing, so the refresh token may be sent again.
  {
    weight: 3,
    isOutage: true,
    sends: false,
    befalls: () => failing(new TokenError.RateLimited({ retryAfter: Duration.seconds(90) }))
  },
  { weight: 3, befalls: (exchange) => after(exchange, new TokenError.MalformedResponse({ problem: "HTML" })) },
  { weight: 2, isOutage: true, befalls: () => Effect.never },
  {
    weight: 2,
    befalls: (_exchange, _dice, operation) =>
      failing(
        operation === "login"
          ? new TokenError.InvalidCredentials({ status: 401 })
          : new TokenError.RefreshTokenRejected({ status: 401 })
      )
  }
]

/** A platform that fails as the dice say, and keeps books. */
const makeServer = (dice: () => number, traits: FakeProvider.Options) => {
  const { provider } = FakeProvider.make({ ...traits, lifetime })
  const outages = Array.from({ length: days }, (_, day) => {
    const begin = (day + dice() * 0.8) * 86_400_000
    return { begin, end: begin + (dice() < 0.5 ? dice() * 3 * 3_600_000 : 0) }
  })
  let isHealed = false
  let running = 0
  const books = {
    /** When tokens expire, by name: the server's truth. */
    expiry: new Map<string, number>(),
    /** Refresh tokens as they were sent. */
    sent: new Array<string>(),
    /** When exchanges arrived. */
    arrivals: new Array<number>(),
    failed: 0,
    peak: 0
  }
  const draw = (isOutage: boolean): Fate => {
    const possible = fates.filter((fate) => !isOutage || fate.isOutage === true)
    let left = dice() * possible.reduce((sum, { weight }) => sum + weight, 0)
    return possible.find(({ weight }) => (left -= weight) < 0) ?? fates[0]!
  }
  const issuing = (exchange: Exchange): Exchange =>
    Effect.tap(exchange, ({ accessToken }) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        books.expiry.set(nameOf(Redacted.value(accessToken)), now + Duration.toMillis(lifetime))
      )
    )
  const behind = (operation: "login" | "refresh", exchange: Exchange, refreshToken?: string): Exchange =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const fate = isHealed ? fates[0]! : draw(outages.some(({ begin, end }) => now >= begin && now < end))
      books.arrivals.push(now)
      if (fate !== fates[0]) books.failed += 1
      if (refreshToken !== undefined && fate.sends !== false) books.sent.push(refreshToken)
      running += 1
      books.peak = Math.max(books.peak, running)
      return Effect.ensuring(
        fate.befalls(issuing(exchange), dice(), operation),
        Effect.sync(() => (running -= 1))
      )
    })
  return {
    books,
    heal: Effect.sync(() => (isHealed = true)),
    provider: {
      ...provider,
      login: behind("login", provider.login!),
      refresh: (current: AccessToken.AccessToken) =>
        behind("refresh", provider.refresh!(current), Redacted.value(current.refreshToken!))
    }
  }
}

describe(`${days} days of faults`, () => {
  for (const platform of onWires) {
    it.effect(
      `every token served is alive, none is refreshed twice, and no caller fails without a reason (${platform.name})`,
      () =>
        Effect.gen(function* () {
          const dice = numbers(Hash.string(seed))
          const { books, heal, provider: behind } = makeServer(dice, platform.fake)
          const provider = yield* platform.provider(behind)
          /** Until when the program holds a token that lives: what arrived counts, not what was issued. */
          let heldUntil = 0
          const arriving = (exchange: Exchange): Exchange =>
            Effect.tap(exchange, ({ accessToken }) =>
              Effect.sync(() => (heldUntil = books.expiry.get(nameOf(Redacted.value(accessToken)))!))
            )
          const scope = yield* Scope.make()
          const { alive, count } = census()
          const service = yield* count(
            Scope.provide(
              TokenService.make({
                provider: {
                  ...provider,
                  login: arriving(provider.login!),
                  refresh: (current) => arriving(provider.refresh!(current))
                }
              }),
              scope
            )
          )

          const counts = { served: 0, dead: 0, failed: 0, unexplained: 0, rejected: 0 }
          const call = Effect.gen(function* () {
            const exit = yield* Effect.exit(service.get)
            const now = yield* Clock.currentTimeMillis
            if (Exit.isSuccess(exit)) {
              counts.served += 1
              if (now >= (books.expiry.get(bare(exit.value)) ?? -Infinity)) counts.dead += 1
              if (dice() > 0.002) return
              // The platform takes a token back before its time.
              counts.rejected += 1
              yield* Effect.exit(service.reject(exit.value))
            } else {
              counts.failed += 1
              // The program counts from when it asked, which may have been 30 s before.
              if (now < heldUntil - 30_000) counts.unexplained += 1
            }
          })
          const caller = yield* Effect.forkChild(
            Effect.forever(
              Effect.andThen(
                call,
                Effect.suspend(() => Effect.sleep(20_000 + dice() * 80_000))
              )
            )
          )
          yield* TestClock.adjust(Duration.days(days))
          yield* Fiber.interrupt(caller)

          assert.isAbove(counts.served, 600 * days)
          assert.isAbove(books.failed, 3 * days)
          assert.isAbove(counts.rejected, 0)
          assert.include(counts, { dead: 0, unexplained: 0 })
          assert.strictEqual(books.peak, 1)
          assert.deepStrictEqual(books.sent, [...new Set(books.sent)])
          // Nobody is hammered: 4 attempts of those who wait, one each 10 s otherwise, of two exchanges each.
          const { arrivals } = books
          for (const [index, at] of arrivals.entries()) assert.isAbove((arrivals[index + 24] ?? Infinity) - at, 60_000)

          yield* heal
          yield* TestClock.adjust("10 minutes")
          assert.strictEqual((yield* Effect.exit(service.get))._tag, "Success")
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(yield* alive, 0)
        }).pipe(Random.withSeed(seed))
    )
  }
})
