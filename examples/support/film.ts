/** Where an upload goes, and what is uploaded, if nobody says. */
import { Config, Effect, FileSystem, Layer, Option } from "effect"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { join } from "node:path"
import { sandbox, server } from "./server.ts"

/** A file of 24 MiB that lives as long as the scope. */
export const film = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = join(yield* fs.makeTempDirectoryScoped(), "holiday.mp4")
  yield* fs.writeFile(path, new Uint8Array())
  yield* fs.truncate(path, 24 * 1024 * 1024)
  return path
})

const isPart = (_: string, path: string) => path.endsWith("/source")

/** A server that refuses the first part for a second, and takes a while for each of the others. */
const busy = Layer.effectDiscard(
  Effect.gen(function* () {
    const { inject } = yield* ApiVideoSandbox.ApiVideoSandbox
    yield* inject({ on: isPart, kind: { _tag: "RateLimited", retryAfter: 1 } })
    yield* inject({ on: isPart, kind: { _tag: "Latency", duration: "300 millis" }, times: Infinity })
  })
).pipe(Layer.provideMerge(sandbox()))

/** That server, unless `APIVIDEO_API_KEY` is set. */
export const place = Layer.unwrap(
  Effect.map(Config.option(Config.String("APIVIDEO_API_KEY")), (key) => (Option.isSome(key) ? server : busy))
)
