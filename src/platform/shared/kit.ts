/** What `Platform.make` is made of. The platforms of the library use the parts, so that a token alone brings no client. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constFalse } from "effect/Function"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Rec from "effect/Record"
import type * as Scope from "effect/Scope"
import { withProvider } from "../../token/shared/failures.ts"
import type * as TokenError from "../../token/TokenError.ts"
import type { TokenProvider } from "../../token/TokenProvider.ts"
import * as TokenService from "../../token/TokenService.ts"
import { TokenServiceMap } from "../../token/TokenServiceMap.ts"
import type { Errors } from "../PlatformError.ts"
import type { Clients, Tokens } from "../PlatformServices.ts"
import * as PlatformClient from "./client.ts"
import type { ApiError } from "./client.ts"
import * as Configuration from "./configuration.ts"
import * as Layers from "./layers.ts"
import { Lanes } from "./limiter.ts"
import { hasOrigin, originOf } from "./origin.ts"
import { type SecretSource, type Server, withServices } from "./server.ts"

export type { ApiError }

type Client<E> = PlatformClient.Client<E>
type Request = HttpClientRequest.HttpClientRequest
type Failure = TokenError.TokenError

/** Secrets by the names of their options. */
export type Secrets<Names extends string, R = never> = { readonly [K in Names]: SecretSource<R> }

/** How a platform issues tokens. */
export interface Credential<Own, Names extends string> {
  /** Names the platform in messages. */
  readonly name: string
  /** The options that are secrets, and what each should be set to, as in `"an API key from https://example.com"`. */
  readonly secrets: Readonly<Record<Names, string>>
  /** Makes the protocol: a grant of `OAuth2`, or one of the platform's own with `makeExchange`. */
  readonly provider: (
    secrets: Secrets<Names>,
    options: Own
  ) => Effect.Effect<TokenProvider, Failure, HttpClient.HttpClient>
  /** Variables that `layerConfig` reads if the code has none of these options. They may be missing. */
  readonly variables?: { readonly [K in keyof Own]?: Config.Config<Own[K]> } | undefined
}

/** A platform's API. */
export interface Api<Self, E, Own, Class extends string> {
  /** The key of the client. */
  readonly service: Context.Key<Self, Client<E>>
  /** Makes the server of the options: `serverAt`, unless the platform has more than a `baseUrl`. */
  readonly server: (options: Own) => Effect.Effect<Server, Failure>
  readonly errors: Errors<E>
  /** What the platform counts. @default nothing; 429s are waited for all the same */
  readonly limits?:
    | {
        /** Requests per minute, by class, with which a client begins. It learns the real limits from the responses. */
        readonly perMinute: Readonly<Record<Class, number>> | ((options: Own) => Readonly<Record<Class, number>>)
        readonly classOf: (request: Request) => NoInfer<Class>
        /** Header with the seconds until the server's window ends, if successful responses have one. */
        readonly resetAfter?: string | undefined
      }
    | undefined
  /** Selects uploads, which may take any time. `isOwn` says whether a request goes to the platform. @default none */
  readonly isUpload?: ((request: Request, isOwn: boolean) => boolean) | undefined
  /** Selects requests that go without the token, and whose 401 means something else. @default none */
  readonly isAnonymous?: ((request: Request) => boolean) | undefined
  /** Selects responses with a status of 400 or more that are good ones all the same. @default none */
  readonly isGood?: ((response: HttpClientResponse.HttpClientResponse, isOwn: boolean) => boolean) | undefined
  /** The slug in the JSON of a 401, if the platform documents it. @default none */
  readonly slugOf?: ((body: unknown) => string | undefined) | undefined
  /**
   * Hides the credentials in the URL of a request. `isOwn` says whether it goes to the platform.
   * @default the query parameters that the errors hide become redacted ones
   */
  readonly prepare?: ((request: Request, isOwn: boolean) => Request) | undefined
}

/** How many requests a client sends. */
export interface RateLimits<Class extends string> {
  /**
   * Requests per minute by class, with which the client begins. It learns the real limits from the responses. `false`
   * switches the limiter off.
   * @default the documented limits
   */
  readonly rateLimits?: Readonly<Record<Class, number>> | false | undefined
}

/** All options of a client on any token. */
type ClientSettings<E, Own, Class extends string> = Own & PlatformClient.ClientOptions<E> & RateLimits<Class>

/** All options of a token, secrets included. */
type TokenSettings<Own, Names extends string, R> = Own & Layers.TokenOptions & Secrets<Names, R>

