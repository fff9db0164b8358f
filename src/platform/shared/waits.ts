/** Tells whoever makes a request that it waits. `Throttled` events tell the whole program; this tells the fibre. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ThrottleReason } from "../../token/TokenEvent.ts"

/** Runs when a request begins to wait, before the wait of `millis`. */
export type WaitListener = (reason: ThrottleReason, millis: number) => Effect.Effect<void>

/** The listener of the requests that the fibre makes. */
export const OnWaiting: Context.Reference<WaitListener | undefined> = /* @__PURE__ */ Context.Reference(
  "effect-video-auth/OnWaiting",
  { defaultValue: (): WaitListener | undefined => undefined }
)
