/** The live streams of the sandboxed api.video. They start and stop on command, and leave a recording. */
import * as Redacted from "effect/Redacted"
import type * as routes from "../../api-video/shared/routes/liveStreams.ts"
import type { Json } from "../SandboxRequest.ts"
import type { Handlers, Input } from "./input.ts"
import { page, sorted } from "./pages.ts"
import { noSuch, notFound, type Reply } from "./reply.ts"
import type { Videos } from "./videos.ts"
import { atom, identifier, type World } from "./world.ts"

type Restreams = NonNullable<Input<typeof routes.create>["body"]["restreams"]>

export interface LiveStream {
  readonly liveStreamId: string
  readonly streamKey: string
  readonly createdAt: number
  updatedAt: number
  name: string
  public: boolean
  playerId: string | undefined
  restreams: Restreams
  broadcasting: boolean
}

const plain = (secret: string | Redacted.Redacted): string =>
  Redacted.isRedacted(secret) ? Redacted.value(secret) : secret

const thumbnailOf = (liveStreamId: string) => `/live/${liveStreamId}/thumbnail.jpg`

export const make = (
  { conceal, emit, files, now, origin }: World,
  videos: Pick<Videos, "record">,
  hasPlayer: (playerId: string) => boolean
) => {
  const liveStreams = new Map<string, LiveStream>()

  const show = (stream: LiveStream): Json => {
    const base = `${origin}/live/${stream.liveStreamId}`
    return {
      liveStreamId: stream.liveStreamId,
      createdAt: atom(stream.createdAt),
      updatedAt: atom(stream.updatedAt),
      streamKey: stream.streamKey,
      name: stream.name,
      public: stream.public,
      broadcasting: stream.broadcasting,
      restreams: stream.restreams.map(({ name, serverUrl, streamKey }) => ({
        name,
        serverUrl,
        streamKey: plain(streamKey)
      })),
      ...(stream.playerId === undefined ? {} : { playerId: stream.playerId }),
      assets: {
        iframe: `<iframe src="${base}" width="100%" height="100%" frameborder="0" scrolling="no" allowfullscreen=""></iframe>`,
        player: base,
        hls: `${base}.m3u8`,
        thumbnail: `${origin}${thumbnailOf(stream.liveStreamId)}`
      }
    }
  }

  const withStream = (liveStreamId: string, use: (stream: LiveStream) => Reply): Reply => {
    const stream = liveStreams.get(liveStreamId)
    return stream === undefined ? notFound("liveStreamId") : use(stream)
  }

  const touch = (stream: LiveStream): Json => {
    stream.updatedAt = now()
    return show(stream)
  }

  const event = (type: string, liveStreamId: string, more: Json = {}) => ({
    type,
    emittedAt: new Date(now()).toISOString(),
    ...more,
    liveStreamId
  })

  const keepSecret = (restreams: Restreams) => {
    for (const { streamKey } of restreams) conceal(plain(streamKey))
    return restreams
  }

  const stop = (stream: LiveStream): void => {
    if (!stream.broadcasting) return
    stream.broadcasting = false
    emit(event("live-stream.broadcast.ended", stream.liveStreamId))
    const { videoId } = videos.record(stream.liveStreamId, `${stream.name} ${atom(now())}`, stream.public)
    emit(event("video.source.recorded", stream.liveStreamId, { videoId }))
  }

  const handlers: Handlers<typeof routes> = {
    list: ({ query, url }) => {
      const { name = "", streamKey } = query
      const found = [...liveStreams.values()].filter(
        (stream) => stream.name.includes(name) && (streamKey === undefined || stream.streamKey === plain(streamKey))
      )
      return page(
        sorted(found, query, (stream, key) => stream[key]),
        query,
        { origin, url },
        show
      )
    },
    create: ({ body }) => {
      if (body.playerId !== undefined && !hasPlayer(body.playerId)) return noSuch("player", "playerId")
      const createdAt = now()
      const stream: LiveStream = {
        liveStreamId: identifier("li"),
        streamKey: crypto.randomUUID(),
        createdAt,
        updatedAt: createdAt,
        name: body.name,
        public: body.public ?? true,
        playerId: body.playerId,
        restreams: keepSecret(body.restreams ?? []),
        broadcasting: false
      }
      conceal(stream.streamKey)
      liveStreams.set(stream.liveStreamId, stream)
      return show(stream)
    },
    get: ({ params }) => withStream(params.liveStreamId, show),
    update: ({ body, params }) =>
      withStream(params.liveStreamId, (stream) => {
        if (body.playerId !== undefined && !hasPlayer(body.playerId)) return noSuch("player", "playerId")
        stream.name = body.name ?? stream.name
        stream.public = body.public ?? stream.public
        stream.playerId = body.playerId ?? stream.playerId
        stream.restreams = keepSecret(body.restreams ?? stream.restreams)
        return touch(stream)
      }),
    remove: ({ params }) =>
      withStream(params.liveStreamId, (stream) => {
        stop(stream)
        liveStreams.delete(stream.liveStreamId)
        files.delete(thumbnailOf(stream.liveStreamId))
        return undefined
      }),
    uploadThumbnail: ({ file, params }) =>
      withStream(params.liveStreamId, (stream) => {
        files.set(thumbnailOf(stream.liveStreamId), file)
        return touch(stream)
      }),
    deleteThumbnail: ({ params }) =>
      withStream(params.liveStreamId, (stream) => {
        files.delete(thumbnailOf(stream.liveStreamId))
        return touch(stream)
      }),
    complete: ({ params }) =>
      withStream(params.liveStreamId, (stream) => {
        stop(stream)
        return undefined
      })
  }

  return {
    handlers,
    find: (liveStreamId: string): LiveStream | undefined => liveStreams.get(liveStreamId),
    all: (): ReadonlyArray<LiveStream> => [...liveStreams.values()],
    /** Begins or ends a broadcast, as a streamer does. False: there is no such live stream. */
    broadcast: (liveStreamId: string, broadcasting: boolean): boolean => {
      const stream = liveStreams.get(liveStreamId)
      if (stream === undefined) return false
      if (!broadcasting) stop(stream)
      else if (!stream.broadcasting) {
        stream.broadcasting = true
        emit(event("live-stream.broadcast.started", liveStreamId))
      }
      return true
    }
  }
}
