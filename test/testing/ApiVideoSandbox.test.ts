import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import * as Base64Url from "effect/encoding/Base64Url"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { publicKey } from "effect-video-auth/testing/SandboxTokens"
import { connect } from "node:net"
import { inspect } from "node:util"

const key = "your_api_key"
const basic = `Basic ${btoa(`${key}:`)}`

// Redirects are shown, not followed; a client that announces its trace would blur the ledger.
const Client = Layer.mergeAll(
  FetchHttpClient.layer,
  Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }),
  Layer.succeed(HttpClient.TracerPropagationEnabled, false)
)

const test = <A, E>(
  name: string,
  body: Effect.Effect<A, E, Sandbox.ApiVideoSandbox | HttpClient.HttpClient | Scope.Scope>,
  options?: Sandbox.Options
) => it.effect(name, () => Effect.provide(body, [Sandbox.layer(options), Client]))

interface Init {
  readonly json?: unknown
  readonly text?: string
  readonly form?: FormData
  readonly authorization?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

const call = Effect.fn("call")(function* (
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS",
  path: string,
  { authorization, form, headers, json, text }: Init = {}
) {
  const { url } = yield* Sandbox.ApiVideoSandbox
  let request = HttpClientRequest.make(method)(`${url}${path}`)
  if (json !== undefined) request = HttpClientRequest.bodyJsonUnsafe(request, json)
  if (text !== undefined) request = HttpClientRequest.bodyText(request, text, "application/json")
  if (form !== undefined) request = HttpClientRequest.bodyFormData(request, form)
  if (headers !== undefined) request = HttpClientRequest.setHeaders(request, headers)
  if (authorization !== undefined) request = HttpClientRequest.setHeader(request, "authorization", authorization)
  const response = yield* HttpClient.execute(request)
  const body = yield* response.text
  const isJson = /json/.test(response.headers["content-type"] ?? "")
  return { status: response.status, headers: response.headers, text: body, json: isJson ? parse(body) : undefined }
})

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const Pair = Schema.Struct({
  token_type: Schema.String,
  expires_in: Schema.Finite,
  access_token: Schema.String,
  refresh_token: Schema.optional(Schema.String)
})
const decodePair = Schema.decodeUnknownEffect(Pair)
const decodeVideo = Schema.decodeUnknownEffect(Schema.Struct({ videoId: Schema.String, source: Schema.Unknown }))
const decodeUploadToken = Schema.decodeUnknownEffect(
  Schema.Struct({ token: Schema.String, ttl: Schema.Finite, expiresAt: Schema.optional(Schema.String) })
)

const postLogin = (apiKey: unknown = key) => call("POST", "/auth/api-key", { json: { apiKey } })
const postRefresh = (refreshToken: unknown) => call("POST", "/auth/refresh", { json: { refreshToken } })
const login = (apiKey?: string) => Effect.flatMap(postLogin(apiKey), ({ json }) => decodePair(json))
const refresh = (token: string | undefined) => Effect.flatMap(postRefresh(token), ({ json }) => decodePair(json))
const list = (accessToken: string) => call("GET", "/videos", { authorization: `Bearer ${accessToken}` })
const ledger = Effect.flatMap(Sandbox.ApiVideoSandbox, (sandbox) => sandbox.ledger)
const inject = (on: Sandbox.Fault["on"], kind: Sandbox.FaultKind, times?: number) =>
  Sandbox.ApiVideoSandbox.use((sandbox) => sandbox.inject({ on, kind, times }))

const problem = (answer: { readonly status: number; readonly json: unknown }, status: number, slug: string) => {
  assert.strictEqual(answer.status, status)
  assert.deepInclude(answer.json, { type: `https://docs.api.video/reference/${slug}`, status })
}

const file = (content: string, fields: Readonly<Record<string, string>> = {}) => {
  const form = new FormData()
  form.append("file", new File([content], "film.mp4", { type: "video/mp4" }))
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  return form
}

const image = (fields: Readonly<Record<string, string>>) => {
  const form = new FormData()
  form.append("file", new File(["image"], "image.jpg"))
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  return form
}

const Id = Schema.optional(Schema.String)
const decodeIds = Schema.decodeUnknownEffect(Schema.Struct({ liveStreamId: Id, playerId: Id, watermarkId: Id }))

const createVideo = Effect.gen(function* () {
  const { json } = yield* call("POST", "/videos", { json: { title: "Maths video" }, authorization: basic })
  return yield* decodeVideo(json)
})
const createUploadToken = (body?: { readonly ttl: number }) =>
  Effect.flatMap(call("POST", "/upload-tokens", { json: body, authorization: basic }), ({ json }) =>
    decodeUploadToken(json)
  )

const upload = (query: string) => call("POST", `/upload${query}`, { form: file("film") })

const limit = (headers: Readonly<Record<string, string | undefined>>) =>
  ["limit", "remaining", "retry-after"].map((name) => headers[`x-ratelimit-${name}`])

const rewrite = (body: unknown) => ({ ...(typeof body === "object" ? body : {}), expires_in: "3600" })

const Claims = Schema.fromJsonString(
  Schema.Struct({
    iat: Schema.Finite,
    nbf: Schema.Finite,
    exp: Schema.Finite,
    jti: Schema.String,
    projectId: Schema.String
  })
)
const claims = (token: string) =>
  Effect.flatMap(
    Effect.fromResult(Base64Url.decodeString(token.split(".")[1] ?? "")),
    Schema.decodeUnknownEffect(Claims)
  )

describe("POST /auth/api-key", () => {
  test(
    "answers a key with a token pair",
    Effect.gen(function* () {
      const answer = yield* postLogin()
      assert.strictEqual(answer.status, 200)
      const pair = yield* decodePair(answer.json)
      assert.strictEqual(pair.token_type, "Bearer")
      assert.strictEqual(pair.expires_in, 3600)
      assert.match(pair.refresh_token ?? "", /^def50200[0-9a-f]+$/)
      assert.isUndefined(answer.headers["x-ratelimit-limit"])
    })
  )

  for (const documented of Sandbox.defaultApiKeys) {
    test(`accepts the documents' "${documented}"`, login(documented))
  }

  test(
    "refuses a wrong key exactly as documented",
    Effect.gen(function* () {
      const answer = yield* postLogin("wrong")
      assert.match(answer.headers["content-type"] ?? "", /^application\/problem\+json/)
      assert.deepStrictEqual(answer.json, {
        type: "https://docs.api.video/reference/authentication-invalid-user-credentials",
        title: "The user credentials were incorrect.",
        name: "",
        status: 400
      })
    })
  )

  test(
    "refuses a key of the other environment with 401",
    Effect.gen(function* () {
      problem(yield* postLogin("production-key"), 401, "authentication-invalid-api-key")
    }),
    { otherEnvironmentKeys: ["production-key"] }
  )

  test(
    "refuses bodies that are not JSON, miss the key or mistype it with 400",
    Effect.gen(function* () {
      problem(yield* call("POST", "/auth/api-key", { text: "{'apiKey'" }), 400, "invalid-payload")
      problem(yield* call("POST", "/auth/api-key", { json: {} }), 400, "attribute-required")
      problem(yield* postLogin(7), 400, "invalid-attribute")
    })
  )

  test(
    "issues RS256 JWTs with fractional times, which its public key verifies",
    Effect.gen(function* () {
      const { access_token } = yield* login()
      const [header = "", payload = "", signature = ""] = access_token.split(".")
      const publicHalf = yield* publicKey
      const bytes = yield* Effect.fromResult(Base64Url.decode(signature))
      const verified = yield* Effect.promise(() =>
        crypto.subtle.verify(
          "RSASSA-PKCS1-v1_5",
          publicHalf,
          Uint8Array.from(bytes),
          new TextEncoder().encode(`${header}.${payload}`)
        )
      )
      assert.isTrue(verified)
      const { exp, iat } = yield* claims(access_token)
      assert.isFalse(Number.isInteger(iat))
      assert.closeTo(exp - iat, 3600, 0.001)
    })
  )
})

describe("POST /auth/refresh", () => {
  test(
    "answers a refresh token with a new pair, both tokens new",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refresh_token)
      assert.notStrictEqual(second.access_token, first.access_token)
      assert.notStrictEqual(second.refresh_token, first.refresh_token)
      assert.strictEqual((yield* list(first.access_token)).status, 200)
      assert.strictEqual((yield* list(second.access_token)).status, 200)
    })
  )

  test(
    "refuses an unknown token, and bodies without one",
    Effect.gen(function* () {
      problem(yield* postRefresh("def50200ff"), 400, "authentication-invalid-user-credentials")
      problem(yield* call("POST", "/auth/refresh", { json: { refresh_token: "x" } }), 400, "attribute-required")
      problem(yield* call("POST", "/auth/refresh", { text: "" }), 400, "invalid-payload")
    })
  )
})

