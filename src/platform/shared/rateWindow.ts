/**
 * Counts the requests of one class within a window of a minute, and learns from responses how many the server allows.
 * Times are milliseconds on the monotonic clock, so a step of the wall clock changes nothing.
 *
 * A window begins with its first request. A place in it is taken when a request is sent and kept until the window ends, even
 * if no response arrives: the server may have counted the request.
 */

/** The window that both platforms document, in milliseconds. */
export const windowMillis = 60_000

/** How long a learned limit, and an unused window, are remembered. */
export const memoryMillis = 10 * windowMillis

/** The largest number of requests a minute that a server is believed to allow. */
const largestLimit = 1_000_000

/** A place in a window. */
export interface Place {
  /** The window that it is in. */
  readonly window: number
  /** Counts the requests of a class. */
  readonly order: number
}

/** What a response says about the limit; anything may be missing or wrong. */
export interface Report {
  readonly limit: number | undefined
  readonly remaining: number | undefined
  /** Milliseconds until the server's window ends. */
  readonly resetAfter: number | undefined
}

/** A limit that is no whole number, or none at all, is a mistake of the server or of something in between. */
const isPlausible = (limit: number | undefined): limit is number =>
  limit !== undefined && Number.isSafeInteger(limit) && limit >= 1 && limit <= largestLimit

export class RateWindow {
  /** Requests per window, until the server says something else. */
  readonly #configured: number
  #limit: number
  #learnedAt = 0
  #window = 0
  #start = 0
  #end = Number.NEGATIVE_INFINITY
  /** Whether the end is the server's, and not the latest possible one. */
  #isEndReported = false
  /** Requests in this window that have got a response, by the server's word or our own count. */
  #counted = 0
  /** Requests in this window without a response. */
  #pending = 0
  #order = 0
  /** The order of the last request that was sent when `#counted` was reported. */
  #reportedAt = 0
  /** Until when nothing is sent, because the server has refused a request. */
  #heldUntil = Number.NEGATIVE_INFINITY
  /** Until when the server has asked to send nothing, which may be too long to believe. */
  #refusedUntil = Number.NEGATIVE_INFINITY

  constructor(limit: number) {
    this.#configured = limit
    this.#limit = limit
  }

  get limit(): number {
    return this.#limit
  }

  /** How long a request has to wait if so many others go first; 0 if there is a place for it. */
  wait(now: number, ahead: number): number {
    const start = Math.max(now, this.#heldUntil)
    const isOver = start >= this.#end
    const free = isOver ? this.#limit : Math.max(0, this.#limit - this.#counted - this.#pending)
    const instant =
      ahead < free
        ? start
        : (isOver ? start + windowMillis : this.#end) + Math.floor((ahead - free) / this.#limit) * windowMillis
    return (now < this.#heldUntil ? Math.max(instant, this.#refusedUntil) : instant) - now
  }

  /** Takes a place. There must be one. */
  take(now: number): Place {
    if (now >= this.#end) this.#begin(now)
    this.#pending += 1
    this.#order += 1
    return { window: this.#window, order: this.#order }
  }

  /** Gives a place back whose request was not sent. */
  giveBack(place: Place): void {
    if (place.window === this.#window) this.#pending -= 1
  }

  /** Learns from a response, except one with status 429. */
  answered(place: Place, now: number, { limit, remaining, resetAfter }: Report): void {
    if (isPlausible(limit)) this.#learn(limit, now)
    // A response to a request of an earlier window says nothing about this one. It may come minutes later.
    if (place.window !== this.#window) return
    this.#pending -= 1
    if (isPlausible(limit) && remaining !== undefined && remaining >= 0 && remaining <= limit) {
      this.#believe(place, Math.ceil(limit - remaining))
    } else {
      this.#counted += 1
    }
    this.#endAfter(now, resetAfter)
  }

  /**
   * Holds all requests back for as long as the server asks, after a 429. If that is longer than anybody waits, they are held
   * for one window only: then one of them finds out whether the server meant it.
   */
  refused(place: Place, now: number, retryAfter: number, longestWait: number, { limit, resetAfter }: Report): void {
    if (isPlausible(limit)) this.#learn(limit, now)
    if (place.window === this.#window) this.#endAfter(now, resetAfter)
    this.giveBack(place)
    this.hold(now, retryAfter, longestWait)
  }

  /** Sends nothing for a while. */
  hold(now: number, duration: number, longestWait: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, now + (duration <= longestWait ? duration : windowMillis))
    this.#refusedUntil = Math.max(this.#refusedUntil, now + duration)
  }

  /** Counts requests that were sent without a place. */
  add(count: number): void {
    this.#counted += count
  }

  /** Whether nothing is worth remembering any more. */
  isForgotten(now: number): boolean {
    return now > Math.max(this.#end, this.#heldUntil) + memoryMillis
  }

  #begin(now: number): void {
    this.#window += 1
    this.#start = now
    this.#end = now + windowMillis
    this.#isEndReported = false
    this.#counted = 0
    this.#pending = 0
    this.#reportedAt = this.#order
    if (now - this.#learnedAt > memoryMillis) this.#limit = this.#configured
  }

  /** The server's window ends after so many milliseconds, if that makes sense: it began with our first request or before. */
  #endAfter(now: number, resetAfter: number | undefined): void {
    if (resetAfter === undefined || resetAfter <= 0 || resetAfter > windowMillis) return
    const end = Math.min(now + resetAfter, this.#start + windowMillis)
    // Servers report whole seconds, so the latest of several ends is the closest.
    this.#end = this.#isEndReported ? Math.max(this.#end, end) : end
    this.#isEndReported = true
  }

  #learn(limit: number, now: number): void {
    this.#limit = limit
    this.#learnedAt = now
  }

  /**
   * Takes over the server's count. Responses may arrive in another order than their requests, so a smaller count is only
   * newer if its request was sent after the larger one had been reported.
   */
  #believe(place: Place, count: number): void {
    if (count < this.#counted && place.order <= this.#reportedAt) return
    this.#counted = count
    this.#reportedAt = this.#order
  }
}
