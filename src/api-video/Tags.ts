/**
 * Tags of videos, and how many videos have them.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/tags.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Tag, TagQuery } from "./Tag.ts"

/**
 * Returns one page of the tags that match, 25 unless the query says otherwise (api.video OpenAPI, `LIST-tags`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: TagQuery): Call<Page<Tag>> => call(routes.list, query)

/**
 * Emits all the tags that match, by their text unless the query sorts them. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<TagQuery> = {}): Stream.Stream<Tag, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "value", sortOrder: "asc", ...query, ...paging }),
    ({ value }) => value,
    query.pageSize
  )
