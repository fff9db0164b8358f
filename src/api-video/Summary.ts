/**
 * Summaries of videos: what `Summaries` sends and returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Instant, open, pagingFields, SortOrder } from "./shared/schema.ts"

/**
 * A summary of a video: how it came about and whether it is ready. `Summaries.getSource` returns its text.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Summary
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Summary>()(
      Schema.Struct({
        summaryId: Schema.String,
        createdAt: Schema.optional(Instant),
        updatedAt: Schema.optional(Instant),
        videoId: Schema.optional(Schema.String),
        /** Whether the API wrote it (`auto`), or a request did. */
        origin: Schema.optional(open("api", "auto")),
        sourceStatus: Schema.optional(open("missing", "waiting", "failed", "completed", "unprocessable"))
      })
    ))()
{
  declare readonly summaryId: string
}

/**
 * The text of a summary.
 *
 * @category schemas
 * @since 0.1.0
 */
export class SummarySource
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<SummarySource>()(
      Schema.Struct({
        /** 20 to 300 words. */
        abstract: Schema.optional(Schema.String),
        /** Key points, in the order of the video. */
        takeaways: Schema.optional(Schema.Array(Schema.String))
      })
    ))()
{
  declare readonly abstract?: string | undefined
}

/**
 * Input of `Summaries.create`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class SummaryCreation
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<SummaryCreation>()(
      Schema.Struct({
        videoId: Schema.String,
        /** `auto` has the API write the summary. Without it the summary stays empty until `Summaries.updateSource`. */
        origin: Schema.optional(Schema.Literal("auto")),
        /** @default both */
        attributes: Schema.optional(Schema.Array(Schema.Literals(["abstract", "takeaways"])))
      })
    ))()
{
  declare readonly videoId: string
}

/**
 * Input of `Summaries.updateSource`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class SummaryUpdate
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<SummaryUpdate>()(
      Schema.Struct({
        abstract: Schema.optional(Schema.String),
        /** At most three. */
        takeaways: Schema.optional(Schema.Array(Schema.String).check(Schema.isMaxLength(3)))
      })
    ))()
{
  declare readonly abstract?: string | undefined
}

/**
 * Which summaries `Summaries.list` returns, in which order.
 *
 * @category schemas
 * @since 0.1.0
 */
export class SummaryQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<SummaryQuery>()(
      Schema.Struct({
        videoId: Schema.optional(Schema.String),
        origin: Schema.optional(Schema.Literals(["api", "auto"])),
        sourceStatus: Schema.optional(Schema.Literals(["missing", "waiting", "failed", "completed", "unprocessable"])),
        sortBy: Schema.optional(Schema.Literals(["createdAt", "updatedAt", "videoId"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly videoId?: string | undefined
}
