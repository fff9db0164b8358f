/**
 * The service that every operation of api.video takes from the context. `ApiVideo` exports it too, with the layers that
 * provide it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Platform from "../platform/Platform.ts"
import type * as ApiVideoError from "./ApiVideoError.ts"

/**
 * Everything that a request can fail with: a redirect or a response with a status of 400 or more, no token, or no response.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientError = Platform.ClientError<ApiVideoError.ApiVideoError>

/**
 * The authenticated client. Paths are relative to the environment's URL (`api.get("/videos")`); an absolute URL, as in
 * api.video's pagination links, carries the token only if its origin is the same.
 *
 * @category services
 * @since 0.1.0
 */
export class ApiVideo
  extends /* @__PURE__ */ Context.Service<ApiVideo, Platform.Client<ApiVideoError.ApiVideoError>>()(
    "effect-video-auth/ApiVideo"
  ) {}

/**
 * A call of one operation, not yet run. It takes the client from the context.
 *
 * @category models
 * @since 0.1.0
 */
export type Call<A> = Effect.Effect<A, ClientError, ApiVideo>
