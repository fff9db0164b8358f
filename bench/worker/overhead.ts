/**
 * Scenario 7 without a network, in the process of one Effect client: the transport answers from memory, so that what the
 * client does itself is all there is.
 */
import { Effect, Layer, ManagedRuntime } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { answer } from "./answer.ts"
import { clients, Videos } from "./effect-clients.ts"

export interface Question {
  readonly requests: number
}

/** Nanoseconds of CPU a request, which other work on the machine changes less than time. */
export interface Answer {
  readonly cpu: number
}

const tokens = JSON.stringify({
  token_type: "Bearer",
  access_token: "token",
  refresh_token: "refresh",
  expires_in: 3_600
})

/** Nobody reads it: all requests share one. */
const listed = new Response(null, { status: 200 })

/** Answers in a later turn of the event loop, as a network would. */
const transport = HttpClient.make((request) =>
  Effect.map(Effect.yieldNow, () =>
    HttpClientResponse.fromWeb(request, request.method === "POST" ? new Response(tokens) : listed)
  )
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
  const before = process.cpuUsage()
  await runtime.runPromise(loop(requests))
  const { system, user } = process.cpuUsage(before)
  if (hits !== requests) throw new Error(`${hits} of ${requests} requests were answered`)
  return { cpu: ((system + user) * 1_000) / requests }
}

answer(measure)
