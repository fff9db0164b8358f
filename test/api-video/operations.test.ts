/** Typed operations: what they send, what they return, and what they refuse. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Effect, Exit, FileSystem, Layer, Logger, Option, Redacted, Stream } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest } from "effect/http"
import { TokenService } from "effect-video-auth"
import {
  ApiVideo,
  ApiVideoError,
  Captions,
  LiveStreams,
  UploadFile,
  UploadTokens,
  Videos
} from "effect-video-auth/api-video"
import { inspect } from "node:util"
import { keepingSpans } from "../support/spans.ts"

type Respond = (request: HttpClientRequest.HttpClientRequest) => Response

/** Runs a program on a client whose server is a function, and keeps the requests. */
const served = <A, E>(respond: Respond, program: Effect.Effect<A, E, ApiVideo.ApiVideo>) =>
  Effect.suspend(() => {
    const requests: Array<HttpClientRequest.HttpClientRequest> = []
    const layer = ApiVideo.layerTest({
      respond: (request) => {
        requests.push(request)
        return respond(request)
      }
    })
    return Effect.map(Effect.provide(program, layer), (result) => ({ result, requests }))
  })

const reasonOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, ApiVideo.ClientError, R>) {
  const error = yield* Effect.flip(effect)
  return error._tag === "ApiVideoError" ? error.reason : yield* Effect.die(error)
})

