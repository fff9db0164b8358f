/**
 * `@api.video/video-uploader` against the sandbox. It runs in browsers; here `XMLHttpRequest` is one on `fetch`, which sends
 * to the sandbox what the uploader sends to `https://HOST`, because it can speak nothing but https.
 */
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { bytes, startSandbox } from "./support.mjs"

let sandbox

class XMLHttpRequest {
  upload = {}
  readyState = 0
  status = 0
  response = ""
  #headers = {}
  #abort = new AbortController()

  open(method, url) {
    this.method = method
    this.url = url.replace(/^https:\/\/[^/]+/, sandbox.url)
  }
  setRequestHeader(name, value) {
    this.#headers[name] = value
  }
  abort() {
    this.#abort.abort()
  }
  async send(body) {
    const { method, url } = this
    try {
      const response = await fetch(url, { method, headers: this.#headers, body, signal: this.#abort.signal })
      this.response = await response.text()
      this.status = response.status
    } catch {
      if (!this.#abort.signal.aborted) this.onerror?.({})
      return
    }
    const size = [...(body instanceof FormData ? body.values() : [])].reduce((sum, value) => sum + (value.size ?? 0), 0)
    this.upload.onprogress?.({ loaded: size, total: size })
    this.readyState = 4
    this.onreadystatechange?.({})
    this.onload?.({})
  }
}

globalThis.window = { XMLHttpRequest }
const { ProgressiveUploader, UploaderStaticWrapper, VideoUploader } = (await import("@api.video/video-uploader"))
  .default

const mebibyte = 1024 * 1024
const apiKey = "your_api_key"

const call = async (path, method, body) => {
  const response = await fetch(`${sandbox.url}${path}`, {
    method,
    headers: { authorization: `Basic ${btoa(`${apiKey}:`)}`, "content-type": "application/json" },
    body: JSON.stringify(body)
  })
  return response.json()
}
const login = async () => {
  const { access_token: accessToken, refresh_token: refreshToken } = await call("/auth/api-key", "POST", { apiKey })
  return { accessToken, refreshToken }
}
const video = async () => (await call("/videos", "POST", { title: "Film" })).videoId
const uploadToken = async () => (await call("/upload-tokens", "POST", {})).token
const isWhole = async (videoId) => {
  const { ingest } = await call(`/videos/${videoId}/status`, "GET")
  assert.ok(["uploaded", "ingesting", "ingested"].includes(ingest.status), ingest.status)
}
const film = (size) => new File([bytes(size)], "film.mp4", { type: "video/mp4" })

const credentials = {
  "an API key": async () => ({ apiKey, videoId: await video() }),
  "an access token": async () => ({ ...(await login()), videoId: await video() }),
  "an upload token": async () => ({ uploadToken: await uploadToken() }),
  "an upload token and a videoId": async () => ({ uploadToken: await uploadToken(), videoId: await video() })
}

describe("@api.video/video-uploader 1.1.6", () => {
  before(async () => {
    sandbox = await startSandbox()
  })
  after(() => sandbox?.stop())

  for (const [name, credential] of Object.entries(credentials)) {
    it(`uploads a small file with ${name}`, async () => {
      const options = await credential()
      const { videoId } = await new VideoUploader({ ...options, file: film(1000) }).upload()
      assert.equal(videoId, options.videoId ?? videoId)
      await isWhole(videoId)
    })

    it(`uploads a file in chunks with ${name}`, async () => {
      const options = await credential()
      const uploader = new VideoUploader({ ...options, file: film(11 * mebibyte), chunkSize: 5 * mebibyte })
      const progress = []
      uploader.onProgress(({ currentChunk, uploadedBytes }) => progress.push([currentChunk, uploadedBytes]))
      const { videoId } = await uploader.upload()
      assert.equal(videoId, options.videoId ?? videoId)
      assert.deepEqual(progress, [
        [1, 5 * mebibyte],
        [2, 10 * mebibyte],
        [3, 11 * mebibyte]
      ])
      await isWhole(videoId)
    })

    it(`uploads progressively with ${name}`, async () => {
      const options = await credential()
      const uploader = new ProgressiveUploader({ ...options, videoName: "film.mp4" })
      // The uploader merges parts until they have 5 MiB.
      await uploader.uploadPart(film(3 * mebibyte))
      await uploader.uploadPart(film(3 * mebibyte))
      const { videoId } = await uploader.uploadLastPart(film(1000))
      assert.equal(videoId, options.videoId ?? videoId)
      await isWhole(videoId)
    })
  }

  it("holds back a part, so that the last one is not empty", async () => {
    const uploader = new ProgressiveUploader({ uploadToken: await uploadToken(), preventEmptyParts: true })
    await uploader.uploadPart(film(5 * mebibyte))
    await uploader.uploadPart(film(5 * mebibyte))
    const { videoId } = await uploader.uploadLastPart(new Blob([]))
    await isWhole(videoId)
  })

  it("refreshes an access token that was revoked", async () => {
    const options = await credentials["an access token"]()
    await sandbox.revokeAccessTokens()
    const { videoId } = await new VideoUploader({ ...options, file: film(1000) }).upload()
    await isWhole(videoId)
  })

  it("repeats a request that got a 503", async () => {
    const options = await credentials["an upload token"]()
    await sandbox.inject({ on: "api", kind: { _tag: "Status", status: 503 } })
    await new VideoUploader({ ...options, file: film(1000), retryStrategy: () => 1 }).upload()
  })

  it("shows the problem of a refusal", async () => {
    const uploader = new VideoUploader({ uploadToken: "unknown", file: film(1000) })
    await assert.rejects(uploader.upload(), ({ status, title }) => {
      assert.deepEqual([status, title], [401, "The upload token is invalid or expired."])
      return true
    })
  })

  it("ends when it is cancelled", async () => {
    await sandbox.inject({ on: "api", kind: { _tag: "Hang" } })
    const uploader = new VideoUploader({ apiKey, videoId: "vi1", file: film(1000) })
    const ended = assert.rejects(uploader.upload(), ({ reason }) => reason === "ABORTED")
    const arrived = async () => {
      const { entries } = await sandbox.ledger()
      if (entries.at(-1)?.fault !== "Hang") await new Promise(setImmediate).then(arrived)
    }
    await arrived()
    uploader.cancel()
    await ended
  })

  it("says when the video is playable", async () => {
    const uploader = new VideoUploader({ ...(await credentials["an API key"]()), file: film(1000) })
    const playable = new Promise((resolve) => uploader.onPlayable(resolve))
    const { videoId } = await uploader.upload()
    assert.equal((await playable).videoId, videoId)
  })

  it("has static functions for other languages", async () => {
    const progress = []
    const note = (part) => progress.push(part)
    UploaderStaticWrapper.setApplicationName("app", "1.0.0")
    UploaderStaticWrapper.setSdkName("sdk", "1.0.0")
    UploaderStaticWrapper.setChunkSize(5)
    const byToken = JSON.parse(
      await UploaderStaticWrapper.uploadWithUploadToken(film(6 * mebibyte), await uploadToken(), "Film", note)
    )
    await isWhole(byToken.videoId)
    assert.deepEqual(progress.at(-1), 1)
    const videoId = await video()
    await UploaderStaticWrapper.uploadWithApiKey(film(1000), apiKey, note, videoId)
    await isWhole(videoId)
    const byKey = await video()
    UploaderStaticWrapper.createProgressiveUploadWithApiKeySession("a", apiKey, byKey)
    UploaderStaticWrapper.createProgressiveUploadWithUploadTokenSession("b", await uploadToken(), await video())
    const inSession = async (session) => {
      await UploaderStaticWrapper.uploadPart(session, film(5 * mebibyte), note)
      await isWhole(JSON.parse(await UploaderStaticWrapper.uploadLastPart(session, film(1000), note)).videoId)
      UploaderStaticWrapper.disposeProgressiveUploadSession(session)
    }
    await inSession("a")
    await inSession("b")
    UploaderStaticWrapper.cancelAll()
    const { entries } = await sandbox.ledger()
    assert.equal(
      entries.findLast(({ path }) => path === `/videos/${byKey}/source`).headers["av-origin-app"],
      "app:1.0.0"
    )
  })
})
