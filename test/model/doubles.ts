/** What a service stands on: a server, a store that may be down, and who hears of its events. All of them keep the books. */
import { Effect, Option, Redacted } from "effect"
import { AccessToken, TokenError, type TokenEvent, TokenStore } from "effect-video-auth"
import { nameOf } from "../guarantees/platforms.ts"
import type { Books, Served } from "./books.ts"
import { grain, leaseTime } from "./policy.ts"
import type { Program } from "./program.ts"
import * as Server from "./server.ts"
import type { World } from "./world.ts"

export type Doubles = Effect.Success<ReturnType<typeof make>>

/** The name of a token, whatever a platform wraps it in. */
export const accessOf = (token: AccessToken.AccessToken) => nameOf(Redacted.value(token.accessToken))

export const make = Effect.fnUntraced(function* (program: Program, world: World, books: Books) {
  const { mono, note, timer, violated, wall } = world
  const { byNumber } = books
  const lifetime = program.lifetime * 1000
  /** A session begins in a store. */
  const hasStore = program.hasStore || !program.hasLogin

  // -------------------------------------------------------------------------------------------------------------------
  // The server
  // -------------------------------------------------------------------------------------------------------------------

  let clearedAt = -Infinity
  let healthySince = -Infinity
  const running = new Set<Server.Exchange>()

  /** A lease ends with time, and when somebody signs out. */
  const hasLease = ({ attempt }: Served) =>
    attempt !== undefined && mono() - attempt.leasedAt < leaseTime - grain && attempt.leasedAt > clearedAt

  const started = (exchange: Server.Exchange) => {
    const served = byNumber(exchange.service)
    note(`#${served.number} ${exchange.operation} sent (${served.attempt?.reasons.join(", ") ?? "no attempt"})`)
    for (const other of running) {
      if (other.service === exchange.service) violated(1, "two exchanges of one service at once")
      else if (hasLease(served) && hasLease(byNumber(other.service))) {
        violated(1, "two exchanges of one identity at once")
      }
    }
    running.add(exchange)
    if (served.phase === "closed") violated(5, "an exchange after the scope had closed")
    const attempt = hasStore ? served.attempt : (served.attempt ?? books.beginAttempt(served))
    if (attempt === undefined) return violated(1, "an exchange without a lease")
    if (attempt.exchange === undefined) {
      if (attempt.premature !== undefined) violated(attempt.premature.includes("fatal") ? 6 : 8, attempt.premature)
      if (attempt.reasons.length === 0) violated(7, "an exchange that nothing explains")
    }
    attempt.exchange = exchange
    if (exchange.operation === "refresh" && !program.survives && served.held !== undefined) {
      attempt.avoid ??= { access: served.held.issued.access, turn: world.turn(), moves: world.moved.times, at: mono() }
    }
  }

  const server = Server.make(program, world, {
    started,
    answered: (service, issued) => {
      const served = byNumber(service)
      served.inHand = issued
      note(`#${service} answered ${issued.access}`)
      if (served.attempt?.leasedAt === -Infinity) books.holdPrivately(served)
    },
    ended: (exchange) => {
      running.delete(exchange)
    },
    violated,
    healed: () => {
      healthySince = timer()
    }
  })

  // -------------------------------------------------------------------------------------------------------------------
  // The store
  // -------------------------------------------------------------------------------------------------------------------

  const memory = yield* TokenStore.makeMemory
  let isDown = false
  let stored: AccessToken.AccessToken | undefined
  /** A lease could not be given back, so that nobody will know whether its refresh token was sent. */
  let isOrphaned = false
  const generations = new Map<number, string>()
  const unlessDown = <A>(operation: string, effect: Effect.Effect<A, TokenError.StoreUnavailable>) =>
    isDown ? Effect.fail(new TokenError.StoreUnavailable({ operation })) : effect
  const nameOfStored = (issued: Server.Issued | undefined) => issued?.access ?? "an unknown token"

  const keep = (served: Served, token: AccessToken.AccessToken, issued: Server.Issued) => {
    const { generation } = token
    if ((generations.get(generation) ?? issued.access) !== issued.access) {
      violated(1, `two credentials of generation ${generation}`)
    }
    generations.set(generation, issued.access)
    stored = token
    isOrphaned = false
    books.hold(served, issued, false)
  }

  const storeOf = (number: number): TokenStore.Backend => ({
    acquire: (identity, options) =>
      Effect.suspend(() => {
        const served = byNumber(number)
        const attempt = served.attempt ?? books.beginAttempt(served)
        if (isDown) attempt.leasedAt = -Infinity
        return Effect.tap(unlessDown("acquire", memory.acquire(identity, options)), (acquired) =>
          Effect.sync(() => {
            if (acquired._tag === "Lease") attempt.leasedAt = mono()
            if (acquired._tag !== "Newer") return
            const issued = server.find(accessOf(acquired.stored))
            note(`#${number} found ${nameOfStored(issued)} in the store`)
            if (issued !== undefined && wall() < acquired.stored.expiresAt) books.hold(served, issued, true)
          })
        )
      }),
    commit: (identity, options) =>
      Effect.suspend(() => {
        if (isDown) books.holdPrivately(byNumber(number))
        return Effect.tap(unlessDown("commit", memory.commit(identity, options)), (kept) =>
          Effect.sync(() => {
            const served = byNumber(number)
            const issued = server.find(accessOf(options.stored))
            served.inHand = undefined
            note(`#${number} ${kept ? "stored" : "was fenced off with"} ${nameOfStored(issued)}`)
            if (kept && issued !== undefined) keep(served, options.stored, issued)
          })
        )
      }),
    release: (identity, options) =>
      Effect.suspend(() => {
        if (byNumber(number).phase === "closing") byNumber(number).inHand = undefined
        isOrphaned ||= isDown
        return unlessDown("release", memory.release(identity, options))
      }),
    clear: (identity) =>
      Effect.suspend(() => {
        note(`#${number} signs out of the store`)
        books.forget(byNumber(number))
        if (!isDown) {
          stored = undefined
          clearedAt = mono()
          // Where the store counts from is known to nobody after this.
          generations.clear()
        }
        return unlessDown("clear", memory.clear(identity))
      }),
    changed: memory.changed
  })

  /** A session that a person began, in the store. */
  const beginSession = Effect.gen(function* () {
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
    stored = token
  })

  /** Another process takes the lease, sends the refresh token and dies. */
  const crashElsewhere = Effect.gen(function* () {
    if (!hasStore) return
    const acquired = yield* memory.acquire("model", { owner: "another", seen: stored?.generation ?? 0, ttl: leaseTime })
    if (acquired._tag !== "Lease" || Option.isNone(acquired.stored) || acquired.orphaned) return
    const { refreshToken } = acquired.stored.value
    if (refreshToken !== undefined) server.takenElsewhere(nameOf(Redacted.value(refreshToken)))
  })

  // -------------------------------------------------------------------------------------------------------------------
  // Events
  // -------------------------------------------------------------------------------------------------------------------

  const observerOf =
    (number: number): TokenEvent.Observer =>
    // At the call, and not when its effect runs: the books must not lag behind.
    (event) => {
      world.showsNoSecret(event, `an event (${event._tag})`)
      if ("identity" in event && event.identity === "model") hear(number, event)
      return Effect.void
    }
  const hear = (number: number, event: TokenEvent.TokenEvent) => {
    const served = byNumber(number)
    if (event._tag === "Renewed") {
      note(`#${number} Renewed by ${event.by}, generation ${event.generation}`)
      books.endAttempt(served, true)
    } else if (event._tag === "RenewalFailed") {
      const { error } = event
      note(`#${number} RenewalFailed: ${error.reason._tag}`)
      const retryAfter = served.attempt?.exchange?.retryAfter ?? 0
      served.failure = { at: mono(), timer: timer(), fatal: !error.isRetryable, retryAfter }
      served.wanted = true
      books.endAttempt(served, false)
    }
  }

  return {
    server,
    hasStore,
    storeOf,
    observerOf,
    beginSession,
    crashElsewhere,
    isExchanging: ({ number }: Served) => [...running].some((exchange) => exchange.service === number),
    setStore: (isUp: boolean) => {
      if (isUp && isDown) healthySince = timer()
      isDown = hasStore && !isUp
    },
    /** Whether nothing stands in the way of a renewal, and since when. */
    isHealthy: () => server.isHealthy() && !isDown,
    healthySince: () => healthySince,
    canRenew: (): boolean => {
      const refreshToken = isOrphaned ? undefined : stored?.refreshToken
      return program.hasLogin || (refreshToken !== undefined && server.isFresh(nameOf(Redacted.value(refreshToken))))
    }
  }
})
