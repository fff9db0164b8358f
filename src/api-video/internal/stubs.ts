/** Answers of specs, by the client that has them: `ApiVideo.layerTest` registers them, and operations ask for them. */
import type * as Effect from "effect/Effect"
import type { ApiVideo, ClientError } from "../ApiVideoClient.ts"
import type { Route } from "../shared/route.ts"

/** Gives the JSON that a spec answers to a call; `undefined` if the call is to be requested. */
export type Stub = (route: Route, given: ReadonlyArray<unknown>) => Effect.Effect<unknown, ClientError> | undefined

const stubs = new WeakMap<ApiVideo["Service"], Stub>()

export const register = (client: ApiVideo["Service"], stub: Stub): void => void stubs.set(client, stub)

export const stubOf = (client: ApiVideo["Service"]): Stub | undefined => stubs.get(client)