describe("switches", () => {
  test(
    "reuse detection: a refresh token sent again revokes everything of its login",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refresh_token)
      problem(yield* postRefresh(first.refresh_token), 400, "authentication-invalid-user-credentials")
      problem(yield* postRefresh(second.refresh_token), 400, "authentication-invalid-user-credentials")
      problem(yield* list(second.access_token), 401, "authentication-invalid-access-token")
    })
  )

  test(
    "without reuse detection a refresh token sent again is refused and nothing else happens",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refresh_token)
      problem(yield* postRefresh(first.refresh_token), 400, "authentication-invalid-user-credentials")
      assert.strictEqual((yield* list(second.access_token)).status, 200)
      yield* refresh(second.refresh_token)
    }),
    { detectsRefreshTokenReuse: false }
  )

  test(
    "a login kills earlier refresh tokens of its key, not those of another",
    Effect.gen(function* () {
      const other = yield* login("YOUR_API_KEY")
      const first = yield* login()
      yield* login()
      problem(yield* postRefresh(first.refresh_token), 400, "authentication-invalid-user-credentials")
      assert.strictEqual((yield* list(first.access_token)).status, 200)
      yield* refresh(other.refresh_token)
    })
  )

  test(
    "with loginSupersedesRefreshToken off, logins live side by side",
    Effect.gen(function* () {
      const first = yield* login()
      yield* login()
      yield* refresh(first.refresh_token)
    }),
    { loginSupersedesRefreshToken: false }
  )

  test(
    "with revokesAccessTokenOnRefresh a refresh kills the previous access token at once",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refresh_token)
      problem(yield* list(first.access_token), 401, "authentication-invalid-access-token")
      assert.strictEqual((yield* list(second.access_token)).status, 200)
    }),
    { revokesAccessTokenOnRefresh: true }
  )

  test(
    "without rotation the same refresh token comes back and goes on working",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refresh_token)
      assert.strictEqual(second.refresh_token, first.refresh_token)
      yield* refresh(first.refresh_token)
    }),
    { rotatesRefreshToken: false }
  )

  test(
    "with omitsRefreshToken answers carry none, and the held one is not spent",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const first = yield* login()
      yield* sandbox.configure({ omitsRefreshToken: true })
      assert.isUndefined((yield* refresh(first.refresh_token)).refresh_token)
      assert.isUndefined((yield* refresh(first.refresh_token)).refresh_token)
      assert.isUndefined((yield* login()).refresh_token)
    })
  )

  test(
    "a suspended account gets 403 everywhere",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const pair = yield* login()
      yield* sandbox.configure({ suspended: true })
      problem(yield* list(pair.access_token), 403, "authorization-suspended-account")
      problem(yield* postLogin(), 403, "authorization-suspended-account")
      problem(yield* postRefresh(pair.refresh_token), 403, "authorization-suspended-account")
      yield* sandbox.configure({ suspended: false })
      yield* refresh(pair.refresh_token)
    })
  )

  test(
    "accessTokenLifetime shows in expires_in and in the claims, and ends the token on the test's clock",
    Effect.gen(function* () {
      const pair = yield* login()
      assert.strictEqual(pair.expires_in, 90)
      const { exp, iat } = yield* claims(pair.access_token)
      assert.closeTo(exp - iat, 90, 0.001)
      yield* TestClock.adjust("89 seconds")
      assert.strictEqual((yield* list(pair.access_token)).status, 200)
      yield* TestClock.adjust("1 second")
      problem(yield* list(pair.access_token), 401, "authentication-invalid-access-token")
      assert.strictEqual((yield* ledger).expiredTokensReceived, 1)
    }),
    { accessTokenLifetime: "90 seconds" }
  )

  test(
    "clockSkew shows in iat, forward and back",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      yield* TestClock.adjust("1 hour")
      const ahead = yield* claims((yield* login()).access_token)
      assert.closeTo(ahead.iat, 3600 + 300, 0.001)
      yield* sandbox.configure({ clockSkew: Duration.seconds(-300) })
      const behind = yield* claims((yield* login()).access_token)
      assert.closeTo(behind.iat, 3600 - 300, 0.001)
    }),
    { clockSkew: "5 minutes" }
  )

  test(
    "revoked and expired access tokens, and revoked refresh tokens, are refused at once",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const first = yield* login()
      yield* sandbox.revokeAccessTokens
      problem(yield* list(first.access_token), 401, "authentication-invalid-access-token")
      const second = yield* refresh(first.refresh_token)
      yield* sandbox.expireAccessTokens
      problem(yield* list(second.access_token), 401, "authentication-invalid-access-token")
      yield* sandbox.revokeRefreshTokens
      problem(yield* postRefresh(second.refresh_token), 400, "authentication-invalid-user-credentials")
      assert.strictEqual((yield* ledger).expiredTokensReceived, 0)
    })
  )

  test(
    "keys rotate: an added key logs in, a removed one and its refresh tokens do not",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      const first = yield* login()
      yield* sandbox.addKey("new key")
      yield* sandbox.removeKey(key)
      problem(yield* postLogin(), 400, "authentication-invalid-user-credentials")
      problem(yield* postRefresh(first.refresh_token), 400, "authentication-invalid-user-credentials")
      assert.strictEqual((yield* list(first.access_token)).status, 200)
      yield* login("new key")
    })
  )
})

