/**
 * The least program with each library: one authenticated request, or a token and a request by `fetch` where a library only
 * hands out tokens.
 */
import { ours } from "../measurement.ts"

export interface Program {
  readonly subject: string
  readonly source: string
  /** What is installed for it, beside what Node brings. */
  readonly packages: ReadonlyArray<string>
  readonly note?: string | undefined
}

const effectImports = `
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
`

/** Programs; `built` is the folder of our library as it is published. */
export const programs = (built: string): ReadonlyArray<Program> => [
  {
    subject: ours,
    packages: ["effect-video-auth", "effect"],
    note: "with Effect: `ApiVideo.layer`, all of it",
    source: `${effectImports}
import * as ApiVideo from "${built}/api-video/ApiVideo.js"

const layer = ApiVideo.layer({ apiKey: Redacted.make("key") }).pipe(Layer.provide(FetchHttpClient.layer))
const program = Effect.gen(function*() {
  const api = yield* ApiVideo.ApiVideo
  return yield* (yield* api.get("/videos")).json
})
Effect.runPromise(Effect.provide(program, layer)).then(console.log)`
  },
  {
    subject: `${ours}, token only`,
    packages: ["effect-video-auth", "effect"],
    note: "with Effect: `TokenService` and `BearerClient` alone",
    source: `${effectImports}
import * as ApiVideo from "${built}/api-video/ApiVideo.js"
import * as BearerClient from "${built}/platform/BearerClient.js"
import * as TokenService from "${built}/token/TokenService.js"

const program = Effect.gen(function*() {
  const provider = yield* ApiVideo.provider({ apiKey: Redacted.make("key") })
  const tokens = yield* TokenService.make({ provider })
  const api = BearerClient.make(tokens, { origins: ["https://ws.api.video"] })(yield* HttpClient.HttpClient)
  return yield* (yield* api.get("https://ws.api.video/videos")).json
})
Effect.runPromise(Effect.provide(Effect.scoped(program), FetchHttpClient.layer)).then(console.log)`
  },
  {
    subject: "Effect HttpClient",
    packages: ["effect"],
    note: "limit: the same program, which sends the key itself",
    source: `${effectImports}
const program = Effect.gen(function*() {
  const key = Redacted.make("key")
  const api = HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.basicAuth(key, ""))
  return yield* (yield* api.get("https://ws.api.video/videos")).json
})
Effect.runPromise(Effect.provide(program, FetchHttpClient.layer)).then(console.log)`
  },
  {
    subject: "@api.video/nodejs-client",
    packages: ["@api.video/nodejs-client"],
    source: `
import ApiVideoClient from "@api.video/nodejs-client"

new ApiVideoClient({ apiKey: "key" }).videos.list().then(console.log)`
  },
  {
    subject: "google-auth-library",
    packages: ["google-auth-library"],
    source: `
import { OAuth2Client } from "google-auth-library"

const client = new OAuth2Client({ clientId: "id", clientSecret: "secret" })
client.setCredentials({ refresh_token: "token" })
client.request({ url: "https://api.example.com/videos" }).then(console.log)`
  },
  {
    subject: "@azure/msal-node",
    packages: ["@azure/msal-node"],
    note: "only the token",
    source: `
import { ConfidentialClientApplication } from "@azure/msal-node"

const application = new ConfidentialClientApplication({ auth: { clientId: "id", clientSecret: "secret" } })
const { accessToken } = await application.acquireTokenByClientCredential({ scopes: ["scope"] })
fetch("https://api.example.com/videos", { headers: { authorization: "Bearer " + accessToken } }).then(console.log)`
  },
  {
    subject: "@azure/core-rest-pipeline",
    packages: ["@azure/core-rest-pipeline"],
    note: "the exchange is the program's own",
    source: `
import {
  bearerTokenAuthenticationPolicy,
  createDefaultHttpClient,
  createPipelineFromOptions,
  createPipelineRequest
} from "@azure/core-rest-pipeline"

const getToken = async () => (await fetch("https://api.example.com/token", { method: "POST" })).json()
const pipeline = createPipelineFromOptions({})
pipeline.addPolicy(bearerTokenAuthenticationPolicy({ scopes: "videos", credential: { getToken } }))
const request = createPipelineRequest({ url: "https://api.example.com/videos" })
pipeline.sendRequest(createDefaultHttpClient(), request).then(console.log)`
  },
  {
    subject: "@smithy/core",
    packages: ["@smithy/core"],
    note: "only the memoization",
    source: `
import { doesIdentityRequireRefresh, isIdentityExpired, memoizeIdentityProvider } from "@smithy/core"

const logIn = async () => (await fetch("https://api.example.com/token", { method: "POST" })).json()
const getToken = memoizeIdentityProvider(logIn, isIdentityExpired, doesIdentityRequireRefresh)
const { token } = await getToken()
fetch("https://api.example.com/videos", { headers: { authorization: "Bearer " + token } }).then(console.log)`
  },
  {
    subject: "simple-oauth2",
    packages: ["simple-oauth2"],
    note: "only the token",
    source: `
import { ClientCredentials } from "simple-oauth2"

const client = new ClientCredentials({ client: { id: "id", secret: "secret" }, auth: { tokenHost: "https://api.example.com" } })
const { token } = await client.getToken({})
fetch("https://api.example.com/videos", { headers: { authorization: "Bearer " + token.access_token } }).then(console.log)`
  },
  {
    subject: "@badgateway/oauth2-client",
    packages: ["@badgateway/oauth2-client"],
    source: `
import { OAuth2Client, OAuth2Fetch } from "@badgateway/oauth2-client"

const client = new OAuth2Client({ server: "https://api.example.com", clientId: "id", clientSecret: "secret" })
const oauth2 = new OAuth2Fetch({ client, getNewToken: () => client.clientCredentials() })
oauth2.fetch("https://api.example.com/videos").then(console.log)`
  },
  {
    subject: "axios-auth-refresh",
    packages: ["axios-auth-refresh", "axios"],
    note: "with axios; the exchange is the program's own",
    source: `
import axios from "axios"
import { createAuthRefresh } from "axios-auth-refresh"

const api = axios.create({ baseURL: "https://api.example.com" })
createAuthRefresh(api, async (failed) => {
  const { data } = await axios.post("https://api.example.com/token")
  failed.response.config.headers.Authorization = "Bearer " + data.access_token
})
api.get("/videos").then(console.log)`
  },
  {
    subject: "ky",
    packages: ["ky"],
    note: "the exchange is the program's own",
    source: `
import ky from "ky"

const api = ky.create({
  hooks: {
    afterResponse: [
      async ({ request, response }) => {
        if (response.status !== 401) return
        const { access_token } = await ky.post("https://api.example.com/token").json()
        request.headers.set("authorization", "Bearer " + access_token)
        return ky(request)
      }
    ]
  }
})
api.get("https://api.example.com/videos").json().then(console.log)`
  }
]

/** The modules that a program imports. */
export const importsOf = ({ source }: Program): ReadonlyArray<string> =>
  [...source.matchAll(/^(?:import|\}) .*?from "(.+)"$/gm)].flatMap(([, module]) =>
    module === undefined ? [] : [module]
  )
