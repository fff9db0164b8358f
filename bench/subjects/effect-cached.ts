/**
 * Effect's own memoization, the obvious way: a login, kept until five minutes before it expires and not kept where it
 * fails; a 401 invalidates it and the request goes again.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Duration, Effect, Exit, ManagedRuntime, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { apiKey } from "../server/platform.ts"
import type { Subject } from "./subject.ts"

const TokenResponse = Schema.Struct({ access_token: Schema.String, expires_in: Schema.Number })

const earlyWindow = 300

const make = Effect.fnUntraced(function* (server: string) {
  const client = yield* HttpClient.HttpClient
  const logIn = HttpClientRequest.post(`${server}/auth/api-key`).pipe(
    HttpClientRequest.bodyJsonUnsafe({ apiKey }),
    HttpClient.filterStatusOk(client).execute,
    Effect.flatMap(HttpClientResponse.schemaBodyJson(TokenResponse))
  )
  const [getToken, invalidate] = yield* Effect.cachedInvalidateWithTTL(logIn, (exit) =>
    Exit.isSuccess(exit) ? Duration.seconds(exit.value.expires_in - earlyWindow) : Duration.zero
  )
  const send = Effect.flatMap(getToken, ({ access_token }) =>
    client.execute(HttpClientRequest.bearerToken(HttpClientRequest.get(`${server}/videos`), access_token))
  )
  const listVideos = send.pipe(
    Effect.flatMap((response) =>
      response.status === 401 ? Effect.andThen(invalidate, send) : Effect.succeed(response)
    ),
    Effect.flatMap(HttpClientResponse.filterStatusOk),
    Effect.flatMap((response) => response.text)
  )
  return { getToken, listVideos }
})

export const effectCached: Subject = {
  name: "Effect.cachedInvalidateWithTTL",
  earlyWindow,
  refreshes: false,
  notes: { rotation: "It runs one effect again and again, here a login." },
  open: async (server) => {
    const runtime = ManagedRuntime.make(NodeHttpClient.layerUndici)
    const { getToken, listVideos } = await runtime.runPromise(make(server))
    return {
      getToken: () => runtime.runPromise(getToken),
      listVideos: () => runtime.runPromise(listVideos),
      close: () => runtime.dispose()
    }
  }
}
