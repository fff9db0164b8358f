/** What a token answer and a JWT say of their life, and what comes of it. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Redacted, Schema } from "effect"
import { AccessToken } from "effect-video-auth"
import { assertClean, mutate, Mutations, Oddity, times, typed } from "./wild.ts"

const year = Duration.toMillis(Duration.days(365))

/** Any number that JSON can say, and those about which decoders err. */
const Seconds = Schema.Union([
  Schema.Literals([0, 1, 3600, -1, 0.1, 1e-3, 1e-4, 1e-12, 1e21, 1e308, -1e308, 1_800_000_000, 2 ** 31, 2 ** 53]),
  Schema.Finite,
  Schema.Int
])

const decode = (body: unknown) => Effect.map(Effect.exit(AccessToken.decodeResponse(body)), typed)

/** A duration counts in nanoseconds: so close to a millisecond, either is right. */
const isMillisecond = (millis: number) => Math.abs(millis - 1) < 1e-5

/** The lifetime in milliseconds that was taken for good, if any was. */
const lifetimeIn = (exit: Exit.Exit<AccessToken.TokenResponse, unknown>): number | undefined =>
  Exit.isSuccess(exit) ? Duration.toMillis(Duration.fromInputUnsafe(exit.value.expiresIn)) : undefined

describe("a token answer", () => {
  it.effect.prop(
    "of any lifetime is taken where it lives for a millisecond or more, and refused else",
    { seconds: Seconds, asText: Schema.Boolean },
    ({ asText, seconds }) =>
      Effect.gen(function* () {
        const exit = yield* decode({ access_token: "access-1", expires_in: asText ? String(seconds) : seconds })
        const lifetime = lifetimeIn(exit)
        if (!isMillisecond(seconds * 1_000)) assert.strictEqual(lifetime === undefined, seconds * 1_000 < 1)
        if (!Exit.isSuccess(exit)) return
        const issue = { answeredAt: 1_800_000_000_000, elapsed: 0, generation: 1 }
        const { expiresAt, issuedAt } = yield* AccessToken.fromResponse(exit.value, issue)
        assert.isAbove(expiresAt, issuedAt)
        assert.isAtMost(expiresAt - issuedAt, year)
      }),
    times(300)
  )

  it.effect.prop(
    "of any JSON is taken or refused, and its refusal repeats none of it",
    { body: Schema.Json },
    ({ body }) =>
      Effect.gen(function* () {
        const exit = yield* decode({ ...Object(body), error: "credential-9" })
        if (Exit.isFailure(exit)) assertClean(exit.cause)
      }),
    times(150)
  )
})

const base64url = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64url")

describe("where an answer says no lifetime, that of the JWT", () => {
  it.effect.prop(
    "is exp − iat where that is a millisecond or more",
    { exp: Seconds, iat: Seconds },
    ({ exp, iat }) =>
      Effect.gen(function* () {
        const token = `${base64url("{}")}.${base64url(JSON.stringify({ exp, iat }))}.access-1`
        const lifetime = lifetimeIn(yield* decode({ access_token: token }))
        if (isMillisecond((exp - iat) * 1_000)) return
        if ((exp - iat) * 1_000 < 1) assert.isUndefined(lifetime)
        else assert.closeTo(Math.min(lifetime ?? Number.NaN, year), Math.min((exp - iat) * 1_000, year), 1)
      }),
    times(300)
  )

  it.effect.prop(
    "is none, or more than nothing, whatever the bytes of its claims",
    { claims: Oddity, mutations: Mutations, in: Schema.Literals(["claims", "token"]) },
    ({ claims, in: where, mutations }) =>
      Effect.gen(function* () {
        const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes).replaceAll(/[^\x21-\x7e]/g, "~")
        const sound = new TextEncoder().encode(`{"exp":7200,"iat":3600,"jti":${claims}}`)
        const whole = `${base64url("{}")}.${base64url(where === "claims" ? mutate(sound, mutations) : sound)}.access-1`
        const token = where === "claims" ? whole : text(mutate(new TextEncoder().encode(whole), mutations))
        const exit = yield* decode({ access_token: token })
        const lifetime = lifetimeIn(exit)
        if (lifetime !== undefined) assert.isAtLeast(lifetime, 1)
        if (Exit.isSuccess(exit)) assert.strictEqual(Redacted.value(exit.value.accessToken), token)
        else assertClean(exit.cause)
      }),
    times(450)
  )
})
