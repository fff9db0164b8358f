/**
 * The engine behind `TokenService`, one for each identity. It decides when to renew, who waits, and what a failure means.
 * `exchange.ts` makes the attempts, and `actor.ts` watches the clock.
 *
 * A caller looks at the state, changes it, wakes the actor and waits. The actor starts whatever is due, in the context of
 * the layer. All state changes are synchronous, so nobody ever sees one half done, and no fibre holds anything between
 * two of them. An engine at rest is this object and its token: it has no fibre and no timer, because a program may have
 * very many.
 *
 * The phase says what runs for an identity. It is one value, set before anything is forked:
 *
 * | phase | meaning | ends |
 * | --- | --- | --- |
 * | `Idle` | nothing runs | with an attempt or a sign-out |
 * | `Exchanging` | one attempt runs; `kind` says what it has sent so far | with the attempt, or a sign-out interrupts it |
 * | `Leaving` | somebody signs out; no attempt begins | when the store has answered |
 * | `Closed` | the scope has closed, or the map has evicted the identity | never |
 *
 * Whoever ends a phase that is no longer the current one changes nothing: its result came too late.
 *
 * A failed attempt leaves one value behind, the `Setback`. A success or a sign-out removes it. It means:
 *
 * | the attempt failed | `get` without a usable token, `reject` | `get` with a valid token | `renew`, `getValidFor` | the schedule |
 * | --- | --- | --- | --- | --- |
 * | transient (no network, 5xx) | waits for further attempts, after 1 s, 2 s and 4 s, for 20 s at most; then the next attempt follows 1 s to 10 s after the last | serves it; close to expiry the next attempt follows after 1 s to 10 s, earlier after 30 s | fails with the same error until 1 s to 10 s have passed | as `get` with a valid token |
 * | transient, with a `retryAfter` | waits until then, or fails at once if that is longer than it may wait | serves it; no attempt before then | fails with the same error until then | no attempt before then |
 * | fatal (wrong key) | fails at once, from memory, for 5 s to 10 s | serves it; the next attempt follows after 5 minutes | fails with the same error for 5 s to 10 s | the next attempt follows after 5 minutes |
 * | fatal, where refusals lock the account | fails at once, from memory, for 5 to 10 minutes | serves it; the next attempt follows after 5 to 10 minutes | fails with the same error for 5 to 10 minutes | makes no attempt until a caller's has succeeded |
 *
 * A token that the API refused is not usable, even though it has not expired. Only `get` still serves it, and only while
 * a renewal has just failed.
 *
 * Instants (expiry) are read on the wall clock and on the monotonic clock, and the earlier one counts. Durations (pauses,
 * timeouts, the storm window) are read on the monotonic clock only.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as AccessToken from "../AccessToken.ts"
import * as TokenError from "../TokenError.ts"
import type { TokenEvent, Trigger } from "../TokenEvent.ts"
import type { TokenProvider } from "../TokenProvider.ts"
import type { Renewed } from "../shared/storeModel.ts"
import { reasonOf } from "../shared/failures.ts"
import { atMost, monotonic } from "../shared/time.ts"
import type { Environment, Work } from "./actor.ts"
import * as Exchange from "./exchange.ts"
import type { Held } from "./held.ts"
import { delays, type Ending, type Outcome, type Round } from "./round.ts"
import * as Setback from "./setback.ts"
import type { State } from "./state.ts"
import * as Storm from "./storm.ts"

/** Bounds a `get` at a platform that issues tokens already expired. */
const looks = 3

interface Idle {
  readonly _tag: "Idle"
}

interface Exchanging {
  readonly _tag: "Exchanging"
  /** What the attempt has sent; `nothing` while it reads the store or waits for the lease. */
  kind: "nothing" | "login" | "refresh"
  fiber: Fiber.Fiber<unknown> | undefined
}

interface Leaving {
  readonly _tag: "Leaving"
  readonly done: Deferred.Deferred<void, TokenError.TokenError>
  /** The attempt that ran when somebody signed out. */
  readonly interrupted: Exchanging | undefined
  fiber: Fiber.Fiber<unknown> | undefined
}

interface Closed {
  readonly _tag: "Closed"
}

