import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Schema, type Scope } from "effect"
import * as Base64Url from "effect/encoding/Base64Url"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import { publicKey } from "effect-video-auth/testing/SandboxTokens"
import { inspect } from "node:util"

const username = "your_username"
const password = "your_password"

const wrongCredentials = "Your authentication credentials are invalid."
const wrongToken = "Your attempt to authenticate with the API failed. You'll need to fetch a new token and try again."

// Redirects are shown, not followed; a client that announces its trace would blur the ledger.
const Client = Layer.mergeAll(
  FetchHttpClient.layer,
  Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }),
  Layer.succeed(HttpClient.TracerPropagationEnabled, false)
)

const test = <A, E>(
  name: string,
  body: Effect.Effect<A, E, Sandbox.MovingImageSandbox | HttpClient.HttpClient | Scope.Scope>,
  options?: Sandbox.Options
) => it.effect(name, () => Effect.provide(body, [Sandbox.layer(options), Client]))

interface Init {
  readonly json?: unknown
  readonly token?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** A path of the sandbox, or a whole URL. */
const call = Effect.fn("call")(function* (
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS",
  path: string,
  { headers, json, token }: Init = {}
) {
  const { url } = yield* Sandbox.MovingImageSandbox
  let request = HttpClientRequest.make(method)(path.startsWith("/") ? url + path : path)
  if (typeof json === "string") request = HttpClientRequest.bodyText(request, json, "application/json")
  else if (json !== undefined) request = HttpClientRequest.bodyJsonUnsafe(request, json)
  if (token !== undefined) request = HttpClientRequest.bearerToken(request, token)
  if (headers !== undefined) request = HttpClientRequest.setHeaders(request, headers)
  const response = yield* HttpClient.execute(request)
  const text = yield* response.text
  const isJson = /json/.test(response.headers["content-type"] ?? "")
  return { status: response.status, headers: response.headers, text, json: isJson ? decodeText(text) : undefined }
})

const decodeText = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const VideoManagers = Schema.Array(Schema.Struct({ id: Schema.Finite, name: Schema.String }))
const Pair = Schema.Struct({
  accessToken: Schema.String,
  refreshToken: Schema.optional(Schema.String),
  videoManagerList: VideoManagers,
  validForVideoManager: Schema.NullOr(Schema.Union([Schema.String, Schema.Finite]))
})
const decodePair = Schema.decodeUnknownEffect(Pair)

const credentials = { username, password }
const postLogin = (json: unknown = credentials) => call("POST", "/v1/vms/auth/login", { json })
const postRefresh = (refreshToken: unknown, videoManager: number | string = 101) =>
  call("POST", `/v1/vms/auth/refresh/${videoManager}`, { json: { refreshToken } })
const login = (json?: unknown) => Effect.flatMap(postLogin(json), ({ json }) => decodePair(json))
const refresh = (token: string | undefined, videoManager?: number) =>
  Effect.flatMap(postRefresh(token, videoManager), ({ json }) => decodePair(json))
const list = (token: string | undefined, videoManager = 101) => call("GET", `/v1/vms/${videoManager}/videos`, { token })
const ledger = Effect.flatMap(Sandbox.MovingImageSandbox, (sandbox) => sandbox.ledger)
const inject = (on: Sandbox.Fault["on"], kind: Sandbox.FaultKind, times?: number) =>
  Sandbox.MovingImageSandbox.use((sandbox) => sandbox.inject({ on, kind, times }))

const refused = (answer: { readonly status: number; readonly json: unknown }, status: number, message: string) => {
  assert.strictEqual(answer.status, status)
  assert.deepStrictEqual(answer.json, { message })
}

const idIn = (location: string | undefined) => location?.split("/").at(-1) ?? "no Location"
const createVideo = (token: string, fields: object = {}) =>
  Effect.map(call("POST", "/v1/vms/101/videos", { json: { fileName: "film.mp4", ...fields }, token }), (answer) =>
    idIn(answer.headers["location"])
  )

const Claims = Schema.fromJsonString(
  Schema.Struct({ iat: Schema.Finite, exp: Schema.optional(Schema.Finite), typ: Schema.String })
)
const claims = (token: string | undefined) =>
  Effect.flatMap(
    Effect.fromResult(Base64Url.decodeString(token?.split(".")[1] ?? "")),
    Schema.decodeUnknownEffect(Claims)
  )

describe("POST /v1/vms/auth/login", () => {
  test(
    "answers as documented: two tokens, the VideoManagers, and the first of them in quotes",
    Effect.gen(function* () {
      const { json, status } = yield* postLogin()
      assert.strictEqual(status, 200)
      const { accessToken, refreshToken } = yield* decodePair(json)
      assert.deepStrictEqual(json, {
        accessToken,
        refreshToken,
        videoManagerList: [
          { id: 101, name: "Marketing" },
          { id: 102, name: "Training" }
        ],
        validForVideoManager: "101"
      })
    })
  )

  test(
    "issues RS256 JWTs of 5 minutes and 1 hour, which its public key verifies",
    Effect.gen(function* () {
      yield* TestClock.adjust("1500 millis")
      const pair = yield* login()
      const publicHalf = yield* publicKey
      for (const token of [pair.accessToken, pair.refreshToken ?? ""]) {
        const [header = "", payload = "", signature = ""] = token.split(".")
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
      }
      assert.deepInclude(yield* claims(pair.accessToken), { iat: 1, exp: 301, typ: "Bearer" })
      assert.deepInclude(yield* claims(pair.refreshToken), { iat: 1, exp: 3601, typ: "Refresh" })
    })
  )

  for (const account of Sandbox.defaultAccounts) {
    test(`accepts "${account.username}"`, login({ username: account.username, password: account.password }))
  }

  test(
    "refuses a wrong password and an unknown user in the same words",
    Effect.gen(function* () {
      refused(yield* postLogin({ username, password: "wrong" }), 401, wrongCredentials)
      refused(yield* postLogin({ username: "nobody", password }), 401, wrongCredentials)
      assert.deepInclude(yield* ledger, { logins: 2, loginsAccepted: 0, loginsRefused: 2 })
    })
  )

  test(
    "says of single quotes, as the documents print them, that they are not JSON",
    Effect.gen(function* () {
      const answer = yield* postLogin("{\n\t'username':'me', \n\t'password':'secret'\n}")
      refused(answer, 400, `The body is not JSON: single quotes (') around names and values must be double quotes (").`)
      assert.deepInclude(yield* ledger, { logins: 1, loginsRefused: 0 })
    })
  )

  test(
    "refuses bodies that are not JSON, miss a field or mistype it with 400, and other content types with 415",
    Effect.gen(function* () {
      refused(yield* postLogin("username=me"), 400, "The body is not JSON.")
      refused(yield* postLogin("[]"), 400, "The body is not a JSON object.")
      refused(yield* postLogin({ username }), 400, "password is missing, or not a string.")
      refused(yield* postLogin({ username: 7, password }), 400, "username is missing, or not a string.")
      const form = { json: "username=me", headers: { "content-type": "application/x-www-form-urlencoded" } }
      const answer = yield* call("POST", "/v1/vms/auth/login", form)
      refused(answer, 415, "The Content-Type must be application/json.")
    })
  )

  test(
    "an account without VideoManagers logs in, and may nothing",
    Effect.gen(function* () {
      const pair = yield* login({ username: "none", password })
      assert.deepInclude(pair, { videoManagerList: [], validForVideoManager: null })
      assert.deepStrictEqual((yield* call("GET", "/v1/vms", { token: pair.accessToken })).json, [])
      assert.strictEqual((yield* list(pair.accessToken)).status, 403)
      assert.strictEqual((yield* postRefresh(pair.refreshToken)).status, 403)
    }),
    { accounts: [{ username: "none", password, videoManagers: [] }] }
  )
})

describe("locks", () => {
  const guess = postLogin({ username, password: "wrong" })

  test(
    "five wrong passwords in a row lock the account, the right one is refused too, until it is unlocked",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      for (const _ of Array(5)) refused(yield* guess, 401, wrongCredentials)
      assert.deepInclude(yield* ledger, { accountsLocked: 1, loginsWhileLocked: 0 })
      refused(yield* postLogin(), 401, wrongCredentials)
      yield* guess
      assert.deepInclude(yield* ledger, { accountsLocked: 1, loginsWhileLocked: 2, loginsRefused: 7 })
      yield* sandbox.unlockAccount(username)
      yield* login()
    })
  )

