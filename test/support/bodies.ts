/** A server whose responses are as large, as endless or as oddly encoded as no client wants them. */
import { NodeHttpClient } from "@effect/platform-node"
import { Effect, type Layer } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import type { ServerResponse } from "node:http"
import { listen } from "./listen.ts"

/** Every transport that a program on Node may provide. */
export const transports: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient>>> = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: FetchHttpClient.layer
}

/** One response, and what became of it. */
export interface Served {
  readonly path: string
  /** Bytes of the body that the server has written. */
  sent: number
  /** The client closed the connection before the server was done. */
  isCut: boolean
}

export type Respond = (response: ServerResponse, served: Served) => void

/** After so many bytes a server gives up: a client that reads on without a limit reads all of it. */
export const enough = 96 * 1024 * 1024

/** Writes a chunk again and again, as fast as the client reads, up to a size. */
export const repeat =
  (status: number, headers: Readonly<Record<string, string>>, chunk: Uint8Array | string, size = enough): Respond =>
  (response, served) => {
    response.writeHead(status, headers)
    const write = (): void => {
      while (!response.destroyed) {
        if (served.sent >= size) return void response.end()
        served.sent += chunk.length
        if (!response.write(chunk)) return void response.once("drain", write)
      }
    }
    write()
  }

/** Writes a body at once. */
export const once =
  (status: number, headers: Readonly<Record<string, string>>, body: Uint8Array | string): Respond =>
  (response, served) => {
    served.sent += body.length
    response.writeHead(status, headers).end(body)
  }

/** Serves responses, one for each path. Other paths are 404. */
export const serve = (paths: Readonly<Record<string, Respond>>) =>
  Effect.map(listen, ({ serve, url }) => {
    const ledger: Array<Served> = []
    serve((request, response) => {
      const path = new URL(request.url ?? "", url).pathname
      const served: Served = { path, sent: 0, isCut: false }
      ledger.push(served)
      response.on("close", () => {
        served.isCut = !response.writableFinished
      })
      const respond = paths[path] ?? once(404, {}, "")
      request.resume().on("end", () => respond(response, served))
    })
    return { url, ledger }
  })
