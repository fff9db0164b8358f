/** The analytics of the sandboxed api.video: documented numbers of made-up views. */
import type * as routes from "../../api-video/shared/routes/analytics.ts"
import * as SandboxProblem from "../SandboxProblem.ts"
import type { Answer } from "../SandboxRequest.ts"
import type { Handlers, Input } from "./input.ts"
import { page, sorted } from "./pages.ts"
import type { Reply } from "./reply.ts"
import { between, type Media, type View } from "./views.ts"
import { atom, type World } from "./world.ts"

type Query = Input<typeof routes.getAggregatedMetrics>["query"]
type Breakdown = Input<typeof routes.getMetricsBreakdown>["params"]["breakdown"]

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

/** The aggregations of each metric (api.video OpenAPI, `GET_aggregated-metrics`); `count` of `view` is in its examples. */
const aggregations: Readonly<Record<string, ReadonlyArray<string>>> = {
  play: ["count", "rate", "total"],
  start: ["count"],
  end: ["count"],
  impression: ["count"],
  "impression-time": ["average", "sum"],
  "watch-time": ["average", "sum"],
  ccv: ["peak", "average", "live"],
  view: ["count"]
}

const dimensions: { readonly [B in Breakdown]: (view: View) => string } = {
  "media-id": ({ media }) => media.id,
  "media-type": ({ media }) => media.type,
  continent: ({ continent }) => continent,
  country: ({ country }) => country,
  "device-type": ({ deviceType }) => deviceType,
  "operating-system": ({ operatingSystem }) => operatingSystem,
  browser: ({ browser }) => browser,
  referrer: ({ referrer }) => referrer
}

const invalid = (name: string, detail: string): Answer =>
  SandboxProblem.response("request-invalid-query-parameter", { name, detail })

const unrecognized = () => SandboxProblem.response("unrecognized-request-url")

const count = (views: ReadonlyArray<View>, counts: (view: View) => boolean): number => views.filter(counts).length

const round = (value: number): number => Math.round(value * 100) / 100

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)

const average = (numbers: ReadonlyArray<number>): number =>
  numbers.length === 0 ? 0 : round(sum(numbers) / numbers.length)

const groupBy = <Key>(views: ReadonlyArray<View>, keyOf: (view: View) => Key): ReadonlyMap<Key, Array<View>> => {
  const groups = new Map<Key, Array<View>>()
  for (const view of views) {
    const key = keyOf(view)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [view])
    else group.push(view)
  }
  return groups
}

/** Viewers at the same time: those of the same minute. */
const concurrent = (views: ReadonlyArray<View>, unique: boolean): ReadonlyArray<number> =>
  [...groupBy(views, ({ at }) => Math.floor(at / minute)).values()].map((together) =>
    unique ? new Set(together.map(({ viewer }) => viewer)).size : together.length
  )

/** Views that lasted; of each viewer once a day, if they are to be unique. */
const lasting = (views: ReadonlyArray<View>, { unique = false, viewDuration = "5s" }: Query): number => {
  const enough = views.filter(({ watched }) => watched >= Number.parseInt(viewDuration, 10))
  return unique ? new Set(enough.map(({ at, viewer }) => `${Math.floor(at / day)} ${viewer}`)).size : enough.length
}

/** A metric of some views. Names are those of breakdowns and of time; the others have an aggregation behind them. */
const measure = (metric: string, views: ReadonlyArray<View>, query: Query): number => {
  const plays = count(views, ({ played }) => played)
  switch (metric) {
    case "play":
    case "play-total":
    case "start":
      return plays
    case "play-rate":
      return views.length === 0 ? 0 : round(plays / views.length)
    case "end":
      return count(views, ({ ended }) => ended)
    case "impression":
      return views.length
    case "impression-time-sum":
      return sum(views.map(({ loading }) => loading))
    case "impression-time-average":
      return average(views.map(({ loading }) => loading))
    case "watch-time-sum":
      return sum(views.map(({ watched }) => watched))
    case "watch-time-average":
      return average(views.flatMap(({ played, watched }) => (played ? [watched] : [])))
    case "ccv-average":
      return average(concurrent(views, query.unique ?? false))
    case "ccv-peak":
    case "ccv-live":
      return Math.max(0, ...concurrent(views, query.unique ?? false))
    default:
      return lasting(views, query)
  }
}

/** The name of a metric with an aggregation. */
const nameOf = (metric: string, aggregation: string): string =>
  aggregation === "count" ? metric : `${metric}-${aggregation}`

const includes = (values: ReadonlyArray<string> | undefined, value: string) =>
  values === undefined || values.includes(value)

