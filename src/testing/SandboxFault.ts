/**
 * Failures on demand: what networks, proxies and servers do to an answer.
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

/**
 * What goes wrong. "Processed" means that state changed: tokens were issued, the refresh token was consumed.
 *
 * - `Latency`: waits on the layer's Clock, then answers as usual; `when: "after"` waits with the processed answer in hand.
 * - `DropBefore`: the connection breaks before processing. `DropAfter`: after it; the answer is lost.
 * - `Hang`: no answer until the client goes away or the layer closes. Not processed.
 * - `Status`: any status, with an empty body unless given; `processed: true` makes it a gateway that lost the answer.
 * - `RateLimited`: the platform's 429, with its headers; `retryAfter` in seconds.
 * - `Html`: a proxy's page, also with 200; `processed` as above.
 * - `TruncatedJson`: processed, then half of the answer's body with status 200.
 * - `Echo`: an error whose text repeats the request's body, so the key or the password.
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

/** The two requests that bring tokens. Of OAuth's grants one is the refresh, and the others are logins. */
export type Exchange = "login" | "refresh"

/** A fault waiting for requests. Faults are served in the order they were injected, one per request. */
export interface Fault {
  /**
   * Which requests: the two exchanges by name, `api` for those to the API, or a test of method and path, which alone (with
   * `any`) finds what else there is, such as discovery and revocation.
   */
  readonly on: Exchange | "api" | "any" | ((method: string, path: string) => boolean)
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
    take: (target: Exchange | "api" | undefined, method: string, path: string): FaultKind | undefined => {
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

type Answer = HttpServerResponse.HttpServerResponse

/** How the platform words what faults make it say. */
export interface Voice {
  readonly rateLimited: (retryAfter: number) => Answer
  readonly echo: (status: number, body: string) => Answer
  /** An HTML page. */
  readonly page: (status: number) => string
}

/** What a fault needs of the request that it hits. */
export interface Target {
  /** The regular answer; running it changes state. */
  readonly process: Effect.Effect<Answer>
  /** The request's body as text. */
  readonly body: string
  /** Breaks the connection. */
  readonly destroy: Effect.Effect<void>
  readonly voice: Voice
}

const decoder = new TextDecoder()

const bodyOf = (response: Answer): string =>
  "body" in response.body && response.body.body instanceof Uint8Array ? decoder.decode(response.body.body) : ""

/** A proxy's page. */
export const page = (title: string, heading: string) =>
  `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${heading}</h1><hr>nginx</body></html>\n`

/** Serves a fault. Undefined: the connection was broken and there is no answer. */
export const serve = (kind: FaultKind, target: Target): Effect.Effect<Answer | undefined> => {
  const broken = Effect.as(target.destroy, undefined)
  const instead = (response: Answer, processed = false) =>
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
    RateLimited: ({ retryAfter }) => instead(target.voice.rateLimited(retryAfter)),
    Html: ({ processed, status }) =>
      instead(
        HttpServerResponse.text(target.voice.page(status), { status, contentType: "text/html; charset=utf-8" }),
        processed
      ),
    TruncatedJson: () =>
      Effect.map(target.process, (response) => {
        const text = bodyOf(response)
        return HttpServerResponse.text(text.slice(0, Math.ceil(text.length / 2)), { contentType: "application/json" })
      }),
    Echo: ({ status }) => instead(target.voice.echo(status, target.body)),
    Json: ({ body, status }) => instead(HttpServerResponse.jsonUnsafe(body, { status })),
    Rewrite: ({ rewrite }) =>
      Effect.map(target.process, (response) => {
        const body: unknown = JSON.parse(bodyOf(response))
        return HttpServerResponse.jsonUnsafe(rewrite(body), { status: response.status })
      }),
    Redirect: ({ location, status }) => instead(HttpServerResponse.redirect(location, { status }))
  })
}
