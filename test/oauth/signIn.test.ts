/** Somebody signs in, or out: what the browser is told, what is remembered, and what becomes of the session before. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Option, Redacted, type Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AuthorizationCode, OAuth2, RenewalPolicy, TokenError, TokenService, TokenStore } from "effect-video-auth"
import { json, type Respond, status } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

const redirectUri = "https://app.example.com/callback"

/** Issues numbered tokens: `refresh-n` for each `access-n`. */
const issuing = (path = "/token", instead?: Respond): Respond => {
  let count = 0
  return (request, n) => {
    if (new URL(request.url).pathname === path && instead !== undefined) return instead(request, n)
    count += 1
    return json(200, { ...Server.answer, access_token: `access-${count}`, refresh_token: `refresh-${count}` })
  }
}

const started = (respond: Respond, options: Partial<AuthorizationCode.Options> = {}, store?: TokenStore.Backend) =>
  Effect.gen(function* () {
    const server = Server.make(respond)
    const layer = AuthorizationCode.layer({ ...Server.client, scope: "read", redirectUri, ...options })
    const kept =
      store === undefined ? layer : Layer.provide(layer, Layer.orDie(TokenStore.layer(Effect.succeed(store))))
    const context = yield* server.run(Layer.build(kept))
    const flow = Context.get(context, AuthorizationCode.AuthorizationCode)
    return {
      server,
      flow,
      tokens: Context.get(context, TokenService.TokenService),
      /** What the server leads the browser back to. */
      redirect: Effect.map(flow.start(), (url) => {
        const state = url.searchParams.get("state") ?? ""
        return `/callback?${String(new URLSearchParams({ code: "credential-1", state, iss: Server.issuer }))}`
      })
    }
  })

const test = <E>(name: string, body: Effect.Effect<void, E, Scope.Scope | KeyValueStore.KeyValueStore>) =>
  it.effect(name, () => Effect.provide(body, KeyValueStore.layerMemory))

const reasonOf = <A, R>(effect: Effect.Effect<A, TokenError.TokenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const held = (tokens: TokenService.TokenService["Service"]) =>
  Effect.map(tokens.get, ({ accessToken }) => Redacted.value(accessToken))

describe("start", () => {
  test(
    "sends PKCE, state and nonce, and the program's own parameters",
    Effect.gen(function* () {
      const options = { authorizationParameters: { prompt: "login" }, scope: "openid", audience: "videos" }
      const { flow } = yield* started(issuing(), options)
      const { origin, pathname, searchParams } = yield* flow.start({ parameters: { login_hint: "ada" } })
      assert.strictEqual(origin + pathname, `${Server.issuer}/authorize`)
      assert.lengthOf([...searchParams.keys()], new Set(searchParams.keys()).size)
      const { code_challenge, nonce, state, ...rest } = Object.fromEntries(searchParams)
      assert.deepStrictEqual(rest, {
        audience: "videos",
        client_id: "my-app",
        code_challenge_method: "S256",
        login_hint: "ada",
        prompt: "login",
        redirect_uri: redirectUri,
        response_type: "code",
        scope: "openid"
      })
      for (const secret of [code_challenge, nonce, state]) assert.match(secret ?? "", /^[\w-]{43}$/)
    })
  )

  test(
    "keeps the query that the endpoint has of its own",
    Effect.gen(function* () {
      const discovery = { ...Server.client.discovery, authorization_endpoint: `${Server.issuer}/authorize?tenant=one` }
      const { flow } = yield* started(issuing(), { discovery })
      assert.strictEqual((yield* flow.start()).searchParams.get("tenant"), "one")
    })
  )

  test(
    "says so where what it began with cannot be kept",
    Effect.gen(function* () {
      const { flow } = yield* started(issuing())
      assert.strictEqual((yield* reasonOf(flow.start()))._tag, "StoreUnavailable")
    }).pipe(
      Effect.provideService(
        KeyValueStore.KeyValueStore,
        KeyValueStore.makeStringOnly({
          get: () => Effect.succeed(undefined),
          set: (key) => Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "set", key, message: "full" })),
          remove: () => Effect.void,
          clear: Effect.void,
          size: Effect.succeed(0),
          keys: Effect.succeed([])
        })
      )
    )
  )
})

