/** Waiting for rate limits: how long, for whom, and what is known about it. On both platforms, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Logger, Redacted } from "effect"
import { HttpClient, type HttpClientRequest, type HttpClientResponse } from "effect/http"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { ApiVideo, MovingImage, TokenEvent, type TokenError, TokenService, TokenServiceMap } from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"

type ClientError = ApiVideo.ClientError | MovingImage.ClientError

/** The options that both platforms have, with one number for the limit of reads. */
interface Options {
  readonly limit?: number | false | undefined
  readonly rateLimitRetries?: number | undefined
  readonly rateLimitMaxWait?: Duration.Input | undefined
  readonly rateLimiter?: RateLimiter.RateLimiter | undefined
}

class Get extends Context.Service<Get, Effect.Effect<HttpClientResponse.HttpClientResponse, ClientError>>()(
  "test/Get"
) {}

interface Platform {
  readonly layer: (
    options: Options
  ) => Layer.Layer<Get, TokenError.TokenError, TokenService.TokenService | HttpClient.HttpClient>
  /** The class of the request, and its documented limit. */
  readonly className: string
  readonly documented: number
}

const platforms: Readonly<Record<string, Platform>> = {
  "api.video": {
    layer: ({ limit, ...options }) =>
      Layer.effect(
        Get,
        ApiVideo.ApiVideo.useSync((api) => api.get("/videos"))
      ).pipe(
        Layer.provide(
          ApiVideo.layerClient({
            ...options,
            retry: false,
            rateLimits: typeof limit === "number" ? { uploads: 1, writes: 1, reads: limit } : limit
          })
        )
      ),
    className: "reads",
    documented: 500
  },
  movingimage: {
    layer: ({ limit, ...options }) =>
      Layer.effect(
        Get,
        MovingImage.MovingImage.useSync((api) => api.get("/v1/vms"))
      ).pipe(
        Layer.provide(
          MovingImage.layerClient({
            ...options,
            retry: false,
            rateLimits: typeof limit === "number" ? { requests: limit } : limit
          })
        )
      ),
    className: "requests",
    documented: 100
  }
}

interface Setup extends Options {
  readonly respond?: Recording.Respond | undefined
}

/** Defines a test on both platforms. */
const everywhere = <A, E>(
  name: string,
  body: (platform: Platform) => Effect.Effect<A, E, Get | Recording.RecordingHttpClient>,
  { respond = () => Recording.json(200, {}), ...options }: Setup = {}
) => {
  for (const [title, platform] of Object.entries(platforms)) {
    it.effect(`${name} (${title})`, () =>
      body(platform).pipe(
        Effect.provide(
          platform
            .layer(options)
            .pipe(Layer.provide(TokenService.layerTest(["test"])), Layer.provideMerge(Recording.layer(respond)))
        )
      )
    )
  }
}

const get = Effect.flatten(Get)
const sent = Recording.RecordingHttpClient.use((recording) => Effect.map(recording.requests, (all) => all.length))
const started = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })
const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: count }, () => effect),
    { concurrency: "unbounded" }
  )

/** Turns the clock, and lets everybody run. */
const after = (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), Effect.yieldNow)

const reasonOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, ClientError, R>) {
  const error = yield* Effect.flip(effect)
  assert.match(error._tag, /^(ApiVideo|MovingImage)Error$/)
  return {
    error,
    reason: "reason" in error ? error.reason._tag : undefined,
    retryAfter: "retryAfter" in error ? error.retryAfter : undefined
  }
})

describe("a caller that gives up", () => {
  everywhere(
    "gives its place back: the next call waits for the window only",
    () =>
      Effect.gen(function* () {
        yield* times(100, get)
        const impatient = yield* started(times(1_000, Effect.exit(Effect.timeout(get, "5 seconds"))))
        yield* after("5 seconds")
        yield* Fiber.join(impatient)
        const next = yield* started(get)
        yield* after("54999 millis")
        assert.strictEqual(yield* sent, 100)
        yield* after("1 millis")
        assert.strictEqual((yield* Fiber.join(next)).status, 200)
      }),
    { limit: 100, rateLimitMaxWait: "1 hour" }
  )

  everywhere(
    "at the head of the queue hands its turn on",
    () =>
      Effect.gen(function* () {
        yield* get
        const first = yield* started(get)
        const second = yield* started(get)
        yield* after("30 seconds")
        yield* Fiber.interrupt(first)
        yield* after("30 seconds")
        assert.strictEqual((yield* Fiber.join(second)).status, 200)
        assert.strictEqual(yield* sent, 2)
      }),
    { limit: 1, rateLimitMaxWait: "1 hour" }
  )
})

