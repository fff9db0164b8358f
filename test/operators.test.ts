/** The operators' view: the metrics and spans in docs/observability.md are those that exist, and Prometheus can read them. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Redacted, Schedule, Schema } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import {
  ApiVideo,
  BearerClient,
  MovingImage,
  Observability,
  RenewalPolicy,
  TokenError,
  TokenService,
  TokenStore
} from "effect-video-auth"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import * as RecordingHttpClient from "effect-video-auth/testing/RecordingHttpClient"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { join } from "node:path"
import { json } from "node:stream/consumers"
import { hasPromtool, promtool } from "./support/promtool.ts"
import { keepingSpans } from "./support/spans.ts"

const root = join(import.meta.dirname, "..")
const pages = ["observability", "errors"]
  .map((page) => readFileSync(join(root, "docs", `${page}.md`), "utf8"))
  .join("\n")

/** The cells of the pages' table whose first column has this name, by row. */
const table = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const lines = pages.split("\n")
  const start = lines.findIndex((line) => line.startsWith(`| ${heading} |`)) + 2
  const end = lines.findIndex((line, index) => index >= start && !line.startsWith("|"))
  return lines.slice(start, end).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim())
  )
}

const codes = (cell = ""): ReadonlyArray<string> => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code)
const valuesOf = (label: string) => codes(table("label").find(([name]) => codes(name).includes(label))?.[1])

/** What OTLP makes of the unit that a metric names. */
const units: Readonly<Record<string, string>> = { seconds: "s" }

/** A platform's client whose first request is refused for a second. */
const refusedOnce = ApiVideo.layerClient().pipe(
  Layer.provide(TokenService.layerTest(["first"])),
  Layer.provide(
    RecordingHttpClient.layer((_request, n) =>
      n === 1 ? RecordingHttpClient.status(429, { "retry-after": "1" }) : RecordingHttpClient.status(200)
    )
  )
)

/** Everything that can happen to a token, and requests that are sent again. */
const everything = Effect.gen(function* () {
  const fake = FakeProvider.make({ latency: "2 seconds" })
  const kept = yield* TokenService.make({ provider: fake.provider })
  const idle = yield* TokenService.make({ provider: fake.provider, policy: RenewalPolicy.onDemand })
  const client = BearerClient.make(TokenService.makeTest(["first", "second"], []), {
    origins: ["https://api.example"]
  })(RecordingHttpClient.make((_request, n) => RecordingHttpClient.status(n === 1 ? 401 : 200)).client)
  const passing = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(effect)
      // As long as a refresh and a login take.
      yield* TestClock.adjust("4 seconds")
      return yield* Fiber.join(fiber)
    })
  yield* passing(kept.get)
  yield* passing(idle.get)
  yield* TestClock.adjust("55 minutes")
  yield* passing(idle.get)
  yield* passing(kept.renew)
  yield* passing(Effect.flatMap(kept.get, kept.reject))
  yield* fake.configure({ failure: new TokenError.InvalidCredentials({ status: 400 }) })
  yield* passing(Effect.exit(kept.renew))
  yield* client.get("https://api.example/")
  yield* passing(
    Effect.provide(
      ApiVideo.ApiVideo.use((api) => api.get("/videos")),
      refusedOnce
    )
  )
}).pipe(Effect.scoped, Effect.provide(Layer.merge(Observability.layerMetrics, TokenStore.layerMemory)))

const measured = <A>(reading: Effect.Effect<A>) =>
  Effect.andThen(everything, reading).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

