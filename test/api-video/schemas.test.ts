/** Schemas of api.video: the documented responses, round trips, and servers that send something else. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Predicate, Redacted, Result, Schema } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import * as Modules from "effect-video-auth/api-video"
import { ApiVideoError } from "effect-video-auth/api-video"
import { decodeLeniently } from "../../src/api-video/internal/decode.ts"
import { AtomInstant, Count, Instant } from "../../src/api-video/shared/schema.ts"
import { checks } from "../support/random.ts"
import { type Example, examples, isSuccess, routeOf, routes } from "./routes.ts"

/** As JSON goes over the wire: what is undefined is left out. */
const wire = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** The responses of authentication are token responses, which `AccessToken` reads. */
const successes = examples.filter((example) => isSuccess(example) && !example.id.startsWith("POST_auth-"))

const schemaOf = ({ id }: Example): Schema.Codec<unknown, unknown> => {
  const success = routeOf(id)?.success
  return success ?? assert.fail(`${id} has no result`)
}

const titleOf = ({ id, name, status }: Example) => `${id} ${status} ${name}`

/** The leaves of a document by path, without indices. */
const leaves = (value: unknown, path = ""): ReadonlyArray<readonly [path: string, value: unknown]> =>
  Array.isArray(value)
    ? value.flatMap((item) => leaves(item, `${path}[]`))
    : Predicate.isObject(value)
      ? Object.entries(value).flatMap(([key, item]) => leaves(item, path === "" ? key : `${path}.${key}`))
      : [[path, value]]

/** What a leaf means, whatever its form: numbers in strings, instants in other zones. */
const meaningOf = (value: unknown): unknown => {
  if (typeof value === "string" && value !== "" && Number.isFinite(Number(value))) return Number(value)
  const instant =
    typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? Schema.decodeResult(Instant)(value) : undefined
  return instant !== undefined && Result.isSuccess(instant) ? DateTime.toEpochMillis(instant.success) : value
}

/** Leaves of documented examples that results don't have, and why. */
const leftOut: ReadonlyArray<readonly [path: RegExp, reason: string]> = [
  [/^pagination\.links/, "pages are counted, links are not followed; in some examples they are an object"]
]

describe("a documented response", () => {
  it("is there for 173 statuses", () => {
    assert.strictEqual(examples.length, 173)
  })

  for (const example of successes) {
    it(`${titleOf(example)} decodes without loss`, () => {
      const schema = schemaOf(example)
      const decoded = decodeLeniently(schema, wire(example.body))
      assert(Result.isSuccess(decoded))
      assert.isEmpty(decoded.success.dropped)
      const kept = leaves(wire(Schema.encodeSync(schema)(decoded.success.value)))
      const expected = leaves(example.body).filter(
        ([path, value]) => value !== null && !leftOut.some(([ignored]) => ignored.test(path))
      )
      const meaning = (all: typeof kept) =>
        all.map(([path, value]) => `${path}: ${String(meaningOf(value))}`).toSorted()
      assert.deepStrictEqual(meaning(kept), meaning(expected))
    })
  }

  for (const example of examples.filter((example) => !isSuccess(example))) {
    it.effect(`${titleOf(example)} is an error with its title`, () =>
      Effect.gen(function* () {
        const request = HttpClientRequest.get("https://ws.api.video/videos")
        const response = Response.json(example.body, { status: example.status })
        const { reason } = yield* ApiVideoError.fromResponse(HttpClientResponse.fromWeb(request, response))
        assert("problem" in reason)
        assert.strictEqual(reason.status, example.status)
        const body: { readonly title?: unknown; readonly name?: unknown } = Object(example.body)
        if (typeof body.title === "string" && body.title !== "") assert.strictEqual(reason.problem.title, body.title)
        if (typeof body.name === "string" && body.name !== "") assert.strictEqual(reason.problem.name, body.name)
      })
    )
  }
})

describe("a response with one value of another form", () => {
  /** Fields without which a result is useless: ids, and the items of a page. */
  const required =
    /^(data|data\[\d+\]|pagination|(data\[\d+\]\.)?(videoId|liveStreamId|watermarkId|playerId|summaryId|webhookId|token|srclang|language|value))$/
  const others: ReadonlyArray<unknown> = [null, 17, "x", true, [], {}, [{}], { a: [null] }]

  type Path = ReadonlyArray<string | number>
  const pathsOf = (value: unknown, path: Path = []): ReadonlyArray<Path> => {
    const members = Array.isArray(value) ? [...value.entries()] : Predicate.isObject(value) ? Object.entries(value) : []
    const found: Array<Path> = []
    for (const [key, item] of members) found.push(path.concat(key), ...pathsOf(item, path.concat(key)))
    return found
  }
  const replaced = (value: unknown, [key, ...rest]: Path, by: unknown): unknown =>
    key === undefined
      ? by
      : Array.isArray(value)
        ? value.map((item: unknown, index) => (index === key ? replaced(item, rest, by) : item))
        : Object.fromEntries(
            Object.entries(Object(value)).map(([name, item]) => [name, name === key ? replaced(item, rest, by) : item])
          )
  const named = (path: Path) =>
    path.reduce<string>(
      (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? key : `${text}.${key}`),
      ""
    )

  for (const example of successes) {
    it(`${titleOf(example)} decodes unless an id or an item is wrong`, () => {
      const schema = schemaOf(example)
      for (const path of pathsOf(example.body)) {
        const field = named(path)
        for (const other of others) {
          const decoded = decodeLeniently(schema, wire(replaced(example.body, path, other)))
          if (Result.isSuccess(decoded)) continue
          const isResult = example.id.startsWith("GET_aggregated-metrics") && field === "data"
          assert.isTrue(isResult || required.test(field), `${field} = ${JSON.stringify(other)}`)
          // What is wrong is named where it is.
          assert.isTrue(
            decoded.failure.some(({ path }) =>
              named(path.map((key) => (typeof key === "symbol" ? "" : key))).startsWith(field.replace(/\[\d+\]$/, ""))
            )
          )
        }
      }
    })
  }
})

