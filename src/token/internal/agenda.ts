/** Which of many engines comes next: a binary heap of due times, and windows that keep due times apart. */
import * as RenewalPolicy from "../RenewalPolicy.ts"
import type { Agenda, Environment, Work } from "./actor.ts"

interface Entry {
  at: number
  readonly work: Work
}

/** A clock that was stepped by less moves nothing that matters. Milliseconds. */
const tolerance = 1_000

/** Orders work by when it is due. Each work knows its position in the heap, so that it can be moved and removed at once. */
export const make = (): Agenda => {
  const heap: Array<Entry> = []
  let before = 0

  const put = (entry: Entry, index: number) => {
    heap[index] = entry
    entry.work.position = index
  }

  /** Puts an entry where it belongs, starting from a place that is free. */
  const settle = (entry: Entry, free: number) => {
    let index = free
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]!.at <= entry.at) break
      put(heap[parent]!, index)
      index = parent
    }
    while (true) {
      let child = 2 * index + 1
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child += 1
      if (child >= heap.length || heap[child]!.at >= entry.at) break
      put(heap[child]!, index)
      index = child
    }
    put(entry, index)
  }

  const remove = (work: Work) => {
    const { position } = work
    if (position < 0) return
    work.position = -1
    const last = heap.pop()!
    if (last.work !== work) settle(last, position)
  }

  return {
    note: (work) => {
      if (work.wakeAt === Infinity) return remove(work)
      const entry = heap[work.position] ?? { at: work.wakeAt, work }
      entry.at = work.wakeAt
      settle(entry, work.position < 0 ? heap.length : work.position)
    },
    remove,
    first: () => heap[0]?.work,
    stepped: (ahead) => {
      if (Math.abs(ahead - before) < tolerance) return []
      before = ahead
      return heap.map(({ work }) => work)
    }
  }
}

/** Renewals are counted by spans of this many milliseconds. */
const span = 1_000

/** This many moments are drawn, and the one with the fewest renewals is taken. */
const draws = 8

/**
 * Windows for many identities. Each renewal comes at a moment of its own: the first one anywhere in the token's life,
 * because many are started together, and each later one anywhere in the time that the policy leaves.
 */
export const spread = (
  policy: RenewalPolicy.RenewalPolicy,
  now: () => number,
  random: () => number
): Environment["windows"] => {
  const booked = new Map<number, number>()
  let swept = -Infinity
  const sweep = (time: number) => {
    if (time < swept + 60_000) return
    swept = time
    for (const key of booked.keys()) if (key * span < time) booked.delete(key)
  }
  return (lifetime, isFirst) => {
    const { advisory: latest, mandatory } = RenewalPolicy.windows(policy, lifetime, 1)
    const earliest = isFirst ? lifetime : RenewalPolicy.windows(policy, lifetime, 0).advisory
    const time = now()
    sweep(time)
    let advisory = latest
    let fewest = Infinity
    for (let draw = 0; draw < draws; draw++) {
      const drawn = latest + (earliest - latest) * random()
      const count = booked.get(Math.floor((time + lifetime - drawn) / span)) ?? 0
      if (count >= fewest) continue
      fewest = count
      advisory = drawn
    }
    booked.set(Math.floor((time + lifetime - advisory) / span), fewest + 1)
    return { advisory, mandatory }
  }
}
