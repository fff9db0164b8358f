/** What an outage of the token endpoints does to callers whose token is valid. */
import { ask } from "../lanes.ts"
import { type Measurement, ours, type Scenario } from "../measurement.ts"
import { subjects } from "../subjects/index.ts"
import type { Answer, Question } from "../worker/provider-down.ts"

const name = "4. Provider down"

/** Seconds after the first attempt, and milliseconds from one call to the next. */
const plan = { full: { outage: 300, pace: 200 }, smoke: { outage: 10, pace: 2_000 } } as const

/** Of a cool-down of 30 s ± 20 %, the shortest. Seconds. */
const coolDown = 24

export const scenario: Scenario = {
  name,
  description:
    "The token endpoints answer 503 from when the subject first tries to renew its token of an hour, for 5 minutes or until " +
    "10 s before it expires: it is valid all the while, and the API goes on. Five calls a second, in virtual time.",
  run: async (effort) => {
    const { outage, pace } = plan[effort]
    const answers = await ask<Question, Answer>(
      "./provider-down.ts",
      subjects.map(({ name: subject }) => ({ subject, outage, pace })),
      2
    )
    const measure = (metric: string, unit: string, of: (answer: Answer) => number) =>
      subjects.map(({ name: subject, notes }, index): Measurement => {
        const answer = answers[index]!
        const crash =
          answer.unhandled === 0
            ? []
            : [`${answer.unhandled} unhandled rejections, of which one would end the process.`]
        const remarks = [...crash, ...(notes.down === undefined ? [] : [notes.down])]
        const total = unit === "calls" ? [`Of ${answer.calls.toLocaleString("en")}.`] : []
        return {
          scenario: name,
          subject,
          metric,
          value: of(answer),
          unit,
          note: [...total, ...remarks].join(" ") || undefined
        }
      })
    const measurements = [
      ...measure("failed calls", "calls", ({ failed }) => failed),
      ...measure("exchanges attempted", "exchanges", ({ exchanges }) => exchanges)
    ]
    const [failed = NaN, exchanges = NaN] = measurements.flatMap(({ subject, value }) =>
      subject === ours ? [value] : []
    )
    const most = 1 + Math.floor(outage / coolDown)
    return {
      measurements,
      targets: [
        { scenario: name, target: "no failed call", measured: `${failed} failed`, isMet: failed === 0 },
        {
          scenario: name,
          target: `at most ${most} exchanges: one, and one after each cool-down`,
          measured: `${exchanges} exchanges`,
          isMet: exchanges >= 1 && exchanges <= most
        }
      ]
    }
  }
}
