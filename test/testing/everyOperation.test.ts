/** Every operation of the typed client on the sandbox, with the state that each leaves behind. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Ref } from "effect"
import { HttpClient } from "effect/http"
import {
  Analytics,
  ApiVideo,
  Captions,
  Chapters,
  LiveStreams,
  PlayerThemes,
  Summaries,
  Tags,
  UploadTokens,
  Videos,
  Watermarks,
  Webhooks
} from "effect-video-auth/api-video"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { matrix } from "../api-video/routes.ts"

const file = new TextEncoder().encode("content")
const image = new Blob([file], { type: "image/jpeg" })

/** Fails with `NotFound`. */
const gone = <A, R>(call: Effect.Effect<A, ApiVideo.ClientError, R>) =>
  Effect.map(Effect.flip(call), ({ reason }) => assert.strictEqual(reason._tag, "NotFound"))

const videos = Effect.gen(function* () {
  const created = yield* Videos.create({ title: "Maths", tags: ["maths"], metadata: [{ key: "a", value: "b" }] })
  const { videoId } = created
  assert.deepStrictEqual(yield* Videos.get(videoId), created)
  const updated = yield* Videos.update(videoId, { title: "Physics", language: "fr" })
  assert.deepInclude(updated, { title: "Physics", language: "fr", languageOrigin: "api", tags: ["maths"] })
  assert.isUndefined((yield* Videos.getStatus(videoId)).ingest?.status)
  yield* Videos.upload(videoId, file, { range: { from: 0, to: 6, total: 7 } })
  const { encoding, ingest } = yield* Videos.getStatus(videoId)
  assert.deepInclude(ingest, { status: "uploaded", filesize: 7 })
  assert.isTrue(encoding?.playable)
  assert.match((yield* Videos.uploadThumbnail(videoId, image)).assets?.thumbnail?.toString() ?? "", /thumbnail\.jpg$/)
  yield* Videos.pickThumbnail(videoId, { timecode: "00:00:01" })
  const page = yield* Videos.list({ tags: ["maths"], metadata: { a: "b" } })
  assert.deepStrictEqual(
    page.data.map(({ title }) => title),
    ["Physics"]
  )
  assert.deepStrictEqual((yield* Tags.list({ value: "MÁ" })).data, [{ value: "maths", videoCount: 1 }])

  // The language had the video transcribed once it was encoded.
  assert.deepStrictEqual(
    (yield* Captions.list(videoId)).data.map(({ srclang }) => srclang),
    ["fr"]
  )
  assert.deepInclude(yield* Captions.upload(videoId, "en", file), { srclang: "en", languageName: "English" })
  assert.isTrue((yield* Captions.update(videoId, "en", { default: true })).default)
  assert.isTrue((yield* Captions.get(videoId, "en")).default)
  yield* Captions.delete(videoId, "en")
  yield* gone(Captions.get(videoId, "en"))
  yield* Chapters.upload(videoId, "en", file)
  assert.strictEqual((yield* Chapters.list(videoId)).data.length, 1)
  assert.strictEqual((yield* Chapters.get(videoId, "en")).language, "en")
  yield* Chapters.delete(videoId, "en")
  yield* gone(Chapters.get(videoId, "en"))

  const summary = yield* Summaries.create({ videoId, origin: "auto", attributes: ["takeaways"] })
  assert.deepInclude(summary, { videoId, origin: "auto", sourceStatus: "completed" })
  const { reason } = yield* Effect.flip(Summaries.create({ videoId }))
  assert.strictEqual(reason._tag, "Conflict")
  const { abstract, takeaways } = yield* Summaries.getSource(summary.summaryId)
  assert.deepStrictEqual([abstract, takeaways?.length], [undefined, 3])
  yield* Summaries.updateSource(summary.summaryId, { abstract: "Short." })
  assert.strictEqual((yield* Summaries.getSource(summary.summaryId)).abstract, "Short.")
  assert.strictEqual((yield* Summaries.list({ videoId, sourceStatus: "completed" })).data.length, 1)
  yield* Summaries.delete(summary.summaryId)
  assert.isEmpty((yield* Summaries.list({ videoId })).data)

  yield* Videos.delete(videoId)
  yield* gone(Videos.get(videoId))
  assert.strictEqual((yield* Videos.listDiscarded({ title: "Phys" })).data[0]?.videoId, videoId)
  assert.isTrue((yield* Videos.getDiscarded(videoId)).discarded)
  assert.isFalse((yield* Videos.restore(videoId)).discarded)
  yield* gone(Videos.getDiscarded(videoId))
  assert.strictEqual((yield* Videos.get(videoId)).title, "Physics")
})

const delegatedUploads = Effect.gen(function* () {
  const { token } = yield* UploadTokens.create({ ttl: 60 })
  assert.strictEqual((yield* UploadTokens.get(token)).ttl, 60)
  assert.strictEqual((yield* UploadTokens.list({ sortBy: "ttl" })).data.length, 1)
  const { videoId } = yield* Videos.uploadWithUploadToken(token, file, { range: { from: 0, to: 6, total: 7 } })
  assert.isTrue((yield* Videos.getStatus(videoId)).encoding?.playable)
  yield* UploadTokens.delete(token)
  yield* gone(UploadTokens.get(token))
})

