/**
 * The upload endpoints of api.video, made unreliable. It keeps the bytes that it accepts, so that a test can compare them
 * with the file, and refuses what the documentation says is refused. It shares no code with the sandbox.
 */
import * as http from "node:http"
import type { AddressInfo } from "node:net"

/** What may happen to the request for a part. */
export type Fault =
  /** The connection breaks before the body has arrived. */
  | "cut"
  /** The part is stored, and the connection breaks instead of a response. */
  | "lost"
  /** Nothing is read any more. */
  | "stall"
  | 401
  | 429
  | 503

interface Stored {
  readonly from: number
  readonly to: number
  readonly bytes: Buffer
}

interface Video {
  /** The fields that it was created with. */
  readonly fields: object
  readonly metadata: ReadonlyArray<{ readonly key: string; readonly value: string }>
  readonly parts: Array<Stored>
  total: number | undefined
  /** How many numbered parts there are, once the last one has said so. */
  numbered: number | undefined
}

/** The file in a multipart body: `Content-Disposition` comes last in the head of its part. */
const fileOf = (body: Buffer): Buffer => {
  const head = body.indexOf("\r\n\r\n", body.indexOf('name="file"'))
  return body.subarray(head + 4, body.lastIndexOf("\r\n--"))
}

const fieldOf = (body: Buffer, name: string): string | undefined =>
  new RegExp(`name="${name}"\\r\\n\\r\\n([^\\r]*)\\r\\n`).exec(body.toString("latin1"))?.[1]

/**
 * Starts the server. `next` draws what happens to each request for a part; `undefined` is nothing. `onStep` is called when a
 * request begins, when a piece of its body arrives, and before and after its response.
 */
export const start = async (
  next: () => Fault | undefined,
  loseCreation: () => boolean = () => false,
  onStep: () => void = () => {}
) => {
  const videos = new Map<string, Video>()
  const counts = { parts: 0, creations: 0, refusedOverlaps: 0 }
  const sockets = new Set<http.IncomingMessage["socket"]>()

  const answer = (response: http.ServerResponse, status: number, json: object) => {
    response.writeHead(status, { "content-type": "application/json" })
    response.end(JSON.stringify(json))
  }
  const problem = (response: http.ServerResponse, status: number, slug: string) =>
    answer(response, status, { type: `https://docs.api.video/reference/${slug}`, title: slug, status })

  const store = (videoId: string, range: string | undefined, bytes: Buffer): string | undefined => {
    const video = videos.get(videoId)
    if (video === undefined) return "resource-not-found"
    const size = video.parts.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
    if (video.total === size && size > 0) return "video-source-already-uploaded"
    const [, number, count] = /^part (\d+)\/(\d+|\*)$/.exec(range ?? "") ?? []
    if (number !== undefined) {
      if (video.parts.some(({ from }) => from === Number(number))) {
        counts.refusedOverlaps++
        return "video-content-range-by-part-part-already-sent"
      }
      video.parts.push({ from: Number(number), to: Number(number), bytes })
      if (count !== "*") video.numbered = Number(count)
      return undefined
    }
    const [, from, to, total] =
      /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range ?? `bytes 0-${bytes.byteLength - 1}/${bytes.byteLength}`) ?? []
    const part = { from: Number(from), to: Number(to), bytes }
    if (part.to - part.from + 1 !== bytes.byteLength) return "video-content-range-by-bytes-range-mismatch"
    if (video.parts.some((other) => other.from <= part.to && part.from <= other.to)) {
      counts.refusedOverlaps++
      return "video-content-range-by-bytes-range-overlap"
    }
    video.total = Number(total)
    video.parts.push(part)
    return undefined
  }

  const handle = (request: http.IncomingMessage, response: http.ServerResponse, body: Buffer) => {
    const url = new URL(request.url ?? "", "http://localhost")
    const [, , videoId = "", sub] = url.pathname.split("/")
    if (url.pathname.startsWith("/auth/")) {
      return answer(response, 200, {
        access_token: crypto.randomUUID(),
        refresh_token: crypto.randomUUID(),
        token_type: "Bearer",
        expires_in: 3600
      })
    }
    if (request.method === "POST" && url.pathname === "/videos") {
      counts.creations++
      const created = `vi${counts.creations}`
      const fields = JSON.parse(body.toString())
      videos.set(created, {
        fields,
        metadata: fields.metadata ?? [],
        parts: [],
        total: undefined,
        numbered: undefined
      })
      if (loseCreation()) return request.socket.destroy()
      return answer(response, 201, { videoId: created })
    }
    if (request.method === "GET" && url.pathname === "/videos") {
      const wanted = [...url.searchParams].flatMap(([name, value]) => {
        const key = /^metadata\[(.+)\]$/.exec(name)?.[1]
        return key === undefined ? [] : [{ key, value }]
      })
      const data = [...videos].flatMap(([videoId, { fields, metadata }]) =>
        wanted.every((one) => metadata.some(({ key, value }) => key === one.key && value === one.value))
          ? [{ ...fields, videoId }]
          : []
      )
      return answer(response, 200, { data, pagination: { currentPage: 1, pagesTotal: 1, itemsTotal: data.length } })
    }
    if (url.pathname === "/upload") {
      const given = fieldOf(body, "videoId")
      const target = given ?? `vi${++counts.creations}`
      if (given === undefined)
        videos.set(target, { fields: {}, metadata: [], parts: [], total: undefined, numbered: undefined })
      const slug = store(target, request.headers["content-range"], fileOf(body))
      return slug === undefined ? answer(response, 201, { videoId: target }) : problem(response, 400, slug)
    }
    const video = videos.get(videoId)
    if (video === undefined) return problem(response, 404, "resource-not-found")
    if (sub === "status") {
      const size = video.parts.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
      const isWhole = size > 0 && (size === video.total || video.parts.length === video.numbered)
      return answer(response, 200, {
        ingest: {
          status: isWhole ? "uploaded" : "uploading",
          receivedBytes: isWhole ? [] : video.parts.map(({ from, to }) => ({ from, to, total: video.total }))
        }
      })
    }
    if (sub === "source") {
      const slug = store(videoId, request.headers["content-range"], fileOf(body))
      return slug === undefined ? answer(response, 201, { videoId }) : problem(response, 400, slug)
    }
    return answer(response, 200, { videoId })
  }

  const server = http.createServer((request, response) => {
    const isPart = /\/source$|^\/upload/.test(request.url ?? "")
    const fault = isPart ? next() : undefined
    onStep()
    if (isPart) counts.parts++
    if (fault === "stall") return request.pause()
    if (fault === "cut") return request.once("data", () => request.socket.destroy())
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      onStep()
    })
    response.on("finish", onStep)
    request.on("end", () => {
      if (fault === 401) return problem(response, 401, "authentication-invalid-access-token")
      if (fault === 503) return problem(response, 503, "unavailable")
      if (fault === 429) {
        response.setHeader("retry-after", "0")
        return problem(response, 429, "too-many-requests")
      }
      if (fault === "lost") response.end = () => request.socket.destroy() && response
      onStep()
      handle(request, response, Buffer.concat(chunks))
    })
    request.on("error", () => undefined)
  })
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    /** The bytes of a video in their order, and whether none is missing. */
    sourceOf: (videoId: string): Buffer => {
      const { parts = [] } = videos.get(videoId) ?? {}
      return Buffer.concat(parts.toSorted((a, b) => a.from - b.from).map(({ bytes }) => bytes))
    },
    /** Deletes a video. */
    remove: (videoId: string) => videos.delete(videoId),
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }
}
