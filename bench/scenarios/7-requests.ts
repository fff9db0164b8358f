import {
  type Effort,
  type Measurement,
  measurementsOf,
  ours,
  type Outcome,
  type Scenario,
  type Target
} from "../measurement.ts"
import * as Server from "../server.ts"
import { bothOf, joinTwins, mapTwins, median, medianRatio, noTwins, spread, type Twins } from "../statistics.ts"
import { closePairs, interleave, interleavePairs, start, startPairs } from "../worker/pool.ts"
import type { Answer as Overhead, Question as InMemory } from "../worker/overhead.ts"
import type { Answer, Question } from "../worker/requests.ts"

const name = "7. Requests"

interface Subject {
  readonly name: string
  /** Its name in `worker/requests.ts`. */
  readonly key: string
  readonly note?: string | undefined
}

const same = (name: string, note?: string): Subject => ({ name, key: name, note })

const own: Subject = { name: ours, key: "ours" }
const withoutToken: Subject = {
  name: "the same client without authentication",
  key: "without token",
  note: "`ApiVideo.layerAnonymous`, with a header that never changes"
}
const bearerClient = same("BearerClient.make", "ours, but only the token: around Effect's client")
const plainEffect = same("Effect HttpClient", "`NodeHttpClient.layerUndici` with a header that never changes")
const apiVideoClient = same("@api.video/nodejs-client", "sends the API key")

const everywhere: ReadonlyArray<Subject> = [
  own,
  withoutToken,
  bearerClient,
  plainEffect,
  same("fetch", "limit, with a header that never changes"),
  same("undici.request", "limit, with a header that never changes"),
  apiVideoClient,
  same("google-auth-library"),
  same("ky"),
  same("axios", "an interceptor sets a header that never changes"),
  same("axios-auth-refresh"),
  same("@azure/core-rest-pipeline")
]

const withLimits: Subject = {
  name: `${ours}, rateLimits`,
  key: "rateLimits",
  note: "on, as by default, with limits that are never reached"
}

/** What the parts of our client cost, and the documented options: without a network, where such costs can be seen. */
const inMemory: ReadonlyArray<Subject> = [
  own,
  withoutToken,
  bearerClient,
  plainEffect,
  withLimits,
  { name: `${ours}, retry: false`, key: "no retry" },
  { name: `${ours}, RequestTimeout: infinity`, key: "no timeout" },
  { name: `${ours}, TracerDisabledWhen`, key: "no spans", note: "no span for a request" },
  { name: `${ours}, on-demand`, key: "on-demand" },
  same("Effect HttpClient, Effect.timeout", "with a timeout of a minute, as a program would add one"),
  same("Effect HttpClient, no spans", "`TracerDisabledWhen`"),
  same("Effect HttpClient, no trace headers", "`TracerPropagationEnabled: false`, as ours has it")
]

/** Requests of one turn by concurrency. */
const plan = [
  { concurrency: 1, requests: 100 },
  { concurrency: 32, requests: 768 },
  { concurrency: 256, requests: 768 }
] as const

/**
 * Some processes are slower than others for life: each subject has two at a time, with so many turns each.
 * `closer` are those of the decisive subjects.
 */
const turns = {
  full: { warmUp: 2, rounds: 3, closer: 8 },
  smoke: { warmUp: 0, rounds: 1, closer: 1 }
} as const
/** Subjects whose ratios are targets: they have more turns, by themselves and so within moments of each other. */
const decisive = [own, withoutToken, plainEffect, bearerClient, apiVideoClient]

type Figures<A> = ReadonlyMap<Subject, Twins<A>>

const add = <A>(to: Figures<A>, more: Figures<A>): Figures<A> =>
  new Map([
    ...to,
    ...[...more].map(([subject, twins]) => [subject, joinTwins(to.get(subject) ?? noTwins, twins)] as const)
  ])

const of = <A>(figures: Figures<A>, subject: Subject, figure: (answer: A) => number): Twins<number> =>
  mapTwins(figures.get(subject) ?? noTwins, figure)

const ratioOf = <A>(figures: Figures<A>, a: Subject, b: Subject, figure: (answer: A) => number): number =>
  medianRatio(bothOf(of(figures, a, figure)), bothOf(of(figures, b, figure)))

// On sockets.

const throughput = (answer: Answer) => answer.requestsPerSecond

const metrics = [
  { what: "throughput", unit: "req/s", figure: throughput },
  { what: "p99", unit: "ms", figure: (answer: Answer) => answer.p99 },
  { what: "CPU per request", unit: "µs", figure: (answer: Answer) => answer.cpu }
]

const socketMeasurements = (figures: Figures<Answer>, concurrency: number): ReadonlyArray<Measurement> =>
  metrics.flatMap(({ figure, unit, what }) =>
    everywhere.flatMap((subject) =>
      measurementsOf(
        {
          scenario: name,
          subject: subject.name,
          metric: `${what}, ${concurrency} at a time`,
          unit,
          note: subject.note
        },
        of(figures, subject, figure),
        of(figures, own, figure)
      )
    )
  )

const measureSockets = async (url: string, effort: Effort) => {
  const { closer, rounds, warmUp } = turns[effort]
  const pairs = await startPairs(everywhere, ({ key }) =>
    start<Question, Answer>("./requests.ts", key, { args: [url] })
  )
  const all = []
  for (const { concurrency, requests } of plan) {
    const question = () => (effort === "smoke" ? { concurrency: 2, requests: 4 } : { concurrency, requests })
    await interleavePairs(pairs, everywhere, warmUp, question)
    all.push({
      concurrency,
      everywhere: await interleavePairs(pairs, everywhere, rounds, question),
      closer: await interleavePairs(pairs, decisive, closer, question)
    })
  }
  await closePairs(pairs)
  return all
}

