/**
 * The engine behind `TokenService`, one for each identity. It decides when to renew, who waits, and what a failure means.
 * `credential.ts` knows the token in hand, `exchange.ts` makes the attempts, and `actor.ts` watches the clock.
 *
 * A caller looks at the state, changes it, wakes the actor and waits. The actor starts whatever is due, in the context of
 * the layer. All state changes are synchronous, so nobody ever sees one half done, and no fibre holds anything between
 * two of them. An engine at rest has no fibre and no timer, because a program may have very many.
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
 * | transient (no network, 5xx) | waits for further attempts, after 1 s, 2 s and 4 s, for 20 s at most; then the next attempt follows 1 s to 10 s after the last | serves it; close to expiry the next attempt follows after 1 s to 10 s, earlier after 30 s | fails with the same error until 1 s to 10 s have passed | as `get` with a valid token; without one, again 1 s to 10 s after the last |
 * | transient, with a `retryAfter` | waits until then, or fails at once if that is longer than it may wait | serves it; no attempt before then | fails with the same error until then | no attempt before then |
 * | fatal (wrong key) | fails at once, from memory, for 5 s to 10 s | serves it; the next attempt follows after 5 minutes | fails with the same error for 5 s to 10 s | the next attempt follows after 5 minutes |
 * | fatal, where refusals lock the account | fails at once, from memory, for 5 to 10 minutes | serves it; the next attempt follows after 5 to 10 minutes | fails with the same error for 5 to 10 minutes | makes no attempt until a caller's has succeeded |
 *
 * "1 s to 10 s" doubles with each failure in a row; other ranges are drawn at random. The schedule is that of `keep-fresh`.
 * A token that the API refused is not usable, even though it has not expired. Only `get` still serves it, and only while
 * a renewal has just failed. Durations (pauses, timeouts, the storm window) are read on the monotonic clock only.
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
import { atMost } from "../shared/time.ts"
import type { Environment, Work } from "./actor.ts"
import { Credential } from "./credential.ts"
import * as Exchange from "./exchange.ts"
import { closed, type Exchanging, fibersOf, idle, type Leaving, leavingFrom, type Phase } from "./phase.ts"
import { delayAfter, type Ending, type Outcome, type Round } from "./round.ts"
import * as Setback from "./setback.ts"
import { differs, type State } from "./state.ts"
import * as Storm from "./storm.ts"

/** Bounds the exchanges of a `get` at a platform that issues tokens already expired. Each of them is a transient failure. */
const looks = 3

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
  readonly #token: Credential
  /** The renewal that callers wait for, or that the schedule wants. */
  #round: Round | undefined
  #setback: Setback.Setback | undefined
  #rejections: Storm.Rejections = []
  /** Completed by the next change of the state, where somebody waits for it. */
  #changes: Deferred.Deferred<void> | undefined

  constructor(provider: TokenProvider, identity: string, env: Environment) {
    this.provider = provider
    this.identity = identity
    this.#env = env
    this.#token = new Credential(provider.name, env)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What callers do: look at the state, change it, wake the actor, wait.
  // -------------------------------------------------------------------------------------------------------------------

  /** The held token, where a look at the clock is enough to serve it. */
  quick(): Exit.Exit<AccessToken.AccessToken> | undefined {
    // While the schedule has something due, its ticks compare the clocks, at least every 30 s. So the wall clock is enough.
    return this.#token.quick(this.wakeAt < Infinity && this.#env.policy.whenIdle === "keep-fresh")
  }

  get(): Get {
    return this.quick() ?? this.#look(looks)
  }

  #look(tries: number): Get {
    if (this.#phase === closed) return this.#isClosed()
    const held = this.#token.valid()
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
    const left = this.#token.remaining(held)
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
      return tries > 1
        ? Effect.suspend(() => this.#look(tries - 1))
        : (this.#token.valid()?.exit ?? this.#isDeadOnArrival())
    })
  }

  renew(): Get {
    if (this.#phase === closed) return this.#isClosed()
    const setback = this.#setback
    return this.#round === undefined && setback !== undefined && this.#isPaused(setback.forCallers)
      ? this.#token.failAgain(setback)
      : this.#join(this.#demand("renew"), (outcome) => this.#token.asExpired(outcome))
  }

  getValidFor(duration: Duration.Input): Get {
    return this.#find(Duration.toMillis(Duration.fromInputUnsafe(duration)), 2)
  }

  #find(wanted: number, tries: number): Get {
    const current = this.#token.valid()
    if (current !== undefined && this.#token.lasts(current, wanted)) return current.exit
    if (this.#token.neverLasts(wanted)) return this.#token.tooShort(wanted)
    return Effect.flatMap(current === undefined ? this.#look(looks) : this.renew(), () => {
      const held = this.#token.held
      if (held !== undefined && this.#token.lasts(held, wanted)) return held.exit
      // It was not fresh when it came, or somebody signed out meanwhile: one more renewal gives a fresh one.
      const isPromising = held === undefined || this.#token.freshFor(held) >= wanted
      return tries > 1 && isPromising ? this.#find(wanted, tries - 1) : this.#token.tooShort(wanted)
    })
  }

  reject(token: AccessToken.AccessToken): Get {
    const { held } = this.#token
    if (held === undefined || !AccessToken.isSameCredential(held.token, token)) {
      // What the store has may be just the token that was refused.
      const isRefused = (found: AccessToken.AccessToken) => AccessToken.isSameCredential(found, token)
      return Effect.flatMap(this.#look(looks), (found) => (isRefused(found) ? this.reject(token) : Exit.succeed(found)))
    }
    held.wasRefused = true
    const isExpired = this.#token.valid() === undefined
    const storm = Storm.breaker(this.#rejections, this.#env.policy.stormLimit, this.#now())
    if (!isExpired && this.#round === undefined && storm !== undefined) return this.#token.failWith(storm)
    held.doubt = "refused"
    this.#token.settle()
    // A clock that is set back may make it valid again, but it stays refused.
    if (isExpired) return this.#look(looks)
    const ifRenewed = (outcome: Outcome) => (Exit.isSuccess(outcome) ? this.#serveOr(outcome) : outcome)
    return this.#remembered() ?? this.#join(this.#demand("rejected"), ifRenewed)
  }

  /** Signs out. The token is gone when this returns; the effect waits for the store. */
  invalidate(): Effect.Effect<void, TokenError.TokenError> {
    const phase = this.#phase
    if (phase === closed) return this.#isClosed()
    // A second sign-out waits for the first. It also ends what callers have asked for since then.
    const leaving = leavingFrom(phase)
    this.#phase = leaving
    this.#token.forget()
    this.#setback = undefined
    this.#settle("signed-out")
    return Deferred.await(leaving.done)
  }

  state(): State {
    const { generation, held } = this.#token
    const due = this.#phase === closed ? Infinity : this.#untilScheduled()
    return {
      phase: this.#stage,
      generation,
      expiresAt: held?.token.expiresAt,
      renewAt: due === Infinity ? undefined : this.#token.wallNow() + Math.max(0, due),
      lastFailure: this.#setback?.error,
      degraded: held?.isPrivate === true
    }
  }

  get #stage(): State["phase"] {
    if (this.#phase === closed) return "closed"
    const isBusy = this.#phase._tag === "Exchanging"
    if (this.#token.usable() !== undefined) return isBusy ? "renewing" : "valid"
    if (isBusy) return "acquiring"
    return this.#setback === undefined ? "empty" : "failed"
  }

  awaitChange(seen: State): Effect.Effect<State> {
    const state = this.state()
    if (differs(state, seen)) return Effect.succeed(state)
    const changed = Deferred.await((this.#changes ??= Deferred.makeUnsafe()))
    const { held } = this.#token
    const left = held === undefined ? 0 : this.#token.remaining(held)
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
    this.#token.forget()
    this.#token.settle()
  }

  /**
   * Ends it and interrupts whoever waits. It is closed when this returns; the effect waits for what runs. A request under
   * way is cut, except a refresh without a login behind it, which gets `shutdownGrace`. A response that has arrived is stored.
   */
  close(): Effect.Effect<void> {
    const phase = this.#phase
    this.retire()
    this.#settle(Exit.interrupt())
    if (phase._tag === "Leaving") Deferred.doneUnsafe(phase.done, Exit.interrupt())
    const interrupt = Fiber.interruptAll(fibersOf(phase))
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
    const waits = trigger !== "scheduled" && this.#token.usable() === undefined
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
    const held = this.#token.valid()
    if (held !== undefined) return held.exit
    return Exit.isFailure(outcome) ? this.#token.asExpired(outcome) : Effect.suspend(() => this.#look(1))
  }

  /** Ends the round. Waking others runs them at once, so this comes last in whatever calls it. */
  #settle(ending: Ending, event?: TokenEvent) {
    const round = this.#round
    this.#round = undefined
    this.#changed(event)
    if (round !== undefined) Deferred.doneUnsafe(round.done, Exit.succeed(ending))
  }

  /**
   * Notifies the observers, and wakes the actor and whoever waits for a change. Observers run beside (`observers.ts`), so one
   * that hangs or throws delays nobody. Whoever waits for a change runs at once, so this comes last in whatever calls it.
   */
  #changed(event?: TokenEvent) {
    this.#token.settle()
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
    this.#token.settle()
    this.wakeAt = Infinity
    const phase = this.#phase
    if (phase === closed) return
    if (phase._tag === "Leaving") {
      if (phase.fiber === undefined) phase.fiber = this.#env.fork(this.#leave(phase))
      return
    }
    if (phase === idle && this.#round === undefined && this.#untilScheduled() <= 0) this.#demand("scheduled")
    const round = this.#round
    // First, because no attempt is made for callers who have waited long enough: the machine may have slept.
    if (round?.patience !== undefined && round.patience <= this.#now()) {
      const timeout = new TokenError.ProviderUnavailable({ failure: "timeout" })
      return this.#settle(this.#setback === undefined ? this.#token.failWith(timeout) : this.#token.anew(this.#setback))
    }
    if (phase === idle && round !== undefined && round.notBefore <= this.#now()) return this.#exchange()
    const time = this.#now()
    const attempt = phase._tag === "Exchanging" ? Infinity : (round?.notBefore ?? time + this.#untilScheduled())
    // A timer takes a millisecond at least; something due earlier would be asked for again and again.
    this.wakeAt = Math.max(time + 1, Math.min(attempt, round?.patience ?? Infinity))
  }

  /** Milliseconds until the schedule wants a renewal by itself; `Infinity` if it does not. */
  #untilScheduled(): number {
    const setback = this.#setback
    if (this.#env.policy.whenIdle !== "keep-fresh" || setback?.bySchedule === false) return Infinity
    const { held } = this.#token
    const time = this.#now()
    if (held === undefined) return setback === undefined ? Infinity : setback.nearExpiry - time
    const nearExpiry = setback === undefined ? 0 : setback.nearExpiry - time
    const left = this.#token.remaining(held)
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
    const age = this.#token.held === undefined ? undefined : this.#token.wallNow() - this.#token.held.token.issuedAt
    const sending = (operation: "login" | "refresh") => {
      phase.kind = operation
      const { oldTokenSurvivesRefresh, renewWith } = provider.traits
      const isRenewal = operation === "refresh" || renewWith === "login"
      if (isRenewal && !oldTokenSurvivesRefresh && this.#phase === phase) this.#token.replace()
    }
    const onSuccess = (renewed: Exchange.Received) => {
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
    const isHolding = this.#token.usable()?.doubt === "none"
    return this.#env.exchange.renew(this, { isHolding, sending }).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        Exit.isSuccess(exit)
          ? Effect.sync(() => onSuccess(exit.value))
          : Effect.map(delayAfter(this.#round, exit.cause, this.#env), (delay) => onFailure(exit.cause, delay))
      )
    )
  }

  #succeed(renewed: Exchange.Received) {
    this.#phase = idle
    if (this.#round?.trigger === "rejected") this.#rejections = Storm.recordRejection(this.#rejections, this.#now())
    this.#token.hold(renewed)
    // The schedule would renew a token that is dead on arrival again at once, and for ever.
    this.#setback = this.#token.valid() === undefined ? this.#setbackOf(this.#isDeadOnArrival()) : undefined
  }

  #fail(cause: Cause.Cause<TokenError.RenewalReason>): Setback.Setback {
    this.#phase = idle
    this.#token.keep()
    const exit = Exit.failCause(Cause.map(cause, (reason) => this.#token.toError(reason)))
    return (this.#setback = this.#setbackOf(exit))
  }

  /** Puts the round off, where its callers wait for another attempt. */
  #putOff(delay: number | undefined): boolean {
    const [round, setback] = [this.#round, this.#setback]
    if (round?.patience === undefined || setback?.error === undefined || setback.isFatal) return false
    if (delay === undefined || this.#token.usable() !== undefined) return false
    const asked = setback.error.retryAfter === undefined ? 0 : Duration.toMillis(setback.error.retryAfter)
    const at = this.#now() + Math.max(delay, asked)
    if (at >= round.patience) return false
    round.notBefore = at
    return true
  }

  /** The rest of a sign-out: waits for the end of the attempt that ran, then clears the store. */
  #leave(phase: Leaving): Effect.Effect<void> {
    const interrupted = phase.interrupted?.fiber
    return Effect.andThen(
      interrupted === undefined ? Effect.void : Fiber.interrupt(interrupted),
      Effect.interruptible(this.#env.exchange.clear(this))
    ).pipe(
      Effect.mapError((reason) => this.#token.toError(reason)),
      Effect.exit,
      Effect.map((exit) => {
        if (this.#phase === phase) this.#phase = idle
        this.#changed()
        Deferred.doneUnsafe(phase.done, exit)
      })
    )
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Failures.
  // -------------------------------------------------------------------------------------------------------------------

  #setbackOf(exit: Setback.Setback["exit"]) {
    return Setback.make(exit, this.#setback, this.#env, this.provider.traits)
  }

  /** The failure that callers get at once, because no retry can help or because they may not wait for the next attempt. */
  #remembered(): Get | undefined {
    const setback = this.#setback
    if (this.#round !== undefined || setback === undefined) return undefined
    const pause = setback.forCallers - this.#now()
    const isKnown = pause > 0 && (setback.isFatal || pause >= this.#env.policy.acquireTimeout)
    return isKnown ? this.#token.failAgain(setback) : undefined
  }

  #now() {
    return this.#token.now()
  }

  #isPaused(until: number | undefined) {
    return until !== undefined && this.#now() < until
  }

  #isClosed() {
    return this.#token.failWith(new TokenError.ServiceClosed())
  }

  #isDeadOnArrival() {
    return this.#token.failWith(new TokenError.MalformedResponse({ problem: "each new token had already expired" }))
  }
}
