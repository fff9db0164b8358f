import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { type Effort, type Measurement, ours, type Outcome, type Scenario } from "../measurement.ts"
import { median, medianRatio, spread } from "../statistics.ts"
import { page } from "../worker/page.ts"
import { interleave, start } from "../worker/pool.ts"
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

/** Nanoseconds a page, one figure a round, from several processes a subject. */
const timed = async (
  subjects: ReadonlyArray<Subject>,
  url: string,
  effort: Effort
): Promise<Map<string, Array<number>>> => {
  const [batches, warmUp, rounds, pages] = effort === "smoke" ? [1, 1, 2, 2] : [3, 5, 15, 100]
  const figures = new Map(subjects.map(({ name }) => [name, [] as Array<number>]))
  for (let batch = 0; batch < batches; batch++) {
    const workers = await Promise.all(
      subjects.map(
        async (subject) =>
          [subject, await start<Question, Answer>("./typed-pages.ts", subject.key, { args: [url] })] as const
      )
    )
    const turn = ([, worker]: (typeof workers)[number]) => worker.ask({ pages })
    await interleave(workers, warmUp, turn)
    for (const [[subject], answers] of await interleave(workers, rounds, turn)) {
      figures.get(subject.name)?.push(...answers.map(({ nanoseconds }) => nanoseconds / pages))
    }
    await Promise.all(workers.map(([, worker]) => worker.close()))
  }
  return figures
}

const rows = (
  metric: string,
  subjects: ReadonlyArray<Subject>,
  figures: ReadonlyMap<string, ReadonlyArray<number>>
): ReadonlyArray<Measurement> =>
  subjects.map(({ name: subject, note }) => {
    const own = figures.get(subject) ?? []
    return {
      scenario: name,
      subject,
      metric,
      value: median(own) / 1_000,
      unit: "µs",
      ratioToOurs: medianRatio(own, figures.get(ours) ?? []),
      spread: [spread(own)[0] / 1_000, spread(own)[1] / 1_000],
      note
    }
  })

const run = async (effort: Effort): Promise<Outcome> => {
  const server = await serve()
  try {
    const { port } = server.address() as AddressInfo
    const url = `http://127.0.0.1:${port}`
    const decoded = await timed(decoding, url, effort)
    const requested = await timed(requesting, url, effort)
    const ratio = medianRatio(decoded.get(ours) ?? [], decoded.get("JSON.parse and Schema.Struct") ?? [])
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
