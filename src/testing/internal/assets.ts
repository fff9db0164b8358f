/**
 * The delivery server of the sandboxed api.video: what plays its videos. `vod.api.video` and `embed.api.video` are below
 * `/vod` here. The content is made up; who gets it is as documented ("Private Video Session Tokens").
 *
 * - A public video needs no token.
 * - The URLs of a private video have a private token, which works once: for one asset, or for a session.
 * - A session token in `avh` works for all assets with that private token, for 24 hours.
 * - Everything else gets a 404, as a private token does that was used. A manifest gets a 202 while the video is encoded.
 *
 * Files that were uploaded (thumbnails, captions, chapters, logos) are what they were. Live streams are below `/live`, logos
 * below `/player`.
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { type Answer, pathOf, queryOf, type Request } from "../SandboxRequest.ts"
import { notSimulated } from "./reply.ts"
import type * as SandboxServer from "../SandboxServer.ts"
import { randomHex } from "../SandboxTokens.ts"

/** What the delivery server knows of the videos. */
export interface Videos {
  /** Undefined: there is no such video. */
  readonly isPublic: (videoId: string) => boolean | undefined
  /** Whether its encoding is far enough. */
  readonly isPlayable: (videoId: string) => boolean
  /** Whether a private token is valid; it is spent then. */
  readonly redeemPrivateToken: (videoId: string, token: string) => boolean
  /** Undefined: there is no such live stream. */
  readonly liveStream: (
    liveStreamId: string
  ) => { readonly broadcasting: boolean; readonly public: boolean } | undefined
}

const sessionLifetime = 24 * 60 * 60 * 1000

/** Whether a path belongs to the delivery server, and not to the API. */
export const owns = (path: string): boolean => /^\/(vod|live|player)\//.test(path)

/** A path as the ledger may show it. */
export const shownPath = (path: string): string => path.replace(/(?<=\/token\/)[^/]+/, "{privateToken}")

const notFound = HttpServerResponse.text("Not Found", { status: 404 })

const manifest = [
  "#EXTM3U",
  "#EXT-X-VERSION:3",
  "#EXT-X-TARGETDURATION:30",
  "#EXTINF:30,",
  "../mp4/source.mp4",
  "#EXT-X-ENDLIST",
  ""
].join("\n")

// The first bytes of an MP4 file and of a JPEG, by which programs tell them.
const mp4 = new Uint8Array([0, 0, 0, 0x10, 0x66, 0x74, 0x79, 0x70, 0x69, 0x73, 0x6f, 0x6d, 0, 0, 0, 0])
const jpeg = new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xd9])

const player = (title: string): Answer =>
  HttpServerResponse.text(
    `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><video controls></video></body></html>\n`,
    { contentType: "text/html; charset=utf-8" }
  )

/** Makes the delivery server of one start. `now` in epoch milliseconds. */
export const make = (
  options: Videos & {
    readonly now: () => number
    readonly conceal: (secret: string) => void
    readonly files: ReadonlyMap<string, File>
  }
): SandboxServer.Routes => {
  const { conceal, files, isPlayable, isPublic, liveStream, now, redeemPrivateToken } = options
  const sessions = new Map<string, { readonly of: string; readonly endsAt: number }>()

  const startSession = (privateUrl: string): string => {
    const token = `${randomHex(4)}-${randomHex(2)}-${randomHex(6)}`
    sessions.set(token, { of: privateUrl, endsAt: now() + sessionLifetime })
    conceal(token)
    return token
  }

  const uploaded = (path: string): Effect.Effect<Answer> | undefined => {
    const file = files.get(path)
    return file === undefined
      ? undefined
      : Effect.map(
          Effect.promise(() => file.arrayBuffer()),
          (bytes) => HttpServerResponse.uint8Array(new Uint8Array(bytes), { contentType: file.type })
        )
  }

  const contentOf = (videoId: string, asset: string): Effect.Effect<Answer> | Answer => {
    const file = uploaded(`/vod/${videoId}/${asset}`)
    if (file !== undefined) return file
    switch (asset) {
      case "hls/manifest.m3u8":
        return isPlayable(videoId)
          ? HttpServerResponse.text(manifest, { contentType: "application/vnd.apple.mpegurl" })
          : HttpServerResponse.empty({ status: 202 })
      case "mp4/source.mp4":
        return isPlayable(videoId) ? HttpServerResponse.uint8Array(mp4, { contentType: "video/mp4" }) : notFound
      case "thumbnail.jpg":
        return HttpServerResponse.uint8Array(jpeg, { contentType: "image/jpeg" })
      case "":
        return player(videoId)
      default:
        return notFound
    }
  }

  const serve = (request: Request): Effect.Effect<Answer> | Answer => {
    const query = queryOf(request)
    const [, videoId = "", inPath, asset = ""] =
      /^\/vod\/([^/]+)(?:\/token\/([^/]+))?(?:\/(.*))?$/.exec(pathOf(request)) ?? []
    const isPublicVideo = isPublic(videoId)
    if (isPublicVideo === undefined) return notFound
    const token = inPath ?? query.get("token") ?? undefined
    if (token === undefined) return isPublicVideo ? contentOf(videoId, asset) : notFound
    const privateUrl = `${videoId}/${token}`
    const session = sessions.get(query.get("avh") ?? "")
    const isInSession = session !== undefined && session.of === privateUrl && now() < session.endsAt
    if (!isInSession && !redeemPrivateToken(videoId, token)) return notFound
    return asset === "session"
      ? HttpServerResponse.jsonUnsafe({ session_token: startSession(privateUrl) })
      : contentOf(videoId, asset)
  }

  const serveLive = (request: Request): Effect.Effect<Answer> | Answer => {
    const path = pathOf(request)
    const [, liveStreamId = "", asset = ""] = /^\/live\/([^/.]+)(.*)$/.exec(path) ?? []
    const stream = liveStream(liveStreamId)
    if (stream === undefined) return notFound
    if (!stream.public) return notSimulated([{ name: path, what: "private asset" }], path)
    switch (asset) {
      case "":
        return player(liveStreamId)
      case ".m3u8":
        return stream.broadcasting
          ? HttpServerResponse.text(manifest, { contentType: "application/vnd.apple.mpegurl" })
          : notFound
      case "/thumbnail.jpg":
        return uploaded(path) ?? HttpServerResponse.uint8Array(jpeg, { contentType: "image/jpeg" })
      default:
        return notFound
    }
  }

  return {
    "/vod/*": { GET: serve },
    "/live/*": { GET: serveLive },
    "/player/:playerId/logo": { GET: (request) => uploaded(pathOf(request)) ?? notFound }
  }
}
