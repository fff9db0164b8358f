/**
 * Requests with bodies of every kind, to a server that responds with anything, at any moment: a status, a redirect, a broken
 * connection. The server checks what arrives: no caller is told of a success whose body did not arrive whole, and no body
 * that can be read only once arrives twice.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schedule, Schema, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { ApiVideo, RequestBody, TokenService } from "effect-video-auth"
import type { IncomingMessage, ServerResponse } from "node:http"
import { setImmediate } from "node:timers/promises"
import { checks } from "../support/random.ts"
import { listen } from "../support/listen.ts"

const transports = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: FetchHttpClient.layer
}

const Reply = Schema.Struct({
  status: Schema.Literals([201, 302, 307, 308, 400, 401, 401, 429, 429, 500, 503]),
  /** In seconds, as a date or as nonsense. */
  retryAfter: Schema.Literals(["0", "0.001", "0.01", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "3600"]),
  limit: Schema.Literals(["", "0", "0.001", "1", "100", "-1", "1e9"]),
  /** What happens, and when: `before` the body is read, or `after`. */
  moment: Schema.Literals(["after", "after", "after", "after", "before", "cut-before", "cut-after"])
})
type Reply = typeof Reply.Type

const Request = Schema.Struct({
  method: Schema.Literals(["POST", "PUT", "PATCH"]),
  body: Schema.Literals(["bytes", "generator", "generator-with-length", "web", "factory", "factory-with-length"]),
  /** Whether the program retries the request itself. */
  isRetried: Schema.Boolean
})
type Request = typeof Request.Type

const size = 300_000
const chunk = new Uint8Array(size / 10).fill(7)

async function* generate() {
  for (let index = 0; index < 10; index++) yield chunk
}

const stream = () => Stream.fromAsyncIterable(generate(), (cause) => cause)

const bodies: Readonly<Record<Request["body"], () => HttpBody.HttpBody>> = {
  bytes: () => HttpBody.uint8Array(new Uint8Array(size).fill(7)),
  generator: () => HttpBody.stream(stream()),
  "generator-with-length": () => HttpBody.stream(stream(), "video/mp4", size),
  web: () => {
    const readable = new Blob([new Uint8Array(size).fill(7)]).stream()
    return HttpBody.stream(Stream.fromReadableStream({ evaluate: () => readable, onError: (cause) => cause }))
  },
  factory: () => RequestBody.fromFactory(stream),
  "factory-with-length": () => RequestBody.fromFactory(stream, { contentLength: size })
}

/** Serves each reply once, then 201. */
const serve = Effect.fnUntraced(function* (replies: ReadonlyArray<Reply>) {
  const { serve, url } = yield* listen
  /** Bytes of each body, if the client has sent it to its end. */
  const arrived: Array<{ readonly status: number; readonly complete: number | undefined }> = []
  let count = 0
  serve((request: IncomingMessage, response: ServerResponse) => {
    const { limit, moment, retryAfter, status } = replies[count++] ?? {
      status: 201,
      retryAfter: "",
      limit: "",
      moment: "after"
    }
    let bytes = 0
    const reply = () => {
      if (response.headersSent || response.destroyed) return
      response.writeHead(status, {
        ...(retryAfter !== "" && { "retry-after": retryAfter }),
        ...(limit !== "" && { "x-ratelimit-limit": limit, "x-ratelimit-remaining": "0" }),
        ...(status > 300 && status < 309 && { location: "/moved" })
      })
      response.end("{}")
    }
    if (moment === "before") reply()
    if (moment === "cut-before") request.socket.destroy()
    request
      .on("data", (data: Buffer) => (bytes += data.length))
      .on("error", () => undefined)
      .on("close", () => arrived.push({ status, complete: request.complete ? bytes : undefined }))
      .on("end", () => (moment === "cut-after" ? request.socket.destroy() : reply()))
  })
  return { url, arrived, requests: () => count }
})

/** A 429 that says nothing useful is waited for in vain, and a limit of 1 would hold the second request for a minute. */
const options = {
  rateLimits: { uploads: 1_000, writes: 1_000, reads: 1_000 },
  rateLimitMaxWait: "20 millis",
  retry: Schedule.recurs(2)
} as const

const send = Effect.fnUntraced(function* ({ body, isRetried, method }: Request) {
  const api = yield* ApiVideo.ApiVideo
  const request = HttpClientRequest.make(method)("/videos").pipe(HttpClientRequest.setBody(bodies[body]()))
  const sending = api.execute(request)
  return yield* Effect.exit(isRetried ? Effect.retry(sending, { times: 2 }) : sending)
})

/** The server notes a request when it is closed, which may be a moment after its response. */
const turn = Effect.promise(() => setImmediate())

const isOneShot = ({ body }: Request) => body === "generator" || body === "generator-with-length" || body === "web"

for (const [transport, http] of Object.entries(transports)) {
  describe(`a request with a body that is answered with anything (${transport})`, () => {
    it.live.prop(
      "is a success only if its body arrived whole, and a body that can be read once arrives once",
      {
        replies: Schema.Array(Reply).check(Schema.isMaxLength(6)),
        request: Request,
        isFollowing: Schema.Boolean
      },
      ({ isFollowing, replies, request }) =>
        Effect.gen(function* () {
          const { arrived, requests, url } = yield* serve(replies)
          const client = ApiVideo.layerClient({
            ...options,
            baseUrl: url,
            transformClient: isFollowing ? HttpClient.followRedirects(3) : undefined
          }).pipe(Layer.provide(TokenService.layerTest(["a", "b", "c", "d", "e", "f", "g"])))
          const exit = yield* Effect.provide(send(request), client)
          if (Exit.isSuccess(exit)) {
            const { request: sent, status } = exit.value
            assert.isTrue(status >= 200 && status < 300, `${status} is a success`)
            // A 302 turns a POST into a GET without a body. A server that responds before it has read the body has not
            // looked at it, so nobody can know what its success means.
            if (sent.method !== "GET" && replies.every(({ moment }) => moment !== "before")) {
              while (arrived.length < requests()) yield* turn
              assert.strictEqual(arrived.at(-1)?.complete, size, "the body of a success is incomplete")
            }
          }
          if (isOneShot(request)) {
            const whole = arrived.filter(({ complete }) => complete !== undefined && complete > 0)
            assert.isAtMost(whole.length, 1, "a body arrived twice")
            const empty = arrived.filter(({ complete }) => complete !== undefined && complete > 0 && complete !== size)
            assert.isEmpty(empty, "a part of a body arrived as if it were the whole")
          }
          const hops = isFollowing ? 4 : 1
          assert.isAtMost(requests(), 7 * hops * (request.isRetried ? 3 : 1))
        }).pipe(Effect.scoped, Effect.provide(http)),
      checks(150, { size: 40, maxShrinks: 100 })
    )
  })
}
