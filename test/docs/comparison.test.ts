/** The chart of docs/comparison.md is drawn from the benchmark's last results, and a client that gives up does not win in it. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { chart, recorded, svg } from "../../bench/report/faults.ts"
import { page, quotes, recordedRows } from "../../bench/report/quotes.ts"

describe("the chart of docs/comparison.md", () => {
  it("is drawn from bench/results.json: node bench/report/faults.ts", () => {
    assert.strictEqual(readFileSync(chart, "utf8"), svg(recorded()))
  })

  it("has a full bar for a client that fails every call, however few exchanges it makes", () => {
    const failing = { scenario: "2. Staggered 401s", subject: "gives up" }
    const drawn = svg([
      { ...failing, metric: "exchanges", value: 0 },
      { ...failing, metric: "failed calls of 50", value: 50 }
    ])
    const [, track] = /class="track" [^>]*width="(\d+)"/.exec(drawn) ?? []
    const [, failed] = /class="failed" [^>]*width="([\d.]+)"/.exec(drawn) ?? []
    assert.strictEqual(Number(failed), Number(track))
    assert.include(drawn, "100% failed")
  })
})

describe("the figures of docs/comparison.md", () => {
  it("are quoted from bench/results.json: node bench/report/quotes.ts", () => {
    assert.include(readFileSync(page, "utf8"), `\n${quotes(recordedRows())}\n`)
  })

  it("are ours, times those of others", () => {
    const row = (subject: string, metric: string, ratioToOurs: number) => ({ subject, metric, ratioToOurs })
    const text = quotes([
      row("Effect HttpClient", "client CPU per request, without a network", 0.8),
      row("Effect HttpClient", "throughput, 32 at a time", 1.25),
      row("@api.video/nodejs-client", "throughput, 32 at a time", 0.5),
      row("Effect.succeed", "time per get", 0.625),
      row("Effect.cachedInvalidateWithTTL", "time per get", 1)
    ])
    assert.deepStrictEqual(text.match(/[\d.]+ ×/g), ["1.25 ×", "0.8 ×", "2 ×", "1.6 ×", "1 ×"])
  })
})
