/** Scenario 4, on virtual time: the token endpoints are down while the token is valid and ought to be renewed. */
import { sleep, start, until } from "../virtual-time.ts"
import { exchangesOf, type Server } from "../server.ts"
import { type Subject, subjectNamed } from "../subjects/index.ts"
import { answer } from "./answer.ts"

export interface Question {
  readonly subject: string
  /** How long they are down after the subject's first attempt, in seconds. */
  readonly outage: number
  /** From one call to the next, in milliseconds. */
  readonly pace: number
}

export interface Answer {
  readonly calls: number
  readonly failed: number
  readonly exchanges: number
  /** Rejections that nobody handles, each of which ends a process of Node. */
  readonly unhandled: number
}

const lifetime = 3_600

let unhandled = 0
process.on("unhandledRejection", () => {
  unhandled += 1
})
// Some complain there.
console.warn = () => {}
console.error = () => {}

/** Calls, from just before the subject wants a newer token, and as long as the old one is valid. */
const observe = async (subject: Subject, server: Server, { outage, pace }: Question): Promise<Answer> => {
  unhandled = 0
  await server.configure({ lifetime })
  const session = await subject.open(server.url)
  await session.listVideos()
  const expiry = Date.now() + lifetime * 1_000
  await sleep((lifetime - Math.max(subject.earlyWindow ?? 0, outage) - 10) * 1_000)
  await server.configure({ isDown: true, exchangeDelay: 100 })
  await server.reset()
  const calls: Array<Promise<boolean>> = []
  let end = expiry - 10_000
  let isTried = false
  for (; Date.now() < end; await sleep(pace)) {
    if (!isTried && exchangesOf(await server.ledger()) > 0) {
      isTried = true
      end = Math.min(end, Date.now() + outage * 1_000)
    }
    calls.push(
      session.listVideos().then(
        () => true,
        () => false
      )
    )
  }
  const exchanges = exchangesOf(await server.ledger())
  await server.configure({ isDown: false })
  const outcomes = await Promise.all(calls)
  // Who is still trying gets through, or it would go on into the next subject's time.
  await sleep(5_000)
  await session.close()
  return { calls: outcomes.length, failed: outcomes.filter((isOk) => !isOk).length, exchanges, unhandled }
}

answer(async (question: Question): Promise<Answer> => {
  const server = await start()
  const outcome = await until(observe(subjectNamed(question.subject), server, question))
  await server.close()
  return outcome
})
