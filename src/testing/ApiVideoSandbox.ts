/**
 * api.video on loopback: a real HTTP server that behaves as api.video's documents say, and worse on demand.
 *
 * Use it in specs, in examples and on the command line. It needs `@effect/platform-node`; the client under test needs only its
 * `url`. Nothing here talks to api.video.
 *
 * **Example** (Losing the response to a refresh)
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
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { isUpload, type Route } from "../api-video/shared/route.ts"
import { notSimulated } from "./internal/reply.ts"
import * as assets from "./internal/assets.ts"
import * as resources from "./internal/resources.ts"
import type { ResourceSettings } from "./internal/world.ts"
import * as SandboxControl from "./SandboxControl.ts"
import * as SandboxDelivery from "./SandboxDelivery.ts"
import * as SandboxFault from "./SandboxFault.ts"
import * as SandboxKeys from "./SandboxKeys.ts"
import type * as SandboxLedger from "./SandboxLedger.ts"
import * as SandboxProblem from "./SandboxProblem.ts"
import * as SandboxRateLimiter from "./SandboxRateLimiter.ts"
import { type Answer, jsonBody, pathOf, queryOf, run } from "./SandboxRequest.ts"
import * as SandboxServer from "./SandboxServer.ts"
import * as SandboxTokens from "./SandboxTokens.ts"

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

/** Requests per `rateLimitWindow` and class. `Infinity` means no limit, and no headers. */
export interface RateLimits {
  /** `POST /videos/{videoId}/source` and `POST /upload`. */
  readonly uploads: number
  /** Every other request except GET and HEAD. */
  readonly writes: number
  readonly reads: number
}

/** The limits per minute that api.video documents ("Limitation"). */
export const documentedRateLimits: { readonly [E in "sandbox" | "production"]: RateLimits } = {
  sandbox: { uploads: 40, writes: 40, reads: 100 },
  production: { uploads: 100, writes: 200, reads: 500 }
}

/** No limits, for tests that send more than the documented limits allow. */
export const noRateLimits: RateLimits = { uploads: Infinity, writes: Infinity, reads: Infinity }

/** The behaviour of the server. `configure` changes it while the server runs. */
export interface Behaviour {
  /** Default 3600 seconds (api.video documentation, "Authentication steps"). Applies to tokens issued from then on. */
  readonly accessTokenLifetime: Duration.Input
  /** Whether a refresh ends the access tokens of its login at once. Default false: the documents do not say so. */
  readonly revokesAccessTokenOnRefresh: boolean
  /** Whether a refresh token that is sent again revokes everything of its login. Default true: the worse case, undocumented. */
  readonly detectsRefreshTokenReuse: boolean
  /** Whether a login ends earlier refresh tokens of its key. Default true (documentation, "Authentication and refresh tokens"). */
  readonly loginSupersedesRefreshToken: boolean
  /** Whether a refresh returns a new refresh token and ends the old one. Default true (documented as above). */
  readonly rotatesRefreshToken: boolean
  /** Whether responses have no refresh token, and a refresh does not end the one sent. Default false. */
  readonly omitsRefreshToken: boolean
  /** Whether valid credentials get 403 `authorization-suspended-account` (documentation, errors). Default false. */
  readonly suspended: boolean
  /** How far the server's clock is ahead; negative is behind. Shows in `iat` and `exp`. Default 0. */
  readonly clockSkew: Duration.Input
  /** Default: `documentedRateLimits` of the environment. */
  readonly rateLimits: RateLimits
  /** Default 1 minute (documentation, "Limitation"). */
  readonly rateLimitWindow: Duration.Input
  /** Minimum size of every part except the last, in bytes. Default 5 MiB (documentation, progressive upload errors). */
  readonly minimumPartSize: number
  /**
   * From the end of an upload until all qualities are encoded: they wait, then they are encoded one after the other.
   * Generated captions and summaries take as long again. Default 0: a video can be played at once.
   */
  readonly encodingTime: Duration.Input
  /** From the creation of a video with a `source` until it is ingested. Nothing is downloaded. Default 0. */
  readonly ingestTime: Duration.Input
  /** Whether the encoding of sources that arrive from now on fails. Default false. */
  readonly failsEncoding: boolean
  /**
   * Whether the account has Video Restore, so that a deleted video is discarded and can be restored for 90 days. Default
   * false (api.video OpenAPI, `DELETE-video`).
   */
  readonly videoRestore: boolean
}