describe("no wait is longer than rateLimitMaxWait", () => {
  everywhere(
    "in the queue: who would wait longer fails at once, and its error says how long",
    () =>
      Effect.gen(function* () {
        yield* times(2, get)
        const waiting = yield* started(times(2, get))
        const { error, reason, retryAfter } = yield* reasonOf(get)
        assert.strictEqual(reason, "RateLimited")
        assert.deepStrictEqual(retryAfter, Duration.minutes(2))
        assert.match(
          error.message,
          /not sent, because the limit of 2 requests a minute is reached\. Try again in 120 s\.$/
        )
        assert.strictEqual(yield* sent, 2)
        yield* after("1 minute")
        yield* Fiber.join(waiting)
      }),
    { limit: 2 }
  )

  for (const value of ["61", "3600", "1700000000"]) {
    everywhere(
      `after a 429 with Retry-After: ${value}: the call fails at once, others too, and after a minute they ask again`,
      () =>
        Effect.gen(function* () {
          const first = yield* reasonOf(get)
          assert.strictEqual(first.reason, "RateLimited")
          assert.deepStrictEqual(first.retryAfter, Duration.seconds(Math.min(Number(value), 3_600)))
          const second = yield* reasonOf(get)
          assert.deepStrictEqual([second.reason, yield* sent], ["RateLimited", 1])
          yield* after("1 minute")
          assert.strictEqual((yield* get).status, 200)
        }),
      { respond: (_, n) => (n === 1 ? Recording.status(429, { "retry-after": value }) : Recording.json(200, {})) }
    )
  }

  everywhere(
    "a longer bound is waited for",
    () =>
      Effect.gen(function* () {
        const fiber = yield* started(get)
        yield* after("299 seconds")
        assert.strictEqual(yield* sent, 1)
        yield* after("1 second")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      }),
    {
      rateLimitMaxWait: "5 minutes",
      respond: (_, n) => (n === 1 ? Recording.status(429, { "retry-after": "300" }) : Recording.json(200, {}))
    }
  )
})

describe("a 429", () => {
  everywhere(
    "with an HTTP date is waited for as long as it says",
    () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.parse("2026-11-29T12:00:00Z"))
        const fiber = yield* started(get)
        yield* after("2999 millis")
        assert.strictEqual(yield* sent, 1)
        yield* after("1 millis")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      }),
    {
      respond: (_, n) =>
        n === 1 ? Recording.status(429, { "retry-after": "Sun, 29 Nov 2026 12:00:03 GMT" }) : Recording.json(200, {})
    }
  )

  for (const retries of [0, 1, 3]) {
    everywhere(
      `is sent again ${retries} times where nothing is counted, if the options say so`,
      () =>
        Effect.gen(function* () {
          const fiber = yield* started(reasonOf(get))
          for (let index = 0; index < retries; index++) {
            assert.strictEqual(yield* sent, 1 + index)
            yield* after("7 seconds")
          }
          assert.strictEqual((yield* Fiber.join(fiber)).reason, "RateLimited")
          assert.strictEqual(yield* sent, 1 + retries)
        }),
      { limit: false, rateLimitRetries: retries, respond: () => Recording.status(429, { "retry-after": "7" }) }
    )
  }
})

const limitHeaders = (limit: number | string, remaining: number) => ({
  "x-ratelimit-limit": String(limit),
  "x-ratelimit-remaining": String(remaining)
})

describe("what responses say about the limit", () => {
  for (const limit of ["0.001", "0", "-5", "2.5", "1e9", "Infinity", "NaN", "ten"]) {
    everywhere(
      `${limit} is not learned`,
      () =>
        Effect.gen(function* () {
          for (let index = 0; index < 20; index++) yield* get
        }),
      { respond: () => Recording.json(200, {}, limitHeaders(limit, 0)) }
    )
  }

  everywhere(
    "free capacity is believed: 20 are configured, 1000 go at once",
    () =>
      Effect.gen(function* () {
        yield* get
        yield* times(1_000, get)
        assert.strictEqual(yield* sent, 1_001)
      }),
    { limit: 20, respond: () => Recording.json(200, {}, limitHeaders(500, 499)) }
  )

  everywhere(
    "and so it is with the documented limit",
    ({ documented }) =>
      Effect.gen(function* () {
        yield* times(documented + 20, get)
        assert.strictEqual(yield* sent, documented + 20)
      }),
    { respond: () => Recording.json(200, {}, limitHeaders(600, 599)) }
  )

  everywhere(
    "a learned limit is forgotten ten minutes after it was last reported",
    () =>
      Effect.gen(function* () {
        yield* get
        yield* after("11 minutes")
        const fiber = yield* started(times(5, get))
        assert.strictEqual(yield* sent, 6)
        yield* Fiber.join(fiber)
      }),
    { limit: 5, respond: (_, n) => Recording.json(200, {}, n === 1 ? limitHeaders(1, 0) : {}) }
  )
})

