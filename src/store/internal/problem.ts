/** Names the failure of a file system, a Redis, a database or a browser's storage in one word that is not a secret. */
import * as Predicate from "effect/Predicate"

/** Errors wrap each other this deep at most. */
const deepest = 8

/** The codes of operating systems (`EROFS`) and of PostgreSQL (`28P01`). */
const code = /^[A-Z0-9][A-Z0-9_]{2,39}$/

/** The first word of an error reply of Redis. */
const replyCode = /^-?([A-Z][A-Z0-9]{2,19})\b/

/** Redis reports a missing right within a script as a plain error. */
const noPermission = /ACL failure|no permissions|can't run this command/

/** The word, from the innermost error that has one. */
export const problemOf = (error: unknown): string | undefined => {
  const errors: Array<unknown> = []
  for (let at = error; at !== undefined && at !== null && errors.length < deepest; at = innerOf(at)) errors.push(at)
  for (const inner of errors.toReversed()) {
    if (inner instanceof DOMException) return inner.name
    if (Predicate.hasProperty(inner, "code") && typeof inner.code === "string" && code.test(inner.code))
      return inner.code
    if (Predicate.hasProperty(inner, "message") && typeof inner.message === "string") {
      if (noPermission.test(inner.message)) return "NOPERM"
      const [, word] = replyCode.exec(inner.message) ?? []
      if (word !== undefined) return word
    }
  }
  const tag = errors.map((inner) => (Predicate.hasProperty(inner, "_tag") ? inner._tag : undefined))
  return tag.findLast((tag): tag is string => typeof tag === "string" && /^\w+$/.test(tag))
}

const innerOf = (error: unknown): unknown =>
  Predicate.hasProperty(error, "reason") && typeof error.reason === "object"
    ? error.reason
    : Predicate.hasProperty(error, "errors") && Array.isArray(error.errors)
      ? error.errors[0]
      : Predicate.hasProperty(error, "cause")
        ? error.cause
        : undefined
