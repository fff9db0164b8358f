import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Redacted } from "effect"
import { HttpBody, HttpClient, HttpRouter } from "effect/http"
import { Webhooks, type WebhookEvent } from "effect-video-auth/api-video"
import { createHmac } from "node:crypto"

// api.video documentation, "Create and manage webhooks": a secret, a body and its signature.
const secret = Redacted.make("sig_sec_0000000000000000000000")
const body =
  '{"type":"video.encoding.quality.completed","emittedAt":"2021-01-29T15:46:25.217Z","videoId":"vi0000000000000000000000","liveStreamId":"li0000000000000000000000","encoding":"hls","quality":"720p"}'
const signature = "27a77d3a7fc626854886b5dbfae4e32c8b0170c1ea1b714c91ba77f1e7774e8c"

/** Node's own HMAC, as a second opinion. */
const sign = (text: string, key = Redacted.value(secret)) => createHmac("sha256", key).update(text).digest("hex")

describe("Webhooks.verify", () => {
  it.effect("accepts the documented delivery", () => Webhooks.verify({ secret, body, signature }))

  it.effect("accepts bytes, capitals, and any of several secrets", () =>
    Webhooks.verify({
      secret: [Redacted.make("another"), secret],
      body: new TextEncoder().encode(body),
      signature: signature.toUpperCase()
    })
  )

  const refused: ReadonlyArray<readonly [what: string, delivery: Partial<Webhooks.Delivery>, problem: string]> = [
    ["no signature", { signature: undefined }, "missing"],
    ["an empty signature", { signature: "" }, "missing"],
    ["a signature that is no hexadecimal number", { signature: "not hex" }, "wrong"],
    ["a part of the signature", { signature: signature.slice(0, 32) }, "wrong"],
    ["a longer signature", { signature: `${signature}00` }, "wrong"],
    ["another body", { body: body.replace("720p", "360p") }, "wrong"],
    ["the same JSON with another space", { body: `${body} ` }, "wrong"],
    ["another secret", { secret: Redacted.make("sig_sec_1") }, "wrong"],
    ["an empty secret", { secret: Redacted.make("") }, "wrong"],
    ["no secret", { secret: [] }, "wrong"]
  ]
  for (const [what, delivery, problem] of refused) {
    it.effect(`refuses ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Webhooks.verify({ secret, body, signature, ...delivery }))
        assert.strictEqual(error.problem, problem)
        assert.notInclude(error.message, "sig_sec")
      })
    )
  }
})

describe("Webhooks.decodeEvent", () => {
  const decode = (event: unknown) => Webhooks.decodeEvent(JSON.stringify(event))

  it.effect("reads all six kinds", () =>
    Effect.gen(function* () {
      const ids = { videoId: "vi1", liveStreamId: "li1", captionId: "caption_1", summaryId: "summary_1" }
      const kinds = [
        "live-stream.broadcast.started",
        "live-stream.broadcast.ended",
        "video.source.recorded",
        "video.encoding.quality.completed",
        "video.caption.generated",
        "video.summary.generated"
      ]
      const events = yield* Effect.forEach(kinds, (type) => decode({ type, ...ids }))
      assert.deepStrictEqual(
        events.map(({ type }) => type as string),
        kinds
      )
    })
  )

  it.effect("reads dates, and leaves out an impossible one, as the documents have it", () =>
    Effect.gen(function* () {
      const event = yield* Webhooks.decodeEvent(body)
      assert.isTrue(event.type === "video.encoding.quality.completed" && DateTime.isDateTime(event.emittedAt))
      const impossible = { type: "video.source.recorded", emittedAt: "2024-08-151T10:18:47+00:00", videoId: "vi1" }
      assert.deepStrictEqual(yield* decode(impossible), { type: "video.source.recorded", videoId: "vi1" })
    })
  )

  it.effect("keeps a kind that it does not know, whatever its name", () =>
    Effect.gen(function* () {
      for (const type of ["video.dreamt", "constructor", "__proto__", ""]) {
        const event = yield* decode({ type, detail: 1 })
        assert.deepStrictEqual(event, { type: "unknown", name: type, payload: { type, detail: 1 } })
      }
    })
  )

  it.effect("names the field that is wrong, and not its value", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(decode({ type: "video.summary.generated", videoId: { planted: "secret" } }))
      assert.include(error.message, "videoId")
      assert.notInclude(error.message, "planted")
    })
  )

  it.effect("refuses what is no event", () =>
    Effect.forEach(["", "{", "null", "[]", "7", "{}", '{"type":7}'], (text) => Effect.flip(Webhooks.decodeEvent(text)))
  )
})

describe("Webhooks.handler", () => {
  const served = <A, E>(
    use: (post: (text: string, signature?: string) => Effect.Effect<number>) => Effect.Effect<A, E>,
    onEvent: (event: WebhookEvent) => Effect.Effect<unknown, string>
  ) =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const post = (text: string, signature?: string) =>
        client
          .post("/webhooks", {
            body: HttpBody.text(text, "application/json"),
            headers: signature === undefined ? {} : { "x-api-video-signature": signature }
          })
          .pipe(
            Effect.map(({ status }) => status),
            Effect.orDie
          )
      return yield* use(post)
    }).pipe(
      Effect.provide(
        HttpRouter.serve(HttpRouter.add("POST", "/webhooks", Webhooks.handler({ secret, onEvent })), {
          disableLogger: true,
          disableListenLog: true
        }).pipe(Layer.provideMerge(NodeHttpServer.layerTest))
      )
    )

  it.effect("hands over what is signed, and nothing else", () => {
    const events: Array<string> = []
    return served(
      (post) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* post(body, signature), 202)
          assert.strictEqual(yield* post(body), 401)
          assert.strictEqual(yield* post(`${body} `, signature), 401)
          assert.strictEqual(yield* post("[]", sign("[]")), 400)
          const unknown = '{"type":"video.dreamt"}'
          assert.strictEqual(yield* post(unknown, sign(unknown)), 202)
          assert.deepStrictEqual(events, ["video.encoding.quality.completed", "unknown"])
        }),
      ({ type }) => Effect.sync(() => events.push(type))
    )
  })

  it.effect("refuses a body of more than 1 MiB", () =>
    served(
      (post) =>
        Effect.gen(function* () {
          const long = JSON.stringify({ type: "video.dreamt", filler: "x".repeat(1024 * 1024) })
          assert.strictEqual(yield* post(long, sign(long)), 400)
        }),
      () => Effect.die("an event")
    )
  )

  it.effect("asks for another delivery of an event that failed", () =>
    served(
      (post) => Effect.map(post(body, signature), (status) => assert.isAbove(status, 299)),
      () => Effect.fail("the database is down")
    )
  )
})
