/** Reads requests to operations by the schemas of their routes, and refuses what is wrong or unknown by name. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type PathIssue, pathIssuesOf } from "../../api-video/shared/issues.ts"
import { treeOf } from "../../api-video/shared/query.ts"
import type { FileRule, ParamsOf, Route, TypeOf, UploadRoute } from "../../api-video/shared/route.ts"
import { isUpload, paramNamesOf } from "../../api-video/shared/route.ts"
import * as SandboxProblem from "../SandboxProblem.ts"
import { type Answer, isRecord, type Json, parseJson, pathOf, queryOf, type Request } from "../SandboxRequest.ts"
import { notSimulated, type Reply, toAnswer, type Unknown } from "./reply.ts"

/** What a handler gets. */
export interface Input<R extends Route> {
  readonly params: ParamsOf<R>
  readonly query: R extends { readonly query: infer S } ? TypeOf<S> : {}
  readonly body: R extends { readonly body: infer S } ? TypeOf<S> : {}
  readonly form: R extends { readonly form: infer S } ? TypeOf<S> : {}
  /** Set if the route takes a file. */
  readonly file: R extends UploadRoute ? File : File | undefined
  /** Path and query as received. */
  readonly url: string
  /** The header `Content-Range`. */
  readonly contentRange: string | undefined
}

/** Handlers of a module's routes. Methods, so that a list of them can be served alike. */
export type Handlers<Group extends Readonly<Record<string, Route>>> = {
  readonly [K in keyof Group]: { handle(input: Input<Group[K]>): Reply | Effect.Effect<Reply> }["handle"]
}

type AnySchema = Schema.Codec<unknown, unknown>

/** `["restreams", 0, "name"]` as `restreams[0][name]`, as api.video writes it. */
const nameOf = ([first = "", ...rest]: ReadonlyArray<PropertyKey>): string =>
  String(first) + rest.map((key) => `[${String(key)}]`).join("")

const whereOf = ({ method, path }: Route) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`

interface Problem extends SandboxProblem.Details {
  readonly title: string
}

/** The first problem, and all of them if there are more. */
const refusal = (problems: ReadonlyArray<Problem>): Answer => {
  const [first = SandboxProblem.document("invalid-payload")] = problems
  return SandboxProblem.untyped({ ...first, status: 400, ...(problems.length > 1 ? { problems } : {}) })
}

const sentence = (text: string) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`

const problemOf = (slug: SandboxProblem.Slug, details: SandboxProblem.Details): Problem => {
  const { status: _, ...problem } = SandboxProblem.document(slug, details)
  return problem
}

const outOfRange = "This parameter is out of the allowed range of values."

/** The documented example has no "type", and calls the parameter currentPage "page" (api.video OpenAPI, LIST-videos). */
const pagingProblems: Readonly<Record<string, Problem>> = {
  currentPage: { title: outOfRange, name: "page", range: { min: 1 } },
  pageSize: { title: outOfRange, name: "pageSize", range: { min: 1, max: 100 } }
}

const queryProblem = ({ message, path }: PathIssue): Problem =>
  pagingProblems[nameOf(path)] ??
  problemOf("request-invalid-query-parameter", { name: nameOf(path), detail: sentence(message) })

const queryRefusal = (issues: ReadonlyArray<PathIssue>): Answer => refusal(issues.map(queryProblem))

const articles: Readonly<Record<string, string>> = { string: "a string", boolean: "a boolean", array: "an array" }

const bodyProblem = ({ message, path }: PathIssue): Problem => {
  const name = nameOf(path)
  if (message === "missing") return problemOf("attribute-required", { name })
  const expected = articles[/^expected (string|boolean|array)\b/.exec(message)?.[1] ?? ""]
  if (expected !== undefined)
    return problemOf("invalid-attribute", { name, title: `This attribute must be ${expected}.` })
  const [, min, max] = /^expected a value between (-?\d+) and (-?\d+)$/.exec(message) ?? []
  const range = min === undefined || max === undefined ? {} : { range: { min: Number(min), max: Number(max) } }
  return problemOf("invalid-attribute", { name, detail: sentence(message), ...range })
}

