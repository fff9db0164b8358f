/**
 * The server of a soak, in a process of its own: `node server.ts <platform> <seed>`. It fails at random, takes tokens
 * back, and is stopped and started again on the same port, until it is told to stop; then it says what it saw.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Effect } from "effect"
import type { FaultKind } from "effect-video-auth/testing/SandboxFault"
import type { Ledger } from "effect-video-auth/testing/SandboxLedger"
import { numbers } from "../../test/model/scheduler.ts"
import { platforms } from "./platforms.ts"
import { type Stall, watchStalls } from "./stalls.ts"

/** What the server saw. Requests are known by a number, which each has as the name of a parameter. */
export interface Report {
  readonly requests: number
  readonly exchanges: number
  /** Numbers of requests that were answered well, and how many attempts of each met a fault. */
  readonly served: ReadonlyArray<number>
  readonly faults: ReadonlyArray<readonly [id: number, attempts: number]>
  /** When tokens were taken back, exchanges met a fault, and no server was there: milliseconds since the epoch. */
  readonly revocations: ReadonlyArray<number>
  readonly faultyExchanges: ReadonlyArray<number>
  readonly gaps: ReadonlyArray<readonly [from: number, to: number]>
  readonly stalls: ReadonlyArray<Stall>
}

/** What it says. */
export type Message =
  | { readonly _tag: "Ready"; readonly url: string }
  | { readonly _tag: "Healed" }
  | { readonly _tag: "Report"; readonly report: Report }

/** What it is told. */
export type Command = "heal" | "stop"

/** How long a server lives, how long until the next one does, and how long tokens are left alone. Milliseconds. */
const life = 40_000
const gap = 700
const clemency = 10_000

/** Faults that a request survives if the next attempt meets none. */
const faults: ReadonlyArray<FaultKind> = [
  { _tag: "DropBefore" },
  { _tag: "DropAfter" },
  { _tag: "Hang" },
  { _tag: "Status", status: 500 },
  { _tag: "Status", status: 503, processed: true },
  { _tag: "Html", status: 502 }
]

/** Those that exchanges may meet. */
const faultsOfExchanges: ReadonlyArray<FaultKind> = [
  ...faults,
  { _tag: "TruncatedJson" },
  { _tag: "Html", status: 200, processed: true },
  { _tag: "Latency", duration: 1_500, when: "after" },
  { _tag: "RateLimited", retryAfter: 1 },
  { _tag: "Redirect", status: 307, location: "/elsewhere" }
]

const [, , name = "", seed = "0"] = process.argv
const dice = numbers(Number(seed))
const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(dice() * all.length)]!
const tell = (message: Message) => Effect.sync(() => void process.send?.(message))

const books = {
  requests: 0,
  exchanges: 0,
  revocations: new Array<number>(),
  served: new Array<number>(),
  faults: new Map<number, number>(),
  faultyExchanges: new Array<number>(),
  gaps: new Array<readonly [number, number]>()
}

const harvest = ({ entries, logins, refreshes, requests }: Ledger) => {
  books.requests += requests
  books.exchanges += logins + refreshes
  for (const { at, fault, headers, status } of entries) {
    const number = /^request (\d+)$/.exec(headers["user-agent"] ?? "")?.[1]
    if (number === undefined) {
      if (fault !== undefined) books.faultyExchanges.push(at)
      continue
    }
    const id = Number(number)
    // Taking its time is no fault of a request.
    if (fault !== undefined && fault !== "Latency") books.faults.set(id, (books.faults.get(id) ?? 0) + 1)
    else if (status !== undefined && status < 300) books.served.push(id)
  }
}

const watch = watchStalls()
const platform = platforms[name]!
const told: { phase: "faulty" | "healed" | "over" } = { phase: "faulty" }
process.on("message", (command: Command) => {
  told.phase = command === "heal" ? "healed" : "over"
})
// Who is alone has nobody to serve.
process.on("disconnect", () => process.exit(0))

/** Queues what goes wrong next. */
const misbehave = Effect.fnUntraced(function* (
  { inject, revokeAccessTokens }: Effect.Success<ReturnType<typeof platform.serve>>,
  mayRevoke: boolean
) {
  for (let count = Math.floor(dice() * 12); count > 0; count--) yield* inject({ on: "api", kind: pick(faults) })
  if (dice() < 0.3) {
    yield* inject({ on: pick(["login", "refresh", "refresh"] as const), kind: pick(faultsOfExchanges) })
  }
  if (!mayRevoke || dice() > 0.03) return false
  yield* revokeAccessTokens
  return true
})

let wasTold: "nothing" | Message["_tag"] = "nothing"
let downSince: number | undefined

/** One life of the server. */
const serve = Effect.fnUntraced(function* (port: number) {
  const sandbox = yield* platform.serve(port)
  const begun = yield* Clock.currentTimeMillis
  if (downSince !== undefined) books.gaps.push([downSince, begun])
  if (wasTold === "nothing") {
    wasTold = "Ready"
    yield* tell({ _tag: "Ready", url: sandbox.url })
  }
  while (told.phase !== "over") {
    const now = yield* Clock.currentTimeMillis
    if (told.phase === "faulty" && now - begun > life) break
    yield* sandbox.clearFaults
    if (told.phase === "faulty") {
      if (yield* misbehave(sandbox, now - (books.revocations.at(-1) ?? -Infinity) > clemency)) {
        books.revocations.push(now)
      }
    } else if (wasTold === "Ready") {
      wasTold = "Healed"
      yield* tell({ _tag: "Healed" })
    }
    // Who meets no fault takes its time: that keeps requests in flight.
    yield* sandbox.inject({ on: "api", kind: { _tag: "Latency", duration: 400 + dice() * 400 }, times: Infinity })
    yield* Effect.sleep(250)
  }
  downSince = yield* Clock.currentTimeMillis
  return { ledger: sandbox.ledger, port: Number(new URL(sandbox.url).port) }
}, Effect.scoped)

const program = Effect.gen(function* () {
  let port = 0
  while (told.phase !== "over") {
    const ended = yield* serve(port)
    port = ended.port
    harvest(yield* ended.ledger)
    yield* Effect.sleep(gap)
  }
  watch.end()
  yield* tell({ _tag: "Report", report: { ...books, faults: [...books.faults], stalls: watch.stalls } })
})

NodeRuntime.runMain(program)
