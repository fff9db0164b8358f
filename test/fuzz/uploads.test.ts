/** Uploads over sockets to a server that cuts, stalls, loses responses and answers 401, 429 and 503. */
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schedule, Schema, Stream } from "effect"
import { ApiVideo, Uploads, Videos } from "effect-video-auth/api-video"
import { createHash } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { checks, ends } from "../support/random.ts"
import { type Fault, start } from "../support/uploadServer.ts"

const KiB = 1024

/** Bytes that differ at every place, so that a part in the wrong place shows. */
const contentOf = (size: number): Buffer =>
  Buffer.concat(
    Array.from({ length: Math.ceil(size / 32) }, (_, block) => createHash("sha256").update(String(block)).digest())
  ).subarray(0, size)

/** A stream of chunks that no part begins or ends with. */
const chunksOf = (content: Uint8Array) =>
  Stream.range(0, Math.ceil(content.byteLength / 50_000) - 1).pipe(
    Stream.map((index) => content.subarray(index * 50_000, (index + 1) * 50_000))
  )

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const faults: Schema.Codec<ReadonlyArray<Fault | undefined>> = Schema.Array(
  Schema.Union([Schema.Literals(["cut", "lost", "stall", 401, 429, 503]), Schema.Undefined])
).check(Schema.isMaxLength(12))

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "uploads-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

describe("uploads to an unreliable server", () => {
  it.live.prop(
    "arrive whole, and the caller sees one success",
    {
      size: between(1, 600 * KiB),
      chunkSize: between(64 * KiB, 300 * KiB),
      concurrency: between(1, 4),
      source: Schema.Literals(["path", "bytes", "blob", "stream"]),
      target: Schema.Literals(["new", "given", "token"]),
      faults,
      losesCreation: Schema.Boolean
    },
    ({ chunkSize, concurrency, faults, losesCreation, size, source, target }) =>
      Effect.gen(function* () {
        // A 401 to an upload token is final, and so are two 401s in a row and a storm of them.
        // A stall of a body that the runtime reads by itself is only noticed after a time that its size allows for.
        let refusals = 0
        const isRefused = (fault: Fault | undefined, index: number) =>
          fault === 401 && (target === "token" || concurrency > 1 || faults[index - 1] === 401 || ++refusals > 3)
        const waiting = faults.map((fault, index) =>
          isRefused(fault, index) || (fault === "stall" && source !== "path") ? 503 : fault
        )
        let creations = 0
        const server = yield* Effect.acquireRelease(
          Effect.promise(() =>
            start(
              () => waiting.shift(),
              () => losesCreation && target === "new" && creations++ === 0
            )
          ),
          ({ stop }) => Effect.promise(stop)
        )
        const content = contentOf(size)
        const path = join(yield* folder, "video.mp4")
        yield* Effect.promise(() => writeFile(path, content))
        const options = {
          chunkSize,
          concurrency,
          smallestChunk: 64 * KiB,
          stallTimeout: "200 millis",
          retry: Schedule.spaced("1 millis")
        } as const
        const clientOptions = { apiKey: Redacted.make("key"), baseUrl: server.url, rateLimits: false as const }
        const layer = Layer.mergeAll(
          ApiVideo.layer(clientOptions).pipe(Layer.provide(NodeHttpClient.layerUndici)),
          NodeServices.layer
        )
        const upload = Effect.gen(function* () {
          const to =
            target === "token"
              ? { uploadToken: "to1" }
              : target === "given"
                ? { videoId: (yield* Videos.create({ title: "given" })).videoId }
                : {}
          if (source === "path") return yield* Uploads.upload(path, { ...options, ...to })
          if (source === "stream") return yield* Uploads.upload(chunksOf(content), { ...options, ...to })
          const input = source === "bytes" ? content : new Blob([new Uint8Array(content)])
          return yield* Uploads.upload(input, { ...options, ...to })
        })
        const { videoId } = yield* Effect.provide(upload, layer)
        assert.strictEqual(hashOf(server.sourceOf(videoId)), hashOf(content))
      }).pipe(Effect.scoped, ends),
    checks(25)
  )
})
