/**
 * Watermarks: what `Watermarks` returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Instant, pagingFields, SortOrder } from "./shared/schema.ts"

/**
 * An image that can be laid over videos.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Watermark
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Watermark>()(Schema.Struct({ watermarkId: Schema.String, createdAt: Schema.optional(Instant) })))()
{
  declare readonly watermarkId: string
}

/**
 * Which page of watermarks `Watermarks.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class WatermarkQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<WatermarkQuery>()(
      Schema.Struct({
        sortBy: Schema.optional(Schema.Literal("createdAt")),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly currentPage?: number | undefined
}
