import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schedule } from "effect"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import type { State } from "../examples/support/progress.ts"
import { line } from "../examples/support/terminal.ts"
import { assertDiscreet, ending, root, run, start } from "./support/examples.ts"

const videos = "videos: [ 'Trailer', 'Interview', 'Credits' ]"

/** All that each prints. */
const outputs: Readonly<Record<string, ReadonlyArray<string>>> = {
  "analytics.ts": ["FR     80 ████████████████████", "DE     42 ███████████", "US     20 █████", "all   142"],
  "basic.ts": [videos],
  "captions.ts": ["en: English, the default", "fr: Français"],
  "customers.ts": [
    "Mallory: InvalidCredentials",
    "Ann: 20 requests with bearer #1",
    "Bob: 20 requests with bearer #2",
    "Eve: 20 requests with bearer #3",
    "3 logins, and 1 refused"
  ],
  "client-credentials.ts": ["granted: { scope: 'profile email' }", "the API answers 200"],
  "code-flow.ts": [
    "Ann is sent to /login",
    "Mallory, with Ann's redirect: 400",
    "Ann is sent back to /",
    'Ann sees: movingimage answers 200. <a href="/logout">Sign out</a>',
    "Mallory is sent to /login",
    "Ann has signed out and is sent to /login"
  ],
  "custom-provider.ts": ["{ reports: [ 'May', 'June' ] }", "{ reports: [ 'May', 'June' ] } with token #2"],
  "delegated-upload.ts": [
    "upload token: <redacted> for 3600 s",
    "two parts, one video: film.mp4",
    "Unauthorized: The upload token is invalid or expired."
  ],
  "device.ts": [
    "Go to <origin>/auth/realms/platform/device and enter <code>",
    "signed in at <origin>/auth/realms/platform",
    "signed out"
  ],
  "fetch.ts": [videos],
  "http-api.ts": ["found: Trailer", "404"],
  "key-rotation.ts": [videos, videos, "2 logins, 1 request sent again"],
  "live-stream.ts": [
    "server: rtmp://broadcast.api.video/s, key: <redacted:streamKey>",
    "the key itself has 36 characters",
    "watch: https://embed.api.video/live/li4pqNqGUkhKfWcBGpZVLRY5",
    "nobody streams yet"
  ],
  "long-upload.ts": [
    "uploaded 16 MiB",
    "/videos: bearer #1",
    "/auth/refresh: none",
    "/videos/{videoId}/source: bearer #2"
  ],
  "movingimage.ts": ["VideoManagers: [ 'Marketing', 'Training' ]", videos],
  "paging.ts": [
    "35 videos in 4 pages, the last is Episode 35",
    "3 videos in 1 page",
    "not followed: https://example.com"
  ],
  "promises.ts": [
    videos,
    "NotFound: DELETE /videos/vi0: 404: The requested resource was not found (videoId). Check the id, the path and the environment.",
    "closed"
  ],
  "proxy.ts": [videos, "tunnels: 2"],
  "readiness.ts": [
    "200 { phase: 'valid' }",
    "200 { phase: 'valid' }",
    "503 { phase: 'failed', lastFailure: 'InvalidCredentials' }"
  ],
  "sign-out.ts": [videos, "valid, token #1", "empty, token #1", videos, "valid, token #2"],
  "typed-errors.ts": [
    "BadRequest: pageSize: This parameter is out of the allowed range of values.",
    "NotFound: /videos/vi0",
    "TokenExpired: InvalidCredentials, no use to try again"
  ],
  "upload.ts": ["holiday.mp4: 24.0 MiB", "waits 1 s because of a 429", "uploaded: <origin>/vod/vi…"],
  "videos.ts": [
    "videos: [ 'Trailer', 'Interview', 'Credits', 'Lecture 1' ]",
    "metadata: [ { key: 'Author', value: 'John Doe' } ]",
    "GET /videos/vi…: 404: The requested resource was not found (videoId). Check the id, the path and the environment."
  ],
  "workload.ts": [
    "my-service authenticates with the first projected token",
    "my-service authenticates with the second projected token"
  ],
  "video-managers.ts": [
    "Marketing: Marketing.mp4",
    "Training: Training.mp4",
    "Sales: Sales.mp4",
    "the user can't access VideoManager 999. Available: 101, 102, 103",
    "1 login, 3 refreshes, 0 refresh tokens sent twice",
    "0 requests with the token of another VideoManager"
  ]
}

/** Replaces what differs on each run. */
const comparable = (stdout: string): string =>
  stdout
    .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, "<origin>")
    .replaceAll(/\b[A-Z]{4}-[A-Z]{4}\b/g, "<code>")
    .replaceAll(/(?<=\/vod\/vi)\w+/g, "…")

