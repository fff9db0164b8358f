/** The platforms that are soaked: a server in a process of its own, and the program that uses it. One entry each. */
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import type { HttpClient, HttpClientRequest, HttpClientResponse, HttpServerError } from "effect/http"
import { ApiVideo, MovingImage, type RenewalPolicy, type TokenError, TokenService } from "effect-video-auth"
import { MovingImageOpenId } from "effect-video-auth/moving-image"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import type { Fault } from "effect-video-auth/testing/SandboxFault"
import type { Ledger } from "effect-video-auth/testing/SandboxLedger"

/** What the server's process does with its sandbox. */
export interface Controls {
  readonly url: string
  readonly ledger: Effect.Effect<Ledger>
  readonly inject: (fault: Fault) => Effect.Effect<void>
  readonly clearFaults: Effect.Effect<void>
  readonly revokeAccessTokens: Effect.Effect<void>
}

/** What the program does with its client. */
export interface Program {
  readonly execute: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, { readonly _tag: string; readonly message: string }>
  readonly tokens: TokenService.TokenService["Service"]
}

export interface Platform {
  readonly serve: (port: number) => Effect.Effect<Controls, HttpServerError.ServeError, Scope.Scope>
  readonly program: (
    baseUrl: string
  ) => Effect.Effect<Program, { readonly message: string }, Scope.Scope | HttpClient.HttpClient>
  /** Videos are listed and created there. */
  readonly videos: string
  /** The body that makes a video. */
  readonly creation: Readonly<Record<string, string>>
  /** Where a refresh goes, and the token that it sends. */
  readonly refreshToken: (path: string, body: string) => string | undefined
}

/** Of tokens, in seconds: each is renewed many times. */
export const lifetime = 8

const policy: RenewalPolicy.Options = { exchangeTimeout: "2 seconds" }

const sentAsJson =
  (isRefresh: (path: string) => boolean): Platform["refreshToken"] =>
  (path, body) => {
    if (!isRefresh(path)) return undefined
    const { refreshToken }: { readonly refreshToken?: unknown } = JSON.parse(body)
    return String(refreshToken)
  }

const videoManager = 101

const apiVideo: Platform = {
  serve: (port) =>
    Effect.map(
      Layer.build(
        ApiVideoSandbox.layer({ port, accessTokenLifetime: lifetime * 1_000, rateLimits: ApiVideoSandbox.noRateLimits })
      ),
      Context.get(ApiVideoSandbox.ApiVideoSandbox)
    ),
  program: (baseUrl) =>
    Effect.map(
      Layer.build(
        Layer.provideMerge(
          ApiVideo.layerClient({ baseUrl, rateLimits: false }),
          ApiVideo.layerToken({ baseUrl, apiKey: Redacted.make("your_api_key"), policy })
        )
      ),
      (context) => ({
        execute: (request) => Context.get(context, ApiVideo.ApiVideo).execute(request),
        tokens: Context.get(context, TokenService.TokenService)
      })
    ),
  videos: "/videos",
  creation: { title: "a" },
  refreshToken: sentAsJson((path) => path === "/auth/refresh")
}

/** By either login: that of the API, or the password grant of OpenID Connect. */
const movingImage = (
  layerToken: (options: {
    readonly baseUrl: string
    readonly username: Redacted.Redacted
    readonly password: Redacted.Redacted
    readonly videoManager: number
    readonly policy: RenewalPolicy.Options
  }) => Layer.Layer<TokenService.TokenService, TokenError.TokenError, HttpClient.HttpClient>,
  refreshToken: Platform["refreshToken"]
): Platform => ({
  serve: (port) =>
    Effect.map(
      Layer.build(
        MovingImageSandbox.layer({
          port,
          accessTokenLifetime: lifetime * 1_000,
          rateLimit: Infinity,
          lockAfter: Infinity
        })
      ),
      Context.get(MovingImageSandbox.MovingImageSandbox)
    ),
  program: (baseUrl) =>
    Effect.map(
      Layer.build(
        Layer.provideMerge(
          MovingImage.layerClient({ baseUrl, rateLimits: false }),
          layerToken({
            baseUrl,
            username: Redacted.make("your_username"),
            password: Redacted.make("your_password"),
            videoManager,
            policy
          })
        )
      ),
      (context) => ({
        execute: (request) => Context.get(context, MovingImage.MovingImage).execute(request),
        tokens: Context.get(context, TokenService.TokenService)
      })
    ),
  videos: `/v1/vms/${videoManager}/videos`,
  creation: { title: "a", fileName: "a.mp4" },
  refreshToken
})

export const platforms: Readonly<Record<string, Platform>> = {
  "api.video": apiVideo,
  movingimage: movingImage(
    MovingImage.layerToken,
    sentAsJson((path) => path.startsWith("/v1/vms/auth/refresh/"))
  ),
  "movingimage by OpenID Connect": movingImage(
    MovingImageOpenId.layerAnonymousUsers,
    (_path, body) => new URLSearchParams(body).get("refresh_token") ?? undefined
  )
}
