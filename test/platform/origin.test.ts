/**
 * No bearer token reaches an origin that it is not meant for, whatever the URL looks like and whatever is composed
 * around the client or inside it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Schema } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { RateLimiter } from "effect/persistence"
import { ApiVideo, BearerClient, MovingImage, TokenError, TokenService } from "effect-video-auth"
import * as Brightcove from "../../examples/brightcove.ts"
import {
  json,
  make,
  RecordingHttpClient,
  layer as recording,
  type Respond,
  status
} from "effect-video-auth/testing/RecordingHttpClient"

const ours = "https://ws.api.video"

/** URLs that a reader, or a careless comparison, may take for ours. */
const strangers: Record<string, string> = {
  "another host": "https://evil.com/videos",
  "a host that begins like ours": "https://ws.api.video.evil.com/",
  "a host that begins like ours, by a percent-encoded dot": "https://ws.api.video%2eevil.com/",
  "a host that begins like ours, by an ideographic full stop": "https://ws.api.video\u3002evil.com/",
  "a host that begins like ours, by a tab": "https://ws.api.video\t.evil.com/",
  "a host that begins like ours, by a newline": "https://ws.api.video\n.evil.com/",
  "a host that is ours and a letter": "https://ws.api.videoo/",
  "a host that is ours less a letter": "https://ws.api.vide/",
  "a host that a dot as a wildcard would match": "https://wsxapi.video/",
  "a host that ends like ours": "https://evil-ws.api.video/",
  "a domain below ours": "https://evil.ws.api.video/",
  "the domain above ours": "https://api.video/",
  "the other environment": "https://sandbox.api.video/",
  "a trailing dot": "https://ws.api.video./",
  "a Cyrillic letter": "https://ws.\u0430pi.video/",
  "ours in Punycode of another": "https://xn--ws-7kc.api.video/",
  "our host as a path": "https://evil.com/ws.api.video",
  "our origin as a path": "https://evil.com/https://ws.api.video/",
  "our origin as a query": "https://evil.com?https://ws.api.video/",
  "our origin as a hash": "https://evil.com#https://ws.api.video/",
  "our host as a user name": "https://ws.api.video@evil.com/",
  "our host as a user name with a password": "https://ws.api.video:443@evil.com/",
  "our origin as a user name": "https://ws.api.video%2F@evil.com/",
  "our host as a user name, after a backslash": "https://evil.com\\@ws.api.video/",
  "http at our host": "http://ws.api.video/videos",
  "http at our host and port 443": "http://ws.api.video:443/videos",
  "another port": "https://ws.api.video:8443/",
  "the port of http": "https://ws.api.video:80/",
  "a WebSocket": "wss://ws.api.video/",
  "a blob": "blob:https://ws.api.video/2f1f5c3e",
  "another scheme": "ftp://ws.api.video/",
  "IPv6 loopback": "https://[::1]/",
  "IPv6 loopback over http": "http://[::1]:3000/",
  "an IPv4 address written as IPv6": "https://[::ffff:192.0.2.1]/"
}

/** Strange ways to write our origin, which every transport resolves to it. */
const aliases: Record<string, string> = {
  "no path": "https://ws.api.video",
  "a query without a path": "https://ws.api.video?page=1",
  "a hash without a path": "https://ws.api.video#page",
  "the default port": "https://ws.api.video:443/videos",
  "upper case": "HTTPS://WS.API.VIDEO/videos",
  "a user name and a password": "https://user:pw@ws.api.video/",
  "a backslash before what looks like a host": "https://ws.api.video\\@evil.com/",
  "a backslash before what looks like a domain": "https://ws.api.video\\.evil.com/",
  "another host as a path": "https://ws.api.video//evil.com/",
  "backslashes for slashes": "https:\\\\ws.api.video\\videos",
  "no slashes": "https:ws.api.video/videos",
  "three slashes": "https:///ws.api.video/videos",
  "a newline within": "https://ws.api.\nvideo/videos",
  "a blank before": " https://ws.api.video/videos",
  "full-width letters": "https://\uff57\uff53.api.video/videos",
  "a soft hyphen": "https://ws.a\u00adpi.video/videos",
  "a percent-encoded dot": "https://ws%2eapi.video/videos"
}

