/**
 * A token store in a directory, for the processes of one host: no server, nothing to install.
 *
 * The directory must be on a local file system with hard links (ext4, xfs, APFS, NTFS, …); a network share is no place for
 * it. What it makes there only its own user can read.
 *
 * **Example** (Workers of one host that share a credential)
 *
 * ```ts
 * import { NodeHttpClient, NodeServices } from "@effect/platform-node"
 * import { Config, Layer } from "effect"
 * import { ApiVideo, TokenEncryption, TokenStoreFile } from "effect-video-auth"
 *
 * const StoreLive = TokenStoreFile.layer({
 *   directory: "/var/lib/my-app/tokens",
 *   encryption: TokenEncryption.config("TOKEN_STORE_KEYS")
 * }).pipe(Layer.provide(NodeServices.layer))
 *
 * export const ApiVideoLive = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(
 *   Layer.provide([StoreLive, NodeHttpClient.layerUndici])
 * )
 * ```
 *
 * @since 0.1.0
 */
// How it works. Each identity has a directory of its own, whose files `1`, `2`, `3`, … are the states that it went
// through; the highest number is its state now. A state is written to a file aside, made durable, and linked to the next
// number. Of two processes that change the same state, one links first: the other finds the number taken, and decides
// again on what it finds then. So every change is a compare-and-swap, and there is no lock that somebody could die
// holding. A lease is part of a state. Its fence is the number of the state that gave it, and it lasts while that is the
// highest one: a takeover, a commit and a sign-out are the next number, which exists once.
//
// States that were followed are emptied at once, since they hold a credential, and removed when they are `kept` behind.
// That leaves one way to go wrong: a process that is stopped after it looked, for as long as it takes others to get
// further ahead than that, finds its next number free again. It can tell, as it looks once more after linking: then there
// are higher numbers, and the latest state does not have its change among the `recent` ones. What it linked counts for
// nobody, since it never was the highest number, and it starts anew. Likewise a listing that is taken while files come and
// go would have to miss `kept` of them.
//
// A holder writes to its state's file now and then, the byte that is there already, and its time of change says that the
// holder lives. All times are the file system's: one is that of a file just written, `clock`.
import * as Data from "effect/Data"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as FiberMap from "effect/FiberMap"
import * as FileSystem from "effect/FileSystem"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StoreBackend from "./internal/storeBackend.ts"
import type { TokenEncryption } from "./TokenEncryption.ts"
import * as TokenStore from "../token/TokenStore.ts"

/**
 * Where the files are, and who may take over from whom.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<E = never> {
  /** Made if it is not there. Processes that name the same one share their credentials. */
  readonly directory: string
  /** `TokenEncryption.config("TOKEN_STORE_KEYS")`, `TokenEncryption.make({ keys })` or `TokenEncryption.plainText`. */
  readonly encryption: Effect.Effect<TokenEncryption, E>
  /**
   * A holder that lives says so three times in this time; one that has not for as long is taken for dead. So this is how
   * long the others wait for one that was killed, and how long a process may be too busy to say so.
   * @default "10 seconds"
   */
  readonly lease?: Duration.Input | undefined
  /** The number of this process, for the others' `isAlive`: `process.pid` on Node. */
  readonly pid?: number | undefined
  /**
   * Whether a process of that number runs; from one that does not the lease is taken at once. Only where all that share
   * the directory see each other's processes, which containers do not.
   *
   * **Example** (On Node)
   *
   * ```ts
   * import { Effect } from "effect"
   *
   * // Signal 0 is sent to nobody; it fails where there is no such process.
   * export const isAlive = (pid: number) =>
   *   Effect.sync(() => {
   *     try {
   *       return process.kill(pid, 0)
   *     } catch (error) {
   *       return error instanceof Error && "code" in error && error.code === "EPERM"
   *     }
   *   })
   * ```
   */
  readonly isAlive?: ((pid: number) => Effect.Effect<boolean>) | undefined
}

const State = Schema.Struct({
  generation: Schema.Int,
  record: Schema.optional(Schema.String),
  spent: Schema.Boolean,
  lease: Schema.optional(
    Schema.Struct({
      owner: Schema.String,
      /** File system time at which it ends in any case. */
      until: Schema.Finite,
      /** How long it lasts without a sign of life, in milliseconds. */
      lapse: Schema.Finite,
      pid: Schema.optional(Schema.Int)
    })
  ),
  /** Names of the latest changes, this one first. */
  recent: Schema.Array(Schema.String)
})
type State = typeof State.Type

const StateJson = Schema.fromJsonString(State)
const encodeState = Schema.encodeEffect(StateJson)
const decodeState = Schema.decodeUnknownOption(StateJson)

/** So many states that were followed stay as empty files. */
const kept = 16

