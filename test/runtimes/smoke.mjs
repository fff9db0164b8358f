/**
 * What a program does with the library, on Effect's fetch client and nothing that one runtime alone has. Each host
 * (`command.mjs`, `worker.mjs`, `page.mjs`) runs it as it is.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ApiVideo, TokenEvent } from "effect-video-auth"
import { Uploads, UploadTokens, Videos } from "effect-video-auth/api-video"
import * as TokenError from "effect-video-auth/token/TokenError"

const apiKey = Redacted.make("your_api_key")

const check = (condition, what) => (condition ? Effect.void : Effect.die(new Error(what)))

/** Runs requests on a `fetch` that has `authorization` of them pass through `change`, where the library cannot see it. */
const withFetch = (change) =>
  Effect.provideService(FetchHttpClient.Fetch, (url, init) =>
    fetch(url, { ...init, headers: { ...init.headers, authorization: change(init.headers.authorization) } })
  )

/** The error of a login that must fail. */
const refusal = (key, baseUrl) =>
  ApiVideo.authenticate({ apiKey: Redacted.make(key) }, { baseUrl }).pipe(
    Effect.flip,
    Effect.provide(FetchHttpClient.layer)
  )

/**
 * - `baseUrl`: a sandbox whose tokens live a few seconds
 * - `redirectingUrl`: a server that answers every request with a redirect
 * - `closedUrl`: an address where nobody listens
 *
 * Succeeds with what may differ between runtimes.
 */
