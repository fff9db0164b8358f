/** A rate limiter that several processes share, as one on Redis. When it fails, each process goes on with its own count. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as Duration from "effect/Duration"
import { reasonOf } from "../../token/shared/failures.ts"
import { monotonic } from "../../token/shared/time.ts"
import { windowMillis } from "./rateWindow.ts"

/** How long the shared limiter may take to respond, in milliseconds. */
const patience = 1_000

/** How long it is left alone after it has failed, in milliseconds. */
const pause = 10_000

export class SharedLimit {
  readonly #limiter: RateLimiter.RateLimiter
  readonly #platform: string
  #downUntil = Number.NEGATIVE_INFINITY
  #isReported = false

  constructor(platform: string, limiter: RateLimiter.RateLimiter) {
    this.#platform = platform
    this.#limiter = limiter
  }

  /** Takes a place: 0 if there was one, or if the limiter is down; otherwise the milliseconds until there is one. */
  take(key: string, limit: number, clock: Clock.Clock): Effect.Effect<number> {
    return Effect.suspend(() => {
      if (monotonic(clock) < this.#downUntil) return Effect.succeed(0)
      return this.#limiter
        .consume({ algorithm: "fixed-window", onExceeded: "fail", window: windowMillis, limit, key })
        .pipe(
          Effect.timeout(patience),
          Effect.matchCauseEffect({
            onFailure: (cause) => {
              const error = reasonOf(cause)
              return error?._tag === "RateLimiterError" && error.reason._tag === "RateLimitExceeded"
                ? Effect.succeed(Math.max(1, Duration.toMillis(error.reason.retryAfter)))
                : this.#fail(clock)
            },
            onSuccess: () => {
              this.#isReported = false
              return Effect.succeed(0)
            }
          })
        )
    })
  }

  #fail(clock: Clock.Clock): Effect.Effect<number> {
    this.#downUntil = monotonic(clock) + pause
    if (this.#isReported) return Effect.succeed(0)
    this.#isReported = true
    return Effect.as(
      Effect.logWarning(
        `${this.#platform}: the shared rate limiter failed; this process limits its requests on its own`
      ),
      0
    )
  }
}
