/**
 * Where the credential lives, and the lease around the exchange that replaces it.
 *
 * Refresh tokens rotate, so two processes that refresh the same one break each other. A store makes one of them the
 * holder of a lease; the others wait and adopt what it commits. A backend is a handful of atomic statements
 * ({@link Backend}); the protocol on top, {@link transact}, is written once.
 *
 * A service without a store keeps the credential to itself. To share it, provide a layer of {@link TokenStore} beneath
 * the service.
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
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { AccessToken } from "./AccessToken.ts"
import { StoreUnavailable } from "./TokenError.ts"

/**
 * What asking for the lease gives.
 *
 * - `Newer`: the store holds a newer credential than the one seen; adopt it
 * - `Busy`: another holder is at it; ask again within `retryAfter` milliseconds
 * - `Lease`: yours. `orphaned` says that an earlier holder may have sent the stored refresh token without telling what
 *   became of it, so log in
 *
 * @category models
 * @since 0.1.0
 */
export type Acquired =
  | { readonly _tag: "Newer"; readonly stored: AccessToken }
  | { readonly _tag: "Busy"; readonly retryAfter: number }
  | {
      readonly _tag: "Lease"
      readonly stored: Option.Option<AccessToken>
      readonly fence: number
      readonly orphaned: boolean
      /** The highest generation ever committed, also of a credential that was cleared. */
      readonly generation: number
    }

/**
 * What a backend implements: atomic statements on the store's own clock, each with its own call timeout (2 s), and a
 * wake-up hint that may get lost.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend {
  /** Takes the lease for `ttl` milliseconds unless a newer credential is there or somebody else holds it. */
  readonly acquire: (
    identity: string,
    options: { readonly owner: string; readonly seen: number; readonly ttl: number }
  ) => Effect.Effect<Acquired, StoreUnavailable>
  /** Stores the credential and gives the lease back. `false`: the lease was lost to another holder, nothing stored. */
  readonly commit: (
    identity: string,
    options: { readonly owner: string; readonly fence: number; readonly stored: AccessToken }
  ) => Effect.Effect<boolean, StoreUnavailable>
  /** Gives the lease back without a new credential. `spent`: the stored refresh token was sent; whoever comes next logs in. */
  readonly release: (
    identity: string,
    options: { readonly owner: string; readonly fence: number; readonly spent: boolean }
  ) => Effect.Effect<void, StoreUnavailable>
  /** Forgets the credential and ends any lease. */
  readonly clear: (identity: string) => Effect.Effect<void, StoreUnavailable>
  /** Completes when the credential may have changed. A hint: it may come late or never. */
  readonly changed: (identity: string) => Effect.Effect<void, StoreUnavailable>
}

/**
 * What one renewal asks of a store.
 *
 * @category options
 * @since 0.1.0
 */
export interface Renewal<E> {
  /** Generation of the credential to replace; 0 for none. */
  readonly seen: number
  /** How long the lease is held at most, in milliseconds: longer than the worst attempt. */
  readonly ttl: number
  /** Whether a store that does not answer may be done without, by a login of this process' own. */
  readonly canLogIn: boolean
  readonly exchange: (lease: Lease) => Effect.Effect<AccessToken, E>
}

/**
 * What one renewal ends with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Renewed {
  readonly token: AccessToken
  /** The store does not have it, because it did not answer: the credential is this process' own. */
  readonly isPrivate: boolean
  /** Somebody else's, found in the store. */
  readonly isAdopted: boolean
}

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
    /** {@link transact}, until it gives a token that lives; past a store that does not answer, a login of our own. */
    readonly transact: <E>(identity: string, renewal: Renewal<E>) => Effect.Effect<Renewed, E | StoreUnavailable>
    /** Forgets the credential, here and for everybody else. */
    readonly clear: (identity: string) => Effect.Effect<void, StoreUnavailable>
  }
>()("effect-video-auth/TokenStore") {}

/**
 * A lease in hand. Whoever sends its refresh token says so first, by setting `spent`: then nobody sends it again, even if
 * this process dies.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly stored: Option.Option<AccessToken>
  readonly orphaned: boolean
  /** The highest generation known: the new credential has the next one. */
  readonly generation: number
  spent: boolean
}

/** Where no hint arrives, the lease is asked for again after this many milliseconds at the latest. */
const pollInterval = 250

