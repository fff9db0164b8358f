/**
 * Refusals of the sandboxed movingimage: JSON with a `message`, and with an error number if the documents have one
 * ("Response codes").
 *
 * The documentation shows no error body. `message` is what clients in the field look for; the number's field has no known
 * name, so it can be chosen.
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { type Answer, isRecord, type Json, type Request } from "./SandboxRequest.ts"

/** The error numbers of the documentation, and what they mean there. */
export const errorNumbers = {
  1001: "Root channel cannot be deleted.",
  1002: "Channel has subchannels and cannot be deleted.",
  1003: "Google user ID already assigned.",
  1004: "Facebook page ID already assigned.",
  1101: "Upload not possible because you reached your storage limit."
} as const

/** One of `errorNumbers`. */
export type ErrorNumber = keyof typeof errorNumbers

/** Why a request is refused. */
export interface Refusal {
  readonly status: number
  readonly message: string
  readonly errorNumber?: ErrorNumber
}

/** One of the two sentences that the documentation has for 401. */
export const wrongCredentials: Refusal = { status: 401, message: "Your authentication credentials are invalid." }

/** The other one. */
export const wrongToken: Refusal = {
  status: 401,
  message: "Your attempt to authenticate with the API failed. You'll need to fetch a new token and try again."
}

/** What a path names is not there. */
export const notFound = (what: string): Refusal => ({ status: 404, message: `There is no such ${what}.` })

/** A numbered error. The documentation has no status for them. */
export const numbered = (errorNumber: ErrorNumber): Refusal => ({
  status: 400,
  message: errorNumbers[errorNumber],
  errorNumber
})

/** The body of a refusal. */
export const body = ({ errorNumber, message }: Omit<Refusal, "status">, errorNumberField: string): Json => ({
  message,
  ...(errorNumber === undefined ? {} : { [errorNumberField]: errorNumber })
})

/** A refusal as an answer. */
export const answer = (refusal: Refusal, errorNumberField: string): Answer =>
  HttpServerResponse.jsonUnsafe(body(refusal, errorNumberField), { status: refusal.status })

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The JSON object in a request's body, or movingimage's refusal if the body has no object. */
export const jsonObject = (request: Request): Effect.Effect<Json, Refusal> => {
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    return Effect.fail({ status: 415, message: "The Content-Type must be application/json." })
  }
  return Effect.flatMap(
    Effect.orElseSucceed(request.text, () => ""),
    (text) => {
      const value = parse(text)
      if (isRecord(value)) return Effect.succeed(value)
      const message =
        value !== undefined
          ? "The body is not a JSON object."
          : /^\s*\{\s*'/.test(text)
            ? `The body is not JSON: single quotes (') around names and values must be double quotes (").`
            : "The body is not JSON."
      return Effect.fail({ status: 400, message })
    }
  )
}
