/** Processes that upload and are killed with SIGKILL, at moments that follow from the seed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bundle } from "../support/bundle.ts"
import { checks } from "../support/random.ts"
import { start } from "../support/uploadServer.ts"

const script = `${import.meta.dirname}/../fixtures/uploading.ts`
const chunkSize = 64 * 1024
const parts = 12
const content = randomBytes(parts * chunkSize - 100)

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "uploads-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

interface Run {
  readonly signal: NodeJS.Signals | null
  readonly output: string
}

/** Runs the command to its end, which `onStart` may bring about. */
const run = (args: ReadonlyArray<string>, onStart: (kill: () => void) => void = () => {}) =>
  Effect.promise(
    () =>
      new Promise<Run>((resolve, reject) => {
        const child = spawn(process.execPath, [bundle(script), ...args], { stdio: ["ignore", "pipe", "pipe"] })
        let output = ""
        child.stdout.on("data", (chunk) => (output += chunk))
        child.stderr.on("data", (chunk) => (output += chunk))
        child.on("error", reject)
        child.on("close", (_, signal) => resolve({ signal, output }))
        onStart(() => child.kill("SIGKILL"))
      })
  )

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("an upload whose process is killed", () => {
  let killed = 0
  it.live.prop(
    "is completed by the same command, and repeats at most one part for each concurrent upload",
    {
      // Requests begin, pieces of their bodies arrive, and responses are sent: these are the moments.
      moment: between(1, 60),
      concurrency: between(1, 4),
      target: Schema.Literals(["new", "token"])
    },
    ({ concurrency, moment, target }) =>
      Effect.gen(function* () {
        let step = 0
        let kill = () => {}
        const server = yield* Effect.acquireRelease(
          Effect.promise(() =>
            start(
              () => undefined,
              () => false,
              () => {
                if (++step === moment) kill()
              }
            )
          ),
          ({ stop }) => Effect.promise(stop)
        )
        const place = yield* folder
        const path = join(place, "video.mp4")
        yield* Effect.promise(() => writeFile(path, content))
        const command = [server.url, path, join(place, "journal"), String(concurrency), target]
        const first = yield* run(command, (now) => (kill = now))
        if (first.signal === "SIGKILL") killed++
        const last = first.signal === "SIGKILL" ? yield* run(command) : first
        const videoId = /^uploaded (vi\d+)$/m.exec(last.output)?.[1]
        assert.isDefined(videoId, last.output)
        assert.isTrue(server.sourceOf(videoId ?? "").equals(content))
        assert.isAtMost(server.counts.parts, parts + concurrency)
        // An upload token cannot find the video of a first part whose response was not seen.
        assert.isAtMost(server.counts.creations, target === "token" ? 2 : 1)
      }).pipe(Effect.scoped),
    checks(2.5)
  )
  it("was killed in its middle most of the time", () => assert.isAtLeast(killed, 1))
})
