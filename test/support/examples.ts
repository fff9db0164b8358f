/** Runs the examples. */
import { assert } from "@effect/vitest"
import { spawn } from "node:child_process"
import { join } from "node:path"

const root = join(import.meta.dirname, "..", "..")

/** How a program ended, and what it printed. */
export interface Ending {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

// An example spends most of its time on compiling Effect, which is the same for all.
const cache = { NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "examples") }

/** Runs a file of the examples as a reader would, with no variables of this process. */
export const run = (file: string, env: Readonly<Record<string, string>> = {}, args: ReadonlyArray<string> = []) =>
  new Promise<Ending>((resolve, reject) => {
    const child = spawn(process.execPath, ["--conditions=@effect-video-auth/source", join("examples", file), ...args], {
      cwd: root,
      env: { ...cache, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (chunk) => (stdout += chunk))
    child.stderr.on("data", (chunk) => (stderr += chunk))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

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
