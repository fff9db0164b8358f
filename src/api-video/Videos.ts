/**
 * Videos: create, upload, find, change, delete and restore them.
 *
 * Every function is one operation of the API. It takes the client from the context, checks its input before anything is
 * sent, and returns typed values.
 *
 * **Example** (Creating, listing, updating and deleting)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Videos } from "effect-video-auth/api-video"
 *
 * export const program = Effect.gen(function*() {
 *   const video = yield* Videos.create({ title: "Maths video", tags: ["maths"] })
 *   yield* Videos.update(video.videoId, { metadata: [{ key: "Author", value: "John Doe" }] })
 *   yield* Stream.runForEach(Videos.stream({ tags: ["maths"] }), ({ title, videoId }) => Effect.log(videoId, title))
 *   yield* Videos.delete(video.videoId)
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { Call, ClientError, ApiVideo } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/videos.ts"
import * as Uploading from "./internal/upload.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Input } from "./UploadFile.ts"
import {
  EncodingFailed,
  type ThumbnailPick,
  type UploadRange,
  type Video,
  type VideoCreation,
  type VideoQuery,
  type VideoStatus,
  type VideoUpdate
} from "./Video.ts"

/**
 * Returns one page of the videos that match, 25 unless the query says otherwise (api.video OpenAPI, `LIST-videos`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: VideoQuery): Call<Page<Video>> => call(routes.list, query)

/**
 * Emits all videos that match, from the oldest to the newest unless the query sorts them. Pages are requested one by one
 * as the stream is read; `pageSize` is 100 unless set. A video that moves to the next page meanwhile is emitted once.
 *
 * Deleting videos while the stream runs moves others to pages that were already read: collect the ids first.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<VideoQuery> = {}): Stream.Stream<Video, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ videoId }) => videoId,
    query.pageSize
  )

/**
 * Creates a video: from a `source` URL, as a copy of another video, or empty, for its source to be uploaded (`POST-video`).
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (video: VideoCreation): Call<Video> => call(routes.create, video)

/**
 * Returns a video (`GET-video`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (videoId: string): Call<Video> => call(routes.get, videoId)

/**
 * Changes fields of a video (`PATCH-video`). Tags and metadata are replaced as a whole.
 *
 * @category operations
 * @since 0.1.0
 */
export const update = (videoId: string, changes: VideoUpdate): Call<Video> => call(routes.update, videoId, changes)

const delete_ = (videoId: string): Call<void> => send(routes.remove, videoId)

