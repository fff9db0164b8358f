/**
 * `npm run docs:check`: every ```ts fence of the README and of a docstring is type-checked as a module of its own, the
 * way a reader would paste it, and every export has a docstring.
 */
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"

const root = join(import.meta.dirname, "..")
const folder = join(root, ".docs-check")
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

const sources = globSync("src/**/*.ts", { cwd: root })
const problems: Array<string> = []

/** Fences by the file they are written to: the line they begin at is in its name. */
const fences = [...globSync("*.md", { cwd: root }), ...sources].flatMap((file) => {
  const lines = readFileSync(join(root, file), "utf8").split("\n")
  const found: Array<{ readonly name: string; readonly code: string }> = []
  let open: { readonly line: number; readonly code: Array<string> } | undefined
  for (const [index, line] of lines.entries()) {
    const text = line.replace(/^ \* ?/, "")
    if (open === undefined) {
      if (text.trimEnd() === "```ts") open = { line: index + 1, code: [] }
    } else if (text.trimEnd() === "```") {
      const name = `${file.replaceAll(/[/\\]/g, "_")}_${open.line}.ts`
      found.push({ name, code: `${open.code.join("\n")}\nexport {}\n` })
      open = undefined
    } else {
      open.code.push(text)
    }
  }
  if (open !== undefined) problems.push(`${file}:${open.line}: a fence that does not end`)
  return found
})
for (const { code, name } of fences) writeFileSync(join(folder, name), code)
writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../tsconfig.json",
    compilerOptions: {
      noUnusedLocals: false
    },
    include: ["./*.ts"],
    exclude: []
  })
)
const tsc = spawnSync("tsc", ["--noEmit", "-p", folder], { encoding: "utf8", cwd: root })
rmSync(folder, { recursive: true })
if (tsc.status !== 0) problems.push(tsc.stdout.trim() || String(tsc.error))

// A docstring stands directly above each export of a public module.
for (const file of sources) {
  if (file.includes("internal") || file.includes("cli") || basename(file) === "index.ts") continue
  const lines = readFileSync(join(root, file), "utf8").split("\n")
  if (!lines[0]?.startsWith("/**")) problems.push(`${file}:1: the module has no docstring`)
  for (const [index, line] of lines.entries()) {
    const documented = lines[index - 1]?.trimEnd().endsWith("*/") === true
    // The overloads and the merged type of one name share the docstring of the first.
    const name = /^export (?:declare )?(?:const|class|interface|type|function) (\w+)/.exec(line)?.[1]
    const merged = lines.slice(0, index).some((above) => new RegExp(`^export \\w+ ${name}\\b`).test(above))
    if (name !== undefined && !documented && !merged) problems.push(`${file}:${index + 1}: ${name} has no docstring`)
  }
}

for (const problem of problems) console.error(problem)
console.log(`${fences.length} fences in ${sources.length + 1} files, ${problems.length} problems`)
process.exit(problems.length === 0 && fences.length > 0 ? 0 : 1)
