/** The Effect clients of scenario 7: ours with its options, ours in part, and Effect's own. */
import { Context, Duration, Effect, flow, Layer, Redacted } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as ApiVideo from "../../src/api-video/ApiVideo.ts"
import * as Platform from "../../src/platform/Platform.ts"
import * as BearerClient from "../../src/platform/BearerClient.ts"
import * as RenewalPolicy from "../../src/token/RenewalPolicy.ts"
import * as TokenService from "../../src/token/TokenService.ts"
import { apiKey } from "../server/platform.ts"

type Response = Effect.Effect<HttpClientResponse.HttpClientResponse, unknown>

/** `GET /videos`, by whatever client. */
export class Videos extends Context.Service<Videos, { readonly list: Response }>()("bench/Videos") {}

const videosOf = <E>(client: Pick<HttpClient.HttpClient.With<E>, "get">) =>
  Videos.of({ list: Effect.suspend(() => client.get("/videos")) })

/** A client of a platform at `baseUrl`, where `authorization` is a header that works. */
type Client = (baseUrl: string, authorization: string) => Layer.Layer<Videos, unknown, HttpClient.HttpClient>

/** References are in force for all that is done with the client. */
const under =
  (references: Layer.Layer<never>, client: Client): Client =>
  (baseUrl, authorization) =>
    Layer.merge(client(baseUrl, authorization), references)

const noSpans = Layer.succeed(HttpClient.TracerDisabledWhen, () => true)
const noTraceHeaders = Layer.succeed(HttpClient.TracerPropagationEnabled, false)
const noTimeout = Layer.succeed(Platform.RequestTimeout, Duration.infinity)

const withHeader = (authorization: string) =>
  HttpClient.mapRequest(HttpClientRequest.setHeader("authorization", authorization))

const apiVideo =
  (options: Partial<ApiVideo.Options> = {}): Client =>
  (baseUrl) =>
    Layer.effect(Videos, Effect.map(ApiVideo.ApiVideo, videosOf)).pipe(
      Layer.provide(ApiVideo.layer({ baseUrl, apiKey: Redacted.make(apiKey), rateLimits: false, ...options }))
    )

/** All of `ApiVideo` but the token: the program sets a header that never changes. */
const withoutToken: Client = (baseUrl, authorization) =>
  Layer.effect(
    Videos,
    Effect.map(ApiVideo.ApiVideo, (client) => videosOf(client))
  ).pipe(
    Layer.provide(ApiVideo.layerAnonymous({ baseUrl, rateLimits: false, transformClient: withHeader(authorization) }))
  )

const based = (url: string) =>
  HttpClient.mapRequest(flow(HttpClientRequest.prependUrl(url), HttpClientRequest.acceptJson))

/** Effect's client by itself, with a header that never changes. */
const plain: Client = (baseUrl, authorization) =>
  Layer.effect(
    Videos,
    Effect.map(HttpClient.HttpClient, (client) => videosOf(client.pipe(based(baseUrl), withHeader(authorization))))
  )

/** The same with a timeout, as a program would add one. */
const plainWithTimeout: Client = (baseUrl, authorization) =>
  Layer.effect(
    Videos,
    Effect.map(HttpClient.HttpClient, (client) =>
      videosOf(
        client.pipe(based(baseUrl), withHeader(authorization), HttpClient.transformResponse(Effect.timeout("1 minute")))
      )
    )
  )

/** Effect's client with a token that is kept valid: the engine and `BearerClient`, and nothing else of ours. */
const bearer: Client = (baseUrl) =>
  Layer.effect(
    Videos,
    Effect.gen(function* () {
      const tokens = yield* TokenService.TokenService
      const client = based(baseUrl)(yield* HttpClient.HttpClient)
      return videosOf(BearerClient.make(tokens, { origins: [baseUrl] })(client))
    })
  ).pipe(Layer.provide(ApiVideo.layerToken({ baseUrl, apiKey: Redacted.make(apiKey) })))

export const clients: Readonly<Record<string, Client>> = {
  ours: apiVideo(),
  "on-demand": apiVideo({ policy: RenewalPolicy.onDemand }),
  rateLimits: apiVideo({ rateLimits: { uploads: 1e9, writes: 1e9, reads: 1e9 } }),
  "no retry": apiVideo({ retry: false }),
  "no timeout": under(noTimeout, apiVideo()),
  "no spans": under(noSpans, apiVideo()),
  "without token": withoutToken,
  "BearerClient.make": bearer,
  "Effect HttpClient": plain,
  "Effect HttpClient, Effect.timeout": plainWithTimeout,
  "Effect HttpClient, no spans": under(noSpans, plain),
  "Effect HttpClient, no trace headers": under(noTraceHeaders, plain)
}