describe("authorization", () => {
  test(
    "Bearer and Basic are accepted, in any case of the scheme",
    Effect.gen(function* () {
      const { access_token } = yield* login()
      assert.strictEqual((yield* list(access_token)).status, 200)
      assert.strictEqual((yield* call("GET", "/videos", { authorization: `bearer ${access_token}` })).status, 200)
      assert.strictEqual((yield* call("GET", "/videos", { authorization: basic })).status, 200)
    })
  )

  const refusals = [
    ["no header", undefined, "authentication-missing-authorization-header"],
    ["no scheme", "xxXXX.Yyyyyy", "authentication-invalid-authorization-header-value"],
    ["Basic without its blank", basic.replace(" ", ""), "authentication-invalid-authorization-header-value"],
    ["Basic without its colon", `Basic ${btoa(key)}`, "authentication-invalid-authorization-header-value"],
    ["Basic with a wrong key", `Basic ${btoa("wrong:")}`, "authentication-invalid-api-key"],
    ["an unknown bearer", "Bearer abc.def.ghi", "authentication-invalid-access-token"],
    ["the API key as bearer", "Bearer YOUR_API_KEY", "authentication-invalid-access-token"]
  ] as const
  for (const [name, authorization, slug] of refusals) {
    test(
      `${name}: 401 ${slug}`,
      Effect.gen(function* () {
        problem(yield* call("GET", "/videos", { authorization }), 401, slug)
        assert.strictEqual((yield* ledger).unauthorized, 1)
      })
    )
  }
})

