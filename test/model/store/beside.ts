/**
 * Runs the histories of a world on a backend of a store: each call has its effect on the model and on the backend, and the
 * process acts on the reply of the backend. The replies must be the same, and so must the rows after each write.
 */
import { assert } from "@effect/vitest"
import { Clock, Effect, Redacted } from "effect"
import type { TokenError, TokenStore } from "effect-video-auth"
import { emptyRow } from "../../../src/token/shared/storeRow.ts"
import type { Beside, Executed, Steps } from "./world.ts"

/** The time of the store, in milliseconds, which the world decides. */
export interface Time {
  now: number
}

/** A backend whose time is the world's. */
export interface Timed {
  readonly backend: TokenStore.Backend
  /** Tells a server the time. It changes now and then only. */
  readonly tell?: (now: number) => Effect.Effect<void>
}

/** A clock that shows the world's time. Nothing on it waits: the tests' own timeout ends what hangs. */
export const clockOf = (time: Time): Clock.Clock => {
  const millis = () => time.now
  const nanos = () => BigInt(time.now) * 1_000_000n
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeNanosUnsafe: nanos,
    monotonicTimeNanosUnsafe: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: () => Effect.never
  }
}

/** A row or a reply, with its secrets in clear, without what only some backends know. */
const plain = (value: unknown): unknown =>
  Redacted.isRedacted(value)
    ? Redacted.value(value)
    : typeof value === "object" && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([name, inner]) => inner !== undefined && name !== "isDead")
            .map(([name, inner]) => [name, plain(inner)])
        )
      : value

/** What was executed, in the order in which it led to a row. */
const historyOf = (row: TokenStore.Row, origins: ReadonlyMap<TokenStore.Row, Executed>): ReadonlyArray<Executed> => {
  const history: Array<Executed> = []
  for (let origin = origins.get(row); origin !== undefined; origin = origins.get(origin.before)) history.unshift(origin)
  return history
}

/** Puts a backend beside the worlds that are explored, one world after the other. */
export const make = ({ backend, tell }: Timed, time: Time) => {
  const clock = clockOf(time)
  const counts = { worlds: 0, identities: 0, writes: 0, setBacks: 0 }
  let told: number | undefined
  /** What the last event asked of the backend. */
  const asked: Array<Effect.Effect<void, TokenError.StoreUnavailable>> = []
  const at = (now: number) =>
    Effect.suspend(() => {
      time.now = now
      if (told === now || tell === undefined) return Effect.void
      told = now
      return tell(now)
    })

  const start = (): Beside => {
    counts.worlds += 1
    let identity = `identity-${++counts.identities}`
    /** The write that led to each row. */
    const origins = new Map<TokenStore.Row, Executed>()
    const assertSame = ({ after, name }: Pick<Executed, "after" | "name">) =>
      Effect.map(backend.read(identity), (row) => {
        assert.deepStrictEqual(plain({ ...row, now: undefined }), plain(after), `after ${name}`)
      })
    return {
      execute: (executed, then) => {
        const { after, ask, before, name, now, reply: expected } = executed
        if (after !== before) origins.set(after, executed)
        asked.push(
          Effect.gen(function* () {
            yield* at(now)
            const reply = yield* ask(backend, identity)
            // Some writes have no reply.
            if (expected !== undefined) assert.deepStrictEqual(plain(reply), plain(expected), `the reply to ${name}`)
            if (name !== "read") {
              counts.writes += 1
              yield* assertSame(executed)
            }
            then()
          })
        )
      },
      // Another identity takes the place of this one, with the rows that it went through until then.
      setBack: (row) => {
        counts.setBacks += 1
        const next = `identity-${++counts.identities}`
        asked.push(
          Effect.gen(function* () {
            identity = next
            const history = historyOf(row, origins)
            assert.strictEqual(history[0]?.before ?? row, emptyRow)
            for (const { ask, now } of history) {
              yield* at(now)
              yield* ask(backend, identity)
            }
            yield* assertSame({ after: row, name: "the store was set back" })
          })
        )
      }
    }
  }

  /** Takes steps of a world, each after the backend has answered. */
  const run = Effect.fnUntraced(
    function* <A>(steps: Steps<A>) {
      while (true) {
        for (let effect = asked.shift(); effect !== undefined; effect = asked.shift()) yield* effect
        const step = steps.next()
        if (step.done === true) return step.value
      }
    },
    Effect.provideService(Clock.Clock, clock)
  )

  return { counts, run, start }
}
