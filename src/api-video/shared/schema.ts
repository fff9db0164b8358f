/**
 * What the schemas of api.video have in common: lenient about responses, strict about input.
 *
 * Each is a class, whose name editors and compilers show. In declaration files TypeScript shows the base of a class
 * without members of its own instead, so each class declares one of its fields again.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** A string with known values. The server may send others: they are kept as they are. */
export const open = <const Known extends ReadonlyArray<string>>(...known: Known) =>
  Schema.Union([Schema.StringForLiteralAutocomplete, Schema.Literals(known)])

const iso = /^([+-]\d{6}|\d{4})-(\d\d)-(\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d(?::?\d\d)?)?$/i

/**
 * The metrics over time have hours as `2024-05-29T07+00:00:00:00` (api.video OpenAPI, example of
 * `GET_metrics-over-time`): the offset stands between the hour and its minutes.
 */
const misplacedOffset = /^(.{10}T\d\d)\+00:00:00:00$/

/** Milliseconds since the epoch. A date without an offset is in UTC, as all of api.video's are. */
const parse = (text: string): number => {
  const parts = iso.exec(text)
  if (parts === null) return misplacedOffset.test(text) ? parse(text.replace(misplacedOffset, "$1:00:00Z")) : NaN
  const [, year, month, day, time, offset = "Z"] = parts
  // Engines differ in what they accept beyond the format of ECMAScript, which has a T and a colon in the offset.
  const zone = offset.replace(/^([+-]\d\d):?(\d\d)?$/, (_, hours, minutes = "00") => `${hours}:${minutes}`)
  return Date.parse(`${year}-${month}-${day}T${time}${zone}`)
}

/** As api.video writes an instant, with milliseconds where there are any. */
const format = (instant: DateTime.Utc): string => DateTime.formatIso(instant).replace(/(?:\.000)?Z$/, "+00:00")

const instant = (encode: (instant: DateTime.Utc) => string) =>
  Schema.String.pipe(
    Schema.decodeTo(
      Schema.DateTimeUtc,
      SchemaTransformation.transformEffect<DateTime.Utc, string>({
        decode: (text, options) => {
          const millis = parse(text)
          return Number.isNaN(millis)
            ? Effect.fail(new SchemaIssue.InvalidValue({ expected: "a date and time" }, text, options))
            : Effect.succeed(DateTime.makeUnsafe(millis))
        },
        encode: (instant) => Effect.succeed(encode(instant))
      })
    )
  )

/**
 * An instant in a response. api.video documents the ATOM format (`2024-05-28T11:15:07+00:00`), and its examples have a
 * blank for the `T` and fractions of a second as well.
 */
export const Instant = /* @__PURE__ */ instant(format)

/** An instant in a query, in whole seconds as the ATOM format has it. */
export const AtomInstant = /* @__PURE__ */ instant((instant) => format(instant).replace(/\.\d+/, ""))

/** A number that some examples write as a string: `videoCount` of `LIST-tags`. */
export const Count = /* @__PURE__ */ (() => Schema.Union([Schema.Finite, Schema.FiniteFromString]))()

/** A secret in a response. `RedactedFromValue` would refuse to encode one of another label. */
export const secret = (label: string) =>
  Schema.String.pipe(
    Schema.decodeTo(
      Schema.Redacted(Schema.String),
      SchemaTransformation.transform({
        decode: (text: string) => Redacted.make(text, { label }),
        encode: Redacted.value
      })
    )
  )

/** A private token in the URL of an asset, or in HTML: in its path, or in the query of a player. */
const privateToken = /\/token\/|[?&]token=/u

/** The URL of an asset. That of a private video or live stream has a token, and is redacted. */
export const asset = /* @__PURE__ */ (() =>
  Schema.String.pipe(
    Schema.decodeTo(
      Schema.Union([
        Schema.String.check(Schema.makeFilter((url) => !privateToken.test(url))),
        Schema.Redacted(Schema.String.check(Schema.isPattern(privateToken)))
      ]),
      SchemaTransformation.transform({
        decode: (url: string) => (privateToken.test(url) ? Redacted.make(url, { label: "asset" }) : url),
        encode: (url: string | Redacted.Redacted) => (Redacted.isRedacted(url) ? Redacted.value(url) : url)
      })
    )
  ))()

/** A secret in a request: redacted as responses give it, or plain. */
export const SecretInput = /* @__PURE__ */ (() => Schema.Union([secret("secret"), Schema.String]))()

/** A text of a documented form. */
export const pattern = (form: RegExp, expected: string) => Schema.String.check(Schema.isPattern(form, { expected }))

/** A whole number within documented bounds. */
export const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Which page of a list, and how long it is. An error of api.video says 10 to 100; the OpenAPI file allows 1. */
export const pagingFields = /* @__PURE__ */ (() => ({
  /** Counted from 1. @default 1 */
  currentPage: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** Items per page, 1 to 100. @default 25 */
  pageSize: Schema.optional(between(1, 100))
}))()

export const SortOrder = /* @__PURE__ */ Schema.Literals(["asc", "desc"])

/** An IETF language tag. api.video accepts only dashes between its parts (`GET_videos-videoId-captions-language`). */
export const languageTag = /* @__PURE__ */ (() =>
  pattern(/^[A-Za-z]+(?:-[A-Za-z0-9]+)*$/u, "a language tag with dashes, such as en, fr-CA or zh-Hans-CN"))()
