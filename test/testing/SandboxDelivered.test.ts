/**
 * What leaves the sandbox of api.video besides responses to the API: events for webhooks, and the assets of videos.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Queue, Redacted } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import {
  ApiVideo,
  Captions,
  Chapters,
  LiveStreams,
  PlayerThemes,
  PrivateVideos,
  Videos,
  Webhooks
} from "effect-video-auth/api-video"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { text } from "node:stream/consumers"
import { listen } from "../support/listen.ts"

/** Renews on demand: a jump of the test clock ends every exchange that a schedule would begin, since a socket takes real time. */
const policy = { whenIdle: "on-demand" } as const

const live = (options: ApiVideoSandbox.Options = {}) =>
  Layer.unwrap(
    Effect.map(ApiVideoSandbox.ApiVideoSandbox, ({ url }) =>
      ApiVideo.layer({ apiKey: Redacted.make("your_api_key"), baseUrl: url, policy })
    )
  ).pipe(Layer.provideMerge(ApiVideoSandbox.layer(options)), Layer.provideMerge(FetchHttpClient.layer))

describe("webhooks of the sandbox", () => {
  it.effect("get the events of their kind, signed with their secret", () =>
    Effect.gen(function* () {
      const { serve, url } = yield* listen
      const received = yield* Queue.unbounded<{ readonly body: string; readonly signature: string }>()
      serve(async (request, response) => {
        const signature = String(request.headers["x-api-video-signature"])
        Queue.offerUnsafe(received, { body: await text(request), signature })
        response.writeHead(202).end()
      })
      const delivered = yield* Queue.unbounded<string>()
      const program = Effect.gen(function* () {
        const events = ["live-stream.broadcast.started"] as const
        const { signatureSecret = Redacted.make("") } = yield* Webhooks.create({ events, url })
        yield* Webhooks.create({ events, url: "http://example.com/hook" })
        const { liveStreamId } = yield* LiveStreams.create({ name: "Live" })
        const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
        yield* sandbox.startLiveStream(liveStreamId)
        yield* sandbox.stopLiveStream(liveStreamId)
        const { body, signature } = yield* Queue.take(received)
        yield* Webhooks.verify({ secret: signatureSecret, body, signature })
        assert.deepInclude(yield* Webhooks.decodeEvent(body), { type: events[0], liveStreamId })
        assert.sameMembers(yield* Queue.takeN(delivered, 2), [`${url}/ 202`, "http://example.com/hook undefined"])
        assert.lengthOf(yield* sandbox.deliveries, 2)
        yield* sandbox.reset
        assert.lengthOf(yield* sandbox.deliveries, 0)
      })
      yield* Effect.provide(
        program,
        live({
          onDelivery: ({ status, url }) => Effect.asVoid(Queue.offer(delivered, `${url} ${status}`))
        })
      )
    })
  )
})

