/** The service that callers see, in front of an engine. */
import * as Effect from "effect/Effect"
import type * as Duration from "effect/Duration"
import type { AccessToken } from "../AccessToken.ts"
import type * as TokenError from "../TokenError.ts"
import type { Engine } from "./engine.ts"
import type { State } from "./state.ts"

/** Makes the service. `use` finds the engine and runs a call on it, or fails; `look` only looks at one. */
export const toService = <E extends TokenError.TokenError>(
  use: <A, E1>(f: (engine: Engine) => Effect.Effect<A, E1>) => Effect.Effect<A, E | E1>,
  look: <A>(f: (engine: Engine) => Effect.Effect<A>) => Effect.Effect<A>
) => ({
  get: use((engine) => engine.get()),
  getValidFor: (duration: Duration.Input) => use((engine) => engine.getValidFor(duration)),
  renew: use((engine) => engine.renew()),
  reject: (token: AccessToken) => use((engine) => engine.reject(token)),
  state: look((engine) => Effect.succeed(engine.state())),
  awaitChange: (seen: State) => look((engine) => engine.awaitChange(seen)),
  invalidate: use((engine) => engine.invalidate())
})
