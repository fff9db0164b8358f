/**
 * A token store for pages, in IndexedDB: a reload keeps the session, and all tabs of an origin share it.
 *
 * Each write is one transaction, which is the compare-and-swap. There are no locks: a tab that is frozen, throttled or gone
 * blocks no other. A `BroadcastChannel` only tells waiting tabs to look earlier.
 *
 * Records are encrypted with AES-GCM by a key that the browser keeps in the same database, and whose bytes no script can read.
 * That keeps tokens out of whatever writes a page's storage down as text. It doesn't protect from a script on the page's own
 * origin, which can use the key as the page does, nor from somebody who can read the files of the browser's profile.
 *
 * **Example** (A page whose session survives a reload)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { KeyValueStore } from "effect/persistence"
 * import { AuthorizationCode, TokenStoreWeb } from "effect-video-auth"
 *
 * export const SignInLive = AuthorizationCode.layer({
 *   issuer: "https://login.example.com",
 *   clientId: "page",
 *   authentication: { method: "none" },
 *   redirectUri: "https://app.example.com/"
 * }).pipe(
 *   Layer.provide([
 *     TokenStoreWeb.layer(),
 *     KeyValueStore.layerStorage(() => sessionStorage),
 *     FetchHttpClient.layer
 *   ])
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Sealing from "./internal/sealing.ts"
import * as StoreBackend from "./internal/storeBackend.ts"
import { storedRow, toRow } from "./internal/storedRow.ts"
import * as WebDatabase from "./internal/webDatabase.ts"
import * as StoreRow from "../token/shared/storeRow.ts"
import type { ConfigurationInvalid, StoreUnavailable } from "../token/TokenError.ts"
import * as TokenStore from "../token/TokenStore.ts"

/**
 * Options of the store.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * The beginning of the database's name; `:v2` follows. Pages of one origin that name the same one share their credentials.
   * @default "effect-video-auth"
   */
  readonly database?: string | undefined
  /**
   * How long the other tabs wait for a holder that shows no sign of life.
   * @default "6 seconds"
   */
  readonly lease?: Duration.Input | undefined
  /**
   * How often a holder shows that it is alive. At most half of the lease. A tab in the background may be slower, which does
   * no harm.
   * @default a third of the lease
   */
  readonly beat?: Duration.Input | undefined
}

const decodeRow = Schema.decodeUnknownOption(Schema.Struct(storedRow))

/** A row as it was stored. `isDamaged` says that there is something else in its place. */
const rowOf = (entry: unknown): { readonly row: TokenStore.Row<string>; readonly isDamaged: boolean } => {
  const stored = Option.getOrUndefined(decodeRow(entry))
  return stored === undefined
    ? { row: StoreRow.emptyRow, isDamaged: entry !== undefined }
    : { row: toRow(stored), isDamaged: false }
}

/**
 * The backend of {@link layer}. Fails with `StoreUnavailable` (`open`) if the page has no IndexedDB or may not use it: its
 * user blocks storage, it is in a sandboxed frame or on plain http. {@link layer} then keeps the session in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<TokenStore.Backend, StoreUnavailable, Scope.Scope> {
  const name = `${options.database ?? "effect-video-auth"}:v2`
  const clock = yield* Clock.Clock
  const { open, seal } = yield* Sealing.make
  const database = yield* WebDatabase.make(name)
  yield* WebDatabase.probe(database)

  const channel = yield* Effect.acquireRelease(
    // Pages in old browsers have none.
    Effect.sync(() => ("BroadcastChannel" in globalThis ? new BroadcastChannel(name) : undefined)),
    (channel) => Effect.sync(() => channel?.close())
  )
  const changes = channel && Stream.fromEventListener<MessageEvent<unknown>>(channel, "message")
  const listener = changes && (yield* StoreBackend.makeListener(Stream.map(changes, ({ data }) => String(data))))

  /** Changes a row in one transaction. `announces` has the waiting tabs look at once. */
  const write = (
    identity: string,
    change: (row: TokenStore.Row<string>, now: number) => StoreRow.Written<string>,
    announces = false
  ) =>
    Effect.map(
      database.transact(identity, "readwrite", (entry) => {
        const { row: before } = rowOf(entry)
        const { granted, row } = change(before, clock.currentTimeMillisUnsafe())
        const isChanged = row !== before
        return { result: { granted, isChanged }, entry: isChanged ? row : undefined }
      }),
      ({ granted, isChanged }) => {
        if (announces && isChanged) channel?.postMessage(identity)
        return granted
      }
    )

  /** Rows that were reported as damaged. */
  const damaged = new Set<string>()
  const statements: StoreBackend.Statements = {
    read: Effect.fnUntraced(function* (identity) {
      const { isDamaged, now, row } = yield* database.transact(identity, "readonly", (entry) => ({
        result: { ...rowOf(entry), now: clock.currentTimeMillisUnsafe() }
      }))
      if (isDamaged && !damaged.has(identity)) {
        damaged.add(identity)
        yield* Effect.logWarning(`The row of ${identity} in ${name} is damaged. Continuing without it.`)
      }
      return { ...row, now }
    }),
    claim: (identity, claim) => write(identity, (row, now) => StoreRow.claim(row, claim, now)),
    sending: (identity, sending) => write(identity, (row, now) => StoreRow.sending(row, sending, now)),
    beat: (identity, attempt) => write(identity, (row, now) => StoreRow.beat(row, attempt, now)),
    commit: (identity, commit) => write(identity, (row) => StoreRow.commit(row, commit), true),
    release: (identity, { attempt, unused }) => write(identity, (row) => StoreRow.release(row, attempt, unused), true),
    clear: (identity, epoch) => write(identity, (row) => StoreRow.clear(row, epoch), true),
    changed: listener
  }
  return yield* StoreBackend.make(statements, {
    encode: (identity, token) => Effect.flatMap(database.connected, ({ key }) => seal(key, identity, token)),
    decode: (identity, record) => open(database.keyOf, identity, record)
  })
})

/**
 * Provides a store in IndexedDB.
 *
 * - If the page may not use IndexedDB (see {@link make}), a warning is logged, and the session lives in memory: a reload ends
 *   it, and no other tab has it.
 * - If IndexedDB fails later, or the disk is full, the page keeps the token that it holds, and `state` has `degraded: true`. What needs
 *   the store fails with `StoreUnavailable`, whose `problem` is the name of the browser's error (`QuotaExceededError`).
 * - If the key is missing, or a record can't be read, the credential counts as missing, and a person has to sign in again.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<TokenStore.TokenStore, ConfigurationInvalid> =>
  TokenStore.layer(
    Effect.catch(make(options), ({ problem }) =>
      Effect.andThen(
        Effect.logWarning(`This page can't keep a session (${problem}). It is kept in memory, and ends with the page.`),
        TokenStore.makeMemory
      )
    ),
    options
  )
