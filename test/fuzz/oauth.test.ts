/**
 * Responses of authorization servers in the shapes that were reported: members that are missing, null, empty, of another type
 * or under another name, and error codes with any status. Each ends in a token or in a typed failure, in the same way for all
 * grants, and no shape makes the client send a credential where it must not.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Fiber, Layer, Option, Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AuthorizationCode, DeviceAuthorization, OAuth2, type TokenError, TokenService } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "../oauth/server.ts"
import { assertClean, assertReason, ends, times, typed } from "./wild.ts"

/** A member that is as it should be, or as some server has it. */
const member = (...values: ReadonlyArray<string | number | boolean | null | ReadonlyArray<string> | object>) =>
  Schema.Union([Schema.Undefined, ...values.map((value) => Schema.Literal(JSON.stringify(value)))])

/** Members by name, in JSON; those that are `undefined` are left out. */
const parse = (members: Readonly<Record<string, string | undefined>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[name, JSON.parse(value)]]))
  )

const seconds = [300, "300", "3600", 3599.5, 0, -1, "", null, "never", [], {}, true, 1e308] as const
const texts = ["", null, 7, false, [], {}, " "] as const

const TokenResponse = Schema.Struct({
  access_token: member("access-1", "access-1", "access-1", ...texts, "access-1\r\nevil"),
  token_type: member("Bearer", "bearer", "BEARER", "BearerToken", "DPoP", "N_A", ...texts),
  expires_in: member(300, ...seconds),
  refresh_token: member("refresh-1", ...texts),
  refresh_expires_in: member(...seconds),
  refresh_token_expires_in: member(...seconds),
  scope: member("read write", ["read", "write"], [1, null], ...texts),
  id_token: member("", null),
  issued_token_type: member("urn:ietf:params:oauth:token-type:access_token"),
  error: member("", null, 0, {}),
  app: member({ name: "An app" })
})

const codes = [
  "invalid_grant",
  "invalid_client",
  "invalid_request",
  "invalid_scope",
  "unauthorized_client",
  "unsupported_grant_type",
  "access_denied",
  "interaction_required",
  "bad_refresh_token",
  "incorrect_client_credentials",
  "of_its_own",
  "credential-9"
] as const

const ErrorResponse = Schema.Struct({
  error: Schema.Literals(codes),
  status: Schema.Literals([200, 201, 400, 401, 403, 404, 409, 422, 428, 500, 503]),
  error_description: member("credential-9 was wrong", ...texts),
  error_uri: member("https://login.example.com/credential-9", ...texts),
  message: member("credential-9", ...texts),
  access_token: member(null, ""),
  interval: member(10)
})

type Respond = () => Response

const redirectUri = "https://app.example.com/callback"

/** One exchange of a grant with a server that responds so. `lifetime` stands in where a response has none. */
type Grant = (respond: Respond) => Effect.Effect<Redacted.Redacted, TokenError.Reason>

const login =
  (provider: Effect.Effect<OAuth2.Provider, TokenError.TokenError, HttpClient.HttpClient>): Grant =>
  (respond) =>
    Effect.gen(function* () {
      const { login } = yield* Effect.orDie(Server.make(respond).run(provider))
      return (yield* login!).accessToken
    })

const served = (
  context: Context.Context<TokenService.TokenService>,
  signIn: Effect.Effect<unknown, TokenError.TokenError>
) =>
  Effect.gen(function* () {
    yield* signIn
    // The token itself, and not one that a renewal brought.
    return (yield* Context.get(context, TokenService.TokenService).get).accessToken
  }).pipe(Effect.mapError(({ reason }) => (reason._tag === "TokenExpired" ? reason.renewal! : reason)))

const options = { ...Server.client, lifetime: "1 hour" } as const

const code: Grant = (respond) =>
  Effect.gen(function* () {
    const layer = Layer.provide(AuthorizationCode.layer({ ...options, redirectUri }), KeyValueStore.layerMemory)
    const context = yield* Effect.orDie(Server.make(respond).run(Layer.build(layer)))
    const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
    const url = yield* Effect.orDie(flow.start())
    return yield* served(context, flow.finish(`/callback?code=c&state=${url.searchParams.get("state")}`))
  }).pipe(Effect.scoped)

