/** The videos of the sandboxed api.video, with their sources, thumbnails and life after deletion. */
import type * as routes from "../../api-video/shared/routes/videos.ts"
import * as SandboxProblem from "../SandboxProblem.ts"
import type { Json } from "../SandboxRequest.ts"
import * as encodings from "./encoding.ts"
import type { Handlers, Input } from "./input.ts"
import { compare, makeOrder, page, sorted } from "./pages.ts"
import { noSuch, notFound, type Reply, toAnswer } from "./reply.ts"
import * as sources from "./sources.ts"
import { atom, identifier, type World } from "./world.ts"

type Creation = Input<typeof routes.create>["body"]
type Update = Input<typeof routes.update>["body"]
type Query = Input<typeof routes.list>["query"]

/** The captions or chapters of one language. */
export interface Track {
  readonly language: string
  default: boolean
}

/** Where a video comes from. */
type Origin =
  | { readonly kind: "upload" }
  | { readonly kind: "download" | "copy"; readonly from: string }
  | { readonly kind: "liveStream"; readonly liveStreamId: string }

export interface Video {
  readonly videoId: string
  /** How many were created before. */
  readonly number: number
  readonly createdAt: number
  readonly origin: Origin
  readonly clip: encodings.Clip | undefined
  updatedAt: number
  title: string
  description: string
  public: boolean
  panoramic: boolean
  mp4Support: boolean
  playerId: string | undefined
  tags: ReadonlyArray<string>
  metadata: ReadonlyArray<{ readonly key: string; readonly value: string }>
  language: string | undefined
  languageOrigin: "api" | "auto" | undefined
  discardedAt: number | undefined
  source: sources.Source | undefined
  encoding: encodings.Encoding | undefined
  readonly captions: Map<string, Track>
  readonly chapters: Map<string, Track>
  /** Private tokens that nobody has used yet. */
  readonly tokens: Set<string>
  /** What happens once the video is encoded. */
  waiting: Array<() => void>
}

/** What else creating or updating a video begins. */
export interface Hooks {
  readonly hasPlayer: (playerId: string) => boolean
  readonly hasWatermark: (watermarkId: string) => boolean
  readonly transcribe: (video: Video, language: string | undefined) => void
  /** False: there is a summary already. */
  readonly summarize: (video: Video, attributes: ReadonlyArray<string> | undefined) => boolean
}

/** Discarded videos are deleted after 90 days (api.video OpenAPI, `DELETE-video`). */
const retention = 90 * 24 * 60 * 60 * 1000

/** Tokens of a private video that are kept: one for each of its latest responses. */
const maximumTokens = 1_000

const summaryExists = () =>
  SandboxProblem.response("summary-already-exists", {
    detail: "You can delete the existing summary and generate a new one.",
    name: "transcriptSummary"
  })

/** What a query asks of each video. */
const conditionsOf = ({ description, liveStreamId, metadata = {}, tags = [], title }: Query) => [
  ...(title === undefined ? [] : [(video: Video) => video.title.includes(title)]),
  ...(description === undefined ? [] : [(video: Video) => video.description.includes(description)]),
  ...tags.map((tag) => (video: Video) => video.tags.includes(tag)),
  ...Object.entries(metadata).map(
    ([key, value]) =>
      (video: Video) =>
        video.metadata.some((entry) => entry.key === key && entry.value === value)
  ),
  ...(liveStreamId === undefined
    ? []
    : [({ origin }: Video) => origin.kind === "liveStream" && origin.liveStreamId === liveStreamId])
]

type SortKey = NonNullable<Query["sortBy"]>

const valueOf = (video: Video, key: SortKey): string | number => (key === "publishedAt" ? video.createdAt : video[key])

const isUrl = (text: string) => /^https?:\/\/\S+$/i.test(text)

