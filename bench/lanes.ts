/** Has questions answered by worker processes that share the work: a lane each, one question at a time. */
import * as Pool from "./worker/pool.ts"

/** The answers of `module`, a file of `worker/`, in the order of the questions. */
export const ask = async <Question extends object, Answer>(
  module: `./${string}.ts`,
  questions: ReadonlyArray<Question>,
  lanes: number
): Promise<ReadonlyArray<Answer>> => {
  const answers: Array<Answer> = []
  const queue = [...questions.entries()]
  const work = async (_: unknown, lane: number) => {
    const worker = await Pool.start<Question, Answer>(module, `lane ${lane}`)
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [index, question] = next
        answers[index] = await worker.ask(question)
      }
    } finally {
      await worker.close()
    }
  }
  await Promise.all(Array.from({ length: lanes }, work))
  return answers
}
