/**
 * Uploads files of any size to movingimage, and survives what happens meanwhile: connections that are cut, responses that are
 * lost, rate limits, upload URLs that expire, and with a journal also the end of the process.
 *
 * It uses the upload that movingimage documents: `POST …/videos`, then `GET …/videos/{videoId}/url`, then chunks to that URL.
 * Whatever needs something else fails with the reason `Unsupported`, before anything is sent.
 *
 * **Example** (Uploading a file)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { KeyValueStore } from "effect/persistence"
 * import { Uploads } from "effect-video-auth/moving-image"
 *
 * export const program = Effect.gen(function* () {
 *   const journal = yield* KeyValueStore.KeyValueStore
 *   const { videoId } = yield* Uploads.upload("holiday.mp4", { videoManager: 42, title: "Holiday", journal })
 *   yield* Effect.log(videoId)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Stream from "effect/Stream"
import { eventsOf } from "../platform/shared/upload/events.ts"
import * as Uploader from "./internal/uploader.ts"
import type { MovingImage } from "./MovingImage.ts"
import type { UploadedVideo, UploadEvent, UploadFailure, UploadOptions } from "./Upload.ts"

/**
 * Uploads a file, and emits what happens. The stream ends with `Completed`, or fails.
 *
 * A source is a path, a `Blob` or `File`, or bytes. movingimage wants to know the number of chunks with the first one, so a
 * stream cannot be uploaded.
 *
 * **Example** (Showing progress)
 *
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Uploads } from "effect-video-auth/moving-image"
 *
 * export const program = Uploads.events("holiday.mp4", { videoManager: 42 }).pipe(
 *   Stream.runForEach((event) =>
 *     event._tag === "Progress" ? Console.log(`${event.sent} of ${event.total} bytes`) : Console.log(event._tag)
 *   )
 * )
 * ```
 *
 * @category uploading
 * @since 0.1.0
 */
export function events(
  source: string,
  options: UploadOptions
): Stream.Stream<UploadEvent, UploadFailure, MovingImage | FileSystem.FileSystem>
export function events(
  source: Blob | Uint8Array,
  options: UploadOptions
): Stream.Stream<UploadEvent, UploadFailure, MovingImage>
export function events(
  source: Uploader.Source,
  options: UploadOptions
): Stream.Stream<UploadEvent, UploadFailure, MovingImage | FileSystem.FileSystem> {
  return eventsOf((emit: (event: UploadEvent) => Effect.Effect<void>) => Uploader.run(source, options, emit))
}

/**
 * Uploads a file, and returns the id of the video: {@link events}, run to its end.
 *
 * @category uploading
 * @since 0.1.0
 */
export function upload(
  source: string,
  options: UploadOptions
): Effect.Effect<UploadedVideo, UploadFailure, MovingImage | FileSystem.FileSystem>
export function upload(
  source: Blob | Uint8Array,
  options: UploadOptions
): Effect.Effect<UploadedVideo, UploadFailure, MovingImage>
export function upload(
  source: Uploader.Source,
  options: UploadOptions
): Effect.Effect<UploadedVideo, UploadFailure, MovingImage | FileSystem.FileSystem> {
  return Uploader.run(source, options, () => Effect.void)
}
