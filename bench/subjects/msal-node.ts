/**
 * Microsoft's library for daemons. README and its client-credentials sample: `acquireTokenByClientCredential` before each
 * use, "MSAL looks up the cache". It accepts an https authority only, so its `networkClient` option leads to the loopback
 * server; metadata in the configuration (`authorityMetadata`) spares the discovery.
 */
import { ConfidentialClientApplication, type INetworkModule } from "@azure/msal-node"
import { clientId, clientSecret } from "../server/platform.ts"
import { listVideos, onlyTokens } from "./platform.ts"
import type { Subject } from "./subject.ts"

const tenant = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555"

const authorityMetadata = JSON.stringify({
  authorization_endpoint: `${tenant}/oauth2/v2.0/authorize`,
  token_endpoint: `${tenant}/oauth2/v2.0/token`,
  issuer: `${tenant}/v2.0`,
  jwks_uri: `${tenant}/discovery/v2.0/keys`
})

const networkClient = (server: string): INetworkModule => ({
  sendGetRequestAsync: () => Promise.reject(new Error("MSAL had no reason to ask for metadata")),
  sendPostRequestAsync: async <T>(_url: string, options?: { headers?: Record<string, string>; body?: string }) => {
    const response = await fetch(`${server}/token`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: options?.body ?? ""
    })
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: (await response.json()) as T
    }
  }
})

export const msalNode: Subject = {
  name: "@azure/msal-node",
  // Five minutes before expiry a token counts as expired.
  earlyWindow: 300,
  refreshes: false,
  notes: { rejected: onlyTokens, rotation: "Client credentials: it has no refresh token." },
  open: async (server) => {
    const application = new ConfidentialClientApplication({
      auth: { clientId, clientSecret, authority: tenant, authorityMetadata },
      system: { networkClient: networkClient(server) }
    })
    const getToken = async () => {
      const result = await application.acquireTokenByClientCredential({
        scopes: ["https://graph.microsoft.com/.default"]
      })
      return result?.accessToken ?? ""
    }
    return {
      getToken,
      listVideos: async () => listVideos(server, await getToken()),
      close: async () => {}
    }
  }
}
