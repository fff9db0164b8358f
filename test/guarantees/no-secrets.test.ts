import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Logger } from "effect"
import { RenewalPolicy, type TokenError, TokenEvent, TokenService } from "effect-video-auth"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { answerLost, bare, garbled, named, overloaded, settled, unreachable, wrongKey } from "./engine.ts"
import { platforms, renewsByLogin } from "./platforms.ts"
import { guarantee } from "./suite.ts"
import { keepingSpans } from "../support/spans.ts"

/** What the tokens of the fake look like, and the credentials of the platforms. */
const secret = /(?:access|refresh|credential)-\d/

/** Every way in which a value is likely to be written down. */
const writings = (value: unknown): ReadonlyArray<string> => {
  const stack = value instanceof Error ? [value.stack ?? "", value.message, String(value.cause)] : []
  return [
    String(value),
    JSON.stringify(value) ?? "",
    inspect(value, { showHidden: true, depth: 20 }),
    inspect(value, { showHidden: true, depth: 20, getters: true }),
    ...stack
  ]
}

const assertClean = (value: unknown) => {
  for (const writing of writings(value)) assert.notMatch(writing, secret)
}

describe("guarantee 9: no secret is written down", () => {
  it("the scan would find one", () => {
    assert.throws(() => assertClean({ nested: [{ token: "access-1" }] }))
    assert.throws(() => assertClean(new Error("refresh-1")))
  })

  it.effect("not in the test service and its calls", () =>
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      yield* service.reject(yield* service.get)
      assertClean(yield* yield* TokenService.TestCalls)
      assertClean(yield* service.state)
    }).pipe(Effect.provide(TokenService.layerTest(["access-1", "access-2"])))
  )
})

guarantee("guarantee 9: no secret is written down", platforms, ({ platform, start }) => {
  it.effect("not in a token", () =>
    Effect.gen(function* () {
      const { service } = yield* start()
      const token = yield* service.get
      assert.strictEqual(bare(token), "access-1")
      assertClean(token)
      assertClean({ nested: [token] })
    })
  )

  it.effect("not in the service, nor in the provider that it stands on", () =>
    Effect.gen(function* () {
      const { fake, provider, service } = yield* start()
      yield* service.get
      for (const value of [service, service.get, provider, provider.login, fake.provider]) assertClean(value)
    })
  )

  it.effect("not in any state", () =>
    Effect.gen(function* () {
      const { configure, service } = yield* start({ policy: RenewalPolicy.onDemand })
      assertClean(yield* service.state)
      yield* service.get
      assertClean(yield* service.state)
      yield* configure({ failure: wrongKey })
      yield* Effect.flip(service.renew)
      assertClean(yield* service.state)
      yield* TestClock.adjust("1 hour")
      yield* Effect.flip(service.get)
      assertClean(yield* service.state)
    })
  )

  for (const failure of [overloaded, unreachable, wrongKey, answerLost, garbled]) {
    it.effect(`not in an error of ${named(failure)}, its cause or its stack`, () =>
      Effect.gen(function* () {
        const { configure, service } = yield* start({ policy: RenewalPolicy.onDemand })
        const token = yield* service.get
        yield* configure({ failure })
        const causes: Array<Cause.Cause<TokenError.TokenError>> = []
        const failing = [service.renew, service.reject(token), service.getValidFor("2 hours")]
        for (const effect of failing) {
          const fiber = yield* Effect.forkChild(Effect.exit(effect))
          yield* TestClock.adjust("20 seconds")
          const exit = yield* Fiber.join(fiber)
          assert.strictEqual(exit._tag, "Failure")
          if (exit._tag === "Failure") causes.push(exit.cause)
        }
        for (const cause of causes) {
          assertClean(cause)
          assertClean(Cause.squash(cause))
          assert.notMatch(Cause.pretty(cause), secret)
        }
      })
    )
  }

  it.effect("not in a log of whatever a program may log", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const record = (line: unknown) => void lines.push(inspect(line, { showHidden: true, depth: 20 }))
      const recorders = [
        Logger.map(Logger.formatLogFmt, record),
        Logger.map(Logger.formatJson, record),
        Logger.map(Logger.formatStructured, record)
      ]
      yield* Effect.gen(function* () {
        const { configure, service } = yield* start()
        const token = yield* service.get
        yield* configure({ failure: wrongKey })
        const error = yield* Effect.flip(service.renew)
        yield* Effect.log("all of it", token, error, yield* service.state, Cause.fail(error))
      }).pipe(Effect.provide(Logger.layer(recorders)))
      assert.isAbove(lines.length, 2)
      for (const line of lines) assert.notMatch(line, secret)
    })
  )

  it.effect("not in a span", () =>
    Effect.gen(function* () {
      const { spans, tracer } = keepingSpans()
      yield* Effect.gen(function* () {
        const { configure, service } = yield* start()
        yield* service.get
        yield* service.renew
        yield* configure({ failure: wrongKey })
        yield* Effect.exit(service.renew)
      }).pipe(Effect.withTracer(tracer))
      assert.sameMembers(
        spans.map((span) => span.name),
        renewsByLogin(platform)
          ? ["TokenService.login", "TokenService.login", "TokenService.login"]
          : ["TokenService.login", "TokenService.refresh", "TokenService.refresh", "TokenService.login"]
      )
      for (const span of spans) assert.notMatch(inspect(span, { showHidden: true, depth: 20 }), secret)
    })
  )

  it.effect("not in an event", () =>
    Effect.gen(function* () {
      const events: Array<TokenEvent.TokenEvent> = []
      const observer: TokenEvent.Observer = (event) => Effect.sync(() => void events.push(event))
      yield* Effect.gen(function* () {
        const { configure, service } = yield* start()
        yield* service.get
        yield* service.renew
        yield* configure({ failure: overloaded })
        yield* Effect.exit(service.renew)
        yield* settled
      }).pipe(Effect.provideService(TokenEvent.Observers, [observer]))
      assert.sameMembers([...new Set(events.map((event) => event._tag))], ["Renewed", "RenewalFailed", "Waited"])
      for (const event of events) assertClean(event)
    })
  )
})
