/** The results as Markdown, and the documents that quote them. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { noiseIn, ours } from "../measurement.ts"
import { type Figure, figures, formatRatio, formatValue, limits, rowsOf } from "./figures.ts"
import type { Results, Row } from "./results.ts"
import { median } from "../statistics.ts"

const cell = (row: Row | undefined, { show }: Figure): string =>
  row === undefined
    ? "–"
    : show === "value" || row.ratio === null
      ? formatValue(row)
      : row.subject === ours
        ? `1 (${formatValue(row)})`
        : formatRatio(row.ratio)

const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`

/** Subjects down, figures across. */
const scoreboard = (results: Results, shown: ReadonlyArray<Figure>): ReadonlyArray<string> => {
  const columns = shown.map((figure) => ({
    figure,
    rows: new Map(rowsOf(results, figure).map((row) => [row.subject, row]))
  }))
  const all = [...new Set(columns.flatMap(({ rows }) => [...rows.keys()]))]
  const subjects = [...all.filter((subject) => !limits.has(subject)), ...all.filter((subject) => limits.has(subject))]
  const nameOf = (subject: string) =>
    subject === ours ? `**${subject}**` : limits.has(subject) ? `limit: ${subject}` : subject
  return [
    line(["", ...shown.map(({ title }) => title)]),
    line(["---", ...shown.map(() => "---:")]),
    ...subjects.map((subject) =>
      line([nameOf(subject), ...columns.map(({ figure, rows }) => cell(rows.get(subject), figure))])
    )
  ]
}

const targets = (results: Results): ReadonlyArray<string> => [
  line(["scenario", "target", "measured", ""]),
  line(["---", "---", "---", "---"]),
  ...results.targets.map(({ isMet, measured, scenario, target }) =>
    line([scenario, target, measured, isMet ? "met" : "**missed**"])
  )
]

/** How far two processes of one subject differ at most, in the figures that are timed. */
const noise = (results: Results): string => {
  const figuresOf = (metric: string) =>
    results.rows.filter((row) => row.metric === noiseIn(metric)).map(({ value }) => Math.abs(value - 1))
  const parts = [
    { metric: "time per get", words: "time per get" },
    { metric: "throughput, 32 at a time", words: "requests per second" },
    { metric: "CPU per request, 32 at a time", words: "CPU per request" },
    { metric: "client CPU per request, without a network", words: "CPU per request without a network" }
  ].flatMap(({ metric, words }) => {
    const differences = figuresOf(metric)
    return differences.length === 0 ? [] : [`${(100 * median(differences)).toFixed(1)} % (${words})`]
  })
  return `Each subject runs in two processes at a time. Half of the subjects differ from themselves by less than ${parts.join(", ")}.`
}

/** Tables of what is counted, of what is measured and of the targets, and what it was measured on. */
export const markdown = (results: Results): string => {
  const { date, later = [], load, machine, versions } = results
  const busyOf = ({ isNoisy }: typeof load) => (isNoisy ? " The machine had other work when the run began." : "")
  return [
    ...scoreboard(
      results,
      figures.filter(({ isCounted }) => isCounted)
    ),
    "",
    ...scoreboard(
      results,
      figures.filter(({ isCounted }) => !isCounted)
    ),
    "",
    `× is times ours, the median of paired rounds. Absolute times are those of one shared machine and noisy: ${machine.cpu}, ` +
      `${machine.cores} cores, Node ${versions["node"]}, Effect ${versions["effect"]}, ${date.slice(0, 10)}.${busyOf(load)}`,
    ...later.flatMap(({ date, load, scenarios }) => [
      "",
      `In a run of their own: ${scenarios.join(", ")}, ${date.slice(0, 10)}.${busyOf(load)}`
    ]),
    "",
    noise(results),
    "",
    ...targets(results)
  ].join("\n")
}

const markers = /(<!-- bench -->\n)[^]*?(<!-- \/bench -->)/

/** Puts text between the markers of a document; one without them is left alone. */
export const writeBetweenMarkers = (path: string, text: string) => {
  if (!existsSync(path)) return
  const document = readFileSync(path, "utf8")
  if (markers.test(document)) {
    writeFileSync(
      path,
      document.replace(markers, (_, open, close) => `${open}\n${text}\n\n${close}`)
    )
  }
}
