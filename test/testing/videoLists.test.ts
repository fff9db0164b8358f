/** Random videos on the sandbox, found, sorted and paged, against a naive model of them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { checks } from "../support/random.ts"

// Few words, so that filters find something and titles are alike.
const Word = Schema.Literals(["a", "b", "ab", "B", "é a", "a&b=c"])
const Key = Schema.Literals(["k", "k.l", "ä b"])
const few = <S extends Schema.Codec<unknown, unknown>>(item: S) => Schema.Array(item).check(Schema.isMaxLength(3))

const Creation = Schema.Struct({
  title: Word,
  description: Word,
  tags: few(Word),
  metadata: few(Schema.Struct({ key: Key, value: Word }))
})

const index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))

const Action = Schema.Union([
  Schema.Struct({ type: Schema.Literal("create"), creation: Creation }),
  Schema.Struct({ type: Schema.Literal("update"), index, title: Word, tags: few(Word) }),
  Schema.Struct({ type: Schema.Literal("delete"), index })
])

const Step = Schema.Struct({ action: Action, waits: Schema.Boolean })

// Most filters at once find nothing, and then no order shows.
const filters = ["none", "none", "title", "description", "tags", "metadata", "all"] as const

const Query = Schema.Struct({
  filter: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: filters.length - 1 })),
  title: Schema.optionalKey(Word),
  description: Schema.optionalKey(Word),
  tags: few(Word),
  metadata: Schema.optionalKey(Schema.Struct({ key: Key, value: Word })),
  sortBy: Schema.optionalKey(Schema.Literals(["title", "createdAt", "publishedAt", "updatedAt"])),
  sortOrder: Schema.optionalKey(Schema.Literals(["asc", "desc"])),
  pageSize: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
  discarded: Schema.Boolean
})

const Program = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isMinLength(8), Schema.isMaxLength(30)),
  queries: Schema.Array(Query).check(Schema.isMinLength(1), Schema.isMaxLength(6))
})

type Asked = Omit<typeof Query.Type, "filter">

/** A query with the filters that it chose. */
const narrowed = ({ filter, ...query }: typeof Query.Type): Asked => {
  const { description, metadata, tags, title, ...others } = query
  const chosen = filters[filter]
  const has = (name: string) => chosen === "all" || chosen === name
  return {
    ...others,
    tags: has("tags") ? tags : [],
    ...(has("title") && title !== undefined && { title }),
    ...(has("description") && description !== undefined && { description }),
    ...(has("metadata") && metadata !== undefined && { metadata })
  }
}

/** What the model knows of a video. */
interface Modelled {
  readonly videoId: string
  readonly createdAt: number
  readonly creation: typeof Creation.Type
  readonly title: string
  readonly tags: ReadonlyArray<string>
  readonly updatedAt: number
  readonly discarded: boolean
}

const found = (videos: ReadonlyArray<Modelled>, query: Asked): ReadonlyArray<string> => {
  const { description = "", discarded, metadata, sortBy = "createdAt", sortOrder = "asc", tags, title = "" } = query
  const left = videos.filter(
    (video) =>
      video.discarded === discarded &&
      video.title.split(title).length > (title === "" ? 0 : 1) &&
      video.creation.description.split(description).length > (description === "" ? 0 : 1) &&
      new Set([...video.tags, ...tags]).size === new Set(video.tags).size &&
      (metadata === undefined ||
        video.creation.metadata.some(({ key, value }) => `${key}=${value}` === `${metadata.key}=${metadata.value}`))
  )
  const valueOf = (video: Modelled) =>
    sortBy === "title" ? video.title : sortBy === "updatedAt" ? video.updatedAt : video.createdAt
  // Each video has a place: after all that come before it by value, or by creation where values are alike.
  const places = left.map(
    (video, index) =>
      left.filter((other, at) => valueOf(other) < valueOf(video) || (valueOf(other) === valueOf(video) && at < index))
        .length
  )
  const ids = left.map((_, place) => left[places.indexOf(place)]?.videoId ?? "")
  return sortOrder === "asc" ? ids : ids.toReversed()
}

