/**
 * Posts events to webhooks as api.video does: signed, and again when the receiver refuses them (api.video documentation,
 * webhooks). Only receivers on this machine get any, unless the sandbox may post anywhere.
 */
import * as Clock from "effect/Clock"
import * as Mac from "effect/crypto/Mac"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { isLoopback, urlOf } from "./internal/loopback.ts"
import type { Json } from "./SandboxRequest.ts"

/** A webhook that is subscribed to an event. */
export interface Webhook {
  readonly webhookId: string
  readonly url: string
  readonly signatureSecret: string
}

/** One attempt to deliver an event. */
export interface Delivery {
  /** When it ended, in epoch milliseconds on the layer's clock. */
  readonly at: number
  readonly webhookId: string
  /** Where to, without the query. */
  readonly url: string
  /** The kind of event. */
  readonly type: string
  /** 1 to 4; 0: not attempted. */
  readonly attempt: number
  /** The status of the response; undefined without a response. */
  readonly status: number | undefined
  /** Why there was no response. */
  readonly problem: string | undefined
}

/** An attempt that brought no success. */
interface Failed {
  readonly status?: number | undefined
  readonly problem?: string | undefined
}

// Redirects count as failures, and one must not lead off this machine.
const transport = Layer.mergeAll(
  FetchHttpClient.layer,
  Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }),
  Layer.succeed(HttpClient.TracerPropagationEnabled, false),
  Layer.provide(Mac.layerWebCrypto, SecureRandom.layerWebCrypto)
)

/** As documented: 3 more attempts after a failure, 3 seconds apart. */
const retries = { schedule: Schedule.spaced("3 seconds"), times: 3 }

/** How long the sandbox waits for a response. api.video documents no limit. */
const patience = "10 seconds"

/**
 * Makes the sender. `webhooksFor` names the webhooks that are subscribed to a kind of event. Deliveries end with the scope.
 */
export const make = Effect.fnUntraced(function* (options: {
  readonly webhooksFor: (type: string) => ReadonlyArray<Webhook>
  readonly anywhere: boolean
  readonly onDelivery: (delivery: Delivery) => Effect.Effect<void>
}) {
  const scope = yield* Effect.scope
  const context = yield* Layer.build(transport)

  const deliver = Effect.fnUntraced(function* (type: string, body: Uint8Array, webhook: Webhook) {
    const { signatureSecret, url, webhookId } = webhook
    const target = urlOf(url)
    const shown = target === undefined ? url : `${target.origin}${target.pathname}`
    const note = (attempt: number, { problem, status }: Failed) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) =>
        options.onDelivery({ at, webhookId, url: shown, type, attempt, status, problem })
      )
    if (target === undefined || !(options.anywhere || isLoopback(target.hostname))) {
      return yield* note(0, { problem: "not on this machine: the sandbox posts to loopback only" })
    }
    const mac = yield* Mac.Mac
    const key = yield* Mac.key(Mac.hmacSha256, new TextEncoder().encode(signatureSecret))
    const signature = Hex.encode(yield* mac.sign(key, body))
    const request = HttpClientRequest.post(url).pipe(
      HttpClientRequest.setHeaders({ "x-api-video-webhookid": webhookId, "x-api-video-signature": signature }),
      HttpClientRequest.bodyUint8Array(body, "application/json")
    )
    const answer = HttpClient.execute(request).pipe(
      Effect.flatMap((response) => Effect.as(Effect.ignore(response.arrayBuffer), response.status)),
      Effect.timeoutOption(patience),
      Effect.mapError((error): Failed => ({ problem: `no response (${error.reason._tag})` })),
      Effect.filterOrFail(Option.isSome, (): Failed => ({ problem: `no response within ${patience}` })),
      Effect.map(({ value }) => value),
      Effect.filterOrFail(
        (status) => status <= 299,
        (status): Failed => ({ status })
      )
    )
    let attempt = 0
    yield* Effect.suspend(() => {
      attempt++
      return answer
    }).pipe(
      Effect.tap((status) => note(attempt, { status })),
      Effect.tapError((failed) => note(attempt, failed)),
      Effect.retry(retries),
      Effect.ignore
    )
  })

  return {
    /** Posts an event to the webhooks that are subscribed to its `type` now. Doesn't wait for them. */
    emit: (event: Json & { readonly type: string }): Effect.Effect<void> =>
      Effect.suspend(() => {
        const body = new TextEncoder().encode(JSON.stringify(event))
        return Effect.forEach(
          options.webhooksFor(event.type),
          (webhook) =>
            deliver(event.type, body, webhook).pipe(Effect.orDie, Effect.provide(context), Effect.forkIn(scope)),
          { discard: true }
        )
      })
  }
})