describe("assets of the sandbox", () => {
  const get = (asset: string | Redacted.Redacted = "") =>
    HttpClient.get(Redacted.isRedacted(asset) ? Redacted.value(asset) : asset)
  const status = (asset: string | Redacted.Redacted | undefined) => Effect.map(get(asset), ({ status }) => status)

  it.effect("of a private video play with a token that works once, or in a session of 24 hours", () =>
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Private", public: false, source: "https://example.com/a.mp4" })
      const { assets } = yield* Videos.get(videoId)
      assert.strictEqual(yield* status(assets?.hls), 200)
      assert.strictEqual(yield* status(assets?.hls), 404)
      const session = yield* PrivateVideos.session(videoId)
      for (const name of ["hls", "mp4", "thumbnail", "player", "hls"] as const) {
        assert.strictEqual(yield* status(session.assets[name]), 200, name)
      }
      const other = yield* Videos.create({ title: "Other", public: false, source: "https://example.com/b.mp4" })
      const stolen = Redacted.value(session.assets.hls ?? Redacted.make("")).replace(videoId, other.videoId)
      assert.strictEqual(yield* status(stolen), 404)
      yield* TestClock.adjust("24 hours")
      assert.strictEqual(yield* status(session.assets.hls), 404)
      const { entries } = yield* (yield* ApiVideoSandbox.ApiVideoSandbox).ledger
      const delivered = entries.filter(({ path }) => path.startsWith("/vod/"))
      assert.isTrue(delivered.every(({ hadAuthorization }) => !hadAuthorization))
      assert.isTrue(delivered.every(({ path }) => !/\/token\/(?!\{privateToken\})/.test(path)))
    }).pipe(Effect.provide(live()))
  )

  it.effect("of a public video play without one, once it is encoded", () =>
    Effect.gen(function* () {
      const { assets, videoId } = yield* Videos.create({ title: "Public", source: "https://example.com/a.mp4" })
      assert.strictEqual(yield* status(assets?.hls), 202)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* status(assets?.hls), 200)
      assert.strictEqual(yield* status(assets?.mp4), 200)
      assert.strictEqual((yield* Effect.flip(PrivateVideos.session(videoId)))._tag, "VideoNotPrivate")
      assert.strictEqual(yield* status(`${assets?.hls}x`), 404)
    }).pipe(Effect.provide(live({ encodingTime: "1 minute" })))
  )

  const content = (asset: string | Redacted.Redacted | undefined) =>
    Effect.flatMap(get(asset), ({ status, text }) => Effect.map(text, (text) => [status, text]))
  const image = (text: string) => new Blob([text], { type: "image/png" })

  it.effect("are the files that were uploaded", () =>
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Public" })
      const { assets } = yield* Videos.uploadThumbnail(videoId, image("thumbnail"))
      assert.deepStrictEqual(yield* content(assets?.thumbnail), [200, "thumbnail"])
      yield* Videos.pickThumbnail(videoId, { timecode: "00:00:01" })
      assert.notDeepEqual(yield* content(assets?.thumbnail), [200, "thumbnail"])

      const captions = yield* Captions.upload(videoId, "en", new Blob(["captions"]))
      assert.deepStrictEqual(yield* content(captions.src), [200, "captions"])
      yield* Captions.delete(videoId, "en")
      assert.strictEqual(yield* status(captions.src), 404)
      const chapters = yield* Chapters.upload(videoId, "en", new Blob(["chapters"]))
      assert.deepStrictEqual(yield* content(chapters.src), [200, "chapters"])

      const { playerId } = yield* PlayerThemes.create({ name: "Dark" })
      const { assets: looks } = yield* PlayerThemes.uploadLogo(playerId, image("logo"), { link: "https://example.com" })
      assert.deepStrictEqual(yield* content(looks?.logo), [200, "logo"])
      yield* PlayerThemes.deleteLogo(playerId)
      assert.strictEqual(yield* status(looks?.logo), 404)
    }).pipe(Effect.provide(live()))
  )

  it.effect("of a private video have a token for captions, too", () =>
    Effect.gen(function* () {
      const { videoId } = yield* Videos.create({ title: "Private", public: false })
      const { src } = yield* Captions.upload(videoId, "en", new Blob(["captions"]))
      assert.deepStrictEqual(yield* content(src), [200, "captions"])
      assert.strictEqual(yield* status(src), 404)
    }).pipe(Effect.provide(live()))
  )

  it.effect("of a live stream play during its broadcast", () =>
    Effect.gen(function* () {
      const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
      const { liveStreamId } = yield* LiveStreams.create({ name: "News" })
      const { assets } = yield* LiveStreams.uploadThumbnail(liveStreamId, image("thumbnail"))
      assert.deepStrictEqual(yield* content(assets?.thumbnail), [200, "thumbnail"])
      assert.strictEqual(yield* status(assets?.player), 200)
      assert.strictEqual(yield* status(assets?.hls), 404)
      yield* sandbox.startLiveStream(liveStreamId)
      assert.strictEqual(yield* status(assets?.hls), 200)
      yield* LiveStreams.update(liveStreamId, { public: false })
      const [refused, problem] = yield* content(assets?.hls)
      assert.strictEqual(refused, 501)
      assert.include(problem, `/live/${liveStreamId}.m3u8`)
    }).pipe(Effect.provide(live()))
  )
})
