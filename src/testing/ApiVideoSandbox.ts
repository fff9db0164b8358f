/**
 * api.video on loopback: a real HTTP server that behaves as api.video's documentation says, and worse on demand.
 *
 * For specs, examples and the command line. It needs `@effect/platform-node`; the client under test needs nothing but
 * its `url`. Nothing here talks to api.video.
 *
 * **Example** (Losing the answer to a refresh)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { ApiVideo, TokenService } from "effect-video-auth"
 * import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
 *
 * const token = Layer.unwrap(Effect.gen(function*() {
 *   const { url } = yield* ApiVideoSandbox.ApiVideoSandbox
 *   return ApiVideo.layerToken({ apiKey: Redacted.make("your_api_key"), baseUrl: url })
 * }))
 *
 * export const spec = Effect.gen(function*() {
 *   const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
 *   const tokens = yield* TokenService.TokenService
 *   yield* sandbox.inject({ on: "refresh", kind: { _tag: "DropAfter" } })
 *   yield* tokens.renew
 *   const { logins, refreshTokensSentTwice } = yield* sandbox.ledger
 *   return { logins, refreshTokensSentTwice } // 2 logins, and no refresh token sent twice
 * }).pipe(
 *   Effect.provide(token.pipe(Layer.provideMerge(ApiVideoSandbox.layer()), Layer.provide(FetchHttpClient.layer)))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NodeHttp from "node:http"
import * as SandboxFault from "./SandboxFault.ts"
import * as SandboxLedger from "./SandboxLedger.ts"
import * as SandboxProblem from "./SandboxProblem.ts"
import * as SandboxTokens from "./SandboxTokens.ts"
import * as SandboxVideos from "./SandboxVideos.ts"

export {
  /** See `SandboxFault`. */
  type Fault,
  /** See `SandboxFault`. */
  FaultKind
} from "./SandboxFault.ts"
export {
  /** See `SandboxLedger`. */
  type Entry,
  /** See `SandboxLedger`. */
  type Ledger
} from "./SandboxLedger.ts"

/** Requests per `rateLimitWindow` and class; `Infinity` is no limit and sends no headers. */
export interface RateLimits {
  /** `POST /videos/{videoId}/source` and `POST /upload`. */
  readonly uploads: number
  /** Every other method but GET and HEAD. */
  readonly writes: number
  readonly reads: number
}

/** The limits per minute that api.video documents ("Limitation"). */
export const documentedRateLimits: { readonly [E in "sandbox" | "production"]: RateLimits } = {
  sandbox: { uploads: 40, writes: 40, reads: 100 },
  production: { uploads: 100, writes: 200, reads: 500 }
}

/** For tests that send more than the documented limits allow. */
export const noRateLimits: RateLimits = { uploads: Infinity, writes: Infinity, reads: Infinity }

/** How the server behaves; everything can be changed while it runs, see `configure`. */
export interface Behaviour {
  /** Default 3600 seconds (api.video documentation, "Authentication steps"). Applies to tokens issued from then on. */
  readonly accessTokenLifetime: Duration.Input
  /** A refresh kills the access tokens of its login at once. Default false: the documentation does not say so. */
  readonly revokesAccessTokenOnRefresh: boolean
  /** A refresh token sent again revokes everything that its login led to. Default true: the worse case, undocumented. */
  readonly detectsRefreshTokenReuse: boolean
  /** A login kills earlier refresh tokens of its key. Default true (documentation, "Authentication and refresh tokens"). */
  readonly loginSupersedesRefreshToken: boolean
  /** A refresh answers with a new refresh token and spends the old one. Default true (documented as above). */
  readonly rotatesRefreshToken: boolean
  /** Answers carry no refresh token, and a refresh does not spend the one sent. Default false. */
  readonly omitsRefreshToken: boolean
  /** Valid credentials get 403 `authorization-suspended-account` (documentation, errors). Default false. */
  readonly suspended: boolean
  /** How far the server's clock is ahead; negative is behind. Shows in `iat` and `exp`. Default 0. */
  readonly clockSkew: Duration.Input
  /** Default: `documentedRateLimits` of the environment. */
  readonly rateLimits: RateLimits
  /** Default 1 minute (documentation, "Limitation"). */
  readonly rateLimitWindow: Duration.Input
  /** Least size of a part but the last, in bytes. Default 5 MiB (documentation, progressive upload errors). */
  readonly minimumPartSize: number
}

