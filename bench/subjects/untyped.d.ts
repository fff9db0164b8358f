/** What the benchmark uses of `simple-oauth2`, which comes without types. */
declare module "simple-oauth2" {
  export interface AccessToken {
    readonly token: { readonly access_token: string }
    readonly expired: (windowSeconds?: number) => boolean
    readonly refresh: () => Promise<AccessToken>
  }
  export class AuthorizationCode {
    constructor(options: {
      readonly client: { readonly id: string; readonly secret: string }
      readonly auth: { readonly tokenHost: string; readonly tokenPath: string; readonly refreshPath: string }
    })
    createToken(token: {
      readonly access_token: string
      readonly refresh_token: string
      readonly expires_at: Date
    }): AccessToken
  }
}
