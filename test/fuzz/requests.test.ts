/** Whatever a request is answered with, it ends, in an answer or a typed failure that tells none of its credentials. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, type Duration, Effect, Exit, Fiber, Layer, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { ApiVideo, MovingImage, type TokenError, TokenService } from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import { MovingImageError } from "effect-video-auth/moving-image"
import { TestClock } from "effect/testing"
import { setImmediate } from "node:timers/promises"
import * as Wire from "../guarantees/wire.ts"
import {
  assertReason,
  ends,
  Headers,
  inPlaceOf,
  intercepting,
  Page,
  tampering,
  times,
  toHeaders,
  typed,
  Values,
  Wildness,
  writings
} from "./wild.ts"

type Network = TokenService.TokenService | HttpClient.HttpClient

type ClientError = ApiVideo.ClientError | MovingImage.ClientError

/** The client of a platform. */
interface Client {
  readonly name: string
  readonly layer: Layer.Layer<Api, TokenError.TokenError, Network>
  /** Some with a token of their own: `upload-1`. */
  readonly requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>
}

/** What the clients of all platforms are to these tests. */
class Api extends Context.Service<
  Api,
  (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError>
>()("test/Api") {}

/** One more platform is one more entry. */
const clients: ReadonlyArray<Client> = [
  {
    name: "api.video",
    layer: Layer.provide(
      Layer.effect(
        Api,
        ApiVideo.ApiVideo.useSync((api) => api.execute)
      ),
      ApiVideo.layerClient()
    ),
    requests: [
      HttpClientRequest.get("/videos?title=a"),
      HttpClientRequest.post("/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ title: "a" })),
      HttpClientRequest.post("/upload?token=upload-1&a=b"),
      HttpClientRequest.get("/upload-tokens/upload-1"),
      HttpClientRequest.post("/upload").pipe(HttpClientRequest.setUrlParam("token", Redacted.make("upload-1")))
    ]
  },
  {
    name: "movingimage",
    layer: Layer.provide(
      Layer.effect(
        Api,
        MovingImage.MovingImage.useSync((api) => api.execute)
      ),
      MovingImage.layerClient()
    ),
    requests: [
      HttpClientRequest.get("/v1/vms/1/videos?title=a"),
      HttpClientRequest.post("/v1/vms/1/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ title: "a" })),
      HttpClientRequest.delete("/v1/vms/1/videos/a"),
      HttpClientRequest.post("https://asset-in.video-cdn.net/chunks/1?vm=5&__token__=upload-1"),
      HttpClientRequest.get("/v1/vms?mitoken=upload-1")
    ]
  }
]

/** Errors keep what a server says, but for the credentials of the request. */
const sentSecret = /access-[12](?!\d)|upload-1/

/** A server that repeats all of a request in every member of a problem. */
const parrot = (request: HttpClientRequest.HttpClientRequest, url: URL): Wire.Answer => {
  const said = Array(6).fill(`${url.href} ${request.headers["authorization"]}`).join(" é ")
  const names = ["type", "title", "name", "detail", "message", "error", "errorCode", "code"]
  const problem = Object.fromEntries(names.map((name) => [name, said]))
  return Wire.json(400, { ...problem, status: 400, problems: [problem, { title: said, name: "a" }] })
}

/** In some of them a body that is there is read. */
const turns = Effect.replicateEffect(
  Effect.promise(() => setImmediate()),
  5
)

/** Makes requests of a server that answers as told, one after the other, for as long as any may wait. */
const perform = Effect.fnUntraced(function* (
  { layer }: Client,
  requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>,
  answer: (n: number, request: HttpClientRequest.HttpClientRequest, url: URL) => Wire.Answer,
  pause: Duration.Input = 0
) {
  let sent = 0
  const network = HttpClient.make((request, url) => Wire.respond(request, answer(++sent, request, url)))
  return yield* Effect.gen(function* () {
    const execute = yield* Api
    const fiber = yield* Effect.forkChild(
      Effect.forEach(requests, (request) =>
        Effect.tap(Effect.map(Effect.exit(execute(request)), typed), () => Effect.sleep(pause))
      )
    )
    // A call waits for four minutes at most, in waits of up to a minute. Bodies are read in turns of the event loop.
    for (let minute = 0; minute < requests.length * 5 + 1; minute++) {
      yield* turns
      yield* TestClock.adjust("1 minute")
    }
    yield* turns
    assert.isDefined(fiber.pollUnsafe(), "a request does not end")
    const exits = yield* Fiber.join(fiber)
    const calls = yield* Effect.flatten(TokenService.TestCalls)
    return { exits, sent, rejects: calls.filter((call) => call._tag === "reject").length }
  }).pipe(
    Effect.provide(
      layer.pipe(
        Layer.provideMerge(TokenService.layerTest(["access-1", "access-2"])),
        Layer.provide(Layer.succeed(HttpClient.HttpClient, network)),
        Layer.provideMerge(TestClock.layer())
      )
    ),
    ends
  )
})

/** A failure that can be read and sent, and tells no credential of the request. */
const assertFailure = Effect.fnUntraced(function* (error: ClientError) {
  for (const writing of writings(error)) assert.notMatch(writing, sentSecret)
  if (error._tag === "TokenError") return yield* assertReason(error.reason)
  if (error._tag !== "ApiVideoError" && error._tag !== "MovingImageError") return
  const codec = Schema.toCodecJson(Schema.Union([ApiVideoError.ApiVideoError, MovingImageError.MovingImageError]))
  const sent = yield* Schema.encodeEffect(codec)(error)
  const received = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(JSON.stringify(sent)))
  assert.strictEqual(received.message, error.message)
})

const failuresIn = (exits: ReadonlyArray<Exit.Exit<unknown, ClientError>>): ReadonlyArray<ClientError> =>
  exits
    .flatMap((exit) => (Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isFailReason) : []))
    .map(({ error }) => error)

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 99 }))

