/**
 * `npm run docs:check`: type-checks every ```ts fence of a Markdown file and of a docstring as a module of its own, the way a
 * reader would paste it. A ```ts continued fence belongs to the module of the fence before it. Runs those with `expression // => value` and compares the values. Checks that every export has a
 * docstring, that links lead somewhere, and that the prose avoids phrases that are hard to read.
 */
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join, posix } from "node:path"
import { commandLine } from "./commandLine.ts"
import { checkLinks } from "./docs/links.ts"
import { documents, modules, read, root } from "./docs/markdown.ts"
import { checkPhrases } from "./docs/phrases.ts"

commandLine({
  name: "docs:check",
  about: `Type-checks every ts fence of the documents and docstrings, and runs those with "// =>". Checks links and wording.
Ends with 1 if something fails, or if an export has no docstring.`
})

const folder = join(root, ".docs-check")
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

const sources = globSync("src/**/*.ts", { cwd: root }).map((file) => file.replaceAll("\\", "/"))
const isOpen = (file: string) => !/\/(?:internal|shared|cli)\//.test(file) && basename(file) !== "index.ts"
/** Modules of which an open one exports something: a reader sees that as if it stood there. */
const lent = new Set(
  sources
    .filter(isOpen)
    .flatMap((file) =>
      Array.from(readFileSync(join(root, file), "utf8").matchAll(/^(?:export|\}).* from "(\..*)"$/gm), ([, path]) =>
        posix.join(dirname(file), path!)
      )
    )
)
const isPublic = (file: string) => isOpen(file) || lent.has(file)
const problems: Array<string> = []

const assertion = 'import { deepStrictEqual as expected } from "node:assert"'

/** A module of the lines, in which `expression // => value` compares the two. */
const compared = (lines: ReadonlyArray<string>): string => {
  const code = lines.map((line) => line.replace(/^(\S.*?)\s*\/\/ => (.+)$/, "expected($1, $2)"))
  const isRun = code.some((line, index) => line !== lines[index])
  return [...(isRun ? [assertion] : []), ...code, "export {}", ""].join("\n")
}

/** Fences by the file they are written to: the line they begin at is in its name. */
const fences = [...documents, ...sources].flatMap((file) => {
  const text = read(file).replace(/^ \* ?/gm, "")
  return modules(text).map(({ code, isClosed, line }) => {
    if (!isClosed) problems.push(`${file}:${line}: a fence that does not end`)
    return { name: `${file.replaceAll(/[/\\]/g, "_")}_${line}.ts`, code: compared(code) }
  })
})
for (const { code, name } of fences) writeFileSync(join(folder, name), code)
const run = fences.filter(({ code }) => code.includes(assertion))
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
for (const { name } of run) {
  const condition = "--conditions=@effect-video-auth/source"
  const node = spawnSync("node", [condition, join(folder, name)], { encoding: "utf8", cwd: root })
  if (node.status !== 0) problems.push(`${name}: ${node.stderr.trim()}`)
}
rmSync(folder, { recursive: true })
if (tsc.status !== 0) problems.push(tsc.stdout.trim() || String(tsc.error))

// A docstring stands directly above each export of a public module.
for (const file of sources) {
  if (!isPublic(file)) continue
  const lines = readFileSync(join(root, file), "utf8").split("\n")
  if (!lines[0]?.startsWith("/**")) problems.push(`${file}:1: the module has no docstring`)
  for (const [index, line] of lines.entries()) {
    // More than tags: a sentence of what it is for.
    const start = lines.lastIndexOf("/**", index)
    const sentence =
      start === -1
        ? ""
        : lines
            .slice(start + 1, index)
            .join("\n")
            .replaceAll(/^ \*( @.*)?$/gm, "")
    const documented =
      lines[index - 1]?.trimEnd().endsWith("*/") === true && /\w/.test(`${lines[index - 1]}${sentence}`)
    // The overloads and the merged type of one name share the docstring of the first.
    const name = /^export (?:declare )?(?:const|class|interface|type|function) (\w+)/.exec(line)?.[1]
    const merged = lines.slice(0, index).some((above) => new RegExp(`^export \\w+ ${name}\\b`).test(above))
    if (name !== undefined && !documented && !merged) problems.push(`${file}:${index + 1}: ${name} has no docstring`)
  }
}

problems.push(...checkLinks(), ...checkPhrases(sources.filter(isPublic)))
for (const problem of problems) console.error(problem)
console.log(
  `${fences.length} fences, ${run.length} of them run, in ${documents.length + sources.length} files, ${problems.length} problems`
)
process.exit(problems.length === 0 && fences.length > 0 ? 0 : 1)
