/**
 * Google's client for Node. README, "OAuth2": a client with a refresh token obtains and refreshes access tokens by itself;
 * `endpoints` names another token server. `forceRefreshOnFailure` makes it refresh on a 401, and the `tokens` event, by
 * which the README has programs keep a new refresh token, gives it back: else it would send the first one for ever.
 */
import { OAuth2Client } from "google-auth-library"
import { clientId, clientSecret } from "../server/platform.ts"
import { logIn } from "./platform.ts"
import type { Subject } from "./subject.ts"

export const googleAuthLibrary: Subject = {
  name: "google-auth-library",
  // `eagerRefreshThresholdMillis`.
  earlyWindow: 300,
  refreshes: true,
  notes: {
    rejected: "With `forceRefreshOnFailure`, which is off by default.",
    rotation:
      "With a `tokens` listener that puts the rotated refresh token back; without it, the first one is sent each time. There is no login to fall back on."
  },
  open: async (server) => {
    const client = new OAuth2Client({
      clientId,
      clientSecret,
      endpoints: { oauth2TokenUrl: `${server}/token` },
      forceRefreshOnFailure: true
    })
    client.on("tokens", ({ refresh_token }) => {
      if (refresh_token) client.setCredentials({ refresh_token })
    })
    // What a person's consent would have left behind.
    const { refreshToken } = await logIn(server)
    client.setCredentials({ refresh_token: refreshToken })
    return {
      getToken: () => client.getAccessToken(),
      listVideos: () => client.request({ url: `${server}/videos` }),
      close: async () => {}
    }
  }
}
