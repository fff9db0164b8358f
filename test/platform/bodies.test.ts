/** Which requests are sent again, by their bodies: on every transport, against a server that counts what arrives. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, FileSystem, Layer, Schedule, type Scope, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { ApiVideo, MovingImage, RequestBody, TokenService } from "effect-video-auth"
import type { IncomingMessage, ServerResponse } from "node:http"
import { listen } from "../support/listen.ts"

const transports = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: FetchHttpClient.layer
}

/** A request as the server saw it. */
interface Arrived {
  readonly token: string | undefined
  /** Bytes of the body, if the client has sent it to its end. */
  readonly complete: number | undefined
}

interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Responds before the body is read. */
  readonly isEarly?: boolean | undefined
}

const reply = (response: ServerResponse, { headers = {}, status }: Reply) => {
  if (!response.headersSent) response.writeHead(status, { "content-type": "application/json", ...headers }).end("{}")
}

/** Serves these replies one after the other, then 201. */
const serve = Effect.fnUntraced(function* (replies: ReadonlyArray<Reply>) {
  const { serve, url } = yield* listen
  const arrived: Array<Arrived> = []
  let count = 0
  serve((request: IncomingMessage, response: ServerResponse) => {
    const answer = replies[count++] ?? { status: 201 }
    const token = request.headers.authorization
    let bytes = 0
    if (answer.isEarly) reply(response, answer)
    request
      .on("data", (chunk: Buffer) => (bytes += chunk.length))
      .on("error", () => undefined)
      .on("close", () => arrived.push({ token, complete: request.complete ? bytes : undefined }))
      .on("end", () => reply(response, answer))
  })
  return { url, requests: () => count, arrived }
})

interface Api {
  readonly execute: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, ApiVideo.ClientError | MovingImage.ClientError>
  readonly path: string
}

/** One more platform is one more entry. */
const platforms = {
  "api.video": (baseUrl: string) =>
    Layer.effect(
      ApiUnderTest,
      ApiVideo.ApiVideo.useSync(({ execute }) => ({ execute, path: "/videos/vi1/source" }))
    ).pipe(
      Layer.provide(
        ApiVideo.layerClient({ baseUrl, retry: Schedule.recurs(2), transformClient: HttpClient.followRedirects() })
      )
    ),
  movingimage: (baseUrl: string) =>
    Layer.effect(
      ApiUnderTest,
      MovingImage.MovingImage.useSync(({ execute }) => ({ execute, path: "/v1/vms/1/videos" }))
    ).pipe(
      Layer.provide(
        MovingImage.layerClient({ baseUrl, retry: Schedule.recurs(2), transformClient: HttpClient.followRedirects() })
      )
    )
}

class ApiUnderTest extends Context.Service<ApiUnderTest, Api>()("test/ApiUnderTest") {}

const tokens = TokenService.layerTest(["first", "second"])

const size = 500_000
const chunks = 20
/** All chunks are the same, so only counting tells whether a stream has started again. */
const chunk = new Uint8Array(size / chunks)

async function* generate() {
  for (let index = 0; index < chunks; index++) yield chunk
}

const fromGenerator = () => Stream.fromAsyncIterable(generate(), (cause) => cause)

const fromWeb = () => {
  const source = generate()
  const readable = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { done, value } = await source.next()
      if (done) controller.close()
      else controller.enqueue(value)
    }
  })
  return Stream.fromReadableStream({ evaluate: () => readable, onError: (cause) => cause })
}

const file = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* fs.makeTempFileScoped()
  yield* fs.writeFile(path, new Uint8Array(size))
  return yield* HttpBody.file(path)
})

type MakeBody = Effect.Effect<HttpBody.HttpBody, unknown, FileSystem.FileSystem | Scope.Scope>

const oneShot: Readonly<Record<string, MakeBody>> = {
  "an async generator": Effect.sync(() => HttpBody.stream(fromGenerator())),
  "an async generator with a length": Effect.sync(() => HttpBody.stream(fromGenerator(), "video/mp4", size)),
  "a web ReadableStream": Effect.sync(() => HttpBody.stream(fromWeb())),
  "a web ReadableStream with a length": Effect.sync(() => HttpBody.stream(fromWeb(), "video/mp4", size))
}

