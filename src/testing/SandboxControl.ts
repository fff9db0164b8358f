/**
 * What a test can do to a sandbox from outside: as effects, and over HTTP below `/_sandbox`, so that tests in any language
 * have the same. A command over HTTP runs the effect of the same meaning.
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { isLoopback, urlOf } from "./internal/loopback.ts"
import * as SandboxFault from "./SandboxFault.ts"
import { type Answer, isRecord, type Json, parseJson, pathOf, type Request } from "./SandboxRequest.ts"
import type * as SandboxSeed from "./SandboxSeed.ts"

/** The controls of every running sandbox. */
export interface Controls<Ledger, Behaviour> {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  readonly url: string
  /** The record until now, without secrets. */
  readonly ledger: Effect.Effect<Ledger>
  /** Changes the given switches and keeps the others. */
  readonly configure: (behaviour: Partial<Behaviour>) => Effect.Effect<void>
  /** Queues a fault; faults are served in order, one per matching request. */
  readonly inject: (fault: SandboxFault.Fault) => Effect.Effect<void>
  /** The faults not served yet; `times` is how often each will still be served. */
  readonly faults: Effect.Effect<ReadonlyArray<SandboxFault.Fault>>
  /** Drops the faults not served yet. */
  readonly clearFaults: Effect.Effect<void>
  /** Revokes all access tokens, so that they get a 401. */
  readonly revokeAccessTokens: Effect.Effect<void>
  /** Revokes all refresh tokens. */
  readonly revokeRefreshTokens: Effect.Effect<void>
  /**
   * Puts the sandbox back to its start: the options of the layer and its `seed`, no tokens, no faults, an empty ledger.
   * Requests in flight finish on the old state.
   */
  readonly reset: Effect.Effect<void>
  /** Creates what a seed lists, without rate limits, and returns the responses. */
  readonly seed: (seed: SandboxSeed.Seed) => Effect.Effect<SandboxSeed.Planted, SandboxSeed.SeedRefused>
}

/** One thing to do over HTTP. */
export interface Command {
  readonly method: "DELETE" | "GET" | "POST"
  /** Begins with `/_sandbox`. */
  readonly path: `/_sandbox${string}`
  /** What it does, in one sentence without a full stop. */
  readonly about: string
  /** A body that it accepts. */
  readonly example?: Json | undefined
  /** Runs it. Returns the JSON of the response (undefined: 204, no content), or fails with what is wrong with the body. */
  readonly run: (body: unknown) => Effect.Effect<unknown, ReadonlyArray<Problem>>
}

/** What is wrong with a body, and with which of its fields. */
export interface Problem {
  /** Such as `kind.status`; empty if it is the whole body. */
  readonly name: string
  readonly title: string
}

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** Makes a command that decodes its body, or refuses it by name. An empty body is `{}`. */
export const command = <A>(
  options: Pick<Command, "about" | "example" | "method" | "path"> & {
    readonly payload: Schema.Codec<A, unknown>
    readonly run: (payload: A) => Effect.Effect<unknown, ReadonlyArray<Problem>>
  }
): Command => {
  const decode = Schema.decodeUnknownResult(options.payload, { errors: "all", onExcessProperty: "error" })
  return {
    ...options,
    run: (body) => {
      const decoded = decode(body)
      if (Result.isSuccess(decoded)) return options.run(decoded.success)
      return Effect.fail(
        issuesOf(decoded.failure.issue).issues.map(({ message, path = [] }) => ({
          name: path.map((key) => String(typeof key === "object" ? key.key : key)).join("."),
          title: message
        }))
      )
    }
  }
}

const nothing = Schema.Struct({})

/** A seed as JSON: for each kind of resource, the bodies of the requests that create it. */
export const JsonSeed = Schema.Record(Schema.String, Schema.Array(Schema.Record(Schema.String, Schema.Unknown)))

/** The commands of every sandbox. */
export const commands = <Ledger, Behaviour>(
  controls: Omit<Controls<Ledger, Behaviour>, "configure">
): ReadonlyArray<Command> => [
  command({
    method: "POST",
    path: "/_sandbox/faults",
    about: "Lets the next request that matches fail, or as many as times says",
    example: { on: "api", times: 2, kind: { _tag: "Status", status: 503 } },
    payload: SandboxFault.JsonFault,
    run: controls.inject
  }),
  command({
    method: "GET",
    path: "/_sandbox/faults",
    about: "Lists the faults that wait for requests",
    payload: nothing,
    run: () => Effect.map(controls.faults, (faults) => ({ data: faults.map(SandboxFault.toJson) }))
  }),
  command({
    method: "DELETE",
    path: "/_sandbox/faults",
    about: "Clears the faults that wait for requests",
    payload: nothing,
    run: () => controls.clearFaults
  }),
  command({
    method: "POST",
    path: "/_sandbox/tokens/revoke",
    about: "Revokes all tokens of a kind: access (the default), refresh or all",
    example: { tokens: "access" },
    payload: Schema.Struct({ tokens: Schema.optional(Schema.Literals(["access", "refresh", "all"])) }),
    run: ({ tokens = "access" }) =>
      Effect.andThen(
        tokens === "refresh" ? Effect.void : controls.revokeAccessTokens,
        tokens === "access" ? Effect.void : controls.revokeRefreshTokens
      )
  }),
  command({
    method: "POST",
    path: "/_sandbox/seed",
    about: "Creates resources, listed by kind, without rate limits, and responds with them",
    example: { videos: [{ title: "Maths video" }] },
    payload: JsonSeed,
    run: (seed) => Effect.mapError(controls.seed(seed), ({ at, problem }) => [{ name: at, title: problem }])
  }),
  command({
    method: "POST",
    path: "/_sandbox/reset",
    about: "Puts the sandbox back to its start: options and seed as given, no tokens, no faults, an empty ledger",
    payload: nothing,
    run: () => controls.reset
  }),
  command({
    method: "GET",
    path: "/_sandbox/ledger",
    about: "Counts the requests until now, and lists the latest",
    payload: nothing,
    run: () => controls.ledger
  })
]

