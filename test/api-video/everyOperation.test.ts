/**
 * Every operation over a socket: what arrives at a server, and what comes back of the documented response. The server
 * answers with the examples of api.video's OpenAPI file.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, FileSystem, Layer, Redacted, Schema, type Scope } from "effect"
import {
  Analytics,
  ApiVideo,
  Captions,
  Chapters,
  LiveStreams,
  PlayerThemes,
  Summaries,
  Tags,
  UploadFile,
  UploadTokens,
  Videos,
  Watermarks,
  Webhooks
} from "effect-video-auth/api-video"
import { listen } from "../support/listen.ts"
import { examples, isSuccess, matrix, routeOf, routes } from "./routes.ts"

interface Arrived {
  readonly method: string
  readonly url: string
  readonly authorization: string | undefined
  readonly contentRange: string | undefined
  readonly contentType: string
  readonly body: Uint8Array<ArrayBuffer>
}

const exampleOf = (id: string) => examples.find((example) => example.id === id && isSuccess(example))

/** Documented results without an example of their own. */
const borrowed: Readonly<Record<string, string>> = {
  "DELETE_live-streams-liveStreamId-thumbnail": "GET_live-streams-liveStreamId",
  "POST_live-streams-liveStreamId-thumbnail": "GET_live-streams-liveStreamId",
  "POST_players-playerId-logo": "GET_players-playerId"
}

const source = { abstract: "In this lecture …", takeaways: ["one", "two", "three"] }

const answerTo = (id: string): { readonly status: number; readonly body: unknown } => {
  const example = exampleOf(id) ?? exampleOf(borrowed[id] ?? "")
  if (example !== undefined) return example
  return routeOf(id)?.success === undefined ? { status: 204, body: undefined } : { status: 201, body: source }
}

/** Whether a URL is one of a path with parameters. */
const matches = (path: string, url: string): boolean =>
  new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(new URL(url, "http://localhost").pathname)

/** A server that answers with the documented examples, and keeps what arrived. */
const documentedServer: Effect.Effect<{ readonly url: string; readonly arrived: Array<Arrived> }, never, Scope.Scope> =
  Effect.gen(function* () {
    const arrived: Array<Arrived> = []
    const { serve, url } = yield* listen
    serve((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const { headers, method = "", url = "" } = request
        arrived.push({
          method,
          url: decodeURIComponent(url.replaceAll("+", " ")),
          authorization: headers.authorization,
          contentRange: String(headers["content-range"] ?? ""),
          contentType: headers["content-type"] ?? "",
          body: new Uint8Array(Buffer.concat(chunks))
        })
        // Templates with fewer parameters come first: `/videos/{id}/captions` is not a language.
        const operation = matrix.operations.find(
          (operation) => operation.method === method && matches(operation.path, url)
        )
        const { body, status } = answerTo(operation?.id ?? "")
        response
          .writeHead(status, { "content-type": "application/json" })
          .end(body === undefined ? "" : JSON.stringify(body))
      })
    })
    return { url, arrived }
  })

const text = (body: Uint8Array<ArrayBuffer>) => new TextDecoder().decode(body)

/** What a body says: the members of a form, with files as name and content; or JSON. */
const readBody = Effect.fnUntraced(function* ({ body, contentType }: Arrived) {
  if (!contentType.startsWith("multipart/")) return body.length === 0 ? undefined : JSON.parse(text(body))
  const form = yield* Effect.promise(() => new Response(body, { headers: { "content-type": contentType } }).formData())
  const fields: Record<string, string> = {}
  for (const [name, value] of form) {
    fields[name] = typeof value === "string" ? value : `${value.name}: ${yield* Effect.promise(() => value.text())}`
  }
  return fields
})

const file = new TextEncoder().encode("content")
const from = DateTime.makeUnsafe("2024-05-28T11:15:07.250Z")
const token = Redacted.make("to1")
const theme = { name: "blue", link: "rgba(255, 0, 0, .95)", forceLoop: true }
const restreams = [{ name: "YouTube", serverUrl: "rtmp://youtube.example.com/app", streamKey: Redacted.make("key") }]
const webhook = { events: ["video.caption.generated" as const], url: "https://example.com/webhooks" }