/** What no transport can open without a base. */
const relatives: Record<string, string> = {
  nothing: "",
  "a path": "/videos",
  "a name": "videos",
  "a query": "?page=1",
  "a host": "//ws.api.video/videos",
  "another host": "//evil.com/videos",
  "our host": "ws.api.video/videos",
  "a full-width slash in the host": "https://ws.api.video\uff0fevil.com/",
  "a null in the host": "https://ws.api.video%00.evil.com/",
  "no host": "https://",
  "an IPv6 address with a zone": "https://[fe80::1%25eth0]/videos"
}

/**
 * No server is asked for a blob. That matters for `followRedirects` inside: `URL.origin` of `blob:https://ws.api.video/x`
 * is ours, so Effect lets the request keep its headers, and the transport finds nothing to connect to.
 */
const isBlob = (url: string) => url.startsWith("blob:")

/** Not `URL.origin`, which is that of its page for a blob. */
const originOf = (url: string) => {
  const { host, protocol } = new URL(url)
  return `${protocol}//${host}`
}
const originIfAny = Option.liftThrowable(originOf)

const setup = Effect.fnUntraced(function* (respond: Respond, origins: ReadonlyArray<string> = [ours]) {
  const { client, requests } = make(respond)
  return {
    network: client,
    bearer: BearerClient.make(yield* TokenService.TokenService, { origins }),
    /** Where each request went, and whether it had a token. */
    sent: Effect.map(requests, (all) =>
      all.map(({ authorization, url }) => ({
        origin: originOf(url),
        hasToken: authorization !== undefined && Redacted.value(authorization).startsWith("Bearer access-")
      }))
    ),
    rejected: Effect.map(
      Effect.flatMap(TokenService.TestCalls, (calls) => calls),
      (calls) => calls.filter((call) => call["_tag"] === "reject").length
    )
  }
})
const tokens = TokenService.layerTest(["access-1", "access-2"])

const test = <A, E>(
  name: string,
  body: () => Effect.Effect<A, E, TokenService.TokenService | TokenService.TestCalls>
) => it.effect(name, () => Effect.provide(body(), tokens))

describe("a request to a stranger has no token, and its 401 renews nothing:", () => {
  for (const [name, url] of Object.entries(strangers)) {
    test(name, () =>
      Effect.gen(function* () {
        const { bearer, network, rejected, sent } = yield* setup(() => status(401))
        assert.strictEqual((yield* bearer(network).get(url)).status, 401)
        assert.deepStrictEqual(
          (yield* sent).map(({ hasToken }) => hasToken),
          [false]
        )
        assert.strictEqual(yield* rejected, 0)
      })
    )
  }
})

/** As a header can carry it. */
const located = (url: string) => url.replaceAll(/[^\t\x20-\x7e]/g, encodeURIComponent)

describe("a redirect to a stranger, after a hop of ours, takes no token along:", () => {
  for (const [name, url] of Object.entries(strangers)) {
    // No header can carry a newline.
    if (url.includes("\n") || isBlob(url)) continue
    for (const order of ["outside", "inside"] as const) {
      test(`${name}, followRedirects ${order}`, () =>
        Effect.gen(function* () {
          const { bearer, network, rejected, sent } = yield* setup((_, n) =>
            n === 1
              ? status(302, { location: "/hop" })
              : n === 2
                ? status(307, { location: located(url) })
                : status(401)
          )
          const client =
            order === "outside"
              ? HttpClient.followRedirects(bearer(network))
              : bearer(HttpClient.followRedirects(network))
          yield* client.post(`${ours}/videos`)
          const [first, second, last, ...more] = yield* sent
          for (const hop of [first, second]) assert.deepStrictEqual(hop, { origin: ours, hasToken: true })
          assert.notStrictEqual(last?.origin, ours)
          assert.isFalse(last?.hasToken)
          assert.deepStrictEqual(more, [])
          assert.strictEqual(yield* rejected, 0)
        }))
    }
  }
})

describe("another way to write our origin has the token, and it goes there:", () => {
  for (const [name, url] of Object.entries(aliases)) {
    test(name, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup(() => status(200))
        yield* bearer(network).get(url)
        assert.deepStrictEqual(yield* sent, [{ origin: ours, hasToken: true }])
      })
    )
  }
})

