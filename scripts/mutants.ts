/**
 * Breaks the library on purpose and looks whether the tests notice: `npm run mutants [-- part of a mutant's name]`.
 *
 * The unmutated library has to pass first. Then each mutant of `mutants/mutants.ts` is put into a copy of the source, two
 * at a time, and the model test runs until its first failure; if it finds none, the tests that the mutant names run. Ends
 * with 1 if a mutant survives.
 */
import { spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Mutant, mutants } from "./mutants/mutants.ts"

const root = join(import.meta.dirname, "..")
const vitest = join(root, "node_modules/vitest/vitest.mjs")

/** Always the same programs, so that a mutant is killed by the same one each time. */
const seed = "mutants"
const runs = 2_500
/** Generous: it only ends what would never end. A mutant that hangs is noticed. */
const timeout = 120_000

/** A copy of what the tests need. */
const copy = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "mutants-"))
  for (const name of ["src", "test", "package.json", "tsconfig.json", "vitest.config.ts"]) {
    cpSync(join(root, name), join(directory, name), { recursive: true })
  }
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"), "junction")
  return directory
}

interface Outcome {
  readonly passed: boolean
  readonly output: string
}

const test = (directory: string, files: ReadonlyArray<string>): Promise<Outcome> =>
  new Promise((resolve) => {
    let output = ""
    const child = spawn(process.execPath, [vitest, "run", "--bail=1", "--no-color", ...files], {
      cwd: directory,
      env: { ...process.env, MODEL_RUNS: String(runs), MODEL_SEED: seed, MODEL_SHRINKS: "0", NO_COLOR: "1" }
    })
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

interface Verdict {
  readonly mutant: Mutant
  readonly killedBy: string
  readonly how: string
}

const survived = "nothing"

const judge = async (directory: string, mutant: Mutant, source: string): Promise<Verdict> => {
  const path = join(directory, mutant.file)
  const original = readFileSync(path, "utf8")
  writeFileSync(path, source)
  try {
    const model = await test(directory, ["test/model"])
    if (!model.passed) {
      const after = /falsified after (\d+) run/.exec(model.output)?.[1]
      const what =
        /Failure: (?:Error: )?"?(guarantee \d+|the program hangs)/.exec(model.output)?.[1] ?? "it does not run"
      if (after !== undefined) return { mutant, killedBy: "model", how: `${after} programs: ${what}` }
      return { mutant, killedBy: "model", how: model.output.trim().split("\n").at(-1) ?? what }
    }
    const named = await test(directory, mutant.tests)
    if (named.passed) return { mutant, killedBy: survived, how: "it survived" }
    const first = /FAIL\s+(\S+) > (.*)/.exec(named.output)
    return {
      mutant,
      killedBy: first?.[1] ?? mutant.tests[0]!,
      how: first?.[2]?.split(" > ").at(-1) ?? "it does not end"
    }
  } finally {
    writeFileSync(path, original)
  }
}

const [part] = process.argv.slice(2)
const chosen = mutants
  .filter(({ name }) => part === undefined || name.includes(part))
  .map((mutant) => ({ mutant, source: mutate(mutant) }))
const directories = [copy(), copy()]
try {
  const everything = [...new Set(chosen.flatMap(({ mutant }) => mutant.tests))]
  const [model, named] = await Promise.all([test(directories[0]!, ["test/model"]), test(directories[1]!, everything)])
  const broken = model.passed ? named : model
  if (!broken.passed) {
    console.error(broken.output)
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
      .map(({ how, killedBy, mutant }) => [String(mutant.guarantee), mutant.name, killedBy, how])
    const table = [["guarantee", "mutant", "killed by", "after"], ...rows]
    const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
    for (const row of table)
      console.log(
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join(" | ")
          .trimEnd()
      )
    const alive = verdicts.filter(({ killedBy }) => killedBy === survived).length
    console.log(
      alive === 0 ? `all ${verdicts.length} mutants killed` : `${alive} of ${verdicts.length} mutants survived`
    )
    if (alive > 0) process.exitCode = 1
  }
} finally {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}
