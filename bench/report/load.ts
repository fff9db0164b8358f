/** Whether the machine has anything else to do. Nothing timed means much if it has. */
import { cpus, loadavg } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"

export interface Load {
  /** The load averages of one, five and fifteen minutes when the run began. */
  readonly before: ReadonlyArray<number>
  /** When it ended: it has seen the run itself. */
  readonly after: ReadonlyArray<number>
  /** The machine was not idle when the run began. */
  readonly isNoisy: boolean
}

/** Runnable processes over the last minute, a core: installing the peers just now may have left as much. */
const idle = 0.35

const isIdle = () => (loadavg()[0] ?? 0) < idle * cpus().length

/** Waits for the machine to become idle, for so many seconds at most. */
export const settle = async (patience: number): Promise<Omit<Load, "after">> => {
  for (let waited = 0; waited < patience && !isIdle(); waited += 5) await sleep(5_000)
  return { before: loadavg(), isNoisy: !isIdle() }
}
