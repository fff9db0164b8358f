/**
 * The one fibre that starts exchanges and watches the clock, for one engine or for a hundred thousand. It is forked once,
 * in the scope and with the context of the layer, so no exchange runs in a caller's context.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as RenewalPolicy from "../RenewalPolicy.ts"
import type * as TokenError from "../TokenError.ts"
import type { TokenEvent } from "../TokenEvent.ts"
import { TokenStore } from "../TokenStore.ts"
import { notify, observersOf } from "../shared/observers.ts"
import { atMost, monotonic } from "../shared/time.ts"
import * as Exchange from "./exchange.ts"
import { withoutTimers } from "./scheduler.ts"

/** Something that the actor looks at when it is woken, and when it is due. */
export interface Work {
  /** When it is due, on the monotonic clock; `next` sets it. */
  readonly wakeAt: number
  /** Its position in the agenda; -1 where it is not there. */
  position: number
  /** Starts what is due, and says in `wakeAt` when to look again. */
  readonly next: () => void
}

/** Which work is due, and when. */
export interface Agenda {
  /** Takes notice of a new `wakeAt`. Work that is never due is not on the agenda. */
  readonly note: (work: Work) => void
  readonly remove: (work: Work) => void
  readonly first: () => Work | undefined
  /** Returns the work to look at again, now that the wall clock is so far ahead of the monotonic one. */
  readonly stepped: (ahead: number) => ReadonlyArray<Work>
}

/** What the engines of one layer share. */
export interface Environment {
  readonly policy: RenewalPolicy.RenewalPolicy
  readonly clock: Clock.Clock
  readonly random: typeof Random.Random.Service
  readonly exchange: Exchange.Exchange
  /** The windows of a new token of such a lifetime, in milliseconds before expiry. */
  readonly windows: (lifetime: number, isFirst: boolean) => ReturnType<typeof RenewalPolicy.windows>
  /** Makes the actor look at something. It may do so at once. */
  readonly wake: (work: Work) => void
  /** Whether there are observers. */
  readonly isHeard: boolean
  /** Notifies the observers. They run beside the caller, up to their first wait before this returns. */
  readonly tell: (event: TokenEvent) => void
  /**
   * Runs an effect on a fibre of its own, with the context of the layer. The fibre begins after this returns, so whoever
   * forks can note it first. It is uninterruptible where the effect does not say otherwise: an attempt that was cut before
   * it began would never say that it had ended.
   */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

/** Makes the windows of an environment from its policy and a monotonic clock. */
type WindowsOf = (
  policy: RenewalPolicy.RenewalPolicy,
  now: () => number,
  random: () => number
) => Environment["windows"]

/** A longer sleep would notice a suspended machine or a stepped clock too late. Milliseconds. */
const tick = 30_000

/** Closing the scope waits this long for an observer that cannot be interrupted. Milliseconds. */
const observerGrace = 1_000

/** Makes the environment of engines. Whoever opens engines closes them before the scope ends the actor. */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  options: RenewalPolicy.Options | undefined,
  agenda: Agenda = single(),
  windowsOf: WindowsOf = windowsOfOne
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

  const lookAt = (work: Work) =>
    Effect.sync(() => {
      // Removed first: work that is woken meanwhile comes last.
      woken.delete(work)
      work.next()
      agenda.note(work)
    })
  const actor = Effect.gen(function* () {
    while (true) {
      signal.closeUnsafe()
      for (const work of woken) yield* lookAt(work)
      const first = agenda.first()
      const wait = first === undefined ? Infinity : first.wakeAt - now()
      if (first !== undefined && wait <= 0) {
        woken.add(first)
        continue
      }
      yield* wait === Infinity ? signal.await : atMost(Math.ceil(Math.min(wait, tick)), signal.await)
      // After a step of a clock, what is due is due at another time.
      for (const work of agenda.stepped(clock.currentTimeMillisUnsafe() - now())) woken.add(work)
    }
  })

  const observers = observersOf(context)
  const listening = new Set<Fiber.Fiber<void>>()
  const tell = (event: TokenEvent) => {
    for (const fiber of notify(observers, context, event)) {
      listening.add(fiber)
      fiber.addObserver(() => listening.delete(fiber))
    }
  }
  yield* Scope.addFinalizer(
    scope,
    Effect.suspend(() => (listening.size === 0 ? Effect.void : atMost(observerGrace, Fiber.interruptAll(listening))))
  )

  const forkWithContext = Effect.runForkWith(withoutTimers(context))
  const fork = (effect: Effect.Effect<void>) =>
    forkWithContext(Effect.andThen(Effect.yieldNow, effect), { uninterruptible: true })
  const running = forkWithContext(Effect.andThen(Effect.yieldNow, actor))
  yield* Scope.addFinalizer(scope, Fiber.interrupt(running))

  return {
    policy,
    clock,
    random,
    exchange: Exchange.make(clock, policy, store),
    windows: windowsOf(policy, now, () => random.nextDoubleUnsafe()),
    wake: (work) => {
      woken.add(work)
      signal.openUnsafe()
    },
    isHeard: observers.length > 0,
    tell,
    fork
  }
}, Effect.uninterruptible)

/** The agenda of one engine. The actor knows it once it was woken. */
const single = (): Agenda => {
  let only: Work | undefined
  return {
    note: (work) => {
      only = work
    },
    remove: () => {
      only = undefined
    },
    first: () => only,
    stepped: () => (only === undefined ? [] : [only])
  }
}

/** The windows of one identity: a random delay keeps the processes of a fleet apart. */
const windowsOfOne: WindowsOf = (policy, _now, random) => (lifetime) =>
  RenewalPolicy.windows(policy, lifetime, random())
