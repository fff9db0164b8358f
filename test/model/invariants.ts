/** What holds whenever nothing is left to run, whatever has happened. */
import { Effect } from "effect"
import type { Books, Served } from "./books.ts"
import type { Doubles } from "./doubles.ts"
import { exchangeTimeout, fatalPause, grain, leaseTime, longPause, storePatience, tick } from "./policy.ts"
import type { Program } from "./program.ts"
import type { World } from "./world.ts"

/** Looks at the services that are open, and fails if anything was found wrong up to now. */
export const make = (program: Program, { check, timer, violated }: World, books: Books, doubles: Doubles) => {
  const { healthySince } = doubles

  /** A service that looks after its token has a valid one, unless something stands in the way, or did a moment ago. */
  const hasToken = (served: Served) => {
    const { attempt, failure, held, number, wanted } = served
    const isKept = program.whenIdle === "keep-fresh" && wanted && !books.leavesToCallers(served)
    if (!isKept || !doubles.isHealthy() || !doubles.canRenew()) return
    const pausedUntil =
      failure === undefined
        ? -Infinity
        : failure.timer + Math.max(failure.fatal ? fatalPause : longPause.longest, failure.retryAfter)
    const excused = attempt === undefined ? 0 : 2 * exchangeTimeout + leaseTime
    const patience = tick + 2 * program.latency + 10 * grain + excused
    if (Math.min(books.overdue(held), timer() - Math.max(healthySince(), pausedUntil)) > patience) {
      violated(8, `#${number} has held no valid token for ${patience} ms, and nothing stands in the way`)
    }
  }

  return Effect.suspend(() => {
    for (const served of books.open()) {
      // A store that does not respond is asked again for a while.
      if (served.signingOut > 0 && timer() - served.signedOutAt > 2 * storePatience) {
        violated(6, "signing out does not end")
        continue
      }
      if (served.inHand !== undefined && served.attempt === undefined) {
        violated(5, `${served.inHand.access} was answered and lost`)
      }
      hasToken(served)
    }
    return check
  })
}