/**
 * One renewal through a store: take the lease, adopt what is newer, else exchange, commit and give the lease back.
 *
 * It is one attempt: retries, cool-downs and the exchange's timeout are the caller's, and `ttl` must outlive the worst
 * attempt. Waiting and `exchange` can be interrupted; the store's own calls, which are short, and an answer in hand are
 * finished first. Where the store fails to commit, the token is returned all the same, as `isPrivate`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const transact = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  backend: Backend,
  identity: string,
  options: Omit<Renewal<E>, "canLogIn"> & {
    /** Names this process; no two have the same. */
    readonly owner: string
  }
): Effect.fn.Return<Renewed, E | StoreUnavailable> {
  const { owner, seen, ttl } = options
  while (true) {
    const acquired = yield* backend.acquire(identity, { owner, seen, ttl })
    if (acquired._tag === "Newer") return { token: acquired.stored, isPrivate: false, isAdopted: true }
    if (acquired._tag === "Busy") {
      const poll = Effect.sleep(Math.min(acquired.retryAfter, pollInterval))
      // A hint that fails is one that got lost: whether the store is there, the next `acquire` tells.
      const hint = Effect.catch(backend.changed(identity), () => Effect.never)
      yield* Effect.interruptible(Effect.raceFirst(hint, poll))
      continue
    }
    const { fence, stored } = acquired
    // A store that holds less than it did was set back, as by a failover: the refresh token it has was sent already.
    const orphaned = acquired.orphaned || Option.exists(stored, (token) => token.generation < seen)
    const generation = Math.max(seen, acquired.generation) + 1
    const lease: Lease = { stored, orphaned, generation, spent: orphaned }
    const release = Effect.suspend(() => Effect.exit(backend.release(identity, { owner, fence, spent: lease.spent })))
    const token = yield* Effect.onError(Effect.interruptible(options.exchange(lease)), () => release)
    const committed = yield* Effect.exit(backend.commit(identity, { owner, fence, stored: token }))
    if (Exit.isFailure(committed)) {
      // The store has at most what was there before: nobody may send its refresh token, or wait for us.
      lease.spent = true
      yield* release
      return { token: new AccessToken({ ...token, generation: seen }), isPrivate: true, isAdopted: false }
    }
    // A holder whose lease was taken over meanwhile discards its own token and takes what the other one got.
    if (committed.value) return { token, isPrivate: false, isAdopted: false }
  }
}, Effect.uninterruptible)

/**
 * What a store is made with.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long a lease is held at most, and so how long the others wait after its holder died. A holder that takes longer
   * loses it: its answer is thrown away and somebody else logs in, so it should outlive the platform's slowest answer.
   * @default what outlives the worst attempt: twice the policy's `exchangeTimeout` and 5 seconds
   */
  readonly lease?: Duration.Input | undefined
}

/**
 * Builds a store on a backend, as one owner of leases. Where the backend does not answer, it keeps a credential of this
 * process' own until it does again: one that claims no generation of the store's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  backend: Backend,
  options: Options = {}
): Effect.fn.Return<TokenStore["Service"]> {
  const clock = yield* Clock.Clock
  const owner = `${yield* Random.nextInt}.${yield* Random.nextInt}`
  const ttl = options.lease === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(options.lease))
  /** Credentials of our own; `spent` where the refresh token was sent, which no store remembers. */
  const own = new Map<string, { readonly token: AccessToken; spent: boolean }>()

  const privately = <E>(identity: string, { exchange, seen }: Renewal<E>): Effect.Effect<Renewed, E> =>
    Effect.suspend(() => {
      const mine = own.get(identity)
      const spent = mine?.spent === true
      const lease: Lease = { stored: Option.fromUndefinedOr(mine?.token), orphaned: spent, generation: seen, spent }
      return Effect.map(
        Effect.onError(Effect.interruptible(exchange(lease)), () =>
          Effect.sync(() => {
            if (mine !== undefined) mine.spent = lease.spent
          })
        ),
        (token) => ({ token, isPrivate: true, isAdopted: false })
      )
    })

  const renew = Effect.fnUntraced(function* <E>(
    identity: string,
    renewal: Renewal<E>
  ): Effect.fn.Return<Renewed, E | StoreUnavailable> {
    let { seen } = renewal
    while (true) {
      // A commit that was not answered may have been made: then the refresh token is everybody's, and not ours to send.
      let spent = true
      // Only the store's own failures are done without: those of the exchange are the caller's.
      const outcome = yield* transact(backend, identity, { ...renewal, ttl: ttl ?? renewal.ttl, seen, owner }).pipe(
        Effect.catchIf(
          (error): error is StoreUnavailable => error instanceof StoreUnavailable && renewal.canLogIn,
          () => {
            spent = false
            return privately(identity, renewal)
          }
        )
      )
      const { isAdopted, isPrivate, token } = outcome
      if (isPrivate) own.set(identity, { token, spent })
      else own.delete(identity)
      // Adopted but expired: what somebody else's credential is good for is its refresh token. One of our own that is dead
      // on arrival is given back as it is: this is one attempt, and whoever waits decides on another.
      if (!isAdopted || clock.currentTimeMillisUnsafe() < token.expiresAt) return outcome
      seen = token.generation
    }
  })

  return TokenStore.of({
    transact: renew,
    clear: (identity) =>
      Effect.suspend(() => {
        own.delete(identity)
        return backend.clear(identity)
      })
  })
})

