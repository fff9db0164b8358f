/**
 * A `TokenProvider` without a platform, which counts its exchanges, and is slow or fails as you configure it.
 *
 * Use it in specs of a renewal policy, of a custom store, or of anything that is built on a `TokenService`. For a whole
 * platform over HTTP see `ApiVideoSandbox`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { TokenResponse } from "../token/AccessToken.ts"
import { RefreshTokenRejected, type RenewalReason } from "../token/TokenError.ts"
import type { TokenProvider, Traits } from "../token/TokenProvider.ts"

/**
 * The behaviour of the fake. Change it at any time with `configure`.
 *
 * @category options
 * @since 0.1.0
 */
export interface Behaviour {
  /** Lifetime of its tokens. @default "1 hour" */
  readonly lifetime: Duration.Input
  /** Duration of an exchange. @default 0 */
  readonly latency: Duration.Input
  /** The reason with which exchanges fail after `latency`; `undefined` lets them succeed. */
  readonly failure: RenewalReason | undefined
  /** Whether exchanges never end. @default false */
  readonly hangs: boolean
  /** The reason with which a refresh fails whose token was used up, but whose response was lost. */
  readonly losesRefresh: RenewalReason | undefined
  /** Whether responses have no refresh token. @default false */
  readonly omitsRefreshToken: boolean
}

/**
 * Options of the fake that do not change.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Partial<Behaviour> {
  readonly traits?: Partial<Traits> | undefined
  /** Whether the provider has a credential to log in with. @default true */
  readonly login?: boolean | undefined
  /** The tokens to begin with where there is no login: a session that a person started. */
  readonly identity?: string | undefined
}

/**
 * The exchanges that the fake received.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  readonly logins: number
  readonly refreshes: number
  /** The refresh tokens received, in order. */
  readonly refreshTokens: ReadonlyArray<string>
  /** The highest number of parallel exchanges. */
  readonly peak: number
  /** Exchanges that were interrupted before they ended. */
  readonly interrupted: number
}

/**
 * The fake and its controls.
 *
 * @category services
 * @since 0.1.0
 */
export class FakeProvider extends Context.Service<
  FakeProvider,
  {
    readonly provider: TokenProvider
    readonly ledger: Effect.Effect<Ledger>
    readonly configure: (behaviour: Partial<Behaviour>) => Effect.Effect<void>
  }
>()("effect-video-auth/testing/FakeProvider") {}

/**
 * Makes a fake. Access tokens are `access-1`, `access-2`, …, and refresh tokens `refresh-1`, …. It accepts a refresh token
 * once, and only the newest.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): FakeProvider["Service"] => {
  let behaviour: Behaviour = {
    lifetime: "1 hour",
    latency: 0,
    failure: undefined,
    hangs: false,
    losesRefresh: undefined,
    omitsRefreshToken: false,
    ...options
  }
  const traits: Traits = {
    renewWith: options.login === false ? "refresh" : "refresh-then-login",
    rotatesRefreshToken: true,
    loginSupersedesRefresh: true,
    oldTokenSurvivesRefresh: true,
    ...options.traits
  }
  const counts = { logins: 0, refreshes: 0, peak: 0, interrupted: 0 }
  const refreshTokens: Array<string> = []
  let issued = 0
  let running = 0

  const issue = (): TokenResponse => {
    issued += 1
    return {
      accessToken: Redacted.make(`access-${issued}`, { label: "access_token" }),
      refreshToken: behaviour.omitsRefreshToken
        ? undefined
        : Redacted.make(`refresh-${issued}`, { label: "refresh_token" }),
      expiresIn: behaviour.lifetime
    }
  }

  const exchange = (answer: Effect.Effect<TokenResponse, RenewalReason>) =>
    Effect.suspend(() => {
      running += 1
      counts.peak = Math.max(counts.peak, running)
      const latency = Duration.fromInputUnsafe(behaviour.latency)
      return Effect.sleep(behaviour.hangs ? Duration.infinity : latency).pipe(
        Effect.andThen(
          Effect.suspend(() => (behaviour.failure === undefined ? answer : Effect.fail(behaviour.failure)))
        ),
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            counts.interrupted += 1
          })
        ),
        Effect.ensuring(
          Effect.sync(() => {
            running -= 1
          })
        )
      )
    })

  const login = Effect.suspend(() => {
    counts.logins += 1
    return exchange(Effect.sync(issue))
  })

  const provider: TokenProvider = {
    name: "fake",
    identity: Effect.succeed(options.identity ?? "fake"),
    login: options.login === false ? undefined : login,
    refresh: (current) =>
      Effect.suspend(() => {
        counts.refreshes += 1
        const sent = current.refreshToken === undefined ? "" : Redacted.value(current.refreshToken)
        refreshTokens.push(sent)
        return exchange(
          Effect.suspend(() => {
            if (traits.rotatesRefreshToken && sent !== `refresh-${issued}`) {
              return Effect.fail(new RefreshTokenRejected({ status: 400 }))
            }
            const response = issue()
            return behaviour.losesRefresh === undefined ? Effect.succeed(response) : Effect.fail(behaviour.losesRefresh)
          })
        )
      }),
    traits
  }
  return FakeProvider.of({
    provider,
    ledger: Effect.sync(() => ({ ...counts, refreshTokens: [...refreshTokens] })),
    configure: (changes) =>
      Effect.sync(() => {
        behaviour = { ...behaviour, ...changes }
      })
  })
}

/**
 * Provides {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<FakeProvider> => Layer.sync(FakeProvider, () => make(options))
