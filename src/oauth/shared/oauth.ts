/**
 * oauth4webapi on the program's own `HttpClient`. It writes requests and checks answers; what is sent, and when, is ours:
 * one attempt each, no redirect followed, no trace header, no fetch behind anybody's back.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import * as oauth from "oauth4webapi"
import * as TokenError from "../../token/TokenError.ts"
import { makeExchange, type Operation, type Refusal } from "../../platform/shared/authentication.ts"
import { longest, readContent } from "../../platform/shared/body.ts"
import { discreet, failureOf, retryAfterOf } from "../../platform/shared/http.ts"
import { isSecureOrigin, originOf } from "../../platform/shared/origin.ts"
import type { Server } from "../../platform/shared/server.ts"
import { invalid } from "../../token/shared/failures.ts"

/** A client of an authorization server: who it is there, and how it shows that. */
export interface Peer {
  readonly server: Server
  readonly client: HttpClient.HttpClient
  readonly registration: oauth.Client
  readonly authentication: Effect.Effect<oauth.ClientAuth, TokenError.RenewalReason>
  readonly metadata: Effect.Effect<oauth.AuthorizationServer, TokenError.RenewalReason>
  /** Hosts that endpoints may be on; any, if it is not said. */
  readonly hosts: ReadonlyArray<string> | undefined
}

/** Endpoints of an authorization server (RFC 8414 §2). */
export type Endpoint =
  | "authorization_endpoint"
  | "token_endpoint"
  | "device_authorization_endpoint"
  | "revocation_endpoint"

/** A request that oauth4webapi has written. */
interface Written {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: URLSearchParams | undefined
}

/** What oauth4webapi is to know of each request. Whether a URL is safe is looked at by {@link checkPlace}. */
export interface RequestOptions {
  readonly [oauth.allowInsecureRequests]: true
  readonly [oauth.customFetch]: (url: string, how: Omit<Written, "url">) => Promise<never>
}

/** Has oauth4webapi write a request, instead of sending it: what waits for its answer is forgotten. */
const written = (
  write: (options: RequestOptions) => Promise<unknown>
): Effect.Effect<Written, TokenError.ConfigurationInvalid> =>
  Effect.tryPromise({
    try: () =>
      new Promise<Written>((resolve, reject) => {
        write({
          [oauth.allowInsecureRequests]: true,
          [oauth.customFetch]: (url, { body, headers }) => {
            resolve({ url, headers, body })
            return new Promise<never>(() => undefined)
          }
        }).catch(reject)
      }),
    catch: () => invalid("authentication", "no request can be made with it; check client id, secret and key")
  })

const asForm = ({ body }: Written) =>
  HttpBody.raw(String(body), { contentType: "application/x-www-form-urlencoded;charset=UTF-8" })

/** Whether a URL may be gone to: where a secret is safe, on a host that is allowed. */
export const checkPlace = (
  url: string,
  what: string,
  hosts: ReadonlyArray<string> | undefined
): Effect.Effect<string, TokenError.ConfigurationInvalid> =>
  Effect.suspend(() => {
    if (!isSecureOrigin(url)) return Effect.fail(invalid("issuer", `${what} is neither https nor on loopback`))
    const { password, protocol, username } = new URL(url)
    if (username + password !== "") return Effect.fail(invalid("issuer", `${what} has a user name in it`))
    return hosts === undefined || hosts.some((host) => originOf(`${protocol}//${host}`) === originOf(url))
      ? Effect.succeed(url)
      : Effect.fail(invalid("issuer", `${what} is on a host that issuerHosts does not name`))
  })

/** An endpoint, if the server has it and it may be gone to. */
export const endpointOf = (
  { hosts, server }: Pick<Peer, "hosts" | "server">,
  metadata: oauth.AuthorizationServer,
  name: Endpoint
): Effect.Effect<string, TokenError.ConfigurationInvalid> => {
  const url = metadata[name]
  return url === undefined
    ? Effect.fail(invalid("issuer", `the server has no ${name}`))
    : originOf(url).startsWith("http:") && server.baseUrl.startsWith("https:")
      ? Effect.fail(invalid("issuer", `its ${name} is not https`))
      : checkPlace(url, `its ${name}`, hosts)
}

