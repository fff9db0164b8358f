/** api.video's own client. README, "API key": "All you have to do is provide an API key". */
import ApiVideoClient from "@api.video/nodejs-client"
import { apiKey } from "../server/platform.ts"
import type { Subject } from "./subject.ts"

const sendsKey = "It sends the API key itself with each request (Basic): it has no token to renew."

export const apiVideoClient: Subject = {
  name: "@api.video/nodejs-client",
  earlyWindow: undefined,
  refreshes: false,
  notes: {
    cold: "`getAccessToken()` logs in at each call.",
    rejected: sendsKey,
    early: "`getAccessToken()` logs in at each call: there is nothing that could be renewed.",
    down: sendsKey,
    rotation: "It throws refresh tokens away."
  },
  open: async (baseUri) => {
    const client = new ApiVideoClient({ apiKey, baseUri })
    return {
      getToken: () => client.getAccessToken(),
      listVideos: () => client.videos.list(),
      close: async () => {}
    }
  }
}
