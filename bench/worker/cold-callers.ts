/** Scenario 1: callers come at once to a subject that holds no token. */
import { exchangesOf, start } from "../server.ts"
import { subjectNamed } from "../subjects/index.ts"
import { answer } from "./answer.ts"

export interface Question {
  readonly subject: string
  readonly callers: number
  /** What an exchange takes, in milliseconds. */
  readonly exchange: number
}

export interface Answer {
  readonly exchanges: number
  readonly failed: number
}

const server = await start()

answer(async ({ callers, exchange, subject }: Question): Promise<Answer> => {
  const session = await subjectNamed(subject).open(server.url)
  await server.configure({ exchangeDelay: exchange })
  await server.reset()
  // Who hands out no token gets one for a request.
  const call = session.getToken ?? session.listVideos
  const outcomes = await Promise.allSettled(Array.from({ length: callers }, () => call()))
  const ledger = await server.ledger()
  await session.close()
  await server.configure({ exchangeDelay: 0 })
  return { exchanges: exchangesOf(ledger), failed: outcomes.filter(({ status }) => status === "rejected").length }
})
