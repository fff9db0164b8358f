/**
 * Grants that oidc-provider leaves to its users: token exchange (RFC 8693), JWT bearer (RFC 7523) and Zoom's
 * `account_credentials`. The provider reads the request and authenticates the client; what the grants mean is written here, so
 * of that these tests are no independent oracle.
 */
import { errors, type OidcContext, type Provider } from "oidc-provider"

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

/** The grants, for the registration of clients. */
export const grantTypes = [tokenExchange, jwtBearer, "account_credentials"]

const parameter = (ctx: OidcContext, name: string): string => {
  const value = ctx.oidc.params?.[name]
  if (typeof value !== "string" || value === "") throw new errors.InvalidRequest(`missing required parameter: ${name}`)
  return value
}

export interface Options {
  /** The subject token, assertion or account that is accepted. */
  readonly accepted: string
}

export const register = (provider: Provider, { accepted }: Options): void => {
  /** Issues an access token and no refresh token. `account_credentials` ends the one before. */
  const issue = async (ctx: OidcContext, credential: string, more: Readonly<Record<string, string>> = {}) => {
    const { client } = ctx.oidc
    if (client === undefined) throw new errors.InvalidRequest("no client")
    if (credential !== accepted) throw new errors.InvalidGrant("not the accepted credential")
    const token = new provider.ClientCredentials({ client })
    ctx.oidc.entity("ClientCredentials", token)
    ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: "Bearer", ...more }
    return token
  }

  provider.registerGrantType(
    tokenExchange,
    async (ctx) => {
      const type = parameter(ctx, "subject_token_type")
      if (!type.startsWith("urn:ietf:params:oauth:token-type:")) throw new errors.InvalidRequest("subject_token_type")
      const issued_token_type = "urn:ietf:params:oauth:token-type:access_token"
      await issue(ctx, parameter(ctx, "subject_token"), { issued_token_type })
    },
    [
      "subject_token",
      "subject_token_type",
      "actor_token",
      "actor_token_type",
      "requested_token_type",
      "audience",
      "scope"
    ],
    ["audience", "resource"]
  )
  provider.registerGrantType(
    jwtBearer,
    async (ctx) => {
      await issue(ctx, parameter(ctx, "assertion"))
    },
    ["assertion", "scope"]
  )
  let previous: { destroy(): Promise<void> } | undefined
  provider.registerGrantType(
    "account_credentials",
    async (ctx) => {
      const token = await issue(ctx, parameter(ctx, "account_id"))
      await previous?.destroy()
      previous = token
    },
    ["account_id"]
  )
}
