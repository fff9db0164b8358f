/** `npm run audit`: looks up known vulnerabilities of the dependencies. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { commandLine } from "./commandLine.ts"

commandLine({
  name: "audit",
  about: `Looks up known vulnerabilities: of any severity in what users install, and from high up in what develops it.
Ends with 1 if there is one. A registry that doesn't answer is reported, and doesn't fail the audit.`
})

const root = join(import.meta.dirname, "..")

/** What npm says, as far as it is looked at: a report, or why there is none. */
interface Answer {
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string }>>
  readonly metadata?: { readonly dependencies: { readonly total: number } }
  readonly message?: string
  /** Of an answer that the audit service gave. */
  readonly statusCode?: number
  readonly error?: { readonly summary?: string }
}

const severities = ["info", "low", "moderate", "high", "critical"]

const audit = (what: string, level: string, ...args: ReadonlyArray<string>): boolean => {
  const { error, stderr, stdout } = spawnSync("npm", ["audit", "--json", ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === "win32"
  })
  let answer: Answer = {}
  try {
    answer = JSON.parse(stdout)
  } catch {
    // Said below.
  }
  if (answer.vulnerabilities === undefined) {
    const reason = [answer.message, answer.error?.summary, stderr, error?.message].find(Boolean) ?? "no answer"
    // Anything else, such as a lockfile that is missing, is ours.
    const isUnreachable = answer.statusCode !== undefined || /^request to \S+ failed/.test(answer.message ?? "")
    console.log(
      `${isUnreachable ? "!! NOT AUDITED: the audit service does not answer" : "failed"} (${what}): ${reason}`
    )
    return isUnreachable
  }
  const found = Object.entries(answer.vulnerabilities).filter(
    ([, { severity }]) => severities.indexOf(severity) >= severities.indexOf(level)
  )
  for (const [name, { severity }] of found) console.log(`${severity}: ${name}, see npm audit`)
  console.log(
    `${what}: ${found.length} of severity ${level} or above, of ${answer.metadata?.dependencies.total} packages`
  )
  return found.length === 0
}

const passed = [audit("what users install", "low", "--omit=dev"), audit("all", "high")]
process.exitCode = passed.every(Boolean) ? 0 : 1
