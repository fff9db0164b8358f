/** Scenario 12 in the process of one subject: uploads one file, and measures what that takes. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import ApiVideoClient from "@api.video/nodejs-client"
import { Effect, FileSystem, Layer, ManagedRuntime, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { execFile } from "node:child_process"
import { createReadStream, mkdtempSync, openAsBlob, rmSync, statSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import * as ApiVideo from "../../src/api-video/ApiVideo.ts"
import * as Uploads from "../../src/api-video/Uploads.ts"
import { apiKey } from "../server/platform.ts"
import { answer } from "./answer.ts"

export interface Question {
  readonly path: string
}

export interface Answer {
  readonly seconds: number
  /** Seconds of CPU. */
  readonly cpu: number
  /** Bytes of RSS at the most, beyond those before the upload; `undefined` where another process uploads. */
  readonly memory: number | undefined
}

const mebibyte = 1024 * 1024
export const chunkSize = 50 * mebibyte
/** Of a stream: so large that it outweighs what a process takes anyway. */
export const stream = { chunkSize: 64 * mebibyte, concurrency: 2 }
const readSize = 256 * 1024

const [subject = "", url = ""] = process.argv.slice(2)

type Upload = (path: string) => Promise<void>

const withLibrary = async (http: typeof NodeHttpClient.layerUndici, isStream = false): Promise<Upload> => {
  const runtime = ManagedRuntime.make(
    Layer.mergeAll(
      ApiVideo.layer({ apiKey: Redacted.make(apiKey), baseUrl: url, rateLimits: false }).pipe(Layer.provide(http)),
      NodeServices.layer
    )
  )
  await runtime.runPromise(Effect.void)
  const upload = (path: string) =>
    isStream
      ? Uploads.upload(
          Stream.unwrap(FileSystem.FileSystem.use((fs) => Effect.succeed(fs.stream(path, { chunkSize: readSize })))),
          stream
        )
      : Uploads.upload(path, { chunkSize })
  return async (path) => void (await runtime.runPromise(upload(path)))
}

/** `createReadStream().pipe(http.request)`, in parts of the same size. */
const bare: Upload = async (path) => {
  const { size } = statSync(path)
  for (let start = 0; start < size; start += chunkSize) {
    const end = Math.min(size, start + chunkSize) - 1
    await new Promise<void>((resolve, reject) => {
      const part = request(`${url}/videos/vi1/source`, {
        method: "POST",
        headers: { "content-length": end - start + 1, "content-range": `bytes ${start}-${end}/${size}` }
      })
      part.on("response", (response) => response.resume().on("end", resolve)).on("error", reject)
      createReadStream(path, { start, end, highWaterMark: readSize }).pipe(part)
    })
  }
}

const officialClient: Upload = async (path) => {
  const client = new ApiVideoClient({ apiKey, baseUri: url, chunkSize })
  await client.videos.upload("vi1", path)
}

/**
 * The uploader of pages, in Node: `XMLHttpRequest` is one on `fetch` here, without progress, and the file is read as the parts
 * of a `Blob` are. So it is the uploader's own work, and not a browser's.
 */
const officialUploader = async (): Promise<Upload> => {
  class XMLHttpRequest {
    readonly upload = {}
    readyState = 0
    status = 0
    response = ""
    onload: () => void = () => {}
    onreadystatechange: () => void = () => {}
    onerror: (error: unknown) => void = () => {}
    readonly #headers: Record<string, string> = {}
    #target = ""

    open(_method: string, target: string) {
      this.#target = target.replace(/^https:\/\/[^/]+/, url)
    }
    setRequestHeader(name: string, value: string) {
      this.#headers[name] = value
    }
    send(body: FormData) {
      fetch(this.#target, { method: "POST", headers: this.#headers, body }).then(async (response) => {
        this.status = response.status
        this.response = await response.text()
        this.readyState = 4
        this.onreadystatechange()
        this.onload()
      }, this.onerror)
    }
  }
  Object.assign(globalThis, { window: { XMLHttpRequest } })
  const { VideoUploader } = (await import("@api.video/video-uploader")).default
  return async (path) => {
    const file = new File([await openAsBlob(path)], "video.mp4")
    await new VideoUploader({ file, videoId: "vi1", accessToken: "a", chunkSize }).upload()
  }
}

/** One request with the whole file. */
const curl = async (path: string): Promise<Answer> => {
  const command = 'TIMEFORMAT="%R %U %S"; time curl -s -o /dev/null -F "file=@$0" "$1/videos/vi1/source"'
  const { stderr } = await promisify(execFile)("bash", ["-c", command, path, url])
  const [seconds = 0, user = 0, system = 0] = stderr.trim().split(" ").map(Number)
  return { seconds, cpu: user + system, memory: undefined }
}

const uploads: Readonly<Record<string, () => Promise<Upload>>> = {
  undici: () => withLibrary(NodeHttpClient.layerUndici),
  "node:http": () => withLibrary(NodeHttpClient.layerNodeHttp),
  fetch: () => withLibrary(FetchHttpClient.layer),
  stream: () => withLibrary(NodeHttpClient.layerUndici, true),
  bare: async () => bare,
  "@api.video/nodejs-client": async () => officialClient,
  "@api.video/video-uploader": officialUploader
}

const upload = await uploads[subject]?.()

/** Loads what is loaded with the first upload: that is not what a file of 4 GiB costs. */
const warmUp = async () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-upload-"))
  const path = join(folder, "small.mp4")
  writeFileSync(path, new Uint8Array(mebibyte))
  await upload?.(path)
  rmSync(folder, { recursive: true })
}

answer<Question, Answer>(async ({ path }) => {
  if (upload === undefined) return curl(path)
  await warmUp()
  const idle = process.memoryUsage.rss()
  let peak = idle
  // The most that the system has seen includes the start of the process, so it is sampled.
  const sampling = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 10)
  const before = process.cpuUsage()
  const since = performance.now()
  await upload(path)
  const seconds = (performance.now() - since) / 1_000
  const { system, user } = process.cpuUsage(before)
  clearInterval(sampling)
  return { seconds, cpu: (system + user) / 1e6, memory: peak - idle }
})
