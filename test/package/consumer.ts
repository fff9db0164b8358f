/**
 * What a stranger writes, as types: `npm run package:check` type-checks this file in an empty project, against the packed
 * package and nothing else. An export that lost its type there (a declaration that does not resolve is `any`) is an error here.
 */
import { type Config, Effect, Layer, Redacted, type Stream } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import {
  type AccessToken,
  ApiVideo,
  BearerClient,
  MovingImage,
  RenewalPolicy,
  TokenError,
  TokenService,
  TokenServiceMap,
  TokenStore
} from "effect-video-auth"
import type * as ApiVideoModule from "effect-video-auth/api-video/ApiVideo"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import * as RecordingHttpClient from "effect-video-auth/testing/RecordingHttpClient"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(..._proof: Same<A, B> extends true ? [] : ["these types differ", A, B]): void => {}

// Provide the layer.
const live = ApiVideo.layer({ apiKey: Redacted.make("key"), environment: "sandbox", policy: RenewalPolicy.onDemand })
same<typeof live, Layer.Layer<ApiVideo.ApiVideo | ApiVideo.Tokens, TokenError.TokenError, HttpClient.HttpClient>>()
export const fromConfig = (
  apiKey: Config.Config<Redacted.Redacted>
): Layer.Layer<ApiVideo.ApiVideo, TokenError.TokenError | Config.ConfigError> =>
  ApiVideo.layerConfig({ apiKey }).pipe(Layer.provide(FetchHttpClient.layer))
// @ts-expect-error a key is never a plain string
ApiVideo.layer({ apiKey: "key" })
// @ts-expect-error there are two environments
ApiVideo.layer({ apiKey: Redacted.make("key"), environment: "staging" })
const user = { username: Redacted.make("name"), password: Redacted.make("password") }
const movingImage = MovingImage.layer({ ...user, videoManager: 42 })
same<
  typeof movingImage,
  Layer.Layer<MovingImage.MovingImage | MovingImage.Tokens, TokenError.TokenError, HttpClient.HttpClient>
>()
// @ts-expect-error a password is never a plain string
MovingImage.layer({ ...user, password: "password" })

// Compose requests.
const program = Effect.gen(function* () {
  const api = yield* ApiVideo.ApiVideo
  const response = yield* api.get("/videos")
  return response.status
})
same<typeof program, Effect.Effect<number, ApiVideo.ClientError, ApiVideo.ApiVideo>>()
export const handled = program.pipe(
  Effect.catchReason("TokenError", "InvalidCredentials", (reason) => Effect.succeed(reason.status ?? 0)),
  Effect.catchReason("ApiVideoError", "BadRequest", ({ problem }) => Effect.succeed(problem.title))
)
// @ts-expect-error there is no such reason
export const unheard = program.pipe(Effect.catchReason("TokenError", "Unheard", () => Effect.void))

const token = Effect.flatMap(TokenService.TokenService, (tokens) => tokens.getValidFor("20 minutes"))
same<typeof token, Effect.Effect<AccessToken.AccessToken, TokenError.TokenError, TokenService.TokenService>>()
export const changes: Stream.Stream<TokenService.State> = TokenService.changes(
  undefined as unknown as TokenService.TokenService["Service"]
)
export const bearer = (service: TokenService.TokenService["Service"], client: HttpClient.HttpClient) =>
  BearerClient.make(service, { origins: ["https://ws.api.video"] })(client)
export const store: Layer.Layer<TokenStore.TokenStore> = TokenStore.layerMemory

// Many identities.
type Many = TokenServiceMap.TokenServiceMap | HttpClient.HttpClient
const keys = ApiVideo.layerMap()
same<typeof keys, Layer.Layer<ApiVideo.Keys, TokenError.TokenError, Many>>()
const session = MovingImage.layerMap(user)
same<typeof session, Layer.Layer<MovingImage.Session, TokenError.TokenError, Many>>()
// @ts-expect-error a session is for all VideoManagers
MovingImage.layerMap({ ...user, videoManager: 42 })
export const forOne = Effect.flatMap(MovingImage.clientFor(42), (api) => api.get("/v1/vms")).pipe(
  Effect.catchReason("MovingImageError", "Forbidden", ({ code }) => Effect.succeed(code)),
  Effect.provide(session.pipe(Layer.provide(TokenServiceMap.layer({ capacity: 10 }))))
)
same<Effect.Services<typeof forOne>, HttpClient.HttpClient>()

// Swap layers in specs.
export const spec = program.pipe(
  Effect.provide(
    ApiVideo.layerClient().pipe(
      Layer.provide(TokenService.layerTest(["t1", new TokenError.InvalidCredentials({ status: 400 })])),
      Layer.provide(RecordingHttpClient.layer(() => RecordingHttpClient.status(401)))
    )
  )
)
same<Effect.Services<typeof spec>, never>()
export const sandbox = Effect.flatMap(ApiVideoSandbox.ApiVideoSandbox, ({ ledger }) => ledger)
same<Effect.Success<typeof sandbox>["logins"], number>()
export const movingImageSandbox = Effect.flatMap(MovingImageSandbox.MovingImageSandbox, ({ ledger }) => ledger)
same<Effect.Success<typeof movingImageSandbox>["wrongVideoManager"], number>()

// The barrel and the subpaths are one: a service of the one is a service of the other.
same<ApiVideo.ApiVideo, ApiVideoModule.ApiVideo>()
