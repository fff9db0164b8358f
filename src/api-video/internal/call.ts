/** Calls an operation: checks its input, sends it with the client of the context, and reads the response. */
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { drain, longest, readContent } from "../../platform/shared/body.ts"
import { ApiVideo, type Call, type ClientError } from "../ApiVideoClient.ts"
import * as ApiVideoError from "../ApiVideoError.ts"
import { decodeLeniently } from "./decode.ts"
import { type FieldIssue, fieldOf } from "../shared/issues.ts"
import { type Made, requestOf } from "./request.ts"
import type { Route } from "../shared/route.ts"
import { stubOf } from "./stubs.ts"

const failWith = (reason: ApiVideoError.Reason) => Effect.fail(new ApiVideoError.ApiVideoError({ reason }))

const malformed = ({ method, name, path }: Route, status: number, issues: ReadonlyArray<FieldIssue>) =>
  failWith(new ApiVideoError.MalformedResponse({ operation: name, method, path, status, issues }))

/** What becomes of a response: of a real one, or of the JSON that a spec gives instead. */
interface Reader<A> {
  readonly fromResponse: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, ClientError>
  readonly fromJson: (json: unknown) => Effect.Effect<A, ClientError>
}

const decoding = <A>(route: Route, schema: Schema.Codec<A, unknown>): Reader<A> => {
  const decode = (json: unknown, status: number) => {
    const decoded = decodeLeniently(schema, json)
    if (Result.isFailure(decoded)) {
      const issues = decoded.failure.map(({ message, path }) => ({ field: fieldOf(path), message }))
      return malformed(route, status, issues)
    }
    const { dropped, value } = decoded.success
    return dropped.length === 0
      ? Effect.succeed(value)
      : Effect.as(
          Effect.logWarning(`${route.name}: left out fields that are not as documented: ${dropped.join(", ")}`),
          value
        )
  }
  return {
    fromJson: (json) => decode(json, 200),
    fromResponse: (response) =>
      Effect.flatMap(readContent(response, { limit: longest.resource }), (content) =>
        content._tag === "Json"
          ? decode(content.value, response.status)
          : malformed(route, response.status, [
              { field: "", message: `the body ${content._tag === "Empty" ? "is empty" : content.problem}` }
            ])
      )
  }
}

const ignoring: Reader<void> = { fromJson: () => Effect.void, fromResponse: (response) => drain(response) }

const exchange = <A>(
  route: Route,
  given: ReadonlyArray<unknown>,
  make: () => Made,
  { fromJson, fromResponse }: Reader<A>
): Call<A> =>
  Effect.flatMap(ApiVideo, (client): Effect.Effect<A, ClientError> => {
    const made = make()
    if (Result.isFailure(made))
      return failWith(new ApiVideoError.InvalidInput({ operation: route.name, issues: made.failure }))
    const answer = stubOf(client)?.(route, given)
    if (answer !== undefined) return Effect.flatMap(answer, fromJson)
    return Effect.flatMap(client.execute(made.success), fromResponse)
  }).pipe(Effect.withSpan(route.name))

/** A call that returns what the response says. */
export const run = <A>(
  route: Route & { readonly success: Schema.Codec<A, unknown> },
  given: ReadonlyArray<unknown>,
  make: () => Made
): Call<A> => exchange(route, given, make, decoding(route, route.success))

/** A call that returns what the response says. */
export const call = <A>(
  route: Route & { readonly success: Schema.Codec<A, unknown> },
  ...given: ReadonlyArray<unknown>
): Call<A> => run(route, given, () => requestOf(route, given))

/** A call of which only the success matters. */
export const send = (route: Route, ...given: ReadonlyArray<unknown>): Call<void> =>
  exchange(route, given, () => requestOf(route, given), ignoring)
