/** Whatever webfinger and the metadata of an issuer say: a password goes where it may, or nowhere. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { MovingImageOpenId } from "effect-video-auth/moving-image"
import type { Answer } from "../guarantees/wire.ts"
import { assertReason, ends, inPlaceOf, tampering, times, typed, Values, Wildness } from "./wild.ts"

const api = "https://api.video-cdn.net"
const issuer = "https://login.movingimage.com/auth/realms/platform"
const configuration = `${issuer}/.well-known/openid-configuration`
const tokenEndpoint = `${issuer}/protocol/openid-connect/token`

const documents: Readonly<Record<string, Schema.Json>> = {
  [`${api}/.well-known/webfinger`]: {
    subject: `${api}/v1/`,
    properties: { [`${api}/v1/keycloak/realm`]: "platform" },
    links: [{ rel: "http://openid.net/specs/connect/1.0/issuer", href: configuration }]
  },
  [configuration]: { issuer, token_endpoint: tokenEndpoint, revocation_endpoint: `${issuer}/revoke` }
}

const token = { access_token: "access-1", token_type: "bearer", expires_in: 300, refresh_token: "refresh-1" }

/** One login, where one of the two documents is tampered with. Gives where the password went, if anywhere. */
const logIn = Effect.fnUntraced(function* (wild: Wildness, which: 0 | 1) {
  const sentTo: Array<string> = []
  const client = HttpClient.make((request, { origin, pathname }) =>
    Effect.sync(() => {
      const url = origin + pathname
      if (request.method === "POST") sentTo.push(url)
      const document = documents[url]
      const answer: Answer = {
        status: 200,
        headers: { "content-type": "application/json", "cache-control": "max-age=60" },
        body: JSON.stringify(document ?? token)
      }
      const tampered = url === Object.keys(documents)[which] ? tampering(wild)(answer) : answer
      const { headers = {}, status } = tampered
      const body = [204, 205, 304].includes(status) ? null : tampered.body
      return HttpClientResponse.fromWeb(request, new Response(body, { status, headers }))
    })
  )
  const provider = yield* MovingImageOpenId.anonymousUsers({
    username: Redacted.make("credential-1"),
    password: Redacted.make("credential-2")
  }).pipe(Effect.provideService(HttpClient.HttpClient, client))
  const exit = typed(yield* Effect.exit(ends(provider.login!)))
  if (Exit.isFailure(exit)) {
    for (const reason of exit.cause.reasons) if (reason._tag === "Fail") yield* assertReason(reason.error)
  }
  for (const url of sentTo) assert.strictEqual(new URL(url).origin, new URL(issuer).origin)
  return sentTo
})

const Which = Schema.Literals([0, 1])

describe("discovery that says anything", () => {
  it.live.prop(
    "leads to the allowed host or to a typed failure",
    { wild: Wildness, which: Which },
    ({ which, wild }) => logIn(wild, which),
    times(150)
  )

  it.live.prop(
    "leads to the allowed host or to a typed failure, where values are others",
    { values: Values, which: Which },
    ({ values, which }) => logIn(inPlaceOf(values), which),
    times(150)
  )

  it.live("leads to the token endpoint where nobody tampers with it", () =>
    Effect.gen(function* () {
      const sound: Wildness = { status: 0, headers: [], mutations: [], noise: undefined }
      assert.deepStrictEqual(yield* logIn(sound, 0), [tokenEndpoint])
    })
  )
})
