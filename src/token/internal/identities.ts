/** The identities that the maps of this process hold: two services of one would end each other's refresh tokens. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { TokenProvider } from "../TokenProvider.ts"

const held = /* @__PURE__ */ new Map<string, number>()

/** Notes a service, and warns where there is one already whose refresh token a login ends. */
export const add = (identity: string, { traits }: TokenProvider): Effect.Effect<void> =>
  Effect.suspend(() => {
    const others = held.get(identity) ?? 0
    held.set(identity, others + 1)
    return others > 0 && traits.loginSupersedesRefresh
      ? Console.warn(
          `${identity} is built twice, and each login ends the other's refresh token: share a layer or a store`
        )
      : Effect.void
  })

export const remove = (identity: string): void => {
  const others = (held.get(identity) ?? 1) - 1
  if (others > 0) held.set(identity, others)
  else held.delete(identity)
}
