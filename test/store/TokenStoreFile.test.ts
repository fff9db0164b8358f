import { createHash } from "node:crypto"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, FileSystem, Logger, Path } from "effect"
import { TokenStoreFile } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { TestClock } from "effect/testing"
import { durableStoreContract, keyed, type Place } from "../support/durableStoreContract.ts"
import { startProcess } from "../support/outageContract.ts"
import { lease, put, token, tokenStoreContract } from "../support/tokenStoreContract.ts"

const node = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, NodeServices.layer)

const open = (directory: string, options: Partial<TokenStoreFile.Options> = {}) =>
  node(TokenStoreFile.make({ directory, encryption: keyed(1), ...options }))

const temporary = node(
  Effect.orDie(FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "effect-video-auth-" })))
)

tokenStoreContract("file", Effect.flatMap(temporary, open), { isLive: true })

const fileSystem = <A, E, R>(use: (fs: FileSystem.FileSystem, path: Path.Path) => Effect.Effect<A, E, R>) =>
  node(Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(Path.Path, (path) => Effect.orDie(use(fs, path)))))

/** The states of an identity that are there, the latest first. */
const statesOf = (directory: string, identity = "one") =>
  fileSystem((fs, path) => {
    const place = path.join(directory, `v2-${createHash("sha256").update(identity).digest("hex")}`)
    return Effect.map(fs.readDirectory(place), (names) =>
      names.toSorted((a, b) => Number(b) - Number(a)).map((name) => path.join(place, name))
    )
  })

const headOf = (directory: string, identity?: string) =>
  Effect.map(statesOf(directory, identity), ([head]) => head ?? assert.fail("there is no state"))

const write = (file: string, text: string) => fileSystem((fs) => fs.writeFileString(file, text))
const read = (file: string) => fileSystem((fs) => fs.readFileString(file))

const makePlace = Effect.map(temporary, (directory): Place<never> => ({
  open: (encryption) => open(directory, { encryption }),
  bytes: fileSystem((fs, path) =>
    Effect.gen(function* () {
      let bytes = ""
      for (const name of yield* fs.readDirectory(directory, { recursive: true })) {
        const file = path.join(directory, name)
        bytes += name
        if ((yield* fs.stat(file)).type === "File") bytes += yield* fs.readFileString(file)
      }
      return bytes
    })
  ),
  record: (identity) =>
    Effect.flatMap(headOf(directory, identity), (file) => Effect.map(read(file), (text) => JSON.parse(text).record)),
  overwrite: Effect.fnUntraced(function* (identity, record) {
    const file = yield* headOf(directory, identity)
    yield* write(file, JSON.stringify({ ...JSON.parse(yield* read(file)), record }))
  })
}))

durableStoreContract("file", makePlace)

describe("file: a lease", () => {
  for (const [what, options, isAlive, isDead] of [
    ["is dead if its process is known to be gone", { pid: 4711 }, false, true],
    ["is not dead if its process runs", { pid: 4711 }, true, false],
    ["is not dead if nobody knows its process", {}, false, false]
  ] as const) {
    it.live(what, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        yield* lease(yield* open(directory, options), "killed")
        const asked: Array<number> = []
        const other = yield* open(directory, {
          isAlive: (pid) =>
            Effect.as(
              Effect.sync(() => asked.push(pid)),
              isAlive
            )
        })
        assert.strictEqual((yield* other.read("one")).lease?.isDead ?? false, isDead)
        assert.deepStrictEqual(asked, "pid" in options ? [4711] : [])
      })
    )
  }

  it.live("of a process that is gone is taken over at once, by one of 30", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* lease(yield* open(directory, { pid: 4711 }), "killed")
      const fake = FakeProvider.make()
      const isAlive = (pid: number) => Effect.succeed(pid === 1)
      const services = yield* Effect.forEach(Array.from({ length: 30 }), () =>
        startProcess({ open: open(directory, { pid: 1, isAlive }) }, fake)
      )
      const [took] = yield* Effect.timed(Effect.forEach(services, ({ get }) => get, { concurrency: "unbounded" }))
      assert.isBelow(Duration.toSeconds(took), 6)
      assert.include(yield* fake.ledger, { logins: 1, peak: 1 })
    })
  )
})

