/** The main figures: what the chart and the README's table show of all that is measured. */
import { type Measurement, ours } from "../measurement.ts"
import type { Results, Row } from "./results.ts"

export interface Figure {
  readonly title: string
  /** The scenario's number, and what its metric says. */
  readonly scenario: number
  readonly metric: RegExp
  /** Counts and sizes speak for themselves; of what is timed only the ratio does. */
  readonly show: "value" | "ratio"
  readonly better: "less" | "more"
  /** The first table has what is counted, on virtual time where that can be; the second what is measured. */
  readonly isCounted: boolean
}

const counted = (scenario: number, metric: RegExp, title: string): Figure => ({
  title,
  scenario,
  metric,
  show: "value",
  better: "less",
  isCounted: true
})

const measured = (
  scenario: number,
  metric: RegExp,
  title: string,
  show: Figure["show"],
  better: Figure["better"] = "less"
): Figure => ({ title, scenario, metric, show, better, isCounted: false })

export const figures: ReadonlyArray<Figure> = [
  counted(1, /10,000 callers/, "Exchanges for 10,000 cold callers"),
  counted(2, /^exchanges/, "Exchanges for 50 staggered 401s"),
  counted(2, /^failed/, "Failed calls of 50 with staggered 401s"),
  counted(3, /^wait, p99,.* 5 s$/, "p99 wait while a renewal takes 5 s"),
  counted(4, /^failed/, "Failed calls while the provider is down"),
  counted(4, /^exchanges/, "Exchanges while the provider is down"),
  counted(5, /twice/, "Refresh tokens sent twice"),
  measured(6, /^time/, "Time per get", "ratio"),
  measured(6, /^heap/, "Heap per get", "value"),
  measured(7, /^throughput, 32/, "Requests per second, 32 at a time", "ratio", "more"),
  measured(7, /^CPU.* 32/, "CPU per request, 32 at a time", "ratio"),
  measured(8, /^memory each, 100,000/, "Memory of each of 100,000 identities", "value"),
  measured(9, /^bundle, esbuild/, "Bundle for Node, minified, gzip", "value")
]

/** Not what anybody would use instead, but what it costs to have nothing. */
export const limits: ReadonlySet<string> = new Set([
  "Effect.succeed",
  "Ref.get",
  "await of a Promise",
  "fetch",
  "undici.request",
  "Effect HttpClient",
  "the same client without authentication"
])

/** Variants are for those who read all of it. */
const isVariant = ({ subject }: Measurement) =>
  subject.startsWith(`${ours},`) ||
  subject.startsWith("Effect HttpClient,") ||
  subject.endsWith(" in Effect.promise") ||
  ["BearerClient.make", "with api.video's provider", "a TokenService each"].includes(subject)

/** A figure's rows: ours, the peers from the best on, then the limits. A peer that has no such thing has no row. */
export const rowsOf = ({ rows }: Results, { better, metric, scenario }: Figure): ReadonlyArray<Row> => {
  const rank = ({ subject }: Row) => (subject === ours ? 0 : limits.has(subject) ? 2 : 1)
  const sign = better === "less" ? 1 : -1
  const shown = rows
    .filter((row) => row.scenario.startsWith(`${scenario}.`) && metric.test(row.metric))
    .filter((row) => !isVariant(row) && !Number.isNaN(row.value))
    .toSorted((a, b) => rank(a) - rank(b) || sign * (a.value - b.value))
  if (shown.length === 0) throw new Error(`scenario ${scenario} has no figure like ${metric}`)
  return shown
}

const digits = (value: number): string =>
  value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })

export const formatRatio = (ratio: number): string => `${digits(ratio)} ×`

const units = new Set(["ns", "µs", "ms", "req/s", "bytes"])

/** A value in the unit that suits its size; a count is a number. */
export const formatValue = ({ unit, value }: Measurement): string => {
  if (Number.isNaN(value)) return "–"
  if (unit === "bytes" && value >= 1e6) return `${digits(value / 1e6)} MB`
  if (unit === "bytes" && value >= 1e4) return `${digits(value / 1e3)} KB`
  if (unit === "ns" && value >= 1e6) return `${digits(value / 1e6)} ms`
  if (unit === "ns" && value >= 1e4) return `${digits(value / 1e3)} µs`
  return units.has(unit) ? `${digits(value)} ${unit}` : digits(value)
}
