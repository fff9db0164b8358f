/** What a failed or refused exchange says about the wire: whether the request was sent, and how long to wait. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted, type Scope } from "effect"
import { HttpClient, HttpClientError } from "effect/http"
import { TestClock } from "effect/testing"
import { ApiVideo, MovingImage, type TokenError } from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import { readFileSync } from "node:fs"
import * as Https from "node:https"
import * as Net from "node:net"
import type { AddressInfo } from "node:net"

const pem = readFileSync(new URL("../fixtures/self-signed-test-only.pem", import.meta.url))

const listening = <S extends Net.Server>(server: S): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close())
  )

/** Splits a TCP stream into TLS records, so that one of them can be changed. */
const records = (each: (record: Buffer) => void) => {
  let rest = Buffer.alloc(0)
  return (data: Buffer) => {
    rest = Buffer.concat([rest, data])
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt16BE(3)) {
      const length = 5 + rest.readUInt16BE(3)
      each(Buffer.from(rest.subarray(0, length)))
      rest = rest.subarray(length)
    }
  }
}

/** An HTTPS server behind a proxy that damages every record of a response. The server has read the whole request by then. */
const damagedResponses = (damage: (record: Buffer) => void) =>
  Effect.gen(function* () {
    let requests = 0
    const server = Https.createServer({ key: pem, cert: pem }, (request, response) => {
      request.resume().on("end", () => {
        requests += 1
        response.end("{}")
      })
    })
    const target = yield* listening(server)
    const proxy = Net.createServer((client) => {
      const upstream = Net.connect(target, "127.0.0.1")
      client.on("error", () => upstream.destroy()).on("close", () => upstream.destroy())
      upstream.on("error", () => client.destroy()).on("close", () => client.destroy())
      client.pipe(upstream)
      upstream.on(
        "data",
        records((record) => {
          if (requests > 0) damage(record)
          client.write(record)
        })
      )
    })
    const port = yield* listening(proxy)
    return { baseUrl: `https://127.0.0.1:${port}`, requests: () => requests }
  })

const transports = {
  undici: NodeHttpClient.layerUndiciOptions({ connect: { ca: pem } }),
  "node:http": Layer.provide(NodeHttpClient.layerNodeHttpNoAgent, NodeHttpClient.layerAgentOptions({ ca: pem }))
}

const damages = {
  "a bad MAC": (record: Buffer) => {
    record[record.length - 1]! ^= 0xff
  },
  "another version in its header": (record: Buffer) => {
    record[1] = 9
  },
  "an unknown type": (record: Buffer) => {
    record[0] = 99
  }
}

const refreshToken = Redacted.make("refresh-1")

describe("a refresh whose response is damaged on its way may have been carried out:", () => {
  for (const [transport, layer] of Object.entries(transports)) {
    for (const [name, damage] of Object.entries(damages)) {
      it.live(`${name} (${transport})`, () =>
        Effect.gen(function* () {
          const { baseUrl, requests } = yield* damagedResponses(damage)
          const { reason } = yield* Effect.flip(ApiVideo.refresh({ refreshToken }, { baseUrl }))
          assert.strictEqual(requests(), 1)
          assert.strictEqual(reason._tag, "AmbiguousExchange")
        }).pipe(Effect.provide(layer))
      )
    }
  }
})

/** A client whose transport fails with this error. */
const failing = (cause: unknown) =>
  HttpClient.make((request) =>
    Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) }))
  )

const error = (code: string, message = code) => Object.assign(new Error(message), { code })

