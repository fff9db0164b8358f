/**
 * Watermarks: images that are laid over videos when these are created.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/watermarks.ts"
import * as Uploading from "./internal/upload.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Input } from "./UploadFile.ts"
import type { Watermark, WatermarkQuery } from "./Watermark.ts"

/**
 * Returns one page of watermarks, 25 unless the query says otherwise (api.video OpenAPI, `LIST-watermarks`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: WatermarkQuery): Call<Page<Watermark>> => call(routes.list, query)

/**
 * Emits all watermarks, from the oldest to the newest unless the query sorts them. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<WatermarkQuery> = {}): Stream.Stream<Watermark, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ watermarkId }) => watermarkId,
    query.pageSize
  )

/**
 * Uploads a watermark: JPEG or PNG (`POST_watermark`).
 *
 * @category operations
 * @since 0.1.0
 */
export const upload = (file: Input): Call<Watermark> => Uploading.upload(routes.upload, file)

const delete_ = (watermarkId: string): Call<void> => send(routes.remove, watermarkId)

export {
  /**
   * Deletes a watermark (`DELETE_watermark`). Videos keep it.
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}
