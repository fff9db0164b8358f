/**
 * What an operator looks at: `/metrics` for Prometheus, `/ready` for a load balancer, and traces, metrics and logs by OTLP
 * where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector. Until Ctrl-C.
 */
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, ConfigProvider, Effect, Layer, Schema } from "effect"
import { HttpClientResponse, HttpMiddleware, HttpRouter, HttpServerResponse } from "effect/http"
import { Otlp, OtlpSerialization, PrometheusMetrics } from "effect/observability"
import { ApiVideo, Observability, TokenService } from "effect-video-auth"
import { createServer } from "node:http"
import { server } from "./support/server.ts"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ title: Schema.String })) })

const titles = HttpRouter.add(
  "GET",
  "/titles",
  Effect.gen(function* () {
    const api = yield* ApiVideo.ApiVideo
    const { data } = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Videos))
    return HttpServerResponse.jsonUnsafe(data.map(({ title }) => title))
  })
)

const ready = HttpRouter.add(
  "GET",
  "/ready",
  Effect.gen(function* () {
    const tokens = yield* TokenService.TokenService
    const { lastFailure, phase } = yield* tokens.state
    const status = phase === "valid" || phase === "renewing" ? 200 : 503
    return HttpServerResponse.jsonUnsafe({ phase, lastFailure: lastFailure?.reason._tag }, { status })
  })
)

// The server starts during the first login. If that fails, the schedule tries again.
const login = Layer.effectDiscard(
  Effect.gen(function* () {
    const tokens = yield* TokenService.TokenService
    yield* Effect.forkScoped(Effect.exit(tokens.get))
  })
)

const ApiVideoLive = Layer.unwrap(
  Effect.gen(function* () {
    const baseUrl = yield* Config.String("APIVIDEO_BASE_URL")
    const token = ApiVideo.layerToken({ apiKey: Config.Redacted("APIVIDEO_API_KEY"), baseUrl, eager: false })
    return Layer.provideMerge(ApiVideo.layerClient({ baseUrl }), token)
  })
).pipe(Layer.provide([Observability.layerMetrics, Observability.layerLogging]), Layer.provide(server))

// OpenTelemetry's other variables work as well: headers, intervals, compression. Without an endpoint, nothing is exported.
const OtlpLive = Otlp.layerFromConfig({ resource: { serviceName: "titles" } }).pipe(
  Layer.provide(OtlpSerialization.layerJson),
  Layer.provide(
    ConfigProvider.layerAdd(
      ConfigProvider.fromUnknown({
        OTEL_TRACES_EXPORTER: "otlp",
        OTEL_METRICS_EXPORTER: "otlp",
        OTEL_LOGS_EXPORTER: "otlp"
      })
    )
  )
)

const ServerLive = NodeHttpServer.layerConfig(createServer, {
  host: Config.succeed("127.0.0.1"),
  port: Config.withDefault(Config.Int("PORT"), 9464)
})

HttpRouter.serve(Layer.mergeAll(titles, ready, login, PrometheusMetrics.layerHttp()), { disableLogger: true }).pipe(
  Layer.provide(ApiVideoLive),
  Layer.provide(HttpMiddleware.layerTracerDisabledForUrls(["/metrics", "/ready"])),
  Layer.provide(OtlpLive),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.provide(ServerLive),
  Layer.launch,
  NodeRuntime.runMain
)