describe("file: changes at the same time", () => {
  it.live("of 8 processes make 40 versions, none twice", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const processes = yield* Effect.forEach(Array.from({ length: 8 }), () => open(directory))
      const versions: Array<number> = []
      yield* Effect.forEach(
        processes,
        Effect.fnUntraced(function* (backend, index) {
          for (let made = 0; made < 5;) {
            const { version } = yield* backend.read("one")
            const next = version + 1
            const attempt = `attempt-${index}-${made}`
            if (!(yield* backend.commit("one", { attempt, version, next, loginVersion: 0, record: token(next) })))
              continue
            made += 1
            versions.push(next)
          }
        }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        versions.toSorted((a, b) => a - b),
        Array.from({ length: 40 }, (_, index) => index + 1)
      )
    })
  )

  it.live("a process that was stopped for 25 changes, after it read and before it wrote, changes nothing", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const [looked, resumed] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const stopped = yield* fileSystem((fs, path) => {
        let links = 0
        const link: typeof fs.link = (from, to) =>
          links++ > 0
            ? fs.link(from, to)
            : Effect.andThen(
                Deferred.succeed(looked, undefined),
                Effect.andThen(Deferred.await(resumed), fs.link(from, to))
              )
        return TokenStoreFile.make({ directory, encryption: keyed(1) }).pipe(
          Effect.provideService(FileSystem.FileSystem, { ...fs, link }),
          Effect.provideService(Path.Path, path)
        )
      })
      const stopping = yield* Effect.forkChild(stopped.claim("one", { attempt: "stopped", revision: 0 }))
      yield* Deferred.await(looked)
      const backend = yield* open(directory)
      for (let generation = 1; generation <= 24; generation += 1) yield* put(backend, token(generation))
      yield* lease(backend, "holds")
      yield* Deferred.succeed(resumed, undefined)
      // It found its number free, and noticed that it was too late.
      assert.isFalse(yield* Fiber.join(stopping))
      assert.strictEqual((yield* backend.read("one")).lease?.attempt, "holds")
    })
  )

  it.live("leave only the latest row and a bounded number of empty files", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const backend = yield* open(directory)
      for (let generation = 1; generation <= 20; generation += 1) yield* put(backend, token(generation))
      const [head = "", ...others] = yield* statesOf(directory)
      assert.isAtMost(others.length, 16)
      assert.include(yield* read(head), '"version":20')
      assert.deepStrictEqual([...new Set(yield* Effect.forEach(others, read))], [""])
    })
  )

  it.live("remove what a process left that died in the midst of one", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const backend = yield* open(directory)
      yield* put(backend, token(1))
      const left = (yield* headOf(directory)).replace(/\d+$/, "new-abandoned")
      yield* write(left, "half a state")
      yield* fileSystem((fs) => fs.utimes(left, 1, 1))
      yield* put(backend, token(2))
      assert.isFalse(yield* fileSystem((fs) => fs.exists(left)))
    })
  )
})

