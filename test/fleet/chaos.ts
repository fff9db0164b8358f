/**
 * Chaos: processes that share one credential through a store, while their renewals are disturbed. What that cost is in the
 * server's ledger.
 *
 * - `kill`: the process that renews is stopped (`SIGSTOP`), the store is read, and the process is killed.
 * - `stop`: it is stopped, and continues (`SIGCONT`) after up to three leases.
 * - `restart`: the store's server is stopped and started again.
 */
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Random, Redacted, Schema, Scope, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import { TokenEncryption } from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { bundle } from "../support/bundle.ts"
import type { Instance } from "../support/instances.ts"
import { open } from "./open.ts"
import { Report, Settings, type Store } from "./protocol.ts"

const script = join(import.meta.dirname, "worker.ts")

export type Disturbance = "kill" | "stop" | "restart"

export interface Options {
  readonly store: Store
  /** The server of the store, for restarts. */
  readonly server?: Instance | undefined
  readonly disturbance: Disturbance
  readonly processes: number
  /** It is over after so many generations of the credential, and so many disturbances. */
  readonly generations: number
  readonly disturbances: number
  /** All that is left to chance follows from it. */
  readonly seed: string
  /** Between two requests of a process, in milliseconds. @default 200 */
  readonly pause?: number
}

export interface Outcome {
  readonly generations: number
  readonly logins: number
  readonly refreshes: number
  readonly refreshTokensSentTwice: ReadonlyArray<string>
  /** Responses that processes got from the API. */
  readonly served: number
  /** What requests failed with, except those of a process that was killed meanwhile. */
  readonly failures: ReadonlyArray<string>
  /**
   * What the store held of the attempt whose process was killed: the lease or nothing, the grant of an exchange, or the
   * credential that it got.
   */
  readonly killed: { readonly unsent: number; readonly granted: number; readonly committed: number }
  readonly stops: number
  /** Restarts of the server, and how many of them took longer than processes wait for a store. */
  readonly restarts: number
  readonly longRestarts: number
  /** Leases that were taken over from a process that ran, because the machine kept it from showing so. */
  readonly takenOver: number
  /** Exchanges that the store had not granted, because it didn't respond. */
  readonly private: number
  /** How each process ended that was not killed: its code, or {@link hung}. */
  readonly endings: ReadonlyArray<number>
}

/** Milliseconds. */
const timing = { lease: 1_000, beat: 300 }
/** Longer than any run. Whether a request arrives before its token expires would depend on the machine. */
const lifetime = "1 day"
/** Three hesitations of the process and the server's latency are the length of an exchange: milliseconds. */
const [hesitation, latency] = [100, 150]
/** How long a process waits for a store that fails, before it makes an exchange of its own: milliseconds, at least. */
const patience = 2_500

/** How many logins a run may need at most. */
export const loginsAllowed = (options: Pick<Options, "processes">, outcome: Outcome): number => {
  const { killed, longRestarts, restarts, stops, takenOver } = outcome
  // A lease that was taken over from a process that ran is a stop that nobody asked for. During an outage that is longer
  // than processes wait, each of them may log in.
  return 1 + killed.granted + 2 * (stops + restarts + takenOver) + 2 * options.processes * longRestarts
}

/** Instead of the code of a process that did not end. */
export const hung = -2

interface Worker {
  readonly name: string
  readonly pid: number
  /** An exchange is under way. */
  isExchanging: boolean
  /** Of the credential that it has. */
  generation: number
  /** When the latest request was sent that the API served: epoch milliseconds. */
  servedAt: number
  /** Its latest attempt. */
  attempt: string | undefined
  /** It was stopped since it got the lease. */
  wasStopped: boolean
  /** It is being stopped or killed, or is about to be. */
  isDisturbed: boolean
  /** To be done to it at this step of its attempt. */
  fate: { readonly step: Report["_tag"]; readonly delay: number } | undefined
  /** Its scope, and the code that it ended with. */
  readonly scope: Scope.Closeable
  readonly ended: Effect.Effect<number>
  /** Waits until everything that it told of has been heard. */
  heard: Effect.Effect<void>
  /** Lets it end by itself. */
  readonly end: Effect.Effect<number>
}

const isExchange = (path: string) => path.startsWith("/auth/")

/** Refresh tokens rotate, one that comes twice ends everything that its login led to, and a login ends earlier ones. */
const sandbox = ApiVideoSandbox.layer({
  accessTokenLifetime: lifetime,
  detectsRefreshTokenReuse: true,
  loginSupersedesRefreshToken: true,
  rateLimits: ApiVideoSandbox.noRateLimits
})

/** Stops a process, and waits until all of it has stopped. */
const stop = ({ pid }: Worker) =>
  Effect.andThen(
    Effect.sync(() => process.kill(pid, "SIGSTOP")),
    Effect.repeat(
      Effect.delay(
        Effect.sync(() => execFileSync("ps", ["-o", "stat=", "-p", `${pid}`], { encoding: "utf8" })),
        5
      ),
      { until: (state) => state.startsWith("T") }
    )
  )

