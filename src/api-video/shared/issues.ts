/** What is wrong with a value, by field and without the value. */
import * as SchemaIssue from "effect/SchemaIssue"

export interface FieldIssue {
  readonly field: string
  readonly message: string
}

/** One thing that is wrong, and where. */
export interface PathIssue {
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

/** `["data", 0, "tags"]` as `data[0].tags`. */
export const fieldOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (field, key) =>
      typeof key === "number" ? `${field}[${key}]` : field === "" ? String(key) : `${field}.${String(key)}`,
    ""
  )

const format = /* @__PURE__ */ SchemaIssue.makeFormatterStandardSchemaV1()

const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1)

export const pathIssuesOf = (issue: SchemaIssue.Issue): ReadonlyArray<PathIssue> =>
  format(issue).issues.map(({ message, path = [] }) => ({
    path: path.map((key) => (typeof key === "object" ? key.key : key)),
    message:
      message === "Expected no excess property"
        ? "no such field"
        : message === "Missing key"
          ? "missing"
          : lowerFirst(message)
  }))

export const fieldIssuesOf = (
  issue: SchemaIssue.Issue,
  at: ReadonlyArray<PropertyKey> = []
): ReadonlyArray<FieldIssue> =>
  pathIssuesOf(issue).map(({ message, path }) => ({ field: fieldOf([...at, ...path]), message }))
