/**
 * `npm run size`: measures what the library adds to a bundle.
 *
 * Bundles each program with esbuild, minified and compressed, with the library and without it. Without it, the program sends
 * the credential itself, read from the same place. `ownGzip` counts our modules alone. `token` and `client` are those of
 * api.video; `webStore` is what `TokenStoreWeb` adds to that token. A bundle must not contain modules of other platforms or of
 * a store that it doesn't use, and those of the JSON logins none of OAuth.
 */
import { readFileSync } from "node:fs"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"
import { commandLine } from "./commandLine.ts"

const given = commandLine({
  name: "size",
  about: "Prints, as JSON, what the library adds to the bundle of each of several programs.",
  flags: { check: { about: "Ends with 1 if a program is over its budget or contains a module for something else." } }
})

/** What every program contains: it calls an API with Effect's fetch client and decodes the answer. */
const calls = (url: string) => `
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Videos = Schema.Struct({ data: Schema.Array(Schema.Struct({ videoId: Schema.String, title: Schema.String })) })

const list = (client) => client.get("${url}").pipe(Effect.flatMap(HttpClientResponse.schemaBodyJson(Videos)))
`

interface Platform {
  readonly module: string
  /** Its wing. */
  readonly folder: string
  readonly url: string
  /** The credential: options of the library, with the variables that they are read from. */
  readonly secrets: Readonly<Record<string, string>>
  /** The same for `basicAuth`. */
  readonly basic: string
  /** Modules that are for something else. */
  readonly foreign: RegExp
}

/** What is for a store alone. */
const store = "src/store/"

/** What is for OAuth or for a store alone. */
const oauth = `oauth4webapi|src/oauth/|OpenId|${store}`

const apiVideo: Platform = {
  module: "ApiVideo",
  folder: "api-video",
  url: "https://ws.api.video/videos",
  secrets: { apiKey: "APIVIDEO_API_KEY" },
  basic: 'apiKey, ""',
  foreign: new RegExp(`src/moving-image/|${oauth}`)
}

const movingImage: Platform = {
  module: "MovingImage",
  folder: "moving-image",
  url: "https://api.video-cdn.net/v1/vms",
  secrets: { username: "MOVINGIMAGE_USERNAME", password: "MOVINGIMAGE_PASSWORD" },
  basic: "username, password",
  foreign: new RegExp(`src/api-video/|${oauth}`)
}

const optionsOf = ({ secrets }: Platform, value: (variable: string) => string) =>
  `{ ${Object.entries(secrets).map(([name, variable]) => `${name}: ${value(variable)}`)} }`

const made = () => 'Redacted.make("secret")'
const read = (variable: string) => `Config.Redacted("${variable}")`

interface Program {
  readonly without: string
  readonly with: string
  readonly foreign: RegExp
}

/** The token service, a platform's provider and the bearer client. */
const token = (platform: Platform): Program => ({
  foreign: platform.foreign,
  without: `${calls(platform.url)}
import * as Redacted from "effect/Redacted"

${Object.keys(platform.secrets)
  .map((name) => `const ${name} = ${made()}`)
  .join("\n")}
const program = Effect.flatMap(HttpClient.HttpClient, (client) => list(HttpClient.mapRequest(client, HttpClientRequest.basicAuth(${platform.basic}))))
Effect.runFork(Effect.provide(program, FetchHttpClient.layer))
`,
  with: `${calls(platform.url)}
import * as Platform from "./src/${platform.folder}/${platform.module}.ts"
import * as BearerClient from "./src/platform/BearerClient.ts"
import * as TokenService from "./src/token/TokenService.ts"
import * as Redacted from "effect/Redacted"

const program = Effect.gen(function*() {
  const provider = yield* Platform.provider(${optionsOf(platform, made)})
  const tokens = yield* TokenService.make({ provider })
  const client = BearerClient.make(tokens, { origins: ["${new URL(platform.url).origin}"] })(yield* HttpClient.HttpClient)
  return yield* list(client)
})
Effect.runFork(Effect.provide(Effect.scoped(program), FetchHttpClient.layer))
`
})

/** The store of pages, on top of a program with a token. */
const webStore = (platform: Platform): Program => {
  const { with: without } = token(platform)
  return {
    foreign: /src\/moving-image\/|oauth4webapi|src\/oauth\/|OpenId|src\/store\/(TokenEncryption|TokenStore(?!Web))/,
    without,
    with: `import * as TokenStoreWeb from "./src/store/TokenStoreWeb.ts"
${without.replace("Effect.scoped(program)", "Effect.provide(Effect.scoped(program), TokenStoreWeb.layer())")}`
  }
}

/** The whole client: `layerConfig`. */
const client = (platform: Platform): Program => ({
  foreign: platform.foreign,
  without: `${calls(platform.url)}
import * as Config from "effect/Config"

const program = Effect.gen(function*() {
  ${Object.entries(platform.secrets)
    .map(([name, variable]) => `const ${name} = yield* ${read(variable)}`)
    .join("\n")}
  return yield* list(HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.basicAuth(${platform.basic})))
})
Effect.runFork(Effect.provide(program, FetchHttpClient.layer))
`,
  with: `${calls(platform.url)}
import * as Platform from "./src/${platform.folder}/${platform.module}.ts"
import * as Config from "effect/Config"

Effect.runFork(Effect.flatMap(Platform.${platform.module}, list).pipe(
  Effect.provide(Platform.layerConfig(${optionsOf(platform, read)}).pipe(Layer.provide(FetchHttpClient.layer)))
))
`
})

