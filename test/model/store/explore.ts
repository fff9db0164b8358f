/** Explores worlds: all that can happen up to a depth, or paths drawn at random. */
import { numbers } from "../scheduler.ts"
import { type Beside, type Setup, type Steps, World } from "./world.ts"

export interface Explored {
  readonly paths: number
  readonly states: number
  readonly deepest: number
}

/** What is explored: a world of this setup, which may have a backend of its own beside it. */
export interface Explorable {
  readonly setup: Setup
  readonly beside?: () => Beside
}

const assertSound = (world: World) => {
  if (world.violations.length > 0) throw new Error(`\n${world.describe()}\n`)
}

function* conclude(world: World): Steps {
  for (const step of world.conclude()) {
    yield step
    assertSound(world)
  }
  assertSound(world)
}

/** Every order of events, up to so many of them. A path ends early where it meets a state that was explored before. */
export function* exhaustively({ beside, setup }: Explorable, depth: number, atMost = Infinity): Steps<Explored> {
  const seen = new Map<string, number>()
  const path: Array<{ index: number; count: number }> = []
  let [paths, deepest] = [0, 0]
  do {
    const world = new World(setup, { beside: beside?.(), isCompared: true })
    yield
    let isNew = true
    let step = 0
    for (; step < depth; step++) {
      const choices = world.choices()
      if (step >= path.length) {
        const state = world.fingerprint()
        const left = depth - step
        if ((seen.get(state) ?? 0) >= left) {
          isNew = false
          break
        }
        seen.set(state, left)
        if (choices.length === 0) break
        path.push({ index: 0, count: choices.length })
      }
      const choice = choices[path[step]!.index]
      if (choice === undefined) throw new Error(`the world is not deterministic\n${world.describe()}`)
      world.take(choice)
      yield
      assertSound(world)
    }
    deepest = Math.max(deepest, step)
    paths += 1
    if (isNew) yield* conclude(world)
    while (path.length > 0 && ++path[path.length - 1]!.index >= path[path.length - 1]!.count) path.pop()
  } while (path.length > 0 && paths < atMost)
  return { paths, states: seen.size, deepest }
}

/** So many paths drawn at random. `faulty` is the share of events of which any may be a fault. */
export function* randomly(
  { beside, setup }: Explorable,
  paths: number,
  seed: number,
  { depth = 120, faulty = 0.15 }: { readonly depth?: number; readonly faulty?: number } = {}
): Steps {
  const random = numbers(seed)
  for (let number = 0; number < paths; number++) {
    const world = new World(setup, { beside: beside?.() })
    yield
    for (let step = 0; step < depth; step++) {
      const choices = world.choices({ withFaults: random() < faulty })
      const choice = choices[Math.floor(random() * choices.length)]
      if (choice === undefined) break
      world.take(choice)
      yield
      assertSound(world)
    }
    yield* conclude(world)
  }
}

/** Explores the model alone, which needs no waiting. */
export const run = <A>(steps: Steps<A>): A => {
  let step = steps.next()
  while (step.done !== true) step = steps.next()
  return step.value
}