describe("a refresh was never sent only if there was no TLS", () => {
  const never = {
    "an expired certificate": error("CERT_HAS_EXPIRED"),
    "a self-signed certificate": error("DEPTH_ZERO_SELF_SIGNED_CERT"),
    "an unknown issuer": new TypeError("fetch failed", { cause: error("UNABLE_TO_GET_ISSUER_CERT_LOCALLY") }),
    "a certificate for another host": error("ERR_TLS_CERT_ALTNAME_INVALID"),
    "plain HTTP (undici)": error("ERR_SSL_WRONG_VERSION_NUMBER"),
    "plain HTTP (node:http)": error(
      "EPROTO",
      "write EPROTO 0A00010B:SSL routines:tls_validate_record_header:wrong version number"
    ),
    "a refused handshake": error(
      "EPROTO",
      "write EPROTO 0A000410:SSL routines:ssl3_read_bytes:ssl/tls alert handshake failure"
    ),
    "an old version of TLS": error("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION")
  }
  const perhaps = {
    "a damaged record": error("ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
    "a damaged record while writing": error(
      "EPROTO",
      "write EPROTO 0A000119:SSL routines::decryption failed or bad record mac"
    ),
    "a damaged header": error(
      "ERR_SSL_WRONG_VERSION_NUMBER",
      "0A00010B:SSL routines:tls13_validate_record_header:wrong version number"
    ),
    "an alert after the handshake": error("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    "a shutdown": error("ERR_SSL_APPLICATION_DATA_AFTER_CLOSE_NOTIFY")
  }
  const refreshing = (cause: unknown) =>
    Effect.map(
      Effect.provideService(Effect.flip(ApiVideo.refresh({ refreshToken })), HttpClient.HttpClient, failing(cause)),
      ({ reason }) => reason
    )
  for (const [name, cause] of Object.entries(never)) {
    it.effect(`${name}: never`, () =>
      Effect.gen(function* () {
        assert.include(yield* refreshing(cause), { _tag: "ProviderUnavailable", failure: "tls", sent: false })
      })
    )
  }
  for (const [name, cause] of Object.entries(perhaps)) {
    it.effect(`${name}: perhaps`, () =>
      Effect.gen(function* () {
        assert.include(yield* refreshing(cause), { _tag: "AmbiguousExchange", failure: "network" })
      })
    )
  }
})

describe("Retry-After", () => {
  const logins: Readonly<Record<string, Effect.Effect<unknown, TokenError.TokenError, HttpClient.HttpClient>>> = {
    "api.video": ApiVideo.authenticate({ apiKey: Redacted.make("key") }),
    movingimage: MovingImage.authenticate({ username: Redacted.make("user"), password: Redacted.make("password") })
  }
  const now = Date.parse("2026-11-29T12:00:00Z")
  const inThreeSeconds = "Sun, 29 Nov 2026 12:00:03 GMT"
  const headers: Readonly<Record<string, readonly [Readonly<Record<string, string>>, number | undefined]>> = {
    "whole seconds": [{ "retry-after": "3" }, 3],
    "fractions of a second": [{ "retry-after": "2.5" }, 2.5],
    "an HTTP date": [{ "retry-after": inThreeSeconds }, 3],
    "an HTTP date, by a server whose clock is an hour ahead": [
      { "retry-after": "Sun, 29 Nov 2026 13:00:03 GMT", date: "Sun, 29 Nov 2026 13:00:00 GMT" },
      3
    ],
    "a date in the past": [{ "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
    "a date far ahead": [{ "retry-after": "Fri, 31 Dec 9999 23:59:59 GMT" }, 3_600],
    "no date and no number": [{ "retry-after": "soon" }, undefined]
  }
  for (const [platform, login] of Object.entries(logins)) {
    for (const status of [429, 503]) {
      for (const [name, [said, seconds]] of Object.entries(headers)) {
        it.effect(`of a login's ${status} (${platform}): ${name}`, () =>
          Effect.gen(function* () {
            yield* TestClock.setTime(now)
            const { client } = Recording.make(() => Recording.json(status, {}, said))
            const error = yield* Effect.flip(Effect.provideService(login, HttpClient.HttpClient, client))
            assert.deepStrictEqual(error.retryAfter, seconds === undefined ? undefined : Duration.seconds(seconds))
          })
        )
      }
    }
  }

  for (const status of [429, 503]) {
    it.effect(`of a login's ${status} is waited for: one attempt, and the next after an HTTP date 3 s ahead`, () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(now)
        const { client, requests } = Recording.make((request, n) =>
          request.url.endsWith("/auth/api-key")
            ? n === 1
              ? Recording.json(status, {}, { "retry-after": inThreeSeconds })
              : Recording.json(200, { access_token: "access", token_type: "Bearer", expires_in: 3_600 })
            : Recording.json(200, {})
        )
        const layer = ApiVideo.layer({ apiKey: Redacted.make("key"), eager: false })
        const fiber = yield* ApiVideo.ApiVideo.use((api) => api.get("/videos")).pipe(
          Effect.provide(layer),
          Effect.provideService(HttpClient.HttpClient, client),
          Effect.forkChild({ startImmediately: true })
        )
        // The key is hashed in real time.
        while ((yield* requests).length === 0) yield* Effect.promise(() => new Promise(setImmediate))
        yield* TestClock.adjust("2999 millis")
        assert.strictEqual((yield* requests).length, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        assert.strictEqual((yield* requests).length, 3)
      })
    )
  }
})