const repeatable: Readonly<Record<string, MakeBody>> = {
  "a file": file,
  bytes: Effect.succeed(HttpBody.uint8Array(new Uint8Array(size))),
  "a factory": Effect.sync(() => RequestBody.fromFactory(fromGenerator)),
  "a factory with a length": Effect.sync(() => RequestBody.fromFactory(fromGenerator, { contentLength: size })),
  "a stream that is marked": Effect.sync(() =>
    RequestBody.repeatable(HttpBody.stream(Stream.fromIterable(Array.from({ length: chunks }, () => chunk))))
  )
}

const send = (method: "POST" | "PUT", body: HttpBody.HttpBody) =>
  ApiUnderTest.use(({ execute, path }) =>
    execute(HttpClientRequest.make(method)(path).pipe(HttpClientRequest.setBody(body)))
  )

type Server = Effect.Success<ReturnType<typeof serve>>
type Needs = ApiUnderTest | TokenService.TestCalls | FileSystem.FileSystem | Scope.Scope

/** Defines a test on every transport, and on every platform: they share the client, so one transport does for the others. */
const everywhere = (
  name: string,
  replies: ReadonlyArray<Reply>,
  body: (server: Server) => Effect.Effect<unknown, unknown, Needs>
) => {
  for (const [transport, http] of Object.entries(transports)) {
    for (const [platform, client] of Object.entries(platforms)) {
      if (transport !== "undici" && platform !== "api.video") continue
      it.live(`${name} (${platform}, ${transport})`, () =>
        Effect.gen(function* () {
          const server = yield* serve(replies)
          yield* Effect.provide(body(server), client(server.url))
        }).pipe(Effect.provide([Layer.provideMerge(tokens, http), NodeFileSystem.layer]))
      )
    }
  }
}

const tagOf = (error: { readonly _tag: string }) =>
  "reason" in error && typeof error.reason === "object" && error.reason !== null && "_tag" in error.reason
    ? `${error._tag}: ${String(error.reason._tag)}`
    : error._tag

const early = [false, true]

describe("a body that can be read only once is sent once:", () => {
  for (const [name, makeBody] of Object.entries(oneShot)) {
    for (const isEarly of early) {
      const when = isEarly ? "before the body is read" : "after the body"

      everywhere(`${name}, 401 ${when}`, [{ status: 401, isEarly }], ({ requests }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(send("POST", yield* makeBody))
          assert.strictEqual(tagOf(error), "TokenError: BodyNotRepeatable")
          assert.include(error, { isRetryable: true })
          assert.match(error.message, /the token was renewed after a 401.*Create the body anew/)
          assert.strictEqual(requests(), 1)
          const calls = yield* Effect.flatten(TokenService.TestCalls)
          assert.strictEqual(calls.filter((call) => call._tag === "reject").length, 1)
          // The same call succeeds with a new body.
          assert.strictEqual((yield* send("POST", yield* makeBody)).status, 201)
        })
      )

      everywhere(
        `${name}, 429 ${when}`,
        [{ status: 429, headers: { "x-ratelimit-retry-after": "1" }, isEarly }],
        ({ requests }) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(send("POST", yield* makeBody))
            assert.match(tagOf(error), /RateLimited$/)
            assert.deepStrictEqual("retryAfter" in error ? error.retryAfter : undefined, Duration.seconds(1))
            assert.strictEqual(requests(), 1)
          })
      )

      everywhere(`${name}, 307 ${when}`, [{ status: 307, headers: { location: "/" }, isEarly }], ({ requests }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(send("POST", yield* makeBody))
          assert.strictEqual(tagOf(error), "TokenError: BodyNotRepeatable")
          assert.strictEqual(requests(), 1)
        })
      )

      everywhere(`${name}, 503 to a PUT ${when}`, [{ status: 503, isEarly }], ({ requests }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(send("PUT", yield* makeBody))
          assert.match(tagOf(error), /ServerError$/)
          assert.strictEqual(requests(), 1)
        })
      )

      everywhere(`${name}, 503 ${when}, under a retry of the program`, [{ status: 503, isEarly }], ({ requests }) =>
        Effect.gen(function* () {
          const body = yield* makeBody
          const error = yield* Effect.flip(Effect.retry(send("POST", body), { times: 2 }))
          assert.strictEqual(tagOf(error), "TokenError: BodyNotRepeatable")
          assert.match(error.message, /has been sent.*Create the body anew/)
          assert.strictEqual(requests(), 1)
        })
      )
    }
  }
})

