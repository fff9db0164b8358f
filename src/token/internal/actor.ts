/**
 * The one fibre that starts exchanges and watches the clock, for one engine or for a hundred thousand. It is forked once,
 * in the scope and with the context of whoever makes it: an exchange never runs in a caller's.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Context from "effect/Context"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as RenewalPolicy from "../RenewalPolicy.ts"
import type * as TokenError from "../TokenError.ts"
import type { Observer } from "../TokenEvent.ts"
import { TokenStore } from "../TokenStore.ts"
import { atMost, monotonic } from "../shared/time.ts"
import * as Exchange from "./exchange.ts"
import { observersOf } from "../shared/observers.ts"

/** Something that is looked at when it is woken, and when it is due. */
export interface Work {
  /** When it is to be looked at unasked, on the monotonic clock; `next` sets it. */
  readonly wakeAt: number
  /** For the agenda: what it has noted. */
  notedAt: number
  /** Something to run now, which starts it; where there is nothing, `wakeAt` says when to ask again. */
  readonly next: () => Effect.Effect<unknown> | undefined
}

/** Who is due, and when. */
export interface Agenda {
  /** `wakeAt` may have changed. */
  readonly note: (work: Work) => void
  /** Who comes first. */
  readonly first: () => Work | undefined
  /** Who is to be looked at again, now that the wall clock is so far ahead of the monotonic one. */
  readonly stepped: (ahead: number) => ReadonlyArray<Work>
}

/** What engines share. */
export interface Environment {
  readonly policy: RenewalPolicy.RenewalPolicy
  readonly clock: Clock.Clock
  readonly random: typeof Random.Random.Service
  readonly observers: ReadonlyArray<Observer>
  readonly exchange: Exchange.Exchange
  /** The windows of a new token of such a lifetime, in milliseconds before expiry. */
  readonly windows: (lifetime: number, isFirst: boolean) => ReturnType<typeof RenewalPolicy.windows>
  /** Has the actor look at something. It may do so at once. */
  readonly wake: (work: Work) => void
}

/** A longer sleep would notice a suspended machine or a stepped clock too late. Milliseconds. */
const tick = 30_000

/** Makes the environment of engines, which are closed by whoever opened them, before the scope ends the actor. */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  options: RenewalPolicy.Options | undefined,
  agenda: Agenda = single(),
  windowsOf: typeof Windows = Windows
): Effect.fn.Return<Environment, TokenError.ConfigurationInvalid, Scope.Scope> {
  const policy = yield* RenewalPolicy.make(options)
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const context = yield* Effect.context<never>()
  const store = Context.getOrUndefined(context, TokenStore)
  const now = () => monotonic(clock)
  const woken = new Set<Work>()
  const signal = Latch.makeUnsafe()

  const actor = Effect.gen(function* () {
    while (true) {
      signal.closeUnsafe()
      // Who is woken meanwhile, comes last.
      for (const work of woken) {
        woken.delete(work)
        for (let started = work.next(); started !== undefined; started = work.next()) yield* started
        agenda.note(work)
      }
      const first = agenda.first()
      const wait = first === undefined ? Infinity : first.wakeAt - now()
      if (first !== undefined && wait <= 0) {
        woken.add(first)
        continue
      }
      yield* wait === Infinity ? signal.await : atMost(Math.ceil(Math.min(wait, tick)), signal.await)
      // Where a clock was stepped, what is due is due at another time.
      for (const work of agenda.stepped(clock.currentTimeMillisUnsafe() - now())) woken.add(work)
    }
  })
  yield* Effect.uninterruptible(
    Effect.flatMap(Effect.forkDetach(actor), (fiber) => Scope.addFinalizer(scope, Fiber.interrupt(fiber)))
  )
  return {
    policy,
    clock,
    random,
    observers: observersOf(context),
    exchange: Exchange.make(clock, policy, store),
    windows: windowsOf(policy, now, () => random.nextDoubleUnsafe()),
    wake: (work) => {
      woken.add(work)
      signal.openUnsafe()
    }
  }
})

/** The agenda of one engine: it is known once it was woken. */
const single = (): Agenda => {
  const only: Array<Work> = []
  return {
    note: (work) => {
      only[0] = work
    },
    first: () => only[0],
    stepped: () => only
  }
}

/** The windows of one identity: a random delay keeps the processes of a fleet apart. */
const Windows =
  (policy: RenewalPolicy.RenewalPolicy, _now: () => number, random: () => number): Environment["windows"] =>
  (lifetime) =>
    RenewalPolicy.windows(policy, lifetime, random())
