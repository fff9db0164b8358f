import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { type Effort, type Measurement, ours, type Outcome, type Scenario } from "../measurement.ts"
import { build, type Built } from "../size/build.ts"
import { byEsbuild, loadRolldown } from "../size/bundle.ts"
import { type Installed, installedIn } from "../size/installed.ts"
import { importsOf, type Program, programs } from "../size/programs.ts"
import { median, medianRatio, spread } from "../statistics.ts"
import { interleave } from "../worker/pool.ts"

const name = "9. Size"

const bench = join(import.meta.dirname, "..")

const row = (
  { note, subject }: Program,
  metric: string,
  unit: string,
  value: number,
  rounds: Pick<Measurement, "ratioToOurs" | "spread"> = {}
): Measurement => ({ scenario: name, subject, metric, value, unit, note, ...rounds })

const bundled = async (all: ReadonlyArray<Program>): Promise<ReadonlyArray<Measurement>> => {
  const bundlers = { esbuild: byEsbuild, rolldown: await loadRolldown() }
  const rows: Array<Measurement> = []
  for (const [bundler, bundle] of Object.entries(bundlers)) {
    if (bundle === undefined) continue
    for (const program of all) {
      rows.push(row(program, `bundle, ${bundler}, gzip`, "bytes", await bundle(program.source)))
    }
  }
  return rows
}

/** Milliseconds that a fresh process takes to import what a program imports. */
const importTime = (program: Program): number => {
  const modules = importsOf(program).map((module) => (module.startsWith("/") ? pathToFileURL(module).href : module))
  const script = `
    const since = performance.now()
    await Promise.all(${JSON.stringify(modules)}.map((module) => import(module)))
    console.log(performance.now() - since)`
  const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" }
  return Number(
    execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: bench, env, encoding: "utf8" })
  )
}

const imported = async (all: ReadonlyArray<Program>, effort: Effort): Promise<ReadonlyArray<Measurement>> => {
  const figures = await interleave(all, effort === "smoke" ? 1 : 11, async (program) => importTime(program))
  const own = [...figures].find(([{ subject }]) => subject === ours)?.[1] ?? []
  return [...figures].map(([program, times]) =>
    row(program, "import", "ms", median(times), { ratioToOurs: medianRatio(times, own), spread: spread(times) })
  )
}

/** Ours is not installed here: its package is what npm would publish of this repository. */
const installed = (program: Program, { bytes }: Built): Installed => {
  const isEffect = program.packages.includes("effect")
  const others = installedIn(isEffect ? join(bench, "..") : bench, program.packages)
  return program.packages.includes(ours) ? { packages: others.packages + 1, bytes: others.bytes + bytes } : others
}

const run = async (effort: Effort): Promise<Outcome> => {
  const built = build()
  const all = programs(built.folder)
  const disk = all.flatMap((program) => {
    const { bytes, packages } = installed(program, built)
    return [row(program, "installed", "bytes", bytes), row(program, "installed packages", "packages", packages)]
  })
  const measurements = [...(await bundled(all)), ...(await imported(all, effort)), ...disk]
  return { measurements, targets: [] }
}

export const scenario: Scenario = {
  name,
  description:
    "The least program with each library: its bundle for Node, minified and compressed, what a fresh process takes to " +
    "import its modules, and what npm installs for it.",
  run
}
