/**
 * The contract of api.video as an `HttpApi`: what a server, `HttpApiClient`, `HttpApiTest` and `OpenApi` need. It has all
 * 59 operations, with the schemas of the functions in `effect-video-auth/api-video`.
 *
 * Programs that call api.video need only those functions. Use the contract to serve api.video yourself: in a spec, or as a
 * proxy.
 *
 * **Example** (A server that answers one group of operations)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpApi, HttpApiBuilder } from "effect/http-api"
 * import { ApiVideoHttpApi } from "effect-video-auth/api-video/ApiVideoHttpApi"
 *
 * const { Tags } = ApiVideoHttpApi.groups
 *
 * export const TagsApi = HttpApi.make("tags").add(Tags)
 *
 * export const TagsLive = HttpApiBuilder.group(TagsApi, "Tags", (handlers) =>
 *   handlers.handle("list", ({ query }) =>
 *     Effect.succeed({
 *       data: [{ value: query.value ?? "maths", videoCount: 2 }],
 *       pagination: { currentPage: 1, itemsTotal: 1 }
 *     })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Multipart from "effect/http/Multipart"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { AuthenticatePayload, RefreshTokenPayload } from "./ApiVideo.ts"
import * as operations from "./shared/operations.ts"
import { allPairsOf, type Pair, treeOf } from "./shared/query.ts"
import { isUpload, paramNamesOf, type ParamNames, type ParamsOf, type Route, type TypeOf } from "./shared/route.ts"
import { secret } from "./shared/schema.ts"

/** What a problem says about one parameter. */
const problemFields = {
  type: Schema.optional(Schema.String),
  title: Schema.optional(Schema.String),
  name: Schema.optional(Schema.String),
  detail: Schema.optional(Schema.String),
  range: Schema.optional(Schema.Struct({ min: Schema.optional(Schema.Finite), max: Schema.optional(Schema.Finite) }))
}

const withStatus = <const Status extends number>(status: Status) =>
  Schema.Struct({
    ...problemFields,
    status: Schema.Literal(status),
    problems: Schema.optional(Schema.Array(Schema.Struct(problemFields)))
  }).pipe(HttpApiSchema.asJson({ contentType: "application/problem+json" }), HttpApiSchema.status(status))

/**
 * How operations fail: a problem document (RFC 9457) with the status of the response. `type` names the problem, `name` the
 * parameter, and `problems` lists all of them (api.video documentation, "errors").
 *
 * @category schemas
 * @since 0.1.0
 */
export const Problem = Schema.Union([
  withStatus(400),
  withStatus(401),
  withStatus(403),
  withStatus(404),
  withStatus(409),
  withStatus(429)
])

/** @since 0.1.0 */
export type Problem = typeof Problem.Type

/**
 * The response of both exchanges (api.video OpenAPI, `access-token`). `expires_in` is in seconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TokenResponse = Schema.Struct({
  token_type: Schema.String,
  expires_in: Schema.Finite,
  access_token: secret("access_token"),
  refresh_token: Schema.optional(secret("refresh_token"))
})

/** @since 0.1.0 */
export type TokenResponse = typeof TokenResponse.Type

const authentication = {
  authenticate: {
    name: "Authentication.authenticate",
    method: "POST",
    path: "/auth/api-key",
    body: AuthenticatePayload,
    success: TokenResponse
  },
  refresh: {
    name: "Authentication.refresh",
    method: "POST",
    path: "/auth/refresh",
    body: RefreshTokenPayload,
    success: TokenResponse
  }
} as const satisfies Record<string, Route>

/** The part of a name after its module. */
type Identifier<Name extends string> = Name extends `${string}.${infer Function}` ? Function : never

type Params<R extends Route> = [ParamNames<R["path"]>] extends [never] ? never : Schema.Codec<ParamsOf<R>, unknown>

type Query<R extends Route> = R extends { readonly uploadToken: true }
  ? Schema.Codec<{ readonly token: TypeOf<ReturnType<typeof secret>> }, unknown>
  : R extends { readonly query: infer Q }
    ? Schema.Codec<TypeOf<Q>, unknown>
    : never

type Payload<R extends Route> = R extends { readonly file: unknown }
  ? HttpApiSchema.asMultipart<
      Schema.Codec<
        { readonly file: Multipart.PersistedFile } & (R extends { readonly form: infer F } ? TypeOf<F> : {}),
        unknown
      >
    >
  : R extends { readonly body: infer B }
    ? Schema.Codec<TypeOf<B>, unknown>
    : never

type Headers<R extends Route> = R extends { readonly range: infer C }
  ? Schema.Codec<{ readonly "content-range"?: TypeOf<C> | undefined }, unknown>
  : never

type Success<R extends Route> = R extends { readonly success: infer S }
  ? Schema.Codec<TypeOf<S>, unknown>
  : typeof HttpApiSchema.NoContent

/**
 * The endpoint of an operation: its path, parameters, payload, response and errors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint<R extends Route> extends HttpApiEndpoint.HttpApiEndpoint<
  Identifier<R["name"]>,
  R["method"],
  R["path"],
  Params<R>,
  Query<R>,
  Payload<R>,
  Headers<R>,
  Success<R>,
  typeof Problem
> {}

/** The endpoints of some routes. */
type Endpoints<R> = R extends Route ? Endpoint<R> : never

