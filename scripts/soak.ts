/**
 * `npm run soak`: a long run over real sockets.
 *
 * For each login a program keeps 70 requests in flight to a server that fails, takes tokens back, and is stopped and started
 * again. At the end every request has to be accounted for, no request may have failed without a reason, no refresh token may
 * have been sent twice, and nothing may be left behind: no unhandled rejection, no handle, no fibre, no heap that grows.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { Platform as Kit } from "effect-video-auth"
import { type ChildProcess, fork } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { failureOf } from "../src/platform/shared/http.ts"
import { bodyText } from "../test/support/bodyText.ts"
import { census } from "../test/support/census.ts"
import { commandLine, refuse } from "./commandLine.ts"
import { lifetime, type Platform, platforms } from "./soak/platforms.ts"
import type { Command, Message, Report } from "./soak/server.ts"
import { type Stall, watchStalls } from "./soak/stalls.ts"

const script = {
  name: "soak",
  about: `Keeps 210 requests in flight over sockets, to servers that fail, take tokens back, and restart. Ends with 1 unless
every request is accounted for and nothing is left behind.`,
  flags: {
    minutes: { value: "N", about: "How long it runs, at least 1. The default is 10." },
    seed: { value: "TEXT", about: "Decides what the servers do and when. Drawn by default, and printed." }
  }
}
const given = commandLine(script)
const minutes = Number(given.valueOf("minutes") ?? 10)
const seed = given.valueOf("seed") ?? String(Math.floor(Math.random() * 1e6))
if (!(minutes >= 1)) refuse(script, "--minutes needs a number from 1 up")
const { gc = () => refuse(script, "it needs --expose-gc, which npm run soak passes to Node") } = globalThis

const watch = watchStalls()

/** Requests in flight by each login. */
const inFlight = 70

/** How long the server behaves at the end. */
const convalescence = Duration.seconds(20)

const problems: Array<string> = []
for (const event of ["unhandledRejection", "uncaughtException", "warning"] as const) {
  process.on(event, (error: unknown) => problems.push(`${event}: ${String(error)}`))
}

/** A request that failed, and when. */
interface Failure {
  readonly id: number
  readonly isSafe: boolean
  readonly from: number
  readonly to: number
  readonly tag: string
  readonly message: string
}

/** What became of each request, by number. Made whole at once: nothing here grows. */
const makeBooks = () => ({
  outcomes: new Uint8Array(Math.ceil(minutes * 60_000)),
  started: 0,
  succeeded: 0,
  failures: new Array<Failure>(),
  sent: 0,
  answered: 0,
  neverConnected: 0,
  refreshTokens: new Set<string>(),
  refreshTokensSentTwice: 0
})
type Books = ReturnType<typeof makeBooks>
const ended = { well: 1, failed: 2 }

/** Counts what goes over the wire. */
const counting = (client: HttpClient.HttpClient, books: Books, refreshToken: Platform["refreshToken"]) =>
  HttpClient.transform(client, (effect, request) =>
    Effect.suspend(() => {
      books.sent += 1
      const { body, url } = request
      const text = bodyText(body) ?? ""
      const token = refreshToken(new URL(url).pathname, text)
      const key = token === undefined ? undefined : createHash("sha256").update(token).digest("base64url")
      const noteRefresh = () => {
        if (key === undefined) return
        if (books.refreshTokens.has(key)) books.refreshTokensSentTwice += 1
        books.refreshTokens.add(key)
      }
      return effect.pipe(
        Effect.tap(({ status }) =>
          Effect.sync(() => {
            books.answered += 1
            // The platform said that it did nothing, so the token may be sent again. The server cannot tell that.
            if (status !== 429 && status !== 503) noteRefresh()
          })
        ),
        Effect.tapError((error) =>
          Effect.sync(() => {
            if (failureOf(error) === "connect") books.neverConnected += 1
            else noteRefresh()
          })
        ),
        Effect.onInterrupt(() => Effect.sync(noteRefresh))
      )
    })
  )

const receive = <Tag extends Message["_tag"]>(child: ChildProcess, tag: Tag) =>
  Effect.callback<Extract<Message, { readonly _tag: Tag }>>((resume) => {
    const hear = (message: Message) => {
      if (message._tag !== tag) return
      child.off("message", hear)
      resume(Effect.succeed(message as Extract<Message, { readonly _tag: Tag }>))
    }
    child.on("message", hear)
    child.once("exit", (code) => resume(Effect.die(`the server ended with ${code}`)))
  })
