/**
 * Scenario 11 in the process of one subject: decodes a page of 100 videos, or requests one over loopback. Every page is
 * checked to have its hundredth title.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import ApiVideoClient from "@api.video/nodejs-client"
import { Effect, Layer, ManagedRuntime, Redacted, Result, Schema } from "effect"
import * as ApiVideo from "../../src/api-video/ApiVideo.ts"
import { decodeLeniently } from "../../src/api-video/internal/decode.ts"
import { list } from "../../src/api-video/shared/routes/videos.ts"
import * as Videos from "../../src/api-video/Videos.ts"
import { apiKey } from "../server/platform.ts"
import { answer } from "./answer.ts"
import { lastTitle, page } from "./page.ts"

/** So many pages, each of which must have the expected title. */
export interface Question {
  readonly pages: number
}

export interface Answer {
  readonly nanoseconds: number
}

/** A page as far as it is looked at. */
interface Page {
  readonly data: ReadonlyArray<{ readonly title?: string | null | undefined }>
}

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** The fields of `Video`, as one would write them down without further thought: dates are strings. */
const PlainVideo = Schema.Struct({
  videoId: Schema.String,
  createdAt: optional(Schema.String),
  title: optional(Schema.String),
  description: optional(Schema.String),
  publishedAt: optional(Schema.String),
  updatedAt: optional(Schema.String),
  discardedAt: optional(Schema.String),
  deletesAt: optional(Schema.String),
  discarded: optional(Schema.Boolean),
  language: optional(Schema.String),
  languageOrigin: optional(Schema.String),
  tags: optional(Schema.Array(Schema.String)),
  metadata: optional(Schema.Array(Schema.Struct({ key: optional(Schema.String), value: optional(Schema.String) }))),
  source: optional(
    Schema.Struct({
      uri: optional(Schema.String),
      type: optional(Schema.String),
      liveStream: optional(
        Schema.Struct({
          liveStreamId: optional(Schema.String),
          links: optional(Schema.Array(Schema.Struct({ rel: optional(Schema.String), uri: optional(Schema.String) })))
        })
      )
    })
  ),
  assets: optional(
    Schema.Struct({
      hls: optional(Schema.String),
      iframe: optional(Schema.String),
      player: optional(Schema.String),
      thumbnail: optional(Schema.String),
      mp4: optional(Schema.String)
    })
  ),
  playerId: optional(Schema.String),
  public: optional(Schema.Boolean),
  panoramic: optional(Schema.Boolean),
  mp4Support: optional(Schema.Boolean)
})

const PlainPage = Schema.Struct({
  data: Schema.Array(PlainVideo),
  pagination: Schema.Struct({
    currentPage: optional(Schema.Finite),
    pageSize: optional(Schema.Finite),
    pagesTotal: optional(Schema.Finite),
    itemsTotal: optional(Schema.Finite),
    currentPageItems: optional(Schema.Finite)
  })
})

const [subject = "", url = ""] = process.argv.slice(2)

const requests = async (): Promise<() => Promise<Page>> => {
  if (subject === "@api.video/nodejs-client") {
    const client = new ApiVideoClient({ apiKey, baseUri: url })
    return async () => {
      const { data } = await client.videos.list({ pageSize: 100 })
      return { data: data.map(({ title }) => ({ title })) }
    }
  }
  const runtime = ManagedRuntime.make(
    ApiVideo.layer({ apiKey: Redacted.make(apiKey), baseUrl: url, rateLimits: false }).pipe(
      Layer.provide(NodeHttpClient.layerUndici)
    )
  )
  const raw = ApiVideo.ApiVideo.use((api) =>
    Effect.map(
      Effect.flatMap(api.get("/videos", { urlParams: { pageSize: 100 } }), ({ text }) => text),
      (text): Page => JSON.parse(text)
    )
  )
  return subject === "Videos.list"
    ? () => runtime.runPromise(Videos.list({ pageSize: 100 }))
    : () => runtime.runPromise(raw)
}

const decodePlain = Schema.decodeUnknownSync(PlainPage)

const reads: Readonly<Record<string, () => Page>> = {
  "JSON.parse": () => JSON.parse(page),
  "Schema.Struct": () => decodePlain(JSON.parse(page)),
  typed: () => Result.getOrThrow(decodeLeniently(list.success, JSON.parse(page))).value
}

const read = reads[subject]
const next: () => Page | Promise<Page> = read ?? (await requests())

answer<Question, Answer>(async ({ pages }) => {
  const since = process.hrtime.bigint()
  for (let left = pages; left > 0; left--) {
    const { data } = await next()
    if (data[99]?.title !== lastTitle) throw new Error(`${subject}: not the page`)
  }
  return { nanoseconds: Number(process.hrtime.bigint() - since) }
})
