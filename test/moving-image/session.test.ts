/** Several VideoManagers by one login, over real sockets: the server's own records tell which token came with what. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Layer, Redacted } from "effect"
import { type HttpClient } from "effect/http"
import { MovingImage, TokenServiceMap, type TokenError } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import { scaled } from "../support/random.ts"

const username = "user of many"
const password = "its password"
const videoManagersOf = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: 1_001 + index, name: `VideoManager ${index}` }))

interface Setup {
  readonly count?: number
  readonly session?: Partial<MovingImage.Options>
  readonly sandbox?: Sandbox.Options
  readonly map?: TokenServiceMap.Options
}

const environment = ({ count = 3, map, sandbox, session }: Setup = {}) =>
  Layer.unwrap(
    Sandbox.MovingImageSandbox.useSync(({ url: baseUrl }) =>
      MovingImage.layerMap({
        baseUrl,
        username: Redacted.make(username),
        password: Redacted.make(password),
        rateLimits: false,
        retry: false,
        ...session
      })
    )
  ).pipe(
    Layer.provideMerge(TokenServiceMap.layer(map)),
    Layer.provideMerge(
      Sandbox.layer({
        rateLimit: Infinity,
        accounts: [{ username, password, videoManagers: videoManagersOf(count) }],
        ...sandbox
      })
    )
  )

type Environment = Layer.Success<ReturnType<typeof environment>> | HttpClient.HttpClient

const test = <A, E>(name: string, body: Effect.Effect<A, E, Environment>, setup?: Setup) =>
  it.live(name, () => body.pipe(Effect.provide(Layer.provideMerge(environment(setup), NodeHttpClient.layerUndici))))

const ledger = Sandbox.MovingImageSandbox.use((sandbox) => sandbox.ledger)

const list = (id: number) =>
  Effect.flatMap(MovingImage.clientFor(id), (api) =>
    Effect.flatMap(api.get(`/v1/vms/${id}/videos`), (response) => response.json)
  )

const reasonOf = Effect.fnUntraced(function* <A, R>(effect: Effect.Effect<A, MovingImage.ClientError, R>) {
  const error = yield* Effect.flip(effect)
  return error._tag === "TokenError" ? error.reason : yield* Effect.die(error)
})

describe("several VideoManagers by one login", () => {
  test(
    "each request carries the token of its VideoManager, and no refresh token is sent twice",
    Effect.gen(function* () {
      const ids = [1_001, 1_002, 1_003]
      yield* Effect.forEach([...ids, ...ids.toReversed()], list)
      const { loginsAccepted, refreshTokensSentTwice, refreshes, videoManagers, wrongVideoManager } = yield* ledger
      assert.deepInclude(
        { loginsAccepted, refreshTokensSentTwice, refreshes, wrongVideoManager },
        { loginsAccepted: 1, refreshTokensSentTwice: [], refreshes: 3, wrongVideoManager: 0 }
      )
      for (const id of ids)
        assert.include(videoManagers[id], { tokens: id === 1_001 ? 2 : 1, requests: 2, wrongTokens: 0 })
    })
  )

  test(
    "all at once they take turns",
    Effect.gen(function* () {
      const ids = videoManagersOf(50).map(({ id }) => id)
      yield* Effect.forEach([...ids, ...ids], list, { concurrency: "unbounded" })
      assert.deepInclude(yield* ledger, {
        loginsAccepted: 1,
        refreshes: 50,
        refreshTokensSentTwice: [],
        wrongVideoManager: 0
      })
    }),
    { count: 50 }
  )

  const many = scaled(50)
  test(
    `${many} in one program: every token is checked by the server, none is mixed up`,
    Effect.gen(function* () {
      const ids = videoManagersOf(many).map(({ id }) => id)
      yield* Effect.forEach(ids, list, { concurrency: 16 })
      const { loginsAccepted, refreshTokensSentTwice, videoManagers, wrongVideoManager } = yield* ledger
      assert.deepStrictEqual(
        { loginsAccepted, refreshTokensSentTwice, wrongVideoManager },
        {
          loginsAccepted: 1,
          refreshTokensSentTwice: [],
          wrongVideoManager: 0
        }
      )
      for (const id of ids) assert.strictEqual(videoManagers[id]?.requests, 1)
    }),
    { count: many }
  )

  test(
    "a token that is refused is replaced for its VideoManager alone",
    Effect.gen(function* () {
      yield* Effect.forEach([1_001, 1_002], list)
      yield* Sandbox.MovingImageSandbox.use((sandbox) => sandbox.revokeAccessTokens)
      yield* list(1_002)
      assert.deepInclude(yield* ledger, { loginsAccepted: 1, refreshes: 3, refreshTokensSentTwice: [] })
    })
  )

  test(
    "an answer that is lost costs a login, and no refresh token is sent again",
    Effect.gen(function* () {
      yield* list(1_001)
      yield* Sandbox.MovingImageSandbox.use((sandbox) => sandbox.inject({ on: "refresh", kind: { _tag: "DropAfter" } }))
      yield* list(1_002)
      assert.deepInclude(yield* ledger, { loginsAccepted: 2, refreshTokensSentTwice: [], wrongVideoManager: 0 })
    })
  )

  test(
    "a VideoManager that the user has not is refused without an exchange, and those there are are listed",
    Effect.gen(function* () {
      const before = yield* ledger
      const reason = yield* reasonOf(list(7))
      assert.include(reason, { _tag: "ProviderRejected", code: "unknown-video-manager" })
      assert.include((reason as TokenError.ProviderRejected).detail, "1001, 1002, 1003")
      assert.include(yield* ledger, { logins: before.logins, refreshes: before.refreshes })
    })
  )

  for (const id of [0, -1, 1.5, Number.NaN]) {
    test(
      `${id} is no VideoManager`,
      Effect.gen(function* () {
        assert.include(yield* reasonOf(MovingImage.clientFor(id)), {
          _tag: "ConfigurationInvalid",
          option: "videoManager"
        })
      })
    )
  }

  test(
    "says which VideoManagers there are",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* MovingImage.Session.use((session) => session.videoManagers), videoManagersOf(3))
    })
  )

  test(
    "signed out, the next VideoManager takes a login",
    Effect.gen(function* () {
      yield* list(1_001)
      yield* MovingImage.Session.use((session) => session.invalidate)
      yield* list(1_002)
      assert.include(yield* ledger, { loginsAccepted: 2 })
    })
  )
})

describe("a wrong password", () => {
  const wrong = { password: Redacted.make("wrong") }

  it.live("fails the start", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(environment({ session: wrong })))
      assert.strictEqual(error._tag === "TokenError" ? error.reason._tag : error._tag, "InvalidCredentials")
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  test(
    "is tried once, however many VideoManagers ask",
    Effect.gen(function* () {
      for (const id of [1_001, 1_002, 1_003, 1_001]) {
        assert.strictEqual((yield* reasonOf(list(id)))._tag, "InvalidCredentials")
      }
      assert.include(yield* ledger, { logins: 1 })
    }),
    { session: { ...wrong, eager: false } }
  )

  test(
    "gives nobody the token of who knows the right one, though both use one map",
    Effect.gen(function* () {
      yield* list(1_001)
      const { url: baseUrl } = yield* Sandbox.MovingImageSandbox
      const intruder = MovingImage.layerMap({
        baseUrl,
        username: Redacted.make(username),
        ...wrong,
        eager: false,
        rateLimits: false
      })
      assert.strictEqual((yield* reasonOf(Effect.provide(list(1_001), intruder)))._tag, "InvalidCredentials")
    })
  )
})

describe("a platform that fails", () => {
  test(
    "is asked once, not once for each VideoManager",
    Effect.gen(function* () {
      yield* Sandbox.MovingImageSandbox.use((sandbox) =>
        sandbox.inject({ on: "any", kind: { _tag: "Status", status: 503 }, times: Infinity })
      )
      const { logins, refreshes } = yield* ledger
      yield* Effect.forEach([1_001, 1_002, 1_003], (id) => reasonOf(list(id)), { concurrency: "unbounded" })
      const after = yield* ledger
      assert.strictEqual(after.logins + after.refreshes - logins - refreshes, 1)
    }),
    { map: { policy: { acquireTimeout: "900 millis" } } }
  )

  test(
    "does not keep the program from starting",
    Effect.gen(function* () {
      const said: Array<string> = []
      const console = {
        ...(yield* Console.Console),
        log: (...texts: ReadonlyArray<unknown>) => void said.push(texts.join(" "))
      }
      const { inject, url: baseUrl } = yield* Sandbox.MovingImageSandbox
      yield* inject({ on: "login", kind: { _tag: "Status", status: 503 } })
      const another = MovingImage.layerMap({
        baseUrl,
        username: Redacted.make(username),
        password: Redacted.make(password),
        rateLimits: false
      })
      yield* Effect.provideService(Effect.provide(list(1_002), another), Console.Console, console)
      assert.match(said.at(-1)!, /WARN.*503.*Starting anyway; the next request will retry\./)
    })
  )
})
