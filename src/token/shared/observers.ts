/** Who hears of what happens to tokens. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Observer, TokenEvent } from "../TokenEvent.ts"
import { observersKeyPrefix } from "./observersKey.ts"

/** All in a context. Of two layers side by side one would hide the other under the same key: each has a key of its own. */
export const observersOf = (context: Context.Context<never>): ReadonlyArray<Observer> =>
  [...context.mapUnsafe].flatMap(([key, observers]) => (key.startsWith(observersKeyPrefix) ? observers : []))

/** Tells all of them: one that dies keeps neither the others nor the caller from going on. */
export const tell = (observers: ReadonlyArray<Observer>, event: TokenEvent): Effect.Effect<unknown> =>
  Effect.forEach(observers, (observer) => Effect.exit(Effect.suspend(() => observer(event))))