describe("what has no origin is sent nowhere:", () => {
  for (const [name, url] of Object.entries(relatives)) {
    test(name, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup(() => status(200))
        const error = yield* Effect.flip(bearer(network).get(url))
        assert.instanceOf(error, HttpClientError.HttpClientError)
        assert.strictEqual(error.reason["_tag"], "InvalidUrlError")
        assert.deepStrictEqual(yield* sent, [])
      })
    )
  }
})

describe("in a page, where a URL may be relative to it,", () => {
  /** Effect resolves URLs against `location` where there is one. */
  const inPage = Effect.acquireRelease(
    Effect.sync(() =>
      Object.defineProperty(globalThis, "location", {
        value: { origin: "https://evil.com", pathname: "/page" },
        configurable: true
      })
    ),
    () => Effect.sync(() => Reflect.deleteProperty(globalThis, "location"))
  )

  for (const url of ["https:ws.api.video/videos", "https:/ws.api.video/videos", "/videos", "//evil.com/"]) {
    test(`${url} is a stranger`, () =>
      Effect.gen(function* () {
        yield* inPage
        const { bearer, network, sent } = yield* setup(() => status(200))
        yield* bearer(network).get(url)
        assert.deepStrictEqual(yield* sent, [{ origin: "https://evil.com", hasToken: false }])
      }).pipe(Effect.scoped))
  }

  test("//ws.api.video/videos is ours", () =>
    Effect.gen(function* () {
      yield* inPage
      const { bearer, network, sent } = yield* setup(() => status(200))
      yield* bearer(network).get("//ws.api.video/videos")
      assert.deepStrictEqual(yield* sent, [{ origin: ours, hasToken: true }])
    }).pipe(Effect.scoped))
})

describe("an origin on loopback", () => {
  const isOurs: Record<string, boolean> = {
    "http://[::1]:3000/videos": true,
    "http://[0:0:0:0:0:0:0:1]:3000/videos": true,
    "http://[::1]:3001/videos": false,
    "http://[::1]/videos": false,
    "https://[::1]:3000/videos": false,
    "http://[::ffff:127.0.0.1]:3000/videos": false,
    "http://[::ffff:7f00:1]:3000/videos": false,
    "http://[::127.0.0.1]:3000/videos": false,
    "http://[::]:3000/videos": false,
    "http://127.0.0.1:3000/videos": false,
    "http://localhost:3000/videos": false
  }
  for (const [url, hasToken] of Object.entries(isOurs)) {
    test(`at IPv6 is ${hasToken ? "" : "not "}${url}`, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup(() => status(200), ["http://[::1]:3000"])
        yield* bearer(network).get(url)
        assert.deepStrictEqual(yield* sent, [{ origin: originOf(url), hasToken }])
      }))
  }
})