const device: Grant = (respond) =>
  Effect.gen(function* () {
    const server = Server.make(({ url }) =>
      new URL(url).pathname === "/device"
        ? json(200, { device_code: "d", user_code: "u", verification_uri: "https://a.example", expires_in: 60 })
        : respond()
    )
    const layer = DeviceAuthorization.layer({ ...options, prompt: () => Effect.void })
    const context = yield* Effect.orDie(server.run(Layer.build(layer)))
    const { signIn } = Context.get(context, DeviceAuthorization.DeviceAuthorization)
    const fiber = yield* Effect.forkChild(served(context, signIn))
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  }).pipe(Effect.scoped)

const grants: Readonly<Record<string, Grant>> = {
  "client credentials": login(OAuth2.clientCredentials(options)),
  password: login(OAuth2.password({ ...options, username: Server.credential(1), password: Server.credential(2) })),
  "JWT bearer": login(OAuth2.jwtBearer({ ...options, assertion: Server.credential(3) })),
  code,
  device
}

/** How an exchange ended, after a look at its failure. */
const outcomeOf = Effect.fnUntraced(function* (grant: Grant, respond: Respond) {
  const exit = typed(yield* Effect.exit(ends(grant(respond))))
  if (Exit.isSuccess(exit)) {
    assert.strictEqual(Redacted.value(exit.value), "access-1")
    return "token"
  }
  const [failure] = exit.cause.reasons
  if (failure?._tag !== "Fail") return assert.fail("no failure")
  yield* assertReason(failure.error)
  return failure.error
})

describe("token responses in reported shapes", () => {
  it.effect.prop(
    "mean the same to all grants: a token, or the same problem",
    { response: TokenResponse },
    ({ response }) =>
      Effect.gen(function* () {
        const body = parse(response)
        const outcomes = new Map<string, string>()
        for (const [name, grant] of Object.entries(grants)) {
          const outcome = yield* outcomeOf(grant, () => json(200, body))
          outcomes.set(name, typeof outcome === "string" ? outcome : outcome.message)
        }
        assert.lengthOf([...new Set(outcomes.values())], 1, JSON.stringify([...outcomes]))
      }),
    times(150)
  )

  it.effect("are accepted where only what is optional deviates", () =>
    Effect.gen(function* () {
      const body = {
        access_token: "access-1",
        token_type: "bearer",
        scope: ["read"],
        refresh_token: "",
        id_token: null
      }
      for (const grant of Object.values(grants)) {
        assert.strictEqual(yield* outcomeOf(grant, () => json(200, body)), "token")
      }
    })
  )
})

describe("errors in reported shapes", () => {
  it.effect.prop(
    "mean what their code says, whatever the status",
    { response: ErrorResponse, grant: Schema.Literals(Object.keys(grants)) },
    ({ grant, response: { error, status: drawn, ...members } }) =>
      Effect.gen(function* () {
        // Where a server is failing, only a code that is known says more than that.
        const status = drawn >= 500 && (error === "of_its_own" || error === "credential-9") ? 400 : drawn
        const body = { ...parse(members), error }
        const outcome = yield* outcomeOf(grants[grant]!, () => json(status, body))
        const usual = yield* outcomeOf(grants[grant]!, () => json(400, { error }))
        if (typeof outcome === "string" || typeof usual === "string") return assert.fail("a token")
        assert.strictEqual(outcome._tag, usual._tag)
        assert.isFalse(outcome.isRetryable)
        assert.isUndefined("errorDescription" in outcome ? outcome.errorDescription : undefined)
        assertClean(outcome)
      }),
    times(300)
  )
})

const Uri = member(
  "https://login.example.com/activate",
  "https://login.example.com/activate",
  "http://login.example.com/activate",
  "http://localhost/activate",
  "javascript:alert(1)",
  "data:text/html,x",
  "//evil.example",
  ...texts
)

const DeviceResponse = Schema.Struct({
  device_code: member("credential-1", "credential-1", "credential-1", ...texts),
  user_code: member("ABCD", "ABCD", "ABCD", ...texts),
  verification_uri: Uri,
  verification_url: Uri,
  verification_uri_complete: Uri,
  verification_url_complete: Uri,
  expires_in: member(60, 60, "60", 5, 0, -1, null, "never", 1e308),
  interval: member(5, 1, 0, 0.001, -1, "2", null, "soon", 1e308, 7, [], {})
})

const Poll = Schema.Struct({
  code: Schema.Literals(["authorization_pending", "authorization_pending", "slow_down"]),
  status: Schema.Literals([200, 400, 403, 428]),
  /** Twitch. */
  name: Schema.Literals(["error", "error", "message"])
})

