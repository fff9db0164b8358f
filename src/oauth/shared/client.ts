/** Makes clients of authorization servers, whose options are checked before any request. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as oauth from "oauth4webapi"
import { locate, type Server } from "../../platform/shared/server.ts"
import { invalid, withProvider } from "../../token/shared/failures.ts"
import type * as TokenError from "../../token/TokenError.ts"
import { adviceFor, authenticate, clientIdentity } from "./clientAuthentication.ts"
import { cachedDocument, discover, givenMetadata } from "./discovery.ts"
import type { ClientOptions } from "./options.ts"
import { checkParameters } from "./parameters.ts"
import { checkUrl, type Client, type RequestedGrant } from "./requests.ts"

/** What oauth4webapi has to know about the client. */
const registrationOf = ({
  clientId,
  clockTolerance,
  idTokenAlgorithm
}: RequestedGrant): Effect.Effect<oauth.Client, TokenError.ConfigurationInvalid> => {
  if (clientId.trim() === "") return Effect.fail(invalid("clientId", "it is empty"))
  if (idTokenAlgorithm === "none") {
    return Effect.fail(invalid("idTokenAlgorithm", "an ID token has to be signed. Name the algorithm of the server"))
  }
  const tolerance = Duration.toSeconds(Duration.fromInputUnsafe(clockTolerance ?? "30 seconds"))
  return tolerance >= 0 && tolerance < Infinity
    ? Effect.succeed({
        client_id: clientId,
        [oauth.clockTolerance]: tolerance,
        ...(idTokenAlgorithm !== undefined && { id_token_signed_response_alg: idTokenAlgorithm })
      })
    : Effect.fail(invalid("clockTolerance", "it must be zero or more, and finite"))
}

/** Makes a client of a server whose metadata the caller finds. Its secrets are read in the context that is current now. */
export const makeClientOf = /* @__PURE__ */ Effect.fnUntraced(function* (
  at: Pick<Client, "server" | "httpClient" | "endpoints" | "hosts" | "tenants" | "metadata">,
  options: RequestedGrant
): Effect.fn.Return<Client, TokenError.ConfigurationInvalid> {
  const { authentication = { method: "none" } } = options
  const registration = yield* registrationOf(options)
  yield* checkParameters(options)
  const context = yield* Effect.context<never>()
  return {
    ...at,
    options,
    registration,
    authentication: Effect.provide(authenticate(authentication), context),
    explanation: {
      clientAdvice: adviceFor(authentication),
      keepsDescription: options.keepErrorDescription === true
    },
    identity: Effect.provide(clientIdentity(options.clientId, authentication), context)
  }
})

/** Makes a client of the server that its options name. */
export const makeClient = /* @__PURE__ */ Effect.fnUntraced(function* (options: ClientOptions) {
  const { discovery = "openid", issuer, issuerHosts: hosts, tenants } = options
  const place = yield* Effect.mapError(locate(issuer), ({ problem }) => invalid("issuer", problem))
  yield* checkUrl(issuer, "it", hosts)
  const server: Server = { platform: "oauth2", name: place.host, headers: {}, ...place }
  const httpClient = yield* HttpClient.HttpClient
  const endpoints = typeof discovery === "object" ? discovery : undefined
  const metadata =
    endpoints === undefined
      ? yield* cachedDocument(discover(httpClient, options))
      : Effect.succeed(yield* givenMetadata(options, { ...endpoints }))
  return yield* makeClientOf({ server, httpClient, endpoints, hosts, tenants, metadata }, options)
}, withProvider("oauth2"))
