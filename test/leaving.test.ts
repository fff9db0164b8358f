/**
 * What leaves a program that uses each platform, beside its requests: what it exports to a collector, what children
 * inherit, what a proxy sees, what goes along with cookies. No secret is in any of it.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { ProxyAgent } from "@effect/platform-node/Undici"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, References, Schedule, type Scope } from "effect"
import { Headers, HttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import { ApiVideo, MovingImage, Observability, type TokenError, TokenService } from "effect-video-auth"
import { MovingImageOpenId } from "effect-video-auth/moving-image"
import * as ApiVideoSandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as MovingImageSandbox from "effect-video-auth/testing/MovingImageSandbox"
import type { Fault, FaultKind } from "effect-video-auth/testing/SandboxFault"
import { execFile } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import { connect, type Socket } from "node:net"
import { promisify } from "node:util"
import { listen } from "./support/listen.ts"
import { eavesdropping, faults, hasty, named, patienceFor, type Play, playing, Witness } from "./support/witness.ts"

const secrets = {
  apiKey: 'PLANTED-key-"\\/+&=%é-7f3a91c2d4e5',
  username: "PLANTED-ada+7f3a91c2d4e5@example.com",
  password: 'PLANTED-pass-"\\/+&=%é-c2d4e57f3a91',
  upload: "to1PLANTEDuploadToken7f3a91c2"
}

interface Platform {
  readonly stage: Effect.Effect<
    { readonly url: string; readonly inject: (fault: Fault) => Effect.Effect<void> },
    unknown,
    Scope.Scope
  >
  /**
   * What a program does: it logs in, and once something has happened it renews, and makes requests, some of them
   * with a token of their own. A good answer to those says what it is the answer to.
   */
  readonly work: (
    play: Play,
    baseUrl: string,
    patience: ReturnType<typeof patienceFor>,
    happening?: Effect.Effect<void>
  ) => Effect.Effect<void, unknown, HttpClient.HttpClient>
}

/** movingimage, whichever way its token is got. */
const movingImage = (
  token: (
    options: MovingImage.TokenOptions
  ) => Layer.Layer<TokenService.TokenService, TokenError.TokenError, HttpClient.HttpClient>
): Platform => ({
  stage: Effect.flatMap(
    Layer.build(
      MovingImageSandbox.layer({
        accounts: [
          { username: secrets.username, password: secrets.password, videoManagers: [{ id: 101, name: "Marketing" }] }
        ],
        rateLimit: Infinity,
        lockAfter: Infinity
      })
    ),
    (context) =>
      Effect.provideContext(
        MovingImageSandbox.MovingImageSandbox.useSync((sandbox) => sandbox),
        context
      )
  ),
  work: (play, baseUrl, patience, happening = Effect.void) =>
    Effect.gen(function* () {
      const api = yield* MovingImage.MovingImage
      const tokens = yield* TokenService.TokenService
      yield* play("get", tokens.get)
      yield* happening
      yield* play("renew", tokens.renew)
      yield* play("list", Effect.timeout(api.get("/v1/vms/101/videos?title=a"), patience))
      yield* play("upload", Effect.asVoid(Effect.timeout(api.post(`/chunks/a?__token__=${secrets.upload}`), patience)))
      yield* play("token", Effect.asVoid(Effect.timeout(api.get(`/v1/vms?mitoken=${secrets.upload}`), patience)))
    }).pipe(
      Effect.provide(
        MovingImage.layerClient({ baseUrl, rateLimits: false, rateLimitRetries: 0, retry: Schedule.recurs(1) }).pipe(
          Layer.provideMerge(
            token({
              baseUrl,
              username: Redacted.make(secrets.username),
              password: Redacted.make(secrets.password),
              eager: false,
              policy: { ...hasty, exchangeTimeout: patience }
            })
          )
        )
      )
    )
})

/** One more platform is one more entry. */
const platforms: Readonly<Record<string, Platform>> = {
  "api.video": {
    stage: Effect.flatMap(
      Layer.build(ApiVideoSandbox.layer({ apiKeys: [secrets.apiKey], rateLimits: ApiVideoSandbox.noRateLimits })),
      (context) =>
        Effect.provideContext(
          ApiVideoSandbox.ApiVideoSandbox.useSync((sandbox) => sandbox),
          context
        )
    ),
    work: (play, baseUrl, patience, happening = Effect.void) =>
      Effect.gen(function* () {
        const api = yield* ApiVideo.ApiVideo
        const tokens = yield* TokenService.TokenService
        yield* play("get", tokens.get)
        yield* happening
        yield* play("renew", tokens.renew)
        yield* play("list", Effect.timeout(api.get("/videos?title=a"), patience))
        yield* play("upload", Effect.asVoid(Effect.timeout(api.post(`/upload?token=${secrets.upload}`), patience)))
        yield* play("token", Effect.asVoid(Effect.timeout(api.get(`/upload-tokens/${secrets.upload}`), patience)))
      }).pipe(
        Effect.provide(
          ApiVideo.layerClient({ baseUrl, rateLimits: false, rateLimitRetries: 0, retry: Schedule.recurs(1) }).pipe(
            Layer.provideMerge(
              ApiVideo.layerToken({
                baseUrl,
                apiKey: Redacted.make(secrets.apiKey),
                eager: false,
                policy: { ...hasty, exchangeTimeout: patience }
              })
            )
          )
        )
      )
  },
  movingimage: movingImage(MovingImage.layerToken),
  "movingimage by OpenID Connect": movingImage(MovingImageOpenId.layerAnonymousUsers)
}

