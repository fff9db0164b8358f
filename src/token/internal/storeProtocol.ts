/**
 * The protocol by which processes share a credential, written once over the statements of a backend.
 *
 * Safety rests on compare-and-swap alone:
 *
 * - A rotating refresh token is sent only after the row was marked as sent, and a marked row is never marked again before
 *   its record is replaced. A holder whose mark was granted too late, or that gave up, takes the mark back and sends nothing.
 * - A response is committed whenever the version from which its exchange started still stands, even if the lease was lost.
 *
 * The lease only avoids duplicate work. A process may lose it at any time and for any reason without harm.
 *
 * What cannot be done while the store doesn't respond (a release, a commit, a sign-out) is kept per identity and repeated
 * in the background, and before the store is used for that identity again.
 */
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { AccessToken, isSameCredential } from "../AccessToken.ts"
import type { Backend, Exchanged, Known, Renewal, Renewed, Snapshot, Turn } from "../shared/storeModel.ts"
import { TurnLost } from "../shared/storeModel.ts"
import { monotonic } from "../shared/time.ts"
import type { RenewalReason, StoreUnavailable } from "../TokenError.ts"
import * as StoreAccess from "./storeAccess.ts"
import { decide, type Own, rebasedVersion, type Watch, watchLease } from "./storeRules.ts"

/** Milliseconds. */
export interface Timing {
  readonly lease: number
  readonly beat: number
  /** A store is down once its calls have failed for so long. A restart takes less. */
  readonly patience: number
}

export const defaultTiming: Timing = { lease: 6_000, beat: 2_000, patience: 3_000 }

/** Writes that may be refused in a row, and exchanges whose results may be overtaken in a row. */
const [maxConflicts, maxOvertaken] = [50, 3]

/** What this process knows of an identity, for as long as it uses it or has something left to do. */
interface Place {
  readonly turn: Semaphore.Semaphore
  users: number
  /** A credential that the store doesn't have, or of which it is not known whether the store has it. */
  own: Own | undefined
  /** Leases to end: the attempt, and whether its mark is to be taken back. */
  readonly releases: Map<string, boolean>
  /** A sign-out that the store hasn't acknowledged. */
  clearing: { epoch: number | undefined } | undefined
  signOuts: number
}

const isPending = ({ clearing, own, releases }: Place) =>
  own !== undefined || clearing !== undefined || releases.size > 0

const withoutRefreshToken = (token: AccessToken) =>
  new AccessToken({ ...token, refreshToken: undefined, refreshExpiresAt: undefined })

const withGeneration = (token: AccessToken, generation: number) => new AccessToken({ ...token, generation })

