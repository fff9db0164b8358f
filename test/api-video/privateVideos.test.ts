/**
 * Sessions of private videos, on a server that knows private tokens: each works once, and no other credential may arrive.
 */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Fiber, Layer, Redacted } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { ApiVideo, PrivateVideos, Videos } from "effect-video-auth/api-video"
import { TokenService } from "effect-video-auth"
import type { IncomingHttpHeaders } from "node:http"
import { inspect } from "node:util"
import { listen } from "../support/listen.ts"

interface Stage {
  readonly url: string
  /** Requests to the delivery server: path with query, and headers. */
  readonly delivered: Array<{ readonly url: string; readonly headers: IncomingHttpHeaders }>
  /** How many times the video was requested. */
  gets: number
  /** Spoils the next sessions: their private token is spent, and the response has this status; 0: the connection breaks. */
  readonly spoilt: Array<number>
}

/** api.video and its delivery server, with one private video and one public. */
const stage = Effect.gen(function* () {
  const { serve, url } = yield* listen
  const tokens = new Set<string>()
  const state: Stage = { url, delivered: [], gets: 0, spoilt: [] }
  const below = (videoId: string, path: string) => ({
    iframe: `<iframe src="${url}/embed/${videoId}${path === "" ? "" : `?token=${path}`}" width="100%"></iframe>`,
    player: `${url}/embed/${videoId}${path === "" ? "" : `?token=${path}`}`,
    hls: `${url}/vod/${videoId}${path === "" ? "" : `/token/${path}`}/hls/manifest.m3u8`,
    thumbnail: `${url}/vod/${videoId}${path === "" ? "" : `/token/${path}`}/thumbnail.jpg`
  })
  serve((request, response) => {
    const { headers, url: path = "" } = request
    const json = (status: number, body: unknown) =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
    if (path.startsWith("/videos/")) {
      state.gets++
      const videoId = path.slice("/videos/".length)
      if (videoId === "public") return json(200, { videoId, public: true, assets: below(videoId, "") })
      const token = `PRIVATE-${state.gets}`
      tokens.add(token)
      return json(200, { videoId, public: false, assets: below(videoId, token) })
    }
    state.delivered.push({ url: path, headers })
    const token = /\/token\/([^/]+)\/session$/.exec(path)?.[1] ?? ""
    if (!tokens.delete(token)) return json(404, {})
    const spoilt = state.spoilt.shift()
    if (spoilt === 0) return void request.socket.destroy()
    return spoilt === undefined ? json(200, { session_token: `SESSION of ${token}` }) : json(spoilt, {})
  })
  return state
})

const test = <A, E>(
  name: string,
  body: (state: Stage) => Effect.Effect<A, E, ApiVideo.ApiVideo | HttpClient.HttpClient>
) =>
  it.effect(name, () =>
    Effect.gen(function* () {
      const state = yield* stage
      const client = ApiVideo.layerClient({ baseUrl: state.url }).pipe(
        Layer.provide(TokenService.layerTest(["the-bearer-token"])),
        Layer.provideMerge(FetchHttpClient.layer)
      )
      return yield* Effect.provide(body(state), client)
    })
  )

const urls = (assets: PrivateVideos.Session["assets"]) =>
  Object.fromEntries(Object.entries(assets).map(([name, asset]) => [name, Redacted.value(asset)]))

