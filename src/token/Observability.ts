/**
 * Logs and metrics of every `TokenService` and client that is built beneath these layers. Spans need no layer: each exchange
 * that is sent has one, `TokenService.login` or `TokenService.refresh`, with the attribute `provider`.
 *
 * Logs and metrics contain no secret. They name an identity by a hash, and a failure by its reason.
 *
 * **Example** (Logging renewals)
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { ApiVideo, Observability } from "effect-video-auth"
 *
 * export const layer = ApiVideo.layerConfig({ apiKey: Config.Redacted("APIVIDEO_API_KEY") }).pipe(
 *   Layer.provide(Observability.layerLogging)
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { LoggingObservers, MetricsObservers, type TokenEvent } from "./TokenEvent.ts"

/**
 * Logs each renewal at `Info`, each failed attempt at `Warning`, and each request that was sent again after a 401 at `Debug`.
 * Lines are annotated with `provider` and `identity`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLogging: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(LoggingObservers, [(event) => log(event)])

const log = (event: TokenEvent): Effect.Effect<void> => {
  switch (event._tag) {
    case "Renewed": {
      const { by, duration, generation, identity, provider, trigger } = event
      const what = by === "adopted" ? "adopted a token from the store" : `got a token by ${by}`
      return Effect.logInfo(`${what} in ${Math.round(duration)} ms`).pipe(
        Effect.annotateLogs({ provider, identity, trigger, generation })
      )
    }
    case "RenewalFailed": {
      const { error, identity, provider, trigger } = event
      return Effect.logWarning(`renewal failed: ${error.message}`).pipe(
        Effect.annotateLogs({ provider, identity, trigger, reason: error.reason._tag })
      )
    }
    case "Throttled": {
      const { class: name, duration, provider, reason } = event
      return Effect.logDebug(`a request waits ${Math.ceil(duration)} ms`).pipe(
        Effect.annotateLogs({ provider, class: name, reason })
      )
    }
    case "Replayed":
      return Effect.logDebug("a request was sent again with a newer token after a 401")
    case "Waited":
      return Effect.void
  }
}

/**
 * Counts the attempts to renew, by `provider`, `trigger`, `by` (`login`, `refresh`, `adopted`) and `outcome` (`success`, or
 * the tag of the reason).
 *
 * @category metrics
 * @since 0.1.0
 */
export const renewals = Metric.counter("token_renewals_total", {
  description: "Attempts to renew a token",
  incremental: true
})

/** The unit that OTLP exports. For Prometheus it is part of the name and not a label. */
const unit = { unit: "seconds" }

/** Buckets from 10 ms to about 40 s, and one for longer durations. */
const boundaries = Metric.exponentialBoundaries({ start: 0.01, factor: 2, count: 14 })

/**
 * Measures the duration of each attempt to renew, in seconds, by `provider` and `outcome`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const exchangeDuration = Metric.histogram("token_exchange_duration_seconds", {
  description: "Duration of an attempt to renew a token",
  attributes: unit,
  boundaries
})

/**
 * Measures how long a caller waited for a token, in seconds, by `provider`. Callers that did not wait are not counted.
 *
 * @category metrics
 * @since 0.1.0
 */
export const callerWait = Metric.histogram("token_caller_wait_seconds", {
  description: "Time that a caller waited for a token",
  attributes: unit,
  boundaries
})

/**
 * Records the age of a token when it was replaced, in seconds, by `provider`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const ageAtRenewal = Metric.gauge("token_age_at_renewal_seconds", {
  description: "Age of a token when it was replaced",
  attributes: unit
})

/**
 * Records the remaining lifetime of the newest token when it arrived, in seconds, by `provider`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const secondsToExpiry = Metric.gauge("token_seconds_to_expiry", {
  description: "Remaining lifetime of the newest token when it arrived",
  attributes: unit
})

/**
 * Counts the requests that were sent again with a newer token after a 401.
 *
 * @category metrics
 * @since 0.1.0
 */
export const replays = Metric.counter("token_replays_total", {
  description: "Requests sent again with a newer token after a 401",
  incremental: true
})

/**
 * Expected wait of each request that had to wait before it was sent, in seconds, by `provider`, `class` (`reads`, `writes`,
 * `uploads`, `requests`, `other`) and `reason` (`limit`, `refused`, `retry`). Its count is the number of such waits.
 *
 * @category metrics
 * @since 0.1.0
 */
export const throttleWait = Metric.histogram("client_throttle_wait_seconds", {
  description: "Time that a request waits before it is sent",
  attributes: unit,
  boundaries
})

/**
 * Updates {@link renewals}, {@link exchangeDuration}, {@link callerWait}, {@link ageAtRenewal}, {@link secondsToExpiry},
 * {@link replays} and {@link throttleWait}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMetrics: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(MetricsObservers, [
  (event) => measure(event)
])

const measure = (event: TokenEvent): Effect.Effect<void> => {
  switch (event._tag) {
    case "Renewed": {
      const { age, by, duration, expiresAt, provider, trigger } = event
      const labels = { provider, outcome: "success" }
      return Effect.all(
        [
          Metric.update(Metric.withAttributes(renewals, { ...labels, by, trigger }), 1),
          Metric.update(Metric.withAttributes(exchangeDuration, labels), duration / 1000),
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Metric.update(Metric.withAttributes(secondsToExpiry, { provider }), (expiresAt - now) / 1000)
          ),
          age === undefined ? Effect.void : Metric.update(Metric.withAttributes(ageAtRenewal, { provider }), age / 1000)
        ],
        { discard: true }
      )
    }
    case "RenewalFailed": {
      const { duration, error, provider, trigger } = event
      const labels = { provider, outcome: error.reason._tag }
      return Effect.andThen(
        Metric.update(Metric.withAttributes(renewals, { ...labels, trigger }), 1),
        Metric.update(Metric.withAttributes(exchangeDuration, labels), duration / 1000)
      )
    }
    case "Waited":
      return Metric.update(Metric.withAttributes(callerWait, { provider: event.provider }), event.duration / 1000)
    case "Replayed":
      return Metric.update(replays, 1)
    case "Throttled": {
      const { class: name, duration, provider, reason } = event
      return Metric.update(Metric.withAttributes(throttleWait, { provider, class: name, reason }), duration / 1000)
    }
  }
}
