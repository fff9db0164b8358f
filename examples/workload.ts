/** A workload without a secret: the platform replaces the token in a file, and each exchange reads the current one. */
import { NodeFileSystem, NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { OAuth2, TokenService } from "effect-video-auth"
import { createServer } from "node:http"

/** Stands in for Kubernetes, which projects a token into a pod and replaces it before it expires. */
const projectToken = (path: string, name: string) =>
  Effect.flatMap(FileSystem.FileSystem, (files) => files.writeFileString(path, `${name}\n`))

/** Stands in for the authorization server, which trusts the tokens of the cluster. */
const ServerLive = HttpRouter.serve(
  HttpRouter.add(
    "POST",
    "/token",
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const form = new URLSearchParams(yield* request.text)
      yield* Console.log(`${form.get("client_id")} authenticates with`, form.get("client_assertion"))
      return HttpServerResponse.jsonUnsafe({ access_token: "token-for-videos", token_type: "Bearer", expires_in: 300 })
    })
  ),
  { disableLogger: true, disableListenLog: true }
).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })))

const program = Effect.gen(function* () {
  const issuer = yield* HttpServer.addressFormattedWith(Effect.succeed)
  const files = yield* FileSystem.FileSystem
  const path = `${yield* files.makeTempDirectoryScoped()}/token`
  yield* projectToken(path, "the first projected token")
  const TokenLive = OAuth2.layerToken(
    OAuth2.clientCredentials({
      issuer,
      discovery: { token_endpoint: `${issuer}/token` },
      clientId: "my-service",
      authentication: {
        method: "client_assertion",
        assertion: OAuth2.secretFile(path).pipe(Effect.provide(NodeFileSystem.layer))
      }
    })
  )
  yield* Effect.gen(function* () {
    const tokens = yield* TokenService.TokenService
    yield* projectToken(path, "the second projected token")
    yield* tokens.renew
  }).pipe(Effect.provide(TokenLive))
})

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(ServerLive, NodeHttpClient.layerUndici, NodeFileSystem.layer)),
  NodeRuntime.runMain
)
