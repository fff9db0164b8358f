/**
 * Summaries of videos, written by the API or by you.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/summaries.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Summary, SummaryCreation, SummaryQuery, SummarySource, SummaryUpdate } from "./Summary.ts"

/**
 * Returns one page of the summaries that match, 25 unless the query says otherwise (api.video OpenAPI, `GET_summaries`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: SummaryQuery): Call<Page<Summary>> => call(routes.list, query)

/**
 * Emits all the summaries that match, from the oldest to the newest unless the query sorts them. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<SummaryQuery> = {}): Stream.Stream<Summary, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ summaryId }) => summaryId,
    query.pageSize
  )

/**
 * Creates the summary of a video (`POST_summaries`). With `origin: "auto"` the API writes it, which takes a while.
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (summary: SummaryCreation): Call<Summary> => call(routes.create, summary)

/**
 * Returns the text of a summary (`GET_summaries-summaryId-source`).
 *
 * @category operations
 * @since 0.1.0
 */
export const getSource = (summaryId: string): Call<SummarySource> => call(routes.getSource, summaryId)

/**
 * Changes the text of a summary (`PATCH_summaries-summaryId-source`).
 *
 * @category operations
 * @since 0.1.0
 */
export const updateSource = (summaryId: string, changes: SummaryUpdate): Call<SummarySource> =>
  call(routes.updateSource, summaryId, changes)

const delete_ = (summaryId: string): Call<void> => send(routes.remove, summaryId)

export {
  /**
   * Deletes a summary (`DELETE_summaries-summaryId`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}