/** Keeps what is logged, by message. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const messages: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void messages.push(String(message)))
    return Effect.map(Effect.provide(effect, Logger.layer([logger])), (result) => ({ result, messages }))
  })

describe("a response", () => {
  it.effect(
    "is read as its schema: dates, null as absent, unknown members of an enumeration, unknown fields dropped",
    () =>
      Effect.gen(function* () {
        const body = {
          videoId: "vi1",
          title: null,
          createdAt: "2024-05-28T13:15:07+02:00",
          languageOrigin: "telepathy",
          brandNew: { field: 1 }
        }
        const { result } = yield* served(() => Response.json(body), Videos.get("vi1"))
        assert.deepStrictEqual(
          { ...result },
          { videoId: "vi1", createdAt: DateTime.makeUnsafe("2024-05-28T11:15:07Z"), languageOrigin: "telepathy" }
        )
      })
  )

  it.effect("of another form in optional fields loses these, and a warning names them without their values", () =>
    Effect.gen(function* () {
      const item = { videoId: "vi1", title: "kept", createdAt: "yesterday-secret", assets: { hls: 7, mp4: "kept" } }
      const body = { data: [item, { ...item, tags: "secret" }], pagination: { currentPage: 1, links: {} } }
      const { messages, result } = yield* logged(served(() => Response.json(body), Videos.list()))
      const kept = { videoId: "vi1", title: "kept", assets: { mp4: "kept" } }
      assert.deepStrictEqual(JSON.parse(JSON.stringify(result.result)), {
        data: [kept, kept],
        pagination: { currentPage: 1 }
      })
      assert.deepStrictEqual(messages, [
        "Videos.list: left out fields that are not as documented: data[].createdAt, data[].assets.hls, data[].tags"
      ])
    })
  )

  const unreadable: ReadonlyArray<readonly [name: string, body: () => Response, field: string, message: string]> = [
    ["without an id", () => Response.json({ title: "secret" }), "videoId", "missing"],
    ["with an id of another type", () => Response.json({ videoId: 17 }), "videoId", "expected string"],
    ["that is a list", () => Response.json(["secret"]), "", "expected object"],
    ["that is no JSON", () => new Response("<html>secret</html>"), "", "the body is not JSON"],
    ["that is empty", () => new Response(), "", "the body is empty"],
    [
      "of more than 16 MiB",
      () => new Response(`"${"x".repeat(16 * 1024 * 1024)}"`),
      "",
      "the body is larger than 16 MiB"
    ],
    [
      "of more than 16 MiB that announces less",
      () => new Response(`"${"x".repeat(16 * 1024 * 1024)}"`, { headers: { "content-length": "5" } }),
      "",
      "the body is larger than 16 MiB"
    ]
  ]
  for (const [name, body, field, message] of unreadable) {
    it.effect(`${name} is MalformedResponse, which names operation and field and repeats nothing`, () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(served(body, Videos.get("vi1")))
        assert(reason._tag === "MalformedResponse")
        assert.deepInclude(reason, { operation: "Videos.get", status: 200, isRetryable: false })
        assert.deepStrictEqual(reason.issues, [{ field, message }])
        assert.strictEqual(reason.field, field)
        assert.include(
          reason.message,
          `Videos.get: malformed response: ${field === "" ? message : `${field}: ${message}`}`
        )
        assert.notInclude(JSON.stringify(reason) + reason.message, "secret")
      })
    )
  }

  it.effect("to an operation without a result may have any body", () =>
    Effect.gen(function* () {
      for (const body of [
        () => new Response(undefined, { status: 204 }),
        () => new Response("<html>", { status: 200 })
      ]) {
        assert.isUndefined((yield* served(body, Videos.delete("vi1"))).result)
      }
    })
  )

  it.effect("that redirects is an error: nothing was done", () =>
    Effect.gen(function* () {
      const elsewhere = () => new Response(undefined, { status: 302, headers: { location: "/elsewhere" } })
      for (const operation of [Videos.delete("vi1"), Effect.asVoid(Videos.get("vi1"))]) {
        const reason = yield* reasonOf(served(elsewhere, operation))
        assert.deepInclude(reason, { _tag: "Redirected", status: 302 })
      }
    })
  )
})

describe("input that is out of bounds", () => {
  const wrong: ReadonlyArray<readonly [name: string, call: ApiVideo.Call<unknown>, fields: ReadonlyArray<string>]> = [
    ["numbers", Videos.list({ pageSize: 101, currentPage: 0 }), ["currentPage", "pageSize"]],
    // @ts-expect-error the API sorts by other fields
    ["a literal", Videos.list({ sortBy: "videoId" }), ["sortBy"]],
    // @ts-expect-error there is no such field
    ["an unknown field", Videos.update("vi1", { titel: "Maths" }), ["titel"]],
    // @ts-expect-error a title is a string
    ["a nested field", Videos.create({ title: 3, metadata: [{ key: "a" }] }), ["title", "metadata[0].value"]],
    ["a timecode", Videos.pickThumbnail("vi1", { timecode: "1 minute" }), ["timecode"]],
    ["an empty id", Videos.get(""), ["videoId"]],
    ["dots for an id", Videos.delete(".."), ["videoId"]],
    ["a language with an underscore", Captions.get("vi1", "fr_CA"), ["language"]],
    ["an empty file", Captions.upload("vi1", "en", new Uint8Array()), ["file"]],
    ["a large file", Videos.uploadThumbnail("vi1", new Uint8Array(8 * 1024 * 1024 + 1)), ["file"]],
    // @ts-expect-error a path is made a file by UploadFile.fromPath
    ["a path for a file", Videos.uploadThumbnail("vi1", "thumbnail.jpg"), ["file"]],
    ["a range", Videos.upload("vi1", new Uint8Array(1), { range: { from: 5, to: 4, total: 10 } }), ["range"]]
  ]
  for (const [name, operation, fields] of wrong) {
    it.effect(`${name}: is InvalidInput, which names it, and nothing is sent`, () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(served(() => assert.fail("sent"), operation))
        assert(reason._tag === "InvalidInput")
        assert.deepStrictEqual(
          reason.issues.map(({ field }) => field),
          fields
        )
        assert.strictEqual(reason.field, fields[0])
        assert.isFalse(reason.isRetryable)
        assert.match(
          reason.message,
          /^(Videos|Captions)\.\w+: invalid input: .+\. Nothing was sent; correct the input$/
        )
        for (const field of fields) assert.include(reason.message, field)
      })
    )
  }
})

describe("a request", () => {
  it.effect("has a query as api.video reads it", () =>
    Effect.gen(function* () {
      const { requests } = yield* served(
        () => Response.json({ data: [], pagination: {} }),
        Videos.list({ tags: ["a", "b c"], metadata: { "Author name": "J & D" }, pageSize: 5, title: undefined })
      )
      assert.deepStrictEqual(requests[0]?.urlParams.params, [
        ["tags[]", "a"],
        ["tags[]", "b c"],
        ["metadata[Author name]", "J & D"],
        ["pageSize", "5"]
      ])
    })
  )

  it.effect("has a body without the fields that are undefined, and with those that are null", () =>
    Effect.gen(function* () {
      const { requests } = yield* served(
        () => Response.json({ videoId: "vi1" }),
        Videos.update("vi/1 ?", { title: undefined, language: null, tags: [] })
      )
      const [request] = requests
      assert.strictEqual(request?.url, "https://ws.api.video/videos/vi%2F1%20%3F")
      assert(request?.body._tag === "Uint8Array")
      assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(request.body.body)), { language: null, tags: [] })
    })
  )

  it.effect("whose connection breaks leaves no secret of its query or body in the error", () =>
    Effect.gen(function* () {
      const http = HttpClient.make((request) =>
        Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) }))
      )
      const layer = ApiVideo.layerClient({ rateLimits: false, retry: false }).pipe(
        Layer.provide(TokenService.layerTest(["token"])),
        Layer.provide(Layer.succeed(HttpClient.HttpClient, http))
      )
      const streamKey = Redacted.make("secret key")
      const restreams = [{ name: "YouTube", serverUrl: "rtmp://youtube.example.com/app", streamKey }]
      const calls: ReadonlyArray<ApiVideo.Call<unknown>> = [
        LiveStreams.create({ name: "live", restreams }),
        LiveStreams.list({ streamKey })
      ]
      for (const call of calls) {
        const error = yield* Effect.provide(Effect.flip(call), layer)
        assert(error._tag === "HttpClientError")
        for (const part of [error, error.reason, error.reason.request]) {
          assert.notInclude(inspect(part, { depth: 10 }) + JSON.stringify(part), "secret")
        }
      }
    })
  )

  it.effect("with an upload token redacts it", () =>
    Effect.gen(function* () {
      const { requests } = yield* served(
        () => Response.json({ videoId: "vi1" }),
        Videos.uploadWithUploadToken("to_secret", new Uint8Array(1), { videoId: "vi1", range: { part: 2, total: 3 } })
      )
      const [request] = requests
      assert.strictEqual(request?.headers["content-range"], "part 2/3")
      assert.isUndefined(request?.headers["authorization"])
      assert.notInclude(JSON.stringify(request), "to_secret")
      assert(request?.body._tag === "FormData")
      assert.deepStrictEqual([...request.body.formData.keys()], ["videoId", "file"])
    })
  )
})

describe("a file", () => {
  const sent = Effect.fnUntraced(function* (file: UploadFile.Input, operation = Videos.uploadThumbnail("vi1", file)) {
    const { requests } = yield* served(() => Response.json({ videoId: "vi1" }), operation)
    const body = requests[0]?.body
    assert(body?._tag === "FormData")
    const part = body.formData.get("file")
    assert.instanceOf(part, File)
    return part
  })

  it.effect("of bytes is named by the format of the image", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* sent(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0))).name, "thumbnail.jpg")
      assert.strictEqual((yield* sent(Uint8Array.of(0x89, 0x50, 0x4e, 0x47))).name, "thumbnail.png")
      assert.strictEqual((yield* sent(new TextEncoder().encode("RIFF\0\0\0\0WEBPVP8 "))).name, "thumbnail.webp")
    })
  )

  it.effect("that is a Blob is named by its type, and a File keeps its name", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* sent(new Blob(["x"], { type: "image/png" }))).name, "thumbnail.png")
      assert.strictEqual((yield* sent(new File(["x"], "cover.webp"))).name, "cover.webp")
    })
  )

  it.effect("of memory that is shared with workers is copied", () =>
    Effect.gen(function* () {
      const shared = new Uint8Array(new SharedArrayBuffer(3))
      shared.set([1, 2, 3])
      const part = yield* sent(shared)
      assert.deepStrictEqual([...new Uint8Array(yield* Effect.promise(() => part.arrayBuffer()))], [1, 2, 3])
    })
  )

  it.effect("from a path has its name, type and size, and can be read again", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/subtitles.vtt`
      yield* fs.writeFileString(path, "WEBVTT")
      const file = yield* UploadFile.fromPath(path)
      const { isRepeatable, name, size, type } = file
      assert.deepStrictEqual(
        { isRepeatable, name, size, type },
        { isRepeatable: true, name: "subtitles.vtt", size: 6, type: "text/vtt" }
      )
      for (const _ of [1, 2]) {
        assert.strictEqual(yield* Stream.mkString(Stream.decodeText(file.stream)), "WEBVTT")
      }
      yield* fs.writeFileString(path, "WEBVTT and more")
      const error = yield* Effect.flip(Stream.runDrain(file.stream))
      assert.include(String(error), "the file has changed since the upload began")
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("of a stream is sent as it is read, with a length if its size is known", () =>
    Effect.gen(function* () {
      const stream = Stream.make(Uint8Array.of(1, 2), Uint8Array.of(3))
      for (const size of [3, undefined]) {
        const file = UploadFile.fromStream(stream, { name: 'a "quoted"\r\nname.vtt', size })
        const { requests } = yield* served(() => Response.json({ srclang: "en" }), Captions.upload("vi1", "en", file))
        const body = requests[0]?.body
        assert(body?._tag === "Stream")
        const chunks = yield* Stream.runCollect(body.stream)
        const whole = new Blob(chunks.map((chunk) => chunk.slice()))
        assert.strictEqual(body.contentLength, size === undefined ? undefined : whole.size)
        const form = yield* Effect.promise(() =>
          new Response(whole, { headers: { "content-type": body.contentType ?? "" } }).formData()
        )
        const part = form.get("file")
        assert.instanceOf(part, File)
        assert.deepStrictEqual(
          { name: part.name, type: part.type },
          { name: 'a "quoted"\r\nname.vtt', type: "text/vtt" }
        )
        assert.deepStrictEqual([...new Uint8Array(yield* Effect.promise(() => part.arrayBuffer()))], [1, 2, 3])
      }
    })
  )
})

it.effect("a call is a span named after the operation, around those of its requests", () =>
  Effect.gen(function* () {
    const { spans, tracer } = keepingSpans()
    const respond = () => Response.json({ videoId: "vi1" })
    yield* Effect.withTracer(served(respond, Videos.get("vi1")), tracer)
    const [call, request] = spans
    assert.strictEqual(call?.name, "Videos.get")
    assert.strictEqual(request?.name, "GET")
    assert.strictEqual(Option.getOrUndefined(request?.parent ?? Option.none())?.spanId, call?.spanId)
  })
)

describe("layerTest with operations", () => {
  const answering = (operations: ApiVideo.Operations) => ApiVideo.layerTest({ operations })
  const notFound = new ApiVideoError.ApiVideoError({
    reason: new ApiVideoError.NotFound({ method: "GET", path: "/videos/vi1", status: 404, problem: {} })
  })

  it.effect("passes the arguments of the call and returns the answer", () =>
    Effect.gen(function* () {
      const createdAt = DateTime.makeUnsafe("2024-05-28T11:15:07.5Z")
      const updated = yield* Videos.update("vi1", { title: "Maths" }).pipe(
        Effect.provide(
          answering({ "Videos.update": (videoId, { title }) => Effect.succeed({ videoId, title, createdAt }) })
        )
      )
      assert.deepStrictEqual({ ...updated }, { videoId: "vi1", title: "Maths", createdAt })
    })
  )

  it.effect("answers streams page by page, secrets redacted", () =>
    Effect.gen(function* () {
      const tokens = yield* Stream.runCollect(UploadTokens.stream({ pageSize: 1 })).pipe(
        Effect.provide(
          answering({
            "UploadTokens.list": (query) => ({
              data: [{ token: Redacted.make(`to${query?.currentPage}`) }],
              pagination: { pagesTotal: 3 }
            })
          })
        )
      )
      assert.deepStrictEqual(
        tokens.map(({ token }) => Redacted.value(token)),
        ["to1", "to2", "to3"]
      )
    })
  )

  it.effect("fails with the error of the answer", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Videos.get("vi1")).pipe(
        Effect.provide(answering({ "Videos.get": () => Effect.fail(notFound) }))
      )
      assert.strictEqual(error, notFound)
    })
  )

  it.effect("checks the input first", () =>
    Effect.gen(function* () {
      const reason = yield* reasonOf(Videos.get("")).pipe(
        Effect.provide(answering({ "Videos.get": () => assert.fail() }))
      )
      assert.strictEqual(reason._tag, "InvalidInput")
    })
  )

  it.effect("works where a layer keeps the client", () =>
    Effect.gen(function* () {
      const kept = yield* Effect.provide(ApiVideo.ApiVideo, answering({ "Videos.delete": () => undefined }))
      assert.isUndefined(yield* Effect.provideService(Videos.delete("vi1"), ApiVideo.ApiVideo, kept))
    })
  )

  const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.exit(effect), (exit) => (Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "succeeded"))

  it.effect("dies of an operation that the spec doesn't answer, and names it", () =>
    Effect.gen(function* () {
      const defect = yield* defectOf(
        Effect.provide(LiveStreams.complete("li1"), answering({ "Videos.get": undefined }))
      )
      assert.include(defect, "LiveStreams.complete: the spec doesn't answer it.")
    })
  )

  it.effect("dies of a request, and names it without its credential", () =>
    Effect.gen(function* () {
      const request = ApiVideo.ApiVideo.use((api) => api.get("/upload-tokens/to_secret"))
      const defect = yield* defectOf(Effect.provide(request, answering({})))
      assert.include(defect, "GET /upload-tokens/<redacted>: the spec doesn't answer requests to it.")
    })
  )

  it.effect("dies of an answer that the operation cannot return, and names the field", () =>
    Effect.gen(function* () {
      const operations: ApiVideo.Operations = {
        // @ts-expect-error an id is a string
        "Videos.get": () => ({ videoId: 7 })
      }
      const defect = yield* defectOf(Effect.provide(Videos.get("vi1"), answering(operations)))
      assert.include(defect, "Videos.get: the spec's answer is not a result of it: videoId: expected string")
    })
  )

  it.effect("requests what it doesn't answer if requests are answered", () =>
    Effect.gen(function* () {
      const layer = ApiVideo.layerTest({
        operations: { "Videos.get": (videoId) => ({ videoId, title: "answered" }) },
        respond: () => Response.json({ videoId: "vi1", title: "requested" })
      })
      const titles = yield* Effect.all([Videos.get("vi1"), Videos.update("vi1", {})]).pipe(Effect.provide(layer))
      assert.deepStrictEqual(
        titles.map(({ title }) => title),
        ["answered", "requested"]
      )
    })
  )
})
