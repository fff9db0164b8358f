/**
 * The kit for a platform: what `ApiVideo` and `MovingImage` are made of, for any other API.
 *
 * A platform says how to get a token, how its errors are read and how many requests it allows. {@link make} adds the client
 * and its layers: base URL, a credential that never leaves the platform's origin, recovery from a 401, rate limits, typed
 * errors, retries, configuration, and a layer for specs.
 *
 * **Example** (A platform with client credentials)
 *
 * ```ts
 * import { Context, Schema } from "effect"
 * import { OAuth2, Platform, PlatformError, StatusReason } from "effect-video-auth"
 *
 * export class ExampleError extends PlatformError.PlatformError.extend<ExampleError>("ExampleError")({
 *   _tag: Schema.tag("ExampleError"),
 *   reason: StatusReason.Reason
 * }) {}
 *
 * export class Example extends Context.Service<Example, Platform.Client<ExampleError>>()("Example") {}
 *
 * export const { layer, layerConfig, layerTest } = Platform.make({
 *   service: Example,
 *   name: "example",
 *   server: Platform.serverAt({ platform: "example", baseUrl: "https://api.example.com" }),
 *   secrets: { clientSecret: "the secret of the application" },
 *   provider: ({ clientSecret }) =>
 *     OAuth2.clientCredentials({
 *       issuer: "https://login.example.com",
 *       clientId: "my-app",
 *       authentication: { method: "client_secret_basic", clientSecret }
 *     }),
 *   errors: PlatformError.make({
 *     Error: ExampleError,
 *     ...StatusReason.table,
 *     read: ({ text }) => ({ code: text("code"), detail: text("message") })
 *   }),
 *   limits: { perMinute: { requests: 600 }, classOf: () => "requests" }
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as TokenError from "../token/TokenError.ts"
import type { TestCalls, TokenService } from "../token/TokenService.ts"
import type { TokenServiceMap } from "../token/TokenServiceMap.ts"
import { makeExchange, type Operation, type Refusal } from "./shared/authentication.ts"
import type { Clients, Tokens } from "./PlatformServices.ts"
import * as PlatformClient from "./shared/client.ts"
import * as Kit from "./shared/kit.ts"
import type * as Layers from "./shared/layers.ts"
import { type SecretSource, type Server, serverAt } from "./shared/server.ts"

export { makeExchange, serverAt }

export type { Clients, Operation, Refusal, Server, Tokens }

/**
 * A secret: as it is, or an effect that reads it (a `Config`, a vault). The library runs the effect when the layer is built
 * and at each login, so that the secret can change. The services that the effect needs become requirements of the layer.
 *
 * @category models
 * @since 0.1.0
 */
export type Secret<R = never> = SecretSource<R>

/**
 * Secrets by the names of their options.
 *
 * @category models
 * @since 0.1.0
 */
export type Secrets<Names extends string, R = never> = Kit.Secrets<Names, R>

/**
 * Everything that a request can fail with: the platform's own error, no token, or no response.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientError<E> = PlatformClient.ClientError<E>

/**
 * The client of a platform.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client<E> extends PlatformClient.Client<E> {}

/**
 * Makes a client whose calls pass through `f`, with all their retries inside. It is for counting, tracing or mocking calls;
 * combinators that look at single responses belong into `transformClient`.
 *
 * **Example** (Counting calls that fail)
 *
 * ```ts
 * import { Effect, Metric } from "effect"
 * import { ApiVideo, Platform } from "effect-video-auth"
 *
 * const failures = Metric.counter("api_video_failures")
 *
 * export const counting = (api: ApiVideo.ApiVideo["Service"]) =>
 *   Platform.transform(api, (call) => Effect.tapError(call, () => Metric.update(failures, 1)))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const transform: <E>(
  self: Client<E>,
  f: (
    call: Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError<E>>,
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError<E>>
) => Client<E> = PlatformClient.transform

/**
 * Options of every client, around its credential.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions<E> extends PlatformClient.ClientOptions<E> {}

/**
 * How many requests a client sends, by the platform's classes of requests.
 *
 * @category options
 * @since 0.1.0
 */
export interface RateLimits<Class extends string> extends Kit.RateLimits<Class> {}

/**
 * Options of every token.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenOptions extends Layers.TokenOptions {}

/**
 * What a spec answers, in place of the platform.
 *
 * @category options
 * @since 0.1.0
 */
export interface TestOptions extends Layers.TestOptions {}

/**
 * How long each attempt of a request may wait for the headers of its response; `Duration.infinity` for no limit. Uploads
 * have no limit unless you set one. It counts for all platforms.
 *
 * @default 60 seconds
 * @category references
 * @since 0.1.0
 */
export const RequestTimeout: Context.Reference<Duration.Duration | undefined> = PlatformClient.RequestTimeout

/**
 * How a platform issues tokens. `Own` are the platform's own options, and `Names` the names of those that are secrets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Credential<Own, Names extends string> extends Kit.Credential<Own, Names> {}

/**
 * A platform's API. `Class` are the classes of requests that it counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Api<Self, E, Own, Class extends string> extends Kit.Api<Self, E, Own, Class> {}

/**
 * Options from configuration: each may be a `Config`. A secret that is one is read when the layer is built, which stops a
 * start without it, and again at each login.
 *
 * @category options
 * @since 0.1.0
 */