/** Calls by name: the URL that arrives with its query, and what the body says. */
const calls: Readonly<Record<string, readonly [call: ApiVideo.Call<unknown>, url: string, body?: unknown]>> = {
  "Videos.list": [
    Videos.list({ tags: ["a", "b"], metadata: { Author: "John" }, sortBy: "title", currentPage: 2, pageSize: 10 }),
    "/videos?tags[]=a&tags[]=b&metadata[Author]=John&sortBy=title&currentPage=2&pageSize=10"
  ],
  "Videos.create": [
    Videos.create({
      title: "Maths",
      clip: { startTimecode: "00:01:15" },
      watermark: { id: "watermark_1", top: "10px" }
    }),
    "/videos",
    { title: "Maths", clip: { startTimecode: "00:01:15" }, watermark: { id: "watermark_1", top: "10px" } }
  ],
  "Videos.get": [Videos.get("vi1"), "/videos/vi1"],
  "Videos.update": [
    Videos.update("vi1", { metadata: [{ key: "a", value: "b" }], language: null }),
    "/videos/vi1",
    { metadata: [{ key: "a", value: "b" }], language: null }
  ],
  "Videos.delete": [Videos.delete("vi1"), "/videos/vi1"],
  "Videos.getStatus": [Videos.getStatus("vi1"), "/videos/vi1/status"],
  "Videos.uploadThumbnail": [
    Videos.uploadThumbnail("vi1", file),
    "/videos/vi1/thumbnail",
    { file: "thumbnail.jpg: content" }
  ],
  "Videos.pickThumbnail": [
    Videos.pickThumbnail("vi1", { timecode: "00:01:15.25" }),
    "/videos/vi1/thumbnail",
    { timecode: "00:01:15.25" }
  ],
  "Videos.listDiscarded": [Videos.listDiscarded({ liveStreamId: "li1" }), "/discarded/videos?liveStreamId=li1"],
  "Videos.getDiscarded": [Videos.getDiscarded("vi1"), "/discarded/videos/vi1"],
  "Videos.restore": [Videos.restore("vi1"), "/discarded/videos/vi1", { discarded: false }],
  "Videos.upload": [
    Videos.upload("vi1", file, { range: { from: 0, to: 6, total: 7 } }),
    "/videos/vi1/source",
    { file: "video.mp4: content" }
  ],
  "Videos.uploadWithUploadToken": [
    Videos.uploadWithUploadToken(token, file, { videoId: "vi1", range: { part: 1 } }),
    "/upload?token=to1",
    { videoId: "vi1", file: "video.mp4: content" }
  ],
  "UploadTokens.list": [
    UploadTokens.list({ sortBy: "ttl", sortOrder: "desc" }),
    "/upload-tokens?sortBy=ttl&sortOrder=desc"
  ],
  "UploadTokens.create": [UploadTokens.create({ ttl: 60 }), "/upload-tokens", { ttl: 60 }],
  "UploadTokens.get": [UploadTokens.get(token), "/upload-tokens/to1"],
  "UploadTokens.delete": [UploadTokens.delete("to1"), "/upload-tokens/to1"],
  "LiveStreams.list": [LiveStreams.list({ streamKey: Redacted.make("key") }), "/live-streams?streamKey=key"],
  "LiveStreams.create": [
    LiveStreams.create({ name: "live", restreams }),
    "/live-streams",
    { name: "live", restreams: [{ ...restreams[0], streamKey: "key" }] }
  ],
  "LiveStreams.get": [LiveStreams.get("li1"), "/live-streams/li1"],
  "LiveStreams.update": [LiveStreams.update("li1", { public: false }), "/live-streams/li1", { public: false }],
  "LiveStreams.delete": [LiveStreams.delete("li1"), "/live-streams/li1"],
  "LiveStreams.uploadThumbnail": [
    LiveStreams.uploadThumbnail("li1", new Blob([file], { type: "image/webp" })),
    "/live-streams/li1/thumbnail",
    { file: "thumbnail.webp: content" }
  ],
  "LiveStreams.deleteThumbnail": [LiveStreams.deleteThumbnail("li1"), "/live-streams/li1/thumbnail"],
  "LiveStreams.complete": [LiveStreams.complete("li1"), "/live-streams/li1/complete"],
  "Captions.list": [Captions.list("vi1", { pageSize: 5 }), "/videos/vi1/captions?pageSize=5"],
  "Captions.get": [Captions.get("vi1", "fr-CA"), "/videos/vi1/captions/fr-CA"],
  "Captions.upload": [Captions.upload("vi1", "en", file), "/videos/vi1/captions/en", { file: "captions.vtt: content" }],
  "Captions.update": [Captions.update("vi1", "en", { default: true }), "/videos/vi1/captions/en", { default: true }],
  "Captions.delete": [Captions.delete("vi1", "en"), "/videos/vi1/captions/en"],
  "Chapters.list": [Chapters.list("vi1"), "/videos/vi1/chapters"],
  "Chapters.get": [Chapters.get("vi1", "en"), "/videos/vi1/chapters/en"],
  "Chapters.upload": [Chapters.upload("vi1", "en", file), "/videos/vi1/chapters/en", { file: "chapters.vtt: content" }],
  "Chapters.delete": [Chapters.delete("vi1", "en"), "/videos/vi1/chapters/en"],
  "PlayerThemes.list": [PlayerThemes.list({ sortBy: "name" }), "/players?sortBy=name"],
  "PlayerThemes.create": [PlayerThemes.create(theme), "/players", theme],
  "PlayerThemes.get": [PlayerThemes.get("pl1"), "/players/pl1"],
  "PlayerThemes.update": [PlayerThemes.update("pl1", theme), "/players/pl1", theme],
  "PlayerThemes.delete": [PlayerThemes.delete("pl1"), "/players/pl1"],
  "PlayerThemes.uploadLogo": [
    PlayerThemes.uploadLogo("pl1", file, { link: "https://example.com" }),
    "/players/pl1/logo",
    { link: "https://example.com", file: "logo.jpg: content" }
  ],
  "PlayerThemes.deleteLogo": [PlayerThemes.deleteLogo("pl1"), "/players/pl1/logo"],
  "Watermarks.list": [Watermarks.list({ sortBy: "createdAt" }), "/watermarks?sortBy=createdAt"],
  "Watermarks.upload": [Watermarks.upload(file), "/watermarks", { file: "watermark.jpg: content" }],
  "Watermarks.delete": [Watermarks.delete("watermark_1"), "/watermarks/watermark_1"],
  "Summaries.list": [
    Summaries.list({ videoId: "vi1", origin: "auto", sourceStatus: "completed" }),
    "/summaries?videoId=vi1&origin=auto&sourceStatus=completed"
  ],
  "Summaries.create": [
    Summaries.create({ videoId: "vi1", origin: "auto", attributes: ["abstract"] }),
    "/summaries",
    { videoId: "vi1", origin: "auto", attributes: ["abstract"] }
  ],
  "Summaries.getSource": [Summaries.getSource("summary_1"), "/summaries/summary_1/source"],
  "Summaries.updateSource": [Summaries.updateSource("summary_1", source), "/summaries/summary_1/source", source],
  "Summaries.delete": [Summaries.delete("summary_1"), "/summaries/summary_1"],
  "Tags.list": [Tags.list({ value: "ma", sortBy: "videoCount" }), "/tags?value=ma&sortBy=videoCount"],
  "Webhooks.list": [Webhooks.list({ events: "video.source.recorded" }), "/webhooks?events=video.source.recorded"],
  "Webhooks.create": [Webhooks.create(webhook), "/webhooks", webhook],
  "Webhooks.get": [Webhooks.get("webhook_1"), "/webhooks/webhook_1"],
  "Webhooks.delete": [Webhooks.delete("webhook_1"), "/webhooks/webhook_1"],
  "Analytics.getAggregatedMetrics": [
    Analytics.getAggregatedMetrics("view", "count", { from, unique: true, viewDuration: "5s" }),
    "/data/metrics/view/count?from=2024-05-28T11:15:07+00:00&unique=true&viewDuration=5s"
  ],
  "Analytics.getMetricsBreakdown": [
    Analytics.getMetricsBreakdown("play", "country", {
      filterBy: { mediaType: "video", country: ["FR", "DE"], tag: "Cool videos", referrer: [""] }
    }),
    "/data/buckets/play/country?filterBy[mediaType]=video&filterBy[country][]=FR&filterBy[country][]=DE&filterBy[tag]=Cool videos&filterBy[referrer][]="
  ],
  "Analytics.getMetricsOverTime": [
    Analytics.getMetricsOverTime("play", { interval: "hour", sortBy: "emittedAt", sortOrder: "asc" }),
    "/data/timeseries/play?interval=hour&sortBy=emittedAt&sortOrder=asc"
  ]
}