/** What nobody has written to for this many milliseconds was left behind by a process that died. */
const abandonedAfter = 60_000

/** The state of an identity, and its number. */
interface Head {
  readonly number: number
  readonly state: State
}

/** What a change comes to: a new state, or none. */
type Change = Omit<State, "recent"> | undefined

/** The file system did not say when a file was written. */
class NoTime extends Data.TaggedError("NoTime") {}

const isReason =
  (tag: PlatformError["reason"]["_tag"]) =>
  (error: PlatformError | NoTime): boolean =>
    error._tag === "PlatformError" && error.reason._tag === tag

/**
 * The backend of {@link layer}. It needs a scope: a lease is kept alive in it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  options: Options<E>
): Effect.fn.Return<TokenStore.Backend, E, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { digestHex } = yield* Effect.provide(Digest.Digest, Digest.layerWebCrypto)
  const { randomBytes } = yield* Effect.provide(SecureRandom.SecureRandom, SecureRandom.layerWebCrypto)
  const lapse = Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "10 seconds"))
  const signsOfLife = yield* FiberMap.make<string>()

  const modifiedAt = (file: string) =>
    Effect.flatMap(fs.stat(file), ({ mtime }) =>
      Option.isSome(mtime) ? Effect.succeed(mtime.value.getTime()) : Effect.fail(new NoTime())
    )

  /** File system time. */
  const clock = path.join(options.directory, "clock")
  const now = Effect.andThen(fs.writeFileString(clock, "0", { mode: 0o600 }), modifiedAt(clock))

  /** An identity's directory. File systems differ in which characters and how many a name can have. */
  const placeOf = (identity: string) =>
    Effect.map(digestHex(Digest.sha256, new TextEncoder().encode(identity)), (hash) =>
      path.join(options.directory, hash)
    )

  const numbersIn = (place: string) =>
    fs.readDirectory(place).pipe(
      Effect.map((names) => names.filter((name) => /^[1-9]\d*$/.test(name)).map(Number)),
      Effect.catchIf(isReason("NotFound"), () => Effect.succeed([]))
    )

  const headOf = Effect.fnUntraced(function* (place: string): Effect.fn.Return<Head, PlatformError> {
    let previous = 0
    while (true) {
      const number = Math.max(0, ...(yield* numbersIn(place)))
      if (number === 0) return { number, state: { generation: 0, spent: false, recent: [] } }
      const content = yield* Effect.catchIf(
        fs.readFileString(path.join(place, `${number}`)),
        isReason("NotFound"),
        () => Effect.succeed("")
      )
      const state = decodeState(content)
      if (Option.isSome(state)) return { number, state: state.value }
      // It was followed and emptied meanwhile, or it is damaged and still the latest.
      if (number === previous) {
        yield* Effect.logWarning(`${path.join(place, `${number}`)} is damaged and done without`)
        // Each generation took two states at least: the number is no lower than that which is lost.
        return { number, state: { generation: number, spent: true, recent: [] } }
      }
      previous = number
    }
  })

  /** Writes a file that survives a loss of power. */
  const write = (file: string, content: string) =>
    Effect.scoped(
      Effect.flatMap(fs.open(file, { flag: "wx", mode: 0o600 }), (handle) =>
        Effect.andThen(handle.writeAll(new TextEncoder().encode(content)), handle.sync)
      )
    )
  /** The same for the names in a directory, where a platform can do that. */
  const settle = (place: string) => Effect.exit(Effect.scoped(Effect.flatMap(fs.open(place), (handle) => handle.sync)))

  /** Empties the states before `number`, removes those that are far behind, and what processes that died left. */
  const tidy = Effect.fnUntraced(function* (place: string, number: number) {
    for (const name of yield* fs.readDirectory(place)) {
      const file = path.join(place, name)
      if (name.startsWith("new-")) {
        if ((yield* now) - (yield* modifiedAt(file)) > abandonedAfter) yield* fs.remove(file)
      } else if (Number(name) < number - kept) yield* fs.remove(file)
      else if (Number(name) < number) yield* fs.truncate(file)
    }
  }, Effect.exit)

  /** Changes the state of an identity, unless there is nothing to change; gives the state before and the new number. */
  const change = Effect.fnUntraced(function* <C extends Change, E>(
    identity: string,
    decide: (head: Head) => Effect.Effect<C, E>
  ) {
    const place = yield* placeOf(identity)
    while (true) {
      const head = yield* headOf(place)
      const next = yield* decide(head)
      const number = head.number + 1
      const file = path.join(place, `${number}`)
      if (next === undefined) return { head, next, file }
      const name = Hex.encode(yield* randomBytes(8))
      const state = { ...next, recent: [name, ...head.state.recent].slice(0, kept) }
      const aside = path.join(place, `new-${name}`)
      yield* fs.makeDirectory(place, { recursive: true, mode: 0o700 })
      const linked = yield* write(aside, yield* encodeState(state)).pipe(
        Effect.andThen(fs.link(aside, file)),
        Effect.as(true),
        Effect.catchIf(isReason("AlreadyExists"), () => Effect.succeed(false)),
        Effect.ensuring(Effect.exit(fs.remove(aside)))
      )
      if (!linked) continue
      const latest = Math.max(...(yield* numbersIn(place)))
      if (latest > number && !(yield* headOf(place)).state.recent.includes(name)) {
        yield* fs.remove(file, { force: true })
        continue
      }
      yield* settle(place)
      yield* tidy(place, latest)
      return { head, next, file }
    }
  })

  /** Says now and then that the holder of a lease lives, by writing to a state the byte that it begins with. */
  const liveOn = (file: string, ttl: number) => {
    const beat = Effect.scoped(
      Effect.flatMap(fs.open(file, { flag: "r+" }), (handle) => handle.writeAll(new TextEncoder().encode("{")))
    )
    return Effect.exit(beat).pipe(Effect.delay(lapse / 3), Effect.forever, Effect.timeoutOption(ttl))
  }

  const holds = ({ number, state }: Head, { fence, owner }: StoreBackend.Holder) =>
    number === fence && state.lease?.owner === owner

  const key = (identity: string, { fence }: Pick<StoreBackend.Holder, "fence">) => `${fence} ${identity}`

  /** Changes the state that gave a lease. Whether that succeeds or not, its holder is done, and lives for it no more. */
  const leave = (identity: string, holder: StoreBackend.Holder, next: (state: State) => Change) =>
    Effect.ensuring(
      change(identity, (head) => Effect.succeed(holds(head, holder) ? next(head.state) : undefined)),
      FiberMap.remove(signsOfLife, key(identity, holder))
    )

  const statements: StoreBackend.Statements = {
    acquire: Effect.fnUntraced(function* (identity, { owner, seen, ttl }) {
      yield* fs.makeDirectory(options.directory, { recursive: true, mode: 0o700 })
      const place = yield* placeOf(identity)
      let time = 0
      let remaining = 0
      const { file, head, next } = yield* change(
        identity,
        Effect.fnUntraced(function* ({ number, state }) {
          time = yield* now
          const { generation, lease, record, spent } = state
          if (record !== undefined && generation > seen) return undefined
          if (lease !== undefined) {
            const file = path.join(place, `${number}`)
            // Gone: a later state took its place, which the next look will find.
            const alive = yield* Effect.catchIf(modifiedAt(file), isReason("NotFound"), () => Effect.succeed(time))
            // A sign of life from the future is one from before the clock was set back.
            remaining = Math.min(lease.until - time, lease.lapse - Math.abs(time - alive))
            const { pid } = lease
            const isDead = pid !== undefined && options.isAlive !== undefined && !(yield* options.isAlive(pid))
            if (remaining > 0 && !isDead) return undefined
          }
          return {
            generation,
            record,
            spent: spent || lease !== undefined,
            lease: { owner, until: time + ttl, lapse, pid: options.pid }
          }
        })
      )
      const { generation, record } = head.state
      if (next === undefined) {
        return record !== undefined && generation > seen
          ? { _tag: "Newer", now: time, record, generation }
          : { _tag: "Busy", now: time, retryAfter: remaining }
      }
      const fence = head.number + 1
      yield* FiberMap.run(signsOfLife, key(identity, { fence }), liveOn(file, ttl))
      return { _tag: "Lease", now: time, record, generation, fence, orphaned: next.spent }
    }),
    commit: (identity, { generation, record, ...holder }) =>
      Effect.map(
        leave(identity, holder, () => ({ generation, record, spent: false })),
        ({ next }) => next !== undefined
      ),
    release: (identity, { spent, ...holder }) =>
      leave(identity, holder, ({ generation, record }) => ({ generation, record, spent })),
    clear: Effect.fnUntraced(function* (identity) {
      yield* change(identity, ({ number, state: { generation } }) =>
        Effect.succeed(number === 0 ? undefined : { generation, spent: false })
      )
    }),
    changed: Effect.fnUntraced(function* (identity) {
      yield* Stream.runDrain(Stream.take(fs.watch(yield* placeOf(identity)), 1))
    })
  }
  return yield* StoreBackend.make(statements, yield* options.encryption)
})

/**
 * Provides a store whose credentials are files. A directory that cannot be used is a store that is down: each process
 * then logs in for itself.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never>(
  options: Options<E>
): Layer.Layer<TokenStore.TokenStore, E, FileSystem.FileSystem | Path.Path> => TokenStore.layer(make(options))
