/**
 * One chart with one message: the calls that failed under the same faults. `npm run bench` draws it; so does
 * `node bench/report/faults.ts`, from the results at hand.
 *
 * What a client does not do is no merit here: bars are failed calls, so one that gives up at once has a full bar, and the
 * exchanges that it saved are a number in small print.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Measurement, ours } from "../measurement.ts"

/** A measurement, or what `results.json` keeps of one: there a missing value is `null`. */
type Row = Pick<Measurement, "scenario" | "subject" | "metric" | "note"> & { readonly value: number | null }

interface Fault {
  readonly title: string
  readonly subtitle: string
  /** The scenario's number. */
  readonly scenario: number
  /** What is counted beside the failed calls. */
  readonly metric: RegExp
  readonly count: (value: number) => string
}

const counted = (value: number, one: string, many: string) =>
  `${value.toLocaleString("en")} ${value === 1 ? one : many}`

const faults: ReadonlyArray<Fault> = [
  {
    title: "The token is revoked",
    subtitle: "50 requests under way",
    scenario: 2,
    metric: /^exchanges/,
    count: (value) => counted(value, "exchange", "exchanges")
  },
  {
    title: "The login server is down",
    subtitle: "5 minutes, the token is still valid",
    scenario: 4,
    metric: /^exchanges/,
    count: (value) => counted(value, "exchange", "exchanges")
  },
  {
    title: "A refresh response is lost",
    subtitle: "refresh tokens that rotate, 10 renewals",
    scenario: 5,
    metric: /twice/,
    count: (value) => counted(value, "token sent twice", "tokens sent twice")
  }
]

interface Cell {
  readonly failed: number
  readonly calls: number
  readonly label: string
}

/** How many calls there were is in the metric's name or in the note. */
const callsOf = ({ metric, note = "" }: Row): number =>
  Number((/failed calls of (\d+)/.exec(metric) ?? /^Of ([\d,]+)\./.exec(note))?.[1]?.replaceAll(",", ""))

/** Why a client made no exchange although nothing failed: the fault is about something that it does not do. */
const unexercised = ({ note = "", value }: Row): string | undefined =>
  value !== 0
    ? undefined
    : /\(Basic\)/.test(note)
      ? "sends the key itself"
      : /renews only after a 401/.test(note)
        ? "renews after 401s"
        : undefined

const cellOf = (rows: ReadonlyArray<Row>, subject: string, { count, metric, scenario }: Fault): Cell | undefined => {
  const own = rows.filter((row) => row.subject === subject && row.scenario.startsWith(`${scenario}.`))
  const failures = own.find((row) => row.metric.startsWith("failed calls"))
  const failed = failures?.value
  const value = own.find((row) => metric.test(row.metric))?.value
  if (failures === undefined || failed == null || Number.isNaN(failed) || value == null) return undefined
  return { failed, calls: callsOf(failures), label: unexercised(failures) ?? count(value) }
}

/** Pixels. */
const layout = { margin: 24, name: 206, cell: 218, track: 176, row: 40, head: 112, foot: 64 } as const
const width = 2 * layout.margin + layout.name + faults.length * layout.cell

const style = `
  text { font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1b2430 }
  .head { font-size: 18px; font-weight: 600 }
  .title { font-size: 13px; font-weight: 600 }
  .quiet { fill: #566272; font-size: 11.5px }
  .strong { font-weight: 600 }
  .page { fill: #ffffff; stroke: #d0d7de }
  .band { fill: #eaf1fd }
  .track { fill: #d5dde7 }
  .failed { fill: #c8401a }
  .line { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf0 }
    .quiet { fill: #a3afbd }
    .page { fill: #11161d; stroke: #30363d }
    .band { fill: #14263f }
    .track { fill: #333e4c }
    .failed { fill: #ff7a4d }
    .line { stroke: #30363d }
  }`

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const text = (kind: string, x: number, y: number, content: string, anchor = "start") =>
  `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${escape(content)}</text>`

