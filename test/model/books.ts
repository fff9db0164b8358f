/**
 * The books on each service: what it holds, what its callers came for, which failure was when. From them follows what it
 * may do now: why it makes an exchange, and whether it is time for one.
 */
import type { Effect, Scope } from "effect"
import type { TokenService } from "effect-video-auth"
import {
  acquireTimeout,
  fatalForOf,
  fatalPause,
  glance,
  grain,
  longPause,
  shortestPause,
  stormLimit,
  stormWindow,
  tick,
  windowsOf
} from "./policy.ts"
import type { Program } from "./program.ts"
import type * as Server from "./server.ts"
import type { World } from "./world.ts"

/** What a service holds, as the server knows it. Instants are when its life began, on both clocks of the machine. */
export interface Held {
  readonly issued: Server.Issued
  readonly wall: number
  readonly mono: number
  /** The engine counts from when the request left, so it takes the token to be older by this. */
  readonly margin: number
  readonly since: number
  readonly isAdopted: boolean
  /** The wall was stepped back meanwhile: whether it has expired is known when the clocks are compared again. */
  steppedBack: boolean
  /** In which turn somebody said that the API refused it; `Infinity` while nobody has. */
  refusedIn: number
}

/** Why a service may make an exchange. */
export type Reason = "renew" | "reject" | "short" | "early" | "cold" | "scheduled"

/** What a caller came for, which explains an exchange. */
export interface Credit {
  readonly reason: Exclude<Reason, "scheduled">
  readonly at: number
  readonly turn: number
  /** How often the clocks had been moved. */
  readonly moves: number
  /** The token refused, or how long one was asked for. */
  readonly access: string | undefined
  readonly duration: number
  /** When whoever called had an answer, or went, on the timers' time. */
  ended: number
}

/** From asking for the lease to telling what became of it. */
export interface Attempt {
  readonly reasons: ReadonlyArray<Reason>
  /** Why there should be none at all yet, if so. */
  readonly premature: string | undefined
  /** Without a lease, as where the store is down, it is on its own. */
  isLeased: boolean
  exchange: Server.Exchange | undefined
  /**
   * The token that no `get` begun now may have back while this goes on: it was refused, or is being killed. Where the
   * clocks are moved it may have been past its time then, which is not refused, and be valid again.
   */
  avoid: { readonly access: string; readonly turn: number; readonly moves: number; readonly at: number } | undefined
}

/** One service and the books on it. */
export interface Served {
  /** Which of the program's two services; a new one takes the place of one that closed. */
  readonly index: number
  /** Counts the services of a program. */
  readonly number: number
  readonly scope: Scope.Closeable
  readonly service: TokenService.TokenService["Service"]
  /** Asks for the token of another identity of the same map, where there is one. */
  readonly stranger: Effect.Effect<unknown, unknown>
  phase: "open" | "closing" | "closed"
  /** Its latest call of the store failed. */
  isAlone: boolean
  /** The store let it send one exchange, and it has not done so yet. */
  maySend: boolean
  held: Held | undefined
  previous: { readonly held: Held; readonly until: number } | undefined
  /** A scheduler owes it a token. */
  wanted: boolean
  signingOut: number
  /** It signs out and has not asked the store yet: an attempt that is under way ends first, and nothing comes of it. */
  isLeaving: boolean
  /** When it last began to sign out. */
  signedOutAt: number
  signOuts: number
  evictions: number
  attempt: Attempt | undefined
  /** When its renewal through the store began, on the timers' time: it may wait for the lease longer than its callers do. */
  renewalBegan: number | undefined
  failure:
    | { readonly at: number; readonly timer: number; readonly fatal: boolean; readonly retryAfter: number }
    | undefined
  credits: Array<Credit>
  /** Answered by the server, and nobody has said yet what became of it. */
  inHand: Server.Issued | undefined
  storms: Array<number>
}

export type Books = ReturnType<typeof make>

