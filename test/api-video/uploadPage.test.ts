/** The example of a page that uploads, in a browser: a reload in the middle, the same file again, and it goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Chromium from "../support/chromium.ts"
import { start } from "../support/examples.ts"

/** Starts the example, and gives the URL that it says. */
const example = (env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<{ readonly url: string; readonly stop: () => Promise<unknown> }>((resolve, reject) => {
          const child = start("upload-page.ts", env)
          let said = ""
          const listen = (chunk: Buffer) => {
            said += String(chunk)
            const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
            if (url === undefined) return
            const stop = () =>
              new Promise((stopped) => {
                child.once("close", stopped)
                child.kill("SIGINT")
              })
            resolve({ url, stop })
          }
          child.stdout.on("data", listen)
          child.stderr.on("data", listen)
          child.on("close", () => reject(new Error(said)))
        })
    ),
    ({ stop }) => Effect.promise(stop)
  )

const isPart = (method: string, path: string) => method === "POST" && path === "/upload"

describe.skipIf(Chromium.isSkipped)(Chromium.named("the upload page"), () => {
  it.live("goes on after a reload, once the user has picked the file again", () =>
    Effect.gen(function* () {
      const { clearFaults, inject, ledger, url: baseUrl } = yield* ApiVideoSandbox.ApiVideoSandbox
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "uploads-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const path = join(folder, "holiday.mp4")
      writeFileSync(path, Buffer.alloc(16 * 1024 * 1024, "0123456789"))
      const { url } = yield* example({ APIVIDEO_API_KEY: "your_api_key", APIVIDEO_BASE_URL: baseUrl })
      let received = 0
      yield* inject({
        on: (method, path) => isPart(method, path) && ++received === 3,
        kind: { _tag: "Hang" }
      })
      const chromium = yield* Chromium.make
      const page = yield* chromium.open(url)
      yield* page.waitForText("Pick a video")
      yield* page.screenshot("upload-empty")
      yield* page.pick("input", path)
      yield* page.waitForText("62 %")
      yield* page.screenshot("upload-half")
      yield* Effect.repeat(Effect.void, { until: () => received === 3, schedule: Schedule.spaced("25 millis") })
      yield* page.goto(url)
      yield* page.waitForText("Pick the same video again")
      yield* page.screenshot("upload-reloaded")
      yield* clearFaults
      yield* page.pick("input", path)
      yield* page.waitForText("uploaded: http")
      yield* page.screenshot("upload-complete")
      // Two parts before the reload, the one in doubt twice, and the last one.
      const parts = (yield* ledger).entries.filter(({ method, path }) => isPart(method, path))
      assert.lengthOf(parts, 5)
      assert.deepStrictEqual(
        parts.map(({ headers }) => headers["content-range"]),
        ["0-5242879", "5242880-10485759", "10485760-15728639", "10485760-15728639", "15728640-16777215"].map(
          (range) => `bytes ${range}/16777216`
        )
      )
      assert.isFalse(parts.some(({ hadAuthorization }) => hadAuthorization))
      assert.deepStrictEqual(yield* page.complaints, [])
    }).pipe(Effect.scoped, Effect.provide(ApiVideoSandbox.layer()))
  )
})
