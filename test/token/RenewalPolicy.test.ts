import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Fiber, Schedule, Schema } from "effect"
import { RenewalPolicy, TokenError } from "effect-video-auth"
import { TestClock } from "effect/testing"
import { answerLost, overloaded, settled, start, unreachable } from "../guarantees/engine.ts"

const dice = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** When, after issue, the two windows of a token begin. Milliseconds. */
const begins = (policy: RenewalPolicy.RenewalPolicy, lifetime: number, random: number) => {
  const { advisory, mandatory } = RenewalPolicy.windows(policy, lifetime, random)
  return { advisory: lifetime - advisory, mandatory: lifetime - mandatory }
}

describe("windows", () => {
  for (const [lifetime, earliest, latest, waiting] of [
    [3_600, 2_700, 3_060, 3_540],
    [300, 225, 255, 270]
  ] as const) {
    it.effect.prop(
      `by default a token of ${lifetime} s is renewed from ${earliest} to ${latest} s`,
      { random: dice },
      ({ random }) =>
        Effect.gen(function* () {
          const { advisory, mandatory } = begins(yield* RenewalPolicy.make(), lifetime * 1_000, random)
          assert.isAtLeast(advisory, earliest * 1_000)
          assert.isAtMost(advisory, latest * 1_000)
          assert.strictEqual(mandatory, waiting * 1_000)
        })
    )

    it.effect(`the dice reach both ends: ${earliest} and ${latest} s`, () =>
      Effect.gen(function* () {
        const policy = yield* RenewalPolicy.make()
        assert.strictEqual(begins(policy, lifetime * 1_000, 0).advisory, earliest * 1_000)
        assert.strictEqual(begins(policy, lifetime * 1_000, 1).advisory, latest * 1_000)
      })
    )
  }

  it.effect.prop(
    "of any lifetime and policy: renewed before callers wait, both within the token's life",
    {
      lifetime: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 31_536_000_000 })),
      waitBefore: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100_000_000 })),
      more: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100_000_000 })),
      random: dice
    },
    ({ lifetime, more, random, waitBefore }) =>
      Effect.gen(function* () {
        const policy = yield* RenewalPolicy.make({ waitBefore, renewBefore: waitBefore + more })
        const { advisory, mandatory } = RenewalPolicy.windows(policy, lifetime, random)
        assert.isAtLeast(mandatory, 0)
        assert.isAtMost(mandatory, lifetime / 10)
        assert.isAtLeast(advisory, mandatory)
        assert.isAtMost(advisory, lifetime / 4)
      })
  )

  it.effect("margins longer than the token lives are clamped to a quarter and a tenth of its life", () =>
    Effect.gen(function* () {
      const policy = yield* RenewalPolicy.make({ renewBefore: "2 hours", waitBefore: "2 hours" })
      assert.deepStrictEqual(RenewalPolicy.windows(policy, 3_600_000, 0), { advisory: 900_000, mandatory: 360_000 })
    })
  )
})