const drawCell = (cell: Cell | undefined, x: number, y: number): string => {
  if (cell === undefined) return text("quiet", x, y + 18, "does not apply")
  const { calls, failed, label } = cell
  const share = failed / calls
  // A failure is seen, however rare.
  const length = failed === 0 ? 0 : Math.max(3, share * layout.track)
  const failures = failed === 0 ? "none failed" : `${share < 0.01 ? "<1" : Math.round(share * 100)}% failed`
  return [
    `<rect class="track" x="${x}" y="${y + 2}" width="${layout.track}" height="10" rx="3"/>`,
    length > 0 ? `<rect class="failed" x="${x}" y="${y + 2}" width="${length.toFixed(1)}" height="10" rx="3"/>` : "",
    `<text class="quiet" x="${x}" y="${y + 27}"><tspan class="strong">${escape(failures)}</tspan> · ${escape(label)}</text>`
  ].join("")
}

/** The chart as SVG, readable on a light and on a dark page. */
export const svg = (rows: ReadonlyArray<Row>): string => {
  const subjects = [...new Set(rows.filter(({ scenario }) => /^[245]\./.test(scenario)).map(({ subject }) => subject))]
  const lines = subjects
    .map((subject) => {
      const cells = faults.map((fault) => cellOf(rows, subject, fault))
      const failures = cells.reduce((sum, cell) => sum + (cell === undefined ? 0 : cell.failed / cell.calls), 0)
      return { subject, cells, failures, missing: cells.filter((cell) => cell === undefined).length }
    })
    .filter(({ cells, missing }) => missing < cells.length)
    .toSorted(
      (a, b) =>
        Number(b.subject === ours) - Number(a.subject === ours) || a.failures - b.failures || a.missing - b.missing
    )
  const own = lines[0]?.failures === 0 ? "no call through effect-video-auth fails" : "calls that fail"
  const height = layout.head + lines.length * layout.row + layout.foot
  const column = (index: number) => layout.margin + layout.name + index * layout.cell
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title">`,
    `<title id="title">Failed calls of ${lines.length} clients under the same three faults</title>`,
    `<style>${style}\n</style>`,
    `<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>`,
    text("head", layout.margin, 36, `Under the same faults, ${own}`),
    ...faults.flatMap(({ subtitle, title }, index) => [
      text("title", column(index), 72, title),
      text("quiet", column(index), 90, subtitle)
    ]),
    ...lines.flatMap(({ cells, subject }, index) => {
      const y = layout.head + index * layout.row
      const isOurs = subject === ours
      const band = `<rect class="band" x="8" y="${y - 8}" width="${width - 16}" height="${layout.row}" rx="6"/>`
      const line = `<path class="line" d="M${layout.margin} ${y - 8}H${width - layout.margin}"/>`
      const name = text(isOurs ? "strong" : "", layout.margin, y + 17, subject)
      return [isOurs ? band : line, name].concat(cells.map((cell, index) => drawCell(cell, column(index), y)))
    }),
    `<rect class="failed" x="${layout.margin}" y="${height - 47}" width="24" height="10" rx="3"/>`,
    text("quiet", layout.margin + 30, height - 38, "calls that failed"),
    `<rect class="track" x="${layout.margin + 150}" y="${height - 47}" width="24" height="10" rx="3"/>`,
    text("quiet", layout.margin + 180, height - 38, "calls that were served"),
    text(
      "quiet",
      layout.margin,
      height - 18,
      "“Does not apply”: the client uses no refresh tokens. Few exchanges are no merit where calls fail."
    ),
    "</svg>",
    ""
  ].join("\n")
}

const folder = join(import.meta.dirname, "..")

/** The chart's place among the pages. */
export const chart = join(folder, "..", "docs", "faults.svg")

/** What the last full run wrote. */
export const recorded = (): ReadonlyArray<Row> => JSON.parse(readFileSync(join(folder, "results.json"), "utf8")).rows

if (import.meta.main) writeFileSync(chart, svg(recorded()))
