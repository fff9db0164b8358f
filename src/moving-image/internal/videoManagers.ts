/** The VideoManagers of a user, as responses list them. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as AccessToken from "../../token/AccessToken.ts"

/** A string, as in the documents, or a number, as movingimage's own client reads it. */
export const Id = Schema.Union([Schema.Int, Schema.FiniteFromString.check(Schema.isInt())]).check(
  Schema.isGreaterThan(0)
)

/**
 * A VideoManager, as token responses and `GET /v1/vms` list it.
 *
 * **Example** (Listing the VideoManagers of the user)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { HttpClientResponse } from "effect/http"
 * import { MovingImage } from "effect-video-auth"
 *
 * const list = MovingImage.MovingImage.use((api) =>
 *   Effect.flatMap(api.get("/v1/vms"), HttpClientResponse.schemaBodyJson(Schema.Array(MovingImage.VideoManager)))
 * )
 * const respond = () => Response.json([{ id: "42", name: "Sales", uuid: "3f2a" }])
 * await Effect.runPromise(Effect.provide(list, MovingImage.layerTest({ respond }))) // => [{ id: 42, name: "Sales", uuid: "3f2a" }]
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const VideoManager = Schema.Struct({ id: Id, name: Schema.String, uuid: Schema.optionalKey(Schema.String) })

/** @since 0.1.0 */
export type VideoManager = typeof VideoManager.Type

/**
 * The members of a token of movingimage beyond RFC 6749: see {@link videoManagersOf}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const VideoManagers = Schema.Struct({
  /** Id of the one VideoManager that the token is valid for. */
  validForVideoManager: Id,
  /** The VideoManagers that the user can access. Their names are the server's text. */
  videoManagerList: Schema.Array(VideoManager)
})

/** @since 0.1.0 */
export type VideoManagers = typeof VideoManagers.Type

/**
 * Returns which VideoManager a token is valid for and which ones the user can access, or `None` for a token of another
 * platform.
 *
 * **Example** (Finding out which VideoManager movingimage chose)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { MovingImage, TokenService } from "effect-video-auth"
 *
 * export const chosen = Effect.gen(function*() {
 *   const tokens = yield* TokenService.TokenService
 *   const videoManagers = MovingImage.videoManagersOf(yield* tokens.get)
 *   return Option.map(videoManagers, ({ validForVideoManager }) => validForVideoManager)
 * })
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const videoManagersOf = (token: AccessToken.AccessToken): Option.Option<VideoManagers> =>
  Schema.decodeUnknownOption(VideoManagers)(token.extra)

/** The VideoManagers in a token, or `undefined` for a token of another platform. */
export const videoManagersIn = (token: AccessToken.AccessToken) => Option.getOrUndefined(videoManagersOf(token))

/** The VideoManagers that the user of a token can access; none for a token of another platform. */
export const listIn = (token: AccessToken.AccessToken) => videoManagersIn(token)?.videoManagerList ?? []
