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
// How it works. Each identity has a directory, whose files `1`, `2`, `3`, … are the rows that it went through; the highest
// number is the current one. A new row is written to a file aside, made durable, and linked to the next number. If two
// processes change the same row, one of them links first. The other one finds the number taken, and decides again on the new
// row. So every change is a compare-and-swap, and nobody can die holding a lock.
//
// Earlier rows are emptied at once, because they hold a credential, and removed when they are `kept` behind. That leaves one
// way to go wrong: a process that was stopped after it had read, for so long that others got further ahead than that, finds
// its next number free again. It notices, because it looks once more after linking: then there are higher numbers, and the
// current row doesn't have its change among the `recent` ones. Nobody used the row that it linked, because it never had the
// highest number, so the process starts over. In the same way, a listing that is taken while files come and go would have to
// miss `kept` of them.
//
// All times are those of the file system: the time at which the file `clock` was just written.
import * as Data from "effect/Data"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as FileSystem from "effect/FileSystem"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as StoreBackend from "./internal/storeBackend.ts"
import { storedRow, toRow } from "./internal/storedRow.ts"
import type { TokenEncryption } from "./TokenEncryption.ts"
import * as StoreRow from "../token/shared/storeRow.ts"
import type { ConfigurationInvalid } from "../token/TokenError.ts"
import * as TokenStore from "../token/TokenStore.ts"

/**
 * Options of the store: where the files are, and when a process may take over from another.
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
   * How long the other processes wait for a holder that shows no sign of life.
   * @default "6 seconds"
   */
  readonly lease?: Duration.Input | undefined
  /**
   * How often a holder shows that it is alive. At most half of the lease.
   * @default a third of the lease
   */
  readonly beat?: Duration.Input | undefined
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

/** A row as JSON. */
const Stored = Schema.fromJsonString(
  Schema.Struct({
    ...storedRow,
    /** Names of the latest changes, this one first. */
    recent: Schema.Array(Schema.String)
  })
)
const encodeStored = Schema.encodeEffect(Stored)
const decodeStored = Schema.decodeUnknownOption(Stored)

/** So many earlier rows stay, as empty files. */
const kept = 16

/** A file aside that is older than this many milliseconds was left behind by a process that died. */
const abandonedAfter = 60_000

/** The current row of an identity, and its number. */
interface Head {
  readonly number: number
  readonly row: TokenStore.Row<string>
  readonly recent: ReadonlyArray<string>
}

/** The file system did not say when a file was written. */
class NoTime extends Data.TaggedError("NoTime") {}

const isReason =
  (tag: PlatformError["reason"]["_tag"]) =>
  (error: PlatformError | NoTime): boolean =>
    error._tag === "PlatformError" && error.reason._tag === tag

