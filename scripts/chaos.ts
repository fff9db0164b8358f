/** `npm run chaos`: a fleet shares a credential through each store in turn while its members are killed, for a long time. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Clock, Config, Console, Duration, Effect, type FileSystem, type Scope } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { chaos, lostIn, type Outcome } from "../test/fleet/chaos.ts"
import * as Places from "../test/fleet/places.ts"
import type { Store } from "../test/fleet/protocol.ts"
import { commandLine, refuse } from "./commandLine.ts"

const size = { processes: 32, renewals: 60, kills: 50, pause: 1_000 }

const places: Readonly<Record<string, Effect.Effect<Store, unknown, FileSystem.FileSystem | Scope.Scope>>> = {
  files: Places.directory,
  redis: Effect.flatMap(Config.withDefault(Config.String("REDIS_URL"), "redis://127.0.0.1:6379"), Places.redis),
  postgresql: Effect.flatMap(
    Config.withDefault(Config.String("DATABASE_URL"), "postgres://postgres@127.0.0.1:5432/postgres"),
    Places.sql
  )
}

const script = {
  name: "chaos",
  about: `Runs ${size.processes} processes that share a credential through each store in turn, for ${size.renewals} generations of it, and kills
${size.kills} times the one that renews it (kill -9). Takes a quarter of an hour and writes examples/chaos.md. Redis and PostgreSQL are
those of REDIS_URL and DATABASE_URL, or those at 127.0.0.1. Ends with 1 if a request fails, or an exchange is one too many.`,
  operands: { name: "[store ...]", about: "Only these: files, redis, postgresql. Writes no file then." },
  flags: { seed: { value: "TEXT", about: "Decides what is left to chance. Drawn by default, and printed." } }
}
const given = commandLine(script)
const wanted = given.operands
const unknown = wanted.find((name) => !(name in places))
if (unknown !== undefined) refuse(script, `there is no store ${unknown}`)

/** What is wrong with an outcome. */
const faultsOf = (outcome: Outcome) => {
  const { failures, generations, logins, refreshes, refreshTokensSentTwice } = outcome
  const exchanges = logins + refreshes
  const lost = lostIn(outcome)
  return [
    ...failures,
    ...refreshTokensSentTwice.map((token) => `${token} was sent twice`),
    ...(exchanges <= generations + lost
      ? []
      : [`${exchanges} exchanges for ${generations} generations and ${lost} that came to nothing`]),
    ...(logins <= 1 + lost ? [] : [`${logins} logins for ${lost} that came to nothing`])
  ]
}

const cells = (cells: ReadonlyArray<string | number>) => `| ${cells.join(" | ")} |`

const head = [
  "store",
  "generations",
  "killed before sending, before the answer, after it",
  "logins + refreshes",
  "sent twice",
  "answers",
  "failed requests",
  "seconds"
]

const run = Effect.gen(function* () {
  const started = yield* Clock.currentTimeMillis
  const seed = given.valueOf("seed") ?? String(started)
  yield* Console.log(`seed ${seed}`)
  const chosen = Object.entries(places).filter(([name]) => wanted.length === 0 || wanted.includes(name))
  const outcomes = yield* Effect.forEach(chosen, ([name, place]) =>
    Effect.scoped(Effect.flatMap(place, (store) => chaos({ ...size, seed, store }))).pipe(
      Effect.timed,
      Effect.map(([took, outcome]) => ({ name, outcome, took }))
    )
  )
  const rows = outcomes.map(({ name, outcome, took }) => {
    const { failures, generations, killed, logins, refreshes, refreshTokensSentTwice, served } = outcome
    return cells([
      name,
      generations,
      `${killed.unsent}, ${killed.unanswered}, ${killed.answered}`,
      `${logins} + ${refreshes}`,
      refreshTokensSentTwice.length,
      served,
      failures.length,
      Math.round(Duration.toSeconds(took))
    ])
  })
  yield* Console.log(rows.join("\n"))
  for (const { name, outcome } of outcomes) {
    for (const fault of faultsOf(outcome)) {
      process.exitCode = 1
      yield* Console.error(`!! ${name}: ${fault}`)
    }
  }
  if (wanted.length > 0 || process.exitCode === 1) return
  const text = [
    "# Chaos",
    "",
    `\`npm run chaos\`, ${new Date(started).toISOString().slice(0, 10)}, \`--seed ${seed}\`, Node ${process.versions.node}:`,
    `${size.processes} processes share one credential, and ${size.kills} times the process that exchanges it is killed (\`kill -9\`) and replaced.`,
    "A lease lasts 2 s. The server revokes each access token once the whole fleet has used it. It takes each refresh token once,",
    "revokes everything if one comes twice, and a login ends earlier ones. Logins and refreshes are at most the generations, and one for each process that was killed,",
    "slower than its lease, or told to end in the midst of it.",
    "",
    cells(head),
    cells(head.map((_, index) => (index === 0 ? "---" : "---:"))),
    ...rows,
    ""
  ].join("\n")
  yield* Effect.sync(() => writeFileSync(join(import.meta.dirname, "..", "examples", "chaos.md"), text))
})

run.pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
