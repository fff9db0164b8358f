/**
 * What the library costs a bundle: `npm run size --silent` prints JSON. Two programs are bundled by esbuild, minified and
 * compressed, with the library and without it (they then send the key themselves, read from the same place); `ownGzip`
 * counts our modules alone.
 */
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

/** A program that calls an API with Effect's fetch client and decodes the answer. Both programs contain it. */
const baseline = `
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })

const list = (client) => client.get("https://ws.api.video/videos").pipe(Effect.flatMap(HttpClientResponse.schemaBodyJson(Videos)))
`

/** The same program without the library: it sends the key itself. */
const without = {
  token: `${baseline}
import * as Redacted from "effect/Redacted"

const key = Redacted.make("key")
const program = Effect.flatMap(HttpClient.HttpClient, (client) => list(HttpClient.mapRequest(client, HttpClientRequest.basicAuth(key, ""))))
Effect.runFork(Effect.provide(program, FetchHttpClient.layer))
`,
  client: `${baseline}
import * as Config from "effect/Config"

const program = Effect.gen(function*() {
  const key = yield* Config.Redacted("APIVIDEO_API_KEY")
  return yield* list(HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.basicAuth(key, "")))
})
Effect.runFork(Effect.provide(program, FetchHttpClient.layer))
`
}

const withLibrary = {
  /** The token service, api.video's provider and the bearer client. */
  token: `${baseline}
import * as ApiVideo from "./src/ApiVideo.ts"
import * as BearerClient from "./src/BearerClient.ts"
import * as TokenService from "./src/TokenService.ts"
import * as Redacted from "effect/Redacted"

const program = Effect.gen(function*() {
  const provider = yield* ApiVideo.provider({ apiKey: Redacted.make("key") })
  const tokens = yield* TokenService.make({ provider })
  const client = BearerClient.make(tokens, { origins: ["https://ws.api.video"] })(yield* HttpClient.HttpClient)
  return yield* list(client)
})
Effect.runFork(Effect.provide(Effect.scoped(program), FetchHttpClient.layer))
`,
  /** The whole client: \`ApiVideo.layerConfig\`. */
  client: `${baseline}
import * as ApiVideo from "./src/ApiVideo.ts"
import * as Config from "effect/Config"

Effect.runFork(Effect.flatMap(ApiVideo.ApiVideo, list).pipe(
  Effect.provide(ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(Layer.provide(FetchHttpClient.layer)))
))
`
}

const gzipped = async (contents: string, external: ReadonlyArray<string> = []): Promise<number> => {
  const result = await build({
    stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname, loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    external: [...external]
  })
  return gzipSync(result.outputFiles[0]!.contents, { level: 9 }).byteLength
}

const report: Record<string, Record<string, number>> = {}
for (const name of ["token", "client"] as const) {
  const baselineGzip = await gzipped(without[name])
  const withLibraryGzip = await gzipped(withLibrary[name])
  const ownGzip = (await gzipped(withLibrary[name], ["effect/*"])) - (await gzipped(without[name], ["effect/*"]))
  report[name] = { baselineGzip, withLibraryGzip, addedGzip: withLibraryGzip - baselineGzip, ownGzip }
}
console.log(JSON.stringify(report, undefined, 2))

/** Bytes that each program may add. */
const budget = { token: 12_000, client: 22_000 }
if (process.argv.includes("--check")) {
  for (const name of ["token", "client"] as const) {
    const added = report[name]?.addedGzip ?? Infinity
    if (added >= budget[name]) {
      console.error(`${name} adds ${added} bytes, and its budget is ${budget[name]}`)
      process.exitCode = 1
    }
  }
}
