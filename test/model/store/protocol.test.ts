/**
 * Explores the driver of the store's protocol (`src/token/internal/storeProtocol.ts`): all that can happen to a few processes
 * up to a number of events, and longer histories drawn at random. The worlds check four properties:
 *
 * - A rotating refresh token is sent at most once.
 * - Without a login, the session survives everything but a sign-out, a lost response of the platform, and a kill after the
 *   store had granted the refresh.
 * - With a login, each stop, kill or outage costs at most two more logins.
 * - Every renewal ends, after one lease at most if nobody else is at work, and a sign-out stays signed out.
 *
 * A store that was set back loses marks and sign-outs. Then no process sends a refresh token again that it sent before, and
 * the session survives if a process holds the credential that the store lost. Subjects that share a session are processes
 * that need tokens of their own, from one refresh token.
 *
 * A failure prints all that happened.
 */
import { assert, describe, it } from "@effect/vitest"
import { scaled, seed } from "../../support/random.ts"
import { exhaustively, randomly, run } from "./explore.ts"
import { faults, kinds, seedNumber, setBack } from "./setups.ts"

/** Whether the search goes deeper than `npm test` and CI's sample have time for: in the long suite, and for mutants. */
const isDeep = scaled(1) > 2

const { beat: _, ...withoutBeats } = faults

for (const { name, ...kind } of kinds) {
  describe(`the store's protocol ${name}`, () => {
    for (const [atMost, depth] of [
      [0, isDeep ? 30 : 11],
      [1, isDeep ? 13 : 4],
      [2, isDeep ? 9 : 3]
    ] as const) {
      it(`holds for 2 processes in every order of ${depth} events, ${atMost} of which go wrong`, () => {
        const setup = { processes: 2, ...kind, faults: withoutBeats, atMost }
        const { states } = run(exhaustively({ setup }, depth))
        assert.isAbove(states, 20)
      })
    }

    it(`holds where the store is set back (seed ${seed})`, () => {
      const setup = { processes: 2, ...kind, faults: setBack, atMost: 1 }
      assert.isAbove(run(exhaustively({ setup }, isDeep ? 10 : 5)).states, 20)
      // What is worth losing comes later.
      for (const processes of [2, 3]) {
        const worlds = { setup: { ...setup, processes, renewals: 2, atMost: 2 } }
        run(randomly(worlds, scaled(60), seedNumber(`${name} ${processes}`), { faulty: 0.4 }))
      }
    })

    it("holds for subjects that share a session, in every order of events", () => {
      const setup = {
        processes: 2,
        ...kind,
        renewals: 1,
        subjects: true,
        faults: withoutBeats,
        atMost: 1
      }
      assert.isAbove(run(exhaustively({ setup }, isDeep ? 9 : 3)).states, 20)
    })

    for (const processes of [2, 3, 4]) {
      it(`holds for ${processes} processes in long histories (seed ${seed})`, () => {
        for (const atMost of [1, 2, 5]) {
          const setup = { processes, ...kind, renewals: 2, atMost }
          const number = seedNumber(`${name} ${processes} ${atMost}`)
          run(randomly({ setup: { ...setup, faults } }, scaled(12), number))
          run(randomly({ setup: { ...setup, faults: { ...faults, ...setBack } } }, scaled(6), number + 1))
          run(randomly({ setup: { ...setup, faults, subjects: true, renewals: 1 } }, scaled(6), number + 2))
        }
      })
    }
  })
}
