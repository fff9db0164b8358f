/** The memoizing provider of AWS's clients, with the predicates that they give it, around an exchange of the program's own. */
import { doesIdentityRequireRefresh, isIdentityExpired, memoizeIdentityProvider } from "@smithy/core"
import { listVideos, logIn, onlyTokens } from "./platform.ts"
import type { Subject } from "./subject.ts"

export const smithyCore: Subject = {
  name: "@smithy/core",
  // `EXPIRATION_MS`.
  earlyWindow: 300,
  refreshes: false,
  notes: { rejected: onlyTokens, rotation: "It calls a provider and knows nothing of refresh tokens." },
  open: async (server) => {
    const getIdentity = memoizeIdentityProvider(
      async () => {
        const { accessToken, expiresAt } = await logIn(server)
        return { token: accessToken, expiration: new Date(expiresAt) }
      },
      isIdentityExpired,
      doesIdentityRequireRefresh
    )
    if (getIdentity === undefined) throw new Error("there is a provider, so it is memoized")
    return {
      getToken: () => getIdentity(),
      listVideos: async () => listVideos(server, (await getIdentity()).token),
      close: async () => {}
    }
  }
}
