/** The options of an upload, after their defaults and checks. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { TransferOptions } from "../../Upload.ts"
import * as UploadError from "../../UploadError.ts"

/** What a platform accepts. Sizes are bytes. */
export interface Limits {
  /** Smallest part but the last. */
  readonly smallest: number
  readonly largest: number
  readonly mostParts: number
  /** Size of a part, unless an option says otherwise. */
  readonly usual: number
}

export interface Settings {
  readonly smallest: number
  readonly chunkSize: number
  readonly mostParts: number
  readonly concurrency: number
  /** Milliseconds. */
  readonly stallTimeout: number
  readonly retry: Schedule.Schedule<unknown, unknown>
}

const defaultRetry = /* @__PURE__ */ Schedule.exponential("500 millis").pipe(
  /* @__PURE__ */ Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.seconds(30)))),
  /* @__PURE__ */ Schedule.jittered,
  /* @__PURE__ */ Schedule.upTo({ times: 10 })
)

export const refuse = (option: string, problem: string): Effect.Effect<never, UploadError.UploadError> =>
  Effect.fail(new UploadError.UploadError({ reason: new UploadError.OptionInvalid({ option, problem }) }))

export const resolve = (
  { chunkSize, concurrency = 1, retry = defaultRetry, smallestChunk, stallTimeout = "1 minute" }: TransferOptions,
  limits: Limits
): Effect.Effect<Settings, UploadError.UploadError> => {
  const smallest = smallestChunk ?? limits.smallest
  const size = chunkSize ?? limits.usual
  if (!(size >= smallest && size <= limits.largest)) {
    return refuse("chunkSize", `expected ${smallest} to ${limits.largest} bytes`)
  }
  if (!Number.isInteger(concurrency) || concurrency < 1) return refuse("concurrency", "expected a whole number from 1")
  return Effect.succeed({
    smallest,
    chunkSize: Math.floor(size),
    mostParts: limits.mostParts,
    concurrency,
    stallTimeout: Duration.toMillis(Duration.fromInputUnsafe(stallTimeout)),
    retry
  })
}

/** Refuses a file that would have too many parts. */
export const checkParts = (
  total: number,
  { chunkSize, mostParts }: Settings
): Effect.Effect<void, UploadError.UploadError> => {
  if (Math.ceil(total / chunkSize) <= mostParts) return Effect.void
  const atLeast = Math.ceil(total / mostParts)
  return refuse("chunkSize", `the file has more than ${mostParts} parts of it. Use at least ${atLeast} bytes`)
}
