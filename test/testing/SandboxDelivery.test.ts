/**
 * Deliveries of the sandbox to webhooks: signed, repeated as documented, and only to this machine.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { TestClock } from "effect/testing"
import * as SandboxDelivery from "effect-video-auth/testing/SandboxDelivery"
import type { IncomingHttpHeaders } from "node:http"
import { text } from "node:stream/consumers"
import { listen } from "../support/listen.ts"

// The delivery of api.video's documentation, with its signature.
const secret = "sig_sec_0000000000000000000000"
const body = {
  type: "video.encoding.quality.completed",
  emittedAt: "2021-01-29T15:46:25.217Z",
  videoId: "vi0000000000000000000000",
  liveStreamId: "li0000000000000000000000",
  encoding: "hls",
  quality: "720p"
}
const signature = "27a77d3a7fc626854886b5dbfae4e32c8b0170c1ea1b714c91ba77f1e7774e8c"

interface Received {
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A receiver that responds with these statuses, one after the other, and then with the last. */
const receiver = Effect.fn("receiver")(function* (...statuses: ReadonlyArray<number>) {
  const { serve, url } = yield* listen
  const received = yield* Queue.unbounded<Received>()
  let count = 0
  serve(async (request, response) => {
    Queue.offerUnsafe(received, { url: request.url, headers: request.headers, body: await text(request) })
    const status = statuses[Math.min(count++, statuses.length - 1)] ?? 200
    response.writeHead(status, { location: "/elsewhere" }).end("ok")
  })
  return { received, url }
})

const sender = Effect.fn("sender")(function* (url: string, anywhere = false) {
  const deliveries = yield* Queue.unbounded<SandboxDelivery.Delivery>()
  const { emit } = yield* SandboxDelivery.make({
    webhooksFor: (type) => (type === body.type ? [{ webhookId: "webhook_1", url, signatureSecret: secret }] : []),
    anywhere,
    onDelivery: (delivery) => Effect.asVoid(Queue.offer(deliveries, delivery))
  })
  return { deliveries, emit }
})

describe("SandboxDelivery", () => {
  it.effect("posts the documented example with the documented signature", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver(202)
      const { deliveries, emit } = yield* sender(`${url}/hook?key=1`)
      yield* emit(body)
      const delivery = yield* Queue.take(received)
      assert.strictEqual(delivery.body, JSON.stringify(body))
      assert.strictEqual(delivery.url, "/hook?key=1")
      assert.deepInclude(delivery.headers, {
        "content-type": "application/json",
        "x-api-video-signature": signature,
        "x-api-video-webhookid": "webhook_1"
      })
      assert.deepStrictEqual(yield* Queue.take(deliveries), {
        at: 0,
        webhookId: "webhook_1",
        url: `${url}/hook`,
        type: body.type,
        attempt: 1,
        status: 202,
        problem: undefined
      })
    })
  )

  for (const [statuses, attempts] of [
    [[500, 503, 200], 3],
    [[404], 4],
    [[302], 4],
    [[300, 299], 2]
  ] as const) {
    it.effect(`tries ${attempts} times, 3 s apart, when the responses are ${statuses.join()}`, () =>
      Effect.gen(function* () {
        const { received, url } = yield* receiver(...statuses)
        const { deliveries, emit } = yield* sender(url)
        yield* emit(body)
        const seen = []
        for (let attempt = 1; attempt <= attempts; attempt++) {
          const delivery = yield* Queue.take(deliveries)
          seen.push([delivery.attempt, delivery.status, delivery.at])
          if (attempt === attempts) break
          yield* TestClock.adjust("2999 millis")
          assert.strictEqual(yield* Queue.size(deliveries), 0)
          yield* TestClock.adjust("1 millis")
        }
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(
          seen,
          Array.from({ length: attempts }, (_, index) => [
            index + 1,
            statuses[Math.min(index, statuses.length - 1)],
            index * 3000
          ])
        )
        const all = yield* Queue.takeAll(received)
        assert.lengthOf(all, attempts)
        assert.isTrue(all.every(({ url }) => url === "/"))
      })
    )
  }

  it.effect("tries again when nobody listens", () =>
    Effect.gen(function* () {
      const url = yield* Effect.scoped(Effect.map(listen, ({ url }) => url))
      const { deliveries, emit } = yield* sender(url)
      yield* emit(body)
      const { attempt, problem, status } = yield* Queue.take(deliveries)
      assert.deepStrictEqual([attempt, status, problem], [1, undefined, "no response (TransportError)"])
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Queue.take(deliveries)).attempt, 2)
    })
  )

  for (const host of ["example.com", "127.0.0.1.example.com", "10.0.0.1", "localhost.example.com"]) {
    it.effect(`posts nothing to ${host}`, () =>
      Effect.gen(function* () {
        const { deliveries, emit } = yield* sender(`http://${host}/hook`)
        yield* emit(body)
        const { attempt, problem, status } = yield* Queue.take(deliveries)
        assert.deepStrictEqual([attempt, status], [0, undefined])
        assert.match(String(problem), /^not on this machine/)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Queue.size(deliveries), 0)
      })
    )
  }

  it.effect("posts only to the webhooks of that kind of event", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver(200)
      const { deliveries, emit } = yield* sender(url)
      yield* emit({ ...body, type: "video.source.recorded" })
      yield* emit(body)
      yield* Queue.take(deliveries)
      assert.lengthOf(yield* Queue.takeAll(received), 1)
    })
  )
})
