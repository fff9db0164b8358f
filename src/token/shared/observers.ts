/** Runs the observers of token events beside whoever has an event to tell. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { LoggingObservers, MetricsObservers, type Observer, Observers, type TokenEvent } from "../TokenEvent.ts"

/** An observer is interrupted when one event takes it longer than this. Milliseconds. */
const timeout = 10_000

/** An observer that is still busy with this many events misses further ones. */
const limit = 100

/** How many events each observer is busy with. */
const busy = /* @__PURE__ */ new WeakMap<Observer, number>()

/** Returns the observers of a context: the program's, and those of the `Observability` layers. */
export const observersOf = (context: Context.Context<never>): ReadonlyArray<Observer> => [
  ...Context.get(context, Observers),
  ...Context.get(context, LoggingObservers),
  ...Context.get(context, MetricsObservers)
]

const call = (observer: Observer, event: TokenEvent): Effect.Effect<void> => {
  try {
    return observer(event)
  } catch (error) {
    return Effect.die(error)
  }
}

const bounded = (effect: Effect.Effect<void>) =>
  Effect.timeoutOption(effect, timeout).pipe(
    Effect.asVoid,
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logWarning("an observer of token events failed", cause)
    )
  )

/**
 * Calls every observer with the event and runs what it returns on a fibre of its own. An observer can neither delay nor
 * fail whoever notifies it. Returns the fibres that are still running.
 *
 * The observers run up to their first wait before this returns, so call it when the state is consistent.
 */
export const notify = (
  observers: ReadonlyArray<Observer>,
  context: Context.Context<never>,
  event: TokenEvent
): ReadonlyArray<Fiber.Fiber<void>> => {
  const fork = Effect.runForkWith(context)
  const running: Array<Fiber.Fiber<void>> = []
  for (const observer of observers) {
    const before = busy.get(observer) ?? 0
    if (before >= limit) {
      if (before === limit) fork(Effect.logWarning("an observer of token events is too slow and misses some"))
      busy.set(observer, limit + 1)
      continue
    }
    const effect = call(observer, event)
    if (Exit.isExit(effect) && Exit.isSuccess(effect)) continue
    busy.set(observer, before + 1)
    const fiber = fork(bounded(effect))
    fiber.addObserver(() => {
      busy.set(observer, Math.min(limit, busy.get(observer) ?? 1) - 1)
    })
    if (fiber.pollUnsafe() === undefined) running.push(fiber)
  }
  return running
}

/** {@link notify}, in the context of the caller. */
export const tell = (observers: ReadonlyArray<Observer>, event: TokenEvent): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    notify(observers, fiber.context, event)
    return Effect.void
  })
