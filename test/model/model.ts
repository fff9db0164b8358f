/**
 * Runs a program against the engine and the server model, and keeps books: what each service holds, who called for what,
 * which failure was when. From the books follows what the engine may do and what it must; the rest is a violation.
 *
 * The books are kept beneath and above the engine, never inside: at the provider, at the store, at the service's members
 * and from its events. Tokens are judged by the server's knowledge of them, never by what they say of themselves.
 */
import { Cause, Duration, Effect, Exit, type Fiber, Metric, Option, Redacted, Scope } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as AccessToken from "effect-video-auth/AccessToken"
import * as BearerClient from "effect-video-auth/BearerClient"
import { SplitClock } from "effect-video-auth/testing/SplitClock"
import { StoreUnavailable, type TokenError } from "effect-video-auth/TokenError"
import * as TokenEvent from "effect-video-auth/TokenEvent"
import * as TokenService from "effect-video-auth/TokenService"
import * as TokenStore from "effect-video-auth/TokenStore"
import { inspect } from "node:util"
import type { Op, Program } from "./program.ts"
import type { ShufflingScheduler } from "./scheduler.ts"
import * as Server from "./server.ts"

// What the policy says, in milliseconds. The model's own copy: a default that moves must move here as well.
const tick = 30_000
const exchangeTimeout = 30_000
const acquireTimeout = 20_000
const shutdownGrace = 5_000
const fatalFor = 5_000
const fatalPause = 300_000
const shortestPause = 800
const longPause = { shortest: 24_000, longest: 36_000 }
const leaseTime = 65_000
const stormLimit = 5
const stormWindow = 30_000

/** Timers have whole milliseconds. */
const grain = 3

/** What a service holds, as the server knows it. Instants are when its life began, on both clocks of the machine. */
interface Held {
  readonly issued: Server.Issued
  readonly wall: number
  readonly mono: number
  /** The engine counts from when the request left, so it takes the token to be older by this. */
  readonly margin: number
  readonly since: number
  readonly isAdopted: boolean
  /** The wall was stepped back meanwhile: whether it has expired is known at the next tick. */
  steppedBack: boolean
}

/** Why a service may make an exchange. */
type Reason = "renew" | "reject" | "short" | "early" | "cold" | "scheduled"

