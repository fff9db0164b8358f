/**
 * Who of very many comes next: a binary heap of due times, and due times that do not come together.
 */
import * as RenewalPolicy from "../RenewalPolicy.ts"
import type { Agenda, Environment, Work } from "./actor.ts"

interface Entry {
  readonly at: number
  readonly work: Work
}

/** A clock that was stepped by less moves nothing that matters. Milliseconds. */
const tolerance = 1_000

/**
 * Orders work by when it is due. Who is put off keeps its place until that comes up, and only then gets a later one: so
 * each has one entry that counts, the one of `notedAt`.
 */
export const make = (): Agenda => {
  const heap: Array<Entry> = []
  let before = 0

  const push = (entry: Entry) => {
    let index = heap.push(entry) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]!.at <= entry.at) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = entry
  }

  const pop = () => {
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    while (true) {
      let child = 2 * index + 1
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child += 1
      if (child >= heap.length || heap[child]!.at >= last.at) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }

  const note = (work: Work) => {
    if (work.wakeAt >= work.notedAt) return
    work.notedAt = work.wakeAt
    push({ at: work.wakeAt, work })
  }

  return {
    note,
    first: () => {
      while (true) {
        const top = heap[0]
        if (top === undefined) return undefined
        const { at, work } = top
        if (at === work.notedAt && at === work.wakeAt) return work
        pop()
        if (at !== work.notedAt) continue
        work.notedAt = Infinity
        note(work)
      }
    },
    stepped: (ahead) => {
      if (Math.abs(ahead - before) < tolerance) return []
      before = ahead
      return heap.map(({ work }) => work)
    }
  }
}

/** Renewals are counted by spans of this many milliseconds. */
const span = 1_000

/** So many moments are drawn, and the one is taken that has the fewest renewals. */
const draws = 8

/**
 * Windows for many identities. Each renewal comes at a moment of its own: the first one anywhere in the token's life,
 * because many are started together, each later one anywhere in the time that the policy leaves.
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
