/**
 * `npm test`, with names of runtimes to run those alone: packs the library, and runs the smoke program against a sandbox
 * in each runtime there is. Absence is a line that says why; everything else that is not success is a failure.
 *
 * A sandbox of its own for each, because they count requests per minute. Runtimes come from the optional dependencies
 * beside this file, the browser from the system.
 */
import { build } from "esbuild"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { availableParallelism, tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Chromium from "../support/chromiumBinary.ts"

const here = fileURLToPath(new URL(".", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), "runtimes-"))

/** How long one runtime may take: the program needs about five seconds, a loaded machine many times that. */
const patience = 90_000
const tokenLifetime = 5

// ---------------------------------------------------------------------------------------------------------------------
// Processes and servers, all of which end with this one
// ---------------------------------------------------------------------------------------------------------------------

const running = new Set<ChildProcess>()
const servers = new Set<Server>()

const kill = (child: ChildProcess) => {
  running.delete(child)
  try {
    // Browsers have children of their own: the whole group, of which we made it the head.
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
  } catch {
    // It ended by itself.
  }
}

const cleanUp = () => {
  for (const child of running) kill(child)
  for (const server of servers) server.close().closeAllConnections()
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
}
process.on("exit", cleanUp)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1))

interface Started {
  readonly child: ChildProcess
  readonly output: () => string
  /** Resolves with the first group of the pattern once the output has it; rejects if the process ends before. */
  readonly said: (pattern: RegExp) => Promise<string>
  readonly ended: Promise<number | null>
}

type Start = (command: string, args: ReadonlyArray<string>, cwd?: string) => Started

const start: Start = (command, args, cwd = here) => {
  const child = spawn(command, args, { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] })
  running.add(child)
  let output = ""
  const listeners = new Set<() => void>()
  const hear = (chunk: string) => {
    output += chunk
    for (const listener of listeners) listener()
  }
  child.stdout.setEncoding("utf8").on("data", hear)
  child.stderr.setEncoding("utf8").on("data", hear)
  const ended = new Promise<number | null>((resolve) => {
    child.on("error", (error) => {
      hear(`${error.message}\n`)
      resolve(null)
    })
    child.on("close", (code) => {
      running.delete(child)
      resolve(code)
    })
  })
  const said = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const listener = () => {
        const match = pattern.exec(output)
        if (match !== null) resolve(match[1] ?? "")
      }
      listeners.add(listener)
      listener()
      void ended.then((code) => reject(new Error(`${command} ended with ${code}`)))
    })
  return { child, output: () => output, said, ended }
}

