/** A scheduler that makes one fibre let the others go first, at a step that a test chooses. */
import { Scheduler } from "effect"

export interface YieldingScheduler extends Scheduler.Scheduler {
  /** Counts from here on. */
  readonly restart: () => void
}

/** Runs what is ready in order, and makes the fibre yield that takes this step of all steps that run on it. */
export const yieldingAt = (step: number): YieldingScheduler => {
  const scheduler = new Scheduler.MixedScheduler()
  let steps = 0
  return {
    executionMode: scheduler.executionMode,
    makeDispatcher: () => scheduler.makeDispatcher(),
    shouldYield: (fiber) => {
      steps += 1
      return steps === step || scheduler.shouldYield(fiber)
    },
    restart: () => {
      steps = 0
    }
  }
}
