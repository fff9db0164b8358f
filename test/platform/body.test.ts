/** How much of a response is read: on every transport, at every place that reads one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { ApiVideo, MovingImage, OAuth2, TokenService } from "effect-video-auth"
import { ApiVideoError } from "effect-video-auth/api-video"
import { MovingImageError } from "effect-video-auth/moving-image"
import { brotliCompressSync, gzipSync } from "node:zlib"
import { longest, readBody, readContent } from "../../src/platform/shared/body.ts"
import { enough, once, repeat, type Respond, serve, type Served, transports } from "../support/bodies.ts"

const json = { "content-type": "application/json" }
const gzip = { ...json, "content-encoding": "gzip" }

const username = Redacted.make("user")
const password = Redacted.make("password")
const refreshToken = Redacted.make("refresh-1")

/** A valid response, made once because that takes a while. */
const huge = Buffer.concat([Buffer.from('{"title":"'), Buffer.alloc(50_000_000, "a"), Buffer.from('"}')])

const endless = (status: number, headers: Readonly<Record<string, string>> = json) =>
  repeat(status, headers, "[".repeat(65_536))

/** A few hundred kilobytes that decode to more than anybody wants. */
const bomb = gzipSync(Buffer.alloc(enough, "["))

/** What the operating system and the transport keep beyond what the library has read. */
const slack = 24 * 1024 * 1024

const assertCut = (ledger: ReadonlyArray<Served>) =>
  Effect.gen(function* () {
    // The server learns of a closed connection a little later.
    while (ledger.some(({ isCut, sent }) => !isCut && sent < enough)) yield* Effect.sleep("5 millis")
    for (const { sent } of ledger) assert.isBelow(sent, slack)
  })

/** The exchanges of the library that read a token response, each at a server of its own. */
const exchanges: Readonly<
  Record<string, { readonly path: string; readonly run: (url: string) => ReturnType<typeof ApiVideo.authenticate> }>
> = {
  "api.video: login": {
    path: "/auth/api-key",
    run: (baseUrl) => ApiVideo.authenticate({ apiKey: Redacted.make("key") }, { baseUrl })
  },
  "api.video: refresh": { path: "/auth/refresh", run: (baseUrl) => ApiVideo.refresh({ refreshToken }, { baseUrl }) },
  "movingimage: login": {
    path: "/v1/vms/auth/login",
    run: (baseUrl) => MovingImage.authenticate({ username, password }, { baseUrl })
  },
  "movingimage: refresh": {
    path: "/v1/vms/auth/refresh/7",
    run: (baseUrl) => MovingImage.refresh({ refreshToken, videoManager: 7 }, { baseUrl })
  }
}

/** The clients of the platforms. */
const clients = {
  "api.video": {
    path: "/videos",
    failure: (url: string) =>
      Effect.gen(function* () {
        return yield* Effect.flip((yield* ApiVideo.ApiVideo).get("/videos"))
      }).pipe(Effect.provide(ApiVideo.layerClient({ baseUrl: url, rateLimitRetries: 0, retry: false })))
  },
  movingimage: {
    path: "/v1/vms",
    failure: (url: string) =>
      Effect.gen(function* () {
        return yield* Effect.flip((yield* MovingImage.MovingImage).get("/v1/vms"))
      }).pipe(Effect.provide(MovingImage.layerClient({ baseUrl: url, rateLimitRetries: 0, retry: false })))
  }
}

const tokens = TokenService.layerTest(["access-1", "access-2"])

