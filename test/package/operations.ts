/**
 * Typed operations as a stranger writes them: `npm run package:check` reads this file in an empty project. A comment
 * `hover` says what an editor shows of the first name on the line below; a comment `@ts-expect-error` says what the error of
 * the line below contains, under the oldest TypeScript and the newest.
 */
import { type DateTime, Effect, Redacted, Stream } from "effect"
import {
  Analytics,
  ApiVideo,
  Captions,
  LiveStreams,
  type Page,
  UploadFile,
  UploadTokens,
  type Video,
  Videos
} from "effect-video-auth/api-video"
import * as Deep from "effect-video-auth/api-video/Videos"

export const program = Effect.gen(function* () {
  // hover: const video: Video
  const video = yield* Videos.get("vi1")
  // hover: const page: Page<Video>
  const page = yield* Videos.list({ tags: ["maths"] })
  // hover: const first: Video
  const first = page.data[0]
  // hover: const videos: Video[]
  const videos = yield* Stream.runCollect(Videos.stream())
  // hover: const live: LiveStream
  const live = yield* LiveStreams.create({ name: "live" })
  // hover: const status: VideoStatus
  const status = yield* Videos.getStatus("vi1")
  // hover: const metrics: MetricsBreakdown
  const metrics = yield* Analytics.getMetricsBreakdown("play", "country")
  // hover: const token: Redacted.Redacted<string>
  const { token } = yield* UploadTokens.create({ ttl: 60 })
  const file = yield* UploadFile.fromPath("captions.vtt")
  // hover: const caption: Caption
  const caption = yield* Captions.upload(video.videoId, "en", file)
  // hover: const nothing: void
  const nothing = yield* Videos.delete(video.videoId)
  return { first, videos, live, status, metrics, token, caption, nothing }
})

// hover: const getTitle: (video: Video) => string | undefined
export const getTitle = (video: Video): string | undefined => video.title
export const createdAt = (page: Page<Video>): DateTime.Utc | undefined => page.data[0]?.createdAt
// hover: const origin: ({ languageOrigin }: Video) => "api" | "auto" | (string & {}) | undefined
export const origin = ({ languageOrigin }: Video) => languageOrigin

// hover: const get: (videoId: string) => ApiVideo.Call<Video>
export const get: (videoId: string) => ApiVideo.Call<Video> = Deep.get

export const spec = Videos.get("vi1").pipe(
  Effect.provide(
    ApiVideo.layerTest({
      operations: {
        "Videos.get": (videoId) => ({ videoId, title: "Maths" }),
        "UploadTokens.create": (creation) => ({ token: Redacted.make(`to${creation?.ttl}`) })
      }
    })
  )
)

export const mistakes: ReadonlyArray<unknown> = [
  // @ts-expect-error Object literal may only specify known properties, but 'titel' does not exist in type 'VideoUpdate'. Did you mean to write 'title'?
  Videos.update("vi1", { titel: "Maths" }),
  // @ts-expect-error Type 'number' is not assignable to type 'string'.
  Videos.update("vi1", { title: 7 }),
  // @ts-expect-error type 'VideoCreation'.
  Videos.create({ description: "Maths" }),
  // @ts-expect-error Type '"name"' is not assignable to type '
  Videos.list({ sortBy: "name" }),
  // @ts-expect-error Argument of type 'number' is not assignable to parameter of type 'string'.
  Videos.get(7),
  // @ts-expect-error Argument of type '"plays"' is not assignable to parameter of type
  Analytics.getAggregatedMetrics("plays", "count"),
  // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'Input'.
  Videos.uploadThumbnail("vi1", "thumbnail.jpg"),
  // @ts-expect-error Property 'titel' does not exist on type 'Video'. Did you mean 'title'?
  Effect.map(Videos.get("vi1"), (video) => video.titel),
  // @ts-expect-error Object literal may only specify known properties, and '"Videos.gett"' does not exist in type 'Operations'.
  ApiVideo.layerTest({ operations: { "Videos.gett": () => ({ videoId: "vi1" }) } })
]
