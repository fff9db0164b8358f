/** Sources of uploads: a path, a `Blob`, bytes or a stream, each as content that is read in parts. */
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as UploadError from "../../UploadError.ts"
import type { Range } from "./ranges.ts"

/** What tells a source from another one that has its place. */
export interface Fingerprint {
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number | undefined
}

/** The bytes of one part. A page cannot send streams, so what is in memory, or a `Blob`, stays that. */
export type Content =
  | { readonly _tag: "Blob"; readonly blob: Blob }
  /** With {@link room} before and after them in their buffer. */
  | { readonly _tag: "Bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly _tag: "Stream"; readonly stream: Stream.Stream<Uint8Array, unknown>; readonly size: number }

/** A source whose size is known. */
export interface Source {
  /** Names the file in errors and in the journal: its path, or the name of the `File`. */
  readonly place: string
  /** Sent as the name of the file. */
  readonly filename: string
  readonly fingerprint: Fingerprint
  readonly part: (range: Range) => Content
  /** SHA-256 over the SHA-256 of each MiB, in hexadecimal. */
  readonly hash: Effect.Effect<string, UploadError.UploadError>
}

/** Bytes that are free before and after those of a stream's part, so that they get a frame where they are. */
export const room = 4096

/** The size of a part in bytes. */
export const sizeOf = (content: Content): number => {
  switch (content._tag) {
    case "Blob":
      return content.blob.size
    case "Bytes":
      return content.bytes.byteLength
    case "Stream":
      return content.size
  }
}

/** Reads of a file. Larger reads are faster, and hold more memory for each request. */
const readSize = 256 * 1024

const hashedBlock = 1024 * 1024

export const failWith = (reason: UploadError.Reason) => Effect.fail(new UploadError.UploadError({ reason }))

const unusable = (source: string, problem: UploadError.SourceUnusable["problem"], code?: string) =>
  new UploadError.UploadError({ reason: new UploadError.SourceUnusable({ source, problem, code }) })

const baseName = (path: string): string => path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1)

const unreadable =
  (path: string) =>
  ({ reason }: PlatformError.PlatformError): UploadError.UploadError =>
    unusable(path, reason._tag === "NotFound" ? "missing" : "unreadable", reason._tag)

const hashOf = (
  size: number,
  read: (range: Range) => Effect.Effect<Uint8Array, UploadError.UploadError>
): Effect.Effect<string, UploadError.UploadError> =>
  Effect.gen(function* () {
    const { digest, digestHex } = yield* Digest.Digest
    const hashes = new Uint8Array(Math.ceil(size / hashedBlock) * 32)
    for (let from = 0, index = 0; from < size; from += hashedBlock, index++) {
      const block = yield* read({ from, to: Math.min(size, from + hashedBlock) })
      hashes.set(yield* digest(Digest.sha256, block), index * 32)
    }
    return yield* digestHex(Digest.sha256, hashes)
  }).pipe(Effect.provide(Digest.layerWebCrypto))

/** Reads up to two pieces ahead, so that the disk and the network work at the same time. */
const ahead = /* @__PURE__ */ Stream.buffer({ capacity: 1 })

/** A file of the file system. It is opened for each part, and never held in memory. */
export const fromPath = Effect.fnUntraced(function* (
  path: string,
  filename: string | undefined
): Effect.fn.Return<Source, UploadError.UploadError, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const { mtime, size, type } = yield* Effect.mapError(fs.stat(path), unreadable(path))
  if (type === "Directory") return yield* Effect.fail(unusable(path, "a directory"))
  if (Number(size) === 0) return yield* Effect.fail(unusable(path, "empty"))
  // A file that this program must not read is found before a video is created for it.
  yield* Effect.scoped(Effect.mapError(fs.open(path, { flag: "r" }), unreadable(path)))
  const read = ({ from, to }: Range, chunkSize: number) =>
    fs.stream(path, { offset: from, bytesToRead: to - from, chunkSize })
  return {
    place: path,
    filename: filename ?? baseName(path),
    fingerprint: { size: Number(size), modifiedAt: Option.getOrUndefined(mtime)?.getTime() },
    part: (range) => ({ _tag: "Stream", stream: ahead(read(range, readSize)), size: range.to - range.from }),
    hash: hashOf(Number(size), (range) =>
      Effect.suspend(() => {
        const block = new Uint8Array(range.to - range.from)
        let filled = 0
        return Stream.runForEach(read(range, hashedBlock), (bytes) =>
          Effect.sync(() => {
            block.set(bytes, filled)
            filled += bytes.byteLength
          })
        ).pipe(Effect.as(block), Effect.mapError(unreadable(path)))
      })
    )
  }
})