export const make = (program: Program, world: World) => {
  const { mono, moved, timer, violated, wall } = world
  const lifetime = program.lifetime * 1000
  const keepFresh = program.whenIdle === "keep-fresh"
  const { mandatory, window: ofPolicy } = windowsOf(lifetime)
  /** A map spreads the first renewals over the whole life of the tokens. */
  const window = program.host === "map" ? lifetime : ofPolicy

  const all: Array<Served> = []

  const begin = (about: Pick<Served, "index" | "scope" | "service" | "stranger">): Served => {
    const served: Served = {
      ...about,
      number: all.length,
      phase: "open",
      isAlone: false,
      maySend: false,
      held: undefined,
      previous: undefined,
      wanted: false,
      signingOut: 0,
      isLeaving: false,
      signedOutAt: -Infinity,
      signOuts: 0,
      evictions: 0,
      attempt: undefined,
      renewalBegan: undefined,
      failure: undefined,
      credits: [],
      inHand: undefined,
      storms: []
    }
    all.push(served)
    return served
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What is known of a token
  // -------------------------------------------------------------------------------------------------------------------

  const wallAge = (held: Held) => wall() - held.wall
  const monoAge = (held: Held) => mono() - held.mono
  const age = (held: Held) => Math.max(wallAge(held), monoAge(held))

  /** Whether it has spent this much of its life, or will have so soon that the engine may say so already. */
  const hasSpent = (held: Held, millis: number) => age(held) + held.margin + grain >= millis

  /** The engine cannot but take it to be valid. */
  const surelyValid = (held: Held | undefined): held is Held =>
    held !== undefined && !hasSpent(held, held.issued.lifetime)

  /** It is valid, and nobody has refused it. */
  const isUsable = (held: Held | undefined): held is Held => surelyValid(held) && held.refusedIn === Infinity

  /** The engine knows that it has expired, or must by now. */
  const surelyExpired = (held: Held) => {
    if (wallAge(held) >= held.issued.lifetime) return true
    const over = monoAge(held) - held.issued.lifetime
    const compared = keepFresh ? tick : glance
    return over >= 0 && (!held.steppedBack || Math.min(over, timer() - moved.at) > compared + grain)
  }

  /** Since when nobody can have taken it to be valid, in milliseconds of running time; 0 while somebody can. */
  const overdue = (held: Held | undefined) => {
    const over = (age: number) => (age < lifetime ? 0 : Math.min(age - lifetime, timer() - moved.at))
    return held === undefined ? Infinity : Math.max(over(wallAge(held)), over(monoAge(held)))
  }

  const hold = (served: Served, issued: Server.Issued, isAdopted: boolean) => {
    if (served.held !== undefined) served.previous = { held: served.held, until: mono() }
    const sinceIssue = wall() - issued.wall
    served.held = {
      issued,
      wall: issued.wall,
      mono: isAdopted ? mono() - Math.max(0, sinceIssue) : issued.issuedMono,
      margin: issued.issuedMono - issued.sentMono,
      since: mono(),
      isAdopted,
      steppedBack: false,
      refusedIn: Infinity
    }
    served.wanted = true
    served.failure = undefined
  }

  /** The engine goes on with a token that no store took. */
  const holdPrivately = (served: Served) => {
    if (served.inHand === undefined) return
    hold(served, served.inHand, false)
    served.inHand = undefined
  }

  /** Signed out. */
  const forget = (served: Served) => {
    served.held = undefined
    served.previous = undefined
    served.wanted = false
    served.failure = undefined
    served.inHand = undefined
    served.attempt = undefined
    // Who went before the sign-out wants nothing any more.
    served.credits = served.credits.filter(({ ended }) => ended === Infinity)
  }

  /** The map needed the room. It knows nothing of this identity any more. */
  const evict = (served: Served) => {
    forget(served)
    served.evictions += 1
    served.storms = []
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What callers came for, and what it explains
  // -------------------------------------------------------------------------------------------------------------------

  const credit = (served: Served, reason: Credit["reason"], details: { access?: string; duration?: number } = {}) => {
    const { access, duration = 0 } = details
    const credit: Credit = {
      reason,
      at: mono(),
      turn: world.turn(),
      moves: moved.times,
      access,
      duration,
      ended: Infinity
    }
    served.credits.push(credit)
    const { held } = served
    if (reason === "reject" && held !== undefined && held.issued.access === access) {
      held.refusedIn = Math.min(held.refusedIn, credit.turn)
    }
    markRejected(served)
    return credit
  }

  /** While the token held is being replaced because it was refused, nobody gets it. */
  const markRejected = ({ attempt, credits, held }: Served) => {
    if (attempt === undefined || held === undefined || attempt.avoid !== undefined) return
    const refused = credits.find((credit) => credit.reason === "reject" && credit.access === held.issued.access)
    if (refused !== undefined)
      attempt.avoid = { access: held.issued.access, turn: refused.turn, moves: refused.moves, at: refused.at }
  }

  const explains = ({ held, renewalBegan }: Served, credit: Credit): boolean => {
    const { access, duration, ended, moves, reason } = credit
    switch (reason) {
      case "renew":
        return true
      case "cold":
        // A moved clock may make valid again what was not when somebody came for it.
        return (!isUsable(held) || moves !== moved.times) && (renewalBegan ?? timer()) - ended <= acquireTimeout + grain
      case "reject":
        return held !== undefined && held.issued.access === access
      case "short":
        return held !== undefined && age(held) + held.margin + duration + grain > lifetime
      case "early":
        return held !== undefined && hasSpent(held, lifetime - window)
    }
  }

  /** Whether the schedule tries no more by itself: another refusal could lock the account. */
  const leavesToCallers = ({ failure }: Served) => program.locks && failure?.fatal === true

  const explain = (served: Served): ReadonlyArray<Reason> => {
    const { credits, failure, held, wanted } = served
    const reasons = new Set<Reason>()
    for (const credit of credits) if (explains(served, credit)) reasons.add(credit.reason)
    const isDue =
      held === undefined || held.refusedIn < Infinity ? failure !== undefined : hasSpent(held, lifetime - window)
    if (keepFresh && wanted && isDue && !leavesToCallers(served)) reasons.add("scheduled")
    return [...reasons]
  }

  /** Why an attempt must not be made yet. */
  const premature = ({ failure, held }: Served, reasons: ReadonlyArray<Reason>): string | undefined => {
    if (failure === undefined) return undefined
    const passed = mono() - failure.at + grain
    const isUrgent = reasons.some((reason) => reason !== "scheduled" && reason !== "early")
    if (passed < failure.retryAfter) return `the platform asked for ${failure.retryAfter} ms, and got ${passed}`
    if (failure.fatal) {
      if (passed < fatalForOf(program)) return `a fatal failure was repeated after ${passed} ms`
      return isUrgent || passed >= fatalPause ? undefined : `nobody needed it ${passed} ms after a fatal failure`
    }
    if (passed < shortestPause) return `an attempt ${passed} ms after a failed one`
    const isRelaxed = isUsable(held) && !hasSpent(held, lifetime - mandatory)
    return isRelaxed && !isUrgent && passed < longPause.shortest
      ? `an attempt ${passed} ms after a failed one, though the token was good`
      : undefined
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Attempts
  // -------------------------------------------------------------------------------------------------------------------

  const beginAttempt = (served: Served): Attempt => {
    const reasons = explain(served)
    const attempt: Attempt = {
      reasons,
      premature: premature(served, reasons),
      isLeased: false,
      exchange: undefined,
      avoid: undefined
    }
    served.attempt = attempt
    markRejected(served)
    return attempt
  }

  /** Whether a credit goes on to explain attempts when one has ended. */
  const outlives = ({ at, ended, reason }: Credit, succeeded: boolean): boolean => {
    if (at === mono()) return true
    if (reason === "short" || reason === "early") return ended === Infinity
    return reason === "cold" && (ended === Infinity || (!succeeded && timer() - ended <= acquireTimeout))
  }

  const endAttempt = (served: Served, succeeded: boolean) => {
    const { attempt } = served
    served.attempt = undefined
    // What was found in the store is no answer yet to those who asked for more.
    if (succeeded && attempt?.exchange === undefined) return
    served.credits = served.credits.filter((credit) => outlives(credit, succeeded))
    if (!succeeded || attempt?.reasons.every((reason) => reason === "reject") !== true) return
    served.storms = served.storms.filter((at) => mono() - at < stormWindow)
    served.storms.push(mono())
    if (served.storms.length > stormLimit) violated(7, `${served.storms.length} renewals by rejection in 30 s`)
  }

  return {
    all,
    open: () => all.filter(({ phase }) => phase === "open"),
    latest: (index: number) => all.findLast((served) => served.index === index)!,
    byNumber: (number: number) => all[number]!,
    begin,
    age,
    surelyValid,
    surelyExpired,
    overdue,
    leavesToCallers,
    hold,
    holdPrivately,
    forget,
    evict,
    credit,
    beginAttempt,
    endAttempt
  }
}
