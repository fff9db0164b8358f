import type { Scheduler } from "effect"

/** A small, fast generator of numbers from 0 to 1 (mulberry32). */
export const numbers = (seed: number) => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/**
 * Runs what is ready in an order drawn from a seed. It knows when nothing is left to run, which is when a program's next
 * operation may come.
 */
export class ShufflingScheduler implements Scheduler.Scheduler {
  readonly executionMode = "async"
  private readonly tasks: Array<() => void> = []
  private readonly waiting: Array<() => void> = []
  private readonly random: () => number
  private planned = false
  private stepsToYield = 0

  constructor(seed: number) {
    this.random = numbers(seed)
  }

  shouldYield(fiber: Parameters<Scheduler.Scheduler["shouldYield"]>[0]): boolean {
    if (this.stepsToYield > 0 && fiber.cache.runtimeMetrics !== undefined) {
      this.stepsToYield -= 1
      if (this.stepsToYield === 0) return true
    }
    return fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield
  }

  /**
   * Makes one fibre yield, the one that takes this step, counted from now. Only fibres whose life is recorded count: those
   * under test.
   */
  yieldAt(step: number): void {
    this.stepsToYield = step
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return {
      scheduleTask: (task) => {
        this.tasks.push(task)
        this.plan()
      },
      flush: () => this.run(Infinity)
    }
  }

  /** Calls back when nothing is left to run, promises included. */
  whenIdle(then: () => void): void {
    this.waiting.push(then)
    this.plan()
  }

  private plan(): void {
    if (this.planned) return
    this.planned = true
    setImmediate(() => {
      this.planned = false
      const idle = this.tasks.length === 0
      // What these tasks schedule runs in the next turn, after the promises that they resolved.
      this.run(this.tasks.length)
      if (idle) this.waiting.shift()?.()
      if (this.tasks.length > 0 || this.waiting.length > 0) this.plan()
    })
  }

  private run(atMost: number): void {
    for (let count = 0; count < atMost && this.tasks.length > 0; count++) {
      const index = Math.floor(this.random() * this.tasks.length)
      const task = this.tasks[index]!
      const last = this.tasks.pop()!
      if (index < this.tasks.length) this.tasks[index] = last
      task()
    }
  }
}
