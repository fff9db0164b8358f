/** Those who call a service, each judged the instant an answer comes: what the service promised, and what the books say. */
import { Cause, Effect, Exit, type Fiber, Metric, Option, References, Scope } from "effect"
import {
  type AccessToken,
  BearerClient,
  TokenEvent,
  type TokenError,
  TokenService,
  TokenServiceMap,
  TokenStore
} from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { nameOf, type Platform } from "../guarantees/platforms.ts"
import type { Books, Credit, Served } from "./books.ts"
import { accessOf, type Doubles } from "./doubles.ts"
import { acquireTimeout, grain } from "./policy.ts"
import type { Program } from "./program.ts"
import type { World } from "./world.ts"

export type Callers = ReturnType<typeof make>

export interface Caller {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly name: string
  readonly served: Served
  /** When it asked, on the monotonic clock. */
  readonly since: number
  ended: boolean
  cancelled: boolean
}

/** What a call was promised. */
interface Promised {
  /** What the service may do because of it. */
  readonly credits: ReadonlyArray<Credit>
  /** It does not fail while a valid token is held. */
  readonly servesHeld?: boolean
  /** The token lasts so many milliseconds. */
  readonly lasts?: number
  /** The token is another one. */
  readonly not?: string
  /** The token is newer than the call. */
  readonly isFresh?: boolean
}

/** How things were when a call began. */
interface Before {
  readonly at: number
  readonly turn: number
  readonly moves: number
  readonly signOuts: number
  /** A token at hand is served without a wait, and the map may evict its identity before the caller has taken notice. */
  readonly evictions: number
  readonly attempt: Served["attempt"]
}

export const errorOf = <A, E>(exit: Exit.Exit<A, E>): E | undefined =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined

const api = "https://api.example.com"

/** The identity of another account. */
const stranger = "stranger"

/** Where requests go. `ours` may answer 401 and then it is about the token; the others never are. */
const urls = {
  ours: `${api}/videos`,
  "ours-forbidden": `${api}/forbidden`,
  "ours-scope": `${api}/scope`,
  "other-origin": "https://api.example.com.evil.example/videos",
  "plain-http": "http://api.example.com/videos"
} as const

