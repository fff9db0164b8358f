/** A service whose platform answers with anything, and whose clocks jump: no dead token, no hang, and it recovers. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Random, Schema } from "effect"
import { type AccessToken, type TokenError, type TokenProvider, TokenService } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import * as SplitClock from "effect-video-auth/testing/SplitClock"
import { TestClock } from "effect/testing"
import { fake, onWires } from "../guarantees/platforms.ts"
import type { Answer } from "../guarantees/wire.ts"
import { assertClean, assertReason, ends, inPlaceOf, tampering, times, typed, Values, Wildness } from "./wild.ts"

type Get = Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>

const wallClock = Clock.currentTimeMillis
const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** What a caller gets within the time that callers wait at most: a token that lives, or a typed failure. */
const got = Effect.fnUntraced(function* (get: Get) {
  const fiber = yield* Effect.forkChild(
    Effect.tap(get, (token) =>
      Effect.map(wallClock, (now) => assert.isAbove(token.expiresAt, now, "a dead token was served"))
    )
  )
  yield* TestClock.adjust("31 seconds")
  assert.isDefined(fiber.pollUnsafe(), "get does not end")
  const exit = typed(yield* Fiber.await(fiber))
  if (Exit.isFailure(exit)) yield* Effect.catch(exit, (error) => assertReason(error.reason))
  return exit
})

/** Clocks and dice for one input, which begins somewhere in 2027. */
const alone = <A, E>(effect: Effect.Effect<A, E, SplitClock.SplitClock>) =>
  Effect.andThen(
    SplitClock.SplitClock.use((clock) => clock.stepWall(1_800_000_000_000)),
    effect
  ).pipe(Effect.provide(Layer.provideMerge(SplitClock.layer, TestClock.layer())), Random.withSeed("fuzz"), ends)

const Pause = Schema.Literals(["1 second", "1 minute", "10 minutes", "50 minutes"])
const WhenIdle = Schema.Literals(["keep-fresh", "on-demand"])

describe("a service whose platform answers with anything", () => {
  const Story = Schema.NonEmptyArray(
    Schema.Struct({ wild: Schema.Union([Wildness, Values]), pause: Pause, renews: Schema.Boolean })
  ).check(Schema.isMaxLength(5))

  for (const platform of onWires) {
    it.live.prop(
      `serves no dead token, lets nobody hang, and recovers (${platform.name})`,
      { story: Story, whenIdle: WhenIdle },
      ({ story, whenIdle }) =>
        Effect.gen(function* () {
          let chapter = 0
          const tamper = (answer: Answer): Answer => {
            const wild = story[chapter]?.wild
            if (wild === undefined) return answer
            return tampering("status" in wild ? wild : inPlaceOf(wild))(answer)
          }
          const { provider: behind } = FakeProvider.make(platform.fake)
          const provider = yield* platform.provider(behind, tamper)
          const service = yield* TokenService.make({ provider, policy: { whenIdle } })
          for (const { pause, renews } of story) {
            yield* got(renews ? service.renew : service.get)
            yield* TestClock.adjust(pause)
            yield* got(service.get)
            assertClean(yield* service.state)
            chapter += 1
          }
          // What a server may ask for at most, and what a failure that no retry helps is remembered for.
          yield* TestClock.adjust("61 minutes")
          assert.isTrue(Exit.isSuccess(yield* got(service.get)), "it does not recover")
        }).pipe(Effect.scoped, alone),
      times(20)
    )
  }
})

describe("a service whose clocks jump", () => {
  const Jump = Schema.Struct({
    /** A step of the wall clock, or a suspended machine: with a monotonic clock that stops, or that counts. */
    how: Schema.Literals(["step", "suspend", "suspend-counted"]),
    millis: Schema.Union([
      Schema.Literals([0, 1, -1, 3_600_000, -3_600_000, 2 ** 31, -(2 ** 31), 1e12, -1e12]),
      Schema.Int.check(Schema.isBetween({ minimum: -1e12, maximum: 1e12 })),
      Schema.Int.check(Schema.isBetween({ minimum: -10_000_000, maximum: 10_000_000 }))
    ]),
    pause: Pause
  })
  const lifetime = Duration.toMillis("1 hour")

  it.live.prop(
    "serves no dead token, lets nobody hang, and makes no more exchanges than there are reasons",
    { jumps: Schema.NonEmptyArray(Jump).check(Schema.isMaxLength(8)), whenIdle: WhenIdle },
    ({ jumps, whenIdle }) =>
      Effect.gen(function* () {
        const split = yield* SplitClock.SplitClock
        const { ledger, provider } = FakeProvider.make(fake.fake)
        let issuedAt = 0
        const noting = (exchange: NonNullable<TokenProvider.TokenProvider["login"]>) =>
          Effect.tap(exchange, () => Effect.map(monotonic, (now) => (issuedAt = now)))
        const service = yield* TokenService.make({
          provider: {
            ...provider,
            login: noting(provider.login!),
            refresh: (current) => noting(provider.refresh!(current))
          },
          policy: { whenIdle }
        })
        let passed = 0
        for (const { how, millis, pause } of jumps) {
          yield* how === "step" ? split.stepWall(millis) : split.suspend(Math.abs(millis))
          if (how === "suspend-counted") yield* split.stepMonotonic(Math.abs(millis))
          assert.isTrue(Exit.isSuccess(yield* got(service.get)))
          // The monotonic clock is looked at each 30 seconds.
          const exit = yield* got(service.get)
          assert.isTrue(Exit.isSuccess(exit))
          assert.isBelow((yield* monotonic) - issuedAt, lifetime + 31_000, "a token outlived its lifetime")
          yield* TestClock.adjust(pause)
          passed += Duration.toMillis(pause) + 62_000
        }
        const { logins, peak, refreshes } = yield* ledger
        assert.strictEqual(peak, 1)
        assert.isAtMost(logins + refreshes, 1 + 2 * jumps.length + passed / Duration.toMillis("44 minutes"))
      }).pipe(Effect.scoped, alone),
    times(50)
  )
})
