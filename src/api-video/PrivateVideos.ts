/**
 * Private videos: URLs that play one for a day. api.video gives each response for a private video a private token, which
 * works once. A session turns it into a session token, which works for all assets of that video for 24 hours (api.video
 * documentation, "Private Video Session Tokens").
 *
 * **Example** (A page that plays a private video)
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { PrivateVideos } from "effect-video-auth/api-video"
 *
 * export const page = Effect.fn("page")(function* (videoId: string) {
 *   const { assets } = yield* PrivateVideos.session(videoId)
 *   return assets.mp4 === undefined ? "" : `<video controls src="${Redacted.value(assets.mp4)}"></video>`
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Cache from "effect/Cache"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { longest, readContent } from "../platform/shared/body.ts"
import { forCredentials } from "../platform/shared/http.ts"
import { isSecureOrigin } from "../platform/shared/origin.ts"
import type { ApiVideo, ClientError } from "./ApiVideoClient.ts"
import type { VideoAssets } from "./Video.ts"
import * as Videos from "./Videos.ts"

/**
 * The video is public, or has no asset yet: there is nothing to start a session with. Its URLs work as they are.
 *
 * @category errors
 * @since 0.1.0
 */
export class VideoNotPrivate extends Schema.TaggedError<VideoNotPrivate>()("VideoNotPrivate", {
  videoId: Schema.String
}) {
  readonly isRetryable = false
  override get message() {
    return `${this.videoId}: the video has no private URL. Use the URLs of its assets as they are`
  }
}

/**
 * The delivery server started no session, three times, each with a new private token.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionUnavailable extends Schema.TaggedError<SessionUnavailable>()("SessionUnavailable", {
  videoId: Schema.String,
  /** The status of the last response; missing without a response. 404 is a private token that was used or has expired. */
  status: Schema.optional(Schema.Finite),
  /** What was wrong with the last attempt. */
  problem: Schema.String
}) {
  readonly isRetryable = true
  override get message() {
    return `${this.videoId}: no session for the private video: ${this.problem}. Try again later`
  }
}

/**
 * Everything that starting a session can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type SessionError = ClientError | SessionUnavailable | VideoNotPrivate

/**
 * A session of a private video. Whoever has one of its URLs can watch the video until `expiresAt`, so they are redacted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session {
  readonly videoId: string
  /** 24 hours after the session was started. */
  readonly expiresAt: DateTime.Utc
  /** The parameter `avh` of the URLs. */
  readonly sessionToken: Redacted.Redacted
  /** URLs of the video with private token and session token, as far as the video has them. */
  readonly assets: { readonly [Name in keyof VideoAssets]?: Redacted.Redacted }
}

/** How long a session token lasts (api.video documentation, "Private Video Session Tokens"). */
const lifetime = /* @__PURE__ */ Duration.hours(24)

const textOf = (asset: string | Redacted.Redacted): string =>
  Redacted.isRedacted(asset) ? Redacted.value(asset) : asset

/** `https://vod.api.video/vod/{videoId}/token/{privateToken}` of any URL below it. */
const privateRoot = ({ hls, mp4, thumbnail }: VideoAssets): string | undefined => {
  for (const asset of [hls, mp4, thumbnail]) {
    const root = /^https?:\/\/[^?#]*?\/token\/[^/?#]+(?=\/)/.exec(asset === undefined ? "" : textOf(asset))?.[0]
    if (root !== undefined) return root
  }
  return undefined
}

const withSession = (url: string, token: string): string =>
  `${url}${url.includes("?") ? "&" : "?"}avh=${encodeURIComponent(token)}`

/** A URL, or the HTML of the iframe, whose URL is the value of `src`. */
const inSession = (name: string, asset: string, token: string): string =>
  name === "iframe"
    ? asset.replace(
        /(\ssrc=")([^"]+)/,
        (_, start: string, url: string) => start + withSession(url, token).replace(/&(?!amp;)/g, "&amp;")
      )
    : withSession(asset, token)

const decodeSession = /* @__PURE__ */ (() =>
  Schema.decodeUnknownResult(Schema.Struct({ session_token: Schema.NonEmptyString })))()

