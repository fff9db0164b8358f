/** Scenario 10 in a process of its own: what calls cost as callers or identities become many. */
import { Effect, Fiber, Latch, Redacted } from "effect"
import type { AccessToken } from "../../src/token/AccessToken.ts"
import type { TokenProvider } from "../../src/token/TokenProvider.ts"
import * as TokenService from "../../src/token/TokenService.ts"
import { answer } from "./answer.ts"

/** So many `callers` wait for one renewal, or so many `identities` have a service each. */
export type Question = { readonly by: "callers" | "identities"; readonly size: number; readonly calls: number }

/** Nanoseconds: of a call while the others wait, of a renewal by caller or identity, and of a start with a first login. */
export interface Answer {
  readonly get: number
  readonly reject: number
  readonly renewal: number
  readonly start: number
}

type Service = TokenService.TokenService["Service"]

/** A platform without latency, whose exchanges wait while the gate is closed. */
const makePlatform = () => {
  const gate = Latch.makeUnsafe(true)
  let logins = 0
  const provider = (identity: string): TokenProvider => ({
    name: "bench",
    identity: Effect.succeed(identity),
    login: Effect.map(gate.await, () => {
      logins += 1
      return { accessToken: Redacted.make(`access-${logins}`), expiresIn: "1 hour" }
    }),
    traits: {
      renewWith: "login",
      rotatesRefreshToken: false,
      loginSupersedesRefresh: false,
      oldTokenSurvivesRefresh: true
    }
  })
  return { gate, provider, logins: () => logins }
}

const nanoseconds = <E, R>(count: number, effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    // What came before leaves its garbage to nobody.
    globalThis.gc?.()
    const since = process.hrtime.bigint()
    return Effect.map(effect, () => Number(process.hrtime.bigint() - since) / count)
  })

/** What one identity holds: its service, a token that was replaced, and the one that replaced it. */
interface Identity {
  readonly service: Service
  readonly stale: AccessToken
  readonly current: AccessToken
}

const start = (provider: TokenProvider) => Effect.tap(TokenService.make({ provider }), ({ get }) => get)

const identityOf = Effect.fnUntraced(function* (service: Service) {
  const stale = yield* service.get
  const current = yield* service.renew
  return { service, stale, current }
})

/** Calls one after the other that go round the identities; each must give the current token. */
const round = <E>(
  calls: number,
  identities: ReadonlyArray<Identity>,
  call: (identity: Identity) => Effect.Effect<AccessToken, E>
): Effect.Effect<number, E> => {
  let hits = 0
  const loop = (left: number): Effect.Effect<void, E> => {
    const identity = identities[left % identities.length]
    if (left === 0 || identity === undefined) return Effect.void
    return Effect.flatMap(call(identity), (token) => {
      if (token === identity.current) hits += 1
      return loop(left - 1)
    })
  }
  return Effect.tap(nanoseconds(calls, loop(calls)), () =>
    hits === calls ? Effect.void : Effect.die(`${hits} of ${calls} calls gave the current token`)
  )
}

const get = ({ service }: Identity) => service.get
const reject = ({ service, stale }: Identity) => service.reject(stale)

const measure = Effect.fnUntraced(function* ({ by, calls, size }: Question) {
  const { gate, logins, provider } = makePlatform()
  const services: Array<Service> = []
  const providers = Array.from({ length: by === "identities" ? size : 1 }, (_, index) => provider(`identity ${index}`))
  const starting = Effect.forEach(
    providers,
    (provider) => Effect.map(start(provider), (service) => services.push(service)),
    { discard: true }
  )
  const started = yield* nanoseconds(providers.length, starting)
  const identities = yield* Effect.forEach(services, identityOf)

  yield* gate.close
  const callers = by === "callers" ? Array.from({ length: size }).flatMap(() => identities) : identities
  const waiting = yield* Effect.forEach(callers, ({ service }) =>
    Effect.forkChild(service.renew, { startImmediately: true })
  )
  // What the services still do of their start is not the calls'.
  yield* round(calls, identities, get)
  const calling = { get: yield* round(calls, identities, get), reject: yield* round(calls, identities, reject) }
  const renewing = Effect.andThen(gate.open, Effect.forEach(waiting, Fiber.join))
  const renewal = yield* nanoseconds(waiting.length, renewing)

  // One login, one renewal and one renewal for all that waited.
  const expected = 3 * providers.length
  return logins() === expected
    ? { start: started, ...calling, renewal }
    : yield* Effect.die(`${logins()} logins, not ${expected}`)
})

answer((question: Question): Promise<Answer> => Effect.runPromise(Effect.scoped(measure(question))))