export {
  /**
   * Deletes a video (`DELETE-video`). With Video Restore enabled it is discarded, and deleted after 90 days.
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}

/**
 * Returns how far upload and encoding of a video are (`GET-video-status`).
 *
 * @category operations
 * @since 0.1.0
 */
export const getStatus = (videoId: string): Call<VideoStatus> => call(routes.getStatus, videoId)

/**
 * Uploads a thumbnail: JPEG, PNG or WebP, at most 8 MiB (`POST_videos-videoId-thumbnail`).
 *
 * @category operations
 * @since 0.1.0
 */
export const uploadThumbnail = (videoId: string, file: Input): Call<Video> =>
  Uploading.upload(routes.uploadThumbnail, videoId, file)

/**
 * Makes a frame of the video its thumbnail (`PATCH_videos-videoId-thumbnail`).
 *
 * @category operations
 * @since 0.1.0
 */
export const pickThumbnail = (videoId: string, pick: ThumbnailPick): Call<Video> =>
  call(routes.pickThumbnail, videoId, pick)

/**
 * Returns one page of the discarded videos that match (`LIST-discarded-videos`).
 *
 * @category operations
 * @since 0.1.0
 */
export const listDiscarded = (query?: VideoQuery): Call<Page<Video>> => call(routes.listDiscarded, query)

/**
 * Emits all discarded videos that match, like {@link stream}.
 *
 * @category streams
 * @since 0.1.0
 */
export const streamDiscarded = (query: StreamQuery<VideoQuery> = {}): Stream.Stream<Video, ClientError, ApiVideo> =>
  pages(
    (paging) => listDiscarded({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ videoId }) => videoId,
    query.pageSize
  )

/**
 * Returns a discarded video (`GET-discarded-video`).
 *
 * @category operations
 * @since 0.1.0
 */
export const getDiscarded = (videoId: string): Call<Video> => call(routes.getDiscarded, videoId)

/**
 * Restores a discarded video (`PATCH-discarded-video`).
 *
 * @category operations
 * @since 0.1.0
 */
export const restore = (videoId: string): Call<Video> => call(routes.restore, videoId, { discarded: false })

/**
 * Which part of a source a request carries.
 *
 * @category options
 * @since 0.1.0
 */
export interface PartOptions {
  /** @default the whole file */
  readonly range?: UploadRange | undefined
}

/**
 * Uploads the source of a video in one request of at most 200 MiB, or one part of it with `range`
 * (`POST_videos-videoId-source`).
 *
 * @category operations
 * @since 0.1.0
 */
export const upload = (videoId: string, file: Input, options?: PartOptions): Call<Video> =>
  Uploading.upload(routes.upload, videoId, file, options)

/**
 * Options of {@link uploadWithUploadToken}.
 *
 * @category options
 * @since 0.1.0
 */
export interface UploadTokenOptions extends PartOptions {
  /** The video of which this is a further part. @default a new one */
  readonly videoId?: string | undefined
}

/**
 * Uploads the source of a video with an upload token, which is the only credential that is sent (`POST_upload`). The
 * first request creates a video; pass its `videoId` with the other parts.
 *
 * @category operations
 * @since 0.1.0
 */
export const uploadWithUploadToken = (
  token: Redacted.Redacted | string,
  file: Input,
  options?: UploadTokenOptions
): Call<Video> => Uploading.upload(routes.uploadWithUploadToken, token, file, options)

/**
 * How often the status of a video is requested.
 *
 * @category options
 * @since 0.1.0
 */
export interface PollOptions {
  /** Time between two requests. Each of them counts against the limit for reads. @default 5 seconds */
  readonly every?: Duration.Input | undefined
}

const isPlayable = ({ encoding }: VideoStatus): boolean => encoding?.playable === true

const hasFailed = ({ encoding }: VideoStatus): boolean => {
  const qualities = encoding?.qualities ?? []
  return qualities.length > 0 && qualities.every(({ status }) => status === "failed")
}

/**
 * Emits the status of a video until it is playable: once at the beginning, and again after each request. Fails with
 * `EncodingFailed` if all of its qualities failed.
 *
 * **Example** (Showing how far the encoding is)
 *
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Videos } from "effect-video-auth/api-video"
 *
 * export const program = (videoId: string) =>
 *   Stream.runForEach(Videos.statuses(videoId), ({ encoding, ingest }) =>
 *     Console.log(ingest?.status, encoding?.qualities?.map(({ quality, status }) => `${quality} ${status}`).join(", "))
 *   )
 * ```
 *
 * @category streams
 * @since 0.1.0
 */
export const statuses = (
  videoId: string,
  { every = "5 seconds" }: PollOptions = {}
): Stream.Stream<VideoStatus, ClientError | EncodingFailed, ApiVideo> =>
  Stream.paginate("first" as "first" | "next", (request) =>
    Effect.gen(function* () {
      if (request === "next") yield* Effect.sleep(every)
      const status = yield* getStatus(videoId)
      if (hasFailed(status)) return yield* new EncodingFailed({ videoId })
      return [[status], isPlayable(status) ? Option.none() : Option.some("next" as const)] as const
    })
  )

/**
 * Waits until a video can be played, and returns its last status: {@link statuses}, run to its end. Add
 * `Effect.timeout` to give up earlier: encoding takes seconds to hours, with the length of the video.
 *
 * @category operations
 * @since 0.1.0
 */
export const waitUntilPlayable = (
  videoId: string,
  options?: PollOptions
): Effect.Effect<VideoStatus, ClientError | EncodingFailed, ApiVideo> =>
  Stream.runFold(
    statuses(videoId, options),
    (): VideoStatus => ({}),
    (_, status) => status
  )
