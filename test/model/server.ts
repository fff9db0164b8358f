/**
 * The platform of the model test. It knows the truth: which tokens are good by its own clock, which refresh tokens it
 * received and what came of them. It believes nothing that a token says of itself.
 */
import { Duration, Effect, Redacted } from "effect"
import type * as AccessToken from "effect-video-auth/token/AccessToken"
import * as TokenError from "effect-video-auth/token/TokenError"
import type { TokenProvider } from "effect-video-auth/token/TokenProvider"
import type { Op, Program } from "./program.ts"

/** In every secret, so that one that got out is recognised. */
export const secretMark = "TOPSECRET"

/** That mark, and what the platforms' credentials look like. */
export const secret = new RegExp(`${secretMark}|credential-\\d`)

/** The three clocks of a machine, in milliseconds. `real` cannot be fooled, and only the server has it. */
export interface Clocks {
  readonly wall: () => number
  readonly mono: () => number
  readonly real: () => number
}

/** A credential that the server issued, and what it knows of it. */
export interface Issued {
  readonly access: string
  readonly refresh: string | undefined
  /** Milliseconds. */
  readonly lifetime: number
  /** When the request left, and when the server issued, on the client's monotonic clock. */
  readonly sentMono: number
  readonly issuedMono: number
  readonly issuedReal: number
  answeredMono: number
  /** Wall time of issue, told from the answer: what a step during the exchange moved is put right. */
  wall: number
  /** The server refuses it whatever its age. */
  revoked: boolean
}

export interface Exchange {
  readonly service: number
  readonly operation: "login" | "refresh"
  readonly startedMono: number
  /** On timers' time: when it will answer; `Infinity` for never. */
  readonly answersIn: number
  /** Milliseconds that the answer, once there is one, asks the client to wait. */
  retryAfter: number
}

/** What the keeper of the books is told. */
export interface Listener {
  readonly started: (exchange: Exchange) => void
  readonly answered: (service: number, issued: Issued) => void
  readonly ended: (exchange: Exchange) => void
  readonly violated: (guarantee: number, what: string) => void
  readonly healed: () => void
}

type Fault = Extract<Op, { readonly _tag: "Fault" }>

