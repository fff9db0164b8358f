/**
 * What a library that builds on this one exports without writing its types. `npm run package:check` emits its declarations, and
 * they may name only what the package publishes: another program could not resolve anything else.
 */
import { Context, Redacted, Schema } from "effect"
import { ApiVideo, MovingImage, OAuth2, Platform, PlatformError, StatusReason, TokenError } from "effect-video-auth"
import { ApiVideoError, Uploads, Videos } from "effect-video-auth/api-video"
import { MovingImageError, MovingImageOpenId } from "effect-video-auth/moving-image"

const apiKey = Redacted.make("key")
const user = { username: Redacted.make("name"), password: Redacted.make("password") }

export const apiVideo = ApiVideo.layer({ apiKey })
export const apiVideoConfig = ApiVideo.layerConfig({ apiKey })
export const apiVideoClient = ApiVideo.layerClient()
export const apiVideoToken = ApiVideo.layerToken({ apiKey })
export const apiVideoTest = ApiVideo.layerTest({})
export const apiVideoMap = ApiVideo.layerMap()
export const apiVideoBasic = ApiVideo.layerBasic({ apiKey })
export const apiVideoTokens = ApiVideo.Tokens
export const apiVideoClientFor = ApiVideo.clientFor(apiKey)
export const authenticated = ApiVideo.authenticate({ apiKey })
export const providers = ApiVideo.providers()
export const videos = Videos.list()
export const uploaded = Uploads.upload
export const problem = ApiVideoError.fromResponse

export const movingImage = MovingImage.layer(user)
export const movingImageTest = MovingImage.layerTest({})
export const movingImageMap = MovingImage.layerMap(user)
export const movingImageTokens = MovingImage.Tokens
export const openId = MovingImageOpenId.layer(user)
export const openIdToken = MovingImageOpenId.layerAnonymousUsers(user)
export const rateLimited = MovingImageError.rateLimited

export class ExampleError extends PlatformError.PlatformError.extend<ExampleError>("ExampleError")({
  _tag: Schema.tag("ExampleError"),
  reason: StatusReason.Reason
}) {}
export class Example extends Context.Service<Example, Platform.Client<ExampleError>>()("Example") {}
export const { clientFor, layer, layerClient, layerConfig, layerMap, layerTest, layerToken, layerTokenConfig, Tokens } =
  Platform.make({
    service: Example,
    name: "example",
    server: Platform.serverAt({ platform: "example", baseUrl: "https://api.example.com" }),
    secrets: { clientSecret: "the secret of the application" },
    provider: ({ clientSecret }, { clientId }: { readonly clientId: string }) =>
      OAuth2.clientCredentials({
        issuer: "https://login.example.com",
        clientId,
        authentication: { method: "client_secret_basic", clientSecret }
      }),
    errors: PlatformError.make({
      Error: ExampleError,
      ...StatusReason.table,
      read: ({ text }) => ({ code: text("code"), detail: text("message") })
    }),
    limits: { perMinute: { requests: 600 }, classOf: () => "requests" }
  })
export const example = layer({ clientId: "app", clientSecret: apiKey })
export const exampleMap = layerMap({})

export const isRenewalReason = TokenError.isRenewalReason
