/** What `Uploads` does around the parts: bad input, the journal, events and interruption. `test/fuzz/uploads.test.ts` has the faults. */
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Effect,
  Fiber,
  FileSystem,
  Layer,
  Logger,
  PlatformError,
  Queue,
  Redacted,
  Schedule,
  type Scope,
  Stream
} from "effect"
import { KeyValueStore } from "effect/persistence"
import { ApiVideo, type UploadOptions, Uploads, Videos } from "effect-video-auth/api-video"
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Fault, start } from "../support/uploadServer.ts"

const KiB = 1024
const small = { chunkSize: 64 * KiB, smallestChunk: 64 * KiB, retry: Schedule.spaced("1 millis") } as const
const content = Buffer.alloc(200 * KiB, "0123456789")

type Server = Awaited<ReturnType<typeof start>>

interface World {
  readonly server: Server
  /** A file with `content`. */
  readonly path: string
  readonly folder: string
  /** Faults of the next requests for parts. */
  readonly faults: Array<Fault | undefined>
}

const upload = (path: string, options: UploadOptions = {}) => Uploads.upload(path, { ...small, ...options })

const world = <A, E>(
  body: (world: World) => Effect.Effect<A, E, ApiVideo.ApiVideo | NodeServices.NodeServices | Scope.Scope>
) =>
  Effect.gen(function* () {
    const faults: Array<Fault | undefined> = []
    const server = yield* Effect.acquireRelease(
      Effect.promise(() => start(() => faults.shift())),
      ({ stop }) => Effect.promise(stop)
    )
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "uploads-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    const path = join(folder, "holiday.mp4")
    yield* Effect.promise(() => writeFile(path, content))
    const layer = ApiVideo.layer({ apiKey: Redacted.make("key"), baseUrl: server.url, rateLimits: false }).pipe(
      Layer.provide(NodeHttpClient.layerUndici)
    )
    return yield* body({ server, path, folder, faults }).pipe(Effect.provide([layer, NodeServices.layer]))
  }).pipe(Effect.scoped)

/** A journal in memory, and everything that was written to it. */
const makeJournal = Effect.map(
  Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory),
  (store): { readonly journal: KeyValueStore.KeyValueStore; readonly written: () => string } => {
    let written = ""
    return {
      journal: {
        ...store,
        set: (key, value) => {
          written += `${key}=${String(value)}\n`
          return store.set(key, value)
        }
      },
      written: () => written
    }
  }
)

