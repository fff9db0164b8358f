/** Counts fibres. */
import { Effect, Metric } from "effect"

/** Counts the fibres that are alive among those started beneath it. */
export const census = () => {
  let alive = 0
  const service: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => void (alive += 1),
    recordFiberEnd: () => void (alive -= 1)
  }
  return {
    alive: Effect.sync(() => alive),
    count: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.provideService(effect, Metric.FiberRuntimeMetrics, service)
  }
}
