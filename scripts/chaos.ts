/** `npm run chaos`: a fleet shares a credential through each store in turn while its renewals are disturbed. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Clock, Console, Duration, Effect, type FileSystem, Logger, Option, type Scope } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { chaos, type Disturbance, hung, loginsAllowed, type Outcome } from "../test/fleet/chaos.ts"
import * as Places from "../test/fleet/places.ts"
import type { Store } from "../test/fleet/protocol.ts"
import * as Instances from "../test/support/instances.ts"
import { commandLine, refuse } from "./commandLine.ts"

const processes = 32

/** Generations of the credential, and how often a renewal is disturbed. */
const sizes: Readonly<Record<Disturbance, { readonly generations: number; readonly disturbances: number }>> = {
  kill: { generations: 60, disturbances: 50 },
  stop: { generations: 30, disturbances: 25 },
  restart: { generations: 20, disturbances: 20 }
}
const disturbances = ["kill", "stop", "restart"] as const

interface Place {
  readonly store: Store
  readonly server?: Instances.Instance
}

type Places = Effect.Effect<Place, unknown, FileSystem.FileSystem | Scope.Scope>

/** A server of this run's own. */
const onServer = (kind: Instances.Kind, placeOn: (url: string) => Effect.Effect<Store, never, Scope.Scope>): Places =>
  Effect.gen(function* () {
    const server = Option.getOrThrow(yield* Instances.start(kind))
    return { server, store: yield* placeOn(server.url) }
  })

const stores = {
  files: { kind: undefined, place: Effect.map(Places.directory, (store): Place => ({ store })) },
  redis: { kind: Instances.redis, place: onServer(Instances.redis, Places.redis) },
  postgresql: { kind: Instances.postgres, place: onServer(Instances.postgres, Places.sql) }
}

const runs = Object.entries(stores).flatMap(([store, { kind, place }]) =>
  disturbances
    .filter((disturbance) => disturbance !== "restart" || kind !== undefined)
    .map((disturbance) => ({ store, kind, place, disturbance }))
)

const script = {
  name: "chaos",
  about: `Runs ${processes} processes that share a credential through each store in turn, and disturbs their renewals: kills the process
that renews (${sizes.kill.disturbances} times), stops it and lets it continue (${sizes.stop.disturbances} times), restarts the store's server (${sizes.restart.disturbances} times). Starts a
Redis and a PostgreSQL of its own. Takes half an hour and writes examples/chaos.md. Ends with 1 if a request fails, a refresh token is
sent twice, or there are more logins than the disturbances explain.`,
  operands: {
    name: "[store|disturbance ...]",
    about: "Only these: files, redis, postgresql; kill, stop, restart. Writes no file then."
  },
  flags: { seed: { value: "TEXT", about: "Decides what is left to chance. Drawn by default, and printed." } }
}
const given = commandLine(script)
const wanted = given.operands
const unknown = wanted.find((name) => !(name in stores) && !(name in sizes))
if (unknown !== undefined) refuse(script, `there is no store and no disturbance ${unknown}`)
const isWanted = (name: string, all: object) => !wanted.some((each) => each in all) || wanted.includes(name)
const chosen = runs.filter(({ disturbance, store }) => isWanted(store, stores) && isWanted(disturbance, sizes))
const missing = chosen.find(({ kind }) => kind?.isInstalled === false)
if (missing !== undefined) refuse(script, `${missing.kind?.name} is not installed`)

/** What is wrong with an outcome. */
const faultsOf = (outcome: Outcome) => {
  const { endings, failures, logins, refreshTokensSentTwice } = outcome
  const allowed = loginsAllowed({ processes }, outcome)
  return [
    ...failures,
    ...refreshTokensSentTwice.map((token) => `${token} was sent twice`),
    ...endings
      .filter((code) => code !== 0)
      .map((code) => (code === hung ? "a process did not end" : `a process ended with ${code}`)),
    ...(logins <= allowed ? [] : [`${logins} logins, and at most ${allowed} are explained`])
  ]
}

