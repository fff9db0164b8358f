/**
 * What the durable stores share. A store implements {@link Statements} on records that it cannot read; this makes a
 * `TokenStore.Backend` of them: bounds and types its failures, writes and reads the records, and translates their instants
 * between clocks.
 *
 * **Clocks.** In a record all instants are on the store's clock, so that processes whose clocks differ mean the same.
 * Each `acquire` tells the store's time `s`. It lies between the request, at wall time `w`, and the answer, at monotonic
 * time `m`. Hence a reader adds `w − s`, at most the true difference; a writer takes `s + (monotonic time − m)` for the
 * store's time, at most the true one, wherever its wall clock was stepped to meanwhile. Both errors are the latency of one
 * call, and both make a token older than it is: nobody sends one that has expired.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AccessToken } from "../../token/AccessToken.ts"
import type { TokenEncryption } from "../TokenEncryption.ts"
import { StoreUnavailable } from "../../token/TokenError.ts"
import type { Acquired, Backend } from "../../token/TokenStore.ts"

/** A store that does not answer within this many milliseconds is one that is down. */
const callTimeout = 2_000

/** What asking for the lease gives, before records are read. `now` is the store's time in milliseconds. */
export type Taken = { readonly now: number } & (
  | { readonly _tag: "Newer"; readonly record: string; readonly generation: number }
  | { readonly _tag: "Busy"; readonly retryAfter: number }
  /** Arrived after `notAfter`, when whoever asked may have gone: nothing was done. */
  | { readonly _tag: "Late" }
  | {
      readonly _tag: "Lease"
      readonly record: string | undefined
      readonly generation: number
      readonly fence: number
      readonly orphaned: boolean
    }
)

/** Who holds a lease. */
export interface Holder {
  readonly owner: string
  readonly fence: number
}

/** A `Backend` whose credentials are records: text that it does not understand, and a generation. */
export interface Statements {
  readonly acquire: (
    identity: string,
    options: {
      readonly owner: string
      readonly seen: number
      readonly ttl: number
      /** Store time after which nobody waits for the answer any more, where that is known. */
      readonly notAfter: number | undefined
    }
  ) => Effect.Effect<Taken, unknown>
  readonly commit: (
    identity: string,
    options: Holder & { readonly generation: number; readonly record: string }
  ) => Effect.Effect<boolean, unknown>
  readonly release: (identity: string, options: Holder & { readonly spent: boolean }) => Effect.Effect<void, unknown>
  readonly clear: (identity: string) => Effect.Effect<void, unknown>
  readonly changed: (identity: string) => Effect.Effect<void, unknown>
}

/** The store did not answer in time. */
class Silent extends Data.TaggedError("Silent") {}

/** What names a failure of a file system, Redis or a database, and nothing that was written or configured. */
const names = ["_tag", "reason", "cause", "code", "method", "pathOrDescriptor"]

const told = (cause: Cause.Cause<unknown>): string => {
  try {
    return JSON.stringify(Cause.squash(cause), names) ?? "?"
  } catch {
    return "?"
  }
}

