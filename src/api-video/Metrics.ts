/**
 * Analytics: what `Analytics` sends and returns. Answers name metrics that no request accepts (`unique-view-3`), so names
 * are open there.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { AtomInstant, Instant, open, pagingFields, SortOrder } from "./shared/schema.ts"
import { Pagination } from "./Page.ts"

/**
 * What `Analytics.getAggregatedMetrics` can aggregate.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AggregatedMetric = /* @__PURE__ */ Schema.Literals([
  "play",
  "start",
  "end",
  "impression",
  "impression-time",
  "watch-time",
  "ccv",
  "view"
])

/** @since 0.1.0 */
export type AggregatedMetric = typeof AggregatedMetric.Type

/**
 * How `Analytics.getAggregatedMetrics` can aggregate. Not every metric has every aggregation: `rate` and `total` are of
 * `play`, `average` and `sum` of times, `peak` and `live` of `ccv`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Aggregation = /* @__PURE__ */ Schema.Literals(["count", "rate", "total", "average", "sum", "peak", "live"])

/** @since 0.1.0 */
export type Aggregation = typeof Aggregation.Type

/**
 * What `Analytics.getMetricsBreakdown` can break down. `play-total` only has the breakdown `media-id`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BreakdownMetric = /* @__PURE__ */ Schema.Literals([
  "play",
  "play-rate",
  "play-total",
  "start",
  "end",
  "impression",
  "ccv-peak",
  "ccv-average",
  "view"
])

/** @since 0.1.0 */
export type BreakdownMetric = typeof BreakdownMetric.Type

/**
 * By what `Analytics.getMetricsBreakdown` can break a metric down.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Breakdown = /* @__PURE__ */ Schema.Literals([
  "media-id",
  "media-type",
  "continent",
  "country",
  "device-type",
  "operating-system",
  "browser",
  "referrer"
])

/** @since 0.1.0 */
export type Breakdown = typeof Breakdown.Type

/**
 * What `Analytics.getMetricsOverTime` can count over time.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TimeMetric = /* @__PURE__ */ Schema.Literals([
  "play",
  "play-rate",
  "start",
  "end",
  "impression",
  "ccv-peak",
  "ccv-average",
  "view"
])

/** @since 0.1.0 */
export type TimeMetric = typeof TimeMetric.Type

/** What all queries have. */
const filters = /* @__PURE__ */ (() => ({
  /** Beginning of the period, at most 30 days ago; sent in whole seconds. @default a day before `to` */
  from: Schema.optional(AtomInstant),
  /** End of the period, which is not part of it; sent in whole seconds. @default now */
  to: Schema.optional(AtomInstant),
  /** Only views, each of them or each viewer once; for `ccv` and `view`. */
  unique: Schema.optional(Schema.Boolean),
  /** How long a `view` must be to count. @default "5s" */
  viewDuration: Schema.optional(Schema.Literals(["3s", "5s", "10s", "30s"])),
  filterBy: Schema.optional(
    Schema.Struct({
      /** Ids of videos and live streams. */
      mediaId: Schema.optional(Schema.Array(Schema.String)),
      mediaType: Schema.optional(Schema.Literals(["video", "live-stream"])),
      continent: Schema.optional(Schema.Array(Schema.Literals(["AS", "AF", "NA", "SA", "AN", "EU", "AZ"]))),
      /** ISO 3166 codes, such as `FR`. */
      country: Schema.optional(Schema.Array(Schema.String)),
      deviceType: Schema.optional(Schema.Array(Schema.String)),
      operatingSystem: Schema.optional(Schema.Array(Schema.String)),
      browser: Schema.optional(Schema.Array(Schema.String)),
      /** One tag, in its case. */
      tag: Schema.optional(Schema.String),
      /** Whole URLs; an empty one for views without a referrer. */
      referrer: Schema.optional(Schema.Array(Schema.String.check(Schema.isMaxLength(2048))))
    })
  )
}))()

