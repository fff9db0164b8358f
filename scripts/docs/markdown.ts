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
