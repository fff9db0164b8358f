/**
 * No secret of movingimage is written down, as `test/privacy.test.ts` shows of api.video. Secrets are a username and a
 * password, every access and refresh token that was issued, and the token of an upload URL.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, type Duration, Effect, Layer, Redacted, Schedule, Schema, type Scope } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { AccessToken, MovingImage, RenewalPolicy, TokenService } from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/MovingImageSandbox"
import {
  broken,
  eavesdropping,
  faults,
  hasty,
  indiscreet,
  named,
  parrot,
  patienceFor,
  type Play,
  playing,
  silent,
  untilGiven,
  watched,
  Witness
} from "../support/witness.ts"

// Characters that JSON, URLs and base64 write in another way.
const plantedUsername = "PLANTED-ada+7f3a91c2d4e5@example.com"
const plantedPassword = 'PLANTED-pass-"\\/+&=%é-c2d4e57f3a91'
const plantedUploadToken = "1461246419962~PLANTED55e8fd67c0ffee"
const username = Redacted.make(plantedUsername)
const password = Redacted.make(plantedPassword)
const credentials = { username, password }

interface Stage {
  readonly url: string
  readonly sandbox: Sandbox.MovingImageSandbox["Service"]
  readonly witness: Witness
  readonly play: Play
}

type Scenario = (stage: Stage) => Effect.Effect<unknown, unknown, HttpClient.HttpClient | Scope.Scope>

const account: Sandbox.Account = {
  username: plantedUsername,
  password: plantedPassword,
  videoManagers: [
    { id: 101, name: "Marketing" },
    { id: 102, name: "Training" }
  ]
}

const test = (name: string, scenario: Scenario) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.MovingImageSandbox
      const witness = new Witness(plantedUsername, plantedPassword, plantedUploadToken)
      const stage = { play: playing(witness), sandbox, url: sandbox.url, witness }
      yield* watched(witness)(Effect.scoped(Effect.provide(scenario(stage), eavesdropping(witness))))
      witness.show("ledger", yield* sandbox.ledger)
      assert.isAbove(witness.seen.length, 20)
      assert.strictEqual(witness.leaks.join("\n"), "")
    }).pipe(Effect.provide(Sandbox.layer({ accounts: [account], rateLimit: Infinity, lockAfter: Infinity })))
  )

const program = (stage: Stage, options: Partial<MovingImage.TokenOptions> = {}) =>
  MovingImage.layerClient({
    baseUrl: stage.url,
    rateLimits: false,
    rateLimitRetries: 0,
    retry: Schedule.recurs(1)
  }).pipe(
    Layer.provideMerge(
      MovingImage.layerToken({
        baseUrl: stage.url,
        ...credentials,
        ...options,
        policy: { ...hasty, ...options.policy }
      })
    )
  )

const starts = <A, E, R>(layer: Layer.Layer<A, E, R>) => Effect.asVoid(Layer.build(layer))

/** One request of each kind. */
const everyRequest = (play: Play, origin: string, patience: Duration.Input = "10 seconds") =>
  Effect.gen(function* () {
    const api = yield* MovingImage.MovingImage
    const send = (what: string, request: HttpClientRequest.HttpClientRequest) =>
      play(what, Effect.timeout(api.execute(request), patience))
    // Of these, a good answer says what it is the answer to.
    const sendSecret = (what: string, request: HttpClientRequest.HttpClientRequest) =>
      play(what, Effect.asVoid(Effect.timeout(api.execute(request), patience)))
    yield* send("list", HttpClientRequest.get("/v1/vms/101/videos?title=a"))
    yield* send("create", HttpClientRequest.post("/v1/vms/101/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ a: 1 })))
    yield* send("delete", HttpClientRequest.delete("/v1/vms/101/videos/abc"))
    yield* sendSecret("upload", HttpClientRequest.post(`${origin}/chunks/ab?vm=101&__token__=${plantedUploadToken}`))
    yield* sendSecret("upload, token in the path", HttpClientRequest.post(`/chunks/a&__token__=${plantedUploadToken}`))
    yield* sendSecret("token in the query", HttpClientRequest.get(`/v1/vms?mitoken=${plantedUploadToken}&a=b`))
    yield* send(
      "upload, token among the parameters",
      HttpClientRequest.post(`${origin}/chunks/ab`).pipe(HttpClientRequest.setUrlParam("__token__", plantedUploadToken))
    )
  })

/** Another origin, where the same server is. */
const elsewhere = (url: string) => url.replace("127.0.0.1", "localhost")

describe.concurrent("no secret is written down where a login meets", () => {
  for (const kind of faults) {
    test(named(kind), (stage) =>
      Effect.gen(function* () {
        const { play, sandbox, url } = stage
        yield* sandbox.inject({ on: "login", kind, times: Infinity })
        const policy = { ...hasty, exchangeTimeout: patienceFor(kind) }
        const options = { baseUrl: url, ...credentials, policy }
        yield* play(
          "authenticate",
          Effect.timeout(MovingImage.authenticate(credentials, { baseUrl: url }), patienceFor(kind))
        )
        yield* play("layer", starts(MovingImage.layer(options)))
        yield* Effect.gen(function* () {
          const service = yield* TokenService.TokenService
          yield* play("get", service.get)
          yield* play("getValidFor", service.getValidFor("2 hours"))
          yield* play("renew", service.renew)
          yield* play("state", service.state)
          yield* play("invalidate", service.invalidate)
        }).pipe(Effect.provide(MovingImage.layerToken({ ...options, eager: false })))
      })
    )
  }
})

describe.concurrent("no secret is written down where the switch to a VideoManager meets", () => {
  for (const kind of faults) {
    test(named(kind), (stage) =>
      Effect.gen(function* () {
        const { play, sandbox } = stage
        yield* sandbox.inject({ on: "refresh", kind, times: Infinity })
        const policy = { ...hasty, exchangeTimeout: patienceFor(kind) }
        const options = { baseUrl: stage.url, ...credentials, videoManager: 102, policy }
        yield* play("layer", starts(MovingImage.layer(options)))
        yield* Effect.gen(function* () {
          const service = yield* TokenService.TokenService
          yield* play("get", service.get)
          yield* play("state", service.state)
        }).pipe(Effect.provide(MovingImage.layerToken({ ...options, eager: false })))
      })
    )
  }
})

describe.concurrent("no secret is written down where a refresh meets", () => {
  for (const kind of faults) {
    test(named(kind), (stage) =>
      Effect.gen(function* () {
        const { play, sandbox, url } = stage
        const service = yield* TokenService.TokenService
        const { refreshToken = Redacted.make("none") } = yield* untilGiven(service)
        yield* sandbox.inject({ on: "refresh", kind, times: Infinity })
        const refreshing = MovingImage.refresh({ refreshToken, videoManager: 101 }, { baseUrl: url })
        yield* play("refresh", Effect.timeout(refreshing, patienceFor(kind)))
        yield* play("renew", service.renew)
        yield* sandbox.inject({ on: "login", kind, times: Infinity })
        yield* play("renew, and the login as well", service.renew)
        yield* play("state", service.state)
        yield* play("get", service.get)
      }).pipe(Effect.provide(program(stage, { policy: { exchangeTimeout: patienceFor(kind) } })))
    )
  }
})

describe.concurrent("no secret is written down where a request meets", () => {
  for (const kind of faults) {
    test(named(kind), (stage) =>
      Effect.gen(function* () {
        // A client that is there: it logs in before the fault.
        yield* MovingImage.MovingImage
        yield* stage.sandbox.inject({ on: "api", kind, times: Infinity })
        yield* everyRequest(stage.play, elsewhere(stage.url), patienceFor(kind))
      }).pipe(Effect.provide(program(stage)))
    )
  }
})

describe.concurrent("no secret is written down where the server repeats all of the request with", () => {
  for (const code of [200, 400, 401, 403, 404, 415, 422, 429, 500, 503]) {
    for (const type of ["application/json", "text/plain"]) {
      test(`${code} ${type}`, (stage) => {
        const repeating = Layer.succeed(HttpClient.HttpClient, parrot(code, type))
        const { play, url } = stage
        return Effect.gen(function* () {
          const { refreshToken = password } = yield* MovingImage.authenticate(credentials, { baseUrl: url })
          yield* Effect.gen(function* () {
            yield* play("authenticate", MovingImage.authenticate(credentials, { baseUrl: url }))
            yield* play("refresh", MovingImage.refresh({ refreshToken, videoManager: 101 }, { baseUrl: url }))
          }).pipe(Effect.provide(repeating))
          yield* everyRequest(play, elsewhere(url)).pipe(
            Effect.provide(
              MovingImage.layerClient({ baseUrl: url, rateLimits: false, rateLimitRetries: 0, retry: false }).pipe(
                Layer.provide(repeating),
                Layer.provide(MovingImage.layerToken({ baseUrl: url, ...credentials, policy: hasty }))
              )
            )
          )
        })
      })
    }
  }
})

const others: Readonly<Record<string, Scenario>> = {
  "a request that is never sent, or breaks off while its body is read": ({ play, url }) => {
    const layer = Layer.provide(
      MovingImage.layerClient({ baseUrl: url, retry: false }),
      TokenService.layerTest(["test"])
    )
    const place = `${elsewhere(url)}/chunks/ab?vm=101&__token__=${plantedUploadToken}`
    const upload = HttpClientRequest.bodyStream(HttpClientRequest.post(place), broken)
    const send = (what: string, request: HttpClientRequest.HttpClientRequest) =>
      play(what, MovingImage.MovingImage.use((api) => api.execute(request)).pipe(Effect.provide(layer)))
    return Effect.gen(function* () {
      yield* send("upload by undici", upload)
      yield* send("upload by node:http", upload).pipe(Effect.provide(NodeHttpClient.layerNodeHttp))
      yield* Effect.provideService(send("upload", HttpClientRequest.post(place)), HttpClient.HttpClient, silent)
    })
  },
  "a port on which nobody listens": ({ play }) =>
    Effect.gen(function* () {
      const baseUrl = "http://127.0.0.1:9"
      yield* play("authenticate", MovingImage.authenticate(credentials, { baseUrl }))
      yield* play("layer", starts(MovingImage.layer({ baseUrl, ...credentials, policy: hasty })))
    }),
  "an exchange whose transport tells all in its error": ({ play, url }) =>
    Effect.gen(function* () {
      yield* play("authenticate", MovingImage.authenticate(credentials, { baseUrl: url }))
      yield* play("refresh", MovingImage.refresh({ refreshToken: password, videoManager: 101 }, { baseUrl: url }))
      yield* play("layer", starts(MovingImage.layer({ baseUrl: url, ...credentials, policy: hasty })))
    }).pipe(Effect.provideService(HttpClient.HttpClient, indiscreet)),
  "options that cannot be": ({ play, url }) =>
    Effect.gen(function* () {
      const line = (secret: string) => Redacted.make(`${secret}\n`)
      const layers: Readonly<Record<string, Partial<MovingImage.Options>>> = {
        "line break in the username": { username: line(plantedUsername) },
        "line break in the password": { password: line(plantedPassword) },
        "password in the URL": { baseUrl: `https://ada:${encodeURIComponent(plantedPassword)}@api.video-cdn.net` },
        "password in the query": { baseUrl: `https://api.video-cdn.net?p=${encodeURIComponent(plantedPassword)}` },
        "password for a URL": { baseUrl: plantedPassword },
        "VideoManager that is none": { videoManager: -1 },
        "failing vault": { password: Effect.fail(`vault: ${plantedPassword}`) }
      }
      for (const [name, options] of Object.entries(layers)) {
        yield* play(name, starts(MovingImage.layer({ baseUrl: url, ...credentials, policy: hasty, ...options })))
      }
    }),
  "configuration that is missing or wrong": ({ play, url }) =>
    Effect.gen(function* () {
      const environments = [
        { NAME: plantedUsername },
        { NAME: plantedUsername, PASSWORD: plantedPassword, VIDEO_MANAGER: plantedPassword },
        { NAME: plantedUsername, PASSWORD: plantedPassword, VIDEO_MANAGER: "101", POLICY_COOL_DOWN: plantedPassword },
        { NAME: plantedUsername, PASSWORD: `${plantedPassword}\n`, VIDEO_MANAGER: "101" }
      ]
      for (const env of environments) {
        const layer = MovingImage.layerConfig({
          username: Config.Redacted("NAME"),
          password: Config.Redacted("PASSWORD"),
          baseUrl: url,
          videoManager: Config.Int("VIDEO_MANAGER"),
          policy: RenewalPolicy.config("POLICY")
        })
        yield* play(
          JSON.stringify(Object.keys(env)),
          starts(Layer.provide(layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
        )
      }
    }),
  "a wrong password, an unknown VideoManager and none": ({ play, sandbox, url }) =>
    Effect.gen(function* () {
      const options = { baseUrl: url, ...credentials, policy: hasty }
      yield* play("unknown", starts(MovingImage.layer({ ...options, videoManager: 103 })))
      yield* sandbox.addAccount({ ...account, videoManagers: [] })
      yield* play("none", starts(MovingImage.layer(options)))
      yield* sandbox.changePassword(plantedUsername, "another")
      yield* play("authenticate", MovingImage.authenticate(credentials, { baseUrl: url }))
      yield* play("layer", starts(MovingImage.layer(options)))
    }),
  "a 401 that no renewal heals": (stage) =>
    Effect.gen(function* () {
      yield* MovingImage.MovingImage
      const kind: Sandbox.FaultKind = { _tag: "Status", status: 401, body: "{}" }
      yield* stage.sandbox.inject({ on: "api", kind, times: Infinity })
      yield* everyRequest(stage.play, elsewhere(stage.url))
    }).pipe(Effect.provide(program(stage))),
  "token answers with the secrets in the wrong places": ({ play, sandbox, url, witness }) =>
    Effect.gen(function* () {
      const changes: ReadonlyArray<(token: string) => object> = [
        (token) => ({ accessToken: { token } }),
        (token) => ({ accessToken: `${token}\n` }),
        (token) => ({ refreshToken: [token] }),
        (token) => ({ validForVideoManager: token }),
        (token) => ({ videoManagerList: token }),
        (token) => ({ videoManagerList: [{ id: token, name: token }] }),
        (token) => ({ videoManagerList: [], [token]: token }),
        (token) => ({ accessToken: undefined, error: token, error_description: token })
      ]
      for (const change of changes) {
        const rewrite = (body: unknown) => {
          const token = typeof body === "object" && body !== null && "accessToken" in body ? body.accessToken : ""
          if (typeof token === "string") witness.secrets.add(token)
          return { ...(typeof body === "object" ? body : {}), ...change(String(token)) }
        }
        yield* sandbox.inject({ on: "any", kind: { _tag: "Rewrite", rewrite } })
        yield* play("authenticate", MovingImage.authenticate(credentials, { baseUrl: url }))
      }
    }),
  "a program that logs all that it holds": (stage) =>
    Effect.gen(function* () {
      const { play, url } = stage
      const service = yield* TokenService.TokenService
      const token = yield* service.get
      const { refreshToken = password } = token
      yield* play("token", service.get)
      yield* play("VideoManagers", Effect.succeed(MovingImage.videoManagersOf(token)))
      yield* play("service", Effect.succeed(service))
      yield* play("client", MovingImage.MovingImage)
      yield* play("state", service.state)
      const provider = yield* MovingImage.provider({ ...credentials, baseUrl: url, videoManager: 102 })
      yield* play("provider", Effect.succeed(provider))
      yield* play("identity", provider.identity)
      yield* play(
        "response",
        MovingImage.MovingImage.use((api) => api.get("/v1/vms"))
      )
      yield* play("token as JSON", Schema.encodeEffect(Schema.toCodecJson(AccessToken.AccessToken))(token))
      yield* play("payload as JSON", Schema.encodeEffect(Schema.toCodecJson(MovingImage.LoginPayload))(credentials))
      yield* play(
        "operations",
        Effect.succeed([
          MovingImage.authenticate(credentials),
          MovingImage.refresh({ refreshToken, videoManager: 101 })
        ])
      )
      yield* play("layers", Effect.succeed([MovingImage.layer(credentials), MovingImage.layerToken(credentials)]))
      yield* play("payload", Effect.succeed([credentials, { refreshToken }]))
    }).pipe(Effect.provide(program(stage)))
}

describe.concurrent("no secret is written down by", () => {
  for (const [name, scenario] of Object.entries(others)) test(name, scenario)
})