describe("origins", () => {
  const invalid = [
    "http://ws.api.video",
    "http://ws.api.video:443",
    "http://10.0.0.1",
    "http://0.0.0.0:3000",
    "http://[::2]",
    "http://[::]",
    "http://[::ffff:127.0.0.1]",
    "http://[fe80::1]",
    "http://[::1%25lo]",
    "https://[fe80::1%25eth0]",
    "http://localhost.evil.com",
    "http://127.0.0.1.evil.com",
    "http://localhost@evil.com",
    "http://evil.localhost",
    "",
    "garbage",
    "*",
    "ws.api.video",
    "//ws.api.video",
    "/videos",
    "https://",
    "https:// ws.api.video",
    "ftp://ws.api.video",
    "wss://ws.api.video",
    "blob:https://ws.api.video/2f1f5c3e",
    "file:///videos",
    "data:,x"
  ]
  for (const origin of invalid) {
    test(`${JSON.stringify(origin)} is ConfigurationInvalid before any request, wherever that goes`, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup(() => status(200), [ours, origin])
        for (const url of [`${ours}/videos`, "https://evil.com/", "/videos"]) {
          const error = yield* Effect.flip(bearer(network).get(url))
          assert.instanceOf(error, TokenError.TokenError)
          assert.strictEqual(error.reason["_tag"], "ConfigurationInvalid")
        }
        assert.deepStrictEqual(yield* sent, [])
        assert.deepStrictEqual(yield* yield* TokenService.TestCalls, [])
      }))
  }

  test("a refused origin is not repeated, for the credential that may be in it", () =>
    Effect.gen(function* () {
      const { bearer, network } = yield* setup(() => status(200), ["http://user:secret@ws.api.video"])
      const error = yield* Effect.flip(bearer(network).get(ours))
      assert.include(error.message, "origins")
      assert.notInclude(error.message, "secret")
    }))

  for (const [name, origins] of [
    ["a pattern", ["https://*.api.video"]],
    ["no origin at all", []]
  ] as const) {
    test(`${name} is refused, as it would match nothing`, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup(() => status(200), origins)
        assert.include((yield* Effect.flip(bearer(network).get(ours))).message, "origins")
        assert.lengthOf(yield* sent, 0)
      }))
  }

  const valid: Record<string, string> = {
    "https://ws.api.video": ours,
    "https://ws.api.video/": ours,
    "https://ws.api.video:443": ours,
    "HTTPS://WS.API.VIDEO": ours,
    "https://ws.api.video/v1?a=b#c": ours,
    "https://ws.api.video:8443": "https://ws.api.video:8443",
    "http://localhost:3000": "http://localhost:3000",
    "http://LOCALHOST": "http://localhost",
    "http://127.0.0.1:3000": "http://127.0.0.1:3000",
    "http://127.1": "http://127.0.0.1",
    "http://[::1]:3000": "http://[::1]:3000"
  }
  for (const [origin, same] of Object.entries(valid)) {
    test(`${origin} stands for ${same}`, () =>
      Effect.gen(function* () {
        const { bearer, network, sent } = yield* setup(() => status(200), [origin])
        yield* bearer(network).get(`${same}/videos`)
        assert.deepStrictEqual(yield* sent, [{ origin: same, hasToken: true }])
      }))
  }
})

// -------------------------------------------------------------------------------------------------------------------
// The platforms
// -------------------------------------------------------------------------------------------------------------------

/** The client of a platform, as something that sends a GET. */
const platforms: Readonly<
  Record<
    string,
    {
      readonly host: string
      readonly get: (url: string) => Effect.Effect<unknown, unknown, HttpClient.HttpClient | TokenService.TokenService>
      /** Hosts of the same platform that are meant for no token. */
      readonly others: ReadonlyArray<string>
    }
  >
> = {
  "api.video": {
    host: "ws.api.video",
    get: (url) =>
      Effect.provide(
        ApiVideo.ApiVideo.use((api) => Effect.exit(api.get(url))),
        ApiVideo.layerClient({ rateLimits: false, retry: false })
      ),
    others: ["sandbox.api.video", "vod.api.video", "embed.api.video"]
  },
  movingimage: {
    host: "api.video-cdn.net",
    get: (url) =>
      Effect.provide(
        MovingImage.MovingImage.use((api) => Effect.exit(api.get(url))),
        MovingImage.layerClient({ rateLimits: false, retry: false })
      ),
    others: ["asset-in.video-cdn.net", "api-qa.video-cdn.net", "video-cdn.net", "login.movingimage.com"]
  },
  "Brightcove, the example of a platform,": {
    host: "cms.api.brightcove.com",
    get: (url) =>
      Effect.provide(
        Brightcove.Brightcove.use((api) => Effect.exit(api.get(url))),
        Brightcove.layerClient({ rateLimits: false, retry: false })
      ),
    others: ["oauth.brightcove.com", "ingest.api.brightcove.com", "api.brightcove.com"]
  }
}

