/**
 * Bodies of requests that can be sent more than once.
 *
 * A client repeats a request after a 429, after a 401, after some failures, and when it follows a redirect. It can only do
 * so if the body can be read again. Text, bytes, forms and `Blob`s can, and so can a file (`HttpBody.file`,
 * `HttpClientRequest.bodyFile`). Other streams, generators and web `ReadableStream`s can be read only once: the client
 * never sends one of them twice, and fails with an error that says so. This module marks those that can be read again.
 *
 * @since 0.1.0
 */
import type { LazyArg } from "effect/Function"
import * as HttpBody from "effect/http/HttpBody"
import * as Stream from "effect/Stream"
import { markRepeatable } from "./shared/repeat.ts"

/**
 * Marks a body that gives the same bytes each time it is read, so that requests with it are repeated like any other.
 * Returns the same body.
 *
 * A stream that declares its length (`contentLength`) is checked each time it is sent: a request whose body has another
 * length fails.
 *
 * **Example** (Sending a stream that starts again by itself)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { HttpBody } from "effect/http"
 * import { ApiVideo, RequestBody } from "effect-video-auth"
 *
 * const zeros = Stream.range(1, 16).pipe(Stream.map(() => new Uint8Array(65_536)))
 *
 * export const upload = Effect.gen(function*() {
 *   const api = yield* ApiVideo.ApiVideo
 *   const body = RequestBody.repeatable(HttpBody.stream(zeros, "video/mp4", 16 * 65_536))
 *   return yield* api.post("/videos/vi1/source", { body })
 * })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const repeatable = <Body extends HttpBody.HttpBody>(body: Body): Body => {
  markRepeatable(body)
  return body
}

/**
 * Options of {@link fromFactory}: the headers of the request that has the body.
 *
 * @category options
 * @since 0.1.0
 */
export interface FactoryOptions {
  /** @default "application/octet-stream" */
  readonly contentType?: string | undefined
  /** Bytes. Without it, the body is sent in chunks (`Transfer-Encoding: chunked`). */
  readonly contentLength?: number | undefined
}

/**
 * Makes a body from a function that creates its stream. The function is called each time the request is sent, so the
 * stream itself may be readable only once.
 *
 * **Example** (Opening a source for each attempt)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { ApiVideo, RequestBody } from "effect-video-auth"
 *
 * export const upload = (open: () => AsyncIterable<Uint8Array>) =>
 *   Effect.gen(function*() {
 *     const api = yield* ApiVideo.ApiVideo
 *     const body = RequestBody.fromFactory(() => Stream.fromAsyncIterable(open(), (cause) => cause))
 *     return yield* api.post("/videos/vi1/source", { body })
 *   })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromFactory = (
  make: LazyArg<Stream.Stream<Uint8Array, unknown>>,
  options: FactoryOptions = {}
): HttpBody.Stream => repeatable(HttpBody.stream(Stream.suspend(make), options.contentType, options.contentLength))
