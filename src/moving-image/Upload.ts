/**
 * Uploads to movingimage: what `Uploads` takes, emits and fails with.
 *
 * @since 0.1.0
 */
import type * as Upload from "../platform/Upload.ts"
import type * as UploadError from "../platform/UploadError.ts"
import type { ClientError } from "./MovingImage.ts"

/**
 * How a file is uploaded. `title`, `description`, `keywords` and `autoPublish` are those of `POST …/videos`.
 *
 * @category options
 * @since 0.1.0
 */
export interface UploadOptions extends Upload.TransferOptions {
  /** Id of the VideoManager that gets the video. The client's token must be valid for it. */
  readonly videoManager: number
  /** The video that the file is for. By default a video is created. */
  readonly videoId?: string | undefined
  /** @default chosen by movingimage */
  readonly title?: string | undefined
  readonly description?: string | undefined
  readonly keywords?: ReadonlyArray<string> | undefined
  readonly autoPublish?: boolean | undefined
}

/**
 * A video that was uploaded. `GET …/videos/{videoId}` has more.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadedVideo {
  readonly videoId: string
}

/**
 * What happens during an upload. Sizes are bytes, times milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type UploadEvent = Upload.UploadEvent<UploadedVideo>

/**
 * Everything that an upload can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type UploadFailure = UploadError.UploadError | ClientError
