/**
 * What a person does at the sandboxed login service: opens the page, fills in its form, and is led back.
 */
import { Effect } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"

/** An answer, with its page. Redirects are not followed: the client has to be told so. */
export interface Page {
  readonly status: number
  readonly headers: HttpClientResponse.HttpClientResponse["headers"]
  readonly html: string
}

const pageOf = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Page> =>
  Effect.orDie(Effect.map(response.text, (html) => ({ status: response.status, headers: response.headers, html })))

/** Opens a page. */
export const open = (url: string) => Effect.orDie(Effect.flatMap(HttpClient.get(url), pageOf))

/** Sends the form of a page, with these fields. */
export const submit = ({ html }: Page, fields: Readonly<Record<string, string>>) => {
  const action = /<form[^>]* action="([^"]+)"/.exec(html)?.[1] ?? "no form"
  const request = HttpClientRequest.post(action.replaceAll("&amp;", "&")).pipe(HttpClientRequest.bodyUrlParams(fields))
  return Effect.orDie(Effect.flatMap(HttpClient.execute(request), pageOf))
}

/** Logs in at the page of that URL and gives where that leads, such as the redirect URI with a code. */
export const signIn = Effect.fn("signIn")(function* (
  url: string,
  fields: Readonly<Record<string, string>> = { username: "your_username", password: "your_password" }
) {
  const { headers, html } = yield* submit(yield* open(url), fields)
  return new URL(headers["location"] ?? (yield* Effect.die(html)))
})
