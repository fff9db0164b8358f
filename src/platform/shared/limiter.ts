/**
 * The rate limit of a platform's client. It sends no more requests a minute than the server allows, by class, and repeats
 * requests that the server has refused with a 429.
 *
 * Each process counts its requests in a window for each class (`rateWindow.ts`), behind a queue (`lane.ts`). If the program
 * provides a limiter that several processes share, that counts as well (`sharedLimit.ts`).
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import { tell } from "../../token/shared/observers.ts"
import { monotonic } from "../../token/shared/time.ts"
import type { Observer, ThrottleReason } from "../../token/TokenEvent.ts"
import { drain } from "./body.ts"
import { type Budget, CallBudget, makeBudget, type Patience, type PatienceOptions } from "./budget.ts"
import { numberOf, refusalOf } from "./http.ts"
import { isPlace, Lane } from "./lane.ts"
import { hasOrigin, originOf } from "./origin.ts"
import { memoryMillis, type Place, type Report } from "./rateWindow.ts"
import { isRepeatable } from "./repeat.ts"
import type { Server } from "./server.ts"
import { SharedLimit } from "./sharedLimit.ts"
import { OnWaiting } from "./waits.ts"

/** How a client limits itself, whatever the platform. */
export interface LimiterOptions extends PatienceOptions {
  /**
   * A limiter to share with other processes, such as Effect's on Redis. If it fails, a warning is logged and this process
   * limits its requests on its own.
   * @default none: this process counts on its own
   */
  readonly rateLimiter?: RateLimiter.RateLimiter | undefined
}

/** What a platform counts, per minute. */
export interface Limits {
  /** Requests per minute, by class; `false` counts nothing. */
  readonly perMinute: Readonly<Record<string, number>> | false
  /** The class of a request to the platform. Requests to other servers are not counted. */
  readonly classOf: (request: HttpClientRequest.HttpClientRequest) => string
  /** Header with the seconds until the server's window ends, if successful responses have one. */
  readonly resetAfter?: string | undefined
}

/** The windows and queues of any number of accounts. Those that nobody uses for a while are forgotten. */
export class Lanes {
  readonly shared: SharedLimit | undefined
  readonly #lanes = new Map<string, Lane>()
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(platform: string, rateLimiter?: RateLimiter.RateLimiter) {
    this.shared = rateLimiter && new SharedLimit(platform, rateLimiter)
  }

  /** The lane of an account's class of requests. `limit` counts until the server says something else. */
  get(key: string, limit: number, now: number): Lane {
    if (now - this.#sweptAt > memoryMillis) this.#forget(now)
    const known = this.#lanes.get(key)
    if (known !== undefined) return known
    const lane = new Lane(key, limit)
    this.#lanes.set(key, lane)
    return lane
  }

  get size(): number {
    return this.#lanes.size
  }

  #forget(now: number): void {
    this.#sweptAt = now
    for (const [key, lane] of this.#lanes) {
      if (lane.isForgotten(now)) this.#lanes.delete(key)
    }
  }
}

/** Tells the observers, and the fibre that makes the request, that it waits, and why. */
export type OnWait = (
  request: HttpClientRequest.HttpClientRequest,
  reason: ThrottleReason,
  millis: number
) => Effect.Effect<unknown>

export const waitObserver =
  (server: Server, { classOf }: Limits, observers: ReadonlyArray<Observer>): OnWait =>
  (request, reason, duration) => {
    const notifyListener = Effect.withFiber((fiber) => fiber.getRef(OnWaiting)?.(reason, duration) ?? Effect.void)
    if (observers.length === 0) return notifyListener
    const notifyObservers = tell(observers, {
      _tag: "Throttled",
      provider: server.name,
      class: hasOrigin(request.url, originOf(server.baseUrl)) ? classOf(request) : "other",
      reason,
      duration
    })
    return Effect.andThen(notifyObservers, notifyListener)
  }

