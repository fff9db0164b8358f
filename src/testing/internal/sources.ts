/** Uploads of a source: whole, by parts or by ranges of bytes. */
import type * as SandboxProblem from "../SandboxProblem.ts"
import type { Json } from "../SandboxRequest.ts"

/** The parts of a source that have arrived. */
export interface Received {
  readonly unit: "part" | "bytes"
  readonly total: number | undefined
  /** Inclusive ranges; a part is a range of one. */
  readonly ranges: ReadonlyArray<readonly [from: number, to: number]>
  /** Bytes of all of them. */
  readonly size: number
}

/** Where a source is on its way: `whole` with its size in bytes. */
export type Source = Received | { readonly unit: "whole"; readonly size: number }

const maximumParts = 10_000

const partProblem = (
  upload: Received | undefined,
  part: number,
  total: number | undefined
): SandboxProblem.Slug | undefined => {
  const highest = Math.max(0, ...(upload?.ranges ?? []).map(([, last]) => last))
  if (part === 0) return "video-content-range-by-part-part-zero"
  if (total === 0) return "video-content-range-by-part-total-parts-zero"
  if (part > maximumParts) return "video-content-range-by-part-part-too-high-allowed"
  if (total !== undefined && upload?.total !== undefined && total !== upload.total) {
    return "video-content-range-by-part-different-total-parts"
  }
  if (total !== undefined && part > total) return "video-content-range-by-part-part-too-high-total"
  return total !== undefined && total < highest ? "video-content-range-by-part-total-parts-too-low" : undefined
}

const bytesProblem = (
  upload: Received | undefined,
  [from, to]: readonly [number, number],
  total: number | undefined,
  size: number
): SandboxProblem.Slug | undefined => {
  if (total === 0) return "video-content-range-by-bytes-total-bytes-zero"
  if (from > to) return "video-content-range-by-bytes-from-byte-too-high"
  if (total !== undefined && upload?.total !== undefined && total !== upload.total) {
    return "video-content-range-by-bytes-different-total-bytes"
  }
  if (total !== undefined && to >= total) return "video-content-range-by-bytes-to-byte-too-high-total"
  return size === to - from + 1 ? undefined : "video-content-range-by-bytes-range-mismatch"
}

/** The source with another file, or part of one; a slug says why not. */
export const receive = (
  source: Source | undefined,
  size: number,
  contentRange: string | undefined,
  minimumPartSize: number
): Source | SandboxProblem.Slug => {
  if (source?.unit === "whole") return "video-source-already-uploaded"
  if (contentRange === undefined) {
    return source === undefined ? { unit: "whole", size } : "video-content-range-already-initiated"
  }
  const part = /^part (\d+)\/(\d+|\*)$/.exec(contentRange)
  const bytes = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(contentRange)
  const unit = part === null ? "bytes" : "part"
  const [, from, to, totalText] = part === null ? (bytes ?? []) : [part[0], part[1], part[1], part[2]]
  if (from === undefined || to === undefined || totalText === undefined) return "video-content-range-malformed"
  if (source !== undefined && source.unit !== unit) {
    return source.unit === "part" ? "video-content-range-started-with-part" : "video-content-range-started-with-bytes"
  }
  const range = [Number(from), Number(to)] as const
  const total = totalText === "*" ? undefined : Number(totalText)
  const problem = unit === "part" ? partProblem(source, range[0], total) : bytesProblem(source, range, total, size)
  if (problem !== undefined) return problem
  if ((source?.ranges ?? []).some(([a, b]) => a <= range[1] && range[0] <= b)) {
    return unit === "part"
      ? "video-content-range-by-part-part-already-sent"
      : "video-content-range-by-bytes-range-overlap"
  }
  const isLast = range[1] === (unit === "part" ? total : (total ?? Number.NaN) - 1)
  if (!isLast && size < minimumPartSize) {
    return unit === "part"
      ? "video-content-range-by-part-uploaded-file-too-small"
      : "video-content-range-by-bytes-range-too-small"
  }
  const ranges = [...(source?.ranges ?? []), range]
  const received = { unit, total: source?.total ?? total, ranges, size: (source?.size ?? 0) + size } as const
  const covered = ranges.reduce((sum, [a, b]) => sum + b - a + 1, 0)
  return covered === received.total ? { unit: "whole", size: received.size } : received
}

/** The members of `ingest` that say what has arrived. */
export const show = (source: Source | undefined): Json => {
  const received = source?.unit === "whole" ? undefined : source
  const total = received?.total ?? null
  const ranges = received?.ranges.toSorted(([a], [b]) => a - b) ?? []
  return {
    filesize: source?.unit === "whole" ? source.size : received?.unit === "bytes" ? total : null,
    receivedBytes: received?.unit === "bytes" ? ranges.map(([from, to]) => ({ from, to, total })) : [],
    receivedParts: received?.unit === "part" ? { parts: ranges.map(([part]) => part), total } : null
  }
}
