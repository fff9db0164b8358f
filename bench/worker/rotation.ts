/** Scenario 5, on virtual time: refresh tokens rotate, one answer is lost on its way and one refresh gets 503. */
import { sleep, start, until } from "../virtual-time.ts"
import type { Server } from "../server.ts"
import { type Subject, subjectNamed } from "../subjects/index.ts"
import { answer } from "./answer.ts"

export interface Question {
  readonly subject: string
  readonly renewals: number
  readonly callsAtOnce: number
}

export interface Answer {
  readonly calls: number
  readonly failed: number
  /** Refreshes with a refresh token that had been sent before, and may have been used. */
  readonly repeated: number
  readonly renewals: number
}

const lifetime = 600

// Some complain there.
console.warn = () => {}
console.error = () => {}

const observe = async (subject: Subject, server: Server, { callsAtOnce, renewals }: Question): Promise<Answer> => {
  await server.configure({ lifetime, rotates: true })
  const session = await subject.open(server.url)
  await server.configure({ exchangeDelay: 100, refreshFaults: { 3: "answer lost", 6: "unavailable" } })
  await session.listVideos()
  await server.reset()
  const outcomes: Array<PromiseSettledResult<unknown>> = []
  // Who has lost the session makes no more renewals.
  const end = Date.now() + renewals * lifetime * 1_000
  let ledger = await server.ledger()
  while (ledger.issued < renewals && Date.now() < end) {
    const calls = Array.from({ length: callsAtOnce }, () => session.listVideos())
    outcomes.push(...(await Promise.allSettled(calls)))
    await sleep(10_000)
    ledger = await server.ledger()
  }
  await session.close()
  const failed = outcomes.filter(({ status }) => status === "rejected").length
  return { calls: outcomes.length, failed, repeated: ledger.repeated, renewals: ledger.issued }
}

answer(async (question: Question): Promise<Answer> => {
  const server = await start()
  const outcome = await until(observe(subjectNamed(question.subject), server, question))
  await server.close()
  return outcome
})
