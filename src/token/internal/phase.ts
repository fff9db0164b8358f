/** What runs for an identity. `engine.ts` has the table of it. */
import * as Deferred from "effect/Deferred"
import type * as Fiber from "effect/Fiber"
import type * as TokenError from "../TokenError.ts"

/** Nothing runs. */
export interface Idle {
  readonly _tag: "Idle"
}

/** One attempt runs. */
export interface Exchanging {
  readonly _tag: "Exchanging"
  /** What the attempt has sent; `nothing` while it reads the store or waits for the lease. */
  kind: "nothing" | "login" | "refresh"
  fiber: Fiber.Fiber<unknown> | undefined
}

/** Somebody signs out. */
export interface Leaving {
  readonly _tag: "Leaving"
  readonly done: Deferred.Deferred<void, TokenError.TokenError>
  /** The attempt that ran when somebody signed out. */
  readonly interrupted: Exchanging | undefined
  fiber: Fiber.Fiber<unknown> | undefined
}

/** The scope has closed, or the map has evicted the identity. */
export interface Closed {
  readonly _tag: "Closed"
}

export type Phase = Idle | Exchanging | Leaving | Closed

export const idle: Idle = { _tag: "Idle" }
export const closed: Closed = { _tag: "Closed" }

/** Where a sign-out leads from a phase. One that is under way goes on. */
export const leavingFrom = (phase: Phase): Leaving => {
  if (phase._tag === "Leaving") return phase
  const interrupted = phase._tag === "Exchanging" ? phase : undefined
  return { _tag: "Leaving", done: Deferred.makeUnsafe(), interrupted, fiber: undefined }
}

/** The fibres that run in a phase. */
export const fibersOf = (phase: Phase): ReadonlyArray<Fiber.Fiber<unknown>> => {
  const fibers =
    phase._tag === "Leaving"
      ? [phase.fiber, phase.interrupted?.fiber]
      : phase._tag === "Exchanging"
        ? [phase.fiber]
        : []
  return fibers.filter((fiber) => fiber !== undefined)
}
