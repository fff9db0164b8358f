/** api.video as the examples meet it: played by a server on loopback, with configuration that leads there. */
import { Config, ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import { FetchHttpClient, HttpClientRequest } from "effect/http"
import { ApiVideo } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"

const configuration = (url: string, key?: string) =>
  ConfigProvider.fromUnknown({ APIVIDEO_BASE_URL: url, APIVIDEO_API_KEY: key })

const upload = (url: string, key: string, titles: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const api = yield* ApiVideo.ApiVideo
    for (const title of titles) {
      yield* api.execute(HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post("/videos"), { title }))
    }
  }).pipe(
    Effect.provide(
      // Basic, so that the tokens are those of the example alone.
      ApiVideo.layerBasic({ apiKey: Redacted.make(key), baseUrl: url, rateLimits: false }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
    )
  )

/** Starts a server, uploads a few videos, and sets `APIVIDEO_BASE_URL` and `APIVIDEO_API_KEY`. */
export const sandbox = (
  options: ApiVideoSandbox.Options & { readonly titles?: ReadonlyArray<string> | undefined } = {}
) =>
  ConfigProvider.layer(
    Effect.gen(function* () {
      const { url } = yield* ApiVideoSandbox.ApiVideoSandbox
      const [key = "your_api_key"] = options.apiKeys ?? []
      yield* upload(url, key, options.titles ?? ["Trailer", "Interview", "Credits"])
      return configuration(url, key)
    })
  ).pipe(Layer.provideMerge(ApiVideoSandbox.layer({ rateLimits: ApiVideoSandbox.noRateLimits, ...options })))

/** The same, unless `APIVIDEO_API_KEY` is set: then api.video's own sandbox, or what `APIVIDEO_BASE_URL` names. */
export const server = Layer.unwrap(
  Effect.map(Config.option(Config.String("APIVIDEO_API_KEY")), (key) =>
    Option.isSome(key) ? ConfigProvider.layerAdd(configuration("https://sandbox.api.video")) : sandbox()
  )
)
