/**
 * One credential from which tokens for several subjects are derived. Each exchange answers with a token for the subject
 * that was asked for and with the one refresh token that the next exchange needs, whatever its subject: so they go one
 * after the other.
 *
 * When to ask is for the engines of the subjects to decide. Here many of them are kept from hammering a platform that
 * fails, and a password that was refused for one is not tried again for each.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type { AccessToken, TokenResponse } from "../AccessToken.ts"
import * as RenewalPolicy from "../RenewalPolicy.ts"
import * as TokenError from "../TokenError.ts"
import type { TokenProvider } from "../TokenProvider.ts"
import { TokenStore } from "../TokenStore.ts"
import { monotonic } from "./time.ts"
import * as Exchange from "../internal/exchange.ts"
import { memoryOf } from "../internal/setback.ts"

/** Other processes that share the store may get in between, with a token for another subject: so often, at most. */
const patience = 20

/** What a session is made of. */
export interface Options {
  readonly identity: string
  readonly policy: RenewalPolicy.Options
  /** The protocol, whose exchanges give a token for this subject; for `undefined` one for any. */
  readonly providerFor: (subject: number | undefined) => TokenProvider
  readonly subjectOf: (token: AccessToken) => number | undefined
  /** Refuses a subject that the credential is known not to have. */
  readonly check: (subject: number, token: AccessToken) => Effect.Effect<void, TokenError.RenewalReason>
}

export interface Session {
  /** A fresh token for a subject. */
  readonly derive: (subject: number) => Effect.Effect<TokenResponse, TokenError.RenewalReason>
  /** The latest token, of whichever subject; it may have expired. Logs in where there is none. */
  readonly latest: Effect.Effect<AccessToken, TokenError.RenewalReason>
  /** Forgets the credential. */
  readonly clear: Effect.Effect<void, TokenError.RenewalReason>
}

export const make = /* @__PURE__ */ Effect.fnUntraced(function* ({
  check,
  identity,
  policy: options,
  providerFor,
  subjectOf
}: Options): Effect.fn.Return<Session, TokenError.ConfigurationInvalid> {
  const policy = yield* RenewalPolicy.make(options)
  const clock = yield* Clock.Clock
  const exchange = Exchange.make(clock, policy, Option.getOrUndefined(yield* Effect.serviceOption(TokenStore)))
  const turn = Semaphore.makeUnsafe(1)
  const account: Exchange.Account = { provider: providerFor(undefined), identity, known: Exchange.nothingKnown }

  let latest: AccessToken | undefined
  let failures = 0
  let cooling: { readonly until: number; readonly reason: TokenError.RenewalReason } | undefined

  const cool = (reason: TokenError.RenewalReason) => {
    const own = reason.isRetryable ? Math.min(10_000, 1_000 * 2 ** failures) : memoryOf(policy, account.provider.traits)
    const asked = "retryAfter" in reason && reason.retryAfter !== undefined ? Duration.toMillis(reason.retryAfter) : 0
    failures += 1
    cooling = { until: monotonic(clock) + Math.max(own, asked), reason }
    return reason
  }

  /** One attempt, or the adoption of what another process got. */
  const renew = (subject: number | undefined): Effect.Effect<Exchange.Received, TokenError.RenewalReason> =>
    Effect.suspend(() => {
      if (cooling !== undefined && monotonic(clock) < cooling.until) return Effect.fail(cooling.reason)
      account.provider = providerFor(subject)
      return Effect.mapBoth(
        Effect.uninterruptible(exchange.renew(account, { isHolding: false, sending: () => undefined })),
        {
          onFailure: cool,
          onSuccess: (renewed) => {
            failures = 0
            cooling = undefined
            latest = renewed.token
            return renewed
          }
        }
      )
    })

  const find = (subject: number, tries: number): Effect.Effect<Exchange.Received, TokenError.RenewalReason> =>
    Effect.flatMap(renew(subject), (renewed) =>
      subjectOf(renewed.token) === subject
        ? Effect.succeed(renewed)
        : tries > 1
          ? find(subject, tries - 1)
          : Effect.fail(new TokenError.ProviderUnavailable({ failure: "timeout" }))
    )

  return {
    derive: (subject) =>
      Effect.suspend(() => {
        const start = monotonic(clock)
        const known = latest === undefined ? Effect.void : check(subject, latest)
        return Effect.andThen(known, turn.withPermits(1)(Effect.suspend(() => find(subject, patience)))).pipe(
          Effect.map((renewed) => ({
            accessToken: renewed.token.accessToken,
            // Who stamps it counts from when it asked, before it had its turn.
            expiresIn: Exchange.remaining(renewed, clock) + (monotonic(clock) - start),
            extra: renewed.token.extra
          }))
        )
      }),
    latest: turn.withPermits(1)(
      Effect.suspend(() =>
        latest === undefined ? Effect.map(renew(undefined), ({ token }) => token) : Effect.succeed(latest)
      )
    ),
    clear: turn.withPermits(1)(
      Effect.suspend(() => {
        latest = undefined
        cooling = undefined
        return exchange.clear(account)
      })
    )
  }
})