interface Credit {
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
interface Attempt {
  readonly reasons: ReadonlyArray<Reason>
  readonly at: number
  /** Why there should be none at all yet, if so. */
  readonly premature: string | undefined
  /** When it got the lease, if it did; without one, as where the store is down, it is on its own. */
  leasedAt: number
  exchange: Server.Exchange | undefined
  exchangeTurn: number
  /** The token that no `get` begun now may have back while this goes on: it was refused, or is being killed. */
  avoid: { readonly access: string; readonly turn: number } | undefined
}

interface Caller {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly name: string
  readonly served: Served
  ended: boolean
  cancelled: boolean
}

/** One service and the books on it. */
interface Served {
  readonly index: number
  readonly number: number
  readonly scope: Scope.Closeable
  readonly service: TokenService.TokenService["Service"]
  phase: "open" | "closing" | "closed"
  held: Held | undefined
  previous: { readonly held: Held; readonly until: number } | undefined
  /** A scheduler owes it a token. */
  wanted: boolean
  signingOut: number
  signOuts: number
  attempt: Attempt | undefined
  failure:
    | { readonly at: number; readonly timer: number; readonly fatal: boolean; readonly retryAfter: number }
    | undefined
  credits: Array<Credit>
  /** Answered by the server, and nobody has said yet what became of it. */
  inHand: Server.Issued | undefined
  storms: Array<number>
}

export const run = Effect.fnUntraced(function* (program: Program, scheduler: ShufflingScheduler) {
  const split = yield* SplitClock
  const clock = yield* TestClock.testClockWith((clock) => Effect.succeed(clock))
  const lifetime = program.lifetime * 1000
  const hasStore = program.hasStore || !program.hasLogin
  const keepFresh = program.whenIdle === "keep-fresh"
  const window = Math.min(900_000, lifetime / 4)
  const mandatory = Math.min(60_000, lifetime / 10)

  // -------------------------------------------------------------------------------------------------------------------
  // Clocks, the trace, violations
  // -------------------------------------------------------------------------------------------------------------------

  /** When the clocks were last moved without timers, on the timers' time. */
  let movedAt = -Infinity
  let moves = 0
  let stepped = 0
  let suspended = 0
  const wall = () => clock.currentTimeMillisUnsafe()
  const mono = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const real = () => wall() - stepped
  /** What timers run on: suspended machines do not advance it. */
  const timer = () => real() - suspended
  yield* split.stepWall(1_800_000_000_000)
  stepped = 1_800_000_000_000

  const trace: Array<string> = []
  const note = (what: string) => {
    trace.push(`${(timer() / 1000).toFixed(3)} ${what}`)
  }
  let violation: string | undefined
  const violated = (guarantee: number, what: string) => {
    note(`VIOLATION of guarantee ${guarantee}: ${what}`)
    violation ??= `guarantee ${guarantee}: ${what}`
  }
  const check = Effect.suspend(() =>
    violation === undefined
      ? Effect.void
      : Effect.fail(`${violation}\n  ${trace.slice(-50).join("\n  ").replaceAll(Server.secretMark, "")}`)
  )

  /** Counts what ran until nothing was left to run. What happened in an earlier turn has been taken notice of. */
  let turn = 0
  const settle = Effect.callback<void>((resume) => {
    scheduler.whenIdle(() => {
      turn += 1
      resume(Effect.void)
    })
  })

  const inspected = new WeakSet<object>()
  const showsNoSecret = (value: unknown, where: string) => {
    if (typeof value === "object" && value !== null) {
      if (inspected.has(value)) return
      inspected.add(value)
    }
    const shown = inspect(value, { depth: 8, showHidden: true }) + JSON.stringify(value)
    if (shown.includes(Server.secretMark)) violated(9, `a secret shows in ${where}`)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What is known of a token
  // -------------------------------------------------------------------------------------------------------------------

  const wallAge = (held: Held) => wall() - held.wall
  const monoAge = (held: Held) => mono() - held.mono
  const age = (held: Held) => Math.max(wallAge(held), monoAge(held))
  /** The engine cannot but take it to be valid. */
  const surelyValid = (held: Held | undefined): held is Held =>
    held !== undefined && age(held) + held.margin + grain < held.issued.lifetime
  /** The engine knows that it has expired, or must by now. */
  const surelyExpired = (held: Held) => {
    if (wallAge(held) >= held.issued.lifetime) return true
    const over = monoAge(held) - held.issued.lifetime
    return over >= 0 && (!keepFresh || !held.steppedBack || Math.min(over, timer() - movedAt) > tick + grain)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Attempts and what explains them
  // -------------------------------------------------------------------------------------------------------------------

  const all: Array<Served> = []
  const open = () => all.filter((served) => served.phase === "open")
  let clearedAt = -Infinity

  const explain = (served: Served): ReadonlyArray<Reason> => {
    const { held } = served
    const reasons = new Set<Reason>()
    for (const { access, duration, ended, moves: movesThen, reason } of served.credits) {
      if (reason === "renew") reasons.add("renew")
      else if (reason === "cold") {
        // A stepped clock may make valid again what was not when somebody came for it.
        const needed = !surelyValid(held) || movesThen !== moves
        if (needed && timer() - ended <= acquireTimeout + grain) reasons.add("cold")
      } else if (held === undefined) continue
      else if (reason === "reject" && held.issued.access === access) reasons.add("reject")
      else if (reason === "short" && age(held) + held.margin + duration + grain > lifetime) reasons.add("short")
      else if (reason === "early" && age(held) + held.margin + grain >= lifetime - window) reasons.add("early")
    }
    if (keepFresh && served.wanted) {
      if (held === undefined ? served.failure !== undefined : age(held) + held.margin + grain >= lifetime - window) {
        reasons.add("scheduled")
      }
    }
    return [...reasons]
  }

  /** Why an attempt must not be made yet. */
  const premature = (served: Served, reasons: ReadonlyArray<Reason>): string | undefined => {
    const { failure, held } = served
    if (failure === undefined) return undefined
    const passed = mono() - failure.at + grain
    const only = (...expected: ReadonlyArray<Reason>) => reasons.every((reason) => expected.includes(reason))
    if (passed < failure.retryAfter) return `the platform asked for ${failure.retryAfter} ms, and got ${passed}`
    if (failure.fatal) {
      if (passed < fatalFor) return `a fatal failure was repeated after ${passed} ms`
      if (only("scheduled", "early") && passed < fatalPause)
        return `nobody needed it ${passed} ms after a fatal failure`
      return undefined
    }
    if (reasons.includes("renew")) return undefined
    if (passed < shortestPause) return `an attempt ${passed} ms after a failed one`
    const relaxed = surelyValid(held) && age(held) + held.margin + mandatory + grain < lifetime
    if (relaxed && only("scheduled", "early") && passed < longPause.shortest) {
      return `an attempt ${passed} ms after a failed one, though the token was good`
    }
    return undefined
  }

  const beginAttempt = (served: Served): Attempt => {
    const reasons = explain(served)
    const attempt: Attempt = {
      reasons,
      at: mono(),
      premature: premature(served, reasons),
      leasedAt: -Infinity,
      exchange: undefined,
      exchangeTurn: turn,
      avoid: undefined
    }
    served.attempt = attempt
    markRejected(served)
    return attempt
  }

  /** While the token held is being replaced because it was refused, nobody gets it. */
  const markRejected = (served: Served) => {
    const { attempt, credits, held } = served
    if (attempt === undefined || held === undefined || attempt.avoid !== undefined) return
    const refused = credits.find((credit) => credit.reason === "reject" && credit.access === held.issued.access)
    if (refused !== undefined) attempt.avoid = { access: held.issued.access, turn: refused.turn }
  }

  const endAttempt = (served: Served, succeeded: boolean) => {
    const { attempt } = served
    served.attempt = undefined
    const time = mono()
    // What was found in the store is no answer yet to those who asked for more.
    if (succeeded && attempt?.exchange === undefined) return
    served.credits = served.credits.filter(
      ({ at, ended, reason }) =>
        at === time ||
        ((reason === "short" || reason === "early") && ended === Infinity) ||
        (reason === "cold" && (ended === Infinity || (!succeeded && timer() - ended <= acquireTimeout)))
    )
    if (succeeded && attempt !== undefined && attempt.reasons.every((reason) => reason === "reject")) {
      served.storms = served.storms.filter((at) => time - at < stormWindow)
      served.storms.push(time)
      if (served.storms.length > stormLimit) violated(7, `${served.storms.length} renewals by rejection in 30 s`)
    }
  }

  const holdNow = (served: Served, issued: Server.Issued, adopted: boolean) => {
    if (served.held !== undefined) served.previous = { held: served.held, until: mono() }
    const sinceIssue = wall() - issued.wall
    served.held = {
      issued,
      wall: issued.wall,
      mono: adopted ? mono() - Math.max(0, sinceIssue) : issued.issuedMono,
      margin: issued.issuedMono - issued.sentMono,
      since: mono(),
      isAdopted: adopted,
      steppedBack: false
    }
    served.wanted = true
    served.failure = undefined
  }

  // -------------------------------------------------------------------------------------------------------------------
  // The server, the store, the events
  // -------------------------------------------------------------------------------------------------------------------

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

  const running = new Set<Server.Exchange>()
  let healthySince = -Infinity

  const byNumber = (number: number) => all[number]!
  /** A lease ends with time, and when somebody signs out. */
  const hasLease = ({ attempt }: Served) =>
    attempt !== undefined && mono() - attempt.leasedAt < leaseTime - grain && attempt.leasedAt > clearedAt

  const server = Server.make(
    program,
    { wall, mono, real },
    {
      started: (exchange) => {
        const served = byNumber(exchange.service)
        note(`#${served.number} ${exchange.operation} sent (${served.attempt?.reasons.join(", ") ?? "no attempt"})`)
        for (const other of running) {
          if (other.service === exchange.service) {
            violated(1, "two exchanges of one service at once")
            continue
          }
          if (hasLease(served) && hasLease(byNumber(other.service))) {
            violated(1, "two exchanges of one identity at once")
          }
        }
        running.add(exchange)
        if (served.phase === "closed") violated(5, "an exchange after the scope had closed")
        const attempt = hasStore ? served.attempt : (served.attempt ?? beginAttempt(served))
        if (attempt === undefined) return violated(1, "an exchange without a lease")
        if (attempt.exchange === undefined) {
          if (attempt.premature !== undefined) violated(attempt.premature.includes("fatal") ? 6 : 8, attempt.premature)
          if (attempt.reasons.length === 0) violated(7, "an exchange that nothing explains")
        }
        attempt.exchange = exchange
        if (exchange.operation === "refresh" && !program.survives && served.held !== undefined) {
          attempt.avoid ??= { access: served.held.issued.access, turn }
        }
      },
      answered: (service, issued) => {
        const served = byNumber(service)
        served.inHand = issued
        note(`#${service} answered ${issued.access}`)
        if (served.attempt?.leasedAt === -Infinity) holdPrivately(served)
      },
      ended: (exchange) => {
        running.delete(exchange)
      },
      violated,
      healed: () => {
        healthySince = timer()
      }
    }
  )

  const memory = yield* TokenStore.makeMemory
  let storeIsDown = false
  let stored: AccessToken.AccessToken | undefined
  const generations = new Map<number, string>()
  const remembered = new Map<string, AccessToken.AccessToken>()
  const issuedAs = (token: AccessToken.AccessToken) => server.find(Redacted.value(token.accessToken))

  const storeOf = (number: number): TokenStore.Backend => ({
    acquire: (identity, options) =>
      Effect.suspend(() => {
        const served = byNumber(number)
        const attempt = served.attempt ?? beginAttempt(served)
        if (storeIsDown) {
          attempt.leasedAt = -Infinity
          return new StoreUnavailable({ operation: "acquire" })
        }
        return Effect.tap(memory.acquire(identity, options), (acquired) =>
          Effect.sync(() => {
            if (acquired._tag === "Lease") attempt.leasedAt = mono()
            if (acquired._tag !== "Newer") return
            const issued = issuedAs(acquired.stored)
            note(`#${number} found ${issued?.access ?? "an unknown token"} in the store`)
            if (issued === undefined || wall() >= acquired.stored.expiresAt) return
            holdNow(served, issued, true)
          })
        )
      }),
    commit: (identity, options) =>
      Effect.tap(storeIsDown ? holdUncommitted(number) : memory.commit(identity, options), (kept) =>
        Effect.sync(() => {
          const served = byNumber(number)
          const issued = issuedAs(options.stored)
          served.inHand = undefined
          remembered.set(Redacted.value(options.stored.accessToken), options.stored)
          note(`#${number} ${kept ? "stored" : "was fenced off with"} ${issued?.access ?? "an unknown token"}`)
          if (!kept || issued === undefined) return
          const { generation } = options.stored
          if ((generations.get(generation) ?? issued.access) !== issued.access) {
            violated(1, `two credentials of generation ${generation}`)
          }
          generations.set(generation, issued.access)
          stored = options.stored
          holdNow(served, issued, false)
        })
      ),
    release: (identity, options) =>
      Effect.suspend(() => {
        if (byNumber(number).phase === "closing") byNumber(number).inHand = undefined
        if (storeIsDown) return new StoreUnavailable({ operation: "release" })
        return memory.release(identity, options)
      }),
    clear: (identity) =>
      Effect.suspend(() => {
        note(`#${number} signs out of the store`)
        forget(byNumber(number))
        if (storeIsDown) return new StoreUnavailable({ operation: "clear" })
        stored = undefined
        clearedAt = mono()
        // Where the store counts from is known to nobody after this.
        generations.clear()
        return memory.clear(identity)
      }),
    changed: memory.changed
  })

  /** The engine goes on with a token that the store did not take. */
  const holdPrivately = (served: Served) => {
    if (served.inHand === undefined) return
    holdNow(served, served.inHand, false)
    served.inHand = undefined
  }
  const holdUncommitted = (number: number) =>
    Effect.suspend(() => {
      holdPrivately(byNumber(number))
      return new StoreUnavailable({ operation: "commit" })
    })

  const observerOf =
    (number: number): TokenEvent.Observer =>
    (event) =>
      Effect.sync(() => {
        showsNoSecret(event, `an event (${event._tag})`)
        const served = byNumber(number)
        if (event._tag === "Renewed") {
          note(`#${number} Renewed by ${event.by}, generation ${event.generation}`)
          endAttempt(served, true)
        } else if (event._tag === "RenewalFailed") {
          const { error } = event
          note(`#${number} RenewalFailed: ${error.reason._tag}`)
          const retryAfter = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
          served.failure = { at: mono(), timer: timer(), fatal: !error.isRetryable, retryAfter }
          served.wanted = true
          endAttempt(served, false)
        }
      })

  // -------------------------------------------------------------------------------------------------------------------
  // Services and those who call them
  // -------------------------------------------------------------------------------------------------------------------

  const liveFibers = { count: 0 }
  const counting = Effect.provideService(Metric.FiberRuntimeMetrics, {
    recordFiberStart: () => {
      liveFibers.count += 1
    },
    recordFiberEnd: () => {
      liveFibers.count -= 1
    }
  })

  const start = Effect.fnUntraced(function* (index: number) {
    const number = all.length
    const scope = yield* Scope.make()
    const alone = TokenService.make({ provider: server.provider(number), policy: { whenIdle: program.whenIdle } })
    const store = TokenStore.make(storeOf(number))
    const service = yield* (hasStore ? Effect.provideServiceEffect(alone, TokenStore.TokenStore, store) : alone).pipe(
      Scope.provide(scope),
      Effect.provideService(TokenEvent.Observers, [observerOf(number)]),
      counting
    )
    const served: Served = {
      index,
      number,
      scope,
      service,
      phase: "open",
      held: undefined,
      previous: undefined,
      wanted: false,
      signingOut: 0,
      signOuts: 0,
      attempt: undefined,
      failure: undefined,
      credits: [],
      inHand: undefined,
      storms: []
    }
    all.push(served)
    return served
  })

  const latest = (index: number) => all.findLast((served) => served.index === index)!

  const credit = (served: Served, reason: Credit["reason"], details: { access?: string; duration?: number } = {}) => {
    const { access, duration = 0 } = details
    const credit = { reason, at: mono(), turn, moves, access, duration, ended: Infinity }
    served.credits.push(credit)
    markRejected(served)
    return credit
  }

  /** What a caller's `get` entitles the service to do. */
  const creditGet = (served: Served): ReadonlyArray<Credit> => [credit(served, "early"), credit(served, "cold")]

  const errorOf = <A, E>(exit: Exit.Exit<A, E>): E | undefined =>
    Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined

  /** Runs a call and judges what comes of it, the instant it returns. */
  const judged = (
    served: Served,
    name: string,
    call: Effect.Effect<AccessToken.AccessToken, TokenError>,
    expect: {
      readonly credits: ReadonlyArray<Credit>
      readonly servesHeld?: boolean
      readonly lasts?: number
      readonly not?: string
      readonly fresh?: boolean
    }
  ) =>
    Effect.suspend(() => {
      const { attempt, signOuts } = served
      const startedAt = mono()
      const startTurn = turn
      const startMoves = moves
      const avoid = attempt?.avoid !== undefined && attempt.avoid.turn < startTurn ? attempt.avoid.access : undefined
      return Effect.onExit(call, (exit) =>
        Effect.sync(() => {
          for (const credit of expect.credits) credit.ended = timer()
          const untouched = served.phase === "open" && served.signingOut === 0 && served.signOuts === signOuts
          if (Exit.isFailure(exit)) {
            const error = errorOf(exit)
            if (error === undefined) return
            // Whoever was told no has no claim any more; who was cancelled has.
            const over = new Set(expect.credits.filter(({ reason }) => reason === "reject" || reason === "renew"))
            served.credits = served.credits.filter((credit) => !over.has(credit))
            showsNoSecret(error, `the error of ${name}`)
            note(`#${served.number} ${name} failed: ${error.reason._tag}`)
            const { held } = served
            if (expect.servesHeld === true && untouched && surelyValid(held) && held.since < mono()) {
              violated(3, `${name} failed (${error.reason._tag}) though the token held was valid`)
            }
            if (error.reason._tag === "LifetimeTooShort" && expect.lasts !== undefined) {
              // What a fresh one has spent when it comes; an adopted one says how long its exchange took, no more.
              const taken = held === undefined ? 0 : held.issued.answeredMono - held.issued.sentMono
              const spent =
                held === undefined || held.isAdopted
                  ? Math.max(2 * program.latency, taken)
                  : held.since - held.mono + held.margin
              if (expect.lasts + spent + grain < lifetime && untouched && startMoves === moves) {
                violated(2, `LifetimeTooShort, though ${expect.lasts} ms is less than a fresh token lasts`)
              }
            }
            return
          }
          const access = Redacted.value(exit.value.accessToken)
          note(`#${served.number} ${name} got ${access}`)
          const held = [served.held, served.previous?.held].find((held) => held?.issued.access === access)
          if (held === undefined) {
            if (untouched) violated(5, `${name} got ${access}, which the service should not hold any more`)
            return
          }
          if (untouched && held !== served.held && served.previous!.until < mono()) {
            violated(5, `${name} got ${access}, though a newer one is held`)
          }
          // `renew` promises a new one, whatever became of it on its way.
          if (expect.fresh !== true && surelyExpired(held)) {
            violated(2, `${name} got a token ${Math.round(age(held) - lifetime)} ms past its time`)
          }
          if (expect.lasts !== undefined && age(held) + expect.lasts > lifetime) {
            violated(2, `${name} got a token that does not last`)
          }
          // Where the clocks were moved meanwhile it may have expired and be valid again.
          if (expect.not === access && startMoves === moves) violated(7, `${name} got the token that it rejected`)
          if (expect.fresh === true && untouched && held.since < startedAt) {
            violated(4, `${name} got a token from before the call`)
          }
          // The exchange that ends tells those who wait before it tells the books.
          const isRunning = [...running].some((exchange) => exchange.service === served.number)
          if (access === avoid && served.attempt === attempt && isRunning) {
            violated(7, `${name} got the token that is being replaced`)
          }
        })
      )
    })

  const getOf = (served: Served) =>
    Effect.suspend(() => {
      const credits = creditGet(served)
      return judged(served, "get", served.service.get, { credits, servesHeld: true })
    })

  const rejectOf = (served: Served, token: AccessToken.AccessToken) =>
    Effect.suspend(() => {
      const access = Redacted.value(token.accessToken)
      const credits = creditGet(served)
      const rejected = served.held?.issued.access === access ? [credit(served, "reject", { access })] : []
      const call = served.service.reject(token)
      return judged(served, "reject", call, { credits: [...credits, ...rejected], not: access })
    })

  const validOf = (served: Served, duration: number) =>
    Effect.suspend(() => {
      const credits = creditGet(served)
      const short = credit(served, "short", { duration })
      const call = served.service.getValidFor(duration)
      return judged(served, `getValidFor(${duration})`, call, { credits: [...credits, short], lasts: duration })
    })

  const renewOf = (served: Served) =>
    Effect.suspend(() => {
      const renew = credit(served, "renew")
      const cold = credit(served, "cold")
      return judged(served, "renew", served.service.renew, { credits: [renew, cold], fresh: true })
    })

  const signOutOf = (served: Served) =>
    Effect.suspend(() => {
      served.signingOut += 1
      served.signOuts += 1
      note(`#${served.number} signs out`)
      return Effect.onExit(served.service.invalidate, (exit) =>
        Effect.map(served.service.state, ({ phase }) => {
          served.signingOut -= 1
          // Without a store to ask, the service itself is asked whether it has a newer credential by now.
          if (!hasStore && phase !== "valid" && phase !== "renewing") {
            const { attempt } = served
            forget(served)
            if (phase === "acquiring") served.attempt = attempt
          }
          const error = errorOf(exit)
          if (error === undefined || served.phase !== "open") return
          showsNoSecret(error, "the error of signing out")
          if (error.reason._tag !== "StoreUnavailable") violated(6, "signing out failed")
        })
      )
    })

  const callers: Array<Caller> = []
  const call = <A, E>(served: Served, name: string, effect: Effect.Effect<A, E>) =>
    Effect.map(Effect.forkDetach(counting(effect)), (fiber) => {
      const caller: Caller = { fiber, name, served, ended: false, cancelled: false }
      fiber.addObserver((exit) => {
        caller.ended = true
        if (Exit.isFailure(exit) && errorOf(exit) === undefined && !caller.cancelled && served.phase === "open") {
          violated(5, `${name} was ended, and neither was it cancelled nor has the scope closed`)
        }
      })
      callers.push(caller)
      return caller
    })
  const waiting = () => callers.filter((caller) => !caller.ended)

  // -------------------------------------------------------------------------------------------------------------------
  // An API behind a BearerClient
  // -------------------------------------------------------------------------------------------------------------------

  const ours = "https://api.example.com"
  /** Tokens that the API refused for what they are. */
  const refused = new Set<string>()
  const api = HttpClient.make((request, url) =>
    Effect.sync(() => {
      const header = request.headers["authorization"]
      const isOurs = url.origin === ours
      if (!isOurs && header !== undefined) violated(10, `a token went to ${url.origin}`)
      const token = header?.slice("Bearer ".length)
      const answer = (status: number, headers: Record<string, string> = {}) =>
        HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
      if (!isOurs) return answer(401)
      if (url.pathname === "/forbidden") return answer(403)
      if (url.pathname === "/scope") {
        return answer(401, { "www-authenticate": 'Bearer error="insufficient_scope"' })
      }
      if (token !== undefined && server.accepts(token)) return answer(200)
      if (token !== undefined) refused.add(token)
      return answer(401)
    })
  )
  const urls = {
    ours: `${ours}/videos`,
    "ours-forbidden": `${ours}/forbidden`,
    "ours-scope": `${ours}/scope`,
    "other-origin": "https://api.example.com.evil.example/videos",
    "plain-http": "http://api.example.com/videos"
  } as const
  const requestOf = (served: Served, to: keyof typeof urls) =>
    Effect.suspend(() => {
      const about = {
        get: getOf(served),
        reject: (token: AccessToken.AccessToken) => {
          if (!refused.has(Redacted.value(token.accessToken))) violated(10, `an answer of ${to} renewed a token`)
          return rejectOf(served, token)
        }
      }
      const client = BearerClient.make({ ...served.service, ...about }, { origins: [ours] })(api)
      return Effect.exit(client.execute(HttpClientRequest.get(urls[to])))
    })

  // -------------------------------------------------------------------------------------------------------------------
  // Checks whenever nothing is left to run
  // -------------------------------------------------------------------------------------------------------------------

  const canRenew = (): boolean =>
    program.hasLogin || (stored?.refreshToken !== undefined && server.isFresh(Redacted.value(stored.refreshToken)))

  const watch = Effect.suspend(() => {
    for (const served of open()) {
      const { attempt, failure, held } = served
      if (served.signingOut > 0) {
        violated(6, "signing out does not end")
        continue
      }
      if (served.inHand !== undefined && attempt === undefined) {
        violated(5, `${served.inHand.access} was answered and lost`)
      }
      if (!keepFresh || !served.wanted || !server.isHealthy() || storeIsDown || !canRenew()) continue
      const over = (age: number) => (age < lifetime ? 0 : Math.min(age - lifetime, timer() - movedAt))
      const overdue = held === undefined ? Infinity : Math.max(over(wallAge(held)), over(monoAge(held)))
      const pausedUntil =
        failure === undefined
          ? -Infinity
          : failure.timer + Math.max(failure.fatal ? fatalPause : longPause.longest, failure.retryAfter)
      const excused = attempt === undefined ? 0 : 2 * exchangeTimeout + leaseTime
      const patience = tick + 2 * program.latency + 10 * grain + excused
      if (Math.min(overdue, timer() - Math.max(healthySince, pausedUntil)) > patience) {
        violated(8, `#${served.number} has held no valid token for ${patience} ms, and nothing stands in the way`)
      }
    }
    return check
  })

  const quiet = Effect.andThen(settle, watch)

  const advance = Effect.fnUntraced(function* (millis: number) {
    // In steps, so that what holds at all times is looked at now and then.
    let left = millis
    while (left > 0) {
      const step = Math.min(left, Math.max(millis / 20, 45_000))
      left -= step
      yield* TestClock.adjust(step)
      yield* quiet
    }
  })

  const moveClocks = (millis: number, how: "step" | "suspend" | "suspend-counted") =>
    Effect.gen(function* () {
      if (how === "step") {
        stepped += millis
        yield* split.stepWall(millis)
        if (millis < 0) for (const { held } of all) if (held !== undefined) held.steppedBack = true
      } else {
        suspended += millis
        yield* split.suspend(millis)
        if (how === "suspend-counted") yield* split.stepMonotonic(millis)
      }
      movedAt = timer()
      moves += 1
    })

  const close = Effect.fnUntraced(function* (served: Served) {
    if (served.phase !== "open") return
    // In half of the programs whatever else just happened races with it, and then a failure may win.
    const alone = program.seed % 2 === 0
    if (alone) yield* quiet
    served.phase = "closing"
    note(`#${served.number} closes`)
    const mine = waiting().filter((caller) => caller.served === served)
    const fiber = yield* Effect.forkDetach(counting(Scope.close(served.scope, Exit.void)))
    yield* settle
    if (fiber.pollUnsafe() === undefined && !program.hasLogin && served.attempt?.exchange !== undefined) {
      yield* TestClock.adjust(shutdownGrace + 1)
      yield* settle
    }
    if (fiber.pollUnsafe() === undefined) violated(5, "closing the scope does not end")
    served.phase = "closed"
    served.attempt = undefined
    for (const caller of mine) {
      const exit = caller.fiber.pollUnsafe()
      if (exit === undefined) violated(5, `${caller.name} waits though the scope has closed`)
      else if (alone && program.hasLogin && errorOf(exit) !== undefined) {
        violated(5, `${caller.name} failed, instead of being interrupted, when the scope closed`)
      }
    }
    yield* check
  })

  // -------------------------------------------------------------------------------------------------------------------
  // Operations
  // -------------------------------------------------------------------------------------------------------------------

  /** How far away an edge is, in milliseconds. */
  const distance = (served: Served, edge: Extract<Op, { _tag: "Advance" }>["to"]): number => {
    const { failure, held } = served
    const until = (wanted: number) => (held === undefined ? 1_000 : wanted - age(held))
    const sinceFailure = failure === undefined ? 0 : mono() - failure.at
    switch (edge) {
      case "expiry":
        return until(lifetime)
      case "mandatory":
        return until(lifetime - mandatory)
      case "renewal":
        return until(lifetime - window)
      case "latest-renewal":
        return until(lifetime - window + lifetime / 10)
      case "pause":
        return (
          (failure === undefined ? 0 : Math.max(failure.fatal ? 2 * fatalFor : 1_200, failure.retryAfter)) -
          sinceFailure
        )
      case "cool-down":
        return longPause.longest - sinceFailure
      case "answer": {
        const exchange = served.attempt?.exchange
        if (exchange === undefined) return program.latency
        return Math.min(exchange.answersIn, exchangeTimeout) - (mono() - exchange.startedMono)
      }
      case "patience":
        return acquireTimeout
      case "exchange-timeout":
        return exchangeTimeout
      case "tick":
        return tick + 1_000
      case "lease":
        return leaseTime
      case "fatal-pause":
        return fatalPause - sinceFailure
    }
  }

  /** The token that the service holds, or one that it held, as a caller has it. */
  const tokenOf = (held: Held | undefined) => (held === undefined ? undefined : remembered.get(held.issued.access))

  const setStore = (isUp: boolean) => {
    if (isUp && storeIsDown) healthySince = timer()
    storeIsDown = hasStore && !isUp
  }

  const perform = Effect.fnUntraced(function* (op: Op) {
    note(JSON.stringify(op))
    switch (op._tag) {
      case "Advance": {
        yield* quiet
        const served = latest(op.service)
        const millis = distance(served, op.to)
        yield* advance(Math.max(1, Math.ceil(millis) + (op.side === "before" ? -2 : 2)))
        return
      }
      case "Get":
        yield* call(latest(op.service), "get", getOf(latest(op.service)))
        if (op.settled) yield* quiet
        return
      case "Call": {
        const served = latest(op.service)
        const durations = { "valid-for-half": 0.5, "valid-for-most": 0.97, "valid-for-ever": 2 } as const
        if (op.call === "renew") yield* call(served, "renew", renewOf(served))
        else if (op.call === "reject" || op.call === "reject-old") {
          const token = tokenOf(op.call === "reject" ? served.held : served.previous?.held)
          if (token === undefined) return
          yield* call(served, op.call, rejectOf(served, token))
        } else if (op.call === "reject-all") {
          for (let times = 0; times <= stormLimit; times++) {
            const token = tokenOf(served.held)
            if (token === undefined) return
            yield* call(served, op.call, rejectOf(served, token))
            yield* quiet
            yield* advance(program.latency + 1)
          }
        } else yield* call(served, op.call, validOf(served, lifetime * durations[op.call]))
        if (op.settled) yield* quiet
        return
      }
      case "Request":
        yield* call(latest(op.service), "request", requestOf(latest(op.service), op.to))
        if (op.settled) yield* quiet
        return
      case "Cancel": {
        const those = waiting()
        const caller = those[op.which % Math.max(1, those.length)]
        if (caller === undefined) return
        caller.cancelled = true
        caller.fiber.interruptUnsafe()
        yield* quiet
        if (!caller.ended) violated(5, `${caller.name} cannot be cancelled`)
        return
      }
      case "Fault":
        server.setFault(op)
        return
      case "Server":
        if (op.does === "heal") server.heal()
        else if (op.does === "revoke-access") server.revokeAccess()
        else if (op.does === "revoke-refresh") server.revokeRefresh()
        else setStore(op.does === "store-up")
        return
      case "Clocks":
        yield* quiet
        yield* moveClocks((op.back && op.how === "step" ? -1 : 1) * op.seconds * 1000, op.how)
        return
      case "Life": {
        const served = latest(op.service)
        switch (op.does) {
          case "sign-out":
            yield* call(served, "invalidate", signOutOf(served))
            yield* quiet
            return
          case "close":
            yield* close(served)
            return
          case "reopen":
            yield* close(served)
            yield* start(op.service)
            return
          case "crash": {
            if (!hasStore) return
            // Another process takes the lease, sends the refresh token and dies.
            const seen = stored?.generation ?? 0
            const acquired = yield* memory.acquire("model", { owner: "another", seen, ttl: leaseTime })
            if (acquired._tag !== "Lease" || Option.isNone(acquired.stored) || acquired.orphaned) return
            const { refreshToken } = acquired.stored.value
            if (refreshToken !== undefined) server.takenElsewhere(Redacted.value(refreshToken))
          }
        }
      }
    }
  })

  // -------------------------------------------------------------------------------------------------------------------
  // The story, and its end
  // -------------------------------------------------------------------------------------------------------------------

  // Nothing waits for time yet: from here on the clock does not warn of tests that forget to move it.
  yield* TestClock.adjust(1)
  if (!program.hasLogin) {
    const issued = server.begin()
    const response = {
      accessToken: Redacted.make(issued.access),
      refreshToken: Redacted.make(issued.refresh ?? ""),
      expiresIn: lifetime
    }
    const token = yield* AccessToken.fromResponse(response, { answeredAt: wall(), elapsed: 0, generation: 1 })
    const acquired = yield* memory.acquire("model", { owner: "person", seen: 0, ttl: 1_000 })
    if (acquired._tag === "Lease") {
      yield* memory.commit("model", { owner: "person", fence: acquired.fence, stored: token })
    }
    remembered.set(issued.access, token)
    stored = token
  }
  yield* start(0)
  yield* start(1)

  for (const op of program.ops) {
    yield* perform(op)
    yield* check
  }

  note("all is well from here on")
  server.heal()
  setStore(true)
  yield* quiet
  // Leases and exchanges under way are over after this, and pauses after that.
  yield* advance(leaseTime + tick + 2 * program.latency)
  const pauses = open().map(({ failure }) =>
    failure === undefined
      ? 0
      : failure.timer + Math.max(failure.fatal && keepFresh ? fatalPause : 2 * fatalFor, failure.retryAfter) - timer()
  )
  yield* advance(Math.max(1, ...pauses) + tick)
  for (const served of open()) {
    const possible = canRenew()
    const caller = yield* call(served, "last get", getOf(served))
    yield* quiet
    if (!caller.ended) yield* advance(3 * program.latency + 1_000)
    const exit = caller.fiber.pollUnsafe()
    if (exit === undefined) violated(6, "the last get does not end")
    else if (Exit.isFailure(exit) && possible) violated(6, "the last get failed, though nothing is wrong any more")
    yield* check
    if (!program.hasLogin) continue
    const half = yield* call(served, "last getValidFor", validOf(served, lifetime / 2))
    yield* quiet
    if (!half.ended) yield* advance(3 * program.latency + 1_000)
    const halfExit = half.fiber.pollUnsafe()
    if (halfExit === undefined || Exit.isFailure(halfExit)) violated(6, "the last getValidFor failed")
    yield* check
  }
  if (keepFresh && program.hasLogin && 2 * program.latency < window - lifetime / 10) {
    note("nobody asks for a while")
    for (let step = 0; step < 9; step++) {
      yield* TestClock.adjust(lifetime / 7)
      yield* quiet
      for (const served of open()) {
        if (served.held === undefined || age(served.held) >= lifetime) violated(8, "the scheduler let a token expire")
      }
      yield* check
    }
  }
  for (const served of all) yield* close(served)
  if (waiting().length > 0) violated(5, "somebody waits though all scopes have closed")
  yield* TestClock.adjust("10 minutes")
  yield* settle
  if (liveFibers.count !== 0) violated(5, `${liveFibers.count} fibres are left`)
  yield* check
})
