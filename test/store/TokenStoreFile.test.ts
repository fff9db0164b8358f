import { createHash } from "node:crypto"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, FileSystem, Logger, Option, Path } from "effect"
import { TokenStore, TokenStoreFile } from "effect-video-auth"
import { TestClock } from "effect/testing"
import { durableStoreContract, keyed, type Place } from "../support/durableStoreContract.ts"
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
    const place = path.join(directory, createHash("sha256").update(identity).digest("hex"))
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

const acquire = (backend: TokenStore.Backend, owner: string, seen = 1) =>
  backend.acquire("one", { owner, seen, ttl: 10_000 })

/** A process that holds the lease and is killed: neither gives it back nor says any more that it lives. */
const killed = (directory: string, options: Partial<TokenStoreFile.Options>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const backend = yield* open(directory, options)
      yield* put(backend, token(1))
      return yield* lease(backend, { owner: "killed", seen: 1 })
    })
  )

const untilFree = (backend: TokenStore.Backend, owner: string) =>
  Effect.repeat(Effect.delay(acquire(backend, owner), 20), { until: ({ _tag }) => _tag !== "Busy" })

describe("file: who holds the lease", () => {
  it.live("keeps it while it lives, although its time without a sign of life is over", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const lives = yield* open(directory, { lease: 1_000 })
      const { fence } = yield* lease(lives, { owner: "lives" })
      const other = yield* open(directory)
      yield* Effect.sleep(2_000)
      assert.strictEqual((yield* acquire(other, "other"))._tag, "Busy")
      assert.isTrue(yield* lives.commit("one", { owner: "lives", fence, stored: token(1) }))
    })
  )

  it.live("and was killed loses it after one lease without a sign of life, long before its time is over", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* killed(directory, { lease: 1_000 })
      const other = yield* open(directory)
      const busy = yield* acquire(other, "other")
      assert.isTrue(busy._tag === "Busy" && busy.retryAfter <= 1_000)
      const taken = yield* untilFree(other, "other")
      assert.isTrue(taken._tag === "Lease" && taken.orphaned)
    })
  )

  it.live("and was killed loses it at once where its process is known to be gone", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* killed(directory, { pid: 4711 })
      const asked: Array<number> = []
      const isAlive = (pid: number) => Effect.sync(() => asked.push(pid) === 0)
      const taken = yield* acquire(yield* open(directory, { isAlive }), "other")
      assert.isTrue(taken._tag === "Lease" && taken.orphaned)
      assert.deepStrictEqual(asked, [4711])
    })
  )

  for (const [what, options, isAlive] of [
    ["its process is known to run", { pid: 4711 }, true],
    ["it does not say which process it is", {}, false]
  ] as const) {
    it.live(`and was killed does not lose it at once where ${what}`, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        yield* killed(directory, options)
        const other = yield* open(directory, { isAlive: () => Effect.succeed(isAlive) })
        assert.strictEqual((yield* acquire(other, "other"))._tag, "Busy")
      })
    )
  }

  it.live("of a host whose clock was set back by more than a lease is not waited for until that time comes again", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* killed(directory, { lease: 300 })
      const later = new Date((yield* Clock.currentTimeMillis) + 3_600_000)
      const head = yield* headOf(directory)
      yield* fileSystem((fs) => fs.utimes(head, later, later))
      assert.strictEqual((yield* acquire(yield* open(directory), "other"))._tag, "Lease")
    })
  )

  it.live("and died is taken over by one of 30 who try at the same time", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* killed(directory, { pid: 4711 })
      const processes = yield* Effect.forEach(Array.from({ length: 30 }), () =>
        open(directory, { pid: 1, isAlive: (pid) => Effect.succeed(pid === 1) })
      )
      const answers = yield* Effect.forEach(processes, (backend, index) => acquire(backend, `owner-${index}`), {
        concurrency: "unbounded"
      })
      assert.strictEqual(answers.filter(({ _tag }) => _tag === "Lease").length, 1)
    })
  )
})

