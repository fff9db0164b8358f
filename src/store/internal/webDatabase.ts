/**
 * The database of a page: rows, and the key that encrypts their records. One connection at a time, which is opened when it is
 * first used and opened again after it failed or was closed from outside.
 *
 * The connection gives way at once when another tab wants to change or delete the database, so no tab blocks that. The
 * database has one version for good: rows of another form go into a database of another name, and no tab with an earlier
 * version of this library has to close for that.
 */
import * as Aead from "effect/crypto/Aead"
import * as SecureRandom from "effect/crypto/SecureRandom"
import { WebCrypto } from "effect/crypto/WebCrypto"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { StoreUnavailable } from "../../token/TokenError.ts"
import type { NamedKey } from "./sealing.ts"

/** An open database, and the key that its records are encrypted with. */
export interface Connection {
  readonly database: IDBDatabase
  readonly key: NamedKey
}

const rowStore = "rows"
const keyStore = "keys"
/** The one key of the store of keys. */
const current = "current"

const decodeKey = Schema.decodeUnknownOption(
  Schema.Struct({ id: Schema.String, key: Schema.declare((value): value is CryptoKey => value instanceof CryptoKey) })
)

const forbidden = (problem: string) => new StoreUnavailable({ operation: "open", problem })

/**
 * Errors that say that a page may not use the database, whatever it tries: its user blocks storage, it is in a sandboxed
 * frame, or its browser's private mode stores nothing, or no keys.
 */
const forbidding = new Set(["SecurityError", "InvalidStateError", "DataCloneError"])

/** How long {@link probe} waits. Milliseconds. */
const probeTimeout = 4_000

/** Finds out whether the page may use the database at all. Any other failure may pass. */
export const probe = ({ connected }: WebDatabase): Effect.Effect<void, StoreUnavailable> =>
  connected.pipe(
    Effect.timeout(probeTimeout),
    Effect.catchCause((cause) => {
      const error = Cause.squash(cause)
      if (error instanceof StoreUnavailable) return Effect.fail(error)
      const isForbidden = error instanceof DOMException && forbidding.has(error.name)
      return isForbidden ? Effect.fail(forbidden(error.name)) : Effect.void
    }),
    Effect.asVoid
  )

/** Opens the database, and makes it if it is not there. One that opens after nobody waits any more is closed again. */
const openDatabase = (name: string) =>
  Effect.callback<IDBDatabase, unknown>((resume) => {
    let isAwaited = true
    try {
      // A page without rights to storage may throw here, or have no such object.
      if (globalThis.indexedDB === undefined) return resume(Effect.fail(forbidden("no IndexedDB")))
      const request = globalThis.indexedDB.open(name, 1)
      request.addEventListener("upgradeneeded", () => {
        request.result.createObjectStore(rowStore)
        request.result.createObjectStore(keyStore)
      })
      request.addEventListener("success", () =>
        isAwaited ? resume(Effect.succeed(request.result)) : request.result.close()
      )
      request.addEventListener("error", () => resume(Effect.fail(request.error)))
    } catch (error) {
      return resume(Effect.fail(error))
    }
    return Effect.sync(() => {
      isAwaited = false
    })
  })

/**
 * Runs one transaction: reads an entry, and replaces it unless `change` returns nothing.
 *
 * Each transaction is committed as soon as its last request has been made. From then on the browser ends it without the page,
 * so a tab that is frozen holds nobody up. What is left is the moment between the two requests of a write: browsers freeze no
 * page that others wait for, and abort a transaction that doesn't go on.
 *
 * `strict` has the browser flush a write to disk first. Otherwise a loss of power could forget that a refresh token was sent.
 */
const transact = <A>(
  database: IDBDatabase,
  store: string,
  key: string,
  mode: "readonly" | "readwrite",
  change: (entry: unknown) => { readonly result: A; readonly entry?: unknown }
) =>
  Effect.callback<A, unknown>((resume) => {
    let isOver = false
    try {
      const transaction = database.transaction(store, mode, { durability: "strict" })
      const commit = () => {
        isOver = true
        transaction.commit()
      }
      const entries = transaction.objectStore(store)
      const reading = entries.get(key)
      reading.addEventListener("success", () => {
        const { entry, result } = change(reading.result)
        if (entry !== undefined) entries.put(entry, key)
        transaction.addEventListener("complete", () => resume(Effect.succeed(result)))
        if (mode === "readwrite") commit()
      })
      if (mode === "readonly") commit()
      transaction.addEventListener("abort", () => {
        isOver = true
        resume(Effect.fail(transaction.error))
      })
      return Effect.sync(() => {
        if (!isOver) transaction.abort()
      })
    } catch (error) {
      return resume(Effect.fail(error))
    }
  })

/** Reads the key, and makes it if it is not there. Of several tabs that do, one makes the key that all use. */
const keyOf = Effect.fnUntraced(function* (database: IDBDatabase) {
  const crypto = yield* WebCrypto
  if (crypto?.subtle === undefined) return yield* forbidden("no WebCrypto, which needs https")
  const made = {
    id: Hex.encode(SecureRandom.randomBytesUnsafe(4)),
    // Not extractable: a script can use the key, and cannot read it.
    key: yield* Effect.promise(() =>
      crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"])
    )
  }
  const { id, key } = yield* transact(database, keyStore, current, "readwrite", (entry) => {
    const found = Option.getOrUndefined(decodeKey(entry))
    return found === undefined ? { result: made, entry: made } : { result: found }
  })
  return { id, key: yield* Aead.fromCryptoKey(Aead.aes256Gcm, key) }
})

/** What {@link make} makes. */
export interface WebDatabase {
  readonly connected: Effect.Effect<Connection, unknown>
  /** The key of this name, if a record that was read here can have been encrypted with it. */
  readonly keyOf: (id: string) => NamedKey | undefined
  /** Reads a row, and replaces it unless `change` returns no entry. */
  readonly transact: <A>(
    identity: string,
    mode: "readonly" | "readwrite",
    change: (entry: unknown) => { readonly result: A; readonly entry?: unknown }
  ) => Effect.Effect<A, unknown>
}

/** Makes the database. The connection ends with the scope. */
export const make = Effect.fnUntraced(function* (name: string): Effect.fn.Return<WebDatabase, never, Scope.Scope> {
  const crypto = yield* WebCrypto
  const turn = Semaphore.makeUnsafe(1)
  const keys = new Map<string, NamedKey>()
  let connection: Connection | undefined

  const drop = (dropped: IDBDatabase | undefined) => {
    dropped?.close()
    if (connection?.database === dropped) connection = undefined
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => drop(connection?.database)))

  const connect = Effect.gen(function* () {
    const database = yield* openDatabase(name)
    for (const event of ["versionchange", "close"]) database.addEventListener(event, () => drop(database))
    const key = yield* Effect.onError(keyOf(database), () => Effect.sync(() => drop(database)))
    keys.set(key.id, key)
    connection = { database, key }
    return connection
  }).pipe(Effect.provideService(WebCrypto, crypto))

  const connected = turn.withPermits(1)(
    Effect.suspend(() => (connection === undefined ? connect : Effect.succeed(connection)))
  )

  return {
    connected,
    keyOf: (id) => keys.get(id),
    transact: (identity, mode, change) =>
      Effect.flatMap(connected, ({ database }) =>
        transact(database, rowStore, identity, mode, change).pipe(
          // Safari loses the connection of a page that was in the background, and then refuses every use of it.
          Effect.onError(() => Effect.sync(() => drop(database)))
        )
      )
  }
})