  test(
    "a login in between starts the count anew",
    Effect.gen(function* () {
      yield* guess
      yield* login()
      yield* guess
      yield* login()
      assert.strictEqual((yield* ledger).accountsLocked, 0)
    }),
    { lockAfter: 2 }
  )

  test(
    "with lockAfter Infinity there is no lock",
    Effect.gen(function* () {
      for (const _ of Array(7)) yield* guess
      yield* login()
    }),
    { lockAfter: Infinity }
  )
})

describe("POST /v1/vms/auth/refresh/{videoManagerId}", () => {
  test(
    "answers with a new pair for the same VideoManager, without a bearer",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refreshToken)
      assert.notStrictEqual(second.accessToken, first.accessToken)
      assert.notStrictEqual(second.refreshToken, first.refreshToken)
      assert.strictEqual(second.validForVideoManager, "101")
      assert.strictEqual((yield* list(first.accessToken)).status, 200)
      assert.strictEqual((yield* list(second.accessToken)).status, 200)
    })
  )

  test(
    "switches to another VideoManager; both tokens live side by side, each for its own",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refreshToken, 102)
      assert.strictEqual(second.validForVideoManager, "102")
      const statuses = yield* Effect.forEach(
        [first, second].flatMap(({ accessToken }) => [101, 102].map((id) => list(accessToken, id))),
        Effect.map(({ status }) => status)
      )
      assert.deepStrictEqual(statuses, [200, 403, 403, 200])
    })
  )

  test(
    "refuses an unknown token with 401, a body without one with 400, and what is no number with 404",
    Effect.gen(function* () {
      const { refreshToken } = yield* login()
      refused(yield* postRefresh("unknown"), 401, wrongToken)
      refused(yield* postRefresh(undefined), 400, "refreshToken is missing, or not a string.")
      refused(yield* postRefresh(refreshToken, "all"), 404, "There is no such VideoManager.")
    })
  )

  test(
    "refuses a VideoManager that the account does not have, and does not spend the token",
    Effect.gen(function* () {
      const first = yield* login()
      refused(yield* postRefresh(first.refreshToken, 999), 403, "You have no access to VideoManager 999.")
      yield* refresh(first.refreshToken)
    })
  )

  test(
    "refuses a refresh token past its hour",
    Effect.gen(function* () {
      const first = yield* login()
      yield* TestClock.adjust("59 minutes")
      const second = yield* refresh(first.refreshToken)
      yield* TestClock.adjust("1 hour")
      refused(yield* postRefresh(second.refreshToken), 401, wrongToken)
    })
  )
})

