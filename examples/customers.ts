/** One api.video key per customer: each request carries the token of its customer's key. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Redacted, Schema } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { ApiVideo, TokenServiceMap } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"

// Stands for a database of customers.
const customers = ["Ann", "Bob", "Eve"]
const keyOf = (customer: string) => `your_api_key_of_${customer}`

const Video = Schema.Struct({ videoId: Schema.String })

// Ask for the client with each request, and don't keep it. Clients that are unused for an hour are evicted.
const clientOf = (customer: string) => ApiVideo.clientFor(Redacted.make(keyOf(customer)))

const create = Effect.fn(function* (customer: string) {
  const api = yield* clientOf(customer)
  const request = HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post("/videos"), { title: `Film of ${customer}` })
  const { videoId } = yield* Effect.flatMap(api.execute(request), HttpClientResponse.schemaBodyJson(Video))
  return { customer, path: `/videos/${videoId}` }
})

const program = Effect.gen(function* () {
  const films = yield* Effect.forEach(customers, create)

  // The requests of all customers at once.
  const twenty = films.flatMap((film) => Array.from({ length: 20 }, () => film))
  yield* Effect.forEach(twenty, ({ customer, path }) => Effect.flatMap(clientOf(customer), (api) => api.get(path)), {
    concurrency: "unbounded",
    discard: true
  })

  // A wrong key affects only its customer.
  yield* create("Mallory").pipe(
    Effect.catchReason("TokenError", "InvalidCredentials", ({ _tag }) => Console.log(`Mallory: ${_tag}`))
  )

  const { ledger } = yield* ApiVideoSandbox.ApiVideoSandbox
  const { entries, logins, loginsAccepted } = yield* ledger
  for (const { customer, path } of films) {
    const credentials = entries.filter((entry) => entry.path === path).map(({ credential }) => credential)
    yield* Console.log(`${customer}: ${credentials.length} requests with ${[...new Set(credentials)].join(", ")}`)
  }
  yield* Console.log(`${loginsAccepted} logins, and ${logins - loginsAccepted} refused`)
})

const live = Layer.unwrap(
  ApiVideoSandbox.ApiVideoSandbox.useSync(({ url }) => ApiVideo.layerMap({ baseUrl: url }))
).pipe(Layer.provide(TokenServiceMap.layer({ capacity: 10_000 })))

const sandbox = ApiVideoSandbox.layer({
  apiKeys: customers.map(keyOf),
  rateLimits: ApiVideoSandbox.noRateLimits
})

program.pipe(
  Effect.provide(live.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provideMerge(sandbox))),
  NodeRuntime.runMain
)
