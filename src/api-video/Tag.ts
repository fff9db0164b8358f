/**
 * Tags of videos: what `Tags` returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Count, pagingFields, SortOrder } from "./shared/schema.ts"

/**
 * A tag and the number of videos that have it.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Tag
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Tag>()(Schema.Struct({ value: Schema.String, videoCount: Schema.optional(Count) })))()
{
  declare readonly value: string
}

/**
 * Which tags `Tags.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class TagQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<TagQuery>()(
      Schema.Struct({
        /** Part of a tag, whatever its case and accents. */
        value: Schema.optional(Schema.String),
        sortBy: Schema.optional(Schema.Literals(["value", "videoCount"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly value?: string | undefined
}
