/** api.video as far as an upload needs it, in a process of its own. It discards what it receives, and ends with its parent. */
import { createServer, type ServerResponse } from "node:http"

const answer = (response: ServerResponse, status: number, body: object) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))

const video = { videoId: "vi1", title: "Video" }

/** Bytes of bodies since it was last asked for them. */
let received = 0

const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 }, (request, response) => {
  request.on("data", (chunk: Buffer) => (received += chunk.byteLength))
  request.on("end", () => {
    const { method, url = "" } = request
    if (url === "/received") {
      answer(response, 200, { received })
      received = 0
      return
    }
    if (url.startsWith("/auth/")) {
      return answer(response, 200, { token_type: "Bearer", expires_in: 3600, access_token: "a", refresh_token: "r" })
    }
    if (url.endsWith("/status")) return answer(response, 200, { ingest: { status: "uploading", receivedBytes: [] } })
    return answer(response, method === "POST" ? 201 : 200, video)
  })
})
server.listen(0, "127.0.0.1", () => process.send?.(server.address()))
process.on("disconnect", () => process.exit())