/** Parameters of a challenge (RFC 9110 §11.6.1). */
const Challenge = Schema.Struct({
  scheme: Schema.Literals(["Bearer", "bearer", "Basic", "DPoP", ""]),
  parameters: Schema.Array(
    Schema.Struct({
      name: Schema.Literals(["error", "ERROR", "realm", "scope", "error_description", "errors", "xerror"]),
      value: Schema.Literals([
        "insufficient_scope",
        "INSUFFICIENT_SCOPE",
        "invalid_token",
        "",
        "a b",
        "=",
        "insufficient"
      ]),
      isQuoted: Schema.Boolean,
      blank: Schema.Literals(["", " "])
    })
  ).check(Schema.isMaxLength(4))
})

for (const client of clients) {
  describe(`a request that is answered with anything (${client.name})`, () => {
    const requestAt = (index: number) => client.requests[index % client.requests.length]!

    it.live.prop(
      "ends in an answer or a typed failure, and tells no credential that the server repeats",
      { which: Index, wild: Wildness },
      ({ which, wild }) =>
        Effect.gen(function* () {
          const tamper = tampering(wild)
          const { exits, rejects, sent } = yield* perform(client, [requestAt(which)], (_, request, url) =>
            tamper(parrot(request, url))
          )
          assert.isAtMost(rejects, 1)
          assert.isAtMost(sent, 7)
          for (const error of failuresIn(exits)) yield* assertFailure(error)
        }),
      times(100)
    )

    it.live.prop(
      "repeats no credential where values of a problem are others",
      { which: Index, status: Schema.Literals([400, 401, 403, 404, 409, 429, 500]), values: Values },
      ({ status, values, which }) =>
        Effect.gen(function* () {
          const tamper = tampering({ ...inPlaceOf(values), status })
          const answer = (_: number, request: HttpClientRequest.HttpClientRequest, url: URL) =>
            tamper(parrot(request, url))
          const { exits } = yield* perform(client, [requestAt(which)], answer)
          for (const error of failuresIn(exits)) yield* assertFailure(error)
        }),
      times(100)
    )

    it.live.prop(
      "says what it did not read of a page of something in between",
      { which: Index, status: Schema.Literals([400, 403, 404, 413, 429, 502, 503]), page: Page },
      ({ page, status, which }) =>
        Effect.gen(function* () {
          const { exits } = yield* perform(client, [requestAt(which)], intercepting(status, page))
          for (const error of failuresIn(exits)) {
            yield* assertFailure(error)
            if (error._tag !== "ApiVideoError" && error._tag !== "MovingImageError") continue
            assert.notMatch("unread" in error.reason ? (error.reason.unread ?? "") : "", /credential/)
            const isCompressed = page.kind === "gzip" || page.kind === "br" || page.kind === "deflate"
            if (page.size > 65_536 && !isCompressed) assert.include(error.message, "larger than 64 KiB")
            if (page.size > 99 && isCompressed) assert.include(error.message, `encoded (${page.kind})`)
          }
        }),
      times(40)
    )

    it.live.prop(
      "does not keep later ones from an answer for longer than a minute, whatever it says of limits",
      { status: Schema.Literals([200, 200, 429, 503]), first: Headers, second: Headers },
      ({ first, second, status }) =>
        Effect.gen(function* () {
          const headers = [first, second]
          const answer = (n: number) => {
            const said = headers[n - 1]
            return said === undefined ? Wire.json(200, {}) : { status, headers: toHeaders(said), body: "{}" }
          }
          const { exits } = yield* perform(client, Array(4).fill(client.requests[0]), answer, "1 minute")
          assert.isTrue(exits.slice(2).every(Exit.isSuccess))
        }),
      times(75)
    )

    it.live.prop(
      "renews once for a 401, unless its challenge says insufficient_scope",
      { challenges: Schema.Array(Challenge).check(Schema.isMaxLength(2)) },
      ({ challenges }) =>
        Effect.gen(function* () {
          const value = challenges
            .map(({ parameters, scheme }) =>
              [
                scheme,
                parameters
                  .map(
                    ({ blank, isQuoted, name, value }) => `${name}${blank}=${blank}${isQuoted ? `"${value}"` : value}`
                  )
                  .join(", ")
              ].join(" ")
            )
            .join(", ")
          const isAboutScope = challenges.some(({ parameters }) =>
            parameters.some(({ name, value }) => /^error$/i.test(name) && /^insufficient_scope$/i.test(value))
          )
          const answer = (n: number) =>
            n === 1 ? { status: 401, headers: { "www-authenticate": value }, body: "{}" } : Wire.json(200, {})
          const { exits, rejects, sent } = yield* perform(client, [client.requests[0]!], answer)
          assert.deepStrictEqual({ rejects, sent }, isAboutScope ? { rejects: 0, sent: 1 } : { rejects: 1, sent: 2 })
          for (const error of failuresIn(exits)) yield* assertFailure(error)
        }),
      times(100)
    )
  })
}
