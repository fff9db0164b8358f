/** Reads responses leniently: `null` is absent, and an optional field of another form than documented is left out. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { fieldOf, type PathIssue, pathIssuesOf } from "../shared/issues.ts"

export interface Decoded<A> {
  readonly value: A
  /** Fields that were left out, without indices: `data[].createdAt`. */
  readonly dropped: ReadonlyArray<string>
}

type Json = { [key: PropertyKey]: unknown }

const isContainer = (value: unknown): value is Json => typeof value === "object" && value !== null

/** Removes members that are `null`, in place. In a list it stays. */
const removeNulls = (json: unknown): void => {
  if (Array.isArray(json)) {
    for (const item of json) removeNulls(item)
  } else if (isContainer(json)) {
    for (const key in json) {
      if (json[key] === null) delete json[key]
      else if (typeof json[key] === "object") removeNulls(json[key])
    }
  }
}

interface Field {
  readonly parent: Json
  readonly key: PropertyKey
  readonly path: ReadonlyArray<PropertyKey>
}

/** The innermost field of an object on a path, as far as it exists. */
const innermostField = (json: unknown, path: ReadonlyArray<PropertyKey>): Field | undefined => {
  let found: Field | undefined
  let value = json
  for (const [depth, key] of path.entries()) {
    if (!isContainer(value) || !Object.hasOwn(value, key)) break
    if (!Array.isArray(value)) found = { parent: value, key, path: path.slice(0, depth + 1) }
    value = value[key]
  }
  return found
}

/** Nested fields that are wrong take one round each. */
const maxRounds = 8

/**
 * Decodes JSON, which this changes. Where that fails it removes the innermost fields that are wrong and decodes what is
 * left: a document fails if it lacks a required field in the end. The issues of the first round say what was wrong.
 */
export const decodeLeniently = <A>(
  schema: Schema.Codec<A, unknown>,
  json: unknown
): Result.Result<Decoded<A>, ReadonlyArray<PathIssue>> => {
  removeNulls(json)
  const decode = Schema.decodeUnknownResult(schema, { errors: "all" })
  const dropped = new Set<string>()
  let first: ReadonlyArray<PathIssue> | undefined
  for (let round = 0; ; round++) {
    const result = decode(json)
    if (Result.isSuccess(result)) return Result.succeed({ value: result.success, dropped: [...dropped] })
    const issues = pathIssuesOf(result.failure.issue)
    first ??= issues
    // All are found before any is removed: one may be inside another.
    const fields = issues.map(({ path }) => innermostField(json, path))
    if (round === maxRounds || fields.includes(undefined)) return Result.fail(first)
    for (const field of fields) {
      if (field === undefined) continue
      delete field.parent[field.key]
      dropped.add(fieldOf(field.path).replaceAll(/\[\d+\]/g, "[]"))
    }
  }
}