const command = (child: ChildProcess, message: Command) => Effect.sync(() => void child.send(message))

/** One request after the other, until it is over. */
const requesting = (
  { execute }: Effect.Success<ReturnType<Platform["program"]>>,
  { creation, videos }: Platform,
  books: Books,
  isOver: () => boolean
) =>
  Effect.gen(function* () {
    while (!isOver()) {
      const id = books.started
      books.started += 1
      const isSafe = id % 10 !== 0
      const request = (
        isSafe
          ? HttpClientRequest.get(videos)
          : HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(videos), creation)
      ).pipe(HttpClientRequest.setHeader("user-agent", `request ${id}`))
      const from = yield* Clock.currentTimeMillis
      yield* Effect.matchEffect(
        Effect.flatMap(execute(request), (response) => response.arrayBuffer),
        {
          onSuccess: () =>
            Effect.sync(() => {
              books.succeeded += 1
              books.outcomes[id] = ended.well
            }),
          onFailure: ({ _tag: tag, message }) =>
            Effect.flatMap(Clock.currentTimeMillis, (to) => {
              books.failures.push({ id, isSafe, from, to, tag, message })
              books.outcomes[id] = ended.failed
              // A failure from memory takes no time, and the books of thousands a second would grow.
              return Effect.sleep("1 second")
            })
        }
      )
    }
  })

/** Whether what the server did explains a failure. */
const isExplained = (
  { faultyExchanges, gaps, revocations }: Report,
  faults: ReadonlyMap<number, number>,
  stalls: ReadonlyArray<Stall>
) => {
  const absences = [...gaps, ...stalls]
  const wasGone = (from: number, to: number) =>
    absences.some(([since, until]) => since - 200 < to && until + 1_000 > from)
  return ({ from, id, isSafe, tag, to }: Failure): boolean => {
    if (wasGone(from, to)) return true
    if (tag === "TokenError") {
      // Without a token: exchanges failed, and pauses after that are up to ten seconds. Or a token was taken back with
      // the one that was to replace it, and a 401 is recovered from once.
      return (
        wasGone(from - 15_000, to) ||
        faultyExchanges.some((at) => at > from - 15_000 && at < to) ||
        revocations.some((at) => at > from - 1_000 && at < to)
      )
    }
    return (faults.get(id) ?? 0) >= (isSafe ? 3 : 1)
  }
}

const median = (numbers: ReadonlyArray<number>) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