for (const [transport, layer] of Object.entries(transports)) {
  const live = <A, E>(
    name: string,
    test: Effect.Effect<A, E, HttpClient.HttpClient | TokenService.TokenService | Scope.Scope>
  ) => it.live(name, () => test.pipe(Effect.provide(Layer.merge(layer, tokens))))

  describe(`on ${transport}`, () => {
    for (const [name, { path, run }] of Object.entries(exchanges)) {
      const fails = Effect.fnUntraced(function* (respond: Respond) {
        const { ledger, url } = yield* serve({ [path]: respond })
        const { reason } = yield* Effect.flip(run(url))
        return { ledger, reason }
      })
      const expected = name.endsWith("login") ? "MalformedResponse" : "AmbiguousExchange"

      live(
        `an endless token response is read up to 1 MiB, then closed (${name})`,
        Effect.gen(function* () {
          const { ledger, reason } = yield* fails(endless(200))
          assert.strictEqual(reason._tag, expected)
          assert.include(reason.message, "the body is larger than 1 MiB")
          yield* assertCut(ledger)
        })
      )

      live(
        `a token response that is encoded is decoded or named (${name})`,
        Effect.gen(function* () {
          const { reason } = yield* fails(once(200, { ...json, "content-encoding": "gzip" }, gzipSync('{"a": 1}')))
          assert.strictEqual(reason._tag, expected)
          if (transport === "fetch") assert.notInclude(reason.message, "gzip")
          else assert.include(reason.message, "the body is encoded (gzip), and this HttpClient does not decode it")
        })
      )

      live(
        `a compressed token response of any size is not unpacked beyond 1 MiB (${name})`,
        Effect.gen(function* () {
          const { reason } = yield* fails(once(200, gzip, bomb))
          assert.strictEqual(reason._tag, expected)
          assert.include(reason.message, transport === "fetch" ? "larger than 1 MiB" : "encoded (gzip)")
        })
      )

      live(
        `an endless refusal is closed (${name})`,
        Effect.gen(function* () {
          const { ledger, reason } = yield* fails(endless(400))
          assert.isDefined(reason)
          yield* assertCut(ledger)
        })
      )
    }

    for (const [name, { failure, path }] of Object.entries(clients)) {
      const fails = Effect.fnUntraced(function* (respond: Respond) {
        const { ledger, url } = yield* serve({ [path]: respond })
        return { ledger, error: yield* failure(url) }
      })

      for (const status of [400, 404, 429, 503]) {
        live(
          `an endless ${status} is read up to 64 KiB, then closed (${name})`,
          Effect.gen(function* () {
            const { error, ledger } = yield* fails(endless(status))
            assert.include(error.message, `${status}: the body is larger than 64 KiB`)
            yield* assertCut(ledger)
          })
        )
      }

      live(
        `an endless 401 keeps no connection from its recovery (${name})`,
        Effect.gen(function* () {
          const { error, ledger } = yield* fails(endless(401))
          assert.strictEqual(error._tag, "TokenError")
          assert.strictEqual(ledger.length, 2)
          yield* assertCut(ledger)
        })
      )

      live(
        `an error that is encoded is decoded or named (${name})`,
        Effect.gen(function* () {
          const problem = JSON.stringify({ title: "no such video", message: "no such video" })
          const { error } = yield* fails(once(404, { ...json, "content-encoding": "gzip" }, gzipSync(problem)))
          const said =
            transport === "fetch" ? "no such video" : "encoded (gzip), and this HttpClient does not decode it"
          assert.include(error.message, said)
        })
      )

      live(
        `an error with 50 MB of text is not read (${name})`,
        Effect.gen(function* () {
          const { error } = yield* fails(once(400, json, huge))
          assert.include(error.message, "400: the body is larger than 64 KiB")
        })
      )
    }

    live(
      "an endless metadata document is closed, and read up to 1 MiB",
      Effect.gen(function* () {
        const { ledger, url } = yield* serve({ "/.well-known/openid-configuration": endless(200) })
        const clientId = "client"
        const provider = yield* OAuth2.clientCredentials({ issuer: url, clientId, discovery: "openid" })
        const reason = yield* Effect.flip(provider.login!)
        assert.strictEqual(reason._tag, "ProviderUnavailable")
        yield* assertCut(ledger)
      })
    )

    live(
      "bodies of all kinds: empty, small, cut, and read before",
      Effect.gen(function* () {
        const { url } = yield* serve({
          "/none": once(204, {}, ""),
          "/empty": once(200, {}, ""),
          "/small": once(200, {}, "small"),
          "/cut": (response) => {
            response.writeHead(200, { "content-length": "100" }).write("cut")
            setImmediate(() => response.destroy())
          }
        })
        const client = yield* HttpClient.HttpClient
        const get = (path: string) => client.get(url + path)
        const text = Effect.map(
          Effect.flatMap(get("/small"), (response) => Effect.andThen(response.text, readBody(response, { limit: 9 }))),
          (body) => (body._tag === "Whole" ? new TextDecoder().decode(body.bytes) : body.problem)
        )
        // A logger around the program's own client has read it: it is not empty for all that.
        assert.strictEqual(yield* text, "small")
        const bodyOf = (path: string, limit = 9) =>
          Effect.map(
            Effect.flatMap(get(path), (response) => readBody(response, { limit })),
            (body) => (body._tag === "Whole" ? body.bytes.length : body.problem)
          )
        assert.strictEqual(yield* bodyOf("/none"), 0)
        assert.strictEqual(yield* bodyOf("/empty"), 0)
        assert.strictEqual(yield* bodyOf("/small"), 5)
        assert.strictEqual(yield* bodyOf("/small", 5), 5)
        assert.strictEqual(yield* bodyOf("/small", 4), "is larger than 1 KiB")
        assert.strictEqual(yield* bodyOf("/cut"), "broke off")
      })
    )

    live(
      "a resource is read up to 16 MiB, and what is wrong with it is named",
      Effect.gen(function* () {
        const { ledger, url } = yield* serve({
          "/endless": endless(200),
          "/large": once(200, json, `"${"a".repeat(8 * 1024 * 1024)}"`),
          "/empty": once(200, json, ""),
          "/br": once(200, { "content-encoding": "br" }, brotliCompressSync(JSON.stringify("a".repeat(99)))),
          "/own": once(200, { "content-encoding": "credential-9" }, Buffer.from([0xff, 0xfe]))
        })
        const client = yield* HttpClient.HttpClient
        const contentOf = (path: string) =>
          Effect.flatMap(client.get(url + path), (response) => readContent(response, { limit: longest.resource }))
        const unread = (problem: string) => ({ _tag: "Unread", problem }) as const
        assert.deepStrictEqual(yield* contentOf("/large"), { _tag: "Json", value: "a".repeat(8 * 1024 * 1024) })
        assert.deepStrictEqual(yield* contentOf("/empty"), { _tag: "Empty" })
        assert.deepStrictEqual(yield* contentOf("/endless"), unread("is larger than 16 MiB"))
        yield* assertCut(ledger.filter(({ path }) => path === "/endless"))
        assert.deepStrictEqual(
          yield* contentOf("/br"),
          transport === "fetch"
            ? { _tag: "Json", value: "a".repeat(99) }
            : unread("is encoded (br), and this HttpClient does not decode it")
        )
        // The name of a coding that nobody knows is the server's text.
        const own = yield* contentOf("/own")
        if (transport !== "fetch") {
          assert.deepStrictEqual(own, unread("is encoded (in an unknown way), and this HttpClient does not decode it"))
        }
        assert.notInclude(JSON.stringify(own), "credential-9")
      })
    )

    live(
      "a body that never ends is given up in time",
      Effect.gen(function* () {
        const { ledger, url } = yield* serve({
          "/slow": (response, served) => {
            response.writeHead(404)
            const timer = setInterval(() => {
              served.sent += 1
              response.write("a")
            }, 5)
            response.on("close", () => clearInterval(timer))
          }
        })
        const client = yield* HttpClient.HttpClient
        const response = yield* client.get(`${url}/slow`)
        const content = yield* readContent(response, { limit: longest.error, within: 50 })
        assert.deepStrictEqual(content, { _tag: "Unread", problem: "did not end within 0.05 s" })
        yield* assertCut(ledger)
      })
    )
  })
}