/** Builds the operations of `TokenStore` on a backend. */
export const make = /* @__PURE__ */ Effect.fnUntraced(function* (
  backend: Backend,
  timing: Timing
): Effect.fn.Return<
  {
    readonly renew: (identity: string, renewal: Renewal) => Effect.Effect<Renewed, RenewalReason>
    readonly current: (identity: string) => Effect.Effect<Option.Option<AccessToken>, StoreUnavailable>
    readonly replace: (identity: string, token: AccessToken) => Effect.Effect<AccessToken, StoreUnavailable>
    readonly clear: (identity: string, epoch?: number) => Effect.Effect<void, StoreUnavailable>
  },
  never,
  Scope.Scope
> {
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const scope = yield* Effect.scope
  const now = () => monotonic(clock)
  /** Shorter by up to a quarter. Whole milliseconds, so that sums of waits are exact and a waiter looks at the very end of a lease. */
  const shortened = (millis: number) => Math.round(millis * (0.75 + 0.25 * random.nextDoubleUnsafe()))
  const { retryUntilDown, conflicts, degrade, recover } = StoreAccess.make(clock, shortened, timing.patience)
  const newAttempt = () => Hex.encode(SecureRandom.randomBytesUnsafe(16))

  // ---------------------------------------------------------------------------------------------------------------
  // What is left to do.
  // ---------------------------------------------------------------------------------------------------------------

  const places = new Map<string, Place>()
  let isHealing = false

  /** Uses what is known of an identity, and forgets it when nobody uses it and nothing is left to do. */
  const withPlace = <A, E>(identity: string, use: (place: Place) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      const place: Place = places.get(identity) ?? {
        turn: Semaphore.makeUnsafe(1),
        users: 0,
        own: undefined,
        releases: new Map(),
        clearing: undefined,
        signOuts: 0
      }
      places.set(identity, place)
      place.users += 1
      return Effect.ensuring(
        use(place),
        Effect.suspend(() => {
          place.users -= 1
          if (isPending(place)) return heal
          if (place.users === 0) places.delete(identity)
          return Effect.void
        })
      )
    })

  /** The same, one at a time: two services of this process don't compete for a lease, or for the one private exchange. */
  const inTurn = <A, E>(identity: string, use: (place: Place) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    withPlace(identity, (place) =>
      Effect.acquireUseRelease(
        Effect.interruptible(place.turn.take(1)),
        () => use(place),
        () => place.turn.release(1)
      )
    )

  /** Repeats a sign-out. It applies to the epoch that it was first tried in. */
  const signOut = Effect.fnUntraced(function* (identity: string, place: Place) {
    const { clearing } = place
    if (clearing === undefined) return
    clearing.epoch ??= (yield* retryUntilDown(backend.read(identity))).epoch
    yield* retryUntilDown(backend.clear(identity, clearing.epoch))
    if (place.clearing === clearing) place.clearing = undefined
  })

  const releaseAll = Effect.fnUntraced(function* (identity: string, place: Place) {
    for (const [attempt, unused] of place.releases) {
      yield* retryUntilDown(backend.release(identity, { attempt, unused }))
      place.releases.delete(attempt)
    }
  })

  /** Commits a credential for as long as its exchange still counts. Returns it as stored, unless it was overtaken. */
  const commit = Effect.fnUntraced(function* (
    identity: string,
    place: Place,
    own: Own,
    highest: number
  ): Effect.fn.Return<{ readonly token: AccessToken; readonly known: Known } | undefined, StoreAccess.StoreDown> {
    let base = own.version
    let seen = highest
    const refused = conflicts("commit", maxConflicts)
    while (true) {
      yield* signOut(identity, place)
      const next = Math.max(base, seen) + 1
      const loginVersion = own.isLogin ? next : own.loginVersion
      // A refresh token that was sent from here is spent: the store must not offer it to anybody.
      const token = withGeneration(own.isSent ? withoutRefreshToken(own.token) : own.token, next)
      own.isAsked = true
      const { attempt } = own
      if (
        yield* retryUntilDown(backend.commit(identity, { attempt, version: base, next, loginVersion, record: token }))
      ) {
        yield* recover
        return {
          token,
          known: { version: next, loginVersion, epoch: own.epoch, token, isPrivate: false, isSent: false }
        }
      }
      const row = yield* retryUntilDown(backend.read(identity))
      const newBase = rebasedVersion(own, row)
      if (newBase === undefined) return undefined
      yield* refused
      base = newBase
      seen = Math.max(seen, row.version)
    }
  })

  /** Does what is left to do for an identity. */
  const settle = Effect.fnUntraced(function* (identity: string, place: Place, highest: number) {
    yield* signOut(identity, place)
    yield* releaseAll(identity, place)
    const { own } = place
    if (own === undefined) return
    // Found out first, because a refresh token is not this process' own any more once its commit was asked for.
    yield* retryUntilDown(backend.read(identity))
    yield* commit(identity, place, own, highest)
    if (place.own === own) place.own = undefined
  })

  /** Does what is left to do in the background, until nothing is. */
  const heal = Effect.suspend(() => {
    if (isHealing) return Effect.void
    isHealing = true
    const round = (delay: number): Effect.Effect<void> =>
      Effect.sleep(shortened(delay)).pipe(
        Effect.andThen(
          Effect.forEach(
            [...places].filter(([, place]) => isPending(place)),
            ([identity]) =>
              Effect.ignore(Effect.uninterruptible(inTurn(identity, (place) => settle(identity, place, 0))))
          )
        ),
        Effect.andThen(
          Effect.suspend(() => {
            if ([...places.values()].some(isPending)) return round(Math.min(2 * delay, 30_000))
            isHealing = false
            return Effect.void
          })
        )
      )
    return Effect.asVoid(Effect.forkIn(round(1_000), scope))
  })

  // ---------------------------------------------------------------------------------------------------------------
  // A renewal.
  // ---------------------------------------------------------------------------------------------------------------

  /** Waits until the row may have changed, or until the lease may be taken over. */
  const wait = (identity: string, watch: Watch) =>
    Effect.suspend(() => {
      const left = watch.since + timing.lease - now()
      const poll = Effect.sleep(Math.max(1, Math.min(shortened(Math.min(1_000, 250 * 2 ** watch.reads)), left)))
      const hint = backend.changed?.(identity)
      // A hint that fails is one that got lost: the next read finds out whether the store responds.
      return Effect.interruptible(
        hint === undefined
          ? poll
          : Effect.raceFirst(
              Effect.catch(hint, () => Effect.never),
              poll
            )
      )
    })

  /** Runs an exchange under a lease that was just taken. Ends the lease unless there is something to commit. */
  const underLease = (
    identity: string,
    place: Place,
    renewal: Renewal,
    attempt: string,
    row: Snapshot,
    stored: { readonly token: AccessToken | undefined; readonly isSent: boolean }
  ): Effect.Effect<Exchanged, RenewalReason | TurnLost> =>
    Effect.suspend(() => {
      let unused = true
      const { version } = row
      const turn: Turn = {
        stored: stored.token,
        isSent: stored.isSent,
        sending: (kind, marks) =>
          Effect.suspend(() => {
            const asked = now()
            return Effect.matchEffect(retryUntilDown(backend.sending(identity, { attempt, version, kind, marks })), {
              onFailure: ({ reason }) => Effect.fail(new TurnLost({ unavailable: reason })),
              onSuccess: (granted) => {
                // Too late: others may have given up on the refresh token meanwhile.
                if (!granted || now() - asked > timing.lease) return Effect.fail(new TurnLost({}))
                if (marks) unused = false
                return Effect.void
              }
            })
          }),
        unused: () => {
          unused = true
        }
      }
      const beats = Effect.forever(
        Effect.andThen(Effect.sleep(timing.beat), Effect.ignore(backend.beat(identity, attempt)))
      )
      // Tried once, because the caller waits for it; after that it is repeated in the background.
      const end = Effect.suspend(() =>
        Effect.catch(backend.release(identity, { attempt, unused }), () =>
          Effect.sync(() => void place.releases.set(attempt, unused))
        )
      )
      return Effect.acquireUseRelease(
        Effect.forkDetach(beats),
        () => Effect.onError(Effect.interruptible(renewal.exchange(turn)), () => end),
        Fiber.interrupt
      )
    })

  /** One renewal through the store. */
  const shared = Effect.fnUntraced(function* (
    identity: string,
    place: Place,
    renewal: Renewal,
    from: { version: number; loginVersion: number; epoch: number | undefined }
  ): Effect.fn.Return<Renewed, RenewalReason | StoreAccess.StoreDown> {
    let { known } = renewal
    let watch: Watch | undefined
    let refused = conflicts("claim", maxConflicts)
    const overtaken = conflicts("commit", maxOvertaken)
    while (true) {
      yield* settle(identity, place, known.version)
      const row = yield* retryUntilDown(backend.read(identity))
      Object.assign(from, { version: row.version, loginVersion: row.loginVersion, epoch: row.epoch })
      watch = watchLease(watch, row, now())
      const plan = decide(row, { ...renewal, known }, watch, {
        lease: timing.lease,
        now: now(),
        wall: clock.currentTimeMillisUnsafe()
      })
      switch (plan._tag) {
        case "Adopt":
          return { token: plan.token, known: plan.known, isAdopted: true }
        case "Fail":
          return yield* plan.reason
        case "Wait":
          yield* wait(identity, plan.watch)
          refused = conflicts("claim", maxConflicts)
          continue
        case "Restore": {
          const restored = yield* commit(identity, place, { ...plan.own, attempt: newAttempt() }, known.version)
          if (restored !== undefined) known = { ...restored.known, token: known.token }
          yield* refused
          continue
        }
        case "Exchange": {
          const attempt = newAttempt()
          const claimed = yield* Effect.onError(
            retryUntilDown(backend.claim(identity, { attempt, revision: row.revision })),
            // Nobody knows whether it was granted.
            () => Effect.sync(() => void place.releases.set(attempt, true))
          )
          if (!claimed) {
            yield* refused
            continue
          }
          const exchanged = yield* Effect.catchTag(
            underLease(identity, place, renewal, attempt, row, plan),
            "TurnLost",
            ({ unavailable }) =>
              unavailable === undefined
                ? Effect.succeed("lost" as const)
                : Effect.fail(new StoreAccess.StoreDown({ reason: unavailable }))
          )
          if (exchanged === "lost") {
            yield* refused
            continue
          }
          const own: Own = {
            attempt,
            token: exchanged.token,
            version: row.version,
            loginVersion: row.loginVersion,
            epoch: row.epoch,
            isLogin: exchanged.kind === "login",
            supersedes: renewal.loginSupersedesRefresh,
            isAsked: false,
            isSent: false
          }
          const { signOuts } = place
          const committed = yield* Effect.catchTag(
            commit(identity, place, own, known.version),
            "StoreDown",
            ({ reason }) => Effect.as(degrade(reason), "unknown" as const)
          )
          if (committed === "unknown") return keep(place, own, known, signOuts)
          if (committed !== undefined) return { ...committed, isAdopted: false }
          // Overtaken: take what is there.
          watch = undefined
          yield* overtaken
        }
      }
    }
  })

  /** Keeps a credential that the store may not have. */
  const keep = (place: Place, own: Own, known: Known, signOuts: number): Renewed => {
    if (place.signOuts === signOuts) place.own = own
    const token = withGeneration(own.token, known.version)
    return { token, known: { ...known, token, isPrivate: true, isSent: false }, isAdopted: false }
  }

  /** One renewal without the store. */
  const privately = Effect.fnUntraced(function* (
    place: Place,
    renewal: Renewal,
    from: { readonly version: number; readonly loginVersion: number; readonly epoch: number | undefined },
    reason: StoreUnavailable
  ): Effect.fn.Return<Renewed, RenewalReason> {
    const { known } = renewal
    const { own, signOuts } = place
    if (renewal.isHolding) return yield* reason
    if (own !== undefined && own.token.expiresAt > clock.currentTimeMillisUnsafe()) {
      if (known.token === undefined || !isSameCredential(own.token, known.token))
        return { ...keep(place, own, known, signOuts), isAdopted: true }
    }
    const refreshable = own !== undefined && !own.isAsked && !(renewal.rotates && own.isSent) ? own.token : undefined
    if (!renewal.canLogIn && refreshable === undefined) return yield* reason
    yield* degrade(reason)
    const turn: Turn = {
      stored: refreshable,
      isSent: false,
      sending: (_kind, marks) =>
        Effect.sync(() => {
          if (marks && own !== undefined) own.isSent = true
        }),
      unused: () => {
        if (own !== undefined) own.isSent = false
      }
    }
    const { kind, token } = yield* Effect.catchTag(Effect.interruptible(renewal.exchange(turn)), "TurnLost", Effect.die)
    const start = own ?? from
    return keep(
      place,
      {
        attempt: newAttempt(),
        token,
        version: start.version,
        loginVersion: start.loginVersion,
        epoch: start.epoch,
        isLogin: kind === "login" || own?.isLogin === true,
        supersedes: renewal.loginSupersedesRefresh,
        isAsked: false,
        isSent: false
      },
      known,
      signOuts
    )
  })

  return {
    renew: (identity, renewal) =>
      Effect.uninterruptible(
        inTurn(identity, (place) => {
          const { epoch, loginVersion, version } = renewal.known
          const from = { version, loginVersion, epoch }
          return Effect.catchTag(shared(identity, place, renewal, from), "StoreDown", ({ reason }) =>
            privately(place, renewal, from, reason)
          )
        })
      ),
    current: (identity) =>
      withPlace(identity, (place) =>
        Effect.mapError(
          Effect.andThen(signOut(identity, place), retryUntilDown(backend.read(identity))),
          ({ reason }) => reason
        ).pipe(Effect.map(({ record }) => Option.fromUndefinedOr(record)))
      ),
    replace: (identity, token) =>
      withPlace(identity, (place) =>
        Effect.gen(function* () {
          place.own = undefined
          const refused = conflicts("commit", maxConflicts)
          while (true) {
            yield* signOut(identity, place)
            const { version } = yield* retryUntilDown(backend.read(identity))
            const next = version + 1
            const record = withGeneration(token, next)
            const committed = { attempt: newAttempt(), version, next, loginVersion: next, record }
            if (yield* retryUntilDown(backend.commit(identity, committed))) return record
            yield* refused
          }
        }).pipe(
          Effect.mapError(({ reason }) => reason),
          Effect.uninterruptible
        )
      ),
    clear: (identity, epoch) =>
      withPlace(identity, (place) => {
        const clearing: { epoch: number | undefined } = { epoch: undefined }
        place.own = undefined
        place.signOuts += 1
        place.clearing = clearing
        return Effect.uninterruptible(
          Effect.mapError(signOut(identity, place), ({ reason }) => {
            clearing.epoch ??= epoch
            return reason
          })
        )
      })
  }
})
