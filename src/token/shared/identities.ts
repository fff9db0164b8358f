/** The identities that services of this process hold without a store. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TokenProvider } from "../TokenProvider.ts"

const held = /* @__PURE__ */ new Map<string, number>()

/** Counts a service of an identity. Returns the warning to log if there is one already. */
export const add = (identity: string, { traits }: TokenProvider): Effect.Effect<void> => {
  const others = held.get(identity) ?? 0
  held.set(identity, others + 1)
  const consequence = traits.loginSupersedesRefresh
    ? "each login ends the refresh token of the other"
    : "each logs in and renews on its own"
  return others > 0
    ? Effect.logWarning(
        `${identity} is used by two services in this process, and ${consequence}. Share a layer or a store`
      )
    : Effect.void
}

/** Counts a service less. */
export const remove = (identity: string): void => {
  const others = (held.get(identity) ?? 1) - 1
  if (others > 0) held.set(identity, others)
  else held.delete(identity)
}

/** Counts a service of an identity until the scope closes, and logs a warning if it is not the only one. */
export const register = (identity: string, provider: TokenProvider): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => add(identity, provider)),
    () => Effect.sync(() => remove(identity))
  )
