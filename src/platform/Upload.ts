/**
 * Uploads: what all platforms have in common.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as Schedule from "effect/Schedule"
import type { ThrottleReason } from "../token/TokenEvent.ts"

/**
 * How a file is sent, whatever the platform.
 *
 * @category options
 * @since 0.1.0
 */
export interface TransferOptions {
  /** @default the last segment of the path, the name of the `File`, or `video.mp4` */
  readonly filename?: string | undefined
  /**
   * Bytes of a part. api.video: 5 to 128 MiB, by default 50 MiB, and 8 MiB for a stream. movingimage: 2 MiB to 10 MB, by
   * default 8 MiB.
   */
  readonly chunkSize?: number | undefined
  /** How many parts are sent at a time. @default 1 */
  readonly concurrency?: number | undefined
  /**
   * Remembers the upload, so that the same call in another process goes on with it. It is written before the first byte,
   * and its entry is removed when the upload is complete. A stream cannot be read again, and has no journal.
   * @default none
   */
  readonly journal?: KeyValueStore.KeyValueStore | undefined
  /**
   * How a resumed upload checks that the file is still the same: by size and time of modification, or also by a SHA-256
   * hash, for which the file is read once more.
   * @default "time"
   */
  readonly verify?: "time" | "hash" | undefined
  /** How long no byte may be accepted before a part is sent again. @default 1 minute */
  readonly stallTimeout?: Duration.Input | undefined
  /**
   * Delays before a part is sent again, and how often. The server's `Retry-After` lengthens them.
   * @default ten times after 0.5 s, doubled each time up to 30 s, jittered
   */
  readonly retry?: Schedule.Schedule<unknown, unknown> | undefined
  /** Bytes of the smallest part that the server accepts, for test servers with small files. @default the platform's */
  readonly smallestChunk?: number | undefined
}

/**
 * What happens during an upload of a `Video`. Sizes are bytes, times milliseconds.
 *
 * - `Started`: the file can be uploaded, and nothing was sent yet. `total` is `undefined` for a stream
 * - `Progress`: `sent` bytes were taken by the transport; `rate` is in bytes per second. Every 250 ms where the transport
 *   shows it, once per part for `Blob`s and bytes
 * - `Waiting`: a request waits `until` then, because the client keeps to the rate limit (`limit`), because the server answered
 *   429 (`refused`), or before it is sent again as late as the server asks (`retry`)
 * - `Retrying`: a request failed because of `message`, and is sent again after `delay`
 * - `Resumed`: the server has `received` bytes of an earlier attempt, which are not sent again
 * - `Completed`: the video
 *
 * @category models
 * @since 0.1.0
 */
export type UploadEvent<Video> =
  | { readonly _tag: "Started"; readonly filename: string; readonly total: number | undefined }
  | {
      readonly _tag: "Progress"
      readonly sent: number
      readonly total: number | undefined
      readonly rate: number | undefined
      readonly timeLeft: number | undefined
    }
  | { readonly _tag: "Waiting"; readonly reason: ThrottleReason; readonly until: DateTime.Utc }
  | { readonly _tag: "Retrying"; readonly message: string; readonly delay: Duration.Duration }
  | { readonly _tag: "Resumed"; readonly received: number; readonly total: number }
  | { readonly _tag: "Completed"; readonly video: Video }