/** Uses one platform for a while, and says what became of it. */
const soak = Effect.fnUntraced(function* (name: string, platform: Platform) {
  const child = fork(new URL("soak/server.ts", import.meta.url), [name, seed])
  const { url } = yield* receive(child, "Ready")
  const books = makeBooks()
  const scope = yield* Scope.make()
  const begun = yield* Clock.currentTimeMillis
  const network = Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) => counting(client, books, platform.refreshToken))
  ).pipe(Layer.provide(NodeHttpClient.layerUndici))
  const context = yield* Scope.provide(Layer.build(network), scope)
  const program = yield* Scope.provide(platform.program(url), scope).pipe(Effect.provideContext(context))
  let isOver = false
  const workers = yield* Effect.forkChild(
    Effect.forEach(Array.from({ length: inFlight }), () => requesting(program, platform, books, () => isOver), {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.provideService(Kit.RequestTimeout, Duration.seconds(15)))
  )
  yield* Effect.sleep(Duration.subtract(Duration.minutes(minutes), convalescence))
  yield* command(child, "heal")
  yield* receive(child, "Healed")
  yield* Effect.sleep(convalescence)
  isOver = true
  const problem = (what: string) => problems.push(`${name}: ${what}`)
  yield* Effect.timeoutOrElse(Fiber.join(workers), {
    duration: "60 seconds",
    orElse: () =>
      Effect.andThen(
        Fiber.interrupt(workers),
        Effect.sync(() => problem("requests do not end"))
      )
  })
  const elapsed = (yield* Clock.currentTimeMillis) - begun
  const { degraded, phase } = yield* program.tokens.state
  yield* Scope.close(scope, Exit.void)
  yield* command(child, "stop")
  const { report } = yield* receive(child, "Report")
  child.disconnect()
  yield* Effect.promise(() => once(child, "exit"))

  // The ledger balances.
  const { answered, failures, neverConnected, sent, started, succeeded } = books
  const served = new Set(report.served)
  const arrived = report.requests + report.exchanges
  if (started !== succeeded + failures.length) problem(`${started} requests, ${succeeded + failures.length} ends`)
  if (arrived < answered || arrived > sent - neverConnected) {
    problem(`${arrived} requests arrived, of ${sent} sent and ${answered} answered`)
  }
  let unserved = 0
  for (let id = 0; id < started; id++) if (books.outcomes[id] === ended.well && !served.has(id)) unserved += 1
  if (unserved > 0) problem(`${unserved} requests succeeded that the server never answered well`)
  // No failure without a reason.
  const explained = isExplained(report, new Map(report.faults), [...report.stalls, ...watch.stalls])
  const unexplained = failures.filter((failure) => !explained(failure))
  for (const { id, message, tag } of unexplained.slice(0, 5)) problem(`request ${id}: ${tag}: ${message}`)
  if (unexplained.length > 0) problem(`${unexplained.length} requests failed without a reason`)
  if (phase !== "valid" && phase !== "renewing") problem(`it ends ${phase}`)
  if (degraded) problem("it ends degraded")
  // No exchange too many: two for each reason, one for each lifetime.
  const reasons = report.revocations.length + report.gaps.length + report.faultyExchanges.length
  const budget = 2 + Math.ceil(elapsed / (0.75 * lifetime * 1_000)) + 2 * reasons
  if (report.exchanges > budget) problem(`${report.exchanges} exchanges, ${budget} were to be expected`)
  const sentTwice = books.refreshTokensSentTwice
  if (sentTwice > 0) problem(`${sentTwice} refresh tokens were sent twice`)
  return {
    platform: name,
    requests: started,
    "per second": Math.round(started / (elapsed / 1_000)),
    failed: failures.length,
    unexplained: unexplained.length,
    faults: report.faults.reduce((sum, [, attempts]) => sum + attempts, 0) + report.faultyExchanges.length,
    restarts: report.gaps.length,
    revocations: report.revocations.length,
    stalls: report.stalls.length + watch.stalls.length,
    exchanges: report.exchanges,
    "at most": budget
  }
})

/** What keeps the process alive. */
const handles = () => process.getActiveResourcesInfo().toSorted().join(" ")

const megabytes = (bytes: number) => Math.round((bytes / 1_048_576) * 10) / 10

const main = Effect.gen(function* () {
  console.log(`${minutes} minutes with ${Object.keys(platforms).join(", ")}, seed ${seed}`)
  // Where it is a pipe, its handle comes with its first use.
  process.stderr.write("")
  const before = handles()
  const { alive, count } = census()
  const heap: Array<number> = []
  const sampling = yield* Effect.forkChild(
    Effect.forever(
      Effect.andThen(
        Effect.sleep("5 seconds"),
        Effect.sync(() => {
          gc()
          heap.push(process.memoryUsage().heapUsed)
        })
      )
    )
  )
  const table = yield* count(
    Effect.forEach(Object.entries(platforms), ([name, platform]) => soak(name, platform), { concurrency: "unbounded" })
  )
  yield* Fiber.interrupt(sampling)
  watch.end()
  console.table(table)

  // What the program needs it has after a fifth of the time.
  const settled = heap.slice(Math.ceil(heap.length / 5))
  const third = Math.floor(settled.length / 3)
  const [first, last] = [median(settled.slice(0, third)), median(settled.slice(-third))]
  console.log(`heap after GC: ${megabytes(first)} MB at first, ${megabytes(last)} MB at last`)
  if (last > first * 1.1 + 2 * 1_048_576) problems.push("the heap grows")
  if ((yield* alive) !== 0) problems.push(`${yield* alive} fibres are left`)
  for (let tries = 0; tries < 50 && handles() !== before; tries++) yield* Effect.sleep("100 millis")
  if (handles() !== before) problems.push(`handles are left: ${handles()}; before: ${before}`)
  for (const problem of problems) console.error(problem)
  console.log(problems.length === 0 ? "the soak passed" : `the soak failed: ${problems.length} problems`)
  process.exitCode = problems.length === 0 ? 0 : 1
})

NodeRuntime.runMain(main)