const liveStreams = Effect.gen(function* () {
  const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
  const streamKey = Redacted.make("key")
  const restreams = [{ name: "YouTube", serverUrl: "rtmp://youtube.example.com/app", streamKey }]
  const created = yield* LiveStreams.create({ name: "News", restreams })
  const { liveStreamId } = created
  assert.deepStrictEqual(yield* LiveStreams.get(liveStreamId), created)
  assert(created.streamKey !== undefined)
  assert.strictEqual((yield* LiveStreams.list({ streamKey: created.streamKey, name: "New" })).data.length, 1)
  assert.strictEqual((yield* LiveStreams.update(liveStreamId, { name: "Sports" })).name, "Sports")
  yield* LiveStreams.uploadThumbnail(liveStreamId, image)
  yield* LiveStreams.deleteThumbnail(liveStreamId)
  assert.isTrue(yield* sandbox.startLiveStream(liveStreamId))
  assert.isTrue((yield* LiveStreams.get(liveStreamId)).broadcasting)
  yield* LiveStreams.complete(liveStreamId)
  assert.isFalse((yield* LiveStreams.get(liveStreamId)).broadcasting)
  const [recording] = (yield* Videos.list({ liveStreamId })).data
  assert.strictEqual(recording?.source?.liveStream?.liveStreamId, liveStreamId)
  yield* LiveStreams.delete(liveStreamId)
  yield* gone(LiveStreams.get(liveStreamId))
  assert.isFalse(yield* sandbox.stopLiveStream(liveStreamId))
})

const looks = Effect.gen(function* () {
  const { playerId } = yield* PlayerThemes.create({ name: "Blue", forceLoop: true })
  assert.deepInclude(yield* PlayerThemes.get(playerId), { name: "Blue", forceLoop: true, enableControls: true })
  assert.deepInclude(yield* PlayerThemes.update(playerId, { hideTitle: true }), { hideTitle: true, forceLoop: true })
  const { assets } = yield* PlayerThemes.uploadLogo(playerId, image, { link: "https://example.com" })
  assert.strictEqual(assets?.link, "https://example.com")
  yield* PlayerThemes.deleteLogo(playerId)
  assert.isUndefined((yield* PlayerThemes.get(playerId)).assets)
  assert.strictEqual((yield* PlayerThemes.list({ sortBy: "name" })).data.length, 1)
  yield* PlayerThemes.delete(playerId)
  yield* gone(PlayerThemes.get(playerId))

  const { watermarkId } = yield* Watermarks.upload(image)
  assert.strictEqual((yield* Watermarks.list()).data[0]?.watermarkId, watermarkId)
  yield* Watermarks.delete(watermarkId)
  assert.isEmpty((yield* Watermarks.list()).data)
})

const webhooks = Effect.gen(function* () {
  const events = ["video.caption.generated" as const]
  const { signatureSecret, webhookId } = yield* Webhooks.create({ events, url: "https://example.com/hook" })
  assert.match(signatureSecret === undefined ? "" : Redacted.value(signatureSecret), /^sig_sec_/)
  assert.deepStrictEqual((yield* Webhooks.get(webhookId)).events, events)
  assert.isEmpty((yield* Webhooks.list({ events: "video.source.recorded" })).data)
  assert.strictEqual((yield* Webhooks.list({ events: "video.caption.generated" })).data.length, 1)
  yield* Webhooks.delete(webhookId)
  yield* gone(Webhooks.get(webhookId))
})

const numbers = Effect.gen(function* () {
  const { context, data } = yield* Analytics.getAggregatedMetrics("play", "count", { filterBy: { country: ["FR"] } })
  assert.deepInclude(context, { metric: "play", aggregation: "count" })
  assert.isAtLeast(data, 0)
  assert.strictEqual((yield* Analytics.getMetricsBreakdown("play", "country")).context?.breakdown, "country")
  assert.strictEqual((yield* Analytics.getMetricsOverTime("play")).context?.interval, "hour")
})

const exchanges = Effect.gen(function* () {
  const { url } = yield* ApiVideoSandbox.ApiVideoSandbox
  const apiKey = Redacted.make("your_api_key")
  const { refreshToken } = yield* ApiVideo.authenticate({ apiKey }, { baseUrl: url })
  assert(refreshToken !== undefined)
  assert.strictEqual((yield* ApiVideo.refresh({ refreshToken }, { baseUrl: url })).tokenType, "Bearer")
})

const all = { exchanges, videos, delegatedUploads, liveStreams, looks, webhooks, numbers }

const matches = (path: string, pathname: string): boolean =>
  new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(pathname)

describe("the sandbox", () => {
  it.live("keeps the state of all 59 operations", () =>
    Effect.gen(function* () {
      const requested = yield* Ref.make<ReadonlyArray<string>>([])
      const Client = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, (client) =>
          HttpClient.mapRequestEffect(client, (request) => {
            const { pathname } = new URL(request.url, "http://localhost")
            // Templates with fewer parameters come first: `/videos/{id}/captions` is not a language.
            const operation = matrix.operations.find(
              ({ method, path }) => method === request.method && matches(path, pathname)
            )
            return Effect.as(
              Ref.update(requested, (ids) => [...ids, operation?.id ?? pathname]),
              request
            )
          })
        )
      ).pipe(Layer.provide(NodeHttpClient.layerUndici))
      const Sandbox = ApiVideoSandbox.layer({ rateLimits: ApiVideoSandbox.noRateLimits, videoRestore: true })
      const Api = Layer.unwrap(
        Effect.map(ApiVideoSandbox.ApiVideoSandbox, ({ url }) =>
          ApiVideo.layer({ apiKey: Redacted.make("your_api_key"), baseUrl: url, rateLimits: false, retry: false })
        )
      )
      yield* Effect.all(all).pipe(Effect.provide(Api.pipe(Layer.provideMerge(Layer.merge(Sandbox, Client)))))
      const ids = matrix.operations.map(({ id }) => id)
      assert.deepStrictEqual([...new Set(yield* Ref.get(requested))].toSorted(), ids.toSorted())
      assert.strictEqual(ids.length, 59)
    })
  )
})
