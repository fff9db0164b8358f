/** The store of pages on an IndexedDB in memory. `TokenStoreWeb.browser.test.ts` has what takes a real browser. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option, Redacted } from "effect"
import { WebCrypto } from "effect/crypto"
import { TokenStore, TokenStoreWeb } from "effect-video-auth"
import { IDBFactory } from "fake-indexeddb"
import { afterAll, beforeAll } from "vitest"
import { durableStoreContract, type Place } from "../support/durableStoreContract.ts"
import { lease, put, token, tokenStoreContract } from "../support/tokenStoreContract.ts"

const factory = new IDBFactory()

/** Puts something in the place of the page's IndexedDB, until the scope ends. */
const withIndexedDB = (descriptor: PropertyDescriptor) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.getOwnPropertyDescriptor(globalThis, "indexedDB")
      Object.defineProperty(globalThis, "indexedDB", { configurable: true, ...descriptor })
      return before
    }),
    (before) =>
      Effect.sync(() => {
        Reflect.deleteProperty(globalThis, "indexedDB")
        if (before !== undefined) Object.defineProperty(globalThis, "indexedDB", before)
      })
  )

beforeAll(() => Object.defineProperty(globalThis, "indexedDB", { configurable: true, value: factory }))
afterAll(() => Reflect.deleteProperty(globalThis, "indexedDB"))

let databases = 0
const fresh = Effect.sync(() => `database-${++databases}`)
const open = (database: string) => Effect.orDie(TokenStoreWeb.make({ database }))

/** What a script of the same origin can do with a database. */
const inDatabase = <A>(
  database: string,
  store: "rows" | "keys",
  request: (store: IDBObjectStore) => IDBRequest<A>
): Effect.Effect<A> =>
  Effect.promise(
    () =>
      new Promise<A>((resolve, reject) => {
        const opening = factory.open(`${database}:v2`)
        opening.addEventListener("error", () => reject(opening.error))
        opening.addEventListener("success", () => {
          const transaction = opening.result.transaction(store, "readwrite")
          const asking = request(transaction.objectStore(store))
          transaction.addEventListener("complete", () => {
            opening.result.close()
            resolve(asking.result)
          })
          transaction.addEventListener("abort", () => reject(transaction.error))
        })
      })
  )

const rowOf = (database: string, identity = "one") =>
  inDatabase<TokenStore.Row<string>>(database, "rows", (rows) => rows.get(identity))
const overwrite = (database: string, row: unknown, identity = "one") =>
  inDatabase(database, "rows", (rows) => rows.put(row, identity))

tokenStoreContract("web", Effect.flatMap(fresh, open), { isLive: true })

const makePlace = Effect.map(fresh, (database): Place<never> => ({
  open: () => open(database),
  bytes: Effect.gen(function* () {
    const rows = yield* inDatabase<Array<unknown>>(database, "rows", (rows) => rows.getAll())
    const keys = yield* inDatabase<Array<unknown>>(database, "keys", (keys) => keys.getAll())
    return JSON.stringify({ rows, keys })
  }),
  record: (identity) => Effect.map(rowOf(database, identity), ({ record }) => record ?? ""),
  overwrite: (identity, record) =>
    Effect.flatMap(rowOf(database, identity), (row) => Effect.asVoid(overwrite(database, { ...row, record }, identity)))
}))

durableStoreContract("web", makePlace, { hasOwnKey: true, sharesClock: true })

const stored = (backend: TokenStore.Backend) =>
  Effect.map(backend.read("one"), ({ record }) => record && Redacted.value(record.accessToken))

