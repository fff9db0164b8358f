/**
 * The applications that the sandboxed login service knows: what they may, where a login leads back to, and how the service
 * words a refusal. Words and statuses are Keycloak's, which movingimage runs.
 */
import * as Result from "effect/Result"
import type * as SandboxAccounts from "./SandboxAccounts.ts"

/** How a client may get its first token; refreshing is open to all that were given a refresh token. */
export type Grant = "password" | "authorization_code" | "client_credentials" | "device_code"

/** An application that the login service knows. */
export interface Client {
  readonly id: string
  /** A confidential client's; without one it is public. */
  readonly secret?: string | undefined
  readonly grants: ReadonlyArray<Grant>
  /** Where a login may lead back to, `*` at the end for any continuation; on loopback any port will do (RFC 8252). */
  readonly redirectUris?: ReadonlyArray<string> | undefined
  /** A login without PKCE is refused. Default false. */
  readonly requiresPkce?: boolean | undefined
  /** What the client itself may see, by the grant `client_credentials`. Default none. */
  readonly videoManagers?: ReadonlyArray<SandboxAccounts.VideoManager> | undefined
}

/** An OAuth error. */
export interface Refusal {
  readonly status: number
  readonly error: string
  readonly description: string
  /** Whether the response asks for HTTP Basic. */
  readonly challenge?: boolean | undefined
}

/** The client id and secret of an HTTP Basic header. */
export interface Basic {
  readonly id: string
  readonly secret: string
}

/** The grant, or what stands for it, is not good (any more). */
export const invalidGrant = (description: string, status = 400): Refusal => ({
  status,
  error: "invalid_grant",
  description
})

/** The request is not well formed. */
export const invalidRequest = (description: string): Refusal => ({ status: 400, error: "invalid_request", description })

const wrongClient = (error: string, challenge = false): Refusal => ({
  status: 401,
  error,
  description: "Invalid client or Invalid client credentials",
  challenge
})

const loopback = new Set(["127.0.0.1", "[::1]", "localhost"])

// The port of a program on the user's own machine is whichever is free (RFC 8252, section 7.3).
const portless = (uri: string): string => {
  const url = URL.parse(uri)
  if (url === null || !loopback.has(url.hostname)) return uri
  url.port = ""
  return url.href
}

/** Whether a login of that client may lead to that URI. */
export const allowsRedirect = (client: Client, uri: string): boolean => {
  const url = URL.parse(uri)
  if (url === null || url.hash !== "") return false
  return (client.redirectUris ?? []).some((pattern) =>
    pattern.endsWith("*")
      ? portless(uri).startsWith(portless(pattern.slice(0, -1)))
      : portless(uri) === portless(pattern)
  )
}

/** Whether pages of that origin may read what that client gets: Keycloak's web origin `+`. Public clients only. */
export const allowsOrigin = (client: Client, origin: string): boolean =>
  client.secret === undefined &&
  (client.redirectUris ?? []).some((pattern) => {
    const allowed = URL.parse(portless(pattern.replace(/\*$/, "")))
    return allowed !== null && allowed.origin === URL.parse(portless(origin))?.origin
  })

/** The client that sends a request, authenticated in the form or through HTTP Basic. */
export const authenticate = (
  clients: ReadonlyMap<string, Client>,
  form: URLSearchParams,
  basic: Basic | undefined,
  wrongSecretError: "unauthorized_client" | "invalid_client"
): Result.Result<Client, Refusal> => {
  const id = form.get("client_id") ?? basic?.id
  if (id === undefined) {
    return Result.fail({ status: 400, error: "invalid_client", description: "Missing client_id parameter" })
  }
  const client = clients.get(id)
  if (client === undefined) return Result.fail(wrongClient("invalid_client", basic !== undefined))
  const given = form.get("client_secret") ?? basic?.secret
  if (client.secret === undefined || client.secret === given) return Result.succeed(client)
  return Result.fail(wrongClient(wrongSecretError, wrongSecretError === "invalid_client" && basic !== undefined))
}
