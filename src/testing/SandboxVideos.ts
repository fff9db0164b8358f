/**
 * The resources of the sandboxed api.video: videos, their sources, upload tokens; in memory, one set per sandbox.
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as SandboxProblem from "./SandboxProblem.ts"
import { type Answer, type Json, queryOf, type Request, wholeNumber } from "./SandboxRequest.ts"
import { randomHex } from "./SandboxTokens.ts"

interface Upload {
  readonly unit: "part" | "bytes"
  total: number | undefined
  /** Inclusive ranges received; a part is a range of one. */
  readonly ranges: Array<readonly [from: number, to: number]>
}

interface Video {
  readonly videoId: string
  readonly fields: Record<string, unknown>
  upload: Upload | "whole" | undefined
}

interface UploadToken {
  readonly token: string
  readonly ttl: number
  readonly createdAt: number
}

/** Largest body of one request: 200 MiB, and something for the multipart frame (api.video documentation, video upload). */
export const maximumBodySize = 201 * 1024 * 1024

const maximumFileSize = 200 * 1024 * 1024
const maximumParts = 10_000

// Dates are "ATOM UTC": an offset instead of Z, and no fraction (api.video OpenAPI).
const atom = (millis: number) => new Date(millis).toISOString().replace(/\.\d+Z$/, "+00:00")

const identifier = (prefix: string) => prefix + randomHex(11)

const notFound = (name: string) => SandboxProblem.response("resource-not-found", { name })

const paginate = (request: Request, origin: string, path: string, items: ReadonlyArray<Json>): Answer => {
  const query = queryOf(request)
  const currentPage = wholeNumber(query.get("currentPage") ?? "1")
  const pageSize = wholeNumber(query.get("pageSize") ?? "25")
  const title = "This parameter is out of the allowed range of values."
  const problems = [
    ...(currentPage >= 1 ? [] : [{ title, name: "page", range: { min: 1 } }]),
    ...(pageSize >= 10 && pageSize <= 100 ? [] : [{ title, name: "pageSize", range: { min: 10, max: 100 } }])
  ]
  const [first] = problems
  // The documented example has no "type", and calls the parameter currentPage "page" (api.video OpenAPI, LIST-videos).
  if (first !== undefined) return SandboxProblem.untyped({ ...first, status: 400, problems })
  const pagesTotal = Math.max(1, Math.ceil(items.length / pageSize))
  const data = items.slice((currentPage - 1) * pageSize, currentPage * pageSize)
  const link = (rel: string, page: number, base: string) => {
    query.set("currentPage", String(page))
    query.set("pageSize", String(pageSize))
    return { rel, uri: `${base}${path}?${query}` }
  }
  // Documented answers hold relative and absolute links (api.video OpenAPI): a client must resolve both.
  const links = [
    link("self", currentPage, ""),
    link("first", 1, ""),
    ...(currentPage > 1 ? [link("previous", currentPage - 1, origin)] : []),
    ...(currentPage < pagesTotal ? [link("next", currentPage + 1, origin)] : []),
    link("last", pagesTotal, "")
  ]
  return HttpServerResponse.jsonUnsafe({
    data,
    pagination: {
      currentPage,
      currentPageItems: data.length,
      pageSize,
      pagesTotal,
      itemsTotal: items.length,
      links
    }
  })
}

const writable = ["title", "description", "public", "panoramic", "mp4Support", "playerId", "tags", "metadata"]

const isString = (value: unknown) => typeof value === "string"

const isBoolean = (value: unknown) => typeof value === "boolean"

const attributeProblem = (body: Json): Answer | undefined => {
  const must = (name: string, test: (value: unknown) => boolean, what: string) =>
    body[name] === undefined || test(body[name])
      ? []
      : [SandboxProblem.document("invalid-attribute", { title: `This attribute must be ${what}.`, name })]
  const problems = [
    ...must("title", isString, "a string"),
    ...must("description", isString, "a string"),
    ...["public", "panoramic", "mp4Support"].flatMap((name) => must(name, isBoolean, "a boolean")),
    ...["tags", "metadata"].flatMap((name) => must(name, Array.isArray, "an array"))
  ]
  const [first] = problems
  return first && SandboxProblem.untyped({ ...first, problems })
}