describe("switches", () => {
  test(
    "reuse detection: a refresh token sent again revokes every token of its login, of all VideoManagers",
    Effect.gen(function* () {
      const other = yield* login()
      const first = yield* login()
      const second = yield* refresh(first.refreshToken, 102)
      refused(yield* postRefresh(first.refreshToken), 401, wrongToken)
      refused(yield* postRefresh(second.refreshToken), 401, wrongToken)
      refused(yield* list(first.accessToken), 401, wrongToken)
      refused(yield* list(second.accessToken, 102), 401, wrongToken)
      assert.strictEqual((yield* list(other.accessToken)).status, 200)
      assert.deepStrictEqual((yield* ledger).refreshTokensSentTwice, ["refresh token #2"])
    })
  )

  test(
    "without reuse detection a refresh token sent again is refused and nothing else happens",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refreshToken)
      refused(yield* postRefresh(first.refreshToken), 401, wrongToken)
      assert.strictEqual((yield* list(second.accessToken)).status, 200)
      yield* refresh(second.refreshToken)
    }),
    { detectsRefreshTokenReuse: false }
  )

  test(
    "logins live side by side, unless loginSupersedesRefreshToken",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const first = yield* login()
      const other = yield* login({ username: "<USERNAME>", password: "<PASSWORD>" })
      yield* login()
      const second = yield* refresh(first.refreshToken)
      yield* sandbox.configure({ loginSupersedesRefreshToken: true })
      yield* login()
      refused(yield* postRefresh(second.refreshToken), 401, wrongToken)
      assert.strictEqual((yield* list(second.accessToken)).status, 200)
      yield* refresh(other.refreshToken)
    })
  )

  test(
    "with revokesAccessTokenOnRefresh a refresh kills the earlier access tokens at once",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refreshToken, 102)
      refused(yield* list(first.accessToken), 401, wrongToken)
      assert.strictEqual((yield* list(second.accessToken, 102)).status, 200)
    }),
    { revokesAccessTokenOnRefresh: true }
  )

  test(
    "without rotation the same refresh token comes back and goes on working, for its hour",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refreshToken, 102)
      assert.strictEqual(second.refreshToken, first.refreshToken)
      yield* TestClock.adjust("30 minutes")
      yield* refresh(first.refreshToken)
      yield* TestClock.adjust("30 minutes")
      refused(yield* postRefresh(first.refreshToken), 401, wrongToken)
    }),
    { rotatesRefreshToken: false }
  )

  test(
    "with omitsRefreshToken answers carry none, and the held one is not spent",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const first = yield* login()
      yield* sandbox.configure({ omitsRefreshToken: true })
      assert.isUndefined((yield* refresh(first.refreshToken)).refreshToken)
      assert.isUndefined((yield* refresh(first.refreshToken)).refreshToken)
      assert.isUndefined((yield* login()).refreshToken)
    })
  )

  test(
    "lifetimes show in the claims, and end the tokens on the test's clock",
    Effect.gen(function* () {
      const pair = yield* login()
      assert.deepInclude(yield* claims(pair.accessToken), { iat: 0, exp: 90 })
      assert.deepInclude(yield* claims(pair.refreshToken), { iat: 0, exp: 120 })
      yield* TestClock.adjust("89 seconds")
      assert.strictEqual((yield* list(pair.accessToken)).status, 200)
      yield* TestClock.adjust("1 second")
      refused(yield* list(pair.accessToken), 401, wrongToken)
      assert.strictEqual((yield* ledger).expiredTokensReceived, 1)
      yield* TestClock.adjust("30 seconds")
      refused(yield* postRefresh(pair.refreshToken), 401, wrongToken)
    }),
    { accessTokenLifetime: "90 seconds", refreshTokenLifetime: "2 minutes" }
  )

  test(
    "clockSkew shows in iat, forward and back",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* claims((yield* login()).accessToken)).iat, 3600 + 300)
      yield* sandbox.configure({ clockSkew: Duration.seconds(-300) })
      assert.strictEqual((yield* claims((yield* login()).accessToken)).iat, 3600 - 300)
    }),
    { clockSkew: "5 minutes" }
  )

  test(
    "tokens without exp are JWTs all the same, opaque ones are not; both end as any other",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const endless = yield* login()
      assert.isUndefined((yield* claims(endless.accessToken)).exp)
      assert.isUndefined((yield* claims(endless.refreshToken)).exp)
      yield* sandbox.configure({ tokenFormat: "opaque" })
      const opaque = yield* refresh(endless.refreshToken)
      for (const token of [opaque.accessToken, opaque.refreshToken]) assert.match(token ?? "", /^[0-9a-f]{64}$/)
      assert.strictEqual((yield* list(opaque.accessToken)).status, 200)
      yield* TestClock.adjust("5 minutes")
      for (const { accessToken } of [endless, opaque]) refused(yield* list(accessToken), 401, wrongToken)
      yield* refresh(opaque.refreshToken)
    }),
    { tokenFormat: "jwt-without-exp" }
  )

  test(
    "a refresh token that never ends has no exp",
    Effect.gen(function* () {
      const { refreshToken } = yield* login()
      assert.isUndefined((yield* claims(refreshToken)).exp)
    }),
    { refreshTokenLifetime: Duration.infinity }
  )

  test(
    "validForVideoManager is a number on request",
    Effect.gen(function* () {
      const pair = yield* login()
      assert.strictEqual(pair.validForVideoManager, 101)
      assert.strictEqual((yield* refresh(pair.refreshToken, 102)).validForVideoManager, 102)
    }),
    { validForVideoManagerAs: "number" }
  )

  test(
    "revoked and expired access tokens, and revoked refresh tokens, are refused at once",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const first = yield* login()
      yield* sandbox.revokeAccessTokens
      refused(yield* list(first.accessToken), 401, wrongToken)
      const second = yield* refresh(first.refreshToken)
      yield* sandbox.expireAccessTokens
      refused(yield* list(second.accessToken), 401, wrongToken)
      yield* sandbox.revokeRefreshTokens
      refused(yield* postRefresh(second.refreshToken), 401, wrongToken)
      assert.strictEqual((yield* ledger).expiredTokensReceived, 0)
    })
  )
})