describe("a wait is an event", () => {
  const observing = <A, E>(
    platform: Platform,
    options: Options,
    respond: Recording.Respond,
    body: (events: ReadonlyArray<TokenEvent.TokenEvent>) => Effect.Effect<A, E, Get>
  ) => {
    const events: Array<TokenEvent.TokenEvent> = []
    const observe: TokenEvent.Observer = (event) => Effect.sync(() => void events.push(event))
    return body(events).pipe(
      Effect.provide(
        platform
          .layer(options)
          .pipe(
            Layer.provide(TokenService.layerTest(["test"])),
            Layer.provide(Recording.layer(respond)),
            Layer.provide(Layer.succeed(TokenEvent.Observers, [observe]))
          )
      )
    )
  }
  for (const [title, platform] of Object.entries(platforms)) {
    it.effect(`for the limit (${title})`, () =>
      observing(
        platform,
        { limit: 1 },
        () => Recording.json(200, {}),
        (events) =>
          Effect.gen(function* () {
            yield* get
            const fiber = yield* started(get)
            yield* after("1 minute")
            yield* Fiber.join(fiber)
            assert.lengthOf(events, 1)
            assert.deepInclude(events[0], {
              _tag: "Throttled",
              class: platform.className,
              reason: "limit",
              duration: 60_000
            })
          })
      )
    )

    it.effect(`after a 429 (${title})`, () =>
      observing(
        platform,
        {},
        (_, n) => (n === 1 ? Recording.status(429, { "retry-after": "7" }) : Recording.json(200, {})),
        (events) =>
          Effect.gen(function* () {
            const fiber = yield* started(get)
            yield* after("7 seconds")
            yield* Fiber.join(fiber)
            assert.lengthOf(events, 1)
            assert.deepInclude(events[0], {
              _tag: "Throttled",
              class: platform.className,
              reason: "refused",
              duration: 7_000
            })
          })
      )
    )
  }
})

/** Effect's limiter in memory, whose store fails or hangs while a switch is on. */
const shared = Effect.gen(function* () {
  const limiter = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory)
  const state: { fails: "no" | "error" | "hang" | "defect"; consumed: number } = { fails: "no", consumed: 0 }
  const error = new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "down" }) })
  const failing: RateLimiter.RateLimiter = {
    ...limiter,
    consume: (options) =>
      Effect.suspend(() => {
        state.consumed += 1
        if (state.fails === "error") return Effect.fail(error)
        if (state.fails === "hang") return Effect.never
        if (state.fails === "defect") return Effect.die(new Error("a bug"))
        return limiter.consume(options)
      })
  }
  return { limiter: failing, state }
})

describe("a limiter that processes share", () => {
  for (const [title, platform] of Object.entries(platforms)) {
    const client = (rateLimiter: RateLimiter.RateLimiter, network: HttpClient.HttpClient) =>
      Layer.fresh(
        platform
          .layer({ rateLimiter, limit: 3 })
          .pipe(
            Layer.provide(TokenService.layerTest(["test"])),
            Layer.provide(Layer.succeed(HttpClient.HttpClient, network))
          )
      )

    it.effect(`is used up by others: a request waits for it (${title})`, () =>
      Effect.gen(function* () {
        const { limiter } = yield* shared
        const { client: network, requests } = Recording.make(() => Recording.json(200, {}))
        yield* Effect.provide(times(2, get), client(limiter, network))
        yield* Effect.gen(function* () {
          yield* get
          const fiber = yield* started(get)
          yield* after("59 seconds")
          assert.lengthOf(yield* requests, 3)
          yield* after("1 second")
          yield* Fiber.join(fiber)
        }).pipe(Effect.provide(client(limiter, network)))
      })
    )

    for (const fails of ["error", "hang", "defect"] as const) {
      it.effect(`fails (${fails}): each process limits itself, and says so once (${title})`, () =>
        Effect.gen(function* () {
          const warnings: Array<string> = []
          const { limiter, state } = yield* shared
          state.fails = fails
          const { client: network, requests } = Recording.make(() => Recording.json(200, {}))
          const run = Effect.gen(function* () {
            const fiber = yield* started(times(5, get))
            yield* after("1 second")
            assert.lengthOf(yield* requests, 3)
            yield* after("1 minute")
            yield* after("1 second")
            yield* Fiber.join(fiber)
            // It is back: it counts again.
            state.fails = "no"
            yield* after("2 minutes")
            const consumed = state.consumed
            yield* get
            assert.strictEqual(state.consumed, consumed + 1)
          })
          yield* run.pipe(
            Effect.provide(
              Layer.provideMerge(
                client(limiter, network),
                Logger.layer([Logger.make(({ message }) => void warnings.push(String(message)))])
              )
            )
          )
          assert.lengthOf(warnings, 1)
          assert.match(warnings[0] ?? "", /shared rate limiter failed/)
        })
      )
    }
  }
})

