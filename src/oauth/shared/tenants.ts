/**
 * Issuers of servers with many tenants. Entra ID's metadata for `common` and `organizations` names the issuer
 * `https://login.microsoftonline.com/{tenantid}/v2.0`, and each ID token names that of its own tenant.
 */
import type * as oauth from "oauth4webapi"
import type { ServerOptions } from "./options.ts"

const placeholder = "{tenantid}"

/** Whether an issuer stands for that of any tenant. */
export const isTemplate = (issuer: string): boolean => issuer.includes(placeholder)

/** The tenant in an issuer that follows a template; `undefined` for any other issuer. */
export const tenantIn = (template: string, issuer: string): string | undefined => {
  const [before = "", after, ...more] = template.split(placeholder)
  if (after === undefined || more.length > 0 || issuer.length <= before.length + after.length) return undefined
  if (!issuer.startsWith(before) || !issuer.endsWith(after)) return undefined
  const tenant = issuer.slice(before.length, issuer.length - after.length)
  return /^[\w.-]+$/.test(tenant) ? tenant : undefined
}

/**
 * The metadata that a response which names `issuer` has to be checked against: with the issuer of its tenant, if the server has
 * several. `undefined` if that is not the issuer of a tenant that is allowed.
 */
export const metadataFor = (
  metadata: oauth.AuthorizationServer,
  issuer: unknown,
  tenants: ServerOptions["tenants"]
): oauth.AuthorizationServer | undefined => {
  if (!isTemplate(metadata.issuer)) return metadata
  const tenant = typeof issuer === "string" ? tenantIn(metadata.issuer, issuer) : undefined
  if (typeof issuer !== "string" || tenant === undefined || tenants === undefined) return undefined
  const isAllowed = tenants === "any" || tenants.some((allowed) => allowed.toLowerCase() === tenant.toLowerCase())
  return isAllowed ? { ...metadata, issuer } : undefined
}
