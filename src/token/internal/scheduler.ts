/**
 * Lets the fibres of an engine yield without a timer.
 *
 * Where there is no `setImmediate`, which is in pages, Effect's scheduler yields by `setTimeout`. Browsers run the timers of a
 * tab in the background once a second, and later once a minute, so a renewal there would take minutes. Messages of a
 * `MessageChannel` are not held back.
 */
import * as Context from "effect/Context"
import { MixedScheduler, Scheduler } from "effect/Scheduler"

/** Runs tasks as messages, in order. Returns what cancels a task. */
const byMessage = () => {
  const { port1, port2 } = new MessageChannel()
  const tasks: Array<() => void> = []
  port1.addEventListener("message", () => tasks.shift()?.())
  port1.start()
  return (task: () => void) => {
    let isCancelled = false
    tasks.push(() => {
      if (!isCancelled) task()
    })
    port2.postMessage(undefined)
    return () => {
      isCancelled = true
    }
  }
}

const usual = /* @__PURE__ */ new MixedScheduler()
let withMessages: MixedScheduler | undefined

/** The same context, with a scheduler for pages in place of Effect's own. One that the program chose stays. */
export const withoutTimers = <R>(context: Context.Context<R>): Context.Context<R> => {
  if ("setImmediate" in globalThis || !("MessageChannel" in globalThis)) return context
  const scheduler = Context.get(context, Scheduler)
  return scheduler instanceof MixedScheduler && scheduler.setImmediate === usual.setImmediate
    ? Context.add(context, Scheduler, (withMessages ??= new MixedScheduler("async", byMessage())))
    : context
}