/** Options of the server. Every member of `Behaviour` is one as well. */
export interface Options extends Partial<Behaviour>, SandboxServer.Setup {
  /** Which documented limits apply. Default `sandbox`. */
  readonly environment?: "sandbox" | "production" | undefined
  /** Accepted keys. Default `defaultApiKeys`. */
  readonly apiKeys?: ReadonlyArray<string> | undefined
  /** Keys of the other environment: 401 `authentication-invalid-api-key` (documentation, basic authentication). */
  readonly otherEnvironmentKeys?: ReadonlyArray<string> | undefined
  /** Where webhooks may be: `anywhere`, or by default on this machine only. The others are recorded, and get nothing. */
  readonly webhooks?: "anywhere" | "loopback" | undefined
  /** Runs after each attempt to deliver an event to a webhook. */
  readonly onDelivery?: ((delivery: SandboxDelivery.Delivery) => Effect.Effect<void>) | undefined
}

/** The keys in api.video's own examples, so that these run word for word. */
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

/** The running server. Its clock is the one that the layer was built with: under `TestClock`, the test's. */
export class ApiVideoSandbox extends Context.Service<
  ApiVideoSandbox,
  SandboxControl.Controls<SandboxLedger.Ledger, Behaviour> & {
    /** Does the same as `revokeAccessTokens`, because expired and revoked look the same. Not counted in `expiredTokensReceived`. */
    readonly expireAccessTokens: Effect.Effect<void>
    /** The attempts to deliver events to webhooks until now. */
    readonly deliveries: Effect.Effect<ReadonlyArray<SandboxDelivery.Delivery>>
    /** Accepts another key. */
    readonly addKey: (key: string) => Effect.Effect<void>
    /** Refuses a key and its refresh tokens. Its access tokens stay valid until they expire. */
    readonly removeKey: (key: string) => Effect.Effect<void>
    /** Begins to broadcast a live stream, as a streamer does. False: there is no such live stream. */
    readonly startLiveStream: (liveStreamId: string) => Effect.Effect<boolean>
    /** Ends the broadcast of a live stream; its recording becomes a video. False: there is no such live stream. */
    readonly stopLiveStream: (liveStreamId: string) => Effect.Effect<boolean>
  }
>()("effect-video-auth/testing/ApiVideoSandbox") {}

type Settings = SandboxKeys.Settings &
  ResourceSettings & {
    readonly rateLimits: RateLimits
    readonly rateLimitWindow: Duration.Duration
  }

const tokenDefaults: SandboxTokens.Settings = {
  accessTokenLifetime: 3_600_000,
  // No lifetime is documented.
  refreshTokenLifetime: Infinity,
  revokesAccessTokenOnRefresh: false,
  detectsRefreshTokenReuse: true,
  loginSupersedesRefreshToken: true,
  rotatesRefreshToken: true,
  omitsRefreshToken: false,
  clockSkew: 0
}

const resolve = (options: Options): Settings => ({
  ...SandboxTokens.resolve(options, tokenDefaults),
  suspended: options.suspended ?? false,
  rateLimits: options.rateLimits ?? documentedRateLimits[options.environment ?? "sandbox"],
  rateLimitWindow: Duration.fromInputUnsafe(options.rateLimitWindow ?? "1 minute"),
  minimumPartSize: options.minimumPartSize ?? 5 * 1024 * 1024,
  encodingTime: Duration.toMillis(options.encodingTime ?? 0),
  ingestTime: Duration.toMillis(options.ingestTime ?? 0),
  failsEncoding: options.failsEncoding ?? false,
  videoRestore: options.videoRestore ?? false
})

type Handler = SandboxServer.Handler
type RateClass = keyof RateLimits

const classOf = (method: string, path: string): RateClass =>
  method === "GET" || method === "HEAD"
    ? "reads"
    : method === "POST" && (path === "/upload" || path.endsWith("/source"))
      ? "uploads"
      : "writes"

const rateHeaders = ({ limit, remaining, reset }: SandboxRateLimiter.Standing) => ({
  "x-ratelimit-limit": String(limit),
  "x-ratelimit-remaining": String(remaining),
  "x-ratelimit-retry-after": String(reset)
})

