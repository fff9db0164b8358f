/**
 * Failures on demand: what networks, proxies and servers do to a response.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as EffectRegExp from "effect/RegExp"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { type Answer, textOf } from "./SandboxRequest.ts"

/**
 * The kinds of faults. "Processed" means that state changed: tokens were issued, the refresh token was used up.
 *
 * - `Latency`: waits on the layer's clock, then responds as usual. `when: "after"` waits after processing.
 * - `DropBefore`: the connection breaks before processing. `DropAfter`: after it, so the response is lost.
 * - `Hang`: no response until the client leaves or the layer closes. Not processed.
 * - `Status`: any status, with an empty body unless given. `processed: true` imitates a gateway that lost the response.
 * - `RateLimited`: the platform's 429, with its headers. `retryAfter` is in seconds.
 * - `Html`: a proxy's page, also with 200; `processed` as above.
 * - `TruncatedJson`: processed, then half of the response's body with status 200.
 * - `Echo`: an error whose text repeats the request's body, and so the key or the password.
 * - `Json`: any JSON body, not processed. `Rewrite`: processed, then the response's JSON body is changed.
 * - `Redirect`: a redirect to `location`.
 */
export type FaultKind = Data.TaggedEnum<{
  Latency: { readonly duration: Duration.Input; readonly when?: "before" | "after" | undefined }
  DropBefore: {}
  DropAfter: {}
  Hang: {}
  Status: {
    readonly status: number
    readonly body?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly contentType?: string | undefined
    readonly processed?: boolean | undefined
  }
  RateLimited: { readonly retryAfter: number }
  Html: { readonly status: number; readonly processed?: boolean | undefined }
  TruncatedJson: {}
  Echo: { readonly status: number }
  Json: { readonly status: number; readonly body: unknown }
  Rewrite: { readonly rewrite: (body: unknown) => unknown }
  Redirect: { readonly location: string; readonly status: number }
}>

/** Constructors and matchers of the kinds: `FaultKind.DropAfter()`. Plain objects with a `_tag` work as well. */
export const FaultKind = Data.taggedEnum<FaultKind>()

/** The two requests that return tokens. OAuth's grant `refresh_token` is a refresh, and its other grants are logins. */
export type Exchange = "login" | "refresh"

/** Requests by method and path. What is left out matches everything. */
export interface Pattern {
  /** In upper case. */
  readonly method?: string | undefined
  /** Without the query; `*` matches any characters, as in `/videos/*`. */
  readonly path?: string | undefined
}

/** A fault waiting for requests. Faults are served in the order they were injected, one per request. */
export interface Fault {
  /**
   * Which requests: `login`, `refresh`, `api` for requests to the API, a pattern, or a test of method and path. Only a
   * pattern, a test and `any` match other requests, such as discovery and revocation.
   */
  readonly on: Exchange | "api" | "any" | Pattern | ((method: string, path: string) => boolean)
  /** How many matching requests. Default 1; `Infinity` until `clearFaults`. */
  readonly times?: number | undefined
  readonly kind: FaultKind
}

const processed = Schema.optional(Schema.Boolean)
const httpStatus = Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 }))
const always = Schema.Literal("Infinity").pipe(
  Schema.decodeTo(Schema.Number, {
    decode: SchemaGetter.succeed(Infinity),
    encode: SchemaGetter.succeed("Infinity" as const)
  })
)

/**
 * A fault as JSON: what `POST /_sandbox/faults` takes. It is as in a program, without the two members that are functions: a
 * test as `on`, and `Rewrite`. A `duration` is in milliseconds, or a text such as `2 seconds`; `times` may be `"Infinity"`.
 */
export const JsonFault = Schema.Struct({
  on: Schema.Union([
    Schema.Literals(["login", "refresh", "api", "any"]),
    Schema.Struct({ method: Schema.optional(Schema.String), path: Schema.optional(Schema.String) })
  ]),
  times: Schema.optional(Schema.Union([Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)), always])),
  kind: Schema.Union([
    Schema.TaggedStruct("Latency", {
      duration: Schema.Union([Schema.DurationFromMillis, Schema.DurationFromString]),
      when: Schema.optional(Schema.Literals(["before", "after"]))
    }),
    Schema.TaggedStruct("DropBefore", {}),
    Schema.TaggedStruct("DropAfter", {}),
    Schema.TaggedStruct("Hang", {}),
    Schema.TaggedStruct("Status", {
      status: httpStatus,
      body: Schema.optional(Schema.String),
      headers: Schema.optional(Schema.Record(Schema.String, Schema.String)),
      contentType: Schema.optional(Schema.String),
      processed
    }),
    Schema.TaggedStruct("RateLimited", { retryAfter: Schema.Finite }),
    Schema.TaggedStruct("Html", { status: httpStatus, processed }),
    Schema.TaggedStruct("TruncatedJson", {}),
    Schema.TaggedStruct("Echo", { status: httpStatus }),
    Schema.TaggedStruct("Json", { status: httpStatus, body: Schema.Json }),
    Schema.TaggedStruct("Redirect", { location: Schema.String, status: httpStatus })
  ])
})

