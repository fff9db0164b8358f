/**
 * Chaos: processes that share one credential through a store, killed (`kill -9`) while they hold the lease. What that cost
 * is in the server's ledger.
 */
import { Deferred, Effect, Exit, Random, Schema, Scope, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { bundle } from "../support/bundle.ts"
import { Report, Settings, type Store } from "./protocol.ts"

const script = join(import.meta.dirname, "worker.ts")

export interface Options {
  readonly store: Store
  readonly processes: number
  /** It is over after so many generations of the credential. */
  readonly renewals: number
  readonly kills: number
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
  readonly expiredTokensReceived: number
  /** Answers that processes had from the API. */
  readonly served: number
  /** What requests failed with, except those of a process that was killed meanwhile. */
  readonly failures: ReadonlyArray<string>
  /** How far the exchange was whose process was killed. */
  readonly killed: { readonly unsent: number; readonly unanswered: number; readonly answered: number }
  /**
   * Exchanges that made no generation of the store's though nobody was killed. Their process was about as slow as its lease
   * is long, so that another one took over; or it ended meanwhile; or the store took so long to answer that it did without.
   */
  readonly inVain: { readonly slow: number; readonly ended: number; readonly alone: number }
  /** How each process ended that was not killed. */
  readonly endings: ReadonlyArray<number>
}

/**
 * Exchanges that came to nothing at most: one for each holder that died, was too slow or ended, as who took over logged in,
 * and for each login past the store one more, as that ends the refresh token in the store.
 */
export const lostIn = ({ inVain, killed }: Outcome): number =>
  killed.unsent + killed.unanswered + killed.answered + inVain.slow + inVain.ended + 2 * inVain.alone

/** Milliseconds. */
const lease = 2_000
/** Longer than any run. Whether a request arrives before its token expires would depend on the machine. */
const lifetime = "1 day"
/** An exchange is a hesitation of its process, the server's latency, and another hesitation: milliseconds. */
const [hesitation, latency] = [100, 150]

interface Worker {
  readonly name: string
  /** When its exchange under way began. */
  exchanging: number | undefined
  /** Of the credential that it has. */
  generation: number
  /** Of the latest credential that got it an answer from the API. */
  served: number
  readonly kill: Effect.Effect<void>
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

/** Lets a fleet renew its credential so many times, with so many deaths on the way, and tells what came of it. */
export const chaos = Effect.fnUntraced(
  function* (options: Options) {
    const { inject, ledger, revokeAccessTokens, url } = yield* ApiVideoSandbox.ApiVideoSandbox
    const scope = yield* Effect.scope
    const over = yield* Deferred.make<void>()
    const encryptionKey = randomBytes(32).toString("base64")
    const running = new Set<Worker>()
    const failures: Array<string> = []
    /** What processes printed beside their reports. */
    const logs: Array<string> = []
    const killed = { unsent: 0, unanswered: 0, answered: 0 }
    let [slow, alone] = [0, 0]
    let [started, generations, served, revoked] = [0, 0, 0, 0]

    // What becomes of each exchange that is announced, and when the server makes it wait: before or after it is processed.
    // Of those who die in a row there are few: without any token for 20 s, a program is to fail.
    const fates = yield* Effect.repeat(
      Random.shuffle(
        Array.from({ length: options.renewals + options.kills }, (_, index) =>
          index < options.kills ? "dies" : "lives"
        )
      ),
      { until: (fates) => !fates.join(" ").includes("dies dies dies dies dies dies") }
    )
    const faults = yield* Random.shuffle(Array.from({ length: fates.length }, (_, index) => index % 2 === 0))
    for (const isEarly of faults) {
      const kind = { _tag: "Latency", duration: latency, when: isEarly ? "before" : "after" } as const
      yield* inject({ on: (_method, path) => isExchange(path), kind })
    }

    const exchangesOf = ({ name }: Worker) =>
      Effect.map(ledger, ({ entries }) =>
        entries.filter(({ headers, path }) => isExchange(path) && headers["av-origin-app"] === `${name}:1`)
      )

    const check = Effect.suspend(() => {
      const deaths = killed.unsent + killed.unanswered + killed.answered
      return deaths >= options.kills && generations >= options.renewals
        ? Deferred.succeed(over, undefined)
        : Effect.void
    })

    /** Revokes the access token once the whole fleet has used it, so that it has to be renewed. */
    const revoke = Effect.suspend(() => {
      const isUsed = [...running].every(({ exchanging, served }) => exchanging === undefined && served === generations)
      if (!isUsed || revoked === generations) return Effect.void
      revoked = generations
      return revokeAccessTokens
    })

    /** Kills a process during its exchange, and starts another one. */
    const doom = Effect.fnUntraced(function* (worker: Worker) {
      const before = (yield* exchangesOf(worker)).length
      yield* Effect.sleep(yield* Random.nextBetween(0, 2 * hesitation + latency))
      running.delete(worker)
      yield* worker.kill
      const exchange = (yield* exchangesOf(worker))[before]
      killed[exchange === undefined ? "unsent" : exchange.status === undefined ? "unanswered" : "answered"] += 1
      yield* Effect.andThen(start, check)
    })

    const hear = (worker: Worker, report: Report) => {
      switch (report._tag) {
        case "Served":
          served += 1
          worker.served = worker.generation
          return revoke
        case "Failed":
          failures.push(`${worker.name}: ${report.message}`)
          return Effect.void
        case "Renewed":
          generations = Math.max(generations, report.generation)
          // Not all of the time for which it holds the lease is between the two reports.
          if (report.at - (worker.exchanging ?? Infinity) > lease / 2) slow += 1
          worker.exchanging = undefined
          // A credential of its own claims no generation of the store's.
          if (report.by !== "adopted" && report.generation <= worker.generation) alone += 1
          worker.generation = report.generation
          return check
        case "Exchanging":
          worker.exchanging ??= report.at
          return fates.shift() === "dies" ? Effect.forkIn(doom(worker), scope) : Effect.void
      }
    }

    // The type is written out because the two need each other.
    const start: Effect.Effect<void, never, ChildProcessSpawner.ChildProcessSpawner> = Effect.gen(function* () {
      const name = `worker-${++started}`
      const settings: Settings = {
        name,
        baseUrl: url,
        store: options.store,
        encryptionKey,
        lease,
        pause: options.pause ?? 200,
        hesitation
      }
      const command = ChildProcess.make(
        process.execPath,
        [bundle(script), yield* Schema.encodeEffect(Settings)(settings)],
        { stderr: "pipe" }
      )
      const own = yield* Scope.fork(scope)
      const handle = yield* Scope.provide(command, own)
      const worker: Worker = {
        name,
        exchanging: undefined,
        generation: 0,
        served: 0,
        kill: Effect.andThen(Effect.orDie(handle.kill({ killSignal: "SIGKILL" })), Scope.close(own, Exit.void)),
        end: Effect.andThen(Stream.run(Stream.empty, handle.stdin), handle.exitCode).pipe(Effect.orDie)
      }
      running.add(worker)
      yield* handle.stderr.pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.runForEach((line) => Effect.sync(() => void logs.push(`${name}: ${line}`))),
        Effect.forkIn(own)
      )
      yield* handle.stdout.pipe(
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
    }).pipe(Effect.orDie)

    yield* Effect.replicateEffect(start, options.processes)
    const patience = (options.renewals + options.kills) * 30_000
    yield* Effect.timeoutOrElse(Deferred.await(over), {
      duration: patience,
      orElse: () =>
        Effect.die(
          `not over after ${patience} ms: ${JSON.stringify({ seed: options.seed, generations, killed, failures, logs: logs.slice(-20) })}`
        )
    })
    const endings = yield* Effect.forEach(running, ({ end }) => end, { concurrency: "unbounded" })
    const ended = [...running].filter(({ exchanging }) => exchanging !== undefined).length
    const { expiredTokensReceived, logins, refreshes, refreshTokensSentTwice } = yield* ledger
    return {
      generations,
      logins,
      refreshes,
      refreshTokensSentTwice,
      expiredTokensReceived,
      served,
      failures,
      killed,
      inVain: { slow, ended, alone },
      endings
    } satisfies Outcome
  },
  (effect, { seed }) => effect.pipe(Random.withSeed(seed), Effect.scoped, Effect.provide(sandbox))
)