const ranges: Readonly<Record<string, string>> = {
  "Videos.upload": "bytes 0-6/7",
  "Videos.uploadWithUploadToken": "part 1/*"
}

const clients = { undici: NodeHttpClient.layerUndici, "node:http": NodeHttpClient.layerNodeHttp }

describe.each(Object.entries(clients))("over %s", (_, client) => {
  const onServer = <A, E>(
    use: (server: {
      readonly url: string
      readonly arrived: ReadonlyArray<Arrived>
    }) => Effect.Effect<A, E, ApiVideo.ApiVideo>
  ) =>
    Effect.gen(function* () {
      const server = yield* documentedServer
      const layer = ApiVideo.layer({
        apiKey: Redacted.make("key"),
        baseUrl: server.url,
        rateLimits: false,
        retry: false
      })
      return yield* Effect.provide(use(server), Layer.provide(layer, client))
    }).pipe(Effect.scoped)

  it("has a call of every operation", () => {
    assert.deepStrictEqual(Object.keys(calls).toSorted(), routes.map(({ name }) => name).toSorted())
  })

  for (const [name, [call, url, body]] of Object.entries(calls)) {
    it.live(name, () =>
      onServer(({ arrived }) =>
        Effect.gen(function* () {
          const route = routes.find((route) => route.name === name)
          assert(route !== undefined)
          const result = yield* call
          const [login, request, ...others] = arrived
          assert(request !== undefined)
          assert.strictEqual(login?.url, "/auth/api-key")
          assert.isEmpty(others)
          assert.strictEqual(request.method, route.method)
          assert.strictEqual(request.url, url)
          assert.deepStrictEqual(yield* readBody(request), body)
          assert.strictEqual(request.contentRange, ranges[name] ?? "")
          if (name === "Videos.uploadWithUploadToken") assert.isUndefined(request.authorization)
          else assert.match(request.authorization ?? "", /^Bearer \S+$/)
          if (route.success === undefined) assert.isUndefined(result)
          else assert.isTrue(Schema.is(route.success)(result))
        })
      )
    )
  }

  it.live("a file from a path is sent again, whole, after a 401", () =>
    Effect.gen(function* () {
      const { serve, url } = yield* listen
      const bodies: Array<string> = []
      serve((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const body = Buffer.concat(chunks).toString()
          if (request.url?.startsWith("/auth/") === true) {
            response.end(
              JSON.stringify({ token_type: "Bearer", expires_in: 3600, access_token: "a", refresh_token: "r" })
            )
          } else {
            bodies.push(body)
            const status = bodies.length === 1 ? 401 : 200
            response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ srclang: "en" }))
          }
        })
      })
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/subtitles.vtt`
      yield* fs.writeFileString(path, "WEBVTT")
      const layer = ApiVideo.layer({ apiKey: Redacted.make("key"), baseUrl: url, rateLimits: false, retry: false })
      yield* UploadFile.fromPath(path).pipe(
        Effect.flatMap((file) => Captions.upload("vi1", "en", file)),
        Effect.provide(Layer.provide(layer, client))
      )
      assert.strictEqual(bodies.length, 2)
      assert.include(bodies[0] ?? "", "WEBVTT")
      assert.strictEqual(bodies[1], bodies[0])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )
})
