/**
 * Webhooks: what `Webhooks` sends and returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Instant, pagingFields, pattern, secret } from "./shared/schema.ts"

const events = [
  "live-stream.broadcast.started",
  "live-stream.broadcast.ended",
  "video.source.recorded",
  "video.encoding.quality.completed",
  "video.caption.generated",
  "video.summary.generated"
] as const

/**
 * Names of the events that api.video posts to webhooks.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WebhookEventName = /* @__PURE__ */ Schema.Literals(events)

/** @since 0.1.0 */
export type WebhookEventName = typeof WebhookEventName.Type

/**
 * A URL to which api.video posts events.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Webhook
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Webhook>()(
      Schema.Struct({
        webhookId: Schema.String,
        createdAt: Schema.optional(Instant),
        events: Schema.optional(Schema.Array(Schema.Union([Schema.StringForLiteralAutocomplete, WebhookEventName]))),
        url: Schema.optional(Schema.String),
        /** Key with which api.video signs what it posts. */
        signatureSecret: Schema.optional(secret("signatureSecret"))
      })
    ))()
{
  declare readonly webhookId: string
}

/**
 * Input of `Webhooks.create`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class WebhookCreation
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<WebhookCreation>()(
      Schema.Struct({
        events: Schema.Array(WebhookEventName),
        url: pattern(/^https?:\/\/\S+$/u, "an http: or https: URL")
      })
    ))()
{
  declare readonly url: string
}

/**
 * Which webhooks `Webhooks.list` returns.
 *
 * @category schemas
 * @since 0.1.0
 */
export class WebhookQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<WebhookQuery>()(
      Schema.Struct({
        /** The event that a webhook must be subscribed to. */
        events: Schema.optional(WebhookEventName),
        ...pagingFields
      })
    ))()
{
  declare readonly currentPage?: number | undefined
}
