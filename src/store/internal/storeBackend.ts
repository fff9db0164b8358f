/**
 * What the durable stores share. A store implements {@link Statements} on records that it cannot read. This module makes a
 * `TokenStore.Backend` of them: it bounds calls in time, types their failures, encrypts and decrypts the records, and
 * translates their instants between clocks.
 *
 * **Clocks.** All instants in a record are on the store's clock, so that processes whose clocks differ mean the same. Each
 * read returns the store's time `s`, which lies between the request, at wall time `w`, and the response, at monotonic time
 * `m`. A reader adds `w − s`, at most the true difference. A writer takes `s + (monotonic time − m)` for the store's time, at
 * most the true one, even if its wall clock was set meanwhile. Both errors are the latency of one call, and both make a token
 * older than it is, so nobody uses one that has expired.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AccessToken } from "../../token/AccessToken.ts"
import { monotonic, withTimeout } from "../../token/shared/time.ts"
import { StoreUnavailable } from "../../token/TokenError.ts"
import type { Backend, Claim, Commit, Sending, Snapshot } from "../../token/TokenStore.ts"
import type { TokenEncryption } from "../TokenEncryption.ts"
import { problemOf } from "./problem.ts"

/** A call that takes longer has failed. Milliseconds. */
const callTimeout = 4_000

/** A record that was issued this much later than the store's present was issued before the store's clock was set back. */
const clockTolerance = 1_000

/** A backend whose records are text. */
export interface Statements {
  readonly read: (identity: string) => Effect.Effect<Snapshot<string>, unknown>
  readonly claim: (identity: string, options: Claim) => Effect.Effect<boolean, unknown>
  readonly sending: (identity: string, options: Sending) => Effect.Effect<boolean, unknown>
  readonly beat: (identity: string, attempt: string) => Effect.Effect<boolean, unknown>
  readonly commit: (identity: string, options: Commit<string>) => Effect.Effect<boolean, unknown>
  readonly release: (
    identity: string,
    options: { readonly attempt: string; readonly unused: boolean }
  ) => Effect.Effect<void, unknown>
  readonly clear: (identity: string, epoch: number) => Effect.Effect<void, unknown>
  readonly changed?: ((identity: string) => Effect.Effect<void, unknown>) | undefined
}

/** A `TokenEncryption`, which may fail to write where it keeps its key in the store. */
interface Encryption extends Pick<TokenEncryption, "decode"> {
  readonly encode: (...args: Parameters<TokenEncryption["encode"]>) => Effect.Effect<string, unknown>
}

const toUnavailable =
  (operation: string) =>
  <A>(effect: Effect.Effect<A, unknown>): Effect.Effect<A, StoreUnavailable> =>
    Effect.catchCause(effect, (cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      const error = Cause.squash(cause)
      return Effect.fail(
        error instanceof StoreUnavailable ? error : new StoreUnavailable({ operation, problem: problemOf(error) })
      )
    })

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
  encryption: Encryption
): Effect.fn.Return<Backend> {
  const clock = yield* Clock.Clock
  /** The store's time less the monotonic time, as of the last read. */
  let offset: number | undefined
  /** Records that were reported as unreadable. */
  const reported = new Set<string>()

  // On a fibre of its own: a driver that is interrupted may first wait for the server.
  const call = <A>(operation: string, effect: Effect.Effect<A, unknown>): Effect.Effect<A, StoreUnavailable> =>
    Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) =>
      withTimeout(Fiber.join(fiber), clock, callTimeout, () =>
        Effect.fail(new StoreUnavailable({ operation, problem: "timeout" }))
      ).pipe(toUnavailable(operation), Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe())))
    )

  const report = (identity: string, version: number, problem: string) =>
    Effect.suspend(() => {
      const name = `${version} ${identity}`
      if (reported.has(name)) return Effect.void
      if (reported.size > 1_000) reported.clear()
      reported.add(name)
      return Effect.logWarning(
        `The stored credential of ${identity} cannot be used: ${problem}. Continuing without it.`
      )
    })

  /** The credential of a record on this process' clock. One that cannot be read counts as missing. */
  const decoded = Effect.fnUntraced(function* (identity: string, row: Snapshot<string>, asked: number) {
    if (row.record === undefined) return undefined
    const token = yield* Effect.match(encryption.decode(identity, row.record), {
      onFailure: ({ problem }) => problem,
      // An earlier record of the same identity, put back in the place of a later one.
      onSuccess: (token) => (token.generation === row.version ? token : "it is of another version")
    })
    if (typeof token === "string") {
      yield* report(identity, row.version, token)
      return undefined
    }
    const local = shifted(token, Math.floor(asked - row.now))
    return token.issuedAt > row.now + clockTolerance
      ? new AccessToken({ ...local, issuedAt: Math.min(local.issuedAt, asked), expiresAt: asked })
      : local
  })

  return {
    read: (identity) =>
      call(
        "read",
        Effect.suspend(() => {
          const asked = clock.currentTimeMillisUnsafe()
          return Effect.flatMap(statements.read(identity), (row) => {
            offset = row.now - monotonic(clock)
            return Effect.map(decoded(identity, row, asked), (record): Snapshot => ({ ...row, record }))
          })
        })
      ),
    claim: (identity, options) => call("claim", statements.claim(identity, options)),
    sending: (identity, options) => call("sending", statements.sending(identity, options)),
    beat: (identity, attempt) => call("beat", statements.beat(identity, attempt)),
    commit: (identity, { record: token, ...options }) =>
      call(
        "commit",
        Effect.suspend(() => {
          // Each commit follows a read.
          const now = (offset ?? 0) + monotonic(clock)
          const record = shifted(token, Math.floor(now - clock.currentTimeMillisUnsafe()))
          return Effect.flatMap(encryption.encode(identity, record), (record) =>
            statements.commit(identity, { ...options, record })
          )
        })
      ),
    release: (identity, options) => call("release", statements.release(identity, options)),
    clear: (identity, epoch) => call("clear", statements.clear(identity, epoch)),
    changed:
      statements.changed && ((identity) => toUnavailable("changed")(statements.changed?.(identity) ?? Effect.never))
  }
})

/**
 * Waits for an identity to appear in a stream of those that changed. All waiters share one run of the stream. It starts with
 * the first of them, and starts again with the next one after it has ended.
 */
export const makeListener = (
  changes: Stream.Stream<string, unknown>
): Effect.Effect<(identity: string) => Effect.Effect<void, unknown>, never, Scope.Scope> =>
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