const root = "/_sandbox"

/** Whether a path is the sandbox's own. */
export const owns = (path: string): boolean => path === root || path.startsWith(`${root}/`)

/**
 * Whether a request comes from a program on this machine, or from a page that this machine serves. A page elsewhere shows in
 * `Origin`; one whose name was pointed at this machine (DNS rebinding) shows in `Host`, because an address cannot be pointed.
 */
const refusalOf = (request: Request, listensOn: string): Problem | undefined => {
  const { host, origin } = request.headers
  const server = urlOf(`http://${host ?? ""}`)
  const isAddress = server !== undefined && /^(?:\[.*\]|\d+(?:\.\d+){3})$/.test(server.hostname)
  if (server === undefined || !(isAddress || isLoopback(server.hostname) || server.hostname === listensOn)) {
    return { name: "Host", title: "Not an address or a name of this machine: use 127.0.0.1 or localhost." }
  }
  if (origin === undefined) return undefined
  const page = urlOf(origin)
  return page !== undefined && (isLoopback(page.hostname) || page.host === server.host)
    ? undefined
    : { name: "Origin", title: "Only pages of this machine may control the sandbox." }
}

const refuse = (status: number, title: string, problems: ReadonlyArray<Problem> = []): Answer =>
  HttpServerResponse.jsonUnsafe(
    { title, status, ...(problems.length === 0 ? {} : { problems }) },
    { status, contentType: "application/problem+json" }
  )

/** The origin that may read the response: the page's, where there is one. */
const withCors = (request: Request, answer: Answer): Answer => {
  const { origin } = request.headers
  const vary = { vary: "Origin" }
  return HttpServerResponse.setHeaders(
    answer,
    origin === undefined ? vary : { ...vary, "access-control-allow-origin": origin }
  )
}

const preflight = HttpServerResponse.empty({
  headers: {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "Content-Type"
  }
})

/**
 * Answers a request to `/_sandbox`. `listensOn` is the name under which the server was started. Refusals are problem
 * documents (RFC 7807) that name the field: 403 for a page of another machine, 404, 405, 400 for a body.
 */
export const handle =
  (all: ReadonlyArray<Command>, listensOn: string) =>
  (request: Request): Effect.Effect<Answer> => {
    const refusal = refusalOf(request, listensOn)
    if (refusal !== undefined) return Effect.succeed(refuse(403, `${refusal.name}: ${refusal.title}`, [refusal]))
    const answer = Effect.gen(function* () {
      if (request.method === "OPTIONS") return preflight
      const path = pathOf(request).replace(/\/+$/, "")
      if (path === root) {
        return HttpServerResponse.jsonUnsafe({
          data: all.map(({ about, example, method, path }) => ({ method, path, about, ...(example && { example }) }))
        })
      }
      const here = all.filter((command) => command.path === path)
      if (here.length === 0) return refuse(404, `No such command. GET ${root} lists them.`)
      const found = here.find(({ method }) => method === request.method)
      if (found === undefined) return refuse(405, `${path} has ${here.map(({ method }) => method).join(", ")}.`)
      const text = yield* Effect.orElseSucceed(request.text, () => undefined)
      if (text === undefined) return refuse(400, "The body cannot be read, or is too large.")
      const body = text.trim() === "" ? {} : parseJson(text)
      if (!isRecord(body)) return refuse(400, "The body is not a JSON object.")
      const outcome = yield* Effect.result(found.run(body))
      if (Result.isSuccess(outcome)) {
        return outcome.success === undefined
          ? HttpServerResponse.empty()
          : HttpServerResponse.jsonUnsafe(outcome.success)
      }
      const [first = { name: "", title: "The body is not accepted." }] = outcome.failure
      return refuse(400, first.name === "" ? first.title : `${first.name}: ${first.title}`, outcome.failure)
    })
    return Effect.map(answer, (answer) => withCors(request, answer))
  }