describe.concurrent("examples", () => {
  for (const [file, lines] of Object.entries(outputs)) {
    it(`${file} says what it shows`, async () => {
      const ending = await run(file)
      assert.strictEqual(ending.stderr, "")
      assert.strictEqual(comparable(ending.stdout), `${lines.join("\n")}\n`)
      assert.strictEqual(ending.code, 0)
      assertDiscreet(ending)
    })
  }

  it.live("basic.ts talks to the server that the variables name", () =>
    Effect.gen(function* () {
      const { ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
      const env = { APIVIDEO_API_KEY: "your_api_key", APIVIDEO_BASE_URL: url }
      const ending = yield* Effect.promise(() => run("basic.ts", env))
      assert.include(ending, { code: 0, stderr: "", stdout: "videos: []\n" })
      const { logins, requests } = yield* ledger
      assert.deepStrictEqual({ logins, requests }, { logins: 1, requests: 1 })
    }).pipe(Effect.provide(ApiVideoSandbox.layer()))
  )

  it.live("movingimage.ts does as well", () =>
    Effect.gen(function* () {
      const { ledger, url } = yield* MovingImageSandbox.MovingImageSandbox
      const env = {
        MOVINGIMAGE_USERNAME: "your_username",
        MOVINGIMAGE_PASSWORD: "your_password",
        MOVINGIMAGE_BASE_URL: url
      }
      const ending = yield* Effect.promise(() => run("movingimage.ts", env))
      const stdout = "VideoManagers: [ 'Marketing', 'Training' ]\nvideos: []\n"
      assert.include(ending, { code: 0, stderr: "", stdout })
      const { logins, requests } = yield* ledger
      assert.deepStrictEqual({ logins, requests }, { logins: 1, requests: 1 })
    }).pipe(Effect.provide(MovingImageSandbox.layer()))
  )

  it.live("upload.ts goes on where Ctrl-C ended it", () =>
    Effect.gen(function* () {
      const { clearFaults, inject, ledger, url } = yield* ApiVideoSandbox.ApiVideoSandbox
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "uploads-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const path = join(folder, "holiday.mp4")
      writeFileSync(path, Buffer.alloc(16 * 1024 * 1024, "0123456789"))
      const env = { APIVIDEO_API_KEY: "your_api_key", APIVIDEO_BASE_URL: url, UPLOAD_JOURNAL: join(folder, "journal") }
      const parts = Effect.map(ledger, ({ entries }) => entries.filter(({ path }) => path.endsWith("/source")).length)
      let received = 0
      yield* inject({
        on: (_, path) => path.endsWith("/source") && ++received === 3,
        kind: { _tag: "Hang" }
      })
      const child = start("upload.ts", env, [path])
      const interrupted = Effect.promise(() => ending(child))
      yield* Effect.repeat(parts, { until: () => received === 3, schedule: Schedule.spaced("25 millis") })
      child.kill("SIGINT")
      assert.include((yield* interrupted).stdout, "Run it again with the same journal to go on")
      yield* clearFaults
      const resumed = yield* Effect.promise(() => run("upload.ts", env, [path]))
      assert.strictEqual(
        comparable(resumed.stdout),
        "holiday.mp4: 16.0 MiB\ngoes on after 10.0 MiB\nuploaded: <origin>/vod/vi…\n"
      )
    }).pipe(Effect.scoped, Effect.provide(ApiVideoSandbox.layer()))
  )

  it("upload.ts draws a bar that fits the terminal", () => {
    const state = {
      filename: "holiday.mp4",
      total: 100 * 1024 ** 2,
      sent: 62.5 * 1024 ** 2,
      rate: 5 * 1024 ** 2,
      timeLeft: 75_000,
      wait: undefined
    }
    const drawn = (changes: Partial<State>, columns = 80) =>
      stripVTControlCharacters(line({ ...state, ...changes }, columns, 0))
    assert.strictEqual(drawn({}), "holiday.mp4  ━━━━━━━━━━━━━────────   62 %  62.5/100.0 MiB   5.0 MiB/s  1:15 left")
    assert.include(drawn({ wait: { why: "because of a 429", until: DateTime.makeUnsafe(3_000) } }), "waits 3 s because")
    assert.include(drawn({ sent: state.total }), "finishing")
    for (const columns of [80, 100, 200]) assert.isAtMost(drawn({ filename: "a".repeat(200) }, columns).length, columns)
  })

  it("are all run, and all in the README", () => {
    const files = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"))
    // Those have tests of their own.
    const elsewhere = [
      "brightcove.ts",
      "browser-app.ts",
      "fleet.ts",
      "observability.ts",
      "quickstart.ts",
      "spec.test.ts",
      "update-diffs.ts",
      "upload-page.ts"
    ]
    assert.sameMembers(files, [...Object.keys(outputs), ...elsewhere])
    const readme = readFileSync(join(root, "examples", "README.md"), "utf8")
    for (const file of files) if (file !== "update-diffs.ts") assert.include(readme, `| [\`${file}\`](${file})`)
  })

  it("are what the diffs in the README say", async () => {
    // It reads and compares the files themselves.
    const { status, stderr, stdout } = spawnSync(process.execPath, ["examples/update-diffs.ts", "--check"], {
      cwd: root,
      encoding: "utf8"
    })
    assert.deepStrictEqual({ status, stderr, stdout }, { status: 0, stderr: "", stdout: "" })
  })
})
