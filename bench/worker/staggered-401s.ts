/** Scenario 2: requests are under way when their token is revoked, and learn of it one after the other. */
import { exchangesOf, start } from "../server.ts"
import { subjectNamed } from "../subjects/index.ts"
import { answer } from "./answer.ts"

export interface Question {
  readonly subject: string
  readonly requests: number
  /** From the first 401 to the last, and what an exchange takes, in milliseconds. */
  readonly spread: number
  readonly exchange: number
}

export interface Answer {
  readonly exchanges: number
  readonly failed: number
}

const server = await start()
const invalidToken = 'Bearer error="invalid_token"'

answer(async ({ exchange, requests, spread, subject: name }: Question): Promise<Answer> => {
  const { challenge = invalidToken, open } = subjectNamed(name)
  const session = await open(server.url)
  await session.listVideos()
  await server.configure({ challenge, exchangeDelay: exchange, revocation: { requests, spread } })
  await server.reset()
  const outcomes = await Promise.allSettled(Array.from({ length: requests }, () => session.listVideos()))
  const ledger = await server.ledger()
  await session.close()
  await server.configure({ challenge: invalidToken, exchangeDelay: 0 })
  return { exchanges: exchangesOf(ledger), failed: outcomes.filter(({ status }) => status === "rejected").length }
})
