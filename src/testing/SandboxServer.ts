/**
 * What all sandboxes share: a socket, routes, CORS, faults and a ledger.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as NodeHttp from "node:http"
import * as SandboxFault from "./SandboxFault.ts"
import * as SandboxLedger from "./SandboxLedger.ts"
import { type Answer, fieldsOf, type Json, pathOf, queryOf, type Request } from "./SandboxRequest.ts"

/** Where to listen. */
export interface Address {
  /** Default 0: any free port. */
  readonly port?: number | undefined
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined
}

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
  /** Drops the faults not served yet. */
  readonly clearFaults: Effect.Effect<void>
}

/** Answers one method of one path. */
export type Handler = (
  request: Request,
  params: Readonly<Record<string, string | undefined>>
) => Effect.Effect<Answer> | Answer

/** Handlers by path and method; a path may have parameters, `/videos/:id`. */
export type Routes = { readonly [Path in `/${string}`]: Readonly<Record<string, Handler>> }

/** What a ledger records about a request's `Authorization` header. */
export interface Verdict {
  /** See `SandboxLedger.Entry`. */
  readonly credential: string
  /** The token is past its own `exp`. */
  readonly expired: boolean
}

/** What is different for each platform. */
export interface Platform<V extends Verdict> {
  readonly routes: Routes
  /** `token` is OAuth's token endpoint, where the grant in the body tells a refresh from a login. */
  readonly exchangeOf: (method: string, path: string) => SandboxFault.Exchange | "token" | undefined
  /** Whether a path that is not an exchange belongs to the API and not to the login service. Default: always. */
  readonly isApi?: ((path: string) => boolean) | undefined
  /** Whether the handlers of a path set the origins that may read their responses. Default: every origin may read everything. */
  readonly ownCors?: ((path: string) => boolean) | undefined
  /** Notes what an exchange brought, whatever becomes of it. */
  readonly noteExchange: (exchange: SandboxFault.Exchange, body: Json | undefined) => void
  readonly judge: (request: Request) => V
  /** Notes a request to the API, whatever becomes of it. */
  readonly noteRequest?: ((request: Request, verdict: V) => void) | undefined
  /** The path as the ledger may show it, where it can hold a secret that the server does not know. */
  readonly shownPath?: ((path: string) => string) | undefined
  readonly unroutable: (request: Request, what: "path" | "method") => Answer
  readonly tooLarge: () => Answer
  readonly voice: SandboxFault.Voice
  /** Largest body of one request, in bytes. */
  readonly maximumBodySize: number
  /** Headers of answers that a page may read, besides the few that any page may. */
  readonly exposedHeaders: ReadonlyArray<string>
}

/** The response of a handler, which may be asynchronous. */
export const run = (answer: Effect.Effect<Answer> | Answer): Effect.Effect<Answer> =>
  Effect.isEffect(answer) ? answer : Effect.succeed(answer)

/** Options that can be changed while the server runs; `resolve` fills in the defaults. */
export const makeSettings = <Options extends object, Settings>(
  options: Options,
  resolve: (options: Options) => Settings
) => {
  let given = options
  let settings = resolve(given)
  return {
    current: () => settings,
    configure: (changes: Partial<Options>) =>
      Effect.sync(() => {
        given = { ...given, ...changes }
        settings = resolve(given)
      })
  }
}

// Any origin: a browser under test is never on the sandbox's own.
const corsHeaders = (exposed: ReadonlyArray<string>) => ({
  "access-control-allow-origin": "*",
  "access-control-expose-headers": exposed.join(", ")
})

const preflight = (request: Request, exposed: ReadonlyArray<string>): Answer =>
  HttpServerResponse.empty({
    headers: {
      ...corsHeaders(exposed),
      "access-control-allow-methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
      // "*" would not cover Authorization (Fetch standard), so what is asked for is allowed by name.
      "access-control-allow-headers":
        request.headers["access-control-request-headers"] ?? "Authorization, Content-Type",
      "access-control-max-age": "600"
    }
  })

