/** The lines that `npm run sandbox` prints about deliveries; those about requests are tested with the command itself. */
import { assert, describe, it } from "@effect/vitest"
import { deliveryJsonOf, deliveryLineOf } from "../../src/cli/requestLog.ts"

const delivery = {
  at: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  webhookId: "webhook_1",
  url: "http://127.0.0.1:3000/hook",
  type: "video.source.recorded",
  attempt: 2,
  status: undefined,
  problem: "no response (TransportError)"
}

describe("a delivery in the log", () => {
  it("is a line with the kind of event, the attempt, and why there was no response", () => {
    assert.strictEqual(
      deliveryLineOf(delivery),
      "03:04:05.006  POST    http://127.0.0.1:3000/hook  ---  video.source.recorded  attempt 2  no response (TransportError)"
    )
    assert.strictEqual(
      deliveryLineOf({ ...delivery, status: 202, problem: undefined }),
      "03:04:05.006  POST    http://127.0.0.1:3000/hook  202  video.source.recorded  attempt 2"
    )
  })

  it("is an object with null for what there is not", () => {
    assert.deepStrictEqual(JSON.parse(deliveryJsonOf({ ...delivery, problem: undefined })), {
      event: "delivery",
      ...delivery,
      at: "2026-01-02T03:04:05.006Z",
      status: null,
      problem: null
    })
  })
})
