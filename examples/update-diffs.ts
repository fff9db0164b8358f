/** `node examples/update-diffs.ts` writes the diffs of README.md anew; `--check` says whether they are out of date. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const read = (file: string) => readFileSync(join(import.meta.dirname, file), "utf8")
const linesOf = (file: string) => read(file).trimEnd().split(/\r?\n/)

/** Lines of both, marked; those in common are the longest sequence that is. */
const compare = (before: ReadonlyArray<string>, after: ReadonlyArray<string>) => {
  const common = Array.from({ length: before.length + 1 }, () => Array.from({ length: after.length + 1 }, () => 0))
  const length = (i: number, j: number) => common[i]?.[j] ?? 0
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i]![j] = before[i] === after[j] ? length(i + 1, j + 1) + 1 : Math.max(length(i + 1, j), length(i, j + 1))
    }
  }
  const marked: Array<string> = []
  for (let i = 0, j = 0; i < before.length || j < after.length;) {
    if (i < before.length && before[i] === after[j]) {
      marked.push(` ${before[i]}`.trimEnd())
      i++
      j++
    } else if (j === after.length || (i < before.length && length(i + 1, j) >= length(i, j + 1))) {
      marked.push(`-${before[i++]}`)
    } else {
      marked.push(`+${after[j++]}`)
    }
  }
  return marked
}

const isChange = (line: string | undefined) => line?.startsWith("+") === true || line?.startsWith("-") === true

/** The changes, each with a line around it. */
const hunks = (marked: ReadonlyArray<string>) => {
  const isShown = (index: number) => [index - 1, index, index + 1].some((near) => isChange(marked[near]))
  const shown = marked.flatMap((line, index) => (isShown(index) ? [line] : isShown(index - 1) ? ["@@"] : []))
  return shown.at(-1) === "@@" ? shown.slice(0, -1) : shown
}

const readme = read("README.md")
const updated = readme.replaceAll(/(<!-- diff (\S+) (\S+) -->\n)[^]*?(?=<!-- end -->)/g, (_, mark, before, after) =>
  [`${mark}\n\`\`\`diff`, ...hunks(compare(linesOf(before), linesOf(after))), "```\n\n"].join("\n")
)
if (!process.argv.includes("--check")) writeFileSync(join(import.meta.dirname, "README.md"), updated)
else if (updated !== readme) {
  console.error("examples/README.md is out of date: node examples/update-diffs.ts")
  process.exitCode = 1
}
