/**
 * `npm run mutants`: breaks the library on purpose, one thing at a time, and looks whether a test notices.
 *
 * The library itself has to pass first. Then each mutant of `mutants/` is put into a copy of the source, two at a time, and
 * the tests that it names run until their first failure. If they all pass, the model test runs.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { commandLine, refuse } from "./commandLine.ts"
import type { Mutant } from "./mutants/mutant.ts"
import { mutants } from "./mutants/mutants.ts"

const script = {
  name: "mutants",
  about: "Breaks the library on purpose, one thing at a time. Ends with 1 if no test notices one of them.",
  operands: { name: "[part]", about: "Only the mutants that break this, or whose name contains it." },
  flags: {
    "one-each": { about: "Only the first of the mutants that break the same thing." },
    model: { about: "Runs the model test first, to see how many programs a mutant survives. Takes longer." },
    tested: { about: "Skips the tests of the library without any mutant, because they have passed." }
  }
}
const given = commandLine(script)

const root = join(import.meta.dirname, "..")
const vitest = join(root, "node_modules/vitest/vitest.mjs")

/** Always the same programs, so that the same one kills a mutant each time. The first that fails is enough. */
const random = { TEST_SEED: "mutants", TEST_SCALE: "5", TEST_SHRINKS: "0" }
/** Generous: it only ends what would never end. A mutant that hangs is noticed. */
const timeout = 240_000
/** A mutant may hang in one. Generous, too: a machine that is busy must not be taken for a test that noticed. */
const testTimeout = 60_000

/** The test that draws programs. */
const model = "test/model"

/** A copy of what the tests need. */
const copy = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "mutants-"))
  for (const name of ["src", "test", "examples", "package.json", "tsconfig.json", "vitest.config.ts"]) {
    cpSync(join(root, name), join(directory, name), { recursive: true })
  }
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"), "junction")
  return directory
}

interface Outcome {
  readonly passed: boolean
  readonly output: string
}

/** The test runs under way. */
const running = new Set<ChildProcess>()

const test = (directory: string, files: ReadonlyArray<string>): Promise<Outcome> =>
  new Promise((resolve) => {
    let output = ""
    const child = spawn(
      process.execPath,
      [vitest, "run", "--project=test", "--bail=1", "--no-color", `--testTimeout=${testTimeout}`, ...files],
      {
        cwd: directory,
        env: { ...process.env, ...random, NO_COLOR: "1" }
      }
    )
    running.add(child)
    const clock = setTimeout(() => {
      output += "\nit does not end"
      child.kill("SIGKILL")
    }, timeout)
    const hear = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    child.on("close", (code) => {
      running.delete(child)
      clearTimeout(clock)
      resolve({ passed: code === 0, output })
    })
  })

/** The source with the mutant in it. */
const mutate = ({ edits, file, name }: Mutant): string => {
  let source = readFileSync(join(root, file), "utf8")
  for (const [search, replace] of edits) {
    const count = source.split(search).length - 1
    if (count !== 1) {
      console.error(`mutant "${name}": this occurs ${count} times in ${file}, and has to occur once:\n${search}`)
      process.exit(1)
    }
    source = source.replace(search, () => replace)
  }
  return source
}

const about = (breaks: Mutant["breaks"]) => (typeof breaks === "number" ? `guarantee ${breaks}` : breaks)

interface Verdict {
  readonly mutant: Mutant
  readonly killedBy: string
  readonly how: string
}

const survived = "nothing"

const byModel = async (directory: string, mutant: Mutant): Promise<Verdict | undefined> => {
  const { output, passed } = await test(directory, [model])
  if (passed) return undefined
  const after = /falsified after (\d+) run/.exec(output)?.[1]
  const what = /Failure: (?:Error: )?"?(guarantee \d+|it hangs)/.exec(output)?.[1] ?? "it does not run"
  const how = after === undefined ? (output.trim().split("\n").at(-1) ?? what) : `${after} programs: ${what}`
  return { mutant, killedBy: "model", how }
}

const byTests = async (directory: string, mutant: Mutant): Promise<Verdict | undefined> => {
  const { output, passed } = await test(directory, mutant.tests)
  if (passed) return undefined
  const first = /FAIL\s+(?:\S+\s+)?(\S+\.test\.ts) > (.*)/.exec(output)
  const killedBy = first?.[1] ?? mutant.tests[0]!
  return { mutant, killedBy, how: first?.[2]?.split(" > ").at(-1) ?? output.trim().split("\n").at(-1) ?? "" }
}

const judge = async (directory: string, mutant: Mutant, source: string): Promise<Verdict> => {
  const path = join(directory, mutant.file)
  const original = readFileSync(path, "utf8")
  writeFileSync(path, source)
  try {
    const isModels = mutant.tests.includes(model)
    const judges = isModels ? [byModel] : modelFirst ? [byModel, byTests] : [byTests, byModel]
    for (const judge of judges) {
      const verdict = await judge(directory, mutant)
      if (verdict !== undefined) return verdict
    }
    return { mutant, killedBy: survived, how: "it survived" }
  } finally {
    writeFileSync(path, original)
  }
}

const modelFirst = given.has("model")
const isTested = given.has("tested")
const oneEach = given.has("one-each")
const [part] = given.operands
const chosen = mutants
  .filter(({ breaks, name }) => part === undefined || name.includes(part) || about(breaks).startsWith(part))
  .filter(({ breaks }, index, all) => !oneEach || all.findIndex((mutant) => mutant.breaks === breaks) === index)
  .map((mutant) => ({ mutant, source: mutate(mutant) }))
if (chosen.length === 0) refuse(script, `there is no mutant "${part}"`)
for (const { mutant } of chosen) {
  // Without it Vitest would fail, as if a test had noticed.
  const missing = mutant.tests.find((path) => !existsSync(join(root, path)))
  if (missing !== undefined) throw new Error(`mutant "${mutant.name}": its test ${missing} is missing`)
}
const directories = [copy(), copy()]
/** Leaves nothing behind, also where a signal ends the script. */
const cleanUp = () => {
  for (const child of running) child.kill("SIGKILL")
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1))
process.on("exit", cleanUp)

const everything = [...(modelFirst ? [model] : []), ...chosen.flatMap(({ mutant }) => mutant.tests)]
const unmutated = isTested ? undefined : await test(directories[0]!, [...new Set(everything)])
if (unmutated?.passed === false) {
  console.error(unmutated.output)
  console.error("the library fails without any mutant")
  process.exitCode = 1
} else {
  const verdicts: Array<Verdict> = []
  const queue = [...chosen]
  await Promise.all(
    directories.map(async (directory) => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const verdict = await judge(directory, next.mutant, next.source)
        verdicts.push(verdict)
        console.error(`${verdicts.length}/${chosen.length} ${verdict.mutant.name}: ${verdict.killedBy}`)
      }
    })
  )
  const rows = verdicts
    .toSorted((a, b) => mutants.indexOf(a.mutant) - mutants.indexOf(b.mutant))
    .map(({ how, killedBy, mutant }) => [about(mutant.breaks), mutant.name, killedBy, how])
  const table = [["breaks", "mutant", "killed by", "after"], ...rows]
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  for (const row of table)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join(" | ")
        .trimEnd()
    )
  const alive = verdicts.filter(({ killedBy }) => killedBy === survived).length
  console.log(alive === 0 ? `all ${verdicts.length} mutants killed` : `${alive} of ${verdicts.length} mutants survived`)
  if (alive > 0) process.exitCode = 1
}
