/** Names what went wrong in a transport, for messages: a system's code, or an error of the program. */
import * as Predicate from "effect/Predicate"
import type { ConfigurationInvalid } from "../../token/TokenError.ts"
import { invalid } from "../../token/shared/failures.ts"

/** What a transport reported. */
export interface Report {
  /** `ECONNRESET`, or `TypeError: dispatcher.request is not a function`. */
  readonly text: string
  /** The transport itself is broken, or does not work in this runtime: trying again would not help. */
  readonly isBug: boolean
}

/** Codes of Node (`ECONNRESET`), undici (`UND_ERR_SOCKET`), OpenSSL (`CERT_HAS_EXPIRED`) and Bun (`ConnectionRefused`). */
const code = /^[A-Z][A-Za-z0-9_]{2,59}$/

/** Codes of arguments that a transport does not accept. */
const bugCode = /^(ERR_INVALID_|ERR_METHOD_NOT_IMPLEMENTED|UND_ERR_(INVALID|NOT_SUPPORTED))/

const programErrors = new Set(["EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError"])

/**
 * How JavaScript engines put it that code is wrong. `fetch` reports every failure of the network as a `TypeError`, in words of
 * each browser's own, so a name is not enough.
 */
const bugMessage =
  /\bis not (a function|a constructor|an object|defined|iterable|implemented|supported)\b|\bCannot (read|set|destructure|access|convert)\b|\bundefined is not\b|\bnot implemented\b/i

/** Errors along a chain of causes, from the outermost to the innermost. undici wraps one, an `AggregateError` has several. */
const chainOf = (error: unknown, depth = 0): ReadonlyArray<object> => {
  if (!Predicate.isObject(error) || depth > 8) return []
  const { cause, errors }: { readonly cause?: unknown; readonly errors?: unknown } = error
  const inner = [cause, ...(Array.isArray(errors) ? errors.slice(0, 8) : [])]
  return [error, ...inner.flatMap((each) => chainOf(each, depth + 1))]
}

const textIn = (error: object, member: string): string => {
  const value = Predicate.hasProperty(error, member) ? error[member] : undefined
  return typeof value === "string" ? value : ""
}

const inspected = (cause: unknown, scrub: (text: string) => string): Report | undefined => {
  const chain = chainOf(cause)
  const systemCode = chain.map((error) => textIn(error, "code")).findLast((text) => code.test(text))
  const bug = chain.findLast((error) => programErrors.has(textIn(error, "name")))
  if (bug === undefined) {
    return systemCode === undefined ? undefined : { text: systemCode, isBug: bugCode.test(systemCode) }
  }
  const message = scrub(textIn(bug, "message").slice(0, 4_096))
    .replace(/[\s\p{Cc}]+/gu, " ")
    .slice(0, 200)
  const isBug = systemCode === undefined ? bugMessage.test(message) : bugCode.test(systemCode)
  // `fetch failed` says nothing beside the code of its cause.
  if (systemCode !== undefined && !isBug) return { text: systemCode, isBug }
  return { text: [textIn(bug, "name"), systemCode, message].filter(Boolean).join(": "), isBug }
}

/**
 * The texts that the errors along a chain of causes have as these members. Returns none if reading a member throws, which a
 * getter of somebody else's error may do.
 */
export const textsAlong = (cause: unknown, ...members: ReadonlyArray<string>): ReadonlyArray<string> => {
  try {
    return chainOf(cause).flatMap((error) => members.map((member) => textIn(error, member)))
  } catch {
    return []
  }
}

/** Reports a cause, if there is anything in it that can be shown. `scrub` removes secrets from a text. */
export const reportOf = (cause: unknown, scrub: (text: string) => string): Report | undefined => {
  try {
    return inspected(cause, scrub)
  } catch {
    // A member of somebody else's error may be a getter that throws.
    return undefined
  }
}

/** The reason for a transport that does not work here. */
export const brokenTransport = ({ text }: Report): ConfigurationInvalid =>
  invalid("HttpClient", `it failed with ${text}. Provide one that works in this runtime, such as FetchHttpClient.layer`)
