/**
 * What the library costs a bundle: `npm run size --silent` prints JSON. Two programs are bundled by esbuild, minified and
 * compressed, with and without the library; `ownGzip` counts our modules alone.
 */
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

/** A program that calls an API with Effect's fetch client and decodes the answer. Both programs contain it. */
const baseline = `
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })
const list = (client) => client.get("https://ws.api.video/videos").pipe(Effect.flatMap(HttpClientResponse.schemaBodyJson(Videos)))
`

const without = `${baseline}
Effect.runFork(Effect.provide(Effect.flatMap(HttpClient.HttpClient, list), FetchHttpClient.layer))
`

const programs = {
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

const baselineGzip = await gzipped(without)
const report: Record<string, Record<string, number>> = {}
for (const [name, program] of Object.entries(programs)) {
  const withLibraryGzip = await gzipped(program)
  const ownGzip = (await gzipped(program, ["effect/*"])) - (await gzipped(without, ["effect/*"]))
  report[name] = { baselineGzip, withLibraryGzip, addedGzip: withLibraryGzip - baselineGzip, ownGzip }
}
console.log(JSON.stringify(report, undefined, 2))
