/**
 * README, "Refresh an access token": a token read back with `createToken`; `if (accessToken.expired(
 * EXPIRATION_WINDOW_IN_SECONDS))` then `refresh()`, where the window is 300 and a failure is caught and logged: the program
 * goes on with the token it has.
 */
import { AuthorizationCode } from "simple-oauth2"
import { clientId, clientSecret } from "../server/platform.ts"
import { listVideos, logIn, onlyRefreshes, onlyTokens } from "./platform.ts"
import type { Subject } from "./subject.ts"

const windowSeconds = 300

export const simpleOAuth2: Subject = {
  name: "simple-oauth2",
  earlyWindow: windowSeconds,
  refreshes: true,
  notes: {
    cold: "Keeping the token is the program's business; as documented, callers do not share an exchange.",
    rejected: onlyTokens,
    rotation: onlyRefreshes
  },
  open: async (server) => {
    const client = new AuthorizationCode({
      client: { id: clientId, secret: clientSecret },
      auth: { tokenHost: server, tokenPath: "/token", refreshPath: "/token" }
    })
    // What a person's consent would have left behind, long ago.
    const { refreshToken } = await logIn(server)
    let accessToken = client.createToken({ access_token: "", refresh_token: refreshToken, expires_at: new Date(0) })
    const getToken = async () => {
      if (accessToken.expired(windowSeconds)) {
        try {
          accessToken = await accessToken.refresh()
        } catch {
          // The README logs it.
        }
      }
      return accessToken.token.access_token
    }
    return {
      getToken,
      listVideos: async () => listVideos(server, await getToken()),
      close: async () => {}
    }
  }
}
