/** Explores worlds: all that can happen up to a depth, or paths drawn at random. */
import { numbers } from "../scheduler.ts"
import { type Setup, World } from "./world.ts"

export interface Explored {
  readonly paths: number
  readonly states: number
  readonly deepest: number
}

const fail = (world: World): never => {
  throw new Error(`\n${world.describe()}\n`)
}

/** Every order of events, up to so many of them. A path ends early where it meets a state that was explored before. */
export const exhaustively = (setup: Setup, depth: number, atMost = Infinity): Explored => {
  const seen = new Map<string, number>()
  const path: Array<{ index: number; count: number }> = []
  let [paths, deepest] = [0, 0]
  do {
    const world = new World(setup)
    let isNew = true
    let step = 0
    for (; step < depth; step++) {
      if (step >= path.length) {
        const state = world.fingerprint()
        const left = depth - step
        if ((seen.get(state) ?? 0) >= left) {
          isNew = false
          break
        }
        seen.set(state, left)
        const { length: count } = world.choices()
        if (count === 0) break
        path.push({ index: 0, count })
      }
      const choice = world.choices()[path[step]!.index]
      if (choice === undefined) throw new Error(`the world is not deterministic\n${world.describe()}`)
      world.take(choice)
      if (world.violations.length > 0) fail(world)
    }
    deepest = Math.max(deepest, step)
    paths += 1
    if (isNew) {
      world.conclude()
      if (world.violations.length > 0) fail(world)
    }
    while (path.length > 0 && ++path[path.length - 1]!.index >= path[path.length - 1]!.count) path.pop()
  } while (path.length > 0 && paths < atMost)
  return { paths, states: seen.size, deepest }
}

/** So many paths drawn at random. Faults are drawn less often than other events. */
export const randomly = (setup: Setup, paths: number, seed: number, depth = 120): void => {
  const random = numbers(seed)
  for (let number = 0; number < paths; number++) {
    const world = new World(setup)
    for (let step = 0; step < depth; step++) {
      const all = world.choices()
      const choices = random() < 0.15 ? all : all.filter(({ fault }) => fault === undefined)
      const choice = choices[Math.floor(random() * choices.length)]
      if (choice === undefined) break
      world.take(choice)
      if (world.violations.length > 0) fail(world)
    }
    world.conclude()
    if (world.violations.length > 0) fail(world)
  }
}
