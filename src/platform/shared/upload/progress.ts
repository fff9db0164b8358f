/** How fast bytes are sent, and how long the rest will take. */

/** The rate is measured over this many milliseconds. */
const span = 5_000

export interface Measured {
  /** Bytes per second; `undefined` until two measurements exist. */
  readonly rate: number | undefined
  /** Milliseconds until everything is sent; `undefined` if the total or the rate is unknown. */
  readonly timeLeft: number | undefined
}

/** Makes a meter. Feed it with the bytes sent so far and the monotonic time in milliseconds. */
export const meter = (total: number | undefined) => {
  let samples: ReadonlyArray<{ readonly at: number; readonly sent: number }> = []
  return (at: number, sent: number): Measured => {
    // Bytes that have to be sent again are taken off: the rate starts anew.
    const last = samples.at(-1)
    samples = last !== undefined && sent < last.sent ? [{ at, sent }] : [...samples, { at, sent }]
    // One sample older than the span stays, to measure from.
    while (samples.length > 2 && samples[1]!.at <= at - span) samples = samples.slice(1)
    const first = samples[0]!
    const rate = at > first.at ? ((sent - first.sent) / (at - first.at)) * 1_000 : undefined
    const left = total === undefined ? undefined : total - sent
    return {
      rate,
      timeLeft: rate === undefined || rate === 0 || left === undefined ? undefined : (left / rate) * 1_000
    }
  }
}
