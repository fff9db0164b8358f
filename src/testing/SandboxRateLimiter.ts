/**
 * The rate limits of a sandboxed platform: fixed windows, a count for each class of requests.
 */

import * as Duration from "effect/Duration"

/** The state of a class, for a response's headers. */
export interface Standing {
  readonly limit: number
  readonly remaining: number
  /** Whole seconds until the window ends. */
  readonly reset: number
}

/** Makes the counts of one sandbox. `limit` in requests per window, `now` in milliseconds. */
export const make = <Class extends string>(options: {
  readonly limit: (rateClass: Class) => number
  readonly window: () => Duration.Duration
  readonly now: () => number
}) => {
  const { limit, now } = options
  const window = () => Duration.toMillis(options.window())
  const used = new Map<Class, number>()
  let start = Number.NEGATIVE_INFINITY
  const count = (rateClass: Class) => {
    if (now() >= start + window()) {
      start = now()
      used.clear()
    }
    return used.get(rateClass) ?? 0
  }
  return {
    /** Counts a request. Returns false if the limit is reached. */
    take: (rateClass: Class): boolean => {
      const before = count(rateClass)
      if (before >= limit(rateClass)) return false
      used.set(rateClass, before + 1)
      return true
    },
    standing: (rateClass: Class): Standing => ({
      limit: limit(rateClass),
      remaining: Math.max(0, limit(rateClass) - count(rateClass)),
      reset: Math.ceil((start + window() - now()) / 1000)
    })
  }
}
