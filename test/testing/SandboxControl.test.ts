/**
 * Steering a sandbox from outside: over HTTP, as a test in another language does, and as effects.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import type { Entry } from "effect-video-auth/testing/SandboxLedger"
import type { Seed } from "effect-video-auth/testing/SandboxSeed"
import { request as httpRequest } from "node:http"
import { text } from "node:stream/consumers"

const Client = Layer.merge(FetchHttpClient.layer, Layer.succeed(HttpClient.TracerPropagationEnabled, false))
const basic = `Basic ${btoa("your_api_key:")}`

const call = Effect.fn("call")(function* (
  method: "DELETE" | "GET" | "OPTIONS" | "POST",
  path: string,
  body?: object | string,
  headers: Readonly<Record<string, string>> = {}
) {
  const { url } = yield* Sandbox.ApiVideoSandbox
  const sent = typeof body === "object" ? JSON.stringify(body) : body
  const request = HttpClientRequest.make(method)(`${url}${path}`, { headers })
  const response = yield* HttpClient.execute(
    // As `curl -d` labels it.
    sent === undefined ? request : HttpClientRequest.bodyText(request, sent, "application/x-www-form-urlencoded")
  )
  const received = yield* response.text
  return {
    status: response.status,
    headers: response.headers,
    json: received === "" ? undefined : JSON.parse(received)
  }
})

const videos = call("GET", "/videos", undefined, { authorization: basic })
const titles = Effect.map(videos, ({ json }) => json.data.map(({ title }: { readonly title: string }) => title))

const test = <A, E>(
  name: string,
  body: Effect.Effect<A, E, Sandbox.ApiVideoSandbox | HttpClient.HttpClient>,
  options?: Sandbox.Options
) => it.effect(name, () => Effect.provide(body, [Sandbox.layer(options), Client]))

describe("/_sandbox", () => {
  test(
    "a fault is injected, listed, served, and cleared",
    Effect.gen(function* () {
      const fault = { on: "api", times: "Infinity", kind: { _tag: "Status", status: 503 } }
      assert.strictEqual((yield* call("POST", "/_sandbox/faults", fault)).status, 204)
      assert.deepStrictEqual((yield* call("GET", "/_sandbox/faults")).json, { data: [fault] })
      assert.strictEqual((yield* videos).status, 503)
      assert.strictEqual((yield* videos).status, 503)
      assert.strictEqual((yield* call("DELETE", "/_sandbox/faults")).status, 204)
      assert.strictEqual((yield* videos).status, 200)
      const { json } = yield* call("GET", "/_sandbox/ledger")
      assert.deepStrictEqual(
        json.entries.map(({ fault, path, status }: Entry) => [path, status, fault]),
        [
          ["/videos", 503, "Status"],
          ["/videos", 503, "Status"],
          ["/videos", 200, undefined]
        ]
      )
    })
  )

  test(
    "a pattern of method and path picks the requests; a latency is in milliseconds or words",
    Effect.gen(function* () {
      const on = { method: "GET", path: "/videos/*/status" }
      yield* call("POST", "/_sandbox/faults", {
        on,
        times: 2,
        kind: { _tag: "Json", status: 418, body: { tea: true } }
      })
      yield* call("POST", "/_sandbox/faults", { on: "login", kind: { _tag: "Latency", duration: "2 seconds" } })
      assert.strictEqual((yield* videos).status, 200)
      const { json, status } = yield* call("GET", "/videos/vi1/status", undefined, { authorization: basic })
      assert.deepStrictEqual([status, json], [418, { tea: true }])
      assert.deepStrictEqual((yield* call("GET", "/_sandbox/faults")).json.data, [
        { on, times: 1, kind: { _tag: "Json", status: 418, body: { tea: true } } },
        { on: "login", times: 1, kind: { _tag: "Latency", duration: 2000 } }
      ])
    })
  )

  for (const [body, names] of [
    [{ on: "api", kind: { _tag: "Status", status: 503 }, tmes: 2 }, ["tmes"]],
    [{ on: "api", kind: { _tag: "Status", status: "503" } }, ["kind.status"]],
    [{ kind: { _tag: "Hang" } }, ["on"]],
    [{ on: "api", times: 0, kind: { _tag: "Hang" } }, ["times"]],
    [{ on: "api", kind: { _tag: "Hung" } }, ["kind"]]
  ] as const) {
    test(
      `refuses ${JSON.stringify(body)} and names ${names.join()}`,
      Effect.gen(function* () {
        const { headers, json, status } = yield* call("POST", "/_sandbox/faults", body)
        assert.strictEqual(status, 400)
        assert.strictEqual(headers["content-type"], "application/problem+json")
        assert.deepStrictEqual(
          json.problems.map(({ name }: { readonly name: string }) => name),
          names
        )
        assert.include(json.title, names[0])
        assert.deepStrictEqual((yield* call("GET", "/_sandbox/faults")).json, { data: [] })
      })
    )
  }

  test(
    "refuses what is no JSON object, no command and no method of it",
    Effect.gen(function* () {
      assert.strictEqual((yield* call("POST", "/_sandbox/faults", "{on:")).status, 400)
      assert.strictEqual((yield* call("POST", "/_sandbox/faults", "[]")).status, 400)
      assert.strictEqual((yield* call("POST", "/_sandbox/fault", {})).status, 404)
      const { json, status } = yield* call("GET", "/_sandbox/reset")
      assert.deepStrictEqual([status, json.title], [405, "/_sandbox/reset has POST."])
    })
  )

  test(
    "lists its commands, and each accepts its own example",
    Effect.gen(function* () {
      const { json } = yield* call("GET", "/_sandbox")
      const paths = json.data.map(({ method, path }: Record<string, string>) => `${method} ${path}`)
      for (const path of [
        "POST /_sandbox/faults",
        "DELETE /_sandbox/faults",
        "POST /_sandbox/tokens/revoke",
        "POST /_sandbox/seed",
        "POST /_sandbox/reset"
      ]) {
        assert.include(paths, path)
      }
      for (const { example, method, path } of json.data) {
        // An example names a live stream that is not there; commands before may have reset the sandbox.
        const planted = yield* call("POST", "/_sandbox/seed", { liveStreams: [{ name: "Live" }] })
        const [{ liveStreamId }] = planted.json.liveStreams
        const body = example?.liveStreamId === undefined ? example : { ...example, liveStreamId }
        const { status } = yield* call(method, path, method === "GET" ? undefined : body)
        assert.isBelow(status, 300, `${method} ${path}`)
      }
    })
  )

  test(
    "revokes access tokens, refresh tokens or all",
    Effect.gen(function* () {
      for (const [tokens, access, refresh] of [
        [undefined, 401, 200],
        ["access", 401, 200],
        ["refresh", 200, 400],
        ["all", 401, 400]
      ] as const) {
        const { json } = yield* call("POST", "/auth/api-key", { apiKey: "your_api_key" })
        yield* call("POST", "/_sandbox/tokens/revoke", tokens && { tokens })
        const listed = yield* call("GET", "/videos", undefined, { authorization: `Bearer ${json.access_token}` })
        const refreshed = yield* call("POST", "/auth/refresh", { refreshToken: json.refresh_token })
        assert.deepStrictEqual([listed.status, refreshed.status], [access, refresh], String(tokens))
      }
    })
  )

  /** A request with a header that `fetch` does not let a program set. */
  const withHeaders = (url: string, headers: Record<string, string>, method = "DELETE") =>
    Effect.promise(
      () =>
        new Promise<{ status: number | undefined; cors: string | undefined; body: string }>((resolve, reject) => {
          httpRequest(`${url}/_sandbox/faults`, { method, headers }, async (response) => {
            const cors = response.headers["access-control-allow-origin"]
            resolve({ status: response.statusCode, cors, body: await text(response) })
          })
            .on("error", reject)
            .end()
        })
    )

  for (const [headers, status] of [
    [{ host: "localhost:8080" }, 204],
    [{ host: "app.localhost" }, 204],
    [{ host: "[::1]:8080" }, 204],
    [{ host: "192.168.0.7" }, 204],
    [{ host: "rebound.example" }, 403],
    [{ host: "127.0.0.1.example" }, 403],
    [{ host: "127.0.0.1", origin: "http://localhost:3000" }, 204],
    [{ host: "127.0.0.1", origin: "https://evil.example" }, 403],
    [{ host: "127.0.0.1", origin: "http://127.0.0.1.evil.example" }, 403],
    [{ host: "127.0.0.1", origin: "null" }, 403]
  ] as const) {
    test(
      `${JSON.stringify(headers)} gets ${status}`,
      Effect.gen(function* () {
        const { inject, faults, url } = yield* Sandbox.ApiVideoSandbox
        yield* inject({ on: "api", kind: { _tag: "Hang" } })
        const answer = yield* withHeaders(url, headers)
        assert.strictEqual(answer.status, status, answer.body)
        assert.lengthOf(yield* faults, status === 204 ? 0 : 1)
        const origin = "origin" in headers ? headers.origin : undefined
        assert.strictEqual(answer.cors, status === 204 ? origin : undefined)
        const preflight = yield* withHeaders(url, headers, "OPTIONS")
        assert.strictEqual(preflight.status, status)
      })
    )
  }
})

