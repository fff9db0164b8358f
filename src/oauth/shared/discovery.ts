/** Finds the endpoints of an authorization server in its metadata document, which is cached for its HTTP lifetime. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import * as oauth from "oauth4webapi"
import { longest, readContent } from "../../platform/shared/body.ts"
import { brokenTransport, reportOf } from "../../platform/shared/cause.ts"
import { forCredentials, failureOf, retryAfterOf } from "../../platform/shared/http.ts"
import { invalid } from "../../token/shared/failures.ts"
import * as TokenError from "../../token/TokenError.ts"
import type { ServerOptions } from "./options.ts"
import { checkUrl, composeRequest, neverSent, validated, withPreparationTimeout } from "./requests.ts"
import { isTemplate, tenantIn } from "./tenants.ts"

/** A document, and how long its server allows it to be cached. */
interface Document<A> {
  readonly value: A
  readonly lifetime: Duration.Duration
}

/** A document is cached for a day at most, so that a change is noticed, and for ten minutes if its headers say nothing. */
const longestLifetime = Duration.days(1)
const defaultLifetime = Duration.minutes(10)

/**
 * The freshness lifetime of RFC 9111 §4.2: `max-age`, or else `Expires` minus `Date`, in each case minus `Age`. A value that
 * makes no sense means that the document is stale at once (§4.2.1, §5.3).
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
  if (maxAge === undefined && expires === undefined) return defaultLifetime
  const sentAt = Date.parse(date ?? "") || now
  const fresh = maxAge === undefined ? Date.parse(expires ?? "") - sentAt : Number(maxAge || Number.NaN) * 1_000
  const left = fresh - Math.max(0, Number(age) || 0) * 1_000
  return left > 0 ? Duration.min(Duration.millis(left), longestLifetime) : Duration.zero
}

/** A document is got without any credential, so its request contains no secret. */
const reasonOfFailure = (error: HttpClientError.HttpClientError) => {
  const report = reportOf(error.reason.cause, identity)
  if (report?.isBug === true) return brokenTransport(report)
  const failure = error.reason._tag === "TransportError" && failureOf(error) === "tls" ? "tls" : "connect"
  return new TokenError.ProviderUnavailable({ failure, detail: report?.text })
}

/** Gets a JSON document. A response without JSON comes from something in front of the server, and is transient. */
export const getDocument = /* @__PURE__ */ Effect.fnUntraced(function* (
  client: HttpClient.HttpClient,
  url: string,
  hosts: ReadonlyArray<string> | undefined,
  what: string
): Effect.fn.Return<Document<object>, TokenError.RenewalReason> {
  yield* checkUrl(url, what, hosts)
  const response = yield* Effect.mapError(
    forCredentials(client).get(url, { headers: { accept: "application/json, application/jrd+json" } }),
    reasonOfFailure
  )
  const { headers, status } = response
  const content = yield* readContent(response, { limit: longest.token, within: 5_000 })
  if (status !== 200) {
    const isTransient = status < 400 || status === 407 || status === 408 || status === 429 || status >= 500
    // A page for a missing document may be the server's own. With any other status it comes from a firewall.
    const isForeign = content._tag === "Unread" && status !== 404 && status !== 410
    const retryAfter = retryAfterOf(response)
    return yield* isTransient || isForeign
      ? new TokenError.ProviderUnavailable({ failure: "connect", status, retryAfter, fromPlatform: !isForeign })
      : invalid("issuer", `${what} was not found; its server answered ${status}`)
  }
  const value = content._tag === "Json" ? content.value : undefined
  const lifetime = lifetimeOf(headers, yield* Clock.currentTimeMillis)
  return Predicate.isObject(value) ? { value, lifetime } : yield* neverSent(status)
})

/** The issuer in a metadata document, if it is a template that the configured issuer follows. */
const templateIn = (document: object, issuer: string): string | undefined => {
  const template = Predicate.hasProperty(document, "issuer") ? document.issuer : undefined
  return typeof template === "string" && tenantIn(template, issuer) !== undefined ? template : undefined
}

/** Gets the metadata of an issuer. The document must name that issuer, or a template that the issuer follows. */
export const discover = /* @__PURE__ */ Effect.fnUntraced(function* (
  client: HttpClient.HttpClient,
  { discovery = "openid", issuer, issuerHosts: hosts, tenants }: ServerOptions
): Effect.fn.Return<Document<oauth.AuthorizationServer>, TokenError.RenewalReason> {
  const at = new URL(yield* checkUrl(issuer, "its issuer", hosts))
  const algorithm = discovery === "openid" ? "oidc" : "oauth2"
  const { url } = yield* composeRequest((options) => oauth.discoveryRequest(at, { ...options, algorithm }))
  const { lifetime, value: document } = yield* getDocument(client, url, hosts, "its metadata document")
  const template = templateIn(document, issuer)
  if (template !== undefined && tenants === undefined) {
    return yield* invalid("tenants", "the server names the issuer of any tenant. Name the tenants that may sign in")
  }
  const value = yield* Effect.mapError(
    validated(template === undefined ? document : { ...document, issuer }, (response) =>
      oauth.processDiscoveryResponse(at, response)
    ),
    () => invalid("issuer", "the metadata document found there names another issuer. Write it as the server does")
  )
  return { value: template === undefined ? value : { ...value, issuer: template }, lifetime }
})

/** How long a stale document is used before the next attempt to replace it. */
const staleLifetime = Duration.seconds(30)

/** Caches a document for its lifetime. A stale one is used while its server cannot be reached. */
export const cachedDocument = <A>(
  get: Effect.Effect<Document<A>, TokenError.RenewalReason>
): Effect.Effect<Effect.Effect<A, TokenError.RenewalReason>> =>
  Effect.suspend(() => {
    let last: Document<A> | undefined
    const lookup = withPreparationTimeout(get).pipe(
      Effect.tap((document) =>
        Effect.sync(() => {
          last = document
        })
      ),
      Effect.catchIf(
        (reason) => reason.isRetryable && last !== undefined,
        (reason) => (last === undefined ? Effect.fail(reason) : Effect.succeed({ ...last, lifetime: staleLifetime }))
      )
    )
    return Effect.map(
      Effect.cachedInvalidateWithTTL(lookup, (exit) => (Exit.isSuccess(exit) ? exit.value.lifetime : Duration.zero)),
      ([document]) => Effect.map(document, ({ value }) => value)
    )
  })

/** The metadata that a program gives itself, for a server that publishes none. */
export const givenMetadata = (
  { issuer, tenants }: ServerOptions,
  endpoints: Omit<oauth.AuthorizationServer, "issuer">
): Effect.Effect<oauth.AuthorizationServer, TokenError.ConfigurationInvalid> =>
  isTemplate(issuer) && tenants === undefined
    ? Effect.fail(invalid("tenants", "the issuer is that of any tenant. Name the tenants that may sign in"))
    : Effect.succeed({ issuer, ...endpoints })