describe("accounts", () => {
  test(
    "an account added logs in; a removed one and its refresh tokens do not, its access tokens live on",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      yield* sandbox.addAccount({ username: "new", password, videoManagers: [{ id: 7, name: "Seven" }] })
      const pair = yield* login({ username: "new", password })
      assert.strictEqual(pair.validForVideoManager, "7")
      yield* sandbox.removeAccount("new")
      refused(yield* postLogin({ username: "new", password }), 401, wrongCredentials)
      refused(yield* postRefresh(pair.refreshToken, 7), 401, wrongToken)
      assert.strictEqual((yield* list(pair.accessToken, 7)).status, 200)
    })
  )

  test(
    "a changed password makes the old one wrong; sessions live on",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const pair = yield* login()
      yield* sandbox.changePassword(username, "changed")
      refused(yield* postLogin(), 401, wrongCredentials)
      yield* refresh(pair.refreshToken)
      yield* login({ username, password: "changed" })
    })
  )

  test(
    "an account replaced has its new VideoManagers from the next exchange on",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const first = yield* login()
      yield* sandbox.addAccount({ username, password, videoManagers: [{ id: 102, name: "Training" }] })
      assert.strictEqual((yield* postRefresh(first.refreshToken, 101)).status, 403)
      const second = yield* refresh(first.refreshToken, 102)
      assert.deepStrictEqual(second.videoManagerList, [{ id: 102, name: "Training" }])
    })
  )
})

describe("authorization", () => {
  const refusals = [
    ["no header", {}, "none"],
    ["no scheme", { authorization: "xxXXX.Yyyyyy" }, "malformed"],
    ["Basic", { authorization: `Basic ${btoa(`${username}:${password}`)}` }, "malformed"],
    ["an unknown bearer", { authorization: "Bearer abc.def.ghi" }, "unknown bearer"]
  ] as const
  for (const [name, headers, credential] of refusals) {
    test(
      `${name}: 401, in the documented words`,
      Effect.gen(function* () {
        refused(yield* call("GET", "/v1/vms", { headers }), 401, wrongToken)
        const seen = yield* ledger
        assert.strictEqual(seen.unauthorized, 1)
        assert.strictEqual(seen.entries[0]?.credential, credential)
      })
    )
  }

  test(
    "a refresh token is no bearer",
    Effect.gen(function* () {
      const { refreshToken } = yield* login()
      refused(yield* list(refreshToken), 401, wrongToken)
    })
  )

  test(
    "a token of another VideoManager gets 403, or 401 on request, and is counted",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const { accessToken } = yield* login()
      refused(yield* list(accessToken, 102), 403, "The access token is not valid for VideoManager 102.")
      yield* sandbox.configure({ wrongVideoManagerStatus: 401 })
      assert.strictEqual((yield* list(accessToken, 102)).status, 401)
      assert.strictEqual((yield* list(accessToken)).status, 200)
      const { videoManagers, wrongVideoManager } = yield* ledger
      assert.strictEqual(wrongVideoManager, 2)
      assert.deepStrictEqual(videoManagers, {
        101: { tokens: 1, requests: 1, wrongTokens: 0 },
        102: { tokens: 0, requests: 0, wrongTokens: 2 }
      })
    })
  )
})

describe("GET /v1/vms", () => {
  test(
    "lists the account's VideoManagers to a token of any of them, always with the same uuids",
    Effect.gen(function* () {
      const first = yield* login()
      const second = yield* refresh(first.refreshToken, 102)
      const { json } = yield* call("GET", "/v1/vms", { token: first.accessToken })
      const uuid = /^[0-9a-f]{8}-[0-9a-f-]{27}$/
      const listed = yield* Schema.decodeUnknownEffect(
        Schema.Array(
          Schema.Struct({ id: Schema.Finite, name: Schema.String, uuid: Schema.String.check(Schema.isPattern(uuid)) })
        )
      )(json)
      assert.deepStrictEqual(
        listed.map(({ id, name }) => [id, name]),
        [
          [101, "Marketing"],
          [102, "Training"]
        ]
      )
      assert.deepStrictEqual((yield* call("GET", "/v1/vms", { token: second.accessToken })).json, json)
    })
  )
})

