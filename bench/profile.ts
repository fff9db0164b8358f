/**
 * Where a timed subject spends its time: `node bench/profile.ts WORKER SUBJECT`, as in `requests ours`, `overhead "no spans"`
 * or `hot-path keep-fresh`. Prints the functions that cost most, themselves and with all that they call.
 */
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Server from "./server.ts"
import { start } from "./worker/pool.ts"

/** A `.cpuprofile`, as far as it is read here. */
interface Profile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: ReadonlyArray<number>
  }>
  readonly samples: ReadonlyArray<number>
  /** Microseconds. */
  readonly timeDeltas: ReadonlyArray<number>
}

/** What is asked of a worker in one turn, and of how many calls it consists. */
const questions: Readonly<Record<string, { readonly question: object; readonly calls: number }>> = {
  requests: { question: { concurrency: 32, requests: 3_000 }, calls: 3_064 },
  overhead: { question: { requests: 3_000 }, calls: 3_000 },
  "hot-path": { question: { calls: 1_000_000 }, calls: 1_000_000 }
}
const turns = 6

const nameOf = ({ callFrame: { functionName, lineNumber, url } }: Profile["nodes"][number]) =>
  `${functionName || "(anonymous)"} ${url.replace(/^.*\/(?=node_modules\/|src\/|bench\/)/, "")}:${lineNumber + 1}`

const costs = ({ nodes, samples, timeDeltas }: Profile) => {
  const [own, all] = [new Map<string, number>(), new Map<string, number>()]
  const names = new Map(nodes.map((node) => [node.id, nameOf(node)]))
  const parents = new Map(nodes.flatMap(({ children = [], id }) => children.map((child) => [child, id] as const)))
  const add = (to: Map<string, number>, name: string, time: number) => to.set(name, (to.get(name) ?? 0) + time)
  for (const [index, sample] of samples.entries()) {
    const time = timeDeltas[index] ?? 0
    const stack = new Set<string>()
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) stack.add(names.get(id) ?? "")
    add(own, names.get(sample) ?? "", time)
    for (const name of stack) add(all, name, time)
  }
  return { own, all }
}

const print = (title: string, times: ReadonlyMap<string, number>, calls: number) => {
  console.log(`\n${title}, nanoseconds a call`)
  for (const [name, time] of [...times].toSorted(([, a], [, b]) => b - a).slice(0, 30)) {
    console.log(`${((time * 1_000) / calls).toFixed(0).padStart(8)}  ${name}`)
  }
}

const [worker = "", subject = ""] = process.argv.slice(2)
const plan = questions[worker]
if (plan === undefined) throw new Error(`there is no worker ${worker}; there are ${Object.keys(questions).join(", ")}`)
const folder = mkdtempSync(join(tmpdir(), "effect-video-auth-profile-"))
const server = await Server.start()
try {
  const flags = ["--cpu-prof", `--cpu-prof-dir=${folder}`, "--cpu-prof-interval=200"]
  const { ask, close } = await start<object, unknown>(`./${worker}.ts`, subject, { args: [server.url], flags })
  for (let turn = 0; turn < turns; turn++) await ask(plan.question)
  await close()
  const [file = ""] = globSync(join(folder, "*.cpuprofile"))
  const { all, own } = costs(JSON.parse(readFileSync(file, "utf8")))
  print("Themselves", own, turns * plan.calls)
  print("With what they call", all, turns * plan.calls)
} finally {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
}