describe("videos", () => {
  test(
    "a video is created, read, changed and deleted",
    Effect.gen(function* () {
      const created = yield* call("POST", "/videos", { json: { title: "Maths", tags: ["a"] }, authorization: basic })
      assert.strictEqual(created.status, 201)
      const path = `/videos/${(yield* decodeVideo(created.json)).videoId}`
      assert.deepInclude((yield* call("GET", path, { authorization: basic })).json, { title: "Maths", tags: ["a"] })
      const changed = yield* call("PATCH", path, { json: { title: "Physics" }, authorization: basic })
      assert.strictEqual(changed.status, 200)
      assert.deepInclude(changed.json, { title: "Physics", tags: ["a"] })
      assert.strictEqual((yield* call("DELETE", path, { authorization: basic })).status, 204)
      for (const method of ["GET", "PATCH", "DELETE"] as const) {
        const gone = yield* call(method, path, { authorization: basic, ...(method === "PATCH" ? { json: {} } : {}) })
        problem(gone, 404, "resource-not-found")
        assert.deepInclude(gone.json, { name: "videoId" })
      }
    })
  )

  test(
    "a video without a title, or with attributes of a wrong type, is refused with 400 and the attribute's name",
    Effect.gen(function* () {
      const untitled = yield* call("POST", "/videos", { json: {}, authorization: basic })
      problem(untitled, 400, "attribute-required")
      assert.deepInclude(untitled.json, { name: "title" })
      const mistyped = yield* call("POST", "/videos", { json: { title: "x", tags: "a" }, authorization: basic })
      problem(mistyped, 400, "invalid-attribute")
      assert.deepInclude(mistyped.json, { name: "tags", title: "This attribute must be an array." })
      problem(yield* call("POST", "/videos", { text: "[", authorization: basic }), 400, "invalid-payload")
    })
  )

  test(
    "lists come in pages, whose links are relative and absolute",
    Effect.gen(function* () {
      const { url } = yield* Sandbox.ApiVideoSandbox
      yield* Effect.forEach(Array.from({ length: 25 }), () => createVideo, { concurrency: 5 })
      const { json } = yield* call("GET", "/videos?currentPage=2&pageSize=10", { authorization: basic })
      assert.deepNestedInclude(json, {
        pagination: {
          currentPage: 2,
          currentPageItems: 10,
          pageSize: 10,
          pagesTotal: 3,
          itemsTotal: 25,
          links: [
            { rel: "self", uri: "/videos?currentPage=2&pageSize=10" },
            { rel: "first", uri: "/videos?currentPage=1&pageSize=10" },
            { rel: "previous", uri: `${url}/videos?currentPage=1&pageSize=10` },
            { rel: "next", uri: `${url}/videos?currentPage=3&pageSize=10` },
            { rel: "last", uri: "/videos?currentPage=3&pageSize=10" }
          ]
        }
      })
    })
  )

  test(
    "a page out of range is refused as documented: a name, a range, no type",
    Effect.gen(function* () {
      const answer = yield* call("GET", "/videos?currentPage=0&pageSize=101", { authorization: basic })
      const title = "This parameter is out of the allowed range of values."
      assert.deepStrictEqual(answer.json, {
        title,
        name: "page",
        status: 400,
        range: { min: 1 },
        problems: [
          { title, name: "page", range: { min: 1 } },
          { title, name: "pageSize", range: { min: 1, max: 100 } }
        ]
      })
    })
  )

  test(
    "a source is uploaded once",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      const path = `/videos/${videoId}/source`
      const uploaded = yield* call("POST", path, { form: file("film"), authorization: basic })
      assert.strictEqual(uploaded.status, 201)
      assert.deepInclude(yield* decodeVideo(uploaded.json), { videoId })
      problem(
        yield* call("POST", path, { form: file("film"), authorization: basic }),
        400,
        "video-source-already-uploaded"
      )
    })
  )

  test(
    "a source comes in parts; the same part twice is refused, the last completes it",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      const part = (range: string) =>
        call("POST", `/videos/${videoId}/source`, {
          form: file("part"),
          authorization: basic,
          headers: { "content-range": range }
        })
      assert.strictEqual((yield* part("part 1/*")).status, 201)
      problem(yield* part("part 1/*"), 400, "video-content-range-by-part-part-already-sent")
      problem(yield* part("bytes 4-7/8"), 400, "video-content-range-started-with-part")
      problem(yield* part("part two"), 400, "video-content-range-malformed")
      problem(yield* part("part 0/2"), 400, "video-content-range-by-part-part-zero")
      problem(yield* part("part 3/2"), 400, "video-content-range-by-part-part-too-high-total")
      assert.strictEqual((yield* part("part 2/2")).status, 201)
      problem(yield* part("part 2/2"), 400, "video-source-already-uploaded")
    }),
    { minimumPartSize: 0 }
  )

  test(
    "a source comes by bytes; the length must be the file's",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      const bytes = (range: string) =>
        call("POST", `/videos/${videoId}/source`, {
          form: file("part"),
          authorization: basic,
          headers: { "content-range": range }
        })
      problem(yield* bytes("bytes 0-4/8"), 400, "video-content-range-by-bytes-range-mismatch")
      assert.strictEqual((yield* bytes("bytes 0-3/8")).status, 201)
      problem(yield* bytes("bytes 2-5/8"), 400, "video-content-range-by-bytes-range-overlap")
      assert.strictEqual((yield* bytes("bytes 4-7/8")).status, 201)
    }),
    { minimumPartSize: 0 }
  )

  test(
    "a part below 5 MiB is refused unless it is the last",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      const answer = yield* call("POST", `/videos/${videoId}/source`, {
        form: file("part"),
        authorization: basic,
        headers: { "content-range": "part 1/2" }
      })
      problem(answer, 400, "video-content-range-by-part-uploaded-file-too-small")
    })
  )

  test(
    "a source without a file is refused",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      const path = `/videos/${videoId}/source`
      problem(yield* call("POST", path, { json: {}, authorization: basic }), 400, "uploaded-file-no-file")
      problem(yield* call("POST", path, { form: file(""), authorization: basic }), 400, "uploaded-file-empty")
    })
  )
})