/** The key of the token service that belongs to a platform's client. */
export const tokensOf = <Self, Shape>(
  service: Context.Key<Self, Shape>
): Context.Service<Tokens<Self>, TokenService.TokenService["Service"]> => Context.Service(`${service.key}/Tokens`)

/** The key of a platform's clients for many identities. */
export const clientsOf = <Self, E, Identity>(
  service: Context.Key<Self, Client<E>>
): Context.Service<Clients<Self>, (identity: Identity) => Effect.Effect<Client<E>, Failure>> =>
  Context.Service(`${service.key}/Clients`)

/** What several clients share: the server, which may be one account's, and the limits. */
interface Shared {
  readonly server: Server
  readonly lanes: Lanes
}

type Authenticated<E, R> = (
  server: Server
) => Effect.Effect<(self: PlatformClient.Wire<E>) => PlatformClient.Wire<E>, Failure, R>

const redacting = ({ parameters }: Errors<unknown>) =>
  parameters.length === 0
    ? (request: Request) => request
    : (request: Request) => HttpClientRequest.setUrlParams(request, UrlParams.redact(request.urlParams, parameters))

/** Makes a client with any kind of credential. */
export const makeClient = /* @__PURE__ */ Effect.fnUntraced(function* <
  Self,
  E extends ApiError,
  Own,
  Class extends string,
  R
>(
  api: Api<Self, E, Own, Class>,
  options: ClientSettings<E, Own, Class>,
  authenticated: Authenticated<E, R>,
  shared?: Shared
) {
  const { errors, isGood = constFalse, isUpload = constFalse, limits, prepare = redacting(errors) } = api
  const server = shared?.server ?? (yield* api.server(options))
  const origin = originOf(server.baseUrl)
  const usual = typeof limits?.perMinute === "function" ? limits.perMinute(options) : limits?.perMinute
  return yield* PlatformClient.make(
    {
      server,
      errors,
      prepare,
      isGood: (response) => isGood(response, hasOrigin(response.request.url, origin)),
      isUpload: (request) => isUpload(request, hasOrigin(request.url, origin)),
      limits: {
        perMinute: options.rateLimits ?? usual ?? false,
        classOf: limits?.classOf ?? (() => "requests"),
        resetAfter: limits?.resetAfter
      }
    },
    options,
    yield* authenticated(server),
    shared?.lanes
  )
})

/** Makes a client whose credential is the `TokenService` of the context. */
const makeBearerClient = <Self, E extends ApiError, Own, Class extends string>(
  api: Api<Self, E, Own, Class>,
  options: ClientSettings<E, Own, Class>,
  shared?: Shared
) => {
  const { isAnonymous, slugOf } = api
  const bearer = (server: Server) => PlatformClient.bearer(server, { anonymous: isAnonymous, slugOf })
  return makeClient<Self, E, Own, Class, TokenService.TokenService>(api, options, bearer, shared)
}

/** Provides the client on a `TokenService`, and that service under the platform's own key. */
export const layerClient = <Self, E extends ApiError, Own, Class extends string>(
  api: Api<Self, E, Own, Class>,
  options: ClientSettings<E, Own, Class>
): Layer.Layer<Self | Tokens<Self>, Failure, TokenService.TokenService | HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.map(Effect.all([makeBearerClient(api, options), TokenService.TokenService]), ([client, tokens]) =>
      Context.add(Context.make(api.service, client), tokensOf(api.service), tokens)
    )
  )

/** Provides the token. The services that secrets need are those of the layer. */
export const layerToken = <Own, Names extends string, R>(
  { provider, secrets }: Credential<Own, Names>,
  options: TokenSettings<Own, Names, R>
): Layer.Layer<TokenService.TokenService, Failure, HttpClient.HttpClient | R> =>
  Layers.layerToken(
    Effect.flatMap(Effect.context<R>(), (context) =>
      provider(
        Rec.map(secrets, (_, name) => withServices(options[name], context)),
        options
      )
    ),
    options
  )

/** Options of which every one may be a `Config`. */
export type FromConfig<O> = { readonly [K in keyof O]: O[K] | Config.Config<O[K]> }

/**
 * Reads the options that are a `Config`, and the platform's variables. A secret is read to see that it is there, and stays a
 * `Config`, because it is read again at each login.
 */