describe("sources", () => {
  const refused: ReadonlyArray<
    readonly [what: string, options: (world: World) => readonly [string, UploadOptions], reason: string, words: string]
  > = [
    ["a missing file", ({ folder }) => [join(folder, "none.mp4"), {}], "SourceUnusable", "missing"],
    ["a directory", ({ folder }) => [folder, {}], "SourceUnusable", "a directory"],
    ["a chunk size below the least", ({ path }) => [path, { chunkSize: 63 * KiB }], "OptionInvalid", "chunkSize"],
    ["a chunk size above 128 MiB", ({ path }) => [path, { chunkSize: 129 * KiB * KiB }], "OptionInvalid", "chunkSize"],
    ["a chunk size that is no number", ({ path }) => [path, { chunkSize: NaN }], "OptionInvalid", "chunkSize"],
    ["no concurrency", ({ path }) => [path, { concurrency: 0 }], "OptionInvalid", "concurrency"],
    ["two targets", ({ path }) => [path, { videoId: "vi1", uploadToken: "to1" }], "OptionInvalid", "videoId"],
    [
      "more than 10,000 parts",
      ({ path }) => [path, { chunkSize: 20, smallestChunk: 1 }],
      "OptionInvalid",
      "more than 10000 parts"
    ]
  ]
  for (const [what, given, reason, words] of refused) {
    it.live(`${what} is refused before anything is sent`, () =>
      world((world) =>
        Effect.gen(function* () {
          const [path, options] = given(world)
          const error = yield* Effect.flip(upload(path, options))
          assert.strictEqual(error._tag, "UploadError")
          assert.strictEqual("reason" in error ? error.reason._tag : "", reason)
          assert.include(error.message, words)
          assert.deepInclude(world.server.counts, { creations: 0, parts: 0 })
        })
      )
    )
  }

  it.live("an empty file, empty bytes and an empty stream are refused", () =>
    world(({ folder, server }) =>
      Effect.gen(function* () {
        const path = join(folder, "empty.mp4")
        yield* Effect.promise(() => writeFile(path, ""))
        for (const attempt of [
          upload(path),
          Uploads.upload(new Uint8Array(0)),
          Uploads.upload(new Blob([])),
          Uploads.upload(Stream.empty, { uploadToken: "to1" })
        ]) {
          assert.include((yield* Effect.flip(attempt)).message, "empty")
        }
        assert.strictEqual(server.counts.parts, 0)
      })
    )
  )

  it.live("a file that must not be read is refused before anything is sent", () =>
    world(({ path, server }) =>
      Effect.gen(function* () {
        // A superuser may read everything, so the file system says it.
        const fs = yield* FileSystem.FileSystem
        const denied = PlatformError.systemError({ _tag: "PermissionDenied", module: "FileSystem", method: "open" })
        const error = yield* upload(path).pipe(
          Effect.provideService(FileSystem.FileSystem, { ...fs, open: () => Effect.fail(denied) }),
          Effect.flip
        )
        assert.include(error.message, "the file is unreadable (PermissionDenied). Choose a file")
        assert.deepInclude(server.counts, { creations: 0, parts: 0 })
      })
    )
  )

  it.live("a stream with more than 10,000 parts is refused when it shows", () =>
    world(({ server }) =>
      Effect.gen(function* () {
        const endless = Stream.range(1, 20_000).pipe(Stream.map(() => new Uint8Array(1)))
        const settled = { chunkSize: 1, smallestChunk: 1, concurrency: 1 }
        const answers = ApiVideo.layerTest({ respond: () => Response.json({ videoId: "vi1" }, { status: 201 }) })
        const error = yield* Effect.flip(Effect.provide(Uploads.upload(endless, settled), answers))
        assert.include(error.message, "more than 10000 parts of it. Use a larger one")
        assert.strictEqual(server.counts.parts, 0)
      })
    )
  )

  const answers: ReadonlyArray<
    readonly [what: string, status: number, slug: string, options: UploadOptions, words: RegExp]
  > = [
    [
      "an upload token that has expired",
      401,
      "authentication-invalid-upload-token",
      { uploadToken: "to-planted" },
      /401: .*upload token: it may be wrong, expired or used up/
    ],
    ["a file with an extension that is refused", 400, "uploaded-file-extension-invalid", {}, /400: .*extension/i]
  ]
  for (const [what, status, slug, options, words] of answers) {
    it.effect(`${what} fails at once, with advice`, () =>
      Effect.gen(function* () {
        let parts = 0
        const layer = ApiVideo.layerTest({
          respond: ({ url }) => {
            if (!/\/source$|\/upload(\?|$)/.test(url)) return Response.json({ videoId: "vi1" }, { status: 201 })
            parts++
            const type = `https://docs.api.video/reference/${slug}`
            const title = slug.includes("token")
              ? "The upload token is invalid."
              : "Only [mp4] extensions are supported."
            return Response.json({ type, title, status }, { status })
          }
        })
        const error = yield* Effect.flip(Effect.provide(Uploads.upload(new Blob([content]), options), layer))
        assert.strictEqual(error._tag, "ApiVideoError")
        assert.match(error.message, words)
        assert.notInclude(error.message, "planted")
        assert.strictEqual(parts, 1)
      })
    )
  }

  it.live("a video that has a source is refused", () =>
    world(({ path, server }) =>
      Effect.gen(function* () {
        const { videoId } = yield* upload(path)
        const { parts } = server.counts
        const error = yield* Effect.flip(upload(path, { videoId }))
        assert.include(error.message, `${videoId}: the video has a source already`)
        assert.strictEqual(server.counts.parts, parts)
      })
    )
  )
})

describe("creation", () => {
  it.live("takes the title from the file's name, and the fields that are given", () =>
    world(({ path }) =>
      Effect.gen(function* () {
        yield* upload(path, { description: "by the sea" })
        const { data } = yield* Videos.list()
        assert.strictEqual(data.length, 1)
        assert.deepInclude(data[0], { title: "holiday", description: "by the sea" })
        assert.deepStrictEqual(
          data[0]?.metadata?.map(({ key }) => key),
          ["effect-video-auth-upload"]
        )
      })
    )
  )
})

