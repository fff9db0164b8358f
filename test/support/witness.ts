/**
 * Finds secrets that were written down: every way in which a program may write down what it got, and everything that it
 * may have listen to it.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import {
  Cause,
  Console,
  type Duration,
  Effect,
  Exit,
  Layer,
  Logger,
  Metric,
  References,
  Schedule,
  Schema,
  Stream
} from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import {
  AccessToken,
  Observability,
  type RenewalPolicy,
  TokenError,
  TokenEvent,
  type TokenService
} from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import { MovingImageError } from "effect-video-auth/moving-image"
import type { FaultKind } from "effect-video-auth/testing/SandboxFault"
import { inspect } from "node:util"
import { bodyText } from "./bodyText.ts"
import { keepingSpans } from "./spans.ts"

/** How a secret may be written down. */
export const forms = (secret: string): ReadonlyArray<string> => {
  const bytes = (text: string) => Buffer.from(text)
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1),
    inspect(secret).slice(1, -1),
    encodeURIComponent(secret),
    new URLSearchParams([["", secret]]).toString().slice(1),
    encodeURI(secret),
    ...["", ":"].flatMap((end) => [
      bytes(secret + end).toString("base64"),
      bytes(secret + end).toString("base64url"),
      encodeURIComponent(bytes(secret + end).toString("base64"))
    ]),
    bytes(secret).toString("hex"),
    // Half of it is a leak as well: any 24 characters in a row.
    ...Array.from({ length: Math.floor(secret.length / 24) }, (_, index) => secret.slice(index * 24, index * 24 + 24))
  ]
}

/** How a program may write down what it got. */
const scanners: Readonly<Record<string, (value: unknown) => string>> = {
  String: (value) =>
    (typeof value === "object" && value !== null ? Object.prototype.toString.call(value) : "") + String(value),
  message: (value) => (value instanceof Error ? value.message : ""),
  stack: (value) => (value instanceof Error ? `${value.stack}` : ""),
  JSON: (value) => JSON.stringify(value) ?? "",
  "JSON, indented": (value) => JSON.stringify({ value }, null, 2),
  inspect: (value) => inspect(value),
  "inspect, all of it": (value) =>
    inspect(value, { showHidden: true, depth: 50, maxStringLength: null, maxArrayLength: null }),
  "inspect, with getters": (value) => inspect(value, { showHidden: true, depth: 50, getters: true }),
  "inspect, past custom inspection": (value) =>
    // Past that, an answer shows its request. An error, in which there is none or one without its credential, does not.
    value instanceof TokenError.TokenError ||
    value instanceof ApiVideoError.ApiVideoError ||
    value instanceof MovingImageError.MovingImageError ||
    value instanceof AccessToken.AccessToken
      ? inspect(value, { customInspect: false, showHidden: true, depth: 50 })
      : "",
  "Cause.pretty": (value) => Cause.pretty(Cause.isCause(value) ? value : Cause.fail(value)),
  "own properties": (value) =>
    typeof value === "object" && value !== null ? inspect(Object.entries({ ...value }), { depth: 50 }) : ""
}

export class Witness {
  readonly secrets: Set<string>
  readonly seen: Array<{ readonly where: string; readonly text: string }> = []

  constructor(...planted: ReadonlyArray<string>) {
    this.secrets = new Set(planted)
  }

  /** Writes a value down in every way. */
  show(what: string, value: unknown): void {
    if (typeof value === "string") return this.text(what, value)
    for (const [scanner, scan] of Object.entries(scanners)) this.text(`${what}, ${scanner}`, scan(value))
    if (value instanceof Error && value.cause !== undefined) this.show(`${what}, cause`, value.cause)
    if (hasReason(value) && value.reason instanceof Error && value.cause !== value.reason) {
      this.show(`${what}, reason`, value.reason)
    }
  }

