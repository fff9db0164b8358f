/** The npm scripts: how they answer arguments, and that a signal to npm ends what it started. */
import { assert, describe, it } from "@effect/vitest"
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import type { Readable } from "node:stream"
import { text } from "node:stream/consumers"
import { setTimeout } from "node:timers/promises"
import { mutants } from "../scripts/mutants/mutants.ts"

const root = join(import.meta.dirname, "..")
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const binaries = join(root, "node_modules", ".bin")

/** Those of this repository that do something for people. The others are tools with a command line of their own. */
const ours = [
  "start",
  "sandbox",
  "test",
  "test:long",
  "bench",
  "chaos",
  "soak",
  "mutants",
  "docs:check",
  "size",
  "audit",
  "package:check"
]

/** Runs a script with a flag, as npm does. Its path begins with these directories. */
const run = async (script: string, flag: string, directories: ReadonlyArray<string> = [binaries]) => {
  const child = spawn(`${scripts[script]} ${flag}`, {
    cwd: root,
    shell: true,
    env: { ...process.env, PATH: [...directories, process.env["PATH"]].join(delimiter) }
  })
  const code = new Promise((resolve) => child.on("close", resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await code, stdout, stderr }
}

/** Asks again until it is so. */
const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  if (await isSo()) return
  await setTimeout(50)
  return until(isSo)
}

describe("npm scripts", () => {
  for (const script of ours) {
    it(`${script} answers an unknown flag with one line, and --help with its flags`, async () => {
      const unknown = await run(script, "--bogus")
      assert.match(unknown.stderr, new RegExp(`^npm run ${script}: .*--bogus.*See npm run ${script} -- --help\n$`))
      assert.deepStrictEqual({ code: unknown.code, stdout: unknown.stdout }, { code: 2, stdout: "" })
      const help = await run(script, "--help")
      assert.match(help.stdout, /^ {2}--\w/m)
      assert.match(help.stdout, /--help/)
      assert.deepStrictEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: "" })
    })

    it(`${script} ends with npm`, () => {
      assert.match(scripts[script], /^node -r \.\/scripts\/preload\.cjs [^&;|]+$/)
    })
  }

  it.skipIf(process.platform === "win32")("bench explains itself without installing anything", async () => {
    const directory = mkdtempSync(join(tmpdir(), "effect-video-auth-"))
    try {
      const npm = join(directory, "npm")
      writeFileSync(npm, `#!/bin/sh\ntouch "${directory}/was-called"\n`)
      chmodSync(npm, 0o755)
      assert.strictEqual((await run("bench", "--help", [directory, binaries])).code, 0)
      assert.isFalse(existsSync(join(directory, "was-called")))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  /** Starts a sandbox through npm, which leads a group of its own, so that whatever it leaves behind can be ended. */
  const withSandbox = async (
    use: (sandbox: {
      readonly npm: ChildProcessByStdio<null, Readable, Readable>
      readonly ended: Promise<number | null>
      readonly isListening: () => Promise<boolean>
    }) => Promise<void>
  ) => {
    const npm = spawn("npm", ["run", "--silent", "sandbox", "--", "--port", "0"], {
      cwd: root,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"]
    })
    const ended = new Promise<number | null>((resolve) => npm.once("exit", resolve))
    try {
      let greeting = ""
      npm.stdout.setEncoding("utf8").on("data", (chunk) => (greeting += chunk))
      await until(async () => greeting.includes("Try it:"))
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(greeting)![0]
      const isListening = () =>
        fetch(url, { method: "HEAD" }).then(
          () => true,
          () => false
        )
      assert.isTrue(await isListening())
      await use({ npm, ended, isListening })
    } finally {
      try {
        process.kill(-npm.pid!, "SIGKILL")
      } catch {
        // Nothing is left of the group.
      }
    }
  }

  it.skipIf(process.platform === "win32")("sandbox ends when npm gets SIGTERM", () =>
    withSandbox(async ({ ended, isListening, npm }) => {
      npm.stderr.resume()
      npm.kill("SIGTERM")
      await ended
      // A server that goes on would keep the test waiting until it times out.
      await until(async () => !(await isListening()))
    })
  )

  it.skipIf(process.platform === "win32")("sandbox ends without a word when nobody reads its log any more", () =>
    withSandbox(async ({ ended, isListening, npm }) => {
      npm.stdout.destroy()
      await until(async () => !(await isListening()))
      assert.strictEqual(await text(npm.stderr), "")
      assert.strictEqual(await ended, 0)
    })
  )
})

describe("npm run mutants", () => {
  it("finds each text that it replaces once in its file, and each test that it names", () => {
    const problems = mutants.flatMap(({ edits, file, name, tests }) => {
      const source = readFileSync(join(root, file), "utf8")
      return [
        ...edits.flatMap(([search]) => {
          const count = source.split(search).length - 1
          return count === 1 ? [] : [`${name}: ${file} has ${count} times: ${search}`]
        }),
        ...tests.filter((path) => !existsSync(join(root, path))).map((path) => `${name}: ${path} is missing`)
      ]
    })
    assert.deepStrictEqual(problems, [])
    assert.strictEqual(new Set(mutants.map(({ name }) => name)).size, mutants.length)
  })
})
