/**
 * `npm run bench`: runs the scenarios, prints their tables and targets, and writes `results.json`, `results.svg`, the
 * tables of README.md, and the chart and three sentences of docs/comparison.md. A missed target is reported and does not fail the run.
 */
import { writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { join } from "node:path"
import { spawnSync } from "node:child_process"
import { commandLine, refuse } from "../scripts/commandLine.ts"
import type { Effort, Outcome, Scenario } from "./measurement.ts"
import * as faults from "./report/faults.ts"
import { settle } from "./report/load.ts"
import { markdown, writeBetweenMarkers } from "./report/markdown.ts"
import { page, quotes, recordedRows } from "./report/quotes.ts"
import { assemble, recorded, replaceIn, type Results, toJson } from "./report/results.ts"
import { svg } from "./report/svg.ts"
import { table, verdicts } from "./report/table.ts"

const scenarios: Readonly<Record<string, () => Promise<{ readonly scenario: Scenario }>>> = {
  1: () => import("./scenarios/1-cold-callers.ts"),
  2: () => import("./scenarios/2-staggered-401s.ts"),
  3: () => import("./scenarios/3-early-renewal.ts"),
  4: () => import("./scenarios/4-provider-down.ts"),
  5: () => import("./scenarios/5-rotation.ts"),
  6: () => import("./scenarios/6-hot-path.ts"),
  7: () => import("./scenarios/7-requests.ts"),
  8: () => import("./scenarios/8-identities.ts"),
  9: () => import("./scenarios/9-size.ts"),
  10: () => import("./scenarios/10-growth.ts"),
  11: () => import("./scenarios/11-typed-pages.ts"),
  12: () => import("./scenarios/12-uploads.ts"),
  13: () => import("./scenarios/13-sandbox.ts")
}

const script = {
  name: "bench",
  about: `Measures this library and others, and writes the figures into bench/ and the README. Takes less than ten minutes on an
idle machine. Installs what it compares into bench/node_modules first.`,
  flags: {
    only: {
      value: "1,6",
      about: `Runs only these scenarios, of ${Object.keys(scenarios).join(", ")}. Writes nothing.`
    },
    record: { about: "With --only: puts these scenarios in the place of what the results have of them." },
    smoke: { about: "Type-checks the benchmark and runs every scenario with next to no work. Writes nothing." }
  }
}
const given = commandLine(script)
const effort: Effort = given.has("smoke") ? "smoke" : "full"
const only = given.valueOf("only")?.split(",")
const chosen = only ?? Object.keys(scenarios)
const unknown = chosen.find((number) => scenarios[number] === undefined)
if (unknown !== undefined) refuse(script, `there is no scenario ${unknown}`)

/** Runs a program, and ends this one if it fails. */
const run = (command: string, ...args: ReadonlyArray<string>) => {
  const { status } = spawnSync(command, args, { stdio: "inherit", shell: process.platform === "win32" })
  if (status !== 0) process.exit(status ?? 1)
}
run("npm", "ci", "--prefix", import.meta.dirname, "--no-audit", "--no-fund")
if (effort === "smoke") run("tsc", "-p", join(import.meta.dirname, "tsconfig.json"))

const seconds = (since: number) => `${((performance.now() - since) / 1_000).toFixed(0)} s`

const write = (results: Results) => {
  writeFileSync(join(import.meta.dirname, "results.json"), toJson(results))
  writeFileSync(join(import.meta.dirname, "results.svg"), svg(results))
  const text = markdown(results)
  writeBetweenMarkers(join(import.meta.dirname, "README.md"), text)
  writeFileSync(faults.chart, faults.svg(results.rows))
  writeBetweenMarkers(page, quotes(recordedRows()))
}

const since = performance.now()
const { before, isNoisy } = await settle(effort === "smoke" ? 0 : 90)
const noise = "THE MACHINE IS NOT IDLE: times below are noisy, and so are their ratios."
console.log(`Load before: ${before.map((load) => load.toFixed(2)).join(", ")}${isNoisy ? `\n${noise}` : ""}`)

const outcomes: Array<Outcome> = []
for (const number of chosen) {
  const { scenario } = await scenarios[number]!()
  const since = performance.now()
  const outcome = await scenario.run(effort)
  outcomes.push(outcome)
  const { rows } = assemble([outcome], { before, after: [], isNoisy })
  console.log(table(scenario, rows))
  console.log(`\n${effort === "smoke" ? "no verdicts: the work was too small" : verdicts(outcome.targets)}`)
  console.log(`\n(${seconds(since)})`)
}

const results = assemble(outcomes, { before, after: loadavg(), isNoisy })
const missed = results.targets.filter(({ isMet }) => !isMet).length
console.log(
  `\n${seconds(since)}. Load after: ${loadavg()
    .map((load) => load.toFixed(2))
    .join(", ")}`
)
if (effort === "full") {
  console.log(`${results.targets.length - missed} of ${results.targets.length} targets met`)
  if (only === undefined) write(results)
  else if (given.has("record")) write(replaceIn(recorded(), results))
}
