/**
 * No secret is written down: every way in which the library can fail, against every way in which a program may write down
 * what it got. Secrets are an API key, every access and refresh token that was issued, and an upload token.
 *
 * What necessarily holds a secret is not looked into: `Redacted.value` of a token, the live request of an answer
 * (`response.request`), and the body of an answer that a program reads itself. What they print is.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Console,
  type Duration,
  Effect,
  Layer,
  Metric,
  Redacted,
  Schedule,
  Schema,
  type Scope
} from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import {
  AccessToken,
  ApiVideo,
  BearerClient,
  RenewalPolicy,
  TokenError,
  TokenService,
  TokenStore
} from "effect-video-auth"
import * as Sandbox from "effect-video-auth/testing/ApiVideoSandbox"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"
import {
  broken,
  eavesdropping,
  faults,
  forms,
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
} from "./support/witness.ts"

// Characters that JSON, URLs and base64 write in another way.
const plantedKey = 'PLANTED-key-"\\/+&=%é-7f3a91c2d4e5'
const plantedUploadToken = "to1PLANTEDuploadToken7f3a91c2"
const apiKey = Redacted.make(plantedKey)

interface Stage {
  readonly url: string
  readonly sandbox: Sandbox.ApiVideoSandbox["Service"]
  readonly witness: Witness
  readonly play: Play
}

type Scenario = (stage: Stage) => Effect.Effect<unknown, unknown, HttpClient.HttpClient | Scope.Scope>

const perform = (scenario: Scenario) => {
  const witness = new Witness(plantedKey, plantedUploadToken)
  return Effect.gen(function* () {
    const sandbox = yield* Sandbox.ApiVideoSandbox
    yield* sandbox.addKey(plantedKey)
    const play = playing(witness)
    yield* watched(witness)(
      Effect.scoped(Effect.provide(scenario({ play, sandbox, url: sandbox.url, witness }), eavesdropping(witness)))
    )
    witness.show("ledger", yield* sandbox.ledger)
    return witness
  }).pipe(Effect.provide(Sandbox.layer({ rateLimits: Sandbox.noRateLimits })))
}

const test = (name: string, scenario: Scenario) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const witness = yield* perform(scenario)
      assert.isAbove(witness.seen.length, 20)
      assert.strictEqual(witness.leaks.join("\n"), "")
    })
  )

const program = (stage: Stage, policy: RenewalPolicy.Options = {}) =>
  ApiVideo.layerClient({ baseUrl: stage.url, rateLimits: false, rateLimitRetries: 0, retry: Schedule.recurs(1) }).pipe(
    Layer.provideMerge(ApiVideo.layerToken({ baseUrl: stage.url, apiKey, policy: { ...hasty, ...policy } }))
  )

const starts = <A, E, R>(layer: Layer.Layer<A, E, R>) => Effect.asVoid(Layer.build(layer))

const basic = (stage: Stage) =>
  ApiVideo.layerBasic({ baseUrl: stage.url, apiKey, rateLimits: false, rateLimitRetries: 0, retry: Schedule.recurs(1) })

/** One request of each kind. */
const everyRequest = (play: Play, patience: Duration.Input = "10 seconds") =>
  Effect.gen(function* () {
    const api = yield* ApiVideo.ApiVideo
    const send = (what: string, request: HttpClientRequest.HttpClientRequest) =>
      play(what, Effect.timeout(api.execute(request), patience))
    yield* send("list", HttpClientRequest.get("/videos?title=a"))
    yield* send("create", HttpClientRequest.post("/videos").pipe(HttpClientRequest.bodyJsonUnsafe({ title: "a" })))
    yield* send("upload, token in the URL", HttpClientRequest.post(`/upload?token=${plantedUploadToken}`))
    yield* send(
      "upload, token among the parameters",
      HttpClientRequest.post("/upload").pipe(HttpClientRequest.setUrlParam("token", plantedUploadToken))
    )
    // Of these, a good answer says what it is the answer to, and has the upload token in its body.
    const path = `/upload-tokens/${plantedUploadToken}`
    yield* play("upload token", Effect.asVoid(Effect.timeout(api.get(path), patience)))
    yield* play("upload token, deleted", Effect.asVoid(Effect.timeout(api.del(`${path}?a=b`), patience)))
  })

