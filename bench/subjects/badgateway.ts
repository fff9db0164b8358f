/** README, "Fetch Wrapper": `OAuth2Fetch` around a client, with `getNewToken` from client credentials as in its example. */
import { OAuth2Client, OAuth2Fetch } from "@badgateway/oauth2-client"
import { clientId, clientSecret } from "../server/platform.ts"
import type { Subject } from "./subject.ts"

export const badgateway: Subject = {
  name: "@badgateway/oauth2-client",
  // A timer a minute before expiry.
  earlyWindow: 60,
  refreshes: true,
  notes: {},
  open: async (server) => {
    const client = new OAuth2Client({ server, clientId, clientSecret, tokenEndpoint: "/token" })
    const oauth2 = new OAuth2Fetch({ client, getNewToken: () => client.clientCredentials() })
    return {
      getToken: () => oauth2.getAccessToken(),
      listVideos: async () => {
        const response = await oauth2.fetch(`${server}/videos`)
        await response.arrayBuffer()
        if (!response.ok) throw new Error(`the API answered ${response.status}`)
      },
      close: async () => {
        // It has no end, and its timer would keep this process for an hour.
        clearTimeout(oauth2["refreshTimer"] ?? undefined)
      }
    }
  }
}
