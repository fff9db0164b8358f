/** Uploads to the sandbox of movingimage: chunks, faults, the journal, and what is refused. */
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Result, Schedule, type Scope, Stream } from "effect"
import { HttpClient } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { MovingImage, type UploadOptions, Uploads } from "effect-video-auth/moving-image"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const KiB = 1024
const content = randomBytes(200 * KiB)
const small = {
  videoManager: 101,
  chunkSize: 64 * KiB,
  smallestChunk: 64 * KiB,
  retry: Schedule.spaced("1 millis").pipe(Schedule.upTo({ times: 4 }))
} as const

/** A chunk that reached the transport, and the status of the response. */
interface Chunk {
  readonly number: number
  readonly total: number
  readonly bytes: Buffer
  readonly hadAuthorization: boolean
  status: number | undefined
}

interface World {
  readonly path: string
  readonly chunks: Array<Chunk>
}

/** Sees each chunk on its way to the sandbox, which keeps none. */
const watching = (chunks: Array<Chunk>) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) =>
      HttpClient.transform(client, (send, request) => {
        const number = request.headers["mi24-upload-current-chunk"]
        if (number === undefined) return send
        const { body } = request
        const bytes =
          body._tag === "Stream"
            ? Effect.map(Stream.runCollect(Stream.orDie(body.stream)), (parts) => Buffer.concat([...parts]))
            : Effect.succeed(body._tag === "Uint8Array" ? Buffer.from(body.body) : Buffer.alloc(0))
        return Effect.flatMap(bytes, (bytes) => {
          const chunk: Chunk = {
            number: Number(number),
            total: Number(request.headers["mi24-upload-total-chunks"]),
            bytes,
            hadAuthorization: request.headers["authorization"] !== undefined,
            status: undefined
          }
          chunks.push(chunk)
          return Effect.tap(send, ({ status }) =>
            Effect.sync(() => {
              chunk.status = status
            })
          )
        })
      })
    )
  )

/** The accepted chunks in their order. */
const arrived = (chunks: ReadonlyArray<Chunk>): Buffer => {
  const accepted = new Map(chunks.filter(({ status }) => status === 201).map((chunk) => [chunk.number, chunk.bytes]))
  return Buffer.concat([...accepted].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes))
}

type Services = MovingImage.MovingImage | Sandbox.MovingImageSandbox | NodeServices.NodeServices | Scope.Scope

const world = <A, E>(body: (world: World) => Effect.Effect<A, E, Services>) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "uploads-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    const path = join(folder, "holiday.mp4")
    yield* Effect.promise(() => writeFile(path, content))
    const chunks: Array<Chunk> = []
    const client = Layer.unwrap(
      Sandbox.MovingImageSandbox.useSync(({ url }) =>
        MovingImage.layer({
          baseUrl: url,
          username: Redacted.make("your_username"),
          password: Redacted.make("your_password"),
          videoManager: 101,
          rateLimits: false
        })
      )
    )
    const layer = client.pipe(
      Layer.provide(watching(chunks)),
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provideMerge(Sandbox.layer()),
      Layer.merge(NodeServices.layer)
    )
    return yield* Effect.provide(body({ path, chunks }), layer)
  }).pipe(Effect.scoped)

const inject = (kind: Sandbox.FaultKind, times = 1) =>
  Sandbox.MovingImageSandbox.use((sandbox) =>
    sandbox.inject({ on: (_, path) => path.startsWith("/chunks/"), kind, times })
  )

const videos = Effect.flatMap(
  MovingImage.MovingImage.use((api) => api.get("/v1/vms/101/videos")),
  (response) => response.json
)

