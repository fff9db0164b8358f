/**
 * The resources of the sandboxed movingimage: videos, channels and uploads, in memory, one set for each VideoManager.
 * Paths, statuses and shapes are those of the published OpenAPI document, where it says anything.
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { notFound, numbered, type Refusal } from "./SandboxRefusal.ts"
import { type Answer, type Json, queryOf, type Request, wholeNumber } from "./SandboxRequest.ts"
import { randomHex } from "./SandboxTokens.ts"

type Outcome = Effect.Effect<Answer, Refusal>

interface Video {
  readonly id: string
  readonly fields: Record<string, unknown>
  /** Numbers of the chunks received; undefined before the first. */
  chunks: Set<number> | undefined
}

interface Channel {
  readonly id: number
  readonly name: string
  /** Undefined: the root. */
  readonly parentId: number | undefined
}

interface Resources {
  readonly videos: Map<string, Video>
  readonly root: Channel
  /** The root as well. */
  readonly channels: Map<number, Channel>
}

/** Chunks have 2 to 10 MB (movingimage documentation, upload). */
export const maximumBodySize = 16 * 1024 * 1024

// "The token is valid for four hours" (movingimage OpenAPI, upload URL).
const uploadTokenLifetime = 4 * 60 * 60 * 1000

const writable = ["title", "description", "keywords", "autoPublish"]

const badRequest = (message: string) => Effect.fail<Refusal>({ status: 400, message })

const childrenOf = (channels: Resources["channels"], id: number): ReadonlyArray<Channel> =>
  [...channels.values()].filter(({ parentId }) => parentId === id)

const tree = (channels: Resources["channels"], { id, name, parentId }: Channel): Json => ({
  id,
  name,
  ...(parentId === undefined ? { rootChannel: true } : { parentId }),
  children: childrenOf(channels, id).map((channel) => tree(channels, channel))
})

