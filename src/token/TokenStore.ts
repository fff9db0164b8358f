/**
 * Shares one credential between processes, and keeps it when a process ends.
 *
 * Refresh tokens rotate, so two processes that send the same one break each other. A store lets one process renew while the
 * others wait and adopt what it commits. Compare-and-swap makes that safe; the lease only avoids duplicate work. A backend is
 * a handful of atomic statements ({@link Backend}), and the protocol on top of them is written once.
 *
 * A service without a store keeps the credential to itself. To share it, provide a layer of {@link TokenStore} beneath the
 * service.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { AccessToken } from "./AccessToken.ts"
import * as StoreProtocol from "./internal/storeProtocol.ts"
import { invalid } from "./shared/failures.ts"
import * as StoreRow from "./shared/storeRow.ts"
import { monotonic } from "./shared/time.ts"
import type { Backend, Renewal, Renewed, Row } from "./shared/storeModel.ts"
import type { ConfigurationInvalid, RenewalReason, StoreUnavailable } from "./TokenError.ts"

export type {
  Backend,
  Claim,
  Commit,
  Exchanged,
  ExchangeKind,
  Known,
  Renewal,
  Renewed,
  Row,
  RowLease,
  Sending,
  Snapshot,
  Turn,
  TurnLost
} from "./shared/storeModel.ts"

/**
 * The store that a `TokenService` keeps its credential in. Optional: without it, a service keeps it to itself.
 * {@link make} builds one on a {@link Backend}.
 *
 * @category services
 * @since 0.1.0
 */
export class TokenStore extends Context.Service<
  TokenStore,
  {
    /**
     * Returns a credential that is newer than the known one: the stored one, or that of an exchange. If the store doesn't
     * respond, the exchange is private to this process.
     */
    readonly renew: (identity: string, renewal: Renewal) => Effect.Effect<Renewed, RenewalReason>
    /** Reads the credential, which may have expired. */
    readonly current: (identity: string) => Effect.Effect<Option.Option<AccessToken>, StoreUnavailable>
    /** Stores the credential of somebody who has just signed in, whatever is there. Returns it as stored. */
    readonly replace: (identity: string, token: AccessToken) => Effect.Effect<AccessToken, StoreUnavailable>
    /**
     * Forgets the credential, here and in the store. If the store doesn't respond, this fails, and the sign-out is repeated
     * before the store is used for anything else. `epoch` is that of the credential, where it is known.
     */
    readonly clear: (identity: string, epoch?: number) => Effect.Effect<void, StoreUnavailable>
  }
>()("effect-video-auth/TokenStore") {}

/**
 * How long leases last. The defaults suit every platform: safety doesn't depend on them.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long the other processes wait for a holder that shows no sign of life: between 100 milliseconds and an hour.
   * @default "6 seconds"
   */
  readonly lease?: Duration.Input | undefined
  /**
   * How often a holder shows that it is alive. At most half of the lease.
   * @default a third of the lease
   */
  readonly beat?: Duration.Input | undefined
}

const millisOf = (input: Duration.Input): number =>
  // `Duration` takes NaN for zero.
  typeof input === "number"
    ? input
    : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: Duration.toMillis })

const checked = (options: Options): Effect.Effect<StoreProtocol.Timing, ConfigurationInvalid> => {
  const lease = millisOf(options.lease ?? 6_000)
  const beat = options.beat === undefined ? lease / 3 : millisOf(options.beat)
  if (!(lease >= 100 && lease <= 3_600_000)) {
    return Effect.fail(invalid("lease", "it must be between 100 milliseconds and an hour"))
  }
  return beat >= 10 && beat <= lease / 2
    ? Effect.succeed({ ...StoreProtocol.defaultTiming, lease, beat })
    : Effect.fail(invalid("beat", "it must be between 10 milliseconds and half of the lease"))
}

/**
 * Builds a store on a backend. Options that make no sense fail with `ConfigurationInvalid`.
 *
 * If the backend fails twice in a row, for 3 s or longer, a process that needs a token makes an exchange of its own and keeps
 * the credential to itself. It commits that credential once the backend responds again. A backend that refuses 50 writes in
 * a row counts as failed, with the problem `conflict`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  backend: Backend,
  options: Options = {}
): Effect.fn.Return<TokenStore["Service"], ConfigurationInvalid, Scope.Scope> {
  const timing = yield* checked(options)
  return TokenStore.of(yield* StoreProtocol.make(backend, timing))
})

/**
 * A backend in this process' memory, for several services that share an identity, and for tests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory: Effect.Effect<Backend> = /* @__PURE__ */ Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const now = () => monotonic(clock)
  const rows = new Map<string, Row>()
  const waiting = new Map<string, Deferred.Deferred<void>>()
  const write = (identity: string, change: (row: Row) => StoreRow.Written<AccessToken>) =>
    Effect.sync(() => {
      const before = rows.get(identity) ?? StoreRow.emptyRow
      const { granted, row } = change(before)
      if (row === before) return granted
      rows.set(identity, row)
      const waiter = waiting.get(identity)
      waiting.delete(identity)
      if (waiter !== undefined) Deferred.doneUnsafe(waiter, Exit.void)
      return granted
    })
  return {
    read: (identity) => Effect.sync(() => ({ ...(rows.get(identity) ?? StoreRow.emptyRow), now: now() })),
    claim: (identity, options) => write(identity, (row) => StoreRow.claim(row, options, now())),
    sending: (identity, options) => write(identity, (row) => StoreRow.sending(row, options, now())),
    beat: (identity, attempt) => write(identity, (row) => StoreRow.beat(row, attempt, now())),
    commit: (identity, options) => write(identity, (row) => StoreRow.commit(row, options)),
    release: (identity, { attempt, unused }) => write(identity, (row) => StoreRow.release(row, attempt, unused)),
    clear: (identity, epoch) => write(identity, (row) => StoreRow.clear(row, epoch)),
    changed: (identity) =>
      Effect.suspend(() => {
        const waiter = waiting.get(identity) ?? Deferred.makeUnsafe<void>()
        waiting.set(identity, waiter)
        return Deferred.await(waiter)
      })
  }
})

/**
 * Provides a store on a backend: every service built beneath it with the same identity shares one credential.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  backend: Effect.Effect<Backend, E, R>,
  options?: Options
): Layer.Layer<TokenStore, E | ConfigurationInvalid, Exclude<R, Scope.Scope>> =>
  Layer.effect(
    TokenStore,
    Effect.flatMap(backend, (backend) => make(backend, options))
  )

/**
 * Provides {@link makeMemory}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<TokenStore> = /* @__PURE__ */ Layer.effect(
  TokenStore,
  /* @__PURE__ */ Effect.flatMap(makeMemory, (backend) => StoreProtocol.make(backend, StoreProtocol.defaultTiming))
)
