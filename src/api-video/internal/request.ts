/** Makes the request of an operation from its route and arguments, and refuses what is out of bounds. */
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as UrlParams from "effect/http/UrlParams"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { secretParameters } from "./secrets.ts"
import { type FieldIssue, fieldIssuesOf } from "../shared/issues.ts"
import { allPairsOf, type Pair } from "../shared/query.ts"
import type { Route } from "../shared/route.ts"

/** A request, or every field that is wrong. */
export type Made = Result.Result<HttpClientRequest.HttpClientRequest, ReadonlyArray<FieldIssue>>

/** A segment that leads elsewhere: an empty one to the list, dots to what is above. */
const isElsewhere = (text: string): boolean => /^\.{0,2}$/.test(text)

/** Reads the arguments of an operation one by one and collects what is wrong with them. */
export class Arguments {
  readonly issues: Array<FieldIssue> = []
  readonly query: Array<readonly [string, string | Redacted.Redacted]> = []
  readonly #rest: Iterator<unknown>

  constructor(given: ReadonlyArray<unknown>) {
    this.#rest = given.values()
  }

  next(): unknown {
    return this.#rest.next().value
  }

  refuse(field: string, message: string): void {
    this.issues.push({ field, message })
  }

  encode(schema: Schema.Codec<unknown, unknown>, value: unknown, at: ReadonlyArray<string> = []): unknown {
    const encoded = Schema.encodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })(value)
    if (Result.isSuccess(encoded)) return encoded.success
    this.issues.push(...fieldIssuesOf(encoded.failure.issue, at))
    return undefined
  }

  /** Encodes an object of flat or nested values as the pairs of a query or form. */
  pairs(schema: Schema.Codec<unknown, unknown>, value: unknown): ReadonlyArray<Pair> {
    return allPairsOf(Object(this.encode(schema, value)))
  }

  /** Adds to the query. Credentials are redacted, so that logs and spans don't show them. */
  addToQuery(...pairs: ReadonlyArray<Pair>): void {
    for (const [name, value] of pairs) {
      this.query.push([name, secretParameters.includes(name) ? Redacted.make(value, { label: name }) : value])
    }
  }

  /** An id, a token or another text that identifies something. */
  identifier(name: string): string {
    const value = this.next()
    const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
    if (typeof text === "string" && !isElsewhere(text)) return text
    this.refuse(name, "expected a text that is not empty, . or ..")
    return ""
  }

  path({ params = {}, path }: Route): string {
    const segments = path.split("/").map((segment) => {
      if (!segment.startsWith(":")) return segment
      const name = segment.slice(1)
      const text = this.identifier(name)
      const schema = params[name]
      if (schema !== undefined && text !== "") this.encode(schema, text, [name])
      return encodeURIComponent(text)
    })
    return segments.join("/")
  }

  make({ method }: Route, url: string, options: Omit<HttpClientRequest.Options.NoUrl, "urlParams"> = {}): Made {
    return this.issues.length > 0
      ? Result.fail(this.issues)
      : Result.succeed(HttpClientRequest.make(method)(url, { ...options, urlParams: UrlParams.make(this.query) }))
  }
}

/** The request of an operation without a file. */
export const requestOf = (route: Route, given: ReadonlyArray<unknown>): Made => {
  const args = new Arguments(given)
  const url = args.path(route)
  if (route.query !== undefined) args.addToQuery(...args.pairs(route.query, args.next() ?? {}))
  if (route.body === undefined) return args.make(route, url)
  const body = args.encode(route.body, args.next() ?? {})
  return args.make(route, url, { body: HttpBody.jsonUnsafe(body ?? {}) })
}
