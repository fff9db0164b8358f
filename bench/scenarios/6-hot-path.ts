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
import type { Answer, Question } from "../worker/hot-path.ts"
import { closePairs, interleave, interleavePairs, start, startPairs, type Worker } from "../worker/pool.ts"

const name = "6. Hot path"

interface Subject {
  readonly name: string
  /** Its name in `worker/hot-path.ts`. */
  readonly key: string
  /** Calls a turn, where a call takes long. */
  readonly calls?: number | undefined
  readonly note?: string | undefined
}

const same = (name: string, calls?: number, note?: string): Subject => ({ name, key: name, calls, note })

const subjects: ReadonlyArray<Subject> = [
  { name: ours, key: "keep-fresh" },
  { name: `${ours}, on-demand`, key: "on-demand", note: "no timer watches the clock, so it reads a second one" },
  same("Effect.succeed", undefined, "limit of the flatMap loop"),
  same("Ref.get"),
  same("Effect.cachedInvalidateWithTTL"),
  same("await of a Promise", undefined, "limit of the await loop"),
  same("google-auth-library"),
  same("google-auth-library in Effect.promise", undefined, "as an Effect program reads it, in the flatMap loop"),
  same("@smithy/core"),
  same("@smithy/core in Effect.promise", undefined, "as an Effect program reads it, in the flatMap loop"),
  same("@badgateway/oauth2-client"),
  same(
    "@azure/core-rest-pipeline",
    4_000,
    "its bearer policy, which gives the token to nobody and sets the header of a new request"
  ),
  same("@azure/msal-node", 400, "reads its cache anew at each call")
]

const callsOf = ({ calls = 20_000 }: Subject, effort: Effort) => (effort === "smoke" ? 200 : calls)

const turn =
  (effort: Effort) =>
  ([subject, worker]: readonly [Subject, Worker<Question, Answer>]): Promise<Answer> =>
    worker.ask({ calls: callsOf(subject, effort) })

type Workers = ReadonlyArray<readonly [Subject, Worker<Question, Answer>]>

/** A process for each; the peers get their tokens from the platform, and after that nothing is sent. */
const open = (url: string, flags?: ReadonlyArray<string>): Promise<Workers> =>
  Promise.all(
    subjects.map(
      async (subject) => [subject, await start("./hot-path.ts", subject.key, { args: [url], flags })] as const
    )
  )

const close = (workers: Workers) => Promise.all(workers.map(([, worker]) => worker.close()))

type Figures = ReadonlyMap<string, Twins<number>>

/** Nanoseconds a call. Some processes are slower than others for life: each subject has two at a time, in several batches. */
const timed = async (url: string, effort: Effort): Promise<Figures> => {
  const [batches, warmUp, rounds] = effort === "smoke" ? [1, 1, 2] : [2, 6, 15]
  const figures = new Map<string, Twins<number>>()
  const question = (subject: Subject) => ({ calls: callsOf(subject, effort) })
  for (let batch = 0; batch < batches; batch++) {
    const pairs = await startPairs(subjects, ({ key }) =>
      start<Question, Answer>("./hot-path.ts", key, { args: [url] })
    )
    await interleavePairs(pairs, subjects, warmUp, question)
    for (const [subject, twins] of await interleavePairs(pairs, subjects, rounds, question)) {
      const times = mapTwins(twins, ({ nanoseconds }) => nanoseconds / callsOf(subject, effort))
      figures.set(subject.name, joinTwins(figures.get(subject.name) ?? noTwins, times))
    }
    await closePairs(pairs)
  }
  return figures
}

/** The young generation holds all that a turn allocates, so what the heap grows by is what was allocated. */
const roomy = ["--expose-gc", "--min-semi-space-size=128", "--max-semi-space-size=128"]

const allocated = async (url: string, effort: Effort): Promise<ReadonlyArray<Measurement>> => {
  const [warmUp, rounds] = effort === "smoke" ? [0, 1] : [6, 5]
  const workers = await open(url, roomy)
  await interleave(workers, warmUp, turn(effort))
  const figures = await interleave(workers, rounds, turn(effort))
  await close(workers)
  return [...figures].map(([[subject], answers]): Measurement => {
    const values = answers.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes / callsOf(subject, effort)]))
    if (values.length === 0) throw new Error(`${subject.name}: garbage was collected in every round`)
    return {
      scenario: name,
      subject: subject.name,
      metric: "heap per get",
      value: median(values),
      unit: "bytes",
      spread: spread(values),
      note: subject.note
    }
  })
}

const measure = async (effort: Effort) => {
  const server = await Server.start()
  try {
    return { figures: await timed(server.url, effort), bytes: await allocated(server.url, effort) }
  } finally {
    await server.close()
  }
}

const run = async (effort: Effort): Promise<Outcome> => {
  const { bytes, figures } = await measure(effort)
  const of = (subject: string) => figures.get(subject) ?? noTwins
  const times = subjects.flatMap(({ name: subject, note }) =>
    measurementsOf({ scenario: name, subject, metric: "time per get", unit: "ns", note }, of(subject), of(ours))
  )

  const atMost = (subject: string, limit: string, times: number): Target => {
    const ratio = medianRatio(bothOf(of(subject)), bothOf(of(limit)))
    const target = `at most ${times} × ${limit}`
    return {
      scenario: name,
      target: subject === ours ? target : `${target} (${subject.slice(ours.length + 2)})`,
      measured: `${ratio.toFixed(2)} ×`,
      isMet: ratio <= times
    }
  }
  const onDemand = `${ours}, on-demand`
  return {
    measurements: [...times, ...bytes],
    targets: [
      atMost(ours, "Effect.succeed", 1.75),
      atMost(ours, "Effect.cachedInvalidateWithTTL", 1),
      atMost(onDemand, "Effect.succeed", 3),
      atMost(onDemand, "Effect.cachedInvalidateWithTTL", 1.5),
      atMost(ours, "google-auth-library in Effect.promise", 1),
      atMost(ours, "@smithy/core in Effect.promise", 1)
    ]
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Reads a token that is at hand. Effects run in one flatMap loop, Promises in one await loop, each subject in processes " +
    "of its own; every call is checked to have given the token.",
  run
}
