/** Uploads captions from a file, makes them the default, and lists the captions of a video. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Stream } from "effect"
import { Captions, UploadFile } from "effect-video-auth/api-video"
import { answeredBy } from "./support/operations.ts"

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = `${yield* fs.makeTempDirectoryScoped()}/lecture.en.vtt`
  yield* fs.writeFileString(path, "WEBVTT\n\n00:00.000 --> 00:02.000\nGood morning!\n")

  const videoId = yield* Config.String("VIDEO_ID").pipe(Config.withDefault("vi4blUQJFrYWbaG44NChkH27"))
  const file = yield* UploadFile.fromPath(path)
  const { srclang } = yield* Captions.upload(videoId, "en", file)
  yield* Captions.update(videoId, srclang, { default: true })
  yield* Stream.runForEach(Captions.stream(videoId), (caption) =>
    Console.log(`${caption.srclang}: ${caption.languageName}${caption.default ? ", the default" : ""}`)
  )
})

const english = { srclang: "en", languageName: "English", default: true }
const french = { srclang: "fr", languageName: "Français", default: false }

const ApiVideoLive = answeredBy({
  "Captions.upload": (_, srclang) => ({ srclang }),
  "Captions.update": (_, srclang, changes) => ({ srclang, default: changes.default }),
  "Captions.list": () => ({ data: [english, french], pagination: { currentPage: 1, pagesTotal: 1 } })
})

program.pipe(Effect.scoped, Effect.provide([ApiVideoLive, NodeServices.layer]), NodeRuntime.runMain)