describe("videos", () => {
  test(
    "a video is created, found by its Location, changed and deleted",
    Effect.gen(function* () {
      const { url } = yield* Sandbox.MovingImageSandbox
      const { accessToken: token } = yield* login()
      const json = { fileName: "film.mp4", title: "Maths" }
      const created = yield* call("POST", "/v1/vms/101/videos", { json, token })
      assert.deepInclude(created, { status: 201, text: "" })
      const location = created.headers["location"] ?? ""
      assert.isTrue(location.startsWith(`${url}/v1/vms/101/videos/`))
      const got = yield* call("GET", location, { token })
      assert.deepInclude(got.json, { id: idIn(location), title: "Maths", deleted: false })
      assert.strictEqual((yield* call("PATCH", location, { json: { title: "Physics" }, token })).status, 204)
      assert.deepInclude((yield* call("GET", location, { token })).json, { title: "Physics" })
      assert.deepInclude(yield* call("DELETE", location, { token }), { status: 404, text: "" })
      for (const method of ["GET", "PATCH", "DELETE"] as const) {
        const gone = yield* call(method, location, { token, ...(method === "PATCH" ? { json: {} } : {}) })
        refused(gone, 404, "There is no such video.")
      }
    })
  )

  test(
    "with deletesWith404 off a DELETE that worked answers as OpenAPI declares",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      const video = yield* createVideo(token)
      assert.strictEqual((yield* call("DELETE", `/v1/vms/101/videos/${video}`, { token })).status, 204)
      const { text } = yield* call("POST", "/v1/vms/101/channels", { json: { name: "a" }, token })
      assert.strictEqual((yield* call("DELETE", `/v1/vms/101/channels/${text}`, { token })).status, 200)
    }),
    { deletesWith404: false }
  )

  test(
    "a video without a file name is refused",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      refused(yield* call("POST", "/v1/vms/101/videos", { json: {}, token }), 400, "fileName is missing.")
    })
  )

  test(
    "lists come in parts, the newest first, of one VideoManager only",
    Effect.gen(function* () {
      const { accessToken: token, refreshToken } = yield* login()
      for (const title of ["a", "b", "c"]) yield* createVideo(token, { title })
      const { json } = yield* call("GET", "/v1/vms/101/videos?offset=1&limit=2", { token })
      assert.deepNestedInclude(json, {
        total: 3,
        "videos.length": 2,
        "videos[0].title": "b",
        "videos[1].title": "a"
      })
      const other = yield* refresh(refreshToken, 102)
      assert.deepStrictEqual((yield* list(other.accessToken, 102)).json, { videos: [], total: 0 })
      const wrong = yield* call("GET", "/v1/vms/101/videos?limit=all", { token })
      refused(wrong, 400, "offset and limit must be whole numbers.")
    })
  )
})

describe("uploads", () => {
  const uploadUrl = Effect.fn(function* (token: string) {
    const answer = yield* call("GET", `/v1/vms/101/videos/${yield* createVideo(token)}/url`, { token })
    assert.strictEqual(answer.status, 200)
    return answer.headers["location"] ?? ""
  })
  const chunk = (url: string, current: number, total: number) =>
    call("POST", url, {
      json: "film",
      headers: {
        "content-type": "application/octet-stream",
        "mi24-upload-current-chunk": String(current),
        "mi24-upload-total-chunks": String(total)
      }
    })

  test(
    "the URL is of another origin than the API's, and takes chunks without a bearer",
    Effect.gen(function* () {
      const { url } = yield* Sandbox.MovingImageSandbox
      const { accessToken: token } = yield* login()
      const location = yield* uploadUrl(token)
      assert.notStrictEqual(new URL(location).origin, new URL(url).origin)
      assert.strictEqual(new URL(location).port, new URL(url).port)
      const video = `/v1/vms/101/videos/${new URL(location).pathname.split("/").at(-1)}`
      assert.strictEqual((yield* chunk(location, 1, 2)).status, 201)
      assert.notProperty((yield* call("GET", video, { token })).json, "uploadDate")
      assert.strictEqual((yield* chunk(location, 2, 2)).status, 201)
      assert.property((yield* call("GET", video, { token })).json, "uploadDate")
      const uploads = (yield* ledger).entries.filter(({ path }) => path.startsWith("/chunks/"))
      assert.deepStrictEqual(
        uploads.map(({ hadAuthorization, headers }) => [hadAuthorization, headers["mi24-upload-current-chunk"]]),
        [
          [false, "1"],
          [false, "2"]
        ]
      )
    })
  )

  test(
    "a chunk outside of its total, a wrong token and one past four hours are refused",
    Effect.gen(function* () {
      const { accessToken } = yield* login()
      const location = yield* uploadUrl(accessToken)
      for (const [current, total] of [
        [0, 1],
        [2, 1]
      ] as const) {
        refused(
          yield* chunk(location, current, total),
          400,
          "Mi24-Upload-Current-Chunk must count from 1 to Mi24-Upload-Total-Chunks."
        )
      }
      refused(yield* chunk(`${location}0`, 1, 1), 403, "The upload URL is invalid or expired.")
      yield* TestClock.adjust("4 hours")
      refused(yield* chunk(location, 1, 1), 403, "The upload URL is invalid or expired.")
    })
  )
})