const within = async <A>(milliseconds: number, what: string, promise: Promise<A>): Promise<A> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${milliseconds / 1000} s`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const listen = async (listener: RequestListener): Promise<string> => {
  const server = createServer(listener)
  servers.add(server)
  await new Promise<void>((resolve, reject) => server.on("error", reject).listen(0, "127.0.0.1", resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const closedUrl = async (): Promise<string> => {
  const url = await listen(() => {})
  const [server] = [...servers].slice(-1)
  await new Promise((resolve) => server?.close(resolve))
  return url
}

// ---------------------------------------------------------------------------------------------------------------------
// What the runtimes run
// ---------------------------------------------------------------------------------------------------------------------

/** Builds and packs the library, and unpacks it where the program finds it by name, as it would be from the registry. */
const install = () => {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm"
  execFileSync(npm, ["pack", "--silent", "--pack-destination", scratch], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"]
  })
  const tarball = readdirSync(scratch).find((name) => name.endsWith(".tgz")) ?? ""
  const target = join(here, "node_modules", "effect-video-auth")
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  execFileSync("tar", ["-xzf", join(scratch, tarball), "--strip-components=1", "-C", target])
}

const bundle = async (entry: string, conditions: Array<string>): Promise<string> => {
  const outfile = join(scratch, entry.replace(".mjs", ".js"))
  await build({
    entryPoints: [join(here, entry)],
    outfile,
    bundle: true,
    format: "esm",
    // Whatever of Node is imported fails the build.
    platform: "browser",
    target: "es2022",
    conditions,
    logLevel: "error"
  })
  return outfile
}

/** A login at `/redirecting` is sent elsewhere, to where no login must ever go. CORS allows all of it. */
let followed = 0
const redirecting = () =>
  listen((request, response) => {
    response.setHeader("access-control-allow-origin", "*")
    if (request.method === "OPTIONS") {
      response.setHeader("access-control-allow-headers", request.headers["access-control-request-headers"] ?? "*")
      response.writeHead(204).end()
    } else if (request.url?.startsWith("/redirecting/")) {
      response.writeHead(307, { location: "/elsewhere" }).end()
    } else {
      followed++
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ access_token: "stolen", token_type: "Bearer", expires_in: 3600 }))
    }
  })

interface Urls {
  readonly baseUrl: string
  readonly redirectingUrl: string
  readonly closedUrl: string
}

/** What may differ between runtimes: how a redirect that is not followed looks, and an address where nobody listens. */
interface Facts {
  readonly redirect: number
  readonly unreachable: string
}

interface Outcome {
  readonly version: string
  readonly facts: Facts
}

// ---------------------------------------------------------------------------------------------------------------------
// The runtimes
// ---------------------------------------------------------------------------------------------------------------------

interface Runtime {
  readonly name: string
  /** Where it is, or why it is not there. */
  readonly find: () => { readonly path: string } | { readonly missing: string }
  /** Whatever it starts ends with it, and what that said is told where it fails. */
  readonly run: (path: string, urls: Urls, start: Start) => Promise<Outcome>
  /** Of what it said, lines that matter. */
  readonly matters?: RegExp
  readonly expects: Facts
}

/** The binary of an optional dependency; npm leaves out those of other platforms. */
const packaged = (dependency: string, binary: string) => () => {
  const path = join(here, "node_modules", dependency, binary)
  return existsSync(path) ? { path } : { missing: `${dependency} is not installed (npm ci, on Linux x64)` }
}

const command =
  (...args: ReadonlyArray<string>): Runtime["run"] =>
  async (path, urls, start) => {
    const { ended, output, said } = start(path, [...args, "command.mjs", JSON.stringify(urls)])
    const version = await said(/^ok \S+ (\S+)$/m)
    // What is left of the library once its scope is closed, a timer or a socket, would keep it alive.
    const code = await within(10_000, "the end of a finished program", ended)
    if (code !== 0) throw new Error(`it ended with ${code}`)
    return { version, facts: JSON.parse(/^\{.*\}$/m.exec(output())?.[0] ?? "{}") }
  }

const node = (major: string, find: Runtime["find"]): Runtime => ({
  name: `node-${major}`,
  find,
  run: command(),
  expects: { redirect: 307, unreachable: "connect" }
})

/** The version among the words that a binary says it in. */
const versionOf = (path: string): string =>
  /\d+[.-][\d.-]+/.exec(
    execFileSync(path, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
  )?.[0] ?? "?"

type ProgramOutcome = { readonly ok: true; readonly facts: Facts } | { readonly ok: false; readonly failure: string }
type PageOutcome = ProgramOutcome & { readonly isSecureContext: boolean }

const readOutcome = (outcome: ProgramOutcome): Facts => {
  if (!outcome.ok) throw new Error(outcome.failure)
  return outcome.facts
}

const workerd: Runtime = {
  name: "workerd",
  find: packaged("@cloudflare/workerd-linux-64", "bin/workerd"),
  run: async (path, urls, start) => {
    const module = await bundle("worker.mjs", ["workerd", "worker"])
    const config = join(scratch, "workerd.capnp")
    // No `nodejs_compat`: nothing of Node is there.
    writeFileSync(
      config,
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "loopback", network = (allow = ["local", "private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "${basename(module)}")],
  compatibilityDate = "2026-01-01",
  globalOutbound = "loopback"
);
`
    )
    const server = start(path, ["serve", "--control-fd=1", config])
    const port = await server.said(/"socket":"http","port":(\d+)/)
    const response = await fetch(`http://127.0.0.1:${port}`, { method: "POST", body: JSON.stringify(urls) })
    const text = await response.text()
    if (!response.ok) throw new Error(`it answered ${response.status}: ${text}`)
    return { version: versionOf(path), facts: readOutcome(JSON.parse(text)) }
  },
  expects: { redirect: 307, unreachable: "network" }
}

