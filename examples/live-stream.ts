/** Creates a live stream, shows what an encoder such as OBS needs, and ends it. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Redacted } from "effect"
import { LiveStreams } from "effect-video-auth/api-video"
import { answeredBy } from "./support/operations.ts"

const program = Effect.gen(function* () {
  const live = yield* LiveStreams.create({ name: "Live from New York", public: true })
  yield* Console.log(`server: rtmp://broadcast.api.video/s, key: ${live.streamKey}`)
  // The key is redacted in every log. Only this gives it to the encoder.
  const key = live.streamKey === undefined ? "" : Redacted.value(live.streamKey)
  yield* Console.log(`the key itself has ${key.length} characters`)
  yield* Console.log(`watch: ${live.assets?.player}`)

  const { broadcasting } = yield* LiveStreams.get(live.liveStreamId)
  yield* Console.log(broadcasting ? "on air" : "nobody streams yet")
  yield* LiveStreams.complete(live.liveStreamId)
  yield* LiveStreams.delete(live.liveStreamId)
})

const liveStreamId = "li4pqNqGUkhKfWcBGpZVLRY5"

const ApiVideoLive = answeredBy({
  "LiveStreams.create": ({ name }) => ({
    liveStreamId,
    name,
    streamKey: Redacted.make("30087931-229e-42cf-b5f9-e91bcc1f7332"),
    assets: { player: `https://embed.api.video/live/${liveStreamId}` }
  }),
  "LiveStreams.get": () => ({ liveStreamId, broadcasting: false }),
  "LiveStreams.complete": () => undefined,
  "LiveStreams.delete": () => undefined
})

program.pipe(Effect.provide(ApiVideoLive), NodeRuntime.runMain)
