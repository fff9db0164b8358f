/** `GET /readyz` for a load balancer: 200 while a valid token is held, and otherwise 503 with the reason. */
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { ApiVideo, TokenService } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { createServer } from "node:http"
import { sandbox } from "./support/server.ts"

const readyz = HttpRouter.add(
  "GET",
  "/readyz",
  Effect.gen(function* () {
    const tokens = yield* TokenService.TokenService
    // The state contains no secret. Reading it sends nothing and doesn't wait.
    const { lastFailure, phase } = yield* tokens.state
    const status = phase === "valid" || phase === "renewing" ? 200 : 503
    return HttpServerResponse.jsonUnsafe({ phase, lastFailure: lastFailure?.reason._tag }, { status })
  })
)

const program = Effect.gen(function* () {
  const probe = Effect.gen(function* () {
    const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
    const response = yield* HttpClient.get(`${address}/readyz`)
    yield* Console.log(response.status, yield* response.json)
  })
  const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
  yield* probe
  // From now on every renewal fails. The held token is valid for a while.
  yield* sandbox.removeKey("your_api_key")
  yield* probe
  yield* Effect.sleep("4 seconds")
  yield* probe
})

const TokenLive = Layer.unwrap(
  Effect.gen(function* () {
    const baseUrl = yield* Config.String("APIVIDEO_BASE_URL")
    return ApiVideo.layerToken({ apiKey: Config.Redacted("APIVIDEO_API_KEY"), baseUrl })
  })
)

program.pipe(
  Effect.provide(
    HttpRouter.serve(readyz, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(TokenLive),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
      Layer.provideMerge(NodeHttpClient.layerUndici),
      Layer.provideMerge(sandbox({ accessTokenLifetime: "4 seconds" }))
    )
  ),
  NodeRuntime.runMain
)