/** A collector of OTLP, which keeps every byte. */
const collecting = Effect.gen(function* () {
  const { serve, url } = yield* listen
  const received = new Map<string, Array<Buffer>>()
  serve((request, response) => {
    const chunks = received.get(request.url ?? "") ?? []
    received.set(request.url ?? "", chunks)
    chunks.push(Buffer.from(JSON.stringify(request.rawHeaders)))
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => response.end("{}"))
  })
  return { url, received }
})

const formats = { JSON: Otlp.layerJson, protobuf: Otlp.layerProtobuf }

/** Runs something with logs, metrics and traces exported, and gives what the collector got, by path. */
const exported = Effect.fnUntraced(function* (
  format: keyof typeof formats,
  effect: Effect.Effect<unknown, unknown, Scope.Scope>
) {
  const { received, url } = yield* collecting
  yield* Effect.scoped(Effect.withSpan(effect, "program")).pipe(
    Effect.provide([Observability.layerLogging, Observability.layerMetrics]),
    // Closed last, as a program does: what is left is sent then.
    Effect.provide(
      Layer.provide(
        formats[format]({ baseUrl: url, resource: { serviceName: "program" }, loggerMergeWithExisting: false }),
        NodeHttpClient.layerUndici
      )
    ),
    Effect.provideService(References.MinimumLogLevel, "All")
  )
  return received
})

const assertUnseen = (witness: Witness, received: ReadonlyMap<string, ReadonlyArray<Buffer>>) => {
  assert.sameMembers([...received.keys()], ["/v1/logs", "/v1/metrics", "/v1/traces"])
  for (const [path, chunks] of received) {
    const bytes = Buffer.concat(chunks)
    assert.isAbove(bytes.length, 500, path)
    witness.text(path, bytes.toString("utf8"))
    witness.text(path, bytes.toString("latin1"))
  }
  assert.strictEqual(witness.leaks.join("\n"), "")
}

/** Every fault in one format. The other encodes the same values, so it meets the fault whose response repeats the request. */
const meetings = faults.flatMap((kind): ReadonlyArray<readonly [FaultKind, keyof typeof formats]> =>
  kind._tag === "Echo" && kind.status === 401
    ? [
        [kind, "JSON"],
        [kind, "protobuf"]
      ]
    : [[kind, "JSON"]]
)

for (const [platform, { stage, work }] of Object.entries(platforms)) {
  describe.concurrent(`no secret of ${platform} is among what is exported by OTLP`, () => {
    for (const [kind, format] of meetings) {
      it.live(`in ${format}, where everything meets ${named(kind)}`, () =>
        Effect.gen(function* () {
          const witness = new Witness(...Object.values(secrets))
          const { inject, url } = yield* stage
          const patience = patienceFor(kind)
          const play = playing(witness)
          const received = yield* exported(
            format,
            work(play, url, patience, inject({ on: "any", kind, times: Infinity })).pipe(
              Effect.provide(eavesdropping(witness))
            )
          )
          assertUnseen(witness, received)
        })
      )
    }
  })
}

describe("the scan of what is exported finds a secret", () => {
  for (const format of ["JSON", "protobuf"] as const) {
    const leaks: Readonly<Record<string, Effect.Effect<unknown>>> = {
      "a log": Effect.log(secrets.apiKey),
      "an attribute of a span": Effect.withSpan(Effect.void, "span", { attributes: { key: secrets.apiKey } })
    }
    for (const [name, leak] of Object.entries(leaks)) {
      it.live(`in ${name}, in ${format}`, () =>
        Effect.gen(function* () {
          const witness = new Witness(...Object.values(secrets))
          const received = yield* exported(format, leak)
          for (const chunks of received.values()) witness.text("all", Buffer.concat(chunks).toString("utf8"))
          assert.isNotEmpty(witness.leaks)
        })
      )
    }
  }
})

