/**
 * Measures what very large responses cost a program: `node --conditions=@effect-video-auth/source scripts/bodies.ts`. For each transport and each kind of body, a process of
 * its own makes one login, or one request that fails, and reports how much its memory grew at most and for how long the event
 * loop was blocked. Times depend on the machine; memory hardly does.
 */
import { Effect, Exit, Layer, Redacted } from "effect"
import { ApiVideo, TokenService } from "effect-video-auth"
import { fork } from "node:child_process"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { setTimeout } from "node:timers/promises"
import { gzipSync } from "node:zlib"
import { enough, once, repeat, type Respond, serve, transports } from "../test/support/bodies.ts"

const json = { "content-type": "application/json" }
const bomb = gzipSync(Buffer.alloc(1024 * 1024 * 1024, "["))
const title = JSON.stringify({ title: "a".repeat(50_000_000) })
const manyProblems = (length: number) => Array.from({ length }, () => ({ title: "wrong", name: "a" }))
const problems = JSON.stringify({ problems: manyProblems(1_000_000) })

/** Bodies by name: of a token response (200) or of an error. */
const bodies = (status: number): Readonly<Record<string, Respond>> => ({
  // What everything else is compared with: a first request, which also loads and compiles code.
  "a small one": once(status, json, JSON.stringify({ title: "wrong" })),
  endless: repeat(status, json, "[".repeat(65_536)),
  "1 GB of gzip": once(status, { ...json, "content-encoding": "gzip" }, bomb),
  "a text of 50 MB": once(status, json, title),
  "a million problems": once(status, json, problems),
  "64 KiB of problems": once(status, json, JSON.stringify({ problems: manyProblems(1_900) })),
  "999 KiB of text": once(status, json, JSON.stringify({ access_token: 1, title: "a".repeat(999 * 1024) }))
})

interface Measured {
  readonly outcome: string
  readonly memory: number
  readonly block: number
  readonly duration: number
}

/** Makes one request, in a process of its own. */
const measure = async (transport: string, status: number, baseUrl: string): Promise<Measured> => {
  const layer = transports[transport]!
  const request: Effect.Effect<unknown, { readonly message: string }> =
    status === 200
      ? ApiVideo.authenticate({ apiKey: Redacted.make("key") }, { baseUrl }).pipe(Effect.provide(layer))
      : ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
          Effect.provide(
            ApiVideo.layerClient({ baseUrl, rateLimitRetries: 0, retry: false }).pipe(
              Layer.provide([layer, TokenService.layerTest(["access-1"])])
            )
          )
        )
  const delay = monitorEventLoopDelay({ resolution: 1 })
  await setTimeout(200)
  const before = process.memoryUsage.rss()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 1)
  delay.enable()
  const start = performance.now()
  const exit = await Effect.runPromiseExit(Effect.flip(request))
  const duration = performance.now() - start
  await setTimeout(50)
  delay.disable()
  clearInterval(timer)
  most = Math.max(most, process.memoryUsage.rss())
  const outcome = Exit.isSuccess(exit) ? exit.value.message : "no failure"
  return { outcome, memory: (most - before) / 1024 / 1024, block: delay.max / 1e6, duration }
}

const [, , transport, status, url] = process.argv
if (transport !== undefined && url !== undefined) {
  process.send?.(await measure(transport, Number(status), url))
} else {
  const row = (cells: ReadonlyArray<string>) => console.log(`| ${cells.join(" | ")} |`)
  row(["transport", "status", "body", "memory, at most", "longest block", "time", "sent by the server", "error"])
  row(Array(8).fill("---"))
  const program = Effect.gen(function* () {
    for (const status of [200, 404, 429]) {
      for (const [name, respond] of Object.entries(bodies(status))) {
        for (const transport of Object.keys(transports)) {
          const { ledger, url } = yield* serve({ "/auth/api-key": respond, "/videos": respond })
          const measured = yield* Effect.promise(
            () =>
              new Promise<Measured>((resolve) => {
                const child = fork(import.meta.filename, [transport, String(status), url])
                child.once("message", (message) => {
                  resolve(message as Measured)
                  child.kill()
                })
              })
          )
          const sent = ledger.reduce((sum, served) => sum + served.sent, 0) / 1024 / 1024
          row([
            transport,
            String(status),
            name,
            `${measured.memory.toFixed(0)} MB`,
            `${measured.block.toFixed(0)} ms`,
            `${measured.duration.toFixed(0)} ms`,
            `${sent.toFixed(1)} MB${sent * 1024 * 1024 >= enough ? " (all)" : ""}`,
            measured.outcome.replace(/^.*?: /, "").slice(0, 90)
          ])
        }
      }
    }
  })
  await Effect.runPromise(Effect.scoped(program))
}
