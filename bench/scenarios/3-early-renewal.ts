/** How long callers wait for a token while one is renewed that is valid for long still. */
import { ask } from "../lanes.ts"
import { type Measurement, ours, type Scenario } from "../measurement.ts"
import { subjects } from "../subjects/index.ts"
import type { Answer, Question } from "../worker/early-renewal.ts"

const name = "3. Early renewal"

const exchangesOf = { full: [100, 1_000, 5_000], smoke: [50, 100] } as const

const inWords = (millis: number) => (millis < 1_000 ? `${millis} ms` : `${millis / 1_000} s`)

const quantiles = ["p50", "p99", "max"] as const

/** Milliseconds. */
const limit = 2

export const scenario: Scenario = {
  name,
  description:
    "A token of an hour has come into the subject's own early window (ours 15 minutes, most 5) and is valid for long still. " +
    "A caller a millisecond asks for a token while the renewal takes 100 ms, 1 s and 5 s of real time.",
  run: async (effort) => {
    const exchanges = exchangesOf[effort]
    const early = subjects.filter(({ earlyWindow }) => earlyWindow !== undefined)
    const questions = early.map(({ name: subject }) => ({ subject, exchanges }))
    const answers = await ask<Question, Answer>("./early-renewal.ts", questions, 2)
    const measurements = exchanges.flatMap((exchange, position) =>
      quantiles.flatMap((quantile) =>
        subjects.map((subject): Measurement => ({
          scenario: name,
          subject: subject.name,
          metric: `wait, ${quantile}, while a renewal takes ${inWords(exchange)}`,
          value: answers[early.indexOf(subject)]?.[position]?.[quantile] ?? NaN,
          unit: "ms",
          note: subject.notes.early
        }))
      )
    )
    const worst = measurements.flatMap(({ metric, subject, value }) =>
      subject === ours && metric.includes("p99") ? [value] : []
    )
    return {
      measurements,
      targets: [
        {
          scenario: name,
          target: `p99 below ${limit} ms, however long the renewal takes`,
          measured: worst.map((wait) => `${wait.toFixed(2)} ms`).join(", "),
          isMet: worst.every((wait) => wait < limit)
        }
      ]
    }
  }
}
