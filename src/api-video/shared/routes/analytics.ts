/** Routes of `Analytics`. */
import * as Schemas from "../../Metrics.ts"
import type { Route } from "../route.ts"

export const getAggregatedMetrics = {
  name: "Analytics.getAggregatedMetrics",
  method: "GET",
  path: "/data/metrics/:metric/:aggregation",
  params: { metric: Schemas.AggregatedMetric, aggregation: Schemas.Aggregation },
  query: Schemas.AggregatedMetricsQuery,
  success: Schemas.AggregatedMetrics
} as const satisfies Route

export const getMetricsBreakdown = {
  name: "Analytics.getMetricsBreakdown",
  method: "GET",
  path: "/data/buckets/:metric/:breakdown",
  params: { metric: Schemas.BreakdownMetric, breakdown: Schemas.Breakdown },
  query: Schemas.MetricsBreakdownQuery,
  success: Schemas.MetricsBreakdown
} as const satisfies Route

export const getMetricsOverTime = {
  name: "Analytics.getMetricsOverTime",
  method: "GET",
  path: "/data/timeseries/:metric",
  params: { metric: Schemas.TimeMetric },
  query: Schemas.MetricsOverTimeQuery,
  success: Schemas.MetricsOverTime
} as const satisfies Route