describe.concurrent("no secret is written down where a login meets", () => {
  for (const kind of faults) {
    test(named(kind), (stage) =>
      Effect.gen(function* () {
        const { play, sandbox, url } = stage
        yield* sandbox.inject({ on: "login", kind, times: Infinity })
        const policy = { ...hasty, exchangeTimeout: patienceFor(kind) }
        const timely = Effect.timeout(ApiVideo.authenticate({ apiKey }, { baseUrl: url }), patienceFor(kind))
        yield* play("authenticate", timely)
        yield* play("layer", starts(ApiVideo.layer({ baseUrl: url, apiKey, policy })))
        yield* Effect.gen(function* () {
          const service = yield* TokenService.TokenService
          yield* play("get", service.get)
          yield* play("getValidFor", service.getValidFor("2 hours"))
          yield* play("renew", service.renew)
          yield* play("state", service.state)
          yield* play("invalidate", service.invalidate)
        }).pipe(Effect.provide(ApiVideo.layerToken({ baseUrl: url, apiKey, policy, eager: false })))
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
        yield* play("refresh", Effect.timeout(ApiVideo.refresh({ refreshToken }, { baseUrl: url }), patienceFor(kind)))
        yield* play("renew", service.renew)
        yield* sandbox.inject({ on: "login", kind, times: Infinity })
        yield* play("renew, and the login as well", service.renew)
        yield* play("state", service.state)
        yield* play("get", service.get)
      }).pipe(Effect.provide(program(stage, { exchangeTimeout: patienceFor(kind) })))
    )
  }
})

for (const [name, layer] of Object.entries({ bearer: (stage: Stage) => program(stage), Basic: basic })) {
  describe.concurrent(`no secret is written down where a request (${name}) meets`, () => {
    for (const kind of faults) {
      test(named(kind), (stage) =>
        Effect.gen(function* () {
          // A client that is there: it logs in before the fault.
          yield* ApiVideo.ApiVideo
          yield* stage.sandbox.inject({ on: "api", kind, times: Infinity })
          yield* everyRequest(stage.play, patienceFor(kind))
        }).pipe(Effect.provide(layer(stage)))
      )
    }
  })
}

describe.concurrent("no secret is written down where the server repeats all of the request with", () => {
  for (const code of [200, 400, 401, 403, 404, 405, 409, 422, 429, 500, 503]) {
    for (const type of ["application/json", "text/plain"]) {
      test(`${code} ${type}`, (stage) => {
        const repeating = Layer.succeed(HttpClient.HttpClient, parrot(code, type))
        const { play, url } = stage
        return Effect.gen(function* () {
          const { refreshToken = Redacted.make("none") } = yield* ApiVideo.authenticate({ apiKey }, { baseUrl: url })
          yield* Effect.gen(function* () {
            yield* play("authenticate", ApiVideo.authenticate({ apiKey }, { baseUrl: url }))
            yield* play("refresh", ApiVideo.refresh({ refreshToken }, { baseUrl: url }))
            yield* Effect.provide(everyRequest(play), basic(stage))
          }).pipe(Effect.provide(repeating))
          yield* everyRequest(play).pipe(
            Effect.provide(
              ApiVideo.layerClient({ baseUrl: url, rateLimits: false, rateLimitRetries: 0, retry: false }).pipe(
                Layer.provide(repeating),
                Layer.provide(ApiVideo.layerToken({ baseUrl: url, apiKey, policy: hasty }))
              )
            )
          )
        })
      })
    }
  }
})

