import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Redacted, Schema } from "effect"
import { AccessToken } from "effect-video-auth"
import { readFileSync } from "node:fs"
import { inspect } from "node:util"

const year = 365 * 24 * 60 * 60 * 1_000

const base64Url = (text: string) => Buffer.from(text).toString("base64url")
const jwt = (claims: unknown) => `${base64Url('{"alg":"RS256"}')}.${base64Url(JSON.stringify(claims))}.signature`

const decode = AccessToken.decodeResponse

/** Decodes a body and stamps it, as one exchange does. */
const issue = (body: unknown, elapsed = 0) =>
  Effect.flatMap(decode(body), (response) =>
    AccessToken.fromResponse(response, { answeredAt: 1_000_000, elapsed, generation: 1 })
  )

const lifetimeOf = (body: unknown) => Effect.map(issue(body), ({ expiresAt, issuedAt }) => expiresAt - issuedAt)
const problemOf = (body: unknown) => Effect.map(Effect.flip(issue(body)), ({ problem }) => problem)

describe("decodeResponse: what it tolerates", () => {
  for (const [name, body] of [
    ["no more than a token and its lifetime", {}],
    ["token_type in any case", { token_type: "bEaReR" }],
    ["no token_type", { token_type: null }],
    ["a numeric string as lifetime", { expires_in: "3600" }],
    ["a numeric string with a fraction", { expires_in: "3600.0" }],
    ["no refresh token", { refresh_token: null }],
    ["unknown fields", { scope: "monitor", nested: { access_token: 1 } }]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const response = yield* decode({ access_token: "opaque", expires_in: 3_600, ...body })
        assert.strictEqual(Redacted.value(response.accessToken), "opaque")
        assert.isUndefined(response.refreshToken)
        assert.strictEqual(Duration.toMillis(response.expiresIn), 3_600_000)
      })
    )
  }

  it.effect("an empty refresh token is none", () =>
    Effect.gen(function* () {
      const response = yield* decode({ access_token: "opaque", expires_in: 1, refresh_token: "" })
      assert.isUndefined(response.refreshToken)
    })
  )

  for (const [name, refreshExpiresIn, expected] of [
    ["the lifetime of the refresh token, where there is one", "1800 seconds", 1_000_000 + 1_800_000],
    ["a refresh token that never expires, written as a lifetime of 0", 0, undefined]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const response = yield* decode({ access_token: "a", refresh_token: "r", expires_in: 1 })
        const issued = { answeredAt: 1_000_000, elapsed: 0, generation: 1 }
        const token = yield* AccessToken.fromResponse({ ...response, refreshExpiresIn }, issued)
        assert.strictEqual(token.refreshExpiresAt, expected)
      })
    )
  }

  it.effect("api.video's own example", () =>
    Effect.gen(function* () {
      const text = readFileSync(new URL("../fixtures/seed-response.json", import.meta.url), "utf8")
      const body = yield* Schema.decodeEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))(text)
      const token = yield* issue(body)
      assert.strictEqual(Redacted.value(token.accessToken), body["access_token"])
      assert.strictEqual(token.refreshToken && Redacted.value(token.refreshToken), body["refresh_token"])
      assert.strictEqual(token.tokenType, "Bearer")
      assert.strictEqual(token.expiresAt - token.issuedAt, 3_600_000)
    })
  )
})

describe("decodeResponse: what it refuses, naming the field and nothing else", () => {
  for (const expires_in of [0, -1, 1e-12, "0.0001", Number.NaN, Infinity, "", "soon", "-5", "NaN", true, {}, [3_600]]) {
    it.effect(`expires_in ${inspect(expires_in)}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* problemOf({ access_token: "opaque", expires_in }), "expires_in is missing or invalid")
      })
    )
  }

  for (const access_token of [undefined, null, "", 7, "line\nbreak", "two words", "smörgås", "\u0000"]) {
    it.effect(`access_token ${inspect(access_token)}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* problemOf({ access_token, expires_in: 1 }), "access_token is missing or invalid")
      })
    )
  }

  for (const token_type of ["mac", "", "Bearer x", 1]) {
    it.effect(`token_type ${inspect(token_type)}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(
          yield* problemOf({ access_token: "a", expires_in: 1, token_type }),
          "token_type is missing or invalid"
        )
      })
    )
  }

  for (const body of [undefined, null, "<html>", 17, [], "access_token"]) {
    it.effect(`a body of ${inspect(body)}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(decode(body))
        assert.strictEqual(error._tag, "MalformedResponse")
      })
    )
  }

  it.effect("repeats nothing that the server sent, in whatever field", () =>
    Effect.gen(function* () {
      const secret = "echoed-key"
      for (const body of [
        secret,
        { [secret]: secret },
        { access_token: `${secret}\n` },
        { access_token: "a", expires_in: secret },
        { access_token: "a", expires_in: 1, token_type: secret },
        { access_token: "a", expires_in: 1, refresh_token: { secret } }
      ]) {
        const error = yield* Effect.flip(decode(body))
        assert.notInclude(inspect(error, { showHidden: true, depth: 20 }) + JSON.stringify(error), secret)
      }
    })
  )
})