type Phase = Idle | Exchanging | Leaving | Closed

const idle: Idle = { _tag: "Idle" }
const closed: Closed = { _tag: "Closed" }
const noRejections: Storm.Rejections = []

/** What callers of an engine get. */
type Get = Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>

/** One identity: its token, its phase, and the renewal that callers wait for. */
export class Engine implements Exchange.Account, Work {
  readonly provider: TokenProvider
  readonly identity: string
  readonly #env: Environment

  // For the agenda.
  wakeAt = Infinity
  position = -1
  // For the exchange: what is known of the stored credential.
  known = Exchange.nothingKnown

  #phase: Phase = idle
  #held: Held | undefined
  /** The renewal that callers wait for, or that the schedule wants. */
  #round: Round | undefined
  #setback: Setback.Setback | undefined
  /** The highest generation seen; it survives a sign-out. */
  #generation = 0
  /** Until these instants, on the wall clock and on the monotonic clock, `get` serves the held token without a look. */
  #quietUntil = -Infinity
  #quietMonotonic = -Infinity
  #rejections: Storm.Rejections = noRejections
  /** A fresh token lasts no longer than this many milliseconds, which was too short for a caller. */
  #longest: number | undefined
  /** Completed by the next change of the state, where somebody waits for it. */
  #changes: Deferred.Deferred<void> | undefined

