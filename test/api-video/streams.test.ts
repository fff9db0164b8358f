/** Lists as streams: pages are counted, and lists may change while they are read. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { TokenService } from "effect-video-auth"
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

interface Query {
  readonly [name: string]: string
}

/** A server of a list, whose items may be others for each request. */
const listing = (itemsAt: (request: number) => ReadonlyArray<object>) => {
  const queries: Array<Query> = []
  const layer = ApiVideo.layerTest({
    respond: ({ urlParams }) => {
      const query = Object.fromEntries(urlParams.params.map(([name, value]) => [name, String(value)]))
      const items = itemsAt(queries.length)
      queries.push(query)
      const [currentPage, pageSize] = [Number(query["currentPage"]), Number(query["pageSize"])]
      return Response.json({
        data: items.slice((currentPage - 1) * pageSize, currentPage * pageSize),
        pagination: { currentPage, pageSize, pagesTotal: Math.ceil(items.length / pageSize), itemsTotal: items.length }
      })
    }
  })
  return { queries, layer }
}

const videos = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({ videoId: `vi${from + index}` }))

describe("all items of a list", () => {
  it.effect("are emitted page by page, 100 at a time, oldest first", () =>
    Effect.gen(function* () {
      const { layer, queries } = listing(() => videos(0, 250))
      const all = yield* Stream.runCollect(Videos.stream({ tags: ["maths"] })).pipe(Effect.provide(layer))
      assert.deepStrictEqual(all, videos(0, 250))
      assert.deepStrictEqual(
        queries,
        ["1", "2", "3"].map((currentPage) => ({
          "tags[]": "maths",
          sortBy: "createdAt",
          sortOrder: "asc",
          currentPage,
          pageSize: "100"
        }))
      )
    })
  )

  it.effect("are none for an empty list, after one request", () =>
    Effect.gen(function* () {
      const { layer, queries } = listing(() => [])
      assert.isEmpty(yield* Stream.runCollect(Videos.stream()).pipe(Effect.provide(layer)))
      assert.strictEqual(queries.length, 1)
    })
  )

  it.effect("include those that are added while the stream runs", () =>
    Effect.gen(function* () {
      const { layer } = listing((request) => videos(0, 25 + 10 * Math.min(request, 4)))
      const all = yield* Stream.runCollect(Videos.stream({ pageSize: 10 })).pipe(Effect.provide(layer))
      assert.strictEqual(all.length, 65)
    })
  )

  it.effect("are emitted once where one that is added moves others to the next page", () =>
    Effect.gen(function* () {
      const { layer } = listing((request) => videos(request === 0 ? 0 : -1, 30))
      const all = yield* Stream.runCollect(Videos.stream({ pageSize: 10, sortOrder: "desc" })).pipe(
        Effect.provide(layer)
      )
      assert.deepStrictEqual(all, videos(0, 30))
    })
  )

  it.effect("end with a page that is not full if the server doesn't count pages", () =>
    Effect.gen(function* () {
      const respond = (request: { readonly urlParams: { readonly params: Iterable<readonly [string, unknown]> } }) => {
        const page = Number(new Map(request.urlParams.params).get("currentPage"))
        return Response.json({ data: videos((page - 1) * 2, Math.min(page * 2, 5)), pagination: {} })
      }
      const all = yield* Stream.runCollect(Videos.stream({ pageSize: 2 })).pipe(
        Effect.provide(ApiVideo.layerTest({ respond }))
      )
      assert.deepStrictEqual(all, videos(0, 5))
    })
  )

  it.effect("keep those without an id", () =>
    Effect.gen(function* () {
      const { layer } = listing(() => [
        { metricValue: 1 },
        { metricValue: 2 },
        { dimensionValue: "FR", metricValue: 3 }
      ])
      const all = yield* Stream.runCollect(Analytics.streamMetricsBreakdown("play", "country")).pipe(
        Effect.provide(layer)
      )
      assert.strictEqual(all.length, 3)
    })
  )

  it.effect("are requested only as far as they are read", () =>
    Effect.gen(function* () {
      const { layer, queries } = listing(() => videos(0, 250))
      yield* Stream.runCollect(Stream.take(Videos.stream(), 5)).pipe(Effect.provide(layer))
      assert.strictEqual(queries.length, 1)
    })
  )

  it.effect("of a page are read while the next page is requested", () =>
    Effect.gen(function* () {
      const respond = (request: { readonly urlParams: { readonly params: Iterable<readonly [string, unknown]> } }) => {
        const page = Number(new Map(request.urlParams.params).get("currentPage"))
        return Effect.as(
          Effect.sleep("1 second"),
          Response.json({ data: videos(page, page + 1), pagination: { pagesTotal: 5 } })
        )
      }
      const fiber = yield* Videos.stream().pipe(
        Stream.runForEach(() => Effect.sleep("1 second")),
        Effect.provide(ApiVideo.layerTest({ respond })),
        Effect.forkChild
      )
      // One second for the first page, one for each of the five items.
      yield* TestClock.adjust("5999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(fiber)
    })
  )

  it.effect("fail with the error of a page, after the items before it", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const respond = (request: { readonly urlParams: { readonly params: Iterable<readonly [string, unknown]> } }) =>
        Number(new Map(request.urlParams.params).get("currentPage")) === 1
          ? Response.json({ data: videos(0, 1), pagination: { pagesTotal: 2 } })
          : Response.json({ title: "Forbidden." }, { status: 403 })
      const error = yield* Videos.stream().pipe(
        Stream.runForEach(({ videoId }) => Effect.sync(() => void seen.push(videoId))),
        Effect.flip,
        Effect.provide(ApiVideo.layerTest({ respond }))
      )
      assert(error._tag === "ApiVideoError")
      assert.strictEqual(error.reason._tag, "Forbidden")
      assert.deepStrictEqual(seen, ["vi0"])
    })
  )

  it.effect("keep the rate limit", () =>
    Effect.gen(function* () {
      let requests = 0
      const http = HttpClient.make((request) =>
        Effect.sync(() => {
          requests++
          return HttpClientResponse.fromWeb(
            request,
            Response.json({ data: videos(requests, requests + 1), pagination: { pagesTotal: 6 } })
          )
        })
      )
      const layer = ApiVideo.layerClient({ rateLimits: { uploads: 1, writes: 1, reads: 2 } }).pipe(
        Layer.provide(TokenService.layerTest(["token"])),
        Layer.provide(Layer.succeed(HttpClient.HttpClient, http))
      )
      const fiber = yield* Stream.runCount(Videos.stream()).pipe(Effect.provide(layer), Effect.forkChild)
      for (const expected of [2, 4, 6]) {
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(requests, expected)
        yield* TestClock.adjust("1 minute")
      }
      assert.strictEqual(yield* Fiber.join(fiber), 6)
    })
  )
})

