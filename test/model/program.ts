/**
 * A program of the model test is data, so that it shrinks and replays: what the platform is like, and what happens.
 *
 * Literals are ordered from the plain to the peculiar, which is how they shrink.
 */
import { Schema } from "effect"

/** Seven times out of ten things happen in the first of two services; the second shares its store. */
const Service = Schema.Literals([0, 0, 1])

/**
 * Where time goes: the edges of what the engine decides, seen from the token that a service holds.
 *
 * - `pause`, `cool-down`: the end of what is left in peace after the last failure
 * - `answer`: when the exchange under way answers
 */
const Edge = Schema.Literals([
  "expiry",
  "mandatory",
  "renewal",
  "latest-renewal",
  "pause",
  "cool-down",
  "answer",
  "patience",
  "exchange-timeout",
  "tick",
  "lease",
  "fatal-pause"
])

const Advance = Schema.Struct({
  _tag: Schema.tag("Advance"),
  service: Service,
  to: Edge,
  side: Schema.Literals(["after", "before"])
})

const Get = Schema.Struct({
  _tag: Schema.tag("Get"),
  service: Service,
  /** Whether the next operation comes only when nothing is left to run. */
  settled: Schema.Boolean
})

const Call = Schema.Struct({
  _tag: Schema.tag("Call"),
  service: Service,
  call: Schema.Literals([
    "reject",
    "renew",
    "reject",
    "reject-old",
    "valid-for-half",
    "valid-for-ever",
    "valid-for-most",
    "reject-all"
  ]),
  settled: Schema.Boolean
})

const Request = Schema.Struct({
  _tag: Schema.tag("Request"),
  service: Service,
  /** `ours` may answer 401 and then it is about the token; the others never are. */
  to: Schema.Literals(["ours", "ours-forbidden", "ours-scope", "other-origin", "plain-http"]),
  settled: Schema.Boolean
})

const Cancel = Schema.Struct({
  _tag: Schema.tag("Cancel"),
  /** Which of those who wait. */
  which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
})

export const FaultKind = Schema.Literals([
  "unavailable",
  "never-sent",
  "answer-lost",
  "bad-key",
  "rate-limited",
  "rate-limited-long",
  "malformed",
  "suspended",
  "slow",
  "slower",
  "hang"
])

const Fault = Schema.Struct({
  _tag: Schema.tag("Fault"),
  kind: FaultKind,
  on: Schema.Literals(["both", "refresh", "login"]),
  times: Schema.Literals([1, 2, 99])
})

const Server = Schema.Struct({
  _tag: Schema.tag("Server"),
  does: Schema.Literals(["heal", "revoke-access", "revoke-refresh", "store-down", "store-up"])
})

const Clocks = Schema.Struct({
  _tag: Schema.tag("Clocks"),
  /** A step of the wall clock, or a suspended machine: with timers and monotonic clock that stop, or timers alone. */
  how: Schema.Literals(["step", "step", "suspend", "suspend-counted"]),
  seconds: Schema.Literals([20, 200, 4000]),
  back: Schema.Boolean
})

const Life = Schema.Struct({
  _tag: Schema.tag("Life"),
  service: Service,
  /** `evict` needs the room of another identity, where the service is one of a map. */
  does: Schema.Literals(["sign-out", "sign-out", "close", "reopen", "crash", "evict", "evict"])
})

/** One thing that happens. Members are drawn alike, so those that a long story needs most are there more than once. */
export const Op = Schema.Union([
  Advance,
  Get,
  Call,
  Fault,
  Advance,
  Get,
  Cancel,
  Server,
  Clocks,
  Advance,
  Request,
  Life
])
export type Op = typeof Op.Type

/** An operation, and where in it the scheduler makes a fibre let the others go first. */
const Step = Schema.Struct({
  op: Op,
  /** Counted in evaluation steps of the fibres under test, from the start of the operation. 0 for nowhere. */
  yieldAt: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 160 }))
})

export const Program = Schema.Struct({
  /** Of the scheduler's order and of the jitter. */
  seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 999_999 })),
  whenIdle: Schema.Literals(["keep-fresh", "on-demand"]),
  /** Of access tokens, in seconds. */
  lifetime: Schema.Literals([300, 12, 300, 60, 3600]),
  /** Of an exchange, in milliseconds. */
  latency: Schema.Literals([100, 0, 2000]),
  /** Whether the platform issues at once and then takes its time, or the other way round. */
  issuesEarly: Schema.Boolean,
  /** Whether there is a store for the two services, or each keeps its credential to itself. A session begins in a store. */
  hasStore: Schema.Literals([true, true, false]),
  /** Through whose provider the engine talks to the server: its own, or a platform's on a wire. */
  platform: Schema.Literals([
    "fake",
    "api.video",
    "movingimage",
    "fake",
    "Brightcove",
    "OpenID Connect",
    "OpenID Connect session",
    "OpenID Connect session without rotation"
  ]),
  // The rest is about the fake: a platform has traits of its own.
  hasLogin: Schema.Literals([true, false]),
  /** Whether a login gives a refresh token. Without one, a renewal is another login. */
  refreshes: Schema.Literals([true, true, false]),
  rotates: Schema.Boolean,
  survives: Schema.Boolean,
  supersedes: Schema.Boolean,
  locks: Schema.Boolean,
  /** Whether each service has a scope of its own, or is one of a `TokenServiceMap` that has room for one identity. */
  host: Schema.Literals(["service", "service", "map"]),
  /** What else hears of the events, besides the keeper of the books. */
  observer: Schema.Literals(["none", "calls-back", "signs-out", "hangs", "throws"]),
  steps: Schema.Array(Step).check(Schema.isMaxLength(40))
})
export type Program = typeof Program.Type