describe("many keys", () => {
  const keys = Layer.provide(ApiVideo.layerMap({ rateLimits: { uploads: 1, writes: 1, reads: 2 } }), [
    TokenServiceMap.layerTest(() => ["spec"])
  ])
  const read = (key: string) => Effect.flatMap(ApiVideo.clientFor(Redacted.make(key)), (api) => api.get("/videos"))

  it.effect("a learned limit outlives the client of one request", () =>
    Effect.gen(function* () {
      const { client, requests } = Recording.make(() => Recording.json(200, {}, limitHeaders(1, 0)))
      yield* Effect.gen(function* () {
        yield* read("one")
        const fiber = yield* Effect.forkChild(Effect.exit(read("one")))
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
        assert.lengthOf(yield* requests, 1)
        yield* read("other")
        assert.lengthOf(yield* requests, 2)
        yield* after("1 minute")
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
      }).pipe(Effect.provide(keys), Effect.provideService(HttpClient.HttpClient, client))
    })
  )
})

describe("one call", () => {
  /** 503, 429 and 401 in turn, for ever. */
  const turns: Recording.Respond = (_, n) =>
    n % 3 === 1
      ? Recording.status(503, { "retry-after": "60" })
      : n % 3 === 2
        ? Recording.status(429, { "retry-after": "60" })
        : Recording.status(401)

  for (const [title, layer] of Object.entries({
    "api.video": Layer.provide(
      Layer.effect(
        Get,
        ApiVideo.ApiVideo.useSync((api) => api.get("/videos"))
      ),
      ApiVideo.layerClient()
    ),
    movingimage: Layer.provide(
      Layer.effect(
        Get,
        MovingImage.MovingImage.useSync((api) => api.get("/v1/vms"))
      ),
      MovingImage.layerClient()
    )
  })) {
    const bounded = (name: string, respond: Recording.Respond, requests: number) =>
      it.effect(`${name}: at most ${requests} requests and 4 minutes (${title})`, () =>
        Effect.gen(function* () {
          const fiber = yield* started(Effect.exit(get))
          let seconds = 0
          while (fiber.pollUnsafe() === undefined && seconds < 3_600) {
            yield* after("1 second")
            seconds += 1
          }
          assert.isAtMost(seconds, 240)
          assert.isAtMost(yield* sent, requests)
          assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
        }).pipe(
          Effect.provide(
            layer.pipe(
              Layer.provide(TokenService.layerTest(["a", "b", "c", "d", "e", "f", "g", "h", "i"])),
              Layer.provideMerge(Recording.layer(respond))
            )
          )
        )
      )
    bounded("503, 429 and 401 in turn", turns, 7)
    bounded(
      "every kind of failure, without waits",
      (_, n) => Recording.status([503, 429, 401][n % 3]!, { "retry-after": "0" }),
      7
    )
    bounded("only 429", () => Recording.status(429, { "retry-after": "60" }), 4)
    bounded("only 503", () => Recording.status(503), 3)
    bounded("only 401", () => Recording.status(401), 2)
  }
})

describe("a DELETE whose first attempt was lost", () => {
  const lost: ReadonlyArray<readonly [string, Recording.Respond]> = [
    ["a broken connection", (request) => Recording.transportError("ECONNRESET")(request)],
    ["503", () => Recording.status(503)]
  ]
  const remove = ApiVideo.ApiVideo.use((api) => api.del("/videos/vi1"))
  const run = (respond: Recording.Respond) =>
    Effect.gen(function* () {
      const fiber = yield* started(Effect.exit(remove))
      yield* after("1 second")
      yield* after("1 second")
      return yield* Fiber.join(fiber)
    }).pipe(
      Effect.provide(
        ApiVideo.layerClient().pipe(
          Layer.provide(TokenService.layerTest(["test"])),
          Layer.provide(Recording.layer(respond))
        )
      )
    )
  for (const [name, first] of lost) {
    it.effect(`${name}, then 404: it has succeeded`, () =>
      Effect.gen(function* () {
        const exit = yield* run((request, n) => (n === 1 ? first(request, n) : Recording.status(404)))
        assert.isTrue(Exit.isSuccess(exit) && exit.value.status === 404)
      })
    )
  }
  it.effect("but 404 at once, or after a connection that was never made, is NotFound", () =>
    Effect.gen(function* () {
      for (const respond of [
        () => Recording.status(404),
        (request: HttpClientRequest.HttpClientRequest, n: number) =>
          n === 1 ? Recording.transportError("ECONNREFUSED")(request) : Recording.status(404)
      ]) {
        const exit = yield* run(respond)
        assert.isTrue(Exit.isFailure(exit))
      }
    })
  )
})