const voice: SandboxFault.Voice = {
  rateLimited: (retryAfter) =>
    HttpServerResponse.setHeaders(
      SandboxProblem.response("too-many-requests"),
      rateHeaders({ limit: documentedRateLimits.sandbox.writes, remaining: 0, reset: retryAfter })
    ),
  echo: (status, body) => SandboxProblem.untyped({ title: `Cannot process ${body}`, detail: body, status }),
  page: (status) => SandboxFault.page(String(status), `Error ${status}`)
}

const exchange =
  (
    field: "apiKey" | "refreshToken",
    issue: (credential: string) => Effect.Effect<SandboxKeys.TokenBody, SandboxProblem.Slug>
  ): Handler =>
  (request) =>
    Effect.flatMap(jsonBody(request), (body) => {
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
      return Effect.match(issue(credential), {
        onSuccess: (issued) => HttpServerResponse.jsonUnsafe(issued),
        // The documented body has an empty name here (api.video OpenAPI, POST_auth-api-key).
        onFailure: (slug) =>
          SandboxProblem.response(slug, slug === "authentication-invalid-user-credentials" ? { name: "" } : {})
      })
    })

/** Largest body of one request: 200 MiB, and something for the multipart frame (api.video documentation, video upload). */
const maximumBodySize = 201 * 1024 * 1024

/** Whether an upload token is the credential. */
const isDelegated = (route: Route): boolean => isUpload(route) && route.uploadToken === true

/** How a seed calls what a module creates: `Videos.create` creates `videos`. */
const kindOf = (name: string): string => `${name.slice(0, 1).toLowerCase()}${name.slice(1).replace(/\..*/, "")}`

/** One start of the sandbox, with all of its state. */
const begin = Effect.fnUntraced(function* (options: Options, { ledger, now, url }: SandboxServer.Start) {
  const { configure, current: settings } = SandboxServer.makeSettings(options, resolve)

  const limiter = SandboxRateLimiter.make<RateClass>({
    limit: (rateClass) => settings().rateLimits[rateClass],
    window: () => settings().rateLimitWindow,
    now
  })
  const keys = SandboxKeys.make({
    apiKeys: options.apiKeys ?? defaultApiKeys,
    otherEnvironmentKeys: options.otherEnvironmentKeys ?? [],
    settings,
    serverTime: () => now() + settings().clockSkew,
    ledger
  })
  const runFork = yield* FiberSet.makeRuntime()
  const deliveries: Array<SandboxDelivery.Delivery> = []
  const { onDelivery = () => Effect.void, webhooks = "loopback" } = options
  const delivery = yield* SandboxDelivery.make({
    webhooksFor: (type) => state.webhooksFor(type),
    anywhere: webhooks === "anywhere",
    onDelivery: (attempt) => {
      deliveries.push(attempt)
      return onDelivery(attempt)
    }
  })
  const files = new Map<string, File>()
  const state = resources.make({
    origin: url,
    files,
    now,
    settings,
    conceal: ledger.conceal,
    emit: (event) => void runFork(delivery.emit(event)),
    at: (instant, action) => {
      const wait = instant - now()
      if (wait <= 0) action()
      else runFork(Effect.andThen(Effect.sleep(wait), Effect.sync(action)))
    }
  })

  const withLimit = (response: Answer, rateClass: RateClass): Answer => {
    const standing = limiter.standing(rateClass)
    return Number.isFinite(standing.limit) ? HttpServerResponse.setHeaders(response, rateHeaders(standing)) : response
  }

  const limited = (
    rateClass: RateClass,
    refusal: SandboxProblem.Slug | undefined,
    answer: () => ReturnType<Handler>
  ) => {
    const refused = refusal ?? (limiter.take(rateClass) ? undefined : "too-many-requests")
    return Effect.map(
      refused === undefined ? run(answer()) : Effect.succeed(SandboxProblem.response(refused)),
      (response) => withLimit(response, rateClass)
    )
  }

  const suspension = () => (settings().suspended ? "authorization-suspended-account" : undefined)

  /** A handler behind Basic or Bearer and the limit of its class. */
  const api =
    (handler: Handler): Handler =>
    (request, params) => {
      const { refusal } = keys.verify(request.headers["authorization"])
      return limited(classOf(request.method, pathOf(request)), refusal ?? suspension(), () => handler(request, params))
    }

  // The upload token alone decides here; an Authorization header is not looked at (api.video OpenAPI, security: []).
  const delegated =
    (handler: Handler): Handler =>
    (request, params) =>
      limited("uploads", state.uploadRefusal(queryOf(request).get("token")) ?? suspension(), () =>
        handler(request, params)
      )

  const routes: Record<`/${string}`, Record<string, Handler>> = {
    "/auth/api-key": { POST: exchange("apiKey", keys.login) },
    "/auth/refresh": { POST: exchange("refreshToken", keys.refresh) },
    ...assets.make({ ...state, files, now, conceal: ledger.conceal })
  }
  for (const { route, serve } of state.operations) {
    const methods = (routes[route.path] ??= {})
    methods[route.method] = isDelegated(route) ? delegated(serve) : api(serve)
  }
  const creators = Object.fromEntries(
    state.operations.flatMap(({ create, route: { method, name, path } }) =>
      method === "POST" && !path.includes(":") && name.endsWith(".create") ? [[kindOf(name), create] as const] : []
    )
  )

  const platform: SandboxServer.Platform<SandboxKeys.Verdict> = {
    routes,
    exchangeOf: (method, path) => {
      if (method !== "POST") return undefined
      return path === "/auth/api-key" ? "login" : path === "/auth/refresh" ? "refresh" : undefined
    },
    noteExchange: keys.noteExchange,
    judge: (request) => keys.verify(request.headers["authorization"]),
    isApi: (path) => !assets.owns(path),
    shownPath: (path) => assets.shownPath(path.replace(/^\/upload-tokens\/.+/, "/upload-tokens/{uploadToken}")),
    unroutable: (request) => {
      const name = `${request.method} ${pathOf(request)}`
      return notSimulated([{ name, what: "operation" }], name)
    },
    tooLarge: () => SandboxProblem.response("uploaded-file-too-large"),
    voice,
    maximumBodySize,
    exposedHeaders: ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Retry-After"]
  }

  return {
    platform,
    creators,
    controls: { configure, keys, ledger, deliveries, broadcast: state.broadcast }
  }
})

