/** Operations that take a file. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Call } from "../ApiVideoClient.ts"
import { run } from "./call.ts"
import { formOf, isInput, sizeOf } from "./form.ts"
import { Arguments, type Made } from "./request.ts"
import type { FileRule, UploadRoute } from "../shared/route.ts"

const inUnits = (bytes: number): string => (bytes < 1024 * 1024 ? `${bytes / 1024} KiB` : `${bytes / 1024 ** 2} MiB`)

const problemOf = (file: unknown, { maxSize }: FileRule): string | undefined => {
  if (!isInput(file)) return "expected bytes, a Blob or an UploadFile"
  const size = sizeOf(file)
  if (size === 0) return "the file is empty"
  return size !== undefined && size > maxSize ? `the file is larger than ${inUnits(maxSize)}` : undefined
}

/** The header of a part of a source. */
const headersOf = (args: Arguments, schema: UploadRoute["range"], range: unknown): Record<string, string> => {
  if (schema === undefined || range === undefined) return {}
  const encoded = Schema.encodeUnknownResult(schema)(range)
  if (Result.isSuccess(encoded)) return { "content-range": encoded.success }
  args.refuse("range", "expected bytes with from ≤ to < total, or a part with part ≤ total")
  return {}
}

const requestOf = (route: UploadRoute, given: ReadonlyArray<unknown>): Made => {
  const args = new Arguments(given)
  const url = args.path(route)
  if (route.uploadToken) args.addToQuery(["token", args.identifier("token")])
  const file = args.next()
  const problem = problemOf(file, route.file)
  if (problem !== undefined) args.refuse("file", problem)
  const { range, ...fields }: { readonly range?: unknown } = Object(args.next())
  const headers = headersOf(args, route.range, range)
  const form = args.pairs(route.form ?? Schema.Struct({}), fields)
  return args.make(route, url, isInput(file) ? { headers, body: formOf(file, form, route.file.name) } : { headers })
}

/** A call of an operation with a file. */
export const upload = <A>(
  route: UploadRoute & { readonly success: Schema.Codec<A, unknown> },
  ...given: ReadonlyArray<unknown>
): Call<A> => run(route, given, () => requestOf(route, given))