describe("the journal", () => {
  /** Uploads until the second part fails for good. */
  const interrupted = (world: World, options: UploadOptions) =>
    Effect.gen(function* () {
      world.faults.push(undefined, 503)
      yield* Effect.flip(upload(world.path, { ...options, retry: Schedule.recurs(0) }))
      assert.strictEqual(world.server.counts.parts, 2)
    })

  it.live("lets another run go on where one ended", () =>
    world((world) =>
      Effect.gen(function* () {
        const { journal } = yield* makeJournal
        yield* interrupted(world, { journal })
        const events = yield* Stream.runCollect(Uploads.events(world.path, { ...small, journal }))
        assert.includeMembers(
          events.map(({ _tag }) => _tag),
          ["Started", "Resumed", "Completed"]
        )
        assert.deepInclude(
          events.find(({ _tag }) => _tag === "Resumed"),
          { received: 64 * KiB, total: content.byteLength }
        )
        assert.deepInclude(world.server.counts, { creations: 1, parts: 5, refusedOverlaps: 0 })
        assert.isTrue(world.server.sourceOf("vi1").equals(content))
        assert.strictEqual(yield* journal.size, 0)
      })
    )
  )

  it.live("goes on with an upload token, which is not written down", () =>
    world((world) =>
      Effect.gen(function* () {
        const { journal, written } = yield* makeJournal
        const uploadToken = Redacted.make("to-planted")
        yield* interrupted(world, { journal, uploadToken })
        const { videoId } = yield* upload(world.path, { journal, uploadToken })
        assert.isTrue(world.server.sourceOf(videoId).equals(content))
        assert.deepInclude(world.server.counts, { creations: 1, refusedOverlaps: 0 })
        assert.notInclude(written(), "planted")
      })
    )
  )

  it.live("with an upload token, sends the part in doubt again as it was, whatever the chunk size is now", () =>
    world((world) =>
      Effect.gen(function* () {
        const { journal } = yield* makeJournal
        const options = { journal, uploadToken: "to1" }
        world.faults.push(undefined, "lost")
        yield* Effect.flip(upload(world.path, { ...options, retry: Schedule.recurs(0) }))
        const { videoId } = yield* upload(world.path, { ...options, chunkSize: 100 * KiB })
        assert.isTrue(world.server.sourceOf(videoId).equals(content))
      })
    )
  )

  it.live("begins anew if the video was deleted meanwhile", () =>
    world((world) =>
      Effect.gen(function* () {
        const { journal } = yield* makeJournal
        yield* interrupted(world, { journal })
        world.server.remove("vi1")
        const { videoId } = yield* upload(world.path, { journal })
        assert.isTrue(world.server.sourceOf(videoId).equals(content))
      })
    )
  )

  it.live("survives a write that ended half way", () =>
    world((world) =>
      Effect.gen(function* () {
        const { journal } = yield* makeJournal
        yield* interrupted(world, { journal })
        const keys = yield* journal.keys
        const latest = yield* Effect.forEach(keys, (key) =>
          Effect.map(journal.get(key), (value) => ({ key, revision: Number(JSON.parse(value ?? "{}").revision) }))
        )
        const { key } = latest.reduce((best, copy) => (copy.revision > best.revision ? copy : best))
        yield* journal.set(key, '{"revision":')
        yield* upload(world.path, { journal })
        // The older copy does not have the videoId: the video is found by its metadata.
        assert.strictEqual(world.server.counts.creations, 1)
        assert.isTrue(world.server.sourceOf("vi1").equals(content))
      })
    )
  )

  const changes: ReadonlyArray<
    readonly [what: string, change: (path: string) => Promise<void>, options: UploadOptions]
  > = [
    ["size", (path) => writeFile(path, content.subarray(1)), {}],
    ["modification time", (path) => utimes(path, 1, 1), {}],
    [
      "content",
      async (path) => writeFile(path, Buffer.from(content.map((byte, at) => (at === 150 * KiB ? byte + 1 : byte)))),
      { verify: "hash" }
    ]
  ]
  for (const [what, change, options] of changes) {
    it.live(`refuses a file whose ${what} has changed`, () =>
      world((world) =>
        Effect.gen(function* () {
          const { journal } = yield* makeJournal
          yield* interrupted(world, { ...options, journal })
          yield* Effect.promise(() => change(world.path))
          const error = yield* Effect.flip(upload(world.path, { ...options, journal }))
          assert.include(error.message, `the ${what} has changed since the upload began`)
          assert.strictEqual(world.server.counts.parts, 2)
        })
      )
    )
  }

  it.live("with a hash, accepts a file that was only touched", () =>
    world((world) =>
      Effect.gen(function* () {
        const { journal } = yield* makeJournal
        yield* interrupted(world, { journal, verify: "hash" })
        yield* Effect.promise(() => utimes(world.path, 1, 1))
        yield* upload(world.path, { journal, verify: "hash" })
        assert.isTrue(world.server.sourceOf("vi1").equals(content))
      })
    )
  )
})