const Created = Schema.Struct({ videoId: Schema.String })
const Page = Schema.Struct({
  data: Schema.Array(Created),
  pagination: Schema.Struct({
    currentPage: Schema.Finite,
    currentPageItems: Schema.Finite,
    pagesTotal: Schema.Finite,
    itemsTotal: Schema.Finite,
    links: Schema.Array(Schema.Struct({ rel: Schema.String, uri: Schema.String }))
  })
})
const decodeCreated = Schema.decodeUnknownEffect(Created)
const decodePage = Schema.decodeUnknownEffect(Page)

const call = Effect.fnUntraced(function* (method: "GET" | "POST" | "PATCH" | "DELETE", path: string, json?: unknown) {
  const { url } = yield* Sandbox.ApiVideoSandbox
  const request = HttpClientRequest.make(method)(new URL(path, url)).pipe(
    HttpClientRequest.setHeader("authorization", `Basic ${btoa("your_api_key:")}`)
  )
  const response = yield* HttpClient.execute(
    json === undefined ? request : HttpClientRequest.bodyJsonUnsafe(request, json)
  )
  assert.isBelow(response.status, 300, yield* response.text)
  return method === "DELETE" ? undefined : yield* response.json
})

const pathOf = ({ description, discarded, metadata, pageSize, sortBy, sortOrder, tags, title }: Asked) => {
  const query = new URLSearchParams({ pageSize: String(pageSize) })
  for (const tag of tags) query.append("tags[]", tag)
  if (metadata !== undefined) query.append(`metadata[${metadata.key}]`, metadata.value)
  for (const [name, value] of Object.entries({ title, description, sortBy, sortOrder })) {
    if (value !== undefined) query.append(name, value)
  }
  return `${discarded ? "/discarded" : ""}/videos?${query}`
}

/** Creates, changes and discards videos, and says what should be there. */
const perform = Effect.fnUntraced(function* (steps: ReadonlyArray<typeof Step.Type>) {
  const videos: Array<Modelled> = []
  let now = 0
  for (const { action: step, waits } of steps) {
    if (waits) {
      yield* TestClock.adjust(1_000)
      now++
    }
    if (step.type === "create") {
      const { videoId } = yield* Effect.flatMap(call("POST", "/videos", step.creation), decodeCreated)
      const { creation } = step
      const { tags, title } = creation
      videos.push({ videoId, creation, title, tags, createdAt: now, updatedAt: now, discarded: false })
    } else {
      const kept = videos.filter(({ discarded }) => !discarded)
      const video = kept[step.index % Math.max(1, kept.length)]
      if (video === undefined) continue
      const path = `/videos/${video.videoId}`
      const { tags = video.tags, title = video.title } = step.type === "update" ? step : {}
      yield* step.type === "update" ? call("PATCH", path, { title, tags }) : call("DELETE", path)
      const updatedAt = step.type === "update" ? now : video.updatedAt
      videos[videos.indexOf(video)] = {
        ...video,
        title,
        tags,
        updatedAt,
        discarded: step.type === "delete"
      }
    }
  }
  return videos
})

describe("lists of videos", () => {
  it.effect.prop(
    "are found, sorted and paged as a naive model says",
    { program: Program },
    ({ program }) =>
      Effect.gen(function* () {
        const videos = yield* perform(program.steps)
        for (const query of program.queries.map(narrowed)) {
          const expected = found(videos, query)
          const ids: Array<string> = []
          let path: string | undefined = pathOf(query)
          for (let number = 1; path !== undefined; number++) {
            const { data, pagination }: typeof Page.Type = yield* Effect.flatMap(call("GET", path), decodePage)
            ids.push(...data.map(({ videoId }) => videoId))
            assert.strictEqual(pagination.currentPage, number)
            assert.strictEqual(pagination.currentPageItems, data.length)
            assert.strictEqual(pagination.itemsTotal, expected.length)
            assert.strictEqual(pagination.pagesTotal, Math.max(1, Math.ceil(expected.length / query.pageSize)))
            path = pagination.links.find(({ rel }) => rel === "next")?.uri
          }
          assert.deepStrictEqual(ids, expected)
        }
      }).pipe(
        Effect.provide([Sandbox.layer({ rateLimits: Sandbox.noRateLimits, videoRestore: true }), FetchHttpClient.layer])
      ),
    checks(120, { size: 30, maxShrinks: 200 })
  )
})
