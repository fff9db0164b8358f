/**
 * Reads response bodies within limits of size and time. Everything in the library that reads a response does it here: a
 * body that is too long is closed, and so is its connection, instead of being kept in memory.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import { reasonOf } from "../../token/shared/failures.ts"

/** The longest bodies that are read, in bytes after the transport has decoded them. */
export const longest = {
  /** Of an error, and of a response that is read only to free its connection. */
  error: 64 * 1024,
  /** Of a token response, and of the documents of an OAuth server. */
  token: 1024 * 1024,
  /** Of a resource that an operation decodes. */
  resource: 16 * 1024 * 1024
}

/** How much of a body is read, and for how long. */
export interface Bounds {
  /** Bytes. */
  readonly limit: number
  /** Milliseconds. @default unbounded: the caller bounds it */
  readonly within?: number | undefined
}

/** A body, or why there is none: a predicate of "the body" in the library's words, for messages. */
export type Body =
  | { readonly _tag: "Whole"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly _tag: "Unread"; readonly problem: string }

/** What a body says. */
export type Content =
  | { readonly _tag: "Json"; readonly value: unknown }
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Unread"; readonly problem: string }

const unread = (problem: string) => ({ _tag: "Unread", problem }) as const

/** `65536` as `64 KiB`. */
const inWords = (bytes: number): string =>
  bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${Math.ceil(bytes / (1024 * 1024))} MiB`

const tooLong = (limit: number) => unread(`is larger than ${inWords(limit)}`)

const whole = (bytes: Uint8Array<ArrayBuffer>): Body => ({ _tag: "Whole", bytes })

/** A body can be read once, and several layers may want it: the limiter, the recovery from a 401, the typed error. */
const bodies = new WeakMap<HttpClientResponse.HttpClientResponse, Body>()

/** Takes what the transport has, piece by piece. Leaving early ends the stream, which closes the connection. */
const collect = (
  { stream }: HttpClientResponse.HttpClientResponse,
  limit: number
): Effect.Effect<Body, HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const pieces: Array<Uint8Array> = []
    let size = 0
    const keep = (piece: Uint8Array) =>
      Effect.sync(() => {
        size += piece.length
        if (size <= limit) pieces.push(piece)
        return size <= limit
      })
    return Effect.map(Stream.runForEachWhile(stream, keep), () => {
      if (size > limit) return tooLong(limit)
      const bytes = new Uint8Array(size)
      let offset = 0
      for (const piece of pieces) {
        bytes.set(piece, offset)
        offset += piece.length
      }
      return whole(bytes)
    })
  })

/** A response without a body has no stream in some transports. */
const isEmptyBody = (exit: Exit.Exit<unknown, HttpClientError.HttpClientError>): boolean =>
  Exit.isFailure(exit) && reasonOf(exit.cause)?.reason._tag === "EmptyBodyError"

/**
 * Whether the transport itself ends a body within the limit: it reads no more than the announced length. Piece by piece
 * takes three times as long, which shows for a page of a list.
 */
const isShort = ({ headers }: HttpClientResponse.HttpClientResponse, limit: number): boolean =>
  headers["content-encoding"] === undefined && Number(headers["content-length"] ?? Infinity) <= limit

const atOnce = ({ arrayBuffer }: HttpClientResponse.HttpClientResponse, limit: number) =>
  Effect.map(arrayBuffer, (buffer) => (buffer.byteLength > limit ? tooLong(limit) : whole(new Uint8Array(buffer))))

const read = (response: HttpClientResponse.HttpClientResponse, limit: number): Effect.Effect<Body> =>
  Effect.flatMap(Effect.exit(isShort(response, limit) ? atOnce(response, limit) : collect(response, limit)), (exit) => {
    if (Exit.isSuccess(exit) && (exit.value._tag === "Unread" || exit.value.bytes.length > 0)) {
      return Effect.succeed(exit.value)
    }
    // The program's own `HttpClient` may have read the body. Its stream is empty then, and the response keeps the bytes.
    return Effect.match(response.arrayBuffer, {
      onFailure: () =>
        Exit.isSuccess(exit) ? exit.value : isEmptyBody(exit) ? whole(new Uint8Array()) : unread("broke off"),
      onSuccess: (buffer) => (buffer.byteLength > limit ? tooLong(limit) : whole(new Uint8Array(buffer)))
    })
  })

/**
 * Reads a body, up to a limit. It never fails, and a second call returns what the first one read. A response whose body is
 * longer, or does not end in time, is closed.
 */
export const readBody = (
  response: HttpClientResponse.HttpClientResponse,
  { limit, within }: Bounds
): Effect.Effect<Body> =>
  Effect.suspend(() => {
    const known = bodies.get(response)
    if (known !== undefined) return Effect.succeed(known)
    const body = read(response, limit)
    const timely =
      within === undefined
        ? body
        : Effect.timeoutOrElse(body, {
            duration: within,
            orElse: () => Effect.succeed(unread(`did not end within ${within / 1_000} s`))
          })
    return Effect.tap(timely, (body) => Effect.sync(() => bodies.set(response, body)))
  })

/** Content codings of RFC 9110 §8.4.1 and the IANA registry. Any other name is the server's text and is not repeated. */
const codings = /^(aes128gcm|br|compress|dcb|dcz|deflate|exi|gzip|pack200-gzip|x-compress|x-gzip|zstd)$/

/** The codings of a response, as its transport left them. */
const codingsOf = ({ headers }: HttpClientResponse.HttpClientResponse): ReadonlyArray<string> =>
  (headers["content-encoding"] ?? "")
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "" && name !== "identity")

/** Compressed bytes are no text. `fetch` decodes, and keeps the header. */
const isText = (bytes: Uint8Array): boolean => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

const problemOf = (response: HttpClientResponse.HttpClientResponse, bytes: Uint8Array): string => {
  const names = codingsOf(response)
  if (names.length === 0 || isText(bytes)) return "is not JSON"
  const known = names.every((name) => codings.test(name)) ? names.join(", ") : "in an unknown way"
  return `is encoded (${known}), and this HttpClient does not decode it`
}

/** Reads a body in JSON, up to a limit. It never fails: why a body could not be read is part of the result. */
export const readContent = (response: HttpClientResponse.HttpClientResponse, bounds: Bounds): Effect.Effect<Content> =>
  Effect.map(readBody(response, bounds), (body): Content => {
    if (body._tag === "Unread") return body
    const text = new TextDecoder().decode(body.bytes)
    if (text.trim() === "") return { _tag: "Empty" }
    try {
      return { _tag: "Json", value: JSON.parse(text) }
    } catch {
      return unread(problemOf(response, body.bytes))
    }
  })

/** How an error's body is read: what does not come in time is not worth more waiting. */
const ofError = { limit: longest.error, within: 5_000 }

/** Reads the body of an error. */
export const readError = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Content> =>
  readContent(response, ofError)

/** Frees the connection of a response that nobody needs: reads it to its end if that is near, and else closes it. */
export const drain = (
  response: HttpClientResponse.HttpClientResponse,
  within: number = ofError.within
): Effect.Effect<void> => Effect.asVoid(readBody(response, { limit: longest.error, within }))
