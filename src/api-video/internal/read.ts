/** Reads the body of a successful response within a bound on its size. */
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"

/** In bytes, after decompression. */
const maxSize = 16 * 1024 * 1024

const decodeText = (chunks: ReadonlyArray<Uint8Array>): string => {
  const decoder = new TextDecoder()
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode()
}

/** The text of a body, or why there is none. */
const readText = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Result.Result<string, string>> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return Stream.runForEachWhile(response.stream, (chunk) =>
      Effect.sync(() => {
        size += chunk.byteLength
        chunks.push(chunk)
        return size <= maxSize
      })
    ).pipe(
      Effect.map(() => (size > maxSize ? Result.fail("is larger than 16 MiB") : Result.succeed(decodeText(chunks)))),
      // Some transports have no stream for an empty body.
      Effect.catch(({ reason }) =>
        Effect.succeed(reason._tag === "EmptyBodyError" ? Result.succeed("") : Result.fail("breaks off"))
      )
    )
  })

/** Gives the JSON of a body, or what is wrong with the body. */
export const readJson = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<Result.Result<unknown, string>> =>
  Effect.map(
    readText(response),
    Result.flatMap((text) => {
      try {
        return Result.succeed<unknown>(JSON.parse(text))
      } catch {
        return Result.fail(text === "" ? "is empty" : "is not JSON")
      }
    })
  )

/** Frees the connection of a response whose body means nothing. */
export const drain = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  response.status === 204 ? Effect.void : Effect.asVoid(readText(response))
