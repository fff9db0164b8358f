/** A device waits for its person by the rules of RFC 8628 §3.5. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { DeviceAuthorization, TokenService } from "effect-video-auth"
import { json, status } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const authorization = {
  device_code: "credential-1",
  user_code: "ABCD-EFGH",
  verification_uri: "https://login.example.com/activate",
  expires_in: 60
}

/** A server that answers polls in order, the last one for ever. */
const serverOf = (polls: ReadonlyArray<() => Response | Effect.Effect<never>>, more: object = {}) => {
  let count = 0
  return Server.make((request) => {
    if (new URL(request.url).pathname === "/device") return json(200, { ...authorization, ...more })
    return (polls[Math.min(count++, polls.length - 1)] ?? (() => status(500)))()
  })
}

type TestServer = ReturnType<typeof serverOf>

const pending = () => Server.refusal("authorization_pending")
const slowDown = () => Server.refusal("slow_down")
const success = () => json(200, Server.answer)

const started = (server: TestServer) =>
  Effect.gen(function* () {
    const prompts: Array<DeviceAuthorization.Prompt> = []
    const layer = DeviceAuthorization.layer({
      ...Server.client,
      prompt: (prompt) => Effect.sync(() => prompts.push(prompt))
    })
    const context = yield* server.run(Layer.build(layer))
    return {
      prompts,
      device: Context.get(context, DeviceAuthorization.DeviceAuthorization),
      tokens: Context.get(context, TokenService.TokenService)
    }
  })

/** Advances a second at a time, and notes after how many each poll came. */
const pollsWithin = (server: TestServer, seconds: number) =>
  Effect.gen(function* () {
    const at: Array<number> = []
    for (let second = 1; second <= seconds; second++) {
      yield* TestClock.adjust("1 second")
      const count = (yield* server.forms()).length
      while (at.length < count) at.push(second)
    }
    return at
  })

const polling = (
  name: string,
  options: {
    readonly polls: ReadonlyArray<() => Response | Effect.Effect<never>>
    readonly more?: object
    readonly expected: ReadonlyArray<number>
  }
) =>
  it.effect(name, (): Effect.Effect<void, unknown, Scope.Scope> =>
    Effect.gen(function* () {
      const server = serverOf(options.polls, options.more)
      const { device } = yield* started(server)
      const fiber = yield* Effect.forkChild(Effect.exit(device.signIn))
      assert.deepStrictEqual(yield* pollsWithin(server, 59), options.expected)
      yield* Fiber.interrupt(fiber)
    })
  )

describe("a device asks", () => {
  polling("five seconds apart where nothing is said", {
    polls: [pending],
    expected: [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]
  })
  polling("as often as it was told", { polls: [pending], more: { interval: 20 }, expected: [20, 40] })
  polling("five seconds later after each slow_down", {
    polls: [slowDown, slowDown, pending],
    expected: [5, 15, 30, 45]
  })
  polling("half as often after each failure", {
    polls: [() => status(503), () => status(503), pending],
    expected: [5, 15, 35, 55]
  })
  polling("no sooner than Retry-After says, and then twice as far apart as before", {
    polls: [() => status(429, { "retry-after": "25" }), pending],
    expected: [5, 30, 40, 50, 59]
  })
  polling("once more shortly before the code expires, however seldom it asks by then", {
    polls: [() => status(503), () => status(503), () => status(503), success],
    more: { expires_in: 50 },
    expected: [5, 15, 35, 49]
  })
  polling("no more once it has a token", { polls: [pending, success], expected: [5, 10] })
})

describe("it ends", () => {
  it.effect("with the token in the service", () =>
    Effect.gen(function* () {
      const server = serverOf([pending, success])
      const { device, prompts, tokens } = yield* started(server)
      const fiber = yield* Effect.forkChild(device.signIn)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* tokens.get).expiresAt, 310_000)
      assert.deepStrictEqual(
        prompts.map(({ userCode, verificationUri }) => [userCode, verificationUri]),
        [["ABCD-EFGH", authorization.verification_uri]]
      )
    })
  )

  it.effect("when the code has expired, and not before", () =>
    Effect.gen(function* () {
      const { device } = yield* started(serverOf([pending]))
      const fiber = yield* Effect.forkChild(Effect.flip(device.signIn))
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const { reason } = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "expired_token")
    })
  )

  for (const code of ["access_denied", "expired_token", "invalid_grant"])
    it.effect(`at once with ${code}`, () =>
      Effect.gen(function* () {
        const server = serverOf([() => Server.refusal(code)])
        const { device } = yield* started(server)
        const fiber = yield* Effect.forkChild(Effect.flip(device.signIn))
        yield* TestClock.adjust("5 seconds")
        const { reason } = yield* Fiber.join(fiber)
        assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, code)
        assert.strictEqual((yield* server.forms()).length, 1)
      })
    )

  it.effect("at once with a success that is none: the code is used up", () =>
    Effect.gen(function* () {
      const server = serverOf([() => json(200, { ...Server.answer, token_type: "DPoP" }), pending])
      const { device } = yield* started(server)
      const fiber = yield* Effect.forkChild(Effect.flip(device.signIn))
      yield* TestClock.adjust("5 seconds")
      const { reason } = yield* Fiber.join(fiber)
      assert.include(reason.message, "token_type is missing or invalid")
      assert.strictEqual((yield* server.forms()).length, 1)
    })
  )

  for (const [name, uri] of [
    ["verification_uri", "javascript:alert(1)"],
    ["verification_uri", "http://login.example.com/activate"],
    ["verification_uri_complete", "http://login.example.com/activate?code=ABCD-EFGH"]
  ] as const)
    it.effect(`before anybody is sent to ${uri}, its ${name}`, () =>
      Effect.gen(function* () {
        const { device, prompts } = yield* started(serverOf([pending], { [name]: uri }))
        assert.strictEqual((yield* Effect.flip(device.signIn)).reason._tag, "MalformedResponse")
        assert.deepStrictEqual(prompts, [])
      })
    )
})
