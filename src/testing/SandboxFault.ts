/**
 * Failures on demand: what networks, proxies and servers do to an answer.
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as SandboxProblem from "./SandboxProblem.ts"

/**
 * What goes wrong. "Processed" means that state changed: tokens were issued, the refresh token was consumed.
 *
 * - `Latency`: waits on the layer's Clock, then answers as usual; `when: "after"` waits with the processed answer in hand.
 * - `DropBefore`: the connection breaks before processing. `DropAfter`: after it; the answer is lost.
 * - `Hang`: no answer until the client goes away or the layer closes. Not processed.
 * - `Status`: any status, with an empty body unless given; `processed: true` makes it a gateway that lost the answer.
 * - `RateLimited`: 429 with api.video's headers; `retryAfter` in seconds.
 * - `Html`: a proxy's page, also with 200; `processed` as above.
 * - `TruncatedJson`: processed, then half of the answer's body with status 200.
 * - `Echo`: a problem whose `title` and `detail` repeat the request's body, so the key.
 * - `Json`: any JSON body, not processed. `Rewrite`: processed, then the answer's JSON body changed.
 * - `Redirect`: a redirect to `location`.
 */
export type FaultKind = Data.TaggedEnum<{
  Latency: { readonly duration: Duration.Input; readonly when?: "before" | "after" | undefined }
  DropBefore: {}
  DropAfter: {}
  Hang: {}
  Status: {
    readonly status: number
    readonly body?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly contentType?: string | undefined
    readonly processed?: boolean | undefined
  }
  RateLimited: { readonly retryAfter: number }
  Html: { readonly status: number; readonly processed?: boolean | undefined }
  TruncatedJson: {}
  Echo: { readonly status: number }
  Json: { readonly status: number; readonly body: unknown }
  Rewrite: { readonly rewrite: (body: unknown) => unknown }
  Redirect: { readonly location: string; readonly status: number }
}>

/** Constructors and matchers of the kinds: `FaultKind.DropAfter()`. Plain objects with a `_tag` do as well. */
export const FaultKind = Data.taggedEnum<FaultKind>()

/** A fault waiting for requests. Faults are served in the order they were injected, one per request. */
export interface Fault {
  /** Which requests: the two exchanges by name, `api` for all others, or a test of method and path. */
  readonly on: "login" | "refresh" | "api" | "any" | ((method: string, path: string) => boolean)
  /** How many matching requests; default 1, `Infinity` until `clearFaults`. */
  readonly times?: number | undefined
  readonly kind: FaultKind
}

/** The queue of faults. */
export const makeQueue = () => {
  let waiting: Array<{ readonly fault: Fault; remaining: number }> = []
  return {
    add: (fault: Fault) => {
      waiting.push({ fault, remaining: fault.times ?? 1 })
    },
    clear: () => {
      waiting = []
    },
    /** Takes the first fault meant for this request. */
    take: (target: "login" | "refresh" | "api", method: string, path: string): FaultKind | undefined => {
      const found = waiting.find(({ fault: { on } }) =>
        typeof on === "function" ? on(method, path) : on === "any" || on === target
      )
      if (found === undefined) return undefined
      found.remaining--
      waiting = waiting.filter(({ remaining }) => remaining > 0)
      return found.fault.kind
    }
  }
}

/** What a fault needs of the request that it hits. */
export interface Target {
  /** The regular answer; running it changes state. */
  readonly process: Effect.Effect<HttpServerResponse.HttpServerResponse>
  /** The request's body as text. */
  readonly body: string
  /** Breaks the connection. */
  readonly destroy: Effect.Effect<void>
}

const decoder = new TextDecoder()

const bodyOf = (response: HttpServerResponse.HttpServerResponse): string =>
  "body" in response.body && response.body.body instanceof Uint8Array ? decoder.decode(response.body.body) : ""

const page = (status: number) =>
  `<!DOCTYPE html>\n<html><head><title>${status}</title></head><body><h1>Error ${status}</h1><hr>nginx</body></html>\n`

/** Serves a fault. Undefined: the connection was broken and there is no answer. */
export const serve = (
  kind: FaultKind,
  target: Target
): Effect.Effect<HttpServerResponse.HttpServerResponse | undefined> => {
  const broken = Effect.as(target.destroy, undefined)
  const instead = (response: HttpServerResponse.HttpServerResponse, processed = false) =>
    processed ? Effect.as(target.process, response) : Effect.succeed(response)
  return FaultKind.$match(kind, {
    Latency: ({ duration, when }) =>
      when === "after"
        ? Effect.tap(target.process, () => Effect.sleep(duration))
        : Effect.andThen(Effect.sleep(duration), target.process),
    DropBefore: () => broken,
    DropAfter: () => Effect.andThen(target.process, broken),
    Hang: () => Effect.never,
    Status: ({ body, contentType, headers, processed, status }) =>
      instead(
        body === undefined
          ? HttpServerResponse.empty({ status, headers })
          : HttpServerResponse.text(body, { status, headers, contentType }),
        processed
      ),
    RateLimited: ({ retryAfter }) =>
      instead(
        HttpServerResponse.setHeaders(SandboxProblem.response("too-many-requests"), {
          "x-ratelimit-limit": "40",
          "x-ratelimit-remaining": "0",
          "x-ratelimit-retry-after": String(retryAfter)
        })
      ),
    Html: ({ processed, status }) =>
      instead(HttpServerResponse.text(page(status), { status, contentType: "text/html; charset=utf-8" }), processed),
    TruncatedJson: () =>
      Effect.map(target.process, (response) => {
        const text = bodyOf(response)
        return HttpServerResponse.text(text.slice(0, Math.ceil(text.length / 2)), { contentType: "application/json" })
      }),
    Echo: ({ status }) =>
      instead(SandboxProblem.untyped({ title: `Cannot process ${target.body}`, detail: target.body, status })),
    Json: ({ body, status }) => instead(HttpServerResponse.jsonUnsafe(body, { status })),
    Rewrite: ({ rewrite }) =>
      Effect.map(target.process, (response) => {
        const body: unknown = JSON.parse(bodyOf(response))
        return HttpServerResponse.jsonUnsafe(rewrite(body), { status: response.status })
      }),
    Redirect: ({ location, status }) => instead(HttpServerResponse.redirect(location, { status }))
  })
}