describe("file: changes at the same time", () => {
  it.live("8 processes that renew 5 times each make 40 generations, none twice", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const processes = yield* Effect.forEach(Array.from({ length: 8 }), () => open(directory))
      const generations: Array<number> = []
      yield* Effect.forEach(
        processes,
        Effect.fnUntraced(function* (backend, index) {
          let seen = 0
          for (let made = 0; made < 5;) {
            const { isAdopted, token: next } = yield* TokenStore.transact(backend, "one", {
              owner: `owner-${index}`,
              seen,
              ttl: 10_000,
              exchange: ({ generation }) => Effect.succeed(token(generation))
            })
            seen = next.generation
            if (isAdopted) continue
            made += 1
            generations.push(seen)
          }
        }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        generations,
        Array.from({ length: 40 }, (_, index) => index + 1)
      )
    })
  )

  it.live("a process that was stopped for 50 changes, between its look and its change, changes nothing", () =>
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
      const stopping = yield* Effect.forkChild(acquire(stopped, "stopped", 100))
      yield* Deferred.await(looked)
      const backend = yield* open(directory)
      for (let generation = 1; generation <= 24; generation += 1) yield* put(backend, token(generation))
      const { fence } = yield* lease(backend, { owner: "holds", seen: 24 })
      yield* Deferred.succeed(resumed, undefined)
      // It found its number free, and knows that it was too late.
      assert.strictEqual((yield* Fiber.join(stopping))._tag, "Busy")
      assert.isTrue(yield* backend.commit("one", { owner: "holds", fence, stored: token(25) }))
    })
  )

  it.live("leave nothing behind but the latest state and empty files, which do not add up", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const backend = yield* open(directory)
      for (let generation = 1; generation <= 20; generation += 1) yield* put(backend, token(generation))
      const [head = "", ...others] = yield* statesOf(directory)
      assert.isAtMost(others.length, 16)
      assert.include(yield* read(head), '"generation":20')
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
      yield* lease(backend, { owner: "a", seen: 1 })
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
    it.live(`a state in it that ${what} counts as absent, with a warning, and generations go on`, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const backend = yield* open(directory)
        yield* put(backend, token(1))
        yield* put(backend, token(2))
        const head = yield* headOf(directory)
        yield* write(head, damage(yield* read(head)))
        const warnings: Array<string> = []
        const logger = Logger.make(({ message }) => void warnings.push(String(message)))
        const taken = yield* Effect.provide(lease(yield* open(directory), { owner: "a" }), Logger.layer([logger]))
        assert.isTrue(Option.isNone(taken.stored))
        assert.isAtLeast(taken.generation, 2)
        assert.deepStrictEqual(warnings, [`${head} is damaged and done without`])
      })
    )
  }

  it.live("that cannot be used is a store that is down", () =>
    Effect.gen(function* () {
      const file = `${yield* temporary}/file`
      yield* write(file, "")
      const down = yield* Effect.flip(acquire(yield* open(file), "a"))
      assert.deepInclude(down, { _tag: "StoreUnavailable", operation: "acquire" })
    })
  )

  it.effect("that does not answer is a store that is down after 2 s", () =>
    Effect.gen(function* () {
      const hung = FileSystem.makeNoop({ makeDirectory: () => Effect.never })
      const backend = yield* node(
        Effect.provideService(
          TokenStoreFile.make({ directory: "/hung", encryption: keyed(1) }),
          FileSystem.FileSystem,
          hung
        )
      )
      const asking = yield* Effect.forkChild(Effect.flip(acquire(backend, "a")))
      yield* TestClock.adjust(1_999)
      assert.isUndefined(asking.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Fiber.join(asking), { _tag: "StoreUnavailable", operation: "acquire" })
    })
  )
})

describe("file: changed", () => {
  for (const event of ["commit", "release", "clear"] as const) {
    it.live(`a ${event} wakes those who wait`, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const backend = yield* open(directory)
        const { fence } = yield* lease(backend, { owner: "a" })
        const other = yield* open(directory)
        const waiter = yield* Effect.forkChild(other.changed("one"))
        // A hint may get lost that comes before the watcher is there.
        yield* Effect.sleep(100)
        assert.isUndefined(waiter.pollUnsafe())
        if (event === "commit") yield* backend.commit("one", { owner: "a", fence, stored: token(1) })
        if (event === "release") yield* backend.release("one", { owner: "a", fence, spent: false })
        if (event === "clear") yield* backend.clear("one")
        yield* Fiber.join(waiter)
      })
    )
  }
})

it.live("file: what is wrong with a directory that cannot be used is told once, and that it is mended", () =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
    const directory = `${yield* temporary}/tokens`
    yield* write(directory, "a file in its place")
    const backend = yield* open(directory)
    yield* Effect.gen(function* () {
      for (const owner of ["a", "b"]) yield* Effect.flip(backend.acquire("one", { owner, seen: 0, ttl: 1_000 }))
      yield* fileSystem((fs) => fs.remove(directory))
      yield* lease(backend, { owner: "a" })
    }).pipe(Effect.provide(Logger.layer([logger])))
    assert.lengthOf(lines, 2)
    assert.match(lines[0] ?? "", /^the token store failed to acquire and is done without: .*AlreadyExists.*tokens/)
    assert.strictEqual(lines[1], "the token store answers again")
  })
)