describe("finish", () => {
  test(
    "trades the code with the verifier of its own sign-in, of several at the same time",
    Effect.gen(function* () {
      const { flow, redirect, server } = yield* started(issuing())
      const [first, second] = [yield* redirect, yield* redirect]
      yield* flow.finish(second)
      yield* flow.finish(first)
      const forms = yield* server.forms()
      const verifiers = forms.map(({ form }) => form.get("code_verifier"))
      assert.strictEqual(new Set(verifiers).size, 2)
      assert.strictEqual(forms[0]!.form.get("redirect_uri"), redirectUri)
    })
  )

  test(
    "sends a code once, however often the same redirect comes",
    Effect.gen(function* () {
      const { flow, redirect, server } = yield* started(issuing())
      const url = yield* redirect
      const exits = yield* Effect.all(
        Array.from({ length: 5 }, () => Effect.exit(flow.finish(url))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      assert.strictEqual((yield* server.forms()).length, 1)
    })
  )

  test(
    "takes no redirect after ten minutes",
    Effect.gen(function* () {
      const { flow, redirect, server } = yield* started(issuing())
      const url = yield* redirect
      yield* TestClock.adjust("10 minutes")
      const reason = yield* reasonOf(flow.finish(url))
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "unknown_state")
      assert.deepStrictEqual(yield* server.forms(), [])
    })
  )

  test(
    "takes no redirect of another client's sign-in, and leaves that to it",
    Effect.gen(function* () {
      const { flow, redirect } = yield* started(issuing())
      const other = yield* started(issuing(), { clientId: "another-app" })
      const elsewhere = yield* started(issuing(), { issuer: "https://evil.example" })
      const url = yield* redirect
      for (const { flow, server } of [other, elsewhere]) {
        const reason = yield* reasonOf(flow.finish(url))
        assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "unknown_state")
        assert.deepStrictEqual(yield* server.forms(), [])
      }
      yield* flow.finish(url)
    })
  )

  for (const [what, body, options] of [
    ["no refresh token, by null", { refresh_token: null }, {}],
    ["no scope, by null", { scope: null }, {}],
    ["no ID token, by null", { id_token: null }, {}],
    ["no token type", { token_type: undefined }, {}],
    ["no lifetime, which is known otherwise", { expires_in: null }, { lifetime: "1 hour" }]
  ] as const)
    test(
      `takes an answer that says ${what}, as other grants do`,
      Effect.gen(function* () {
        const { flow, redirect, tokens } = yield* started(() => json(200, { ...Server.answer, ...body }), options)
        yield* flow.finish(yield* redirect)
        assert.strictEqual(yield* held(tokens), "access-1")
      })
    )

  test(
    "replaces whoever was signed in before, at once and for those who wait",
    Effect.gen(function* () {
      const { flow, redirect, tokens } = yield* started(issuing())
      yield* flow.finish(yield* redirect)
      assert.strictEqual(yield* held(tokens), "access-1")
      yield* flow.finish(yield* redirect)
      assert.strictEqual(yield* held(tokens), "access-2")
      yield* tokens.renew
      assert.strictEqual(yield* held(tokens), "access-3")
    })
  )

  test(
    "leaves whoever was signed in before where it fails",
    Effect.gen(function* () {
      let fails = false
      const issue = issuing()
      const { flow, redirect, tokens } = yield* started((request, n) =>
        fails ? Server.refusal("invalid_grant") : issue(request, n)
      )
      yield* flow.finish(yield* redirect)
      fails = true
      const reason = yield* reasonOf(flow.finish(yield* redirect))
      assert.strictEqual(reason._tag === "ProviderRejected" && reason.code, "invalid_grant")
      assert.strictEqual(yield* held(tokens), "access-1")
    })
  )

  test(
    "says so where the store of tokens is down",
    Effect.gen(function* () {
      const down = Effect.fail(new TokenError.StoreUnavailable({ operation: "read" }))
      const memory = yield* TokenStore.makeMemory
      const store = { ...memory, read: () => down, clear: () => down }
      const { flow, redirect } = yield* started(issuing(), {}, store)
      const failing = yield* Effect.forkChild(reasonOf(flow.finish(yield* redirect)))
      // The store is tried twice.
      while (failing.pollUnsafe() === undefined) yield* TestClock.adjust(10)
      assert.strictEqual((yield* Fiber.join(failing))._tag, "StoreUnavailable")
    })
  )

  test(
    "signs in who does not wait for it: a code is good for once",
    Effect.gen(function* () {
      const { flow, redirect, server, tokens } = yield* started(() =>
        Effect.as(Effect.sleep("2 seconds"), json(200, Server.answer))
      )
      const finishing = yield* Effect.forkChild(flow.finish(yield* redirect))
      // The request is written by Promises.
      while ((yield* server.forms()).length === 0) yield* TestClock.adjust(1)
      const leaving = yield* Effect.forkChild(Fiber.interrupt(finishing))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(leaving)
      assert.strictEqual(yield* held(tokens), "access-1")
    })
  )

  test(
    "ends by itself where the server never answers",
    Effect.gen(function* () {
      const { flow, redirect } = yield* started(() => Effect.never)
      const fiber = yield* Effect.forkChild(reasonOf(flow.finish(yield* redirect)))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ProviderUnavailable")
    })
  )
})

