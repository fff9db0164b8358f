/**
 * Whether a request can be sent again. Everything that repeats requests asks this one rule: the rate limiter after a 429,
 * the retry, the recovery from a 401 and the wire itself, which also stops a program's own retry.
 *
 * | body | can be sent again |
 * | --- | --- |
 * | none, text, bytes, form, `Blob` | yes |
 * | any that is marked by `RequestBody` | yes |
 * | a stream that declares its length, such as `HttpBody.file` | if it starts again from its beginning, which is tried |
 * | any other stream or iterable | no |
 */
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Stream from "effect/Stream"
import * as TokenError from "../../token/TokenError.ts"
import { mapAttempts } from "./http.ts"

/** A body that was given to a transport, and may be readable only once. */
interface Source {
  /** Whether the transport has begun to read it. That shows only in a stream; anything else counts as read. */
  isRead: boolean
  /** Bytes read so far. */
  read: number
}

/** Bodies by what they read from, because a body can be wrapped again for each attempt. */
const sources = new WeakMap<object, Source>()

/** What can be read any number of times. */
const repeatable = new WeakSet<object>()

/** The bodies that {@link refuseRepeatedBodies} made, and what they stand for. */
const originals = new WeakMap<HttpBody.HttpBody, HttpBody.Stream>()

/** How long a stream may take to show that it starts again. */
const patience = 10_000

/** What a body reads from, if reading may use it up. */
const readsFrom = (body: HttpBody.HttpBody): object | undefined => {
  if (body._tag === "Stream") return (originals.get(body) ?? body).stream
  if (body._tag !== "Raw") return undefined
  const { body: value } = body
  return (typeof value !== "object" && typeof value !== "function") || value === null || isWhole(value)
    ? undefined
    : value
}

const isWhole = (value: object): boolean =>
  ArrayBuffer.isView(value) || [ArrayBuffer, URLSearchParams, Blob, FormData].some((type) => value instanceof type)

/** Marks a body as one that gives the same bytes each time it is read. */
export const markRepeatable = (body: HttpBody.HttpBody): void => {
  const from = readsFrom(body)
  if (from !== undefined) repeatable.add(from)
}

/** Whether a request can be sent again with its whole body. */
export const isRepeatable = ({ body }: HttpClientRequest.HttpClientRequest): Effect.Effect<boolean> => {
  const from = readsFrom(body)
  const source = from === undefined || repeatable.has(from) ? undefined : sources.get(from)
  if (source?.isRead !== true) return Effect.succeed(true)
  return body._tag === "Stream" && body.contentLength !== undefined
    ? startsAgain(originals.get(body)?.stream ?? body.stream, body.contentLength, source)
    : Effect.succeed(false)
}

/**
 * Reads a stream that has been read before. One that can be read only once has no more left than its length less what
 * was read: a stream that gives more has started again.
 */
const startsAgain = (
  stream: Stream.Stream<Uint8Array, unknown>,
  length: number,
  source: Source
): Effect.Effect<boolean> => {
  let again = 0
  return stream.pipe(
    Stream.runForEachWhile((chunk) =>
      Effect.sync(() => {
        again += chunk.length
        return again + source.read <= length
      })
    ),
    Effect.timeout(patience),
    Effect.matchCause({
      onFailure: () => false,
      onSuccess: () => {
        const hasStarted = again + source.read > length
        if (hasStarted) repeatable.add(stream)
        return hasStarted
      }
    })
  )
}

/** Ends a stream with an error if it gives fewer or more bytes than it declares: a transport may not notice. */
const counted = (
  stream: Stream.Stream<Uint8Array, unknown>,
  length: number,
  source: Source
): Stream.Stream<Uint8Array, unknown> =>
  Stream.suspend(() => {
    source.isRead = true
    let read = 0
    const counting = Stream.map(stream, (chunk) => {
      read += chunk.length
      source.read = Math.max(source.read, read)
      return chunk
    })
    const end = Stream.suspend(() =>
      read === length
        ? Stream.empty
        : Stream.fail(new Error(`the body has ${read} bytes, but declares a length of ${length}`))
    )
    return Stream.concat(counting, end)
  })

/**
 * Sends no body a second time that cannot be sent again, whoever asks: such a request fails with `BodyNotRepeatable`
 * before anything is sent. `provider` names the client in that error.
 */
export const refuseRepeatedBodies = (provider: string) =>
  mapAttempts((request) => {
    const from = readsFrom(request.body)
    if (from === undefined) return Effect.succeed(request)
    return Effect.flatMap(isRepeatable(request), (isRepeatable) =>
      isRepeatable
        ? Effect.sync(() => claimed(request, from))
        : Effect.fail(new TokenError.TokenError({ provider, reason: new TokenError.BodyNotRepeatable({}) }))
    )
  })

/** Records that a body is given to a transport, and counts what the transport reads of it. */
const claimed = (request: HttpClientRequest.HttpClientRequest, from: object): HttpClientRequest.HttpClientRequest => {
  const { body } = request
  const source = sources.get(from) ?? { isRead: false, read: 0 }
  sources.set(from, source)
  if (body._tag !== "Stream" || body.contentLength === undefined) {
    source.isRead = true
    return request
  }
  const original = originals.get(body) ?? body
  const counting = HttpBody.stream(
    counted(original.stream, body.contentLength, source),
    body.contentType,
    body.contentLength
  )
  originals.set(counting, original)
  const { hash, headers, method, url, urlParams } = request
  // Not `setBody`, which would replace headers that the program has set.
  return HttpClientRequest.makeWith(method, url, urlParams, hash, headers, counting)
}