for (const [platform, { get, host, others }] of Object.entries(platforms)) {
  /** Where the client sends a GET, and with a token or without one. */
  const sentBy = (url: string) =>
    Effect.gen(function* () {
      yield* get(url.replaceAll("ws.api.video", host))
      const requests = yield* RecordingHttpClient.use((recording) => recording.requests)
      const rejected = (yield* yield* TokenService.TestCalls).filter((call) => call["_tag"] === "reject").length
      const sent = requests.map(({ authorization, url }) => ({
        origin: originOf(url),
        hasToken: authorization !== undefined
      }))
      return { rejected, sent }
    }).pipe(
      Effect.provide(
        Layer.merge(
          TokenService.layerTest(["access-1", "access-2"]),
          recording(() => status(401))
        )
      )
    )

  describe(`the client of ${platform} sends its token`, () => {
    const foreign = Object.fromEntries(others.map((other) => [other, `https://${other}/`]))
    /** To a client with a base URL, whatever is neither http nor https is a path. */
    const isPath = (url: string) => !/^https?:/.test(url)
    for (const [name, url] of Object.entries({ ...strangers, ...foreign })) {
      if (isPath(url)) continue
      it.effect(`not to ${name}`, () =>
        Effect.gen(function* () {
          const { rejected, sent } = yield* sentBy(url)
          assert.deepStrictEqual(
            sent.map(({ hasToken }) => hasToken),
            [false]
          )
          assert.strictEqual(rejected, 0)
        })
      )
    }

    for (const [name, url] of Object.entries(aliases)) {
      if (!url.includes("ws.api.video")) continue
      it.effect(`to its origin, written with ${name}`, () =>
        Effect.gen(function* () {
          const { sent } = yield* sentBy(url)
          assert.deepStrictEqual(sent[0], { origin: `https://${host}`, hasToken: true })
        })
      )
    }

    for (const [name, url] of Object.entries({ ...relatives, ...strangers })) {
      if (!isPath(url)) continue
      it.effect(`to its origin for a path: ${name}`, () =>
        Effect.gen(function* () {
          const { sent } = yield* sentBy(url)
          assert.deepStrictEqual(sent[0], { origin: `https://${host}`, hasToken: true })
        })
      )
    }
  })
}