/** A `Blob` or a `File`, of which the runtime reads each part as it sends it. */
export const fromBlob = (blob: Blob, filename: string): Effect.Effect<Source, UploadError.UploadError> =>
  blob.size === 0
    ? Effect.fail(unusable(filename, "empty"))
    : Effect.succeed({
        place: filename,
        filename,
        fingerprint: {
          size: blob.size,
          modifiedAt: "lastModified" in blob && typeof blob.lastModified === "number" ? blob.lastModified : undefined
        },
        part: ({ from, to }) => ({ _tag: "Blob", blob: blob.slice(from, to, blob.type) }),
        hash: hashOf(blob.size, ({ from, to }) =>
          Effect.tryPromise({
            try: async () => new Uint8Array(await blob.slice(from, to).arrayBuffer()),
            // A picked file that was deleted or changed since cannot be read any more.
            catch: () => unusable(filename, "unreadable")
          })
        )
      })

/** Whether `Blob` takes it as it is: memory that is shared with a worker is copied first. */
const isUnshared = (bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> => bytes.buffer instanceof ArrayBuffer

/** A `Blob` of many small ones. Node reads one that was made of a single array into memory a second time, all at once. */
const blobOf = (bytes: Uint8Array): Blob => {
  const unshared = isUnshared(bytes) ? bytes : bytes.slice()
  const count = Math.ceil(unshared.byteLength / readSize)
  return new Blob(Array.from({ length: count }, (_, i) => unshared.subarray(i * readSize, (i + 1) * readSize)))
}

/** Any source but a stream. */
export const fromInput = (
  input: string | Blob | Uint8Array,
  filename: string | undefined
): Effect.Effect<Source, UploadError.UploadError, FileSystem.FileSystem> => {
  if (typeof input === "string") return fromPath(input, filename)
  if (input instanceof Blob) {
    return fromBlob(input, filename ?? ("name" in input && typeof input.name === "string" ? input.name : "video.mp4"))
  }
  return fromBlob(blobOf(input), filename ?? "video.mp4")
}

/** A part of a stream. Its bytes stay in a buffer, which the next parts wait for: release it when the part has arrived. */
export interface Piece {
  readonly content: Content & { readonly _tag: "Bytes" }
  readonly isLast: boolean
  readonly release: Effect.Effect<void>
}

/**
 * Cuts a stream into pieces of `size` bytes, the last of which may be smaller. Marks the last one. There are only so many
 * buffers, each of which is filled again after its piece was released: collecting garbage would take more memory, and most of
 * the time.
 */
export const pieces = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  size: number,
  buffers: number
): Stream.Stream<Piece, E, R> =>
  Stream.suspend(() => {
    const free: Array<Uint8Array<ArrayBuffer>> = []
    const unused = Semaphore.makeUnsafe(buffers)
    const take = Effect.map(unused.take(1), () => ({ bytes: free.pop() ?? new Uint8Array(size + 2 * room), filled: 0 }))
    type Buffer = Effect.Success<typeof take>
    const pieceOf = ({ bytes, filled }: Buffer, isLast: boolean): Piece => ({
      content: { _tag: "Bytes", bytes: bytes.subarray(room, room + filled) },
      isLast,
      release: Effect.suspend(() => {
        free.push(bytes)
        return unused.release(1)
      })
    })
    const fill = (buffer: Buffer, chunk: Uint8Array): number => {
      const taken = chunk.subarray(0, size - buffer.filled)
      buffer.bytes.set(taken, room + buffer.filled)
      buffer.filled += taken.byteLength
      return taken.byteLength
    }
    return stream.pipe(
      // A chunk no larger than a piece fills at most one of them.
      Stream.map((chunk) =>
        Array.from({ length: Math.ceil(chunk.byteLength / size) }, (_, i) => chunk.subarray(i * size, (i + 1) * size))
      ),
      Stream.flattenIterable,
      Stream.mapAccumEffect(
        (): Buffer | undefined => undefined,
        (buffer, chunk) => {
          const at = buffer === undefined ? 0 : fill(buffer, chunk)
          if (at === chunk.byteLength) return Effect.succeed([buffer, []] as const)
          // A full piece is only emitted once more bytes follow: until then it may be the last.
          const full = buffer === undefined ? [] : [pieceOf(buffer, false)]
          return Effect.map(take, (next) => {
            fill(next, chunk.subarray(at))
            return [next, full] as const
          })
        },
        { onHalt: (buffer) => (buffer === undefined ? [] : [pieceOf(buffer, true)]) }
      )
    )
  })