/**
 * A backend in this process' memory, for several services that share an identity, and for tests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory: Effect.Effect<Backend> = /* @__PURE__ */ Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const records = new Map<string, MemoryRecord>()
  const recordOf = (identity: string) => {
    let record = records.get(identity)
    if (record === undefined) {
      record = {
        stored: undefined,
        generation: 0,
        spent: false,
        fence: 0,
        lease: undefined,
        changed: Deferred.makeUnsafe()
      }
      records.set(identity, record)
    }
    return record
  }
  const change = (record: MemoryRecord) => {
    const { changed } = record
    record.changed = Deferred.makeUnsafe()
    Deferred.doneUnsafe(changed, Exit.void)
  }
  const holds = (record: MemoryRecord, by: { readonly owner: string; readonly fence: number }) =>
    record.fence === by.fence && record.lease?.owner === by.owner

  return {
    acquire: (identity, { owner, seen, ttl }) =>
      Effect.sync((): Acquired => {
        const record = recordOf(identity)
        const { lease, stored } = record
        if (stored !== undefined && stored.generation > seen) return { _tag: "Newer", stored }
        if (lease !== undefined && now() < lease.until) return { _tag: "Busy", retryAfter: lease.until - now() }
        const orphaned = record.spent || lease !== undefined
        record.fence += 1
        record.lease = { owner, until: now() + ttl }
        const { fence, generation } = record
        return { _tag: "Lease", stored: Option.fromUndefinedOr(stored), fence, orphaned, generation }
      }),
    commit: (identity, { fence, owner, stored }) =>
      Effect.sync(() => {
        const record = recordOf(identity)
        if (!holds(record, { owner, fence })) return false
        record.stored = stored
        record.generation = stored.generation
        record.spent = false
        record.lease = undefined
        change(record)
        return true
      }),
    release: (identity, { fence, owner, spent }) =>
      Effect.sync(() => {
        const record = recordOf(identity)
        if (!holds(record, { owner, fence })) return
        record.spent = spent
        record.lease = undefined
        change(record)
      }),
    clear: (identity) =>
      Effect.sync(() => {
        const record = recordOf(identity)
        record.stored = undefined
        record.spent = false
        record.fence += 1
        record.lease = undefined
        change(record)
      }),
    changed: (identity) => Effect.suspend(() => Deferred.await(recordOf(identity).changed))
  }
})

interface MemoryRecord {
  generation: number
  stored: AccessToken | undefined
  spent: boolean
  fence: number
  lease: { readonly owner: string; readonly until: number } | undefined
  changed: Deferred.Deferred<void>
}

/**
 * Provides a store on a backend: every service built beneath it with the same identity shares one credential.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  backend: Effect.Effect<Backend, E, R>,
  options?: Options
): Layer.Layer<TokenStore, E, Exclude<R, Scope.Scope>> =>
  Layer.effect(
    TokenStore,
    Effect.flatMap(backend, (backend) => make(backend, options))
  )

/** What {@link current} and {@link replace} ask of a store: nobody's renewal, so no login of one's own. */
const aside = { seen: 0, canLogIn: false } as const

/**
 * The credential in a store, if there is one; it may have expired. Waits while somebody is renewing it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const current = (
  store: TokenStore["Service"],
  identity: string
): Effect.Effect<Option.Option<AccessToken>, StoreUnavailable> =>
  // Whoever looks takes the lease where nothing is newer, and gives it back as it was.
  store.transact(identity, { ...aside, ttl: 1_000, exchange: ({ stored }) => Effect.fail({ stored }) }).pipe(
    Effect.map(({ token }) => Option.some(token)),
    Effect.catchIf(
      (error) => "stored" in error,
      ({ stored }) => Effect.succeed(stored)
    )
  )

/**
 * Puts the credential that `exchange` gives into a store, whatever is there: somebody has signed in. `exchange` is run
 * once, under the lease, and told the generation that its credential is to have. It is not run if the store is down.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replace = /* @__PURE__ */ Effect.fnUntraced(function* <E>(
  store: TokenStore["Service"],
  identity: string,
  options: {
    /** How long the exchange may take, in milliseconds. */
    readonly ttl: number
    readonly exchange: (generation: number) => Effect.Effect<AccessToken, E>
  }
): Effect.fn.Return<AccessToken, E | StoreUnavailable> {
  let seen = 0
  while (true) {
    const { isAdopted, token } = yield* store.transact(identity, {
      ...aside,
      seen,
      ttl: options.ttl,
      exchange: ({ generation }) => options.exchange(generation)
    })
    if (!isAdopted) return token
    seen = token.generation
  }
})

/**
 * Provides {@link makeMemory}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<TokenStore> = /* @__PURE__ */ layer(makeMemory)
