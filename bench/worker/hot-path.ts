/**
 * Scenario 6 in the process of one subject: reads a token that is at hand, over and over. Effects are run in one `flatMap`
 * loop, Promises in one `await` loop.
 */
import { GCProfiler, getHeapStatistics } from "node:v8"
import { Effect, Ref, type Scope } from "effect"
import * as FakeProvider from "../../src/testing/FakeProvider.ts"
import * as TokenService from "../../src/token/TokenService.ts"
import type { Subject } from "../subjects/subject.ts"
import { answer } from "./answer.ts"

/** So many calls, which must all give the token. */
export interface Question {
  readonly calls: number
}

export interface Answer {
  readonly nanoseconds: number
  /** What the calls left on the heap, where none of it was collected meanwhile. */
  readonly bytes: number | undefined
}

/** Makes so many calls, and counts those that gave the expected token. */
type Loop = (calls: number) => Promise<number>

// Effects: one `flatMap` a call.

const effectLoop = <A, E>(read: Effect.Effect<A, E>, expected: A): Loop => {
  let hits = 0
  const loop = (left: number): Effect.Effect<void, E> =>
    left === 0
      ? Effect.void
      : Effect.flatMap(read, (value) => {
          if (value === expected) hits += 1
          return loop(left - 1)
        })
  return async (calls) => {
    hits = 0
    await Effect.runPromise(loop(calls))
    return hits
  }
}

type Setup = Effect.Effect<Loop, unknown, Scope.Scope>

/** What an Effect program would hold: an object, of which only the identity is looked at. */
const token = { accessToken: "token" }

const ours = (whenIdle: "keep-fresh" | "on-demand"): Setup =>
  Effect.gen(function* () {
    const { provider } = FakeProvider.make()
    const { get } = yield* TokenService.make({ provider, policy: { whenIdle } })
    return effectLoop(get, yield* get)
  })

const effects: Readonly<Record<string, Setup>> = {
  "keep-fresh": ours("keep-fresh"),
  "on-demand": ours("on-demand"),
  "Effect.succeed": Effect.succeed(effectLoop(Effect.succeed(token), token)),
  "Ref.get": Effect.map(Ref.make(token), (ref) => effectLoop(Ref.get(ref), token)),
  "Effect.cachedInvalidateWithTTL": Effect.map(
    Effect.cachedInvalidateWithTTL(
      Effect.sync(() => token),
      "55 minutes"
    ),
    ([get]) => effectLoop(get, token)
  )
}

/**
 * Every Effect subject's process begins with the same program, which runs them all: in one that has only ever run
 * `Effect.succeed`, V8 makes of Effect's interpreter something that no program would see.
 */
const preamble = Effect.gen(function* () {
  const loops = yield* Effect.all(effects)
  for (const loop of Object.values(loops)) yield* Effect.promise(() => loop(2_000))
  return loops
})

// Promises: one `await` a call.

/** What of a peer's answer is the token. */
const tokenOf = (result: unknown): unknown => {
  const { request, token } = Object(result)
  return request?.headers.get("authorization") ?? token ?? result
}

const awaitLoop =
  (read: () => Promise<unknown>, expected: unknown): Loop =>
  async (calls) => {
    let hits = 0
    for (let left = calls; left > 0; left--) {
      if (tokenOf(await read()) === expected) hits += 1
    }
    return hits
  }

/** The peer's token as an Effect program reads it: in the loop of every Effect. */
const inEffectLoop = (read: () => Promise<unknown>, expected: unknown): Loop =>
  effectLoop(
    Effect.map(Effect.promise(read), (result) => tokenOf(result) === expected),
    true
  )

const peers: Readonly<Record<string, () => Promise<Subject>>> = {
  "google-auth-library": async () => (await import("../subjects/google-auth-library.ts")).googleAuthLibrary,
  "@smithy/core": async () => (await import("../subjects/smithy-core.ts")).smithyCore,
  "@badgateway/oauth2-client": async () => (await import("../subjects/badgateway.ts")).badgateway,
  "@azure/core-rest-pipeline": async () => (await import("../subjects/azure-core.ts")).azureCore,
  "@azure/msal-node": async () => (await import("../subjects/msal-node.ts")).msalNode
}

/** How a peer with a token in hand gives it. */
const readerOf = async (name: string): Promise<() => Promise<unknown>> => {
  const resolved = Promise.resolve({ token: "token" })
  if (name === "await of a Promise") return () => resolved
  const peer = await peers[name]?.()
  const session = await peer?.open(process.argv[3] ?? "")
  if (session?.getToken === undefined) throw new Error(`${name} hands out no token`)
  return session.getToken
}

const inEffect = " in Effect.promise"

const setup = (name: string): Setup =>
  Effect.gen(function* () {
    if (name in effects) {
      const loops = yield* preamble
      return loops[name] ?? (yield* Effect.die(name))
    }
    const read = yield* Effect.promise(() => readerOf(name.replace(inEffect, "")))
    const expected = tokenOf(yield* Effect.promise(read))
    if (!name.endsWith(inEffect)) return awaitLoop(read, expected)
    yield* preamble
    return inEffectLoop(read, expected)
  })

const measure = async (loop: Loop, calls: number): Promise<Answer> => {
  globalThis.gc?.()
  const profiler = new GCProfiler()
  profiler.start()
  const heap = getHeapStatistics().used_heap_size
  const since = process.hrtime.bigint()
  const hits = await loop(calls)
  const nanoseconds = Number(process.hrtime.bigint() - since)
  const grown = getHeapStatistics().used_heap_size - heap
  const collections = profiler.stop()?.statistics.length ?? 0
  if (hits !== calls) throw new Error(`${hits} of ${calls} calls gave the token`)
  return { nanoseconds, bytes: collections === 0 ? grown : undefined }
}

const main = Effect.flatMap(setup(process.argv[2] ?? ""), (loop) => {
  answer(({ calls }: Question) => measure(loop, calls))
  return Effect.never
})
await Effect.runPromise(Effect.scoped(main))
