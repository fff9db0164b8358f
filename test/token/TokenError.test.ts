import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Schema } from "effect"
import { TokenError } from "effect-video-auth"
import { inspect } from "node:util"

const seconds = Duration.seconds

/** One of each reason, every field filled in, with what it is to say. */
const cases: ReadonlyArray<{
  readonly reason: TokenError.Reason
  readonly isRetryable: boolean
  readonly retryAfter?: Duration.Duration
  readonly says: ReadonlyArray<string>
}> = [
  {
    reason: new TokenError.BadRequest({ status: 400, type: "invalid-parameter", name: "refreshToken" }),
    isRetryable: false,
    says: ["400", "invalid-parameter", "refreshToken"]
  },
  {
    reason: new TokenError.InvalidCredentials({ status: 400, type: "invalid-api-key", advice: "See the dashboard" }),
    isRetryable: false,
    says: ["400", "invalid-api-key", ". See the dashboard."]
  },
  {
    reason: new TokenError.RefreshTokenRejected({ status: 401, type: "unrecognized" }),
    isRetryable: false,
    says: ["401", "unrecognized", "Log in again."]
  },
  {
    reason: new TokenError.TokenRejected({ status: 401, type: "unauthorized" }),
    isRetryable: false,
    says: ["401", "unauthorized", "the same environment."]
  },
  {
    reason: new TokenError.AccountSuspended({ status: 403, type: "suspended" }),
    isRetryable: false,
    says: ["403", "suspended", "dashboard"]
  },
  {
    reason: new TokenError.RateLimited({ retryAfter: seconds(40), limit: 50, remaining: 0 }),
    isRetryable: true,
    retryAfter: seconds(40),
    says: ["429", "Try again in 40 s."]
  },
  ...(["connect", "tls", "network", "timeout", "status"] as const).map((failure) => ({
    reason: new TokenError.ProviderUnavailable({ failure, status: 503, retryAfter: seconds(7) }),
    isRetryable: true,
    retryAfter: seconds(7),
    says: [
      { connect: "DNS", tls: "certificate", network: "broke", timeout: "in time", status: "failing" }[failure],
      "503"
    ]
  })),
  {
    reason: new TokenError.AmbiguousExchange({ status: 502, failure: "network" }),
    isRetryable: true,
    says: ["502", "log in again."]
  },
  {
    reason: new TokenError.MalformedResponse({ status: 200, problem: "expires_in is missing" }),
    isRetryable: true,
    says: ["200", "expires_in is missing"]
  },
  {
    reason: new TokenError.ConfigurationInvalid({ option: "apiKey", problem: "it must not be empty" }),
    isRetryable: false,
    says: ["apiKey", "it must not be empty"]
  },
  {
    reason: new TokenError.InteractionRequired({ status: 400, type: "invalid-grant" }),
    isRetryable: false,
    says: ["400", "invalid-grant", "sign-in required", "Have the user sign in."]
  },
  {
    reason: new TokenError.LifetimeTooShort({ requested: seconds(7_200), available: seconds(3_600) }),
    isRetryable: false,
    says: ["7200 s", "3600 s"]
  },
  {
    reason: new TokenError.RenewalStorm({ renewals: 5, retryAfter: seconds(20) }),
    isRetryable: true,
    retryAfter: seconds(20),
    says: ["5 new tokens", "20 s", "the same environment."]
  },
  {
    reason: new TokenError.ProviderRejected({ code: "unknown-video-manager", detail: "there is no VideoManager 17" }),
    isRetryable: false,
    says: ["unknown-video-manager", "there is no VideoManager 17"]
  },
  {
    reason: new TokenError.StoreUnavailable({ operation: "commit" }),
    isRetryable: true,
    says: ["commit"]
  },
  { reason: new TokenError.ServiceClosed(), isRetryable: false, says: ["closed", "the scope of the layer"] },
  {
    reason: new TokenError.ProviderUnavailable({
      failure: "status",
      status: 403,
      fromPlatform: false,
      retryAfter: seconds(30)
    }),
    isRetryable: true,
    retryAfter: seconds(30),
    says: ["a proxy, firewall or gateway responded instead of the platform (403)", "in 30 s"]
  },
  {
    reason: new TokenError.CredentialUnavailable({ credential: "apiKey", failure: "VaultError, ECONNREFUSED" }),
    isRetryable: true,
    says: ["apiKey cannot be read", "VaultError, ECONNREFUSED", "Check what it reads from"]
  },
  {
    reason: new TokenError.TokenExpired({
      status: 401,
      type: "expired",
      expiredAt: 3_600_000,
      renewal: new TokenError.RateLimited({ retryAfter: seconds(3) })
    }),
    isRetryable: true,
    retryAfter: seconds(3),
    says: ["401", "expired", "Try again in 3 s."]
  },
  {
    reason: new TokenError.TokenExpired({ renewal: new TokenError.InvalidCredentials({ status: 400 }) }),
    isRetryable: false,
    says: ["the credentials were refused"]
  },
  { reason: new TokenError.TokenExpired({}), isRetryable: false, says: ["expired"] },
  {
    reason: new TokenError.BodyNotRepeatable({ status: 401 }),
    isRetryable: true,
    says: ["401", "the token was renewed", "Create the body anew", "RequestBody"]
  },
  {
    reason: new TokenError.BodyNotRepeatable({}),
    isRetryable: true,
    says: ["has been sent", "Create the body anew", "RequestBody"]
  }
]

