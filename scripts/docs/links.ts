/** Checks that every link of the documents leads somewhere, also where npm shows them, and that every page is found. */
import { existsSync } from "node:fs"
import { join, posix } from "node:path"
import { anchors, documents, links, prose, read, root } from "./markdown.ts"

const { files, repository } = JSON.parse(read("package.json")) as {
  readonly files: ReadonlyArray<string>
  readonly repository: { readonly url: string }
}
const home = repository.url.replace(/^git\+|\.git$/g, "")

/** Whether npm publishes a file. Of the patterns in `files`, documents need names, folders and `folder/*.ext` only. */
const isPublished = (file: string): boolean =>
  file === "README.md" ||
  files.some((pattern) =>
    pattern.includes("*")
      ? posix.dirname(file) === posix.dirname(pattern) && posix.extname(file) === posix.extname(pattern)
      : file === pattern || file.startsWith(`${pattern}/`)
  )

/** The file of this repository that a link leads to, if it leads to one. */
const localTarget = (document: string, path: string): string | undefined => {
  if (path === "") return document
  const own = path.startsWith(`${home}/`) ? /^\/(?:blob|tree)\/main\/(.+)$/.exec(path.slice(home.length))?.[1] : path
  if (own === path) return path.includes("://") ? undefined : posix.join(posix.dirname(document), path)
  return own
}

const checkLink = (document: string, target: string): string | undefined => {
  const [path = "", anchor] = target.split("#")
  const file = localTarget(document, path)
  if (file === undefined) return undefined
  if (!existsSync(join(root, file))) return `${target} leads to ${file}, which does not exist`
  if (isPublished(document) && !path.includes("://") && !isPublished(file)) {
    return `${target} is not in the package: use ${home}/blob/main/${file}`
  }
  if (anchor === undefined || !file.endsWith(".md")) return undefined
  return anchors(read(file)).has(anchor) ? undefined : `${target}: ${file} has no heading of that name`
}

const index = "docs/README.md"

/** Fewer questions than this and somebody has deleted the table. */
const leastQuestions = 20

/** Every page is in the index, and every question is two clicks away: README, index, answer. */
const checkIndex = (): ReadonlyArray<string> => {
  const leadsTo = (document: string) => links(read(document)).map(({ target }) => target.split("#")[0])
  const problems = leadsTo("README.md").includes(index) ? [] : [`README.md: no link to ${index}`]
  const listed = leadsTo(index)
  for (const document of documents) {
    const isPage = posix.dirname(document) === "docs" && document !== index
    if (isPage && !listed.includes(posix.basename(document))) problems.push(`${index}: no link to ${document}`)
  }
  const questions = read(index)
    .split("\n")
    .filter((line) => /^\| .*\? \|/.test(line))
  if (questions.length < leastQuestions) problems.push(`${index}: ${questions.length} questions`)
  for (const question of questions) {
    if (!/\]\([^)]+\) \|$/.test(question)) problems.push(`${index}: no answer to ${question}`)
  }
  return problems
}

/** A page begins with the program it is about: a fence before its first section. */
const checkBeginnings = (): ReadonlyArray<string> =>
  documents.flatMap((document) => {
    const isPage = posix.dirname(document) === "docs" && document !== index
    const beginning = read(document).split(/^## /m)[0] ?? ""
    return !isPage || /^```(?:ts|sh)$/m.test(beginning) ? [] : [`${document}: no program before its first section`]
  })

/** As npm and GitHub show it on one screen after another: nobody reads further. */
const longest = 8 * 1024

const checkReadme = (): ReadonlyArray<string> => {
  const bytes = Buffer.byteLength(read("README.md"))
  const picture = /!\[[^\]]+\]\([^)]+\)/.test(prose(read("README.md")).join("\n"))
  return [
    ...(bytes > longest ? [`README.md: ${bytes} bytes, more than ${longest}`] : []),
    ...(picture ? [] : ["README.md: no picture with a text for those who cannot see it"])
  ]
}

export const checkLinks = (): ReadonlyArray<string> => [
  ...documents.flatMap((document) =>
    links(read(document)).flatMap(({ line, target }) => {
      const problem = checkLink(document, target)
      return problem === undefined ? [] : [`${document}:${line}: ${problem}`]
    })
  ),
  ...checkIndex(),
  ...checkBeginnings(),
  ...checkReadme()
]
