/** movingimage as the examples meet it: played by a server on loopback, with configuration that leads there. */
import { Config, ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import { FetchHttpClient, HttpClientRequest } from "effect/http"
import { MovingImage } from "effect-video-auth"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"

const [username, password] = ["your_username", "your_password"]

const upload = (baseUrl: string, titles: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const api = yield* MovingImage.MovingImage
    for (const title of titles) {
      const request = HttpClientRequest.post("/v1/vms/101/videos")
      yield* api.execute(HttpClientRequest.bodyJsonUnsafe(request, { fileName: `${title}.mp4`, title }))
    }
  }).pipe(
    Effect.provide(
      MovingImage.layer({ baseUrl, username: Redacted.make(username), password: Redacted.make(password) }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
    )
  )

/** Starts a server, uploads a few videos, and sets `MOVINGIMAGE_BASE_URL`, `_USERNAME` and `_PASSWORD`. */
const sandbox = ConfigProvider.layer(
  Effect.gen(function* () {
    const { url } = yield* MovingImageSandbox.MovingImageSandbox
    // The newest comes first in a list.
    yield* upload(url, ["Credits", "Interview", "Trailer"])
    return ConfigProvider.fromUnknown({
      MOVINGIMAGE_BASE_URL: url,
      MOVINGIMAGE_USERNAME: username,
      MOVINGIMAGE_PASSWORD: password
    })
  })
).pipe(Layer.provide(MovingImageSandbox.layer()))

const movingImage = ConfigProvider.layerAdd(
  ConfigProvider.fromUnknown({ MOVINGIMAGE_BASE_URL: "https://api.video-cdn.net" })
)

/** The same, unless `MOVINGIMAGE_USERNAME` is set: then movingimage itself, or what `MOVINGIMAGE_BASE_URL` names. */
export const server = Layer.unwrap(
  Effect.map(Config.option(Config.String("MOVINGIMAGE_USERNAME")), (name) =>
    Option.isSome(name) ? movingImage : sandbox
  )
)
