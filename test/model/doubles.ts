/** What a service stands on: a server, a store that may be down, and who hears of its events. All of them keep the books. */
import { Effect, Redacted } from "effect"
import { AccessToken, TokenError, type TokenEvent, TokenStore } from "effect-video-auth"
import { nameOf } from "../guarantees/platforms.ts"
import type { Books, Served } from "./books.ts"
import { abandonedAfter, grain, leaseTime } from "./policy.ts"
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

  let healthySince = -Infinity
  const running = new Set<Server.Exchange>()

  const started = (exchange: Server.Exchange) => {
    const served = byNumber(exchange.service)
    note(`#${served.number} ${exchange.operation} sent (${served.attempt?.reasons.join(", ") ?? "no attempt"})`)
    for (const other of running) {
      if (other.service === exchange.service) violated(1, "two exchanges of one service at once")
    }
    running.add(exchange)
    if (served.phase === "closed") violated(5, "an exchange after the scope had closed")
    const attempt = served.attempt ?? (hasStore && !served.isAlone ? undefined : books.beginAttempt(served))
    if (hasStore && served.isAlone && attempt !== undefined) attempt.isLeased = false
    const isGranted = !hasStore || served.isAlone || served.maySend
    served.maySend = false
    if (!isGranted) return violated(1, "an exchange that the store has not granted")
    // Somebody signed out when it was about to be sent: it is interrupted, and nothing comes of it.
    if (attempt === undefined) return
    if (attempt.exchange === undefined) {
      if (attempt.premature !== undefined) violated(attempt.premature.includes("fatal") ? 6 : 8, attempt.premature)
      // A sign-out that has begun but not reached the service yet has ended the claims that explain it.
      const isExplained = attempt.reasons.length > 0 || (!hasStore && served.signingOut > 0)
      if (!isExplained) violated(7, "an exchange that nothing explains")
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
      note(`#${service} answered ${issued.access}`)
      if (served.attempt === undefined) return
      served.inHand = issued
      if (!served.attempt.isLeased) books.holdPrivately(served)
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
  const stored = () => Effect.runSync(memory.read("model")).record
  const generations = new Map<number, string>()
  const unlessDown = <A>(operation: string, effect: Effect.Effect<A, TokenError.StoreUnavailable>) =>
    isDown ? Effect.fail(new TokenError.StoreUnavailable({ operation })) : effect
  const nameOfStored = (issued: Server.Issued | undefined) => issued?.access ?? "an unknown token"

  /** How often a service has forgotten its token. */
  const forgotten = ({ evictions, signOuts }: Served) => signOuts + evictions
  /**
   * The same when an attempt took the lease: what comes of it after a sign-out or an eviction is not held. Nor is what an
   * attempt without a lease got and the store takes later.
   */
  const forgottenBefore = new Map<string, number>()
  const isCurrent = (served: Served, attempt: string) => forgottenBefore.get(attempt) === forgotten(served)

  const keep = (served: Served, attempt: string, token: AccessToken.AccessToken, issued: Server.Issued) => {
    const { generation } = token
    if ((generations.get(generation) ?? issued.access) !== issued.access) {
      violated(1, `two credentials of generation ${generation}`)
    }
    generations.set(generation, issued.access)
    // A credential that was private so far is committed in the background, which changes nothing for its service.
    if (served.held?.issued !== issued && isCurrent(served, attempt)) books.hold(served, issued, false)
  }

  /** A service that notices that the store is down has no lease, and may make an exchange of its own. */
  const noticed = (served: Served) => {
    served.isAlone = true
    if (served.attempt !== undefined) served.attempt.isLeased = false
  }

  /** When each attempt last showed that it was alive. */
  const life = new Map<string, number>()
  const showsLife = (attempt: string) => life.set(attempt, mono())

  /**
   * One process at a time has the lease, and so the right to send. Another takes it over only after time: where a machine
   * slept, time has passed for the holder without a sign of life, and its response may come while another one is under way.
   */
  const isAlive = ({ at, attempt }: { readonly at: number; readonly attempt: string }) =>
    mono() - (life.get(attempt) ?? -Infinity) < leaseTime - grain && Math.abs(wall() - at) <= abandonedAfter - grain

  /** A write, and what to do if it was granted, with the lease that was there before. */
  const afterLookingAtTheLease = (
    identity: string,
    write: Effect.Effect<boolean, TokenError.StoreUnavailable>,
    whenGranted: (lease: TokenStore.Snapshot["lease"]) => void
  ) =>
    Effect.flatMap(memory.read(identity), ({ lease }) =>
      Effect.tap(write, (granted) =>
        Effect.sync(() => {
          if (granted) whenGranted(lease)
        })
      )
    )

  const storeOf = (number: number): TokenStore.Backend => ({
    read: (identity) =>
      Effect.suspend(() => {
        const served = byNumber(number)
        if (isDown) noticed(served)
        return unlessDown("read", memory.read(identity))
      }),
    claim: (identity, options) =>
      Effect.suspend(() => {
        const served = byNumber(number)
        if (isDown) noticed(served)
        const attempt = served.isLeaving ? undefined : (served.attempt ?? books.beginAttempt(served))
        forgottenBefore.set(options.attempt, served.isLeaving ? -1 : forgotten(served))
        const write = Effect.tap(unlessDown("claim", memory.claim(identity, options)), () =>
          Effect.sync(() => {
            served.isAlone = false
          })
        )
        return afterLookingAtTheLease(identity, write, (lease) => {
          if (attempt !== undefined) attempt.isLeased = true
          if (lease?.attempt === options.attempt) return
          if (lease !== undefined && isAlive(lease)) violated(1, "the lease was taken from a process that was alive")
          showsLife(options.attempt)
        })
      }),
    sending: (identity, options) =>
      Effect.suspend(() => {
        if (isDown) noticed(byNumber(number))
        const write = unlessDown("sending", memory.sending(identity, options))
        return afterLookingAtTheLease(identity, write, (lease) => {
          if (lease?.attempt !== options.attempt) violated(1, "the store lets an attempt send without the lease")
          byNumber(number).maySend = true
        })
      }),
    beat: (identity, attempt) =>
      Effect.suspend(() =>
        afterLookingAtTheLease(identity, unlessDown("beat", memory.beat(identity, attempt)), () => showsLife(attempt))
      ),
    commit: (identity, options) =>
      Effect.suspend(() =>
        Effect.tap(unlessDown("commit", memory.commit(identity, options)), (kept) =>
          Effect.sync(() => {
            const served = byNumber(number)
            const issued = server.find(accessOf(options.record))
            served.inHand = undefined
            note(`#${number} ${kept ? "stored" : "was overtaken with"} ${nameOfStored(issued)}`)
            if (kept && issued !== undefined) keep(served, options.attempt, options.record, issued)
          })
        )
      ),
    release: (identity, options) =>
      Effect.suspend(() => {
        const served = byNumber(number)
        if (served.phase === "closing") served.inHand = undefined
        if (isDown) noticed(served)
        return unlessDown("release", memory.release(identity, options))
      }),
    clear: (identity, epoch) =>
      Effect.suspend(() => {
        note(`#${number} signs out of the store`)
        byNumber(number).isLeaving = false
        return unlessDown("clear", memory.clear(identity, epoch))
      }),
    changed: memory.changed
  })

  /** What a renewal returned from the store, without an exchange. */
  const adopted = (number: number, token: AccessToken.AccessToken) => {
    const issued = server.find(accessOf(token))
    note(`#${number} found ${nameOfStored(issued)} in the store`)
    if (issued !== undefined) books.hold(byNumber(number), issued, true)
  }

  /** A session that a person began, in the store. */
  const beginSession = Effect.gen(function* () {
    const issued = server.begin()
    const response = {
      accessToken: Redacted.make(issued.access),
      refreshToken: Redacted.make(issued.refresh ?? ""),
      expiresIn: lifetime
    }
    const token = yield* AccessToken.fromResponse(response, { answeredAt: wall(), elapsed: 0, generation: 1 })
    yield* memory.commit("model", { attempt: "person", version: 0, next: 1, loginVersion: 1, record: token })
  })

  /** Another process takes the lease, sends the refresh token and dies. */
  const crashElsewhere = Effect.gen(function* () {
    if (!hasStore) return
    const { lease, record, revision, sent, version } = yield* memory.read("model")
    if (record?.refreshToken === undefined || lease !== undefined || sent !== undefined) return
    const attempt = `another-${revision}`
    yield* memory.claim("model", { attempt, revision })
    showsLife(attempt)
    yield* memory.sending("model", { attempt, version, kind: "refresh", marks: true })
    server.takenElsewhere(nameOf(Redacted.value(record.refreshToken)))
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
      // A store that was down for all of the commit's tries does not have it.
      books.holdPrivately(served)
      books.endAttempt(served, true)
    } else if (event._tag === "RenewalFailed") {
      const { error } = event
      note(`#${number} RenewalFailed: ${error.reason._tag}`)
      const retryAfter = served.attempt?.exchange?.retryAfter ?? 0
      books.endAttempt(served, false)
      // The sign-out that has begun forgets it.
      if (served.isLeaving) return
      served.failure = { at: mono(), timer: timer(), fatal: !error.isRetryable, retryAfter }
      served.wanted = true
    }
  }

  return {
    server,
    hasStore,
    storeOf,
    adopted,
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
      const refreshToken = stored()?.refreshToken
      return program.hasLogin || (refreshToken !== undefined && server.isFresh(nameOf(Redacted.value(refreshToken))))
    }
  }
})