describe("the status of a video", () => {
  const send = (videoId: string, range: string | undefined, bytes: number, field = "file") => {
    const form = new FormData()
    form.append(field, new Blob([new Uint8Array(bytes)]), "video.mp4")
    return call("POST", `/videos/${videoId}/source`, {
      authorization: basic,
      form,
      headers: range === undefined ? {} : { "content-range": range }
    })
  }
  const created = Effect.map(call("POST", "/videos", { authorization: basic, json: { title: "a" } }), ({ json }) => {
    const { videoId } = Object(json)
    return String(videoId)
  })
  const ingestOf = (videoId: string) =>
    Effect.map(call("GET", `/videos/${videoId}/status`, { authorization: basic }), ({ json }) => Object(json).ingest)

  test(
    "says which bytes have arrived",
    Effect.gen(function* () {
      const videoId = yield* created
      yield* send(videoId, "bytes 4-7/9", 4)
      yield* send(videoId, "bytes 0-3/9", 4)
      assert.deepInclude(yield* ingestOf(videoId), {
        status: "uploading",
        receivedBytes: [
          { from: 0, to: 3, total: 9 },
          { from: 4, to: 7, total: 9 }
        ]
      })
      yield* send(videoId, "bytes 8-8/9", 1)
      assert.deepInclude(yield* ingestOf(videoId), { status: "uploaded" })
    }),
    { minimumPartSize: 4 }
  )

  test(
    "says which parts have arrived",
    Effect.gen(function* () {
      const videoId = yield* created
      yield* send(videoId, "part 2/*", 4)
      assert.deepInclude(yield* ingestOf(videoId), {
        status: "uploading",
        receivedParts: { parts: [2], total: null }
      })
    }),
    { minimumPartSize: 4 }
  )

  test(
    "takes a file whatever its field is called, as the official client for Node sends it",
    Effect.gen(function* () {
      const videoId = yield* created
      assert.strictEqual((yield* send(videoId, undefined, 4, "video.mp4")).status, 201)
      assert.deepInclude(yield* ingestOf(videoId), { status: "uploaded" })
    })
  )

  test(
    "finds videos by their metadata",
    Effect.gen(function* () {
      const metadata = [{ key: "Author", value: "J & D" }]
      yield* call("POST", "/videos", { authorization: basic, json: { title: "a", metadata } })
      yield* created
      const { json } = yield* call("GET", "/videos?metadata%5BAuthor%5D=J%20%26%20D", { authorization: basic })
      assert.strictEqual(Object(json).data.length, 1)
    })
  )
})

describe("upload tokens", () => {
  test(
    "a token is created, shown, listed and deleted",
    Effect.gen(function* () {
      const { expiresAt, token, ttl } = yield* createUploadToken()
      assert.strictEqual(ttl, 0)
      assert.isUndefined(expiresAt)
      const path = `/upload-tokens/${token}`
      assert.deepInclude((yield* call("GET", path, { authorization: basic })).json, { token })
      assert.nestedInclude((yield* call("GET", "/upload-tokens", { authorization: basic })).json, {
        "data[0].token": token
      })
      assert.strictEqual((yield* call("DELETE", path, { authorization: basic })).status, 204)
      problem(yield* call("GET", path, { authorization: basic }), 404, "resource-not-found")
    })
  )

  test(
    "a ttl out of range is refused with its range",
    Effect.gen(function* () {
      const answer = yield* call("POST", "/upload-tokens", { json: { ttl: -1 }, authorization: basic })
      problem(answer, 400, "invalid-attribute")
      assert.deepInclude(answer.json, { name: "ttl", range: { min: 0, max: 2_147_483_647 } })
    })
  )

  test(
    "an upload needs its token only",
    Effect.gen(function* () {
      const { token } = yield* createUploadToken()
      const answer = yield* call("POST", `/upload?token=${token}`, { form: file("film") })
      assert.strictEqual(answer.status, 201)
      assert.deepInclude(answer.json, { title: "film.mp4" })
    })
  )

  test(
    "a missing, wrong, deleted or expired upload token is refused with 401",
    Effect.gen(function* () {
      const { token } = yield* createUploadToken({ ttl: 60 })
      problem(yield* upload(""), 401, "authentication-missing-upload-token")
      problem(yield* upload("?token=wrong"), 401, "authentication-invalid-upload-token")
      assert.strictEqual((yield* upload(`?token=${token}`)).status, 201)
      yield* TestClock.adjust("1 minute")
      problem(yield* upload(`?token=${token}`), 401, "authentication-invalid-upload-token")
    })
  )

  test(
    "a later part with the videoId of the first answer continues its video, one without starts another",
    Effect.gen(function* () {
      const { token } = yield* createUploadToken()
      const part = (range: string, fields?: Readonly<Record<string, string>>) =>
        call("POST", `/upload?token=${token}`, { form: file("part", fields), headers: { "content-range": range } })
      const first = yield* decodeVideo((yield* part("part 1/3")).json)
      const second = yield* decodeVideo((yield* part("part 2/3", { videoId: first.videoId })).json)
      const stray = yield* decodeVideo((yield* part("part 3/3")).json)
      assert.strictEqual(second.videoId, first.videoId)
      assert.notStrictEqual(stray.videoId, first.videoId)
      problem(yield* part("part 3/3", { videoId: "vi0" }), 404, "resource-not-found")
    }),
    { minimumPartSize: 0 }
  )
})

