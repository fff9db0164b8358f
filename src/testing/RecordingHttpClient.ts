/**
 * An `HttpClient` that sends nothing: a function answers its requests, and it records them. Use it in specs as the network
 * below a `BearerClient` or a platform's client, or on its own.
 *
 * It is built on `HttpClient.make`, so spans, redirects, retries, limits and scopes work as with a socket. For a whole
 * platform over real sockets see `ApiVideoSandbox`.
 *
 * **Example** (Asserting what went over the wire)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 * import { json, layer, RecordingHttpClient, status } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const program = Effect.gen(function*() {
 *   const response = yield* HttpClient.get("https://ws.api.video/videos", { urlParams: { page: 1 } })
 *   const [request] = yield* RecordingHttpClient.use((recording) => recording.requests)
 *   return { status: response.status, url: request?.url } // 200, https://ws.api.video/videos?page=1
 * }).pipe(
 *   Effect.provide(layer((request) => (request.method === "GET" ? json(200, { data: [] }) : status(405))))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import { HttpClientError, TransportError } from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * One request as it was sent. Printing it shows no secret: headers that may contain one are `Redacted`, and only the length
 * of the body is shown.
 *
 * **Example** (Finding the requests that carried a token)
 *
 * ```ts
 * import type { Recorded } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const withToken = (requests: ReadonlyArray<Recorded>, token: string) =>
 *   requests.filter((request) => request.carries(token)).map((request) => request.url)
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export class Recorded extends Inspectable.Class {
  /** Number of the request, from 1. */
  readonly n: number
  readonly method: string
  /** The absolute URL, with its query and without user name, password and hash. */
  readonly url: string
  /** Headers by lower-case name. Those that may contain a secret, such as `authorization` and `cookie`, are `Redacted`. */
  readonly headers: Readonly<Record<string, string | Redacted.Redacted>>
  /** The whole `Authorization` header: scheme and credential. */
  readonly authorization: Redacted.Redacted | undefined
  /** The body as text. A form has `boundary` as its boundary. `undefined` if the body is a stream or missing. */
  readonly body: string | undefined

  constructor(n: number, request: HttpClientRequest.HttpClientRequest, url: URL, body: string | undefined) {
    super()
    const { authorization } = request.headers
    this.n = n
    this.method = request.method
    const shown = new URL(url)
    shown.username = ""
    shown.password = ""
    shown.hash = ""
    this.url = shown.href
    this.headers = Headers.redact(request.headers, secretHeaders)
    this.authorization = authorization === undefined ? undefined : Redacted.make(authorization)
    this.body = body
  }

  /** Whether the request carried this bearer token. */
  carries(token: string | Redacted.Redacted): boolean {
    const value = Redacted.isRedacted(token) ? Redacted.value(token) : token
    return this.authorization !== undefined && Redacted.value(this.authorization) === `Bearer ${value}`
  }

  override toJSON(): unknown {
    return {
      _id: "Recorded",
      n: this.n,
      method: this.method,
      url: UrlParams.redactUrl(this.url),
      headers: this.headers,
      body: this.body === undefined ? undefined : `<${this.body.length} characters>`
    }
  }
}

const secretHeaders = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"]

