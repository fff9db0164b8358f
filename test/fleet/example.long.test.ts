/** `examples/fleet.ts`: processes that share a credential, beside as many that don't. */
import { assert, describe, it } from "@effect/vitest"
import { assertDiscreet, run } from "../support/examples.ts"
import { redis } from "../support/servers.ts"

const compareFleets = async (through: string, env: Readonly<Record<string, string>>) => {
  const ending = await run("fleet.ts", env)
  assert.strictEqual(ending.stderr, "")
  assert.strictEqual(ending.code, 0)
  assertDiscreet(ending)
  assert.include(ending.stdout, `through ${through}`)
  const row = (title: string) => {
    const [, sharing, alone] = new RegExp(`^${title} +(\\d+) +(\\d+)$`, "m").exec(ending.stdout) ?? []
    return { sharing: Number(sharing), alone: Number(alone) }
  }
  // One login for eight processes, and one exchange whenever it is time for the next. A process that the machine starves for
  // longer than its lease lasts may cost another login.
  assert.isAtMost(row("logins").sharing, 2)
  assert.strictEqual(row("refused").sharing, 0)
  assert.strictEqual(row("at once, at most").sharing, 1)
  assert.isAtLeast(row("refreshes").sharing, 1)
  assert.isAtLeast(row("logins").alone, 9)
  assert.isAtLeast(row("refused").alone, 1)
  return { throttled: row("429") }
}

describe("a fleet through files", () => {
  it("saves all logins but one", async () => {
    await compareFleets("files", {})
  })
})

await redis.describe("a fleet through Redis", (url) => {
  it("counts requests together as well, so that the server refuses none", async () => {
    const { throttled } = await compareFleets("Redis", { REDIS_URL: url })
    assert.strictEqual(throttled.sharing, 0)
  })
})
