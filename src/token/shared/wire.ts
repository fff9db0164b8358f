/** What token answers have in common: how their fields are checked, and what a JWT says of its own life. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import { MalformedResponse } from "../TokenError.ts"

/** A string of a pattern. */
export const matching = (pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern))

/** RFC 6750 §2.1 allows fewer characters; these are what a header can carry without being split. */
export const headerSafe = matching(/^[\x21-\x7e]+$/)

/** What a server may leave out, or say that it has none of. */
export const nullish = <S extends Schema.Top>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** The lifetime that a JWT claims: `exp − iat`, which may be floats, or nothing and less. An opaque token claims none. */
export const claimedLifetime = (token: string): Duration.Duration | undefined => {
  const payload = token.split(".")[1] ?? ""
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")))
    // Whatever JSON it is, these are members of it or not there.
    const { exp, iat }: { readonly exp?: unknown; readonly iat?: unknown } = Object(claims)
    return typeof exp === "number" && typeof iat === "number" ? Duration.seconds(exp - iat) : undefined
  } catch {
    return undefined
  }
}

/** The member of an answer that an issue is about. */
const memberOf = (issue: SchemaIssue.Issue): PropertyKey | undefined =>
  issue._tag === "Pointer"
    ? issue.path[0]
    : "issues" in issue
      ? issue.issues[0] && memberOf(issue.issues[0])
      : "issue" in issue
        ? memberOf(issue.issue)
        : undefined

/** Names the offending field and nothing that the server sent: neither a value nor a name of its own. */
const problemOf = (fields: Schema.Struct.Fields, issue: SchemaIssue.Issue): string => {
  const member = String(memberOf(issue))
  return Object.hasOwn(fields, member) ? `${member} is missing or invalid` : "not a token response"
}

/** Decodes an answer, or says which field of it is at fault. */
export const decodeWire =
  <Fields extends Schema.Struct.Fields>(wire: Schema.Struct<Fields>) =>
  (
    body: unknown
  ): Effect.Effect<Schema.Struct.Type<Fields>, MalformedResponse, Schema.Struct.DecodingServices<Fields>> =>
    Effect.mapError(
      Schema.decodeUnknownEffect(wire)(body),
      (error) => new MalformedResponse({ problem: problemOf(wire.fields, error.issue) })
    )