describe("streams", () => {
  it.live("of unknown length arrive in numbered parts, the last of which says so", () =>
    world(({ server }) =>
      Effect.gen(function* () {
        const stream = Stream.fromIterable([content.subarray(0, 100), content.subarray(100)])
        const events = yield* Stream.runCollect(Uploads.events(stream, { ...small, concurrency: 2 }))
        const last = events.at(-1)
        assert.strictEqual(last?._tag, "Completed")
        assert.strictEqual(server.counts.parts, 4)
      })
    )
  )
})

describe("files", () => {
  /** Counts the files that are open. */
  const counted = Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const files = { open: 0, opened: 0 }
    const open: FileSystem.FileSystem["open"] = (path, options) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          files.open += 1
          files.opened += 1
        }),
        () => Effect.sync(() => void (files.open -= 1))
      ).pipe(Effect.andThen(fs.open(path, options)))
    return { files, fs: FileSystem.make({ ...fs, open }) }
  })

  it.live("are closed after a 401, a cut connection, a stall and an interruption in the middle of a part", () =>
    world(({ faults, folder, server }) =>
      Effect.gen(function* () {
        const { files, fs } = yield* counted
        const path = join(folder, "large.mp4")
        yield* Effect.promise(() => writeFile(path, Buffer.alloc(16 * 1024 * KiB)))
        const uploading = upload(path, { chunkSize: 16 * 1024 * KiB, stallTimeout: "200 millis" }).pipe(
          Effect.provideService(FileSystem.FileSystem, fs)
        )
        faults.push(401, "cut", "stall", 503)
        const { videoId } = yield* uploading
        assert.strictEqual(server.sourceOf(videoId).byteLength, 16 * 1024 * KiB)
        // Once to see that it can be read, and once for each request.
        assert.deepStrictEqual(files, { open: 0, opened: 6 })

        faults.push("stall")
        const { parts } = server.counts
        const fiber = yield* Effect.forkChild(uploading)
        while (server.counts.parts === parts) yield* Effect.sleep(1)
        assert.strictEqual(files.open, 1)
        yield* Fiber.interrupt(fiber)
        // The transport ends the body a moment later.
        while (files.open > 0) yield* Effect.sleep(1)
      })
    )
  )
})

describe("interruption", () => {
  it.live("leaves no request running, and says how to go on", () =>
    world(({ faults, path, server }) =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
        faults.push(undefined, "stall", "stall")
        const seen = yield* Queue.unbounded<string>()
        const fiber = yield* Uploads.events(path, { ...small, concurrency: 2 }).pipe(
          Stream.runForEach(({ _tag }) => Queue.offer(seen, _tag)),
          Effect.provide(Logger.layer([logger])),
          Effect.forkChild
        )
        yield* Stream.fromQueue(seen).pipe(
          Stream.takeUntil((tag) => tag === "Progress"),
          Stream.runDrain
        )
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(lines, [
          `${path}: the upload was interrupted. Run it again with videoId: "vi1" to go on`
        ])
        const { parts } = server.counts
        yield* Effect.promise(() => server.stop())
        assert.strictEqual(server.counts.parts, parts)
      })
    )
  )
})