describe("PrivateVideos.session", () => {
  test("makes URLs of all assets, for 24 hours, and sends no bearer token", ({ delivered, url }: Stage) =>
    Effect.gen(function* () {
      const { assets, expiresAt, sessionToken, videoId } = yield* PrivateVideos.session("vi1")
      assert.strictEqual(videoId, "vi1")
      assert.strictEqual(Redacted.value(sessionToken), "SESSION of PRIVATE-1")
      assert.strictEqual(DateTime.toEpochMillis(expiresAt), Duration.toMillis("24 hours"))
      assert.deepStrictEqual(urls(assets), {
        hls: `${url}/vod/vi1/token/PRIVATE-1/hls/manifest.m3u8?avh=SESSION%20of%20PRIVATE-1`,
        thumbnail: `${url}/vod/vi1/token/PRIVATE-1/thumbnail.jpg?avh=SESSION%20of%20PRIVATE-1`,
        player: `${url}/embed/vi1?token=PRIVATE-1&avh=SESSION%20of%20PRIVATE-1`,
        iframe: `<iframe src="${url}/embed/vi1?token=PRIVATE-1&amp;avh=SESSION%20of%20PRIVATE-1" width="100%"></iframe>`
      })
      assert.deepStrictEqual(
        delivered.map(({ url }) => url),
        ["/vod/vi1/token/PRIVATE-1/session"]
      )
      // The delivery server is on the API's own origin here, and still gets none.
      for (const { headers } of delivered) {
        assert.notProperty(headers, "authorization")
        assert.notProperty(headers, "traceparent")
        assert.notInclude(JSON.stringify(headers), "the-bearer-token")
      }
    }))

  test("shows no token of a video or a session", () =>
    Effect.gen(function* () {
      const session = yield* PrivateVideos.session("vi1")
      const video = yield* Videos.get("vi1")
      for (const text of [inspect([session, video], { depth: 9 }), JSON.stringify([session, video])]) {
        assert.notMatch(text, /PRIVATE|SESSION/)
      }
      assert.isTrue(Redacted.isRedacted(video.assets?.hls))
      assert.match(String((yield* Videos.get("public")).assets?.hls), /\/vod\/public\/hls\/manifest\.m3u8$/)
    }))

  for (const spoilt of [[404], [503, 404], [0]]) {
    test(`gets another private token after ${spoilt.join(" and ")}`, (state) =>
      Effect.gen(function* () {
        state.spoilt.push(...spoilt)
        const fiber = yield* Effect.forkChild(PrivateVideos.session("vi1"))
        while (state.delivered.length <= spoilt.length) {
          yield* TestClock.adjust("1 second")
          yield* Effect.promise(() => new Promise(setImmediate))
        }
        const { sessionToken } = yield* Fiber.join(fiber)
        assert.strictEqual(Redacted.value(sessionToken), `SESSION of PRIVATE-${spoilt.length + 1}`)
        assert.strictEqual(state.gets, spoilt.length + 1)
      }))
  }

  test("gives up after three private tokens, and says what the last response was", (state) =>
    Effect.gen(function* () {
      state.spoilt.push(404, 500, 404, 404)
      const fiber = yield* Effect.forkChild(Effect.flip(PrivateVideos.session("vi1")))
      while (state.delivered.length < 3) {
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise(setImmediate))
      }
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "SessionUnavailable")
      assert.strictEqual(error.status, 404)
      assert.strictEqual(error.message, "vi1: no session for the private video: status 404. Try again later")
      assert.strictEqual(state.gets, 3)
      assert.notInclude(inspect(error), "PRIVATE")
    }))

  test("fails at once if the video is public", (state) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(PrivateVideos.session("public"))
      assert.strictEqual(error._tag, "VideoNotPrivate")
      assert.deepStrictEqual([state.gets, state.delivered], [1, []])
    }))
})

describe("PrivateVideos.makeSessions", () => {
  test("shares a session, and renews it with a new private token before it ends", (state) =>
    Effect.gen(function* () {
      const sessions = yield* PrivateVideos.makeSessions({ minimumValidity: "4 hours" })
      const tokenOf = Effect.map(sessions.get("vi1"), ({ sessionToken }) => Redacted.value(sessionToken))
      const both = yield* Effect.all([tokenOf, tokenOf], { concurrency: "unbounded" })
      assert.deepStrictEqual(both, ["SESSION of PRIVATE-1", "SESSION of PRIVATE-1"])
      yield* TestClock.adjust(Duration.subtract(Duration.hours(20), Duration.millis(1)))
      assert.strictEqual(yield* tokenOf, "SESSION of PRIVATE-1")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* tokenOf, "SESSION of PRIVATE-2")
      const renewed = yield* sessions.renew("vi1")
      assert.strictEqual(Redacted.value(renewed.sessionToken), "SESSION of PRIVATE-3")
      assert.strictEqual(yield* tokenOf, "SESSION of PRIVATE-3")
      assert.strictEqual(state.gets, 3)
    }))

  test("does not keep a failure", (state) =>
    Effect.gen(function* () {
      const sessions = yield* PrivateVideos.makeSessions()
      assert.strictEqual((yield* Effect.flip(sessions.get("public")))._tag, "VideoNotPrivate")
      assert.strictEqual((yield* Effect.flip(sessions.get("public")))._tag, "VideoNotPrivate")
      assert.strictEqual(state.gets, 2)
    }))
})
