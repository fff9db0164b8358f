/** Deadlines of requests, which one fibre watches for all of them. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { runWithin } from "../../src/platform/shared/deadline.ts"

/** A clock that counts the sleeps that were started, and those that have not ended. */
const countingClock = Effect.map(
  TestClock.testClockWith((clock) => Effect.succeed(clock)),
  (clock) => {
    const sleeps = { started: 0, running: 0 }
    const counting: Clock.Clock = {
      currentTimeMillis: clock.currentTimeMillis,
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
      currentTimeNanos: clock.currentTimeNanos,
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      sleep: (duration) =>
        Effect.suspend(() => {
          sleeps.started += 1
          sleeps.running += 1
          return Effect.ensuring(
            clock.sleep(duration),
            Effect.sync(() => {
              sleeps.running -= 1
            })
          )
        })
    }
    return { sleeps, counting }
  }
)

const within = <A, E>(effect: Effect.Effect<A, E>, millis: number) =>
  Effect.flatMap(Effect.context(), (context) => runWithin(effect, context, millis, () => Effect.fail("late" as const)))

/** Another turn of the event loop, in which what is queued has run. */
const turn = Effect.promise(() => new Promise((resolve) => setImmediate(() => setImmediate(resolve))))

describe("deadlines of requests", () => {
  it.effect("a hundred requests are timed by one sleep, which ends with the last of them", () =>
    Effect.gen(function* () {
      const { counting, sleeps } = yield* countingClock
      const answered = yield* Deferred.make<string>()
      const requests = yield* Effect.forEach(Array.from({ length: 100 }), () =>
        Effect.forkChild(within(Deferred.await(answered), 60_000), { startImmediately: true })
      ).pipe(Effect.provideService(Clock.Clock, counting))
      assert.deepStrictEqual(sleeps, { started: 1, running: 1 })
      yield* Deferred.succeed(answered, "answered")
      for (const request of requests) assert.strictEqual(yield* Fiber.join(request), "answered")
      yield* turn
      assert.deepStrictEqual(sleeps, { started: 1, running: 0 })
    })
  )

  it.effect("requests one after the other share a sleep, too", () =>
    Effect.gen(function* () {
      const { counting, sleeps } = yield* countingClock
      const request = within(Effect.as(turn, "answered"), 60_000)
      yield* Effect.replicateEffect(request, 20, { discard: true }).pipe(Effect.provideService(Clock.Clock, counting))
      assert.strictEqual(sleeps.started, 1)
    })
  )

  it.effect("each request ends at its own deadline, in whatever order they began", () =>
    Effect.gen(function* () {
      const limits = [30_000, 10_000, 20_000, 10_000]
      const requests = yield* Effect.forEach(limits, (millis) =>
        Effect.forkChild(Effect.exit(within(Effect.never, millis)), { startImmediately: true })
      )
      const done = () => requests.map((request) => request.pollUnsafe() !== undefined)
      yield* TestClock.adjust("9900 millis")
      assert.deepStrictEqual(done(), [false, false, false, false])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(done(), [false, true, false, true])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(done(), [false, true, true, true])
      yield* TestClock.adjust("10 seconds")
      for (const request of requests) assert.deepStrictEqual(yield* Fiber.join(request), Exit.fail("late"))
    })
  )

  it.effect("a request that begins when another one ends at its deadline has its whole time", () =>
    Effect.gen(function* () {
      const second = within(Effect.never, 10_000)
      const both = yield* Effect.forkChild(
        Effect.catch(within(Effect.never, 10_000), () => second),
        { startImmediately: true }
      )
      yield* TestClock.adjust("19900 millis")
      assert.isUndefined(both.pollUnsafe())
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(yield* Fiber.await(both), Exit.fail("late"))
    })
  )

  it.effect("a request is interrupted at its deadline, and what it closes meanwhile is waited for", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const closing = yield* Deferred.make<void>()
      const request = Effect.onInterrupt(Effect.never, () =>
        Effect.andThen(
          Effect.sync(() => events.push("closing")),
          Deferred.await(closing)
        )
      )
      const fiber = yield* Effect.forkChild(Effect.exit(within(request, 1_000)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(events, ["closing"])
      assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(closing, undefined)
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail("late"))
    })
  )

  it.effect("interrupting the caller interrupts the request", () =>
    Effect.gen(function* () {
      const { counting, sleeps } = yield* countingClock
      let isInterrupted = false
      const request = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          isInterrupted = true
        })
      )
      const fiber = yield* Effect.forkChild(within(request, 1_000), { startImmediately: true }).pipe(
        Effect.provideService(Clock.Clock, counting)
      )
      yield* Fiber.interrupt(fiber)
      assert.isTrue(isInterrupted)
      yield* turn
      assert.deepStrictEqual(sleeps, { started: 1, running: 0 })
    })
  )

  it.effect("a request without a limit runs on its caller's fibre", () =>
    Effect.gen(function* () {
      const idOfFiber = Effect.withFiber((fiber) => Effect.succeed(fiber.id))
      assert.strictEqual(yield* within(idOfFiber, Number.POSITIVE_INFINITY), yield* idOfFiber)
      assert.notStrictEqual(yield* within(idOfFiber, 1_000), yield* idOfFiber)
    })
  )
})