/** Lets a fleet renew its credential so many times, with so many disturbances on the way, and returns what came of it. */
export const chaos = Effect.fnUntraced(
  function* (options: Options) {
    const { inject, ledger, revokeAccessTokens, url } = yield* ApiVideoSandbox.ApiVideoSandbox
    const { disturbance, server } = options
    const scope = yield* Effect.scope
    const over = yield* Deferred.make<void>()
    const encryptionKey = randomBytes(32).toString("base64")
    const store = yield* Effect.orDie(
      open(options.store, TokenEncryption.make({ keys: [Redacted.make(encryptionKey)] }))
    )
    const running = new Set<Worker>()
    const failures: Array<string> = []
    /** What processes printed beside their reports. */
    const logs: Array<string> = []
    /** What the store held of the attempts whose processes were killed. */
    const killed = new Map<string, keyof Outcome["killed"]>()
    /** The attempts that processes told of while they ran. */
    const reported = new Set<string>()
    let [started, generations, served, revokedAt, done, underWay] = [0, 0, 0, 0, 0, 0]
    let [stops, restarts, longRestarts, takenOver, privately] = [0, 0, 0, 0, 0]

    // What happens to each attempt that gets the lease, and when the server makes it wait: before or after it is processed.
    const fates = yield* Random.shuffle(
      Array.from({ length: options.generations + options.disturbances }, (_, index) => index < options.disturbances)
    )
    for (const isEarly of yield* Random.shuffle(fates.map((_, index) => index % 2 === 0))) {
      const kind = { _tag: "Latency", duration: latency, when: isEarly ? "before" : "after" } as const
      yield* inject({ on: (_method, path) => isExchange(path), kind })
    }

    const check = Effect.suspend(() =>
      done >= options.disturbances && underWay === 0 && generations >= options.generations
        ? Deferred.succeed(over, undefined)
        : Effect.void
    )

    /**
     * Revokes the access tokens once each process has got a response with one that is valid, so that they have to be renewed.
     * All have the same one then: a process that adopts a newer one must not find it revoked as well.
     */
    const revoke = Effect.suspend(() => {
      const isBehind = ({ generation, isExchanging, servedAt }: Worker) =>
        isExchanging || servedAt <= revokedAt || generation !== generations
      if ([...running].some(isBehind)) return Effect.void
      revokedAt = Infinity
      return Effect.andThen(
        revokeAccessTokens,
        Effect.map(Clock.currentTimeMillis, (now) => {
          revokedAt = now
        })
      )
    })

    /** Stops a process during its attempt, reads the store, kills the process, and starts another one. */
    const kill = Effect.fnUntraced(function* (
      worker: Worker,
      identity: string
    ): Effect.fn.Return<void, never, ChildProcessSpawner.ChildProcessSpawner> {
      running.delete(worker)
      yield* stop(worker)
      const { committedBy, lease, sent } = yield* Effect.orDie(Effect.retry(store.read(identity), { times: 20 }))
      process.kill(worker.pid, "SIGKILL")
      // What it told of last may still be on its way: only then is it known which attempt was its last.
      yield* Effect.andThen(worker.ended, worker.heard)
      yield* Scope.close(worker.scope, Exit.void)
      const attempt = worker.attempt ?? ""
      const isGranted = sent?.attempt === attempt || (lease?.attempt === attempt && lease.sending !== undefined)
      const had = committedBy === attempt ? "committed" : isGranted ? "granted" : "unsent"
      if (!killed.has(attempt)) killed.set(attempt, had)
      yield* start
    })

    /** Stops a process during its attempt, and lets it continue. */
    const pause = Effect.fnUntraced(function* (worker: Worker) {
      stops += 1
      worker.wasStopped = true
      yield* stop(worker)
      yield* Effect.sleep(yield* Random.nextBetween(0, 3 * timing.lease))
      process.kill(worker.pid, "SIGCONT")
    })

    const restart = Effect.gen(function* () {
      if (server === undefined) return yield* Effect.die("there is no server to restart")
      restarts += 1
      const before = yield* Clock.monotonicTimeNanos
      yield* server.stop
      yield* Effect.sleep(yield* Random.nextBetween(0, 500))
      yield* server.start
      if (Number((yield* Clock.monotonicTimeNanos) - before) > patience * 1e6) longRestarts += 1
    })

    const disturb = (worker: Worker, identity: string, delay: number) => {
      const act = { kill: kill(worker, identity), stop: pause(worker), restart }[disturbance]
      underWay += 1
      return Effect.sleep(delay).pipe(
        Effect.andThen(act),
        Effect.catchCause((cause) => Effect.sync(() => failures.push(`the harness failed: ${Cause.pretty(cause)}`))),
        Effect.andThen(
          Effect.suspend(() => {
            worker.isDisturbed = false
            done += 1
            underWay -= 1
            return check
          })
        ),
        Effect.forkIn(scope)
      )
    }

    let identity = ""
    const hear = Effect.fnUntraced(function* (worker: Worker, report: Report) {
      switch (report._tag) {
        case "Served":
          served += 1
          worker.servedAt = report.at
          yield* revoke
          break
        case "Failed":
          failures.push(`${worker.name}: ${report.message}`)
          break
        case "Claimed": {
          identity = report.identity
          worker.attempt = report.attempt
          if (running.has(worker)) reported.add(report.attempt)
          worker.wasStopped = false
          const holder = [...running].find(({ attempt }) => attempt !== undefined && attempt === report.over)
          if (holder !== undefined && !holder.wasStopped) takenOver += 1
          // What it did before it was stopped is read after that.
          if (worker.isDisturbed || worker.fate !== undefined) break
          if (fates.shift() === true) {
            const steps = ["Claimed", "Sending", "Exchanging", "Renewed"] as const
            worker.fate = {
              step: steps[yield* Random.nextIntBetween(0, steps.length)] ?? "Renewed",
              delay: yield* Random.nextBetween(0, hesitation + latency)
            }
          }
          break
        }
        case "Sending": {
          const { sentBy } = report
          if (sentBy === undefined) break
          // Granted when its process was dead already, or in an attempt that its process had no time to report.
          if (killed.get(sentBy) === "unsent" || !reported.has(sentBy)) killed.set(sentBy, "granted")
          break
        }
        case "Exchanging":
          worker.isExchanging = true
          if (report.isPrivate) privately += 1
          break
        case "Renewed":
          generations = Math.max(generations, report.generation)
          worker.isExchanging = false
          worker.generation = report.generation
          yield* check
      }
      const { fate } = worker
      if (fate === undefined || (report._tag !== fate.step && report._tag !== "Renewed")) return
      worker.fate = undefined
      worker.isDisturbed = true
      yield* disturb(worker, identity, fate.delay)
    })

    // The type is written out because `kill` and this need each other.
    const start: Effect.Effect<void, never, ChildProcessSpawner.ChildProcessSpawner> = Effect.gen(function* () {
      const name = `worker-${++started}`
      const settings: Settings = {
        name,
        baseUrl: url,
        store: options.store,
        encryptionKey,
        ...timing,
        pause: options.pause ?? 200,
        hesitation
      }
      const command = ChildProcess.make(
        process.execPath,
        [bundle(script), yield* Schema.encodeEffect(Settings)(settings)],
        // A process that is stopped would not end otherwise.
        { stderr: "pipe", killSignal: "SIGKILL" }
      )
      const own = yield* Scope.fork(scope)
      const handle = yield* Scope.provide(command, own)
      const worker: Worker = {
        name,
        pid: handle.pid,
        isExchanging: false,
        generation: 0,
        servedAt: 0,
        attempt: undefined,
        wasStopped: false,
        isDisturbed: false,
        fate: undefined,
        scope: own,
        // The signal that killed it is a failure.
        ended: Effect.orElseSucceed(handle.exitCode, () => -1),
        heard: Effect.void,
        end: Effect.andThen(Stream.run(Stream.empty, handle.stdin), handle.exitCode).pipe(Effect.orDie)
      }
      running.add(worker)
      yield* handle.stderr.pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.runForEach((line) => Effect.sync(() => void logs.push(`${name}: ${line}`))),
        Effect.forkIn(own)
      )
      const hearing = yield* handle.stdout.pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.runForEach((line) =>
          Effect.matchEffect(Schema.decodeEffect(Report)(line), {
            onSuccess: (report) => hear(worker, report),
            onFailure: () => Effect.sync(() => failures.push(`${name}: ${line}`))
          })
        ),
        Effect.forkIn(own)
      )
      worker.heard = Effect.asVoid(Fiber.await(hearing))
    }).pipe(Effect.orDie)

    yield* Effect.replicateEffect(start, options.processes)
    const limit = (options.generations + options.disturbances) * 30_000
    yield* Effect.timeoutOrElse(Deferred.await(over), {
      duration: limit,
      orElse: () => {
        const state = { seed: options.seed, generations, done, underWay, failures, logs: logs.slice(-20) }
        return Effect.die(`not over after ${limit} ms: ${JSON.stringify(state)}`)
      }
    })
    const endings = yield* Effect.forEach(
      running,
      ({ end }) => Effect.timeoutOrElse(end, { duration: "2 minutes", orElse: () => Effect.succeed(hung) }),
      { concurrency: "unbounded" }
    )
    const { logins, refreshes, refreshTokensSentTwice } = yield* ledger
    const of = (what: keyof Outcome["killed"]) => [...killed.values()].filter((each) => each === what).length
    return {
      generations,
      logins,
      refreshes,
      refreshTokensSentTwice,
      served,
      failures,
      killed: { unsent: of("unsent"), granted: of("granted"), committed: of("committed") },
      stops,
      restarts,
      longRestarts,
      takenOver,
      private: privately,
      endings
    } satisfies Outcome
  },
  (effect, { seed }) => effect.pipe(Random.withSeed(seed), Effect.scoped, Effect.provide(sandbox))
)