const bodyRefusal = (issues: ReadonlyArray<PathIssue>): Answer => refusal(issues.map(bodyProblem))

type Read<A> = Result.Result<A, Answer>

/** Decodes an object, or refuses: first what is not known, then what is wrong. Without a schema no member is known. */
const reader = (
  route: Route,
  schema: AnySchema | undefined,
  what: Unknown["what"],
  refuse: (issues: ReadonlyArray<PathIssue>) => Answer
) => {
  if (schema === undefined) {
    return (value: Json): Read<unknown> => {
      const names = Object.keys(value)
      return names.length === 0
        ? Result.succeed({})
        : Result.fail(
            notSimulated(
              names.map((name) => ({ name, what })),
              whereOf(route)
            )
          )
    }
  }
  const decode = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
  return (value: Json): Read<unknown> =>
    Result.mapError(decode(value), ({ issue }) => {
      const issues = pathIssuesOf(issue)
      const unknown = issues.flatMap(({ message, path }) =>
        message === "no such field" ? [{ name: nameOf(path), what }] : []
      )
      return unknown.length > 0 ? notSimulated(unknown, whereOf(route)) : refuse(issues)
    })
}

/** `filterBy[country]=FR` is as good as a list of one (api.video OpenAPI, example of `filterBy`). */
const queryCodec = ({ path, query }: Route): AnySchema | undefined => {
  if (query === undefined) return undefined
  const codec = Schema.toCodecStringTree(query)
  return path.startsWith("/data/") ? Schema.toCodecArrayFromSingle(codec) : codec
}

const queryReader = (route: Route) => {
  const read = reader(route, queryCodec(route), "query parameter", queryRefusal)
  return (request: Request): Read<unknown> => {
    if (!request.url.includes("?")) return read({})
    const pairs = [...queryOf(request)].filter(([name]) => !(isUpload(route) && route.uploadToken && name === "token"))
    const names = pairs.map(([name]) => name)
    const twice = names.find((name, index) => !name.endsWith("[]") && names.indexOf(name) !== index)
    return twice === undefined
      ? read(treeOf(pairs))
      : Result.fail(queryRefusal([{ path: [twice], message: "this parameter is there twice" }]))
  }
}

const languageProblem = SandboxProblem.response("invalid-attribute", {
  name: "language",
  detail: 'The "language" attribute must contain only letters and dashes (for example "fr", "fr-BE").'
})

const paramsReader = ({ params: schemas = {}, path }: Route) => {
  const checks = Object.entries(schemas).map(([name, schema]) => [name, Schema.is(schema)] as const)
  const names = paramNamesOf(path)
  return (params: Readonly<Record<string, string | undefined>>): Read<Readonly<Record<string, string>>> => {
    for (const [name, isValid] of checks) {
      if (isValid(params[name])) continue
      return Result.fail(name === "language" ? languageProblem : SandboxProblem.response("unrecognized-request-url"))
    }
    return Result.succeed(Object.fromEntries(names.map((name) => [name, params[name] ?? ""])))
  }
}

/** A body without content is an empty object. */
const bodyReader = (route: Route) => {
  const read = reader(route, route.body, "body field", bodyRefusal)
  return {
    read,
    readText: (text: string): Read<unknown> => {
      const json = text.trim() === "" ? {} : parseJson(text)
      if (isRecord(json)) return read(json)
      return route.body === undefined ? read({}) : Result.fail(SandboxProblem.response("invalid-payload"))
    }
  }
}

const fileProblem = (files: ReadonlyArray<File>, { extensions, maxSize }: FileRule): Answer | undefined => {
  const [file] = files
  if (file === undefined) return SandboxProblem.response("uploaded-file-no-file", { name: "file" })
  if (files.length > 1) return SandboxProblem.response("uploaded-file-multiple-files", { name: "file" })
  if (file.size === 0) return SandboxProblem.response("uploaded-file-empty", { name: "file" })
  if (file.size > maxSize) return SandboxProblem.response("uploaded-file-too-large", { name: "file" })
  const extension = /\.([^.]+)$/.exec(file.name)?.[1]?.toLowerCase() ?? ""
  return extensions === undefined || extensions.includes(extension)
    ? undefined
    : SandboxProblem.response("uploaded-file-extension-invalid", {
        name: "file",
        title: `Only [${extensions.join(", ")}] extensions are supported.`
      })
}