describe("every schema", () => {
  const isSchema = (value: unknown): value is Schema.Codec<unknown, unknown> => Schema.isSchema(value)
  const modules: Readonly<Record<string, unknown>> = Modules
  const exported = Object.entries(modules).flatMap(([name, value]) => (isSchema(value) ? [[name, value] as const] : []))

  it("of a route is exported by name", () => {
    const known = new Set(exported.map(([, schema]) => schema))
    for (const { body, name, query } of routes) {
      for (const schema of [body, query]) assert.isTrue(schema === undefined || known.has(schema), name)
    }
  })

  for (const [name, schema] of exported) {
    it.effect.prop(
      `${name} comes back from its JSON`,
      { value: Schema.toType(schema) },
      ({ value }) =>
        Effect.gen(function* () {
          const encoded = yield* Schema.encodeEffect(schema)(value)
          const decoded = yield* Schema.decodeUnknownEffect(schema)(wire(encoded))
          assert.deepStrictEqual(wire(yield* Schema.encodeEffect(schema)(decoded)), wire(encoded))
        }),
      checks(30)
    )
  }

  for (const { name, success } of routes) {
    if (success === undefined) continue
    it.effect.prop(
      `of the result of ${name} comes back, whether a field is null or absent`,
      { value: Schema.toType(success) },
      ({ value }) =>
        Effect.gen(function* () {
          const encoded = yield* Schema.encodeEffect(success)(value)
          const withNulls = JSON.parse(JSON.stringify(encoded, (_, member: unknown) => member ?? null))
          for (const json of [wire(encoded), withNulls]) {
            const decoded = decodeLeniently(success, json)
            assert(Result.isSuccess(decoded))
            assert.isEmpty(decoded.success.dropped)
            assert.deepStrictEqual(wire(yield* Schema.encodeEffect(success)(decoded.success.value)), wire(encoded))
          }
        }),
      checks(30)
    )
  }
})

describe("an instant", () => {
  const read = (text: string) => {
    const result = Schema.decodeResult(Instant)(text)
    return Result.isSuccess(result) ? DateTime.formatIso(result.success) : undefined
  }

  it("is read in the forms that api.video uses, and in UTC without an offset", () => {
    const forms = {
      "2024-05-28T11:15:07+00:00": "2024-05-28T11:15:07.000Z",
      "2024-05-28T13:15:07+02:00": "2024-05-28T11:15:07.000Z",
      "2024-05-28T13:15:07+0200": "2024-05-28T11:15:07.000Z",
      "2024-05-28T13:15:07+02": "2024-05-28T11:15:07.000Z",
      "2021-01-29T15:46:25.217Z": "2021-01-29T15:46:25.217Z",
      "2024-05-28 11:15:07": "2024-05-28T11:15:07.000Z",
      "2024-05-28T11:15": "2024-05-28T11:15:00.000Z",
      // The example of metrics over time.
      "2024-05-29T07+00:00:00:00": "2024-05-29T07:00:00.000Z"
    }
    for (const [text, expected] of Object.entries(forms)) assert.strictEqual(read(text), expected)
  })

  it("is nothing else", () => {
    for (const text of ["2024-08-151T11:15:07+00:00", "yesterday", "", "1717000000", "2024-13-01T00:00:00Z"]) {
      assert.isUndefined(read(text))
    }
  })

  it("is sent in whole seconds by queries", () => {
    const instant = DateTime.makeUnsafe("2024-05-28T11:15:07.999Z")
    assert.strictEqual(Schema.encodeSync(AtomInstant)(instant), "2024-05-28T11:15:07+00:00")
    assert.strictEqual(Schema.encodeSync(Instant)(instant), "2024-05-28T11:15:07.999+00:00")
  })
})

it("a count may be a numeric string", () => {
  assert.strictEqual(Schema.decodeSync(Count)("33"), 33)
  assert.strictEqual(Schema.encodeSync(Count)(33), 33)
})

it("secrets in results are redacted", () => {
  const body = { liveStreamId: "li1", streamKey: "secret", restreams: [{ streamKey: "secret" }] }
  const live = decodeLeniently(Modules.LiveStream, body)
  const token = decodeLeniently(Modules.UploadToken, { token: "secret" })
  const webhook = decodeLeniently(Modules.Webhook, { webhookId: "webhook_1", signatureSecret: "secret" })
  assert(Result.isSuccess(live) && Result.isSuccess(token) && Result.isSuccess(webhook))
  const all = [live.success.value, token.success.value, webhook.success.value]
  assert.notInclude(JSON.stringify(all), 'secret"')
  const [{ restreams = [], streamKey }] = [live.success.value]
  const secrets = [streamKey, restreams[0]?.streamKey, token.success.value.token, webhook.success.value.signatureSecret]
  for (const secret of secrets) {
    assert(secret !== undefined)
    assert.strictEqual(Redacted.value(secret), "secret")
  }
})