  constructor(provider: TokenProvider, identity: string, env: Environment) {
    this.provider = provider
    this.identity = identity
    this.#env = env
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What callers do: look at the state, change it, wake the actor, wait.
  // -------------------------------------------------------------------------------------------------------------------

  /** The held token, where a look at the clock is enough to serve it. */
  quick(): Exit.Exit<AccessToken.AccessToken> | undefined {
    const held = this.#held
    return held !== undefined &&
      this.#env.clock.currentTimeMillisUnsafe() < this.#quietUntil &&
      // While the schedule has something due, its ticks compare the clocks; otherwise this does.
      ((this.#isKeptFresh && this.wakeAt < Infinity) || this.#now() < this.#quietMonotonic)
      ? held.exit
      : undefined
  }

  get(): Get {
    return this.quick() ?? this.#look(looks)
  }

  #look(tries: number): Get {
    if (this.#phase === closed) return this.#isClosed()
    const held = this.#valid()
    if (held === undefined) return this.#acquire(tries)
    if (held.doubt === "refused") {
      // The renewal has just failed, so the token is served once more. Otherwise there is a renewal to wait for.
      return this.#round === undefined && this.#isPaused(this.#setback?.forCallers)
        ? held.exit
        : this.#join(this.#demand("rejected"), (outcome) => this.#serveOr(outcome))
    }
    if (held.doubt === "replacing" && this.#round !== undefined) {
      return this.#join(this.#round, (outcome) => this.#serveOr(outcome))
    }
    const left = this.#remaining(held)
    if (left > held.advisory) return held.exit
    const isUrgent = left <= held.mandatory
    const { early, nearExpiry } = this.#setback ?? {}
    if (this.#round === undefined && this.#isPaused(isUrgent ? nearExpiry : early)) return held.exit
    const round = this.#demand("early")
    // No caller waits so long for a newer token that the one in hand expires.
    const patience = left - Math.min(1_000, held.mandatory / 10)
    return isUrgent && patience > 0 ? this.#join(round, (outcome) => this.#serveOr(outcome), patience) : held.exit
  }

  /** `get` without a valid token. */
  #acquire(tries: number): Get {
    const remembered = this.#remembered()
    if (remembered !== undefined) return remembered
    return this.#join(this.#demand("demand"), (outcome) => {
      if (Exit.isFailure(outcome)) return this.#serveOr(outcome)
      return tries > 1 ? Effect.suspend(() => this.#look(tries - 1)) : (this.#valid()?.exit ?? this.#isDeadOnArrival())
    })
  }

  renew(): Get {
    if (this.#phase === closed) return this.#isClosed()
    const setback = this.#setback
    return this.#round === undefined && setback !== undefined && this.#isPaused(setback.forCallers)
      ? this.#failAgain(setback)
      : this.#join(this.#demand("renew"), (outcome) => outcome)
  }

  getValidFor(duration: Duration.Input): Get {
    return this.#find(Duration.toMillis(Duration.fromInputUnsafe(duration)), 2)
  }

  #find(wanted: number, tries: number): Get {
    const current = this.#valid()
    if (current !== undefined && this.#lasts(current, wanted)) return current.exit
    if (this.#longest !== undefined && wanted > this.#longest) return this.#isTooShort(wanted)
    return Effect.flatMap(current === undefined ? this.#look(looks) : this.renew(), () => {
      const held = this.#held
      if (held !== undefined && this.#lasts(held, wanted)) return held.exit
      // It was not fresh when it came, or somebody signed out meanwhile: one more renewal gives a fresh one.
      const isPromising = held === undefined || this.#freshFor(held) >= wanted
      return tries > 1 && isPromising ? this.#find(wanted, tries - 1) : this.#isTooShort(wanted)
    })
  }

  reject(token: AccessToken.AccessToken): Get {
    const held = this.#valid()
    if (held === undefined || !AccessToken.isSameCredential(held.token, token)) return this.#look(looks)
    const storm = Storm.breaker(this.#rejections, this.#env.policy.stormLimit, this.#now())
    if (this.#round === undefined && storm !== undefined) {
      // Without `validUntil`: the API has just refused the token.
      return Effect.fail(new TokenError.TokenError({ provider: this.provider.name, reason: storm }))
    }
    held.doubt = "refused"
    this.#settleQuiet()
    const remembered = this.#remembered()
    if (remembered !== undefined) return remembered
    return this.#join(this.#demand("rejected"), (outcome) =>
      Exit.isSuccess(outcome) ? this.#serveOr(outcome) : outcome
    )
  }

  /** Signs out. The token is gone when this returns; the effect waits for the store. */
  invalidate(): Effect.Effect<void, TokenError.TokenError> {
    const phase = this.#phase
    if (phase === closed) return this.#isClosed()
    if (phase._tag === "Leaving") return Deferred.await(phase.done)
    const interrupted = phase._tag === "Exchanging" ? phase : undefined
    const leaving: Leaving = { _tag: "Leaving", done: Deferred.makeUnsafe(), interrupted, fiber: undefined }
    this.#phase = leaving
    this.#forget()
    this.#settle("signed-out")
    return Deferred.await(leaving.done)
  }

  state(): State {
    const isBusy = this.#phase._tag === "Exchanging"
    const due = this.#untilScheduled()
    return {
      phase:
        this.#phase === closed
          ? "closed"
          : this.#usable() !== undefined
            ? isBusy
              ? "renewing"
              : "valid"
            : isBusy
              ? "acquiring"
              : this.#setback === undefined
                ? "empty"
                : "failed",
      generation: this.#generation,
      expiresAt: this.#held?.token.expiresAt,
      renewAt: due === Infinity || this.#phase === closed ? undefined : this.#wallNow() + Math.max(0, due),
      lastFailure: this.#setback?.error,
      degraded: this.#held?.isPrivate === true
    }
  }

  awaitChange(seen: State): Effect.Effect<State> {
    const state = this.state()
    if (differs(state, seen)) return Effect.succeed(state)
    const changed = Deferred.await((this.#changes ??= Deferred.makeUnsafe()))
    const left = this.#held === undefined ? 0 : this.#remaining(this.#held)
    // Expiry changes the state as well, and where nothing is scheduled nothing else watches the clock.
    const wait = left > 0 ? atMost(Math.min(30_000, Math.ceil(left)), changed) : changed
    return Effect.flatMap(wait, () => this.awaitChange(seen))
  }

  /** Whether the map may evict it: nothing runs and nobody waits. */
  get isAtRest() {
    return this.#phase === idle && this.#round === undefined
  }

  /** Ends an engine at rest. */
  retire() {
    this.#phase = closed
    this.#settleQuiet()
  }

  /**
   * Ends it and interrupts whoever waits. It is closed when this returns; the effect waits for what runs. Only a refresh
   * without a login behind it may finish, for a while.
   */
  close(): Effect.Effect<void> {
    const phase = this.#phase
    this.retire()
    this.#settle(Exit.interrupt())
    if (phase._tag === "Leaving") Deferred.doneUnsafe(phase.done, Exit.interrupt())
    const running =
      phase._tag === "Leaving"
        ? [phase.fiber, phase.interrupted?.fiber]
        : phase._tag === "Exchanging"
          ? [phase.fiber]
          : []
    const interrupt = Fiber.interruptAll(running.filter((fiber) => fiber !== undefined))
    const isPrecious = phase._tag === "Exchanging" && phase.kind === "refresh" && this.provider.login === undefined
    return isPrecious && phase.fiber !== undefined
      ? Effect.andThen(atMost(this.#env.policy.shutdownGrace, Fiber.await(phase.fiber)), interrupt)
      : interrupt
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Rounds: what callers wait for.
  // -------------------------------------------------------------------------------------------------------------------

  /**
   * Joins the renewal that callers wait for, or starts one; `after` is the round that a sign-out ended. The actor makes the
   * attempt as soon as the pauses allow.
   */
  #demand(trigger: Trigger, after?: Round): Round {
    // Nobody waits for a scheduled renewal: only the pauses limit its attempts.
    const waits = trigger !== "scheduled" && this.#usable() === undefined
    const patience = waits ? this.#now() + this.#env.policy.acquireTimeout : undefined
    const round = (this.#round ??= {
      done: Deferred.makeUnsafe(),
      trigger,
      notBefore: after?.notBefore ?? this.#setback?.forCallers ?? -Infinity,
      patience: after?.patience,
      nextDelay: after?.nextDelay
    })
    round.patience ??= patience
    this.#changed()
    return round
  }

  /**
   * Waits for a round. After a sign-out the caller still wants a token, so it goes on in a round of its own. A caller who
   * may wait only for so many milliseconds looks again after that: time has passed, and clocks may have been stepped.
   */
  #join(joined: Round, then: (outcome: Outcome) => Get, patience = Infinity): Get {
    const wait = (round: Round): Get => Effect.flatMap(Deferred.await(round.done), (ending) => onEnd(round, ending))
    const onEnd = (round: Round, ending: Ending): Get => {
      if (ending !== "signed-out") return then(ending)
      return this.#phase === closed ? Effect.interrupt : wait(this.#demand(round.trigger, round))
    }
    const waiting: Get =
      patience === Infinity
        ? wait(joined)
        : Effect.flatMap(
            Effect.timeoutOption(Deferred.await(joined.done), patience),
            Option.match({ onNone: () => this.#look(1), onSome: (ending) => onEnd(joined, ending) })
          )
    if (!this.#env.isHeard) return waiting
    const start = this.#now()
    const about = { provider: this.provider.name, identity: this.identity }
    return Effect.ensuring(
      waiting,
      Effect.sync(() => this.#env.tell({ _tag: "Waited", ...about, duration: this.#now() - start }))
    )
  }

  /** Serves the held token if it is valid: a failed renewal fails no caller of `get` then. */
  #serveOr(outcome: Outcome): Get {
    const held = this.#valid()
    if (held !== undefined) return held.exit
    return Exit.isFailure(outcome) ? this.#asExpired(outcome) : Effect.suspend(() => this.#look(1))
  }

  /** Ends the round. A round that the closing scope ends interrupts its callers. Waking others runs them at once, so this comes last in whatever calls it. */
  #settle(ending: Ending, event?: TokenEvent) {
    const round = this.#round
    this.#round = undefined
    this.#changed(event)
    if (round !== undefined) Deferred.doneUnsafe(round.done, Exit.succeed(ending))
  }

  /**
   * Notifies the observers, and wakes the actor and whoever waits for a change. It runs them at once, so it comes last in
   * whatever calls it.
   */
  #changed(event?: TokenEvent) {
    this.#settleQuiet()
    // Before the callers: one of them may be the last thing that the program waits for.
    if (event !== undefined) this.#env.tell(event)
    const changes = this.#changes
    this.#changes = undefined
    this.#env.wake(this)
    if (changes !== undefined) Deferred.doneUnsafe(changes, Exit.void)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What the actor does: start what is due, and say when to look again.
  // -------------------------------------------------------------------------------------------------------------------

  next(): void {
    this.#settleQuiet()
    this.wakeAt = Infinity
    const phase = this.#phase
    if (phase === closed) return
    if (phase._tag === "Leaving") {
      if (phase.fiber === undefined) phase.fiber = this.#env.fork(this.#leave(phase))
      return
    }
    if (phase === idle) {
      if (this.#round === undefined && this.#untilScheduled() <= 0) this.#demand("scheduled")
      if (this.#round !== undefined && this.#round.notBefore <= this.#now()) return this.#exchange()
    }
    const round = this.#round
    if (round?.patience !== undefined && round.patience <= this.#now()) {
      const timeout = new TokenError.ProviderUnavailable({ failure: "timeout" })
      return this.#settle(this.#setback?.exit ?? Exit.fail(this.#toError(timeout)))
    }
    const time = this.#now()
    const attempt = phase._tag === "Exchanging" ? Infinity : (round?.notBefore ?? time + this.#untilScheduled())
    // A timer takes a millisecond at least; something due earlier would be asked for again and again.
    this.wakeAt = Math.max(time + 1, Math.min(attempt, round?.patience ?? Infinity))
  }

  /** Milliseconds until the schedule wants a renewal by itself; `Infinity` if it does not. */
  #untilScheduled(): number {
    const setback = this.#setback
    if (!this.#isKeptFresh || setback?.bySchedule === false) return Infinity
    const held = this.#held
    const time = this.#now()
    if (held === undefined) return setback === undefined ? Infinity : setback.nearExpiry - time
    const nearExpiry = setback === undefined ? 0 : setback.nearExpiry - time
    const left = this.#remaining(held)
    if (held.doubt === "refused" || left <= held.mandatory) return nearExpiry
    const early = setback === undefined ? 0 : setback.early - time
    return Math.max(left - held.advisory, Math.min(early, Math.max(nearExpiry, left - held.mandatory)))
  }

  /** Starts an attempt. */
  #exchange() {
    const phase: Exchanging = { _tag: "Exchanging", kind: "nothing", fiber: undefined }
    this.#phase = phase
    phase.fiber = this.#env.fork(this.#attempt(phase))
    this.#changed()
  }

  #attempt(phase: Exchanging): Effect.Effect<void> {
    const { identity, provider } = this
    const start = this.#now()
    const about = { provider: provider.name, identity, trigger: this.#round?.trigger ?? "scheduled" }
    const age = this.#held === undefined ? undefined : this.#wallNow() - this.#held.token.issuedAt
    const sending = (operation: "login" | "refresh") => {
      phase.kind = operation
      const { oldTokenSurvivesRefresh, renewWith } = provider.traits
      const isRenewal = operation === "refresh" || renewWith === "login"
      const endsHeld = isRenewal && !oldTokenSurvivesRefresh
      if (!endsHeld || this.#held === undefined || this.#held.doubt === "refused" || this.#phase !== phase) return
      this.#held.doubt = "replacing"
      this.#settleQuiet()
    }
    const onSuccess = (renewed: Renewed) => {
      if (this.#phase !== phase) return
      const { expiresAt, generation } = renewed.token
      const by = renewed.isAdopted || phase.kind === "nothing" ? "adopted" : phase.kind
      const duration = this.#now() - start
      this.#succeed(renewed)
      const event = { _tag: "Renewed", ...about, by, generation, duration, age, expiresAt } as const
      this.#settle(Exit.succeed(renewed.token), event)
    }
    const onFailure = (cause: Cause.Cause<TokenError.RenewalReason>, delay: number | undefined) => {
      if (this.#phase !== phase) return
      const duration = this.#now() - start
      const { error, exit } = this.#fail(cause)
      const event = error === undefined ? undefined : ({ _tag: "RenewalFailed", ...about, duration, error } as const)
      if (this.#putOff(delay)) this.#changed(event)
      else this.#settle(exit, event)
    }
    const isHolding = this.#usable()?.doubt === "none"
    return this.#env.exchange.renew(this, { isHolding, sending }).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        Exit.isSuccess(exit)
          ? Effect.sync(() => onSuccess(exit.value))
          : Effect.map(this.#delayAfter(exit.cause), (delay) => onFailure(exit.cause, delay))
      )
    )
  }

  #succeed({ isAdopted, known: { isPrivate }, token }: Renewed) {
    this.#phase = idle
    if (this.#round?.trigger === "rejected") this.#rejections = Storm.add(this.#rejections, this.#now())
    const failures = this.#setback?.failures ?? 0
    const lifetime = token.expiresAt - token.issuedAt
    const left = Math.min(token.expiresAt - this.#wallNow(), lifetime)
    const { advisory, mandatory } = this.#env.windows(lifetime, this.#generation === 0)
    const deadline = this.#now() + left
    const exit = Exit.succeed(token)
    this.#held = { token, exit, deadline, advisory, mandatory, isPrivate, isAdopted, doubt: "none" }
    this.#generation = Math.max(this.#generation, token.generation)
    if (this.#longest !== undefined && lifetime > this.#longest) this.#longest = undefined
    // The schedule would renew a token that is dead on arrival again at once, and for ever.
    this.#setback = this.#valid() === undefined ? this.#setbackOf(this.#isDeadOnArrival(), failures) : undefined
  }

  #fail(cause: Cause.Cause<TokenError.RenewalReason>): Setback.Setback {
    this.#phase = idle
    if (this.#held?.doubt === "replacing") this.#held.doubt = "none"
    const exit = Exit.failCause(Cause.map(cause, (reason) => this.#toError(reason)))
    const setback = this.#setbackOf(exit, this.#setback?.failures ?? 0)
    this.#setback = setback
    return setback
  }

  /** Puts the round off, where its callers wait for another attempt. */
  #putOff(delay: number | undefined): boolean {
    const round = this.#round
    const setback = this.#setback
    if (round?.patience === undefined || setback?.error === undefined || setback.isFatal) return false
    if (delay === undefined || this.#usable() !== undefined) return false
    const asked = setback.error.retryAfter === undefined ? 0 : Duration.toMillis(setback.error.retryAfter)
    const at = this.#now() + Math.max(delay, asked)
    if (at >= round.patience) return false
    round.notBefore = at
    return true
  }

  /** Asks the policy's schedule for the delay before another attempt of the same round. */
  #delayAfter(cause: Cause.Cause<TokenError.RenewalReason>): Effect.Effect<number | undefined> {
    const round = this.#round
    const reason = reasonOf(cause)
    if (round?.patience === undefined || reason === undefined || !reason.isRetryable) return Effect.succeed(undefined)
    const { policy, random } = this.#env
    const jitter = (millis: number) => millis * (0.8 + 0.4 * random.nextDoubleUnsafe())
    const next = round.nextDelay === undefined ? delays(policy.retry, jitter) : Effect.succeed(round.nextDelay)
    return Effect.flatMap(next, (nextDelay) => {
      round.nextDelay = nextDelay
      return nextDelay(this.#now(), reason)
    })
  }

  /** The rest of a sign-out: waits for the end of the attempt that ran, then clears the store. */
  #leave(phase: Leaving): Effect.Effect<void> {
    const interrupted = phase.interrupted?.fiber
    return Effect.andThen(
      interrupted === undefined ? Effect.void : Fiber.interrupt(interrupted),
      Effect.interruptible(this.#env.exchange.clear(this))
    ).pipe(
      Effect.mapError((reason) => this.#toError(reason)),
      Effect.exit,
      Effect.map((exit) => {
        if (this.#phase === phase) this.#phase = idle
        this.#changed()
        Deferred.doneUnsafe(phase.done, exit)
      })
    )
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What is known of the token.
  // -------------------------------------------------------------------------------------------------------------------

  get #isKeptFresh() {
    return this.#env.policy.whenIdle === "keep-fresh"
  }

  #wallNow() {
    return this.#env.clock.currentTimeMillisUnsafe()
  }

  #now() {
    return monotonic(this.#env.clock)
  }

  #isPaused(until: number | undefined) {
    return until !== undefined && this.#now() < until
  }

  #remaining(held: Held) {
    return Math.min(held.token.expiresAt - this.#wallNow(), held.deadline - this.#now())
  }

  #lasts(held: Held, wanted: number) {
    return held.doubt === "none" && this.#remaining(held) >= wanted
  }

  /**
   * How long a fresh token lasts, as the held one shows. A token was not fresh when it came from the store, or when its
   * exchange took longer than it may, because the machine slept: such a token shows only its lifetime.
   */
  #freshFor(held: Held) {
    const lifetime = held.token.expiresAt - held.token.issuedAt
    const left = this.#remaining(held)
    return held.isAdopted || lifetime - left > this.#env.policy.exchangeTimeout ? lifetime : left
  }

  /** The held credential, unless its token has expired. */
  #valid(): Held | undefined {
    const held = this.#held
    return held !== undefined && this.#phase !== closed && this.#remaining(held) > 0 ? held : undefined
  }

  /** The held credential, unless its token has expired or the API refused it. */
  #usable(): Held | undefined {
    const held = this.#valid()
    return held?.doubt === "refused" ? undefined : held
  }

  #forget() {
    this.#held = undefined
    this.#setback = undefined
    this.#longest = undefined
  }

  /** Reads both clocks again: a stepped wall clock moves the instant up to which `get` need not look. */
  #settleQuiet() {
    const held = this.#phase === closed || this.#held?.doubt !== "none" ? undefined : this.#held
    this.#quietUntil = held === undefined ? -Infinity : this.#wallNow() + this.#remaining(held) - held.advisory
    this.#quietMonotonic = held === undefined ? -Infinity : held.deadline - held.advisory
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Failures.
  // -------------------------------------------------------------------------------------------------------------------

  #toError(reason: TokenError.Reason): TokenError.TokenError {
    const validUntil = this.#usable()?.token.expiresAt
    return new TokenError.TokenError({ provider: this.provider.name, reason, validUntil })
  }

  #failWith(reason: TokenError.Reason): Exit.Exit<never, TokenError.TokenError> {
    return Exit.fail(this.#toError(reason))
  }

  #setbackOf(exit: Setback.Setback["exit"], failures: number): Setback.Setback {
    const { policy, random } = this.#env
    return Setback.make({
      exit,
      error: Exit.isFailure(exit) ? reasonOf(exit.cause) : undefined,
      failures: failures + 1,
      now: this.#now(),
      policy,
      traits: this.provider.traits,
      random: () => random.nextDoubleUnsafe()
    })
  }

  /** The failure that callers get at once, because no retry can help or because they may not wait for the next attempt. */
  #remembered(): Get | undefined {
    const setback = this.#setback
    if (this.#round !== undefined || setback === undefined) return undefined
    const pause = setback.forCallers - this.#now()
    const isKnown = pause > 0 && (setback.isFatal || pause >= this.#env.policy.acquireTimeout)
    return isKnown ? this.#failAgain(setback) : undefined
  }

  /** Fails from memory. What the error says about the held token may have changed since. */
  #failAgain({ error, exit }: Setback.Setback): Get {
    const isCurrent = error === undefined || error.validUntil === this.#usable()?.token.expiresAt
    return this.#asExpired(isCurrent ? exit : this.#failWith(error.reason))
  }

  /** Says that the held token has expired, where it has. */
  #asExpired(outcome: Exit.Exit<AccessToken.AccessToken, TokenError.TokenError>): Get {
    const held = this.#held
    if (held === undefined || this.#valid() !== undefined) return outcome
    const { expiresAt } = held.token
    return Effect.mapError(outcome, (error) =>
      TokenError.isRenewalReason(error.reason)
        ? this.#toError(new TokenError.TokenExpired({ expiredAt: expiresAt, renewal: error.reason }))
        : error
    )
  }

  #isClosed() {
    return this.#failWith(new TokenError.ServiceClosed())
  }

  #isDeadOnArrival() {
    return this.#failWith(new TokenError.MalformedResponse({ problem: "each new token had already expired" }))
  }

  #isTooShort(wanted: number) {
    const held = this.#held
    if (held !== undefined) this.#longest = Math.max(this.#longest ?? 0, this.#freshFor(held))
    const available = Duration.millis(this.#longest ?? 0)
    return this.#failWith(new TokenError.LifetimeTooShort({ requested: Duration.millis(wanted), available }))
  }
}

const differs = (a: State, b: State) =>
  a.phase !== b.phase || a.generation !== b.generation || a.lastFailure !== b.lastFailure || a.degraded !== b.degraded