const others: Readonly<Record<string, Scenario>> = {
  "a port on which nobody listens": ({ play }) =>
    Effect.gen(function* () {
      const baseUrl = "http://127.0.0.1:9"
      yield* play("authenticate", ApiVideo.authenticate({ apiKey }, { baseUrl }))
      yield* play("layer", starts(ApiVideo.layer({ baseUrl, apiKey, policy: hasty })))
      yield* everyRequest(play).pipe(Effect.provide(ApiVideo.layerBasic({ baseUrl, apiKey, retry: false })))
    }),
  "an exchange whose transport tells all in its error": ({ play, url }) =>
    Effect.gen(function* () {
      yield* play("authenticate", ApiVideo.authenticate({ apiKey }, { baseUrl: url }))
      yield* play("refresh", ApiVideo.refresh({ refreshToken: apiKey }, { baseUrl: url }))
      yield* play("layer", starts(ApiVideo.layer({ baseUrl: url, apiKey, policy: hasty })))
    }).pipe(Effect.provideService(HttpClient.HttpClient, indiscreet)),
  "a request that is never sent, or breaks off while its body is read": ({ play, url }) => {
    const layer = Layer.provide(ApiVideo.layerClient({ baseUrl: url, retry: false }), TokenService.layerTest(["test"]))
    const path = `/upload-tokens/${plantedUploadToken}`
    const upload = HttpClientRequest.bodyStream(HttpClientRequest.put(path), broken)
    const elsewhere = `https://sandbox.api.video/upload?token=${plantedUploadToken}`
    const send = (what: string, request: HttpClientRequest.HttpClientRequest) =>
      play(what, ApiVideo.ApiVideo.use((api) => api.execute(request)).pipe(Effect.provide(layer)))
    return Effect.gen(function* () {
      yield* send("upload by undici", upload)
      yield* send("upload by node:http", upload).pipe(Effect.provide(NodeHttpClient.layerNodeHttp))
      for (const [what, request] of Object.entries({
        token: HttpClientRequest.get(path),
        upload: HttpClientRequest.post(`/upload?token=${plantedUploadToken}`),
        elsewhere: HttpClientRequest.post(elsewhere)
      }))
        yield* Effect.provideService(send(what, request), HttpClient.HttpClient, silent)
    })
  },
  "options that cannot be": ({ play, url }) =>
    Effect.gen(function* () {
      const layers: Readonly<Record<string, Layer.Layer<never, unknown, HttpClient.HttpClient>>> = {
        "line break": Layer.effectDiscard(ApiVideo.authenticate({ apiKey: Redacted.make(`${plantedKey}\n`) })),
        "key in the URL": Layer.effectDiscard(
          ApiVideo.authenticate({ apiKey }, { baseUrl: `https://${encodeURIComponent(plantedKey)}@ws.api.video` })
        ),
        "key in the query": Layer.effectDiscard(
          ApiVideo.authenticate({ apiKey }, { baseUrl: `https://ws.api.video?key=${encodeURIComponent(plantedKey)}` })
        ),
        "key for a URL": Layer.effectDiscard(ApiVideo.authenticate({ apiKey }, { baseUrl: plantedKey })),
        "key for a name": Layer.effectDiscard(
          ApiVideo.authenticate({ apiKey }, { baseUrl: url, application: { name: plantedKey, version: plantedKey } })
        ),
        "key for a version": Layer.effectDiscard(
          ApiVideo.authenticate({ apiKey }, { baseUrl: url, sdk: { name: "a", version: plantedKey } })
        ),
        "failing vault": Layer.effectDiscard(
          Layer.build(ApiVideo.layer({ baseUrl: url, apiKey: Effect.fail(`vault: ${plantedKey}`), policy: hasty }))
        ),
        "origin of a client": Layer.effectDiscard(
          Effect.gen(function* () {
            const service = yield* TokenService.TokenService
            const client = BearerClient.make(service, { origins: [`http://example.com/?${plantedKey}`] })
            yield* client(yield* HttpClient.HttpClient).get("http://example.com")
          }).pipe(Effect.provide(TokenService.layerTest(["test"])))
        )
      }
      for (const [name, layer] of Object.entries(layers)) yield* play(name, starts(layer))
    }),
  "configuration that is missing or wrong": ({ play, url }) =>
    Effect.gen(function* () {
      const environments = [
        {},
        { KEY: plantedKey, ENVIRONMENT: "staging" },
        { KEY: plantedKey, ENVIRONMENT: "sandbox", POLICY_COOL_DOWN: plantedKey },
        { KEY: `${plantedKey} `, ENVIRONMENT: "sandbox" }
      ]
      for (const env of environments) {
        const layer = ApiVideo.layerConfig({
          apiKey: Config.Redacted("KEY"),
          baseUrl: url,
          policy: RenewalPolicy.config("POLICY"),
          environment: Config.Literals(["production", "sandbox"], "ENVIRONMENT")
        })
        yield* play(
          JSON.stringify(Object.keys(env)),
          starts(Layer.provide(layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
        )
      }
    }),
  "a wrong key": ({ play, sandbox, url }) =>
    Effect.gen(function* () {
      yield* sandbox.removeKey(plantedKey)
      yield* play("authenticate", ApiVideo.authenticate({ apiKey }, { baseUrl: url }))
      yield* play("layer", starts(ApiVideo.layer({ baseUrl: url, apiKey, policy: hasty })))
      yield* Effect.provide(everyRequest(play), ApiVideo.layerBasic({ baseUrl: url, apiKey }))
    }),
  "a renewal storm": (stage) =>
    Effect.gen(function* () {
      const { play, sandbox } = stage
      const api = yield* ApiVideo.ApiVideo
      for (let index = 0; index < 4; index++) {
        yield* sandbox.revokeAccessTokens
        yield* play(`request ${index}`, api.get("/videos"))
      }
      const service = yield* TokenService.TokenService
      yield* play("state", service.state)
    }).pipe(Effect.provide(program(stage, { stormLimit: 2 }))),
  "a 401 that no renewal heals": (stage) =>
    Effect.gen(function* () {
      yield* ApiVideo.ApiVideo
      const kind: Sandbox.FaultKind = { _tag: "Status", status: 401, body: "{}" }
      yield* stage.sandbox.inject({ on: "api", kind, times: Infinity })
      yield* everyRequest(stage.play)
    }).pipe(Effect.provide(program(stage))),
  "token answers with the secrets in the wrong places": ({ play, sandbox, url, witness }) =>
    Effect.gen(function* () {
      const changes: ReadonlyArray<(token: string) => object> = [
        (token) => ({ access_token: { token } }),
        (token) => ({ expires_in: token }),
        (token) => ({ token_type: token }),
        (token) => ({ refresh_token: [token] }),
        (token) => ({ expires_in: 0, [token]: token }),
        (token) => ({ access_token: `${token}\n` }),
        (token) => ({ access_token: undefined, error: token, error_description: token })
      ]
      for (const change of changes) {
        const rewrite = (body: unknown) => {
          const token = typeof body === "object" && body !== null && "access_token" in body ? body.access_token : ""
          if (typeof token === "string") witness.secrets.add(token)
          return { ...(typeof body === "object" ? body : {}), ...change(String(token)) }
        }
        yield* sandbox.inject({ on: "any", kind: { _tag: "Rewrite", rewrite } })
        yield* play("authenticate", ApiVideo.authenticate({ apiKey }, { baseUrl: url }))
      }
    }),
  "a store that fails": (stage) =>
    Effect.gen(function* () {
      const { play } = stage
      const fails = (operation: string) => () => Effect.fail(new TokenError.StoreUnavailable({ operation }))
      const store = yield* TokenStore.makeMemory
      const stores: ReadonlyArray<TokenStore.Backend> = [
        { ...store, read: fails("read") },
        { ...store, claim: fails("claim") },
        { ...store, sending: fails("sending") },
        { ...store, commit: fails("commit") },
        { ...store, release: fails("release") },
        { ...store, clear: fails("clear") }
      ]
      for (const backend of stores) {
        yield* Effect.gen(function* () {
          const service = yield* TokenService.TokenService
          yield* play("get", service.get)
          yield* play("renew", Effect.timeout(service.renew, "60 millis"))
          yield* play("state", service.state)
          yield* play("invalidate", service.invalidate)
        }).pipe(
          Effect.provide(program(stage)),
          Effect.provideServiceEffect(TokenStore.TokenStore, TokenStore.make(backend))
        )
      }
      yield* play("store", Effect.succeed(store))
    }),
  "a token that does not last": (stage) =>
    Effect.gen(function* () {
      const service = yield* TokenService.TokenService
      yield* stage.play("getValidFor", service.getValidFor("2 hours"))
    }).pipe(Effect.provide(program(stage))),
  "a program that logs all that it holds": (stage) =>
    Effect.gen(function* () {
      const { play, url } = stage
      const service = yield* TokenService.TokenService
      const token = yield* service.get
      const { refreshToken = apiKey } = token
      yield* play("token", service.get)
      yield* play("tokens", Effect.succeed({ nested: [token, { token }], redacted: token.accessToken }))
      yield* play("service", Effect.succeed(service))
      yield* play("client", ApiVideo.ApiVideo)
      yield* play("state", service.state)
      yield* play("provider", ApiVideo.provider({ apiKey, baseUrl: url }))
      yield* play(
        "response",
        ApiVideo.ApiVideo.use((api) => api.get("/videos"))
      )
      yield* play(
        "request of it",
        ApiVideo.ApiVideo.use((api) => Effect.map(api.get("/videos"), (r) => r.headers))
      )
      yield* play("token as JSON", Schema.encodeEffect(Schema.toCodecJson(AccessToken.AccessToken))(token))
      yield* play("payload as JSON", Schema.encodeEffect(Schema.toCodecJson(ApiVideo.AuthenticatePayload))({ apiKey }))
      yield* play("operations", Effect.succeed([ApiVideo.authenticate({ apiKey }), ApiVideo.refresh({ refreshToken })]))
      yield* play("layers", Effect.succeed([ApiVideo.layer({ apiKey }), ApiVideo.layerBasic({ apiKey })]))
      yield* play("payload", Effect.succeed([{ apiKey }, { refreshToken: token.refreshToken }]))
    }).pipe(Effect.provide(program(stage))),
  "the calls of TokenService.layerTest": ({ play, witness }) =>
    Effect.gen(function* () {
      witness.secrets.add("PLANTED-test-token-7f3a91c2")
      const service = yield* TokenService.TokenService
      const token = yield* service.get
      yield* play("reject", service.reject(token))
      yield* play("calls", Effect.flatten(TokenService.TestCalls))
    }).pipe(
      Effect.provide(
        TokenService.layerTest(["PLANTED-test-token-7f3a91c2", new TokenError.InvalidCredentials({ status: 400 })])
      )
    ),
  "the requests of a recording client": ({ play, url }) =>
    Effect.gen(function* () {
      const recording = Recording.make(() => Recording.json(500, {}))
      yield* play("authenticate", ApiVideo.authenticate({ apiKey }, { baseUrl: url })).pipe(
        Effect.provideService(HttpClient.HttpClient, recording.client)
      )
      yield* everyRequest(play).pipe(
        Effect.provide(ApiVideo.layerBasic({ baseUrl: url, apiKey, retry: false })),
        Effect.provideService(HttpClient.HttpClient, recording.client)
      )
      const all = yield* recording.requests
      yield* play("headers", Effect.succeed(all.map(({ authorization, headers }) => [authorization, headers])))
    })
}

describe.concurrent("no secret is written down by", () => {
  for (const [name, scenario] of Object.entries(others)) test(name, scenario)
})

describe("the scan finds a secret", () => {
  for (const form of new Set(forms(plantedKey))) {
    it(`written as ${form}`, () => {
      const witness = new Witness(plantedKey)
      witness.text("a line", `key=${form}.`)
      assert.isNotEmpty(witness.leaks)
    })
  }

  const leaking: Readonly<Record<string, Effect.Effect<unknown, unknown, HttpClient.HttpClient>>> = {
    "on the console": Console.warn(plantedKey),
    "in a log": Effect.log("key", plantedKey),
    "in an annotation of a log": Effect.annotateLogs(Effect.log("key"), { plantedKey }),
    "in the cause of a log": Effect.logError("key", Cause.die(new Error(plantedKey))),
    "in a span": Effect.withSpan(Effect.void, plantedKey),
    "in an attribute of a span": Effect.withSpan(Effect.void, "span", { attributes: { plantedKey } }),
    "in the exit of a span": Effect.exit(Effect.withSpan(Effect.fail(plantedKey), "span")),
    "in a metric": Metric.update(Metric.withAttributes(Metric.counter("count"), { key: plantedKey }), 1),
    "that a server issued": Effect.flatMap(Sandbox.ApiVideoSandbox, ({ url }) =>
      Effect.flatMap(ApiVideo.authenticate({ apiKey }, { baseUrl: url }), (token) =>
        Effect.log(Redacted.value(token.accessToken))
      )
    ).pipe(Effect.provide(Sandbox.layer({ apiKeys: [plantedKey] })))
  }
  for (const [name, leak] of Object.entries(leaking)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const witness = yield* perform(() => leak)
        assert.isNotEmpty(witness.leaks)
      })
    )
  }
})