export type ConfigOptions<Options, Names extends string, R = never> = Kit.FromConfig<Options> & Secrets<Names, R>

/**
 * Options of {@link Platform.layerClient}: the platform's own, and those of every client.
 *
 * @category options
 * @since 0.1.0
 */
export type ClientSettings<E, Own, Class extends string> = Own & ClientOptions<E> & RateLimits<Class>

/**
 * Options of {@link Platform.layerToken}: the platform's own, those of every token, and secrets.
 *
 * @category options
 * @since 0.1.0
 */
export type TokenSettings<Own, Names extends string, R> = Own & TokenOptions & Secrets<Names, R>

/**
 * What {@link make} returns.
 *
 * | member | what it is |
 * | --- | --- |
 * | `layer` | the client with its own token, and its `TokenService` under the key `Tokens` |
 * | `layerConfig` | `layer` with options from configuration: every option may be a `Config`. A secret that is one is read when the layer is built, which stops a start without it, and again at each login |
 * | `layerToken`, `layerTokenConfig` | the token alone, as a `TokenService` |
 * | `layerClient` | the client on the `TokenService` of its context |
 * | `layerTest` | the client for specs: no network, no login |
 * | `layerMap`, `clientFor` | many identities: a client for each credential, with the tokens in a `TokenServiceMap` |
 *
 * @category models
 * @since 0.1.0
 */
export interface Platform<Self, E, Place, Own, Names extends string, Class extends string> {
  readonly Tokens: Context.Service<Tokens<Self>, TokenService["Service"]>
  readonly layer: <R = never>(
    options: ClientSettings<E, Place, Class> & TokenSettings<Own, Names, R>
  ) => Layer.Layer<Self | Tokens<Self>, TokenError.TokenError, HttpClient.HttpClient | R>
  readonly layerConfig: <R = never>(
    options: ConfigOptions<ClientSettings<E, Place, Class> & Own & TokenOptions, Names, R>
  ) => Layer.Layer<Self | Tokens<Self>, TokenError.TokenError, HttpClient.HttpClient | R>
  readonly layerToken: <R = never>(
    options: TokenSettings<Own, Names, R>
  ) => Layer.Layer<TokenService, TokenError.TokenError, HttpClient.HttpClient | R>
  readonly layerTokenConfig: <R = never>(
    options: ConfigOptions<Own & TokenOptions, Names, R>
  ) => Layer.Layer<TokenService, TokenError.TokenError, HttpClient.HttpClient | R>
  readonly layerClient: (
    options: ClientSettings<E, Place, Class>
  ) => Layer.Layer<Self | Tokens<Self>, TokenError.TokenError, TokenService | HttpClient.HttpClient>
  readonly layerTest: (
    options: Place & TestOptions
  ) => Layer.Layer<Self | Tokens<Self> | TestCalls, TokenError.TokenError>
  readonly layerMap: (
    options: ClientSettings<E, Place, Class>
  ) => Layer.Layer<Clients<Self>, TokenError.TokenError, TokenServiceMap | HttpClient.HttpClient>
  readonly clientFor: (options: Own & Secrets<Names>) => Effect.Effect<Client<E>, TokenError.TokenError, Clients<Self>>
}

/**
 * What {@link make} is given: how the platform issues tokens, and its API.
 *
 * @category options
 * @since 0.1.0
 */
export interface Definition<Self, E, Place, Own, Names extends string, Class extends string>
  extends Api<Self, E, Place, Class>, Credential<Own, Names> {}

/**
 * Makes a platform's layers. The options of `server` belong to the client, and those of `provider` to the token.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  Self,
  E extends Kit.ApiError,
  Place extends object,
  Names extends string,
  Own extends object = {},
  Class extends string = never
>(
  platform: Definition<Self, E, Place, Own, Names, Class>
): Platform<Self, E, Place, Own, Names, Class> => {
  const clients = Kit.clientsOf<Self, E, Own & Secrets<Names>>(platform.service)
  return {
    Tokens: Kit.tokensOf(platform.service),
    layer: (options) => Kit.layer(platform, platform, options),
    layerConfig: <R>(options: ConfigOptions<ClientSettings<E, Place, Class> & Own & TokenOptions, Names, R>) =>
      Kit.layerConfig<Self, E, Place, Own, Names, Class, R>(platform, platform, options),
    layerToken: (options) => Kit.layerToken(platform, options),
    layerTokenConfig: <R>(options: ConfigOptions<Own & TokenOptions, Names, R>) =>
      Kit.layerTokenConfig<Own, Names, R>(platform, options),
    layerClient: (options) => Kit.layerClient(platform, options),
    layerTest: (options) => Kit.layerTest(platform, options),
    layerMap: (options) =>
      Layer.effect(
        clients,
        Effect.map(
          Kit.makeClients(platform, options),
          (clientOf) => (identity: Own & Secrets<Names>) => clientOf(platform.provider(identity, identity))
        )
      ),
    clientFor: (identity) => clients.use((clientOf) => clientOf(identity))
  }
}
