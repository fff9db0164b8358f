/**
 * The rate limit against a model. Programs of callers, cancellations, clock steps and responses are drawn at random and run in
 * virtual time against a server that counts in a window of its own. Whatever the program:
 *
 * - the server never has to refuse a request because of its limit, if it tells the truth
 * - no place is lost: when all callers have ended, the next ones go out as if they were the only ones
 * - no caller waits longer than `rateLimitMaxWait`
 * - callers of one class are served in the order in which they came
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Exit, Fiber, Layer, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { ApiVideo, TokenService } from "effect-video-auth"
import * as SplitClock from "effect-video-auth/testing/SplitClock"
import { checks } from "../support/random.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Step = Schema.Union([
  /** So many callers come at once, and give up after so many seconds; 0 means never. */
  Schema.Struct({ _tag: Schema.tag("Call"), count: between(1, 12), patience: between(0, 90) }),
  Schema.Struct({ _tag: Schema.tag("Pass"), millis: between(1, 40_000) }),
  /** Somebody sets the wall clock. */
  Schema.Struct({ _tag: Schema.tag("SetClock"), seconds: between(-100_000, 100_000) }),
  /** The next responses take up to so many milliseconds, and overtake each other. */
  Schema.Struct({ _tag: Schema.tag("Latency"), millis: between(0, 5_000) }),
  /** The server refuses the next request, whatever it has counted. */
  Schema.Struct({ _tag: Schema.tag("Refuse"), retryAfter: between(0, 90) }),
  /** The next response says something about the limit that is not true. */
  Schema.Struct({
    _tag: Schema.tag("Lie"),
    limit: Schema.Literals(["0", "-1", "0.001", "1", "3", "7", "1000000000", "NaN", "soon"]),
    remaining: Schema.Literals(["0", "-1", "3", "1000000", "soon"]),
    reset: Schema.Literals(["0", "1", "30", "60", "61", "1700000000", "soon"])
  })
])
type Step = typeof Step.Type

const Program = Schema.Struct({
  /** What the program configures, and what the server allows. */
  configured: between(1, 8),
  allowed: between(1, 8),
  reports: Schema.Literals(["everything", "limit", "nothing"]),
  /** Whether `Lie` does anything. */
  lies: Schema.Boolean,
  steps: Schema.Array(Step).check(Schema.isMaxLength(25))
})
type Program = typeof Program.Type

const longestWait = 60_000

interface Call {
  readonly order: number
  readonly cameAt: number
  sentAt: number | undefined
  endedAt: number | undefined
}

/** A server with a window of its own, which begins with its first request. */
class Server {
  readonly allowed: number
  readonly reports: Program["reports"]
  latency = 0
  refusals: Array<number> = []
  lies: Array<Extract<Step, { readonly _tag: "Lie" }>> = []
  /** Instants of the requests that arrived. */
  readonly arrivals: Array<number> = []
  /** Requests over the limit. */
  overrun = 0
  /** Requests that were sent although the client knew that it should wait. */
  ignored = 0
  #start = Number.NEGATIVE_INFINITY
  #count = 0
  #heldFrom = Number.NEGATIVE_INFINITY
  #heldUntil = Number.NEGATIVE_INFINITY

  constructor({ allowed, reports }: Program) {
    this.allowed = allowed
    this.reports = reports
  }

