/** An engine, as callers see it. */
import * as Effect from "effect/Effect"
import type * as TokenError from "../TokenError.ts"
import type { TokenService } from "../TokenService.ts"
import type { Engine } from "./engine.ts"

/** The service that an engine is behind. `use` finds it, or fails; `look` only looks at one. */
export const toService = <E extends TokenError.TokenError>(
  use: <A, E1>(f: (engine: Engine) => Effect.Effect<A, E1>) => Effect.Effect<A, E | E1>,
  look: <A>(f: (engine: Engine) => Effect.Effect<A>) => Effect.Effect<A>
): TokenService["Service"] => ({
  get: use((engine) => engine.get()),
  getValidFor: (duration) => use((engine) => engine.getValidFor(duration)),
  renew: use((engine) => engine.renew()),
  reject: (token) => use((engine) => engine.reject(token)),
  state: look((engine) => Effect.succeed(engine.state())),
  awaitChange: (seen) => look((engine) => engine.awaitChange(seen)),
  invalidate: use((engine) => engine.invalidate())
})
