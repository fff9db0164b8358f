/** Notices when a process did not get to run: a machine that is too busy explains a timeout. */

/** When that was: milliseconds since the epoch. */
export type Stall = readonly [from: number, to: number]

/** Looks every so many milliseconds; a second late is a stall. */
export const watchStalls = (every = 100) => {
  const stalls: Array<Stall> = []
  let last = Date.now()
  const timer = setInterval(() => {
    const now = Date.now()
    if (now - last > every + 1_000) stalls.push([last, now])
    last = now
  }, every)
  return { stalls, end: () => clearInterval(timer) }
}
