import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { type Effort, type Measurement, measurementsOf, ours, type Outcome, type Scenario } from "../measurement.ts"
import { bothOf, joinTwins, mapTwins, medianRatio, noTwins, type Twins } from "../statistics.ts"
import { page } from "../worker/page.ts"
import { closePairs, interleavePairs, start, startPairs } from "../worker/pool.ts"
import type { Answer, Question } from "../worker/typed-pages.ts"

const name = "11. Typed pages"

interface Subject {
  readonly name: string
  /** Its name in `worker/typed-pages.ts`. */
  readonly key: string
  readonly note?: string | undefined
}

const decoding: ReadonlyArray<Subject> = [
  { name: ours, key: "typed", note: "the result of Videos.list: dates are read, null is absent" },
  {
    name: "JSON.parse and Schema.Struct",
    key: "Schema.Struct",
    note: "the same fields, optional or null, dates as strings"
  },
  { name: "JSON.parse", key: "JSON.parse", note: "limit: nothing is checked" }
]

const requesting: ReadonlyArray<Subject> = [
  { name: ours, key: "Videos.list" },
  { name: `${ours}, untyped`, key: "client", note: "the client itself and JSON.parse" },
  { name: "@api.video/nodejs-client", key: "@api.video/nodejs-client", note: "decodes nothing" }
]

const serve = (): Promise<Server> =>
  new Promise((resolve) => {
    const token = JSON.stringify({ token_type: "Bearer", expires_in: 3600, access_token: "a", refresh_token: "r" })
    const server = createServer((request, response) => {
      request.resume()
      const body = request.url === "/auth/api-key" ? token : page
      response
        .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
        .end(body)
    })
    server.listen(0, "127.0.0.1", () => resolve(server))
  })

type Figures = ReadonlyMap<string, Twins<number>>

/** Microseconds a page, from several processes a subject. */
const timed = async (subjects: ReadonlyArray<Subject>, url: string, effort: Effort): Promise<Figures> => {
  const [batches, warmUp, rounds, pages] = effort === "smoke" ? [1, 1, 2, 2] : [2, 5, 8, 100]
  const figures = new Map<string, Twins<number>>()
  const question = () => ({ pages })
  for (let batch = 0; batch < batches; batch++) {
    const pairs = await startPairs(subjects, ({ key }) =>
      start<Question, Answer>("./typed-pages.ts", key, { args: [url] })
    )
    await interleavePairs(pairs, subjects, warmUp, question)
    for (const [subject, twins] of await interleavePairs(pairs, subjects, rounds, question)) {
      const times = mapTwins(twins, ({ nanoseconds }) => nanoseconds / pages / 1_000)
      figures.set(subject.name, joinTwins(figures.get(subject.name) ?? noTwins, times))
    }
    await closePairs(pairs)
  }
  return figures
}

const rows = (metric: string, subjects: ReadonlyArray<Subject>, figures: Figures): ReadonlyArray<Measurement> =>
  subjects.flatMap(({ name: subject, note }) =>
    measurementsOf(
      { scenario: name, subject, metric, unit: "µs", note },
      figures.get(subject) ?? noTwins,
      figures.get(ours) ?? noTwins
    )
  )

const run = async (effort: Effort): Promise<Outcome> => {
  const server = await serve()
  try {
    const { port } = server.address() as AddressInfo
    const url = `http://127.0.0.1:${port}`
    const decoded = await timed(decoding, url, effort)
    const requested = await timed(requesting, url, effort)
    const ratio = medianRatio(
      bothOf(decoded.get(ours) ?? noTwins),
      bothOf(decoded.get("JSON.parse and Schema.Struct") ?? noTwins)
    )
    return {
      measurements: [
        ...rows("time to decode 100 videos", decoding, decoded),
        ...rows("time per page over loopback", requesting, requested)
      ],
      targets: [
        {
          scenario: name,
          target: "decoding takes at most 2 × JSON.parse and a plain Schema.Struct",
          measured: `${ratio.toFixed(2)} ×`,
          isMet: ratio <= 2
        }
      ]
    }
  } finally {
    server.close()
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Decodes a page of 100 videos of 110 KB, and requests it over loopback one after the other. Every page is checked to " +
    "have its hundredth title. The official client decodes nothing: its dates are made of strings where they are read.",
  run
}
