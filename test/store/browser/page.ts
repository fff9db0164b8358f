/** The program of a tab: a token service on the store of pages. The test drives it through `globalThis.tab`. */
import { Clock, Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { AccessToken, TokenError, type TokenProvider, TokenService, TokenStore, TokenStoreWeb } from "effect-video-auth"

/** What the test says in the address. */
const settings = new URLSearchParams(location.search)
const millis = (name: string, usual: number) => Number(settings.get(name) ?? usual)

/** One exchange with the test's server, which answers when the test says so. */
const exchange = (
  kind: "login" | "refresh",
  refreshToken = ""
): Effect.Effect<AccessToken.TokenResponse, TokenError.RenewalReason> =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(new URL(kind, location.href), { method: "POST", body: refreshToken, signal })
      return response.ok ? response.json() : response.status
    },
    catch: () => new TokenError.ProviderUnavailable({ failure: "network" })
  }).pipe(
    Effect.flatMap((answer) =>
      typeof answer === "number"
        ? Effect.fail(new TokenError.RefreshTokenRejected({ status: answer }))
        : Effect.succeed({
            accessToken: Redacted.make(String(answer.accessToken)),
            refreshToken: Redacted.make(String(answer.refreshToken)),
            expiresIn: Number(answer.expiresIn)
          })
    )
  )

/** A session that somebody began; with `login` also a credential to log in with. */
const canLogIn = settings.has("login")
const identity = "somebody"
const provider: TokenProvider.TokenProvider = {
  name: "test",
  identity: Effect.succeed(identity),
  login: canLogIn ? exchange("login") : undefined,
  refresh: ({ refreshToken }) => exchange("refresh", refreshToken && Redacted.value(refreshToken)),
  traits: {
    renewWith: canLogIn ? "refresh-then-login" : "refresh",
    rotatesRefreshToken: true,
    loginSupersedesRefresh: false,
    oldTokenSurvivesRefresh: true
  }
}

const runtime = ManagedRuntime.make(
  TokenService.layer({
    provider,
    policy: {
      whenIdle: settings.has("keep-fresh") ? "keep-fresh" : "on-demand",
      exchangeTimeout: millis("exchange-timeout", 30_000)
    }
  }).pipe(
    Layer.provideMerge(
      TokenStoreWeb.layer({ database: settings.get("database") ?? "test", lease: millis("lease", 6_000) })
    )
  )
)

/** What a call came to, for the test. */
const told = (effect: Effect.Effect<AccessToken.AccessToken, TokenError.TokenError, TokenService.TokenService>) =>
  runtime.runPromise(
    Effect.match(effect, {
      onFailure: ({ reason }) => {
        const cause = reason._tag === "TokenExpired" ? (reason.renewal ?? reason) : reason
        return {
          reason: cause._tag,
          session: "session" in cause ? cause.session : undefined,
          problem: cause._tag === "StoreUnavailable" ? cause.problem : undefined
        }
      },
      onSuccess: ({ accessToken, expiresAt, generation }) => ({
        token: Redacted.value(accessToken),
        generation,
        isValid: expiresAt > Date.now()
      })
    })
  )

const signIn = Effect.gen(function* () {
  // A sign-in does this too. Callers that failed because nobody is signed in succeed at once.
  yield* TokenService.TokenService.use((tokens) => tokens.invalidate)
  const response = yield* exchange("login")
  const answeredAt = yield* Clock.currentTimeMillis
  const token = yield* AccessToken.fromResponse(response, { answeredAt, elapsed: 0, generation: 0 })
  const store = yield* TokenStore.TokenStore
  yield* store.replace(identity, token)
})

const tab = {
  get: () => told(TokenService.TokenService.use((tokens) => tokens.get)),
  renew: () => told(TokenService.TokenService.use((tokens) => tokens.renew)),
  state: () => runtime.runPromise(TokenService.TokenService.use((tokens) => tokens.state)),
  signIn: () => runtime.runPromise(signIn),
  signOut: () => runtime.runPromise(TokenService.TokenService.use((tokens) => tokens.invalidate))
}
Object.assign(globalThis, { tab })