describe("make", () => {
  it.effect("fills in the defaults", () =>
    Effect.gen(function* () {
      assert.include(yield* RenewalPolicy.make(), {
        renewBefore: 900_000,
        waitBefore: 60_000,
        exchangeTimeout: 30_000,
        acquireTimeout: 20_000,
        coolDown: 30_000,
        fatalFor: undefined,
        stormLimit: 5,
        whenIdle: "keep-fresh",
        shutdownGrace: 5_000
      })
    })
  )

  it.effect("takes any duration, as words, number or value", () =>
    Effect.gen(function* () {
      const policy = yield* RenewalPolicy.make({ renewBefore: "5 minutes", waitBefore: 1_500, coolDown: Duration.zero })
      assert.include(policy, { renewBefore: 300_000, waitBefore: 1_500, coolDown: 0 })
    })
  )

  const refused: ReadonlyArray<readonly [RenewalPolicy.Options, option: string, problem?: string]> = [
    [{ renewBefore: "10 seconds", waitBefore: "20 seconds" }, "policy.renewBefore"],
    [{ renewBefore: "10 seconds" }, "policy.renewBefore"],
    [{ renewBefore: -1 }, "policy.renewBefore", "not negative"],
    [{ waitBefore: -1 }, "policy.waitBefore"],
    [{ waitBefore: Duration.infinity }, "policy.waitBefore"],
    [{ exchangeTimeout: 0 }, "policy.exchangeTimeout", "positive, finite duration"],
    [{ acquireTimeout: 0 }, "policy.acquireTimeout"],
    [{ coolDown: Duration.seconds(-1) }, "policy.coolDown"],
    [{ fatalFor: Infinity }, "policy.fatalFor"],
    [{ shutdownGrace: "soon" as Duration.Input }, "policy.shutdownGrace"],
    [{ stormLimit: 0 }, "policy.stormLimit", "positive whole number"],
    [{ stormLimit: Number.NaN }, "policy.stormLimit", "positive whole number"],
    [{ stormLimit: 1.5 }, "policy.stormLimit", "positive whole number"]
  ]
  for (const [options, option, problem = "must"] of refused) {
    const [name, value] = Object.entries(options)[0]!
    it.effect(`refuses ${Object.keys(options).join(" and ")} of ${String(value)}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(RenewalPolicy.make(options))
        assert.instanceOf(error, TokenError.ConfigurationInvalid)
        assert.strictEqual(error.option, option)
        assert.include(error.problem, problem)
        assert.isNotEmpty(name)
      })
    )
  }

  it.effect("a service with a refused policy is not built, and says why", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(start({ policy: { stormLimit: 0 } }))
      assert.deepInclude(error.reason, { _tag: "ConfigurationInvalid", option: "policy.stormLimit" })
    })
  )
})

describe("presets", () => {
  it.effect("onDemand has no timer and changes nothing else", () =>
    Effect.gen(function* () {
      const policy = yield* RenewalPolicy.make(RenewalPolicy.onDemand)
      assert.deepStrictEqual(policy, { ...(yield* RenewalPolicy.make()), whenIdle: "on-demand" })
    })
  )

  it.effect("interactive lets a person wait 5 s at most", () =>
    Effect.gen(function* () {
      const { service } = yield* start({ policy: RenewalPolicy.interactive, hangs: true })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust(4_999)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(fiber.pollUnsafe())
    })
  )
})

describe("config", () => {
  const read = (env: Record<string, string>) =>
    Effect.provide(RenewalPolicy.config("TOKEN"), ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

  it.effect("reads every option from the environment", () =>
    Effect.gen(function* () {
      const policy = yield* Effect.flatMap(
        read({
          TOKEN_RENEW_BEFORE: "10 minutes",
          TOKEN_WAIT_BEFORE: "30 seconds",
          TOKEN_EXCHANGE_TIMEOUT: "11 seconds",
          TOKEN_ACQUIRE_TIMEOUT: "12 seconds",
          TOKEN_COOL_DOWN: "13 seconds",
          TOKEN_FATAL_FOR: "14 seconds",
          TOKEN_SHUTDOWN_GRACE: "15 seconds",
          TOKEN_STORM_LIMIT: "7",
          TOKEN_WHEN_IDLE: "on-demand"
        }),
        RenewalPolicy.make
      )
      assert.include(policy, {
        renewBefore: 600_000,
        waitBefore: 30_000,
        exchangeTimeout: 11_000,
        acquireTimeout: 12_000,
        coolDown: 13_000,
        fatalFor: 14_000,
        shutdownGrace: 15_000,
        stormLimit: 7,
        whenIdle: "on-demand"
      })
    })
  )

  it.effect("what is absent keeps its default", () =>
    Effect.gen(function* () {
      const policy = yield* Effect.flatMap(read({ TOKEN_COOL_DOWN: "1 second" }), RenewalPolicy.make)
      assert.deepStrictEqual(policy, { ...(yield* RenewalPolicy.make()), coolDown: 1_000 })
    })
  )

  for (const [name, value] of [
    ["TOKEN_COOL_DOWN", "soon"],
    ["TOKEN_STORM_LIMIT", "many"],
    ["TOKEN_WHEN_IDLE", "sometimes"]
  ] as const) {
    it.effect(`${name}=${value} is an error that names the variable`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(read({ [name]: value }))
        assert.include(String(error.message), name)
      })
    )
  }
})

describe("retry", () => {
  it.effect("any schedule paces the attempts of one renewal, and ends them", () =>
    Effect.gen(function* () {
      const retry = Schedule.spaced("3 seconds").pipe(Schedule.upTo({ times: 1 }))
      const { ledger, service } = yield* start({ policy: { retry, whenIdle: "on-demand" }, failure: overloaded })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust(2_999)
      assert.include(yield* ledger, { logins: 1 })
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      assert.include(yield* ledger, { logins: 2 })
    })
  )

  it.effect("acquireTimeout ends a schedule that does not", () =>
    Effect.gen(function* () {
      const retry = Schedule.spaced("3 seconds")
      const { ledger, service } = yield* start({ policy: { retry, whenIdle: "on-demand" }, failure: overloaded })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.include(yield* ledger, { logins: 7 })
    })
  )

  it.effect("it sees the reason of each failure", () =>
    Effect.gen(function* () {
      const seen: Array<TokenError.RenewalReason> = []
      const retry = Schedule.spaced("1 second").pipe(
        Schedule.setInputType<TokenError.RenewalReason>(),
        Schedule.while(({ input }) => {
          seen.push(input)
          return input._tag === "ProviderUnavailable"
        })
      )
      const { configure, service } = yield* start({ policy: { retry }, failure: unreachable })
      const fiber = yield* Effect.forkChild(Effect.flip(service.get))
      yield* settled
      yield* configure({ failure: answerLost })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [unreachable, answerLost])
    })
  )
})