/** Collects what is logged meanwhile. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.map(Effect.provide(effect, Logger.layer([logger])), (result) => [result, lines] as const)
  })

describe("web: the key", () => {
  it.live("is kept by the browser, and no script can read it", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      yield* put(yield* open(database), token(1))
      const { key } = yield* inDatabase<{ key: CryptoKey }>(database, "keys", (keys) => keys.get("current"))
      assert.isFalse(key.extractable)
      const exported = Effect.tryPromise(() => crypto.subtle.exportKey("raw", key))
      assert.isTrue(Option.isSome(yield* Effect.option(Effect.flip(exported))))
    })
  )

  it.live("is one, if several tabs open the database at once", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      const tabs = yield* Effect.forEach(Array.from({ length: 8 }), () => open(database), { concurrency: "unbounded" })
      for (const [index, tab] of tabs.entries()) {
        yield* put(tab, token(index + 1))
        for (const other of tabs) assert.strictEqual(yield* stored(other), `access-${index + 1}`)
      }
    })
  )

  for (const [what, spoil] of [
    ["is missing", (keys: IDBObjectStore) => keys.delete("current")],
    ["is something else", (keys: IDBObjectStore) => keys.put({ id: "0", key: "a key" }, "current")]
  ] as const) {
    it.live(`that ${what} is replaced; a credential of it counts as missing, with one warning`, () =>
      Effect.gen(function* () {
        const database = yield* fresh
        yield* put(yield* open(database), token(1))
        yield* inDatabase<IDBValidKey | undefined>(database, "keys", (keys): IDBRequest => spoil(keys))
        const reloaded = yield* open(database)
        const [records, lines] = yield* logged(Effect.replicateEffect(stored(reloaded), 3))
        assert.deepStrictEqual(records, [undefined, undefined, undefined])
        assert.deepStrictEqual(lines, [
          "The stored credential of one cannot be used: it was written with a key that is not in the list. Continuing without it."
        ])
        yield* put(reloaded, token(2))
        assert.strictEqual(yield* stored(yield* open(database)), "access-2")
      })
    )
  }
})

describe("web: a row that is damaged", () => {
  it.live("counts as missing, with one warning, and can be replaced", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      const backend = yield* open(database)
      yield* put(backend, token(1))
      yield* overwrite(database, { version: "next" })
      const [records, lines] = yield* logged(Effect.replicateEffect(stored(backend), 3))
      assert.deepStrictEqual(records, [undefined, undefined, undefined])
      assert.deepStrictEqual(lines, [`The row of one in ${database}:v2 is damaged. Continuing without it.`])
      yield* put(backend, token(1))
      assert.strictEqual(yield* stored(backend), "access-1")
    })
  )
})

describe("web: a connection", () => {
  it.live("gives way to a tab that deletes the database, and is opened again", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      const backend = yield* open(database)
      yield* put(backend, token(1))
      yield* Effect.promise(
        () =>
          new Promise((resolve, reject) => {
            const deleting = factory.deleteDatabase(`${database}:v2`)
            deleting.addEventListener("success", resolve)
            deleting.addEventListener("blocked", () => reject(new Error("blocked")))
          })
      )
      assert.deepInclude(yield* backend.read("one"), { version: 0, record: undefined })
      yield* put(backend, token(1))
      assert.strictEqual(yield* stored(yield* open(database)), "access-1")
    })
  )

  it.live("that failed is not used again", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      const connections: Array<IDBDatabase> = []
      yield* withIndexedDB({
        value: {
          open: (name: string, version: number) => {
            const request = factory.open(name, version)
            request.addEventListener("success", () => connections.push(request.result))
            return request
          }
        }
      })
      const backend = yield* open(database)
      yield* put(backend, token(1))
      assert.lengthOf(connections, 1)
      // As Safari does with a page that was in the background for long.
      connections[0]!.transaction = () => {
        throw new DOMException("Connection to Indexed Database server lost", "UnknownError")
      }
      assert.deepInclude(yield* Effect.flip(backend.read("one")), { operation: "read", problem: "UnknownError" })
      assert.strictEqual(yield* stored(backend), "access-1")
      assert.lengthOf(connections, 2)
    })
  )

  it.live("that opens after nobody waits for it any more is closed", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      const late: Array<IDBOpenDBRequest> = []
      yield* withIndexedDB({
        value: {
          open: (name: string, version: number) => {
            const request = factory.open(name, version)
            late.push(request)
            return request
          }
        }
      })
      yield* Effect.timeoutOption(Effect.scoped(TokenStoreWeb.make({ database })), 0)
      const [request] = late
      yield* Effect.callback<void>((resume) => request?.addEventListener("success", () => resume(Effect.void)))
      assert.throws(() => request?.result.transaction("rows"), /InvalidState|not allowed/)
    })
  )
})

describe("web: a page that cannot keep anything", () => {
  const forbidden: ReadonlyArray<readonly [what: string, descriptor: PropertyDescriptor, problem: string]> = [
    ["has no IndexedDB", { value: undefined }, "no IndexedDB"],
    [
      "may not use it",
      {
        get: () => {
          throw new DOMException("denied", "SecurityError")
        }
      },
      "SecurityError"
    ],
    [
      "may not open it",
      {
        value: {
          open: () => {
            throw new DOMException("denied", "SecurityError")
          }
        }
      },
      "SecurityError"
    ],
    [
      "is in a private mode that stores nothing",
      {
        value: {
          open: () => {
            const error = new DOMException("not allowed", "InvalidStateError")
            const request = Object.assign(new EventTarget(), { error })
            queueMicrotask(() => request.dispatchEvent(new Event("error")))
            return request
          }
        }
      },
      "InvalidStateError"
    ]
  ]
  for (const [what, descriptor, problem] of forbidden) {
    it.live(`because it ${what}: the session is in memory, with one warning`, () =>
      Effect.gen(function* () {
        yield* withIndexedDB(descriptor)
        assert.deepInclude(yield* Effect.flip(TokenStoreWeb.make()), {
          _tag: "StoreUnavailable",
          operation: "open",
          problem
        })
        const [current, lines] = yield* logged(
          Effect.gen(function* () {
            const store = yield* TokenStore.TokenStore
            yield* store.replace("one", token(1))
            return yield* store.current("one")
          }).pipe(Effect.provide(TokenStoreWeb.layer()))
        )
        assert.isTrue(Option.isSome(current))
        assert.deepStrictEqual(lines, [
          `This page can't keep a session (${problem}). It is kept in memory, and ends with the page.`
        ])
      })
    )
  }

  it.live("because it is on plain http: the session is in memory", () =>
    Effect.gen(function* () {
      const insecure = Object.create(crypto, { subtle: { value: undefined } })
      const reason = yield* Effect.flip(Effect.provideService(TokenStoreWeb.make(), WebCrypto.WebCrypto, insecure))
      assert.deepInclude(reason, { operation: "open", problem: "no WebCrypto, which needs https" })
    })
  )
})

describe("web: a failure that may pass", () => {
  it.live("of the first opening is of one call, and not of the page", () =>
    Effect.gen(function* () {
      const database = yield* fresh
      let isFull = true
      yield* withIndexedDB({
        value: {
          open: (name: string, version: number) => {
            if (isFull) throw new DOMException("full", "QuotaExceededError")
            return factory.open(name, version)
          }
        }
      })
      const backend = yield* open(database)
      const reason = yield* Effect.flip(backend.read("one"))
      assert.deepInclude(reason, { _tag: "StoreUnavailable", operation: "read", problem: "QuotaExceededError" })
      assert.strictEqual(
        reason.message,
        "the token store failed (read: QuotaExceededError). Free storage on this device."
      )
      isFull = false
      yield* put(backend, token(1))
      assert.strictEqual(yield* stored(backend), "access-1")
    })
  )
})

describe("web: changed", () => {
  for (const event of ["commit", "release", "clear"] as const) {
    it.live(`a ${event} wakes the waiters of other tabs`, () =>
      Effect.gen(function* () {
        const database = yield* fresh
        const backend = yield* open(database)
        yield* lease(backend, "a")
        const other = yield* open(database)
        const waiter = yield* Effect.forkChild(other.changed?.("one") ?? Effect.void, { startImmediately: true })
        yield* Effect.yieldNow
        assert.isUndefined(waiter.pollUnsafe())
        // A hint may get lost that comes before somebody listens.
        const write = {
          commit: Effect.flatMap(backend.read("one"), ({ version }) => put(backend, token(version + 1))),
          release: Effect.andThen(
            Effect.flatMap(backend.read("one"), ({ lease: held }) => (held ? Effect.void : lease(backend, "a"))),
            backend.release("one", { attempt: "a", unused: true })
          ),
          clear: Effect.flatMap(backend.read("one"), ({ epoch }) => backend.clear("one", epoch))
        }[event]
        yield* Effect.repeat(write, { until: () => waiter.pollUnsafe() !== undefined })
      })
    )
  }
})