/**
 * Typed operations, on top of a program that lists videos with the client itself: what the first one adds, and all of
 * them.
 */
const operations = (groups: ReadonlyArray<string>, calls: string): Program => ({
  foreign: apiVideo.foreign,
  without: `
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as ApiVideo from "./src/api-video/ApiVideo.ts"

const program = Effect.flatMap(ApiVideo.ApiVideo, (api) => Effect.flatMap(api.get("/videos/vi1"), ({ json }) => json))
Effect.runFork(Effect.provide(program, ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(Layer.provide(FetchHttpClient.layer))))
`,
  with: `
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as ApiVideo from "./src/api-video/ApiVideo.ts"
${groups.map((group) => `import * as ${group} from "./src/api-video/${group}.ts"`).join("\n")}

const program = ${calls}
Effect.runFork(Effect.provide(program, ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(Layer.provide(FetchHttpClient.layer))))
`
})

const matrix: {
  readonly operations: ReadonlyArray<{ readonly function: string; readonly paginated: boolean }>
} = JSON.parse(readFileSync(new URL("../test/api-video/operations.json", import.meta.url), "utf8"))

/** The functions of all operations but authentication, and their streams. */
const functions = matrix.operations
  .filter((operation) => !operation.function.startsWith("ApiVideo."))
  .flatMap(({ function: name, paginated }) => (paginated ? [name, name.replace(/\.(?:list|get)/, ".stream")] : [name]))
const groups = [...new Set(functions.map((name) => name.split(".")[0] ?? ""))]

/** Client credentials at any OAuth 2 server, in place of a token that is written down. */
const clientCredentials: Program = {
  foreign: new RegExp(`src/(api-video|moving-image)/|AuthorizationCode|DeviceAuthorization|${store}`),
  without: `${calls("https://api.example.com/videos")}
import * as Redacted from "effect/Redacted"

const token = ${made()}
const program = Effect.flatMap(HttpClient.HttpClient, (client) => list(HttpClient.mapRequest(client, HttpClientRequest.bearerToken(token))))
Effect.runFork(Effect.provide(program, FetchHttpClient.layer))
`,
  with: `${calls("https://api.example.com/videos")}
import * as BearerClient from "./src/platform/BearerClient.ts"
import * as OAuth2 from "./src/oauth/OAuth2.ts"
import * as TokenService from "./src/token/TokenService.ts"
import * as Redacted from "effect/Redacted"

const TokenLive = OAuth2.layerToken(OAuth2.clientCredentials({
  issuer: "https://login.example.com",
  clientId: "size",
  authentication: { method: "client_secret_basic", clientSecret: ${made()} }
}))
const program = Effect.gen(function*() {
  const tokens = yield* TokenService.TokenService
  const client = BearerClient.make(tokens, { origins: ["https://api.example.com"] })(yield* HttpClient.HttpClient)
  return yield* list(client)
})
Effect.runFork(Effect.provide(program, TokenLive.pipe(Layer.provideMerge(FetchHttpClient.layer))))
`
}

const bundled = async (contents: string, external: ReadonlyArray<string> = []) => {
  const { metafile, outputFiles } = await build({
    stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname, loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    external: [...external]
  })
  return {
    gzip: gzipSync(outputFiles[0]!.contents, { level: 9 }).byteLength,
    modules: Object.keys(metafile.inputs)
  }
}

const measure = async (program: Program) => {
  const before = await bundled(program.without)
  const after = await bundled(program.with)
  const [ownBefore, own] = [await bundled(program.without, ["effect/*"]), await bundled(program.with, ["effect/*"])]
  return {
    foreign: after.modules.filter((module) => program.foreign.test(module)),
    sizes: {
      baselineGzip: before.gzip,
      withLibraryGzip: after.gzip,
      addedGzip: after.gzip - before.gzip,
      ownGzip: own.gzip - ownBefore.gzip
    }
  }
}

/**
 * Programs, and the bytes that each may add. These limits only notice accidents. The aim for a token is 15 KB and for a
 * client 28 KB. Effect's own modules that a program without the library does not need are 6 KB of both.
 */
const programs: ReadonlyArray<readonly [name: string, program: Program, budget: number]> = [
  ["token", token(apiVideo), 25_000],
  ["client", client(apiVideo), 33_000],
  ["firstOperation", operations(["Videos"], 'Videos.get("vi1")'), 5_000],
  ["allOperations", operations(groups, `Effect.all([${functions}])`), 12_000],
  ["movingImageToken", token(movingImage), 26_000],
  ["movingImageClient", client(movingImage), 33_000],
  ["webStore", webStore(apiVideo), 13_000],
  ["clientCredentials", clientCredentials, 37_500]
]

const report: Record<string, object> = {}
const problems: Array<string> = []
for (const [name, program, budget] of programs) {
  const { foreign, sizes } = await measure(program)
  report[name] = sizes
  if (sizes.addedGzip >= budget) problems.push(`${name} adds ${sizes.addedGzip} bytes, and its budget is ${budget}`)
  if (foreign.length > 0) problems.push(`${name} brings in modules that are for something else: ${foreign.join(", ")}`)
}
console.log(JSON.stringify(report, undefined, 2))
if (given.has("check")) {
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
}