/** A fault as JSON, as far as it has no functions. */
export const toJson = ({ kind, on, times = 1 }: Fault) => ({
  on: typeof on === "function" ? "a function" : on,
  times: times === Infinity ? "Infinity" : times,
  kind:
    kind._tag === "Latency" ? { ...kind, duration: Duration.toMillis(Duration.fromInputUnsafe(kind.duration)) } : kind
})

const matches = ({ method, path }: Pattern, request: { readonly method: string; readonly path: string }): boolean =>
  (method === undefined || method.toUpperCase() === request.method) &&
  (path === undefined || new RegExp(`^${path.split("*").map(EffectRegExp.escape).join(".*")}$`).test(request.path))

/** The queue of faults. */
export const makeQueue = () => {
  let waiting: Array<{ readonly fault: Fault; remaining: number }> = []
  return {
    add: (fault: Fault) => {
      waiting.push({ fault, remaining: fault.times ?? 1 })
    },
    clear: () => {
      waiting = []
    },
    /** What is left of each fault, in order. */
    list: (): ReadonlyArray<Fault> => waiting.map(({ fault, remaining }) => ({ ...fault, times: remaining })),
    /** Takes the first fault meant for this request. */
    take: (target: Exchange | "api" | undefined, method: string, path: string): FaultKind | undefined => {
      const found = waiting.find(({ fault: { on } }) => {
        if (typeof on === "function") return on(method, path)
        return typeof on === "object" ? matches(on, { method, path }) : on === "any" || on === target
      })
      if (found === undefined) return undefined
      found.remaining--
      waiting = waiting.filter(({ remaining }) => remaining > 0)
      return found.fault.kind
    }
  }
}

/** The queue, see `makeQueue`. */
export type Queue = ReturnType<typeof makeQueue>

/** The texts of a platform in its faults. */
export interface Voice {
  readonly rateLimited: (retryAfter: number) => Answer
  readonly echo: (status: number, body: string) => Answer
  /** An HTML page. */
  readonly page: (status: number) => string
}

/** What a fault needs from its request. */
export interface Target {
  /** The regular response. Running it changes state. */
  readonly process: Effect.Effect<Answer>
  /** The request's body as text. */
  readonly body: string
  /** Breaks the connection. */
  readonly destroy: Effect.Effect<void>
  readonly voice: Voice
}

/** A proxy's page. */
export const page = (title: string, heading: string) =>
  `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${heading}</h1><hr>nginx</body></html>\n`

/** Serves a fault. Returns undefined if it broke the connection, so that there is no response. */
export const serve = (kind: FaultKind, target: Target): Effect.Effect<Answer | undefined> => {
  const broken = Effect.as(target.destroy, undefined)
  const instead = (response: Answer, processed = false) =>
    processed ? Effect.as(target.process, response) : Effect.succeed(response)
  return FaultKind.$match(kind, {
    Latency: ({ duration, when }) =>
      when === "after"
        ? Effect.tap(target.process, () => Effect.sleep(duration))
        : Effect.andThen(Effect.sleep(duration), target.process),
    DropBefore: () => broken,
    DropAfter: () => Effect.andThen(target.process, broken),
    Hang: () => Effect.never,
    Status: ({ body, contentType, headers, processed, status }) =>
      instead(
        body === undefined
          ? HttpServerResponse.empty({ status, headers })
          : HttpServerResponse.text(body, { status, headers, contentType }),
        processed
      ),
    RateLimited: ({ retryAfter }) => instead(target.voice.rateLimited(retryAfter)),
    Html: ({ processed, status }) =>
      instead(
        HttpServerResponse.text(target.voice.page(status), { status, contentType: "text/html; charset=utf-8" }),
        processed
      ),
    TruncatedJson: () =>
      Effect.map(target.process, (response) => {
        const text = textOf(response)
        return HttpServerResponse.text(text.slice(0, Math.ceil(text.length / 2)), { contentType: "application/json" })
      }),
    Echo: ({ status }) => instead(target.voice.echo(status, target.body)),
    Json: ({ body, status }) => instead(HttpServerResponse.jsonUnsafe(body, { status })),
    Rewrite: ({ rewrite }) =>
      Effect.map(target.process, (response) => {
        const body: unknown = JSON.parse(textOf(response))
        return HttpServerResponse.jsonUnsafe(rewrite(body), { status: response.status })
      }),
    Redirect: ({ location, status }) => instead(HttpServerResponse.redirect(location, { status }))
  })
}
