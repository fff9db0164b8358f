/**
 * Runs the examples.
 *
 * An example spends most of its time on loading Effect. `npm test` runs each of them as one file, which starts in a third of
 * the time, and `npm run test:long` runs them as a reader would.
 */
import { assert } from "@effect/vitest"
import { buildSync } from "esbuild"
import { spawn } from "node:child_process"
import { globSync, rmSync } from "node:fs"
import { join } from "node:path"
import { bundling } from "./bundle.ts"
import { isLong } from "./random.ts"

export const root = join(import.meta.dirname, "..", "..")

/** As deep as the modules of the examples, some of which read files beside them. */
const directory = join(root, "examples", `.bundled-${process.pid}`)

/** What imports a member of undici by name cannot be bundled: undici is CommonJS, and is left out. So is esbuild. */
const entryPoints = globSync("examples/*.ts", { cwd: root, exclude: ["**/*.test.ts", "examples/proxy.ts"] })

let isBundled = false
const bundle = () => {
  if (isBundled) return
  isBundled = true
  buildSync({
    ...bundling,
    external: [...bundling.external, "undici", "esbuild"],
    absWorkingDir: root,
    entryPoints,
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    splitting: true
  })
}
// A process runs many test files, of which several run examples.
process.once("exit", () => rmSync(directory, { recursive: true, force: true }))

/** Starts an example, with no variables of this process. */
export const start = (file: string, env: Readonly<Record<string, string>> = {}, args: ReadonlyArray<string> = []) => {
  const path = join("examples", file)
  const isAsIs = isLong || !entryPoints.includes(path)
  if (!isAsIs) bundle()
  const command = isAsIs
    ? ["--conditions=@effect-video-auth/source", path]
    : [join(directory, file.replace(/\.ts$/, ".mjs"))]
  return spawn(process.execPath, [...command, ...args], {
    cwd: root,
    env: { NODE_COMPILE_CACHE: join(directory, "cache"), ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
}

/** How a program ended, and what it printed. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** What a program logs only on a machine that is busy. */
const slowStart = /^\[[\d:.]+\] WARN .*no response to the login yet.*\n/gm

/** Waits for the end of a program, and lets a listener see what it has printed so far. */
export const ending = (child: ReturnType<typeof start>, listen: (stdout: string) => void = () => {}) =>
  new Promise<Ending>((resolve, reject) => {
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (chunk) => {
      stdout += chunk
      listen(stdout)
    })
    child.stderr.on("data", (chunk) => (stderr += chunk))
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ code, signal, stdout: stdout.replaceAll(slowStart, ""), stderr }))
  })

/** Runs an example to its end. */
export const run = (...args: Parameters<typeof start>): Promise<Ending> => ending(start(...args))

const secrets = [
  "eyJ",
  "def50200",
  "Bearer ",
  "Basic ",
  "PRIVATE KEY",
  "your_api_key",
  "your_next_api_key",
  "your_client_secret",
  "your_username",
  "your_password",
  "access-",
  "refresh-"
]

/** Asserts that a program has printed no secret and no stack trace. */
export const assertDiscreet = ({ stderr, stdout }: Ending) => {
  const text = stdout + stderr
  for (const secret of secrets) assert.notInclude(text, secret)
  assert.notMatch(text, /\bto[0-9a-f]{22}\b/, "an upload token")
  assert.notMatch(text, /^\s+at /m, "a stack trace")
}
