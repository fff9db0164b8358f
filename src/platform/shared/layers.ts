/** The layers of a platform, as far as they are the same for each. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as RenewalPolicy from "../../token/RenewalPolicy.ts"
import type * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"
import * as TokenService from "../../token/TokenService.ts"
import { pathOf } from "./http.ts"
import { withProvider } from "../../token/shared/failures.ts"

/** How a token is kept, whatever the platform. */
export interface TokenOptions {
  readonly policy?: RenewalPolicy.Options | undefined
  /**
   * Log in while the layer is built: a wrong credential fails the start, a transient failure is logged and the program
   * starts.
   * @default true
   */
  readonly eager?: boolean | undefined
}

/** How long the first login may take before a warning says what the program is waiting for. */
const silence = Duration.seconds(1)

interface FirstLogin {
  /** The provider's name. */
  readonly provider: string
  readonly login: Effect.Effect<unknown, TokenError.TokenError>
  /** The service's state, which knows the last failure. */
  readonly state?: TokenService.TokenService["Service"]["state"] | undefined
  readonly policy: RenewalPolicy.Options | undefined
}

/**
 * Logs in while a layer is built. A login that takes longer than a second is reported with its last failure and how long
 * the library keeps trying; after a transient failure the program starts anyway.
 */
export const logIn = ({ login, policy, provider, state }: FirstLogin): Effect.Effect<void, TokenError.TokenError> =>
  Effect.gen(function* () {
    const { acquireTimeout } = yield* withProvider(provider)(RenewalPolicy.make(policy))
    const report = Effect.gen(function* () {
      yield* Effect.sleep(silence)
      const failure = state === undefined ? undefined : (yield* state).lastFailure
      const what = failure?.message ?? `${provider}: no response to the login yet.`
      yield* Effect.logWarning(`${what} Trying for up to ${Math.ceil(acquireTimeout / 1000)} s.`)
    })
    const reporter = yield* Effect.forkChild(report)
    yield* Effect.ensuring(login, Fiber.interrupt(reporter))
  }).pipe(
    Effect.catchIf(
      (error) => error.isRetryable,
      ({ message }) => Effect.logWarning(`${message} Starting anyway; the next request will retry.`)
    )
  )

/** A vault that fails while the layer is built gets as many chances as it would get from a caller of `get`. */
const patiently = <A, R>(
  making: Effect.Effect<A, TokenError.TokenError, R>
): Effect.Effect<A, TokenError.TokenError, R> =>
  Effect.retry(making, {
    while: ({ reason }) => reason._tag === "CredentialUnavailable",
    schedule: Schedule.exponential("1 second").pipe(Schedule.jittered),
    times: 3
  })

/** Provides the token of a provider. */
export const layerToken = <R>(
  provider: Effect.Effect<TokenProvider, TokenError.TokenError, R>,
  { eager, policy }: TokenOptions
): Layer.Layer<TokenService.TokenService, TokenError.TokenError, R> =>
  Layer.effect(
    TokenService.TokenService,
    Effect.gen(function* () {
      const made = yield* provider
      const service = yield* patiently(TokenService.make({ provider: made, policy }))
      if (eager !== false) {
        yield* logIn({ provider: made.name, login: service.get, state: service.state, policy })
      }
      return service
    })
  )

/** Answers requests by `METHOD /path`, as in `"GET /videos/vi1"`, without the base URL and the query. */
export type Routes = Readonly<Record<string, Answer>>

type Answer = (request: HttpClientRequest.HttpClientRequest) => Response | Effect.Effect<Response>

/** What a spec says of the network and of the token. */
export interface TestOptions {
  /**
   * Answers every request, which has its token already. With `routes`, it answers those that no route matches.
   * @default a request that nothing answers dies, and the defect names it
   */
  readonly respond?: Answer | undefined
  /** Answers by `METHOD /path`, as in `"GET /videos/vi1"`, without the base URL and the query. */
  readonly routes?: Routes | undefined
  /** See `TokenService.layerTest`. @default one token, "test" */
  readonly tokens?: TokenService.Outcomes | undefined
}

/** The key of a request in `routes`: its method, and its path below the base URL. */
const routeKeyOf = (request: HttpClientRequest.HttpClientRequest, baseUrl: string): string => {
  const path = pathOf(request)
  return `${request.method} ${path.startsWith(baseUrl) ? path.slice(baseUrl.length) : path}`
}

/** Provides a client with tokens that need no login and answers that need no network. */
export const layerTest = <A, E>(
  client: Layer.Layer<A, E, TokenService.TokenService | HttpClient.HttpClient>,
  {
    baseUrl,
    name,
    redactUrl
  }: { readonly baseUrl: string; readonly name: string; readonly redactUrl: (url: string) => string },
  { respond, routes = {}, tokens = ["test"] }: TestOptions
): Layer.Layer<A | TokenService.TokenService | TokenService.TestCalls, E> => {
  const answerTo = (request: HttpClientRequest.HttpClientRequest): Response | Effect.Effect<Response> => {
    const route = routeKeyOf(request, baseUrl)
    const answer = Object.hasOwn(routes, route) ? routes[route] : respond
    return answer === undefined
      ? Effect.die(
          new Error(
            `${redactUrl(route)}: the spec doesn't answer requests to it. Add it to \`routes\` or \`respond\` of ${name}.`
          )
        )
      : answer(request)
  }
  return client.pipe(
    Layer.provideMerge(TokenService.layerTest(tokens)),
    Layer.provide(
      Layer.succeed(
        HttpClient.HttpClient,
        HttpClient.make((request) =>
          Effect.suspend(() => {
            const answer = answerTo(request)
            return Effect.map(Effect.isEffect(answer) ? answer : Effect.succeed(answer), (response) =>
              HttpClientResponse.fromWeb(request, response)
            )
          })
        )
      )
    )
  )
}
