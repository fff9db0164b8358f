/**
 * Requests to an authorization server. oauth4webapi writes them and checks the responses; the program's own `HttpClient`
 * sends them: one attempt each, without redirects and trace headers.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as oauth from "oauth4webapi"
import { makeExchange, type Operation, type Refusal } from "../../platform/shared/authentication.ts"
import { isSecureOrigin, originOf } from "../../platform/shared/origin.ts"
import type { Server } from "../../platform/shared/server.ts"
import { invalid } from "../../token/shared/failures.ts"
import * as TokenError from "../../token/TokenError.ts"
import { errorCodeOf, type Explanation, hasStandardCode } from "./errorCodes.ts"
import type { ClientOptions, Endpoints, ServerOptions } from "./options.ts"

/** What a client asks for, at any server. */
export type RequestedGrant = Omit<ClientOptions, keyof ServerOptions>

/** A client that is registered at an authorization server. */
export interface Client {
  readonly server: Server
  readonly httpClient: HttpClient.HttpClient
  readonly options: RequestedGrant
  readonly registration: oauth.Client
  /** Authenticates the client. It reads the secret or the key again each time. */
  readonly authentication: Effect.Effect<oauth.ClientAuth, TokenError.RenewalReason>
  readonly explanation: Explanation
  /** Identifies the client, with its secret or key, among those that share a store. */
  readonly identity: Effect.Effect<string, TokenError.RenewalReason>
  readonly metadata: Effect.Effect<oauth.AuthorizationServer, TokenError.RenewalReason>
  /** The endpoints that the program itself gives, if any. */
  readonly endpoints: Endpoints | undefined
  /** Hosts on which endpoints may be; any host if undefined. */
  readonly hosts: ReadonlyArray<string> | undefined
  /** Tenants that may issue ID tokens, where the server has several. */
  readonly tenants: ServerOptions["tenants"]
}

/** Endpoints of an authorization server (RFC 8414 §2). */
export type Endpoint =
  | "authorization_endpoint"
  | "token_endpoint"
  | "device_authorization_endpoint"
  | "revocation_endpoint"

/** A request that oauth4webapi wrote. */
interface Composed {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: URLSearchParams | undefined
}

/** Options for each function of oauth4webapi that writes a request. {@link checkUrl} decides whether a URL is safe. */
export interface ComposeOptions {
  readonly [oauth.allowInsecureRequests]: true
  readonly [oauth.customFetch]: (url: string, init: Omit<Composed, "url">) => Promise<never>
}

/** Writes a request with oauth4webapi, which is given a `fetch` that keeps the request and never responds. */
export const composeRequest = (
  compose: (options: ComposeOptions) => Promise<unknown>
): Effect.Effect<Composed, TokenError.ConfigurationInvalid> =>
  Effect.tryPromise({
    try: () =>
      new Promise<Composed>((resolve, reject) => {
        compose({
          [oauth.allowInsecureRequests]: true,
          [oauth.customFetch]: (url, { body, headers }) => {
            resolve({ url, headers, body })
            return new Promise<never>(() => undefined)
          }
        }).catch(reject)
      }),
    catch: () => invalid("authentication", "no request can be made with it. Check client id, secret and key")
  })

const asForm = ({ body }: Composed) =>
  HttpBody.raw(String(body), { contentType: "application/x-www-form-urlencoded;charset=UTF-8" })

/** Checks that a secret may be sent to a URL: over https or on loopback, and to one of the allowed hosts. */
export const checkUrl = (
  url: string,
  what: string,
  hosts: ReadonlyArray<string> | undefined
): Effect.Effect<string, TokenError.ConfigurationInvalid> =>
  Effect.suspend(() => {
    if (!isSecureOrigin(url)) return Effect.fail(invalid("issuer", `${what} is neither https nor on loopback`))
    const { password, protocol, username } = new URL(url)
    if (username + password !== "") return Effect.fail(invalid("issuer", `${what} contains a user name`))
    return hosts === undefined || hosts.some((host) => originOf(`${protocol}//${host}`) === originOf(url))
      ? Effect.succeed(url)
      : Effect.fail(
          invalid("issuer", `${what} is on a host that issuerHosts does not name. Name it, or check the issuer`)
        )
  })

/** Returns an endpoint if the server has it and a secret may be sent there. */
export const endpointOf = (
  { hosts, server }: Pick<Client, "hosts" | "server">,
  metadata: oauth.AuthorizationServer,
  name: Endpoint
): Effect.Effect<string, TokenError.ConfigurationInvalid> => {
  const url = metadata[name]
  return url === undefined
    ? Effect.fail(invalid("issuer", `the server has no ${name}`))
    : originOf(url).startsWith("http:") && server.baseUrl.startsWith("https:")
      ? Effect.fail(invalid("issuer", `its ${name} is not https`))
      : checkUrl(url, `its ${name}`, hosts)
}

