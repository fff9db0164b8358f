/**
 * What all sandboxes share: a socket, routes, CORS, faults and a ledger.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Scope from "effect/Scope"
import * as NodeHttp from "node:http"
import * as SandboxControl from "./SandboxControl.ts"
import * as SandboxFault from "./SandboxFault.ts"
import * as SandboxLedger from "./SandboxLedger.ts"
import { type Answer, fieldsOf, type Json, pathOf, queryOf, type Request, run } from "./SandboxRequest.ts"
import * as SandboxSeed from "./SandboxSeed.ts"

/** Where to listen, what exists at the start, and what is called for each request. */
export interface Setup {
  /** Default 0: any free port. */
  readonly port?: number | undefined
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined
  /** Resources that exist at the start and after a `reset`. The layer dies of a `SeedRefused` if the sandbox refuses one. */
  readonly seed?: SandboxSeed.Seed | undefined
  /**
   * Runs after each request, those to `/_sandbox` included: with its response, or without one if a fault or the client broke
   * the connection. The response waits for it.
   */
  readonly onRequest?: ((entry: SandboxLedger.Entry) => Effect.Effect<void>) | undefined
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
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
      // "*" would not cover Authorization (Fetch standard), so what is asked for is allowed by name.
      "access-control-allow-headers":
        request.headers["access-control-request-headers"] ?? "Authorization, Content-Type",
      "access-control-max-age": "600"
    }
  })

/** The entry of a request that has just arrived. */
const entryOf = (
  request: Request,
  at: number,
  recorder: Pick<SandboxLedger.Recorder, "scrub">,
  path = pathOf(request)
): SandboxLedger.OpenEntry => ({
  at,
  method: request.method,
  path: recorder.scrub(path),
  query: [...queryOf(request).keys()].map(recorder.scrub),
  status: undefined,
  duration: undefined,
  fault: undefined,
  credential: "none",
  hadAuthorization: request.headers["authorization"] !== undefined,
  headers: Object.fromEntries(
    SandboxLedger.recordedHeaders.flatMap((name) => {
      const value = request.headers[name]
      return value === undefined ? [] : [[name, recorder.scrub(value)]]
    })
  )
})

/** How a platform answers requests, from one start to the next. */
const makeResponder = Effect.fnUntraced(function* <V extends Verdict>(
  platform: Platform<V>,
  ledger: SandboxLedger.Recorder,
  now: () => number
) {
  const faults = SandboxFault.makeQueue()
  const router = yield* HttpRouter.make
  for (const [path, methods] of Object.entries(platform.routes)) {
    if (!path.startsWith("/")) continue
    // "*" has the router make a tree for each method that Node knows, WebDAV's included, which slows down the start of each
    // sandbox by 30 ms.
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const) {
      const handler = methods[method]
      yield* router.add(
        method,
        `/${path.slice(1)}`,
        (request) =>
          handler === undefined
            ? run(platform.unroutable(request, "method"))
            : Effect.flatMap(HttpRouter.params, (params) => run(handler(request, params))),
        { uninterruptible: true }
      )
    }
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

  /** Records a request. */
  const arrive = (request: Request) => {
    const { method } = request
    const path = pathOf(request)
    const exchange = platform.exchangeOf(method, path)
    const verdict = platform.judge(request)
    // Numbers are pages and sizes, and would blot out the numbers of other paths.
    for (const value of queryOf(request).values()) if (!/^\d+$/.test(value)) ledger.conceal(value)
    const entry = entryOf(request, now(), ledger, platform.shownPath?.(path))
    entry.credential = verdict.credential
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

  const respond = Effect.fnUntraced(
    function* (request: Request, arrival: ReturnType<typeof arrive>) {
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
    },
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(platform.maximumBodySize))
  )

  return { arrive, faults, respond }
})

/** What a platform is made with each time it starts. */
export interface Start {
  /** The origin of the server. */
  readonly url: string
  /** Epoch milliseconds on the layer's clock. */
  readonly now: () => number
  /** Belongs to this start. */
  readonly ledger: SandboxLedger.Recorder
}

