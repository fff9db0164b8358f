/**
 * The platform that every subject talks to: the token endpoints of api.video and of a plain OAuth 2 server, over the same
 * credentials, and one guarded resource. It misbehaves as told and keeps a ledger of what it saw.
 *
 * It reads the time where it runs, so that it lives on the virtual clock of whoever runs it on one.
 */
import { randomBytes } from "node:crypto"
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import { json } from "node:stream/consumers"

/** What subjects present. */
export const apiKey = "api-key-of-the-benchmark"
export const clientId = "client-of-the-benchmark"
export const clientSecret = "secret-of-the-benchmark"

/** How the platform behaves; changed at any time. */
export interface Behaviour {
  /** What an exchange takes, in milliseconds. */
  readonly exchangeDelay: number
  /** Token endpoints answer 503. The API goes on. */
  readonly isDown: boolean
  /** Lifetime of the tokens that it issues, in seconds. */
  readonly lifetime: number
  /** A refresh uses its refresh token up, and a login kills the refresh tokens before it. */
  readonly rotates: boolean
  /**
   * What becomes of the nth refresh since the ledger was opened, among those with a good refresh token: processed, but
   * the connection breaks off before the answer, or not processed and answered with 503.
   */
  readonly refreshFaults: Readonly<Record<number, "answer lost" | "unavailable">>
  /** Holds so many API requests, revokes their tokens, and answers one after the other over so many milliseconds. */
  readonly revocation: { readonly requests: number; readonly spread: number } | undefined
  /** What a 401 of the API says in `WWW-Authenticate`. */
  readonly challenge: string
}

/** What the platform saw since the ledger was opened. */
export interface Ledger {
  readonly logins: number
  readonly refreshes: number
  /** Refreshes with a refresh token that had been received before. */
  readonly repeated: number
  /** Exchanges that ended in a new token, whether or not the answer arrived. */
  readonly issued: number
  /** API requests, and those of them that got 401. */
  readonly requests: number
  readonly unauthorized: number
}

/** All that came to the token endpoints. */
export const exchangesOf = (ledger: Ledger): number => ledger.logins + ledger.refreshes

/** A change of behaviour, a new ledger, or only a look at the ledger. */
export interface Command {
  readonly configure?: Partial<Behaviour>
  readonly reset?: boolean
}

const initial: Behaviour = {
  exchangeDelay: 0,
  isDown: false,
  lifetime: 3_600,
  rotates: false,
  refreshFaults: {},
  revocation: undefined,
  challenge: 'Bearer error="invalid_token"'
}

const empty = { logins: 0, refreshes: 0, repeated: 0, issued: 0, requests: 0, unauthorized: 0 }

/** The Basic credentials of api.video and of an OAuth client, and the fields that an OAuth client may send instead. */
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`
const basicKey = basic(apiKey, "")
const basicClient = new Set([
  basic(clientId, clientSecret),
  // RFC 6749 §2.3.1 encodes both first, and some encode a hyphen.
  basic(clientId.replaceAll("-", "%2D"), clientSecret.replaceAll("-", "%2D"))
])

/** A page of `GET /videos` as api.video answers it, about 2 KB. */
const page = Buffer.from(
  JSON.stringify({
    data: Array.from({ length: 5 }, (_, index) => ({
      videoId: `vi4k0jvEUuaTdRAEjQ4Prk${index}`,
      title: `Video ${index}`,
      description: "A video of the benchmark.",
      public: true,
      panoramic: false,
      mp4Support: true,
      publishedAt: "2026-11-24T10:00:00.000Z",
      createdAt: "2026-11-24T10:00:00.000Z",
      updatedAt: "2026-11-24T10:00:00.000Z",
      tags: [],
      metadata: [],
      source: { type: "upload", uri: `/videos/vi4k0jvEUuaTdRAEjQ4Prk${index}/source` },
      assets: { player: `https://embed.api.video/vod/vi4k0jvEUuaTdRAEjQ4Prk${index}` }
    })),
    pagination: { currentPage: 1, pageSize: 25, pagesTotal: 1, itemsTotal: 5, currentPageItems: 5, links: [] }
  })
)
const pageHeaders = { "content-type": "application/json", "content-length": page.byteLength }

const answerJson = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) => {
  const text = JSON.stringify(body)
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(text)
}

/** What an exchange asks for. `problem` is how the endpoint refuses. */
interface Grant {
  readonly operation: "login" | "refresh"
  readonly isAuthentic: boolean
  readonly refreshToken: string
  readonly problem: unknown
}