let chromiumFound: ReturnType<Runtime["find"]> | undefined
const findChromium: Runtime["find"] = () => (chromiumFound ??= lookForChromium())

const lookForChromium: Runtime["find"] = () => {
  let path = Chromium.find()
  if (path === undefined && process.getuid?.() === 0 && Chromium.onPath("apt-get") !== undefined) {
    console.log("installing Debian's chromium …")
    try {
      execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" })
      execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], {
        env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
        stdio: "ignore"
      })
    } catch {
      return { missing: "there is no chromium, and apt-get could not install it" }
    }
    path = Chromium.find()
  }
  return path === undefined ? { missing: Chromium.missing } : { path }
}

/** A page of another origin than all it talks to. `host` is the page's; any but loopback is no secure context on http. */
const chromium = (name: string, host: string): Runtime => ({
  name,
  find: findChromium,
  run: async (path, urls, start) => {
    const script = await bundle("page.mjs", [])
    const isSecure = host === "127.0.0.1"
    let tell: (outcome: PageOutcome) => void
    const told = new Promise<PageOutcome>((resolve) => (tell = resolve))
    const origin = await listen(async (request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://page")
      if (pathname === "/outcome") {
        let body = ""
        for await (const chunk of request.setEncoding("utf8")) body += chunk
        response.end()
        tell(JSON.parse(body))
      } else if (pathname === "/page.js") {
        response.setHeader("content-type", "text/javascript").end(await readFile(script))
      } else if (pathname === "/") {
        response
          .setHeader("content-type", "text/html")
          .end(
            '<!doctype html><meta charset="utf-8"><title>Smoke</title><script type="module" src="/page.js"></script>'
          )
      } else {
        response.writeHead(404).end()
      }
    })
    const page = new URL(origin)
    page.hostname = host
    page.searchParams.set("urls", JSON.stringify(urls))
    const browser = start(path, [...Chromium.flags(join(scratch, name), `MAP ${host} 127.0.0.1`), page.href])
    const ending = browser.ended.then((code) => {
      throw new Error(`the browser ended with ${code}`)
    })
    const { isSecureContext, ...result } = await Promise.race([told, ending])
    if (isSecureContext !== isSecure) throw new Error(`isSecureContext is ${isSecureContext}`)
    return { version: versionOf(path), facts: readOutcome(result) }
  },
  matters: /CONSOLE|FATAL/,
  // A browser shows a redirect as status 0, and no reason why a connection fails.
  expects: { redirect: 0, unreachable: "network" }
})

const runtimes: ReadonlyArray<Runtime> = [
  node("22.19", packaged("node-22.19", "bin/node")),
  node("22", () => {
    const own = join(root, "node_modules", "node", "bin", "node")
    return existsSync(own) ? { path: own } : { missing: "the root's dev dependency node is not installed (npm ci)" }
  }),
  node("24", packaged("node-24", "bin/node")),
  node("26", packaged("node-26", "bin/node")),
  {
    name: "bun",
    find: packaged("@oven/bun-linux-x64-baseline", "bin/bun"),
    run: command("run", "--no-install"),
    expects: { redirect: 307, unreachable: "connect" }
  },
  {
    name: "deno",
    find: packaged("@deno/linux-x64-glibc", "deno"),
    // May reach this machine and nothing else: no file, no variable.
    run: command(
      "run",
      "--no-prompt",
      "--no-lock",
      "--cached-only",
      "--node-modules-dir=manual",
      "--allow-net=127.0.0.1"
    ),
    expects: { redirect: 307, unreachable: "connect" }
  },
  workerd,
  chromium("chromium", "127.0.0.1"),
  chromium("chromium-insecure", "page.test")
]