/** Takes the port. Requests wait until `serve`. Closing the scope ends the server, with or without requests in flight. */
export const listen = Effect.fnUntraced(function* (options: Address) {
  const clock = yield* Clock.Clock
  const host = options.host ?? "127.0.0.1"
  const nodeServer = NodeHttp.createServer()
  const server = yield* NodeHttpServer.make(() => nodeServer, {
    host,
    port: options.port ?? 0,
    disablePreemptiveShutdown: true
  })
  const port = "port" in server.address ? server.address.port : 0
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`
  const now = () => clock.currentTimeMillisUnsafe()
  const ledger = SandboxLedger.make()
  const faults = SandboxFault.makeQueue()

  const serve = Effect.fnUntraced(function* <V extends Verdict>(platform: Platform<V>) {
    const router = yield* HttpRouter.make
    for (const [path, methods] of Object.entries(platform.routes)) {
      if (!path.startsWith("/")) continue
      yield* router.add(
        "*",
        `/${path.slice(1)}`,
        (request) =>
          Effect.flatMap(HttpRouter.params, (params) => {
            const handler = methods[request.method === "HEAD" ? "GET" : request.method]
            return run(handler === undefined ? platform.unroutable(request, "method") : handler(request, params))
          }),
        { uninterruptible: true }
      )
    }
    const routed = router.asHttpEffect()

    /** The regular response. A client that leaves does not interrupt it, because real servers finish what they began. */
    const process = (request: Request) =>
      routed.pipe(
        Effect.orElseSucceed(() => platform.unroutable(request, "path")),
        Effect.provideService(HttpServerRequest.HttpServerRequest, request),
        Effect.scoped,
        Effect.uninterruptible
      )

    const received = (exchange: SandboxFault.Exchange) => {
      if (exchange === "login") ledger.counts.logins++
      else ledger.counts.refreshes++
    }

    const arrive = (request: Request) => {
      const { headers, method } = request
      const path = pathOf(request)
      const exchange = platform.exchangeOf(method, path)
      const verdict = platform.judge(request)
      const query = queryOf(request)
      // Numbers are pages and sizes, and would blot out the numbers of other paths.
      for (const value of query.values()) if (!/^\d+$/.test(value)) ledger.conceal(value)
      const entry: SandboxLedger.OpenEntry = {
        at: now(),
        method,
        path: ledger.scrub(platform.shownPath?.(path) ?? path),
        query: [...query.keys()].map(ledger.scrub),
        status: undefined,
        fault: undefined,
        credential: verdict.credential,
        hadAuthorization: headers["authorization"] !== undefined,
        headers: Object.fromEntries(
          SandboxLedger.recordedHeaders.flatMap((name) => {
            const value = headers[name]
            return value === undefined ? [] : [[name, ledger.scrub(value)]]
          })
        )
      }
      ledger.open(entry)
      const isApi = exchange === undefined && platform.isApi?.(path) !== false
      if (exchange === "login" || exchange === "refresh") received(exchange)
      else if (isApi && method !== "OPTIONS") {
        ledger.counts.requests++
        if (verdict.expired) ledger.counts.expiredTokensReceived++
        platform.noteRequest?.(request, verdict)
      }
      return { entry, exchange, isApi } as const
    }

    /** Which exchange it is, once its body is here. */
    const noted = Effect.fnUntraced(function* (request: Request, announced: SandboxFault.Exchange | "token") {
      const body = yield* fieldsOf(request)
      const grant = body?.["grant_type"] === "refresh_token" ? "refresh" : "login"
      const exchange = announced === "token" ? grant : announced
      if (announced === "token") received(exchange)
      platform.noteExchange(exchange, body)
      return exchange
    })

    const answer = Effect.fnUntraced(function* (request: Request, arrival: ReturnType<typeof arrive>) {
      const { entry, isApi } = arrival
      // The whole body first, so that a fault can tell "received" from "never arrived".
      const text = yield* Effect.orElseSucceed(request.text, () => undefined)
      if (text === undefined) return platform.tooLarge()
      const exchange = arrival.exchange === undefined ? undefined : yield* noted(request, arrival.exchange)
      const target = exchange ?? (isApi ? "api" : undefined)
      const kind = faults.take(target, request.method, pathOf(request))
      if (kind === undefined) return yield* process(request)
      const { _tag: fault } = kind
      entry.fault = fault
      return yield* SandboxFault.serve(kind, {
        process: process(request),
        body: text,
        destroy: Effect.sync(() => NodeHttpServerRequest.toIncomingMessage(request).socket.destroy()),
        voice: platform.voice
      })
    })

    const app = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const arrival = arrive(request)
      const { entry, exchange, isApi } = arrival
      if (request.method === "OPTIONS") {
        ledger.answered(entry, 204)
        return preflight(request, platform.exposedHeaders)
      }
      if (exchange !== undefined) ledger.exchangeStarted()
      const response = yield* Effect.ensuring(
        Effect.interruptible(answer(request, arrival)),
        Effect.sync(() => {
          if (exchange !== undefined) ledger.exchangeEnded()
        })
      )
      if (response === undefined) return HttpServerResponse.empty()
      ledger.answered(entry, response.status)
      if (response.status === 401 && isApi) ledger.counts.unauthorized++
      return platform.ownCors?.(pathOf(request)) === true
        ? response
        : HttpServerResponse.setHeaders(response, corsHeaders(platform.exposedHeaders))
    }).pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(platform.maximumBodySize)))

    // A server that runs in the program's own process must not show up in the program's traces.
    yield* Effect.provideService(server.serve(app), HttpMiddleware.TracerDisabledWhen, () => true)
    // Last in, first out: connections end here, before the server waits for them, with or without answers due.
    yield* Effect.addFinalizer(() =>
      Effect.callback<void>((resume) => {
        nodeServer.close(() => resume(Effect.void))
        nodeServer.closeAllConnections()
      })
    )
    return {
      inject: (fault: SandboxFault.Fault) => Effect.sync(() => faults.add(fault)),
      clearFaults: Effect.sync(faults.clear)
    }
  })

  return { url, now, ledger, serve }
})