const passes = ({ media, ...view }: View, filter: NonNullable<Query["filterBy"]>): boolean =>
  includes(filter.mediaId, media.id) &&
  (filter.mediaType === undefined || filter.mediaType === media.type) &&
  includes(filter.continent, view.continent) &&
  includes(filter.country, view.country) &&
  includes(filter.deviceType, view.deviceType) &&
  includes(filter.operatingSystem, view.operatingSystem) &&
  includes(filter.browser, view.browser) &&
  includes(filter.referrer, view.referrer) &&
  (filter.tag === undefined || media.tags.includes(filter.tag))

export const make = ({ now, origin }: World, mediaOf: () => ReadonlyArray<Media>) => {
  interface Period {
    readonly from: number
    readonly to: number
    readonly context: { readonly from: string; readonly to: string }
  }

  const periodOf = ({ from, to }: Query): Period => {
    const end = to?.epochMilliseconds ?? now()
    const start = from?.epochMilliseconds ?? end - day
    return { from: start, to: end, context: { from: atom(start), to: atom(end) } }
  }

  /** What a query may not say of a metric. */
  const refusalOf = (metric: string, query: Query): Answer | undefined => {
    const { from, to } = periodOf(query)
    if (query.unique !== undefined && !/^(?:ccv|view)/.test(metric))
      return invalid("unique", "This field was not expected.")
    if (query.viewDuration !== undefined && metric !== "view") {
      return invalid("viewDuration", "This field was not expected.")
    }
    if (metric === "play-total") {
      const other = Object.keys(query.filterBy ?? {}).find((name) => name !== "mediaId" && name !== "mediaType")
      return other === undefined ? undefined : invalid(`filterBy[${other}]`, "This field was not expected.")
    }
    if (from < now() - 30 * day - minute) return invalid("from", "This date is more than 30 days ago.")
    return from < to ? undefined : invalid("from", "This date is not before the end of the timeframe.")
  }

  const viewsOf = (metric: string, query: Query): ReadonlyArray<View> => {
    const media = mediaOf()
    const { from, to } = metric === "play-total" ? { from: 0, to: now() } : periodOf(query)
    const until = Math.min(to, now())
    const since = metric === "ccv-live" ? Math.max(from, until - 20_000) : from
    return between(media, since, until).filter((view) => passes(view, query.filterBy ?? {}))
  }

  const intervalOf = (
    interval: "minute" | "hour" | "day" | undefined,
    { from, to }: Period
  ): Answer | "minute" | "hour" | "day" => {
    if (interval === "minute" && to - from > hour) {
      return invalid("interval", "This interval cannot be used with a timeframe over 60 minutes.")
    }
    return interval ?? (to - from <= 2 * day ? "hour" : "day")
  }

  const lengths = { minute, hour, day }

  const handlers: Handlers<typeof routes> = {
    getAggregatedMetrics: ({ params: { aggregation, metric }, query }): Reply => {
      if (aggregations[metric]?.includes(aggregation) !== true) return unrecognized()
      const name = nameOf(metric, aggregation)
      return (
        refusalOf(name, query) ?? {
          context: { metric, aggregation, timeframe: periodOf(query).context },
          data: measure(name, viewsOf(name, query), query)
        }
      )
    },
    getMetricsBreakdown: ({ params: { breakdown, metric }, query, url }): Reply => {
      if (metric === "play-total" && breakdown !== "media-id") return unrecognized()
      const refusal = refusalOf(metric, query)
      if (refusal !== undefined) return refusal
      const groups = groupBy(viewsOf(metric, query), dimensions[breakdown])
      const values = [...groups].map(([dimensionValue, views]) => ({
        metricValue: measure(metric, views, query),
        dimensionValue
      }))
      const inOrder = sorted(values, { sortBy: "dimensionValue" }, (value, key: "dimensionValue") => value[key])
      return {
        context: { metric, breakdown, timeframe: periodOf(query).context },
        ...page(
          sorted(inOrder, query, (value, key) => value[key]),
          query,
          { origin, url },
          (value) => value
        )
      }
    },
    getMetricsOverTime: ({ params: { metric }, query, url }): Reply => {
      const refusal = refusalOf(metric, query)
      if (refusal !== undefined) return refusal
      const interval = intervalOf(query.interval, periodOf(query))
      if (typeof interval !== "string") return interval
      const length = lengths[interval]
      const groups = groupBy(viewsOf(metric, query), ({ at }) => Math.floor(at / length) * length)
      const values = [...groups].map(([emittedAt, views]) => ({
        emittedAt,
        metricValue: measure(metric, views, query)
      }))
      const inOrder = sorted(values, { sortBy: "emittedAt" }, (value, key: "emittedAt") => value[key])
      return {
        context: { metric, interval, timeframe: periodOf(query).context },
        ...page(
          sorted(inOrder, query, (value, key) => value[key]),
          query,
          { origin, url },
          ({ emittedAt, metricValue }) => ({ emittedAt: atom(emittedAt), metricValue })
        )
      }
    }
  }
  return { handlers }
}