describe("channels", () => {
  test(
    "channels are a tree below a root; each is created, listed and deleted",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      const root = yield* Schema.decodeUnknownEffect(
        Schema.Struct({ id: Schema.Finite, rootChannel: Schema.Literal(true) })
      )((yield* call("GET", "/v1/vms/101/channels", { token })).json)
      const parent = yield* call("POST", "/v1/vms/101/channels", { json: { name: "a" }, token })
      assert.strictEqual(parent.status, 201)
      assert.strictEqual(idIn(parent.headers["location"]), parent.text)
      const json = { name: "b", parentId: Number(parent.text) }
      const child = yield* call("POST", "/v1/vms/101/channels", { json, token })
      assert.deepNestedInclude((yield* call("GET", "/v1/vms/101/channels", { token })).json, {
        id: root.id,
        name: "root_channel",
        "children[0].name": "a",
        "children[0].parentId": root.id,
        "children[0].children[0].name": "b"
      })
      const remove = (id: string) => call("DELETE", `/v1/vms/101/channels/${id}`, { token })
      assert.deepInclude(yield* remove(child.text), { status: 404, text: "" })
      assert.deepInclude(yield* remove(parent.text), { status: 404, text: "" })
      refused(yield* remove(parent.text), 404, "There is no such channel.")
      const orphan = yield* call("POST", "/v1/vms/101/channels", { json, token })
      refused(orphan, 404, "There is no such parent channel.")
      refused(yield* call("POST", "/v1/vms/101/channels", { json: {}, token }), 400, "name is missing.")
    })
  )
})

describe("error numbers", () => {
  const numbered = (
    answer: { readonly status: number; readonly json: unknown },
    errorNumber: Sandbox.ErrorNumber,
    field = "errorCode"
  ) => {
    assert.strictEqual(answer.status, 400)
    assert.deepStrictEqual(answer.json, { message: Sandbox.errorNumbers[errorNumber], [field]: errorNumber })
  }

  test(
    "1001: the root channel, 1002: a channel with subchannels",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      const json = yield* Effect.map(call("GET", "/v1/vms/101/channels", { token }), ({ json }) => json)
      const { id } = yield* Schema.decodeUnknownEffect(Schema.Struct({ id: Schema.Finite }))(json)
      const parent = yield* call("POST", "/v1/vms/101/channels", { json: { name: "a" }, token })
      const child = { name: "b", parentId: Number(parent.text) }
      yield* call("POST", "/v1/vms/101/channels", { json: child, token })
      numbered(yield* call("DELETE", `/v1/vms/101/channels/${id}`, { token }), 1001)
      numbered(yield* call("DELETE", `/v1/vms/101/channels/${parent.text}`, { token }), 1002)
    })
  )

  test(
    "1101: a new video and an upload when storage is full",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const { accessToken: token } = yield* login()
      const video = yield* createVideo(token)
      yield* sandbox.configure({ storageLimitReached: true, errorNumberField: "code" })
      const json = { fileName: "film.mp4" }
      numbered(yield* call("POST", "/v1/vms/101/videos", { json, token }), 1101, "code")
      numbered(yield* call("GET", `/v1/vms/101/videos/${video}/url`, { token }), 1101, "code")
    })
  )

  for (const errorNumber of [1003, 1004] as const) {
    test(
      `${errorNumber}: by a fault`,
      Effect.gen(function* () {
        const { accessToken } = yield* login()
        yield* inject("api", { _tag: "Json", status: 400, body: Sandbox.errorBody(errorNumber) })
        numbered(yield* list(accessToken), errorNumber)
      })
    )
  }
})

describe("routes", () => {
  test(
    "an unknown path is 404, so is a VideoManager that is no number; a known path with another method 405",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      refused(yield* call("GET", "/v1/foobar", { token }), 404, "There is no such path.")
      refused(yield* call("GET", "/v1/vms/all/videos", { token }), 404, "There is no such VideoManager.")
      const wrong = yield* call("PUT", "/v1/vms/101/videos", { token })
      refused(wrong, 405, "The path does not have this method.")
      assert.strictEqual((yield* call("GET", "/v1/vms/auth/login")).status, 405)
    })
  )

  test(
    "HEAD answers as GET, without a body",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      assert.deepInclude(yield* call("HEAD", "/v1/vms", { token }), { status: 200, text: "" })
    })
  )

  test(
    "a browser's preflight is answered, and answers may be read from any origin, Location included",
    Effect.gen(function* () {
      const preflight = yield* call("OPTIONS", "/v1/vms/101/videos", {
        headers: { "access-control-request-headers": "authorization,mi24-upload-total-chunks" }
      })
      assert.strictEqual(preflight.status, 204)
      assert.strictEqual(preflight.headers["access-control-allow-headers"], "authorization,mi24-upload-total-chunks")
      const { headers } = yield* call("GET", "/v1/vms")
      assert.strictEqual(headers["access-control-allow-origin"], "*")
      assert.match(headers["access-control-expose-headers"] ?? "", /\bLocation\b/)
      assert.strictEqual((yield* ledger).requests, 1)
    })
  )

  test(
    "a body that is too large is refused",
    Effect.gen(function* () {
      const answer = yield* postLogin({ username, password: "x".repeat(17 * 1024 * 1024) })
      refused(answer, 400, "The body is too large.")
    })
  )
})

describe("rate limit", () => {
  test(
    "a hundred requests a minute and account; one more is denied until the minute ends, without a header",
    Effect.gen(function* () {
      const { accessToken, refreshToken } = yield* login()
      const other = yield* login({ username: "<USERNAME>", password: "<PASSWORD>" })
      const hundred = yield* Effect.forEach(Array.from({ length: 100 }), () => list(accessToken), { concurrency: 10 })
      assert.isTrue(hundred.every(({ status }) => status === 200))
      const denied = yield* list(accessToken)
      refused(denied, 429, "Too many requests.")
      assert.isUndefined(denied.headers["retry-after"])
      assert.strictEqual((yield* list(other.accessToken)).status, 200)
      const refreshed = yield* refresh(refreshToken)
      assert.strictEqual((yield* list(refreshed.accessToken)).status, 429)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* list(accessToken)).status, 200)
    })
  )

  test(
    "limit, window and header can be chosen",
    Effect.gen(function* () {
      const { accessToken } = yield* login()
      yield* list(accessToken)
      yield* TestClock.adjust("4 seconds")
      const denied = yield* list(accessToken)
      assert.strictEqual(denied.status, 429)
      assert.strictEqual(denied.headers["retry-after"], "6")
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* list(accessToken)).status, 200)
    }),
    { rateLimit: 1, rateLimitWindow: "10 seconds", retryAfterHeader: "Retry-After" }
  )
})

