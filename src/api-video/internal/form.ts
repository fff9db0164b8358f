/** Files as the body of a request: `multipart/form-data` with the part `file`, after the other fields. */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as HttpBody from "effect/http/HttpBody"
import * as Stream from "effect/Stream"
import { repeatable } from "../../platform/RequestBody.ts"
import { fromStream, type Input, isUploadFile, type UploadFile } from "../UploadFile.ts"

type Fields = ReadonlyArray<readonly [name: string, value: string]>

/** The form of an image by its first bytes; by its extension the API decides whether it accepts a file. */
const extensionOf = (bytes: Uint8Array): string | undefined => {
  const begins = (at: number, ...expected: ReadonlyArray<number>) => expected.every((byte, i) => bytes[at + i] === byte)
  if (begins(0, 0xff, 0xd8, 0xff)) return "jpg"
  if (begins(0, 0x89, 0x50, 0x4e, 0x47)) return "png"
  return begins(0, 0x52, 0x49, 0x46, 0x46) && begins(8, 0x57, 0x45, 0x42, 0x50) ? "webp" : undefined
}

const extensions: Readonly<Record<string, string>> = {
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/webp": "webp",
  "text/vtt": "vtt"
}

const withExtension = (name: string, extension: string | undefined): string =>
  extension === undefined ? name : name.replace(/\w+$/, extension)

/** Whether `Blob` takes it as it is: memory that is shared with a worker is copied first. */
const isOwned = (bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> => bytes.buffer instanceof ArrayBuffer

/** Size in bytes, as far as it is known. */
export const sizeOf = (file: Input): number | undefined => (file instanceof Uint8Array ? file.byteLength : file.size)

export const isInput = (file: unknown): file is Input =>
  file instanceof Uint8Array || file instanceof Blob || isUploadFile(file)

/** What comes before and after the content of a file, in a form with these fields. */
const frame = (boundary: string, fields: Fields, file: UploadFile) => {
  const quoted = (text: string) => text.replace(/["\r\n]/g, encodeURIComponent)
  const parts = fields.map(
    ([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"\r\n\r\n${value}\r\n`
  )
  const disposition = `Content-Disposition: form-data; name="file"; filename="${quoted(file.name)}"`
  const encoder = new TextEncoder()
  return {
    head: encoder.encode(`${parts.join("")}--${boundary}\r\n${disposition}\r\nContent-Type: ${file.type}\r\n\r\n`),
    tail: encoder.encode(`\r\n--${boundary}--\r\n`)
  }
}

/** Bytes in the middle of a buffer, with so much room on both sides of them. */
interface InPlace {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly room: number
}

const inPlace = new WeakMap<UploadFile, InPlace>()

/** A file of bytes that are framed in their own buffer: a part of a stream is too large to be copied. */
export const fileInPlace = (bytes: Uint8Array<ArrayBuffer>, room: number, name: string): UploadFile => {
  const file = fromStream(Stream.make(bytes), { name, size: bytes.byteLength, isRepeatable: true })
  inPlace.set(file, { bytes, room })
  return file
}

/** Writes a frame around bytes. Undefined: there is no room for it. */
const framed = ({ bytes, room }: InPlace, head: Uint8Array, tail: Uint8Array): Uint8Array | undefined => {
  if (Math.max(head.byteLength, tail.byteLength) > room) return undefined
  const whole = new Uint8Array(
    bytes.buffer,
    bytes.byteOffset - head.byteLength,
    head.byteLength + bytes.byteLength + tail.byteLength
  )
  whole.set(head)
  whole.set(tail, whole.byteLength - tail.byteLength)
  return whole
}

const streamed = (file: UploadFile, fields: Fields): HttpBody.HttpBody => {
  // `crypto.randomUUID` exists only on secure pages.
  const boundary = `----${SecureRandom.uuidV4Unsafe()}`
  const { head, tail } = frame(boundary, fields, file)
  const type = `multipart/form-data; boundary=${boundary}`
  const held = inPlace.get(file)
  const whole = held === undefined ? undefined : framed(held, head, tail)
  if (whole !== undefined) return HttpBody.uint8Array(whole, type)
  const body = HttpBody.stream(
    Stream.make(head).pipe(Stream.concat(file.stream), Stream.concat(Stream.make(tail))),
    type,
    file.size === undefined ? undefined : head.byteLength + file.size + tail.byteLength
  )
  return file.isRepeatable ? repeatable(body) : body
}

/**
 * Bytes and `Blob`s become a `FormData`, which every runtime sends with a length; browsers cannot send streams over
 * HTTP/1.1. Other files are streamed.
 */
export const formOf = (file: Input, fields: Fields, name: string): HttpBody.HttpBody => {
  if (isUploadFile(file)) return streamed(file, fields)
  const form = new FormData()
  for (const [key, value] of fields) form.append(key, value)
  if (file instanceof Blob) {
    const known = "name" in file && typeof file.name === "string" ? file.name : ""
    form.append("file", file, known === "" ? withExtension(name, extensions[file.type]) : known)
  } else {
    const named = withExtension(name, extensionOf(file))
    form.append("file", new Blob([isOwned(file) ? file : file.slice()]), named)
  }
  return HttpBody.formData(form)
}