describe("routes", () => {
  test(
    "an unknown operation is refused, and named",
    Effect.gen(function* () {
      for (const [method, path] of [
        ["GET", "/foobar"],
        ["DELETE", "/videos"],
        ["GET", "/auth/api-key"]
      ] as const) {
        const answer = yield* call(method, path, { authorization: basic })
        assert.strictEqual(answer.status, 501)
        const title = `The sandbox does not simulate the operation ${method} ${path}.`
        assert.deepInclude(answer.json, { title, name: `${method} ${path}` })
      }
    })
  )

  const unknown: ReadonlyArray<readonly [name: string, what: string, call: ReturnType<typeof call>]> = [
    ["colour", "query parameter", call("GET", "/videos?title=a&colour=red", { authorization: basic })],
    ["tags", "query parameter", call("GET", "/videos/vi1/captions?tags[]=a", { authorization: basic })],
    [
      "filterBy[planet]",
      "query parameter",
      call("GET", "/data/metrics/play/count?filterBy[planet]=mars", { authorization: basic })
    ],
    ["a", "query parameter", call("GET", "/videos/vi1?a", { authorization: basic })],
    ["colour", "body field", call("POST", "/videos", { json: { title: "a", colour: "red" }, authorization: basic })],
    [
      "clip[speed]",
      "body field",
      call("POST", "/videos", { json: { title: "a", clip: { speed: 2 } }, authorization: basic })
    ],
    ["force", "body field", call("DELETE", "/videos/vi1", { json: { force: true }, authorization: basic })],
    ["colour", "form field", call("POST", "/watermarks", { form: image({ colour: "red" }), authorization: basic })]
  ]

  for (const [name, what, request] of unknown) {
    test(
      `the unknown ${what} ${name} is refused, and named`,
      Effect.gen(function* () {
        const answer = yield* request
        assert.strictEqual(answer.status, 501)
        assert.deepInclude(answer.json, { name })
        assert.include(answer.text, `The sandbox does not simulate the ${what} ${name} of `)
      })
    )
  }

  test(
    "a body cannot name what does not exist",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      const created = (path: string, input: Parameters<typeof call>[2]) =>
        Effect.flatMap(call("POST", path, { ...input, authorization: basic }), ({ json }) => decodeIds(json))
      const { liveStreamId } = yield* created("/live-streams", { json: { name: "a" } })
      for (const [method, path, body, name] of [
        ["POST", "/videos", { title: "a", playerId: "pl1" }, "playerId"],
        ["POST", "/videos", { title: "a", watermark: { id: "watermark_1" } }, "watermark[id]"],
        ["POST", "/videos", { title: "a", source: "vi0" }, "source"],
        ["PATCH", `/videos/${videoId}`, { playerId: "pl1" }, "playerId"],
        ["POST", "/live-streams", { name: "a", playerId: "pl1" }, "playerId"],
        ["PATCH", `/live-streams/${liveStreamId}`, { playerId: "pl1" }, "playerId"]
      ] as const) {
        const answer = yield* call(method, path, { json: body, authorization: basic })
        problem(answer, 400, "invalid-attribute")
        assert.deepInclude(answer.json, { name })
      }
      const { playerId } = yield* created("/players", { json: { name: "a" } })
      const { watermarkId } = yield* created("/watermarks", { form: image({}) })
      const known = { title: "a", playerId, watermark: { id: watermarkId } }
      assert.strictEqual((yield* call("POST", "/videos", { json: known, authorization: basic })).status, 201)
    })
  )

  test(
    "a video is created, or accepted if its source has yet to be fetched",
    Effect.gen(function* () {
      const create = (json: object) =>
        Effect.map(call("POST", "/videos", { json, authorization: basic }), ({ status }) => status)
      assert.strictEqual(yield* create({ title: "a" }), 201)
      assert.strictEqual(yield* create({ title: "a", source: "https://example.com/a.mp4" }), 202)
    })
  )

  test(
    "a known parameter of another form is refused, and named",
    Effect.gen(function* () {
      for (const query of ["sortBy=colour", "tags=a", "title[]=a", "title=a&title=b"]) {
        const answer = yield* call("GET", `/videos?${query}`, { authorization: basic })
        problem(answer, 400, "request-invalid-query-parameter")
        assert.deepInclude(answer.json, { name: /^\w+/.exec(query)?.[0] })
      }
    })
  )

  test(
    "HEAD answers as GET, without a body",
    Effect.gen(function* () {
      const answer = yield* call("HEAD", "/videos", { authorization: basic })
      assert.deepInclude(answer, { status: 200, text: "" })
    })
  )

  test(
    "a browser's preflight is answered, and answers may be read from any origin",
    Effect.gen(function* () {
      const preflight = yield* call("OPTIONS", "/videos", {
        headers: { "access-control-request-headers": "authorization,content-type" }
      })
      assert.strictEqual(preflight.status, 204)
      assert.strictEqual(preflight.headers["access-control-allow-headers"], "authorization,content-type")
      assert.strictEqual((yield* call("GET", "/videos")).headers["access-control-allow-origin"], "*")
      assert.strictEqual((yield* ledger).requests, 1)
    })
  )
})

describe("rate limits", () => {
  test(
    "every API answer tells limit, remaining and seconds to the reset, by class",
    Effect.gen(function* () {
      const { videoId } = yield* createVideo
      assert.deepStrictEqual(limit((yield* call("GET", "/videos", { authorization: basic })).headers), [
        "100",
        "99",
        "60"
      ])
      yield* TestClock.adjust("20 seconds")
      const uploaded = yield* call("POST", `/videos/${videoId}/source`, { form: file("film"), authorization: basic })
      assert.deepStrictEqual(limit(uploaded.headers), ["40", "39", "40"])
    })
  )

  test(
    "production has its own documented limits",
    Effect.gen(function* () {
      const { headers } = yield* call("GET", "/videos", { authorization: basic })
      assert.strictEqual(headers["x-ratelimit-limit"], "500")
    }),
    { environment: "production" }
  )

  test(
    "beyond the limit it is 429 until the window ends; other classes and /auth go on",
    Effect.gen(function* () {
      const read = call("GET", "/videos", { authorization: basic })
      yield* read
      yield* read
      yield* TestClock.adjust("15 seconds")
      const refused = yield* read
      problem(refused, 429, "too-many-requests")
      assert.deepStrictEqual(limit(refused.headers), ["2", "0", "45"])
      yield* createVideo
      yield* login()
      yield* TestClock.adjust("45 seconds")
      assert.strictEqual((yield* read).status, 200)
    }),
    { rateLimits: { uploads: 1, writes: 1, reads: 2 } }
  )
})

