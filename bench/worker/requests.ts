/**
 * Scenario 7 in the process of one subject: lists videos, so many at a time, and measures what that takes. The platform
 * runs in a process of its own.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, identity, Layer, ManagedRuntime } from "effect"
import { quantile } from "../statistics.ts"
import { logIn } from "../subjects/platform.ts"
import type { Session } from "../subjects/subject.ts"
import { answer } from "./answer.ts"
import { clients, Videos } from "./effect-clients.ts"

export interface Question {
  readonly concurrency: number
  readonly requests: number
}

export interface Answer {
  readonly requestsPerSecond: number
  /** Milliseconds that 99 of 100 requests did not exceed. */
  readonly p99: number
  /** Microseconds of this process' CPU, a request. */
  readonly cpu: number
}

/** What is left to do of a turn, and what each request took. */
class Work {
  private started = 0
  readonly latencies: Float64Array
  constructor(requests: number) {
    this.latencies = new Float64Array(requests)
  }
  /** The number of the next request; `undefined` when there is none. */
  next(): number | undefined {
    return this.started < this.latencies.length ? this.started++ : undefined
  }
}

/** Does the work with so many callers. */
type Run = (work: Work, callers: number) => Promise<void>

/** The body of every answer is read to its end, parsed and looked at. */
const check = (status: number, body: unknown) => {
  const { data } = Object(body)
  if (status !== 200 || !Array.isArray(data) || data.length !== 5) {
    throw new Error(`answered with ${status} and ${JSON.stringify(body)}`)
  }
}

// Promises.

const promised =
  (request: () => Promise<void>): Run =>
  async (work, callers) => {
    const caller = async () => {
      for (let number = work.next(); number !== undefined; number = work.next()) {
        const since = performance.now()
        await request()
        work.latencies[number] = performance.now() - since
      }
    }
    await Promise.all(Array.from({ length: callers }, caller))
  }

/** A subject of the other scenarios. */
const session = async (open: Promise<Session>, bodyOf: (result: unknown) => unknown): Promise<Run> => {
  const { listVideos } = await open
  // Some log in only when a request fails, and fail those that run meanwhile.
  await listVideos()
  // Whatever is not a success rejects.
  return promised(async () => check(200, bodyOf(await listVideos())))
}

const data = (result: unknown): unknown => Object(result).data

const staticToken = async (url: string) => `Bearer ${(await logIn(url)).accessToken}`

const plainFetch = async (url: string) => {
  const headers = { authorization: await staticToken(url), accept: "application/json" }
  return promised(async () => {
    const response = await fetch(`${url}/videos`, { headers })
    check(response.status, await response.json())
  })
}

const plainUndici = async (url: string) => {
  const { request } = await import("undici")
  const headers = { authorization: await staticToken(url), accept: "application/json" }
  return promised(async () => {
    const { body, statusCode } = await request(`${url}/videos`, { headers })
    check(statusCode, await body.json())
  })
}

const axios = async (url: string) => {
  const { default: axios } = await import("axios")
  const api = axios.create({ baseURL: url })
  const authorization = await staticToken(url)
  api.interceptors.request.use((request) => {
    request.headers.set("Authorization", authorization)
    return request
  })
  return promised(async () => {
    const { data, status } = await api.get("/videos")
    check(status, data)
  })
}

const azure = async (url: string) => {
  const { bearerTokenAuthenticationPolicy, createDefaultHttpClient, createPipelineFromOptions, createPipelineRequest } =
    await import("@azure/core-rest-pipeline")
  const { accessToken: token, expiresAt: expiresOnTimestamp } = await logIn(url)
  const pipeline = createPipelineFromOptions({})
  const credential = { getToken: async () => ({ token, expiresOnTimestamp }) }
  pipeline.addPolicy(bearerTokenAuthenticationPolicy({ scopes: "videos", credential }))
  const client = createDefaultHttpClient()
  // The policy insists on https; the last step leads to the loopback server.
  const host = "https://videos.example"
  return promised(async () => {
    const { bodyAsText, status } = await pipeline.sendRequest(
      {
        sendRequest: (request) => {
          request.url = request.url.replace(host, url)
          return client.sendRequest(request)
        }
      },
      createPipelineRequest({ url: `${host}/videos`, allowInsecureConnection: true })
    )
    check(status, JSON.parse(bodyAsText ?? ""))
  })
}

// Effects.

const effectful = async (client: string, url: string): Promise<Run> => {
  const make = clients[client]
  if (make === undefined) throw new Error(`no client is called ${client}`)
  const authorization = await staticToken(url)
  const runtime = ManagedRuntime.make(Layer.provide(make(url, authorization), NodeHttpClient.layerUndici))
  const request = Effect.gen(function* () {
    const videos = yield* Videos
    const response = yield* videos.list
    check(response.status, yield* response.json)
  })
  return (work, callers) => {
    const caller: Effect.Effect<void, unknown, Videos> = Effect.suspend(() => {
      const number = work.next()
      if (number === undefined) return Effect.void
      const since = performance.now()
      return Effect.flatMap(request, () => {
        work.latencies[number] = performance.now() - since
        return caller
      })
    })
    return runtime.runPromise(Effect.replicateEffect(caller, callers, { concurrency: "unbounded", discard: true }))
  }
}

const promises: Readonly<Record<string, (url: string) => Promise<Run>>> = {
  fetch: plainFetch,
  "undici.request": plainUndici,
  "@api.video/nodejs-client": async (url) =>
    session((await import("../subjects/api-video-client.ts")).apiVideoClient.open(url), identity),
  "google-auth-library": async (url) =>
    session((await import("../subjects/google-auth-library.ts")).googleAuthLibrary.open(url), data),
  ky: async (url) => session((await import("../subjects/ky.ts")).kyWithHooks.open(url), identity),
  "axios-auth-refresh": async (url) =>
    session((await import("../subjects/axios-auth-refresh.ts")).axiosAuthRefresh.open(url), data),
  axios,
  "@azure/core-rest-pipeline": azure
}

const subject = process.argv[2] ?? ""
const url = process.argv[3] ?? ""
const run = await (promises[subject]?.(url) ?? effectful(subject, url))

const measure = async ({ concurrency, requests }: Question): Promise<Answer> => {
  // Connections that were closed meanwhile are opened again before the clock starts.
  await run(new Work(2 * concurrency), concurrency)
  const work = new Work(requests)
  const before = process.cpuUsage()
  const since = performance.now()
  await run(work, concurrency)
  const seconds = (performance.now() - since) / 1_000
  const { system, user } = process.cpuUsage(before)
  return {
    requestsPerSecond: requests / seconds,
    p99: quantile([...work.latencies], 0.99),
    cpu: (system + user) / requests
  }
}

answer(measure)
