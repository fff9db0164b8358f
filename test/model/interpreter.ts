/** Makes happen what a program says, one operation at a time. */
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { Books, Held, Served } from "./books.ts"
import { type Caller, type Callers, errorOf } from "./callers.ts"
import type { Doubles } from "./doubles.ts"
import * as Invariants from "./invariants.ts"
import {
  acquireTimeout,
  exchangeTimeout,
  fatalForOf,
  fatalPause,
  leaseTime,
  longPause,
  shutdownGrace,
  stormLimit,
  tick,
  windowsOf
} from "./policy.ts"
import type { Op, Program } from "./program.ts"
import type { World } from "./world.ts"

/** The operations of one kind. */
type Of<Tag extends Op["_tag"]> = Extract<Op, { readonly _tag: Tag }>

export const make = (program: Program, world: World, books: Books, doubles: Doubles, callers: Callers) => {
  const { check, mono, note, settle, violated } = world
  const { age, latest } = books
  const { server } = doubles
  const { call, waiting } = callers
  const lifetime = program.lifetime * 1000
  const { mandatory, window } = windowsOf(lifetime)

  // -------------------------------------------------------------------------------------------------------------------
  // Time
  // -------------------------------------------------------------------------------------------------------------------

  const quiet = Effect.andThen(settle, Invariants.make(program, world, books, doubles))

  /** In steps, so that what holds at all times is looked at now and then. */
  const advance = Effect.fnUntraced(function* (millis: number) {
    let left = millis
    while (left > 0) {
      const step = Math.min(left, Math.max(millis / 20, 45_000))
      left -= step
      yield* TestClock.adjust(step)
      yield* quiet
    }
  })

  /** How far away an edge is, in milliseconds. */
  const distance = ({ attempt, failure, held }: Served, edge: Of<"Advance">["to"]): number => {
    const until = (wanted: number) => (held === undefined ? 1_000 : wanted - age(held))
    const sinceFailure = failure === undefined ? 0 : mono() - failure.at
    switch (edge) {
      case "expiry":
        return until(lifetime)
      case "mandatory":
        return until(lifetime - mandatory)
      case "renewal":
        return until(lifetime - window)
      case "latest-renewal":
        return until(lifetime - window + lifetime / 10)
      case "pause": {
        const pause =
          failure === undefined ? 0 : Math.max(failure.fatal ? 2 * fatalForOf(program) : 1_200, failure.retryAfter)
        return pause - sinceFailure
      }
      case "cool-down":
        return longPause.longest - sinceFailure
      case "answer": {
        const exchange = attempt?.exchange
        if (exchange === undefined) return program.latency
        return Math.min(exchange.answersIn, exchangeTimeout) - (mono() - exchange.startedMono)
      }
      case "patience":
        return acquireTimeout
      case "exchange-timeout":
        return exchangeTimeout
      case "tick":
        return tick + 1_000
      case "lease":
        return leaseTime
      case "fatal-pause":
        return fatalPause - sinceFailure
    }
  }

  const moveClocks = Effect.fnUntraced(function* ({ back, how, seconds }: Of<"Clocks">) {
    const isBack = back && how === "step"
    yield* world.moveClocks((isBack ? -1 : 1) * seconds * 1000, how)
    if (isBack) for (const { held } of books.all) if (held !== undefined) held.steppedBack = true
  })

  // -------------------------------------------------------------------------------------------------------------------
  // Calls
  // -------------------------------------------------------------------------------------------------------------------

  /** Rejects the token that the service holds, or held, if some caller got it: says whether one did. */
  const reject = Effect.fnUntraced(function* (served: Served, held: Held | undefined, name: string) {
    const token = held === undefined ? undefined : callers.received(held.issued.access)
    if (token !== undefined) yield* call(served, name, callers.reject(served, token))
    return token !== undefined
  })

  const makeCall = Effect.fnUntraced(function* (served: Served, name: Of<"Call">["call"]) {
    switch (name) {
      case "renew":
        yield* call(served, name, callers.renew(served))
        return
      case "reject":
        yield* reject(served, served.held, name)
        return
      case "reject-old":
        yield* reject(served, served.previous?.held, name)
        return
      case "reject-all":
        for (let times = 0; times <= stormLimit; times++) {
          if (!(yield* reject(served, served.held, name))) return
          yield* quiet
          yield* advance(program.latency + 1)
        }
        return
      default: {
        const durations = { "valid-for-half": 0.5, "valid-for-most": 0.97, "valid-for-ever": 2 }
        yield* call(served, name, callers.getValidFor(served, lifetime * durations[name]))
      }
    }
  })

  const cancel = Effect.fnUntraced(function* ({ which }: Of<"Cancel">) {
    const those = waiting()
    const caller = those[which % Math.max(1, those.length)]
    if (caller === undefined) return
    caller.cancelled = true
    caller.fiber.interruptUnsafe()
    yield* quiet
    if (!caller.ended) violated(5, `${caller.name} cannot be cancelled`)
  })

  // -------------------------------------------------------------------------------------------------------------------
  // Life
  // -------------------------------------------------------------------------------------------------------------------

  /** Whether a caller's time is over, as after a sleep of the machine. Then it fails at the next look, which may come first. */
  const isOver = ({ since }: Caller) => mono() - since >= acquireTimeout

  const close = Effect.fnUntraced(function* (served: Served) {
    if (served.phase !== "open") return
    // In half of the programs whatever else just happened races with it, and then a failure may win.
    const isAlone = program.seed % 2 === 0
    if (isAlone) yield* quiet
    served.phase = "closing"
    note(`#${served.number} closes`)
    const those = waiting().filter((caller) => caller.served === served)
    const fiber = yield* Effect.forkDetach(callers.closing(served))
    yield* settle
    if (fiber.pollUnsafe() === undefined && !program.hasLogin && served.attempt?.exchange !== undefined) {
      yield* TestClock.adjust(shutdownGrace + 1)
      yield* settle
    }
    if (fiber.pollUnsafe() === undefined) violated(5, "closing the scope does not end")
    served.phase = "closed"
    served.attempt = undefined
    for (const caller of those) {
      const exit = caller.fiber.pollUnsafe()
      if (exit === undefined) violated(5, `${caller.name} waits though the scope has closed`)
      else if (isAlone && program.hasLogin && !isOver(caller) && errorOf(exit) !== undefined) {
        violated(5, `${caller.name} failed, instead of being interrupted, when the scope closed`)
      }
    }
    yield* check
  })

  const live = Effect.fnUntraced(function* (served: Served, does: Of<"Life">["does"]) {
    switch (does) {
      case "sign-out":
        yield* call(served, "invalidate", callers.signOut(served))
        yield* quiet
        return
      case "close":
        yield* close(served)
        return
      case "reopen":
        yield* close(served)
        yield* callers.start(served.index)
        return
      case "crash":
        yield* doubles.crashElsewhere
        return
      case "evict":
        if (served.phase === "open") yield* callers.callStranger(served)
    }
  })

  const change = (does: Of<"Server">["does"]) => {
    switch (does) {
      case "heal":
        return server.heal()
      case "revoke-access":
        return server.revokeAccess()
      case "revoke-refresh":
        return server.revokeRefresh()
      case "store-down":
      case "store-up":
        return doubles.setStore(does === "store-up")
    }
  }

  const perform = Effect.fnUntraced(function* (op: Op) {
    note(JSON.stringify(op))
    switch (op._tag) {
      case "Advance":
        yield* quiet
        yield* advance(Math.max(1, Math.ceil(distance(latest(op.service), op.to)) + (op.side === "before" ? -2 : 2)))
        return
      case "Get":
        yield* call(latest(op.service), "get", callers.get(latest(op.service)))
        if (op.settled) yield* quiet
        return
      case "Call":
        yield* makeCall(latest(op.service), op.call)
        if (op.settled) yield* quiet
        return
      case "Request":
        yield* call(latest(op.service), "request", callers.request(latest(op.service), op.to))
        if (op.settled) yield* quiet
        return
      case "Cancel":
        yield* cancel(op)
        return
      case "Fault":
        server.setFault(op)
        return
      case "Server":
        change(op.does)
        return
      case "Clocks":
        yield* quiet
        yield* moveClocks(op)
        return
      case "Life":
        yield* live(latest(op.service), op.does)
    }
  })

  return { quiet, advance, close, perform }
}
