/**
 * Redis and PostgreSQL on this machine: one that is there already, or one that a test or a script starts, stops and starts
 * again.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Option, Redacted, Schedule, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { globSync, mkdtempSync, rmSync } from "node:fs"
import { createConnection, createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

/** A server of a test's own. It keeps its data while it is stopped. */
export interface Instance {
  readonly url: string
  readonly start: Effect.Effect<void>
  readonly stop: Effect.Effect<void>
  /** `SIGSTOP` makes it a server that does not answer, `SIGCONT` one that does. */
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
}

/** How one kind of server is found, and started. */
export interface Kind {
  readonly name: string
  readonly isInstalled: boolean
  /** The environment's variable. */
  readonly variable: string
  readonly usual: ReadonlyArray<string>
  readonly answers: (url: string) => Effect.Effect<boolean>
  /** Prepares a server on a port, keeping its files in a directory, and gives its URL and its command; none if it is not installed. */
  readonly prepare: (
    port: number,
    directory: string
  ) => { readonly url: string; readonly command: string; readonly args: ReadonlyArray<string> } | undefined
}

/** Where a program is: on the path, or where Debian puts those of PostgreSQL. */
const locate = (program: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(delimiter), "/usr/lib/postgresql/*/bin"]
    .flatMap((folder) => globSync(join(folder, program)))
    .at(0)

const isRoot = process.getuid?.() === 0

/** PostgreSQL does not run as root: whom it runs as instead. */
const unprivileged = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (!isRoot) return undefined
  const idOf = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }))
  try {
    return { uid: idOf("-u"), gid: idOf("-g") }
  } catch {
    return { uid: 65_534, gid: 65_534 }
  }
}

/** Says something over TCP and looks whether the answer begins as expected. */
const says = (url: string, words: string, expected: string) =>
  Effect.callback<boolean>((resume) => {
    const { hostname, port } = new URL(url)
    const socket = createConnection({ host: hostname, port: Number(port) }, () => socket.write(words))
    const done = (answer: boolean) => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.setTimeout(2_000, () => done(false))
    socket.on("error", () => done(false))
    socket.on("close", () => done(false))
    socket.on("data", (data) => done(data.toString().startsWith(expected)))
  })

export const redis: Kind = {
  name: "Redis",
  isInstalled: locate("redis-server") !== undefined,
  variable: "REDIS_URL",
  usual: ["redis://127.0.0.1:6379"],
  answers: (url) => says(url, "PING\r\n", "+PONG"),
  prepare: (port, directory) => {
    const command = locate("redis-server")
    const persistent = ["--appendonly", "yes", "--appendfsync", "always"]
    const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", directory, ...persistent]
    return command === undefined ? undefined : { url: `redis://127.0.0.1:${port}`, command, args }
  }
}

export const postgres: Kind = {
  name: "PostgreSQL",
  isInstalled: locate("postgres") !== undefined && locate("initdb") !== undefined,
  variable: "DATABASE_URL",
  usual: ["test", "postgres"].map((database) => `postgres://postgres@127.0.0.1:5432/${database}`),
  answers: (url) =>
    SqlClient.SqlClient.use((sql) => sql`select 1`).pipe(
      Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })),
      Effect.timeout("5 seconds"),
      Effect.isSuccess
    ),
  prepare: (port, directory) => {
    const [command, initdb] = [locate("postgres"), locate("initdb")]
    if (command === undefined || initdb === undefined) return undefined
    const data = join(directory, "data")
    execFileSync(initdb, ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"], {
      ...unprivileged(),
      cwd: directory,
      stdio: "ignore"
    })
    const args = ["-D", data, "-p", `${port}`, "-h", "127.0.0.1", "-k", directory, "-F"]
    return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, command, args }
  }
}

const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** A server of one's own, started; none where it is not installed. */
export const start = Effect.fnUntraced(function* (
  kind: Kind
): Effect.fn.Return<Option.Option<Instance>, never, Scope.Scope> {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-video-auth-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  )
  const user = kind === postgres ? unprivileged() : undefined
  if (user !== undefined) execFileSync("chown", [`${user.uid}:${user.gid}`, directory])
  const prepared = kind.prepare(yield* freePort, directory)
  if (prepared === undefined) return Option.none()
  const { args, command, url } = prepared
  let child: ChildProcess | undefined
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void child?.kill(name))
  const stop = Effect.callback<void>((resume) => {
    const running = child
    child = undefined
    if (running === undefined) return resume(Effect.void)
    // A Redis that has had a replica sometimes stays.
    const last = setTimeout(() => void running.kill("SIGKILL"), 5_000)
    running.once("exit", () => {
      clearTimeout(last)
      resume(Effect.void)
    })
    running.kill("SIGCONT")
    // "Fast" to PostgreSQL, which SIGTERM lets wait for its clients; the same as it to Redis.
    running.kill("SIGINT")
  })
  const instance: Instance = {
    url,
    signal,
    stop,
    start: Effect.andThen(
      Effect.sync(() => {
        child = spawn(command, args, { ...user, cwd: directory, stdio: "ignore" })
      }),
      Effect.repeat(kind.answers(url), { until: (answers) => answers, schedule: Schedule.spaced(50) })
    )
  }
  yield* Effect.addFinalizer(() => instance.stop)
  yield* instance.start
  return Option.some(instance)
})