const paramsOf = ({ params = {}, path }: Route): Schema.Struct.Fields | undefined => {
  const names = paramNamesOf(path)
  return names.length === 0 ? undefined : Object.fromEntries(names.map((name) => [name, params[name] ?? Schema.String]))
}

/** Parameters by their names on the wire, brackets included. */
const Flat = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))

const toFlat = (pairs: ReadonlyArray<Pair>): typeof Flat.Type => {
  const names = [...new Set(pairs.map(([name]) => name))]
  return Object.fromEntries(names.map((name) => [name, pairs.flatMap((pair) => (pair[0] === name ? [pair[1]] : []))]))
}

const fromFlat = (flat: typeof Flat.Type): ReadonlyArray<Pair> =>
  Object.entries(flat).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).map((text): Pair => [name, text])
  )

/** `HttpApi` doesn't read brackets, so queries with lists and objects do it themselves. */
const nested = (query: Schema.Codec<unknown, unknown>) =>
  Flat.pipe(
    Schema.decodeTo(
      Schema.toCodecStringTree(query),
      SchemaTransformation.transform({
        decode: (flat): Schema.StringTree => treeOf(fromFlat(flat)),
        encode: (tree: Schema.StringTree) => toFlat(allPairsOf(Object(tree)))
      })
    )
  )

const queryOf = (route: Route): Schema.Top | undefined =>
  isUpload(route) && route.uploadToken
    ? Schema.Struct({ token: secret("upload_token") })
    : route.query === undefined
      ? undefined
      : nested(route.query)

const payloadOf = (route: Route) =>
  isUpload(route)
    ? Schema.Struct({
        ...route.form?.fields,
        file: Multipart.SingleFileSchema
      }).pipe(HttpApiSchema.asMultipart({ maxFileSize: route.file.maxSize }))
    : route.body

const successOf = ({ status, success }: Route): Schema.Top =>
  success === undefined ? HttpApiSchema.Empty(status ?? 204) : success.pipe(HttpApiSchema.status(status ?? 200))

interface JsonSchema {
  readonly type?: unknown
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly properties?: Readonly<Record<string, JsonSchema>>
}

/** A member may be `undefined`, which JSON Schema writes as an alternative `null`. A parameter is there or not. */
const withoutNull = (schema: JsonSchema): JsonSchema => {
  const [only, ...others] = (schema.anyOf ?? [schema]).filter(({ type }) => type !== "null")
  return only === undefined || others.length > 0 ? schema : only
}

/** A member of a query as OpenAPI describes it. */
const queryParameterOf = ([member, property]: readonly [string, JsonSchema]) => {
  const schema = withoutNull(property)
  const name = schema.type === "array" ? `${member}[]` : member
  const parameter = { name, in: "query", required: false, schema }
  return schema.type === "object" ? { ...parameter, style: "deepObject", explode: true } : parameter
}

/** Adds the parameters of a query to what OpenAPI says: `HttpApi` sees only texts of any name. */
const describeQuery = (query: Schema.Codec<unknown, unknown>) => (operation: Record<string, unknown>) => {
  const { properties = {} }: JsonSchema = Schema.toJsonSchemaDocument(query).schema
  const parameters = Object.entries(properties).map(queryParameterOf)
  return { ...operation, parameters: [operation["parameters"] ?? [], parameters].flat() }
}

function endpoint<R extends Route>(route: R): Endpoint<R>
function endpoint(route: Route): HttpApiEndpoint.Constraint {
  const made = HttpApiEndpoint.make(route.method)(route.name.replace(/^.*\./, ""), route.path, {
    params: paramsOf(route),
    query: queryOf(route),
    payload: payloadOf(route),
    headers:
      isUpload(route) && route.range ? Schema.Struct({ "content-range": Schema.optional(route.range) }) : undefined,
    success: successOf(route),
    error: Problem.members
  })
  return route.query === undefined ? made : made.annotate(OpenApi.Transform, describeQuery(route.query))
}

function group<const Name extends string, R extends Route>(
  name: Name,
  routes: Readonly<Record<string, R>>
): HttpApiGroup.HttpApiGroup<Name, Endpoints<R>>
function group(name: string, routes: Readonly<Record<string, Route>>): HttpApiGroup.Constraint {
  const endpoints = Object.values(routes).map(endpoint)
  return Arr.isArrayNonEmpty(endpoints) ? HttpApiGroup.make(name).add(...endpoints) : HttpApiGroup.make(name)
}

/**
 * The contract: a group per module, an endpoint per function, named alike.
 *
 * @category contract
 * @since 0.1.0
 */
export const ApiVideoHttpApi = HttpApi.make("api.video").add(
  group("Authentication", authentication),
  group("Videos", operations.Videos),
  group("UploadTokens", operations.UploadTokens),
  group("LiveStreams", operations.LiveStreams),
  group("Captions", operations.Captions),
  group("Chapters", operations.Chapters),
  group("PlayerThemes", operations.PlayerThemes),
  group("Watermarks", operations.Watermarks),
  group("Summaries", operations.Summaries),
  group("Tags", operations.Tags),
  group("Webhooks", operations.Webhooks),
  group("Analytics", operations.Analytics)
)