/** Makes a platform: what answers requests, and what commands it. */
export const make = () => {
  let behaviour = initial
  let ledger: { -readonly [K in keyof Ledger]: Ledger[K] } = { ...empty }
  let received = new Set<string>()
  let goodRefreshes = 0
  let held: Array<{ readonly authorization: string; readonly answer: () => void }> = []
  /** Expiry by the whole `Authorization` header. */
  const accessTokens = new Map<string, number>([[basicKey, Infinity]])
  let refreshTokens = new Set<string>()

  const isAuthorized = (authorization: string): boolean => (accessTokens.get(authorization) ?? 0) > Date.now()

  const answerApi = (response: ServerResponse, authorization: string) => {
    if (isAuthorized(authorization)) {
      response.writeHead(200, pageHeaders)
      response.end(page)
      return
    }
    ledger.unauthorized += 1
    answerJson(
      response,
      401,
      { title: "The token is not valid.", status: 401 },
      { "www-authenticate": behaviour.challenge }
    )
  }

  const revokeHeld = (spread: number) => {
    const all = held
    held = []
    for (const { authorization } of all) {
      if (authorization !== basicKey) accessTokens.delete(authorization)
    }
    for (const [index, { answer }] of all.entries()) setTimeout(answer, (spread * index) / (all.length - 1))
  }

  const serveApi = (request: IncomingMessage, response: ServerResponse) => {
    ledger.requests += 1
    const { authorization = "" } = request.headers
    const { revocation } = behaviour
    if (revocation === undefined) {
      answerApi(response, authorization)
      return
    }
    held.push({ authorization, answer: () => answerApi(response, authorization) })
    if (held.length === revocation.requests) {
      behaviour = { ...behaviour, revocation: undefined }
      revokeHeld(revocation.spread)
    }
  }

  /** api.video: `POST /auth/api-key` and `POST /auth/refresh`, JSON. */
  const readApiVideo = async (request: IncomingMessage): Promise<Grant> => {
    const body = Object(await json(request))
    const operation = request.url === "/auth/refresh" ? "refresh" : "login"
    return {
      operation,
      isAuthentic: operation === "refresh" || body.apiKey === apiKey,
      refreshToken: String(body.refreshToken),
      problem: {
        type: "https://docs.api.video/reference/authentication-invalid-user-credentials",
        title: "Your credentials are not valid.",
        status: 400
      }
    }
  }

  /** OAuth 2: `POST /token`, a form. The client authenticates by header or by fields (RFC 6749 §2.3.1). */
  const readOAuth = async (request: IncomingMessage): Promise<Grant> => {
    const chunks: Array<Buffer> = await request.toArray()
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    const operation = form.get("grant_type") === "refresh_token" ? "refresh" : "login"
    return {
      operation,
      isAuthentic:
        basicClient.has(request.headers.authorization ?? "") ||
        (form.get("client_id") === clientId && form.get("client_secret") === clientSecret),
      refreshToken: form.get("refresh_token") ?? "",
      problem: { error: "invalid_grant" }
    }
  }

  const issue = () => {
    ledger.issued += 1
    const accessToken = randomBytes(96).toString("base64url")
    const refreshToken = randomBytes(48).toString("base64url")
    accessTokens.set(`Bearer ${accessToken}`, Date.now() + behaviour.lifetime * 1_000)
    refreshTokens.add(refreshToken)
    return {
      token_type: "Bearer",
      expires_in: behaviour.lifetime,
      access_token: accessToken,
      refresh_token: refreshToken
    }
  }

  const decide = ({ isAuthentic, operation, problem, refreshToken }: Grant, response: ServerResponse) => {
    const isGood = isAuthentic && (operation === "login" || refreshTokens.has(refreshToken))
    if (isGood && operation === "refresh") goodRefreshes += 1
    const fault = isGood && operation === "refresh" ? behaviour.refreshFaults[goodRefreshes] : undefined
    if (behaviour.isDown || fault === "unavailable") {
      // This says that the token was not used, so it may be sent again.
      if (isGood) received.delete(refreshToken)
      answerJson(response, 503, { title: "Service unavailable", status: 503, error: "temporarily_unavailable" })
      return
    }
    if (!isGood) {
      answerJson(response, 400, problem)
      return
    }
    if (behaviour.rotates) {
      if (operation === "login") refreshTokens = new Set()
      refreshTokens.delete(refreshToken)
    }
    const token = issue()
    if (fault === "answer lost") response.destroy()
    else answerJson(response, 200, token)
  }

  const enter = ({ operation, refreshToken }: Grant) => {
    if (operation === "login") {
      ledger.logins += 1
      return
    }
    ledger.refreshes += 1
    if (received.has(refreshToken)) ledger.repeated += 1
    received.add(refreshToken)
  }

  const serveExchange = async (request: IncomingMessage, response: ServerResponse) => {
    const grant = await (request.url === "/token" ? readOAuth(request) : readApiVideo(request))
    enter(grant)
    if (behaviour.exchangeDelay > 0) await new Promise((resolve) => setTimeout(resolve, behaviour.exchangeDelay))
    decide(grant, response)
  }

  const control = ({ configure, reset }: Command): Ledger => {
    if (configure !== undefined) behaviour = { ...behaviour, ...configure }
    if (reset === true) {
      ledger = { ...empty }
      received = new Set()
      goodRefreshes = 0
    }
    return { ...ledger }
  }

  const listener: RequestListener = (request, response) => {
    if (request.method === "GET") serveApi(request, response)
    else if (request.url === "/control") {
      json(request).then(
        (command) => answerJson(response, 200, control(Object(command))),
        () => response.destroy()
      )
    } else serveExchange(request, response).catch(() => response.destroy())
  }

  return { listener, control }
}