describe("the lifetime", () => {
  it.effect("counts from when the request left", () =>
    Effect.gen(function* () {
      const token = yield* issue({ access_token: "a", expires_in: 60 }, 2_500)
      assert.include(token, { issuedAt: 997_500, expiresAt: 1_057_500 })
    })
  )

  it.effect("is not prolonged by a clock that ran backwards meanwhile", () =>
    Effect.gen(function* () {
      assert.include(yield* issue({ access_token: "a", expires_in: 60 }, -5), { issuedAt: 1_000_000 })
    })
  )

  it.effect("is expires_in though a JWT claims another one", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* lifetimeOf({ access_token: jwt({ iat: 0, exp: 7_200 }), expires_in: 60 }), 60_000)
    })
  )

  for (const absent of [{}, { expires_in: null }]) {
    it.effect(`is the JWT's exp − iat where the answer says ${inspect(absent)}, and it may be a float`, () =>
      Effect.gen(function* () {
        const access_token = jwt({ iat: 1_526_548_301.25, exp: 1_526_551_901.75 })
        assert.strictEqual(yield* lifetimeOf({ access_token, ...absent }), 3_600_500)
      })
    )
  }

  for (const [name, access_token] of [
    ["an opaque token", "opaque"],
    ["an opaque token with dots", "a.b.c"],
    ["a JWT without exp", jwt({ iat: 1 })],
    ["a JWT without iat", jwt({ exp: 1 })],
    ["a JWT whose claims are strings", jwt({ iat: "1", exp: "2" })],
    ["a JWT whose payload is no JSON", `${base64Url("{}")}.${base64Url("{")}.s`]
  ] as const) {
    it.effect(`is missing where ${name} is all there is`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* problemOf({ access_token }), "expires_in is missing or invalid")
      })
    )
  }

  it.effect("a JWT that expires before it is issued is refused", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* problemOf({ access_token: jwt({ iat: 2, exp: 1 }) }),
        "expires_in is missing or invalid"
      )
    })
  )

  for (const expiresIn of [0, -1, Duration.seconds(-5), Number.NaN]) {
    it.effect(`of ${inspect(expiresIn)}, from a custom provider, is refused`, () =>
      Effect.gen(function* () {
        const response = { accessToken: Redacted.make("a"), expiresIn }
        const stamp = { answeredAt: 0, elapsed: 0, generation: 1 }
        const error = yield* Effect.flip(AccessToken.fromResponse(response, stamp))
        assert.strictEqual(error._tag, "MalformedResponse")
      })
    )
  }

  it.effect.prop(
    "is never zero or less, whatever expires_in is",
    { expires_in: Schema.Union([Schema.Finite, Schema.Int, Schema.String]) },
    ({ expires_in }) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(lifetimeOf({ access_token: "opaque", expires_in }))
        if (Exit.isSuccess(exit)) assert.isAbove(exit.value, 0)
        else if (typeof expires_in === "number") assert.isBelow(expires_in, 0.001)
      })
  )

  it.effect.prop(
    "is never zero or less, whatever a JWT claims",
    { iat: Schema.Finite, exp: Schema.Finite },
    ({ exp, iat }) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(lifetimeOf({ access_token: jwt({ iat, exp }) }))
        if (Exit.isSuccess(exit)) {
          assert.isAbove(exit.value, 0)
          assert.isAbove(exp, iat)
        } else assert.isBelow(exp - iat, 0.001)
      })
  )

  it.effect.prop(
    "is expires_in to the second, up to 365 days, and 365 days beyond",
    { expires_in: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000_000 })) },
    ({ expires_in }) =>
      Effect.gen(function* () {
        assert.strictEqual(
          yield* lifetimeOf({ access_token: "opaque", expires_in }),
          Math.min(expires_in * 1_000, year)
        )
      })
  )
})

describe("AccessToken", () => {
  const token = new AccessToken.AccessToken({
    accessToken: Redacted.make("planted-access", { label: "access_token" }),
    refreshToken: Redacted.make("planted-refresh", { label: "refresh_token" }),
    tokenType: "Bearer",
    issuedAt: 0,
    expiresAt: 1,
    generation: 1
  })

  it.effect("is not encoded as JSON: a secret has no encoding", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Effect.suspend(() => Schema.encodeEffect(Schema.toCodecJson(AccessToken.AccessToken))(token))
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.notInclude(String(exit), "planted")
    })
  )

  it("prints no secret", () => {
    for (const writing of [String(token), JSON.stringify(token), inspect(token, { showHidden: true, depth: 20 })]) {
      assert.notInclude(writing, "planted")
    }
  })

  it("two tokens are the same credential whatever their generation", () => {
    const later = new AccessToken.AccessToken({ ...token, generation: 2, expiresAt: 9 })
    assert.isTrue(AccessToken.isSameCredential(token, later))
  })

  it("two tokens of one generation are not the same credential", () => {
    const other = new AccessToken.AccessToken({ ...token, accessToken: Redacted.make("other") })
    assert.isFalse(AccessToken.isSameCredential(token, other))
  })
})