/** What a platform consists of from one start to the next. All of its state is in here. */
export interface Started<V extends Verdict, C> {
  readonly platform: Platform<V>
  /** What the platform offers besides the controls of every sandbox. */
  readonly controls: C
  /** How a seed creates its resources. */
  readonly creators: Readonly<Record<string, SandboxSeed.Creator>>
}

/** Largest body of a command: a seed of many thousand resources. */
const maximumCommandSize = 64 * 1024 * 1024

/** Takes the port. Requests wait until `serve`. Closing the scope ends the server, with or without requests in flight. */
export const listen = Effect.fnUntraced(function* (setup: Setup) {
  const { host = "127.0.0.1", onRequest = () => Effect.void, port: wanted = 0, seed = {} } = setup
  const clock = yield* Clock.Clock
  const nodeServer = NodeHttp.createServer()
  const server = yield* NodeHttpServer.make(() => nodeServer, { host, port: wanted, disablePreemptiveShutdown: true })
  const port = "port" in server.address ? server.address.port : 0
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`
  const now = () => clock.currentTimeMillisUnsafe()

  /** Starts a platform, and again at each `reset`, with what `make` returns. `current` is what it returned last. */
  const start = Effect.fnUntraced(function* <V extends Verdict, C>(
    make: (start: Start) => Effect.Effect<Started<V, C>, never, Scope.Scope>
  ) {
    const parent = yield* Effect.scope
    const begin = Effect.gen(function* () {
      const scope = yield* Scope.fork(parent)
      const ledger = SandboxLedger.make()
      const { controls, creators, platform } = yield* Scope.provide(make({ ledger, now, url }), scope)
      yield* Effect.orDie(SandboxSeed.plant(creators, seed))
      return { scope, ledger, controls, creators, ...(yield* makeResponder(platform, ledger, now)) }
    })
    let current = yield* begin

    /** Begins to answer requests. */
    const serve = Effect.fnUntraced(function* (commands: ReadonlyArray<SandboxControl.Command>) {
      const command = SandboxControl.handle(commands, host)

      const logged = <A>(entry: SandboxLedger.OpenEntry, effect: Effect.Effect<A>) =>
        Effect.ensuring(
          effect,
          Effect.suspend(() => {
            entry.duration = now() - entry.at
            return onRequest({ ...entry })
          })
        )

      const app = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        if (SandboxControl.owns(pathOf(request))) {
          const entry = entryOf(request, now(), current.ledger)
          const answer = Effect.tap(command(request), ({ status }) =>
            Effect.sync(() => {
              entry.status = status
            })
          )
          return Effect.provideService(
            logged(entry, answer),
            HttpIncomingMessage.MaxBodySize,
            ByteSize.bytes(maximumCommandSize)
          )
        }
        const { arrive, respond } = current
        const arrival = arrive(request)
        return logged(arrival.entry, respond(request, arrival))
      })

      // A server that runs in the program's own process must not show up in the program's traces.
      yield* Effect.provideService(server.serve(app), HttpMiddleware.TracerDisabledWhen, () => true)
      // Last in, first out: connections end here, before the server waits for them, with or without answers due.
      yield* Effect.addFinalizer(() =>
        Effect.callback<void>((resume) => {
          nodeServer.close(() => resume(Effect.void))
          nodeServer.closeAllConnections()
        })
      )
    })

    return {
      current: () => current.controls,
      controls: {
        url,
        inject: (fault: SandboxFault.Fault) => Effect.sync(() => current.faults.add(fault)),
        faults: Effect.sync(() => current.faults.list()),
        clearFaults: Effect.sync(() => current.faults.clear()),
        seed: (seed: SandboxSeed.Seed) => Effect.suspend(() => SandboxSeed.plant(current.creators, seed)),
        reset: Effect.gen(function* () {
          const { scope } = current
          current = yield* begin
          yield* Scope.close(scope, Exit.void)
        }).pipe(Effect.uninterruptible)
      },
      serve
    }
  })

  return start
})
