/** An upload with a progress bar. End it with Ctrl-C, run the same command, and it goes on. */
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { KeyValueStore } from "effect/persistence"
import { ApiVideo, Uploads } from "effect-video-auth/api-video"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { film, place } from "./support/film.ts"
import { show } from "./support/terminal.ts"

const program = Effect.gen(function* () {
  const journal = yield* KeyValueStore.KeyValueStore
  const [, , path = yield* film] = process.argv
  yield* show(Uploads.events(path, { journal, chunkSize: 5 * 1024 * 1024 }))
}).pipe(
  Effect.scoped,
  Effect.catch(({ message }) => {
    process.exitCode = 1
    return Console.error(message)
  })
)

// On disk, where the next run of this command finds it.
const JournalLive = Layer.unwrap(
  Config.String("UPLOAD_JOURNAL").pipe(
    Config.withDefault(join(tmpdir(), "upload-journal")),
    Config.map((folder) => KeyValueStore.layerFileSystem(folder))
  )
)

const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") })

program.pipe(
  Effect.provide(
    Layer.mergeAll(ApiVideoLive, JournalLive).pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provide(place),
      Layer.provideMerge(NodeServices.layer)
    )
  ),
  NodeRuntime.runMain
)
