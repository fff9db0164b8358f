/**
 * Guarantee 5 for real processes: SIGTERM during each phase of an exchange, with each store. No wait of the program ends
 * by itself within the time that a test has.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, type Scope } from "effect"
import { ApiVideo, type TokenStore } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bundle } from "../support/bundle.ts"
import { placeOn, stores } from "../support/places.ts"
import { postgres, redis } from "../support/servers.ts"

const script = `${import.meta.dirname}/../fixtures/interrupted.ts`
const ledger = Sandbox.ApiVideoSandbox.use((sandbox) => sandbox.ledger)
const inject = (on: Sandbox.Fault["on"], kind: Sandbox.FaultKind, times = Infinity) =>
  Sandbox.ApiVideoSandbox.use((sandbox) => sandbox.inject({ on, kind, times }))

/** The program, and all that it has said. */
const start = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [bundle(script), ...args], { stdio: ["ignore", "pipe", "pipe"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const said = { out: "", error: "" }
  child.stdout.on("data", (chunk: Buffer) => (said.out += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (said.error += chunk.toString()))
  const ended = new Promise<number | string | null>((resolve) => {
    child.on("close", (code, signal) => resolve(signal ?? code))
  })
  return { said, ended: Effect.promise(() => ended), stop: Effect.sync(() => child.kill("SIGTERM")) }
})
type Running = Effect.Success<ReturnType<typeof start>>

type Env = Sandbox.ApiVideoSandbox | Scope.Scope

interface Phase {
  /** Brings it about, before the program starts. */
  readonly prepare: Effect.Effect<unknown, never, Env>
  /** Whether it has come. */
  readonly isReached: (said: Running["said"], ledger: Sandbox.Ledger) => boolean
  readonly says: string
  /** What is in the store afterwards. */
  readonly leaves: "a token" | "a lease"
}

const answered =
  (count: number) =>
  ({ responses }: Sandbox.Ledger) =>
    Object.values(responses).reduce((sum, answers) => sum + answers, 0) === count

const phases: Readonly<Record<string, Phase>> = {
  idle: { prepare: Effect.void, isReached: ({ out }) => out === "ready\n", says: "ready\nclosed\n", leaves: "a token" },
  "retry-delay": {
    prepare: inject("login", { _tag: "Status", status: 503 }),
    isReached: ({ out }, ledger) => out === "ready\n" && answered(1)(ledger),
    says: "ready\nclosed\n",
    leaves: "a lease"
  },
  "cool-down": {
    prepare: inject("refresh", { _tag: "Status", status: 503 }),
    isReached: ({ out }, ledger) => out === "ready\n" && answered(2)(ledger),
    says: "ready\nclosed\n",
    leaves: "a token"
  },
  wire: {
    prepare: inject("login", { _tag: "Hang" }),
    isReached: (_, { logins }) => logins === 1,
    says: "ready\nclosed\n",
    leaves: "a lease"
  },
  commit: {
    prepare: Effect.void,
    isReached: ({ out }) => out.includes("committing"),
    says: "ready\ncommitting\ncommitted\nclosed\n",
    leaves: "a token"
  }
}

/** Waits for a phase; a program that fails instead has said why. */
const until = (running: Running, reached: Effect.Effect<boolean, never, Env>): Effect.Effect<void, never, Env> =>
  Effect.flatMap(reached, (isReached) =>
    running.said.error !== ""
      ? Effect.die(running.said.error)
      : isReached
        ? Effect.void
        : Effect.delay(until(running, reached), 5)
  )

/** Stops the program in a phase, and gives the store as another process finds it. */
const stopped = Effect.fnUntraced(function* (kind: string, place: string, phase: string, running: Running) {
  const { isReached, says } = phases[phase]!
  yield* until(
    running,
    Effect.map(ledger, (ledger) => isReached(running.said, ledger))
  )
  yield* running.stop
  assert.strictEqual(yield* running.ended, 0)
  assert.deepStrictEqual(running.said, { out: says, error: "" })
  return yield* Effect.orDie(stores[kind]!(place))
})

const identityAt = (baseUrl: string) =>
  Effect.flatMap(
    ApiVideo.provider({ baseUrl, apiKey: Redacted.make("your_api_key") }),
    ({ identity }) => identity
  ).pipe(Effect.orDie, Effect.provide(NodeHttpClient.layerUndici))

/** Takes the lease, as another process does. */
const claim = (store: TokenStore.Backend, identity: string) =>
  Effect.flatMap(store.read(identity), ({ revision }) => store.claim(identity, { attempt: "another", revision }))

const test = (name: string, body: Effect.Effect<void, unknown, Env>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(Sandbox.layer({ rateLimits: Sandbox.noRateLimits }))))

/** Every phase with one store. */
const suite = (kind: string, makePlace: Effect.Effect<string, never, Scope.Scope>) => {
  describe(`guarantee 5: SIGTERM ends a program with a store in ${kind}, and leaves no handle,`, () => {
    for (const [phase, { leaves, prepare }] of Object.entries(phases)) {
      test(
        `in the phase ${phase}${kind === "memory" ? "" : `: ${leaves} is available at once`}`,
        Effect.gen(function* () {
          const { url } = yield* Sandbox.ApiVideoSandbox
          const place = yield* makePlace
          yield* prepare
          const store = yield* stopped(kind, place, phase, yield* start(url, kind, place, phase))
          if (kind === "memory") return
          const { lease, record } = yield* store.read(yield* identityAt(url))
          assert.deepStrictEqual([lease, record !== undefined], [undefined, leaves === "a token"])
        })
      )
    }

    if (kind === "memory") return
    test(
      "waiting for the lease of another, who keeps it",
      Effect.gen(function* () {
        const { url } = yield* Sandbox.ApiVideoSandbox
        const place = yield* makePlace
        const [store, identity] = [yield* Effect.orDie(stores[kind]!(place)), yield* identityAt(url)]
        assert.isTrue(yield* claim(store, identity))
        const running = yield* start(url, kind, place, "lease")
        yield* until(
          running,
          Effect.sync(() => running.said.out === "ready\n")
        )
        // It asks the store now and then.
        yield* Effect.sleep(300)
        yield* running.stop
        assert.strictEqual(yield* running.ended, 0)
        assert.deepStrictEqual(running.said, { out: "ready\nclosed\n", error: "" })
        assert.strictEqual((yield* store.read(identity)).lease?.attempt, "another")
        assert.include(yield* ledger, { logins: 0, refreshes: 0 })
      })
    )
  })
}

suite("memory", Effect.succeed(""))
suite(
  "file",
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-video-auth-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  )
)
await redis.describe("on Redis", (url) => suite("redis", placeOn(url, "redis")))
await postgres.describe("on PostgreSQL", (url) => suite("sql", placeOn(url, "sql")))
