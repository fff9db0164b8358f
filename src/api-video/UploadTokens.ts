/**
 * Upload tokens: with one, anybody can upload videos to the account. Tokens in results are redacted.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/uploadTokens.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { UploadToken, UploadTokenCreation, UploadTokenQuery } from "./UploadToken.ts"

/**
 * Returns one page of upload tokens, 25 unless the query says otherwise (api.video OpenAPI, `GET_upload-tokens`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: UploadTokenQuery): Call<Page<UploadToken>> => call(routes.list, query)

/**
 * Emits all upload tokens, from the oldest to the newest unless the query sorts them. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<UploadTokenQuery> = {}): Stream.Stream<UploadToken, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ sortBy: "createdAt", sortOrder: "asc", ...query, ...paging }),
    ({ token }) => Redacted.value(token),
    query.pageSize
  )

/**
 * Creates a token (`POST_upload-tokens`). Without `ttl` it never expires.
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (token?: UploadTokenCreation): Call<UploadToken> => call(routes.create, token)

/**
 * Returns a token (`GET_upload-tokens-uploadToken`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (token: Redacted.Redacted | string): Call<UploadToken> => call(routes.get, token)

const delete_ = (token: Redacted.Redacted | string): Call<void> => send(routes.remove, token)

export {
  /**
   * Deletes a token, which ends its validity (`DELETE_upload-tokens-uploadToken`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}
