/**
 * Webhooks: URLs to which api.video posts events. Signature secrets in results are redacted.
 *
 * **Example** (Receiving events)
 *
 * ```ts
 * import { Console, Redacted } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { Webhooks } from "effect-video-auth/api-video"
 *
 * export const WebhookRoute = HttpRouter.add(
 *   "POST",
 *   "/webhooks",
 *   Webhooks.handler({
 *     secret: Redacted.make("sig_sec_0000000000000000000000"),
 *     onEvent: (event) =>
 *       event.type === "video.encoding.quality.completed"
 *         ? Console.log(`${event.videoId} has ${event.quality}`)
 *         : Console.log(event.type)
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Mac from "effect/crypto/Mac"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { ApiVideo, Call, ClientError } from "./ApiVideoClient.ts"
import { call, send } from "./internal/call.ts"
import { decodeLeniently } from "./internal/decode.ts"
import { fieldOf } from "./shared/issues.ts"
import { pages } from "./internal/pages.ts"
import * as routes from "./shared/routes/webhooks.ts"
import type { Page, StreamQuery } from "./Page.ts"
import type { Webhook, WebhookCreation, WebhookQuery } from "./Webhook.ts"
import * as WebhookEvents from "./WebhookEvent.ts"
import type { WebhookEvent } from "./WebhookEvent.ts"

/**
 * Returns one page of the webhooks that match, 25 unless the query says otherwise (api.video OpenAPI, `LIST-webhooks`).
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (query?: WebhookQuery): Call<Page<Webhook>> => call(routes.list, query)

/**
 * Emits all the webhooks that match, in the order of the API. Pages are requested one by one as
 * the stream is read; `pageSize` is 100 unless set.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream = (query: StreamQuery<WebhookQuery> = {}): Stream.Stream<Webhook, ClientError, ApiVideo> =>
  pages(
    (paging) => list({ ...query, ...paging }),
    ({ webhookId }) => webhookId,
    query.pageSize
  )

/**
 * Creates a webhook (`POST-webhooks`).
 *
 * @category operations
 * @since 0.1.0
 */
export const create = (webhook: WebhookCreation): Call<Webhook> => call(routes.create, webhook)

/**
 * Returns a webhook (`GET-Webhook`).
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (webhookId: string): Call<Webhook> => call(routes.get, webhookId)

const delete_ = (webhookId: string): Call<void> => send(routes.remove, webhookId)

export {
  /**
   * Deletes a webhook (`DELETE-webhook`).
   *
   * @category operations
   * @since 0.1.0
   */
  delete_ as delete
}

/**
 * A delivery to a webhook, as it came.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delivery {
  /** The `signatureSecret` of the webhook; several while one webhook replaces another. */
  readonly secret: Redacted.Redacted | ReadonlyArray<Redacted.Redacted>
  /** The raw body: one that was parsed and written again has another signature. */
  readonly body: Uint8Array | string
  /** The header `X-Api-Video-Signature`. */
  readonly signature: string | undefined
}

const bytesOf = (body: Uint8Array | string): Uint8Array =>
  typeof body === "string" ? new TextEncoder().encode(body) : body

const hmac = /* @__PURE__ */ Layer.provide(Mac.layerWebCrypto, SecureRandom.layerWebCrypto)

/**
 * Checks that api.video sent a delivery: its signature is the HMAC-SHA256 of the raw body (api.video documentation,
 * webhooks). The comparison takes the same time wherever the signatures differ.
 *
 * **Example** (A delivery from the documentation)
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { Webhooks } from "effect-video-auth/api-video"
 *
 * const body = '{"type":"video.source.recorded","videoId":"vi1"}'
 * const check = Webhooks.verify({ secret: Redacted.make("sig_sec_1"), body, signature: "00" })
 * const problem = await Effect.runPromise(Effect.flip(check))
 * problem.problem // => "wrong"
 * ```
 *
 * @category receiving
 * @since 0.1.0
 */
