/** The contract: what a document generated from it says, and what arrives at a server that implements it. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiClient, OpenApi } from "effect/http-api"
import { Analytics, ApiVideo, Videos } from "effect-video-auth/api-video"
import { ApiVideoHttpApi } from "effect-video-auth/api-video/ApiVideoHttpApi"
import { createServer } from "node:http"
import { matrix } from "./routes.ts"

describe("the document", () => {
  const { paths } = OpenApi.fromApi(ApiVideoHttpApi)
  const documented = matrix.operations.map(({ method, path }) => `${method} ${path}`)
  const generated = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)
  )

  it("has the 59 operations of api.video's OpenAPI file", () => {
    assert.deepStrictEqual(generated.toSorted(), documented.toSorted())
    assert.strictEqual(generated.length, 59)
  })

  it("names the parameters of a query as they are on the wire", () => {
    const named = (path: keyof typeof paths) =>
      paths[path]?.get?.parameters.map(({ in: place, name }) => `${place} ${name}`)
    assert.deepStrictEqual(named("/videos"), [
      "query title",
      "query tags[]",
      "query metadata",
      "query description",
      "query liveStreamId",
      "query sortBy",
      "query sortOrder",
      "query currentPage",
      "query pageSize"
    ])
    assert.includeMembers(named("/data/metrics/{metric}/{aggregation}") ?? [], ["path metric", "query filterBy"])
  })

  it("has the documented statuses, and problems", () => {
    const statuses = (operation: { readonly responses: object } | undefined) => Object.keys(operation?.responses ?? {})
    assert.deepStrictEqual(statuses(paths["/videos"]?.post), ["201", "400", "401", "403", "404", "409", "429"])
    assert.include(statuses(paths["/live-streams/{liveStreamId}/complete"]?.put), "202")
    assert.include(statuses(paths["/videos/{videoId}"]?.delete), "204")
    assert.deepStrictEqual(Object.keys(paths["/videos"]?.get?.responses["404"]?.content ?? {}), [
      "application/problem+json"
    ])
  })
})

const { Analytics: analytics, Videos: videos } = ApiVideoHttpApi.groups
const Api = HttpApi.make("some").add(analytics, videos)

const createdAt = DateTime.makeUnsafe("2024-07-14T23:36:07Z")

const made = <A>(answer: A) => Effect.succeed(answer)

/** A server that implements two groups of the contract, and what its handlers get. */
const startServer = Effect.gen(function* () {
  const read: Array<unknown> = []
  const note = <A>(input: unknown, answer: A) => {
    read.push(input)
    return made(answer)
  }
  const video = { videoId: "vi1", createdAt }
  const VideosLive = HttpApiBuilder.group(Api, "Videos", (handlers) =>
    handlers.handleAll({
      list: ({ query }) => note(query, { data: [video], pagination: { currentPage: 2 } }),
      create: ({ payload }) => note(payload, video),
      get: ({ params }) => Effect.fail({ status: 404 as const, name: "videoId", title: `no ${params.videoId}` }),
      update: ({ params, payload }) => note({ params, payload }, video),
      delete: ({ params }) => note(params, undefined),
      upload: ({ headers, params, payload }) => note({ headers, params, name: payload.file.name }, video),
      uploadWithUploadToken: ({ headers, payload, query }) =>
        note({ headers, name: payload.file.name, token: Redacted.value(query.token), videoId: payload.videoId }, video),
      getStatus: () => made({}),
      uploadThumbnail: () => made(video),
      pickThumbnail: () => made(video),
      listDiscarded: () => made({ data: [], pagination: {} }),
      getDiscarded: () => made(video),
      restore: () => made(video)
    })
  )
  const AnalyticsLive = HttpApiBuilder.group(Api, "Analytics", (handlers) =>
    handlers.handleAll({
      getAggregatedMetrics: ({ params, query }) => note({ params, query }, { data: 1 }),
      getMetricsBreakdown: () => made({ data: [], pagination: {} }),
      getMetricsOverTime: () => made({ data: [], pagination: {} })
    })
  )
  const layer = HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide([VideosLive, AnalyticsLive])), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))
  const context = yield* Layer.build(layer)
  const { address } = Context.get(context, HttpServer.HttpServer)
  return { read, url: `http://127.0.0.1:${"port" in address ? address.port : 0}` }
})

