/** `npm start`: tells the library's story against a server on this machine. */
import { commandLine } from "./commandLine.ts"

commandLine({
  name: "start",
  about: `Tells the story of a token in ten seconds, against a server on this machine that plays api.video.
With APIVIDEO_API_KEY set, it talks to the sandbox of the real service instead.`
})
await import("../examples/quickstart.ts")