export const verify = ({ body, secret, signature }: Delivery): Effect.Effect<void, WebhookEvents.SignatureInvalid> =>
  Effect.gen(function* () {
    if (signature === undefined || signature === "") {
      return yield* new WebhookEvents.SignatureInvalid({ problem: "missing" })
    }
    const mac = yield* Mac.Mac
    const tag = Hex.decode(signature.trim().toLowerCase())
    const secrets = Redacted.isRedacted(secret) ? [secret] : secret
    const matches = yield* Effect.forEach(secrets, (secret) =>
      Effect.flatMap(Mac.key(Mac.hmacSha256, bytesOf(Redacted.value(secret))), (key) =>
        mac.verify(
          key,
          Result.getOrElse(tag, () => new Uint8Array(0)),
          bytesOf(body)
        )
      )
    )
    if (!matches.includes(true)) return yield* new WebhookEvents.SignatureInvalid({ problem: "wrong" })
  }).pipe(
    // An empty secret makes no key, and so no signature.
    Effect.catchTag("CryptoError", () => new WebhookEvents.SignatureInvalid({ problem: "wrong" })),
    Effect.provide(hmac)
  )

/** The schema of each kind of event. */
const schemas: Readonly<Record<string, Schema.Codec<WebhookEvent, unknown>>> = {
  "live-stream.broadcast.started": WebhookEvents.LiveStreamBroadcastStarted,
  "live-stream.broadcast.ended": WebhookEvents.LiveStreamBroadcastEnded,
  "video.source.recorded": WebhookEvents.VideoSourceRecorded,
  "video.encoding.quality.completed": WebhookEvents.VideoEncodingQualityCompleted,
  "video.caption.generated": WebhookEvents.VideoCaptionGenerated,
  "video.summary.generated": WebhookEvents.VideoSummaryGenerated
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Decodes the body of a delivery. A kind of event that this version does not know becomes an `UnknownEvent`, which has all
 * its members. Check the delivery with {@link verify} first.
 *
 * @category receiving
 * @since 0.1.0
 */
export const decodeEvent = (body: Uint8Array | string): Effect.Effect<WebhookEvent, WebhookEvents.EventMalformed> =>
  Effect.suspend(() => {
    const fail = (problem: string) => Effect.fail(new WebhookEvents.EventMalformed({ problem }))
    const json = parse(typeof body === "string" ? body : new TextDecoder().decode(body))
    if (typeof json !== "object" || json === null || Array.isArray(json)) return fail("expected a JSON object")
    const payload: Readonly<Record<string, unknown>> = { ...json }
    const name = payload["type"]
    if (typeof name !== "string") return fail("type: expected a string")
    const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined
    if (schema === undefined) return Effect.succeed({ type: "unknown", name, payload } as const)
    const decoded = decodeLeniently(schema, json)
    return Result.isSuccess(decoded)
      ? Effect.succeed(decoded.success.value)
      : fail(decoded.failure.map(({ message, path }) => `${fieldOf(path)}: ${message}`).join("; "))
  })

/** Deliveries are small. A longer one is refused before it fills the memory. */
const longestDelivery = /* @__PURE__ */ ByteSize.bytes(1024 * 1024)

/**
 * Options of {@link handler}.
 *
 * @category receiving
 * @since 0.1.0
 */
export interface HandlerOptions<E, R> {
  readonly secret: Delivery["secret"]
  readonly onEvent: (event: WebhookEvent) => Effect.Effect<unknown, E, R>
}

/**
 * Handles deliveries on a route of an `HttpRouter`: checks the signature, decodes the event and runs `onEvent`.
 *
 * Responds with 202 once `onEvent` has succeeded, 401 to a wrong signature, and 400 to a body that is not an event. If
 * `onEvent` fails the route fails with its error, and api.video delivers the event again, three times after 3 s each
 * (api.video documentation, webhooks): events can arrive twice.
 *
 * @category receiving
 * @since 0.1.0
 */
export const handler = <E, R>(
  options: HandlerOptions<E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const received = Effect.gen(function* () {
      const bytes = yield* Effect.provideService(request.arrayBuffer, HttpIncomingMessage.MaxBodySize, longestDelivery)
      const body = new Uint8Array(bytes)
      yield* verify({ secret: options.secret, body, signature: request.headers["x-api-video-signature"] })
      return yield* decodeEvent(body)
    })
    const event = yield* Effect.result(received)
    if (Result.isFailure(event)) {
      const { failure } = event
      if (failure._tag === "SignatureInvalid") return HttpServerResponse.text(failure.message, { status: 401 })
      const problem = failure._tag === "EventMalformed" ? failure.message : "the body cannot be read"
      return HttpServerResponse.text(problem, { status: 400 })
    }
    yield* options.onEvent(event.success)
    return HttpServerResponse.empty({ status: 202 })
  })