export const make = (world: World, hooks: Hooks) => {
  const { at, conceal, emit, files, now, origin, settings } = world
  const videos = new Map<string, Video>()
  let created = 0

  /** The videos that are not discarded, in each order that a list may ask for. */
  const byCreation = makeOrder<Video>((a, b) => a.number - b.number)
  const byTitle = makeOrder<Video>((a, b) => compare(a.title, b.title) || a.number - b.number)
  const byUpdate = makeOrder<Video>((a, b) => a.updatedAt - b.updatedAt || a.number - b.number)
  const orders = { createdAt: byCreation, publishedAt: byCreation, title: byTitle, updatedAt: byUpdate }

  const enlist = (video: Video): void => {
    for (const order of [byCreation, byTitle, byUpdate]) order.add(video)
  }
  const delist = (video: Video): void => {
    for (const order of [byCreation, byTitle, byUpdate]) order.remove(video)
  }

  const find = (videoId: string): Video | undefined => {
    const video = videos.get(videoId)
    return video?.discardedAt === undefined ? video : undefined
  }

  const isKept = ({ discardedAt }: Video) => discardedAt !== undefined && now() < discardedAt + retention
  const findDiscarded = (videoId: string): Video | undefined => {
    const video = videos.get(videoId)
    return video !== undefined && isKept(video) ? video : undefined
  }

  const issueToken = ({ tokens }: Video): string => {
    const token = crypto.randomUUID()
    const [oldest] = tokens
    if (oldest !== undefined && tokens.size >= maximumTokens) tokens.delete(oldest)
    tokens.add(token)
    conceal(token)
    return token
  }

  const tokenFor = (video: Video) => (video.public ? undefined : issueToken(video))
  const baseOf = ({ videoId }: Video, token: string | undefined) =>
    `${origin}/vod/${videoId}${token === undefined ? "" : `/token/${token}`}`

  const assetsOf = (video: Video): Json => {
    const token = tokenFor(video)
    const base = baseOf(video, token)
    const player = token === undefined ? base : `${baseOf(video, undefined)}?token=${token}`
    return {
      iframe: `<iframe src="${player}" width="100%" height="100%" frameborder="0" scrolling="no" allowfullscreen=""></iframe>`,
      player,
      hls: `${base}/hls/manifest.m3u8`,
      thumbnail: `${base}/thumbnail.jpg`,
      ...(video.mp4Support ? { mp4: `${base}/mp4/source.mp4` } : {})
    }
  }

  const sourceOf = ({ origin, videoId }: Video): Json =>
    origin.kind === "liveStream"
      ? {
          type: "liveStream",
          liveStream: {
            liveStreamId: origin.liveStreamId,
            links: [{ rel: "self", uri: `/live-streams/${origin.liveStreamId}` }]
          }
        }
      : { uri: origin.kind === "upload" ? `/videos/${videoId}/source` : origin.from }

  const show = (video: Video): Json => ({
    videoId: video.videoId,
    createdAt: atom(video.createdAt),
    title: video.title,
    description: video.description,
    publishedAt: atom(video.createdAt),
    updatedAt: atom(video.updatedAt),
    discarded: video.discardedAt !== undefined,
    discardedAt: video.discardedAt === undefined ? null : atom(video.discardedAt),
    deletesAt: video.discardedAt === undefined ? null : atom(video.discardedAt + retention),
    ...(video.language === undefined ? {} : { language: video.language, languageOrigin: video.languageOrigin }),
    tags: video.tags,
    metadata: video.metadata,
    source: sourceOf(video),
    assets: video.discardedAt === undefined ? assetsOf(video) : null,
    ...(video.playerId === undefined ? {} : { playerId: video.playerId }),
    public: video.public,
    panoramic: video.panoramic,
    mp4Support: video.mp4Support
  })

  const add = (title: string, origin: Origin, creation: Omit<Creation, "title"> = {}): Video => {
    const createdAt = now()
    const video: Video = {
      videoId: identifier("vi"),
      number: created++,
      createdAt,
      updatedAt: createdAt,
      origin,
      clip: creation.clip,
      title,
      description: creation.description ?? "",
      public: creation.public ?? true,
      panoramic: creation.panoramic ?? false,
      mp4Support: creation.mp4Support ?? true,
      playerId: creation.playerId,
      tags: creation.tags ?? [],
      metadata: creation.metadata ?? [],
      language: undefined,
      languageOrigin: undefined,
      discardedAt: undefined,
      source: undefined,
      encoding: undefined,
      captions: new Map(),
      chapters: new Map(),
      tokens: new Set(),
      waiting: []
    }
    videos.set(video.videoId, video)
    enlist(video)
    return video
  }

  /** Encodes the source of a video, which is complete at an instant. */
  const encode = (video: Video, ingestedAt: number): void => {
    const encoding = encodings.plan(ingestedAt, settings(), video)
    video.encoding = encoding
    const liveStream = video.origin.kind === "liveStream" ? { liveStreamId: video.origin.liveStreamId } : {}
    for (const { endsAt, quality, type } of encoding.qualities) {
      at(endsAt, () => {
        if (encoding.fails || !videos.has(video.videoId)) return
        emit({
          type: "video.encoding.quality.completed",
          emittedAt: new Date(now()).toISOString(),
          videoId: video.videoId,
          ...liveStream,
          encoding: type,
          quality
        })
      })
    }
    at(encoding.endsAt, () => {
      const { waiting } = video
      video.waiting = []
      if (!encoding.fails) for (const action of waiting) action()
    })
  }

  /** Does something that takes as long as the encoding, once that is over. */
  const afterEncoding = (video: Video, action: () => void): void => {
    const later = () => at(now() + settings().encodingTime, () => (videos.has(video.videoId) ? action() : undefined))
    if (video.encoding !== undefined && now() >= video.encoding.endsAt) later()
    else video.waiting.push(later)
  }

  const originOf = (source: string | undefined): Origin | undefined => {
    if (source === undefined) return { kind: "upload" }
    if (find(source) !== undefined) return { kind: "copy", from: source }
    return isUrl(source) ? { kind: "download", from: source } : undefined
  }

  const speak = (video: Video, body: Creation | Update): void => {
    if (body.language === null) {
      video.language = undefined
      video.languageOrigin = undefined
    } else if (body.language !== undefined) {
      video.language = body.language
      video.languageOrigin = "api"
    }
    if (body.transcript === true || typeof body.language === "string") {
      hooks.transcribe(video, typeof body.language === "string" ? body.language : undefined)
    }
  }

  /** Refuses what a body names and does not exist. */
  const refusalOf = ({ playerId, ...body }: Creation | Update): Reply => {
    if (playerId !== undefined && !hooks.hasPlayer(playerId)) return noSuch("player", "playerId")
    const watermarkId = "watermark" in body ? body.watermark?.id : undefined
    return watermarkId === undefined || hooks.hasWatermark(watermarkId)
      ? undefined
      : noSuch("watermark", "watermark[id]")
  }

  const thumbnailOf = ({ videoId }: Video) => `/vod/${videoId}/thumbnail.jpg`

  const withVideo = (videoId: string, use: (video: Video) => Reply): Reply => {
    const video = find(videoId)
    return video === undefined ? notFound("videoId") : use(video)
  }

  const touch = (video: Video): Json => {
    video.updatedAt = now()
    delist(video)
    enlist(video)
    return show(video)
  }

  const alreadyThere = {
    copy: "video-source-already-copied",
    download: "video-source-already-downloaded",
    liveStream: "video-source-already-uploaded"
  } as const

  const take = (video: Video, file: File, contentRange: string | undefined): Reply => {
    if (video.origin.kind !== "upload") {
      return SandboxProblem.response(alreadyThere[video.origin.kind], { name: "file" })
    }
    const source = sources.receive(video.source, file.size, contentRange, settings().minimumPartSize)
    if (typeof source === "string") return SandboxProblem.response(source, { name: "file" })
    video.source = source
    if (source.unit === "whole") encode(video, now())
    return show(video)
  }

  const ingestOf = ({ encoding, origin, source }: Video): string | null => {
    if (origin.kind === "upload")
      return source === undefined ? null : source.unit === "whole" ? "uploaded" : "uploading"
    return encoding !== undefined && now() >= encoding.ingestedAt ? "ingested" : "ingesting"
  }

  const found = (inOrder: ReadonlyArray<Video>, query: Query): ReadonlyArray<Video> =>
    conditionsOf(query).reduce((left, condition) => left.filter(condition), inOrder)

  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) => {
      const ascending = found(orders[query.sortBy ?? "createdAt"].items, query)
      return page(query.sortOrder === "desc" ? ascending.toReversed() : ascending, query, { origin, url }, show)
    },
    create: ({ body }) => {
      if (body.title === "") return SandboxProblem.response("attribute-required", { name: "title" })
      const from = originOf(body.source)
      if (from === undefined) {
        return SandboxProblem.response("invalid-attribute", {
          name: "source",
          detail: "The source is neither an http: or https: URL nor the videoId of one of your videos."
        })
      }
      const refused = refusalOf(body)
      if (refused !== undefined) return refused
      const video = add(body.title, from, body)
      if (from.kind !== "upload") encode(video, now() + settings().ingestTime)
      speak(video, body)
      if (body.transcriptSummary === true) hooks.summarize(video, body.transcriptSummaryAttributes)
      // A source is fetched later (api.video OpenAPI, `POST-video`: 201 or 202).
      return from.kind === "upload" ? show(video) : toAnswer(show(video), 202)
    },
    get: ({ params }) => withVideo(params.videoId, show),
    update: ({ body, params }) =>
      withVideo(params.videoId, (video) => {
        const refused = refusalOf(body)
        if (refused !== undefined) return refused
        if (body.transcriptSummary === true && !hooks.summarize(video, body.transcriptSummaryAttributes)) {
          return summaryExists()
        }
        video.title = body.title ?? video.title
        video.description = body.description ?? video.description
        video.public = body.public ?? video.public
        video.panoramic = body.panoramic ?? video.panoramic
        video.mp4Support = body.mp4Support ?? video.mp4Support
        video.playerId = body.playerId ?? video.playerId
        video.tags = body.tags ?? video.tags
        video.metadata = body.metadata ?? video.metadata
        speak(video, body)
        return touch(video)
      }),
    remove: ({ params }) =>
      withVideo(params.videoId, (video) => {
        if (settings().videoRestore) video.discardedAt = now()
        else videos.delete(video.videoId)
        delist(video)
        return undefined
      }),
    getStatus: ({ params }) =>
      withVideo(params.videoId, (video) => ({
        ingest: { status: ingestOf(video), ...sources.show(video.source) },
        encoding: encodings.show(video.encoding, now())
      })),
    uploadThumbnail: ({ file, params }) =>
      withVideo(params.videoId, (video) => {
        files.set(thumbnailOf(video), file)
        return touch(video)
      }),
    pickThumbnail: ({ params }) =>
      withVideo(params.videoId, (video) => {
        files.delete(thumbnailOf(video))
        return touch(video)
      }),
    listDiscarded: ({ query, url }) => {
      const discarded = found([...videos.values()].filter(isKept), query)
      return page(sorted(discarded, query, valueOf), query, { origin, url }, show)
    },
    getDiscarded: ({ params }) => {
      const video = findDiscarded(params.videoId)
      return video === undefined ? notFound("videoId") : show(video)
    },
    restore: ({ params }) => {
      const video = findDiscarded(params.videoId)
      if (video === undefined) return notFound("videoId")
      video.discardedAt = undefined
      return touch(video)
    },
    upload: ({ contentRange, file, params }) => withVideo(params.videoId, (video) => take(video, file, contentRange)),
    /** A part that does not repeat the `videoId` of the first answer starts another video (api.video-nodejs-client, issue 216). */
    uploadWithUploadToken: ({ contentRange, file, form }) =>
      form.videoId === undefined
        ? take(add(file.name, { kind: "upload" }), file, contentRange)
        : withVideo(form.videoId, (video) => take(video, file, contentRange))
  }

  return {
    handlers,
    all: (): ReadonlyArray<Video> => byCreation.items,
    find,
    withVideo,
    afterEncoding,
    /** Where the assets of a video are, with a new private token if it has to have one. */
    assetBaseOf: (video: Video): string => baseOf(video, tokenFor(video)),
    /** The recording of a live stream. */
    record: (liveStreamId: string, title: string, isPublic: boolean): Video => {
      const video = add(title, { kind: "liveStream", liveStreamId }, { public: isPublic })
      encode(video, now())
      return video
    },
    /** Undefined: there is no such video. */
    isPlayable: (videoId: string): boolean => {
      const video = find(videoId)
      return video !== undefined && encodings.show(video.encoding, now())["playable"] === true
    },
    isPublic: (videoId: string): boolean | undefined => find(videoId)?.public,
    /** Whether a private token is one that nobody has used. From now on it is used. */
    redeemPrivateToken: (videoId: string, token: string): boolean => find(videoId)?.tokens.delete(token) ?? false
  }
}

/** The videos of one sandbox. */
export type Videos = ReturnType<typeof make>
