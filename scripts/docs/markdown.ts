/** The Markdown documents of the repository, and what can be read from one without rendering it. */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

export const root = join(import.meta.dirname, "..", "..")

export const documents: ReadonlyArray<string> = globSync("{*,bench/*,docs/*,examples/*}.md", { cwd: root })
  .map((file) => file.replaceAll("\\", "/"))
  .toSorted()

export const read = (file: string): string => readFileSync(join(root, file), "utf8")

/** The text without fenced code, HTML comments and inline code, line by line. */
export const prose = (text: string): ReadonlyArray<string> => {
  let fence = false
  return text.split("\n").map((line) => {
    const toggles = /^\s*```/.test(line)
    if (toggles) fence = !fence
    return fence || toggles ? "" : line.replace(/<!--.*?-->/g, "").replace(/(`+)[^`]+\1/g, "``")
  })
}

/** A TypeScript module of a document, and the line that its first fence begins at. */
export interface Module {
  readonly line: number
  readonly code: ReadonlyArray<string>
  readonly isClosed: boolean
}

/**
 * The modules of a text: each ```ts fence is one, and a ```ts continued fence belongs to the module before it. Blank lines
 * stand for the text between the fences, so that a line of a module has the same distance from its beginning as in the text.
 */
export const modules = (text: string): ReadonlyArray<Module> => {
  const found: Array<{ readonly line: number; readonly code: Array<string>; isClosed: boolean }> = []
  let isOpen = false
  for (const [index, line] of text.split("\n").entries()) {
    const last = found.at(-1)
    if (isOpen && last !== undefined) {
      if (line.trimEnd() === "```") {
        isOpen = false
        last.isClosed = true
      } else last.code.push(line)
    } else if (line.trimEnd() === "```ts") {
      found.push({ line: index + 1, code: [], isClosed: false })
      isOpen = true
    } else if (line.trimEnd() === "```ts continued" && last !== undefined) {
      while (last.line + last.code.length <= index) last.code.push("")
      last.isClosed = false
      isOpen = true
    }
  }
  return found
}

/** The anchors that GitHub and npm give the headings of a document. */
export const anchors = (text: string): ReadonlySet<string> => {
  let fence = false
  const found = new Set<string>()
  for (const line of text.split("\n")) {
    if (/^\s*```/.test(line)) fence = !fence
    const heading = fence ? undefined : /^#{1,6} (.+)$/.exec(line)?.[1]
    if (heading === undefined) continue
    const slug = heading
      .replace(/\[([^\]]+)\]\([^)]*\)/g, "$1")
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-")
    let unique = slug
    for (let count = 1; found.has(unique); count++) unique = `${slug}-${count}`
    found.add(unique)
  }
  return found
}

/** The targets of a document's links and images, with the lines they are on. */
export const links = (text: string): ReadonlyArray<{ readonly line: number; readonly target: string }> =>
  prose(text).flatMap((line, index) =>
    [...line.matchAll(/\]\(([^)\s]+)\)|\b(?:href|src|srcset)="([^"]+)"/g)].map(([, markdown, html]) => ({
      line: index + 1,
      target: markdown ?? html ?? ""
    }))
  )