  respond(now: number): Response {
    this.arrivals.push(now)
    // At the same instant, requests may be on their way already.
    if (now > this.#heldFrom && now < this.#heldUntil) this.ignored += 1
    if (now >= this.#start + 60_000) {
      this.#start = now
      this.#count = 0
    }
    const reset = Math.ceil((this.#start + 60_000 - now) / 1_000)
    const isOver = this.#count >= this.allowed
    if (isOver) this.overrun += 1
    const retryAfter = isOver ? reset : this.refusals.shift()
    // A refused request is not counted.
    if (retryAfter === undefined) this.#count += 1
    const lie = this.lies.shift()
    const headers: Record<string, string> = {}
    if (this.reports !== "nothing") headers["x-ratelimit-limit"] = String(this.allowed)
    if (this.reports === "everything") {
      headers["x-ratelimit-remaining"] = String(Math.max(0, this.allowed - this.#count))
      headers["x-ratelimit-retry-after"] = String(reset)
    }
    if (lie !== undefined) {
      headers["x-ratelimit-limit"] = lie.limit
      headers["x-ratelimit-remaining"] = lie.remaining
      headers["x-ratelimit-retry-after"] = lie.reset
    }
    if (retryAfter !== undefined) headers["retry-after"] = String(retryAfter)
    return new Response("{}", { status: retryAfter === undefined ? 200 : 429, headers })
  }

  /** The client has got a response. */
  delivered({ headers, status }: Response, now: number): void {
    if (status !== 429) return
    const seconds = Math.min(Number(headers.get("retry-after")), longestHold)
    this.#heldFrom = now
    this.#heldUntil = Math.max(this.#heldUntil, now + seconds * 1_000)
  }
}

/** `Retry-After` of more than a minute is believed for a minute. */
const longestHold = 60

const run = Effect.fnUntraced(function* (program: Program, rateLimitRetries: number) {
  const server = new Server(program)
  const clock = yield* SplitClock.SplitClock
  const test = yield* TestClock.testClockWith(Effect.succeed)
  const now = () => Number(test.monotonicTimeNanosUnsafe()) / 1e6
  const network = HttpClient.make((request) =>
    Effect.suspend(() => {
      const response = server.respond(now())
      const call = calls[Number(request.headers["x-call"])]!
      call.sentAt ??= now()
      const latency = (server.latency * ((server.arrivals.length * 7) % 5)) / 4
      const arrived = Effect.sync(() => {
        server.delivered(response, now())
        return HttpClientResponse.fromWeb(request, response)
      })
      return latency === 0 ? arrived : Effect.delay(arrived, latency)
    })
  )
  const calls: Array<Call> = []
  const fibers: Array<Fiber.Fiber<Exit.Exit<unknown, unknown>>> = []
  const client = ApiVideo.layerClient({
    rateLimits: { uploads: 1, writes: 1, reads: program.configured },
    rateLimitRetries,
    retry: false
  }).pipe(Layer.provide(TokenService.layerTest(["test"])), Layer.provide(Layer.succeed(HttpClient.HttpClient, network)))
  const call = (patience: number) =>
    Effect.gen(function* () {
      const api = yield* ApiVideo.ApiVideo
      const own: Call = { order: calls.length, cameAt: now(), sentAt: undefined, endedAt: undefined }
      calls.push(own)
      const request = api.get("/videos", { headers: { "x-call": String(own.order) } })
      const limited = patience === 0 ? request : Effect.timeout(request, patience * 1_000)
      const exit = yield* Effect.exit(limited)
      own.endedAt = now()
      return exit
    })
  const settle = Effect.repeat(Effect.yieldNow, { times: 20 })

  return yield* Effect.gen(function* () {
    for (const step of program.steps) {
      switch (step._tag) {
        case "Call":
          for (let index = 0; index < step.count; index++) {
            fibers.push(yield* Effect.forkChild(call(step.patience), { startImmediately: true }))
          }
          break
        case "Pass":
          yield* TestClock.adjust(step.millis)
          break
        case "SetClock":
          yield* clock.stepWall(step.seconds * 1_000)
          break
        case "Latency":
          server.latency = step.millis
          break
        case "Refuse":
          server.refusals.push(step.retryAfter)
          break
        case "Lie":
          if (program.lies) server.lies.push(step)
          break
      }
      yield* settle
    }
    server.latency = 0
    for (let seconds = 0; seconds < 600 && fibers.some((fiber) => fiber.pollUnsafe() === undefined); seconds++) {
      yield* TestClock.adjust(1_000)
      yield* settle
    }
    const unfinished = fibers.filter((fiber) => fiber.pollUnsafe() === undefined).length
    // All is over, and so are all windows. What was said about the limit is forgotten after ten minutes.
    yield* TestClock.adjust(11 * 60_000)
    server.refusals = []
    server.lies = []
    const before = server.arrivals.length
    const last = yield* Effect.forkChild(
      Effect.all(
        Array.from({ length: Math.min(program.configured, program.allowed) }, () => Effect.exit(call(0))),
        { concurrency: "unbounded" }
      ),
      { startImmediately: true }
    )
    yield* settle
    const sentAtOnce = server.arrivals.length - before
    yield* Fiber.interrupt(last)
    return { server, calls, unfinished, sentAtOnce }
  }).pipe(Effect.provide(client))
})

describe("whatever callers, clocks and servers do", () => {
  for (const retries of [0, 3]) {
    it.effect.prop(
      `waits end, turns are kept and no place is lost (rateLimitRetries: ${retries})`,
      { program: Program },
      ({ program }) =>
        Effect.gen(function* () {
          const { calls, sentAtOnce, server, unfinished } = yield* run(program, retries)
          assert.strictEqual(unfinished, 0, "a call does not end")
          assert.strictEqual(sentAtOnce, Math.min(program.configured, program.allowed), "places are lost")
          let last = Number.NEGATIVE_INFINITY
          for (const { cameAt, endedAt, sentAt } of calls.slice(0, -sentAtOnce)) {
            assert.isAtMost((sentAt ?? endedAt ?? Infinity) - cameAt, longestWait, "a call waits too long")
            if (sentAt === undefined) continue
            assert.isAtLeast(sentAt, last, "a call overtakes another")
            last = sentAt
          }
          assert.isAtMost(server.arrivals.length, calls.length * (1 + retries))
          assert.strictEqual(server.ignored, 0, "a request was sent although the server had asked to wait")
          // Before a server has reported its limit, the client can only know the configured one.
          if (!program.lies && program.configured <= program.allowed) {
            assert.strictEqual(server.overrun, 0, "the server had to refuse a request")
          }
        }).pipe(Effect.provide(SplitClock.layer)),
      checks(150, { size: 40, maxShrinks: 300 })
    )
  }
})
