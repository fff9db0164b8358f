/** An authorization server in memory: metadata as told, answers as told, and every request on record. */
import { Effect, Redacted } from "effect"
import { HttpClient } from "effect/http"
import { AccessToken, type OAuth2 } from "effect-video-auth"
import * as Recording from "effect-video-auth/testing/RecordingHttpClient"

export const issuer = "https://login.example.com"

const endpoints = {
  authorization_endpoint: `${issuer}/authorize`,
  token_endpoint: `${issuer}/token`,
  device_authorization_endpoint: `${issuer}/device`,
  revocation_endpoint: `${issuer}/revoke`
}

/** Published metadata. */
export const metadata = { issuer, authorization_response_iss_parameter_supported: true, ...endpoints }

/** A client that needs no discovery. */
export const client = { issuer, clientId: "my-app", discovery: endpoints } satisfies OAuth2.ClientOptions

export const answer = { access_token: "access-1", token_type: "Bearer", expires_in: 300, refresh_token: "refresh-1" }

/** A refusal as servers write them, which repeats what it should not. */
export const refusal = (error: string, status = 400, headers: Readonly<Record<string, string>> = {}) =>
  Recording.json(status, { error, error_description: "credential-1 credential-2 refresh-0" }, headers)

export const make = (respond: Recording.Respond) => {
  const { client, requests } = Recording.make(respond)
  return {
    /** Runs a program against it. */
    run: <A, E, R>(effect: Effect.Effect<A, E, R | HttpClient.HttpClient>) =>
      Effect.provideService(effect, HttpClient.HttpClient, client),
    requests,
    /** What the forms said, in the order they came, of an endpoint. */
    forms: (path = "/token") =>
      Effect.map(requests, (requests) =>
        requests
          .filter(({ method, url }) => method === "POST" && new URL(url).pathname === path)
          .map(({ authorization, body }) => ({
            form: new URLSearchParams(body),
            authorization: authorization && Redacted.value(authorization)
          }))
      )
  }
}

export const credential = (number: number) => Redacted.make(`credential-${number}`)

/** What a refresh is for: an access token that is past its time. */
export const current = new AccessToken.AccessToken({
  accessToken: Redacted.make("access-0"),
  refreshToken: Redacted.make("refresh-0"),
  tokenType: "Bearer",
  issuedAt: 0,
  expiresAt: 0,
  generation: 1
})

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** The time of the system, which oauth4webapi checks ID tokens against. */
export const now = () => Math.floor(Date.now() / 1_000)

/** Claims that are in order whenever they are read, but for a nonce. */
export const claims = {
  iss: issuer,
  aud: client.clientId,
  sub: "ada",
  get iat() {
    return now()
  },
  get exp() {
    return now() + 300
  }
}

/** An ID token, whose signature nobody checks because it comes over TLS. */
export const idToken = (claims: Readonly<Record<string, unknown>>, alg = "RS256") =>
  `${part({ alg })}.${part(claims)}.${part("a signature")}`
