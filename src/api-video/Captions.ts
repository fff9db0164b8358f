/**
 * Captions (subtitles) of videos, one per language.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import type { Caption, CaptionQuery, CaptionUpdate } from "./Caption.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/captions.ts"
import * as Uploading from "./internal/upload.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Input } from "./UploadFile.ts"

/**
 * Returns one page of a video's captions (api.video OpenAPI, `GET_videos-videoId-captions`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (videoId: string, query?: CaptionQuery): Call<Page<Caption>> => call(routes.list, videoId, query)

/**
 * Emits all captions of a video, in the order of the API.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (
  videoId: string,
  query: StreamQuery<CaptionQuery> = {}
): Stream.Stream<Caption, ClientError, ApiVideo> =>
  pages(
    (paging) => list(videoId, { ...query, ...paging }),
    ({ srclang }) => srclang,
    query.pageSize
  )

/**
 * Returns a video's captions in one language (`GET_videos-videoId-captions-language`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (videoId: string, language: string): Call<Caption> => call(routes.get, videoId, language)

/**
 * Uploads captions in one language, a WebVTT file (`POST_videos-videoId-captions-language`). The language is an IETF tag
 * with dashes, such as `fr-CA`.
 *
 * @category operations
 * @since 0.1.0
 */
export const upload = (videoId: string, language: string, file: Input): Call<Caption> =>
  Uploading.upload(routes.upload, videoId, language, file)

/**
 * Makes captions the default of a video, or no longer (`PATCH_videos-videoId-captions-language`).
 *
 * @category operations
 * @since 0.1.0
 */
export const update = (videoId: string, language: string, changes: CaptionUpdate): Call<Caption> =>
  call(routes.update, videoId, language, changes)

const delete_ = (videoId: string, language: string): Call<void> => send(routes.remove, videoId, language)

export {
  /**
   * Deletes captions (`DELETE_videos-videoId-captions-language`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}