/** What to build; every part of `Behaviour` can be set as well. */
export interface Options extends Partial<Behaviour> {
  /** Which documented limits apply. Default `sandbox`. */
  readonly environment?: "sandbox" | "production" | undefined
  /** Default 0: any free port. */
  readonly port?: number | undefined
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined
  /** Accepted keys. Default `defaultApiKeys`. */
  readonly apiKeys?: ReadonlyArray<string> | undefined
  /** Keys of the other environment: 401 `authentication-invalid-api-key` (documentation, basic authentication). */
  readonly otherEnvironmentKeys?: ReadonlyArray<string> | undefined
}

/** The keys that api.video's own examples are written with, so that they run word for word. */
export const defaultApiKeys: ReadonlyArray<string> = [
  "your_api_key",
  "your API key here",
  "your api key here",
  "apiKey_example",
  "ApiKey_example",
  "YOUR_API_KEY",
  "YOUR_API_TOKEN",
  "YOU_SANDBOX_API_TOKEN"
]

/** The running server. Its time is the Clock that the layer was built with: under `TestClock`, the test's. */
export class ApiVideoSandbox extends Context.Service<
  ApiVideoSandbox,
  {
    /** `http://127.0.0.1:PORT`, without a slash at the end. */
    readonly url: string
    /** What the server has seen until now, free of secrets. */
    readonly ledger: Effect.Effect<SandboxLedger.Ledger>
    /** Changes the given switches and keeps the others. */
    readonly configure: (behaviour: Partial<Behaviour>) => Effect.Effect<void>
    /** Queues a fault; faults are served in order, one per matching request. */
    readonly inject: (fault: SandboxFault.Fault) => Effect.Effect<void>
    /** Drops the faults not served yet. */
    readonly clearFaults: Effect.Effect<void>
    /** From now on every access token issued so far gets 401 `authentication-invalid-access-token`. */
    readonly revokeAccessTokens: Effect.Effect<void>
    /** From now on every refresh token issued so far gets 400 `authentication-invalid-user-credentials`. */
    readonly revokeRefreshTokens: Effect.Effect<void>
    /** As `revokeAccessTokens`, since expired and revoked look the same; not counted in `expiredTokensReceived`. */
    readonly expireAccessTokens: Effect.Effect<void>
    /** Accepts one more key. */
    readonly addKey: (key: string) => Effect.Effect<void>
    /** Refuses a key and its refresh tokens; access tokens live on until they expire. */
    readonly removeKey: (key: string) => Effect.Effect<void>
  }
>()("effect-video-auth/testing/ApiVideoSandbox") {}

type Settings = SandboxTokens.Settings & {
  readonly rateLimits: RateLimits
  readonly rateLimitWindow: number
  readonly minimumPartSize: number
}

const millis = (input: Duration.Input) => Duration.toMillis(Duration.fromInputUnsafe(input))

const resolve = (options: Options): Settings => ({
  accessTokenLifetime: millis(options.accessTokenLifetime ?? "3600 seconds"),
  revokesAccessTokenOnRefresh: options.revokesAccessTokenOnRefresh ?? false,
  detectsRefreshTokenReuse: options.detectsRefreshTokenReuse ?? true,
  loginSupersedesRefreshToken: options.loginSupersedesRefreshToken ?? true,
  rotatesRefreshToken: options.rotatesRefreshToken ?? true,
  omitsRefreshToken: options.omitsRefreshToken ?? false,
  suspended: options.suspended ?? false,
  clockSkew: millis(options.clockSkew ?? 0),
  rateLimits: options.rateLimits ?? documentedRateLimits[options.environment ?? "sandbox"],
  rateLimitWindow: millis(options.rateLimitWindow ?? "1 minute"),
  minimumPartSize: options.minimumPartSize ?? 5 * 1024 * 1024
})

type Answer = HttpServerResponse.HttpServerResponse
type Handler = (
  request: HttpServerRequest.HttpServerRequest,
  params: Readonly<Record<string, string | undefined>>
) => Effect.Effect<Answer> | Answer
type RateClass = keyof RateLimits

