/** Makes token errors out of reasons, and finds the reason in a cause. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as TokenError from "../TokenError.ts"

/** The reason for an option that cannot work. */
export const invalid = (option: string, problem: string) => new TokenError.ConfigurationInvalid({ option, problem })

/** Adds the provider's name to a reason, which makes it a `TokenError`. */
export const withProvider = (provider: string) =>
  Effect.mapError((reason: TokenError.Reason) => new TokenError.TokenError({ provider, reason }))

/** The typed failure in a cause; `undefined` after a defect or an interruption. */
export const reasonOf = <E>(cause: Cause.Cause<E>): E | undefined => cause.reasons.find(Cause.isFailReason)?.error
