import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { type Ending, ending, start } from "./support/examples.ts"

/** Runs what `npm start` does, interrupted `delay` ms after `word` (or the start) if asked, with no other variables. */
const run = (
  env: Readonly<Record<string, string>> = {},
  interruption?: { readonly after?: string; readonly delay: number }
) => {
  const child = start("quickstart.ts", env)
  let isDone = interruption === undefined
  const interrupt = (stdout: string) => {
    if (isDone || interruption === undefined || !stdout.includes(interruption.after ?? "")) return
    isDone = true
    setTimeout(() => child.kill("SIGINT"), interruption.delay)
  }
  interrupt("")
  return ending(child, interrupt)
}

const keys = ["your_api_key", "wrong_key_of_the_test"]

const assertDiscreet = ({ stderr, stdout }: Ending) => {
  const text = stdout + stderr
  for (const secret of ["eyJ", "def50200", "Bearer ", ...keys]) assert.notInclude(text, secret)
  assert.notMatch(text, /^\s+at /m, "a stack trace")
  assert.notInclude(text, "\u001b", "colours though stdout is no terminal")
}

/** Text of the line with this title, and the number before it. */
const line = (stdout: string, title: string) => {
  const [, number, text] = new RegExp(`^ *([\\d.]+)(?: s)?  ${title} *(.*)$`, "m").exec(stdout) ?? []
  assert.isDefined(number, `a line "${title}" in:\n${stdout}`)
  return { number: Number(number), text: text ?? "" }
}

let running: Promise<Ending> | undefined
/** The story to its end, once for all who look at it. */
const whole = () => (running ??= run())

const titles = [
  "First login",
  "Three writes",
  "One read",
  "No request",
  "Many at once",
  "Token revoked",
  "Refresh refused",
  "A typed 400",
  "Auth goes down",
  "Token expired",
  "Auth comes back"
]

describe.concurrent("quickstart", () => {
  it("tells its story and ends by itself", async () => {
    const ending = await whole()
    const { code, stderr, stdout } = ending
    assert.strictEqual(stderr, "")
    assert.strictEqual(code, 0)
    assertDiscreet(ending)

    const times = titles.map((title) => line(stdout, title).number)
    assert.deepStrictEqual(
      times,
      times.toSorted((a, b) => a - b)
    )
    const told = titles.map((title) => stdout.indexOf(`  ${title}`))
    assert.deepStrictEqual(
      told,
      told.toSorted((a, b) => a - b)
    )

    assert.match(line(stdout, "One read").text, /3 videos, "Trailer"/)
    assert.match(line(stdout, "Many at once").text, /^200 requests, 200 answers/)
    // A request that a busy machine sends after the renewal meets no 401.
    assert.match(line(stdout, "Token revoked").text, /^50 requests in flight, \d+ × 401, 1 renewal, 50 answers$/)
    assert.match(line(stdout, "A typed 400").text, /BadRequest, parameter pageSize$/)
    assert.match(line(stdout, "Token expired").text, /^\d+ more answers, .* TokenExpired: the connection broke/)
    assert.match(line(stdout, "Auth comes back").text, /nothing was restarted/)
  })

  it("adds up", async () => {
    const { stdout } = await whole()
    const table = (title: string) => line(stdout, title).number
    const calls = Number(/for (\d+) calls/.exec(line(stdout, "requests").text)?.[1])
    const served = Number(/^\d+/.exec(line(stdout, "Token expired").text)?.[0])
    // Three writes, a read, 200 and 50 at once, one each in four steps, and those of the outage.
    assert.strictEqual(calls, 3 + 1 + 200 + 50 + 4 + served)
    // One of the calls never became a request, and each 401 made one more.
    assert.strictEqual(table("requests"), calls - 1 + table("401s healed"))
    assert.strictEqual(table("failed calls"), 2)
    const newest = Number(/#(\d+)/.exec(line(stdout, "Auth comes back").text)?.[1])
    assert.strictEqual(table("logins") + table("refreshes"), newest)
    // At the start, after the refused refresh, after the outage.
    assert.strictEqual(table("logins"), 3)
  })

  const moments = [
    { delay: 1_000 },
    { delay: 4_000 },
    { after: "First login", delay: 0 },
    { after: "No request", delay: 100 },
    { after: "Auth goes down", delay: 500 }
  ]
  for (const moment of moments) {
    const when = `${moment.delay} ms after ${moment.after === undefined ? "the start" : `"${moment.after}"`}`
    // What would not close by itself waits for ever.
    it.skipIf(process.platform === "win32")(`ends when interrupted ${when}`, async () => {
      const ending = await run({}, moment)
      assertDiscreet(ending)
      assert.strictEqual(ending.stderr, "")
      // Before the program itself runs, Node ends by the signal.
      assert.isTrue(ending.code === 130 || ending.signal === "SIGINT", `code ${ending.code}`)
      if (ending.code === 130) assert.match(ending.stdout, /Interrupted; nothing is left running\.\n$/)
    })
  }

  it.live("talks to the server that the variables name, and skips what it cannot do there", () =>
    Effect.gen(function* () {
      const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
      const env = { APIVIDEO_API_KEY: "your_api_key", APIVIDEO_BASE_URL: sandbox.url }
      const ending = yield* Effect.promise(() => run(env))
      assertDiscreet(ending)
      assert.strictEqual(ending.stderr, "")
      assert.strictEqual(ending.code, 0)
      assert.match(line(ending.stdout, "Many at once").text, /^10 requests, 10 answers/)
      for (const title of ["Three writes", "No request", "Token revoked", "Refresh refused", "Token expired"]) {
        assert.match(line(ending.stdout, title).text, /^skipped/)
      }
      assert.strictEqual(line(ending.stdout, "calls").number, 12)
      const { logins, requests } = yield* sandbox.ledger
      assert.deepStrictEqual({ logins, requests }, { logins: 1, requests: 12 })
    }).pipe(Effect.provide(ApiVideoSandbox.layer()))
  )

  it.live("says in one sentence that the key is refused", () =>
    Effect.gen(function* () {
      const { url } = yield* ApiVideoSandbox.ApiVideoSandbox
      const env = { APIVIDEO_API_KEY: "wrong_key_of_the_test", APIVIDEO_BASE_URL: url }
      const ending = yield* Effect.promise(() => run(env))
      assertDiscreet(ending)
      assert.strictEqual(ending.code, 1)
      assert.match(ending.stderr, /^api\.video .*the credentials were refused .*Use an API key of .*\n$/)
    }).pipe(Effect.provide(ApiVideoSandbox.layer()))
  )

  it("says in one sentence that the network is missing", async () => {
    // Nobody listens on the discard port.
    const ending = await run({ APIVIDEO_API_KEY: "your_api_key", APIVIDEO_BASE_URL: "http://127.0.0.1:9" })
    assertDiscreet(ending)
    assert.strictEqual(ending.code, 1)
    assert.match(ending.stderr, /^api\.video 127\.0\.0\.1:9: .*cannot be reached.*\n$/)
  })

  it("says in one sentence that a variable is wrong", async () => {
    const ending = await run({ APIVIDEO_API_KEY: "your_api_key", APIVIDEO_ENVIRONMENT: "staging" })
    assertDiscreet(ending)
    assert.strictEqual(ending.code, 1)
    assert.strictEqual(ending.stderr, "APIVIDEO_ENVIRONMENT must be sandbox or production.\n")
  })
})