describe("the page's table of metrics", () => {
  it.effect("has their names, types, units and labels", () =>
    Effect.gen(function* () {
      const metrics = yield* measured(Metric.snapshot)
      const found = new Map<string, { type: string; unit: string; labels: Set<string> }>()
      for (const { attributes: { unit, ...labels } = {}, id, type } of metrics) {
        const entry = found.get(id) ?? {
          type: type.toLowerCase(),
          unit: unit === undefined ? "1" : (units[unit] ?? unit),
          labels: new Set()
        }
        for (const label of Object.keys(labels)) entry.labels.add(label)
        found.set(id, entry)
      }
      const documented = table("metric").map(([name, type, unit, labels]) => [
        codes(name)[0],
        { type, unit, labels: new Set(codes(labels)) }
      ])
      assert.deepStrictEqual(Object.fromEntries(found), Object.fromEntries(documented))
    })
  )

  it("has all that the module exports", () => {
    const exported = Object.values(Observability).flatMap((value) => (Metric.isMetric(value) ? [value.id] : []))
    assert.sameMembers(
      exported,
      table("metric").flatMap(([name]) => codes(name))
    )
  })

  it.effect("and that of labels has every value of trigger and by, and the reasons are those of the errors", () =>
    Effect.gen(function* () {
      const metrics = yield* measured(Metric.snapshot)
      const seen = (label: string) => new Set(metrics.flatMap(({ attributes = {} }) => attributes[label] ?? []))
      for (const label of ["trigger", "by"]) assert.deepStrictEqual(seen(label), new Set(valuesOf(label)), label)
      const outcomes = [...valuesOf("outcome"), ...table("reason").flatMap(([name]) => codes(name))]
      assert.includeMembers(outcomes, [...seen("outcome")])
      assert.strictEqual(seen("outcome").size, 2)
    })
  )

  it.effect("names the providers as they are named", () =>
    Effect.gen(function* () {
      const secret = Redacted.make("secret")
      const providers = yield* Effect.all([
        ApiVideo.provider({ apiKey: secret }),
        ApiVideo.provider({ apiKey: secret, environment: "sandbox" }),
        MovingImage.provider({ username: secret, password: secret })
      ])
      assert.includeMembers(
        [...valuesOf("provider")],
        providers.map(({ name }) => name)
      )
    }).pipe(Effect.provide(RecordingHttpClient.layer(() => RecordingHttpClient.status(200))))
  )

  it.effect.skipIf(!hasPromtool)("is read by Prometheus, which finds nothing to say about names, units and help", () =>
    Effect.gen(function* () {
      const text = yield* measured(PrometheusMetrics.format())
      for (const [name] of table("metric")) assert.include(text, `# TYPE ${codes(name)[0]} `)
      assert.deepStrictEqual(promtool(text), { status: 0, output: "" })
    })
  )
})

describe("the page's table of spans", () => {
  it.live("has their names, kinds and attributes", () =>
    Effect.gen(function* () {
      const { spans, tracer } = keepingSpans()
      const { url } = yield* ApiVideoSandbox.ApiVideoSandbox
      const token = ApiVideo.layerToken({ apiKey: Redacted.make("your_api_key"), baseUrl: url })
      yield* Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        const tokens = yield* TokenService.TokenService
        yield* api.get("/videos").pipe(Effect.withSpan("program"))
        yield* tokens.renew
      }).pipe(
        Effect.provide(
          ApiVideo.layerClient({ baseUrl: url }).pipe(
            Layer.provideMerge(token),
            Layer.provide(NodeHttpClient.layerUndici)
          )
        ),
        Effect.withTracer(tracer)
      )
      const documented = table("span").map(([names, kind, attributes]) => ({
        names: codes(names),
        kind,
        attributes: codes(attributes)
      }))
      const library = spans.filter(({ name }) => name !== "program")
      for (const { attributes, kind, name } of library) {
        const row = documented.find(({ names }) => names.includes(name))
        assert.strictEqual(row?.kind, kind, name)
        if (kind === "internal") assert.sameMembers([...attributes.keys()], [...(row?.attributes ?? [])], name)
      }
      assert.deepStrictEqual(
        library.map(({ name, parent }) => [
          name,
          parent._tag === "Some" && "name" in parent.value && parent.value.name
        ]),
        [
          ["TokenService.login", false],
          ["GET", "program"],
          ["TokenService.refresh", false]
        ]
      )
      const own = documented.flatMap(({ kind, names }) => (kind === "internal" ? names : []))
      assert.sameMembers([...own], ["TokenService.login", "TokenService.refresh"])
    }).pipe(Effect.provide(ApiVideoSandbox.layer()))
  )
})

/** What a collector was sent, by path. */
const collector = Effect.gen(function* () {
  const received = new Map<string, Array<unknown>>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer(async (request, response) => {
        const path = request.url ?? ""
        received.set(path, [...(received.get(path) ?? []), await json(request)])
        response.end("{}")
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
  )
  return { received, url: `http://127.0.0.1:${Object(server.address()).port}` }
})

/** The example as a process of its own, until the signal. */
const start = (env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, ["--conditions=@effect-video-auth/source", "examples/observability.ts"], {
        cwd: root,
        env: { NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "examples"), PORT: "0", ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      const ended = once(child, "close")
      let output = ""
      const listening = new Promise<string>((resolve, reject) => {
        child.stdout.setEncoding("utf8").on("data", (chunk) => {
          output += String(chunk)
          const url = /Listening on (http:\S+)/.exec(output)?.[1]
          if (url !== undefined) resolve(url)
        })
        child.on("close", () => reject(new Error(output)))
      })
      let errors = ""
      child.stderr.setEncoding("utf8").on("data", (chunk) => (errors += String(chunk)))
      const interrupt = Effect.promise(async () => {
        child.kill("SIGINT")
        const [code] = await ended
        return { code: Number(code), errors, output }
      })
      return { child, interrupt, url: await listening }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const get = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, type: response.headers.get("content-type"), text: await response.text() }
  })