const onServer = <A, E, R>(use: (server: Effect.Success<typeof startServer>) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(startServer, use)).pipe(Effect.provide(NodeHttpClient.layerUndici))

const file = new Blob(["content"], { type: "video/mp4" })
const from = DateTime.makeUnsafe("2024-05-28T11:15:07Z")
const query = { tags: ["a", "b c"], metadata: { "A.B": "J & D", "x]y": "é" }, sortBy: "title", pageSize: 10 } as const

describe("a server of the contract", () => {
  it.live("reads what the typed operations send", () =>
    onServer(({ read, url }) =>
      Effect.gen(function* () {
        const page = yield* Videos.list(query)
        assert.deepStrictEqual(page, { data: [{ videoId: "vi1", createdAt }], pagination: { currentPage: 2 } })
        yield* Videos.create({ title: "Maths", tags: [] })
        yield* Videos.update("v/1", { language: null })
        yield* Videos.delete("vi1")
        yield* Videos.upload("vi1", file, { range: { from: 0, to: 6, total: 7 } })
        yield* Videos.uploadWithUploadToken(Redacted.make("to1"), file, { videoId: "vi1", range: { part: 1 } })
        yield* Analytics.getAggregatedMetrics("view", "count", { from, unique: true, filterBy: { country: ["FR"] } })
        assert.deepStrictEqual(read, [
          query,
          { title: "Maths", tags: [] },
          { params: { videoId: "v/1" }, payload: { language: null } },
          { videoId: "vi1" },
          {
            headers: { "content-range": { from: 0, to: 6, total: 7 } },
            params: { videoId: "vi1" },
            name: "video.mp4"
          },
          {
            headers: { "content-range": { part: 1, total: undefined } },
            name: "video.mp4",
            token: "to1",
            videoId: "vi1"
          },
          {
            params: { metric: "view", aggregation: "count" },
            query: { from, unique: true, filterBy: { country: ["FR"] } }
          }
        ])
        const { reason } = yield* Effect.flip(Videos.get("vi2"))
        assert.strictEqual(reason._tag, "NotFound")
      }).pipe(Effect.provide(ApiVideo.layerBasic({ apiKey: Redacted.make("key"), baseUrl: url, retry: false })))
    )
  )

  it.live("is called by HttpApiClient", () =>
    onServer(({ read, url }) =>
      Effect.gen(function* () {
        const client = yield* HttpApiClient.make(Api, { baseUrl: url })
        const page = yield* client.Videos.list({ query })
        assert.deepStrictEqual(page.data, [{ videoId: "vi1", createdAt }])
        const payload = new FormData()
        payload.append("file", file, "film.mp4")
        const range = { from: 0, to: 6, total: 7 }
        yield* client.Videos.upload({ params: { videoId: "vi1" }, headers: { "content-range": range }, payload })
        yield* client.Analytics.getAggregatedMetrics({
          params: { metric: "play", aggregation: "total" },
          query: { filterBy: { mediaType: "video", referrer: [""] } }
        })
        assert.deepStrictEqual(read, [
          query,
          { headers: { "content-range": range }, params: { videoId: "vi1" }, name: "film.mp4" },
          {
            params: { metric: "play", aggregation: "total" },
            query: { filterBy: { mediaType: "video", referrer: [""] } }
          }
        ])
        const problem = yield* Effect.flip(client.Videos.get({ params: { videoId: "vi2" } }))
        assert.deepInclude(problem, { status: 404, name: "videoId", title: "no vi2" })
      })
    )
  )
})
