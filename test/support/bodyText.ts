import type { HttpBody } from "effect/http"

/** The text of a request's body: `undefined` unless it is at hand. */
export const bodyText = (body: HttpBody.HttpBody): string | undefined => {
  if (body._tag === "Uint8Array") return new TextDecoder().decode(body.body)
  return body._tag === "Raw" && typeof body.body === "string" ? body.body : undefined
}
