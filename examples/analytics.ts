/** Plays of the last week by country, as a table in the terminal. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, DateTime, Effect, Stream } from "effect"
import { Analytics } from "effect-video-auth/api-video"
import { answeredBy } from "./support/operations.ts"

const program = Effect.gen(function* () {
  const to = yield* DateTime.now
  const from = DateTime.subtract(to, { days: 7 })
  const total = yield* Analytics.getAggregatedMetrics("play", "count", { from, to })
  const countries = yield* Analytics.streamMetricsBreakdown("play", "country", {
    from,
    to,
    sortBy: "metricValue",
    sortOrder: "desc"
  }).pipe(Stream.take(10), Stream.runCollect)

  const plays = countries.map(({ dimensionValue = "?", metricValue = 0 }) => [dimensionValue, metricValue] as const)
  const most = Math.max(1, ...plays.map(([, count]) => count))
  for (const [country, count] of plays) {
    const bar = "█".repeat(Math.round((20 * count) / most))
    yield* Console.log(`${country.padEnd(3)} ${String(count).padStart(5)} ${bar}`)
  }
  yield* Console.log(`all ${String(total.data).padStart(5)}`)
})

const ApiVideoLive = answeredBy({
  "Analytics.getAggregatedMetrics": () => ({ data: 142 }),
  "Analytics.getMetricsBreakdown": () => ({
    data: [
      { dimensionValue: "FR", metricValue: 80 },
      { dimensionValue: "DE", metricValue: 42 },
      { dimensionValue: "US", metricValue: 20 }
    ],
    pagination: { currentPage: 1, pagesTotal: 1 }
  })
})

program.pipe(Effect.provide(ApiVideoLive), NodeRuntime.runMain)
