/**
 * A platform of your own: the CMS API of Brightcove. https://apis.support.brightcove.com/oauth/ says how it issues tokens: client
 * credentials, with Basic authentication, for 300 s. Its errors are lists: `[{"error_code": "…", "message": "…"}]`.
 */
import { Context, Schema } from "effect"
import { OAuth2, Platform, PlatformError, StatusReason } from "effect-video-auth"

/** A response with a status of 400 or more. */
export class BrightcoveError extends PlatformError.PlatformError.extend<BrightcoveError>("BrightcoveError")({
  _tag: Schema.tag("BrightcoveError"),
  reason: StatusReason.Reason
}) {}

/** The client. Paths are relative to `/v1`: `api.get("/accounts/1/videos")`. */
export class Brightcove extends Context.Service<Brightcove, Platform.Client<BrightcoveError>>()("Brightcove") {}

/** Where requests go. */
interface ServerOptions {
  readonly baseUrl?: string | undefined
}

/** What the program has registered, and where tokens come from. */
interface CredentialOptions {
  readonly clientId: string
  readonly tokenUrl?: string | undefined
}

/** Makes the protocol of the token endpoint. */
export const provider = (
  { clientSecret }: Platform.Secrets<"clientSecret">,
  { clientId, tokenUrl = "https://oauth.brightcove.com/v4/access_token" }: CredentialOptions
) =>
  OAuth2.clientCredentials({
    issuer: new URL(tokenUrl).origin,
    discovery: { token_endpoint: tokenUrl },
    clientId,
    authentication: { method: "client_secret_basic", clientSecret }
  })

const errors = PlatformError.make({
  Error: BrightcoveError,
  ...StatusReason.table,
  read: ({ body, text }: PlatformError.Reading) => {
    const first: object = Object(body[0])
    return { code: text("error_code", { ...first }), detail: text("message", { ...first }) }
  }
})

export const { Tokens, clientFor, layer, layerClient, layerConfig, layerMap, layerTest, layerToken, layerTokenConfig } =
  Platform.make({
    service: Brightcove,
    name: "Brightcove",
    server: (options: ServerOptions) =>
      Platform.serverAt({ platform: "brightcove", baseUrl: "https://cms.api.brightcove.com/v1" })(options),
    secrets: { clientSecret: "the secret of an API registration in Brightcove Studio" },
    provider,
    errors,
    // Brightcove limits how many requests run at the same time. This is what the program allows itself.
    limits: {
      perMinute: { reads: 1_200, writes: 240 },
      classOf: ({ method }) => (method === "GET" ? "reads" : "writes")
    },
    isUpload: ({ method }, isOwn) => !isOwn && method === "PUT"
  })
