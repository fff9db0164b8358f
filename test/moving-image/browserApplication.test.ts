/** The example of a browser application, in a browser: its page, the login service's page, and back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as Chromium from "../support/chromium.ts"

const root = join(import.meta.dirname, "..", "..")

/** Starts the example as a reader would, and gives the URL that it says. */
const example = Effect.acquireRelease(
  Effect.promise(
    () =>
      new Promise<{ readonly url: string; readonly stop: () => void }>((resolve, reject) => {
        const child = spawn(
          process.execPath,
          ["--conditions=@effect-video-auth/source", join("examples", "browser-app.ts")],
          { cwd: root, env: {}, stdio: ["ignore", "pipe", "pipe"] }
        )
        let said = ""
        const listen = (chunk: Buffer) => {
          said += String(chunk)
          const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
          if (url !== undefined) resolve({ url, stop: () => child.kill("SIGINT") })
        }
        child.stdout.on("data", listen)
        child.stderr.on("data", listen)
        child.on("close", () => reject(new Error(said)))
      })
  ),
  ({ stop }) => Effect.sync(stop)
)

describe.skipIf(Chromium.isSkipped)(Chromium.named("browser application"), () => {
  it.live("signs its user in for all tabs, calls the API after a reload, and signs out", () =>
    Effect.gen(function* () {
      const { url } = yield* example
      const chromium = yield* Chromium.make
      const page = yield* chromium.open(url)
      // A visitor who never signed in has lost no session.
      yield* page.waitForText("Nobody has signed in")
      yield* page.screenshot("visitor")
      yield* page.click("#begin")
      yield* page.waitForText("Sign in to your account")
      yield* page.screenshot("login")
      yield* page.fill("[name=username]", "your_username")
      yield* page.fill("[name=password]", "your_password")
      yield* page.click("[type=submit]")
      yield* page.waitForText("VideoManagers: Marketing, Training")
      yield* page.screenshot("signed-in")
      // Neither code nor state is left in the address.
      assert.strictEqual(yield* page.url, `${url}/`)
      yield* page.evaluate("document.querySelector('output').textContent = ''", Schema.Unknown)
      yield* page.reload
      yield* page.waitForText("VideoManagers: Marketing, Training")
      const other = yield* chromium.open(url)
      yield* other.waitForText("VideoManagers: Marketing, Training")
      yield* page.click("#end")
      yield* page.waitForText("You have signed out")
      yield* other.reload
      yield* other.waitForText("Nobody has signed in")
      for (const tab of [page, other]) assert.deepStrictEqual(yield* tab.complaints, [])
    })
  )
})
