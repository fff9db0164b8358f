import { type Effort, type Measurement, ours, type Outcome, type Scenario, type Target } from "../measurement.ts"
import { exponent, median, spread } from "../statistics.ts"
import type { Answer, Question } from "../worker/growth.ts"
import { interleave, start } from "../worker/pool.ts"

const name = "10. Growth"

const sizes = {
  callers: [1, 10, 100, 1_000, 10_000],
  identities: [1, 10, 100, 1_000]
} as const

type By = keyof typeof sizes

/** What is looked at as callers, or identities, become many. */
const growths = [
  { by: "callers", cost: "get", what: "get while N callers wait", from: 1 },
  { by: "callers", cost: "reject", what: "reject of a replaced token while N callers wait", from: 1 },
  // One exchange is shared by all, and with few callers it is all that there is to see.
  { by: "callers", cost: "renewal", what: "renewal, a waiting caller of N", from: 100 },
  { by: "identities", cost: "get", what: "get, of N identities", from: 1 },
  { by: "identities", cost: "reject", what: "reject of a replaced token, of N identities", from: 1 },
  { by: "identities", cost: "renewal", what: "renewal, an identity of N", from: 1 },
  { by: "identities", cost: "start", what: "start with a login, an identity of N", from: 1 }
] as const satisfies ReadonlyArray<{ by: By; cost: keyof Answer; what: string; from: number }>

/**
 * A cost whose exponent is below this is constant. The logarithm of the size would show as more than 0.25 over these
 * decades, its square root as 0.5; caches that a thousand identities no longer fit into show as well.
 */
const constant = 0.15

type Figures = ReadonlyMap<number, ReadonlyArray<Answer>>

const measure = async (by: By, effort: Effort): Promise<Figures> => {
  const [warmUp, rounds, calls] = effort === "smoke" ? [0, 1, 1_000] : [2, 9, 20_000]
  const worker = await start<Question, Answer>("./growth.ts", by, { flags: ["--expose-gc"] })
  const turn = (size: number) => worker.ask({ by, size, calls })
  const used = effort === "smoke" ? sizes[by].filter((size) => size <= 100) : sizes[by]
  await interleave(used, warmUp, turn)
  const figures = await interleave<number, Answer>(used, rounds, turn)
  await worker.close()
  return figures
}

const run = async (effort: Effort): Promise<Outcome> => {
  const figures = { callers: await measure("callers", effort), identities: await measure("identities", effort) }
  const measurements: Array<Measurement> = []
  const targets: Array<Target> = []
  for (const { by, cost, from, what } of growths) {
    const points: Array<readonly [number, number]> = []
    for (const [size, answers] of figures[by]) {
      const values = answers.map((answer) => answer[cost])
      const value = median(values)
      const metric = `${what}: N = ${size.toLocaleString("en")}`
      measurements.push({ scenario: name, subject: ours, metric, value, unit: "ns", spread: spread(values) })
      if (size >= from) points.push([size, value])
    }
    if (points.length < 2) continue
    const order = exponent(points)
    measurements.push({ scenario: name, subject: ours, metric: `${what}: order`, value: order, unit: "exponent" })
    targets.push({
      scenario: name,
      target: `constant: ${what}`,
      measured: `N to the power of ${order.toFixed(2)}${from > 1 ? `, from N = ${from}` : ""}`,
      isMet: order < constant
    })
  }
  return { measurements, targets }
}

export const scenario: Scenario = {
  name,
  description:
    "What a call costs as callers and identities become many, by decades: N callers wait for one renewal, or there are N " +
    "services. A constant cost a call, or an identity, is a total that grows linearly.",
  run
}