const program = Effect.fnUntraced(function* ({ baseUrl, closedUrl, redirectingUrl }, scope) {
  const events = []
  const renewals = (key, value) => events.filter((event) => event._tag === "Renewed" && event[key] === value).length
  const layer = ApiVideo.layer({ apiKey, baseUrl, application: { name: "smoke", version: "1.0" } }).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.provide(Layer.succeed(TokenEvent.Observers, [(event) => Effect.sync(() => void events.push(event))]))
  )
  const api = Context.get(yield* Layer.buildWithScope(layer, scope), ApiVideo.ApiVideo)
  const list = Effect.flatMap(api.get("/videos"), (response) => response.json)
  const lists = (count) =>
    Effect.all(
      Array.from({ length: count }, () => list),
      { concurrency: "unbounded" }
    )

  const videos = yield* list
  yield* check(Array.isArray(videos.data) && videos.pagination.currentPage === 1, "no list of videos")
  yield* check(renewals("trigger", "demand") === 1, "the layer did not log in")
  yield* check(
    (yield* lists(50)).every(({ data }) => Array.isArray(data)),
    "not 50 lists"
  )

  // Twenty 401s, one renewal, twenty answers. One more on a machine so slow that a token expires under way.
  let revoked
  yield* list.pipe(withFetch((authorization) => (revoked = authorization)))
  let refused = 0
  const refuse = (authorization) => {
    if (authorization !== revoked) return authorization
    refused++
    return "Bearer revoked"
  }
  yield* check(
    (yield* withFetch(refuse)(lists(20))).every(({ data }) => Array.isArray(data)),
    "not 20 lists"
  )
  const rejected = renewals("trigger", "rejected")
  yield* check(refused > 0 && (rejected === 1 || rejected === 2), `${refused} refusals made ${rejected} renewals`)

  const empty = HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post("/videos"), {})
  const invalid = yield* api.execute(empty).pipe(
    Effect.as("accepted"),
    Effect.catchReason("ApiVideoError", "BadRequest", ({ problem }) => Effect.succeed(problem.name))
  )
  yield* check(invalid === "title", `a video without a title: ${invalid}`)

  const titled = HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post("/videos"), { title: "Smoke" })
  const { videoId } = yield* Effect.flatMap(api.execute(titled), (response) => response.json)
  const file = new FormData()
  file.append("file", new Blob(["a short film"], { type: "video/mp4" }), "film.mp4")
  const source = HttpClientRequest.bodyFormData(HttpClientRequest.post(`/videos/${videoId}/source`), file)
  const uploaded = yield* api.execute(source)
  yield* check(uploaded.status === 201, `an upload: ${uploaded.status}`)

  // Typed operations: a request with a body, one with a file, a list as a stream, and input that is refused.
  const typed = Effect.provideService(ApiVideo.ApiVideo, api)
  const created = yield* typed(Videos.create({ title: "Typed", tags: ["smoke"] }))
  yield* check(DateTime.isDateTime(created.createdAt), "no date of creation")
  const sent = yield* typed(Videos.upload(created.videoId, new TextEncoder().encode("a short film")))
  yield* check(sent.videoId === created.videoId, "the upload returned another video")
  const streamed = yield* typed(Stream.runCollect(Videos.stream({ pageSize: 10 })))
  const found = streamed.filter(({ videoId }) => videoId === created.videoId)
  yield* check(found.length === 1 && found[0].title === "Typed", `${found.length} of ${streamed.length} videos found`)
  const tooMany = yield* typed(Effect.flip(Videos.list({ pageSize: 101 })))
  yield* check(tooMany.reason._tag === "InvalidInput" && tooMany.reason.field === "pageSize", String(tooMany))
  yield* typed(Videos.delete(created.videoId))
  const deleted = yield* typed(Effect.flip(Videos.get(created.videoId)))
  yield* check(deleted.reason._tag === "NotFound", String(deleted))

  // Uploads in parts: of a stream with the client's token, and of a file with an upload token.
  const mebibyte = 1024 * 1024
  const chunkSize = 5 * mebibyte
  const stream = Stream.range(1, 6).pipe(Stream.map((n) => new Uint8Array(mebibyte).fill(n)))
  const { token: uploadToken } = yield* typed(UploadTokens.create({ ttl: 3600 }))
  const film = new File([new Uint8Array(6 * mebibyte)], "film.mp4")
  for (const [what, uploading, total] of [
    ["stream", Uploads.events(stream, { chunkSize, title: "Stream" }), undefined],
    ["file", Uploads.events(film, { chunkSize, uploadToken }), 6 * mebibyte]
  ]) {
    const seen = yield* typed(Stream.runCollect(uploading))
    const progress = seen.findLast(({ _tag }) => _tag === "Progress")
    yield* check(progress?.sent === 6 * mebibyte && progress.total === total, `a ${what}: ${JSON.stringify(progress)}`)
    const last = seen.at(-1)
    yield* check(last?._tag === "Completed", `a ${what} ended with ${last?._tag}`)
    const { ingest } = yield* typed(Videos.getStatus(last.video.videoId))
    yield* check(ingest?.status === "uploaded", `the status of a ${what}: ${ingest?.status}`)
  }

  const wrongKey = yield* refusal("wrong_key", baseUrl)
  yield* check(wrongKey instanceof TokenError.TokenError, "no TokenError")
  yield* check(wrongKey.reason._tag === "InvalidCredentials", `a wrong key: ${wrongKey.reason._tag}`)
  const redirected = yield* refusal("your_api_key", redirectingUrl)
  yield* check(redirected.reason._tag === "MalformedResponse", `a redirect: ${redirected.reason._tag}`)
  const unreachable = yield* refusal("your_api_key", closedUrl)
  yield* check(unreachable.reason._tag === "ProviderUnavailable", `nobody there: ${unreachable.reason._tag}`)

  // The token lives a few seconds, and is renewed before they are over without a request.
  const end = performance.now() + 20_000
  while (renewals("trigger", "scheduled") === 0 && performance.now() < end) yield* Effect.sleep(100)
  yield* check(renewals("trigger", "scheduled") > 0, "no renewal on schedule")
  yield* list
  yield* check(renewals("by", "login") === 1, `${renewals("by", "login")} logins`)
  yield* check(!events.some(({ _tag }) => _tag === "RenewalFailed"), "a renewal failed")
  return { redirect: redirected.reason.status, unreachable: unreachable.reason.failure }
})

const closed = Effect.fnUntraced(function* (urls) {
  const scope = yield* Scope.make()
  const exit = yield* Effect.exit(program(urls, scope))
  const start = performance.now()
  yield* Scope.close(scope, exit)
  yield* check(performance.now() - start < 5000, "closing the scope took its time")
  return yield* exit
})

/** Runs it: `{ ok: true, facts }` or `{ ok: false, failure }`. Never rejects. */
export const smoke = async (urls) => {
  const exit = await Effect.runPromiseExit(closed(urls))
  return Exit.isSuccess(exit) ? { ok: true, facts: exit.value } : { ok: false, failure: Cause.pretty(exit.cause) }
}
