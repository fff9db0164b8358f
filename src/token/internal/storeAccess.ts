/**
 * Asks a store for one process: repeats a call that failed, and decides when the store is down.
 *
 * A restart of the store must not make every process log in on its own. So a store is down only after two failures in a row
 * that are some seconds apart. It stays down until a call succeeds.
 */
import type * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { monotonic } from "../shared/time.ts"
import { StoreUnavailable } from "../TokenError.ts"

/** The store is down, or refuses everything. */
export class StoreDown extends Data.TaggedError("StoreDown")<{ readonly reason: StoreUnavailable }> {}

/** Builds the access of one process to its store. `patience` is in milliseconds. */
export const make = (clock: Clock.Clock, shortened: (millis: number) => number, patience: number) => {
  /** Calls that failed in a row, for whichever identity, and when the first of them began. */
  let failures: { readonly count: number; readonly since: number } | undefined
  let isDegraded = false

  /** Repeats a call until it succeeds or the store is down. */
  const retryUntilDown = <A>(call: Effect.Effect<A, StoreUnavailable>): Effect.Effect<A, StoreDown> =>
    Effect.suspend(() => {
      const asked = monotonic(clock)
      return Effect.matchEffect(call, {
        onSuccess: (result) => {
          failures = undefined
          return Effect.succeed(result)
        },
        onFailure: (reason) => {
          const { count, since } = (failures = { count: (failures?.count ?? 0) + 1, since: failures?.since ?? asked })
          return count >= 2 && monotonic(clock) - since >= patience
            ? Effect.fail(new StoreDown({ reason }))
            : Effect.andThen(
                Effect.interruptible(Effect.sleep(shortened(Math.min(2_000, 250 * 2 ** (count - 1))))),
                retryUntilDown(call)
              )
        }
      })
    })

  return {
    retryUntilDown,
    /** Reports once per outage that a process does without the store. */
    degrade: (reason: StoreUnavailable): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (isDegraded) return Effect.void
        isDegraded = true
        return Effect.logWarning(`${reason.message} Continuing without it.`)
      }),
    recover: Effect.suspend(() => {
      if (!isDegraded) return Effect.void
      isDegraded = false
      return Effect.logInfo("The token store is available again.")
    }),
    /**
     * Counts the refusals of a write, and ends its loop after so many. A write is refused because another one overtook it, so
     * somebody gets on. A store that refuses one process again and again doesn't work.
     */
    conflicts: (operation: string, atMost: number): Effect.Effect<void, StoreDown> => {
      let count = 0
      return Effect.suspend(() =>
        ++count < atMost
          ? Effect.void
          : Effect.fail(new StoreDown({ reason: new StoreUnavailable({ operation, problem: "conflict" }) }))
      )
    }
  }
}