const hasMetadata = (fields: Json, wanted: { readonly key: string; readonly value: string }): boolean => {
  const entries: unknown = fields["metadata"]
  return Array.isArray(entries) && entries.some((entry) => entry?.key === wanted.key && entry?.value === wanted.value)
}

interface Received {
  readonly file: File
  readonly videoId: string | undefined
}

const receiveFile = (request: Request): Effect.Effect<Received | Answer> =>
  request.arrayBuffer.pipe(
    Effect.flatMap((bytes) =>
      Effect.tryPromise(() =>
        new Response(bytes, { headers: { "content-type": request.headers["content-type"] ?? "" } }).formData()
      )
    ),
    Effect.map((form): Received | Answer => {
      // The official client for Node names the field after the file, and api.video accepts that.
      const files = [...form].flatMap(([, value]) => (typeof value === "string" ? [] : [value]))
      const [file] = files
      const videoId = form.get("videoId")
      if (files.length > 1) return SandboxProblem.response("uploaded-file-multiple-files", { name: "file" })
      if (file === undefined) {
        return SandboxProblem.response("uploaded-file-no-file", { name: "file" })
      }
      if (file.size === 0) return SandboxProblem.response("uploaded-file-empty", { name: "file" })
      if (file.size > maximumFileSize) return SandboxProblem.response("uploaded-file-too-large", { name: "file" })
      return { file, videoId: typeof videoId === "string" ? videoId : undefined }
    }),
    Effect.orElseSucceed(() => SandboxProblem.response("uploaded-file-no-file", { name: "file" }))
  )

/** Takes a file, or a part of one, into a video; a slug says why not. */
const store = (
  video: Video,
  file: File,
  contentRange: string | undefined,
  minimumPartSize: number
): SandboxProblem.Slug | undefined => {
  const { upload } = video
  if (upload === "whole") return "video-source-already-uploaded"
  if (contentRange === undefined) {
    if (upload !== undefined) return "video-content-range-already-initiated"
    video.upload = "whole"
    return undefined
  }
  const part = /^part (\d+)\/(\d+|\*)$/.exec(contentRange)
  const bytes = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(contentRange)
  const unit = part === null ? "bytes" : "part"
  const [, from, to, totalText] = part === null ? (bytes ?? []) : [part[0], part[1], part[1], part[2]]
  if (from === undefined || to === undefined || totalText === undefined) return "video-content-range-malformed"
  if (upload !== undefined && upload.unit !== unit) {
    return upload.unit === "part" ? "video-content-range-started-with-part" : "video-content-range-started-with-bytes"
  }
  const range = [Number(from), Number(to)] as const
  const total = totalText === "*" ? undefined : Number(totalText)
  const collides = (upload?.ranges ?? []).some(([a, b]) => a <= range[1] && range[0] <= b)
  const highest = Math.max(0, ...(upload?.ranges ?? []).map(([, b]) => b))
  if (unit === "part") {
    const isLast = range[1] === total
    if (range[0] === 0) return "video-content-range-by-part-part-zero"
    if (total === 0) return "video-content-range-by-part-total-parts-zero"
    if (range[0] > maximumParts) return "video-content-range-by-part-part-too-high-allowed"
    if (total !== undefined && upload?.total !== undefined && total !== upload.total) {
      return "video-content-range-by-part-different-total-parts"
    }
    if (total !== undefined && range[0] > total) return "video-content-range-by-part-part-too-high-total"
    if (total !== undefined && total < highest) return "video-content-range-by-part-total-parts-too-low"
    if (collides) return "video-content-range-by-part-part-already-sent"
    if (!isLast && file.size < minimumPartSize) return "video-content-range-by-part-uploaded-file-too-small"
  } else {
    const isLast = total !== undefined && range[1] === total - 1
    if (total === 0) return "video-content-range-by-bytes-total-bytes-zero"
    if (range[0] > range[1]) return "video-content-range-by-bytes-from-byte-too-high"
    if (total !== undefined && upload?.total !== undefined && total !== upload.total) {
      return "video-content-range-by-bytes-different-total-bytes"
    }
    if (total !== undefined && range[1] >= total) return "video-content-range-by-bytes-to-byte-too-high-total"
    if (file.size !== range[1] - range[0] + 1) return "video-content-range-by-bytes-range-mismatch"
    if (collides) return "video-content-range-by-bytes-range-overlap"
    if (!isLast && file.size < minimumPartSize) return "video-content-range-by-bytes-range-too-small"
  }
  const current: Upload = upload ?? { unit, total, ranges: [] }
  current.total ??= total
  current.ranges.push(range)
  const size = current.ranges.reduce((sum, [a, b]) => sum + b - a + 1, 0)
  video.upload = size === current.total ? "whole" : current
  return undefined
}