/** Whether a field says what the path of its request says already. */
const isInPath = ({ path }: Route, request: Request, name: string, value: string): boolean => {
  const index = path.split("/").indexOf(`:${name}`)
  return index > 0 && pathOf(request).split("/")[index] === encodeURIComponent(value)
}

/** The file is whatever part has a file name: the official client for Node names the field after the file. */
const formReader = (route: UploadRoute) => {
  const readFields = reader(route, route.form, "form field", bodyRefusal)
  const noFile = Result.fail(SandboxProblem.response("uploaded-file-no-file", { name: "file" }))
  return (request: Request): Effect.Effect<Read<{ readonly file: File; readonly form: unknown }>> =>
    request.arrayBuffer.pipe(
      Effect.flatMap((bytes) =>
        Effect.tryPromise(() =>
          new Response(bytes, { headers: { "content-type": request.headers["content-type"] ?? "" } }).formData()
        )
      ),
      Effect.map((form) => {
        const files: Array<File> = []
        const fields: Array<readonly [string, string]> = []
        for (const [name, value] of form) {
          if (typeof value !== "string") files.push(value)
          // The official uploader repeats the videoId of the path (api.video-typescript-uploader 1.1.6).
          else if (!isInPath(route, request, name, value)) fields.push([name, value])
        }
        const problem = fileProblem(files, route.file)
        const [file] = files
        if (problem !== undefined) return Result.fail(problem)
        return file === undefined ? noFile : Result.map(readFields(treeOf(fields)), (form) => ({ file, form }))
      }),
      Effect.orElseSucceed(() => noFile)
    )
}

type AnyHandler = (input: Input<Route>) => Reply | Effect.Effect<Reply>

/** An operation that can be requested, and called with a body alone. */
export interface Operation {
  readonly route: Route
  readonly serve: (
    request: Request,
    params: Readonly<Record<string, string | undefined>>
  ) => Effect.Effect<Answer> | Answer
  /** As a request with such a body does. */
  readonly create: (body: Json) => Effect.Effect<Answer> | Answer
}

/** Puts schemas before a handler. */
export const operation = (route: Route, handle: AnyHandler): Operation => {
  const status = route.status ?? (route.success === undefined ? 204 : 200)
  const readQuery = queryReader(route)
  const readParams = paramsReader(route)
  const body = bodyReader(route)
  const readForm = isUpload(route) ? formReader(route) : undefined

  const answer = (input: Input<Route>): Effect.Effect<Answer> | Answer => {
    const reply = handle(input)
    return Effect.isEffect(reply) ? Effect.map(reply, (reply) => toAnswer(reply, status)) : toAnswer(reply, status)
  }
  return {
    route,
    serve: (request, given) => {
      const params = readParams(given)
      if (Result.isFailure(params)) return params.failure
      const query = readQuery(request)
      if (Result.isFailure(query)) return query.failure
      const input = {
        params: params.success,
        query: Object(query.success),
        body: {},
        form: {},
        file: undefined,
        url: request.url,
        contentRange: request.headers["content-range"]
      }
      if (readForm !== undefined) {
        return Effect.flatMap(readForm(request), (read) => {
          if (Result.isFailure(read)) return Effect.succeed(read.failure)
          const { file, form } = read.success
          const answered = answer({ ...input, file, form: Object(form) })
          return Effect.isEffect(answered) ? answered : Effect.succeed(answered)
        })
      }
      return Effect.flatMap(
        Effect.orElseSucceed(request.text, () => ""),
        (text) => {
          const read = body.readText(text)
          if (Result.isFailure(read)) return Effect.succeed(read.failure)
          const answered = answer({ ...input, body: Object(read.success) })
          return Effect.isEffect(answered) ? answered : Effect.succeed(answered)
        }
      )
    },
    create: (json) => {
      const read = body.read(json)
      if (Result.isFailure(read)) return read.failure
      return answer({
        params: {},
        query: {},
        body: Object(read.success),
        form: {},
        file: undefined,
        url: route.path,
        contentRange: undefined
      })
    }
  }
}
