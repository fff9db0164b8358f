/** The device authorization response (RFC 8628 §3.2), as servers were seen to write it. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { isSecureOrigin } from "../../platform/shared/origin.ts"
import * as TokenError from "../../token/TokenError.ts"

/** A device code, what the person has to enter, and how to poll. Durations are in seconds. */
export interface DeviceAuthorization {
  readonly deviceCode: string
  readonly userCode: string
  readonly verificationUri: string
  readonly verificationUriComplete: string | undefined
  readonly expiresIn: number
  readonly interval: number
}

/** The interval if a response names none that makes sense (RFC 8628 §3.2), and the shortest that is used. */
const defaultInterval = 5
const shortestInterval = 1
/** How long a code is taken to be good if a response doesn't say it; the server ends it sooner if it is not. */
const defaultLifetime = 15 * 60
const longestLifetime = 24 * 60 * 60

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

/** A positive number, which some servers write as a string. */
const positiveOf = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
  return typeof number === "number" && number > 0 && number < Infinity ? number : undefined
}

const malformed = (problem: string) => Effect.fail(new TokenError.MalformedResponse({ problem }))

/**
 * Decodes a device authorization response. It also accepts `verification_url` (Google), numbers as strings, and intervals and
 * lifetimes that are missing or make no sense. It refuses a page that is not secure, because a person is sent there.
 */
export const decode = (body: unknown): Effect.Effect<DeviceAuthorization, TokenError.MalformedResponse> => {
  const members: { readonly [member: string]: unknown } = Predicate.isObject(body) ? { ...body } : {}
  const deviceCode = textOf(members["device_code"])
  const userCode = textOf(members["user_code"])
  const verificationUri = textOf(members["verification_uri"]) ?? textOf(members["verification_url"])
  const verificationUriComplete =
    textOf(members["verification_uri_complete"]) ?? textOf(members["verification_url_complete"])
  if (deviceCode === undefined) return malformed("device_code is missing or invalid")
  if (userCode === undefined) return malformed("user_code is missing or invalid")
  if (verificationUri === undefined) return malformed("verification_uri is missing or invalid")
  if (!isSecureOrigin(verificationUri) || !isSecureOrigin(verificationUriComplete ?? verificationUri)) {
    return malformed("verification_uri is neither https nor on loopback")
  }
  const expiresIn = Math.min(positiveOf(members["expires_in"]) ?? defaultLifetime, longestLifetime)
  const interval = positiveOf(members["interval"]) ?? defaultInterval
  return Effect.succeed({
    deviceCode,
    userCode,
    verificationUri,
    verificationUriComplete,
    expiresIn,
    // With an interval as long as the code lives, nothing would ever be asked.
    interval: interval < expiresIn ? Math.max(interval, shortestInterval) : defaultInterval
  })
}
