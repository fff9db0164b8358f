/**
 * Webhooks: URLs to which api.video posts events. Signature secrets in results are redacted.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./internal/routes/webhooks.ts"
import type { Page } from "./Page.ts"
import type { Webhook, WebhookCreation, WebhookQuery } from "./Webhook.ts"

/**
 * Returns one page of the webhooks that match, 25 unless the query says otherwise (api.video OpenAPI, `LIST-webhooks`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: WebhookQuery): Call<Page<Webhook>> => call(routes.list, query)

/**
 * Emits all the webhooks that match, in the order of the API. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: Omit<WebhookQuery, "currentPage"> = {}): Stream.Stream<Webhook, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ ...query, ...paging }),
    ({ webhookId }) => webhookId,
    query.pageSize
  )

/**
 * Creates a webhook (`POST-webhooks`).
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (webhook: WebhookCreation): Call<Webhook> => call(routes.create, webhook)

/**
 * Returns a webhook (`GET-Webhook`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (webhookId: string): Call<Webhook> => call(routes.get, webhookId)

const delete_ = (webhookId: string): Call<void> => send(routes.remove, webhookId)

export {
  /**
   * Deletes a webhook (`DELETE-webhook`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}