describe("faults", () => {
  test(
    "Latency waits on the layer's clock, before or after processing",
    Effect.gen(function* () {
      for (const when of ["before", "after"] as const) {
        yield* inject("login", { _tag: "Latency", duration: "10 seconds", when })
        const { logins, loginsAccepted } = yield* ledger
        const fiber = yield* Effect.forkChild(login())
        yield* until(
          when === "before"
            ? Effect.map(ledger, ({ entries }) => entries.at(-1)?.fault === "Latency" && entries.length > logins)
            : Effect.map(ledger, (seen) => seen.loginsAccepted > loginsAccepted)
        )
        if (when === "before") assert.strictEqual((yield* ledger).loginsAccepted, loginsAccepted)
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(fiber)
      }
    })
  )

  test(
    "DropBefore leaves the refresh token unspent, DropAfter spends it",
    Effect.gen(function* () {
      const first = yield* login()
      yield* inject("refresh", { _tag: "DropBefore" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(postRefresh(first.refreshToken))))
      const second = yield* refresh(first.refreshToken)
      yield* inject("refresh", { _tag: "DropAfter" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(postRefresh(second.refreshToken))))
      refused(yield* postRefresh(second.refreshToken), 401, wrongToken)
      const seen = yield* ledger
      assert.deepInclude(seen, { refreshes: 4, refreshesAccepted: 2 })
      assert.deepStrictEqual(seen.refreshTokensSentTwice, ["refresh token #1", "refresh token #2"])
    })
  )

  test(
    "Hang does not answer, nor process, until the client leaves",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Hang" })
      const fiber = yield* Effect.forkChild(login())
      yield* until(Effect.map(ledger, ({ entries }) => entries[0]?.fault === "Hang"))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* ledger).loginsAccepted, 0)
      yield* login()
    })
  )

  for (const status of [500, 502]) {
    test(
      `Status gives the documented ${status}, processed only on request`,
      Effect.gen(function* () {
        yield* inject("login", { _tag: "Status", status, body: "busy" })
        assert.deepInclude(yield* postLogin(), { status, text: "busy" })
        assert.strictEqual((yield* ledger).loginsAccepted, 0)
        yield* inject("login", { _tag: "Status", status, processed: true })
        yield* postLogin()
        assert.strictEqual((yield* ledger).loginsAccepted, 1)
      })
    )
  }

  test(
    "RateLimited is this platform's 429, with the header of one's choice",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      yield* inject("api", { _tag: "RateLimited", retryAfter: 17 }, 2)
      const silent = yield* call("GET", "/v1/vms")
      refused(silent, 429, "Too many requests.")
      assert.isUndefined(silent.headers["retry-after"])
      yield* sandbox.configure({ retryAfterHeader: "Retry-After" })
      assert.strictEqual((yield* call("GET", "/v1/vms")).headers["retry-after"], "17")
    })
  )

  test(
    "Html is a page titled Error, as seen in the field, with 200 as well",
    Effect.gen(function* () {
      yield* inject("api", { _tag: "Html", status: 200 })
      const answer = yield* call("GET", "/v1/vms")
      assert.strictEqual(answer.status, 200)
      assert.match(answer.headers["content-type"] ?? "", /^text\/html/)
      assert.include(answer.text, "<title>Error</title>")
    })
  )

  test(
    "TruncatedJson processes, then sends half of the body with 200",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "TruncatedJson" })
      const answer = yield* postLogin()
      assert.strictEqual(answer.status, 200)
      assert.match(answer.text, /^\{"accessToken"/)
      assert.isUndefined(answer.json)
      assert.strictEqual((yield* ledger).loginsAccepted, 1)
    })
  )

  test(
    "Echo repeats the request's body, so the password, in the message",
    Effect.gen(function* () {
      yield* inject("login", { _tag: "Echo", status: 400 })
      refused(
        yield* postLogin({ username, password: "planted" }),
        400,
        'Cannot process {"username":"your_username","password":"planted"}'
      )
    })
  )

  test(
    "Json, Rewrite and Redirect",
    Effect.gen(function* () {
      const body = { accessToken: 7 }
      yield* inject("login", { _tag: "Json", status: 200, body })
      assert.deepStrictEqual((yield* postLogin()).json, body)
      yield* inject("login", { _tag: "Rewrite", rewrite: (pair) => ({ ...Object(pair), validForVideoManager: "" }) })
      assert.strictEqual((yield* login()).validForVideoManager, "")
      yield* inject("login", { _tag: "Redirect", location: "http://elsewhere.example/", status: 307 })
      const answer = yield* postLogin()
      assert.strictEqual(answer.status, 307)
      assert.strictEqual(answer.headers["location"], "http://elsewhere.example/")
    })
  )

  test(
    "faults are told apart by exchange, are served in order and end when cleared",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const { accessToken, refreshToken } = yield* login()
      yield* inject("refresh", { _tag: "Status", status: 500 })
      yield* inject("api", { _tag: "Status", status: 502 }, Infinity)
      assert.strictEqual((yield* list(accessToken)).status, 502)
      assert.strictEqual((yield* postLogin()).status, 200)
      assert.strictEqual((yield* postRefresh(refreshToken)).status, 500)
      assert.strictEqual((yield* postRefresh(refreshToken)).status, 200)
      yield* sandbox.clearFaults
      assert.strictEqual((yield* list(accessToken)).status, 200)
    })
  )
})

