/** The worker's side of `pool.ts`. */
import type { Message } from "./pool.ts"

/** Answers the questions of the process that started this one, one at a time, and ends with it. */
export const answer = <Question, Answer>(toAnswer: (question: Question) => Promise<Answer>) => {
  const send = (message: Message<Answer>) => process.send?.(message)
  process.on("message", (question: Question) => {
    toAnswer(question).then(
      (answer) => send({ _tag: "Answer", answer }),
      (error: unknown) =>
        send({ _tag: "Failed", error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    )
  })
  process.on("disconnect", () => process.exit())
  send({ _tag: "Ready" })
}
