/** Creates, lists, updates and deletes videos with typed operations. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Stream } from "effect"
import { ApiVideo, Videos } from "effect-video-auth/api-video"
import { server } from "./support/server.ts"

const program = Effect.gen(function* () {
  const { videoId } = yield* Videos.create({ title: "Lecture 1", tags: ["maths"] })
  const titles = yield* Videos.stream().pipe(
    Stream.map(({ title }) => title),
    Stream.runCollect
  )
  yield* Console.log("videos:", titles)
  const { metadata } = yield* Videos.update(videoId, { metadata: [{ key: "Author", value: "John Doe" }] })
  yield* Console.log("metadata:", metadata)
  yield* Videos.delete(videoId)
  yield* Videos.get(videoId).pipe(
    Effect.catchReason("ApiVideoError", "NotFound", ({ message }) => Console.log(message.replace(videoId, "vi…")))
  )
})

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(ApiVideoLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(server))),
  NodeRuntime.runMain
)