/** One attempt, with a private token of its own. */
const attempt = Effect.fnUntraced(function* (videoId: string) {
  const client = forCredentials(yield* HttpClient.HttpClient)
  const { assets = {} } = yield* Videos.get(videoId)
  const root = privateRoot(assets)
  if (root === undefined) return yield* new VideoNotPrivate({ videoId })
  const fail = (problem: string, status?: number) => new SessionUnavailable({ videoId, problem, status })
  if (!isSecureOrigin(root)) return yield* fail("its URL is neither https nor on loopback")
  const startedAt = yield* DateTime.now
  // The program's own client, which knows no bearer token. It must not repeat the request: the private token works once.
  const response = yield* Effect.mapError(client.get(`${root}/session`), ({ reason }) =>
    fail(`no response (${reason._tag})`, reason._tag === "StatusCodeError" ? reason.response.status : undefined)
  )
  const content = yield* readContent(response, { limit: longest.token, within: 30_000 })
  if (response.status !== 200) return yield* fail(`status ${response.status}`, response.status)
  if (content._tag === "Unread") return yield* fail(`the response ${content.problem}`, response.status)
  const decoded = decodeSession(content._tag === "Json" ? content.value : undefined)
  if (Result.isFailure(decoded)) return yield* fail("the response has no session_token", response.status)
  const { session_token: token } = decoded.success
  return {
    videoId,
    expiresAt: DateTime.addDuration(startedAt, lifetime),
    sessionToken: Redacted.make(token, { label: "sessionToken" }),
    assets: Object.fromEntries(
      Object.entries(assets).map(([name, asset]) => [
        name,
        Redacted.make(inSession(name, textOf(asset), token), { label: name })
      ])
    )
  } satisfies Session
})

/**
 * Starts a session of a private video: gets the video for a new private token, and exchanges it at `/session` on the
 * delivery server. That request carries no credential but the private token, so it goes through the `HttpClient` of the
 * context and not through `ApiVideo`.
 *
 * Makes up to three attempts, half a second and a second apart, each with a new `GET /videos/{videoId}`, because a private
 * token is spent even if the response is lost.
 *
 * @category sessions
 * @since 0.1.0
 */
export const session = (videoId: string): Effect.Effect<Session, SessionError, ApiVideo | HttpClient.HttpClient> =>
  attempt(videoId).pipe(
    Effect.retry({
      schedule: Schedule.exponential("500 millis"),
      times: 2,
      while: (error) => error._tag === "SessionUnavailable"
    }),
    Effect.withSpan("PrivateVideos.session")
  )

/**
 * Sessions of many videos, each started when it is first needed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sessions {
  /** The session of a video: the one that exists, or a new one. Callers at the same time share one. */
  readonly get: (videoId: string) => Effect.Effect<Session, SessionError>
  /** Starts a new session: after the video was made private again, or a URL was refused. */
  readonly renew: (videoId: string) => Effect.Effect<Session, SessionError>
}

/**
 * Options of {@link makeSessions}.
 *
 * @category options
 * @since 0.1.0
 */
export interface SessionsOptions {
  /** How many sessions are kept. @default 1000 */
  readonly capacity?: number | undefined
  /** How long a session that `get` returns lasts at least. @default 1 hour */
  readonly minimumValidity?: Duration.Input | undefined
}

/**
 * Makes a cache of sessions. It keeps `capacity` of them, and starts a new one when less than `minimumValidity` of one is
 * left. A failure is not kept.
 *
 * @category sessions
 * @since 0.1.0
 */
export const makeSessions = (
  options: SessionsOptions = {}
): Effect.Effect<Sessions, never, ApiVideo | HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const margin = Duration.fromInputUnsafe(options.minimumValidity ?? "1 hour")
    const cache = yield* Cache.makeWith(session, {
      capacity: options.capacity ?? 1000,
      timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.subtract(lifetime, margin) : Duration.zero)
    })
    return {
      get: (videoId) => Cache.get(cache, videoId),
      renew: (videoId) => Effect.andThen(Cache.invalidate(cache, videoId), Cache.get(cache, videoId))
    }
  })
