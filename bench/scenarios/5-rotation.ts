/** Whether a refresh token that is good for one use is used once. */
import { ask } from "../lanes.ts"
import { type Measurement, ours, type Scenario } from "../measurement.ts"
import { subjects } from "../subjects/index.ts"
import type { Answer, Question } from "../worker/rotation.ts"

const name = "5. Rotation"

const plan = { full: { renewals: 10, callsAtOnce: 5 }, smoke: { renewals: 3, callsAtOnce: 2 } } as const

export const scenario: Scenario = {
  name,
  description:
    "Refresh tokens are good for one use. Over 10 renewals of a token of 10 minutes, the answer of the third refresh is lost " +
    "on its way and the sixth is answered with 503, which leaves its token unused; five calls at once, every 10 s. Virtual time.",
  run: async (effort) => {
    const refreshing = subjects.filter(({ refreshes }) => refreshes)
    const questions = refreshing.map(({ name: subject }) => ({ ...plan[effort], subject }))
    const answers = await ask<Question, Answer>("./rotation.ts", questions, 2)
    const measure = (
      metric: string,
      unit: string,
      of: (answer: Answer) => number,
      remark: (answer: Answer) => string
    ) =>
      subjects.map((subject): Measurement => {
        const answer = answers[refreshing.indexOf(subject)]
        const [value, remarks] = answer === undefined ? [NaN, []] : [of(answer), [remark(answer)]]
        const note = [...remarks, ...(subject.notes.rotation === undefined ? [] : [subject.notes.rotation])].join(" ")
        return { scenario: name, subject: subject.name, metric, value, unit, note }
      })
    const measurements = [
      ...measure(
        "refresh tokens sent twice",
        "times",
        ({ repeated }) => repeated,
        ({ renewals }) => `${renewals} renewals.`
      ),
      ...measure(
        "failed calls",
        "calls",
        ({ failed }) => failed,
        ({ calls }) => `Of ${calls.toLocaleString("en")}.`
      )
    ]
    const [repeated = NaN, failed = NaN] = measurements.flatMap(({ subject, value }) =>
      subject === ours ? [value] : []
    )
    return {
      measurements,
      targets: [
        { scenario: name, target: "no refresh token sent twice", measured: `${repeated}`, isMet: repeated === 0 },
        { scenario: name, target: "no failed call", measured: `${failed} failed`, isMet: failed === 0 }
      ]
    }
  }
}
