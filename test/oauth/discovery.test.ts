/** Where the endpoints of a server are, who is believed about that, and for how long. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { OAuth2 } from "effect-video-auth"
import { html, json, type Respond, status } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const { discovery: _, ...undiscovered } = Server.client

/** Answers requests for documents by `documents`, and all others with a token. */
const server = (documents: Respond) =>
  Server.make((request, n) => (request.method === "GET" ? documents(request, n) : json(200, Server.answer)))

type TestServer = ReturnType<typeof server>

const provider = (server: TestServer, options: Partial<OAuth2.ClientOptions> = {}) =>
  server.run(OAuth2.clientCredentials({ ...undiscovered, ...options }))

const documents = ({ requests }: TestServer) =>
  Effect.map(requests, (requests) => requests.filter(({ method }) => method === "GET").map(({ url }) => url))

describe("the document", () => {
  for (const [issuer, discovery, expected] of [
    ["https://login.example.com", "openid", "/.well-known/openid-configuration"],
    ["https://login.example.com/realms/a", "openid", "/realms/a/.well-known/openid-configuration"],
    ["https://login.example.com", "oauth2", "/.well-known/oauth-authorization-server"],
    ["https://login.example.com/realms/a", "oauth2", "/.well-known/oauth-authorization-server/realms/a"]
  ] as const)
    it.effect(`of ${issuer} by ${discovery} is at ${expected}`, () =>
      Effect.gen(function* () {
        const here = server(() => json(200, { ...Server.metadata, issuer }))
        yield* (yield* provider(here, { issuer, discovery })).login!
        assert.deepStrictEqual(yield* documents(here), [`https://login.example.com${expected}`])
      })
    )

  it.effect("is kept for its max-age, and got anew after it", () =>
    Effect.gen(function* () {
      const here = server(() => json(200, Server.metadata, { "cache-control": "public, max-age=60" }))
      const { login } = yield* provider(here)
      yield* login!
      yield* TestClock.adjust("59 seconds")
      yield* login!
      assert.strictEqual((yield* documents(here)).length, 1)
      yield* TestClock.adjust("2 seconds")
      yield* login!
      assert.strictEqual((yield* documents(here)).length, 2)
    })
  )

  for (const [what, headers, kept] of [
    ["Expires less Date", { date: "Wed, 25 Nov 2026 10:00:00 GMT", expires: "Wed, 25 Nov 2026 10:01:00 GMT" }, 60],
    ["max-age before Expires", { "cache-control": "max-age=60", expires: "0", date: "0" }, 60],
    ["ten minutes where nothing is said", {}, 600],
    ["a day at most", { "cache-control": "max-age=99999999" }, 86_400]
  ] as const)
    it.effect(`is kept for ${what}`, () =>
      Effect.gen(function* () {
        const here = server(() => json(200, Server.metadata, headers))
        const { login } = yield* provider(here)
        yield* login!
        yield* TestClock.adjust((kept - 1) * 1_000)
        yield* login!
        yield* TestClock.adjust(2_000)
        yield* login!
        assert.strictEqual((yield* documents(here)).length, 2)
      })
    )

  for (const headers of [
    { "cache-control": "no-store" },
    { "cache-control": "public, No-Cache" },
    { "cache-control": "max-age=-1" },
    { "cache-control": "max-age" },
    { "cache-control": "max-age=60", age: "60" },
    { "cache-control": "foo-max-age=60, max-age=0" },
    { expires: "0", date: "Wed, 25 Nov 2026 10:00:00 GMT" },
    { expires: "Thu, 01 Jan 1970 00:00:00 GMT" }
  ])
    it.effect(`is not kept where the server says so: ${JSON.stringify(headers)}`, () =>
      Effect.gen(function* () {
        const here = server(() => json(200, Server.metadata, headers))
        const { login } = yield* provider(here)
        yield* login!
        yield* login!
        assert.strictEqual((yield* documents(here)).length, 2)
      })
    )

  it.effect("is served after its time while its server is down", () =>
    Effect.gen(function* () {
      let isDown = false
      const here = server(() => (isDown ? status(503) : json(200, Server.metadata, { "cache-control": "max-age=60" })))
      const { login } = yield* provider(here)
      yield* login!
      isDown = true
      yield* TestClock.adjust("61 seconds")
      yield* login!
      isDown = false
      yield* TestClock.adjust("31 seconds")
      yield* login!
      assert.strictEqual((yield* documents(here)).length, 3)
    })
  )
})