const run = (answer: Effect.Effect<Answer> | Answer): Effect.Effect<Answer> =>
  Effect.isEffect(answer) ? answer : Effect.succeed(answer)

const makeRateLimiter = (settings: () => Settings, now: () => number) => {
  let start = Number.NEGATIVE_INFINITY
  let used: { [C in RateClass]: number } = { uploads: 0, writes: 0, reads: 0 }
  const turn = () => {
    if (now() < start + settings().rateLimitWindow) return
    start = now()
    used = { uploads: 0, writes: 0, reads: 0 }
  }
  return {
    /** Counts a request; false when there is none left. */
    take: (rateClass: RateClass): boolean => {
      turn()
      if (used[rateClass] >= settings().rateLimits[rateClass]) return false
      used[rateClass]++
      return true
    },
    headers: (rateClass: RateClass): Record<string, string> => {
      turn()
      const limit = settings().rateLimits[rateClass]
      if (!Number.isFinite(limit)) return {}
      return {
        "x-ratelimit-limit": String(limit),
        "x-ratelimit-remaining": String(Math.max(0, limit - used[rateClass])),
        "x-ratelimit-retry-after": String(Math.ceil((start + settings().rateLimitWindow - now()) / 1000))
      }
    }
  }
}

const classOf = (method: string, path: string): RateClass =>
  method === "GET" || method === "HEAD"
    ? "reads"
    : method === "POST" && (path === "/upload" || path.endsWith("/source"))
      ? "uploads"
      : "writes"

const targetOf = (method: string, path: string) =>
  method === "POST" && path === "/auth/api-key"
    ? "login"
    : method === "POST" && path === "/auth/refresh"
      ? "refresh"
      : "api"

// Any origin: a browser under test is never on the sandbox's own.
const corsHeaders = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Retry-After"
}

const preflight = (request: HttpServerRequest.HttpServerRequest): Answer =>
  HttpServerResponse.empty({
    headers: {
      ...corsHeaders,
      "access-control-allow-methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
      // "*" would not cover Authorization (Fetch standard), so what is asked for is allowed by name.
      "access-control-allow-headers":
        request.headers["access-control-request-headers"] ?? "Authorization, Content-Type",
      "access-control-max-age": "600"
    }
  })

const exchange =
  (
    field: "apiKey" | "refreshToken",
    issue: (credential: string) => Effect.Effect<SandboxTokens.TokenBody | SandboxProblem.Slug>
  ): Handler =>
  (request) =>
    Effect.flatMap(SandboxVideos.jsonBody(request), (body) => {
      const credential = body?.[field]
      if (body === undefined) return Effect.succeed(SandboxProblem.response("invalid-payload"))
      if (credential === undefined || credential === "") {
        return Effect.succeed(SandboxProblem.response("attribute-required", { name: field }))
      }
      if (typeof credential !== "string") {
        return Effect.succeed(
          SandboxProblem.response("invalid-attribute", { name: field, title: "This attribute must be a string." })
        )
      }
      return Effect.map(issue(credential), (issued) =>
        typeof issued !== "string"
          ? HttpServerResponse.jsonUnsafe(issued)
          : SandboxProblem.response(
              issued,
              // The documented body has an empty name here (api.video OpenAPI, POST_auth-api-key).
              issued === "authentication-invalid-user-credentials" ? { name: "" } : {}
            )
      )
    })