const seed: Seed = { videos: [{ title: "One" }, { title: "Two", tags: ["maths"] }], uploadTokens: [{ ttl: 60 }] }

describe("seeds", () => {
  test(
    "are there at the start, and come back with a reset",
    Effect.gen(function* () {
      assert.sameMembers(yield* titles, ["One", "Two"])
      const { json, status } = yield* call("POST", "/_sandbox/seed", { videos: [{ title: "Three" }] })
      assert.strictEqual(status, 200)
      assert.deepInclude(json.videos[0], { title: "Three" })
      assert.sameMembers(yield* titles, ["One", "Two", "Three"])
      assert.strictEqual((yield* call("POST", "/_sandbox/reset")).status, 204)
      assert.sameMembers(yield* titles, ["One", "Two"])
    }),
    { seed }
  )

  test(
    "that the sandbox refuses name the resource and the field, and keep those before it",
    Effect.gen(function* () {
      const refused = yield* call("POST", "/_sandbox/seed", { videos: [{ title: "One" }, { tags: [] }] })
      assert.strictEqual(refused.status, 400)
      assert.match(refused.json.title, /^videos\[1\]: title: /)
      assert.deepStrictEqual(yield* titles, ["One"])
      const unknown = yield* call("POST", "/_sandbox/seed", { films: [] })
      assert.match(unknown.json.title, /^films: no such resource. There are: .*\bvideos\b/)
      const notAList = yield* call("POST", "/_sandbox/seed", { videos: { title: "One" } })
      assert.match(notAList.json.title, /^videos: /)
    })
  )

  it.effect("that a layer refuses end it with the reason", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(Sandbox.layer({ seed: { videos: [{}] } }))))
      assert.match(String(exit), /videos\[0\]: title: /)
    })
  )

  it.effect("of movingimage name the VideoManager of each resource", () =>
    Effect.gen(function* () {
      const { seed } = yield* MovingImageSandbox.MovingImageSandbox
      yield* seed({
        videos: [{ videoManager: 101, fileName: "film.mp4", title: "Film" }],
        channels: [{ videoManager: 101, name: "News" }]
      })
      const refused = yield* Effect.flip(seed({ videos: [{ title: "Film" }] }))
      assert.strictEqual(refused.message, "videos[0]: videoManager is missing, or not a number.")
    }).pipe(Effect.provide(MovingImageSandbox.layer()))
  )
})