  showExit(what: string, exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isSuccess(exit)) return this.show(what, exit.value)
    this.show(`${what}, exit`, exit.cause)
    for (const reason of exit.cause.reasons) {
      this.show(what, Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : reason)
    }
  }

  text(where: string, text: string): void {
    this.seen.push({ where, text })
  }

  get leaks(): ReadonlyArray<string> {
    const wanted = [...this.secrets].flatMap(forms).filter((form) => form.length >= 8)
    // Much is written down many times.
    const leaked = new Map<string, string | undefined>()
    return this.seen.flatMap(({ text, where }) => {
      if (!leaked.has(text))
        leaked.set(
          text,
          wanted.find((form) => text.includes(form))
        )
      const found = leaked.get(text)
      return found === undefined
        ? []
        : [`${where}: …${text.slice(Math.max(0, text.indexOf(found) - 60)).slice(0, 120)}…`]
    })
  }
}

const hasReason = (value: unknown): value is { readonly reason: unknown; readonly cause?: unknown } =>
  typeof value === "object" && value !== null && "reason" in value

const Issued = Schema.fromJsonString(
  Schema.Struct({
    access_token: Schema.optional(Schema.String),
    refresh_token: Schema.optional(Schema.String),
    token: Schema.optional(Schema.String),
    accessToken: Schema.optional(Schema.String),
    refreshToken: Schema.optional(Schema.String)
  })
)

/** Learns every token that the server issues, on its way to the program. */
export const eavesdropping = (witness: Witness, network = NodeHttpClient.layerUndici) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) =>
      HttpClient.transformResponse(
        client,
        Effect.flatMap((response) =>
          Effect.map(response.arrayBuffer, (bytes) => {
            const issued = Schema.decodeExit(Issued)(new TextDecoder().decode(bytes))
            if (Exit.isSuccess(issued)) {
              for (const secret of Object.values(issued.value)) if (secret) witness.secrets.add(secret)
            }
            const { headers, request, status } = response
            const uploadToken = /__token__=([^&#]+)/.exec(headers["location"] ?? "")?.[1]
            if (uploadToken !== undefined) witness.secrets.add(uploadToken)
            const body = [204, 304].includes(status) ? null : bytes
            return HttpClientResponse.fromWeb(request, new Response(body, { headers, status }))
          })
        )
      )
    )
  ).pipe(Layer.provide(network))

/** Everything that a program may have listen to it: loggers, a tracer, observers, metrics. */
export const watched =
  (witness: Witness) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) => {
    const line = (format: string) => (output: unknown) =>
      witness.text(`log, ${format}`, typeof output === "string" ? output : inspect(output, { depth: 50 }))
    const loggers = [
      Logger.map(Logger.formatSimple, line("simple")),
      Logger.map(Logger.formatLogFmt, line("logfmt")),
      Logger.map(Logger.formatStructured, line("structured")),
      Logger.map(Logger.formatJson, line("JSON")),
      Logger.make<unknown, void>(({ cause, fiber, message }) => {
        witness.text("log, message", inspect(message, { showHidden: true, depth: 50 }))
        witness.text("log, annotations", inspect(fiber.getRef(References.CurrentLogAnnotations)))
        witness.text("log, cause", Cause.pretty(cause))
      })
    ]
    const { spans, tracer } = keepingSpans()
    const observer: TokenEvent.Observer = (event) => Effect.sync(() => witness.show(`event ${event._tag}`, event))
    const registry = new Map()
    const write = (...line: ReadonlyArray<unknown>) =>
      witness.text("console", inspect(line, { showHidden: true, depth: 50 }))
    const console = { ...globalThis.console, log: write, info: write, warn: write, error: write, debug: write }
    return Effect.gen(function* () {
      const result = yield* effect
      witness.show("metrics", yield* Metric.snapshot)
      return result
    }).pipe(
      Effect.provide([Observability.layerLogging, Observability.layerMetrics]),
      Effect.provideService(TokenEvent.Observers, [observer]),
      Effect.withSpan("program"),
      Effect.withTracer(tracer),
      Effect.provideService(HttpClient.TracerHeaderFilter, () => true),
      Effect.provide(Logger.layer(loggers)),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provideService(Metric.MetricRegistry, registry),
      Effect.provideService(Console.Console, console),
      Effect.ensuring(
        Effect.sync(() => {
          for (const span of spans) {
            witness.show(`span ${span.name}`, [span.name, [...span.attributes], span.events, span.links])
            if (span.status._tag === "Ended") witness.showExit(`span ${span.name}, exit`, span.status.exit)
          }
          witness.text("spans", String(spans.length))
        })
      )
    )
  }

/** Runs what may fail, and writes down what became of it. */
export type Play = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>

