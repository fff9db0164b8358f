/** All operations of the sandboxed api.video on one state. */
import type { Route } from "../../api-video/shared/route.ts"
import * as operations from "../../api-video/shared/operations.ts"
import * as analytics from "./analytics.ts"
import { type Handlers, type Operation, operation } from "./input.ts"
import * as liveStreams from "./liveStreams.ts"
import * as players from "./players.ts"
import * as summaries from "./summaries.ts"
import * as tags from "./tags.ts"
import * as tracks from "./tracks.ts"
import * as uploadTokens from "./uploadTokens.ts"
import * as videos from "./videos.ts"
import type { Media } from "./views.ts"
import * as watermarks from "./watermarks.ts"
import * as webhooks from "./webhooks.ts"
import type { World } from "./world.ts"

type Group = Readonly<Record<string, Route>>

const inOrder = (a: Media, b: Media) => a.createdAt - b.createdAt

/** Makes the resources of one start, without any. */
export const make = (world: World) => {
  const player = players.make(world)
  const watermark = watermarks.make(world)
  const video = videos.make(world, {
    hasPlayer: player.has,
    hasWatermark: watermark.has,
    transcribe: (one, language) => track.transcribe(one, language),
    summarize: (one, attributes) => summary.summarize(one, attributes)
  })
  const track = tracks.make(world, video)
  const summary = summaries.make(world, video)
  const liveStream = liveStreams.make(world, video, player.has)
  const uploadToken = uploadTokens.make(world)
  const webhook = webhooks.make(world)
  const media = (): ReadonlyArray<Media> =>
    [
      ...video.all().map(({ createdAt, tags, videoId }): Media => ({ id: videoId, type: "video", createdAt, tags })),
      ...liveStream
        .all()
        .map(({ createdAt, liveStreamId }): Media => ({ id: liveStreamId, type: "live-stream", createdAt, tags: [] }))
    ].toSorted(inOrder)

  const handlers: { readonly [G in keyof typeof operations]: Handlers<(typeof operations)[G]> } = {
    Analytics: analytics.make(world, media).handlers,
    Captions: track.captions,
    Chapters: track.chapters,
    LiveStreams: liveStream.handlers,
    PlayerThemes: player.handlers,
    Summaries: summary.handlers,
    Tags: tags.make(world, video).handlers,
    UploadTokens: uploadToken.handlers,
    Videos: video.handlers,
    Watermarks: watermark.handlers,
    Webhooks: webhook.handlers
  }

  const served = (routes: Group, group: Handlers<Group>): ReadonlyArray<Operation> =>
    Object.entries(routes).flatMap(([name, route]) => {
      const handle = group[name]
      return handle === undefined ? [] : [operation(route, handle)]
    })

  const all: ReadonlyArray<Operation> = [
    ...served(operations.Analytics, handlers.Analytics),
    ...served(operations.Captions, handlers.Captions),
    ...served(operations.Chapters, handlers.Chapters),
    ...served(operations.LiveStreams, handlers.LiveStreams),
    ...served(operations.PlayerThemes, handlers.PlayerThemes),
    ...served(operations.Summaries, handlers.Summaries),
    ...served(operations.Tags, handlers.Tags),
    ...served(operations.UploadTokens, handlers.UploadTokens),
    ...served(operations.Videos, handlers.Videos),
    ...served(operations.Watermarks, handlers.Watermarks),
    ...served(operations.Webhooks, handlers.Webhooks)
  ]

  return {
    operations: all,
    uploadRefusal: uploadToken.refusalOf,
    webhooksFor: webhook.webhooksFor,
    broadcast: liveStream.broadcast,
    liveStream: liveStream.find,
    isPlayable: video.isPlayable,
    isPublic: video.isPublic,
    redeemPrivateToken: video.redeemPrivateToken
  }
}
