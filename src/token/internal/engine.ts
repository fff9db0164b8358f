/**
 * The engine behind `TokenService`, one for each identity: when to renew, who waits, and what a failure means. What one
 * attempt does is `exchange.ts`; who starts attempts and watches the clock is `actor.ts`.
 *
 * Callers only signal and wait. Everything else is plain state, changed synchronously, so nothing can be seen half done.
 * An engine at rest is this object and the token: no fibre, no timer, no closure of its own, for a program may have
 * very many.
 *
 * Instants (expiry) are read on the wall clock and on the monotonic clock, and the earlier one counts; durations
 * (cool-downs, timeouts, the storm window) are read on the monotonic clock only.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as AccessToken from "../AccessToken.ts"
import * as TokenError from "../TokenError.ts"
import type { Trigger } from "../TokenEvent.ts"
import type { TokenProvider } from "../TokenProvider.ts"
import { reasonOf } from "../shared/failures.ts"
import { atMost, monotonic } from "../shared/time.ts"
import type { Environment, Work } from "./actor.ts"
import * as Exchange from "./exchange.ts"
import { tell } from "../shared/observers.ts"
import { delays, type Held, type Round } from "./round.ts"
import type { State } from "./state.ts"

/** Renewals caused by rejections are counted over this window. Milliseconds. */
const stormWindow = 30_000

/** After a failure that no retry can help, the schedule tries again this rarely; a caller may ask earlier. */
const fatalPause = 5 * 60_000

type Outcome = Exit.Exit<AccessToken.AccessToken, TokenError.TokenError>

/** What callers of an engine are given. */
type Get = Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>

const noRejections: ReadonlyArray<number> = []

/** One identity: what is known of its token, and who waits for what. Only synchronous code touches its fields. */
export class Engine implements Exchange.Account, Work {
  readonly provider: TokenProvider
  readonly identity: string
  readonly #env: Environment

  wakeAt = Infinity
  notedAt = Infinity
  known = Exchange.nothingKnown

  #held: Held | undefined
  #generation = 0
  /** Wall time, and monotonic time where no tick watches it, before which `get` need not think. */
  #quietUntil = -Infinity
  #quietMonotonic = -Infinity
  #round: Round | undefined
  #exchanging: Fiber.Fiber<unknown> | undefined
  /** What the attempt is at; `refreshing` once a refresh token has left this machine. */
  #activity: "idle" | "exchanging" | "refreshing" = "idle"
  /** Signs out: no attempt begins meanwhile. */
  #leaving: Fiber.Fiber<void, TokenError.TokenError> | undefined
  #closed = false
  /** Failures in a row, when the last one was, and how long it is left alone, valid token or not. */
  #failures = 0
  #failedAt = -Infinity
  #longPause = 0
  #shortPause = 0
  #lastFailure: TokenError.TokenError | undefined
  /** Answered from memory until this monotonic instant: a fatal failure, or what the platform asked us to wait. */
  #blocked: { readonly until: number; readonly error: TokenError.TokenError; readonly fatal: boolean } | undefined
  /** Monotonic instants of renewals that rejections caused. */
  #rejections = noRejections
  /** A fresh token lasts no longer than this many milliseconds, which was too short for somebody. */
  #longest: number | undefined
  /** Done with the next change, where somebody waits for it. */
  #version: Deferred.Deferred<void> | undefined

  constructor(provider: TokenProvider, identity: string, env: Environment) {
    this.provider = provider
    this.identity = identity
    this.#env = env
  }

