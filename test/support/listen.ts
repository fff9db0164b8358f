import { Effect, type Scope } from "effect"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"

export interface Listening {
  /** Without a slash at its end. */
  readonly url: string
  readonly serve: (listener: RequestListener) => void
}

/** Takes a free port on loopback until the scope ends. Who answers is said afterwards, as that may need the URL. */
export const listen: Effect.Effect<Listening, never, Scope.Scope> = Effect.acquireRelease(
  Effect.callback<Listening & { readonly close: () => void }>((resume) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      const serve = (listener: RequestListener) => void server.on("request", listener)
      const close = () => server.close().closeAllConnections()
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, serve, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)
