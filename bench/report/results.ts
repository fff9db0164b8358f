/** What a run has to say: all figures with their ratios, and where they come from. */
import { readFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import { type Measurement, type Outcome, ours, type Target } from "../measurement.ts"
import type { Load } from "./load.ts"

/** A figure beside ours. */
export interface Row extends Measurement {
  /** Times ours; `null` where ours is 0 or there is none. */
  readonly ratio: number | null
}

/** A run of some scenarios after the run of all. */
interface LaterRun {
  readonly scenarios: ReadonlyArray<string>
  readonly date: string
  readonly load: Load
}

export interface Results {
  readonly date: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memory: string; readonly platform: string }
  readonly load: Load
  readonly versions: Readonly<Record<string, string>>
  readonly rows: ReadonlyArray<Row>
  readonly targets: ReadonlyArray<Target>
  readonly later?: ReadonlyArray<LaterRun>
}

const bench = join(import.meta.dirname, "..")

interface Manifest {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
}

const manifest = (...path: ReadonlyArray<string>): Manifest =>
  JSON.parse(readFileSync(join(bench, ...path, "package.json"), "utf8"))

const versions = (): Readonly<Record<string, string>> => {
  const fromRoot = ["effect", "@effect/platform-node", "esbuild"]
  const peers = Object.keys(manifest().dependencies)
  return {
    node: process.versions.node,
    [ours]: manifest("..").version,
    ...Object.fromEntries(fromRoot.map((name) => [name, manifest("..", "node_modules", name).version])),
    ...Object.fromEntries(peers.map((name) => [name, manifest("node_modules", name).version]))
  }
}

const rowsOf = (measurements: ReadonlyArray<Measurement>): ReadonlyArray<Row> => {
  const keyOf = ({ metric, scenario }: Measurement) => `${scenario}\n${metric}`
  const own = new Map(measurements.flatMap((row) => (row.subject === ours ? [[keyOf(row), row.value] as const] : [])))
  return measurements.map((row) => {
    const reference = own.get(keyOf(row))
    const ratio = row.ratioToOurs ?? (reference ? row.value / reference : NaN)
    return { ...row, ratio: Number.isFinite(ratio) ? ratio : null }
  })
}

export const assemble = (outcomes: ReadonlyArray<Outcome>, load: Load): Results => ({
  date: new Date().toISOString(),
  machine: {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    platform: `${process.platform} ${process.arch}`
  },
  load,
  versions: versions(),
  rows: rowsOf(outcomes.flatMap(({ measurements }) => measurements)),
  targets: outcomes.flatMap(({ targets }) => targets)
})

/** The results on record. Their missing values are `null`. */
export const recorded = (): Results => {
  const results: Omit<Results, "rows"> & {
    readonly rows: ReadonlyArray<Omit<Row, "ratio" | "value"> & { readonly value: number | null }>
  } = JSON.parse(readFileSync(join(bench, "results.json"), "utf8"))
  return {
    ...results,
    rows: results.rows.map((row) => Object.assign(row, { value: row.value ?? NaN, ratio: row.ratioToOurs ?? null }))
  }
}

/** Puts the scenarios of a later run in the place of what an earlier one has of them. */
export const replaceIn = (earlier: Results, { date, load, rows, targets, versions }: Results): Results => {
  const scenarios = [...new Set(rows.map(({ scenario }) => scenario))]
  const merged = <A extends { readonly scenario: string }>(old: ReadonlyArray<A>, latest: ReadonlyArray<A>) =>
    [...old.filter(({ scenario }) => !scenarios.includes(scenario)), ...latest].toSorted(
      (a, b) => Number.parseInt(a.scenario) - Number.parseInt(b.scenario)
    )
  const still = (earlier.later ?? []).flatMap((run) => {
    const left = run.scenarios.filter((scenario) => !scenarios.includes(scenario))
    return left.length === 0 ? [] : [{ ...run, scenarios: left }]
  })
  return {
    ...earlier,
    versions: { ...versions, ...earlier.versions },
    rows: merged(earlier.rows, rows),
    targets: merged(earlier.targets, targets),
    later: [...still, { scenarios, date, load }]
  }
}

/**
 * `results.json`. Four digits of a measured figure are more than it is worth; where a subject has no such thing, the value
 * is `null`.
 */
export const toJson = ({ rows, ...rest }: Results): string => {
  const rounded = (value: number) => (Number.isInteger(value) ? value : Number(value.toPrecision(4)))
  const plain = rows.map(({ metric, note, ratio, scenario, spread, subject, unit, value }) => ({
    scenario,
    subject,
    metric,
    value: rounded(value),
    unit,
    ratioToOurs: ratio === null ? null : rounded(ratio),
    ...(spread && { spread: spread.map(rounded) }),
    ...(note !== undefined && { note })
  }))
  return `${JSON.stringify({ ...rest, rows: plain }, undefined, 2)}\n`
}
