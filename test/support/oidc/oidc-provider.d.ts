/** Of oidc-provider 9, which has no types of its own, what the tests use. */
declare module "oidc-provider" {
  import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"

  type Awaitable<A> = A | Promise<A>
  type Parameters = Readonly<Record<string, unknown>>

  /** Koa's context; `oidc` is there once a route of the provider has matched. */
  export interface Context {
    readonly req: IncomingMessage
    readonly res: ServerResponse
    readonly method: string
    readonly path: string
    status: number
    type: string
    body: unknown
    /** False leaves the answer to whoever says so. */
    respond: boolean
    get(header: string): string
    set(header: string, value: string): void
  }

  export interface OidcContext extends Context {
    readonly oidc: {
      readonly route: string
      readonly client?: Client
      /** Those that the endpoint knows; undefined until the body has been read. */
      readonly params?: Parameters
      readonly requestParamScopes: ReadonlySet<string>
      readonly entities: Readonly<Record<string, Model | undefined>>
      entity(name: string, value: unknown): void
    }
  }

  export interface Client {
    readonly clientId: string
    readonly clientAuthMethod: string
    readonly clientName?: string
    grantTypeAllowed(grantType: string): boolean
  }

  /** What an adapter keeps of a model. */
  export interface Payload {
    readonly kind?: string
    readonly grantId?: string
    readonly uid?: string
    readonly userCode?: string
    exp?: number
    consumed?: number
  }

  export interface Adapter {
    upsert(id: string, payload: Payload, expiresIn: number): Promise<void>
    find(id: string): Promise<Payload | undefined>
    findByUid(uid: string): Promise<Payload | undefined>
    findByUserCode(userCode: string): Promise<Payload | undefined>
    consume(id: string): Promise<void>
    destroy(id: string): Promise<void>
    revokeByGrantId(grantId: string): Promise<void>
  }

  export interface Model {
    readonly kind: string
    /** Of an opaque token, the token. */
    readonly jti: string
    readonly clientId?: string
    readonly accountId?: string
    readonly grantId?: string
    readonly isValid: boolean
    readonly expiration: number
    resourceServer?: ResourceServer
    scope?: string
    /** Gives the token. */
    save(): Promise<string>
    destroy(): Promise<void>
  }

  export interface Grant extends Model {
    addOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
    getOIDCScopeFiltered(scopes: ReadonlySet<string>): string
    getResourceScopeFiltered(resource: string, scopes: ReadonlySet<string>): string
  }

  export interface IdToken {
    scope: string
    set(claim: string, value: unknown): void
    issue(options: { readonly use: "idtoken" }): Promise<string>
  }

  export interface ResourceServer {
    readonly scopes: ReadonlySet<string>
  }

  export interface ResourceServerInfo {
    readonly scope: string
    readonly audience: string
    readonly accessTokenFormat: "opaque" | "jwt"
    readonly accessTokenTTL: number
    readonly jwt?: { readonly sign: { readonly alg: string } }
  }

  interface ModelClass<M> {
    new (properties: Readonly<Record<string, unknown>>): M
    find(id: string): Promise<M | undefined>
  }

  type Page = (ctx: OidcContext, ...rest: ReadonlyArray<string>) => void

  export interface Configuration {
    readonly adapter: (model: string) => Adapter
    readonly clients: ReadonlyArray<Parameters>
    readonly jwks: { readonly keys: ReadonlyArray<JsonWebKey> }
    readonly cookies: { readonly keys: ReadonlyArray<string> }
    readonly scopes: ReadonlyArray<string>
    readonly claims: Readonly<Record<string, ReadonlyArray<string>>>
    readonly clockTolerance: number
    readonly ttl: Readonly<Record<string, number>>
    readonly pkce: { readonly required: () => boolean }
    readonly assertJwtClientAuthClaimsAndHeader: (
      ctx: OidcContext,
      claims: Parameters,
      header: Parameters,
      client: Client
    ) => Promise<void>
    readonly rotateRefreshToken: boolean
    readonly issueRefreshToken: (ctx: OidcContext, client: Client) => Promise<boolean>
    readonly expiresWithSession: () => Promise<boolean>
    readonly clientBasedCORS: (ctx: OidcContext, origin: string, client: Client) => boolean
    readonly findAccount: (
      ctx: OidcContext,
      accountId: string
    ) => { readonly accountId: string; readonly claims: () => { readonly sub: string } & Parameters }
    readonly renderError: (ctx: Context, out: { error: string; error_description?: string }) => void
    readonly features: {
      readonly devInteractions: { readonly enabled: boolean }
      readonly clientCredentials: { readonly enabled: boolean }
      readonly deviceFlow: {
        readonly enabled: boolean
        readonly userCodeInputSource: (ctx: OidcContext, form: string, out?: object, error?: Error) => void
        readonly userCodeConfirmSource: Page
        readonly successSource: Page
      }
      readonly introspection: { readonly enabled: boolean; readonly allowedPolicy: () => Promise<boolean> }
      readonly revocation: {
        readonly enabled: boolean
        readonly allowedPolicy: (ctx: OidcContext, client: Client, token: Model) => Promise<boolean>
      }
      readonly rpInitiatedLogout: {
        readonly enabled: boolean
        readonly logoutSource: Page
        readonly postLogoutSuccessSource: Page
      }
      readonly resourceIndicators: {
        readonly enabled: boolean
        readonly defaultResource: (
          ctx: OidcContext,
          client: Client,
          oneOf?: ReadonlyArray<string>
        ) => Awaitable<string | ReadonlyArray<string> | undefined>
        readonly getResourceServerInfo: (ctx: OidcContext, resource: string) => Awaitable<ResourceServerInfo>
        readonly useGrantedResource: () => Promise<boolean>
      }
    }
  }

  export class Provider {
    constructor(issuer: string, configuration: Configuration)
    readonly issuer: string
    readonly AccessToken: ModelClass<Model>
    readonly ClientCredentials: ModelClass<Model>
    readonly RefreshToken: ModelClass<Model>
    readonly Grant: ModelClass<Grant>
    readonly IdToken: new (claims: Parameters, options: { readonly ctx: OidcContext }) => IdToken
    readonly ResourceServer: new (resource: string, info: ResourceServerInfo) => ResourceServer
    callback(): RequestListener
    use(middleware: (ctx: Context & Partial<OidcContext>, next: () => Promise<void>) => Promise<void>): this
    on(event: "server_error", listener: (ctx: Context, error: Error) => void): this
    on(event: "grant.revoked", listener: (ctx: OidcContext, grantId: string) => void): this
    on(event: `${string}.${"saved" | "issued" | "consumed" | "destroyed"}`, listener: (model: Model) => void): this
    registerGrantType(
      name: string,
      handler: (ctx: OidcContext) => Promise<void>,
      parameters: ReadonlyArray<string>,
      mayRepeat?: ReadonlyArray<string>
    ): void
  }

  export const errors: Readonly<
    Record<
      "InvalidClientAuth" | "InvalidGrant" | "InvalidRequest" | "InvalidTarget",
      new (description?: string) => Error
    >
  >
}