describe("uploads to movingimage", () => {
  const sources = {
    "a path": (path: string, options: UploadOptions) => Uploads.upload(path, options),
    bytes: (_: string, options: UploadOptions) => Uploads.upload(new Uint8Array(content), options),
    "a File": (_: string, options: UploadOptions) =>
      Uploads.upload(new File([new Uint8Array(content)], "holiday.mp4"), options)
  } as const
  for (const [what, upload] of Object.entries(sources)) {
    it.live(`arrive in numbered chunks, without the client's token (${what})`, () =>
      world(({ chunks, path }) =>
        Effect.gen(function* () {
          const { videoId } = yield* upload(path, { ...small, concurrency: 2, title: "Holiday" })
          assert.isTrue(arrived(chunks).equals(content))
          assert.deepStrictEqual(chunks.map(({ number, total }) => [number, total]).toSorted(), [
            [1, 4],
            [2, 4],
            [3, 4],
            [4, 4]
          ])
          assert.isFalse(chunks.some(({ hadAuthorization }) => hadAuthorization))
          const [video] = Object(yield* videos).videos
          assert.deepInclude(video, { id: videoId, title: "Holiday" })
          assert.property(video, "uploadDate")
        })
      )
    )
  }

  const faults: ReadonlyArray<readonly [string, Sandbox.FaultKind]> = [
    ["a cut connection", { _tag: "DropBefore" }],
    ["a lost response", { _tag: "DropAfter" }],
    ["a 503", { _tag: "Status", status: 503 }],
    ["a 429", { _tag: "Status", status: 429, headers: { "retry-after": "0" } }]
  ]
  for (const [what, fault] of faults) {
    it.live(`survive ${what}`, () =>
      world(({ chunks, path }) =>
        Effect.gen(function* () {
          yield* inject(fault)
          yield* Uploads.upload(path, small)
          assert.isTrue(arrived(chunks).equals(content))
          assert.strictEqual(chunks.length, 5)
        })
      )
    )
  }

  it.live("find a new URL when the one they have expires", () =>
    world(({ chunks, path }) =>
      Effect.gen(function* () {
        const { inject, ledger } = yield* Sandbox.MovingImageSandbox
        let sent = 0
        yield* inject({
          on: (_, path) => path.startsWith("/chunks/") && ++sent === 3,
          kind: { _tag: "Status", status: 403 }
        })
        yield* Uploads.upload(path, small)
        assert.isTrue(arrived(chunks).equals(content))
        const urls = (yield* ledger).entries.filter(({ path }) => path.endsWith("/url"))
        assert.lengthOf(urls, 2)
      })
    )
  )

  it.live("fail at once if a new URL is refused", () =>
    world(({ chunks, path }) =>
      Effect.gen(function* () {
        yield* inject({ _tag: "Status", status: 403 }, Infinity)
        const result = yield* Effect.result(Uploads.upload(path, small))
        assert.isTrue(Result.isFailure(result))
        if (Result.isFailure(result)) {
          assert.include(result.failure.message, "403")
          assert.notMatch(result.failure.message, /__token__=\d/)
        }
        assert.strictEqual(chunks.length, 1)
      })
    )
  )

  it.live("go on in another run, with the same chunks, whatever chunk size it asks for", () =>
    world(({ chunks, path }) =>
      Effect.gen(function* () {
        const journal = yield* Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory)
        const { inject } = yield* Sandbox.MovingImageSandbox
        let sent = 0
        yield* inject({
          on: (_, path) => path.startsWith("/chunks/") && ++sent === 3,
          kind: { _tag: "Status", status: 400 }
        })
        yield* Effect.flip(Uploads.upload(path, { ...small, journal }))
        assert.strictEqual(chunks.length, 3)
        const seen = yield* Stream.runCollect(Uploads.events(path, { ...small, chunkSize: 150 * KiB, journal }))
        assert.deepInclude(
          seen.find(({ _tag }) => _tag === "Resumed"),
          { received: 128 * KiB, total: content.byteLength }
        )
        assert.deepStrictEqual(
          chunks.map(({ number }) => number),
          [1, 2, 3, 3, 4]
        )
        assert.isTrue(arrived(chunks).equals(content))
        assert.strictEqual(Object(yield* videos).total, 1)
        assert.strictEqual(yield* journal.size, 0)
      })
    )
  )

  const refused: ReadonlyArray<readonly [string, (path: string) => Effect.Effect<unknown, unknown, Services>, string]> =
    [
      [
        "a stream",
        // @ts-expect-error movingimage wants to know the number of chunks
        () => Uploads.upload(Stream.make(content), small),
        "a stream of unknown length is not supported"
      ],
      [
        "an upload token",
        (path) => Uploads.upload(path, Object.assign({ uploadToken: "to1" }, small)),
        "an upload token is not supported"
      ],
      ["no VideoManager", (path) => Uploads.upload(path, { ...small, videoManager: 0 }), "videoManager: expected"],
      ["large chunks", (path) => Uploads.upload(path, { ...small, chunkSize: 10_000_001 }), "chunkSize: expected"],
      ["small chunks", (path) => Uploads.upload(path, { videoManager: 101, chunkSize: 2_000_000 }), "chunkSize: exp"],
      ["an empty file", () => Uploads.upload(new Blob([]), small), "the file is empty"]
    ]
  for (const [what, upload, words] of refused) {
    it.live(`refuse ${what} before anything is sent`, () =>
      world(({ path }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(upload(path))
          assert.propertyVal(error, "_tag", "UploadError")
          assert.include(String(error), words)
          const { entries } = yield* Sandbox.MovingImageSandbox.use(({ ledger }) => ledger)
          assert.isFalse(entries.some(({ path }) => path.endsWith("/videos")))
        })
      )
    )
  }

  it.effect("refuse an upload URL that is not as documented", () =>
    Effect.gen(function* () {
      for (const location of [
        "",
        "/chunks/1?__token__=1",
        "http://asset-in.example/chunks/1?__token__=1",
        "https://a.b/"
      ]) {
        const layer = MovingImage.layerTest({
          respond: ({ method }) =>
            method === "POST"
              ? new Response(null, {
                  status: 201,
                  headers: { location: "https://api.video-cdn.net/v1/vms/101/videos/v1" }
                })
              : new Response(null, { headers: { location } })
        })
        const error = yield* Effect.flip(Effect.provide(Uploads.upload(new Blob([content]), small), layer))
        assert.include(error.message, "an upload URL that is not as documented is not supported")
      }
    })
  )
})