for (const [platform, { stage, work }] of Object.entries(platforms)) {
  describe(`a program that uses ${platform}`, () => {
    it.live("changes neither its environment nor its title, and tells its children nothing", () =>
      Effect.gen(function* () {
        const before = JSON.stringify([process.env, process.title, process.argv, process.execArgv])
        const witness = new Witness(...Object.values(secrets))
        const { url } = yield* stage
        yield* work(playing(witness), url, "10 seconds").pipe(Effect.provide(eavesdropping(witness)))
        assert.strictEqual(JSON.stringify([process.env, process.title, process.argv, process.execArgv]), before)
        const script = "console.log(JSON.stringify([process.env, process.title, process.argv, process.execArgv]))"
        const child = yield* Effect.promise(() => promisify(execFile)(process.execPath, ["-e", script]))
        assert.isAbove(child.stdout.length, 20)
        assert.isAbove(witness.secrets.size, 4)
        witness.text("child", child.stdout)
        assert.strictEqual(witness.leaks.join("\n"), "")
      })
    )

    it.live("sends no cookie that an answer has set, to nobody, and logs none", () =>
      Effect.gen(function* () {
        const witness = new Witness(...Object.values(secrets), "PLANTED-cookie-7f3a91c2d4e5")
        const cookies: Array<string> = []
        const { url } = yield* stage
        const setting = Effect.map(HttpClient.HttpClient, (client) =>
          HttpClient.transform(client, (effect, request) => {
            if (request.headers["cookie"] !== undefined) cookies.push(request.url)
            return Effect.map(effect, (response) => {
              const value = Headers.set(response.headers, "set-cookie", "session=PLANTED-cookie-7f3a91c2d4e5; Path=/")
              return Object.defineProperty(response, "headers", { value })
            })
          })
        )
        const network = Layer.provide(Layer.effect(HttpClient.HttpClient, setting), eavesdropping(witness))
        yield* exported("JSON", Effect.provide(work(playing(witness), url, "10 seconds"), network)).pipe(
          Effect.map((received) => assertUnseen(witness, received))
        )
        assert.deepStrictEqual(cookies, [])
      })
    )
  })
}

/** A proxy that makes tunnels, and keeps what it sees: the heads of requests to it, and the bytes that go through. */
const tunnelling = Effect.acquireRelease(
  Effect.promise(async () => {
    const seen: Array<Buffer> = []
    const sockets = new Set<Socket>()
    const server = Http.createServer((request, response) => {
      seen.push(Buffer.from(JSON.stringify([request.method, request.url, request.rawHeaders])))
      response.writeHead(502).end()
    })
    server.on("connect", (request, client: Socket) => {
      seen.push(Buffer.from(JSON.stringify([request.method, request.url, request.rawHeaders])))
      const [host = "", port = ""] = (request.url ?? "").split(":")
      const target = connect(Number(port), host, () => client.write("HTTP/1.1 200 OK\r\n\r\n"))
      for (const socket of [client, target]) {
        sockets.add(socket)
        socket.on("data", (chunk: Buffer) => seen.push(chunk))
        socket.on("error", () => socket.destroy())
      }
      client.pipe(target).pipe(client)
    })
    await once(server.listen(0, "127.0.0.1"), "listening")
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const close = () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
    return { url: `http://127.0.0.1:${port}`, seen, close }
  }),
  ({ close }) => Effect.sync(close)
)

/** The sandbox behind TLS, with a certificate that nobody else has signed. */
const behindTls = (target: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const pem = readFileSync(`${import.meta.dirname}/fixtures/self-signed-test-only.pem`)
      const server = Https.createServer({ key: pem, cert: pem }, (request, response) => {
        const { headers, method } = request
        const onward = Http.request(target + request.url, { method, headers }, (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.pipe(response)
        })
        request.pipe(onward)
      })
      await once(server.listen(0, "127.0.0.1"), "listening")
      const address = server.address()
      return { server, url: `https://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` }
    }),
    ({ server }) => Effect.sync(() => server.close().closeAllConnections())
  )

for (const [platform, { stage, work }] of Object.entries(platforms)) {
  // Behind TLS of our own the login service still says where it is, which is not behind it.
  if (platform.includes("OpenID")) continue
  it.live(`a proxy between a program and ${platform} sees no secret: neither in CONNECT nor in the tunnel`, () =>
    Effect.gen(function* () {
      const witness = new Witness(...Object.values(secrets))
      const sandbox = yield* stage
      const { url } = yield* behindTls(sandbox.url)
      const proxy = yield* tunnelling
      const dispatcher = Effect.acquireRelease(
        Effect.sync(() => new ProxyAgent({ uri: proxy.url, requestTls: { rejectUnauthorized: false } })),
        (agent) => Effect.promise(() => agent.destroy())
      )
      const network = Layer.provide(
        NodeHttpClient.layerUndiciNoDispatcher,
        Layer.effect(NodeHttpClient.Dispatcher, dispatcher)
      )
      let answers = 0
      const counted = Layer.provide(
        Layer.effect(
          HttpClient.HttpClient,
          Effect.map(
            HttpClient.HttpClient,
            HttpClient.transformResponse(
              Effect.tap((response) => Effect.sync(() => (answers += response.status < 300 ? 1 : 0)))
            )
          )
        ),
        eavesdropping(witness, network)
      )
      yield* Effect.provide(work(playing(new Witness()), url, "10 seconds"), counted)
      // The login, the refresh and the list, at least.
      assert.isAtLeast(answers, 3)
      const bytes = Buffer.concat(proxy.seen)
      assert.include(bytes.toString("latin1"), "CONNECT")
      assert.isAbove(bytes.length, 2_000)
      witness.text("the proxy", bytes.toString("utf8"))
      witness.text("the proxy", bytes.toString("latin1"))
      assert.strictEqual(witness.leaks.join("\n"), "")
    })
  )
}