describe("an ID token", () => {
  const { claims: good, now } = Server
  type Claims = Readonly<Record<string, unknown>>

  const signInWith = (
    claims: (nonce: string) => Claims | undefined,
    parameters: Readonly<Record<string, string>> = {}
  ) =>
    Effect.gen(function* () {
      let nonce = ""
      const { flow, tokens } = yield* started(
        () => {
          const said = claims(nonce)
          return json(200, { ...Server.answer, id_token: said && Server.idToken(said) })
        },
        { scope: "videos" }
      )
      const { searchParams } = yield* flow.start({ parameters: { scope: "openid videos", ...parameters } })
      nonce = searchParams.get("nonce") ?? ""
      const query = new URLSearchParams({ code: "credential-1", state: searchParams.get("state") ?? "" })
      return { finish: flow.finish(`${redirectUri}?${query}`), tokens }
    })

  test(
    "says who signed in",
    Effect.gen(function* () {
      const { finish, tokens } = yield* signInWith((nonce) => ({ ...good, nonce }))
      assert.deepInclude(Option.getOrThrow((yield* finish).claims), { sub: "ada" })
      assert.strictEqual(yield* held(tokens), "access-1")
    })
  )

  test(
    "is of a sign-in no longer ago than max_age asks for",
    Effect.gen(function* () {
      const recent = yield* signInWith((nonce) => ({ ...good, nonce, auth_time: now() - 30 }), { max_age: "60" })
      assert.isTrue(Option.isSome((yield* recent.finish).claims))
      for (const [more, problem] of [
        [{ auth_time: now() - 600 }, "the ID token's auth_time is not acceptable"],
        [{}, "a member is missing or invalid"]
      ] as const) {
        const { finish } = yield* signInWith((nonce) => ({ ...good, nonce, ...more }), { max_age: "60" })
        assert.deepInclude(yield* reasonOf(finish), { _tag: "MalformedResponse", problem })
      }
    })
  )

  for (const [what, claims, problem] of [
    ["of another sign-in", () => ({ ...good, nonce: "another" }), "the ID token's nonce is not acceptable"],
    ["without a nonce", () => good, "a member is missing or invalid"],
    [
      "of another issuer",
      (nonce: string) => ({ ...good, nonce, iss: "https://evil.example" }),
      "the ID token's iss is not acceptable"
    ],
    [
      "for another client",
      (nonce: string) => ({ ...good, nonce, aud: "another-app" }),
      "the ID token's aud is not acceptable"
    ],
    [
      "that has expired",
      (nonce: string) => ({ ...good, nonce, iat: now() - 600, exp: now() - 300 }),
      "the ID token's exp is not acceptable"
    ],
    ["that is missing", () => undefined, "a member is missing or invalid"]
  ] as const)
    test(
      `${what} signs nobody in`,
      Effect.gen(function* () {
        const { finish, tokens } = yield* signInWith(claims)
        const reason = yield* reasonOf(finish)
        assert.deepInclude(reason, { _tag: "MalformedResponse", problem })
        assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
      })
    )
})

