/**
 * Chapters of videos, one WebVTT file per language.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import type { Chapter, ChapterQuery } from "./Chapter.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/chapters.ts"
import * as Uploading from "./internal/upload.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Input } from "./UploadFile.ts"

/**
 * Returns one page of a video's chapters, 25 unless the query says otherwise (api.video OpenAPI, `GET_videos-videoId-chapters`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (videoId: string, query?: ChapterQuery): Call<Page<Chapter>> => call(routes.list, videoId, query)

/**
 * Emits all a video's chapters, in the order of the API. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (
  videoId: string,
  query: StreamQuery<ChapterQuery> = {}
): Stream.Stream<Chapter, ClientError, ApiVideo> =>
  pages(
    (paging) => list(videoId, { ...query, ...paging }),
    ({ language }) => language,
    query.pageSize
  )

/**
 * Returns a video's chapters in one language (`GET_videos-videoId-chapters-language`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (videoId: string, language: string): Call<Chapter> => call(routes.get, videoId, language)

/**
 * Uploads chapters in one language, a WebVTT file (`POST_videos-videoId-chapters-language`).
 *
 * @category operations
 * @since 0.1.0
 */
export const upload = (videoId: string, language: string, file: Input): Call<Chapter> =>
  Uploading.upload(routes.upload, videoId, language, file)

const delete_ = (videoId: string, language: string): Call<void> => send(routes.remove, videoId, language)

export {
  /**
   * Deletes chapters (`DELETE_videos-videoId-chapters-language`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}