describe("refused, before any credential is sent", () => {
  for (const [what, options, document] of [
    ["an issuer on http", { issuer: "http://login.example.com" }, {}],
    ["an issuer that is no URL", { issuer: "login" }, {}],
    ["an issuer on a host that is not allowed", { issuerHosts: ["other.example.com"] }, {}],
    ["another issuer in the document", {}, { issuer: "https://evil.example" }],
    ["no issuer in the document", {}, { issuer: 1 }],
    ["a token endpoint on http", {}, { token_endpoint: "http://login.example.com/token" }],
    ["a token endpoint on http on loopback, of an issuer elsewhere", {}, { token_endpoint: "http://127.0.0.1/token" }],
    ["a token endpoint with a user name in it", {}, { token_endpoint: "https://me:x@login.example.com/token" }],
    ["a token endpoint that is no URL", {}, { token_endpoint: "token" }],
    ["no token endpoint", {}, { token_endpoint: undefined }],
    [
      "a token endpoint on a host that is not allowed",
      { issuerHosts: ["login.example.com"] },
      { token_endpoint: "https://evil.example/token" }
    ]
  ] as const)
    it.effect(what, () =>
      Effect.gen(function* () {
        const here = server(() => json(200, { ...Server.metadata, ...document }))
        const error = yield* Effect.flip(Effect.flatMap(provider(here, options), ({ login }) => login!))
        const reason = error._tag === "TokenError" ? error.reason : error
        assert.strictEqual(reason._tag === "ConfigurationInvalid" && reason.option, "issuer")
        assert.deepStrictEqual(yield* here.forms(), [])
      })
    )

  it.effect("but not for how a host is written", () =>
    Effect.gen(function* () {
      const here = server(() => json(200, Server.metadata))
      const { login } = yield* provider(here, { issuerHosts: ["Login.Example.com:443"] })
      yield* login!
      assert.strictEqual((yield* here.forms()).length, 1)
    })
  )

  it.effect("a document that is not there", () =>
    Effect.gen(function* () {
      const { login } = yield* provider(server(() => status(404)))
      assert.strictEqual((yield* Effect.flip(login!))._tag, "ConfigurationInvalid")
    })
  )
})

describe("a discovery that fails", () => {
  const session = (documents: Respond) => {
    const here = server(documents)
    const options = { ...undiscovered, refreshToken: Server.credential(1) }
    return Effect.map(here.run(OAuth2.refreshToken(options)), ({ refresh }) => ({ here, refresh: refresh! }))
  }

  for (const [what, answer] of [
    ["with 503", () => status(503)],
    ["with a proxy's page", () => html(200)],
    ["with a redirect", () => status(302, { location: "https://evil.example" })],
    ["with 429", () => status(429)]
  ] as const)
    it.effect(`${what} says that no refresh token was sent`, () =>
      Effect.gen(function* () {
        const { here, refresh } = yield* session(answer)
        const reason = yield* Effect.flip(refresh(Server.current))
        assert.isTrue(reason._tag === "ProviderUnavailable" && !reason.sent)
        assert.deepStrictEqual(yield* here.forms(), [])
      })
    )

  it.effect("by never answering ends before an exchange would", () =>
    Effect.gen(function* () {
      const { refresh } = yield* session(() => Effect.never)
      const fiber = yield* Effect.forkChild(Effect.flip(refresh(Server.current)))
      yield* TestClock.adjust("10 seconds")
      const exit = fiber.pollUnsafe()
      assert.isTrue(exit?._tag === "Success" && exit.value._tag === "ProviderUnavailable" && !exit.value.sent)
    })
  )
})