/**
 * How long a discovery and the reading of a secret may take, in milliseconds: less than an exchange may, for what they fail
 * with says that nothing was sent.
 */
export const Preparation = /* @__PURE__ */ Context.Reference<number>("effect-video-auth/OAuth2/Preparation", {
  defaultValue: () => 10_000
})

/** Bounds what comes before a request is sent. */
export const prepared = <A>(preparation: Effect.Effect<A, TokenError.RenewalReason>) =>
  Effect.flatMap(Preparation, (duration) =>
    Effect.timeoutOrElse(preparation, { duration, orElse: () => Effect.fail(unreachable()) })
  )

/** One request to an endpoint, and what its answer means. */
export const ask = /* @__PURE__ */ Effect.fnUntraced(function* <A>(
  peer: Peer,
  request: {
    readonly endpoint: Endpoint
    readonly operation: Operation
    readonly write: (
      metadata: oauth.AuthorizationServer,
      authentication: oauth.ClientAuth,
      options: RequestOptions
    ) => Promise<unknown>
    readonly decode: (
      body: unknown,
      metadata: oauth.AuthorizationServer
    ) => Effect.Effect<A, TokenError.MalformedResponse>
    readonly refusal: Refusal
  }
): Effect.fn.Return<A, TokenError.RenewalReason> {
  const { endpoint, form, metadata } = yield* prepared(
    Effect.gen(function* () {
      const metadata = yield* peer.metadata
      const endpoint = yield* endpointOf(peer, metadata, request.endpoint)
      const authentication = yield* peer.authentication
      const form = yield* written((options) => request.write(metadata, authentication, options))
      return { metadata, endpoint, form }
    })
  )
  const exchange = makeExchange(
    peer.client,
    { ...peer.server, baseUrl: endpoint, headers: form.headers },
    (answer) => request.decode(answer, metadata),
    request.refusal,
    asForm
  )
  return yield* Effect.mapError(exchange(request.operation, "", form), (reason) =>
    request.operation === "refresh" && reason._tag === "MalformedResponse"
      ? // A redirect, which is not followed. Who redirects has not acted: the refresh token is still good.
        new TokenError.ProviderUnavailable({ status: reason.status, failure: "status" })
      : reason
  )
})

/** The server did what it was asked, and said so in a way that cannot be read. */
export const isUnreadableSuccess = (reason: TokenError.RenewalReason): boolean =>
  reason._tag === "MalformedResponse" && `${reason.status}`.startsWith("2")

/** Bounds a request that no engine bounds. */
export const inTime = <A>(request: Effect.Effect<A, TokenError.RenewalReason>) =>
  Effect.timeoutOrElse(request, {
    duration: Duration.seconds(30),
    orElse: () => Effect.fail(new TokenError.ProviderUnavailable({ failure: "timeout" }))
  })

