/**
 * Captions (subtitles) of videos: what `Captions` sends and returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { pagingFields } from "./shared/schema.ts"

/**
 * The captions of a video in one language.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Caption
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<Caption>()(
      Schema.Struct({
        /** IETF tag of the language, such as `fr-CA`. */
        srclang: Schema.String,
        /** Path of the captions in the API. */
        uri: Schema.optional(Schema.String),
        /** URL of the VTT file. */
        src: Schema.optional(Schema.String),
        /** Name of the language in that language. */
        languageName: Schema.optional(Schema.String),
        /** Whether the player shows these captions unless the viewer chooses others. */
        default: Schema.optional(Schema.Boolean)
      })
    ))()
{
  declare readonly srclang: string
}

/**
 * Input of `Captions.update`.
 *
 * @category schemas
 * @since 0.1.0
 */
export class CaptionUpdate
  extends /* @__PURE__ */ (() =>
    Schema.Opaque<CaptionUpdate>()(Schema.Struct({ default: Schema.optional(Schema.Boolean) })))()
{
  declare readonly default?: boolean | undefined
}

/**
 * Which page of captions `Captions.list` returns.
 *
 * @category schemas
 * @since 0.1.0
 */
export class CaptionQuery extends /* @__PURE__ */ (() => Schema.Opaque<CaptionQuery>()(Schema.Struct(pagingFields)))() {
  declare readonly currentPage?: number | undefined
}
