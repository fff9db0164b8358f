/**
 * Routes as data: what a request to an operation is made of, and how its response is read. Operations, the contract for
 * servers and the route matrix are all derived from them.
 */
import type * as Schema from "effect/Schema"

/** A schema that needs no services. */
type AnySchema = Schema.Codec<unknown, unknown>

/** Which files an operation accepts. */
export interface FileRule {
  /** In bytes, of the file alone. */
  readonly maxSize: number
  /** Name of a file that has none. Images get the extension of their format. */
  readonly name: string
  /** Extensions that the API accepts, in lower case; without them, any. */
  readonly extensions?: ReadonlyArray<string>
}

export interface Route {
  /** Module and function, `Videos.get`. */
  readonly name: `${string}.${string}`
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Parameters begin with a colon and are the first arguments of the function. */
  readonly path: `/${string}`
  /** What parameters of the path must be, beyond a segment of a path. */
  readonly params?: Readonly<Record<string, AnySchema>>
  /** The next argument is the query. */
  readonly query?: AnySchema
  /** The next argument is the JSON body. */
  readonly body?: AnySchema
  /** The response; without it, its body is ignored. */
  readonly success?: AnySchema
  /** The documented status of a success. @default 200, or 204 without a schema of the response */
  readonly status?: 201 | 202
}

/** A route that takes a file, as the part `file` of a form. The file is the argument after those of the path. */
export interface UploadRoute extends Route {
  /** The argument before the file is an upload token. It goes into the query, and is the only credential. */
  readonly uploadToken?: true
  readonly file: FileRule
  /** Fields of the form beside the file, from the argument after it. */
  readonly form?: AnySchema & { readonly fields: Schema.Struct.Fields }
  /** `range` in the argument after the file becomes the header `Content-Range`. */
  readonly range?: Schema.Codec<unknown, string>
}

/** Names of the parameters of a path. */
export type ParamNames<Path extends string> = Path extends `${string}:${infer Rest}`
  ? Rest extends `${infer Name}/${infer Tail}`
    ? Name | ParamNames<`/${Tail}`>
    : Rest
  : never

/** What a schema decodes to; `never` without one. */
export type TypeOf<S> = S extends Schema.Codec<infer A, unknown> ? A : never

/** The decoded parameters of a route's path. */
export type ParamsOf<R extends Route> = {
  readonly [Name in ParamNames<R["path"]>]: R extends { readonly params: { readonly [N in Name]: infer S } }
    ? TypeOf<S>
    : string
}

/** Names of the parameters of a path. */
export const paramNamesOf = (path: string): ReadonlyArray<string> =>
  path.split("/").flatMap((segment) => (segment.startsWith(":") ? [segment.slice(1)] : []))

export const isUpload = (route: Route): route is UploadRoute => "file" in route