describe("sign-out", () => {
  const signedIn = (respond: Respond, options: Partial<AuthorizationCode.Options> = {}) =>
    Effect.gen(function* () {
      const session = yield* started(respond, options)
      yield* session.flow.finish(yield* session.redirect)
      return session
    })

  test(
    "revokes the refresh token, by its hint",
    Effect.gen(function* () {
      const { server, tokens } = yield* signedIn(issuing("/revoke", () => status(200)))
      yield* tokens.invalidate
      const [request] = yield* server.forms("/revoke")
      assert.deepStrictEqual(Object.fromEntries(request!.form), {
        client_id: "my-app",
        token: "refresh-1",
        token_type_hint: "refresh_token"
      })
    })
  )

  for (const [what, options] of [
    ["that is told never to revoke", { revoke: "never" }],
    [
      "of a server that has no endpoint for it",
      { discovery: { ...Server.client.discovery, revocation_endpoint: undefined } }
    ]
  ] as const)
    test(
      `${what} only forgets`,
      Effect.gen(function* () {
        const { discovery } = Server.client
        const { authorization_endpoint, token_endpoint } = discovery
        const own = "discovery" in options ? { discovery: { authorization_endpoint, token_endpoint } } : options
        const { server, tokens } = yield* signedIn(issuing(), own)
        yield* tokens.invalidate
        assert.deepStrictEqual(yield* server.forms("/revoke"), [])
        assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
      })
    )

  for (const [what, answer] of [
    ["is refused", () => Server.refusal("invalid_client", 401)],
    ["is never answered", () => Effect.never]
  ] as const)
    test(
      `forgets where the revocation ${what}, and says so without a secret`,
      Effect.gen(function* () {
        const lines: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
        const fiber = yield* Effect.gen(function* () {
          const { tokens } = yield* signedIn(issuing("/revoke", answer))
          yield* tokens.invalidate
          assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
        }).pipe(Effect.provide(Logger.layer([logger])), Effect.forkChild)
        // The request is written by Promises, so that its timer begins at a later turn.
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "was not revoked")
        assert.notMatch(lines[0] ?? "", /refresh-|access-|credential-/)
      })
    )
})

describe("a session is not lost where nothing was sent", () => {
  for (const what of ["secret", "discovery"] as const)
    test(
      `by a ${what} that hangs, however short an exchange may be`,
      Effect.gen(function* () {
        let hangs = true
        const stuck = <A>(effect: Effect.Effect<A>) => Effect.suspend(() => (hangs ? Effect.never : effect))
        const server = Server.make((request) =>
          request.method === "GET" ? stuck(Effect.succeed(json(200, Server.metadata))) : json(200, Server.answer)
        )
        const { clientId, discovery, issuer } = Server.client
        const provider = OAuth2.refreshToken({
          issuer,
          clientId,
          ...(what === "secret" && {
            discovery,
            authentication: {
              method: "client_secret_post",
              clientSecret: stuck(Effect.succeed(Server.credential(2)))
            }
          }),
          refreshToken: Redacted.make("refresh-0")
        })
        const layer = OAuth2.layerToken(provider, { eager: false, policy: RenewalPolicy.interactive, revoke: "never" })
        const tokens = Context.get(yield* server.run(Layer.build(layer)), TokenService.TokenService)
        const failed = yield* Effect.forkChild(reasonOf(tokens.get))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(failed))._tag, "ProviderUnavailable")
        assert.deepStrictEqual(yield* server.forms(), [])
        hangs = false
        const fiber = yield* Effect.forkChild(held(tokens))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "access-1")
      })
    )
})

