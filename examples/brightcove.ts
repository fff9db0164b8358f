/**
 * A platform of your own: the CMS API of Brightcove. https://apis.support.brightcove.com/oauth/ says how it issues tokens: client
 * credentials, with Basic authentication, for 300 s. Its errors are lists: `[{"error_code": "…", "message": "…"}]`.
 * `docs/adding-a-platform.md` builds this module step by step.
 */
import { Config, Context, Effect, Schema } from "effect"
import { OAuth2, Platform, PlatformError, StatusReason } from "effect-video-auth"

/** A response with a status of 400 or more. */
export class BrightcoveError extends PlatformError.PlatformError.extend<BrightcoveError>("BrightcoveError")({
  _tag: Schema.tag("BrightcoveError"),
  reason: StatusReason.Reason
}) {}

const errors = PlatformError.make({
  Error: BrightcoveError,
  ...StatusReason.table,
  read: ({ body, text }) => ({ code: text("error_code", body[0]), detail: text("message", body[0]) })
})

/** The client. Paths are relative to `/v1`: `api.get("/accounts/1/videos")`. */
export class Brightcove extends Context.Service<Brightcove, Platform.Client<BrightcoveError>>()("Brightcove") {}

const server = Platform.serverAt({ platform: "brightcove", baseUrl: "https://cms.api.brightcove.com/v1" })

/** Makes the protocol of the token endpoint. */
export const provider = (
  { clientSecret }: Platform.Secrets<"clientSecret">,
  { clientId }: { readonly clientId: string }
) =>
  OAuth2.clientCredentials({
    issuer: "https://oauth.brightcove.com",
    discovery: { token_endpoint: "https://oauth.brightcove.com/v4/access_token" },
    clientId,
    authentication: { method: "client_secret_basic", clientSecret, encoding: "raw" }
  })

export const { Tokens, clientFor, layer, layerClient, layerConfig, layerMap, layerTest, layerToken, layerTokenConfig } =
  Platform.make({
    service: Brightcove,
    name: "Brightcove",
    server,
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

/** The videos of an account; none if there is no such account. */
export const videos = (account: string) =>
  Brightcove.use((api) => api.get(`/accounts/${account}/videos`)).pipe(
    Effect.flatMap((response) => response.json),
    Effect.catchReason("BrightcoveError", "NotFound", () => Effect.succeed([]))
  )

/** The client with what the environment says. */
export const BrightcoveLive = layerConfig({
  clientId: Config.String("BRIGHTCOVE_CLIENT_ID"),
  clientSecret: Config.Redacted("BRIGHTCOVE_CLIENT_SECRET")
})