/** Makes the error of a request that was not sent, because it would have to wait too long. */
export type RateLimited<E> = (
  request: HttpClientRequest.HttpClientRequest,
  details: { readonly retryAfter: Duration.Duration; readonly limit: number }
) => E

const reportOf = (response: HttpClientResponse.HttpClientResponse, resetAfter: string | undefined): Report => {
  const { headers } = response
  const seconds = resetAfter === undefined ? undefined : numberOf(headers[resetAfter])
  return {
    limit: numberOf(headers["x-ratelimit-limit"]),
    remaining: numberOf(headers["x-ratelimit-remaining"]),
    resetAfter: seconds === undefined ? undefined : seconds * 1_000
  }
}

/** What the limiter of one client is made of. */
export interface Limiter<E> {
  readonly server: Server
  readonly limits: Limits
  readonly lanes: Lanes
  readonly patience: Patience
  readonly onWait: OnWait
  readonly rateLimited: RateLimited<E>
}

/** Makes a client wait for the rate limit, and repeat requests that were refused with a 429. */
export const limited =
  <E>({ lanes, limits, onWait, patience, rateLimited, server }: Limiter<E>) =>
  <E1, R>(self: HttpClient.HttpClient.With<E | E1, R>): HttpClient.HttpClient.With<E | E1, R> => {
    type Result = Effect.Effect<HttpClientResponse.HttpClientResponse, E | E1, R>
    const { longestWait } = patience
    const origin = originOf(server.baseUrl)
    /** The classes that have a limit, with the keys under which several clients share their lanes. */
    const classes = new Map(
      Object.entries(limits.perMinute || {}).map(([name, limit]) => [
        name,
        { key: `${server.platform}:${server.host}:${name}`, limit }
      ])
    )
    const classOf = (request: HttpClientRequest.HttpClientRequest) =>
      classes.size === 0 ? undefined : classes.get(limits.classOf(request))

    /** One request on its way through the limiter, as often as it is sent. */
    class Passage {
      readonly request: HttpClientRequest.HttpClientRequest
      readonly clock: Clock.Clock
      readonly budget: Budget
      readonly send: Result

      constructor(request: HttpClientRequest.HttpClientRequest, clock: Clock.Clock, budget: Budget | undefined) {
        this.request = request
        this.clock = clock
        this.budget = budget ?? makeBudget(patience, this.now())
        this.send = self.postprocess(Effect.succeed(request))
      }

      now(): number {
        return monotonic(this.clock)
      }

      /** Sends the request as soon as there is a place. `refusal` is the 429 that it got before. */
      enter(lane: Lane, reason: ThrottleReason, refusal?: HttpClientResponse.HttpClientResponse): Result {
        const now = this.now()
        const turn = { isRepeated: refusal !== undefined, until: Math.min(now + longestWait, this.budget.until) }
        const wait = lane.wait(now, turn)
        if (wait === 0) return this.take(lane, lane.window.take(now), refusal)
        if (now + wait > turn.until) return this.giveUp(lane, wait, refusal)
        return Effect.andThen(
          onWait(this.request, reason, wait),
          Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(
              lane.queue(turn, () => this.now(), restore),
              (admission): Result => {
                if (!isPlace(admission)) return restore(this.giveUp(lane, admission.tooLong, refusal))
                let isTaken = false
                const taken = Effect.suspend(() => {
                  isTaken = true
                  return this.take(lane, admission, refusal)
                })
                return Effect.ensuring(
                  restore(taken),
                  Effect.sync(() => {
                    if (!isTaken) this.giveBack(lane, admission)
                  })
                )
              }
            )
          )
        )
      }

      /** Has a place in this process, and takes one of the shared limiter. */
      take(lane: Lane, place: Place, refusal: HttpClientResponse.HttpClientResponse | undefined): Result {
        if (lanes.shared === undefined) return this.attempt(lane, place)
        return Effect.flatMap(lanes.shared.take(lane.key, lane.window.limit, this.clock), (wait) => {
          if (wait === 0) return this.attempt(lane, place)
          lane.window.giveBack(place)
          lane.window.hold(this.now(), wait, longestWait)
          return this.enter(lane, "limit", refusal)
        })
      }

      giveBack(lane: Lane, place: Place): void {
        lane.window.giveBack(place)
        lane.signal()
      }

      giveUp(lane: Lane, wait: number, refusal: HttpClientResponse.HttpClientResponse | undefined): Result {
        return refusal === undefined
          ? Effect.fail(
              rateLimited(this.request, { retryAfter: Duration.millis(Math.ceil(wait)), limit: lane.window.limit })
            )
          : Effect.succeed(refusal)
      }

      attempt(lane: Lane, place: Place): Result {
        const sentBefore = this.budget.requests
        return Effect.matchEffect(this.send, {
          onFailure: (error) => {
            if (this.budget.requests === sentBefore) this.giveBack(lane, place)
            return Effect.fail(error)
          },
          onSuccess: (response) => {
            const now = this.now()
            const report = reportOf(response, limits.resetAfter)
            if (response.status === 429) {
              const wait = Duration.toMillis(refusalOf(response).retryAfter)
              lane.window.refused(place, now, wait, longestWait, report)
              return this.repeat(response, wait, () => this.enter(lane, "refused", response))
            }
            // A 401 was repeated inside, without a place.
            const repeated = this.budget.requests - sentBefore - 1
            if (repeated > 0) lane.window.add(repeated)
            lane.window.answered(place, now, report)
            lane.signal()
            return Effect.succeed(response)
          }
        })
      }

      /** Repeats a request that is not counted for as long as it gets a 429. */
      repeatUncounted(response: HttpClientResponse.HttpClientResponse): Result {
        if (response.status !== 429) return Effect.succeed(response)
        const wait = Duration.toMillis(refusalOf(response).retryAfter)
        return this.repeat(response, wait, () =>
          Effect.andThen(
            onWait(this.request, "refused", wait),
            Effect.andThen(
              Effect.sleep(wait),
              Effect.flatMap(this.send, (response) => this.repeatUncounted(response))
            )
          )
        )
      }

      /** Repeats a request after a 429, if it may be repeated and the wait is not too long. */
      repeat(response: HttpClientResponse.HttpClientResponse, wait: number, again: () => Result): Result {
        const { budget } = this
        if (budget.refusals <= 0 || wait > longestWait || this.now() + wait > budget.until) {
          return Effect.succeed(response)
        }
        return Effect.flatMap(isRepeatable(this.request), (isRepeatable): Result => {
          if (!isRepeatable) return Effect.succeed(response)
          budget.refusals -= 1
          // An unread response would keep its connection.
          return Effect.andThen(drain(response), Effect.suspend(again))
        })
      }
    }

    const passageOf = (request: HttpClientRequest.HttpClientRequest, fiber: Fiber.Fiber<unknown, unknown>) =>
      new Passage(request, fiber.getRef(Clock.Clock), fiber.getRef(CallBudget))

    return HttpClient.makeWith(
      Effect.flatMap((request: HttpClientRequest.HttpClientRequest): Result => {
        if (!hasOrigin(request.url, origin)) return self.postprocess(Effect.succeed(request))
        const counted = classOf(request)
        return counted === undefined
          ? Effect.flatMap(self.postprocess(Effect.succeed(request)), (response) =>
              response.status === 429
                ? Effect.withFiber((fiber) => passageOf(request, fiber).repeatUncounted(response))
                : Effect.succeed(response)
            )
          : Effect.withFiber((fiber) => {
              const passage = passageOf(request, fiber)
              return passage.enter(lanes.get(counted.key, counted.limit, passage.now()), "limit")
            })
      }),
      self.preprocess
    )
  }
