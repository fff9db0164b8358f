/**
 * The engine behind `TokenService`: when to renew, who waits, and what a failure means. What one attempt does is
 * `exchange.ts`.
 *
 * One actor fibre per identity, forked in the layer's scope with the layer's context, makes every exchange. Callers only
 * signal it and wait. Everything else is plain state, changed synchronously, so nothing can be seen half done.
 *
 * Instants (expiry) are read on the wall clock and on the monotonic clock, and the earlier one counts; durations
 * (cool-downs, timeouts, the storm window) are read on the monotonic clock only.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as AccessToken from "../AccessToken.ts"
import * as RenewalPolicy from "../RenewalPolicy.ts"
import * as TokenError from "../TokenError.ts"
import { Observers, type TokenEvent, type Trigger } from "../TokenEvent.ts"
import type { Options, State, TokenService } from "../TokenService.ts"
import { TokenStore } from "../TokenStore.ts"
import * as Exchange from "./exchange.ts"

/** A longer sleep would notice a suspended machine or a stepped clock too late. Milliseconds. */
const tick = 30_000

/** Renewals caused by rejections are counted over this window. Milliseconds. */
const stormWindow = 30_000

/** After a failure that no retry can help, the schedule tries again this rarely; a caller may ask earlier. */
const fatalPause = 5 * 60_000

/** The credential in hand. Windows are milliseconds before expiry. */
interface Held {
  readonly token: AccessToken.AccessToken
  readonly exit: Exit.Exit<AccessToken.AccessToken>
  /** Expiry on the monotonic clock. */
  readonly deadline: number
  readonly advisory: number
  readonly mandatory: number
  /** Got without the store, which did not answer. */
  readonly isPrivate: boolean
  /** Taken from the store, where it may have lain for a while. */
  readonly isAdopted: boolean
  /** The API refused it, or a refresh under way is killing it: `get` waits for the renewal, while there is one. */
  suspect: boolean
}

/** A renewal that somebody wants: attempts are made until it is settled. */
interface Round {
  readonly done: Deferred.Deferred<AccessToken.AccessToken, TokenError.TokenError>
  readonly trigger: Trigger
  /** No attempt before this monotonic instant. */
  notBefore: number
  /** Those who wait without a valid token are told by this monotonic instant. */
  patience: number | undefined
  /** Somebody signed out: who still waits asks anew. */
  isVoid: boolean
  nextDelay: ((now: number, reason: TokenError.RenewalReason) => Effect.Effect<number | undefined>) | undefined
}

