/**
 * The queue of one class of requests, in front of its rate limit. A request keeps its turn until it is sent, and gives it
 * back if its caller gives up. No request waits longer than its caller's bound: if that is known in advance, it does not
 * wait at all.
 */
import * as Effect from "effect/Effect"
import { type Place, RateWindow } from "./rateWindow.ts"

/** A request that may be sent (`Place`), or that would have to wait longer than it may, in milliseconds. */
export type Admission = Place | { readonly tooLong: number }

export const isPlace = (admission: Admission): admission is Place => "order" in admission

/** How a request enters the queue. */
export interface Turn {
  /** Whether it has been sent before, and goes before the others. */
  readonly isRepeated: boolean
  /** Until when it may wait, in milliseconds on the monotonic clock. */
  readonly until: number
}

/** A request in the queue. A signal that comes before it listens is kept. */
class Waiter {
  #resume: ((effect: Effect.Effect<void>) => void) | undefined
  #isSignalled = false

  signal(): void {
    if (this.#resume === undefined) this.#isSignalled = true
    else this.#resume(Effect.void)
  }

  /** Waits for a signal, for at most so many milliseconds. */
  pause(millis: number): Effect.Effect<unknown> {
    const signalled = Effect.callback<void>((resume) => {
      if (this.#isSignalled) resume(Effect.void)
      else this.#resume = resume
      this.#isSignalled = false
      return Effect.sync(() => {
        this.#resume = undefined
      })
    })
    return Effect.timeoutOption(signalled, millis)
  }
}

export class Lane {
  /** What processes that share a limiter call it. */
  readonly key: string
  readonly window: RateWindow
  readonly #repeated = new Set<Waiter>()
  readonly #fresh = new Set<Waiter>()

  constructor(key: string, limit: number) {
    this.key = key
    this.window = new RateWindow(limit)
  }

  /** Whether nothing is worth remembering any more. */
  isForgotten(now: number): boolean {
    return this.#first() === undefined && this.window.isForgotten(now)
  }

  /** How long a request would have to wait, in milliseconds. */
  wait(now: number, { isRepeated }: Turn): number {
    const ahead = this.#repeated.size + (isRepeated ? 0 : this.#fresh.size)
    // Others may be about to be sent at this moment.
    return Math.max(this.window.wait(now, ahead), ahead > 0 ? 1 : 0)
  }

  /** Waits for a place. Must not be interruptible itself; `restore` makes the pauses interruptible. */
  queue(
    turn: Turn,
    now: () => number,
    restore: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>
  ): Effect.Effect<Admission> {
    const waiter = new Waiter()
    const queue = turn.isRepeated ? this.#repeated : this.#fresh
    const next: Effect.Effect<Admission> = Effect.suspend(() => {
      const time = now()
      const isFirst = this.#first() === waiter
      const wait = isFirst ? this.window.wait(time, 0) : this.#waitOf(waiter, time)
      // If there is a place for this one, there is one for each of those ahead.
      if (wait === 0) return Effect.succeed(this.window.take(time))
      // Only the first one knows when its turn is. The others are signalled.
      const pause = isFirst ? wait : turn.until - time
      return time + wait > turn.until || pause <= 0
        ? Effect.succeed({ tooLong: wait })
        : Effect.andThen(restore(waiter.pause(pause)), next)
    })
    return Effect.suspend(() => {
      queue.add(waiter)
      return Effect.ensuring(
        next,
        Effect.sync(() => {
          queue.delete(waiter)
          this.signal()
        })
      )
    })
  }

  /** Lets the first request look again, because there may be a place for it now. */
  signal(): void {
    this.#first()?.signal()
  }

  #first(): Waiter | undefined {
    for (const waiter of this.#repeated) return waiter
    for (const waiter of this.#fresh) return waiter
    return undefined
  }

  #waitOf(waiter: Waiter, time: number): number {
    let ahead = 0
    for (const other of [...this.#repeated, ...this.#fresh]) {
      if (other === waiter) break
      ahead += 1
    }
    return this.window.wait(time, ahead)
  }
}