/** Makes the resources of one sandbox. `now` in epoch milliseconds, `minimumPartSize` in bytes. */
export const make = (options: {
  readonly origin: string
  readonly now: () => number
  readonly minimumPartSize: () => number
  readonly conceal: (secret: string) => void
}) => {
  const { conceal, minimumPartSize, now, origin } = options
  const videos = new Map<string, Video>()
  const uploadTokens = new Map<string, UploadToken>()

  const shown = ({ fields, upload, videoId }: Video): Json => ({
    videoId,
    ...fields,
    source: { type: "upload", uri: `/videos/${videoId}/source`, ...(upload === "whole" ? { status: "uploaded" } : {}) },
    assets: {
      iframe: `<iframe src="https://embed.api.video/vod/${videoId}"></iframe>`,
      player: `https://embed.api.video/vod/${videoId}`,
      hls: `https://vod.api.video/vod/${videoId}/hls/manifest.m3u8`,
      thumbnail: `https://vod.api.video/vod/${videoId}/thumbnail.jpg`,
      mp4: `https://vod.api.video/vod/${videoId}/mp4/source.mp4`
    }
  })

  /** Upload and encoding of a video. Encoding takes no time here: a video is playable once its source is uploaded. */
  const status = ({ upload }: Video): Json => {
    const isWhole = upload === "whole"
    const received = isWhole ? undefined : upload
    const total = received?.total ?? null
    const ranges = received?.ranges.toSorted(([a], [b]) => a - b) ?? []
    return {
      ingest: {
        status: upload === undefined ? null : isWhole ? "uploaded" : "uploading",
        filesize: received?.unit === "bytes" ? total : null,
        receivedBytes: received?.unit === "bytes" ? ranges.map(([from, to]) => ({ from, to, total })) : [],
        receivedParts: received?.unit === "part" ? { parts: ranges.map(([part]) => part), total } : null
      },
      encoding: { playable: isWhole, qualities: [], metadata: null }
    }
  }

  const shownToken = ({ createdAt, token, ttl }: UploadToken): Json => ({
    token,
    ttl,
    createdAt: atom(createdAt),
    ...(ttl === 0 ? {} : { expiresAt: atom(createdAt + ttl * 1000) })
  })

  const isLive = ({ createdAt, ttl }: UploadToken) => ttl === 0 || now() < createdAt + ttl * 1000

  const create = (body: Json): Video => {
    const at = atom(now())
    const video: Video = {
      videoId: identifier("vi"),
      fields: {
        description: "",
        public: true,
        panoramic: false,
        mp4Support: true,
        tags: [],
        metadata: [],
        ...Object.fromEntries(Object.entries(body).filter(([name]) => writable.includes(name))),
        createdAt: at,
        publishedAt: at,
        updatedAt: at,
        discarded: false,
        discardedAt: null,
        deletesAt: null
      },
      upload: undefined
    }
    videos.set(video.videoId, video)
    return video
  }

  const take = (request: Request, video: Video, file: File): Answer => {
    const slug = store(video, file, request.headers["content-range"], minimumPartSize())
    return slug === undefined
      ? HttpServerResponse.jsonUnsafe(shown(video), { status: 201 })
      : SandboxProblem.response(slug, { name: "file" })
  }

  const withVideo = (videoId: string, use: (video: Video) => Answer): Answer => {
    const video = videos.get(videoId)
    return video === undefined ? notFound("videoId") : use(video)
  }

  return {
    list: (request: Request): Answer => {
      const query = queryOf(request)
      const title = query.get("title")
      const metadata = [...query].flatMap(([name, value]) => {
        const key = /^metadata\[(.+)\]$/.exec(name)?.[1]
        return key === undefined ? [] : [{ key, value }]
      })
      const found = [...videos.values()].filter(
        ({ fields }) =>
          (title === null || fields["title"] === title) && metadata.every((wanted) => hasMetadata(fields, wanted))
      )
      return paginate(request, origin, "/videos", found.map(shown))
    },
    create: (body: Json | undefined): Answer => {
      if (body === undefined) return SandboxProblem.response("invalid-payload")
      if (body["title"] === undefined || body["title"] === "") {
        const problem = { name: "title" }
        const problems = [SandboxProblem.document("attribute-required", problem)]
        return SandboxProblem.response("attribute-required", { ...problem, problems })
      }
      return attributeProblem(body) ?? HttpServerResponse.jsonUnsafe(shown(create(body)), { status: 201 })
    },
    get: (videoId: string): Answer => withVideo(videoId, (video) => HttpServerResponse.jsonUnsafe(shown(video))),
    status: (videoId: string): Answer => withVideo(videoId, (video) => HttpServerResponse.jsonUnsafe(status(video))),
    update: (videoId: string, body: Json | undefined): Answer =>
      withVideo(videoId, (video) => {
        if (body === undefined) return SandboxProblem.response("invalid-payload")
        const problem = attributeProblem(body)
        if (problem !== undefined) return problem
        for (const name of writable) if (body[name] !== undefined) video.fields[name] = body[name]
        video.fields["updatedAt"] = atom(now())
        return HttpServerResponse.jsonUnsafe(shown(video))
      }),
    delete: (videoId: string): Answer =>
      withVideo(videoId, () => {
        videos.delete(videoId)
        return HttpServerResponse.empty()
      }),
    /** `POST /videos/{videoId}/source`. */
    source: (videoId: string, request: Request): Effect.Effect<Answer> =>
      Effect.map(receiveFile(request), (received) =>
        withVideo(videoId, (video) => ("file" in received ? take(request, video, received.file) : received))
      ),

    /** Why `POST /upload?token=…` may not go on, if so. */
    uploadRefusal: (request: Request): SandboxProblem.Slug | undefined => {
      const token = queryOf(request).get("token")
      if (token === null || token === "") return "authentication-missing-upload-token"
      const held = uploadTokens.get(token)
      return held !== undefined && isLive(held) ? undefined : "authentication-invalid-upload-token"
    },
    /**
     * `POST /upload?token=…`. A part that does not repeat the `videoId` of the first answer starts another video
     * (api.video-nodejs-client, issue 216).
     */
    upload: (request: Request): Effect.Effect<Answer> =>
      Effect.map(receiveFile(request), (received) => {
        if (!("file" in received)) return received
        const { file, videoId } = received
        return videoId === undefined
          ? take(request, create({ title: file.name }), file)
          : withVideo(videoId, (video) => take(request, video, file))
      }),

    createUploadToken: (body: Json | undefined): Answer => {
      const ttl = body?.["ttl"] ?? 0
      if (typeof ttl !== "number" || !Number.isInteger(ttl) || ttl < 0 || ttl > 2_147_483_647) {
        return SandboxProblem.response("invalid-attribute", { name: "ttl", range: { min: 0, max: 2_147_483_647 } })
      }
      const token: UploadToken = { token: identifier("to"), ttl, createdAt: now() }
      uploadTokens.set(token.token, token)
      conceal(token.token)
      return HttpServerResponse.jsonUnsafe(shownToken(token))
    },
    listUploadTokens: (request: Request): Answer =>
      paginate(request, origin, "/upload-tokens", [...uploadTokens.values()].filter(isLive).map(shownToken)),
    getUploadToken: (token: string): Answer => {
      const held = uploadTokens.get(token)
      return held === undefined ? notFound("uploadToken") : HttpServerResponse.jsonUnsafe(shownToken(held))
    },
    deleteUploadToken: (token: string): Answer =>
      uploadTokens.delete(token) ? HttpServerResponse.empty() : notFound("uploadToken")
  }
}

/** The resources, see `make`. */
export type Videos = ReturnType<typeof make>
