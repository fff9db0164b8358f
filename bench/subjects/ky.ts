/**
 * README, `hooks.beforeRequest` and `hooks.afterResponse`: "retry with a fresh token on a 401 error". The refresh is shared
 * while it is under way, which the README leaves out and most programs add.
 */
import ky from "ky"
import { logIn, onlyRefreshes, onlyWhenRefused, refresh, type Tokens } from "./platform.ts"
import type { Subject } from "./subject.ts"

export const kyWithHooks: Subject = {
  name: "ky",
  earlyWindow: undefined,
  refreshes: true,
  notes: { early: onlyWhenRefused, down: onlyWhenRefused, rotation: onlyRefreshes },
  open: async (server) => {
    let tokens: Tokens | undefined
    let renewal: Promise<Tokens> | undefined
    const renew = async (): Promise<Tokens> => {
      tokens = await (tokens === undefined ? logIn(server) : refresh(server, tokens.refreshToken))
      return tokens
    }
    const api = ky.create({
      hooks: {
        beforeRequest: [
          ({ request }) => {
            request.headers.set("Authorization", `Bearer ${tokens?.accessToken}`)
          }
        ],
        afterResponse: [
          async ({ request, response, retryCount }) => {
            if (response.status !== 401 || retryCount > 0) return undefined
            renewal ??= renew().finally(() => {
              renewal = undefined
            })
            const { accessToken } = await renewal
            const headers = new Headers(request.headers)
            headers.set("Authorization", `Bearer ${accessToken}`)
            return ky.retry({ request: new Request(request, { headers }), code: "TOKEN_REFRESHED" })
          }
        ]
      }
    })
    return {
      listVideos: () => api.get(`${server}/videos`).json(),
      close: async () => {}
    }
  }
}