describe("a refresh token that a session begins with", () => {
  const session = (respond: Respond, store?: TokenStore.Backend, refreshToken = "refresh-0") =>
    Effect.gen(function* () {
      const server = Server.make(respond)
      const provider = OAuth2.refreshToken({ ...Server.client, refreshToken: Redacted.make(refreshToken) })
      const layer = OAuth2.layerToken(provider, { eager: false, revoke: "never" })
      const kept =
        store === undefined ? layer : Layer.provide(layer, Layer.orDie(TokenStore.layer(Effect.succeed(store))))
      const context = yield* server.run(Layer.build(kept))
      return {
        tokens: Context.get(context, TokenService.TokenService),
        sent: Effect.map(server.forms(), (forms) => forms.map(({ form }) => form.get("refresh_token")))
      }
    })

  test(
    "is sent again where it never left, and where the server says that it did nothing",
    Effect.gen(function* () {
      let down = true
      const issue = issuing()
      const { sent, tokens } = yield* session((request, n) => (down ? status(503) : issue(request, n)))
      const fiber = yield* Effect.forkChild(held(tokens))
      yield* TestClock.adjust(100)
      down = false
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "access-1")
      assert.deepStrictEqual(yield* sent, ["refresh-0", "refresh-0"])
    })
  )

  for (const [what, answer] of [
    ["refused", () => Server.refusal("invalid_grant")],
    ["answered by something that is no answer", () => json(200, "none")]
  ] as const)
    test(
      `is sent once where it was ${what}, also after a sign-out`,
      Effect.gen(function* () {
        const { sent, tokens } = yield* session(answer)
        assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
        yield* tokens.invalidate
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* reasonOf(tokens.get))._tag, "InteractionRequired")
        assert.deepStrictEqual(yield* sent, ["refresh-0"])
      })
    )

  test(
    "is not sent where the store has what came of it",
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const first = yield* session(issuing(), store)
      yield* first.tokens.get
      const second = yield* session(issuing(), store)
      yield* second.tokens.get
      yield* second.tokens.renew
      assert.deepStrictEqual(yield* second.sent, ["refresh-1"])
    })
  )

  test(
    "begins a session of its own, where an earlier one in the same store has ended",
    Effect.gen(function* () {
      const store = yield* TokenStore.makeMemory
      const first = yield* session(() => Server.refusal("invalid_grant"), store)
      assert.strictEqual((yield* reasonOf(first.tokens.get))._tag, "InteractionRequired")
      const second = yield* session(issuing(), store, "refresh-new")
      assert.strictEqual(yield* held(second.tokens), "access-1")
      assert.deepStrictEqual(yield* second.sent, ["refresh-new"])
    })
  )
})

test(
  "nothing is fetched behind the program's back",
  Effect.gen(function* () {
    const { fetch } = globalThis
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        globalThis.fetch = () => Promise.reject(new Error("a hidden fetch"))
      }),
      () =>
        Effect.sync(() => {
          globalThis.fetch = fetch
        })
    )
    const { flow, redirect, tokens } = yield* started(issuing())
    yield* flow.finish(yield* redirect)
    yield* tokens.renew
    yield* tokens.invalidate
  })
)
