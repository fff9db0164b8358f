/** What the default policy says, in milliseconds. The model's own copy: a default that moves must move here as well. */

export const tick = 30_000
/** Where nothing ticks, a `get` compares the clocks when this much has passed since another did. */
export const glance = 1_000
export const exchangeTimeout = 30_000
export const acquireTimeout = 20_000
export const shutdownGrace = 5_000
/** How long a fatal failure is remembered, without jitter. */
export const fatalForOf = (program: { readonly locks: boolean }) => (program.locks ? 300_000 : 5_000)
export const fatalPause = 300_000
export const shortestPause = 800
export const longPause = { shortest: 24_000, longest: 36_000 }
export const leaseTime = 6_000
/** A store whose calls have failed for so long is down. */
export const storePatience = 3_000
/** A lease may be taken at once where its last sign of life is further from the store's present than this. */
export const abandonedAfter = 30_000
export const stormLimit = 5
export const stormWindow = 30_000

/** Timers have whole milliseconds. */
export const grain = 3

/** When a token of that lifetime is renewed at the earliest, and from when on callers wait for it, before it expires. */
export const windowsOf = (lifetime: number) => ({
  window: Math.min(900_000, lifetime / 4),
  mandatory: Math.min(60_000, lifetime / 10)
})