describe("faults", () => {
  test(
    "Latency waits on the layer's clock, then answers",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Latency", duration: "10 seconds" })
      const fiber = yield* Effect.forkChild(login())
      yield* arrived(1)
      assert.strictEqual((yield* ledger).loginsAccepted, 0)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
    })
  )

  test(
    "Latency after processing holds back an answer that exists",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Latency", duration: "10 seconds", when: "after" })
      const fiber = yield* Effect.forkChild(login())
      yield* until(Effect.map(ledger, ({ loginsAccepted }) => loginsAccepted === 1))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
    })
  )

  test(
    "DropBefore breaks the connection and leaves the refresh token unspent, though seen",
    Effect.gen(function* () {
      const pair = yield* login()
      yield* inject("refresh", { _tag: "DropBefore" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(postRefresh(pair.refresh_token))))
      yield* refresh(pair.refresh_token)
      const seen = yield* ledger
      assert.deepStrictEqual(seen.refreshTokensSentTwice, ["refresh token #1"])
      assert.deepInclude(seen, { refreshes: 2, refreshesAccepted: 1 })
      assert.deepInclude(seen.entries[1], { fault: "DropBefore", status: undefined })
    })
  )

  test(
    "DropAfter breaks the connection when the refresh token is spent",
    Effect.gen(function* () {
      const pair = yield* login()
      yield* inject("refresh", { _tag: "DropAfter" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(postRefresh(pair.refresh_token))))
      assert.strictEqual((yield* ledger).refreshesAccepted, 1)
      problem(yield* postRefresh(pair.refresh_token), 400, "authentication-invalid-user-credentials")
    })
  )

  test(
    "Hang does not answer, nor process, until the client leaves",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Hang" })
      const fiber = yield* Effect.forkChild(login())
      yield* arrived(1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* ledger).loginsAccepted, 0)
      yield* login()
    })
  )

  test(
    "Status gives any status, body and headers; processed only on request",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Status", status: 503, body: "busy", headers: { "retry-after": "7" } })
      const busy = yield* postLogin()
      assert.deepInclude(busy, { status: 503, text: "busy" })
      assert.strictEqual(busy.headers["retry-after"], "7")
      assert.strictEqual((yield* ledger).loginsAccepted, 0)
      yield* inject("login", { _tag: "Status", status: 504, processed: true })
      assert.deepInclude(yield* postLogin(), { status: 504, text: "" })
      assert.strictEqual((yield* ledger).loginsAccepted, 1)
    })
  )

  test(
    "RateLimited is api.video's 429 with its headers",
    Effect.gen(function* () {
      yield* inject("api", { _tag: "RateLimited", retryAfter: 17 })
      const answer = yield* call("GET", "/videos", { authorization: basic })
      problem(answer, 429, "too-many-requests")
      assert.strictEqual(answer.headers["x-ratelimit-retry-after"], "17")
      assert.isUndefined(answer.headers["retry-after"])
    })
  )

  test(
    "Html is a proxy's page, with 200 as well",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Html", status: 200 })
      const answer = yield* postLogin()
      assert.strictEqual(answer.status, 200)
      assert.match(answer.headers["content-type"] ?? "", /^text\/html/)
      assert.match(answer.text, /^<!DOCTYPE html>/)
    })
  )

  test(
    "TruncatedJson processes, then sends half of the body with 200",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "TruncatedJson" })
      const answer = yield* postLogin()
      assert.strictEqual(answer.status, 200)
      assert.match(answer.text, /^\{"token_type"/)
      assert.isUndefined(answer.json)
      assert.strictEqual((yield* ledger).loginsAccepted, 1)
    })
  )

  test(
    "Echo repeats the request's body, so the key, in title and detail",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Echo", status: 400 })
      const answer = yield* postLogin("planted-secret")
      assert.strictEqual(answer.status, 400)
      assert.deepInclude(answer.json, { detail: '{"apiKey":"planted-secret"}' })
      assert.include(answer.text.split('"detail"')[0], "planted-secret")
    })
  )

  test(
    "Json gives any body",
    Effect.gen(function* () {
      const body = { token_type: "mac", expires_in: -1 }
      yield* inject("login", { _tag: "Json", status: 200, body })
      assert.deepStrictEqual((yield* postLogin()).json, body)
    })
  )

  test(
    "Rewrite changes a regular answer, whose tokens work",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Rewrite", rewrite })
      const { json } = yield* postLogin()
      assert.deepInclude(json, { expires_in: "3600" })
      const token = yield* Schema.decodeUnknownEffect(Schema.Struct({ access_token: Schema.String }))(json)
      assert.strictEqual((yield* list(token.access_token)).status, 200)
    })
  )

  test(
    "Redirect points elsewhere",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Redirect", location: "http://elsewhere.example/", status: 307 })
      const answer = yield* postLogin()
      assert.strictEqual(answer.status, 307)
      assert.strictEqual(answer.headers["location"], "http://elsewhere.example/")
    })
  )

  test(
    "faults are served in order, as often as asked, to the requests they are meant for, until cleared",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      yield* inject((method, path) => method === "GET" && path === "/videos", { _tag: "Status", status: 500 }, 2)
      yield* inject("any", { _tag: "Status", status: 502 }, Infinity)
      const read = Effect.map(call("GET", "/videos?title=x", { authorization: basic }), ({ status }) => status)
      assert.strictEqual((yield* postLogin()).status, 502)
      assert.deepStrictEqual([yield* read, yield* read, yield* read, yield* read], [500, 500, 502, 502])
      yield* sandbox.clearFaults
      assert.strictEqual(yield* read, 200)
    })
  )
})

