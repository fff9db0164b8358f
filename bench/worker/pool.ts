/**
 * Subjects that are timed, each in a process of its own: none finds its code optimised for another's, and none pays for
 * another's garbage. They take turns, so that what else the machine does falls on all alike.
 */
import { type ChildProcess, fork } from "node:child_process"
import type { Twins } from "../statistics.ts"

/** One subject's process, which answers one question at a time. */
export interface Worker<Question, Answer> {
  readonly subject: string
  readonly ask: (question: Question) => Promise<Answer>
  readonly close: () => Promise<void>
}

/** What a worker's process sends. */
export type Message<Answer> =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Answer"; readonly answer: Answer }
  | { readonly _tag: "Failed"; readonly error: string }

/** Starts `module`, a file beside this one, for a subject, and waits until it is ready. */
export const start = async <Question extends object, Answer>(
  module: `./${string}.ts`,
  subject: string,
  options: { readonly args?: ReadonlyArray<string>; readonly flags?: ReadonlyArray<string> | undefined } = {}
): Promise<Worker<Question, Answer>> => {
  const { args = [], flags = [] } = options
  const child = fork(new URL(module, import.meta.url), [subject, ...args], {
    execArgv: ["--disable-warning=ExperimentalWarning", ...flags],
    serialization: "advanced"
  })
  await next<Answer>(child, subject)
  return {
    subject,
    ask: async (question) => {
      const answer = next<Answer>(child, subject)
      child.send(question)
      const message = await answer
      if (message._tag !== "Answer") throw new Error(`${subject} did not answer`)
      return message.answer
    },
    close: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve())
        child.disconnect()
      })
  }
}

const next = <Answer>(child: ChildProcess, subject: string): Promise<Message<Answer>> =>
  new Promise((resolve, reject) => {
    const exited = (code: number | null) => reject(new Error(`the process of ${subject} ended with ${code}`))
    child.once("exit", exited)
    child.once("message", (message: Message<Answer>) => {
      child.off("exit", exited)
      if (message._tag === "Failed") reject(new Error(`${subject}: ${message.error}`))
      else resolve(message)
    })
  })

/**
 * Lets subjects take turns: in each round each has one, in an order that is another every time. Gives the figures of
 * each subject, one a round.
 */
export const interleave = async <Subject, Figure>(
  subjects: ReadonlyArray<Subject>,
  rounds: number,
  turn: (subject: Subject) => Promise<Figure>
): Promise<Map<Subject, Array<Figure>>> => {
  const figures = new Map(subjects.map((subject) => [subject, [] as Array<Figure>]))
  for (let round = 0; round < rounds; round++) {
    const first = round % subjects.length
    const rotated = [...subjects.slice(first), ...subjects.slice(0, first)]
    // Backwards every other time: else everybody would always come after the same one.
    for (const subject of round % 2 === 0 ? rotated : rotated.toReversed()) {
      figures.get(subject)?.push(await turn(subject))
    }
  }
  return figures
}

/** Two processes for each subject. */
export type Pairs<Subject, Question, Answer> = ReadonlyMap<
  Subject,
  { readonly first: Worker<Question, Answer>; readonly second: Worker<Question, Answer> }
>

export const startPairs = async <Subject, Question, Answer>(
  subjects: ReadonlyArray<Subject>,
  open: (subject: Subject) => Promise<Worker<Question, Answer>>
): Promise<Pairs<Subject, Question, Answer>> =>
  new Map(
    await Promise.all(
      subjects.map(async (subject) => {
        const [first, second] = await Promise.all([open(subject), open(subject)])
        return [subject, { first, second }] as const
      })
    )
  )

export const closePairs = <Subject, Question, Answer>(pairs: Pairs<Subject, Question, Answer>) =>
  Promise.all([...pairs.values()].flatMap(({ first, second }) => [first.close(), second.close()]))

/** Lets both processes of the subjects take turns. */
export const interleavePairs = async <Subject, Question, Answer>(
  pairs: Pairs<Subject, Question, Answer>,
  subjects: ReadonlyArray<Subject>,
  rounds: number,
  questionOf: (subject: Subject) => Question
): Promise<ReadonlyMap<Subject, Twins<Answer>>> => {
  const turns = subjects.flatMap((subject) => {
    const pair = pairs.get(subject)
    if (pair === undefined) throw new Error("a subject has no process")
    return [
      { subject, worker: pair.first },
      { subject, worker: pair.second }
    ]
  })
  const figures = await interleave(turns, rounds, ({ subject, worker }) => worker.ask(questionOf(subject)))
  return new Map(
    subjects.map((subject) => {
      const [first = [], second = []] = turns
        .filter((turn) => turn.subject === subject)
        .map((turn) => figures.get(turn) ?? [])
      return [subject, { first, second }] as const
    })
  )
}
