/**
 * Runs a program against the engine and the server model, and keeps books: what each service holds, who called for what,
 * which failure was when. From the books follows what the engine may do and what it must; the rest is a violation.
 *
 * The books are kept beneath and above the engine, never inside: at the provider, at the store, at the service's members
 * and from its events. Tokens are judged by the server's knowledge of them, never by what they say of themselves.
 *
 * - `world`: the clocks, the turns of the scheduler and the trace
 * - `books`: what is known of each service, and what it may do because of it
 * - `server`, `doubles`: what the engine stands on
 * - `callers`: what those who call were promised
 * - `invariants`: what holds whenever nothing is left to run
 * - `interpreter`: what each operation of a `program` does
 */
import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import { everyPlatform, type Platform } from "../guarantees/platforms.ts"
import * as Books from "./books.ts"
import * as Callers from "./callers.ts"
import * as Doubles from "./doubles.ts"
import * as Interpreter from "./interpreter.ts"
import { fatalForOf, fatalPause, leaseTime, tick, windowsOf } from "./policy.ts"
import type { Program } from "./program.ts"
import type { ShufflingScheduler } from "./scheduler.ts"
import * as World from "./world.ts"

/** The program on its platform, which may have traits of its own. */
const onPlatform = (program: Program): readonly [Program, Platform] => {
  const platform = everyPlatform.find(({ name }) => name === program.platform)!
  if (platform.name === "fake") return [{ ...program, refreshes: program.refreshes || !program.hasLogin }, platform]
  const { login, traits: is } = platform.fake
  const traits = {
    hasLogin: login !== false,
    refreshes: is.renewWith !== "login",
    rotates: is.rotatesRefreshToken,
    survives: is.oldTokenSurvivesRefresh,
    supersedes: is.loginSupersedesRefresh,
    locks: is.locksAccount === true
  }
  return [{ ...program, ...traits }, platform]
}

export const run = Effect.fnUntraced(function* (drawn: Program, scheduler: ShufflingScheduler) {
  const [program, platform] = onPlatform(drawn)
  const world = yield* World.make(scheduler)
  const books = Books.make(program, world)
  const doubles = yield* Doubles.make(program, world, books)
  const callers = Callers.make(program, platform, world, books, doubles)
  const { advance, close, perform, quiet } = Interpreter.make(program, world, books, doubles, callers)
  const { check, note, settle, violated } = world

  /** A caller who gets an answer now, if ever. */
  const last = Effect.fnUntraced(function* <A, E>(served: Books.Served, name: string, effect: Effect.Effect<A, E>) {
    for (let waits = 0; callers.isCrowdedOut(served); waits++) {
      if (waits === 100) violated(5, "the renewal of another identity does not end")
      yield* check
      yield* advance(Math.max(1, program.latency))
    }
    const caller = yield* callers.call(served, name, effect)
    yield* quiet
    if (!caller.ended) yield* advance(3 * program.latency + 1_000)
    return caller.fiber.pollUnsafe()
  })

  /** Nothing is wrong any more, and everything under way and every pause is over: everybody gets what they ask for. */
  const allIsWell = Effect.gen(function* () {
    note("all is well from here on")
    doubles.server.heal()
    doubles.setStore(true)
    yield* quiet
    // Leases and exchanges under way are over after this, and pauses after that.
    yield* advance(leaseTime + tick + 2 * program.latency)
    const fatalFor = fatalForOf(program)
    const longest = program.whenIdle === "keep-fresh" ? Math.max(fatalPause, 2 * fatalFor) : 2 * fatalFor
    const pauses = books
      .open()
      .map(({ failure }) =>
        failure === undefined
          ? 0
          : failure.timer + Math.max(failure.fatal ? longest : 2 * fatalFor, failure.retryAfter) - world.timer()
      )
    yield* advance(Math.max(1, ...pauses) + tick)
    for (const served of books.open()) {
      const isPossible = doubles.canRenew()
      const got = yield* last(served, "last get", callers.get(served))
      if (got === undefined) violated(6, "the last get does not end")
      else if (Exit.isFailure(got) && isPossible) violated(6, "the last get failed, though nothing is wrong any more")
      yield* check
      if (!program.hasLogin) continue
      const half = callers.getValidFor(served, (program.lifetime * 1000) / 2)
      const lasting = yield* last(served, "last getValidFor", half)
      if (lasting === undefined || Exit.isFailure(lasting)) violated(6, "the last getValidFor failed")
      yield* check
    }
  })

  /** A scheduler keeps tokens fresh by itself. */
  const nobodyAsks = Effect.gen(function* () {
    const lifetime = program.lifetime * 1000
    const isSlow = 2 * program.latency >= windowsOf(lifetime).window - lifetime / 10
    if (program.whenIdle !== "keep-fresh" || !program.hasLogin || isSlow) return
    note("nobody asks for a while")
    for (let step = 0; step < 9; step++) {
      yield* TestClock.adjust(lifetime / 7)
      yield* quiet
      for (const served of books.open()) {
        // After a sign-out, which an observer may make at any time, the schedule owes nobody a token.
        if (books.leavesToCallers(served) || !served.wanted) continue
        const { held } = served
        if (held === undefined || books.age(held) >= lifetime) violated(8, "the scheduler let a token expire")
      }
      yield* check
    }
  })

  if (!program.hasLogin) yield* doubles.beginSession
  yield* callers.start(0)
  yield* callers.start(1)
  for (const { op, yieldAt } of program.steps) {
    scheduler.yieldAt(yieldAt)
    yield* perform(op)
    yield* check
  }
  scheduler.yieldAt(0)
  yield* allIsWell
  yield* nobodyAsks
  for (const served of books.all) yield* close(served)
  if (callers.waiting().length > 0) violated(5, "somebody waits though all scopes have closed")
  yield* TestClock.adjust("10 minutes")
  yield* settle
  if (callers.liveFibers() !== 0) violated(5, `${callers.liveFibers()} fibres are left`)
  yield* check
})
