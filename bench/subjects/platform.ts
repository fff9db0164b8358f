/** What programs write themselves where a subject leaves it to them: the two exchanges of api.video, and the request. */
import { apiKey } from "../server/platform.ts"

export interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

const exchange = async (url: string, body: Readonly<Record<string, string>>): Promise<Tokens> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  })
  if (!response.ok) throw new Error(`the exchange was answered with ${response.status}`)
  const {
    access_token: accessToken,
    expires_in: expiresIn,
    refresh_token: refreshToken
  } = (await response.json()) as {
    readonly access_token: string
    readonly expires_in: number
    readonly refresh_token: string
  }
  return { accessToken, refreshToken, expiresAt: Date.now() + expiresIn * 1_000 }
}

export const logIn = (server: string): Promise<Tokens> => exchange(`${server}/auth/api-key`, { apiKey })

export const refresh = (server: string, refreshToken: string): Promise<Tokens> =>
  exchange(`${server}/auth/refresh`, { refreshToken })

/** The request of a program whose library only hands out tokens. */
export const listVideos = async (server: string, accessToken: string): Promise<void> => {
  const response = await fetch(`${server}/videos`, { headers: { authorization: `Bearer ${accessToken}` } })
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`the API answered ${response.status}`)
}

export const onlyTokens = "It hands out tokens; what becomes of a 401 is left to the program."

export const onlyWhenRefused = "It renews only after a 401."

export const onlyRefreshes = "As in its README, it refreshes and has no login to fall back on."
