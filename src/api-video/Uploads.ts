/**
 * Uploads files of any size, and survives what happens meanwhile: tokens that expire, connections that are cut, responses
 * that are lost, rate limits, and with a journal also the end of the process.
 *
 * **Example** (Uploading a file)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { KeyValueStore } from "effect/persistence"
 * import { Uploads } from "effect-video-auth/api-video"
 *
 * export const program = Effect.gen(function* () {
 *   const journal = yield* KeyValueStore.KeyValueStore
 *   const video = yield* Uploads.upload("holiday.mp4", { title: "Holiday", journal })
 *   yield* Effect.log(video.assets?.player)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Stream from "effect/Stream"
import { eventsOf } from "../platform/shared/upload/events.ts"
import type { ApiVideo } from "./ApiVideoClient.ts"
import * as Uploader from "./internal/uploader.ts"
import type { UploadEvent, UploadFailure, UploadOptions } from "./Upload.ts"
import type { Video } from "./Video.ts"

/**
 * Uploads a file, and emits what happens. The stream ends with `Completed`, or fails.
 *
 * A source is a path, a `Blob` or `File`, bytes, or a stream whose length is not known.
 *
 * **Example** (Showing progress)
 *
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Uploads } from "effect-video-auth/api-video"
 *
 * export const program = Uploads.events("holiday.mp4").pipe(
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
  options?: UploadOptions
): Stream.Stream<UploadEvent, UploadFailure, ApiVideo | FileSystem.FileSystem>
export function events(
  source: Blob | Uint8Array,
  options?: UploadOptions
): Stream.Stream<UploadEvent, UploadFailure, ApiVideo>
export function events<E, R>(
  source: Stream.Stream<Uint8Array, E, R>,
  options?: UploadOptions
): Stream.Stream<UploadEvent, UploadFailure | E, ApiVideo | R>
export function events<E, R>(
  source: Uploader.Source<E, R>,
  options: UploadOptions = {}
): Stream.Stream<UploadEvent, UploadFailure | E, ApiVideo | FileSystem.FileSystem | R> {
  return eventsOf((emit: (event: UploadEvent) => Effect.Effect<void>) => Uploader.run(source, options, emit))
}

/**
 * Uploads a file, and returns the video: {@link events}, run to its end.
 *
 * @category uploading
 * @since 0.1.0
 */
export function upload(
  source: string,
  options?: UploadOptions
): Effect.Effect<Video, UploadFailure, ApiVideo | FileSystem.FileSystem>
export function upload(
  source: Blob | Uint8Array,
  options?: UploadOptions
): Effect.Effect<Video, UploadFailure, ApiVideo>
export function upload<E, R>(
  source: Stream.Stream<Uint8Array, E, R>,
  options?: UploadOptions
): Effect.Effect<Video, UploadFailure | E, ApiVideo | R>
export function upload<E, R>(
  source: Uploader.Source<E, R>,
  options: UploadOptions = {}
): Effect.Effect<Video, UploadFailure | E, ApiVideo | FileSystem.FileSystem | R> {
  return Uploader.run(source, options, () => Effect.void)
}