describe("ledger", () => {
  test(
    "counts requests, exchanges and answers apart",
    Effect.gen(function* () {
      const pair = yield* login()
      yield* postLogin({ username, password: "wrong" })
      yield* refresh(pair.refreshToken, 102)
      yield* list(pair.accessToken)
      yield* call("GET", "/v1/vms")
      assert.deepInclude(yield* ledger, {
        requests: 2,
        logins: 2,
        loginsAccepted: 1,
        loginsRefused: 1,
        refreshes: 1,
        refreshesAccepted: 1,
        unauthorized: 1,
        responses: { 200: 3, 401: 2 },
        refreshTokensSentTwice: [],
        expiredTokensReceived: 0,
        peakConcurrentExchanges: 1,
        wrongVideoManager: 0,
        videoManagers: {
          101: { tokens: 1, requests: 1, wrongTokens: 0 },
          102: { tokens: 1, requests: 0, wrongTokens: 0 }
        }
      })
    })
  )

  test(
    "requests that a fault ate are counted for their VideoManager all the same",
    Effect.gen(function* () {
      const { accessToken } = yield* login()
      yield* inject("api", { _tag: "Status", status: 502 }, 2)
      yield* list(accessToken)
      yield* list(accessToken, 102)
      const { videoManagers, wrongVideoManager } = yield* ledger
      assert.strictEqual(wrongVideoManager, 1)
      assert.strictEqual(videoManagers[101]?.requests, 1)
    })
  )

  test(
    "paths keep the numbers of VideoManagers, whatever numbers stand in a query",
    Effect.gen(function* () {
      const { accessToken: token } = yield* login()
      yield* call("GET", "/v1/vms/101/videos?limit=101", { token })
      yield* list(token)
      assert.deepStrictEqual(
        (yield* ledger).entries.map(({ credential, path, query }) => [path, query, credential]),
        [
          ["/v1/vms/auth/login", [], "none"],
          ["/v1/vms/101/videos", ["limit"], "bearer #1"],
          ["/v1/vms/101/videos", [], "bearer #1"]
        ]
      )
    })
  )

  test(
    "holds no secret, wherever a client puts one",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      yield* sandbox.addAccount({
        username: "me@example.com",
        password: "a secret",
        videoManagers: [{ id: 1, name: "One" }]
      })
      yield* sandbox.changePassword("me@example.com", "another secret")
      // Known before anybody logs in.
      yield* call("GET", "/v1/vms", { headers: { "user-agent": "me@example.com a secret another secret" } })
      const pair = yield* login({ username: "me@example.com", password: "another secret" })
      const { accessToken: token } = pair
      const second = yield* refresh(pair.refreshToken, 1)
      yield* postLogin({ username: "planted-name", password: "planted-password" })
      const created = yield* call("POST", "/v1/vms/1/videos", { json: { fileName: "film.mp4" }, token })
      const { headers } = yield* call("GET", `${created.headers["location"]}/url`, { token })
      const uploadToken = new URL(headers["location"] ?? "").searchParams.get("__token__") ?? "no upload token"
      yield* call("GET", `/${uploadToken}`)
      yield* call("POST", headers["location"] ?? "")
      yield* call("GET", `/planted-name/${second.accessToken}/${uploadToken}?${second.refreshToken}=1`, {
        token,
        headers: {
          "user-agent": `me@example.com a secret ${pair.refreshToken} planted-password`,
          "av-origin-app": "another secret"
        }
      })
      yield* call("GET", "/planted-bearer", { token: "planted-bearer" })
      // A token that nobody issued, where a program put it into the path by mistake.
      yield* call("POST", "/chunks/a&__token__=planted-upload")
      const seen = yield* ledger
      const shown = inspect(seen, { depth: null }) + JSON.stringify(seen)
      const tokens = [pair, second].flatMap(({ accessToken, refreshToken }) => [accessToken, refreshToken])
      const passwords = ["a secret", "another secret", "planted-password"]
      const names = ["me@example.com", "planted-name"]
      for (const secret of [...names, ...passwords, "planted-bearer", "planted-upload", uploadToken, ...tokens]) {
        assert.notInclude(shown, secret ?? "no refresh token")
      }
    })
  )
})

describe("lifecycle", () => {
  it.effect("a port in use is a typed failure", () =>
    Effect.gen(function* () {
      const { url } = yield* Sandbox.MovingImageSandbox
      const error = yield* Effect.flip(Layer.build(Sandbox.layer({ port: Number(new URL(url).port) })))
      assert.deepInclude(error, { _tag: "ServeError" })
      assert.propertyVal(error.cause, "code", "EADDRINUSE")
    }).pipe(Effect.provide(Sandbox.layer()))
  )
})

/** Polls with turns of the event loop: real sockets know no TestClock. */
const until = (condition: Effect.Effect<boolean, never, Sandbox.MovingImageSandbox>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  })