  #wallNow() {
    return this.#env.clock.currentTimeMillisUnsafe()
  }

  #now() {
    return monotonic(this.#env.clock)
  }

  #jitter(millis: number) {
    return millis * (0.8 + 0.4 * this.#env.random.nextDoubleUnsafe())
  }

  #remaining(held: Held) {
    return Math.min(held.token.expiresAt - this.#wallNow(), held.deadline - this.#now())
  }

  #lasts(held: Held, wanted: number) {
    return !held.suspect && this.#remaining(held) >= wanted
  }

  #toError(reason: TokenError.Reason, validUntil?: number) {
    return new TokenError.TokenError({ provider: this.provider.name, reason, validUntil })
  }

  // Waking the actor or a deferred runs its waiters at once, so this comes last in whatever calls it.
  #changed() {
    const version = this.#version
    this.#version = undefined
    this.#env.wake(this)
    if (version !== undefined) Deferred.doneUnsafe(version, Exit.void)
  }

  #valid(): Held | undefined {
    const held = this.#held
    return held !== undefined && !this.#closed && this.#remaining(held) > 0 ? held : undefined
  }

  /**
   * Milliseconds until another attempt may follow a failed one, by how much it is needed: `none` where no token is of
   * use, `urgent` where one is about to expire, `early` otherwise.
   */
  #pause(need: "none" | "urgent" | "early"): number {
    const blocked = this.#blocked
    const own = this.#failedAt + (need === "early" ? this.#longPause : this.#shortPause)
    const until =
      blocked === undefined
        ? own
        : !blocked.fatal
          ? Math.max(own, blocked.until)
          : need === "none"
            ? blocked.until
            : this.#failedAt + fatalPause
    return until - this.#now()
  }

  #blockedBy(): TokenError.TokenError | undefined {
    return this.#blocked !== undefined && this.#now() < this.#blocked.until ? this.#blocked.error : undefined
  }

  /** The failure after which it is too early for another attempt. */
  #coolingFrom(): TokenError.TokenError | undefined {
    return this.#round === undefined && this.#pause("none") > 0 ? this.#lastFailure : undefined
  }

  #forgetFailures() {
    this.#failures = 0
    this.#failedAt = -Infinity
    this.#lastFailure = undefined
    this.#blocked = undefined
  }

  #hold(token: AccessToken.AccessToken, isPrivate: boolean, isAdopted: boolean) {
    const lifetime = token.expiresAt - token.issuedAt
    const left = Math.min(token.expiresAt - this.#wallNow(), lifetime)
    const { advisory, mandatory } = this.#env.windows(lifetime, this.#generation === 0)
    const deadline = this.#now() + left
    const exit = Exit.succeed(token)
    this.#held = { token, exit, deadline, advisory, mandatory, isPrivate, isAdopted, suspect: false }
    this.#generation = Math.max(this.#generation, token.generation)
    if (this.#longest !== undefined && lifetime > this.#longest) this.#longest = undefined
    this.#forgetFailures()
  }

  #forget() {
    this.#held = undefined
    this.#forgetFailures()
    this.#longest = undefined
    this.#quietUntil = -Infinity
  }

  /** Re-reads both clocks: a stepped wall clock moves the instant up to which `get` need not think. */
  #settleQuiet() {
    const held = this.#held
    const sure = this.#closed || held === undefined || held.suspect ? undefined : held
    this.#quietUntil = sure === undefined ? -Infinity : this.#wallNow() + this.#remaining(sure) - sure.advisory
    this.#quietMonotonic = sure === undefined ? -Infinity : sure.deadline - sure.advisory
  }

  #settle(outcome: Outcome) {
    const settled = this.#round
    this.#round = undefined
    if (this.#held !== undefined) this.#held.suspect = false
    this.#settleQuiet()
    this.#changed()
    if (settled !== undefined) Deferred.doneUnsafe(settled.done, outcome)
  }

  /** Joins the renewal under way, or starts one. */
  #demand(trigger: Trigger, at: "now" | "when-due"): Round {
    // For the schedule nobody waits: its attempts are paced by the cool-down alone.
    const waits = trigger !== "scheduled" && this.#valid() === undefined
    const patience = waits ? this.#now() + this.#env.policy.acquireTimeout : undefined
    let round = this.#round
    if (round === undefined) {
      round = {
        done: Deferred.makeUnsafe(),
        trigger,
        notBefore: at === "when-due" ? this.#now() + this.#pause("none") : -Infinity,
        patience,
        isVoid: false,
        nextDelay: undefined
      }
      this.#round = round
    } else {
      if (at === "now") round.notBefore = -Infinity
      round.patience ??= patience
    }
    // The actor may run now, and settle it.
    this.#changed()
    return round
  }

  /** Milliseconds until the schedule wants a renewal by itself; `Infinity` if it does not. */
  #untilScheduled(): number {
    const isForCallers = this.#blocked?.fatal === true && this.provider.traits.locksAccount === true
    if (!isKeptFresh(this.#env) || isForCallers) return Infinity
    const held = this.#held
    if (held === undefined) return this.#failures === 0 ? Infinity : this.#pause("urgent")
    const left = this.#remaining(held)
    if (left <= held.mandatory) return this.#pause("urgent")
    const retry = this.#pause("early")
    return Math.max(left - held.advisory, this.#blocked === undefined ? Math.min(retry, left - held.mandatory) : retry)
  }

  // ---------------------------------------------------------------------------------------------------------------
  // One attempt, made by the actor.
  // ---------------------------------------------------------------------------------------------------------------

  #coolDown(before = this.#failures) {
    this.#failures = before + 1
    this.#failedAt = this.#now()
    this.#longPause = this.#jitter(this.#env.policy.coolDown)
    this.#shortPause = this.#jitter(Math.min(10_000, 1_000 * 2 ** before))
  }

  #succeed(token: AccessToken.AccessToken, isPrivate: boolean, isAdopted: boolean) {
    const before = this.#failures
    this.#activity = "idle"
    if (this.#round?.trigger === "rejected") this.#rejections = [...this.#rejections, this.#now()]
    this.#hold(token, isPrivate, isAdopted)
    // Dead on arrival. The schedule would ask again at once, and for ever.
    if (this.#valid() === undefined) this.#coolDown(before)
    this.#settle(Exit.succeed(token))
  }

  /** Books the failure and decides: another attempt of the same round, or its end. */
  #fail(cause: Cause.Cause<TokenError.RenewalReason>): Effect.Effect<TokenError.TokenError | undefined> {
    return Effect.gen({ self: this }, function* () {
      this.#activity = "idle"
      // Signed out or closed: whoever did it ends the round as well.
      if (Cause.hasInterruptsOnly(cause) && (this.#closed || this.#leaving !== undefined)) return undefined
      const reason = reasonOf(cause)
      const holding = this.#valid()
      const { policy, random } = this.#env
      this.#coolDown()
      if (reason === undefined) {
        this.#settle(Exit.failCause(Cause.map(cause, (reason) => this.#toError(reason))))
        return undefined
      }
      const error = this.#toError(reason, holding?.token.expiresAt)
      const now = this.#now()
      const round = this.#round
      const retryAfter = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
      const fatal = !error.isRetryable
      const until = now + (fatal ? policy.fatalFor * (1 + random.nextDoubleUnsafe()) : retryAfter)
      this.#lastFailure = error
      this.#blocked = fatal || until > now ? { until, error, fatal } : undefined
      if (round?.patience !== undefined && !fatal && holding === undefined) {
        round.nextDelay ??= yield* delays(policy.retry, (millis) => this.#jitter(millis))
        const at = now + Math.max((yield* round.nextDelay(now, reason)) ?? Infinity, retryAfter)
        if (at < round.patience) {
          round.notBefore = at
          this.#changed()
          return error
        }
      }
      this.#settle(Exit.fail(error))
      return error
    })
  }

  #attempt() {
    const { identity, provider } = this
    const start = this.#now()
    const about = { provider: provider.name, identity, trigger: this.#round?.trigger ?? "scheduled" }
    const age = this.#held === undefined ? undefined : this.#wallNow() - this.#held.token.issuedAt
    let by: "login" | "refresh" | "adopted" = "adopted"
    this.#activity = "exchanging"
    this.#changed()
    const sending = (operation: "login" | "refresh") => {
      by = operation
      this.#activity = operation === "refresh" ? "refreshing" : "exchanging"
      if (operation === "login" || this.#held === undefined || provider.traits.oldTokenSurvivesRefresh) return
      this.#held.suspect = true
      this.#settleQuiet()
    }
    const valid = this.#valid()
    return this.#env.exchange.renew(this, { isHolding: valid !== undefined && !valid.suspect, sending }).pipe(
      Effect.matchCauseEffect({
        onSuccess: ({ isAdopted, known: { isPrivate }, token }) => {
          const { expiresAt, generation } = token
          const duration = this.#now() - start
          if (isAdopted) by = "adopted"
          this.#succeed(token, isPrivate, isAdopted)
          return tell(this.#env.observers, { _tag: "Renewed", ...about, by, generation, duration, age, expiresAt })
        },
        onFailure: (cause) => {
          const duration = this.#now() - start
          return Effect.flatMap(this.#fail(cause), (error) =>
            error === undefined
              ? Effect.void
              : tell(this.#env.observers, { _tag: "RenewalFailed", ...about, duration, error })
          )
        }
      }),
      Effect.ensuring(
        Effect.sync(() => {
          this.#exchanging = undefined
          this.#changed()
        })
      )
    )
  }

  // ---------------------------------------------------------------------------------------------------------------
  // What the actor asks.
  // ---------------------------------------------------------------------------------------------------------------

  next(): Effect.Effect<unknown> | undefined {
    this.#settleQuiet()
    this.wakeAt = Infinity
    if (this.#closed || this.#leaving !== undefined) return undefined
    if (this.#round === undefined && this.#untilScheduled() <= 0) this.#demand("scheduled", "now")
    const round = this.#round
    if (round !== undefined && this.#exchanging === undefined && round.notBefore <= this.#now()) {
      // Forked and noted uninterruptibly, and run so: an attempt cut before it began would never say that it ended, and
      // one that nobody noted would outlive the scope. It may even be over by now, where the actor had to yield.
      return Effect.uninterruptible(
        Effect.map(
          Effect.forkDetach(
            Effect.suspend(() => this.#attempt()),
            { uninterruptible: true }
          ),
          (fiber) => {
            if (fiber.pollUnsafe() === undefined) this.#exchanging = fiber
          }
        )
      )
    }
    if (round?.patience !== undefined && round.patience <= this.#now()) {
      const reason = this.#lastFailure?.reason ?? new TokenError.ProviderUnavailable({ failure: "timeout" })
      this.#settle(Exit.fail(this.#toError(reason)))
      // The actor was woken again by that.
      return undefined
    }
    const time = this.#now()
    const wakeUp = Math.min(
      round === undefined || this.#exchanging !== undefined ? Infinity : round.notBefore - time,
      round?.patience === undefined ? Infinity : round.patience - time,
      round === undefined ? this.#untilScheduled() : Infinity
    )
    // At least a timer's least: what is due in less would be asked for again and again.
    this.wakeAt = time + Math.max(1, wakeUp)
    return undefined
  }

  /** Whether it can be forgotten without anybody missing more than a token. */
  get isAtRest() {
    return this.#round === undefined && this.#activity === "idle" && this.#leaving === undefined
  }

  /** Ends one at rest. */
  retire() {
    this.#closed = true
    this.#settleQuiet()
  }

  /** Ends it: who waits is interrupted, and only a refresh without a login behind it may finish, for a while. */
  close(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.retire()
      const exchanging = this.#exchanging
      if (exchanging !== undefined) {
        const isPrecious = this.#activity === "refreshing" && this.provider.login === undefined
        if (isPrecious) yield* atMost(this.#env.policy.shutdownGrace, Fiber.await(exchanging))
        yield* Fiber.interrupt(exchanging)
      }
      if (this.#leaving !== undefined) yield* Fiber.interrupt(this.#leaving)
      this.#settle(Exit.interrupt())
    })
  }

  // ---------------------------------------------------------------------------------------------------------------
  // What callers do: look at the state, signal, wait.
  // ---------------------------------------------------------------------------------------------------------------

  /**
   * Waits for a renewal, at most so many milliseconds. `get` looks again afterwards: time has passed and clocks may have
   * been stepped.
   */
  #join(joined: Round, then: (outcome: Outcome) => Get, patience = Infinity): Get {
    const wait = (joined: Round): Get => {
      const done = Deferred.await(joined.done)
      const inTime =
        patience === Infinity
          ? done
          : // Serves the token in hand. A timer may come late, after expiry, and then there is a renewal to wait for.
            Effect.timeoutOrElse(done, { duration: patience, orElse: () => this.#look(1) })
      return Effect.flatMap(Effect.exit(inTime), (outcome) =>
        joined.isVoid && !this.#closed ? wait(this.#demand(joined.trigger, "when-due")) : then(outcome)
      )
    }
    const waiting = wait(joined)
    if (this.#env.observers.length === 0) return waiting
    const { identity, provider } = this
    const start = this.#now()
    const waited = Effect.suspend(() =>
      tell(this.#env.observers, { _tag: "Waited", provider: provider.name, identity, duration: this.#now() - start })
    )
    return Effect.ensuring(waiting, waited)
  }

  #expired(error: TokenError.TokenError): TokenError.TokenError {
    const { reason } = error
    return this.#held === undefined || reason._tag === "TokenExpired" || reason._tag === "BodyNotRepeatable"
      ? error
      : this.#toError(new TokenError.TokenExpired({ expiredAt: this.#held.token.expiresAt, renewal: reason }))
  }

  /** `get`, where there is something to think about. `tries` bounds a platform that issues tokens already dead. */
  #look(tries: number): Get {
    if (this.#closed) return Effect.interrupt
    const current = this.#valid()
    if (current === undefined) {
      const failure = this.#round === undefined ? this.#blockedBy() : undefined
      const isLong = this.#blocked?.fatal === true || this.#pause("none") >= this.#env.policy.acquireTimeout
      if (failure !== undefined && isLong) return Effect.fail(this.#expired(failure))
      return this.#join(this.#demand("demand", "when-due"), (outcome) =>
        Exit.isFailure(outcome)
          ? this.#serveOr(outcome)
          : tries > 1
            ? Effect.suspend(() => this.#look(tries - 1))
            : (this.#valid()?.exit ??
              Effect.fail(
                this.#toError(new TokenError.MalformedResponse({ problem: "each new token had already expired" }))
              ))
      )
    }
    if (current.suspect && this.#round !== undefined)
      return this.#join(this.#round, (outcome) => this.#serveOr(outcome))
    const left = this.#remaining(current)
    if (left > current.advisory) return current.exit
    const urgent = left <= current.mandatory
    if (this.#round === undefined && this.#pause(urgent ? "urgent" : "early") > 0) return current.exit
    const renewal = this.#demand("early", "when-due")
    // Nobody waits for a newer token so long that the one in hand expires.
    const patience = left - Math.min(1_000, current.mandatory / 10)
    return urgent && patience > 0 ? this.#join(renewal, (outcome) => this.#serveOr(outcome), patience) : current.exit
  }

  /** A failed renewal fails nobody while the held token is valid. */
  #serveOr(outcome: Outcome): Get {
    const current = this.#valid()
    if (current !== undefined) return current.exit
    return Exit.isFailure(outcome)
      ? Effect.failCause(Cause.map(outcome.cause, (error) => this.#expired(error)))
      : Effect.suspend(() => this.#look(1))
  }

  get(): Get {
    const held = this.#held
    return held !== undefined &&
      this.#env.clock.currentTimeMillisUnsafe() < this.#quietUntil &&
      // Where the schedule has something due, a tick compares the clocks; where it has nothing, nobody does.
      ((isKeptFresh(this.#env) && this.wakeAt < Infinity) || monotonic(this.#env.clock) < this.#quietMonotonic)
      ? held.exit
      : this.#look(3)
  }

  renew(): Get {
    if (this.#closed) return Effect.interrupt
    const failure = this.#blockedBy()
    return failure === undefined ? this.#join(this.#demand("renew", "now"), (outcome) => outcome) : Effect.fail(failure)
  }

  /** `renew` for a caller who may come often: it waits out a cool-down by failing. */
  #renewGently(): Get {
    const failure = this.#coolingFrom()
    return failure === undefined ? this.renew() : Effect.fail(failure)
  }

  getValidFor(duration: Duration.Input): Get {
    return this.#find(Duration.toMillis(Duration.fromInputUnsafe(duration)), 2)
  }

  #find(wanted: number, tries: number): Get {
    const current = this.#valid()
    if (current !== undefined && this.#lasts(current, wanted)) return current.exit
    if (this.#longest !== undefined && wanted > this.#longest) return this.#tooShort(wanted)
    return Effect.flatMap(current === undefined ? this.#look(3) : this.#renewGently(), () => {
      const held = this.#held
      if (held !== undefined && this.#lasts(held, wanted)) return held.exit
      // Adopted and no longer young, or signed out meanwhile: one more renewal gives a fresh one.
      const isOld = held?.isAdopted === true && held.token.expiresAt - held.token.issuedAt >= wanted
      return tries > 1 && (held === undefined || isOld) ? this.#find(wanted, tries - 1) : this.#tooShort(wanted)
    })
  }

  #tooShort(wanted: number): Get {
    const held = this.#held
    if (held !== undefined) {
      const lasted = held.isAdopted ? held.token.expiresAt - held.token.issuedAt : this.#remaining(held)
      this.#longest = Math.max(this.#longest ?? 0, lasted)
    }
    const [requested, available] = [Duration.millis(wanted), Duration.millis(this.#longest ?? 0)]
    const reason = new TokenError.LifetimeTooShort({ requested, available })
    return Effect.fail(this.#toError(reason, this.#valid()?.token.expiresAt))
  }

  reject(token: AccessToken.AccessToken): Get {
    const current = this.#valid()
    if (current === undefined || !AccessToken.isSameCredential(current.token, token)) return this.#look(3)
    const failure = this.#coolingFrom()
    if (failure !== undefined) return Effect.fail(failure)
    const time = this.#now()
    this.#rejections = this.#rejections.filter((at) => time - at < stormWindow)
    const [first] = this.#rejections
    if (this.#round === undefined && first !== undefined && this.#rejections.length >= this.#env.policy.stormLimit) {
      const retryAfter = Duration.millis(first + stormWindow - time)
      const storm = new TokenError.RenewalStorm({ renewals: this.#rejections.length, retryAfter })
      return Effect.fail(this.#toError(storm, current.token.expiresAt))
    }
    current.suspect = true
    this.#quietUntil = -Infinity
    return this.#join(this.#demand("rejected", "now"), (outcome) =>
      Exit.isSuccess(outcome) ? this.#serveOr(outcome) : outcome
    )
  }

  state(): State {
    const current = this.#valid()
    const busy = this.#activity !== "idle"
    const due = this.#untilScheduled()
    return {
      phase: this.#closed
        ? "closed"
        : current !== undefined
          ? busy
            ? "renewing"
            : "valid"
          : busy
            ? "acquiring"
            : this.#lastFailure !== undefined
              ? "failed"
              : "empty",
      generation: this.#generation,
      expiresAt: this.#held?.token.expiresAt,
      renewAt: due === Infinity || this.#closed ? undefined : this.#wallNow() + Math.max(0, due),
      lastFailure: this.#lastFailure,
      degraded: this.#held?.isPrivate === true
    }
  }

  awaitChange(seen: State): Effect.Effect<State> {
    const state = this.state()
    if (differs(state, seen)) return Effect.succeed(state)
    const changed = Deferred.await((this.#version ??= Deferred.makeUnsafe()))
    const left = this.#held === undefined ? 0 : this.#remaining(this.#held)
    // Expiry changes the state as well, and where nothing is scheduled nobody else looks at the this.#env.clock.
    const wait = left > 0 ? atMost(Math.min(30_000, Math.ceil(left)), changed) : changed
    return Effect.flatMap(wait, () => this.awaitChange(seen))
  }

  #leave() {
    return Effect.gen({ self: this }, function* () {
      if (this.#exchanging !== undefined) yield* Fiber.interrupt(this.#exchanging)
      this.#forget()
      // A round that nobody waits for any more must not log in again.
      if (this.#round !== undefined) this.#round.isVoid = true
      this.#settle(Exit.interrupt())
      const cleared = yield* Effect.exit(this.#env.exchange.clear(this))
      this.#leaving = undefined
      this.#changed()
      return yield* Effect.mapError(cleared, (reason) => this.#toError(reason))
    })
  }

  invalidate(): Effect.Effect<void, TokenError.TokenError> {
    if (this.#closed) return Effect.interrupt
    this.#forget()
    return Effect.uninterruptible(
      Effect.map(
        this.#leaving === undefined ? Effect.forkDetach(this.#leave()) : Effect.succeed(this.#leaving),
        (fiber) => {
          this.#leaving = fiber
          return fiber
        }
      )
    ).pipe(Effect.flatMap(Fiber.join))
  }
}

const isKeptFresh = (env: Environment) => env.policy.whenIdle === "keep-fresh"

const differs = (a: State, b: State) =>
  a.phase !== b.phase || a.generation !== b.generation || a.lastFailure !== b.lastFailure || a.degraded !== b.degraded