/** The client is to reach `least` times what Effect's own reaches, beside it and beside the official client. */
const socketTargets = (figures: Figures<Answer>, concurrency: number): ReadonlyArray<Target> => {
  const least = 0.9
  const besideEffect = ratioOf(figures, own, plainEffect, throughput)
  const besideOfficial = ratioOf(figures, own, apiVideoClient, throughput)
  const reachable = ratioOf(figures, plainEffect, apiVideoClient, throughput)
  return [
    {
      scenario: name,
      target: `at least ${least} × ${plainEffect.name}, ${concurrency} at a time`,
      measured: `${besideEffect.toFixed(2)} ×`,
      isMet: besideEffect >= least
    },
    {
      scenario: name,
      target: `at least ${least} of what ${plainEffect.name} reaches beside ${apiVideoClient.name}, ${concurrency} at a time`,
      measured: `${besideOfficial.toFixed(2)} × of ${reachable.toFixed(2)} ×`,
      isMet: besideOfficial >= least * reachable
    }
  ]
}

// Without a network.

/** The young generation holds all that a turn allocates, so what the heap grows by is what was allocated. */
const roomy = ["--expose-gc", "--min-semi-space-size=128", "--max-semi-space-size=128"]

const cpu = (answer: Overhead) => answer.cpu

const measureInMemory = async (effort: Effort): Promise<Figures<Overhead>> => {
  const [batches, warmUp, rounds, requests] = effort === "smoke" ? [1, 0, 1, 50] : [2, 6, 15, 2_000]
  let figures: Figures<Overhead> = new Map()
  for (let batch = 0; batch < batches; batch++) {
    const pairs = await startPairs(inMemory, ({ key }) => start<InMemory, Overhead>("./overhead.ts", key))
    await interleavePairs(pairs, inMemory, warmUp, () => ({ requests }))
    figures = add(figures, await interleavePairs(pairs, inMemory, rounds, () => ({ requests })))
    await closePairs(pairs)
  }
  return figures
}

const measureHeap = async (effort: Effort): Promise<ReadonlyArray<Measurement>> => {
  const [warmUp, rounds, requests] = effort === "smoke" ? [0, 1, 50] : [5, 5, 1_000]
  const workers = await Promise.all(
    inMemory.map(async (subject) => {
      const worker = await start<InMemory, Overhead>("./overhead.ts", subject.key, { flags: roomy })
      return { subject, worker }
    })
  )
  const turn = ({ worker }: (typeof workers)[number]) => worker.ask({ requests })
  await interleave(workers, warmUp, turn)
  const figures = await interleave(workers, rounds, turn)
  await Promise.all(workers.map(({ worker }) => worker.close()))
  return [...figures].map(([{ subject }, answers]) => {
    const values = answers.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes]))
    if (values.length === 0) throw new Error(`${subject.name}: garbage was collected in every round`)
    return {
      scenario: name,
      subject: subject.name,
      metric: "heap per request, without a network",
      value: median(values),
      unit: "bytes",
      spread: spread(values),
      note: subject.note
    }
  })
}

const inMemoryMeasurements = (figures: Figures<Overhead>): ReadonlyArray<Measurement> =>
  inMemory.flatMap((subject) =>
    measurementsOf(
      {
        scenario: name,
        subject: subject.name,
        metric: "client CPU per request, without a network",
        unit: "ns",
        note: subject.note
      },
      of(figures, subject, cpu),
      of(figures, own, cpu)
    )
  )

const inMemoryTargets = (figures: Figures<Overhead>): ReadonlyArray<Target> => {
  const atMost = (most: number, subject: Subject): Target => {
    const ratio = ratioOf(figures, own, subject, cpu)
    return {
      scenario: name,
      target: `at most ${most} × the CPU of ${subject.name}, without a network`,
      measured: `${ratio.toFixed(2)} ×`,
      isMet: ratio <= most
    }
  }
  const limiterRatio = ratioOf(figures, withLimits, own, cpu)
  const without = bothOf(of(figures, own, cpu))
  const nanoseconds = median(
    bothOf(of(figures, withLimits, cpu)).map((value, round) => value - (without[round] ?? NaN))
  )
  return [
    atMost(1.2, plainEffect),
    atMost(1.05, withoutToken),
    {
      scenario: name,
      target: "the rate limiter adds at most 3 µs or 0.2 ×, whichever is more",
      measured: `${(nanoseconds / 1_000).toFixed(1)} µs, ${(limiterRatio - 1).toFixed(2)} ×`,
      isMet: nanoseconds <= 3_000 || limiterRatio <= 1.2
    }
  ]
}

const run = async (effort: Effort): Promise<Outcome> => {
  const server = await Server.start()
  try {
    const sockets = await measureSockets(server.url, effort)
    const withoutNetwork = await measureInMemory(effort)
    return {
      measurements: [
        ...sockets.flatMap(({ concurrency, everywhere }) => socketMeasurements(everywhere, concurrency)),
        ...inMemoryMeasurements(withoutNetwork),
        ...(await measureHeap(effort))
      ],
      targets: [
        ...sockets.flatMap(({ closer, concurrency }) => socketTargets(closer, concurrency)),
        ...inMemoryTargets(withoutNetwork)
      ]
    }
  } finally {
    await server.close()
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Lists videos through the client, limits off, and reads and parses every answer. The platform is a process of its own: " +
    "of two cores it takes one, and the client the other.",
  run
}