export const make = (program: Program, platform: Platform, world: World, books: Books, doubles: Doubles) => {
  const { mono, moved, note, showsNoSecret, timer, violated } = world
  const { credit } = books
  const { server } = doubles
  const lifetime = program.lifetime * 1000

  // -------------------------------------------------------------------------------------------------------------------
  // Services and callers
  // -------------------------------------------------------------------------------------------------------------------

  const liveFibers = { count: 0 }
  const recorded = Effect.provideService(Metric.FiberRuntimeMetrics, {
    recordFiberStart: () => {
      liveFibers.count += 1
    },
    recordFiberEnd: () => {
      liveFibers.count -= 1
    }
  })
  /** Counts the fibres of an effect. Nothing is logged: programs use one identity twice, and their observers fail. */
  const counting = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    recorded(Effect.provideService(effect, References.MinimumLogLevel, "None"))

  /** Services whose map has a stranger that is being renewed. */
  const strangersBusy = new Set<number>()

  /** The service of an identity that is not held shows the state of a new one. */
  const evictUnlessHeld = (served: Served) =>
    Effect.map(served.service.state, ({ generation, phase }) => {
      if (generation === 0 && phase === "empty") books.evict(served)
    })

  /** An identity that has nothing to do with the program, but takes the room of one that has. It has no memory of its own. */
  const strangerOf = (number: number) => {
    const fake = FakeProvider.make({ identity: stranger, latency: program.latency }).provider
    const login = Effect.suspend(() => {
      strangersBusy.add(number)
      return Effect.andThen(evictUnlessHeld(books.byNumber(number)), fake.login ?? Effect.never)
    }).pipe(Effect.ensuring(Effect.sync(() => strangersBusy.delete(number))))
    return { ...fake, login, traits: { ...fake.traits, renewWith: "login" as const } }
  }

  /** The store of the program, which knows nothing of strangers. */
  const storeOf = (number: number) =>
    Effect.map(Effect.orDie(TokenStore.make(doubles.storeOf(number))), (store) =>
      TokenStore.TokenStore.of({
        ...store,
        renew: (identity, renewal) =>
          identity === stranger ? renewStranger(renewal) : renewed(number, identity, store, renewal)
      })
    )

  /** A stranger finds nothing in its store. */
  const renewStranger = (renewal: TokenStore.Renewal) =>
    Effect.scoped(
      Effect.flatMap(
        Effect.orDie(Effect.flatMap(TokenStore.makeMemory, (memory) => TokenStore.make(memory))),
        (store) => store.renew(stranger, renewal)
      )
    )

  const renewed = (
    number: number,
    identity: string,
    store: TokenStore.TokenStore["Service"],
    renewal: TokenStore.Renewal
  ) =>
    Effect.suspend(() => {
      const served = books.byNumber(number)
      const { isLeaving, signOuts } = served
      served.renewalBegan = timer()
      return Effect.onExit(store.renew(identity, renewal), (exit) =>
        Effect.sync(() => {
          served.renewalBegan = undefined
          if (Exit.isFailure(exit)) return
          const { isAdopted, token } = exit.value
          // After a sign-out it comes too late.
          if (isAdopted && !isLeaving && served.signOuts === signOuts) doubles.adopted(number, token)
        })
      )
    })

  /** A service, and another of the same map where there is one. */
  interface Made extends Pick<Served, "service" | "stranger"> {}

  const start = Effect.fnUntraced(function* (index: number) {
    const number = books.all.length
    const scope = yield* Scope.make()
    const provider = yield* platform.provider(server.provider(number))
    const policy = { whenIdle: program.whenIdle }
    const alone = Effect.map(TokenService.make({ provider, policy }), (service): Made => ({
      service,
      stranger: Effect.void
    }))
    const hosted = Effect.gen(function* () {
      const map = yield* TokenServiceMap.make({ capacity: 1, idleTimeToLive: "30 days", policy })
      const other = yield* map.get(strangerOf(number))
      const made: Made = { service: yield* map.get(provider), stranger: other.get }
      return made
    })
    const made = program.host === "map" ? hosted : alone
    const { service, stranger } = yield* (
      doubles.hasStore ? Effect.provideServiceEffect(made, TokenStore.TokenStore, storeOf(number)) : made
    ).pipe(
      Scope.provide(scope),
      Effect.provideService(TokenEvent.Observers, [doubles.observerOf(number), listenerOf(number)]),
      counting
    )
    return books.begin({ index, scope, service, stranger })
  })

  /** What else hears of events: observers that do what they should not, and what they may. */
  const listenerOf =
    (number: number): TokenEvent.Observer =>
    (event) => {
      const served = books.byNumber(number)
      switch (program.observer) {
        case "none":
          return Effect.void
        case "calls-back":
          return event._tag === "Waited" ? Effect.void : Effect.asVoid(Effect.exit(get(served)))
        case "signs-out":
          return event._tag === "RenewalFailed" ? Effect.asVoid(Effect.exit(signOut(served))) : Effect.void
        case "hangs":
          return Effect.never
        case "throws":
          throw new Error("an observer's bug")
      }
    }

  const callers: Array<Caller> = []
  const call = <A, E>(served: Served, name: string, effect: Effect.Effect<A, E>) =>
    Effect.map(Effect.forkDetach(counting(effect)), (fiber) => {
      const caller: Caller = { fiber, name, served, since: mono(), ended: false, cancelled: false }
      fiber.addObserver((exit) => {
        caller.ended = true
        if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) {
          violated(5, `${name} died: ${String(Cause.squash(exit.cause))}`)
        }
        if (Exit.isFailure(exit) && errorOf(exit) === undefined && !caller.cancelled && served.phase === "open") {
          violated(5, `${name} was ended, and neither was it cancelled nor has the scope closed`)
        }
      })
      callers.push(caller)
      return caller
    })

  /** The tokens that callers got, by name. */
  const received = new Map<string, AccessToken.AccessToken>()

  // -------------------------------------------------------------------------------------------------------------------
  // Judgement
  // -------------------------------------------------------------------------------------------------------------------

  const isUntouched = (served: Served, before: Before) =>
    served.phase === "open" &&
    served.signingOut === 0 &&
    served.signOuts === before.signOuts &&
    served.evictions === before.evictions

  /** Whether it was known, and everybody had taken notice, that this token is being replaced. */
  const isAvoided = (access: string, { attempt, turn }: Before) => {
    const avoid = attempt?.avoid
    return (
      avoid?.access === access &&
      avoid.turn < turn &&
      avoid.moves === moved.times &&
      // Nobody waits for longer than this, and then a token that was refused is better than none.
      mono() - avoid.at < acquireTimeout - grain
    )
  }

  const judgeFailure = (
    served: Served,
    name: string,
    error: TokenError.TokenError,
    promised: Promised,
    before: Before
  ) => {
    const { _tag } = error.reason
    // It found no room, so it was not held; by now it may be, because of another caller.
    const isFull = _tag === "ConfigurationInvalid" && error.reason.option === "capacity"
    if (isFull) Effect.runSync(evictUnlessHeld(served))
    const { held } = served
    // An attempt may have begun for this caller that the scheduler has not run yet. It sends later.
    const { phase } = Effect.runSync(served.service.state)
    const isBusy = phase === "acquiring" || phase === "renewing"
    if (served.attempt === undefined && isBusy && !isFull) books.beginAttempt(served)
    // Whoever was told no has no claim any more; who was cancelled has.
    const over = new Set(promised.credits.filter(({ reason }) => reason === "reject" || reason === "renew"))
    served.credits = served.credits.filter((credit) => !over.has(credit))
    showsNoSecret(error, `the error of ${name}`)
    note(`#${served.number} ${name} failed: ${_tag}`)
    if (!isUntouched(served, before)) return
    if (promised.servesHeld === true && books.surelyValid(held) && held.since < mono()) {
      violated(3, `${name} failed (${_tag}) though the token held was valid`)
    }
    if (error.validUntil !== undefined && held !== undefined && held.refusedIn < before.turn) {
      violated(7, `${name} failed (${_tag}) and calls the token valid that the API refused`)
    }
    if (_tag !== "LifetimeTooShort" || promised.lasts === undefined || before.moves !== moved.times) return
    // What a fresh one has spent when it comes; an adopted one says how long its exchange took, no more.
    const taken = held === undefined ? 0 : held.issued.answeredMono - held.issued.sentMono
    const spent =
      held === undefined || held.isAdopted ? Math.max(2 * program.latency, taken) : held.since - held.mono + held.margin
    if (promised.lasts + spent + grain < lifetime) {
      violated(2, `LifetimeTooShort, though ${promised.lasts} ms is less than a fresh token lasts`)
    }
  }

  const judgeToken = (served: Served, name: string, access: string, promised: Promised, before: Before) => {
    note(`#${served.number} ${name} got ${access}`)
    const untouched = isUntouched(served, before)
    const held = [served.held, served.previous?.held].find((held) => held?.issued.access === access)
    if (held === undefined) {
      if (untouched) violated(5, `${name} got ${access}, which the service should not hold any more`)
      return
    }
    if (untouched && held !== served.held && served.previous!.until < mono()) {
      violated(5, `${name} got ${access}, though a newer one is held`)
    }
    // `renew` promises a new one, whatever became of it on its way.
    if (promised.isFresh !== true && books.surelyExpired(held)) {
      violated(2, `${name} got a token ${Math.round(books.age(held) - lifetime)} ms past its time`)
    }
    if (promised.lasts !== undefined && books.age(held) + promised.lasts > lifetime) {
      violated(2, `${name} got a token that does not last`)
    }
    if (promised.isFresh === true && untouched && held.since < before.at) {
      violated(4, `${name} got a token from before the call`)
    }
    // Where the clocks were moved meanwhile it may have expired and be valid again.
    if (promised.not === access && before.moves === moved.times) violated(7, `${name} got the token that it rejected`)
    // The exchange that ends tells those who wait before it tells the books.
    if (isAvoided(access, before) && served.attempt === before.attempt && doubles.isExchanging(served)) {
      violated(7, `${name} got the token that is being replaced`)
    }
  }

  /** Runs a call and judges what comes of it, the instant it returns. */
  const judged = (
    served: Served,
    name: string,
    call: Effect.Effect<AccessToken.AccessToken, TokenError.TokenError>,
    promised: Promised
  ) =>
    Effect.suspend(() => {
      const { attempt, evictions, signOuts } = served
      const before: Before = { at: mono(), turn: world.turn(), moves: moved.times, signOuts, evictions, attempt }
      return Effect.onExit(call, (exit) =>
        Effect.sync(() => {
          for (const credit of promised.credits) credit.ended = timer()
          const error = errorOf(exit)
          if (error !== undefined) judgeFailure(served, name, error, promised, before)
          if (Exit.isFailure(exit)) return
          received.set(accessOf(exit.value), exit.value)
          judgeToken(served, name, accessOf(exit.value), promised, before)
        })
      )
    })

  // -------------------------------------------------------------------------------------------------------------------
  // Calls
  // -------------------------------------------------------------------------------------------------------------------

  /** What a caller's `get` entitles the service to do. */
  const creditGet = (served: Served): ReadonlyArray<Credit> => [credit(served, "early"), credit(served, "cold")]

  const get = (served: Served) =>
    Effect.suspend(() => {
      const credits = creditGet(served)
      return judged(served, "get", served.service.get, { credits, servesHeld: true })
    })

  const reject = (served: Served, token: AccessToken.AccessToken) =>
    Effect.suspend(() => {
      const access = accessOf(token)
      const credits = creditGet(served)
      const rejected = served.held?.issued.access === access ? [credit(served, "reject", { access })] : []
      return judged(served, "reject", served.service.reject(token), { credits: [...credits, ...rejected], not: access })
    })

  const getValidFor = (served: Served, duration: number) =>
    Effect.suspend(() => {
      const credits = [...creditGet(served), credit(served, "short", { duration })]
      const call = served.service.getValidFor(duration)
      return judged(served, `getValidFor(${duration})`, call, { credits, lasts: duration })
    })

  const renew = (served: Served) =>
    Effect.suspend(() => {
      const credits = [credit(served, "renew"), credit(served, "cold")]
      return judged(served, "renew", served.service.renew, { credits, isFresh: true })
    })

  const callStranger = (served: Served) =>
    Effect.map(Effect.forkDetach(counting(Effect.exit(served.stranger))), () => undefined)

  const signOut = (served: Served) =>
    Effect.suspend(() => {
      if (served.signingOut === 0) served.isLeaving = doubles.hasStore
      served.signingOut += 1
      served.signedOutAt = timer()
      books.forget(served)
      served.signOuts += 1
      note(`#${served.number} signs out`)
      return Effect.onExit(served.service.invalidate, (exit) =>
        Effect.map(served.service.state, ({ phase }) => {
          served.signingOut -= 1
          // If the store did not respond, it is asked again by the next attempt, whose result counts.
          if (served.signingOut === 0) served.isLeaving = false
          // Without a store to ask, the service itself is asked whether it has a newer credential by now.
          if (!doubles.hasStore && phase !== "valid" && phase !== "renewing") {
            const { attempt } = served
            books.forget(served)
            if (phase === "acquiring") served.attempt = attempt
          }
          const error = errorOf(exit)
          if (error === undefined || served.phase !== "open") return
          showsNoSecret(error, "the error of signing out")
          if (error.reason._tag !== "StoreUnavailable") violated(6, "signing out failed")
        })
      )
    })

  // -------------------------------------------------------------------------------------------------------------------
  // An API behind a BearerClient
  // -------------------------------------------------------------------------------------------------------------------

  /** Tokens that the API refused for what they are. */
  const refused = new Set<string>()

  /** What the API answers, by status and headers. */
  const answerTo = (url: URL, header: string | undefined): [status: number, headers?: Record<string, string>] => {
    if (url.origin !== api) {
      if (header !== undefined) violated(10, `a token went to ${url.origin}`)
      return [401]
    }
    if (url.pathname === "/forbidden") return [403]
    if (url.pathname === "/scope") return [401, { "www-authenticate": 'Bearer error="insufficient_scope"' }]
    const access = header === undefined ? undefined : nameOf(header.slice("Bearer ".length))
    if (access !== undefined && server.accepts(access)) return [200]
    if (access !== undefined) refused.add(access)
    return [401]
  }

  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      const [status, headers = {}] = answerTo(url, request.headers["authorization"])
      return HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
    })
  )

  const request = (served: Served, to: keyof typeof urls) =>
    Effect.suspend(() => {
      const judgedCalls = {
        get: get(served),
        reject: (token: AccessToken.AccessToken) => {
          if (!refused.has(accessOf(token))) violated(10, `an answer of ${to} renewed a token`)
          return reject(served, token)
        }
      }
      const bearer = BearerClient.make({ ...served.service, ...judgedCalls }, { origins: [api] })
      return Effect.exit(bearer(client).execute(HttpClientRequest.get(urls[to])))
    })

  return {
    start,
    /** Closes the scope of a service, its fibres counted. */
    closing: ({ scope }: Served) => counting(Scope.close(scope, Exit.void)),
    liveFibers: () => liveFibers.count,
    call,
    received: (access: string) => received.get(access),
    waiting: () => callers.filter((caller) => !caller.ended),
    /** Whether a map has no room for this service, because a stranger is being renewed. */
    isCrowdedOut: ({ number }: Served) => strangersBusy.has(number),
    get,
    reject,
    getValidFor,
    renew,
    signOut,
    callStranger,
    request
  }
}
