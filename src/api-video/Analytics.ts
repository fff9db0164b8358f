/**
 * Analytics: how often videos and live streams are played, by whom and when.
 *
 * Queries are about the last day unless they say otherwise, and reach 30 days back.
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import type { StreamQuery } from "./Page.ts"
import { call } from "./internal/call.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/analytics.ts"
import type {
  AggregatedMetric,
  AggregatedMetrics,
  AggregatedMetricsQuery,
  Aggregation,
  Breakdown,
  BreakdownMetric,
  BreakdownValue,
  MetricsBreakdown,
  MetricsBreakdownQuery,
  MetricsOverTime,
  MetricsOverTimeQuery,
  TimeMetric,
  TimeValue
} from "./Metrics.ts"

/**
 * Returns one number: a metric aggregated over a period (api.video OpenAPI, `GET_aggregated-metrics`).
 *
 * @category operations
 * @since 0.1.0
 */
export const getAggregatedMetrics = (
  metric: AggregatedMetric,
  aggregation: Aggregation,
  query?: AggregatedMetricsQuery
): Call<AggregatedMetrics> => call(routes.getAggregatedMetrics, metric, aggregation, query)

/**
 * Returns one page of numbers by country, browser, video or another dimension (`GET_metrics-breakdown`).
 *
 * @category operations
 * @since 0.1.0
 */
export const getMetricsBreakdown = (
  metric: BreakdownMetric,
  breakdown: Breakdown,
  query?: MetricsBreakdownQuery
): Call<MetricsBreakdown> => call(routes.getMetricsBreakdown, metric, breakdown, query)

/**
 * Emits all numbers by country, browser, video or another dimension, by dimension unless the query sorts them.
 *
 * @category streams
 * @since 0.1.0
 */
export const streamMetricsBreakdown = (
  metric: BreakdownMetric,
  breakdown: Breakdown,
  query: StreamQuery<MetricsBreakdownQuery> = {}
): Stream.Stream<BreakdownValue, ClientError, ApiVideo> =>
  pages(
    (paging) =>
      getMetricsBreakdown(metric, breakdown, { sortBy: "dimensionValue", sortOrder: "asc", ...query, ...paging }),
    ({ dimensionValue }) => dimensionValue,
    query.pageSize
  )

/**
 * Returns one page of numbers by minute, hour or day (`GET_metrics-over-time`).
 *
 * @category operations
 * @since 0.1.0
 */
export const getMetricsOverTime = (metric: TimeMetric, query?: MetricsOverTimeQuery): Call<MetricsOverTime> =>
  call(routes.getMetricsOverTime, metric, query)

/**
 * Emits all numbers by minute, hour or day, from the earliest to the latest unless the query sorts them.
 *
 * @category streams
 * @since 0.1.0
 */
export const streamMetricsOverTime = (
  metric: TimeMetric,
  query: StreamQuery<MetricsOverTimeQuery> = {}
): Stream.Stream<TimeValue, ClientError, ApiVideo> =>
  pages(
    (paging) => getMetricsOverTime(metric, { sortBy: "emittedAt", sortOrder: "asc", ...query, ...paging }),
    ({ emittedAt }) => emittedAt?.epochMilliseconds,
    query.pageSize
  )