/**
 * How long a discovery and the reading of a secret may take, in milliseconds. It must be shorter than an exchange, because a failure of
 * either means that nothing was sent.
 */
export const PreparationTimeout = /* @__PURE__ */ Context.Reference<number>(
  "effect-video-auth/oauth/PreparationTimeout",
  { defaultValue: () => 10_000 }
)

/** The server could not be reached, and no credential was sent to it. */
export const neverSent = (status?: number, retryAfter?: Duration.Duration) =>
  new TokenError.ProviderUnavailable({ failure: "connect", status, retryAfter })

/** Bounds the time of what has to be done before a request is sent. */
export const withPreparationTimeout = <A>(preparation: Effect.Effect<A, TokenError.RenewalReason>) =>
  Effect.flatMap(PreparationTimeout, (duration) =>
    Effect.timeoutOrElse(preparation, { duration, orElse: () => Effect.fail(neverSent()) })
  )

/** Bounds the time of a request that no engine bounds. */
export const withRequestTimeout = <A>(request: Effect.Effect<A, TokenError.RenewalReason>) =>
  Effect.timeoutOrElse(request, {
    duration: "30 seconds",
    orElse: () => Effect.fail(new TokenError.ProviderUnavailable({ failure: "timeout" }))
  })

/** One request to an endpoint, and the meaning of its response. */
export interface Request<A> {
  readonly endpoint: Endpoint
  readonly operation: Operation
  readonly compose: (
    metadata: oauth.AuthorizationServer,
    authentication: oauth.ClientAuth,
    options: ComposeOptions
  ) => Promise<unknown>
  readonly decode: (
    body: unknown,
    metadata: oauth.AuthorizationServer
  ) => Effect.Effect<A, TokenError.MalformedResponse>
  readonly refusal: Refusal
}

/**
 * Sends one request, once. A response with an error code is an error, also where its status says success (GitHub), and a known
 * code is final, also where the status says that the server is failing. After a 429 the client waits, whatever the code.
 */
export const send = /* @__PURE__ */ Effect.fnUntraced(function* <A>(
  client: Client,
  request: Request<A>
): Effect.fn.Return<A, TokenError.RenewalReason> {
  const { endpoint, form, metadata } = yield* withPreparationTimeout(
    Effect.gen(function* () {
      const metadata = yield* client.metadata
      const endpoint = yield* endpointOf(client, metadata, request.endpoint)
      const authentication = yield* client.authentication
      const form = yield* composeRequest((options) => request.compose(metadata, authentication, options))
      return { metadata, endpoint, form }
    })
  )
  let coded: TokenError.RenewalReason | undefined
  const refusal: Refusal = (operation, status, body) => {
    const reason = request.refusal(operation, status, body)
    if (hasStandardCode(body)) coded = reason
    return reason
  }
  const exchange = makeExchange(
    client.httpClient,
    { ...client.server, baseUrl: endpoint, headers: form.headers },
    (body): Effect.Effect<Result.Result<A, TokenError.RenewalReason>, TokenError.MalformedResponse> => {
      const refused = errorCodeOf(body) === undefined ? undefined : request.refusal(request.operation, 200, body)
      return refused === undefined
        ? Effect.map(request.decode(body, metadata), Result.succeed)
        : Effect.succeed(Result.fail(refused))
    },
    refusal,
    asForm
  )
  const response = yield* Effect.mapError(exchange(request.operation, "", form), (reason) => {
    if (reason._tag === "ProviderUnavailable" && coded !== undefined && !coded.isRetryable) return coded
    return request.operation === "refresh" && reason._tag === "MalformedResponse"
      ? // A redirect, which is not followed. It means that the server did nothing, so the refresh token is still unused.
        new TokenError.ProviderUnavailable({ status: reason.status, failure: "status" })
      : reason
  })
  return yield* Effect.fromResult(response)
})

/** Whether the server did what it was asked, and its response cannot be read. */
export const isUnreadableSuccess = (reason: TokenError.RenewalReason): boolean =>
  reason._tag === "MalformedResponse" && reason.status !== undefined && reason.status >= 200 && reason.status < 300

/** Checks a response with oauth4webapi. A failure names a claim at most, and nothing that the server sent. */
export const validated = <A>(
  body: unknown,
  process: (response: Response) => Promise<A>
): Effect.Effect<A, TokenError.MalformedResponse> =>
  Effect.tryPromise({
    try: () => process(Response.json(body)),
    catch: (error) => {
      const cause = Predicate.hasProperty(error, "cause") ? error.cause : undefined
      const claim = Predicate.hasProperty(cause, "claim") && typeof cause.claim === "string" ? cause.claim : undefined
      return new TokenError.MalformedResponse({
        problem: claim === undefined ? "a member is missing or invalid" : `the ID token's ${claim} is not acceptable`
      })
    }
  })
