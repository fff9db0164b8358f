/** The main figures as bars: `results.svg`, for a page that may be light or dark. */
import { ours } from "../measurement.ts"
import { type Figure, figures, formatRatio, formatValue, limits, rowsOf } from "./figures.ts"
import type { Results, Row } from "./results.ts"

/** Pixels. */
const layout = {
  columns: 2,
  width: 440,
  gap: 32,
  margin: 24,
  header: 56,
  label: 192,
  value: 60,
  title: 42,
  bar: 13,
  step: 20,
  after: 22
} as const

const style = `
  :root { --page: #ffffff; --line: #d8dee6; --text: #1b2430; --quiet: #5a6675; --ours: #2f6fde; --peer: #a9b5c4; --limit: #dfe5ec }
  @media (prefers-color-scheme: dark) {
    :root { --page: #14181f; --line: #303845; --text: #e6eaf0; --quiet: #9aa6b5; --ours: #6ea3ff; --peer: #5b6878; --limit: #333d4a }
  }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: var(--text) }
  .title { font-weight: 600; font-size: 13px }
  .quiet { fill: var(--quiet); font-size: 11px }
  .strong { font-weight: 600; fill: var(--text) }
  .head { font-weight: 600; font-size: 15px }
  .page { fill: var(--page); stroke: var(--line) }
  .ours { fill: var(--ours) }
  .peer { fill: var(--peer) }
  .limit { fill: var(--limit) }
  .cut { fill: var(--page) }
`

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const short = (subject: string) =>
  subject === "the same client without authentication" ? "same, no authentication" : subject

const kindOf = ({ subject }: Row) => (subject === ours ? "ours" : limits.has(subject) ? "limit" : "peer")

const labelOf = (row: Row, { show }: Figure): string =>
  show === "value" || row.ratio === null || row.subject === ours ? formatValue(row) : formatRatio(row.ratio)

const bar = (row: Row, figure: Figure, most: number, y: number): string => {
  const { bar, label, value, width } = layout
  const space = width - label - value
  const ratio = figure.show === "ratio" ? (row.ratio ?? 0) : row.value
  // One that is many times longer than all others would leave them nothing.
  const length = Math.max(1.5, Math.min(1, ratio / most) * space)
  const kind = kindOf(row)
  const baseline = y + bar - 2.5
  const strong = kind === "ours" ? " strong" : ""
  return [
    `<text class="quiet${strong}" x="${label - 8}" y="${baseline}" text-anchor="end">${escape(short(row.subject))}</text>`,
    `<rect class="${kind}" x="${label}" y="${y}" width="${length.toFixed(1)}" height="${bar}" rx="2"/>`,
    ratio > most ? `<path class="cut" d="M${label + space - 14} ${y - 1}l-5 ${bar + 2}h5l5 -${bar + 2}z"/>` : "",
    `<text class="quiet${strong}" x="${label + length + 6}" y="${baseline}">${labelOf(row, figure)}</text>`
  ].join("")
}

/** The longest bar that is drawn whole: beyond it a bar is cut. */
const mostOf = (rows: ReadonlyArray<Row>, figure: Figure): number => {
  const values = rows.map((row) => (figure.show === "ratio" ? (row.ratio ?? 0) : row.value)).toSorted((a, b) => b - a)
  const [first = 1, second = first] = values
  return first > 20 * second && second > 0 ? 2 * second : first || 1
}

const heightOf = (rows: ReadonlyArray<Row>) => layout.title + rows.length * layout.step + layout.after

/** What is drawn, and what the three colours mean. */
const header = (): string => {
  const legend = [
    ["ours", ours],
    ["peer", "peers"],
    ["limit", "limits: what it costs to have nothing"]
  ] as const
  let x = layout.margin
  const keys = legend.map(([kind, text]) => {
    const key = `<rect class="${kind}" x="${x}" y="43" width="11" height="11" rx="2"/><text class="quiet" x="${x + 17}" y="52">${text}</text>`
    x += 17 + text.length * 6.5 + 18
    return key
  })
  return `<text class="head" x="${layout.margin}" y="30">${ours} and its peers, in one run</text>${keys.join("")}`
}

const panel = (figure: Figure, rows: ReadonlyArray<Row>, x: number, y: number): string => {
  const most = mostOf(rows, figure)
  const direction = `${figure.better} is better${figure.show === "ratio" ? "; × is times ours" : ""}`
  return [
    `<g transform="translate(${x} ${y})">`,
    `<text class="title" x="0" y="12">${escape(figure.title)}</text>`,
    `<text class="quiet" x="0" y="28">${direction}</text>`,
    ...rows.map((row, index) => bar(row, figure, most, layout.title + index * layout.step)),
    "</g>"
  ].join("\n")
}

export const svg = (results: Results): string => {
  const { columns, gap, margin, width } = layout
  const panels = figures.map((figure) => ({ figure, rows: rowsOf(results, figure) }))
  // Each panel goes below whichever column is shorter.
  const heights: Array<number> = Array.from({ length: columns }, () => margin + layout.header)
  const drawn = panels.map(({ figure, rows }) => {
    const column = heights.indexOf(Math.min(...heights))
    const y = heights[column] ?? 0
    heights[column] = y + heightOf(rows)
    return panel(figure, rows, margin + column * (width + gap), y)
  })
  const { machine, versions, date } = results
  const total = { width: 2 * margin + columns * width + (columns - 1) * gap, height: Math.max(...heights) + margin }
  const source = `${machine.cpu}, ${machine.cores} cores, Node ${versions["node"]}, Effect ${versions["effect"]}, ${date.slice(0, 10)}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}" role="img">`,
    `<title>${ours} beside its peers</title>`,
    `<style>${style}</style>`,
    `<rect class="page" x="0.5" y="0.5" width="${total.width - 1}" height="${total.height - 1}" rx="8"/>`,
    header(),
    ...drawn,
    `<text class="quiet" x="${margin}" y="${total.height - 14}">${escape(source)}</text>`,
    "</svg>",
    ""
  ].join("\n")
}
