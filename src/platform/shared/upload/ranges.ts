/** Byte ranges of a file: what is missing, and how it is cut into parts. */

/** Bytes from `from` up to, but not including, `to`. */
export interface Range {
  readonly from: number
  readonly to: number
}

/** How a file may be cut into parts. Sizes are bytes. */
export interface Cut {
  readonly total: number
  readonly chunkSize: number
  /** No part but the last one of the file may be smaller. */
  readonly smallest: number
}

/** The parts of `wanted` that `received` does not cover completely. */
export const notReceived = (wanted: Range, received: ReadonlyArray<Range>): ReadonlyArray<Range> => {
  const gaps: Array<Range> = []
  let at = wanted.from
  for (const { from, to } of received.toSorted((a, b) => a.from - b.from)) {
    if (to <= at || from >= wanted.to) continue
    if (from > at) gaps.push({ from: at, to: from })
    at = Math.max(at, to)
  }
  if (at < wanted.to) gaps.push({ from: at, to: wanted.to })
  return gaps
}

/**
 * Cuts what was not received into parts. Every part has `chunkSize` bytes, except where a shorter one fills a gap, or a
 * longer one avoids a remainder below `smallest`.
 */
export const missing = ({ chunkSize, smallest, total }: Cut, received: ReadonlyArray<Range>): ReadonlyArray<Range> => {
  const parts: Array<Range> = []
  for (const { from, to: end } of notReceived({ from: 0, to: total }, received)) {
    for (let at = from; at < end;) {
      const left = end - at
      const isWhole = left <= chunkSize || (end !== total && left - chunkSize < smallest)
      const to = isWhole ? end : at + chunkSize
      parts.push({ from: at, to })
      at = to
    }
  }
  return parts
}

/** The number of bytes in ranges that do not overlap. */
export const sizeOf = (ranges: ReadonlyArray<Range>): number => ranges.reduce((sum, { from, to }) => sum + to - from, 0)