describe("the text of an error", () => {
  const secret = `access-token-${"0123456789".repeat(40)}`
  const request = HttpClientRequest.get("https://ws.api.video/videos", {
    headers: { authorization: `Bearer ${secret}` }
  })
  const errorOf = (body: object) =>
    Effect.gen(function* () {
      const response = HttpClientResponse.fromWeb(request, Response.json(body, { status: 400 }))
      const { message, reason } = yield* ApiVideoError.fromResponse(response)
      return reason._tag === "BadRequest" ? { message, ...reason.problem } : yield* Effect.die(reason)
    })

  it.effect("is cut first and loses the credentials then, also one that the cut goes through", () =>
    Effect.gen(function* () {
      // Each credential is replaced by a shorter text, so that what follows moves forward, into what is kept.
      const before = `${secret} `.repeat(9)
      for (let cut = 0; cut <= secret.length; cut++) {
        const title = before.padEnd(4_096 - cut, "-") + secret.repeat(2)
        const problem = yield* errorOf({ title })
        assert.isAtMost(problem.title!.length, 999)
        assert.notMatch(problem.title!, /access-|0123/)
      }
    })
  )

  it.effect("keeps 20 of many problems", () =>
    Effect.gen(function* () {
      const problems = Array.from({ length: 1_000 }, (_, index) => ({ name: `p${index}`, title: "wrong" }))
      const { message, problems: kept } = yield* errorOf({ title: "wrong", name: "p0", problems })
      assert.strictEqual(kept?.length, 20)
      assert.strictEqual(kept?.[19]?.name, "p19")
      assert.include(message, "GET /videos: 400: wrong (p0), and 19 or more.")
    })
  )

  it.effect("of movingimage is cut as well", () =>
    Effect.gen(function* () {
      const body = { message: `${"a".repeat(4_090)}${secret}` }
      const response = HttpClientResponse.fromWeb(request, Response.json(body, { status: 400 }))
      const { reason } = yield* MovingImageError.fromResponse(response)
      assert.strictEqual(reason.detail?.length, 999)
    })
  )
})
