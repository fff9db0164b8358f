/**
 * The responses that the documentation of well-known servers shows, to the requests that it asks for. The options are those of
 * `docs/servers.md`. The servers are fakes: this shows that the library speaks as documented, and not that a server agrees.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import type { HttpClient } from "effect/http"
import { OAuth2, type TokenError } from "effect-video-auth"
import { json } from "effect-video-auth/testing/RecordingHttpClient"
import * as Server from "./server.ts"

interface Documented {
  readonly grant: Effect.Effect<OAuth2.Provider, TokenError.TokenError, HttpClient.HttpClient>
  readonly url: string
  /** `id:secret`, joined and encoded in Base64 as it is. */
  readonly basic?: string
  readonly form: Readonly<Record<string, string>>
  readonly response: object
  readonly seconds: number
  readonly scope?: string
}

const clientSecret = Redacted.make("s3cr3t-with_dashes")
const basic = { method: "client_secret_basic", clientSecret, encoding: "raw" } as const
const post = { method: "client_secret_post", clientSecret } as const
const posted = (clientId: string) => ({ client_id: clientId, client_secret: "s3cr3t-with_dashes" })
const year = 365 * 24 * 60 * 60

const servers: Readonly<Record<string, Documented>> = {
  Auth0: {
    grant: OAuth2.clientCredentials({
      issuer: "https://my-tenant.eu.auth0.com/",
      discovery: { token_endpoint: "https://my-tenant.eu.auth0.com/oauth/token" },
      clientId: "id",
      authentication: post,
      audience: "https://api.example.com"
    }),
    url: "https://my-tenant.eu.auth0.com/oauth/token",
    form: { grant_type: "client_credentials", audience: "https://api.example.com", ...posted("id") },
    response: { access_token: "eyJ.e30.x", scope: "read:videos", expires_in: 86400, token_type: "Bearer" },
    seconds: 86_400,
    scope: "read:videos"
  },
  Brightcove: {
    grant: OAuth2.clientCredentials({
      issuer: "https://oauth.brightcove.com",
      discovery: { token_endpoint: "https://oauth.brightcove.com/v4/access_token" },
      clientId: "01234567-89ab-cdef",
      authentication: basic
    }),
    url: "https://oauth.brightcove.com/v4/access_token",
    basic: "01234567-89ab-cdef:s3cr3t-with_dashes",
    form: { grant_type: "client_credentials" },
    response: {
      access_token: "ANB7xKhiUZmwltVd3f1odcHHM9VAwg02kwmLwtZwHv3SxGCO",
      token_type: "Bearer",
      expires_in: 300
    },
    seconds: 300
  },
  Dailymotion: {
    grant: OAuth2.clientCredentials({
      issuer: "https://partner.api.dailymotion.com",
      discovery: { token_endpoint: "https://partner.api.dailymotion.com/oauth/v1/token" },
      clientId: "key",
      authentication: post,
      scope: "manage_videos"
    }),
    url: "https://partner.api.dailymotion.com/oauth/v1/token",
    form: { grant_type: "client_credentials", scope: "manage_videos", ...posted("key") },
    response: { access_token: "token", expires_in: 36000, refresh_token: "refresh" },
    seconds: 36_000
  },
  "Entra ID": {
    grant: OAuth2.clientCredentials({
      issuer: "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
      discovery: {
        token_endpoint: "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
      },
      clientId: "id",
      authentication: post,
      scope: "https://graph.microsoft.com/.default"
    }),
    url: "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token",
    form: { grant_type: "client_credentials", scope: "https://graph.microsoft.com/.default", ...posted("id") },
    response: { token_type: "Bearer", expires_in: 3599, ext_expires_in: 3599, access_token: "eyJ.e30.x" },
    seconds: 3_599
  },
  Google: {
    grant: OAuth2.jwtBearer({
      issuer: "https://accounts.google.com",
      discovery: { token_endpoint: "https://oauth2.googleapis.com/token" },
      clientId: "service@project.iam.gserviceaccount.com",
      authentication: { method: "anonymous" },
      assertion: Redacted.make("eyJ.e30.x"),
      session: "service"
    }),
    url: "https://oauth2.googleapis.com/token",
    form: { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: "eyJ.e30.x" },
    response: {
      access_token: "ya29.a0",
      scope: "https://www.googleapis.com/auth/youtube",
      token_type: "Bearer",
      expires_in: 3600
    },
    seconds: 3_600,
    scope: "https://www.googleapis.com/auth/youtube"
  },
  Twitch: {
    grant: OAuth2.clientCredentials({
      issuer: "https://id.twitch.tv/oauth2",
      discovery: { token_endpoint: "https://id.twitch.tv/oauth2/token" },
      clientId: "id",
      authentication: post
    }),
    url: "https://id.twitch.tv/oauth2/token",
    form: { grant_type: "client_credentials", ...posted("id") },
    response: { access_token: "jostpf5q0uzmxmkba9iyug38kjtgh", expires_in: 5011271, token_type: "bearer" },
    seconds: 5_011_271
  },
  Vimeo: {
    grant: OAuth2.clientCredentials({
      issuer: "https://api.vimeo.com",
      discovery: { token_endpoint: "https://api.vimeo.com/oauth/authorize/client" },
      clientId: "id",
      authentication: basic,
      scope: "public",
      lifetime: "365 days"
    }),
    url: "https://api.vimeo.com/oauth/authorize/client",
    basic: "id:s3cr3t-with_dashes",
    form: { grant_type: "client_credentials", scope: "public" },
    response: { access_token: "token", token_type: "bearer", scope: "public", app: { uri: "/apps/1", name: "An app" } },
    seconds: year,
    scope: "public"
  },
  Zoom: {
    grant: OAuth2.grant({
      issuer: "https://zoom.us",
      discovery: { token_endpoint: "https://zoom.us/oauth/token" },
      clientId: "id_with_underscores",
      authentication: basic,
      grantType: "account_credentials",
      parameters: { account_id: Redacted.make("account") },
      renewWith: "login",
      oldTokenSurvivesRefresh: false
    }),
    url: "https://zoom.us/oauth/token",
    basic: "id_with_underscores:s3cr3t-with_dashes",
    form: { grant_type: "account_credentials", account_id: "account" },
    response: {
      access_token: "eyJ.e30.x",
      token_type: "bearer",
      expires_in: 3599,
      scope: "user:read:admin",
      api_url: "https://api.zoom.us"
    },
    seconds: 3_599,
    scope: "user:read:admin"
  }
}

describe("as documented", () => {
  for (const [name, { basic, form, grant, response, scope, seconds, url }] of Object.entries(servers))
    it.effect(`${name} is asked, and its response is understood`, () =>
      Effect.gen(function* () {
        const server = Server.make(() => json(200, response))
        const provider = yield* server.run(grant)
        const token = yield* provider.login!
        assert.strictEqual(Duration.toSeconds(Duration.fromInputUnsafe(token.expiresIn)), seconds)
        assert.deepStrictEqual(token.extra, scope === undefined ? undefined : { scope })
        const [request] = yield* server.requests
        assert.strictEqual(request!.url, url)
        const [sent] = yield* server.forms(new URL(url).pathname)
        assert.deepStrictEqual(Object.fromEntries(sent!.form), form)
        assert.strictEqual(sent!.authorization, basic && `Basic ${btoa(basic)}`)
      })
    )
})
