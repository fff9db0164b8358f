/** The first program on movingimage: the user's VideoManagers, and the videos of the one that the token is for. */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { HttpClientResponse } from "effect/http"
import { MovingImage, TokenService } from "effect-video-auth"
import { server } from "./support/movingimage.ts"

const Videos = Schema.Struct({ videos: Schema.Array(Schema.Struct({ id: Schema.String, title: Schema.String })) })

const listVideos = Effect.fn(function* (videoManager: number) {
  const api = yield* MovingImage.MovingImage
  const request = api.get(`/v1/vms/${videoManager}/videos?limit=3`)
  const { videos } = yield* Effect.flatMap(request, HttpClientResponse.schemaBodyJson(Videos))
  return videos.map(({ title }) => title)
})

// A token of movingimage says which VideoManager it is for.
const videoManagers = Effect.gen(function* () {
  const tokens = yield* TokenService.TokenService
  return yield* Effect.fromOption(MovingImage.videoManagersOf(yield* tokens.get))
})

const program = Effect.gen(function* () {
  const { validForVideoManager, videoManagerList } = yield* videoManagers
  const names = videoManagerList.map(({ name }) => name)
  yield* Console.log("VideoManagers:", names)
  yield* Console.log("videos:", yield* listVideos(validForVideoManager))
})

// In two layers, because the program reads the token as well. The option `videoManager` would choose its VideoManager.
const MovingImageLive = Layer.unwrap(
  Effect.gen(function* () {
    const baseUrl = yield* Config.String("MOVINGIMAGE_BASE_URL")
    const username = Config.Redacted("MOVINGIMAGE_USERNAME")
    const password = Config.Redacted("MOVINGIMAGE_PASSWORD")
    const token = MovingImage.layerToken({ baseUrl, username, password })
    return Layer.provideMerge(MovingImage.layerClient({ baseUrl }), token)
  })
)

program.pipe(
  Effect.provide(MovingImageLive.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(server))),
  NodeRuntime.runMain
)