const toUnavailable =
  (operation: string) =>
  <A>(effect: Effect.Effect<A, unknown>): Effect.Effect<A, StoreUnavailable> =>
    Effect.catchCause(effect, (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.fail(new StoreUnavailable({ operation }))
    )

/** The same credential on a clock that is `millis` ahead. */
const shifted = (token: AccessToken, millis: number): AccessToken =>
  new AccessToken({
    ...token,
    issuedAt: token.issuedAt + millis,
    expiresAt: token.expiresAt + millis,
    refreshExpiresAt: token.refreshExpiresAt === undefined ? undefined : token.refreshExpiresAt + millis
  })

/** Makes a backend of a store's statements. */
export const make = Effect.fnUntraced(function* (
  statements: Statements,
  encryption: TokenEncryption
): Effect.fn.Return<Backend> {
  const clock = yield* Clock.Clock
  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** The store's time less the monotonic one, as the last answer told. */
  let offset: number | undefined
  const storeTime = () => (offset === undefined ? undefined : offset + monotonic())
  let isDown = false

  /** A store that is down is done without, which is told once: a mistake in its configuration looks the same. */
  const watched = <A>(operation: string, effect: Effect.Effect<A, unknown>): Effect.Effect<A, unknown> =>
    Effect.onExit(effect, (exit) => {
      if (Exit.isSuccess(exit)) {
        if (!isDown) return Effect.void
        isDown = false
        return Effect.logInfo("the token store answers again")
      }
      if (isDown || Cause.hasInterruptsOnly(exit.cause)) return Effect.void
      isDown = true
      return Effect.logWarning(`the token store failed to ${operation} and is done without: ${told(exit.cause)}`)
    })

  // On a fibre of its own: a driver that is told to stop may want to hear from the server first.
  const call = <A>(operation: string, effect: Effect.Effect<A, unknown>): Effect.Effect<A, StoreUnavailable> =>
    Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) =>
      watched(
        operation,
        Effect.timeoutOrElse(Fiber.join(fiber), {
          duration: callTimeout,
          orElse: () => Effect.fail(new Silent())
        })
      ).pipe(toUnavailable(operation), Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe())))
    )

  /** The credential of a record on this process' clock, or what is wrong with it. */
  const read = (identity: string, record: string, generation: number, shift: number) =>
    Effect.match(encryption.decode(identity, record), {
      onFailure: ({ problem }) => problem,
      // An earlier record of the same identity, put back in the place of a later one.
      onSuccess: (token) => (token.generation === generation ? shifted(token, shift) : "it is of another generation")
    })

  const acquire: Backend["acquire"] = Effect.fnUntraced(
    function* (identity, options) {
      let { seen } = options
      while (true) {
        const asked = clock.currentTimeMillisUnsafe()
        const now = storeTime()
        const notAfter = now === undefined ? undefined : now + callTimeout
        const taken: Taken = yield* statements.acquire(identity, { ...options, seen, notAfter })
        offset = taken.now - monotonic()
        if (taken._tag === "Late") continue
        if (taken._tag === "Busy") return { _tag: "Busy", retryAfter: taken.retryAfter } satisfies Acquired
        const { generation, record } = taken
        const shift = Math.floor(asked - taken.now)
        const stored = record === undefined ? undefined : yield* read(identity, record, generation, shift)
        if (taken._tag === "Newer") {
          if (typeof stored === "object") return { _tag: "Newer", stored } satisfies Acquired
          // A credential that cannot be read is none: ask for the lease on it. Its refresh token is lost.
          seen = generation
          continue
        }
        if (typeof stored === "string") {
          yield* Effect.logWarning(`the stored credential of ${identity} is done without: ${stored}`)
        }
        const { fence, orphaned } = taken
        return {
          _tag: "Lease",
          stored: typeof stored === "object" ? Option.some(stored) : Option.none(),
          fence,
          orphaned,
          generation
        } satisfies Acquired
      }
    },
    (effect) => call("acquire", effect)
  )

  return {
    acquire,
    commit: (identity, { fence, owner, stored }) =>
      call(
        "commit",
        Effect.suspend(() => {
          const now = storeTime()
          // Nobody holds a lease who has not asked for one.
          if (now === undefined) return Effect.succeed(false)
          const shift = Math.floor(now - clock.currentTimeMillisUnsafe())
          const { generation } = stored
          return Effect.flatMap(encryption.encode(identity, shifted(stored, shift)), (record) =>
            statements.commit(identity, { owner, fence, generation, record })
          )
        })
      ),
    release: (identity, options) => call("release", statements.release(identity, options)),
    clear: (identity) => call("clear", statements.clear(identity)),
    changed: (identity) => toUnavailable("changed")(statements.changed(identity))
  }
})

/**
 * Waits for what a stream tells to have changed, by one run of it for all who wait. It is run when there is first something
 * to wait for, and where it ended again by whoever waits next.
 */
export const makeListener = (
  changes: Stream.Stream<string, unknown>
): Effect.Effect<Statements["changed"], never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const waiting = new Map<string, Deferred.Deferred<void, unknown>>()
    let isListening = false
    const listen = Stream.runForEach(changes, (identity) =>
      Effect.sync(() => {
        const waiter = waiting.get(identity)
        waiting.delete(identity)
        if (waiter !== undefined) Deferred.doneUnsafe(waiter, Exit.void)
      })
    ).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          isListening = false
          const waiters = [...waiting.values()]
          waiting.clear()
          for (const waiter of waiters) Deferred.doneUnsafe(waiter, exit)
        })
      )
    )
    return (identity) =>
      Effect.suspend(() => {
        const waiter = waiting.get(identity) ?? Deferred.makeUnsafe<void, unknown>()
        waiting.set(identity, waiter)
        const started = isListening ? Effect.void : Effect.forkIn(listen, scope)
        isListening = true
        return Effect.andThen(started, Deferred.await(waiter))
      })
  })
