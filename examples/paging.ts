/** All videos, page after page, as a `Stream` that follows the links of each response. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Data, Effect, Layer, Option, Schema, Stream } from "effect"
import { HttpClientResponse } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { sandbox } from "./support/server.ts"

const Videos = Schema.Struct({
  data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })),
  pagination: Schema.Struct({ links: Schema.Array(Schema.Struct({ rel: Schema.String, uri: Schema.String })) })
})

class ForeignLink extends Data.TaggedError("ForeignLink")<{ readonly origin: string }> {}

const listVideos = (pageSize: number) =>
  Stream.paginate(`/videos?pageSize=${pageSize}`, (url) =>
    Effect.gen(function* () {
      const api = yield* ApiVideo.ApiVideo
      const response = yield* api.get(url)
      const { data, pagination } = yield* HttpClientResponse.schemaBodyJson(Videos)(response)
      const link = pagination.links.find(({ rel }) => rel === "next")
      if (link === undefined) return [data, Option.none()] as const
      // A link may be relative or absolute. Another origin would get no token, but it wouldn't have our videos either.
      const base = new URL(response.request.url)
      const next = new URL(link.uri, base)
      if (next.origin !== base.origin) return yield* new ForeignLink({ origin: next.origin })
      return [data, Option.some(next.href)] as const
    })
  )

const program = Effect.gen(function* () {
  const { inject, ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
  const before = yield* ledger
  // Makes the links of the first page relative. api.video's documents show both kinds.
  const rewrite = (body: unknown) => JSON.parse(JSON.stringify(body).replaceAll(url, ""))
  yield* inject({ on: "api", kind: { _tag: "Rewrite", rewrite } })
  const titles = yield* listVideos(10).pipe(
    Stream.map(({ title }) => title),
    Stream.runCollect
  )
  const { requests } = yield* ledger
  yield* Console.log(`${titles.length} videos in ${requests - before.requests} pages, the last is ${titles.at(-1)}`)

  // Pages are fetched when they are needed.
  const few = yield* Stream.runCollect(Stream.take(listVideos(10), 3))
  yield* Console.log(`${few.length} videos in ${(yield* ledger).requests - requests} page`)

  const links = [{ rel: "next", uri: "https://example.com/videos" }]
  yield* inject({ on: "api", kind: { _tag: "Json", status: 200, body: { data: [], pagination: { links } } } })
  yield* Stream.runDrain(listVideos(10)).pipe(
    Effect.catchTag("ForeignLink", ({ origin }) => Console.log(`not followed: ${origin}`))
  )
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(
    ApiVideoLive.pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provideMerge(sandbox({ titles: Array.from({ length: 35 }, (_, index) => `Episode ${index + 1}`) }))
    )
  ),
  NodeRuntime.runMain
)