// ---------------------------------------------------------------------------------------------------------------------
// All of it
// ---------------------------------------------------------------------------------------------------------------------

interface Row {
  readonly runtime: string
  readonly version: string
  readonly result: "ok" | "skipped" | "FAILED"
  readonly seconds: string
}

const attempt = async (
  { expects, matters = /./, name, run }: Runtime,
  path: string,
  urls: Omit<Urls, "baseUrl">
): Promise<Row> => {
  const started: Array<Started> = []
  const startOurs: Start = (...args) => {
    const one = start(...args)
    started.push(one)
    return one
  }
  const begin = performance.now()
  let version = ""
  /** Of those started, how many need not tell what they said: the sandbox, once it runs. */
  let ready = 0
  const row = (result: Row["result"]): Row => {
    console.log(`${result} ${name} ${version}`)
    return { runtime: name, version, result, seconds: ((performance.now() - begin) / 1000).toFixed(1) }
  }
  try {
    const sandbox = ["src/cli/sandbox.ts", "--port", "0", "--ttl", String(tokenLifetime)]
    const baseUrl = await within(
      60_000,
      "the sandbox",
      startOurs(process.execPath, sandbox, root).said(/sandbox on (http:\S+)/)
    )
    ready = 1
    const outcome = await within(patience, name, run(path, { ...urls, baseUrl }, startOurs))
    version = outcome.version
    for (const key of ["redirect", "unreachable"] as const) {
      const fact = outcome.facts[key]
      if (fact !== expects[key]) throw new Error(`${key} is ${fact}, and ${expects[key]} was expected`)
    }
    return row("ok")
  } catch (error) {
    const lines = started.slice(ready).flatMap(({ output }) =>
      output()
        .split("\n")
        .filter((line) => matters.test(line))
    )
    console.error([`${name}: ${error instanceof Error ? error.message : error}`, ...lines].join("\n  "))
    return row("FAILED")
  } finally {
    for (const { child } of started) kill(child)
  }
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !runtimes.some((runtime) => runtime.name === name))
if (unknown.length > 0) {
  console.error(`${unknown.join(", ")}: not among ${runtimes.map(({ name }) => name).join(", ")}`)
  process.exit(2)
}
if (!existsSync(join(here, "node_modules", "effect"))) {
  console.error("effect is not installed here: npm ci in test/runtimes first, with --omit=optional for the light ones")
  process.exit(2)
}

install()
const elsewhere = await redirecting()
const urls = { redirectingUrl: `${elsewhere}/redirecting`, closedUrl: await closedUrl() }
const queue = runtimes.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
const rows = new Map<string, Row>()
const pending: Array<readonly [Runtime, string]> = []
for (const runtime of queue) {
  const found = runtime.find()
  if ("path" in found) {
    pending.push([runtime, found.path])
  } else {
    console.log(`skipped ${runtime.name}: ${found.missing}`)
    rows.set(runtime.name, { runtime: runtime.name, version: "", result: "skipped", seconds: "" })
  }
}
const work = async (): Promise<void> => {
  const next = pending.shift()
  if (next === undefined) return
  const [runtime, path] = next
  rows.set(runtime.name, await attempt(runtime, path, urls))
  return work()
}
await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work))

const table = [
  { runtime: "runtime", version: "version", result: "result", seconds: "seconds" },
  ...queue.map(({ name }) => rows.get(name)!)
]
const columns = ["runtime", "version", "result", "seconds"] as const
const widths = columns.map((column) => Math.max(...table.map((row) => row[column].length)))
console.log()
for (const row of table)
  console.log(
    columns
      .map((column, i) => row[column].padEnd(widths[i] ?? 0))
      .join(" | ")
      .trimEnd()
  )

if (followed > 0) console.error(`\nA redirect of a login was followed ${followed} times.`)
const failed = table.some(({ result }) => result === "FAILED") || followed > 0
const ran = table.some(({ result }) => result === "ok")
if (!ran && !failed) console.error("\nNo runtime ran.")
process.exit(failed || !ran ? 1 : 0)