export const make = (program: Program, clocks: Clocks, listener: Listener) => {
  const lifetime = program.lifetime * 1000
  const issuedBy = new Map<string, Issued>()
  /** Refresh tokens that would be accepted. */
  const alive = new Set<string>()
  /** Refresh tokens received, and whether the answer to the last receipt said that nothing was done. */
  const received = new Map<string, "open" | "used">()
  let fault: { kind: Fault["kind"]; on: Fault["on"]; left: number } | undefined
  let count = 0
  let latest: Issued | undefined

  const issue = (sentMono: number, withRefresh: boolean): Issued => {
    count += 1
    const refresh = withRefresh ? `refresh-${count}-${secretMark}` : undefined
    const issued: Issued = {
      access: `access-${count}-${secretMark}`,
      refresh,
      lifetime,
      sentMono,
      issuedMono: clocks.mono(),
      issuedReal: clocks.real(),
      answeredMono: clocks.mono(),
      wall: clocks.wall(),
      revoked: false
    }
    if (refresh !== undefined) alive.add(refresh)
    issuedBy.set(issued.access, issued)
    latest = issued
    return issued
  }

  const takeFault = (operation: "login" | "refresh"): Fault["kind"] | undefined => {
    if (fault === undefined || (fault.on !== "both" && fault.on !== operation)) return undefined
    const { kind } = fault
    fault.left -= 1
    if (fault.left <= 0) heal()
    return kind
  }

  const heal = () => {
    fault = undefined
    listener.healed()
  }

  const receive = (refresh: string) => {
    // It may be sent again after a response which said that nothing was done.
    if (program.rotates && received.get(refresh) === "used") {
      listener.violated(4, "a rotating refresh token was received twice")
    }
    received.set(refresh, "used")
  }

  /** Consumes the credential that was sent and issues another one. */
  const process = (sentMono: number, current: AccessToken.AccessToken | undefined) =>
    Effect.suspend(() => {
      if (current?.refreshToken === undefined) {
        if (program.supersedes) alive.clear()
        return Effect.succeed(issue(sentMono, program.refreshes))
      }
      const refresh = Redacted.value(current.refreshToken)
      if (!alive.has(refresh)) return Effect.fail(new TokenError.RefreshTokenRejected({ status: 400 }))
      if (program.rotates) alive.delete(refresh)
      if (!program.survives) {
        const old = issuedBy.get(Redacted.value(current.accessToken))
        if (old !== undefined) old.revoked = true
      }
      return Effect.succeed(issue(sentMono, program.rotates || program.seed % 2 === 0))
    })

  const failureOf = (kind: Fault["kind"] | undefined, operation: "login" | "refresh") => {
    switch (kind) {
      case "unavailable":
        return new TokenError.ProviderUnavailable({ failure: "status", status: 503 })
      case "rate-limited":
        return new TokenError.RateLimited({ retryAfter: Duration.seconds(7) })
      case "rate-limited-long":
        return new TokenError.RateLimited({ retryAfter: Duration.seconds(100) })
      case "suspended":
        return new TokenError.AccountSuspended({ status: 403 })
      case "bad-key":
        return operation === "login" ? new TokenError.InvalidCredentials({ status: 400 }) : undefined
      default:
        return undefined
    }
  }

  /** What becomes of an answer under way. */
  const lossOf = (kind: Fault["kind"] | undefined, operation: "login" | "refresh") => {
    if (kind !== "answer-lost" && kind !== "malformed") return undefined
    if (operation === "refresh") return new TokenError.AmbiguousExchange({ failure: "network" })
    return kind === "malformed"
      ? new TokenError.MalformedResponse({ problem: "not a token response" })
      : new TokenError.ProviderUnavailable({ failure: "network" })
  }

  /** A request that the server receives, whatever becomes of whoever sent it: from here until it ends it is counted. */
  const begin = (service: number, operation: "login" | "refresh") => {
    const kind = takeFault(operation)
    const latency = kind === "hang" ? Infinity : kind === "slow" ? 8_000 : kind === "slower" ? 25_000 : program.latency
    const running: Exchange = { service, operation, startedMono: clocks.mono(), answersIn: latency, retryAfter: 0 }
    listener.started(running)
    return { kind, running }
  }

  const exchange = (
    service: number,
    operation: "login" | "refresh",
    current: AccessToken.AccessToken | undefined
  ): Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason> =>
    Effect.acquireUseRelease(
      Effect.sync(() => begin(service, operation)),
      Effect.fnUntraced(function* ({ kind, running }) {
        const { answersIn: latency, startedMono: sentMono } = running
        if (kind === "never-sent") {
          yield* Effect.sleep(latency)
          return yield* new TokenError.ProviderUnavailable({ failure: "connect" })
        }
        const refresh = current?.refreshToken === undefined ? undefined : Redacted.value(current.refreshToken)
        if (refresh !== undefined) receive(refresh)
        const refusal = failureOf(kind, operation)
        if (refusal !== undefined) {
          yield* Effect.sleep(latency)
          if (refresh !== undefined) received.set(refresh, "open")
          if (refusal._tag === "RateLimited") running.retryAfter = Duration.toMillis(refusal.retryAfter ?? 0)
          return yield* refusal
        }
        if (!program.issuesEarly) yield* Effect.sleep(latency)
        const issued = yield* process(sentMono, current)
        if (program.issuesEarly) yield* Effect.sleep(latency)
        const loss = lossOf(kind, operation)
        if (loss !== undefined) return yield* loss
        issued.answeredMono = clocks.mono()
        issued.wall = clocks.wall() - (clocks.mono() - issued.issuedMono)
        listener.answered(service, issued)
        return {
          accessToken: Redacted.make(issued.access),
          refreshToken: issued.refresh === undefined ? undefined : Redacted.make(issued.refresh),
          expiresIn: issued.lifetime
        }
      }),
      ({ running }) => Effect.sync(() => listener.ended(running))
    )

  const provider = (service: number): TokenProvider => ({
    name: "model",
    identity: Effect.succeed("model"),
    login: program.hasLogin ? exchange(service, "login", undefined) : undefined,
    refresh: (current) => exchange(service, "refresh", current),
    traits: {
      renewWith: !program.refreshes ? "login" : program.hasLogin ? "refresh-then-login" : "refresh",
      rotatesRefreshToken: program.rotates,
      loginSupersedesRefresh: program.supersedes,
      oldTokenSurvivesRefresh: program.survives,
      locksAccount: program.locks
    }
  })

  return {
    provider,
    /** A session that a person began: the credential to start with where there is no login. */
    begin: () => issue(clocks.mono(), true),
    find: (access: string) => issuedBy.get(access),
    /** Whether the API takes it. */
    accepts: (access: string): boolean => {
      const issued = issuedBy.get(access)
      return issued !== undefined && !issued.revoked && clocks.real() < issued.issuedReal + issued.lifetime
    },
    /** Whether a refresh with it would succeed, and this is sure to be its first receipt. */
    isFresh: (refresh: string): boolean => alive.has(refresh) && !received.has(refresh),
    /** Somebody else sent it, and nobody knows what became of it. */
    takenElsewhere: (refresh: string) => {
      receive(refresh)
      if (program.rotates) alive.delete(refresh)
    },
    setFault: ({ kind, on, times }: Fault) => {
      fault = { kind, on, left: times }
    },
    heal,
    isHealthy: () => fault === undefined,
    revokeAccess: () => {
      if (latest !== undefined) latest.revoked = true
    },
    revokeRefresh: () => alive.clear()
  }
}
