/**
 * The token that an engine holds: how long it lasts, by two clocks, and what an error says of it.
 *
 * A wall clock that is stepped back makes an expired token look valid, and a monotonic clock may stop while the machine
 * sleeps. So the earlier of both counts.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { AccessToken } from "../AccessToken.ts"
import * as TokenError from "../TokenError.ts"
import { monotonic } from "../shared/time.ts"
import type { Environment } from "./actor.ts"
import { type Received, remaining } from "./exchange.ts"
import type { Held } from "./held.ts"
import type { Setback } from "./setback.ts"

/** Where no schedule compares the clocks, `get` does when this much has passed since it last did. Milliseconds. */
const glance = 1_000

/** What is held for one identity. */
export class Credential {
  readonly #provider: string
  readonly #env: Environment

  /** Valid, expired or refused. */
  held: Held | undefined
  /** The highest generation seen; it survives a sign-out. */
  generation = 0
  /** A fresh token lasts no longer than this many milliseconds, which was too short for a caller. */
  #longest: number | undefined
  /** Until these instants, on the wall clock and on the monotonic clock, the token is served without another thought. */
  #quietUntil = -Infinity
  #quietMonotonic = -Infinity
  /** When the clocks were last compared, on the wall clock. */
  #compared = -Infinity

  constructor(provider: string, env: Environment) {
    this.#provider = provider
    this.#env = env
  }

  wallNow(): number {
    return this.#env.clock.currentTimeMillisUnsafe()
  }

  now(): number {
    return monotonic(this.#env.clock)
  }

  hold(renewed: Received): void {
    const {
      isAdopted,
      known: { isPrivate },
      token
    } = renewed
    const lifetime = token.expiresAt - token.issuedAt
    const deadline = this.now() + remaining(renewed, this.#env.clock)
    const { advisory, mandatory } = this.#env.windows(lifetime, this.generation === 0)
    const exit = Exit.succeed(token)
    this.held = { token, exit, deadline, advisory, mandatory, isPrivate, isAdopted, doubt: "none", wasRefused: false }
    this.generation = Math.max(this.generation, token.generation)
    if (this.#longest !== undefined && lifetime > this.#longest) this.#longest = undefined
  }

  forget(): void {
    this.held = undefined
    this.#longest = undefined
  }

  /** A refresh under way ends the token: `get` waits for the outcome. */
  replace(): void {
    if (this.held?.doubt !== "none") return
    this.held.doubt = "replacing"
    this.settle()
  }

  /** That refresh failed. */
  keep(): void {
    if (this.held?.doubt === "replacing") this.held.doubt = "none"
  }

  // What a look at the clocks says.

  remaining({ deadline, token }: Held): number {
    return Math.min(token.expiresAt - this.wallNow(), deadline - this.now())
  }

  /** The held credential, unless its token has expired. */
  valid(): Held | undefined {
    const { held } = this
    return held !== undefined && this.remaining(held) > 0 ? held : undefined
  }

  /** The held credential, unless its token has expired or the API refused it. */
  usable(): Held | undefined {
    const held = this.valid()
    return held?.doubt === "refused" ? undefined : held
  }

  /** The token, where a look at the wall clock is enough to serve it; `isWatched` if a schedule compares the clocks. */
  quick(isWatched: boolean): Exit.Exit<AccessToken> | undefined {
    const wall = this.#env.clock.currentTimeMillisUnsafe()
    if (wall >= this.#quietUntil) return undefined
    // To read the monotonic clock takes longer than all the rest.
    if (!isWatched && !(wall > this.#compared && wall < this.#compared + glance)) {
      if (this.now() >= this.#quietMonotonic) return undefined
      this.#compared = wall
    }
    return this.held?.exit
  }

  /** Reads both clocks: a stepped wall clock moves the instant up to which {@link quick} serves the token. */
  settle(): void {
    const held = this.held?.doubt === "none" ? this.held : undefined
    this.#compared = -Infinity
    this.#quietUntil = held === undefined ? -Infinity : this.wallNow() + this.remaining(held) - held.advisory
    this.#quietMonotonic = held === undefined ? -Infinity : held.deadline - held.advisory
  }

  // Tokens that last as long as a caller asks.

  lasts(held: Held, wanted: number): boolean {
    return held.doubt === "none" && this.remaining(held) >= wanted
  }

  /**
   * How long a fresh token lasts, as the held one shows. A token was not fresh when it came from the store, or when its
   * exchange took longer than it may, because the machine slept: such a token shows only its lifetime.
   */
  freshFor(held: Held): number {
    const lifetime = held.token.expiresAt - held.token.issuedAt
    const left = this.remaining(held)
    return held.isAdopted || lifetime - left > this.#env.policy.exchangeTimeout ? lifetime : left
  }

  /** Whether fresh tokens are known not to last that long. */
  neverLasts(wanted: number): boolean {
    return this.#longest !== undefined && wanted > this.#longest
  }

  /** Remembers how long a fresh token lasts, which is too short. */
  tooShort(wanted: number): Exit.Exit<never, TokenError.TokenError> {
    if (this.held !== undefined) this.#longest = Math.max(this.#longest ?? 0, this.freshFor(this.held))
    const available = Duration.millis(this.#longest ?? 0)
    return this.failWith(new TokenError.LifetimeTooShort({ requested: Duration.millis(wanted), available }))
  }

  // What errors say.

  /** Until when an error may call the held token valid. */
  get #validUntil(): number | undefined {
    const held = this.valid()
    return held?.wasRefused === false ? held.token.expiresAt : undefined
  }

  toError(reason: TokenError.Reason): TokenError.TokenError {
    return new TokenError.TokenError({ provider: this.#provider, reason, validUntil: this.#validUntil })
  }

  failWith(reason: TokenError.Reason): Exit.Exit<never, TokenError.TokenError> {
    return Exit.fail(this.toError(reason))
  }

  /** An earlier failure, for callers of now. What its error says about the held token may have changed since. */
  anew({ error, exit }: Pick<Setback, "error" | "exit">): Setback["exit"] {
    return error === undefined || error.validUntil === this.#validUntil ? exit : this.failWith(error.reason)
  }

  /** Fails from memory. */
  failAgain(setback: Setback): Effect.Effect<never, TokenError.TokenError> {
    return this.asExpired(this.anew(setback))
  }

  /** Says that the held token has expired, where it has. */
  asExpired<A>(outcome: Exit.Exit<A, TokenError.TokenError>): Effect.Effect<A, TokenError.TokenError> {
    const { held } = this
    if (held === undefined || this.valid() !== undefined) return outcome
    const { expiresAt } = held.token
    return Effect.mapError(outcome, (error) =>
      TokenError.isRenewalReason(error.reason)
        ? this.toError(new TokenError.TokenExpired({ expiredAt: expiresAt, renewal: error.reason }))
        : error
    )
  }
}