/**
 * Answers a request with a web `Response`, or with an effect of one, which may wait or fail. Return a new `Response` each
 * time, because it can be read only once. `n` is the number of the request, from 1.
 *
 * **Example** (Refusing the first request)
 *
 * ```ts
 * import { json, type Respond, status } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const respond: Respond = (_request, n) => (n === 1 ? status(401) : json(200, { data: [] }))
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type Respond = (
  request: HttpClientRequest.HttpClientRequest,
  n: number
) => Response | Effect.Effect<Response, HttpClientError>

/**
 * The client, and its requests so far, in order.
 *
 * **Example** (Counting requests)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RecordingHttpClient } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const count = Effect.gen(function*() {
 *   const recording = yield* RecordingHttpClient
 *   return (yield* recording.requests).length
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class RecordingHttpClient extends Context.Service<
  RecordingHttpClient,
  {
    readonly client: HttpClient.HttpClient
    readonly requests: Effect.Effect<ReadonlyArray<Recorded>>
  }
>()("effect-video-auth/testing/RecordingHttpClient") {}

const textOf = ({ body }: HttpClientRequest.HttpClientRequest): Effect.Effect<string | undefined> => {
  switch (body._tag) {
    case "Empty":
    case "Stream":
      return Effect.undefined
    case "Uint8Array":
      return Effect.succeed(new TextDecoder().decode(body.body))
    case "FormData":
      return formText(body.formData)
    case "Raw": {
      const raw = body.body
      if (typeof raw === "string") return Effect.succeed(raw)
      if (raw instanceof URLSearchParams) return Effect.succeed(raw.toString())
      if (raw instanceof Uint8Array || raw instanceof ArrayBuffer) return Effect.succeed(new TextDecoder().decode(raw))
      if (raw instanceof Blob) return Effect.promise(() => raw.text())
      return raw instanceof FormData ? formText(raw) : Effect.undefined
    }
  }
}

// Each request has a random boundary. Replacing it makes equal forms equal.
const formText = (form: FormData) => {
  const encoded = new Response(form)
  const boundary = encoded.headers.get("content-type")?.split("boundary=")[1] ?? ""
  return Effect.map(
    Effect.promise(() => encoded.text()),
    (text) => text.replaceAll(boundary, "boundary")
  )
}

/**
 * Makes a client without a layer. Each client has its own record.
 *
 * **Example** (A client for one assertion)
 *
 * ```ts
 * import { make, status } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const { client, requests } = make(() => status(204))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (respond: Respond): RecordingHttpClient["Service"] => {
  const requests: Array<Recorded> = []
  const client = HttpClient.make((request, url) =>
    Effect.flatMap(textOf(request), (body) => {
      const n = requests.length + 1
      requests.push(new Recorded(n, request, url, body))
      const answer = respond(request, n)
      return Effect.map(Effect.isEffect(answer) ? answer : Effect.succeed(answer), (response) =>
        HttpClientResponse.fromWeb(request, response)
      )
    })
  )
  return RecordingHttpClient.of({ client, requests: Effect.sync(() => [...requests]) })
}

/**
 * Provides the client as the `HttpClient`, and the service that has its record.
 *
 * **Example** (A network that is down)
 *
 * ```ts
 * import { layer, transportError } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const Down = layer(transportError("ECONNREFUSED"))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (respond: Respond): Layer.Layer<HttpClient.HttpClient | RecordingHttpClient> =>
  Layer.effectContext(
    Effect.sync(() => {
      const recording = make(respond)
      return Context.make(RecordingHttpClient, recording).pipe(Context.add(HttpClient.HttpClient, recording.client))
    })
  )

/**
 * Makes a response with a JSON body.
 *
 * **Example** (A problem of api.video)
 *
 * ```ts
 * import { json } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const limited = () => json(429, { title: "Too many requests" }, { "x-ratelimit-retry-after": "40" })
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const json = (code: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response =>
  Response.json(body, { status: code, headers })

/**
 * Makes a response without a body.
 *
 * **Example** (A redirect)
 *
 * ```ts
 * import { status } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const moved = () => status(302, { location: "https://ws.api.video/videos" })
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const status = (code: number, headers: Readonly<Record<string, string>> = {}): Response =>
  new Response(null, { status: code, headers })

/**
 * Makes a response in HTML, like a proxy or a gateway. The default body is `<h1>` and the status.
 *
 * **Example** (A gateway that times out)
 *
 * ```ts
 * import { html } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const gateway = () => html(504)
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const html = (code: number, body = `<h1>${code}</h1>`): Response =>
  new Response(body, { status: code, headers: { "content-type": "text/html" } })

/**
 * Fails without a response: with a `TransportError` whose cause has a code of Node's, such as `ECONNREFUSED` (never sent) or
 * `ECONNRESET` (perhaps processed).
 *
 * **Example** (A connection that breaks once)
 *
 * ```ts
 * import { json, type Respond, transportError } from "effect-video-auth/testing/RecordingHttpClient"
 *
 * export const respond: Respond = (request, n) => (n === 1 ? transportError("ECONNRESET")(request) : json(200, {}))
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const transportError =
  (code: string) =>
  (request: HttpClientRequest.HttpClientRequest): Effect.Effect<never, HttpClientError> =>
    Effect.fail(
      new HttpClientError({
        reason: new TransportError({ request, cause: Object.assign(new Error(`network: ${code}`), { code }) })
      })
    )
