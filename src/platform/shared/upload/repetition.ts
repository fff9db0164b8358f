/** Repeats requests of an upload that failed for a passing reason, and says so. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { ThrottleReason } from "../../../token/TokenEvent.ts"
import type { WaitListener } from "../waits.ts"

/** What to do after a request has failed. */
export type Verdict =
  /** Send it again, not earlier than `after`. */
  | { readonly _tag: "Again"; readonly after: Duration.Duration | undefined }
  /** The server has the part. */
  | { readonly _tag: "Present" }
  | { readonly _tag: "Fatal" }

/** Why an upload makes no progress for a moment. */
export type Delay =
  /** `message` says what failed; the request is sent again after `delay`. */
  | { readonly _tag: "Retrying"; readonly message: string; readonly delay: Duration.Duration }
  /** A request waits because of the rate limit, or as long as the server asks. */
  | { readonly _tag: "Waiting"; readonly reason: ThrottleReason; readonly until: DateTime.Utc }

/** How often, and who hears of it. */
export interface Repetition {
  /** Delays before a request is sent again, and how often. */
  readonly retry: Schedule.Schedule<unknown, unknown>
  readonly emit: (event: Delay) => Effect.Effect<void>
}

/** Emits `Waiting` for each wait of a request. */
export const emitWaits =
  (emit: Repetition["emit"]): WaitListener =>
  (reason, millis) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      emit({ _tag: "Waiting", reason, until: DateTime.makeUnsafe(now + millis) })
    )

/** Runs `first`, and after each failure that may pass `again`. */
export const repeatedly = <A, E, R>(
  judge: (error: E) => Verdict,
  first: Effect.Effect<A, E, R>,
  again: Effect.Effect<A, E, R>,
  { emit, retry }: Repetition
): Effect.Effect<A, E, R> => {
  let failure: { readonly message: string; readonly after: Duration.Duration } | undefined
  const note = (error: E) =>
    Effect.sync(() => {
      const verdict = judge(error)
      failure = {
        message: error instanceof Error ? error.message : String(error),
        after: (verdict._tag === "Again" ? verdict.after : undefined) ?? Duration.zero
      }
    })
  const schedule = Schedule.modifyDelay(retry, ({ duration }) => {
    const { after = Duration.zero, message = "" } = failure ?? {}
    const delay = Duration.max(duration, after)
    const retrying = emit({ _tag: "Retrying", message, delay })
    const notified = Duration.isZero(after)
      ? retrying
      : Effect.andThen(retrying, emitWaits(emit)("retry", Duration.toMillis(delay)))
    return Effect.as(notified, delay)
  })
  let isFirst = true
  return Effect.suspend(() => {
    const attempt = isFirst ? first : again
    isFirst = false
    return attempt
  }).pipe(Effect.tapError(note), Effect.retry({ schedule, while: (error) => judge(error)._tag === "Again" }))
}
