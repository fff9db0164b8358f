/** What stands between a program and the internet in many a company: a proxy, and TLS with a certificate of its own. */
import { ConfigProvider, Console, Effect, Layer } from "effect"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import { type AddressInfo, connect, type Server, type Socket } from "node:net"
import * as Tls from "node:tls"
import { sandbox } from "./server.ts"

const pem = readFileSync(new URL("../../test/fixtures/self-signed-test-only.pem", import.meta.url), "utf8")

const joined = (from: Socket, to: Socket) => {
  for (const socket of [from, to]) socket.on("error", () => [from, to].map((socket) => socket.destroy()))
  from.pipe(to)
  to.pipe(from)
}

const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close())
  )

/**
 * Starts both in front of the server. `APIVIDEO_BASE_URL` can be had only through `HTTPS_PROXY`, by those who trust
 * `COMPANY_CA`.
 */
export const company = ConfigProvider.layerAdd(
  Effect.gen(function* () {
    const { url } = yield* ApiVideoSandbox.ApiVideoSandbox
    const tls = yield* listening(
      Tls.createServer({ key: pem, cert: pem }, (socket) =>
        joined(socket, connect(Number(new URL(url).port), "127.0.0.1"))
      )
    )
    const proxy = Http.createServer((_request, response) => response.writeHead(405).end())
    let tunnels = 0
    proxy.on("connect", (_request: Http.IncomingMessage, client: Socket) => {
      tunnels += 1
      // A name that only the proxy can resolve: whatever comes is for the one server behind.
      const upstream = connect(tls, "127.0.0.1")
      client.write("HTTP/1.1 200 Connection established\r\n\r\n")
      joined(client, upstream)
    })
    const port = yield* listening(proxy)
    yield* Effect.addFinalizer(() => Console.log(`tunnels: ${tunnels}`))
    return ConfigProvider.fromUnknown({
      APIVIDEO_BASE_URL: "https://localhost",
      HTTPS_PROXY: `http://127.0.0.1:${port}`,
      COMPANY_CA: pem.slice(pem.indexOf("-----BEGIN CERTIFICATE"))
    })
  }),
  { asPrimary: true }
).pipe(Layer.provide(sandbox()))
