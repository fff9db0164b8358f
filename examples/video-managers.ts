/** Several VideoManagers with one login: a token for each, derived from the refresh token one after the other. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Redacted, Schema } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { MovingImage, TokenServiceMap } from "effect-video-auth"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"

const Videos = Schema.Struct({ videos: Schema.Array(Schema.Struct({ title: Schema.String })) })

const publish = Effect.fn(function* ({ id, name }: MovingImage.VideoManager) {
  const api = yield* MovingImage.clientFor(id)
  const path = `/v1/vms/${id}/videos`
  yield* api.execute(HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(path), { fileName: `${name}.mp4` }))
  const { videos } = yield* Effect.flatMap(api.get(path), HttpClientResponse.schemaBodyJson(Videos))
  return `${name}: ${videos.map(({ title }) => title).join(", ")}`
})

const program = Effect.gen(function* () {
  const { videoManagers } = yield* MovingImage.Session
  const list = yield* videoManagers
  // All at once, each with its own token.
  for (const line of yield* Effect.forEach(list, publish, { concurrency: "unbounded" })) yield* Console.log(line)

  yield* publish({ id: 999, name: "Nobody's" }).pipe(
    Effect.catchReason("TokenError", "ProviderRejected", ({ detail }) => Console.log(detail))
  )

  const { ledger } = yield* MovingImageSandbox.MovingImageSandbox
  const { logins, refreshes, refreshTokensSentTwice, wrongVideoManager } = yield* ledger
  yield* Console.log(
    `${logins} login, ${refreshes} refreshes, ${refreshTokensSentTwice.length} refresh tokens sent twice`
  )
  yield* Console.log(`${wrongVideoManager} requests with the token of another VideoManager`)
})

const live = Layer.unwrap(
  MovingImageSandbox.MovingImageSandbox.useSync(({ url }) =>
    MovingImage.layerMap({
      baseUrl: url,
      username: Redacted.make("your_username"),
      password: Redacted.make("your_password")
    })
  )
).pipe(Layer.provide(TokenServiceMap.layer()))

const sandbox = MovingImageSandbox.layer({
  accounts: [
    {
      username: "your_username",
      password: "your_password",
      videoManagers: [
        { id: 101, name: "Marketing" },
        { id: 102, name: "Training" },
        { id: 103, name: "Sales" }
      ]
    }
  ]
})

program.pipe(
  Effect.provide(live.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provideMerge(sandbox))),
  NodeRuntime.runMain
)
