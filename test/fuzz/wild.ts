/** What the fuzz suites share: responses gone wild, as data that shrinks and replays, and what no response may lead to. */
import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, Schema } from "effect"
import { TokenError } from "effect-video-auth"
import { inspect } from "node:util"
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib"
import type { Answer, Tamper } from "../guarantees/wire.ts"
import { checks } from "../support/random.ts"

export { ends } from "../support/random.ts"

/** Returns the options of a property that is checked on so many inputs. */
export const times = (runs: number) => checks(runs, { size: 30, maxShrinks: 500 })

const Fraction = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 999 }))
const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))

/** What servers, proxies and attackers put where something else belongs. JSON, mostly. */
export const Oddity = Schema.Literals([
  "",
  "null",
  "0",
  "-1",
  "1e999",
  "-1e999",
  "1e-12",
  "9007199254740993",
  "1700000000",
  '"1e400"',
  '"NaN"',
  '"Infinity"',
  '" "',
  '"3600"',
  "true",
  "[]",
  "{}",
  "[[[[[[[[[[[[[[[[",
  '{"__proto__":{"a":1}}',
  '{"constructor":{"prototype":1}}',
  '"\\ud800"',
  '"\\u0000"',
  '"a\\r\\nb"',
  '"credential-9"',
  '{"toString":1,"valueOf":1}',
  "\ufeff",
  "<html>credential-9</html>",
  "\u2028",
  "e.e30.e",
  '"e.eyJleHAiOjFlOTk5LCJpYXQiOi0xZTk5OX0.access-9"',
  '"e.eyJleHAiOjAuMSwiaWF0IjowLjF9.access-9"',
  '"e.eyJleHAiOjFlLTksImlhdCI6MH0.access-9"',
  '"e.bnVsbA.access-9"'
])

const Mutation = Schema.Struct({
  does: Schema.Literals(["set", "delete", "insert", "replace-value", "repeat", "truncate", "flip-bit"]),
  /** Thousandths of the length. */
  at: Fraction,
  byte: Byte,
  oddity: Oddity
})

/** What befalls the bytes of an answer, one after the other; the first few are the likeliest. */
export const Mutations = Schema.Array(Mutation).check(Schema.isMaxLength(6))
export type Mutations = typeof Mutations.Type

const encoder = new TextEncoder()

