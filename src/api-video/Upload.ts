/**
 * Uploads: what `Uploads` takes, emits and fails with.
 *
 * @since 0.1.0
 */
import type * as Redacted from "effect/Redacted"
import type * as Upload from "../platform/Upload.ts"
import type * as UploadError from "../platform/UploadError.ts"
import type { ClientError } from "./ApiVideoClient.ts"
import type { Video, VideoCreation } from "./Video.ts"

/**
 * How a file is uploaded. `title` and the other fields of a new video are those of `Videos.create`.
 *
 * @category options
 * @since 0.1.0
 */
export interface UploadOptions extends Upload.TransferOptions, Partial<Omit<VideoCreation, "source">> {
  /** The video that the file is for. By default a video is created. */
  readonly videoId?: string | undefined
  /**
   * Uploads with an upload token instead of the client's credential, as pages do. The first part creates the video; set
   * `title` and the like afterwards.
   */
  readonly uploadToken?: Redacted.Redacted | string | undefined
}

/**
 * What happens during an upload. Sizes are bytes, times milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type UploadEvent = Upload.UploadEvent<Video>

/**
 * Everything that an upload can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type UploadFailure = UploadError.UploadError | ClientError
