import { Effect } from "effect"
import { TokenStore } from "effect-video-auth"
import { SplitClock } from "effect-video-auth/testing/SplitClock"

/** A store that takes two hours for its first commit, in which the wall clock was set back by as much. */
export const slowStore = Effect.gen(function* () {
  const clock = yield* SplitClock
  const memory = yield* TokenStore.makeMemory
  const sleeps = [clock.stepMonotonic("2 hours")]
  const store: TokenStore.Backend = {
    ...memory,
    commit: (identity, options) => Effect.andThen(Effect.all(sleeps.splice(0)), memory.commit(identity, options))
  }
  return store
})
