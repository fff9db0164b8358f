/** The layers of a platform, as far as they are the same for each. */
import type * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as AccessToken from "../../token/AccessToken.ts"
import type * as RenewalPolicy from "../../token/RenewalPolicy.ts"
import type * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"
import * as TokenService from "../../token/TokenService.ts"

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

/**
 * The first login, while a layer is built. Effect's logger would be in every bundle; `Observability.layerLogging` tells of
 * a failure through it.
 */
export const logIn = (
  login: Effect.Effect<unknown, TokenError.TokenError>
): Effect.Effect<unknown, TokenError.TokenError> =>
  Effect.catchIf(
    login,
    (error) => error.isRetryable,
    ({ message }) => Console.warn(`${message}; started, the next request tries again`)
  )

/** Provides the token of a provider. */
export const layerToken = <R>(
  provider: Effect.Effect<TokenProvider, TokenError.TokenError, R>,
  { eager, policy }: TokenOptions
): Layer.Layer<TokenService.TokenService, TokenError.TokenError, R> =>
  Layer.effect(
    TokenService.TokenService,
    Effect.gen(function* () {
      const service = yield* TokenService.make({ provider: yield* provider, policy })
      if (eager !== false) yield* logIn(service.get)
      return service
    })
  )

/** Options of which those named `Values` may be a `Config`, and those named `Secrets` always are one. */
export type FromConfig<Options, Values extends keyof Options, Secrets extends keyof Options> = Omit<
  Options,
  Values | Secrets
> & { readonly [K in Values]?: Options[K] | Config.Config<Options[K]> } & {
  readonly [K in Secrets]: Config.Config<Redacted.Redacted>
}

export const read = <A>(value: A | Config.Config<A>): Effect.Effect<A, Config.ConfigError> =>
  Config.isConfig(value) ? value : Effect.succeed(value)

/** What is read again at each login. Read once now, to fail the start where it is missing. */
export const readLater = <A>(value: Config.Config<A>): Effect.Effect<Config.Config<A>, Config.ConfigError> =>
  Effect.as(value, value)

/** What a spec says of the network and of the token. */
export interface TestOptions {
  readonly respond: (request: HttpClientRequest.HttpClientRequest) => Response | Effect.Effect<Response>
  /** See `TokenService.layerTest`. @default one token, "test" */
  readonly tokens?: Arr.NonEmptyReadonlyArray<string | AccessToken.AccessToken | TokenError.Reason> | undefined
}

/** Provides a client with tokens that need no login and answers that need no network. */
export const layerTest = <A, E>(
  client: Layer.Layer<A, E, TokenService.TokenService | HttpClient.HttpClient>,
  { respond, tokens = ["test"] }: TestOptions
): Layer.Layer<A | TokenService.TokenService | TokenService.TestCalls, E> =>
  client.pipe(
    Layer.provideMerge(TokenService.layerTest(tokens)),
    Layer.provide(
      Layer.succeed(
        HttpClient.HttpClient,
        HttpClient.make((request) =>
          Effect.suspend(() => {
            const answer = respond(request)
            return Effect.map(Effect.isEffect(answer) ? answer : Effect.succeed(answer), (response) =>
              HttpClientResponse.fromWeb(request, response)
            )
          })
        )
      )
    )
  )
