/** Many keys in one program, over real sockets: the server's own records tell which token came with what. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { ApiVideo, TokenServiceMap } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import { scaled } from "../support/random.ts"

const keysOf = (count: number) => Array.from({ length: count }, (_, index) => `key-of-customer-${index}`)

interface Setup {
  readonly count?: number
  readonly client?: ApiVideo.ClientOptions
  readonly sandbox?: Sandbox.Options
  readonly map?: TokenServiceMap.Options
}

const environment = ({ client, count = 3, map, sandbox }: Setup = {}) =>
  Layer.unwrap(
    Sandbox.ApiVideoSandbox.useSync(({ url: baseUrl }) =>
      ApiVideo.layerMap({ baseUrl, rateLimits: false, retry: false, ...client })
    )
  ).pipe(
    Layer.provideMerge(TokenServiceMap.layer(map)),
    Layer.provideMerge(Sandbox.layer({ rateLimits: Sandbox.noRateLimits, apiKeys: keysOf(count), ...sandbox }))
  )

type Environment = Layer.Success<ReturnType<typeof environment>> | HttpClient.HttpClient

const test = <A, E>(name: string, body: Effect.Effect<A, E, Environment>, setup?: Setup) =>
  it.live(name, () => body.pipe(Effect.provide(Layer.provideMerge(environment(setup), NodeHttpClient.layerUndici))))

const ledger = Sandbox.ApiVideoSandbox.use((sandbox) => sandbox.ledger)
const list = (key: string) => Effect.flatMap(ApiVideo.clientFor(Redacted.make(key)), (api) => api.get("/videos"))

describe("many keys in one program", () => {
  test(
    "each has a login of its own, and one is enough",
    Effect.gen(function* () {
      yield* Effect.forEach([...keysOf(3), ...keysOf(3)], list, { concurrency: "unbounded" })
      assert.include(yield* ledger, { loginsAccepted: 3, refreshes: 0 })
    })
  )

  const many = scaled(50)
  test(
    `${many} of them: every token is checked by the server, and each is that of its key`,
    Effect.gen(function* () {
      const seen = new Map<string, string>()
      yield* Effect.forEach(
        [...keysOf(many), ...keysOf(many)],
        Effect.fnUntraced(function* (key) {
          const response = yield* list(key)
          const token = response.request.headers["authorization"] ?? ""
          assert.strictEqual(seen.get(key) ?? token, token)
          seen.set(key, token)
        }),
        { concurrency: 16 }
      )
      assert.strictEqual(new Set(seen.values()).size, many)
      assert.deepInclude(yield* ledger, { loginsAccepted: many, refreshTokensSentTwice: [] })
    }),
    { count: many }
  )

  test(
    "a wrong key fails the requests made with it, and no others",
    Effect.gen(function* () {
      const error = yield* Effect.flip(list("wrong-key"))
      assert.strictEqual(error._tag === "TokenError" ? error.reason._tag : error._tag, "InvalidCredentials")
      assert.strictEqual((yield* list("key-of-customer-0")).status, 200)
    })
  )

  test(
    "a key that cannot be one fails before any network",
    Effect.gen(function* () {
      const error = yield* Effect.flip(list(" "))
      assert.include(error._tag === "TokenError" ? error.reason : error, {
        _tag: "ConfigurationInvalid",
        option: "apiKey"
      })
      assert.include(yield* ledger, { logins: 0 })
    })
  )

  test(
    "each has a rate limit of its own: one that has none left holds up no other",
    Effect.gen(function* () {
      yield* list("key-of-customer-0")
      yield* list("key-of-customer-0")
      const other = yield* list("key-of-customer-1")
      assert.strictEqual(other.status, 200)
      const held = yield* Effect.timeoutOption(list("key-of-customer-0"), "300 millis")
      assert.strictEqual(held._tag, "None")
    }),
    { client: { rateLimits: { uploads: 1, writes: 1, reads: 2 } } }
  )
})

describe("specs", () => {
  it.effect("serve tokens by key from TokenServiceMap.layerTest", () =>
    Effect.gen(function* () {
      const response = yield* list("any-key")
      assert.strictEqual(response.request.headers["authorization"], "Bearer spec")
    }).pipe(
      Effect.provide(
        ApiVideo.layerMap().pipe(
          Layer.provide(TokenServiceMap.layerTest(() => ["spec"])),
          Layer.provide(
            Layer.succeed(
              HttpClient.HttpClient,
              HttpClient.make((request) =>
                Effect.succeed(HttpClientResponse.fromWeb(request, Response.json({ data: [] })))
              )
            )
          )
        )
      )
    )
  )
})
