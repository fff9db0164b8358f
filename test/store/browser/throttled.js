/**
 * Gives a page the timers and clocks of a tab in the background, from `minutes.begin()` on: no timer runs until `minutes.pass()`
 * moves both clocks on by a minute and runs those that are due, as browsers do.
 */
{
  const wall = Date.now.bind(Date)
  const monotonic = performance.now.bind(performance)
  const startTimer = globalThis.setTimeout.bind(globalThis)
  const stopTimer = globalThis.clearTimeout.bind(globalThis)
  let isHidden = false
  let passed = 0
  // Far from the numbers of the browser's own timers.
  let lastId = 1e9
  const timers = new Map()
  Date.now = () => wall() + passed
  performance.now = () => monotonic() + passed
  globalThis.setTimeout = (run, delay = 0, ...args) => {
    if (!isHidden) return startTimer(run, delay, ...args)
    lastId += 1
    timers.set(lastId, { run: () => run(...args), due: performance.now() + delay })
    return lastId
  }
  globalThis.clearTimeout = (id) => {
    if (!timers.delete(id)) stopTimer(id)
  }
  globalThis.minutes = {
    begin: () => {
      isHidden = true
    },
    pass: () => {
      passed += 60_000
      for (const [id, { due, run }] of [...timers].toSorted(([, a], [, b]) => a.due - b.due)) {
        // One that ran before may have cancelled it.
        if (due > performance.now() || !timers.delete(id)) continue
        run()
      }
    }
  }
}
