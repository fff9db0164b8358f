/** An imaginary platform: an OAuth 2 token endpoint, and an API that wants its tokens. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ConfigProvider, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

const basic = `Basic ${btoa("demo:your_client_secret")}`

const platform = Effect.sync(() => {
  let issued = 0
  const isCurrent = (token: string | null | undefined, kind: string) => token === `${kind}-${issued}`

  const token = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const form = new URLSearchParams(yield* request.text)
    if (request.headers["authorization"] !== basic) {
      return HttpServerResponse.jsonUnsafe({ error: "invalid_client" }, { status: 401 })
    }
    if (form.get("grant_type") === "refresh_token" && !isCurrent(form.get("refresh_token"), "refresh")) {
      return HttpServerResponse.jsonUnsafe({ error: "invalid_grant" }, { status: 400 })
    }
    issued += 1
    return HttpServerResponse.jsonUnsafe({
      access_token: `access-${issued}`,
      refresh_token: `refresh-${issued}`,
      token_type: "bearer",
      expires_in: 300
    })
  })

  const reports = Effect.gen(function* () {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    return isCurrent(headers["authorization"], "Bearer access")
      ? HttpServerResponse.jsonUnsafe({ reports: ["May", "June"] })
      : HttpServerResponse.empty({ status: 401 })
  })

  return Layer.mergeAll(HttpRouter.add("POST", "/oauth/token", token), HttpRouter.add("GET", "/reports", reports))
})

/** Starts it, and sets `EXAMPLE_BASE_URL`, `EXAMPLE_CLIENT_ID` and `EXAMPLE_CLIENT_SECRET`. */
export const oauth = ConfigProvider.layer(
  HttpServer.addressFormattedWith((url) =>
    Effect.succeed(
      ConfigProvider.fromUnknown({
        EXAMPLE_BASE_URL: url,
        EXAMPLE_CLIENT_ID: "demo",
        EXAMPLE_CLIENT_SECRET: "your_client_secret"
      })
    )
  )
).pipe(
  Layer.provideMerge(HttpRouter.serve(Layer.unwrap(platform), { disableLogger: true, disableListenLog: true })),
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)