/**
 * The period and views of `Analytics.getAggregatedMetrics`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class AggregatedMetricsQuery
  extends /* @__PURE__ */ (() => Schema.Opaque<AggregatedMetricsQuery>()(Schema.Struct(filters)))()
{
  declare readonly unique?: boolean | undefined
}

/**
 * The period, views and order of `Analytics.getMetricsBreakdown`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class MetricsBreakdownQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<MetricsBreakdownQuery>()(
      Schema.Struct({
        ...filters,
        sortBy: Schema.optional(Schema.Literals(["metricValue", "dimensionValue"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly unique?: boolean | undefined
}

/**
 * The period, views and order of `Analytics.getMetricsOverTime`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class MetricsOverTimeQuery
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<MetricsOverTimeQuery>()(
      Schema.Struct({
        ...filters,
        /** `minute` for a period of less than an hour. @default "hour" up to two days, "day" beyond */
        interval: Schema.optional(Schema.Literals(["minute", "hour", "day"])),
        sortBy: Schema.optional(Schema.Literals(["metricValue", "emittedAt"])),
        sortOrder: Schema.optional(SortOrder),
        ...pagingFields
      })
    ))()
{
  declare readonly unique?: boolean | undefined
}

/** The period that an answer is about. */
const Timeframe = /* @__PURE__ */ (() =>
  Schema.Struct({ from: Schema.optional(Instant), to: Schema.optional(Instant) }))()

/**
 * One number.
 *
 * @category schemas
 * @since 0.1.0
 */
export class AggregatedMetrics
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<AggregatedMetrics>()(
      Schema.Struct({
        data: Schema.Finite,
        context: Schema.optional(
          Schema.Struct({
            metric: Schema.optional(Schema.String),
            aggregation: Schema.optional(open("count", "rate", "total", "average", "sum")),
            timeframe: Schema.optional(Timeframe)
          })
        )
      })
    ))()
{
  declare readonly data: number
}

/**
 * The number of one country, browser, video, …
 *
 * @category schemas
 * @since 0.1.0
 */
export class BreakdownValue
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<BreakdownValue>()(
      Schema.Struct({
        dimensionValue: Schema.optional(Schema.String),
        metricValue: Schema.optional(Schema.Finite)
      })
    ))()
{
  declare readonly dimensionValue?: string | undefined
}

/**
 * One page of the numbers by dimension.
 *
 * @category schemas
 * @since 0.1.0
 */
export class MetricsBreakdown
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<MetricsBreakdown>()(
      Schema.Struct({
        data: Schema.Array(BreakdownValue),
        pagination: Pagination,
        context: Schema.optional(
          Schema.Struct({
            metric: Schema.optional(Schema.String),
            breakdown: Schema.optional(
              open("media-id", "media-type", "continent", "country", "device-type", "operating-system", "browser")
            ),
            timeframe: Schema.optional(Timeframe)
          })
        )
      })
    ))()
{
  declare readonly pagination: Pagination
}

/**
 * The number of one minute, hour or day.
 *
 * @category schemas
 * @since 0.1.0
 */
export class TimeValue
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<TimeValue>()(
      Schema.Struct({
        /** Beginning of the interval. */
        emittedAt: Schema.optional(Instant),
        metricValue: Schema.optional(Schema.Finite)
      })
    ))()
{
  declare readonly metricValue?: number | undefined
}

/**
 * One page of the numbers over time.
 *
 * @category schemas
 * @since 0.1.0
 */
export class MetricsOverTime
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<MetricsOverTime>()(
      Schema.Struct({
        data: Schema.Array(TimeValue),
        pagination: Pagination,
        context: Schema.optional(
          Schema.Struct({
            metric: Schema.optional(Schema.String),
            interval: Schema.optional(open("minute", "hour", "day")),
            timeframe: Schema.optional(Timeframe)
          })
        )
      })
    ))()
{
  declare readonly pagination: Pagination
}
