import { type Effort, type Measurement, ours, type Outcome, type Scenario, type Target } from "../measurement.ts"
import * as Server from "../server.ts"
import { median, medianRatio, spread } from "../statistics.ts"
import { interleave, start, type Worker } from "../worker/pool.ts"
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

/** What the parts of our client cost, and the documented options: without a network, where such costs can be seen. */
const inMemory: ReadonlyArray<Subject> = [
  own,
  withoutToken,
  bearerClient,
  plainEffect,
  { name: `${ours}, rateLimits`, key: "rateLimits", note: "on, as by default, with limits that are never reached" },
  { name: `${ours}, retry: false`, key: "no retry" },
  { name: `${ours}, RequestTimeout: infinity`, key: "no timeout" },
  { name: `${ours}, TracerDisabledWhen`, key: "no spans", note: "no span for a request" },
  { name: `${ours}, on-demand`, key: "on-demand" },
  same("Effect HttpClient, no spans", "`TracerDisabledWhen`"),
  same("Effect HttpClient, no trace headers", "`TracerPropagationEnabled: false`, as ours has it")
]

/** Requests of one turn by concurrency. */
const plan = [
  { concurrency: 1, requests: 200 },
  { concurrency: 32, requests: 1_024 },
  { concurrency: 256, requests: 768 }
] as const

/**
 * Some processes are slower than others for life: each subject has several, one after the other, with so many turns each.
 * `closer` are those of the decisive subjects.
 */
const turns = {
  full: { batches: 3, warmUp: 2, rounds: 3, closer: 7 },
  smoke: { batches: 1, warmUp: 0, rounds: 1, closer: 1 }
} as const
/** Subjects whose ratios are targets: they have more turns, by themselves and so within moments of each other. */
const decisive = [own, withoutToken, plainEffect, bearerClient, apiVideoClient]

type Figures = ReadonlyMap<string, ReadonlyArray<Answer>>

type Workers = ReadonlyMap<Subject, Worker<Question, Answer>>

const open = async (url: string): Promise<Workers> =>
  new Map(
    await Promise.all(
      everywhere.map(
        async (subject) =>
          [subject, await start<Question, Answer>("./requests.ts", subject.key, { args: [url] })] as const
      )
    )
  )

/** Adds a figure a round to those of each subject. */
const measure = async (
  workers: Workers,
  subjects: ReadonlyArray<Subject>,
  question: Question,
  rounds: number,
  figures: Map<string, Array<Answer>> = new Map()
) => {
  const answers = await interleave<Subject, Answer>(subjects, rounds, (subject) => workers.get(subject)!.ask(question))
  for (const [{ name }, more] of answers) figures.set(name, [...(figures.get(name) ?? []), ...more])
}

const perSecond = (answers: ReadonlyArray<Answer> = []) => answers.map(({ requestsPerSecond }) => requestsPerSecond)

const metrics = [
  { what: "throughput", unit: "req/s", of: (answer: Answer) => answer.requestsPerSecond },
  { what: "p99", unit: "ms", of: (answer: Answer) => answer.p99 },
  { what: "CPU per request", unit: "µs", of: (answer: Answer) => answer.cpu }
]

const measurementsOf = (figures: Figures, concurrency: number): ReadonlyArray<Measurement> =>
  metrics.flatMap(({ of, unit, what }) => {
    const own = figures.get(ours)?.map(of) ?? []
    return everywhere.map(({ name: subject, note }): Measurement => {
      const values = figures.get(subject)?.map(of) ?? []
      return {
        scenario: name,
        subject,
        metric: `${what}, ${concurrency} at a time`,
        value: median(values),
        unit,
        ratioToOurs: medianRatio(values, own),
        spread: spread(values),
        note
      }
    })
  })

const atLeast = (figures: Figures, least: number, limit: Subject, concurrency: number): Target => {
  const ratio = medianRatio(perSecond(figures.get(ours)), perSecond(figures.get(limit.name)))
  return {
    scenario: name,
    target: `at least ${least} × ${limit.name}, ${concurrency} at a time`,
    measured: `${ratio.toFixed(3)} ×`,
    isMet: ratio >= least
  }
}

const measureOverhead = async (effort: Effort): Promise<ReadonlyArray<Measurement>> => {
  const [batches, warmUp, rounds, requests] = effort === "smoke" ? [1, 0, 1, 50] : [3, 5, 9, 2_000]
  const figures = new Map(inMemory.map(({ name }) => [name, [] as Array<number>]))
  for (let batch = 0; batch < batches; batch++) {
    const workers = await Promise.all(inMemory.map(({ key }) => start<InMemory, Overhead>("./overhead.ts", key)))
    const turn = (index: number) => workers[index]!.ask({ requests })
    const turns = [...inMemory.keys()]
    await interleave(turns, warmUp, turn)
    for (const [index, answers] of await interleave<number, Overhead>(turns, rounds, turn)) {
      figures.get(inMemory[index]!.name)?.push(...answers.map(({ cpu }) => cpu))
    }
    await Promise.all(workers.map((worker) => worker.close()))
  }
  const own = figures.get(ours) ?? []
  return inMemory.map(({ name: subject, note }): Measurement => {
    const values = figures.get(subject) ?? []
    return {
      scenario: name,
      subject,
      metric: "time in the client, without a network",
      value: median(values),
      unit: "ns",
      ratioToOurs: medianRatio(values, own),
      spread: spread(values),
      note
    }
  })
}

const measureAll = async (url: string, effort: Effort) => {
  const { batches, closer, rounds, warmUp } = turns[effort]
  const all = plan.map(({ concurrency, requests }) => ({
    concurrency,
    question: effort === "smoke" ? { concurrency: 2, requests: 4 } : { concurrency, requests },
    everywhere: new Map<string, Array<Answer>>(),
    closer: new Map<string, Array<Answer>>()
  }))
  for (let batch = 0; batch < batches; batch++) {
    const workers = await open(url)
    for (const figures of all) {
      await measure(workers, everywhere, figures.question, warmUp)
      await measure(workers, everywhere, figures.question, rounds, figures.everywhere)
      await measure(workers, decisive, figures.question, closer, figures.closer)
    }
    await Promise.all([...workers.values()].map((worker) => worker.close()))
  }
  return all
}

const run = async (effort: Effort): Promise<Outcome> => {
  const server = await Server.start()
  try {
    const all = await measureAll(server.url, effort)
    const measurements = all.flatMap(({ concurrency, everywhere }) => measurementsOf(everywhere, concurrency))
    return {
      measurements: [...measurements, ...(await measureOverhead(effort))],
      targets: all.flatMap(({ closer, concurrency }) => [
        atLeast(closer, 0.97, withoutToken, concurrency),
        atLeast(closer, 0.97, plainEffect, concurrency),
        atLeast(closer, 2.3, apiVideoClient, concurrency)
      ])
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