describe("every paginated operation streams its items once, stably sorted where it can be:", () => {
  const ids = ["videoId", "liveStreamId", "watermarkId", "playerId", "summaryId", "webhookId", "token"]
  const names = ["srclang", "language", "value", "dimensionValue"]
  const item = {
    emittedAt: "2024-05-28T11:15:07Z",
    ...Object.fromEntries([...ids, ...names].map((name) => [name, "1"]))
  }
  /** The same item twice on one page, and on the next. */
  const pages = listing(() => [item, item, item])
  const streams: Readonly<
    Record<string, readonly [stream: Stream.Stream<unknown, ApiVideo.ClientError, ApiVideo.ApiVideo>, sortBy?: string]>
  > = {
    "Videos.stream": [Videos.stream({ pageSize: 2 }), "createdAt"],
    "Videos.streamDiscarded": [Videos.streamDiscarded({ pageSize: 2 }), "createdAt"],
    "UploadTokens.stream": [UploadTokens.stream({ pageSize: 2 }), "createdAt"],
    "LiveStreams.stream": [LiveStreams.stream({ pageSize: 2 }), "createdAt"],
    "Captions.stream": [Captions.stream("vi1", { pageSize: 2 })],
    "Chapters.stream": [Chapters.stream("vi1", { pageSize: 2 })],
    "PlayerThemes.stream": [PlayerThemes.stream({ pageSize: 2 }), "createdAt"],
    "Watermarks.stream": [Watermarks.stream({ pageSize: 2 }), "createdAt"],
    "Summaries.stream": [Summaries.stream({ pageSize: 2 }), "createdAt"],
    "Tags.stream": [Tags.stream({ pageSize: 2 }), "value"],
    "Webhooks.stream": [Webhooks.stream({ pageSize: 2 })],
    "Analytics.streamMetricsBreakdown": [
      Analytics.streamMetricsBreakdown("play", "country", { pageSize: 2 }),
      "dimensionValue"
    ],
    "Analytics.streamMetricsOverTime": [Analytics.streamMetricsOverTime("play", { pageSize: 2 }), "emittedAt"]
  }

  it("there are 13", () => {
    assert.strictEqual(Object.keys(streams).length, 13)
  })

  for (const [name, [stream, sortBy]] of Object.entries(streams)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        pages.queries.length = 0
        const items = yield* Stream.runCollect(stream).pipe(Effect.provide(pages.layer))
        assert.strictEqual(items.length, 1)
        const sorting = sortBy === undefined ? {} : { sortBy, sortOrder: "asc" }
        assert.deepStrictEqual(pages.queries, [
          { ...sorting, currentPage: "1", pageSize: "2" },
          { ...sorting, currentPage: "2", pageSize: "2" }
        ])
      })
    )
  }
})
