/**
 * The pipeline under Azure's clients, with the policy that attaches a bearer token, and a credential of the program's own
 * that does the exchange: caching is the policy's. It insists on https, so the pipeline's own `HttpClient` leads to the
 * loopback server.
 */
import {
  bearerTokenAuthenticationPolicy,
  createDefaultHttpClient,
  createHttpHeaders,
  createPipelineFromOptions,
  createPipelineRequest,
  type HttpClient
} from "@azure/core-rest-pipeline"
import { logIn } from "./platform.ts"
import type { Subject } from "./subject.ts"

const host = "https://videos.example"

/** Continuous access evaluation: how Entra's APIs say that a token was revoked, which the policy heeds by default. */
const claims = Buffer.from('{"access_token":{"nbf":{"essential":true,"value":"0"}}}').toString("base64")

const httpClient = (server: string): HttpClient => {
  const client = createDefaultHttpClient()
  return {
    sendRequest: (request) => {
      request.url = request.url.replace(host, server)
      request.allowInsecureConnection = true
      return client.sendRequest(request).finally(() => {
        request.url = request.url.replace(server, host)
      })
    }
  }
}

export const azureCore: Subject = {
  name: "@azure/core-rest-pipeline",
  earlyWindow: 120,
  refreshes: false,
  notes: {
    rejected: "The 401s carry the claims challenge of Entra's APIs, without which it gives them back as they are.",
    rotation: "A credential does the exchange, and the policy knows nothing of refresh tokens."
  },
  challenge: `Bearer error="insufficient_claims", claims="${claims}"`,
  open: async (server) => {
    const policy = bearerTokenAuthenticationPolicy({
      scopes: "videos",
      credential: {
        getToken: async () => {
          const { accessToken, expiresAt } = await logIn(server)
          return { token: accessToken, expiresOnTimestamp: expiresAt }
        }
      }
    })
    const pipeline = createPipelineFromOptions({})
    pipeline.addPolicy(policy)
    const client = httpClient(server)
    const answer = { status: 200, headers: createHttpHeaders() }
    return {
      // The policy alone, before an API that answers at once.
      getToken: () =>
        policy.sendRequest(createPipelineRequest({ url: host }), async (request) => ({ ...answer, request })),
      listVideos: async () => {
        const { status } = await pipeline.sendRequest(client, createPipelineRequest({ url: `${host}/videos` }))
        if (status >= 400) throw new Error(`the API answered ${status}`)
      },
      close: async () => {}
    }
  }
}