describe("device authorization in reported shapes", () => {
  it.effect.prop(
    "shows only secure pages, polls at most once a second, and ends",
    { response: DeviceResponse, polls: Schema.Array(Poll).check(Schema.isMaxLength(4)) },
    ({ polls, response }) =>
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        const polledAt = [clock.currentTimeMillisUnsafe()]
        const prompts: Array<DeviceAuthorization.Prompt> = []
        const server = Server.make(({ url }) => {
          if (new URL(url).pathname === "/device") return json(200, parse(response))
          const poll = polls[polledAt.length - 1]
          polledAt.push(clock.currentTimeMillisUnsafe())
          return poll === undefined ? json(200, Server.answer) : json(poll.status, { [poll.name]: poll.code })
        })
        const layer = DeviceAuthorization.layer({
          ...Server.client,
          prompt: (prompt) => Effect.sync(() => prompts.push(prompt))
        })
        const context = yield* server.run(Layer.build(layer))
        const { signIn } = Context.get(context, DeviceAuthorization.DeviceAuthorization)
        const fiber = yield* Effect.forkChild(Effect.exit(signIn))
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("500 millis")
        const exit = typed(yield* Fiber.join(fiber))
        for (const { verificationUri, verificationUriComplete } of prompts) {
          for (const uri of [verificationUri, ...Option.toArray(verificationUriComplete)]) {
            assert.match(uri, /^(https:\/\/login\.example\.com|http:\/\/localhost)\/activate$/)
          }
        }
        polledAt.reduce((before, at) => {
          assert.isAtLeast(at - before, 1_000)
          return at
        })
        if (Exit.isSuccess(exit)) {
          assert.lengthOf(prompts, 1)
          assert.lengthOf(polledAt, polls.length + 2)
        } else {
          for (const failure of exit.cause.reasons)
            if (failure._tag === "Fail") yield* assertReason(failure.error.reason)
        }
      }).pipe(Effect.scoped, ends),
    times(300)
  )
})

const issuer = "https://login.example.com/common"

const Issuer = member(
  issuer,
  issuer,
  "https://login.example.com/{tenantid}",
  "https://login.example.com",
  `${issuer}/`,
  "https://evil.example/{tenantid}",
  "{tenantid}",
  ...texts
)

const Endpoint = member(
  "https://login.example.com/token",
  "https://login.example.com/token",
  "https://api.example.com/token",
  "http://login.example.com/token",
  "http://127.0.0.1/token",
  "https://me:secret@login.example.com/token",
  "https://evil.example/token",
  "//login.example.com/token",
  "token",
  ...texts
)

describe("metadata in reported shapes", () => {
  it.effect.prop(
    "leads to an allowed host over https, or to a typed failure before any credential is sent",
    {
      document: Schema.Struct({
        issuer: Issuer,
        token_endpoint: Endpoint,
        token_endpoint_auth_methods_supported: member("client_secret_basic", ["none"], null),
        mtls_endpoint_aliases: member({ token_endpoint: "https://evil.example/token" }, null)
      }),
      tenants: Schema.Literals(["any", "none"])
    },
    ({ document, tenants }) =>
      Effect.gen(function* () {
        const server = Server.make(({ method }) => json(200, method === "GET" ? parse(document) : Server.answer))
        const provider = yield* server.run(
          OAuth2.clientCredentials({
            issuer,
            clientId: "my-app",
            tenants: tenants === "any" ? "any" : undefined,
            issuerHosts: ["login.example.com", "api.example.com"],
            authentication: { method: "client_secret_post", clientSecret: Server.credential(1) }
          })
        )
        const exit = typed(yield* Effect.exit(ends(provider.login!)))
        if (Exit.isFailure(exit)) {
          for (const failure of exit.cause.reasons) {
            if (failure._tag !== "Fail") continue
            yield* assertReason(failure.error)
            assert.strictEqual(failure.error._tag, "ConfigurationInvalid")
          }
        }
        const sent = (yield* server.requests).filter(({ method }) => method === "POST")
        assert.lengthOf(sent, Exit.isSuccess(exit) ? 1 : 0)
        for (const { url } of sent) {
          assert.match(url, /^https:\/\/(login|api)\.example\.com\/token$/)
          const named = document.issuer === undefined ? undefined : JSON.parse(document.issuer)
          assert.include([issuer, ...(tenants === "any" ? ["https://login.example.com/{tenantid}"] : [])], named)
        }
      }),
    times(300)
  )
})
