/** What becomes of requests whose token is revoked while they are under way. */
import { ask } from "../lanes.ts"
import { type Measurement, ours, type Scenario } from "../measurement.ts"
import { median, spread } from "../statistics.ts"
import { subjects } from "../subjects/index.ts"
import type { Answer, Question } from "../worker/staggered-401s.ts"

const name = "2. Staggered 401s"

const plan = {
  full: { requests: 50, spread: 500, exchange: 100, rounds: 3 },
  smoke: { requests: 10, spread: 50, exchange: 10, rounds: 1 }
} as const

export const scenario: Scenario = {
  name,
  description:
    "50 requests are under way when their token is revoked. Their 401s arrive over 500 ms, an exchange takes 100 ms: " +
    "some learn of it before the renewal, some during it, most when it is long over.",
  run: async (effort) => {
    const { rounds, ...question } = plan[effort]
    const questions = Array.from({ length: rounds }, () => subjects.map(({ name }) => ({ ...question, subject: name })))
    const answers = await ask<Question, Answer>("./staggered-401s.ts", questions.flat(), 2)
    const figuresOf = (subject: number, of: (answer: Answer) => number) =>
      questions.map((_, round) => of(answers[round * subjects.length + subject]!))
    const measure = (metric: string, unit: string, of: (answer: Answer) => number) =>
      subjects.map(({ name: subject, notes }, index): Measurement => {
        const figures = figuresOf(index, of)
        return {
          scenario: name,
          subject,
          metric,
          value: median(figures),
          unit,
          spread: spread(figures),
          note: notes.rejected
        }
      })
    const measurements = [
      ...measure("exchanges", "exchanges", ({ exchanges }) => exchanges),
      ...measure(`failed calls of ${question.requests}`, "calls", ({ failed }) => failed)
    ]
    const own = measurements.filter(({ subject }) => subject === ours).map(({ spread: [, most] = [0, NaN] }) => most)
    return {
      measurements,
      targets: [
        {
          scenario: name,
          target: "1 exchange, no failed call",
          measured: `${own[0]} exchange, ${own[1]} failed`,
          isMet: own[0] === 1 && own[1] === 0
        }
      ]
    }
  }
}