/** Waits for something, so many milliseconds at most. */
const atMost = <A>(millis: number, effect: Effect.Effect<A>): Effect.Effect<unknown> =>
  Effect.timeoutOrElse(effect, { duration: millis, orElse: () => Effect.void })

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<TokenService["Service"], TokenError.TokenError, Scope.Scope> {
  const { provider } = options
  const toError = (reason: TokenError.Reason, validUntil?: number) =>
    new TokenError.TokenError({ provider: provider.name, reason, validUntil })
  const policy = yield* Effect.mapError(RenewalPolicy.make(options.policy), (reason) => toError(reason))
  const identity = yield* Effect.mapError(provider.identity, (reason) => toError(reason))
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const observers = yield* Observers
  const store = Option.getOrUndefined(yield* Effect.serviceOption(TokenStore))
  const exchange = yield* Exchange.make(provider, policy, identity, store)

  const wallNow = () => clock.currentTimeMillisUnsafe()
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const keepFresh = policy.whenIdle === "keep-fresh"
  const jitter = (millis: number) => millis * (0.8 + 0.4 * random.nextDoubleUnsafe())

  // ---------------------------------------------------------------------------------------------------------------
  // State. Only synchronous code below touches it.
  // ---------------------------------------------------------------------------------------------------------------

  let held: Held | undefined
  let generation = 0
  /** Wall time, and monotonic time where no tick watches it, before which `get` need not think. */
  let quietUntil = -Infinity
  let quietMonotonic = -Infinity
  let round: Round | undefined
  let exchanging: Fiber.Fiber<unknown> | undefined
  /** What the attempt is at; `refreshing` once a refresh token has left this machine. */
  let activity: "idle" | "exchanging" | "refreshing" = "idle"
  let signOut: Deferred.Deferred<void, TokenError.TokenError> | undefined
  let closed = false

  /** Consecutive failures, when the last one was, and how long it is left alone, valid token or not. */
  let failures = 0
  let failedAt = -Infinity
  let longPause = 0
  let shortPause = 0
  let lastFailure: TokenError.TokenError | undefined
  /** Answered from memory until this monotonic instant: a fatal failure, or what the platform asked us to wait. */
  let blocked: { readonly until: number; readonly error: TokenError.TokenError; readonly fatal: boolean } | undefined
  /** Monotonic instants of renewals that rejections caused. */
  let rejections: Array<number> = []
  /** A fresh token lasts no longer than this many milliseconds, which was too short for somebody. */
  let longest: number | undefined

  let version = Deferred.makeUnsafe<void>()
  const signal = Latch.makeUnsafe()

  // Waking a latch or a deferred runs its waiters at once, so this comes last in whatever calls it.
  const changed = () => {
    const previous = version
    version = Deferred.makeUnsafe()
    signal.openUnsafe()
    Deferred.doneUnsafe(previous, Exit.void)
  }

  const remaining = (held: Held) => Math.min(held.token.expiresAt - wallNow(), held.deadline - now())
  const valid = (): Held | undefined => (held !== undefined && remaining(held) > 0 ? held : undefined)

  /**
   * Milliseconds until another attempt may follow a failed one, by how much it is needed: `none` where no token is of
   * use, `urgent` where one is about to expire, `early` otherwise.
   */
  const pause = (need: "none" | "urgent" | "early"): number => {
    const own = failedAt + (need === "early" ? longPause : shortPause)
    if (blocked === undefined) return own - now()
    if (!blocked.fatal) return Math.max(own, blocked.until) - now()
    return (need === "none" ? blocked.until : failedAt + fatalPause) - now()
  }

  const blockedBy = (): TokenError.TokenError | undefined =>
    blocked !== undefined && now() < blocked.until ? blocked.error : undefined

  const forgetFailures = () => {
    failures = 0
    failedAt = -Infinity
    lastFailure = undefined
    blocked = undefined
  }

  const hold = (token: AccessToken.AccessToken, from: Pick<Held, "isPrivate" | "isAdopted">) => {
    const lifetime = token.expiresAt - token.issuedAt
    const left = Math.min(token.expiresAt - wallNow(), lifetime)
    const windows = RenewalPolicy.windows(policy, lifetime, random.nextDoubleUnsafe())
    held = { token, exit: Exit.succeed(token), deadline: now() + left, ...windows, ...from, suspect: false }
    generation = Math.max(generation, token.generation)
    if (longest !== undefined && lifetime > longest) longest = undefined
    forgetFailures()
  }

  const forget = () => {
    held = undefined
    forgetFailures()
    longest = undefined
    quietUntil = -Infinity
  }

  /** Re-reads both clocks: a stepped wall clock moves the instant up to which `get` need not think. */
  const settleQuiet = () => {
    const sure = closed || held === undefined || held.suspect ? undefined : held
    quietUntil = sure === undefined ? -Infinity : wallNow() + remaining(sure) - sure.advisory
    quietMonotonic = sure === undefined ? -Infinity : sure.deadline - sure.advisory
  }

  const settle = (exit: Exit.Exit<AccessToken.AccessToken, TokenError.TokenError>) => {
    const settled = round
    round = undefined
    if (held !== undefined) held.suspect = false
    settleQuiet()
    changed()
    if (settled !== undefined) Deferred.doneUnsafe(settled.done, exit)
  }

  /** Joins the renewal under way, or starts one. */
  const demand = (trigger: Trigger, at: "now" | "when-due"): Round => {
    // For the schedule nobody waits: its attempts are paced by the cool-down alone.
    const waits = trigger !== "scheduled" && valid() === undefined
    const patience = waits ? now() + policy.acquireTimeout : undefined
    if (round === undefined) {
      round = {
        done: Deferred.makeUnsafe(),
        trigger,
        notBefore: -Infinity,
        patience,
        isVoid: false,
        nextDelay: undefined
      }
      if (at === "when-due") round.notBefore = now() + pause("none")
    } else {
      if (at === "now") round.notBefore = -Infinity
      round.patience ??= patience
    }
    // The actor may run now, and settle it.
    const demanded = round
    changed()
    return demanded
  }

  /** Milliseconds until the schedule wants a renewal by itself; `Infinity` if it does not. */
  const untilScheduled = (): number => {
    if (!keepFresh) return Infinity
    if (held === undefined) return failures === 0 ? Infinity : pause("urgent")
    const left = remaining(held)
    if (left <= held.mandatory) return pause("urgent")
    const retry = pause("early")
    return Math.max(left - held.advisory, blocked === undefined ? Math.min(retry, left - held.mandatory) : retry)
  }

  // ---------------------------------------------------------------------------------------------------------------
  // The exchange: one attempt, made by the actor.
  // ---------------------------------------------------------------------------------------------------------------

  /** Tells all observers: one that dies keeps neither the others nor the renewal from going on. */
  const observe = (event: TokenEvent) =>
    Effect.forEach(observers, (observer) => Effect.exit(Effect.suspend(() => observer(event))), { discard: true })

  const coolDown = () => {
    failures += 1
    failedAt = now()
    longPause = jitter(policy.coolDown)
    shortPause = jitter(Math.min(10_000, 1_000 * 2 ** (failures - 1)))
  }

  const succeed = (token: AccessToken.AccessToken, from: Pick<Held, "isPrivate" | "isAdopted">) => {
    const before = failures
    activity = "idle"
    if (round?.trigger === "rejected") rejections.push(now())
    hold(token, from)
    if (valid() === undefined) {
      // Dead on arrival. The schedule would ask again at once, and for ever.
      failures = before
      coolDown()
    }
    settle(Exit.succeed(token))
  }

  /** Books the failure and decides: another attempt of the same round, or its end. */
  const fail = Effect.fnUntraced(function* (cause: Cause.Cause<TokenError.RenewalReason>) {
    activity = "idle"
    if (Cause.hasInterruptsOnly(cause) && (closed || signOut !== undefined)) {
      // Signed out or closed: whoever did it ends the round as well.
      return undefined
    }
    const reason = Option.getOrUndefined(Cause.findErrorOption(cause))
    const holding = valid()
    coolDown()
    if (reason === undefined) {
      settle(Exit.failCause(Cause.map(cause, (reason) => toError(reason))))
      return undefined
    }
    const error = toError(reason, holding?.token.expiresAt)
    lastFailure = error
    const retryAfter = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
    blocked = !error.isRetryable
      ? { until: now() + policy.fatalFor * (1 + random.nextDoubleUnsafe()), error, fatal: true }
      : retryAfter > 0
        ? { until: now() + retryAfter, error, fatal: false }
        : undefined
    const current = round
    if (current?.patience !== undefined && error.isRetryable && holding === undefined) {
      current.nextDelay ??= yield* delays(policy.retry, jitter)
      const delay = yield* current.nextDelay(now(), reason)
      if (delay !== undefined) {
        const at = now() + Math.max(delay, retryAfter)
        if (at < current.patience) {
          current.notBefore = at
          changed()
          return error
        }
      }
    }
    settle(Exit.fail(error))
    return error
  })

  const attempt = Effect.suspend(() => {
    const start = now()
    const about = { provider: provider.name, identity, trigger: round?.trigger ?? "scheduled" }
    const age = held === undefined ? undefined : wallNow() - held.token.issuedAt
    let by: "login" | "refresh" | "adopted" = "adopted"
    activity = "exchanging"
    changed()
    const sending = (operation: "login" | "refresh") => {
      by = operation
      activity = operation === "refresh" ? "refreshing" : "exchanging"
      if (operation === "login" || held === undefined || provider.traits.oldTokenSurvivesRefresh) return
      held.suspect = true
      settleQuiet()
    }
    return exchange.renew({ seen: generation, sending }).pipe(
      Effect.matchCauseEffect({
        onSuccess: ({ isAdopted, isPrivate, token }) => {
          const { expiresAt, generation } = token
          const duration = now() - start
          if (isAdopted) by = "adopted"
          succeed(token, { isPrivate, isAdopted })
          return observe({ _tag: "Renewed", ...about, by, generation, duration, age, expiresAt })
        },
        onFailure: (cause) => {
          const duration = now() - start
          return Effect.flatMap(fail(cause), (error) =>
            error === undefined ? Effect.void : observe({ _tag: "RenewalFailed", ...about, duration, error })
          )
        }
      }),
      Effect.ensuring(
        Effect.sync(() => {
          exchanging = undefined
          changed()
        })
      )
    )
  })

  // ---------------------------------------------------------------------------------------------------------------
  // The actor: starts attempts, watches the clock, ends with the scope.
  // ---------------------------------------------------------------------------------------------------------------

  const actor = Effect.gen(function* () {
    while (true) {
      signal.closeUnsafe()
      settleQuiet()
      if (signOut !== undefined) {
        const done = signOut
        if (exchanging !== undefined) yield* Fiber.interrupt(exchanging)
        forget()
        // A round that nobody waits for any more must not log in again.
        if (round !== undefined) round.isVoid = true
        settle(Exit.interrupt())
        const cleared = yield* Effect.exit(Effect.mapError(exchange.clear, (reason) => toError(reason)))
        signOut = undefined
        changed()
        Deferred.doneUnsafe(done, cleared)
        continue
      }
      if (round === undefined && untilScheduled() <= 0) demand("scheduled", "now")
      if (round !== undefined && exchanging === undefined && round.notBefore <= now()) {
        // Uninterruptible, both: an attempt cut before it began would never say that it ended, and one that nobody noted
        // would outlive the scope. It may even be over by now, where this fibre had to yield.
        yield* Effect.uninterruptible(
          Effect.map(Effect.forkDetach(attempt, { uninterruptible: true }), (fiber) => {
            if (fiber.pollUnsafe() === undefined) exchanging = fiber
          })
        )
        continue
      }
      if (round?.patience !== undefined && round.patience <= now()) {
        const late = lastFailure?.reason ?? new TokenError.ProviderUnavailable({ failure: "timeout" })
        settle(Exit.fail(toError(late)))
        continue
      }
      const wakeUp = Math.min(
        round === undefined || exchanging !== undefined ? Infinity : round.notBefore - now(),
        round?.patience === undefined ? Infinity : round.patience - now(),
        round === undefined ? untilScheduled() : Infinity,
        keepFresh && held !== undefined ? tick : Infinity
      )
      yield* wakeUp === Infinity ? signal.await : atMost(Math.max(1, Math.ceil(wakeUp)), signal.await)
    }
  })

  let running: Fiber.Fiber<unknown> | undefined
  yield* Effect.addFinalizer(
    Effect.fnUntraced(function* () {
      closed = true
      settleQuiet()
      if (running !== undefined) yield* Fiber.interrupt(running)
      if (activity === "refreshing" && provider.login === undefined && exchanging !== undefined) {
        yield* atMost(policy.shutdownGrace, Fiber.await(exchanging))
      }
      if (exchanging !== undefined) yield* Fiber.interrupt(exchanging)
      settle(Exit.interrupt())
      if (signOut !== undefined) Deferred.doneUnsafe(signOut, Exit.interrupt())
    })
  )
  yield* Effect.uninterruptible(
    Effect.map(Effect.forkDetach(actor), (fiber) => {
      running = fiber
    })
  )

  // ---------------------------------------------------------------------------------------------------------------
  // What callers do: look at the state, signal, wait.
  // ---------------------------------------------------------------------------------------------------------------

  type Get = Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>

  /**
   * Waits for a renewal, at most so many milliseconds. `get` looks again afterwards: time has passed and clocks may have
   * been stepped.
   */
  const join = (
    joined: Round,
    then: (outcome: Exit.Exit<AccessToken.AccessToken, TokenError.TokenError>) => Get,
    patience = Infinity
  ): Get => {
    const wait = (joined: Round): Get => {
      const done = patience === Infinity ? Deferred.await(joined.done) : awaitInTime(joined, patience)
      return Effect.flatMap(Effect.exit(done), (outcome) =>
        joined.isVoid && !closed ? wait(demand(joined.trigger, "when-due")) : then(outcome)
      )
    }
    const waiting = wait(joined)
    if (observers.length === 0) return waiting
    const start = now()
    const waited = Effect.suspend(() =>
      observe({ _tag: "Waited", provider: provider.name, identity, duration: now() - start })
    )
    return Effect.ensuring(waiting, waited)
  }

  const awaitInTime = (joined: Round, atMost: number) =>
    Effect.timeoutOrElse(Deferred.await(joined.done), {
      duration: atMost,
      orElse: () => Effect.fail(toError(new TokenError.ProviderUnavailable({ failure: "timeout" })))
    })

  const expired = (error: TokenError.TokenError): TokenError.TokenError =>
    held === undefined || error.reason._tag === "TokenExpired"
      ? error
      : toError(new TokenError.TokenExpired({ expiredAt: held.token.expiresAt, renewal: error.reason }))

  const failExpired = (outcome: Exit.Failure<AccessToken.AccessToken, TokenError.TokenError>): Get =>
    Effect.failCause(Cause.map(outcome.cause, expired))

  /** `get`, where there is something to think about. `tries` bounds a platform that issues tokens already dead. */
  const look = (tries: number): Get => {
    if (closed) return Effect.interrupt
    const current = valid()
    if (current === undefined) {
      const failure = round === undefined ? blockedBy() : undefined
      if (failure !== undefined && (blocked?.fatal === true || pause("none") >= policy.acquireTimeout)) {
        return Effect.fail(expired(failure))
      }
      return join(demand("demand", "when-due"), (outcome) =>
        Exit.isFailure(outcome)
          ? serveOr(outcome)
          : tries > 1
            ? Effect.suspend(() => look(tries - 1))
            : (valid()?.exit ??
              Effect.fail(toError(new TokenError.MalformedResponse({ problem: "each new token had already expired" }))))
      )
    }
    if (current.suspect && round !== undefined) return join(round, serveOr)
    const left = remaining(current)
    if (left > current.advisory) return current.exit
    const urgent = left <= current.mandatory
    if (round === undefined && pause(urgent ? "urgent" : "early") > 0) return current.exit
    const renewal = demand("early", "when-due")
    // Nobody waits for a newer token so long that the one in hand expires.
    const patience = left - Math.min(1_000, current.mandatory / 10)
    return urgent && patience > 0 ? join(renewal, serveOr, patience) : current.exit
  }

  /** A failed renewal fails nobody while the held token is valid. */
  const serveOr = (outcome: Exit.Exit<AccessToken.AccessToken, TokenError.TokenError>): Get => {
    if (closed) return Effect.interrupt
    const current = valid()
    if (current !== undefined) return current.exit
    return Exit.isFailure(outcome) ? failExpired(outcome) : Effect.suspend(() => look(1))
  }

  const get: Get = Effect.suspend(() =>
    held !== undefined && clock.currentTimeMillisUnsafe() < quietUntil && (keepFresh || now() < quietMonotonic)
      ? held.exit
      : look(3)
  )

  const renew: Get = Effect.suspend(() => {
    if (closed) return Effect.interrupt
    const failure = blockedBy()
    return failure === undefined ? join(demand("renew", "now"), (outcome) => outcome) : Effect.fail(failure)
  })

  const getValidFor = (duration: Duration.Input): Get => {
    const wanted = Duration.toMillis(Duration.fromInputUnsafe(duration))
    const lasts = (current: Held | undefined) =>
      current !== undefined && !current.suspect && remaining(current) >= wanted
    const tooShort = () => {
      if (held !== undefined) {
        const lasted = held.isAdopted ? held.token.expiresAt - held.token.issuedAt : remaining(held)
        longest = Math.max(longest ?? 0, lasted)
      }
      const [requested, available] = [Duration.millis(wanted), Duration.millis(longest ?? 0)]
      return Effect.fail(toError(new TokenError.LifetimeTooShort({ requested, available }), valid()?.token.expiresAt))
    }
    const find = (tries: number): Get => {
      if (closed) return Effect.interrupt
      const current = valid()
      if (current !== undefined && lasts(current)) return current.exit
      if (longest !== undefined && wanted > longest) return tooShort()
      return Effect.flatMap(current === undefined ? look(3) : renewGently, () => {
        if (lasts(held)) return held!.exit
        // Adopted and no longer young, or signed out meanwhile: one more renewal gives a fresh one.
        const isOld = held?.isAdopted === true && held.token.expiresAt - held.token.issuedAt >= wanted
        return tries > 1 && (held === undefined || isOld) ? find(tries - 1) : tooShort()
      })
    }
    return Effect.suspend(() => find(2))
  }

  /** `renew` for a caller who may come often: it waits out a cool-down by failing. */
  const renewGently: Get = Effect.suspend(() => {
    if (round === undefined && pause("none") > 0 && lastFailure !== undefined) return Effect.fail(lastFailure)
    return renew
  })

  const reject = (token: AccessToken.AccessToken): Get =>
    Effect.suspend(() => {
      if (closed) return Effect.interrupt
      const current = valid()
      if (current === undefined || !AccessToken.isSameCredential(current.token, token)) return look(3)
      if (round === undefined && pause("none") > 0 && lastFailure !== undefined) return Effect.fail(lastFailure)
      const time = now()
      rejections = rejections.filter((at) => time - at < stormWindow)
      if (round === undefined && rejections.length >= policy.stormLimit) {
        const retryAfter = Duration.millis(rejections[0]! + stormWindow - time)
        const storm = new TokenError.RenewalStorm({ renewals: rejections.length, retryAfter })
        return Effect.fail(toError(storm, current.token.expiresAt))
      }
      current.suspect = true
      quietUntil = -Infinity
      return join(demand("rejected", "now"), (outcome) => (Exit.isSuccess(outcome) ? serveOr(outcome) : outcome))
    })

  const snapshot = (): State => {
    const current = valid()
    const busy = activity !== "idle"
    const due = untilScheduled()
    return {
      phase: closed
        ? "closed"
        : current !== undefined
          ? busy
            ? "renewing"
            : "valid"
          : busy
            ? "acquiring"
            : lastFailure !== undefined
              ? "failed"
              : "empty",
      generation,
      expiresAt: held?.token.expiresAt,
      renewAt: due === Infinity || closed ? undefined : wallNow() + Math.max(0, due),
      lastFailure,
      degraded: held?.isPrivate === true
    }
  }
  const differs = (a: State, b: State) =>
    a.phase !== b.phase || a.generation !== b.generation || a.lastFailure !== b.lastFailure || a.degraded !== b.degraded

  const untilChanged = Effect.suspend(() => Deferred.await(version))
  // Expiry changes the state as well, and where nothing is scheduled nobody else looks at the clock.
  const expiring = (current: Held) =>
    remaining(current) > 0 ? atMost(Math.min(tick, Math.ceil(remaining(current))), untilChanged) : untilChanged

  const awaitChange = (seen: State): Effect.Effect<State> =>
    Effect.suspend(() => {
      const state = snapshot()
      return differs(state, seen)
        ? Effect.succeed(state)
        : Effect.flatMap(held === undefined ? untilChanged : expiring(held), () => awaitChange(seen))
    })

  const invalidate = Effect.suspend(() => {
    if (closed) return Effect.interrupt
    signOut ??= Deferred.makeUnsafe()
    const done = signOut
    forget()
    signal.openUnsafe()
    return Deferred.await(done)
  })

  return { get, getValidFor, renew, reject, state: Effect.sync(snapshot), awaitChange, invalidate }
})

/** The policy's schedule, one delay at a time; `undefined` when it is over. */
const delays = (
  schedule: RenewalPolicy.RenewalPolicy["retry"],
  jitter: (millis: number) => number
): Effect.Effect<NonNullable<Round["nextDelay"]>> => {
  if (schedule === undefined) {
    let retries = 0
    return Effect.succeed(() => Effect.succeed(retries < 3 ? jitter(1_000 * 2 ** retries++) : undefined))
  }
  return Effect.map(
    Schedule.toStep(schedule),
    (step) => (now, reason) =>
      Effect.map(Effect.exit(step(now, reason)), (exit) =>
        Exit.isSuccess(exit) ? Duration.toMillis(exit.value[1]) : undefined
      )
  )
}
