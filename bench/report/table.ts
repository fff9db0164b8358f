/** What a run prints. */
import type { Scenario, Target } from "../measurement.ts"
import { formatRatio, formatValue } from "./figures.ts"
import type { Row } from "./results.ts"

const spreadOf = (row: Row): string => {
  const [low, high] = (row.spread ?? []).map((value) => formatValue({ ...row, value }))
  return low === high ? "" : `${low} to ${high}`
}

/** Columns as wide as their widest cell; numbers to the right. */
const align = (lines: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)))
  return lines.map((cells) =>
    cells
      .map((cell, column) =>
        column === 1 || column === 2 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
      )
      .join("  ")
      .trimEnd()
  )
}

const cellsOf = (title: string, row: Row, ratio: number | null): ReadonlyArray<string> => [
  `  ${title}`,
  formatValue(row),
  ratio === null ? "" : formatRatio(ratio),
  spreadOf(row),
  row.note ?? ""
]

/** The rows of one scenario, metric by metric; what only one subject has is one list. */
export const table = ({ description, name }: Scenario, rows: ReadonlyArray<Row>): string => {
  const own = rows.filter(({ scenario }) => scenario === name)
  const metrics = [...new Set(own.map(({ metric }) => metric))]
  const lines =
    metrics.length === own.length
      ? align(own.map((row) => cellsOf(row.metric, row, null)))
      : metrics.flatMap((metric) => {
          const cells = own.filter((row) => row.metric === metric).map((row) => cellsOf(row.subject, row, row.ratio))
          return ["", metric].concat(align(cells))
        })
  return [`\n${name}`, description].concat(lines).join("\n")
}

export const verdicts = (targets: ReadonlyArray<Target>): string =>
  targets.map(({ isMet, measured, target }) => `${isMet ? "met   " : "MISSED"}  ${target}: ${measured}`).join("\n")
