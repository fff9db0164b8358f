/**
 * Scenario 7 without a network, in the process of one Effect client: the transport answers from memory, so that what the
 * client does itself is all there is.
 */
import { GCProfiler, getHeapStatistics } from "node:v8"
import { Effect, Layer, ManagedRuntime } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { answer } from "./answer.ts"
import { clients, Videos } from "./effect-clients.ts"

export interface Question {
  readonly requests: number
}

export interface Answer {
  /** Nanoseconds of CPU a request, which other work on the machine changes less than time. */
  readonly cpu: number
  /** What a request left on the heap, if nothing was collected meanwhile. */
  readonly bytes: number | undefined
}

const tokens = JSON.stringify({
  token_type: "Bearer",
  access_token: "token",
  refresh_token: "refresh",
  expires_in: 3_600
})

/** Nobody reads it: all requests share one. */
const listed = new Response(null, { status: 200 })

/** Answers in a later turn of the event loop, from outside of Effect, as a network would. */
const transport = HttpClient.make((request) =>
  Effect.callback((resume) => {
    setImmediate(() => {
      const response = request.method === "POST" ? new Response(tokens) : listed
      resume(Effect.succeed(HttpClientResponse.fromWeb(request, response)))
    })
  })
)

const name = process.argv[2] ?? ""
const client = clients[name]
if (client === undefined) throw new Error(`no client is called ${name}`)
const layer = client("http://127.0.0.1:9", "Bearer token")
const runtime = ManagedRuntime.make(Layer.provide(layer, Layer.succeed(HttpClient.HttpClient, transport)))

const measure = async ({ requests }: Question): Promise<Answer> => {
  let hits = 0
  const loop = (left: number): Effect.Effect<void, unknown, Videos> =>
    left === 0
      ? Effect.void
      : Videos.use(({ list }) => list).pipe(
          Effect.flatMap((response) => {
            if (response.status === 200) hits += 1
            return loop(left - 1)
          })
        )
  globalThis.gc?.()
  const profiler = new GCProfiler()
  profiler.start()
  const heap = getHeapStatistics().used_heap_size
  const before = process.cpuUsage()
  await runtime.runPromise(loop(requests))
  const { system, user } = process.cpuUsage(before)
  if (hits !== requests) throw new Error(`${hits} of ${requests} requests were answered`)
  const grown = getHeapStatistics().used_heap_size - heap
  const collections = profiler.stop()?.statistics.length ?? 0
  return { cpu: ((system + user) * 1_000) / requests, bytes: collections === 0 ? grown / requests : undefined }
}

answer(measure)