export function readOptions<Own, Names extends string, O, R>(
  credential: Credential<Own, Names>,
  options: FromConfig<O> & Secrets<Names, R>
): Effect.Effect<O & Secrets<Names, R>, Failure>
export function readOptions(
  credential: { readonly name: string; readonly secrets: object; readonly variables?: object | undefined },
  options: object
): Effect.Effect<object, Failure> {
  const given = new Map<string, unknown>(Object.entries(options))
  const secrets = new Map<string, string>(Object.entries(credential.secrets))
  const variables: ReadonlyArray<readonly [string, unknown]> = Object.entries(credential.variables ?? {})
  const read = [...given].map(([name, value]) => {
    const meaning = secrets.get(name)
    const reading =
      meaning === undefined ? Configuration.read(name, value) : Configuration.readLater(name, value, meaning)
    return Effect.map(reading, (value) => [name, value] as const)
  })
  const isInCode = variables.some(([name]) => given.get(name) !== undefined)
  const optional = (isInCode ? [] : variables).flatMap(([name, config]) =>
    Config.isConfig(config)
      ? [Effect.map(Configuration.readOptional(name, config), (value) => [name, value] as const)]
      : []
  )
  return Effect.all([...read, ...optional]).pipe(Effect.map(Object.fromEntries), withProvider(credential.name))
}

/** Provides the token with options from configuration. */
export const layerTokenConfig = <Own, Names extends string, R>(
  credential: Credential<Own, Names>,
  options: FromConfig<Own & Layers.TokenOptions> & Secrets<Names, R>
): Layer.Layer<TokenService.TokenService, Failure, HttpClient.HttpClient | R> =>
  Layer.unwrap(
    Effect.map(readOptions<Own, Names, Own & Layers.TokenOptions, R>(credential, options), (read) =>
      layerToken(credential, read)
    )
  )

/** All options of a client with its own token, but the secrets. */
type Settings<E, Place, Own, Class extends string> = ClientSettings<E, Place, Class> & Own & Layers.TokenOptions

/** Provides the client with its own token. */
export const layer = <Self, E extends ApiError, Place, Own, Names extends string, Class extends string, R>(
  api: Api<Self, E, Place, Class>,
  credential: Credential<Own, Names>,
  options: Settings<E, Place, Own, Class> & Secrets<Names, R>
): Layer.Layer<Self | Tokens<Self>, Failure, HttpClient.HttpClient | R> =>
  Layer.provide(layerClient(api, options), layerToken(credential, options))

/** Provides the client with options from configuration. */
export const layerConfig = <Self, E extends ApiError, Place, Own, Names extends string, Class extends string, R>(
  api: Api<Self, E, Place, Class>,
  credential: Credential<Own, Names>,
  options: FromConfig<Settings<E, Place, Own, Class>> & Secrets<Names, R>
): Layer.Layer<Self | Tokens<Self>, Failure, HttpClient.HttpClient | R> =>
  Layer.unwrap(
    Effect.map(readOptions<Own, Names, Settings<E, Place, Own, Class>, R>(credential, options), (read) =>
      layer<Self, E, Place, Own, Names, Class, R>(api, credential, read)
    )
  )

/** Provides the client for specs. */
export const layerTest = <Self, E extends ApiError, Own, Class extends string>(
  api: Api<Self, E, Own, Class>,
  options: Own & Layers.TestOptions
): Layer.Layer<Self | Tokens<Self> | TokenService.TestCalls, Failure> =>
  Layer.unwrap(
    Effect.map(api.server(options), ({ baseUrl }) =>
      Layers.layerTest(
        layerClient(api, { ...options, rateLimits: false, rateLimitRetries: 0 }),
        { baseUrl, name: api.service.key, redactUrl: api.errors.redactUrl },
        options
      )
    )
  )

/**
 * Makes the clients of many identities, each on a service of the `TokenServiceMap`. They share the limits of an account, whose
 * name is the second parameter.
 */
export const makeClients = /* @__PURE__ */ Effect.fnUntraced(function* <
  Self,
  E extends ApiError,
  Own,
  Class extends string
>(api: Api<Self, E, Own, Class>, options: ClientSettings<E, Own, Class>) {
  const context = yield* Effect.context<HttpClient.HttpClient | Scope.Scope>()
  const tokens = yield* TokenServiceMap
  const server = yield* api.server(options)
  // Clients are asked for again and again, and their limits outlive each of them.
  const lanes = new Lanes(server.name, options.rateLimiter)
  return (
    provider: Effect.Effect<TokenProvider, Failure, HttpClient.HttpClient>,
    account = server.host
  ): Effect.Effect<Client<E>, Failure> =>
    Effect.flatMap(Effect.flatMap(provider, tokens.get), (service) =>
      makeBearerClient(api, options, { server: { ...server, host: account }, lanes }).pipe(
        Effect.provideService(TokenService.TokenService, service)
      )
    ).pipe(Effect.provide(context))
})