/** The logins that the disturbances explain, and those that leases explain which the machine lost. */
const explained = (outcome: Outcome) => {
  const byDisturbances = loginsAllowed({ processes }, { ...outcome, takenOver: 0 })
  const more = loginsAllowed({ processes }, outcome) - byDisturbances
  return more === 0 ? `${byDisturbances}` : `${byDisturbances} + ${more}`
}

const cells = (cells: ReadonlyArray<string | number>) => `| ${cells.join(" | ")} |`

const head = [
  "store",
  "disturbed",
  "generations",
  "logins (at most)",
  "refreshes",
  "refresh tokens sent twice",
  "requests",
  "failed",
  "leases lost by the machine",
  "seconds"
]

/** How often a renewal was disturbed, and what a kill met. */
const disturbed = ({ killed, restarts, stops }: Outcome, disturbance: Disturbance) =>
  ({
    kill: `killed: ${killed.unsent} before the exchange was granted, ${killed.granted} between that and the commit, ${killed.committed} after it`,
    stop: `stopped ${stops} times`,
    restart: `server restarted ${restarts} times`
  })[disturbance]

const run = Effect.gen(function* () {
  const started = yield* Clock.currentTimeMillis
  const seed = given.valueOf("seed") ?? String(started)
  yield* Console.log(`seed ${seed}`)
  const rows = yield* Effect.forEach(chosen, ({ disturbance, place, store }) =>
    Effect.scoped(
      Effect.flatMap(place, (place) =>
        chaos({ ...place, ...sizes[disturbance], disturbance, processes, seed, pause: 1_000 })
      )
    ).pipe(
      Effect.timed,
      Effect.flatMap(([took, outcome]) => {
        const { failures, generations, logins, refreshes, refreshTokensSentTwice, served, takenOver } = outcome
        const row = cells([
          store,
          disturbed(outcome, disturbance),
          generations,
          `${logins} (${explained(outcome)})`,
          refreshes,
          refreshTokensSentTwice.length,
          served,
          failures.length,
          takenOver,
          Math.round(Duration.toSeconds(took))
        ])
        const faults = faultsOf(outcome)
        if (faults.length > 0) process.exitCode = 1
        return Effect.as(
          Console.log([row, JSON.stringify(outcome), ...faults.map((fault) => `!! ${fault}`)].join("\n")),
          row
        )
      })
    )
  )
  if (wanted.length > 0 || process.exitCode === 1) return
  const text = [
    "# Chaos",
    "",
    `\`npm run chaos\`, ${new Date(started).toISOString().slice(0, 10)}, \`--seed ${seed}\`, Node ${process.versions.node}, 2 cores:`,
    `${processes} processes share one credential through a store, and each makes a request about once a second. A lease lasts 1 s, and its holder`,
    "extends it every 0.3 s. The server revokes each access token once the whole fleet has used it. It accepts each refresh",
    "token once and revokes everything if one is sent twice. A login ends earlier refresh tokens.",
    "",
    "- **Killed**: the process that renews is stopped (`SIGSTOP`), the store is read, and the process is killed and replaced. One login is",
    "  allowed for each kill at which the store had granted the exchange and didn't have its result.",
    "- **Stopped**: the process that renews is stopped for up to 3 s and continues. Two logins are allowed for each stop.",
    "- **Restarted**: the server of the store is stopped and started again. Two logins are allowed for each restart. If a restart takes longer",
    "  than 2.5 s, each process may have to do without the store, so two logins are allowed for each process.",
    "",
    "The first login is allowed as well. If the machine is so busy that a holder doesn't extend its lease for 1 s, another process takes",
    "over. Two logins are allowed for that, and the table lists them after a plus.",
    "",
    cells(head),
    cells(head.map((_, index) => (index < 2 ? "---" : "---:"))),
    ...rows,
    ""
  ].join("\n")
  yield* Effect.sync(() => writeFileSync(join(import.meta.dirname, "..", "examples", "chaos.md"), text))
})

// The clients of this process warn of each connection that a restart ends.
run.pipe(Effect.provide([NodeServices.layer, Logger.layer([])]), NodeRuntime.runMain)