export const playing =
  (witness: Witness): Play =>
  (what, effect) =>
    Effect.flatMap(Effect.exit(effect), (exit) =>
      // As a program does that logs whatever happens.
      Effect.andThen(
        Exit.isFailure(exit) ? Effect.logError(what, exit.cause) : Effect.log(what, exit.value),
        Effect.sync(() => {
          witness.showExit(what, exit)
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          // The request of a connection that broke has lost its credential.
          if (HttpClientError.isHttpClientError(error) && error.reason._tag === "TransportError") {
            witness.text(what, inspect(error, { customInspect: false, showHidden: true, depth: 50 }))
          }
        })
      )
    )

/** What an exchange or a request may meet. */
export const faults: ReadonlyArray<FaultKind> = [
  { _tag: "Latency", duration: 1 },
  { _tag: "DropBefore" },
  { _tag: "DropAfter" },
  { _tag: "Hang" },
  { _tag: "Status", status: 400 },
  { _tag: "Status", status: 401, body: '{"title":"half' },
  { _tag: "Status", status: 403 },
  { _tag: "Status", status: 404 },
  { _tag: "Status", status: 418 },
  { _tag: "Status", status: 500, processed: true },
  { _tag: "Status", status: 503, headers: { "retry-after": "0" } },
  { _tag: "RateLimited", retryAfter: 0.001 },
  { _tag: "Html", status: 200 },
  { _tag: "Html", status: 502 },
  { _tag: "TruncatedJson" },
  { _tag: "Echo", status: 400 },
  { _tag: "Echo", status: 401 },
  { _tag: "Echo", status: 403 },
  { _tag: "Echo", status: 422 },
  { _tag: "Echo", status: 500 },
  { _tag: "Json", status: 200, body: { access_token: 1, accessToken: 1, expires_in: {} } },
  { _tag: "Redirect", status: 307, location: "/elsewhere" }
]

export const patienceFor = (kind: FaultKind): Duration.Input => (kind._tag === "Hang" ? "100 millis" : "10 seconds")
export const named = (kind: FaultKind) => `${kind._tag}${"status" in kind ? ` ${kind.status}` : ""}`

/** Failures are over at once. */
export const hasty: RenewalPolicy.Options = {
  whenIdle: "on-demand",
  coolDown: 0,
  fatalFor: "1 millis",
  retry: Schedule.recurs(0)
}

/** A token, though a busy machine takes longer than `patienceFor` allows. */
export const untilGiven = (service: TokenService.TokenService["Service"]) =>
  Effect.retry(service.get, Schedule.spaced("50 millis"))

/** A server that repeats all of a request: its URL, its headers, its body. */
export const parrot = (code: number, contentType: string): HttpClient.HttpClient =>
  HttpClient.make((request, url) => {
    const all = [url.href, request.headers["authorization"], bodyText(request.body) ?? ""]
    const clear = /^Basic (.+)$/.exec(request.headers["authorization"] ?? "")?.[1]
    const said = `${all.join(" ")} ${clear === undefined ? "" : Buffer.from(clear, "base64").toString()}`
    const names = [
      "type",
      "title",
      "name",
      "detail",
      "message",
      "error",
      "error_description",
      "errorCode",
      "code",
      said
    ]
    const problem = { ...Object.fromEntries(names.map((name) => [name, said])), problems: [{ title: said }] }
    const text = contentType === "application/json" ? JSON.stringify(problem) : said
    const answer = new Response(text, { status: code, headers: { "content-type": contentType } })
    return Effect.succeed(HttpClientResponse.fromWeb(request, answer))
  })

/** A body that breaks off while it is read. */
export const broken = Stream.concat(Stream.make(new Uint8Array(10)), Stream.fail(new Error("no such file")))

/** A transport that sends nothing, and says no more than of which request. */
export const silent = HttpClient.make((request) =>
  Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.InvalidUrlError({ request }) }))
)

/** A transport whose error tells all that it was about to send. */
export const indiscreet = HttpClient.make((request, url) =>
  Effect.fail(
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({
        request,
        cause: Object.assign(new Error(`${url.href} ${bodyText(request.body) ?? ""}`), {
          code: "ECONNRESET",
          url: url.href,
          body: request.body
        })
      })
    })
  )
)
