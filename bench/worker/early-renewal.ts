/**
 * Scenario 3: callers come while a token is renewed that is valid for long still. Its clock is moved into the subject's
 * early window and then runs as real time does; waits are measured on the real one.
 */
import { jump, real, run } from "../virtual-time.ts"
import { exchangesOf, type Server, start } from "../server.ts"
import { quantile } from "../statistics.ts"
import { type Session, subjectNamed } from "../subjects/index.ts"
import { answer } from "./answer.ts"

export interface Question {
  readonly subject: string
  /** What a renewal takes, in milliseconds: one case each, all at once, each with a server and a session of its own. */
  readonly exchanges: ReadonlyArray<number>
}

/** One for each case; waits in milliseconds. */
export type Answer = ReadonlyArray<{
  readonly p50: number
  readonly p99: number
  readonly max: number
}>

const lifetime = 3_600
const servers: Array<Server> = []

interface Case {
  readonly exchange: number
  readonly server: Server
  readonly session: Session
}

/** A caller a millisecond, from when the renewal is due until it is over. */
const observe = async ({ exchange, server, session: { getToken } }: Case): Promise<Answer[number]> => {
  const waits: Array<number> = []
  const call = async () => {
    const start = real.now()
    await getToken?.()
    waits.push(real.now() - start)
  }
  const calls: Array<Promise<void>> = []
  for (const end = real.now() + exchange; real.now() < end; await real.sleep(1)) calls.push(call())
  await Promise.all(calls)
  if (exchangesOf(await server.ledger()) === 0) throw new Error("nothing was renewed")
  return { p50: quantile(waits, 0.5), p99: quantile(waits, 0.99), max: quantile(waits, 1) }
}

run()

answer(async ({ exchanges, subject: name }: Question): Promise<Answer> => {
  const { earlyWindow = 0, open } = subjectNamed(name)
  while (servers.length < exchanges.length) servers.push(await start())
  const cases: Array<Case> = []
  for (const [index, exchange] of exchanges.entries()) {
    const server = servers[index]!
    await server.configure({ exchangeDelay: 0, lifetime })
    const session = await open(server.url)
    await session.getToken?.()
    await server.configure({ exchangeDelay: exchange })
    await server.reset()
    cases.push({ exchange, server, session })
  }
  // So far into the window that jitter, up to 40 % of ours, no longer matters.
  jump((lifetime - 0.6 * earlyWindow) * 1_000)
  const outcomes = await Promise.all(cases.map(observe))
  await Promise.all(cases.map(({ session }) => session.close()))
  return outcomes
})