describe("file: the directory", () => {
  it.live.skipIf(process.platform === "win32")("and all in it is for its user alone", () =>
    Effect.gen(function* () {
      const directory = `${yield* temporary}/of/ours`
      const backend = yield* open(directory)
      yield* put(backend, token(1))
      yield* lease(backend, "a")
      const modes = yield* fileSystem((fs, path) =>
        Effect.flatMap(fs.readDirectory(directory, { recursive: true }), (names) =>
          Effect.forEach([".", ...names], (name) =>
            Effect.map(fs.stat(path.join(directory, name)), ({ mode, type }) => `${type} ${(mode & 0o777).toString(8)}`)
          )
        )
      )
      assert.deepStrictEqual([...new Set(modes)].toSorted(), ["Directory 700", "File 600"])
    })
  )

  for (const [what, damage] of [
    ["is cut off", (text: string) => text.slice(0, -30)],
    ["is empty", () => ""],
    ["is anything", () => "\0\0\0"]
  ] as const) {
    it.live(`a row in it that ${what} counts as missing, with one warning, and can be replaced`, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const backend = yield* open(directory)
        yield* put(backend, token(1))
        yield* put(backend, token(2))
        const head = yield* headOf(directory)
        yield* write(head, damage(yield* read(head)))
        const warnings: Array<string> = []
        const logger = Logger.make(({ message }) => void warnings.push(String(message)))
        const other = yield* open(directory)
        const [row] = yield* Effect.provide(Effect.replicateEffect(other.read("one"), 3), Logger.layer([logger]))
        assert.isUndefined(row?.record)
        assert.isAtLeast(row?.version ?? 0, 2)
        assert.deepStrictEqual(warnings, [`${head} is damaged. Continuing without it.`])
        yield* put(other, token((row?.version ?? 0) + 1))
      })
    )
  }

  it.live("that cannot be used is reported by the code of the system", () =>
    Effect.gen(function* () {
      const file = `${yield* temporary}/file`
      yield* write(file, "")
      const down = yield* Effect.flip((yield* open(file)).read("one"))
      assert.deepInclude(down, { _tag: "StoreUnavailable", operation: "read", problem: "EEXIST" })
    })
  )

  it.effect("that does not respond is given up after 4 s", () =>
    Effect.gen(function* () {
      const hung = FileSystem.makeNoop({ makeDirectory: () => Effect.never })
      const backend = yield* node(
        Effect.provideService(
          TokenStoreFile.make({ directory: "/hung", encryption: keyed(1) }),
          FileSystem.FileSystem,
          hung
        )
      )
      const asking = yield* Effect.forkChild(Effect.flip(backend.read("one")))
      yield* TestClock.adjust(3_999)
      assert.isUndefined(asking.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Fiber.join(asking), {
        _tag: "StoreUnavailable",
        operation: "read",
        problem: "timeout"
      })
    })
  )
})

describe("file: changed", () => {
  for (const event of ["commit", "release", "clear"] as const) {
    it.live(`a ${event} wakes all waiters`, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const backend = yield* open(directory)
        yield* lease(backend, "a")
        const other = yield* open(directory)
        const waiter = yield* Effect.forkChild(other.changed?.("one") ?? Effect.void)
        // A hint may get lost that comes before the watcher is there.
        yield* Effect.sleep(100)
        assert.isUndefined(waiter.pollUnsafe())
        if (event === "commit") yield* put(backend, token(1))
        if (event === "release") yield* backend.release("one", { attempt: "a", unused: true })
        if (event === "clear") yield* backend.clear("one", 0)
        yield* Fiber.join(waiter)
      })
    )
  }
})

it.live("file: a directory that cannot be used is reported once, and so is its return", () =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
    const directory = `${yield* temporary}/tokens`
    yield* write(directory, "a file in its place")
    const fake = FakeProvider.make()
    yield* Effect.gen(function* () {
      const service = yield* startProcess({ open: open(directory) }, fake)
      yield* service.reject(yield* service.get)
      yield* fileSystem((fs) => fs.remove(directory))
      yield* Effect.repeat(Effect.andThen(Effect.sleep(50), service.renew), {
        until: () => lines.length > 1
      })
    }).pipe(Effect.provide(Logger.layer([logger])))
    assert.deepStrictEqual(lines, [
      "the token store failed (read: EEXIST). Check that it is reachable and that its user has the rights. Continuing without it.",
      "The token store is available again."
    ])
  })
)
