/** The identities that the maps of this process hold without a store. */
import * as Effect from "effect/Effect"
import type { TokenProvider } from "../TokenProvider.ts"

const held = /* @__PURE__ */ new Map<string, number>()

/**
 * Counts a service of an identity. Returns the warning to log where there is one already: a login of either ends the
 * refresh token of the other.
 */
export const add = (identity: string, { traits }: TokenProvider): Effect.Effect<void> => {
  const others = held.get(identity) ?? 0
  held.set(identity, others + 1)
  return others > 0 && traits.loginSupersedesRefresh
    ? Effect.logWarning(
        `${identity} is used by two services in this process, and each login ends the refresh token of the other. Share a layer or a store`
      )
    : Effect.void
}

/** Counts a service less. */
export const remove = (identity: string): void => {
  const others = (held.get(identity) ?? 1) - 1
  if (others > 0) held.set(identity, others)
  else held.delete(identity)
}