/** The values of members of a text in JSON: that is where most decoders can be hurt. */
const values = /(?<=":\s*)("(?:[^"\\]|\\.)*"|[^\s,"{}[\]]+)/g

export const mutate = (bytes: Uint8Array, mutations: Mutations): Uint8Array<ArrayBuffer> => {
  const text = (bytes: ReadonlyArray<number>) => new TextDecoder().decode(Uint8Array.from(bytes))
  let all = [...bytes]
  for (const { at, byte, does, oddity } of mutations) {
    const index = Math.floor((at / 1_000) * all.length)
    const odd = [...encoder.encode(oddity)]
    switch (does) {
      case "set":
        if (all.length > 0) all[index] = byte
        break
      case "flip-bit":
        if (all.length > 0) all[index] = all[index]! ^ (1 << (byte % 8))
        break
      case "delete":
        all.splice(index, 1 + (byte % 16))
        break
      case "insert":
        all.splice(index, 0, ...odd)
        break
      case "replace-value": {
        const found = [...text(all).matchAll(values)]
        const match = found[Math.floor((at / 1_000) * found.length)]
        if (match === undefined) break
        const whole = text(all)
        all = [...encoder.encode(whole.slice(0, match.index) + oddity + whole.slice(match.index + match[0].length))]
        break
      }
      case "repeat":
        if (all.length < 4_000) all.splice(index, 0, ...all.slice(index, index + 1 + byte))
        break
      case "truncate":
        all.length = index
        break
    }
  }
  return Uint8Array.from(all)
}

/** Values of headers, as far as a header can carry them. */
const HeaderValue = Schema.Literals([
  "",
  "0",
  "-1",
  "1",
  "60",
  "0.5",
  "1e3",
  "1e308",
  "1e309",
  "1e-300",
  "NaN",
  "Infinity",
  "-Infinity",
  "0x10",
  "1,2",
  "60, 60",
  "  7  ",
  "1700000000",
  "1700000000000",
  "99999999999999999999",
  "Wed, 21 Oct 2015 07:28:00 GMT",
  "Fri, 31 Dec 9999 23:59:59 GMT",
  "credential-9",
  "\u00ff\u00fe",
  'Bearer error="insufficient_scope"',
  "Bearer error=insufficient_scope, scope=credential-9",
  'Bearer error="invalid_token", error_description="credential-9"',
  'Bearer error = "',
  "Bearer error=error=error=",
  'Basic realm="credential-9"',
  "application/json",
  "text/html; charset=utf-16",
  "gzip",
  "a=credential-9; Path=/"
])

const HeaderName = Schema.Literals([
  "retry-after",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-retry-after",
  "www-authenticate",
  "x-ratelimit-reset",
  "ratelimit-limit",
  "ratelimit-remaining",
  "ratelimit-reset",
  "ratelimit",
  "ratelimit-policy",
  "content-type",
  "content-length",
  "location",
  "set-cookie",
  "date"
])

export const Headers = Schema.Array(Schema.Struct({ name: HeaderName, value: HeaderValue })).check(
  Schema.isMaxLength(6)
)

export const toHeaders = (headers: typeof Headers.Type): Readonly<Record<string, string>> =>
  Object.fromEntries(headers.map(({ name, value }) => [name, value]))

const status = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** What firewalls, proxies and gateways put in the place of a response, some of it large or encoded. */
export const Page = Schema.Struct({
  kind: Schema.Literals(["html", "text", "gateway", "problem", "gzip", "br", "deflate", "mislabelled"]),
  type: Schema.Literals(["text/html", "text/plain", "application/json", "application/problem+json; charset=utf-8", ""]),
  /** Of its text, in characters: around the limits of what is read. */
  size: Schema.Literals([0, 1, 100, 65_000, 65_536, 66_000, 200_000])
})

const compress = {
  gzip: gzipSync,
  // The best compression of Brotli takes a second.
  br: (text: string) => brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  deflate: deflateSync
}

const pageOf = ({ kind, size, type }: typeof Page.Type): Pick<Answer, "headers" | "body"> => {
  const headers = type === "" ? {} : { "content-type": type }
  const text = "credential-9 ".repeat(Math.ceil(size / 13)).slice(0, size)
  switch (kind) {
    case "html":
      return { headers, body: `<!doctype html><title>Blocked</title>${text}` }
    case "text":
      return { headers, body: text }
    case "gateway":
      return { headers, body: JSON.stringify({ code: 403, msg: text }) }
    case "problem":
      return { headers, body: JSON.stringify({ title: text, message: text, error: text }) }
    case "mislabelled":
      return { headers: { ...headers, "content-encoding": "credential-9" }, body: text }
    case "gzip":
    case "br":
    case "deflate": {
      const body = Uint8Array.from(compress[kind](JSON.stringify({ title: text })))
      return { headers: { ...headers, "content-encoding": kind }, body }
    }
  }
}

/** Whether a page is the word of nobody but something in between. */
export const isForeign = ({ kind, size }: typeof Page.Type): boolean =>
  kind === "html" || kind === "gateway" || (size > 0 && kind !== "problem")

/** The answer of something in between. */
export const intercepting = (status: number, page: typeof Page.Type) => (): Answer => ({ status, ...pageOf(page) })

/** What becomes of an answer on its way. */
export const Wildness = Schema.Struct({
  /** 0 leaves it as it is. */
  status: Schema.Union([
    Schema.Literal(0),
    Schema.Literals([200, 400, 401, 403, 404, 429, 500, 503, 204, 302]),
    status(200, 599)
  ]),
  headers: Headers,
  mutations: Mutations,
  /** Instead of the answer's own bytes. */
  noise: Schema.Union([Schema.Undefined, Schema.Array(Byte).check(Schema.isMaxLength(40))])
})
export type Wildness = typeof Wildness.Type

/** An answer that is as it should be, but for a few values in it. */
export const Values = Schema.NonEmptyArray(Schema.Struct({ at: Fraction, oddity: Oddity })).check(Schema.isMaxLength(3))

export const inPlaceOf = (values: typeof Values.Type): Wildness => ({
  status: 0,
  headers: [],
  noise: undefined,
  mutations: values.map((value) => ({ ...value, does: "replace-value", byte: 0 }))
})

export const tampering =
  (wild: Wildness): Tamper =>
  ({ body, headers, status }): Answer => {
    const bytes = wild.noise === undefined ? body : Uint8Array.from(wild.noise)
    return {
      status: wild.status === 0 ? status : wild.status,
      headers: { ...headers, ...toHeaders(wild.headers) },
      body: mutate(typeof bytes === "string" ? encoder.encode(bytes) : bytes, wild.mutations)
    }
  }

/** What secrets look like here: the fake's tokens, the platforms' credentials, and what a server may repeat. */
export const secret = /(?:access|refresh|credential|upload)-\d/

/** Every way in which a value is likely to be written down. */
export const writings = (value: unknown): ReadonlyArray<string> => [
  String(value),
  JSON.stringify(value) ?? "",
  inspect(value, { showHidden: true, depth: 20 }),
  ...(value instanceof Error ? [value.message, value.stack ?? "", Cause.pretty(Cause.fail(value))] : [])
]

export const assertClean = (value: unknown): void => {
  for (const writing of writings(value)) assert.notMatch(writing, secret)
}

const encodeReason = Schema.encodeUnknownEffect(Schema.toCodecJson(TokenError.Reason))
const decodeReason = Schema.decodeUnknownEffect(Schema.toCodecJson(TokenError.Reason))

/** A failure that is typed, can be read and sent, and tells no secret. */
export const assertReason = Effect.fnUntraced(function* (reason: TokenError.Reason) {
  assert.isNotEmpty(reason.message)
  assertClean(reason)
  const sent = yield* encodeReason(reason)
  const received = yield* decodeReason(JSON.parse(JSON.stringify(sent)))
  assert.strictEqual(received.message, reason.message)
})

/** Neither a defect nor an interruption: what an effect gave, or its typed failure. */
export const typed = <A, E>(exit: Exit.Exit<A, E>): Exit.Exit<A, E> => {
  if (Exit.isFailure(exit)) {
    assert.isTrue(exit.cause.reasons.every(Cause.isFailReason), Cause.pretty(exit.cause))
  }
  return exit
}