/** A command about one live stream. */
const broadcast = (name: string, about: string, run: (liveStreamId: string) => Effect.Effect<boolean>) =>
  SandboxControl.command({
    method: "POST",
    path: `/_sandbox/live-streams/${name}`,
    about,
    example: { liveStreamId: "li4pqNqGUkhKfWcBGpZVLRY5" },
    payload: Schema.Struct({ liveStreamId: Schema.String }),
    run: ({ liveStreamId }) =>
      Effect.flatMap(run(liveStreamId), (isThere) =>
        isThere ? Effect.void : Effect.fail([{ name: "liveStreamId", title: "There is no such live stream." }])
      )
  })

const make = Effect.fnUntraced(function* (options: Options) {
  const start = yield* SandboxServer.listen(options)
  const { controls, current, serve } = yield* start((given) => begin(options, given))
  const revokeAccessTokens = Effect.sync(() => current().keys.killAccessTokens())
  const sandbox = ApiVideoSandbox.of({
    ...controls,
    ledger: Effect.sync(() => current().ledger.snapshot()),
    deliveries: Effect.sync(() => [...current().deliveries]),
    configure: (behaviour) => Effect.suspend(() => current().configure(behaviour)),
    revokeAccessTokens,
    revokeRefreshTokens: Effect.sync(() => current().keys.killRefreshTokens()),
    expireAccessTokens: revokeAccessTokens,
    addKey: (key) => Effect.sync(() => current().keys.addKey(key)),
    removeKey: (key) => Effect.sync(() => current().keys.removeKey(key)),
    startLiveStream: (liveStreamId) => Effect.sync(() => current().broadcast(liveStreamId, true)),
    stopLiveStream: (liveStreamId) => Effect.sync(() => current().broadcast(liveStreamId, false))
  })
  yield* serve([
    ...SandboxControl.commands(sandbox),
    SandboxControl.command({
      method: "GET",
      path: "/_sandbox/deliveries",
      about: "Lists the attempts to deliver events to webhooks",
      payload: Schema.Struct({}),
      run: () => Effect.map(sandbox.deliveries, (data) => ({ data }))
    }),
    broadcast("start", "Begins to broadcast a live stream", sandbox.startLiveStream),
    broadcast("stop", "Ends the broadcast of a live stream, whose recording becomes a video", sandbox.stopLiveStream)
  ])
  return sandbox
})

/** Starts a sandbox. Closing the layer's scope ends it at once, with or without requests in flight. Fails if the port is taken. */
export const layer = (options: Options = {}): Layer.Layer<ApiVideoSandbox, HttpServerError.ServeError> =>
  Layer.effect(ApiVideoSandbox, make(options))
