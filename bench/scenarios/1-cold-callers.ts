/** How many exchanges it takes to give everybody a token where there is none. */
import { ask } from "../lanes.ts"
import { type Measurement, ours, type Scenario } from "../measurement.ts"
import { subjects } from "../subjects/index.ts"
import type { Answer, Question } from "../worker/cold-callers.ts"

const name = "1. Cold callers"

/** Callers, and what an exchange takes, in milliseconds. */
const plan = {
  full: { sizes: [10, 100, 1_000, 10_000], exchange: 100 },
  smoke: { sizes: [10, 100], exchange: 10 }
} as const

export const scenario: Scenario = {
  name,
  description:
    "Callers ask at once for a token that nobody has yet; an exchange takes 100 ms. " +
    "Who hands out no token (axios-auth-refresh, ky) is asked for a request instead.",
  run: async (effort) => {
    const { exchange, sizes } = plan[effort]
    const questions = subjects.flatMap(({ name: subject, notes }) =>
      sizes.map((callers) => ({ subject, callers, exchange, note: notes.cold }))
    )
    const answers = await ask<Question, Answer>("./cold-callers.ts", questions, 1)
    const measurements = questions.map(({ callers, note, subject }, index): Measurement => {
      const { exchanges, failed } = answers[index]!
      const failures = failed === 0 ? [] : [`${failed.toLocaleString("en")} callers failed.`]
      return {
        scenario: name,
        subject,
        metric: `exchanges for ${callers.toLocaleString("en")} callers`,
        value: exchanges,
        unit: "exchanges",
        note: [...failures, ...(note === undefined ? [] : [note])].join(" ") || undefined
      }
    })
    const own = measurements.filter(({ subject }) => subject === ours)
    return {
      measurements,
      targets: [
        {
          scenario: name,
          target: "1 exchange, whatever the number of callers, and none fails",
          measured: `${own.map(({ value }) => value).join(", ")}${own.some(({ note }) => note) ? ", with failures" : ""}`,
          isMet: own.every(({ note, value }) => value === 1 && note === undefined)
        }
      ]
    }
  }
}