describe("ledger", () => {
  test(
    "counts requests, exchanges and answers apart",
    Effect.gen(function* () {
      const pair = yield* login()
      yield* postLogin("wrong")
      yield* refresh(pair.refresh_token)
      yield* list(pair.access_token)
      yield* call("GET", "/videos")
      assert.deepInclude(yield* ledger, {
        requests: 2,
        logins: 2,
        loginsAccepted: 1,
        refreshes: 1,
        refreshesAccepted: 1,
        unauthorized: 1,
        responses: { 200: 3, 400: 1, 401: 1 },
        refreshTokensSentTwice: [],
        expiredTokensReceived: 0,
        peakConcurrentExchanges: 1
      })
    })
  )

  test(
    "entries name the credential and selected headers, in order of arrival",
    Effect.gen(function* () {
      yield* TestClock.adjust("1 second")
      const { access_token } = yield* login()
      yield* call("GET", "/videos?title=Maths&pageSize=10", {
        authorization: `Bearer ${access_token}`,
        headers: { "av-origin-app": "app:1.0", "x-other": "y" }
      })
      yield* call("GET", "/videos", { authorization: "Bearer other" })
      const { entries } = yield* ledger
      assert.deepStrictEqual(
        entries.map(({ at, credential, hadAuthorization, path, query, status }) => [
          at,
          path,
          query,
          credential,
          hadAuthorization,
          status
        ]),
        [
          [1000, "/auth/api-key", [], "none", false, 200],
          [1000, "/videos", ["title", "pageSize"], "bearer #1", true, 200],
          [1000, "/videos", [], "unknown bearer", true, 401]
        ]
      )
      assert.strictEqual(entries[1]?.headers["av-origin-app"], "app:1.0")
      assert.notProperty(entries[1]?.headers, "x-other")
      assert.notProperty(entries[1]?.headers, "authorization")
    })
  )

  test(
    "peakConcurrentExchanges counts exchanges unanswered at one time",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Latency", duration: "1 second" }, 3)
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(login()))
      yield* arrived(3)
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(fibers)
      yield* login()
      assert.strictEqual((yield* ledger).peakConcurrentExchanges, 3)
    })
  )

  test(
    "holds no secret, wherever a client puts one",
    Effect.gen(function* () {
      const { token } = yield* createUploadToken()
      const pair = yield* login()
      yield* refresh(pair.refresh_token)
      yield* postLogin("planted-key")
      yield* call("GET", `/upload-tokens/${token}`, { authorization: basic })
      yield* call("POST", `/upload?token=${token}`, { form: file("film") })
      yield* call("GET", `/planted-key/${pair.access_token}?${pair.refresh_token}=1`, {
        authorization: `Bearer ${pair.access_token}`,
        headers: { "user-agent": `me ${pair.refresh_token} ${key} your API key here`, "av-origin-app": "planted-key" }
      })
      const shown = inspect(yield* ledger, { depth: null }) + JSON.stringify(yield* ledger)
      const secrets = [token, pair.access_token, pair.refresh_token, "planted-key", key, "your API key here", basic]
      for (const secret of secrets) assert.notInclude(shown, secret ?? "no refresh token")
    })
  )
})

describe("lifecycle", () => {
  it.effect("closing ends at once, with hanging requests and idle connections", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Sandbox.layer(), scope)
      yield* Effect.gen(function* () {
        const { url } = yield* Sandbox.ApiVideoSandbox
        yield* login()
        yield* inject("any", { _tag: "Hang" })
        const hanging = yield* Effect.forkChild(Effect.exit(login()))
        yield* arrived(2)
        const idle = connect(Number(new URL(url).port), "127.0.0.1")
        const ended = Effect.callback<void>((resume) => {
          idle.once("close", () => resume(Effect.void))
          idle.once("error", () => undefined)
        })
        yield* Effect.callback<void>((resume) => {
          idle.once("connect", () => resume(Effect.void))
        })
        const watching = yield* Effect.forkChild(ended, { startImmediately: true })
        // Under TestClock nothing that waits for a timeout would ever end.
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(Exit.isFailure(yield* Fiber.join(hanging)))
        yield* Fiber.join(watching)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(login())))
      }).pipe(Effect.provide([Layer.succeedContext(context), Client]))
    })
  )

  it.effect("a port in use is a typed failure", () =>
    Effect.gen(function* () {
      const { url } = yield* Sandbox.ApiVideoSandbox
      const error = yield* Effect.flip(Layer.build(Sandbox.layer({ port: Number(new URL(url).port) })))
      assert.deepInclude(error, { _tag: "ServeError" })
      assert.propertyVal(error.cause, "code", "EADDRINUSE")
    }).pipe(Effect.provide(Sandbox.layer()))
  )

  it.live("outside of tests, time is the machine's", () =>
    Effect.gen(function* () {
      const before = yield* Clock.currentTimeMillis
      const { iat } = yield* claims((yield* login()).access_token)
      assert.isAtLeast(iat * 1000, before)
    }).pipe(Effect.provide([Sandbox.layer(), Client]))
  )
})

/** Polls with turns of the event loop: real sockets know no TestClock. */
const until = (condition: Effect.Effect<boolean, never, Sandbox.ApiVideoSandbox>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  })

/** Waits until so many requests have arrived whole, faults taken. */
const arrived = (count: number) =>
  until(Effect.map(ledger, ({ entries }) => entries.filter(({ fault, status }) => fault ?? status).length >= count))
