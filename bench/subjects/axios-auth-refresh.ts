/**
 * README, "Usage" and "Request interceptor": a function that refreshes, and an interceptor that reads the token anew for
 * each request.
 */
import axios, { create } from "axios"
import { createAuthRefresh } from "axios-auth-refresh"
import { apiKey } from "../server/platform.ts"
import { onlyRefreshes, onlyWhenRefused } from "./platform.ts"
import type { Subject } from "./subject.ts"

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

export const axiosAuthRefresh: Subject = {
  name: "axios-auth-refresh",
  earlyWindow: undefined,
  refreshes: true,
  notes: { early: onlyWhenRefused, down: onlyWhenRefused, rotation: onlyRefreshes },
  open: async (server) => {
    const api = create({ baseURL: server })
    let tokens: Tokens | undefined
    api.interceptors.request.use((request) => {
      request.headers.set("Authorization", `Bearer ${tokens?.access_token}`)
      return request
    })
    createAuthRefresh(
      // One type, which the compiler takes for two.
      api as Parameters<typeof createAuthRefresh>[0],
      async (failed: { readonly response: { readonly config: { headers: Record<string, string> } } }) => {
        const { data } =
          tokens === undefined
            ? await axios.post<Tokens>(`${server}/auth/api-key`, { apiKey })
            : await axios.post<Tokens>(`${server}/auth/refresh`, { refreshToken: tokens.refresh_token })
        tokens = data
        failed.response.config.headers["Authorization"] = `Bearer ${data.access_token}`
      }
    )
    return {
      listVideos: () => api.get("/videos"),
      close: async () => {}
    }
  }
}