describe("reset", () => {
  test(
    "forgets tokens, faults, settings, keys and the ledger",
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.ApiVideoSandbox
      yield* sandbox.configure({ suspended: true })
      yield* sandbox.addKey("another")
      yield* videos
      yield* sandbox.inject({ on: "api", kind: { _tag: "Hang" } })
      yield* sandbox.reset
      assert.deepStrictEqual(yield* sandbox.faults, [])
      const { entries, requests } = yield* sandbox.ledger
      assert.deepStrictEqual({ entries, requests }, { entries: [], requests: 0 })
      assert.strictEqual((yield* videos).status, 200)
      const another = yield* call("GET", "/videos", undefined, { authorization: `Basic ${btoa("another:")}` })
      assert.strictEqual(another.status, 401)
    })
  )

  it.effect("of movingimage forgets locks, passwords and accounts", () =>
    Effect.gen(function* () {
      const sandbox = yield* MovingImageSandbox.MovingImageSandbox
      const login = (password: string) =>
        Effect.map(
          HttpClient.execute(
            HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(`${sandbox.url}/v1/vms/auth/login`), {
              username: "your_username",
              password
            })
          ),
          ({ status }) => status
        )
      assert.strictEqual(yield* login("your_password"), 200)
      yield* sandbox.changePassword("your_username", "changed")
      assert.strictEqual(yield* login("your_password"), 401)
      yield* sandbox.reset
      assert.strictEqual(yield* login("your_password"), 200)
      yield* sandbox.removeAccount("your_username")
      assert.strictEqual(yield* login("your_password"), 401)
      yield* sandbox.reset
      assert.strictEqual(yield* login("your_password"), 200)
    }).pipe(Effect.provide([MovingImageSandbox.layer(), Client]))
  )
})

describe("onRequest", () => {
  it.effect("sees every request once it has its response or has lost it", () =>
    Effect.gen(function* () {
      const seen = yield* Queue.unbounded<Entry>()
      const options = { onRequest: (entry: Entry) => Effect.asVoid(Queue.offer(seen, entry)) }
      const program = Effect.gen(function* () {
        const { inject, ledger } = yield* Sandbox.ApiVideoSandbox
        yield* videos
        yield* inject({ on: "api", kind: { _tag: "DropAfter" } })
        yield* Effect.exit(videos)
        yield* inject({ on: "api", kind: { _tag: "Hang" } })
        const hanging = yield* Effect.forkChild(videos)
        // It is in the ledger once it has arrived.
        while ((yield* ledger).entries[2]?.fault !== "Hang") yield* Effect.promise(() => new Promise(setImmediate))
        yield* Fiber.interrupt(hanging)
        yield* call("GET", "/_sandbox/faults")
        const entries = yield* Queue.takeN(seen, 4)
        assert.deepStrictEqual(
          entries
            .toSorted((a, b) => a.path.localeCompare(b.path))
            .map(({ credential, fault, method, path, status }) => [method, path, status, credential, fault]),
          [
            ["GET", "/_sandbox/faults", 200, "none", undefined],
            ["GET", "/videos", 200, "basic", undefined],
            ["GET", "/videos", undefined, "basic", "DropAfter"],
            ["GET", "/videos", undefined, "basic", "Hang"]
          ]
        )
        assert.isTrue(entries.every(({ duration }) => duration === 0))
      })
      yield* Effect.provide(program, [Sandbox.layer(options), Client])
    })
  )
})
