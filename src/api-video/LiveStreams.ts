/**
 * Live streams: create them, change them, end them. Stream keys in results are redacted.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/liveStreams.ts"
import { upload } from "./internal/upload.ts"
import type { LiveStream, LiveStreamCreation, LiveStreamQuery, LiveStreamUpdate } from "./LiveStream.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Input } from "./UploadFile.ts"

/**
 * Returns one page of the live streams that match, 25 unless the query says otherwise (api.video OpenAPI, `GET_live-streams`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: LiveStreamQuery): Call<Page<LiveStream>> => call(routes.list, query)

/**
 * Emits all the live streams that match, from the oldest to the newest unless the query sorts them. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<LiveStreamQuery> = {}): Stream.Stream<LiveStream, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ liveStreamId }) => liveStreamId,
    query.pageSize
  )

/**
 * Creates a live stream (`POST_live-streams`). The key in the result is what an encoder such as OBS needs.
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (liveStream: LiveStreamCreation): Call<LiveStream> => call(routes.create, liveStream)

/**
 * Returns a live stream (`GET_live-streams-liveStreamId`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (liveStreamId: string): Call<LiveStream> => call(routes.get, liveStreamId)

/**
 * Changes fields of a live stream (`PATCH_live-streams-liveStreamId`). Restreams are replaced as a whole.
 *
 * @category operations
 * @since 0.1.0
 */
export const update = (liveStreamId: string, changes: LiveStreamUpdate): Call<LiveStream> =>
  call(routes.update, liveStreamId, changes)

const delete_ = (liveStreamId: string): Call<void> => send(routes.remove, liveStreamId)

export {
  /**
   * Deletes a live stream (`DELETE_live-streams-liveStreamId`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}

/**
 * Uploads a thumbnail: JPEG, PNG or WebP, at most 8 MiB (`POST_live-streams-liveStreamId-thumbnail`).
 *
 * @category operations
 * @since 0.1.0
 */
export const uploadThumbnail = (liveStreamId: string, file: Input): Call<LiveStream> =>
  upload(routes.uploadThumbnail, liveStreamId, file)

/**
 * Deletes the thumbnail (`DELETE_live-streams-liveStreamId-thumbnail`).
 *
 * @category operations
 * @since 0.1.0
 */
export const deleteThumbnail = (liveStreamId: string): Call<LiveStream> => call(routes.deleteThumbnail, liveStreamId)

/**
 * Ends a broadcast (`PUT_live-streams-liveStreamId-complete`). The API accepts the request and ends it later.
 *
 * @category operations
 * @since 0.1.0
 */
export const complete = (liveStreamId: string): Call<void> => send(routes.complete, liveStreamId)