/** Makes the resources of one sandbox. `now` in epoch milliseconds. */
export const make = (options: {
  readonly origin: string
  readonly now: () => number
  readonly deletesWith404: () => boolean
  readonly storageLimitReached: () => boolean
  readonly conceal: (secret: string) => void
}) => {
  const { conceal, deletesWith404, now, origin, storageLimitReached } = options
  // Another origin than the API's, as in reality: a client must not send its token along.
  const uploadOrigin = origin.replace("//127.0.0.1:", "//localhost:")
  const videoManagers = new Map<number, Resources>()
  const uploads = new Map<string, { readonly video: Video; readonly expiresAt: number }>()
  let channelIds = 0

  const newChannel = (name: string, parentId?: number): Channel => ({ id: ++channelIds, name, parentId })

  const created = (path: string, body?: string): Answer => {
    const options = { status: 201, headers: { location: `${origin}/v1/vms/${path}` } }
    return body === undefined ? HttpServerResponse.empty(options) : HttpServerResponse.text(body, options)
  }

  const of = (videoManager: number): Resources => {
    const held = videoManagers.get(videoManager)
    if (held !== undefined) return held
    const root = newChannel("root_channel")
    const made: Resources = { videos: new Map(), root, channels: new Map([[root.id, root]]) }
    videoManagers.set(videoManager, made)
    return made
  }

  const withVideo = (videoManager: number, id: string, use: (video: Video) => Outcome): Outcome => {
    const video = of(videoManager).videos.get(id)
    return video === undefined ? Effect.fail(notFound("video")) : use(video)
  }

  const deleted = (status: 200 | 204): Answer => HttpServerResponse.empty({ status: deletesWith404() ? 404 : status })

  return {
    /** `GET …/videos`: the newest first, as its default is documented. */
    list: (videoManager: number, request: Request): Outcome => {
      const query = queryOf(request)
      const offset = wholeNumber(query.get("offset") ?? "0")
      const limit = wholeNumber(query.get("limit") ?? "50")
      if (Number.isNaN(offset + limit)) return badRequest("offset and limit must be whole numbers.")
      const videos = [...of(videoManager).videos.values()].toReversed()
      return Effect.succeed(
        HttpServerResponse.jsonUnsafe({
          videos: videos.slice(offset, offset + limit).map(({ fields }) => fields),
          total: videos.length
        })
      )
    },

    create: (videoManager: number, body: Json): Outcome => {
      const fileName = body["fileName"]
      if (typeof fileName !== "string" || fileName === "") return badRequest("fileName is missing.")
      if (storageLimitReached()) return Effect.fail(numbered(1101))
      const id = randomHex(11)
      const fields = {
        id,
        title: fileName,
        description: "",
        ...Object.fromEntries(Object.entries(body).filter(([name]) => writable.includes(name))),
        createdDate: now(),
        modifiedDate: now(),
        published: false,
        deleted: false
      }
      of(videoManager).videos.set(id, { id, fields, chunks: undefined })
      return Effect.succeed(created(`${videoManager}/videos/${id}`))
    },

    get: (videoManager: number, id: string): Outcome =>
      withVideo(videoManager, id, ({ fields }) => Effect.succeed(HttpServerResponse.jsonUnsafe(fields))),

    update: (videoManager: number, id: string, body: Json): Outcome =>
      withVideo(videoManager, id, ({ fields }) => {
        for (const name of writable) if (body[name] !== undefined) fields[name] = body[name]
        fields["modifiedDate"] = now()
        return Effect.succeed(HttpServerResponse.empty())
      }),

    delete: (videoManager: number, id: string): Outcome =>
      withVideo(videoManager, id, () => {
        of(videoManager).videos.delete(id)
        return Effect.succeed(deleted(204))
      }),

    /** `GET …/videos/{videoId}/url`: where to upload, in `Location`, with a token of its own. */
    uploadUrl: (videoManager: number, id: string): Outcome =>
      withVideo(videoManager, id, (video) => {
        if (storageLimitReached()) return Effect.fail(numbered(1101))
        const expiresAt = now() + uploadTokenLifetime
        const token = `${Math.floor(expiresAt / 1000)}~${randomHex(20)}`
        uploads.set(token, { video, expiresAt })
        conceal(token)
        const location = `${uploadOrigin}/chunks/${id}?videoManager=${videoManager}&__token__=${token}`
        return Effect.succeed(HttpServerResponse.empty({ status: 200, headers: { location } }))
      }),

    /** `POST` to an upload URL; an `Authorization` header is not looked at. */
    chunk: (request: Request, id: string): Outcome => {
      const upload = uploads.get(queryOf(request).get("__token__") ?? "")
      if (upload?.video.id !== id || now() >= upload.expiresAt) {
        return Effect.fail({ status: 403, message: "The upload URL is invalid or expired." })
      }
      const total = wholeNumber(request.headers["mi24-upload-total-chunks"] ?? "")
      const current = wholeNumber(request.headers["mi24-upload-current-chunk"] ?? "")
      if (!(current >= 1 && current <= total)) {
        return badRequest("Mi24-Upload-Current-Chunk must count from 1 to Mi24-Upload-Total-Chunks.")
      }
      const { video } = upload
      video.chunks = (video.chunks ?? new Set()).add(current)
      if (video.chunks.size === total) video.fields["uploadDate"] = now()
      return Effect.succeed(HttpServerResponse.empty({ status: 201 }))
    },

    /** `GET …/channels`: the root with its descendants. */
    channels: (videoManager: number): Outcome => {
      const { channels, root } = of(videoManager)
      return Effect.succeed(HttpServerResponse.jsonUnsafe(tree(channels, root)))
    },

    createChannel: (videoManager: number, { name, parentId }: Json): Outcome => {
      const { channels, root } = of(videoManager)
      if (typeof name !== "string" || name === "") return badRequest("name is missing.")
      const parent = parentId ?? root.id
      if (typeof parent !== "number" || !channels.has(parent)) return Effect.fail(notFound("parent channel"))
      const channel = newChannel(name, parent)
      channels.set(channel.id, channel)
      return Effect.succeed(created(`${videoManager}/channels/${channel.id}`, String(channel.id)))
    },

    deleteChannel: (videoManager: number, id: string): Outcome => {
      const { channels, root } = of(videoManager)
      const channel = channels.get(wholeNumber(id))
      if (channel === undefined) return Effect.fail(notFound("channel"))
      if (channel === root) return Effect.fail(numbered(1001))
      if (childrenOf(channels, channel.id).length > 0) return Effect.fail(numbered(1002))
      channels.delete(channel.id)
      return Effect.succeed(deleted(200))
    }
  }
}