/** Checks an answer by oauth4webapi. Of what it says is wrong, only the name of a claim is told, which is not the server's. */
export const checked = <A>(
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

// ---------------------------------------------------------------------------------------------------------------------
// Errors, by their code: servers do not agree on the status
// ---------------------------------------------------------------------------------------------------------------------

/** Codes of RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 8628 §3.5, RFC 8707 §2 and OpenID Connect Core §3.1.2.6. */
const meanings = {
  access_denied: "it was denied; who was asked may have refused",
  account_selection_required: "",
  authorization_pending: "nobody has entered the code yet",
  consent_required: "",
  expired_token: "the code expired before anybody entered it; start again",
  interaction_required: "",
  invalid_client: "",
  invalid_grant: "",
  invalid_request: "",
  invalid_scope: "the scope is unknown, or not allowed for this client",
  invalid_target: "the resource or audience is unknown, or not allowed for this client",
  login_required: "",
  server_error: "",
  slow_down: "it was asked too often",
  temporarily_unavailable: "",
  unauthorized_client: "this client may not use this grant, or it was not recognized",
  unsupported_grant_type: "the server does not support this grant",
  unsupported_response_type: "the server does not support this response type",
  unsupported_token_type: "the server does not revoke tokens of this kind"
}

const isCode = (code: unknown): code is keyof typeof meanings =>
  typeof code === "string" && Object.hasOwn(meanings, code)

/** What an error means: known by its code alone. One of the server's own is not repeated, for it could be anything. */
export const reasonOfCode = (
  code: unknown,
  operation: Operation,
  status: number | undefined,
  advice?: string
): TokenError.RenewalReason => {
  if (!isCode(code)) {
    return new TokenError.ProviderRejected({
      code: "unknown",
      detail: "the server's error is none of the standard ones"
    })
  }
  switch (code) {
    case "invalid_grant":
      return operation === "refresh"
        ? new TokenError.RefreshTokenRejected({ status, type: code })
        : new TokenError.InvalidCredentials({ status, type: code, advice })
    case "invalid_client":
      return new TokenError.InvalidCredentials({
        status,
        type: code,
        advice: "check client id, client secret or key, and how the server wants them"
      })
    case "invalid_request":
      return new TokenError.BadRequest({ status, type: code })
    case "server_error":
    case "temporarily_unavailable":
      return new TokenError.ProviderUnavailable({ status, failure: "status" })
    case "account_selection_required":
    case "consent_required":
    case "interaction_required":
    case "login_required":
      return new TokenError.InteractionRequired({ status, type: code })
    default:
      return new TokenError.ProviderRejected({ code, detail: meanings[code] })
  }
}

/** A refusal of an endpoint. `advice` is for a refused grant of a login. */
export const refusalWith =
  (advice: string): Refusal =>
  (operation, status, body) => {
    const code = Predicate.hasProperty(body, "error") ? body.error : undefined
    if (typeof code === "string") return reasonOfCode(code, operation, status, advice)
    if (status === 404 || status === 405) return invalid("issuer", `an endpoint of its server answered ${status}`)
    // Not the server's word, but that of something in front of it: a refresh token in the request was not used.
    if (operation === "refresh") return new TokenError.ProviderUnavailable({ status, failure: "status" })
    // It may be the server's all the same, and a password that is tried again and again can lock an account.
    return status === 401
      ? new TokenError.InvalidCredentials({ status, advice })
      : new TokenError.MalformedResponse({ status, problem: "an error without its code" })
  }

/** A refusal where a refused grant is a code that somebody else was given: `detail` says what to do. */
export const refusalOfCode =
  (detail: string): Refusal =>
  (operation, status, body) =>
    Predicate.hasProperty(body, "error") && body.error === "invalid_grant"
      ? new TokenError.ProviderRejected({ code: "invalid_grant", detail })
      : refusalWith("")(operation, status, body)

// ---------------------------------------------------------------------------------------------------------------------
// Discovery
// ---------------------------------------------------------------------------------------------------------------------

/** A document, and for how long its server lets it be kept. */
interface Document<A> {
  readonly value: A
  readonly lifetime: Duration.Duration
}

/** What is kept for longer would not be noticed to have changed; what says nothing of its lifetime is kept for a while. */
const longestLifetime = Duration.days(1)
const usualLifetime = Duration.minutes(10)

/**
 * RFC 9111 §4.2: `max-age`, else `Expires` less `Date`, and less the `Age` that it has. What is there and makes no sense is
 * stale at once (§4.2.1, §5.3).
 */
const lifetimeOf = (headers: Readonly<Record<string, string | undefined>>, now: number): Duration.Duration => {
  const { age, date, expires } = headers
  const directives = new Map(
    (headers["cache-control"] ?? "").split(",").map((directive) => {
      const [name = "", value = ""] = directive.toLowerCase().split("=")
      return [name.trim(), value.replace(/[\s"]/g, "")]
    })
  )
  if (directives.has("no-store") || directives.has("no-cache")) return Duration.zero
  const maxAge = directives.get("max-age")
  if (maxAge === undefined && expires === undefined) return usualLifetime
  const sentAt = Date.parse(date ?? "") || now
  const fresh = maxAge === undefined ? Date.parse(expires ?? "") - sentAt : Number(maxAge || Number.NaN) * 1_000
  const left = fresh - Math.max(0, Number(age) || 0) * 1_000
  return left > 0 ? Duration.min(Duration.millis(left), longestLifetime) : Duration.zero
}

const unreachable = (status?: number, retryAfter?: Duration.Duration) =>
  // Whatever happened to it, no credential has left: a refresh token is still good.
  new TokenError.ProviderUnavailable({ failure: "connect", status, retryAfter })

const reasonOfFailure = (error: HttpClientError.HttpClientError) =>
  error.reason._tag === "TransportError" && failureOf(error) === "tls"
    ? new TokenError.ProviderUnavailable({ failure: "tls" })
    : unreachable()

/** Gets a document in JSON: what is no JSON is of somebody in between. */
export const getDocument = /* @__PURE__ */ Effect.fnUntraced(function* (
  client: HttpClient.HttpClient,
  url: string,
  hosts: ReadonlyArray<string> | undefined,
  what: string
): Effect.fn.Return<Document<object>, TokenError.RenewalReason> {
  yield* checkPlace(url, what, hosts)
  const response = yield* Effect.mapError(
    discreet(true)(client).get(url, { headers: { accept: "application/json, application/jrd+json" } }),
    reasonOfFailure
  )
  const { headers, status } = response
  const isTransient = status < 400 || status === 407 || status === 408 || status === 429 || status >= 500
  if (status !== 200) {
    return yield* isTransient
      ? unreachable(status, retryAfterOf(response))
      : invalid("issuer", `${what} answered ${status}, so it is not there`)
  }
  const content = yield* readContent(response, { limit: longest.token, within: 5_000 })
  const value = content._tag === "Json" ? content.value : undefined
  const lifetime = lifetimeOf(headers, yield* Clock.currentTimeMillis)
  return Predicate.isObject(value) ? { value, lifetime } : yield* unreachable(status)
})

/** Gets the metadata of an issuer, whose name has to be the one that they give. */
export const discover = /* @__PURE__ */ Effect.fnUntraced(function* (
  client: HttpClient.HttpClient,
  issuer: string,
  algorithm: "oidc" | "oauth2",
  hosts: ReadonlyArray<string> | undefined
): Effect.fn.Return<Document<oauth.AuthorizationServer>, TokenError.RenewalReason> {
  const at = new URL(yield* checkPlace(issuer, "its issuer", hosts))
  const { url } = yield* written((options) => oauth.discoveryRequest(at, { ...options, algorithm }))
  const { lifetime, value } = yield* getDocument(client, url, hosts, "its metadata document")
  const metadata = yield* Effect.mapError(
    checked(value, (response) => oauth.processDiscoveryResponse(at, response)),
    () => invalid("issuer", "the metadata found there are those of another issuer")
  )
  return { value: metadata, lifetime }
})

/** How long a document that could not be got anew is served after its time. */
const graceLifetime = Duration.seconds(30)

/** Keeps a document for its lifetime, and beyond while there is no newer one to be had. */
export const kept = <A>(
  get: Effect.Effect<Document<A>, TokenError.RenewalReason>
): Effect.Effect<Effect.Effect<A, TokenError.RenewalReason>> =>
  Effect.suspend(() => {
    let last: Document<A> | undefined
    const lookup = prepared(get).pipe(
      Effect.tap((document) =>
        Effect.sync(() => {
          last = document
        })
      ),
      Effect.catchIf(
        (reason) => reason.isRetryable && last !== undefined,
        (reason) => (last === undefined ? Effect.fail(reason) : Effect.succeed({ ...last, lifetime: graceLifetime }))
      )
    )
    return Effect.map(
      Effect.cachedInvalidateWithTTL(lookup, (exit) => (Exit.isSuccess(exit) ? exit.value.lifetime : Duration.zero)),
      ([document]) => Effect.map(document, ({ value }) => value)
    )
  })