const make = Effect.fnUntraced(function* (options: Options) {
  const clock = yield* Clock.Clock
  const host = options.host ?? "127.0.0.1"
  let behaviour: Options = options
  let settings = resolve(options)
  const now = () => clock.currentTimeMillisUnsafe()

  const nodeServer = NodeHttp.createServer()
  const server = yield* NodeHttpServer.make(() => nodeServer, {
    host,
    port: options.port ?? 0,
    disablePreemptiveShutdown: true
  })
  const address = server.address
  const port = "port" in address ? address.port : 0
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`

  const ledger = SandboxLedger.make()
  const faults = SandboxFault.makeQueue()
  const limiter = makeRateLimiter(() => settings, now)
  const tokens = SandboxTokens.make({
    apiKeys: options.apiKeys ?? defaultApiKeys,
    otherEnvironmentKeys: options.otherEnvironmentKeys ?? [],
    settings: () => settings,
    serverTime: () => now() + settings.clockSkew,
    ledger
  })
  const videos = SandboxVideos.make({
    origin: url,
    now,
    minimumPartSize: () => settings.minimumPartSize,
    conceal: ledger.conceal
  })

  const limited = (
    rateClass: RateClass,
    refusal: SandboxProblem.Slug | undefined,
    answer: () => ReturnType<Handler>
  ) => {
    const refused = refusal ?? (limiter.take(rateClass) ? undefined : "too-many-requests")
    return Effect.map(
      refused === undefined ? run(answer()) : Effect.succeed(SandboxProblem.response(refused)),
      (response) => HttpServerResponse.setHeaders(response, limiter.headers(rateClass))
    )
  }

  const suspension = () => (settings.suspended ? "authorization-suspended-account" : undefined)

  /** A handler behind Basic or Bearer and the limit of its class. */
  const api =
    (handler: Handler): Handler =>
    (request, params) => {
      const { refusal } = tokens.verify(request.headers["authorization"])
      return limited(classOf(request.method, pathOf(request)), refusal ?? suspension(), () => handler(request, params))
    }

  const withBody = (handler: (body: Readonly<Record<string, unknown>> | undefined, id: string) => Answer): Handler =>
    api((request, params) => Effect.map(SandboxVideos.jsonBody(request), (body) => handler(body, params["id"] ?? "")))
  const withId = (
    handler: (id: string, request: HttpServerRequest.HttpServerRequest) => ReturnType<Handler>
  ): Handler => api((request, params) => handler(params["id"] ?? "", request))

  const routes: { readonly [Path in `/${string}`]: Readonly<Record<string, Handler>> } = {
    "/auth/api-key": { POST: exchange("apiKey", tokens.login) },
    "/auth/refresh": { POST: exchange("refreshToken", tokens.refresh) },
    "/videos": { GET: api(videos.list), POST: withBody(videos.create) },
    "/videos/:id": {
      GET: withId(videos.get),
      PATCH: withBody((body, id) => videos.update(id, body)),
      DELETE: withId(videos.delete)
    },
    "/videos/:id/source": { POST: withId(videos.source) },
    "/upload-tokens": { GET: api(videos.listUploadTokens), POST: withBody(videos.createUploadToken) },
    "/upload-tokens/:id": { GET: withId(videos.getUploadToken), DELETE: withId(videos.deleteUploadToken) },
    // The upload token alone decides here; an Authorization header is not looked at (api.video OpenAPI, security: []).
    "/upload": {
      POST: (request) => limited("uploads", videos.uploadRefusal(request) ?? suspension(), () => videos.upload(request))
    }
  }

  const unroutable = (request: HttpServerRequest.HttpServerRequest, slug: SandboxProblem.Slug): Answer => {
    const path = pathOf(request)
    return HttpServerResponse.setHeaders(
      SandboxProblem.response(slug),
      path.startsWith("/auth/") ? {} : limiter.headers(classOf(request.method, path))
    )
  }

  const router = yield* HttpRouter.make
  for (const [path, methods] of Object.entries(routes)) {
    if (!path.startsWith("/")) continue
    yield* router.add(
      "*",
      `/${path.slice(1)}`,
      (request) =>
        Effect.flatMap(HttpRouter.params, (params) => {
          const handler = methods[request.method === "HEAD" ? "GET" : request.method]
          return run(handler === undefined ? unroutable(request, "method-not-allowed") : handler(request, params))
        }),
      { uninterruptible: true }
    )
  }
  const routed = router.asHttpEffect()

  /** The regular answer. A client that leaves does not divide it: real servers finish what they began. */
  const process = (request: HttpServerRequest.HttpServerRequest) =>
    routed.pipe(
      Effect.orElseSucceed(() => unroutable(request, "unrecognized-request-url")),
      Effect.provideService(HttpServerRequest.HttpServerRequest, request),
      Effect.scoped,
      Effect.uninterruptible
    )

  const arrive = (request: HttpServerRequest.HttpServerRequest) => {
    const { headers, method } = request
    const target = targetOf(method, pathOf(request))
    const { credential, expired } = tokens.verify(headers["authorization"])
    const query = new URL(request.url, url).searchParams
    for (const value of query.values()) ledger.conceal(value)
    const entry: SandboxLedger.OpenEntry = {
      at: now(),
      method,
      path: ledger.scrub(pathOf(request).replace(/^\/upload-tokens\/.+/, "/upload-tokens/{uploadToken}")),
      query: [...query.keys()].map(ledger.scrub),
      status: undefined,
      fault: undefined,
      credential,
      hadAuthorization: headers["authorization"] !== undefined,
      headers: Object.fromEntries(
        SandboxLedger.recordedHeaders.flatMap((name) => {
          const value = headers[name]
          return value === undefined ? [] : [[name, ledger.scrub(value)]]
        })
      )
    }
    ledger.open(entry)
    if (target === "login") ledger.counts.logins++
    else if (target === "refresh") ledger.counts.refreshes++
    else if (method !== "OPTIONS") {
      ledger.counts.requests++
      if (expired) ledger.counts.expiredTokensReceived++
    }
    return { entry, target } as const
  }

  const answer = Effect.fnUntraced(function* (
    request: HttpServerRequest.HttpServerRequest,
    { entry, target }: ReturnType<typeof arrive>
  ) {
    // The whole body first, so that a fault can tell "received" from "never arrived".
    const text = yield* Effect.orElseSucceed(request.text, () => undefined)
    if (text === undefined) return SandboxProblem.response("uploaded-file-too-large")
    if (target !== "api") {
      const body = yield* SandboxVideos.jsonBody(request)
      const credential = body?.[target === "login" ? "apiKey" : "refreshToken"]
      if (typeof credential === "string") tokens.noteCredential(target, credential)
    }
    const kind = faults.take(target, request.method, pathOf(request))
    if (kind === undefined) return yield* process(request)
    const { _tag: fault } = kind
    entry.fault = fault
    return yield* SandboxFault.serve(kind, {
      process: process(request),
      body: text,
      destroy: Effect.sync(() => NodeHttpServerRequest.toIncomingMessage(request).socket.destroy())
    })
  })

  const app = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const arrival = arrive(request)
    const { entry, target } = arrival
    if (request.method === "OPTIONS") {
      ledger.answered(entry, 204)
      return preflight(request)
    }
    if (target !== "api") ledger.exchangeStarted()
    const response = yield* Effect.ensuring(
      Effect.interruptible(answer(request, arrival)),
      Effect.sync(() => {
        if (target !== "api") ledger.exchangeEnded()
      })
    )
    if (response === undefined) return HttpServerResponse.empty()
    ledger.answered(entry, response.status)
    if (response.status === 401 && target === "api") ledger.counts.unauthorized++
    return HttpServerResponse.setHeaders(response, corsHeaders)
  }).pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(SandboxVideos.maximumBodySize)))

  // A server that runs in the program's own process must not show up in the program's traces.
  yield* Effect.provideService(server.serve(app), HttpMiddleware.TracerDisabledWhen, () => true)
  // Last in, first out: connections end here, before the server waits for them, with or without answers due.
  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      nodeServer.close(() => resume(Effect.void))
      nodeServer.closeAllConnections()
    })
  )

  return ApiVideoSandbox.of({
    url,
    ledger: Effect.sync(ledger.snapshot),
    configure: (changes) =>
      Effect.sync(() => {
        behaviour = { ...behaviour, ...changes }
        settings = resolve(behaviour)
      }),
    inject: (fault) => Effect.sync(() => faults.add(fault)),
    clearFaults: Effect.sync(faults.clear),
    revokeAccessTokens: Effect.sync(tokens.killAccessTokens),
    revokeRefreshTokens: Effect.sync(tokens.killRefreshTokens),
    expireAccessTokens: Effect.sync(tokens.killAccessTokens),
    addKey: (key) => Effect.sync(() => tokens.addKey(key)),
    removeKey: (key) => Effect.sync(() => tokens.removeKey(key))
  })
})

const pathOf = (request: HttpServerRequest.HttpServerRequest): string => {
  const end = request.url.search(/[?#]/)
  return end < 0 ? request.url : request.url.slice(0, end)
}

/** Starts a sandbox; it ends with the layer's scope, at once, whatever is still unanswered. Fails if the port is taken. */
export const layer = (options: Options = {}): Layer.Layer<ApiVideoSandbox, HttpServerError.ServeError> =>
  Layer.effect(ApiVideoSandbox, make(options))
