import { Agent, request } from "node:http"
import { type Effort, type Measurement, ours, type Outcome, type Scenario } from "../measurement.ts"
import { median, spread } from "../statistics.ts"
import { interleave, start } from "../worker/pool.ts"
import type { Answer, Question } from "../worker/sandbox.ts"

const name = "13. Sandbox"
const least = 500

interface Call {
  readonly method: "GET" | "PATCH" | "POST"
  readonly path: string
  readonly body?: object
}

/** What the `turn`-th call of a kind asks for, given the ids of the videos that are there. */
type Kind = (turn: number, ids: ReadonlyArray<string>) => Call

const idOf = (turn: number, ids: ReadonlyArray<string>): string => ids[(turn * 7_919) % ids.length] ?? ""

const get: Kind = (turn, ids) => ({ method: "GET", path: `/videos/${idOf(turn, ids)}` })
const status: Kind = (turn, ids) => ({ method: "GET", path: `/videos/${idOf(turn, ids)}/status` })
const page: Kind = (turn) => ({ method: "GET", path: `/videos?currentPage=${(turn % 400) + 1}&pageSize=25` })
const search: Kind = (turn) => ({
  method: "GET",
  path: [
    `/videos?title=Maths&tags[]=course-${turn % 20}&sortBy=updatedAt&sortOrder=desc`,
    `/videos?metadata[class]=class%20${turn % 50}&sortBy=title`,
    `/videos?description=Lesson%20${turn % 40}&sortBy=createdAt&sortOrder=desc&pageSize=50`
  ][turn % 3] as string
})
const create: Kind = (turn) => ({
  method: "POST",
  path: "/videos",
  body: { title: `New lesson ${turn}`, tags: [`course-${turn % 20}`] }
})
const update: Kind = (turn, ids) => ({
  method: "PATCH",
  path: `/videos/${idOf(turn, ids)}`,
  body: { title: `Changed lesson ${turn}`, metadata: [{ key: "class", value: `class ${turn % 50}` }] }
})

/** Of twenty requests: eight videos, three statuses, three pages, two searches, two creations and two changes, mixed. */
const mix: ReadonlyArray<Kind> = [
  get,
  status,
  create,
  get,
  page,
  get,
  update,
  search,
  get,
  status,
  page,
  get,
  create,
  get,
  search,
  get,
  update,
  page,
  status,
  get
]

const loads: Readonly<Record<string, ReadonlyArray<Kind>>> = {
  "realistic mix": mix,
  "a video": [get],
  "a page of 25": [page],
  "a filtered and sorted list": [search]
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 })

const send = (url: string, token: string, { body, method, path }: Call): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
    request(new URL(path, url), { agent, method, headers }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () =>
        (response.statusCode ?? 500) < 300 ? resolve(text) : reject(new Error(`${method} ${path}: ${text}`))
      )
    })
      .on("error", reject)
      .end(body === undefined ? undefined : JSON.stringify(body))
  })

const login = async (url: string): Promise<string> => {
  const call = { method: "POST", path: "/auth/api-key", body: { apiKey: "your_api_key" } } as const
  return (JSON.parse(await send(url, "", call)) as { access_token: string }).access_token
}

const idsOf = async (url: string, token: string): Promise<ReadonlyArray<string>> => {
  const { data } = JSON.parse(await send(url, token, { method: "GET", path: "/videos?pageSize=100" })) as {
    data: ReadonlyArray<{ videoId: string }>
  }
  return data.map(({ videoId }) => videoId)
}

const run = async (effort: Effort): Promise<Outcome> => {
  const [videos, rounds, requests] = effort === "smoke" ? [100, 2, 20] : [10_000, 5, 2_000]
  const worker = await start<Question, Answer>("./sandbox.ts", ours)
  try {
    const { url } = await worker.ask({ videos })
    const token = await login(url)
    const ids = await idsOf(url, token)
    let turn = 0
    const secondsOf = async ([, kinds]: readonly [string, ReadonlyArray<Kind>]): Promise<number> => {
      const { cpu: before } = await worker.ask({})
      const last = turn + requests
      const caller = async () => {
        while (turn < last) {
          const kind = kinds[turn % kinds.length]
          const call = kind?.(turn++, ids)
          if (call !== undefined) await send(url, token, call)
        }
      }
      await Promise.all(Array.from({ length: 16 }, caller))
      const { cpu } = await worker.ask({})
      return cpu - before
    }
    // The first round warms up.
    const figures = await interleave(Object.entries(loads), rounds + 1, secondsOf)
    const rates = [...figures].map(
      ([[load], seconds]) => [load, seconds.slice(1).map((one) => requests / one)] as const
    )
    const mixed = rates[0]?.[1] ?? []
    return {
      measurements: rates.map(([load, values]): Measurement => ({
        scenario: name,
        subject: ours,
        metric: `requests per CPU second: ${load}`,
        value: median(values),
        unit: "req/s",
        spread: spread(values),
        note: `${videos.toLocaleString("en")} videos at the start`
      })),
      targets: [
        {
          scenario: name,
          target: `at least ${least} requests a second on one core with 10,000 videos, realistic mix`,
          measured: `${Math.round(median(mixed)).toLocaleString("en")} requests per second of CPU`,
          isMet: median(mixed) >= least
        }
      ]
    }
  } finally {
    agent.destroy()
    await worker.close()
  }
}

export const scenario: Scenario = {
  name,
  description:
    "Requests to a sandbox with 10,000 videos, 16 at a time, without a log of requests. What counts is the CPU time of its " +
    "process, garbage collection included. Of twenty requests of the mix, eight get a video, three a status, three a page of " +
    "25, two a filtered and sorted list, two create a video and two change one.",
  run
}
