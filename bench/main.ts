/**
 * `npm run bench`: runs the scenarios, prints their tables and targets, and writes `results.json`, `results.svg` and the
 * tables of the documents that quote them.
 *
 * `--only 1,6` runs some scenarios, `--smoke` all of them with next to no work, to see that they run; both write nothing.
 * A missed target is reported and does not fail the run.
 */
import { writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import type { Effort, Outcome, Scenario } from "./measurement.ts"
import { settle } from "./report/load.ts"
import { markdown, writeBetweenMarkers } from "./report/markdown.ts"
import { assemble, type Results, toJson } from "./report/results.ts"
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
  10: () => import("./scenarios/10-growth.ts")
}

const { values } = parseArgs({ options: { smoke: { type: "boolean", default: false }, only: { type: "string" } } })
const effort: Effort = values.smoke ? "smoke" : "full"
const chosen = values.only?.split(",") ?? Object.keys(scenarios)

const seconds = (since: number) => `${((performance.now() - since) / 1_000).toFixed(0)} s`

const write = (results: Results) => {
  writeFileSync(join(import.meta.dirname, "results.json"), toJson(results))
  writeFileSync(join(import.meta.dirname, "results.svg"), svg(results))
  const text = markdown(results)
  writeBetweenMarkers(join(import.meta.dirname, "README.md"), text)
}

const since = performance.now()
const { before, isNoisy } = await settle(effort === "smoke" ? 0 : 90)
const noise = "THE MACHINE IS NOT IDLE: times below are noisy, and so are their ratios."
console.log(`Load before: ${before.map((load) => load.toFixed(2)).join(", ")}${isNoisy ? `\n${noise}` : ""}`)

const outcomes: Array<Outcome> = []
for (const number of chosen) {
  const load = scenarios[number]
  if (load === undefined)
    throw new Error(`there is no scenario ${number}; there are ${Object.keys(scenarios).join(", ")}`)
  const { scenario } = await load()
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
  if (values.only === undefined) write(results)
}