describe("a page's links lead", () => {
  const follow = (uri: string) =>
    Effect.gen(function* () {
      const api = yield* ApiVideo.ApiVideo
      const Page = Schema.Struct({
        pagination: Schema.Struct({ links: Schema.Array(Schema.Struct({ uri: Schema.String })) })
      })
      const page = yield* Effect.flatMap(api.get("/videos"), HttpClientResponse.schemaBodyJson(Page))
      for (const link of page.pagination.links) yield* api.get(link.uri)
      const requests = yield* RecordingHttpClient.use((recording) => recording.requests)
      return requests.map(({ authorization, url }) => [url, authorization !== undefined] as const)
    }).pipe(
      Effect.provide(ApiVideo.layerClient({ rateLimits: false })),
      Effect.provide([
        TokenService.layerTest(["access-1"]),
        recording(() => json(200, { pagination: { links: [{ rel: "next", uri }] } }))
      ])
    )

  it.effect("with the token where they are absolute, to the same origin", () =>
    Effect.gen(function* () {
      const uri = `${ours}/videos?currentPage=2`
      assert.deepStrictEqual(yield* follow(uri), [
        [`${ours}/videos`, true],
        [uri, true]
      ])
    })
  )

  for (const uri of [
    "https://evil.com/videos?currentPage=2",
    "http://ws.api.video/videos",
    "https://ws.api.video:444/"
  ]) {
    it.effect(`without it to another one: ${uri}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* follow(uri), [
          [`${ours}/videos`, true],
          [uri, false]
        ])
      })
    )
  }
})

// -------------------------------------------------------------------------------------------------------------------
// Properties
// -------------------------------------------------------------------------------------------------------------------

/** Pieces that URLs are made of, and confused by. */
const Pieces = Schema.Array(
  Schema.Literals([
    "https:",
    "http:",
    "https://",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "443",
    "80",
    ".",
    "?",
    "#",
    "%2e",
    "%40",
    "%2f",
    "ws.api.video",
    "WS.API.VIDEO",
    "evil.com",
    "user",
    "[::1]",
    "\t",
    "\n",
    " ",
    "\u3002",
    "\u00ad",
    "\uff0f",
    "\u0430"
  ])
).check(Schema.isMaxLength(6))
const Start = Schema.Literals(["", "https://", "https:", "https://ws.api.video", "https://ws.api.video/", "//"])

describe("properties", () => {
  it.effect.prop(
    "a URL of any pieces has a token if, and only if, the transport resolves it to our origin",
    { start: Start, pieces: Pieces },
    ({ pieces, start }) =>
      Effect.gen(function* () {
        const url = start + pieces.join("")
        const { bearer, network, sent } = yield* setup(() => status(200))
        yield* Effect.exit(bearer(network).get(url))
        const origins = Option.toArray(originIfAny(url))
        assert.deepStrictEqual(
          yield* sent,
          origins.map((origin) => ({ origin, hasToken: origin === ours }))
        )
      }).pipe(Effect.provide(tokens)),
    { arbitrary: { runs: 1_000 } }
  )

  const hosts = [
    ours,
    "https://evil.com",
    "http://ws.api.video",
    "https://ws.api.video:8443",
    "https://user@ws.api.video"
  ]
  const urls = hosts.map((host) => `${host}/videos` as const)
  const Target = Schema.Literals([...urls, ...Object.values(strangers).filter((url) => !isBlob(url))])

  /** One thing that a program composes; `to` is where it sends requests, if it does. */
  const Step = Schema.Struct({
    kind: Schema.Literals([
      "followRedirects",
      "mapRequest",
      "mapRequestInput",
      "retryTransient",
      "withRateLimiter",
      "transform",
      "transformResponse",
      "filterStatusOk"
    ]),
    to: Target
  })
  const Steps = Schema.Array(Step).check(Schema.isMaxLength(4))
  /** How the network answers, one after the other; afterwards with 200. */
  const Answers = Schema.Array(
    Schema.Struct({ status: Schema.Literals([200, 302, 303, 307, 401, 403, 429, 503]), location: Target })
  ).check(Schema.isMaxLength(6))

  type Response = HttpClientResponse.HttpClientResponse
  type Failure = HttpClientError.HttpClientError | TokenError.TokenError | RateLimiter.RateLimiterError
  type Client = HttpClient.HttpClient.With<Failure>

  const compose = Effect.fnUntraced(function* (client: Client, steps: ReadonlyArray<typeof Step.Type>) {
    const limiter = yield* RateLimiter.make
    return steps.reduce((self, { kind, to }): Client => {
      switch (kind) {
        case "followRedirects":
          return HttpClient.followRedirects(self)
        case "mapRequest":
          return HttpClient.mapRequest(self, HttpClientRequest.setUrl(to))
        case "mapRequestInput":
          return HttpClient.mapRequestInput(self, HttpClientRequest.setUrl(to))
        case "retryTransient":
          return HttpClient.retryTransient(self, { times: 1 })
        case "withRateLimiter":
          return HttpClient.withRateLimiter(self, { limiter, window: "1 minute", limit: 1_000, key: "api", times: 1 })
        case "transform":
          return HttpClient.transform(self, (effect) => Effect.andThen(Effect.void, effect))
        case "transformResponse":
          return HttpClient.transformResponse(self, (effect) => Effect.andThen(Effect.void, effect))
        case "filterStatusOk":
          return HttpClient.filterStatusOk(self)
      }
    }, client)
  })

  it.effect.prop(
    "no token reaches another origin, and only a 401 of ours to it renews, in any order of anything around or inside",
    { url: Target, inside: Steps, outside: Steps, answers: Answers },
    ({ answers, inside, outside, url }) =>
      Effect.gen(function* () {
        const { bearer, network, rejected, sent } = yield* setup((_, n) => {
          const answer = answers[n - 1]
          return answer === undefined ? status(200) : status(answer.status, { location: located(answer.location) })
        })
        const wide = HttpClient.transformResponse(network, (effect): Effect.Effect<Response, Failure> => effect)
        const client = yield* compose(bearer(yield* compose(wide, inside)), outside)
        yield* Effect.exit(client.get(url))
        const all = yield* sent
        for (const { hasToken, origin } of all) if (hasToken) assert.strictEqual(origin, ours)
        const refusals = all.filter(({ hasToken }, index) => hasToken && answers[index]?.status === 401).length
        assert.isAtMost(yield* rejected, refusals)
      }).pipe(Effect.provide([tokens, RateLimiter.layerStoreMemory])),
    { arbitrary: { runs: 2_000 } }
  )
})