/** Codes of OTLP. */
const [succeeded, failed] = [1, 2] as const

/** What an export says: traces, or metrics. */
const Attributes = Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.Unknown }))
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      scopeSpans: Schema.Array(
        Schema.Struct({
          spans: Schema.Array(
            Schema.Struct({
              name: Schema.String,
              attributes: Attributes,
              status: Schema.Struct({ code: Schema.Literals([succeeded, failed]) })
            })
          )
        })
      )
    })
  )
})
const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(
    Schema.Struct({
      scopeMetrics: Schema.Array(
        Schema.Struct({ metrics: Schema.Array(Schema.Struct({ name: Schema.String, unit: Schema.String })) })
      )
    })
  )
})

describe("examples/observability.ts", () => {
  it.live.skipIf(process.platform === "win32")(
    "is ready with a token and not without, is scraped, and exports by OTLP until Ctrl-C",
    () =>
      Effect.gen(function* () {
        const sandbox = yield* ApiVideoSandbox.ApiVideoSandbox
        const { received, url: endpoint } = yield* collector
        yield* sandbox.inject({ on: "login", times: Infinity, kind: { _tag: "Status", status: 503 } })
        const { interrupt, url } = yield* start({
          APIVIDEO_API_KEY: "your_api_key",
          APIVIDEO_BASE_URL: sandbox.url,
          OTEL_EXPORTER_OTLP_ENDPOINT: endpoint
        })
        const until = (status: number, phases: RegExp) =>
          Effect.repeat(get(`${url}/ready`), {
            schedule: Schedule.spaced("50 millis"),
            until: (ready) => ready.status === status && phases.test(ready.text)
          })

        assert.strictEqual((yield* get(`${url}/ready`)).status, 503)
        yield* sandbox.clearFaults
        yield* until(200, /valid/)

        // A replay, and a wait.
        yield* sandbox.revokeAccessTokens
        yield* sandbox.inject({ on: "api", kind: { _tag: "RateLimited", retryAfter: 1 } })
        assert.deepInclude(yield* get(`${url}/titles`), { status: 200, text: "[]" })
        const { text, type } = yield* get(`${url}/metrics`)
        assert.strictEqual(type, "text/plain; version=0.0.4; charset=utf-8")
        if (hasPromtool) assert.deepStrictEqual(promtool(text), { status: 0, output: "" })
        assert.match(text, /^token_replays_total 1$/m)
        const documented = table("metric").map(([name, , unit]) => [codes(name)[0], unit])
        for (const [name] of documented) assert.include(text, `# TYPE ${name} `)

        // Then its token expires, and it cannot get another one.
        yield* sandbox.configure({ accessTokenLifetime: "4 seconds" })
        yield* sandbox.revokeAccessTokens
        yield* get(`${url}/titles`)
        yield* sandbox.removeKey("your_api_key")
        yield* until(503, /"failed".*"InvalidCredentials"/)
        const { code, errors, output } = yield* interrupt
        assert.deepStrictEqual({ code, errors }, { code: 130, errors: "" })
        for (const secret of ["your_api_key", "eyJ", "Bearer "]) assert.notInclude(output, secret)

        const spans = (received.get("/v1/traces") ?? [])
          .flatMap((body) => Schema.decodeUnknownSync(Traces)(body).resourceSpans)
          .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
        const attributes = [{ key: "provider", value: { stringValue: `api.video ${new URL(sandbox.url).host}` } }]
        for (const [name, code] of [
          ["TokenService.login", failed],
          ["TokenService.login", succeeded],
          ["TokenService.refresh", succeeded]
        ] as const) {
          assert.deepInclude(spans, { name, attributes, status: { code } })
        }
        const paths = spans.flatMap(({ attributes }) => attributes.filter(({ key }) => key === "url.path"))
        assert.deepStrictEqual(
          new Set(paths.map(({ value }) => Object(value).stringValue)),
          new Set(["/titles", "/videos"])
        )
        const exported = (received.get("/v1/metrics") ?? [])
          .flatMap((body) => Schema.decodeUnknownSync(Metrics)(body).resourceMetrics)
          .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
        assert.includeDeepMembers(
          exported,
          documented.map(([name, unit]) => ({ name, unit }))
        )
        assert.include(JSON.stringify(received.get("/v1/logs")), "got a token by login")
      }).pipe(Effect.provide(ApiVideoSandbox.layer()))
  )
})
