/** Ours: one layer, defaults throughout. The rate limiter is off, for it would hold the scenarios back. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import * as ApiVideo from "../../src/api-video/ApiVideo.ts"
import * as TokenService from "../../src/token/TokenService.ts"
import { ours } from "../measurement.ts"
import { apiKey } from "../server/platform.ts"
import type { Subject } from "./subject.ts"

export const effectVideoAuth: Subject = {
  name: ours,
  earlyWindow: 900,
  refreshes: true,
  notes: {},
  open: async (baseUrl) => {
    const layer = ApiVideo.layerClient({ baseUrl, rateLimits: false }).pipe(
      // `eager` would log in before the first caller comes.
      Layer.provideMerge(ApiVideo.layerToken({ baseUrl, apiKey: Redacted.make(apiKey), eager: false })),
      Layer.provide(NodeHttpClient.layerUndici)
    )
    const runtime = ManagedRuntime.make(layer)
    const tokens = await runtime.runPromise(TokenService.TokenService)
    const api = await runtime.runPromise(ApiVideo.ApiVideo)
    return {
      getToken: () => runtime.runPromise(tokens.get),
      listVideos: () => runtime.runPromise(Effect.flatMap(api.get("/videos"), (response) => response.text)),
      close: () => runtime.dispose()
    }
  }
}
