/** The resource owner password grant (RFC 6749, section 4.3), which oidc-provider leaves to whoever still wants it. */
import { errors, type OidcContext, type Provider, type ResourceServerInfo } from "oidc-provider"

const parameter = (ctx: OidcContext, name: string): string => {
  const value = ctx.oidc.params?.[name]
  if (typeof value !== "string" || value === "") throw new errors.InvalidRequest(`missing required parameter: ${name}`)
  return value
}

export interface Options {
  /** Passwords by login. */
  readonly accounts: Readonly<Record<string, string>>
  readonly scopes: ReadonlyArray<string>
  /** The resource that a token is for if the request names none. */
  readonly defaultResource: string | undefined
  readonly resourceServer: (resource: string) => ResourceServerInfo
}

/** Issues what the other grants with a user do: a grant, an access token, a refresh token, and if asked for an ID token. */
export const register = (provider: Provider, options: Options): void => {
  const handler = async (ctx: OidcContext) => {
    const { client, params, requestParamScopes } = ctx.oidc
    const accountId = parameter(ctx, "username")
    const password = parameter(ctx, "password")
    if (options.accounts[accountId] !== password) {
      throw new errors.InvalidGrant("invalid resource owner credentials")
    }
    if (client === undefined) throw new errors.InvalidRequest("no client")
    const resource = typeof params?.["resource"] === "string" ? params["resource"] : options.defaultResource
    const resourceServer =
      resource === undefined
        ? undefined
        : { resource, server: new provider.ResourceServer(resource, options.resourceServer(resource)) }

    const grant = new provider.Grant({ accountId, clientId: client.clientId })
    const scopes = options.scopes.filter((scope) => requestParamScopes.has(scope))
    if (scopes.length > 0) grant.addOIDCScope(scopes.join(" "))
    if (resourceServer !== undefined) {
      const allowed = [...resourceServer.server.scopes].filter((scope) => requestParamScopes.has(scope))
      if (allowed.length > 0) grant.addResourceScope(resourceServer.resource, allowed.join(" "))
    }
    const shared = { accountId, client, grantId: await grant.save(), gty: "password" }
    ctx.oidc.entity("Grant", grant)

    const token = new provider.AccessToken(shared)
    if (resourceServer === undefined) {
      token.scope = grant.getOIDCScopeFiltered(requestParamScopes)
    } else {
      token.resourceServer = resourceServer.server
      token.scope = grant.getResourceScopeFiltered(resourceServer.resource, requestParamScopes)
    }
    ctx.oidc.entity("AccessToken", token)
    const accessToken = await token.save()

    const refreshToken = client.grantTypeAllowed("refresh_token")
      ? await new provider.RefreshToken({
          ...shared,
          scope: [...requestParamScopes].join(" "),
          resource: resourceServer?.resource,
          rotations: 0
        }).save()
      : undefined

    const idToken = requestParamScopes.has("openid") ? new provider.IdToken({ sub: accountId }, { ctx }) : undefined
    if (idToken !== undefined) idToken.scope = "openid"

    ctx.body = {
      access_token: accessToken,
      expires_in: token.expiration,
      token_type: "Bearer",
      ...(token.scope === "" ? {} : { scope: token.scope }),
      ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
      ...(idToken === undefined ? {} : { id_token: await idToken.issue({ use: "idtoken" }) })
    }
  }
  provider.registerGrantType("password", handler, ["username", "password", "scope", "resource"])
}
