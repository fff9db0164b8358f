/** Retries of a platform's client, within the budget of a call. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import { monotonic } from "../../token/shared/time.ts"
import { type Budget, CallBudget, makeBudget, type Patience } from "./budget.ts"
import { failureOf } from "./http.ts"
import type { OnWait } from "./limiter.ts"
import { isRepeatable } from "./repeat.ts"

/** A failure as a retry sees it. */
export interface Failure {
  /** Whether the same request may succeed later. A 429 is not: the limiter has repeated it. */
  readonly isTransient: boolean
  /** How long the server asks to wait. */
  readonly retryAfter: Duration.Duration | undefined
}

/** No response arrived. */
export const isBrokenOff = (error: unknown): error is HttpClientError.HttpClientError =>
  HttpClientError.isHttpClientError(error) && error.response === undefined

const isIdempotent = ({ method }: HttpClientRequest.HttpClientRequest) => /^(GET|HEAD|OPTIONS|PUT|DELETE)$/.test(method)

const neverSent = (error: unknown): boolean => isBrokenOff(error) && failureOf(error) === "connect"

/** A circuit breaker, which the program has composed in, sent nothing. */
export const isCircuitOpen = (error: unknown): boolean =>
  isBrokenOff(error) && Predicate.isTagged(error.reason.cause, "CircuitBreakerError")

/** Two retries, after 200 ms and 400 ms. */
export const defaultRetry = /* @__PURE__ */ Schedule.exponential("200 millis").pipe(
  /* @__PURE__ */ Schedule.jittered,
  /* @__PURE__ */ Schedule.upTo({ times: 2 })
)

/** What a client's retries are made of. */
export interface Retries<E> {
  readonly schedule: Schedule.Schedule<unknown, E> | false
  readonly patience: Patience
  readonly onWait: OnWait
  readonly read: (error: E) => Failure
}

/** Makes the budget of each call, and retries within it. */
export const retried =
  <E>({ onWait, patience, read, schedule }: Retries<E>) =>
  <R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> => {
    type Result = Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>

    /** Whether a request may be sent again. If it may have been carried out, only if that makes no difference. */
    const mayRetry = (request: HttpClientRequest.HttpClientRequest, error: E): Effect.Effect<boolean> =>
      (isIdempotent(request) && read(error).isTransient) || neverSent(error)
        ? isRepeatable(request)
        : Effect.succeed(false)

    const retry = (
      attempt: Result,
      request: HttpClientRequest.HttpClientRequest,
      budget: Budget,
      clock: Clock.Clock,
      schedule: Schedule.Schedule<unknown, E>,
      first: E
    ): Result =>
      Effect.flatMap(Schedule.toStep(schedule), (step) => {
        const again = (error: E): Result =>
          Effect.flatMap(mayRetry(request, error), (may): Result => {
            if (!may) return Effect.fail(error)
            const next = Effect.map(step(clock.currentTimeMillisUnsafe(), error), ([, delay]) => delay)
            return Effect.flatMap(
              Pull.catchDone(next, () => Effect.succeed(undefined)),
              (delay): Result => {
                if (delay === undefined) return Effect.fail(error)
                const wait = Math.max(
                  Duration.toMillis(delay),
                  Duration.toMillis(read(error).retryAfter ?? Duration.zero)
                )
                if (wait > patience.longestWait || monotonic(clock) + wait > budget.until) return Effect.fail(error)
                if (request.method === "DELETE" && !neverSent(error)) budget.mayBeDeleted = true
                return Effect.andThen(
                  onWait(request, "retry", wait),
                  Effect.andThen(
                    Effect.sleep(wait),
                    // A circuit breaker that this call has opened is not its failure.
                    Effect.catch(attempt, (later) => (isCircuitOpen(later) ? Effect.fail(error) : again(later)))
                  )
                )
              }
            )
          })
        return again(first)
      })

    return HttpClient.transform(self, (effect, request) =>
      Effect.withFiber((fiber) => {
        const clock = fiber.getRef(Clock.Clock)
        const budget = makeBudget(patience, monotonic(clock))
        const attempt = Effect.updateContext(effect, (context: Context.Context<R>) =>
          Context.add(context, CallBudget, budget)
        )
        // Most calls succeed at once, so the schedule starts only after a failure.
        return schedule === false
          ? attempt
          : Effect.catch(attempt, (error) => retry(attempt, request, budget, clock, schedule, error))
      })
    )
  }
