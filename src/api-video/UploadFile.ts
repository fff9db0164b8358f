/**
 * Files to upload: thumbnails, captions, chapters, watermarks, logos and sources of videos. Operations take bytes and
 * `Blob`s as they are; {@link fromPath} and {@link fromStream} make a file of a path and of a stream.
 *
 * **Example** (Uploading captions from a path)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Captions, UploadFile } from "effect-video-auth/api-video"
 *
 * export const program = Effect.gen(function*() {
 *   const file = yield* UploadFile.fromPath("captions.vtt")
 *   return yield* Captions.upload("vi4k0jvEUuaTdRAEjQ4Jfrgz", "en", file)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as PlatformError from "effect/PlatformError"
import * as Stream from "effect/Stream"

const TypeId = "~effect-video-auth/UploadFile"

/**
 * A file with a name, whose content is read when a request is sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadFile {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  /** Media type. */
  readonly type: string
  /** In bytes; `undefined` if it is not known. */
  readonly size: number | undefined
  /** Whether `stream` can be run more than once. If not, a request with it is never sent again. */
  readonly isRepeatable: boolean
  readonly stream: Stream.Stream<Uint8Array, unknown>
}

/**
 * What operations accept as a file.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Uint8Array | Blob | UploadFile

/**
 * Whether a value is an {@link UploadFile}.
 *
 * @category guards
 * @since 0.1.0
 */
export const isUploadFile = (value: unknown): value is UploadFile =>
  typeof value === "object" && value !== null && TypeId in value

const types: Readonly<Record<string, string>> = {
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
  webp: "image/webp",
  vtt: "text/vtt",
  mp4: "video/mp4"
}

const typeOf = (name: string): string =>
  types[name.slice(name.lastIndexOf(".") + 1).toLowerCase()] ?? "application/octet-stream"

/**
 * Options of {@link fromStream}.
 *
 * @category options
 * @since 0.1.0
 */
export interface StreamOptions {
  /** With the extension of its format, by which api.video judges it. */
  readonly name: string
  /** @default by the extension of the name */
  readonly type?: string | undefined
  /** In bytes. */
  readonly size?: number | undefined
  /** @default false */
  readonly isRepeatable?: boolean | undefined
}

/**
 * Options of {@link fromPath}.
 *
 * @category options
 * @since 0.1.0
 */
export interface PathOptions {
  /** @default the last segment of the path */
  readonly name?: string | undefined
  /** @default by the extension of the name */
  readonly type?: string | undefined
}

/**
 * Makes a file of a stream. The request has a length only if `size` says so, and it is sent again after a failure only if
 * `isRepeatable` says that the stream can be run more than once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromStream = (stream: Stream.Stream<Uint8Array, unknown>, options: StreamOptions): UploadFile => ({
  [TypeId]: TypeId,
  name: options.name,
  type: options.type ?? typeOf(options.name),
  size: options.size,
  isRepeatable: options.isRepeatable ?? false,
  stream
})

const chunkSize = 256 * 1024

/**
 * Makes a file of a path. It is opened anew for each attempt, so requests with it can be sent again. An attempt fails if
 * the file's size or time of modification has changed since.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromPath = /* @__PURE__ */ Effect.fnUntraced(function* (
  path: string,
  options: PathOptions = {}
): Effect.fn.Return<UploadFile, PlatformError.PlatformError, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const before = yield* fs.stat(path)
  const unchanged = Effect.flatMap(fs.stat(path), ({ mtime, size }) =>
    size === before.size && Option.getOrUndefined(mtime)?.getTime() === Option.getOrUndefined(before.mtime)?.getTime()
      ? Effect.void
      : Effect.fail(
          PlatformError.systemError({
            _tag: "InvalidData",
            module: "UploadFile",
            method: "fromPath",
            pathOrDescriptor: path,
            description: "the file has changed since the upload began"
          })
        )
  )
  return fromStream(Stream.unwrap(Effect.as(unchanged, fs.stream(path, { chunkSize }))), {
    name: options.name ?? path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1),
    type: options.type,
    size: Number(before.size),
    isRepeatable: true
  })
})
