/** Scenario 8 in a process of its own: many identities, each with a first token. */
import { doesIdentityRequireRefresh, isIdentityExpired, memoizeIdentityProvider } from "@smithy/core"
import { Clock, Duration, Effect, Metric, Redacted, Scope } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { OAuth2Client } from "google-auth-library"
import * as ApiVideo from "../../src/api-video/ApiVideo.ts"
import type { TokenProvider } from "../../src/token/TokenProvider.ts"
import * as TokenService from "../../src/token/TokenService.ts"
import * as TokenServiceMap from "../../src/token/TokenServiceMap.ts"
import { answer } from "./answer.ts"

export type Question =
  | { readonly _tag: "start"; readonly identities: number }
  | { readonly _tag: "day"; readonly identities: number }

/** What so many identities cost, each with a first token, and what is alive of them when nobody asks. */
export interface Started {
  readonly bytes: number
  readonly milliseconds: number
  readonly fibres: number
  readonly timers: number
}

/** Exchanges of a day, second by second, after the first logins. */
export interface Day {
  readonly mean: number
  readonly peak: number
  readonly exchanges: number
}

const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length

let fibres = 0
const census: Metric.FiberRuntimeMetricsService = {
  recordFiberStart: () => void (fibres += 1),
  recordFiberEnd: () => void (fibres -= 1)
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 50))

/** Keeps what is made until it has been weighed. The first two pay for what all share. */
const weigh = async (
  identities: number,
  make: (indices: ReadonlyArray<number>) => Promise<ReadonlyArray<unknown>>
): Promise<Started> => {
  const kept = [await make([-1, -2])]
  const indices = Array.from({ length: identities }, (_, index) => index)
  await settled()
  globalThis.gc?.()
  const before = { bytes: process.memoryUsage().heapUsed, fibres, timers: timers() }
  const since = performance.now()
  kept.push(await make(indices))
  const milliseconds = performance.now() - since
  await settled()
  globalThis.gc?.()
  const bytes = (process.memoryUsage().heapUsed - before.bytes) / identities
  if (kept.flat().length !== identities + 2) throw new Error("some were not made")
  return { bytes, milliseconds, fibres: fibres - before.fibres, timers: timers() - before.timers }
}

/** One after the other, as promises. */
const inTurn =
  <A>(make: (index: number) => Promise<A>) =>
  async (indices: ReadonlyArray<number>) => {
    const made: Array<A> = []
    for (const index of indices) made.push(await make(index))
    return made
  }

const accessTokenOf = (index: number) => `access token of ${index}`

/** api.video without a network. */
const platform = HttpClient.make((request) =>
  Effect.sync(() =>
    HttpClientResponse.fromWeb(
      request,
      Response.json({
        token_type: "Bearer",
        access_token: "access-token",
        refresh_token: "refresh-token",
        expires_in: 3600
      })
    )
  )
)

/** One after the other, as effects that live until the process ends. */
const each =
  <A, E>(make: (index: number) => Effect.Effect<A, E, Scope.Scope>) =>
  (indices: ReadonlyArray<number>): Promise<ReadonlyArray<A>> =>
    run(Effect.forEach(indices, make))

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.runPromise(
    effect.pipe(
      Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
      Effect.provideService(Metric.FiberRuntimeMetrics, census)
    )
  )

const login = Effect.sync(() => ({ accessToken: Redacted.make("access-token"), expiresIn: "1 hour" as const }))

const traits = {
  renewWith: "login",
  rotatesRefreshToken: false,
  loginSupersedesRefresh: false,
  oldTokenSurvivesRefresh: true
} as const

const fake = (index: number): TokenProvider => ({
  name: "bench",
  identity: Effect.succeed(`bench:${index}`),
  login,
  traits
})

/** The first token of each, by one map. */
const byMap = async (identities: number, providerOf: (index: number) => TokenProvider) => {
  const map = await run(TokenServiceMap.make({ capacity: identities + 2 }))
  return weigh(
    identities,
    each((index) => Effect.flatMap(map.get(providerOf(index)), (service) => Effect.as(service.get, index)))
  )
}

const starts = {
  "effect-video-auth": (identities: number) => byMap(identities, fake),
  /** The key is hashed, and the answer decoded. */
  "with api.video's provider": async (identities: number) => {
    const providerOf = await run(Effect.provideService(ApiVideo.providers(), HttpClient.HttpClient, platform))
    return byMap(identities, (index) => providerOf(Redacted.make(`key-of-${index}`)))
  },
  "a TokenService each": (identities: number) =>
    weigh(
      identities,
      each((index) =>
        Effect.tap(TokenService.make({ provider: fake(index), policy: { whenIdle: "on-demand" } }), ({ get }) => get)
      )
    ),
  "Effect.cachedInvalidateWithTTL": (identities: number) =>
    weigh(
      identities,
      each(() => Effect.tap(Effect.cachedInvalidateWithTTL(login, Duration.hours(1)), ([get]) => get))
    ),
  "google-auth-library": (identities: number) =>
    weigh(
      identities,
      inTurn(async (index) => {
        const client = new OAuth2Client()
        client.refreshHandler = async () => ({
          access_token: accessTokenOf(index),
          expiry_date: Date.now() + 3_600_000
        })
        await client.getAccessToken()
        return client
      })
    ),
  "@smithy/core": (identities: number) =>
    weigh(
      identities,
      inTurn(async (index) => {
        const get = memoizeIdentityProvider(
          async () => ({ token: accessTokenOf(index), expiration: new Date(Date.now() + 3_600_000) }),
          isIdentityExpired,
          doesIdentityRequireRefresh
        )
        await get?.()
        return get
      })
    )
} satisfies Readonly<Record<string, (identities: number) => Promise<Started>>>

/** A day on a test clock, all kept fresh, all started within the same five seconds. */
const day = (identities: number): Promise<Day> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const perSecond = new Map<number, number>()
    let exchanges = 0
    const counted = Effect.suspend(() => {
      const second = Math.floor(clock.currentTimeMillisUnsafe() / 1_000)
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
      exchanges += 1
      return login
    })
    const map = yield* TokenServiceMap.make({
      capacity: identities,
      idleTimeToLive: "2 days",
      policy: { whenIdle: "keep-fresh" }
    })
    for (let index = 0; index < identities; index++) {
      if (index % Math.ceil(identities / 5) === 0) yield* TestClock.adjust("1 second")
      yield* Effect.flatMap(map.get({ ...fake(index), login: counted }), (service) => service.get)
    }
    yield* TestClock.adjust("10 seconds")
    perSecond.clear()
    const before = exchanges
    yield* TestClock.adjust("1 day")
    const mean = (exchanges - before) / 86_400
    return { mean, peak: Math.max(...perSecond.values()), exchanges: exchanges - before }
  }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise)

const start = new Map<string, (identities: number) => Promise<Started>>(Object.entries(starts)).get(
  process.argv[2] ?? ""
)
if (start === undefined) throw new Error(`no subject is called ${process.argv[2]}`)

answer((question: Question): Promise<Started | Day> =>
  question._tag === "start" ? start(question.identities) : day(question.identities)
)
