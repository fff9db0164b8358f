import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { ApiVideo, BearerClient, Observability, TokenError, TokenEvent, TokenService } from "effect-video-auth"
import * as FakeProvider from "effect-video-auth/testing/FakeProvider"
import * as RecordingHttpClient from "effect-video-auth/testing/RecordingHttpClient"

/** Runs with a log that is kept, and metrics of its own. */
const watched = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel} ${String(message)}`)
    })
    return Effect.as(effect, lines).pipe(
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

const snapshot = Effect.map(Metric.snapshot, (metrics) =>
  metrics.map(({ attributes, id, state }) => ({ id, attributes: attributes ?? {}, state }))
)

const service = (fake: FakeProvider.FakeProvider["Service"], observability: Layer.Layer<never>) =>
  TokenService.layer({ provider: fake.provider, policy: { whenIdle: "on-demand" } }).pipe(Layer.provide(observability))

const wrongKey = new TokenError.InvalidCredentials({ status: 400 })

describe("layerLogging", () => {
  it.effect("tells of a renewal at Info and of a failed attempt at Warn, and holds no token", () =>
    Effect.gen(function* () {
      const fake = FakeProvider.make()
      const lines = yield* watched(
        Effect.gen(function* () {
          const tokens = yield* TokenService.TokenService
          yield* tokens.get
          yield* fake.configure({ failure: wrongKey })
          yield* Effect.exit(tokens.renew)
        }).pipe(Effect.provide(service(fake, Observability.layerLogging)))
      )
      assert.deepStrictEqual(lines, [
        "Info got a token by login in 0 ms",
        "Warn renewal failed: fake: the credentials were refused (400). Check them. The held token is still valid."
      ])
    })
  )

  it.effect("tells nothing where it is not provided", () =>
    Effect.gen(function* () {
      const lines = yield* watched(
        TokenService.TokenService.use((tokens) => tokens.get).pipe(
          Effect.provide(service(FakeProvider.make(), Layer.empty))
        )
      )
      assert.lengthOf(lines, 0)
    })
  )
})

describe("layerMetrics", () => {
  it.effect("counts renewals by trigger and outcome, and measures exchanges, waits and ages", () =>
    watched(
      Effect.gen(function* () {
        const fake = FakeProvider.make({ latency: "2 seconds" })
        yield* Effect.gen(function* () {
          const tokens = yield* TokenService.TokenService
          yield* Effect.forkChild(tokens.get)
          yield* TestClock.adjust("10 minutes")
          yield* Effect.forkChild(tokens.renew)
          yield* TestClock.adjust("2 seconds")
          yield* fake.configure({ failure: wrongKey })
          yield* Effect.forkChild(Effect.exit(tokens.renew))
          // The refresh is refused, and so is the login after it.
          yield* TestClock.adjust("4 seconds")
        }).pipe(Effect.provide(service(fake, Observability.layerMetrics)))
        const metrics = yield* snapshot
        const count = (attributes: Record<string, string>) =>
          metrics.find(
            (metric) =>
              metric.id === "token_renewals_total" &&
              Object.entries(attributes).every(([name, value]) => metric.attributes[name] === value)
          )?.state
        assert.deepInclude(count({ trigger: "demand", by: "login", outcome: "success", provider: "fake" }), {
          count: 1
        })
        assert.deepInclude(count({ trigger: "renew", by: "refresh", outcome: "success" }), { count: 1 })
        assert.deepInclude(count({ trigger: "renew", outcome: "InvalidCredentials" }), { count: 1 })
        const stateOf = (id: string) => metrics.find((metric) => metric.id === id)?.state
        assert.deepInclude(stateOf("token_exchange_duration_seconds"), { count: 2, min: 2, max: 2 })
        assert.deepInclude(stateOf("token_caller_wait_seconds"), { count: 3, min: 2, max: 4 })
        // The first token was issued when its request left: 2 s after the start less the 2 s that it took.
        assert.deepInclude(stateOf("token_age_at_renewal_seconds"), { value: 600 })
        assert.deepInclude(stateOf("token_seconds_to_expiry"), { value: 3598 })
      })
    )
  )
})

describe("layers side by side", () => {
  it.effect("are all heard, and so are observers of the program's own", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const own = Layer.succeed(TokenEvent.Observers, [({ _tag }) => Effect.sync(() => void heard.push(_tag))])
      const all = Layer.mergeAll(Observability.layerMetrics, own, Observability.layerLogging)
      const lines = yield* watched(
        Effect.gen(function* () {
          yield* TokenService.TokenService.use((tokens) => tokens.get)
          // Observers hear of it after the caller.
          yield* TestClock.adjust(0)
          assert.include(
            (yield* snapshot).map(({ id }) => id),
            "token_renewals_total"
          )
        }).pipe(Effect.provide(service(FakeProvider.make(), all)))
      )
      assert.deepStrictEqual(lines, ["Info got a token by login in 0 ms"])
      assert.sameMembers(heard, ["Renewed", "Waited"])
    })
  )
})

describe("Replayed", () => {
  it.effect("is heard by what is beneath the client's layer, wherever the request is made", () =>
    Effect.gen(function* () {
      const layer = ApiVideo.layerClient({ rateLimits: false }).pipe(
        Layer.provide(TokenService.layerTest(["t1", "t2"])),
        Layer.provide(
          RecordingHttpClient.layer((request) =>
            request.headers["authorization"] === "Bearer t1" ? new Response(null, { status: 401 }) : Response.json({})
          )
        ),
        Layer.provide(Observability.layerMetrics)
      )
      yield* watched(
        Effect.gen(function* () {
          yield* ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(Effect.provide(layer))
          const replays = (yield* snapshot).find(({ id }) => id === "token_replays_total")
          assert.deepInclude(replays?.state, { count: 1 })
        })
      )
    })
  )

  it.effect("is heard by observers given to BearerClient.make", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const { client } = RecordingHttpClient.make((request) =>
        request.headers["authorization"] === "Bearer t1" ? new Response(null, { status: 401 }) : Response.json({})
      )
      const tokens = yield* TokenService.TokenService
      const bearer = BearerClient.make(tokens, {
        origins: ["https://api.example"],
        observers: [({ _tag }) => Effect.sync(() => void heard.push(_tag)), () => Effect.die("deaf")]
      })(client)
      const response = yield* bearer.get("https://api.example/")
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(heard, ["Replayed"])
      assert.strictEqual(Redacted.value((yield* tokens.get).accessToken), "t2")
    }).pipe(Effect.provide(TokenService.layerTest(["t1", "t2"])))
  )
})