const errorOf = (reason: TokenError.Reason, validUntil?: number) =>
  new TokenError.TokenError({ provider: "api.video sandbox", reason, validUntil })

const Json = Schema.fromJsonString(Schema.toCodecJson(TokenError.TokenError))

describe("TokenError", () => {
  it("the cases below are all the reasons there are", () => {
    const tags = TokenError.Reason.members.map((member) => member.fields._tag.schema.literal)
    assert.sameMembers([...new Set(cases.map(({ reason }) => reason._tag))], [...tags])
  })

  for (const { isRetryable, reason, retryAfter, says } of cases) {
    const name = "failure" in reason ? `${reason._tag} (${reason.failure})` : reason._tag

    it.effect(`${name}: crosses JSON and comes back as instances`, () =>
      Effect.gen(function* () {
        const error = errorOf(reason, 17)
        const decoded = yield* Schema.decodeEffect(Json)(yield* Schema.encodeEffect(Json)(error))
        assert.instanceOf(decoded, TokenError.TokenError)
        assert.instanceOf(decoded.reason, reason.constructor as new () => TokenError.Reason)
        assert.deepStrictEqual({ ...decoded.reason }, { ...reason })
        assert.strictEqual(decoded.message, error.message)
        assert.strictEqual(decoded.validUntil, 17)
        assert.deepStrictEqual(decoded.retryAfter, error.retryAfter)
      })
    )

    it(`${name}: says what happened and what to do`, () => {
      const { message } = errorOf(reason)
      assert.isTrue(message.startsWith("api.video sandbox: "))
      for (const part of says) assert.include(message, part)
      // Sentences, each with one full stop, of which the first fits into the line of a log.
      assert.match(message, /[^.]\.$/)
      assert.notInclude(message, "..")
      assert.isAtMost(message.split(". ")[0]!.length, 100)
    })

    it(`${name}: ${isRetryable ? "may pass" : "does not pass"} by itself`, () => {
      assert.strictEqual(errorOf(reason).isRetryable, isRetryable)
      assert.deepStrictEqual(errorOf(reason).retryAfter, retryAfter)
    })

    it(`${name}: prints its message, in a cause as well`, () => {
      const error = errorOf(reason)
      assert.include(Cause.pretty(Cause.fail(error)), error.message)
      assert.include(inspect(error), reason._tag)
    })
  }

  it("says that a held token is served meanwhile, if there is one", () => {
    const reason = new TokenError.InvalidCredentials({})
    assert.include(errorOf(reason, 17).message, "still valid")
    assert.notInclude(errorOf(reason).message, "still valid")
  })

  it("says whether a request may have been sent", () => {
    const sent = (failure: TokenError.Failure) => new TokenError.ProviderUnavailable({ failure }).sent
    assert.deepStrictEqual((["connect", "tls", "network", "timeout", "status"] as const).map(sent), [
      false,
      false,
      true,
      true,
      true
    ])
  })

  it.effect("catchReason handles one reason and leaves the others", () =>
    Effect.gen(function* () {
      const handle = (reason: TokenError.Reason) =>
        Effect.fail(errorOf(reason)).pipe(
          Effect.catchReason("TokenError", "RateLimited", (limited) => Effect.succeed(limited.retryAfter)),
          Effect.exit
        )
      const limited = yield* handle(new TokenError.RateLimited({ retryAfter: seconds(2) }))
      assert.deepStrictEqual(limited._tag === "Success" ? limited.value : undefined, seconds(2))
      assert.strictEqual((yield* handle(new TokenError.InvalidCredentials({})))._tag, "Failure")
    })
  )

  it.effect("unwrapReason gives the reasons, for catchTag to narrow", () =>
    Effect.gen(function* () {
      const status = yield* Effect.fail(errorOf(new TokenError.InvalidCredentials({ status: 401 }))).pipe(
        Effect.unwrapReason("TokenError"),
        Effect.catchTag("InvalidCredentials", (reason) => Effect.succeed(reason.status)),
        Effect.orDie
      )
      assert.strictEqual(status, 401)
    })
  )

  it("has no field that a request, a body or free text would fit in unnoticed", () => {
    const fields = new Set(TokenError.Reason.members.flatMap((member) => Object.keys(member.fields)))
    assert.sameMembers(
      [...fields],
      [
        "_tag",
        "advice",
        "available",
        "code",
        "credential",
        "detail",
        // Free text of a server, and so `Redacted`, never encoded, and only there if the program asked for it.
        "errorDescription",
        "errorUri",
        "expiredAt",
        "failure",
        "fromPlatform",
        "limit",
        "name",
        "operation",
        "option",
        "problem",
        "remaining",
        "renewal",
        "renewals",
        "requested",
        "retryAfter",
        "session",
        "status",
        "type"
      ]
    )
  })
})
