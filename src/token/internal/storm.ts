/** The storm breaker: an API that refuses every new token must not cause one renewal after the other. */
import * as Duration from "effect/Duration"
import * as TokenError from "../TokenError.ts"

/** Renewals caused by rejections are counted over this window. Milliseconds. */
const window = 30_000

/** The monotonic instants of the renewals that rejections caused. */
export type Rejections = ReadonlyArray<number>

/** Adds a renewal, and drops those that are too old to count. */
export const recordRejection = (rejections: Rejections, now: number): Rejections => [
  ...rejections.filter((at) => now - at < window),
  now
]

/** The reason to refuse one more renewal within the window, if there is one. */
export const breaker = (rejections: Rejections, limit: number, now: number): TokenError.RenewalStorm | undefined => {
  const recent = rejections.filter((at) => now - at < window)
  const [first] = recent
  return first === undefined || recent.length < limit
    ? undefined
    : new TokenError.RenewalStorm({ renewals: recent.length, retryAfter: Duration.millis(first + window - now) })
}
