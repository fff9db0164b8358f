/**
 * Runs `program.ts`, the README's first program, in a process of its own, against the sandbox. `npm run package:check` puts
 * both in an empty project: everything imported here and there comes from the packed package.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const run = (env: Readonly<Record<string, string>>) =>
  promisify(execFile)(process.execPath, [fileURLToPath(new URL("program.ts", import.meta.url))], {
    env: { PATH: process.env["PATH"], ...env },
    timeout: 30_000
  })

Effect.gen(function* () {
  const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
  const { stdout } = yield* Effect.promise(() =>
    run({ APIVIDEO_API_KEY: "your_api_key", APIVIDEO_BASE_URL: sandbox.url })
  )
  const { entries, logins, refreshes, requests, unauthorized } = yield* sandbox.ledger
  assert.match(stdout, /\d+ videos/)
  assert.deepEqual(
    { logins, refreshes, requests, unauthorized },
    { logins: 1, refreshes: 0, requests: 1, unauthorized: 0 }
  )
  assert.equal(entries.at(-1)?.credential, "bearer #1")

  // A key that is refused ends the program with an error that says so, and not the key.
  const { code, output } = yield* Effect.promise(() =>
    run({ APIVIDEO_API_KEY: "not-a-key-of-the-sandbox", APIVIDEO_BASE_URL: sandbox.url }).then(
      ({ stdout }) => ({ code: 0, output: stdout }),
      (error: { readonly code: number; readonly stdout: string; readonly stderr: string }) => ({
        code: error.code,
        output: error.stdout + error.stderr
      })
    )
  )
  assert.equal(code, 1)
  assert.match(output, /InvalidCredentials/)
  assert.doesNotMatch(output, /not-a-key-of-the-sandbox/)
  yield* Console.log("one login, one request with its token; a refused key is a typed error")
}).pipe(Effect.provide(ApiVideoSandbox.layer()), NodeRuntime.runMain)