/**
 * The backend of {@link layer}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  options: Options<E>
): Effect.fn.Return<TokenStore.Backend, E, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { digestHex } = yield* Effect.provide(Digest.Digest, Digest.layerWebCrypto)
  const { randomBytes } = yield* Effect.provide(SecureRandom.SecureRandom, SecureRandom.layerWebCrypto)

  const modifiedAt = (file: string) =>
    Effect.flatMap(fs.stat(file), ({ mtime }) =>
      Option.isSome(mtime) ? Effect.succeed(mtime.value.getTime()) : Effect.fail(new NoTime())
    )

  /** File system time. */
  const clock = path.join(options.directory, "clock")
  const now = Effect.andThen(fs.writeFileString(clock, "0", { mode: 0o600 }), modifiedAt(clock))

  /** The directory of an identity. File systems limit the characters and the length of a name. */
  const placeOf = (identity: string) =>
    Effect.map(digestHex(Digest.sha256, new TextEncoder().encode(identity)), (hash) =>
      path.join(options.directory, `v2-${hash}`)
    )

  const numbersIn = (place: string) =>
    fs.readDirectory(place).pipe(
      Effect.map((names) => names.filter((name) => /^[1-9]\d*$/.test(name)).map(Number)),
      Effect.catchIf(isReason("NotFound"), () => Effect.succeed([]))
    )

  /** Rows that were reported as damaged. */
  const damaged = new Set<string>()

  const headOf = Effect.fnUntraced(function* (place: string): Effect.fn.Return<Head, PlatformError> {
    let previous = 0
    while (true) {
      const number = Math.max(0, ...(yield* numbersIn(place)))
      if (number === 0) return { number, row: StoreRow.emptyRow, recent: [] }
      const content = yield* Effect.catchIf(
        fs.readFileString(path.join(place, `${number}`)),
        isReason("NotFound"),
        () => Effect.succeed("")
      )
      const stored = Option.getOrUndefined(decodeStored(content))
      if (stored !== undefined) {
        const { recent, ...row } = stored
        return {
          number,
          row: toRow(row),
          recent
        }
      }
      // Either it was followed and emptied meanwhile, or it is damaged and still the current one.
      if (number === previous) {
        const file = path.join(place, `${number}`)
        if (!damaged.has(file)) yield* Effect.logWarning(`${file} is damaged. Continuing without it.`)
        damaged.add(file)
        // Every version took several writes, so the number is higher than any version that was lost.
        return { number, row: { ...StoreRow.emptyRow, revision: number, version: number }, recent: [] }
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
  /** Does the same for the names in a directory, on platforms that can. */
  const syncDirectory = (place: string) =>
    Effect.exit(Effect.scoped(Effect.flatMap(fs.open(place), (handle) => handle.sync)))

  /** Empties the rows before `number`, and removes those far behind and the files that dead processes left aside. */
  const tidy = Effect.fnUntraced(function* (place: string, number: number) {
    for (const name of yield* fs.readDirectory(place)) {
      const file = path.join(place, name)
      if (name.startsWith("new-")) {
        if ((yield* now) - (yield* modifiedAt(file)) > abandonedAfter) yield* fs.remove(file)
      } else if (Number(name) < number - kept) yield* fs.remove(file)
      else if (Number(name) < number) yield* fs.truncate(file)
    }
  }, Effect.exit)

  /** Writes a row unless the change is refused or needs no write. Returns whether it was granted. */
  const change = Effect.fnUntraced(function* (
    identity: string,
    decide: (row: TokenStore.Row<string>, time: number) => StoreRow.Written<string>
  ) {
    yield* fs.makeDirectory(options.directory, { recursive: true, mode: 0o700 })
    const place = yield* placeOf(identity)
    while (true) {
      const head = yield* headOf(place)
      const { granted, row } = decide(head.row, yield* now)
      if (row === head.row) return granted
      const number = head.number + 1
      const file = path.join(place, `${number}`)
      const name = Hex.encode(yield* randomBytes(8))
      const aside = path.join(place, `new-${name}`)
      yield* fs.makeDirectory(place, { recursive: true, mode: 0o700 })
      const content = yield* encodeStored({ ...row, recent: [name, ...head.recent].slice(0, kept) })
      const linked = yield* write(aside, content).pipe(
        Effect.andThen(fs.link(aside, file)),
        Effect.as(true),
        Effect.catchIf(isReason("AlreadyExists"), () => Effect.succeed(false)),
        Effect.ensuring(Effect.exit(fs.remove(aside)))
      )
      if (!linked) continue
      const latest = Math.max(...(yield* numbersIn(place)))
      if (latest > number && !(yield* headOf(place)).recent.includes(name)) {
        yield* fs.remove(file, { force: true })
        continue
      }
      yield* syncDirectory(place)
      yield* tidy(place, latest)
      return granted
    }
  })

  const statements: StoreBackend.Statements = {
    read: Effect.fnUntraced(function* (identity) {
      yield* fs.makeDirectory(options.directory, { recursive: true, mode: 0o700 })
      const { row } = yield* headOf(yield* placeOf(identity))
      const time = yield* now
      const { lease } = row
      const isDead = lease?.pid !== undefined && options.isAlive !== undefined && !(yield* options.isAlive(lease.pid))
      return { ...row, lease: lease && { ...lease, isDead }, now: time }
    }),
    claim: (identity, claim) =>
      change(identity, (row, time) => StoreRow.claim(row, { ...claim, pid: options.pid }, time)),
    sending: (identity, sending) => change(identity, (row, time) => StoreRow.sending(row, sending, time)),
    beat: (identity, attempt) => change(identity, (row, time) => StoreRow.beat(row, attempt, time)),
    commit: (identity, commit) => change(identity, (row) => StoreRow.commit(row, commit)),
    release: (identity, { attempt, unused }) => change(identity, (row) => StoreRow.release(row, attempt, unused)),
    clear: (identity, epoch) => change(identity, (row) => StoreRow.clear(row, epoch)),
    changed: Effect.fnUntraced(function* (identity) {
      yield* Stream.runDrain(Stream.take(fs.watch(yield* placeOf(identity)), 1))
    })
  }
  return yield* StoreBackend.make(statements, yield* options.encryption)
})

/**
 * Provides a store whose credentials are files. While the directory cannot be used, each process makes exchanges of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never>(
  options: Options<E>
): Layer.Layer<TokenStore.TokenStore, E | ConfigurationInvalid, FileSystem.FileSystem | Path.Path> =>
  TokenStore.layer(make(options), options)