describe("a body that can be read again is sent again, and whole:", () => {
  for (const [name, makeBody] of Object.entries(repeatable)) {
    for (const isEarly of early) {
      const when = isEarly ? "before the body is read" : "after the body"

      everywhere(`${name}, 401 ${when}`, [{ status: 401, isEarly }], ({ arrived }) =>
        Effect.gen(function* () {
          const response = yield* send("POST", yield* makeBody)
          assert.strictEqual(response.status, 201)
          assert.deepStrictEqual(arrived.at(-1), { token: "Bearer second", complete: size })
        })
      )

      everywhere(
        `${name}, 429 ${when}`,
        [{ status: 429, headers: { "x-ratelimit-retry-after": "0.02" }, isEarly }],
        ({ arrived }) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* send("POST", yield* makeBody)).status, 201)
            assert.deepStrictEqual(arrived.at(-1), { token: "Bearer first", complete: size })
          })
      )

      everywhere(`${name}, 307 ${when}`, [{ status: 307, headers: { location: "/" }, isEarly }], ({ arrived }) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* send("POST", yield* makeBody)).status, 201)
          assert.deepStrictEqual(arrived.at(-1), { token: "Bearer first", complete: size })
        })
      )

      everywhere(`${name}, 503 ${when}, under a retry of the program`, [{ status: 503, isEarly }], ({ arrived }) =>
        Effect.gen(function* () {
          const body = yield* makeBody
          const response = yield* Effect.retry(send("POST", body), { times: 2 })
          assert.strictEqual(response.status, 201)
          assert.deepStrictEqual(arrived.at(-1), { token: "Bearer first", complete: size })
        })
      )
    }

    everywhere(`${name}, two 503s to a PUT`, [{ status: 503 }, { status: 503 }], ({ arrived, requests }) =>
      Effect.gen(function* () {
        const response = yield* send("PUT", yield* makeBody)
        assert.strictEqual(response.status, 201)
        assert.strictEqual(requests(), 3)
        assert.strictEqual(arrived.at(-1)?.complete, size)
      })
    )
  }
})

describe("a stream that declares another length than it has", () => {
  for (const length of [size - 1, size + 1]) {
    everywhere(`fails: ${length} instead of ${size}`, [], ({ arrived }) =>
      Effect.gen(function* () {
        const body = HttpBody.stream(fromGenerator(), "video/mp4", length)
        const error = yield* Effect.flip(send("POST", body))
        assert.strictEqual(error._tag, "HttpClientError")
        assert.isTrue(arrived.every(({ complete }) => complete === undefined))
      })
    )
  }
})

describe("a redirect that nobody follows is never a success", () => {
  const plain = {
    "api.video": (baseUrl: string) =>
      ApiVideo.ApiVideo.useSync(({ execute }) => ({ execute, path: "/videos/vi1" })).pipe(
        Effect.provide(ApiVideo.layerClient({ baseUrl }))
      ),
    movingimage: (baseUrl: string) =>
      MovingImage.MovingImage.useSync(({ execute }) => ({ execute, path: "/v1/vms/1/videos/a" })).pipe(
        Effect.provide(MovingImage.layerClient({ baseUrl }))
      )
  }
  for (const [transport, http] of Object.entries(transports)) {
    for (const [platform, connect] of Object.entries(plain)) {
      for (const method of ["GET", "DELETE", "POST"] as const) {
        it.live(`${method} (${platform}, ${transport})`, () =>
          Effect.gen(function* () {
            for (const status of [301, 302, 303, 307, 308]) {
              const { requests, url } = yield* serve([{ status, headers: { location: "/elsewhere?token=secret" } }])
              const { execute, path } = yield* connect(url)
              const sending: Effect.Effect<unknown, ApiVideo.ClientError | MovingImage.ClientError> = execute(
                HttpClientRequest.make(method)(path)
              )
              const error = yield* Effect.flip(sending)
              assert.match(tagOf(error), /: Redirected$/)
              assert.include(error.message, `${status}: the server redirects to ${url}/elsewhere. `)
              assert.strictEqual(requests(), 1)
            }
          }).pipe(Effect.provide(Layer.provideMerge(tokens, http)))
        )
      }
    }
  }
})
